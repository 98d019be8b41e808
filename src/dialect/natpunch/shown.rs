//! What the owner is shown of the lobbies.

use std::borrow::Cow;
use std::ops::ControlFlow;

use super::Natpunch;
use crate::dialect::{Bound, Census, Keeping, Showing, Shown, Shows};
use crate::limits;

impl Shows for Natpunch {
    fn census(&self) -> Census {
        let hosts = self.lobbies.len();
        Census { hosts, clients: self.clients.len().saturating_sub(hosts) }
    }

    fn hosts(&self, from: usize, each: &mut Showing<'_>) {
        let _ = self.lobbies.all().skip(from).try_for_each(|lobby| {
            let host = lobby.host().and_then(|host| self.clients.get(host));
            let Some(host) = host else { return ControlFlow::Continue(()) };
            each(Shown {
                game: self.shown_game(lobby.game()),
                name: Cow::Borrowed(&lobby.name),
                at: host.endpoint,
                conn: None,
                since: Some(host.moved()),
                heard: Some(host.heard),
                players: Some(lobby.members.len()),
                places: Some(lobby.places()),
                is_private: false,
            })
        });
    }

    fn games(&self, each: &mut dyn FnMut(&str, usize)) {
        self.lobbies.each_game(&mut |game, lobbies| each(self.shown_game(game), lobbies));
    }

    fn kept(&self, each: &mut Keeping<'_>) {
        self.clients.kept(each);
        self.lobbies.kept(each);
        each("natpunch: those who join", self.joins.len());
        each("natpunch: those who join no more", self.parting.len());
        each("natpunch: pairs told a moment ago", self.met.len());
        self.nodes.kept(each);
    }

    fn bounds(&self, each: &mut dyn FnMut(Bound)) {
        let (used, most) = (self.clients.len(), limits::NATPUNCH_CLIENTS);
        each(Bound { what: "clients of natpunch", used, most, option: None });
        let (used, most) = (self.lobbies.len(), limits::NATPUNCH_LOBBIES);
        each(Bound { what: "lobbies of natpunch", used, most, option: None });
    }
}
