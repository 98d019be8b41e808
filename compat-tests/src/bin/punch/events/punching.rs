//! How a peer of events meets those to whom it is introduced: all of them at the same time, while it does what else
//! is to be done.

use std::time::{Duration, Instant};

use compat_tests::events::Introduction;
use compat_tests::events::knock::Ended;
use serde_json::json;

use super::{STEP, Session, UDP_WITHIN, text};
use crate::common::{printable, say, through};

/// How long one who has not reached somebody waits for the server to tell another way, as by a relay.
const ANOTHER_WAY: Duration = Duration::from_secs(3);

/// How many steps it is waited for all who are knocked at, which is twice as long as for one: each may be introduced anew
/// all the time, as it says to be elsewhere.
const MEETS: usize = 200;

/// So many others it is kept of where they were said to be first: more than come into a room.
const MOST_OTHERS: usize = 1024;

impl Session {
    /// Begins to knock at another player.
    pub(super) fn punch(&mut self, other: Introduction) {
        while self.punches.is_full() {
            self.knock(Instant::now() + STEP);
        }
        say(format_args!("knocking at {} ({})", printable(&other.id), other.endpoint));
        if self.first.len() > MOST_OTHERS {
            self.first.clear();
        }
        self.first.entry(other.nonce.clone()).or_insert(other.endpoint);
        self.punches.start(other, UDP_WITHIN);
    }

    /// Goes on knocking for a moment, no longer than until then, if there is anybody to knock at.
    pub(super) fn knock(&mut self, until: Instant) {
        let until = until.min(Instant::now() + STEP);
        while !self.punches.is_empty()
            && let Some(ended) = self.punches.turn(&self.socket, until)
        {
            self.tell(&ended);
        }
    }

    /// Says how it ended, also to the server.
    fn tell(&mut self, Ended { other, at }: &Ended) {
        let id = printable(&other.id);
        let result = json!({"id": other.id, "ok": at.is_some()});
        // Whether the connection is broken shows when it is read.
        let _ = self.client.pass(None, "punch_result", result);
        match at {
            Some(at) => {
                say(format_args!("connected to {id} at {at}"));
                say(through(*at, self.first.get(&other.nonce) == Some(&other.endpoint)));
                self.unreached.remove(&id);
            }
            None => {
                say(format_args!("{id} cannot be reached"));
                self.unreached.insert(id);
            }
        }
    }

    /// Ends when nobody is knocked at any more, unless somebody was not reached: then the server may tell another way
    /// in a moment.
    pub(super) fn ends(&mut self) -> Result<(), String> {
        self.meet()?;
        if !self.unreached.is_empty() {
            self.listen(ANOTHER_WAY).map_err(text)?;
            self.meet()?;
        }
        match self.failed + self.unreached.len() {
            0 => Ok(()),
            1 => Err("one thing did not work, as said above".to_owned()),
            failed => Err(format!("{failed} things did not work, as said above")),
        }
    }

    /// Goes on until it is known of all who was reached.
    fn meet(&mut self) -> Result<(), String> {
        for _ in 0..MEETS {
            if self.punches.is_empty() {
                return Ok(());
            }
            self.listen(STEP).map_err(text)?;
        }
        while let Some(ended) = self.punches.give_up() {
            self.tell(&ended);
        }
        Ok(())
    }
}
