//! What a player does when the master server does not know it any more, as after a restart, or is gone.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use punchd::dialect::rooms::message::{Request, Verb, Wanted};
use punchd::dialect::rooms::options::Options;

use super::error::Error;
use super::player::{Place, Player};

/// How often a player that knows several master servers tells its own that it is there.
pub(super) const WATCHING: Duration = Duration::from_millis(1500);

/// How long none of its requests may be answered.
const SILENT: Duration = Duration::from_secs(2);

impl Player {
    /// The same player, that looks whether its master server is still there: it says ever so often that it is
    /// there itself.
    #[must_use]
    pub fn watching(mut self) -> Self {
        self.watches = true;
        self
    }

    /// Whether the master server does not answer any more.
    #[must_use]
    pub fn is_silent(&self) -> bool {
        self.watches && self.unheard.is_some_and(|since| since.elapsed() >= SILENT)
    }

    /// How long requests may take from now on; returns how long it was before.
    pub fn set_patience(&mut self, patience: Duration) -> Duration {
        std::mem::replace(&mut self.patience, patience)
    }

    /// Goes on with another master server, which knows nothing of this player yet. Those who are connected
    /// stay so, if the way there needs no socket of another kind.
    ///
    /// # Errors
    /// If there is no such socket.
    pub fn move_to(&mut self, master: SocketAddr) -> Result<(), Error> {
        self.enet.socket_mut().move_to(master)?;
        self.master = master;
        let now = Instant::now();
        (self.unheard, self.is_out) = (None, true);
        // Their answers cannot come any more.
        for (_, until) in &mut self.unanswered {
            *until = now;
        }
        Ok(())
    }

    /// Joins its room again by way of another master server. If it has its place still, those who are
    /// connected do not notice anything.
    ///
    /// # Errors
    /// If the master server does not answer, or refuses.
    pub fn join_from_here(&mut self, options: Options) -> Result<Place, Error> {
        let Some(before) = self.place else {
            return Err(Error::Refused { verb: Verb::Jr, reason: "noroom".into() });
        };
        self.regain(before, &Request::Join(Wanted::Id(before.room), options))
    }

    /// Shows its key to the master server that it has its place from, and was not heard by for a while. If it
    /// has that still, those who are connected do not notice anything.
    ///
    /// # Errors
    /// If the master server does not answer, or refuses.
    pub fn return_to_place(&mut self) -> Result<Place, Error> {
        let Some(before) = self.place else {
            return Err(Error::Refused { verb: Verb::Rc, reason: "noroom".into() });
        };
        self.regain(before, &Request::Return(before.id, before.key, Options::default()))
    }

    /// Takes a place; if it is another one, or is known by another endpoint, all punch anew.
    fn regain(&mut self, before: Place, request: &Request) -> Result<Place, Error> {
        let place = self.take_place(request)?;
        if (place.id, place.key.0) != (before.id, before.key.0) {
            self.give_up_all();
            self.punches.clear();
            self.hang_up_at_once(|_| true);
        }
        self.take_place(&Request::Return(place.id, place.key, Options::default()))
    }

    /// Opens its room again. Those who are connected stay so, and join anew.
    ///
    /// # Errors
    /// If the master server does not answer, or refuses.
    pub fn open_again(&mut self, name: &str, options: Options) -> Result<Place, Error> {
        // By these IDs nobody comes any more.
        self.give_up_all();
        self.punches.clear();
        self.host_with(name, options)
    }

    /// Joins its room again, which has another ID now, and connects with its host anew. If the master
    /// server refuses that, those who are connected do not notice anything.
    ///
    /// # Errors
    /// If the master server does not answer, or refuses.
    pub fn join_again(&mut self, room: Wanted, options: Options) -> Result<Place, Error> {
        let place = self.take_place(&Request::Join(room, options))?;
        self.give_up_all();
        self.punches.clear();
        self.hang_up_at_once(|_| true);
        self.take_place(&Request::Return(place.id, place.key, Options::default()))
    }
}
