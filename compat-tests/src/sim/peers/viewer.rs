//! Somebody who looks at the lobby.

use super::super::link::{Command, LinkId};
use super::super::wire;
use super::{Access, Peer};

/// Asks for the list on a connection of its own and goes.
#[derive(Debug, Default)]
pub struct Viewer {
    /// The connection.
    pub link: Option<LinkId>,
}

impl Peer for Viewer {
    fn wake(&mut self, _: u32, net: &mut Access<'_>) {
        let link = net.connect();
        self.link = Some(link);
        net.send(link, &wire::lobby2(), Command::Lobby);
    }

    fn hear(&mut self, link: LinkId, _: &[u8], net: &mut Access<'_>) {
        net.net.finish(link, true);
    }
}
