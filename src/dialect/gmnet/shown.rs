//! What the owner is shown of the hosts.

use std::borrow::Cow;
use std::net::SocketAddr;

use super::Gmnet;
use super::host::Host;
use crate::dialect::{Bound, Census, Showing, Shown};

impl Gmnet {
    /// Clients are those that were told where a host is, until it is known how that ended.
    pub(super) fn counted(&self) -> Census {
        Census { hosts: self.hosts.len(), clients: self.attempts.len() }
    }

    pub(super) fn show_hosts(&self, from: usize, each: &mut Showing<'_>) {
        let _ = self.hosts.all().skip(from).try_for_each(|host| each(shown(host)));
    }

    pub(super) fn show_bounds(&self, each: &mut dyn FnMut(Bound)) {
        each(Bound {
            what: "bytes of commands that are not finished",
            used: self.unfinished.bytes(),
            most: self.config.limits.total(),
            option: Some("--max-connections"),
        });
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
        heard: host.port.map(|_| host.seen),
        players: None,
        places: None,
        is_private: !host.is_visible(),
    }
}
