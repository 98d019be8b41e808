//! How a player gets back into its room when the master server has forgotten it, as after a restart, or is
//! gone and there is another one: its host opens it again, and the others look for it.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use compat_tests::rooms::{Error, Place};
use punchd::dialect::rooms::message::{Verb, Wanted};
use punchd::dialect::rooms::options::Options;

use super::session::Session;
use crate::common::{printable, say};
use crate::masters::Masters;

/// Time between two tries.
const AGAIN: Duration = Duration::from_secs(1);

/// How long a master server may take to answer where there is another one.
const QUICK: Duration = Duration::from_millis(1500);

/// How long it is tried. A host hears only when it says next that it is there, which is seconds later.
const WITHIN: Duration = Duration::from_secs(60);

/// What a player knows of its room.
#[derive(Clone, Debug)]
pub(super) struct Home {
    /// What it is called, if that is known.
    pub(super) name: Option<String>,
    /// What its host has said of it, or who has joined has to show.
    pub(super) options: Options,
    /// The master servers that it may be known to.
    pub(super) masters: Masters,
}

/// Since when there is no place in it, and when the next try is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lost {
    since: Instant,
    next: Instant,
    /// The master server that had the place, if it was another one.
    before: Option<SocketAddr>,
}

impl Home {
    /// The same after `rs`.
    pub(super) fn set(&mut self, changes: &Options) {
        self.options.is_locked = changes.is_locked.or(self.options.is_locked);
        for (key, value) in &changes.data {
            self.options.data.retain(|(known, _)| known != key);
            if !value.is_empty() {
                self.options.data.push((key.clone(), value.clone()));
            }
        }
    }
}

impl Session {
    /// The master server knows nothing of this player.
    pub(super) fn lose_home(&mut self) {
        if self.lost.is_some() {
            return;
        }
        match &self.home.name {
            None => self.stay_apart(),
            Some(_) => {
                let now = Instant::now();
                self.lost = Some(Lost { since: now, next: now, before: None });
                say(match self.hosts {
                    true => "the master server has forgotten this room: opening it again",
                    false => "the master server has forgotten this room: looking for it",
                });
            }
        }
    }

    /// If the master server is gone and there is another one, that is to be asked from now on.
    pub(super) fn look_for_master(&mut self) {
        if self.lost.is_some() || !self.player.is_silent() {
            return;
        }
        let before = self.home.masters.current();
        let now = Instant::now();
        self.lost = Some(Lost { since: now, next: now, before: Some(before) });
        self.go_on(format!("the master server {before} says nothing any more"));
    }

    /// Goes on to the next master server; false if there has to be a pause before.
    fn go_on(&mut self, why: impl std::fmt::Display) -> bool {
        let is_next = self.home.masters.go_on(why);
        // Without a socket that leads there nothing comes from it, and it is left as well.
        let _ = self.player.move_to(self.home.masters.current());
        is_next
    }

    /// Tries to get back, if it is time to.
    pub(super) fn go_home(&mut self) {
        let Some(lost) = self.lost.filter(|lost| Instant::now() >= lost.next) else { return };
        let since = lost.since;
        self.lost = Some(Lost { next: lost.next.max(Instant::now()) + AGAIN, ..lost });
        let Home { name, options, .. } = self.home.clone();
        let name = name.unwrap_or_default();
        let are_several = self.home.masters.are_several();
        let patience = are_several.then(|| self.player.set_patience(QUICK));
        let result = match (lost.before, self.hosts) {
            // It was only not heard for a while.
            (Some(before), _) if before == self.home.masters.current() => {
                self.player.return_to_place()
            }
            (_, true) => self.player.open_again(&name, options),
            (Some(_), false) => match self.player.join_from_here(options.clone()) {
                Err(Error::Refused { .. }) if self.home.name.is_some() => {
                    self.find_home(&name, options)
                }
                result => result,
            },
            (None, false) => self.find_home(&name, options),
        };
        patience.map(|patience| self.player.set_patience(patience));
        match result {
            Ok(place) => {
                self.lost = None;
                self.home.masters.answered();
                let what = if self.hosts { "open again" } else { "is there again, knocking" };
                let master = self.home.masters.current();
                let at = match are_several {
                    true => format!(", at the master server {master}"),
                    false => String::new(),
                };
                say(format!("room {} {what}{at}", place.room));
                if let Some(code) = self.player.code().filter(|_| self.hosts) {
                    say(format!("its code is {code}"));
                }
            }
            Err(error) if since.elapsed() > WITHIN => {
                self.lost = None;
                say(printable(&format!("not in the room again: {error}")));
                self.stay_apart();
            }
            Err(error @ Error::NoAnswer { .. }) if are_several => {
                if self.go_on(error) {
                    self.lost = Some(Lost { next: Instant::now(), ..lost });
                }
            }
            // The master server that had it knows nothing of it any more.
            Err(Error::Refused { .. }) if lost.before == Some(self.home.masters.current()) => {
                self.lost = Some(Lost { next: Instant::now(), before: None, ..lost });
            }
            Err(_) => {}
        }
    }

    fn find_home(&mut self, name: &str, options: Options) -> Result<Place, Error> {
        let wanted = Options { game: options.game.clone(), ..Options::default() };
        let rooms = self.player.list_with(&wanted)?;
        let found = rooms.iter().find(|room| room.name == name);
        let nowhere = || Error::Refused { verb: Verb::Jr, reason: "noroom".into() };
        let room = found.ok_or_else(nowhere)?.room;
        self.player.join_again(Wanted::Id(room), options)
    }

    fn stay_apart(&self) {
        if self.player.has_host() {
            say("those who are connected stay so, and nobody new comes");
        }
    }
}
