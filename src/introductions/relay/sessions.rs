//! Which ports two players are given. Only an introduction gives a session out, and only to addresses
//! that are proven: it is no open relay.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;

use hashlink::LinkedHashMap;
use log::warn;

use super::{Bounds, Report, Session, SessionId, Shape, Side};
use crate::clock::{Instant, Now};
use crate::customers::{Counts, network};
use crate::dialect::Name;
use crate::hash::{Keyed, Map};
use crate::introductions::PublicIps;
use crate::introductions::journal::{Attempt, Way};
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
    /// What those were told who have one: dialect, client and host; of several, the last.
    between: Map<(Name, [SocketAddr; 2]), Places>,
    /// How many each customer has; both sides count.
    held: Counts,
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

/// Why two players are not relayed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// There is no relay, or it has no address of this player's family.
    NoRelay,
    /// This address has as many sessions as it may have.
    Share(IpAddr),
    /// There are as many between these two addresses as there may be.
    Pair,
    /// There are as many sessions as there may be.
    Full,
    /// This address has sessions at all ports of the pool.
    NoPort(IpAddr),
    /// All that may be passed on this month has been.
    Month,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoRelay => f.write_str("there is no relay for them"),
            Self::Share(addr) => write!(
                f,
                "{addr} is relayed as often as it may be; allow more with --relay-sessions"
            ),
            Self::Pair => write!(
                f,
                "there are {} sessions between their two addresses already",
                limits::relay::PER_PAIR
            ),
            Self::Full => write!(f, "there are {} sessions already", limits::relay::SESSIONS),
            Self::NoPort(addr) => write!(
                f,
                "{addr} uses all ports of the relay; give it more with --relay-ports"
            ),
            Self::Month => f.write_str(
                "what the relay may pass on in a month has been reached; allow more with --relay-month",
            ),
        }
    }
}

impl Sessions {
    /// A relay as the owner wants it.
    #[must_use]
    pub fn new(config: Option<Config>) -> Self {
        Self { config, ..Self::default() }
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
        if self.between.is_empty() { None } else { self.between.get(&(dialect, pair)).copied() }
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
        }
        *self.pairs.entry([client, host].map(network)).or_default() += 1;
        let places = Places { id, for_client, for_host };
        self.between.insert((attempt.dialect, [attempt.client, attempt.host]), places);
        self.open.insert(
            id,
            (
                session,
                Passage { attempt, began: now.instant, is_through: false, is_welcome: false },
            ),
        );
        self.new.push(session);
        Ok(places)
    }

    /// What the client is to be told, and the host.
    fn find(
        &mut self,
        now: Now,
        [client, host]: [IpAddr; 2],
        shape: Shape,
    ) -> Result<[SocketAddr; 2], Refused> {
        let config = self.config.as_ref().ok_or(Refused::NoRelay)?;
        let at_client = config.told.like(client).ok_or(Refused::NoRelay)?;
        let at_host = config.told.like(host).ok_or(Refused::NoRelay)?;
        if config.bounds.month_bytes.is_some_and(|most| self.passed.in_month(now.unix) >= most) {
            return Err(Refused::Month);
        }
        if self.open.len() >= limits::relay::SESSIONS {
            return Err(Refused::Full);
        }
        let most = config.bounds.sessions_per_address as usize;
        let between = self.pairs.get(&[client, host].map(network)).copied().unwrap_or_default();
        if between >= limits::relay::PER_PAIR {
            return Err(Refused::Pair);
        }
        if let Some(full) = [client, host].into_iter().find(|addr| self.held.of(*addr) >= most) {
            return Err(Refused::Share(full));
        }
        let (first, size) = pool(&config.ports);
        let is_free =
            |addr, place: u16| !self.taken.contains_key(&(addr, first.wrapping_add(place)));
        // One after the other, so that all ports get their part of the packets, and what comes late for a
        // session before is not taken for this one's.
        let begin = u16::try_from(self.count % u64::from(size)).unwrap_or_default();
        let mut places = (begin..size).chain(0..begin);
        let for_host = match shape {
            Shape::GameMaker => {
                let next = self.told.remove(&host).unwrap_or(begin);
                let place = (next..size).chain(0..next).find(|place| is_free(host, *place));
                if self.told.len() >= limits::relay::HOSTS {
                    self.told.pop_front();
                }
                self.told.insert(host, place.map_or(next, |place| (place + 1) % size));
                place
            }
            // What others list may have a port again.
            Shape::Any => places.clone().find(|place| is_free(host, *place)),
        };
        let for_host = for_host.ok_or(Refused::NoPort(host))?;
        let is_other = |place: &u16| client != host || *place != for_host;
        let for_client = places.find(|place| is_other(place) && is_free(client, *place));
        let for_client = for_client.ok_or(Refused::NoPort(client))?;
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
                }
                let pair = session.sides.map(|side| network(side.addr));
                if let Some(count) = self.pairs.get_mut(&pair) {
                    *count -= 1;
                    if *count == 0 {
                        self.pairs.remove(&pair);
                    }
                }
                let Attempt { dialect, client, host, .. } = passage.attempt;
                let pair = (dialect, [client, host]);
                if self.between.get(&pair).is_some_and(|places| places.id == id) {
                    self.between.remove(&pair);
                }
                let way = match passage.is_welcome {
                    true => Way::Direct(None),
                    false => Way::No { with_relay: true },
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
