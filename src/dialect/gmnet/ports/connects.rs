//! Ports of clients, from `connect`.

use std::cmp::Reverse;
use std::net::IpAddr;
use std::time::Duration;

use hashlink::linked_hash_map::Entry;
use serde::{Deserialize, Serialize};
use smallvec::SmallVec;

use super::{Distance, Ports, gap};
use crate::clock::Instant;
use crate::limits;

/// Packets from one port.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) struct Connect {
    port: u16,
    /// When the first of the packets from this port came.
    first: Instant,
    at: Instant,
    /// A request got it; it may have been for another.
    is_claimed: bool,
    /// A request had got it when another packet came from there. Players that repeat theirs until they are answered
    /// do not have two requests.
    #[serde(default)]
    is_repeated: bool,
}

impl Connect {
    /// When the last packet came, if nobody has got it.
    pub(super) fn unclaimed(&self) -> Option<Instant> {
        (!self.is_claimed).then_some(self.at)
    }

    /// No request has ever got it.
    fn is_free(&self) -> bool {
        !self.is_claimed && !self.is_repeated
    }
}

/// The ports that may be a client's. A host can be told of all of them, as it knocks at each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Likely([u16; limits::LIKELY_PORTS]);

impl Likely {
    /// The one that no other request has got, if there is such a one.
    #[must_use]
    pub fn best(&self) -> Option<u16> {
        self.iter().next()
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = u16> + Clone {
        // Port 0 is never learned.
        self.0.into_iter().take_while(|port| *port != 0)
    }

    /// These, and of those before them the oldest for which there is room.
    #[must_use]
    pub fn followed_by(&self, older: Self) -> Self {
        if self.best().is_none() {
            return older;
        }
        let own = self.iter().take(limits::LIKELY_PORTS - 1);
        let room = limits::LIKELY_PORTS - own.clone().count();
        let older: SmallVec<[u16; limits::LIKELY_PORTS]> =
            older.iter().filter(|port| !own.clone().any(|own| own == *port)).collect();
        let more = older.len().saturating_sub(room);
        own.clone().chain(older.iter().skip(more).copied()).collect()
    }
}

impl FromIterator<u16> for Likely {
    fn from_iter<I: IntoIterator<Item = u16>>(ports: I) -> Self {
        let mut likely = Self::default();
        likely.0.iter_mut().zip(ports).for_each(|(place, port)| *place = port);
        likely
    }
}

/// A port that may be meant, its place among the others, and how distant its packets are.
type Candidate = (Distance, Reverse<usize>, u16);

/// Those that may be meant, the likeliest first.
type Near = SmallVec<[Candidate; 4]>;

/// Those whose packets are the least distant; if all of them are far, that many.
fn nearest(
    connects: &[Connect],
    most_far: usize,
    distance: impl Fn(&Connect) -> Option<Distance>,
) -> Near {
    let mut near = Near::new();
    for (index, connect) in connects.iter().enumerate() {
        if let Some(distance) = distance(connect)
            && (!connect.is_claimed || distance <= Distance::Near(limits::DRIFT))
        {
            near.push((distance, Reverse(index), connect.port));
        }
    }
    near.sort_unstable();
    match near.first() {
        // What has drifted far may have drifted a little farther.
        Some(&(Distance::Near(gap), ..)) => {
            let farthest = Distance::Near(gap + gap.max(limits::DRIFT));
            near.retain(|(distance, ..)| *distance <= farthest);
        }
        _ => near.truncate(most_far),
    }
    near
}

/// One that nobody has got, for who finds that others have got all that are near: if one of those took a neighbour's,
/// its own is left, and who has the neighbour's connection is the last to name it. It stays for whom it may fit better.
fn left_over(connects: &[Connect], distance: impl Fn(&Connect) -> Option<Distance>) -> Option<u16> {
    let free = connects.iter().filter(|c| c.is_free());
    let near = free.filter_map(|c| Some((distance(c)?, c.port)));
    let nearest = near.min_by_key(|(distance, _)| *distance)?;
    (nearest.0 <= Distance::Near(limits::OVERTAKEN)).then_some(nearest.1)
}

/// All of both, the least distant first.
fn either(mut near: Near, others: Near) -> Near {
    for other in others {
        if !near.iter().any(|(.., port)| *port == other.2) {
            near.push(other);
        }
    }
    near.sort_unstable();
    near
}

impl Ports {
    /// A UDP `connect` came.
    pub fn learn_connect(&mut self, now: Instant, addr: IpAddr, port: u16) {
        self.change(now, addr, |remembered| {
            let known = remembered.connects.iter().position(|c| c.port == port);
            let known = known.map(|n| remembered.connects.remove(n));
            let first = known.map_or(now, |known| known.first);
            let is_repeated = known.is_some_and(|known| !known.is_free());
            if remembered.connects.len() >= limits::PORTS_PER_ADDRESS {
                // Those that were used first.
                let used = remembered.connects.iter().position(|connect| connect.is_claimed);
                remembered.connects.remove(used.unwrap_or(0));
            }
            let connect = Connect { port, first, at: now, is_claimed: false, is_repeated };
            remembered.connects.push(connect);
        });
    }

    /// The ports of an address that may be meant by the first request for a host on a connection: those
    /// whose packets came about when it was opened, as games send them, or right with the request; else the
    /// newest. With `patience` only what came very near to either.
    pub fn claim_connect(
        &mut self,
        now: Instant,
        addr: IpAddr,
        (opened, asked): (Instant, Instant),
        patience: bool,
    ) -> Likely {
        let most = if patience { limits::OVERTAKEN } else { Duration::MAX };
        let to_opened = |c: &Connect| match Distance::of(now, opened, c.first, c.at) {
            Distance::Near(gap) => (gap <= most).then_some(Distance::Near(gap)),
            far => (!patience).then_some(far),
        };
        let to_asked = |c: &Connect| {
            // On a connection that stands nothing comes between a packet and the request behind it.
            let gap = gap(asked, c.at);
            (gap <= limits::DRIFT / 2).then_some(Distance::Near(gap))
        };
        // After a loss games may have repeated it meanwhile.
        let since_then = |c: &Connect| {
            let is_late = !patience && !c.is_claimed && c.at > opened;
            is_late.then_some(Distance::Far(now - c.at))
        };
        self.take_connect(now, addr, to_opened, |connects| {
            // Where the request comes with the connection there is nothing to tell apart.
            let is_later = asked - opened > limits::DRIFT;
            let with_request = if is_later { nearest(connects, 0, to_asked) } else { Near::new() };
            let near = nearest(connects, 1, to_opened);
            let is_stale = |(best, ..): &Candidate| *best > Distance::Near(limits::OVERTAKEN);
            if near.first().is_some_and(|near| !is_stale(near)) {
                return either(near, with_request);
            }
            if !with_request.is_empty() {
                return with_request;
            }
            either(near, nearest(connects, limits::LIKELY_PORTS, since_then))
        })
    }

    /// The same for a later request, made at that time: those of the newest packets, if they came
    /// after the last answer. False if any of them may be somebody else's.
    pub fn claim_newer_connect(
        &mut self,
        now: Instant,
        addr: IpAddr,
        answered: Instant,
        asked: Instant,
    ) -> (Likely, bool) {
        let connects = self.by_addr.get(&addr).map(|remembered| remembered.connects.as_slice());
        let newer = connects.unwrap_or_default().iter().filter(|c| c.at > answered);
        let is_sure = newer.clone().count() == 1
            && newer.clone().all(|c| gap(asked, c.at) <= limits::OVERTAKEN);
        let to_asked = |c: &Connect| {
            (c.at > answered).then(|| match gap(asked, c.at) {
                gap if gap <= limits::OVERTAKEN => Distance::Near(gap),
                gap => Distance::Far(gap),
            })
        };
        let find = |connects: &[Connect]| nearest(connects, 1, to_asked);
        let likely = self.take_connect(now, addr, to_asked, find);
        (likely, is_sure)
    }

    /// Takes the ports of an address that are found likely. If it is certainly one, nobody else gets
    /// that; if there is any doubt it stays, but only for who asks at that time.
    fn take_connect(
        &mut self,
        now: Instant,
        addr: IpAddr,
        distance: impl Fn(&Connect) -> Option<Distance>,
        find: impl FnOnce(&[Connect]) -> Near,
    ) -> Likely {
        let Entry::Occupied(mut here) = self.by_addr.entry(addr) else { return Likely::default() };
        let remembered = here.get_mut();
        // Nearly always one packet has come, right before the connection: there is nothing to compare.
        if let [only] = remembered.connects.as_slice()
            && !only.is_claimed
            && now - only.at <= limits::CONNECT_PORT
            && distance(only).is_some_and(|distance| distance <= Distance::Near(limits::SURE))
        {
            let port = only.port;
            remembered.connects.clear();
            self.count -= 1;
            if remembered.is_of_no_use(now) {
                here.remove();
            }
            return [port].into_iter().collect();
        }
        // The oldest come first. What is too old to be told must not be taken for the right one.
        let connects = &mut remembered.connects;
        let is_old = |c: &&Connect| now - c.at > limits::CONNECT_PORT;
        let old = connects.iter().take_while(is_old).count();
        connects.drain(..old);
        self.count -= old;
        let mut near = find(connects);
        let Some(&(best, ..)) = near.first() else { return Likely::default() };
        // Of many that come together each gets one that no other has got, and some more, of those as well
        // first what nobody has got: so all are told to somebody.
        let is_free = |index: usize| connects.get(index).is_some_and(Connect::is_free);
        near.sort_by_key(|(_, Reverse(index), _)| !is_free(*index));
        let Some(&(_, Reverse(index), port)) = near.first() else { return Likely::default() };
        let left = if is_free(index) { None } else { left_over(connects, distance) };
        let others = near.iter().skip(1).map(|(.., port)| *port);
        let likely = [port].into_iter().chain(left).chain(others).collect();
        if near.len() == 1 && best <= Distance::Near(limits::SURE) {
            connects.remove(index);
            self.count -= 1;
        } else if let Some(connect) = connects.get_mut(index) {
            connect.is_claimed = true;
        }
        if remembered.is_of_no_use(now) {
            here.remove();
        }
        likely
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{ADDR, at, only};
    use super::*;

    #[test]
    fn every_connect_packet_is_used_once() {
        let mut ports = Ports::default();
        let [one, two] = [1, 2].map(|seconds| at(seconds).instant);
        ports.learn_connect(one, ADDR, 1000);
        ports.learn_connect(two, ADDR, 2000);
        assert_eq!(ports.claim_connect(two, ADDR, (one, one), true), only(1000));
        assert_eq!(ports.claim_connect(two, ADDR, (two, two), true), only(2000));
        assert_eq!(ports.claim_connect(two, ADDR, (two, two), false), Likely::default());
        assert_eq!((ports.count, ports.by_addr.len()), (0, 0), "nothing is kept without need");
        ports.learn_connect(two, ADDR, 1000);
        assert_eq!(
            ports.claim_connect(two, ADDR, (two, two), true),
            only(1000),
            "a newer one counts again"
        );
    }

    #[test]
    fn where_there_are_too_many_those_that_were_used_go_first() {
        let mut ports = Ports::default();
        let [one, two, three] = [1, 2, 3].map(|seconds| at(seconds).instant);
        ports.learn_connect(one, ADDR, 1);
        ports.learn_connect(two, ADDR, 2);
        // It is kept, as it may still be a neighbour's.
        let opened = two + 2 * limits::SURE;
        assert_eq!(ports.claim_connect(opened, ADDR, (opened, opened), true), only(2));
        let more = 1000..1000 + limits::PORTS_PER_ADDRESS as u16 - 1;
        more.for_each(|port| ports.learn_connect(three, ADDR, port));
        assert_eq!(ports.claim_connect(three, ADDR, (one, one), true), only(1));
    }

    #[test]
    fn where_two_packets_came_together_each_request_gets_both() {
        let mut ports = Ports::default();
        let ms = |ms: u64| Instant::from_micros(1_000_000 + ms * 1000);
        let near = limits::DRIFT.as_millis() as u64;
        for (n, time) in [0, near, 10 * near].into_iter().enumerate() {
            ports.learn_connect(ms(time), ADDR, 1000 + n as u16);
        }
        let mut claim = |time| {
            let opened = ms(time);
            ports.claim_connect(ms(20 * near), ADDR, (opened, opened), false)
        };
        assert_eq!(claim(0).iter().collect::<Vec<_>>(), [1000, 1001]);
        assert_eq!(claim(near).iter().collect::<Vec<_>>(), [1001, 1000], "it stays for the other");
        assert_eq!(claim(10 * near), only(1002));
        assert_eq!(claim(10 * near), Likely::default(), "but not for who came much later");
    }

    #[test]
    fn who_finds_its_packet_taken_names_the_one_that_the_other_left() {
        let ms = |ms: u64| Instant::from_micros(1_000_000 + ms * 1000);
        let mut ports = Ports::default();
        // The first one's connection took so long that the packets of the others seem to be its.
        let packets = [(0, 1), (40, 2), (40, 3), (40, 4), (40, 5)];
        packets.iter().for_each(|(at, port)| ports.learn_connect(ms(*at), ADDR, *port));
        let mut claim = |opened| {
            let likely = ports.claim_connect(ms(80), ADDR, (ms(opened), ms(opened)), true);
            likely.iter().collect::<Vec<_>>()
        };
        (0..4).for_each(|_| assert!(!claim(47).contains(&1)));
        assert_eq!(claim(50), [5, 1, 4]);
    }

    #[test]
    fn a_packet_repeated_after_its_request_is_nobody_elses() {
        let ms = |ms: u64| Instant::from_micros(1_000_000 + ms * 1000);
        let mut ports = Ports::default();
        (1..=2).for_each(|port| ports.learn_connect(ms(port.into()), ADDR, port));
        let claim = |ports: &mut Ports, opened| {
            let times = (ms(opened), ms(opened));
            ports.claim_connect(ms(opened), ADDR, times, true).best()
        };
        assert_eq!(claim(&mut ports, 7), Some(2));
        ports.learn_connect(ms(9), ADDR, 2);
        assert_eq!(claim(&mut ports, 9), Some(1));
    }

    #[test]
    fn of_many_packets_each_request_gets_one_of_its_own_and_few_others() {
        let mut ports = Ports::default();
        let now = at(1).instant;
        (1..=50).for_each(|port| ports.learn_connect(now, ADDR, port));
        let mut best = Vec::new();
        for _ in 0..50 {
            let likely = ports.claim_connect(now, ADDR, (now, now), true);
            assert!(likely.iter().count() <= limits::LIKELY_PORTS);
            best.extend(likely.best());
        }
        best.sort_unstable();
        assert_eq!(best, (1..=50).collect::<Vec<_>>());
    }

    #[test]
    fn with_patience_a_packet_that_does_not_fit_is_left_for_others() {
        let mut ports = Ports::default();
        let claim = |ports: &mut Ports, p| {
            let opened = at(2).instant;
            ports.claim_connect(at(3).instant, ADDR, (opened, opened), p)
        };
        ports.learn_connect(at(1).instant, ADDR, 1000);
        assert_eq!(claim(&mut ports, true), Likely::default());
        assert_eq!(claim(&mut ports, false), only(1000));
    }

    #[test]
    fn who_sends_its_packet_with_the_request_gets_its_own_port() {
        let ms = |ms: u64| Instant::from_micros(1_000_000 + ms * 1000);
        // The connection took that long, or something else was asked for before.
        for round_trip in [50, 120, 300, 5000] {
            let mut ports = Ports::default();
            let (opened, asked) = (ms(600), ms(600 + round_trip));
            ports.learn_connect(ms(100), ADDR, 1000);
            ports.learn_connect(asked, ADDR, 2000);
            let likely = ports.claim_connect(asked, ADDR, (opened, asked), true);
            assert_eq!(likely, only(2000), "{round_trip} ms");
        }
    }

    #[test]
    fn a_neighbours_packet_with_the_request_does_not_replace_the_one_before_the_connection() {
        let ms = |ms: u64| Instant::from_micros(1_000_000 + ms * 1000);
        let mut ports = Ports::default();
        ports.learn_connect(ms(570), ADDR, 1000);
        ports.learn_connect(ms(720), ADDR, 2000);
        let likely = ports.claim_connect(ms(720), ADDR, (ms(600), ms(720)), true);
        assert_eq!(likely.iter().collect::<Vec<_>>(), [2000, 1000]);
    }

    #[test]
    fn of_several_that_came_since_then_each_may_be_meant() {
        let ms = |ms: u64| Instant::from_micros(1_000_000 + ms * 1000);
        let mut ports = Ports::default();
        [100, 800, 900].iter().for_each(|t| ports.learn_connect(ms(*t), ADDR, 1000 + *t as u16));
        let likely = ports.claim_connect(ms(1100), ADDR, (ms(600), ms(600)), false);
        assert_eq!(likely.iter().collect::<Vec<_>>(), [1100, 1900, 1800]);
    }

    #[test]
    fn a_later_request_takes_nothing_that_came_before_the_last_answer() {
        let mut ports = Ports::default();
        let now = at(4).instant;
        ports.learn_connect(at(1).instant, ADDR, 1000);
        let claim = |ports: &mut Ports, answered: u64| {
            ports.claim_newer_connect(now, ADDR, at(answered).instant, now)
        };
        assert_eq!(claim(&mut ports, 2), (Likely::default(), false));
        ports.learn_connect(at(3).instant, ADDR, 2000);
        assert_eq!(claim(&mut ports, 2), (only(2000), false), "it came long before the request");
        assert_eq!(claim(&mut ports, 2), (Likely::default(), false));
        ports.learn_connect(now.just_before(), ADDR, 3000);
        assert_eq!(claim(&mut ports, 3), (only(3000), true));
        ports.learn_connect(now.just_before(), ADDR, 4000);
        ports.learn_connect(now.just_before(), ADDR, 5000);
        assert!(!claim(&mut ports, 3).1, "it may be either");
    }
}
