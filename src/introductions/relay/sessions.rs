//! Which ports two players are given. Only an introduction gives a session out, and only to addresses
//! that are proven: it is no open relay.

use std::collections::hash_map::Entry;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::ops::RangeInclusive;

use hashlink::LinkedHashMap;
use log::warn;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

use super::{Bounds, Refused, Report, Session, SessionId, Shape, Side};
use crate::clock::{Instant, Now};
use crate::customers::{Counts, network, widest};
use crate::dialect::Name;
use crate::hash::{Keyed, Map};
use crate::introductions::PublicIps;
use crate::introductions::journal::{Attempt, Relay, Way};
use crate::limits;
use crate::timers::Seldom;

#[cfg(test)]
mod tests;

/// What the owner of the server has decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// The addresses of the relay that players are told.
    pub told: PublicIps,
    /// Whether the server itself is at another address. Clients of GMnet take all that comes from the
    /// server's address for the server's.
    pub is_apart: bool,
    /// The ports of the pool.
    pub ports: RangeInclusive<u16>,
    /// What sessions may do.
    pub bounds: Bounds,
}

/// For the log.
impl fmt::Display for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let told: Vec<String> = self.told.all().map(|ip| ip.to_string()).collect();
        let (first, last) = (self.ports.start(), self.ports.end());
        write!(f, "relay at {}, UDP ports {first} to {last}", told.join(" and "))?;
        f.write_str(if self.is_apart {
            ""
        } else {
            "; not for clients of GMnet, who need it at another address than the server's"
        })
    }
}

/// The sessions that there are, and the ports of the pool. Without a [`Config`] there are none.
#[derive(Debug, Default)]
pub struct Sessions {
    config: Option<Config>,
    /// Each with what the dialects know of it.
    open: Map<SessionId, (Session, Passage)>,
    /// Whose packets at which port of the pool belong to which session.
    taken: Map<(IpAddr, u16), SessionId>,
    /// Which one two have: dialect, client and host; of several, the last.
    between: Map<(Name, [SocketAddr; 2]), SessionId>,
    /// How many each customer has; both sides count.
    held: Counts,
    /// How many the networks of customers have; a session counts for each side.
    neighbours: Map<IpAddr, u32>,
    /// How many sessions there are between two customers.
    pairs: Map<[IpAddr; 2], u32>,
    /// Which port of the pool comes next for the hosts of an address, those that were told one longest ago
    /// in front: a game still lists the player that it had at a port before, and welcomes nobody there
    /// again. So a port comes again when all others have.
    told: LinkedHashMap<IpAddr, u16, Keyed>,
    /// Those that the thread has not been told of yet.
    new: Vec<Session>,
    /// How many there have been.
    count: u64,
    /// What nobody else knows, for the ports.
    secret: u64,
    passed: Passed,
    refused: Seldom,
}

/// What becomes of a session.
#[derive(Debug)]
struct Passage {
    attempt: Attempt,
    began: Instant,
    /// Packets have gone both ways.
    is_through: bool,
    /// The client has been let in, be it by this way or another.
    is_welcome: bool,
}

/// Bytes that were passed on in a month.
#[derive(Debug, Default)]
struct Passed {
    month: u64,
    bytes: u64,
}

/// What the two players are to be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Places {
    /// The number of their session.
    pub id: SessionId,
    /// Where the client finds the host.
    pub for_client: SocketAddr,
    /// Where the host finds the client.
    pub for_host: SocketAddr,
}

impl Sessions {
    /// A relay as the owner wants it.
    #[must_use]
    pub fn new(config: Option<Config>) -> Self {
        Self { config, ..Self::default() }
    }

    /// The same with ports that nobody can foretell who does not know this.
    #[must_use]
    pub fn with_secret(self, secret: u64) -> Self {
        Self { secret, ..self }
    }

    /// Whether players at these addresses can be relayed at all.
    #[must_use]
    pub fn serves(&self, players: [IpAddr; 2]) -> bool {
        self.config
            .as_ref()
            .is_some_and(|config| players.iter().all(|player| config.told.like(*player).is_some()))
    }

    /// Whether players of one family can be relayed to those of the other.
    #[must_use]
    pub fn joins_families(&self) -> bool {
        let told = self.config.as_ref().map(|config| config.told);
        told.is_some_and(|told| told.v4.is_some() && told.v6.is_some())
    }

    /// Whether a client of GMnet and its host can be relayed.
    #[must_use]
    pub fn serves_apart(&self, players: [IpAddr; 2]) -> bool {
        self.serves(players) && self.config.as_ref().is_some_and(|config| config.is_apart)
    }

    /// The address that a player at this one is told, if it can be relayed.
    #[must_use]
    pub fn told(&self, player: IpAddr) -> Option<IpAddr> {
        self.config.as_ref()?.told.like(player)
    }

    /// What a client and its host were told of the session that they have, if they have one.
    #[must_use]
    pub fn between(&self, dialect: Name, pair: [SocketAddr; 2]) -> Option<Places> {
        // Mostly there are none: no hash is needed to know that.
        if self.between.is_empty() {
            return None;
        }
        let id = *self.between.get(&(dialect, pair))?;
        let (session, _) = self.open.get(&id)?;
        let [for_client, for_host] = session.sides.map(|side| {
            let told = self.told(side.addr)?;
            Some(SocketAddr::new(told, side.port))
        });
        Some(Places { id, for_client: for_client?, for_host: for_host? })
    }

    /// Gives the two players, both of whose addresses are proven, a session.
    ///
    /// # Errors
    /// If there is none for them; why is logged from time to time.
    pub fn open(
        &mut self,
        now: Now,
        [client, host]: [IpAddr; 2],
        shape: Shape,
        attempt: Attempt,
    ) -> Result<Places, Refused> {
        let [for_client, for_host] = self.find(now, [client, host], shape).inspect_err(|why| {
            if *why != Refused::NoRelay
                && let Some(before) = self.refused.say(now.instant)
            {
                warn!("{client} is not relayed to the host at {host}: {why}{before}");
            }
        })?;
        self.count += 1;
        let id = SessionId(self.count);
        let sides = [(client, for_client), (host, for_host)];
        let sides = sides.map(|(addr, at)| Side { addr, port: at.port() });
        let session = Session { id, sides, shape };
        for side in sides {
            self.taken.insert((side.addr, side.port), id);
            self.held.add(side.addr);
            *self.neighbours.entry(neighbourhood(side.addr)).or_default() += 1;
        }
        *self.pairs.entry([client, host].map(network)).or_default() += 1;
        self.between.insert((attempt.dialect, [attempt.client, attempt.host]), id);
        self.open.insert(
            id,
            (
                session,
                Passage { attempt, began: now.instant, is_through: false, is_welcome: false },
            ),
        );
        self.new.push(session);
        Ok(Places { id, for_client, for_host })
    }

    /// Why a client and its host would not be given a session now, as far as that does not depend on the
    /// ports that they have.
    pub fn refuses(&mut self, now: Now, players: [IpAddr; 2]) -> Option<Refused> {
        if !self.serves(players) {
            return Some(Refused::NoRelay);
        }
        let bounds = self.config.as_ref()?.bounds;
        if bounds.month_bytes.is_some_and(|most| self.passed.in_month(now.unix) >= most) {
            return Some(Refused::Month);
        }
        if self.open.len() >= limits::relay::SESSIONS {
            return Some(Refused::Full);
        }
        let between = self.pairs.get(&players.map(network)).copied().unwrap_or_default();
        if between >= limits::relay::PER_PAIR {
            return Some(Refused::Pair);
        }
        let most = bounds.sessions_per_address as usize;
        if let Some(full) = players.into_iter().find(|addr| self.held.of(*addr) >= most) {
            return Some(Refused::Share(full));
        }
        let of_neighbours = |addr| self.neighbours.get(&neighbourhood(addr)).copied();
        let is_full = |addr: &IpAddr| of_neighbours(*addr) >= Some(limits::relay::PER_NETWORK);
        players.into_iter().find(is_full).map(Refused::Network)
    }

    /// What the client is to be told, and the host.
    fn find(
        &mut self,
        now: Now,
        [client, host]: [IpAddr; 2],
        shape: Shape,
    ) -> Result<[SocketAddr; 2], Refused> {
        if let Some(why) = self.refuses(now, [client, host]) {
            return Err(why);
        }
        let config = self.config.as_ref().ok_or(Refused::NoRelay)?;
        let at_client = config.told.like(client).ok_or(Refused::NoRelay)?;
        let at_host = config.told.like(host).ok_or(Refused::NoRelay)?;
        let (first, size) = pool(&config.ports);
        let is_free =
            |addr, place: u16| !self.taken.contains_key(&(addr, first.wrapping_add(place)));
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
        let for_client = in_row(begin()).find(|place| is_other(place) && is_free(client, *place));
        let for_client = for_client.ok_or(Refused::NoPort(client))?;
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

    /// What the thread that passes packets on has to tell.
    pub fn note(&mut self, now: Now, report: Report) -> Option<(Attempt, Way)> {
        match report {
            Report::Connected(id) => {
                let (_, passage) = self.open.get_mut(&id)?;
                passage.is_through = true;
                let took = now.instant - passage.began;
                Some((passage.attempt.clone(), Way::Relayed(took)))
            }
            Report::Ended(id, _) => {
                let (session, passage) = self.open.remove(&id)?;
                for side in session.sides {
                    self.taken.remove(&(side.addr, side.port));
                    self.held.remove(side.addr);
                    less(&mut self.neighbours, neighbourhood(side.addr));
                }
                less(&mut self.pairs, session.sides.map(|side| network(side.addr)));
                let Attempt { dialect, client, host, .. } = passage.attempt;
                let pair = (dialect, [client, host]);
                if self.between.get(&pair) == Some(&id) {
                    self.between.remove(&pair);
                }
                let way = match passage.is_welcome {
                    true => Way::Direct(None),
                    false => Way::No(Relay::InVain),
                };
                (!passage.is_through).then_some((passage.attempt, way))
            }
            Report::Passed(bytes) => {
                self.passed.in_month(now.unix);
                self.passed.bytes = self.passed.bytes.saturating_add(bytes);
                None
            }
        }
    }

    /// The client of a session has been let in by its host; by which way is not known yet.
    pub fn welcomed(&mut self, id: SessionId) {
        if let Some((_, passage)) = self.open.get_mut(&id) {
            passage.is_welcome = true;
        }
    }

    /// The thread that passes packets on is gone, and with it all sessions.
    pub fn fail(&mut self) {
        self.config = None;
        self.new.clear();
        self.open.clear();
        self.taken.clear();
        self.between.clear();
        self.pairs.clear();
        self.neighbours.clear();
        self.held = Counts::default();
    }

    /// The sessions that that thread is to be told of.
    pub fn take_new(&mut self) -> impl Iterator<Item = Session> {
        std::mem::take(&mut self.new).into_iter()
    }

    /// How many sessions there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.open.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.open.is_empty()
    }
}

/// One less of those that are counted under a key.
fn less<K: Eq + std::hash::Hash>(counts: &mut Map<K, u32>, key: K) {
    if let Entry::Occupied(mut count) = counts.entry(key) {
        *count.get_mut() -= 1;
        if *count.get() == 0 {
            count.remove();
        }
    }
}

/// The network that a customer is in: a /24, or the /48 that is the widest that one customer has.
fn neighbourhood(addr: IpAddr) -> IpAddr {
    match addr {
        IpAddr::V4(v4) => Ipv4Addr::from_bits(v4.to_bits() & !0xff).into(),
        IpAddr::V6(_) => widest(addr),
    }
}

/// The first port of the pool, and how many there are.
fn pool(ports: &RangeInclusive<u16>) -> (u16, u16) {
    let (first, last) = (*ports.start(), *ports.end());
    (first, last.saturating_sub(first).saturating_add(1))
}

impl Passed {
    /// Bytes that were passed on in the month of this time.
    fn in_month(&mut self, unix: u64) -> u64 {
        let month = month(unix);
        if month != self.month {
            *self = Self { month, bytes: 0 };
        }
        self.bytes
    }
}

/// The calendar month of a time, counted from the year 0 on. (The proleptic Gregorian calendar as years
/// that begin in March, so that the leap day comes last.)
fn month(unix: u64) -> u64 {
    /// Days from the first of March of the year 0 to the first of January 1970.
    const BEFORE: u64 = 719_468;
    let days = unix / 86_400 + BEFORE;
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    12 * (400 * era + year) + (5 * day + 2) / 153
}
