//! Which lines about peers go to the log.

use std::net::IpAddr;

use log::{Level, log_enabled, warn};

use crate::clock::Now;
use crate::logging;
use crate::rates::Rates;
use crate::timers::Seldom;

/// Counts the lines about each address: who does much does not fill the disk.
#[derive(Debug)]
pub struct Lines {
    rates: Rates,
    much: Seldom,
    /// The latest time that anybody has told.
    now: Option<Now>,
}

impl Default for Lines {
    fn default() -> Self {
        Self { rates: Rates::new(1, 60), much: Seldom::default(), now: None }
    }
}

impl Lines {
    /// Tells what time it is to those who do not know and ask with [`Self::says_now`].
    pub fn note_time(&mut self, now: Now) {
        self.now = Some(now);
    }

    /// The same as [`Self::says`], at the time that was noted last.
    pub fn says_now(&mut self, addr: IpAddr) -> bool {
        self.now.is_some_and(|now| self.says(now, addr))
    }

    /// Whether a line about this address may go to the log.
    pub fn says(&mut self, now: Now, addr: IpAddr) -> bool {
        self.level(now, addr, true).is_some()
    }

    /// The level of a line about this address, none if it may not go to the log. Anybody can send
    /// datagrams in the name of an address that has proven nothing, so those are details.
    pub fn level(&mut self, now: Now, addr: IpAddr, is_proven: bool) -> Option<Level> {
        if !is_proven {
            return log_enabled!(Level::Debug).then_some(Level::Debug);
        }
        if !log_enabled!(Level::Info) {
            return None;
        }
        let says = self.rates.allow(now.instant, addr);
        if !says {
            logging::leave_out();
            if self.much.say(now.instant).is_some() {
                warn!("{addr} does so much that not all of it is logged");
            }
        }
        says.then_some(Level::Info)
    }
}
