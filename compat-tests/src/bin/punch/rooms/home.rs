//! How a player gets back into its room when the master server has forgotten it, as after a restart:
//! its host opens it again, and the others look for it.

use std::time::{Duration, Instant};

use compat_tests::rooms::{Error, Place};
use punchd::dialect::rooms::message::{Verb, Wanted};
use punchd::dialect::rooms::options::Options;

use super::session::Session;
use crate::common::{printable, say};

/// Time between two tries.
const AGAIN: Duration = Duration::from_secs(1);

/// How long it is tried. A host hears only when it says next that it is there, which is seconds later.
const WITHIN: Duration = Duration::from_secs(60);

/// What a player knows of its room.
#[derive(Clone, Debug)]
pub(super) struct Home {
    /// What it is called, if that is known.
    pub(super) name: Option<String>,
    /// What its host has said of it, or who has joined has to show.
    pub(super) options: Options,
}

/// Since when there is no place in it, and when the next try is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lost {
    since: Instant,
    next: Instant,
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
                self.lost = Some(Lost { since: now, next: now });
                say(match self.hosts {
                    true => "the master server has forgotten this room: opening it again",
                    false => "the master server has forgotten this room: looking for it",
                });
            }
        }
    }

    /// Tries to get back, if it is time to.
    pub(super) fn go_home(&mut self) {
        let Some(Lost { since, next }) = self.lost.filter(|lost| Instant::now() >= lost.next)
        else {
            return;
        };
        self.lost = Some(Lost { since, next: next.max(Instant::now()) + AGAIN });
        let Home { name, options } = self.home.clone();
        let name = name.unwrap_or_default();
        let result = match self.hosts {
            true => self.player.open_again(&name, options),
            false => self.find_home(&name, options),
        };
        match result {
            Ok(place) => {
                self.lost = None;
                let what = if self.hosts { "open again" } else { "is there again, knocking" };
                say(format!("room {} {what}", place.room));
                if let Some(code) = self.player.code().filter(|_| self.hosts) {
                    say(format!("its code is {code}"));
                }
            }
            Err(error) if since.elapsed() > WITHIN => {
                self.lost = None;
                say(printable(&format!("not in the room again: {error}")));
                self.stay_apart();
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
