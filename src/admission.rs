//! Who may use this server, where its owner has said so: the games named, and who presents a key.

use std::cell::{Ref, RefCell};
use std::fmt;
use std::net::IpAddr;
use std::rc::Rc;

use log::{Level, log};
use serde::{Deserialize, Serialize};

use crate::clock::Instant;
use crate::limits;
use crate::lobby::names::keeps;
use crate::refusals::Reason;
use crate::timers::{AddressLogThrottle, LogThrottle};

/// What the owner has said, the same for all who have a clone of it. Nothing admits everybody.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Admission(Rc<RefCell<Lists>>);

/// Who is admitted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lists {
    /// Secrets, one for each game.
    pub keys: Vec<String>,
    /// Names of games.
    pub games: Vec<String>,
}

impl Lists {
    /// What is doubtful about these keys and games, a sentence each: what nobody sees in them, which GMnet takes out
    /// of what players say, and events out of the name of a game; keys that are too long; and games that do not count
    /// beside keys.
    #[must_use]
    pub fn warnings(&self) -> Vec<String> {
        let of = |list: &[String], option, dialects| {
            let unseen = list.iter().filter_map(|text| text.chars().find(|c| !keeps(*c)));
            let mut unseen = unseen.peekable();
            let first = *unseen.peek()?;
            let many = unseen.count();
            let first = u32::from(first);
            Some(format!(
                "{option}: {many} of {} have characters that nobody sees, such as U+{first:04X}; {dialects} them out \
                 of what games send, so there these never match",
                list.len()
            ))
        };
        let long = self.keys.iter().filter(|key| key.len() > limits::NATPUNCH_GAME).count();
        let long = (long > 0).then(|| {
            format!(
                "--key: {long} of {} are longer than {} bytes, which natpunch does not take",
                self.keys.len(),
                limits::NATPUNCH_GAME
            )
        });
        let is_for_gmnet = !self.keys.is_empty() && !self.games.is_empty();
        let is_for_gmnet = is_for_gmnet.then(|| {
            "--games admits games of GMnet alone, as there are keys: rooms, events and natpunch look at the key"
                .to_owned()
        });
        let unseen = [
            of(&self.keys, "--key", "GMnet takes"),
            of(&self.games, "--games", "GMnet and events take"),
        ];
        unseen.into_iter().chain([long, is_for_gmnet]).flatten().collect()
    }
}

impl From<Lists> for Admission {
    fn from(lists: Lists) -> Self {
        Self(Rc::new(RefCell::new(lists)))
    }
}

impl Admission {
    /// Those who have one of these keys, or whose game has one of these names.
    #[must_use]
    pub fn of(keys: Vec<String>, games: Vec<String>) -> Self {
        Lists { keys, games }.into()
    }

    /// The owner has said something else, for all who ask from now on.
    pub fn replace(&self, lists: Lists) {
        self.0.replace(lists);
    }

    fn lists(&self) -> Ref<'_, Lists> {
        self.0.borrow()
    }

    /// Whether everybody is admitted.
    #[must_use]
    pub fn is_open(&self) -> bool {
        let Lists { keys, games } = &*self.lists();
        keys.is_empty() && games.is_empty()
    }

    /// Whether there is a list of games.
    #[must_use]
    pub fn names_games(&self) -> bool {
        !self.lists().games.is_empty()
    }

    /// Whether a peer is admitted that gives the name of its game and nothing else: all that
    /// GMnet has. There the name itself may be the key.
    #[must_use]
    pub fn admits_game(&self, game: &str) -> bool {
        let Lists { keys, games } = &*self.lists();
        keys.is_empty() && games.is_empty() || holds(games, game) || holds(keys, game)
    }

    /// The options with the list that [`Self::admits_game`] looks at.
    #[must_use]
    pub fn lists_of_games(&self) -> &'static str {
        let Lists { keys, games } = &*self.lists();
        match (games.is_empty(), keys.is_empty()) {
            (false, true) => "--games",
            (true, _) => "--key",
            (false, false) => "--games or --key",
        }
    }

    /// Whether [`Self::admits`] looks at the key, and not at the name of the game.
    #[must_use]
    pub fn asks_for_key(&self) -> bool {
        !self.lists().keys.is_empty()
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
        let Lists { keys, games } = &*self.lists();
        match !keys.is_empty() {
            true => key.is_some_and(|key| holds(keys, key)),
            false => games.is_empty() || holds(games, game),
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

/// Counts who was refused, and says so in the log, of each address from time to time.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Refused {
    #[serde(skip)]
    each: AddressLogThrottle,
    /// Where there are too many of them, for one of all.
    seldom: LogThrottle,
    all: u64,
}

impl Refused {
    /// Somebody was refused, for what this dialect looks at.
    pub fn note(
        &mut self,
        now: Instant,
        (dialect, addr): (crate::dialect::Name, IpAddr),
        reason: Reason,
        why: fmt::Arguments<'_>,
    ) {
        let says = self.each.say(now, addr).is_some();
        let says = says || self.each.is_full(now) && self.seldom.say(now).is_some();
        self.write(says.then_some(Level::Warn), (dialect, addr), reason, why);
    }

    /// The same of who has only sent a datagram, which anybody can in the name of any address: all that an
    /// owner has to see is one of them from time to time.
    pub fn note_forgeable(
        &mut self,
        now: Instant,
        (dialect, addr): (crate::dialect::Name, IpAddr),
        reason: Reason,
        why: fmt::Arguments<'_>,
    ) {
        let level = self.level_of_forgeable(now, addr);
        self.write(level, (dialect, addr), reason, why);
    }

    fn level_of_forgeable(&mut self, now: Instant, addr: IpAddr) -> Option<Level> {
        match self.seldom.say(now) {
            Some(_) => Some(Level::Warn),
            None => self.each.say(now, addr).map(|_| Level::Debug),
        }
    }

    fn write(
        &mut self,
        level: Option<Level>,
        (dialect, addr): (crate::dialect::Name, IpAddr),
        reason: Reason,
        why: fmt::Arguments<'_>,
    ) {
        self.all += 1;
        if let Some(level) = level {
            log!(
                level, dialect:% = dialect, event = "refused", address:% = addr, reason = reason.name();
                "{addr} refused ({dialect}): {why} ({} refused so far)", self.all
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn admission(keys: &[&str], games: &[&str]) -> Admission {
        let owned = |list: &[&str]| list.iter().map(|text| (*text).to_owned()).collect();
        Admission::of(owned(keys), owned(games))
    }

    /// Else they would fill the log with addresses of their choice.
    #[test]
    fn forged_addresses_write_one_line_a_minute() {
        let mut refused = Refused::default();
        let at = |seconds: u32| Instant::from_micros(u64::from(seconds) * 1_000_000);
        let levels =
            (0..600).map(|n| refused.level_of_forgeable(at(n), IpAddr::from([203, n as u8, 0, 7])));
        let warned = levels.filter(|level| *level == Some(Level::Warn)).count();
        assert_eq!(warned, 10);
    }

    #[test]
    fn what_nobody_sees_in_a_key_is_doubtful_and_not_told() {
        let lists = |keys: &[&str], games: &[&str]| {
            let owned = |list: &[&str]| list.iter().map(|text| (*text).to_owned()).collect();
            Lists { keys: owned(keys), games: owned(games) }
        };
        assert!(lists(&["s\u{e9}same", "\u{1f600}"], &[]).warnings().is_empty());
        assert!(lists(&[], &["My Game"]).warnings().is_empty());
        for unseen in ["\u{200b}", "\u{ad}", "\u{202e}"] {
            let key = format!("sesame{unseen}");
            let warnings = lists(&["open", &key], &[]).warnings();
            assert!(
                warnings.len() == 1 && warnings[0].starts_with("--key: 1 of 2 have"),
                "{warnings:?}"
            );
            assert!(!warnings[0].contains("sesame"), "{warnings:?}");
        }
        let of_games = lists(&[], &["a\u{200b}"]).warnings();
        assert!(of_games[0].contains("U+200B; GMnet and events take"), "{of_games:?}");
        // Events compare a key as it is.
        assert!(lists(&["a\u{200b}"], &[]).warnings()[0].contains("U+200B; GMnet takes"));
        let long = "x".repeat(limits::NATPUNCH_GAME + 1);
        let warnings = lists(&[&long, "short"], &["Pong"]).warnings();
        assert!(warnings[0].starts_with("--key: 1 of 2 are longer than 64 bytes"), "{warnings:?}");
        assert!(warnings[1].starts_with("--games admits games of GMnet alone"), "{warnings:?}");
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
    fn what_the_owner_says_anew_holds_for_all() {
        let first = admission(&["sesame"], &[]);
        let second = first.clone();
        first.replace(Lists { keys: vec!["open".into()], games: Vec::new() });
        assert!(second.admits(Some("open"), "") && !second.admits(Some("sesame"), ""));
    }

    #[test]
    fn games_admit_by_name_where_there_are_no_keys() {
        let named = admission(&[], &["Pong"]);
        assert!(named.admits(None, "Pong") && named.admits_game("Pong"));
        assert!(!named.admits(Some("Pong"), "Tetris") && !named.admits_game("Tetris"));
    }
}
