//! Which ports of the pool two players are told.

use std::hash::BuildHasher as _;
use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use serde::{Deserialize, Serialize};
use smallvec::SmallVec;

use super::Sessions;
use crate::clock::Now;
use crate::hash::Keyed;
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
        // In order.
        let used = |addr| self.all.sides_at(addr..=addr).map(|(_, side)| side.port);
        let of_client: SmallVec<[u16; 32]> = used(client).collect();
        let of_host: SmallVec<[u16; 32]> = used(host).collect();
        let is_free =
            |used: &[u16], place: u16| used.binary_search(&first.wrapping_add(place)).is_err();
        // At random: who knew the ports could send there in the name of a player. And so all get their part
        // of the packets, and what comes late for a session before is seldom taken for this one's.
        let mut random = StdRng::seed_from_u64(self.secret ^ self.count);
        let mut begin = || random.random_range(0..size);
        let in_row = |begin: u16| (begin..size).chain(0..begin);
        let next = match shape {
            Shape::GameMaker => self.told.next(host, size, self.secret),
            // What others list may have a port again.
            Shape::Any => begin(),
        };
        let for_host = in_row(next).find(|place| is_free(&of_host, *place));
        let for_host = for_host.ok_or(Refused::NoPort(host))?;
        let is_other = |place: &u16| client != host || *place != for_host;
        let distance = |place: &u16| {
            let port = first.wrapping_add(*place);
            of_client.iter().map(|used| used.abs_diff(port)).min()
        };
        let is_for_client = |place: &u16| is_other(place) && is_free(&of_client, *place);
        let places = (0..TRIES).filter_map(|_| in_row(begin()).find(is_for_client));
        let for_client = places.max_by_key(distance).ok_or(Refused::NoPort(client))?;
        // Who is refused uses up none.
        if shape == Shape::GameMaker {
            self.told.note(host, for_host, size);
        }
        let at = |ip, place| SocketAddr::new(ip, first.wrapping_add(place));
        Ok([at(at_client, for_client), at(at_host, for_host)])
    }
}

/// Which place of the pool comes next for the hosts of an address: a game still lists the player that it
/// had at a port before, and welcomes nobody there again. So a port comes again when all others have. Who
/// of many addresses shares its entry with another nobody can predict, and both then go on together.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct NextPorts {
    /// Nothing before it is needed.
    next: Vec<u16>,
    #[serde(skip)]
    keyed: Keyed,
}

impl NextPorts {
    /// Goes on with what another process has told, if the pool is as large here.
    pub(super) fn restore(&mut self, saved: Self, size: u16, secret: u64) {
        let is_whole = saved.next.len() == limits::relay::HOSTS;
        if is_whole && saved.next.iter().all(|place| *place < size) {
            *self = Self { next: saved.next, keyed: Keyed::with(secret) };
        }
    }

    fn next(&mut self, host: IpAddr, size: u16, secret: u64) -> u16 {
        if self.next.is_empty() {
            let mut random = StdRng::seed_from_u64(secret);
            self.next = (0..limits::relay::HOSTS).map(|_| random.random_range(0..size)).collect();
            self.keyed = Keyed::with(secret);
        }
        self.next.get(self.entry(host)).copied().unwrap_or_default()
    }

    /// It was told this one.
    fn note(&mut self, host: IpAddr, place: u16, size: u16) {
        let entry = self.entry(host);
        if let Some(next) = self.next.get_mut(entry) {
            *next = (place + 1) % size;
        }
    }

    fn entry(&self, host: IpAddr) -> usize {
        (self.keyed.hash_one(host) % limits::relay::HOSTS as u64) as usize
    }
}

/// The first port of the pool, and how many there are.
pub(super) fn pool(ports: &RangeInclusive<u16>) -> (u16, u16) {
    let (first, last) = (*ports.start(), *ports.end());
    (first, last.saturating_sub(first).saturating_add(1))
}
