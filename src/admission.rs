//! Who may use this server, where its owner has said so: the games named, and who presents a key.

use std::fmt;
use std::net::IpAddr;

use log::warn;

use crate::clock::Instant;
use crate::timers::Seldom;

/// What the owner has said. Nothing admits everybody.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Admission {
    /// Secrets, one for each game.
    pub keys: Vec<String>,
    /// Names of games.
    pub games: Vec<String>,
}

impl Admission {
    /// Whether everybody is admitted.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.keys.is_empty() && self.games.is_empty()
    }

    /// Whether a peer is admitted that gives the name of its game and nothing else: all that
    /// GMnet has. There the name itself may be the key.
    #[must_use]
    pub fn admits_game(&self, game: &str) -> bool {
        self.is_open() || holds(&self.games, game) || holds(&self.keys, game)
    }

    /// The options with the list that [`Self::admits_game`] looks at.
    #[must_use]
    pub fn lists_of_games(&self) -> &'static str {
        match (self.games.is_empty(), self.keys.is_empty()) {
            (false, true) => "--games",
            (true, _) => "--key",
            (false, false) => "--games or --key",
        }
    }

    /// Whether [`Self::admits`] looks at the key, and not at the name of the game.
    #[must_use]
    pub fn asks_for_key(&self) -> bool {
        !self.keys.is_empty()
    }

    /// The option with the list that [`Self::admits`] looks at.
    #[must_use]
    pub fn list(&self) -> &'static str {
        if self.asks_for_key() { "--key" } else { "--games" }
    }

    /// Whether a peer is admitted that can present a key: where there are keys it has to be one,
    /// else the name of a game will do.
    #[must_use]
    pub fn admits(&self, key: Option<&str>, game: &str) -> bool {
        match self.asks_for_key() {
            true => key.is_some_and(|key| holds(&self.keys, key)),
            false => self.games.is_empty() || holds(&self.games, game),
        }
    }
}

/// Whether a text is in a list; takes as long for a text that is nearly right as for any other of
/// its length.
fn holds(list: &[String], text: &str) -> bool {
    let is = |known: &String| {
        let pairs = known.bytes().zip(text.bytes());
        known.len() == text.len() && pairs.fold(0, |sum, (a, b)| sum | (a ^ b)) == 0
    };
    list.iter().fold(false, |found, known| found | is(known))
}

/// Counts who was refused, and says so in the log from time to time.
#[derive(Debug, Default)]
pub struct Refused {
    seldom: Seldom,
    all: u64,
}

impl Refused {
    /// Somebody was refused, for what this dialect looks at.
    pub fn note(
        &mut self,
        now: Instant,
        addr: IpAddr,
        dialect: crate::dialect::Name,
        why: fmt::Arguments<'_>,
    ) {
        self.all += 1;
        if self.seldom.say(now).is_some() {
            warn!(
                address:% = addr, dialect:% = dialect;
                "{addr} refused ({dialect}): {why} ({} refused so far)", self.all
            );
        }
    }
}

/// The name of a game that a peer has given, in quotes, and cut where it is enough to recognise it.
#[derive(Debug)]
pub struct Quoted<'a>(pub &'a str);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const MOST: usize = 40;
        let end = self.0.char_indices().nth(MOST).map_or(self.0.len(), |(end, _)| end);
        write!(f, "{:?}", self.0.get(..end).unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn admission(keys: &[&str], games: &[&str]) -> Admission {
        let owned = |list: &[&str]| list.iter().map(|text| (*text).to_owned()).collect();
        Admission { keys: owned(keys), games: owned(games) }
    }

    #[test]
    fn without_lists_everybody_is_admitted() {
        let open = admission(&[], &[]);
        assert!(open.admits_game("") && open.admits(None, "") && open.admits(Some("x"), "y"));
    }

    #[test]
    fn keys_admit_their_games_alone() {
        let keyed = admission(&["sesame", "open"], &["Pong"]);
        assert!(keyed.admits(Some("open"), "") && keyed.admits(Some("sesame"), ""));
        for wrong in ["", "sesam", "sesame ", "SESAME", "Pong"] {
            assert!(!keyed.admits(Some(wrong), "Pong"), "{wrong:?}");
        }
        assert!(!keyed.admits(None, "Pong"), "a name is no secret");
        assert!(keyed.admits_game("Pong") && keyed.admits_game("open"));
        assert!(!keyed.admits_game("Tetris") && !keyed.admits_game(""));
    }

    #[test]
    fn games_admit_by_name_where_there_are_no_keys() {
        let named = admission(&[], &["Pong"]);
        assert!(named.admits(None, "Pong") && named.admits_game("Pong"));
        assert!(!named.admits(Some("Pong"), "Tetris") && !named.admits_game("Tetris"));
    }
}
