//! Whose turn it is to get a datagram that keeps the mapping of its NAT alive. A host has its
//! turns an interval apart, from its registration on. There are many hosts, so none has a timer:
//! the interval is cut into [`STEPS`], and those that registered in the same one have their turns
//! together, which also wakes the server seldom.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::slot::HostKey;
use crate::clock::Instant;

/// Steps of an interval: as many as there are bits in [`Keepalives::occupied`].
const STEPS: u64 = 64;

type Groups = [Vec<HostKey>; STEPS as usize];

/// All hosts, by the step in which they have their turn.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Keepalives {
    /// How long a step takes, in microseconds; none if no datagrams are sent.
    step: Option<u64>,
    /// Those that registered in each step of some interval. Who has left goes when it is their
    /// turn, so one may be there twice until then.
    #[serde(with = "crate::state::array")]
    groups: Groups,
    /// Which groups are not empty.
    occupied: u64,
    /// The step whose turn is next, counted from the start of the server.
    next: u64,
    /// Those of its group that are still to come, once it has begun.
    left: Option<usize>,
}

impl Keepalives {
    /// Turns come in this interval, or never if it is zero.
    pub(super) fn new(interval: Duration) -> Self {
        let interval = u64::try_from(interval.as_micros()).unwrap_or(u64::MAX);
        Self {
            step: (interval > 0).then_some((interval / STEPS).max(1)),
            groups: std::array::from_fn(|_| Vec::new()),
            occupied: 0,
            next: 0,
            left: None,
        }
    }

    /// Goes on with the turns of another process. If they came in another interval there, these hosts, which
    /// registered then, are lined up anew.
    pub(super) fn restore(
        &mut self,
        now: Instant,
        saved: Self,
        hosts: impl Iterator<Item = (HostKey, Instant)>,
    ) {
        if self.step == saved.step {
            *self = saved;
            return;
        }
        hosts.for_each(|(key, since)| self.add(since, key));
        self.next = self.step.map_or(0, |step| now.micros() / step + 1);
    }

    /// A host has registered.
    pub(super) fn add(&mut self, now: Instant, key: HostKey) {
        let Some(step) = self.step else { return };
        let group = now.micros() / step % STEPS;
        group_of(&mut self.groups, group).push(key);
        self.occupied |= 1 << group;
    }

    /// When somebody has the next turn.
    pub(super) fn next(&self) -> Option<Instant> {
        if self.occupied == 0 {
            return None;
        }
        let from_next = self.occupied.rotate_right((self.next % STEPS) as u32);
        let step = self.next + u64::from(from_next.trailing_zeros());
        Some(Instant::from_micros(step.saturating_mul(self.step?)))
    }

    /// A host whose turn it is, if there is one. `since` tells when a host has registered, if it is
    /// still there.
    pub(super) fn take(
        &mut self,
        now: Instant,
        since: impl Fn(HostKey) -> Option<Instant>,
    ) -> Option<HostKey> {
        let length = self.step?;
        let current = now.micros() / length;
        if current >= self.next + STEPS {
            // Nobody has two turns at once.
            (self.next, self.left) = (current + 1 - STEPS, None);
        }
        while self.next <= current {
            let (turn, number) = (self.next, self.next % STEPS);
            let group = group_of(&mut self.groups, number);
            let registered = |key: HostKey| {
                let step = since(key)?.micros() / length;
                (step % STEPS == number).then_some(step)
            };
            let left = self.left.get_or_insert_with(|| {
                group.sort_unstable();
                group.dedup();
                group.retain(|key| registered(*key).is_some());
                group.shrink_to(2 * group.len());
                group.len()
            });
            while let Some((key, rest)) = group.get(..*left).and_then(|left| left.split_last()) {
                *left = rest.len();
                // It may have left in the meantime, or have come in this very step.
                if registered(*key).is_some_and(|step| step < turn) {
                    return Some(*key);
                }
            }
            if group.is_empty() {
                self.occupied &= !(1 << number);
            }
            (self.next, self.left) = (self.next + 1, None);
        }
        None
    }
}

/// Those who registered in this step of an interval.
#[expect(clippy::indexing_slicing, reason = "what is left of a division by STEPS is below it")]
fn group_of(groups: &mut Groups, step: u64) -> &mut Vec<HostKey> {
    &mut groups[(step % STEPS) as usize]
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const INTERVAL: u64 = 20_000_000;
    const STEP: u64 = INTERVAL / STEPS;

    fn at(micros: u64) -> Instant {
        Instant::from_micros(micros)
    }

    fn usual() -> Keepalives {
        Keepalives::new(Duration::from_micros(INTERVAL))
    }

    /// When each of these hosts, which register and leave at these times, has its turns, if the
    /// server is woken up to `late` microseconds late.
    fn run(hosts: &[(u64, u64)], until: u64, late: &[u64]) -> Vec<Vec<u64>> {
        let mut keepalives = usual();
        let mut turns = vec![Vec::new(); hosts.len()];
        let mut late = late.iter().cycle();
        let mut slots: Vec<Option<usize>> = Vec::new();
        let mut now = 0;
        while now < until {
            for slot in &mut slots {
                slot.take_if(|n| hosts[*n].1 <= now);
            }
            let since = |key| {
                let n = (0..).zip(&slots).find(|(slot, _)| HostKey::of_slot(*slot) == key)?.1;
                n.map(|n| at(hosts[n].0))
            };
            while let Some(key) = keepalives.take(at(now), since) {
                let found = (0..).zip(&slots).find(|(slot, _)| HostKey::of_slot(*slot) == key);
                turns[found.unwrap().1.unwrap()].push(now);
            }
            for (n, _) in hosts.iter().enumerate().filter(|(_, host)| host.0 == now) {
                // As a slab does, with the first place that is free.
                let slot = slots.iter().position(Option::is_none).unwrap_or_else(|| {
                    slots.push(None);
                    slots.len() - 1
                });
                slots[slot] = Some(n);
                keepalives.add(at(now), HostKey::of_slot(slot));
            }
            let woken = keepalives.next().map(|next| next.micros() + late.next().unwrap());
            assert!(woken.is_none_or(|at| at > now), "all that were due have had their turn");
            let register = hosts.iter().map(|host| host.0).filter(|at| *at > now).min();
            now = woken.into_iter().chain(register).min().unwrap_or(until);
        }
        turns
    }

    /// Often the same, and often in the same step.
    fn time() -> impl Strategy<Value = u64> {
        (0..4u64, 0..8u64)
            .prop_map(|(intervals, quarters)| intervals * INTERVAL + quarters * STEP / 4)
    }

    proptest! {
        #[test]
        fn each_has_its_turns_an_interval_apart(
            hosts in prop::collection::vec((time(), time()), 1..20),
            late in prop::collection::vec(0..STEP, 1..20),
        ) {
            let hosts: Vec<_> = hosts.iter().map(|(from, stays)| (*from, from + stays)).collect();
            for (turns, (from, until)) in run(&hosts, 9 * INTERVAL, &late).iter().zip(&hosts) {
                let mut last = *from;
                for turn in turns {
                    prop_assert!((INTERVAL - 2 * STEP..=INTERVAL + STEP).contains(&(turn - last)));
                    last = *turn;
                }
                prop_assert!(last + INTERVAL + STEP >= *until);
            }
        }
    }

    #[test]
    fn few_hosts_wake_it_seldom() {
        let mut keepalives = usual();
        assert_eq!(keepalives.next(), None);
        keepalives.add(at(5 * STEP + 1), HostKey::of_slot(0));
        assert_eq!(keepalives.next(), Some(at(5 * STEP)));
        assert_eq!(keepalives.take(at(5 * STEP + 2), |_| Some(at(5 * STEP + 1))), None);
        assert_eq!(keepalives.next(), Some(at(69 * STEP)));
        assert_eq!(keepalives.take(at(69 * STEP), |_| None), None);
        assert_eq!(keepalives.next(), None, "nobody is there any more");
    }

    #[test]
    fn after_a_long_standstill_nobody_has_two_turns() {
        let mut keepalives = usual();
        let key = HostKey::of_slot(0);
        keepalives.add(at(0), key);
        let mut turn = |now| keepalives.take(at(now), |_| Some(at(0)));
        assert_eq!(turn(INTERVAL), Some(key));
        assert_eq!(turn(3 * INTERVAL), Some(key));
        assert_eq!(turn(3 * INTERVAL), None);
        assert_eq!(turn(6 * INTERVAL - 1), Some(key));
        assert_eq!(turn(6 * INTERVAL - 1), None);
    }

    #[test]
    fn an_interval_of_zero_is_never() {
        let mut keepalives = Keepalives::new(Duration::ZERO);
        keepalives.add(at(0), HostKey::of_slot(0));
        assert_eq!(keepalives.next(), None);
        assert_eq!(keepalives.take(at(1_000_000_000), |_| Some(at(0))), None);
    }
}
