//! What a player does when the master server does not know it any more, as after a restart.

use punchd::dialect::rooms::message::{Request, Wanted};
use punchd::dialect::rooms::options::Options;

use super::error::Error;
use super::player::{Place, Player};

impl Player {
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
