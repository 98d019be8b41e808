//! At how many rooms a request looks that wants certain ones. It is thirty bytes long, wherever it comes from,
//! and looking at many rooms takes as long as ten other requests: so those of all who may be forged have a part
//! of the time together, and each network of those who are not has some of its own.

use std::net::IpAddr;
use std::time::Duration;

use crate::clock::Instant;
use crate::limits;
use crate::rates::Rates;

/// What was looked at lately.
#[derive(Debug)]
pub(super) struct Looking {
    by_network: Rates,
    /// Since when all others together have looked at rooms, and at how many they may until that is a
    /// [`WINDOW`] ago.
    since: Instant,
    left: usize,
}

/// So short that nobody waits for what is looked at in one.
const WINDOW: Duration = Duration::from_millis(10);

/// At how many rooms one request may look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Look {
    /// At so many.
    pub(super) most: usize,
    /// Who pays for it alone.
    payer: Option<IpAddr>,
}

impl Look {
    /// Whether others have asked for so much that this one looks at less than it might.
    pub(super) const fn is_short(self) -> bool {
        self.most < limits::ROOMS_LOOKED_AT
    }
}

impl Default for Looking {
    fn default() -> Self {
        let (per_second, burst) = limits::LOOKS_OF_NETWORK;
        Self { by_network: Rates::new(per_second, burst), since: Instant::default(), left: 0 }
    }
}

impl Looking {
    /// At how many rooms a request from this address may look; whether it is known that it came from there.
    pub(super) fn look(&mut self, now: Instant, addr: IpAddr, is_known: bool) -> Look {
        if is_known && self.by_network.allow(now, addr) {
            return Look { most: limits::ROOMS_LOOKED_AT, payer: Some(addr) };
        }
        if now - self.since >= WINDOW {
            (self.since, self.left) = (now, limits::LOOKS_OF_ALL);
        }
        let most =
            if self.left > 0 { limits::ROOMS_LOOKED_AT } else { limits::ROOMS_LOOKED_AT_LEAST };
        Look { most, payer: None }
    }

    /// It has looked at so many.
    pub(super) fn note(&mut self, now: Instant, look: Look, rooms: usize) {
        match look.payer {
            Some(addr) => {
                self.by_network.charge(now, addr, u32::try_from(rooms).unwrap_or(u32::MAX))
            }
            None => self.left = self.left.saturating_sub(rooms),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MANY: usize = limits::ROOMS_LOOKED_AT;
    const FEW: usize = limits::ROOMS_LOOKED_AT_LEAST;

    fn at(ms: u64) -> Instant {
        Instant::from_micros(1_000_000_000 + ms * 1000)
    }

    /// Of so many requests of different addresses at that time, how many look at many rooms.
    fn long(looking: &mut Looking, ms: u64, requests: u32, is_known: bool) -> usize {
        let mut one = |n: u32| {
            let look = looking.look(at(ms), IpAddr::from(n.to_be_bytes()), is_known);
            looking.note(at(ms), look, look.most);
            assert!(look.most == MANY || look.most == FEW && look.is_short());
            look.most == MANY
        };
        (0..requests).filter(|n| one(*n << 8)).count()
    }

    #[test]
    fn those_who_may_be_forged_share() {
        let mut looking = Looking::default();
        let all = limits::LOOKS_OF_ALL / MANY;
        assert_eq!(long(&mut looking, 0, 1000, false), all);
        assert_eq!(long(&mut looking, 9, 1000, false), 0);
        assert_eq!(long(&mut looking, 10, 1000, false), all);
    }

    #[test]
    fn who_is_known_has_its_own() {
        let mut looking = Looking::default();
        assert_eq!(long(&mut looking, 0, 1000, true), 1000);
        let _ = long(&mut looking, 1, 1000, false);
        assert_eq!(long(&mut looking, 2, 1, true), 1);
        // One that asks without a pause has what is left for all.
        let addr = IpAddr::from([203, 0, 113, 7]);
        let mut taken = 0;
        while looking.look(at(3), addr, true).payer.is_some() {
            looking.note(at(3), Look { most: MANY, payer: Some(addr) }, MANY);
            taken += 1;
        }
        let (per_second, burst) = limits::LOOKS_OF_NETWORK;
        let most = (per_second * burst) as usize / MANY;
        assert!((most..=most + 1).contains(&taken), "{taken}");
        assert_eq!(looking.look(at(3), addr, true).most, FEW);
    }
}
