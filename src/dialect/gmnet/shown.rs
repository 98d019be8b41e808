//! What the owner is shown of the hosts.

use std::borrow::Cow;
use std::net::SocketAddr;

use super::Gmnet;
use super::host::Host;
use crate::dialect::{Asked, Bound, Census, Keeping, Showing, Shown, Shows};

impl Shows for Gmnet {
    /// Clients are those that were told where a host is, until it is known how that ended.
    fn census(&self) -> Census {
        Census { hosts: self.hosts.len(), clients: self.attempts.len() }
    }

    fn hosts(&self, from: usize, each: &mut Showing<'_>) {
        let _ = self.hosts.all().skip(from).try_for_each(|host| each(shown(host)));
    }

    fn bounds(&self, each: &mut dyn FnMut(Bound)) {
        each(Bound {
            what: "bytes of commands that are not finished",
            used: self.unfinished.bytes(),
            most: self.config.limits.total(),
            option: Some("--max-connections"),
        });
    }

    fn kept(&self, each: &mut Keeping<'_>) {
        each("GMnet: hosts", self.hosts.len());
        each("GMnet: hosts of other nodes", self.hosts.elsewhere_len());
        self.nodes.kept(each);
    }

    fn games(&self, each: &mut dyn FnMut(&str, usize)) {
        self.hosts.index().each_game(each);
    }

    fn public_lobby(&self, asked: &Asked<'_>, bytes: &mut Vec<u8>) {
        self.write_lobby(asked, bytes);
    }
}

fn shown(host: &Host) -> Shown<'_> {
    let name = host.data.as_ref().map_or("", |data| data.get(1));
    Shown {
        game: host.game(),
        name: Cow::Borrowed(name),
        at: SocketAddr::new(host.addr, host.port.unwrap_or(0)),
        conn: Some(host.conn),
        since: None,
        // It lives as long as its connection does.
        heard: None,
        players: None,
        places: None,
        is_private: !host.is_visible(),
    }
}
