//! Which ports of the pool two players are told.

use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use smallvec::SmallVec;

use super::Sessions;
use crate::clock::Now;
use crate::introductions::relay::{Refused, Shape};
use crate::limits;

/// Of so many ports at random the one that is farthest from others of the client's address: the game of a
/// player behind it that is not let in at once tries those that come next.
const TRIES: usize = 8;

impl Sessions {
    /// What the client is to be told, and the host.
    pub(super) fn find(
        &mut self,
        now: Now,
        [client, host]: [IpAddr; 2],
        shape: Shape,
    ) -> Result<[SocketAddr; 2], Refused> {
        for place in self.room(now, [client, host])? {
            self.close(now, place);
        }
        let config = self.config.as_ref().ok_or(Refused::NoRelay)?;
        let at_client = config.told.like(client).ok_or(Refused::NoRelay)?;
        let at_host = config.told.like(host).ok_or(Refused::NoRelay)?;
        let (first, size) = pool(&config.ports);
        let is_free =
            |addr, place: u16| !self.by_side.contains_key(&(addr, first.wrapping_add(place)));
        // At random: who knew the ports could send there in the name of a player. And so all get their part
        // of the packets, and what comes late for a session before is seldom taken for this one's.
        let mut random = StdRng::seed_from_u64(self.secret ^ self.count);
        let mut begin = || random.random_range(0..size);
        let in_row = |begin: u16| (begin..size).chain(0..begin);
        let next = match shape {
            Shape::GameMaker => self.told.get(&host).copied().unwrap_or_else(&mut begin),
            // What others list may have a port again.
            Shape::Any => begin(),
        };
        let for_host = in_row(next).find(|place| is_free(host, *place));
        let for_host = for_host.ok_or(Refused::NoPort(host))?;
        let is_other = |place: &u16| client != host || *place != for_host;
        let used = self.by_side.range((client, 0)..=(client, u16::MAX));
        let used: SmallVec<[u16; 32]> = used.map(|((_, port), _)| *port).collect();
        let distance = |place: &u16| {
            let port = first.wrapping_add(*place);
            used.iter().map(|used| used.abs_diff(port)).min()
        };
        let is_for_client = |place: &u16| is_other(place) && is_free(client, *place);
        let places = (0..TRIES).filter_map(|_| in_row(begin()).find(is_for_client));
        let for_client = places.max_by_key(distance).ok_or(Refused::NoPort(client))?;
        // Who is refused uses up none.
        if shape == Shape::GameMaker {
            if self.told.remove(&host).is_none() && self.told.len() >= limits::relay::HOSTS {
                self.told.pop_front();
            }
            self.told.insert(host, (for_host + 1) % size);
        }
        let at = |ip, place| SocketAddr::new(ip, first.wrapping_add(place));
        Ok([at(at_client, for_client), at(at_host, for_host)])
    }
}

/// The first port of the pool, and how many there are.
pub(super) fn pool(ports: &RangeInclusive<u16>) -> (u16, u16) {
    let (first, last) = (*ports.start(), *ports.end());
    (first, last.saturating_sub(first).saturating_add(1))
}
