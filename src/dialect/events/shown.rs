//! What the owner is shown of the rooms.

use super::Events;
use crate::dialect::{Asked, Bound, Census, Keeping, Showing, Shows};

impl Shows for Events {
    fn census(&self) -> Census {
        let hosts = self.rooms.len();
        Census { hosts, clients: self.tokens.len().saturating_sub(hosts) }
    }

    fn kept(&self, each: &mut Keeping<'_>) {
        each("events: connections", self.conns.iter().count());
        each("events: tokens", self.tokens.len());
        each("events: IDs", self.names.all().len());
        each("events: rooms", self.rooms.known());
        each("events: codes", self.rooms.codes_len());
        each("events: changes of rooms", self.rooms.watching.kept());
        each("events: those who wait", self.routes.len());
        self.nodes.kept(each);
    }

    fn bounds(&self, each: &mut dyn FnMut(Bound)) {
        let used = usize::try_from(self.unfinished.total()).unwrap_or(usize::MAX);
        each(Bound {
            what: "bytes of events that are not finished",
            used,
            most: self.config.limits.total(),
            option: Some("--max-connections"),
        });
    }

    fn hosts(&self, from: usize, each: &mut Showing<'_>) {
        self.show_hosts(from, each);
    }

    fn games(&self, each: &mut dyn FnMut(&str, usize)) {
        self.rooms.each_game(each);
    }

    fn public_lobby(&self, asked: &Asked<'_>, bytes: &mut Vec<u8>) {
        self.write_lobby(asked, bytes);
    }
}
