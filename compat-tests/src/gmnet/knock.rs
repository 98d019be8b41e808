//! Where a GML client knocks, and when: the stages of `udphp_clientPunch`.

use std::hash::{BuildHasher, RandomState};
use std::net::SocketAddr;
use std::time::Duration;

/// How many packets a burst at random ports has.
const BURST: usize = 160;
/// How many ports below the known one are tried when only one is known.
const SPAN: u16 = 10_000;
/// How long each of the ports behind the told one is tried: `punch_stage_timeout`.
const STAGE_TIMEOUT: Duration = Duration::from_secs(1);

/// What a knocking client tries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// The port that the master server told (0 to 25 % of the time).
    Told,
    /// The ports right behind it, for NATs that count up (25 to 40 %).
    Following,
    /// Random ports between the two last known ones (40 to 80 %).
    Predicted,
    /// The port that the game was given (80 to 100 %).
    Given,
    /// Nothing any more.
    Over,
}

/// The plan of a client's knocks at one host.
#[derive(Clone, Debug)]
pub struct Plan {
    told: SocketAddr,
    given: Option<u16>,
    timeout: Duration,
    predicted: Vec<u16>,
    next: usize,
}

impl Plan {
    /// A plan for a host at `told`. `known` is the port the host had the time before, `given` the
    /// one that the game says hosts use.
    #[must_use]
    pub fn new(
        told: SocketAddr,
        known: Option<u16>,
        given: Option<u16>,
        timeout: Duration,
    ) -> Self {
        let predicted = between(told.port(), known.unwrap_or(told.port()));
        Self { told, given, timeout, predicted, next: 0 }
    }

    /// The endpoint that the knocks began with.
    #[must_use]
    pub fn told(&self) -> SocketAddr {
        self.told
    }

    /// The stage at some time after the first knock.
    #[must_use]
    pub fn stage(&self, elapsed: Duration) -> Stage {
        let percent = 100.0 * elapsed.as_secs_f64() / self.timeout.as_secs_f64();
        match percent {
            p if p < 25.0 => Stage::Told,
            p if p < 40.0 => Stage::Following,
            p if p < 80.0 => Stage::Predicted,
            p if p < 100.0 => Stage::Given,
            _ => Stage::Over,
        }
    }

    /// The endpoints to knock at in a step at that time.
    pub fn targets(&mut self, elapsed: Duration) -> Vec<SocketAddr> {
        let ports = match self.stage(elapsed) {
            Stage::Told => vec![self.told.port()],
            Stage::Following => vec![self.following(elapsed)],
            Stage::Predicted => self.burst(),
            Stage::Given => self.given.into_iter().collect(),
            Stage::Over => Vec::new(),
        };
        ports.into_iter().map(|port| SocketAddr::new(self.told.ip(), port)).collect()
    }

    fn following(&self, elapsed: Duration) -> u16 {
        let since = elapsed.saturating_sub(self.timeout / 4);
        let tried = since.as_millis() / STAGE_TIMEOUT.as_millis();
        self.told.port().saturating_add(u16::try_from(tried + 1).unwrap_or(u16::MAX))
    }

    fn burst(&mut self) -> Vec<u16> {
        let len = self.predicted.len();
        let ports = self.predicted.iter().cycle().skip(self.next).take(BURST.min(len)).copied();
        let ports = ports.collect();
        self.next = (self.next + BURST) % len.max(1);
        ports
    }
}

/// The ports between two, or below one, in random order; never port 0.
fn between(one: u16, other: u16) -> Vec<u16> {
    let (low, high) = (one.min(other), one.max(other));
    let low = if low == high { high.saturating_sub(SPAN) } else { low };
    let mut ports: Vec<u16> = (low.max(1)..=high).collect();
    let random = RandomState::new();
    ports.sort_by_cached_key(|port| random.hash_one(port));
    ports
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    const TIMEOUT: Duration = Duration::from_secs(15);

    fn plan(known: Option<u16>, given: Option<u16>) -> Plan {
        Plan::new(SocketAddr::from(([192, 0, 2, 1], 50_000)), known, given, TIMEOUT)
    }

    fn ports(plan: &mut Plan, millis: u64) -> Vec<u16> {
        let targets = plan.targets(Duration::from_millis(millis));
        assert!(targets.iter().all(|target| target.ip() == plan.told().ip()));
        targets.iter().map(SocketAddr::port).collect()
    }

    #[test]
    fn stages_follow_each_other_as_in_gml() {
        let mut plan = plan(None, Some(6511));
        assert_eq!(ports(&mut plan, 0), [50_000]);
        assert_eq!(ports(&mut plan, 3_749), [50_000]);
        assert_eq!(ports(&mut plan, 3_750), [50_001]);
        assert_eq!(ports(&mut plan, 4_800), [50_002]);
        assert_eq!(ports(&mut plan, 5_999), [50_003]);
        assert_eq!(ports(&mut plan, 6_000).len(), BURST);
        assert_eq!(ports(&mut plan, 11_999).len(), BURST);
        assert_eq!(ports(&mut plan, 12_000), [6511]);
        assert_eq!(ports(&mut plan, 14_999), [6511]);
        assert!(ports(&mut plan, 15_000).is_empty());
        assert_eq!(self::plan(None, None).targets(Duration::from_secs(13)), []);
    }

    #[test]
    fn prediction_tries_every_port_between_the_last_two() {
        let mut plan = plan(Some(49_700), None);
        let tried: BTreeSet<u16> = (0..2).flat_map(|_| ports(&mut plan, 6_000)).collect();
        assert_eq!(tried, (49_700..=50_000).collect());
        let mut unknown = self::plan(None, None);
        let tried = ports(&mut unknown, 6_000);
        assert!(tried.iter().all(|port| (40_000..=50_000).contains(port)));
        assert!(!tried.is_sorted());
    }

    #[test]
    fn port_zero_is_never_knocked_at_by_prediction() {
        assert!(between(0, 0).is_empty());
        assert_eq!(between(2, 2).len(), 2);
    }
}
