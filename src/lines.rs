//! Which lines about peers go to the log.

use std::net::IpAddr;

use log::{Level, log_enabled, warn};
use serde::{Deserialize, Serialize};

use crate::clock::{Instant, Now};
use crate::logging;
use crate::prefixes::homes;
use crate::rates::Rates;
use crate::timers::LogThrottle;

/// Counts the lines about each address: who does much does not fill the disk. The /56 and the /48 of IPv6 that it
/// is in, and the /24 of IPv4, have twice as many: a home with many networks leaves to others what they need of what all
/// together may have ([`limits::LOG_LINES`](crate::limits::LOG_LINES)), in whatever dialects it does much.
#[derive(Debug, Serialize, Deserialize)]
pub struct Lines {
    rates: Rates,
    much: LogThrottle,
    /// The latest time that anybody has told.
    now: Option<Now>,
}

impl Default for Lines {
    fn default() -> Self {
        Self { rates: Rates::new(1, 60), much: LogThrottle::default(), now: None }
    }
}

impl Lines {
    /// Goes on with what another process has counted.
    pub(crate) fn restore(&mut self, saved: Self) {
        let Self { rates, much, now } = saved;
        self.rates.restore(rates);
        (self.much, self.now) = (much, now);
    }

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
        let says = self.has_line(now.instant, addr);
        if !says {
            logging::leave_out();
            if self.much.say(now.instant).is_some() {
                warn!("{addr} causes too many log lines, so some of them are left out");
            }
        }
        says.then_some(Level::Info)
    }

    /// Takes one line of what this address and its networks may have.
    fn has_line(&mut self, now: Instant, addr: IpAddr) -> bool {
        let [(own, _), (wide, _), (widest, _)] = homes(addr);
        self.rates.allow_source(now, own)
            && self.rates.allow_times(now, (1, wide), 2)
            && (wide == widest || self.rates.allow_times(now, (2, widest), 2))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits;

    /// How many lines are written in a quarter of an hour about those who do something 200 times a second.
    fn written(addr: impl Fn(u32) -> IpAddr) -> u32 {
        let mut lines = Lines::default();
        let at = |n: u32| Instant::from_micros(1_000_000_000 + u64::from(n) * 5000);
        (0..900 * 200).filter(|n| lines.has_line(at(*n), addr(*n))).count() as u32
    }

    /// Each dialect, and the journal, count for themselves: together a home leaves half to others.
    #[test]
    fn a_home_with_many_networks_leaves_lines_to_others() {
        const COUNTERS: u32 = 5;
        let own = written(|_| IpAddr::from([203, 0, 113, 7]));
        assert!((900..=961).contains(&own), "{own}");
        let of_v6 = |n: u32| IpAddr::from([0x2001, 0xdb8, 0, n as u16, 0, 0, 0, 1]);
        let of_56 = |n| of_v6(n & 0xFF);
        let of_v4 = |n: u32| IpAddr::from([203, 0, 113, n as u8]);
        let homes: [&dyn Fn(u32) -> IpAddr; 3] = [&of_v6, &of_56, &of_v4];
        for home in homes {
            let written = written(home);
            // Of 65,536 networks in 15 minutes a few are forgotten too early.
            assert!((1800..=2500).contains(&written), "{}: {written}", home(0));
            assert!(COUNTERS * written <= limits::LOG_LINES * 960 * 7 / 10);
        }
        let apart = written(|n| IpAddr::from([198, 51, (n % 200) as u8, 7]));
        assert_eq!(apart, 900 * 200, "others are not bounded by them");
    }
}
