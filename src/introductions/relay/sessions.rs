//! Which ports two players are given. Only an introduction gives a session out, and only to addresses
//! that are proven: it is no open relay.

use std::collections::VecDeque;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;

use log::warn;
use serde::{Deserialize, Serialize};
use smallvec::SmallVec;

use super::remote::RemoteRelays;
use super::{Bounds, End, Order, Refused, Report, Session, SessionId, Shape, Side};
use crate::blocks::Blocks;
use crate::clock::{Instant, Now};
use crate::dialect::Name;
use crate::introductions::PublicIps;
use crate::introductions::journal::{self, Attempt, Names, Relay, Way};
use crate::limits;
use crate::timers::LogThrottle;

mod about;
mod foreign;
mod month;
mod ports;
mod room;
mod table;
#[cfg(test)]
mod tests;

use month::Passed;
use ports::NextPorts;
use table::Table;

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
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Sessions {
    #[serde(skip)]
    config: Option<Config>,
    all: Table,
    told: NextPorts,
    /// What the thread is to do and has not been told yet.
    orders: Vec<Order>,
    /// How many there have been.
    count: u64,
    /// What nobody else knows, for the ports.
    secret: u64,
    /// Who was introduced lately, in case they need a session, and when.
    #[serde(skip)]
    introduced: VecDeque<([SocketAddr; 2], Instant)>,
    /// Who would give way last was looked for among all of them.
    #[serde(skip)]
    spared: Option<room::Spared>,
    passed: Passed,
    refused: LogThrottle,
    parted: LogThrottle,
    /// The relays of other nodes.
    #[serde(default)]
    pub(super) elsewhere: RemoteRelays,
}

/// A session, and what becomes of it.
#[derive(Debug, Serialize, Deserialize)]
struct Entry {
    id: SessionId,
    /// When the two were introduced: to each other, if that was before, else to the relay.
    began: Instant,
    /// What is played, and where; packed.
    names: Box<[u8]>,
    room: u16,
    sides: [Side; 2],
    /// Where the players' ports were when they were introduced.
    ports: [u16; 2],
    dialect: Name,
    /// Whether the client's address is proven.
    is_proven: bool,
    /// Packets have gone both ways.
    is_through: bool,
    /// The client has been let in, be it by this way or another.
    is_welcome: bool,
    /// Its ports may be given out again; the thread has been told.
    has_given_way: bool,
    /// Another node has asked for it.
    #[serde(default, skip_serializing_if = "crate::state::is_default")]
    is_foreign: bool,
}

impl Entry {
    /// Where client and host were when they were introduced.
    fn endpoints(&self) -> [SocketAddr; 2] {
        let [client, host] = self.sides;
        let [of_client, of_host] = self.ports;
        [SocketAddr::new(client.addr, of_client), SocketAddr::new(host.addr, of_host)]
    }

    /// Where each was told that the other is.
    fn told(&self, relay: PublicIps) -> Option<[SocketAddr; 2]> {
        let [client, host] =
            self.sides.map(|side| Some(SocketAddr::new(relay.like(side.addr)?, side.port)));
        Some([client?, host?])
    }

    /// What the journal keeps, if this is the address of the relay.
    fn attempt(&self, relay: PublicIps) -> Attempt {
        let [client, host] = self.endpoints();
        let told = self.told(relay).map(|told| journal::EndpointsTold::new([client, host], told));
        let told = told.unwrap_or_default();
        let (dialect, is_proven) = (self.dialect, self.is_proven);
        let names = Names::unpacked((&self.names, self.room));
        Attempt {
            dialect,
            client,
            host,
            names,
            told,
            connected: journal::Connected::default(),
            is_proven,
        }
    }

    /// How it ended, if it has not been told that packets went both ways.
    fn end(&self, end: End, relay: PublicIps) -> Option<(Attempt, Way)> {
        let way = match (self.is_welcome, end) {
            (true, _) => Way::Direct(None),
            (false, End::GaveWay) => Way::No(Relay::GaveWay),
            (false, _) => Way::No(Relay::InVain),
        };
        (!self.is_through).then(|| (self.attempt(relay), way))
    }
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

    /// The same with ports that nobody can predict who does not know this.
    #[must_use]
    pub fn with_secret(self, secret: u64) -> Self {
        Self { secret, ..self }
    }

    /// Goes on with the sessions of another process, if there is a relay here. They keep their ports, even if
    /// the pool is another one now; whether the thread has them as well is not known here.
    pub(crate) fn restore(&mut self, saved: Self) {
        let Self { config: _, all, told, orders, count, secret, elsewhere, .. } = saved;
        self.elsewhere = elsewhere;
        (self.passed, self.refused, self.parted) = (saved.passed, saved.refused, saved.parted);
        // So many there will never be.
        self.count = count.min(u64::MAX >> (PLACE_BITS + 1));
        if let Some(config) = &self.config {
            let (_, size) = ports::pool(&config.ports);
            self.secret = secret;
            self.told.restore(told, size, secret);
            self.all.restore(all, |entry| place_of(entry.id));
            self.orders = orders;
        }
    }

    /// Whether players at these addresses can be relayed at all.
    #[must_use]
    pub fn serves(&self, players: [IpAddr; 2]) -> bool {
        self.config
            .as_ref()
            .is_some_and(|config| players.iter().all(|player| config.told.like(*player).is_some()))
    }

    /// Whether all that may be passed on this month has been, so that nobody more is relayed.
    #[must_use]
    pub fn is_used_up(&self, now: Now) -> bool {
        let most = self.config.as_ref().and_then(|config| config.bounds.month_bytes);
        most.is_some_and(|most| self.passed.in_month(now.unix) >= most)
    }

    /// Whether there is a relay for anybody.
    #[must_use]
    pub const fn serves_somebody(&self) -> bool {
        self.config.is_some()
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

    /// What a client and its host were told of the session that they have, if they have one; of several,
    /// the last.
    #[must_use]
    pub fn between(&self, dialect: Name, pair: [SocketAddr; 2]) -> Option<Places> {
        self.between_here(dialect, pair).or_else(|| self.elsewhere.between(dialect, pair))
    }

    fn between_here(&self, dialect: Name, pair: [SocketAddr; 2]) -> Option<Places> {
        // Mostly there is no relay, and every message about two asks.
        let relay = self.config.as_ref()?.told;
        let [client, _] = pair.map(|at| at.ip());
        let theirs = self.at(client).filter(|entry| {
            // What an address has more than that does not tell it from another.
            let is_same = |(one, other): (SocketAddr, SocketAddr)| {
                (one.ip(), one.port()) == (other.ip(), other.port())
            };
            let is_its = entry.dialect == dialect && !entry.is_foreign;
            is_its && entry.endpoints().into_iter().zip(pair).all(is_same)
        });
        let entry = theirs.max_by_key(|entry| entry.id)?;
        let [for_client, for_host] = entry.told(relay)?;
        Some(Places { id: entry.id, for_client, for_host })
    }

    /// Gives the two players, both of whose addresses are proven, a session. Others give way to it where
    /// there is no room, if they hold more.
    ///
    /// # Errors
    /// If there is none for them; why is logged from time to time.
    pub fn open(&mut self, now: Now, shape: Shape, attempt: Attempt) -> Result<Places, Refused> {
        let [client, host] = [attempt.client, attempt.host].map(|at| at.ip());
        let [for_client, for_host] = self.find(now, [client, host], shape).inspect_err(|why| {
            if *why != Refused::NoRelay
                && let Some(before) = self.refused.say(now.instant)
            {
                warn!("{client} is not relayed to the host at {host}: {why}{before}");
            }
        })?;
        self.count += 1;
        let place = self.all.next_place();
        let id = SessionId(self.count << PLACE_BITS | u64::from(place));
        let sides = [(client, for_client), (host, for_host)];
        let sides = sides.map(|(addr, at)| Side { addr, port: at.port() });
        let ports = [attempt.client, attempt.host].map(|at| at.port());
        let began = self.when_introduced(now, [attempt.client, attempt.host]);
        let Attempt { dialect, names, is_proven, .. } = attempt;
        let (names, room) = names.packed();
        self.all.insert(Entry {
            id,
            began,
            names,
            room,
            sides,
            ports,
            dialect,
            is_proven,
            is_through: false,
            is_welcome: false,
            has_given_way: false,
            is_foreign: false,
        });
        self.orders.push(Order::Open(Session { id, sides, shape }));
        Ok(Places { id, for_client, for_host })
    }

    /// A player is at another port of its address. Its sessions go on: at the relay its port shows itself.
    pub fn moved(&mut self, dialect: Name, from: SocketAddr, to: SocketAddr) {
        if from.ip() != to.ip() {
            return;
        }
        self.elsewhere.moved(dialect, from, to);
        if self.all.is_empty() {
            return;
        }
        let places = self.all.sides_at(from.ip()..=from.ip()).map(|(place, _)| place);
        for place in places.collect::<SmallVec<[u32; 32]>>() {
            let is_its = |entry: &&mut Entry| entry.dialect == dialect && !entry.is_foreign;
            if let Some(entry) = self.all.get_mut(place).filter(is_its) {
                let sides = entry.sides.iter().zip(&mut entry.ports);
                let of_it =
                    sides.filter(|(side, port)| side.addr == from.ip() && **port == from.port());
                of_it.for_each(|(_, port)| *port = to.port());
            }
        }
    }

    /// Two are told of each other, who may need a session in a moment.
    pub fn introduced(&mut self, now: Now, pair: [SocketAddr; 2]) {
        if !self.serves_somebody_anywhere() {
            return;
        }
        if self.introduced.len() >= limits::relay::INTRODUCED {
            self.introduced.pop_front();
        }
        self.introduced.push_back((pair, now.instant));
    }

    /// When these two were introduced, if that was lately; else now.
    pub(super) fn when_introduced(&self, now: Now, [client, host]: [SocketAddr; 2]) -> Instant {
        let is_lately = |at: &Instant| now.instant - *at <= limits::relay::DIRECT;
        let mut of = self.introduced.iter().filter(|(pair, at)| {
            is_lately(at) && (*pair == [client, host] || *pair == [host, client])
        });
        of.next().map_or(now.instant, |(_, at)| *at)
    }

    /// Why a client and its host would not be given a session now.
    pub fn refuses(&mut self, now: Now, players: [IpAddr; 2]) -> Option<Refused> {
        self.room(now, players).err()
    }

    /// This one gives way to a session of others.
    fn close(&mut self, now: Now, place: u32) {
        self.all.free_ports(place);
        let Some(entry) = self.all.get(place) else { return };
        let (id, [side, _], [client, host]) = (entry.id, entry.sides, entry.endpoints());
        self.orders.push(Order::Close(id, side));
        if entry.is_through
            && let Some(before) = self.parted.say(now.instant)
        {
            warn!(
                "{client} is no longer relayed to the host at {host}: a player with fewer relayed pairs \
                 needs the place{before}"
            );
        }
    }

    /// Ends at most so many sessions of players whose addresses are blocked. Returns how many these were.
    pub fn end_blocked(&mut self, blocks: &Blocks, most: usize) -> usize {
        let blocked = self.all.sides().filter(|(_, side)| blocks.has(side.addr));
        let mut blocked: Vec<u32> = blocked.map(|(place, _)| place).take(most).collect();
        blocked.sort_unstable();
        blocked.dedup();
        for place in &blocked {
            self.all.free_ports(*place);
            if let Some(entry) = self.all.get(*place) {
                let [client, _] = entry.sides;
                self.orders.push(Order::Close(entry.id, client));
            }
        }
        blocked.len()
    }

    /// What the thread that passes packets on has to tell.
    pub fn note(&mut self, now: Now, report: Report) -> Option<(Attempt, Way)> {
        let relay = self.config.as_ref().map(|config| config.told).unwrap_or_default();
        match report {
            Report::Connected(id) => {
                let entry = self.get_mut(id)?;
                entry.is_through = true;
                if entry.is_foreign {
                    self.tell_through(id);
                    return None;
                }
                Some((entry.attempt(relay), Way::Relayed(now.instant - entry.began)))
            }
            Report::Ended(id, end) => {
                self.get_mut(id)?;
                let entry = self.all.remove(place_of(id))?;
                if entry.is_foreign {
                    self.tell_end(id, end);
                    return None;
                }
                entry.end(end, relay)
            }
            Report::Passed(bytes) => {
                let before = self.passed.in_month(now.unix);
                self.passed.add(now.unix, bytes);
                // Other nodes do not ask one that is used up, so nobody may be refused of whom the log could tell.
                let month = self.config.as_ref().and_then(|config| config.bounds.month_bytes);
                if month.is_some_and(|most| before < most && most <= before.saturating_add(bytes)) {
                    warn!("relay: {}", Refused::Month);
                }
                None
            }
        }
    }

    /// The client of a session has been let in by its host; by which way is not known yet.
    pub fn welcomed(&mut self, id: SessionId) {
        match self.get_mut(id) {
            Some(entry) => entry.is_welcome = true,
            None => self.elsewhere.welcomed(id),
        }
    }

    /// The thread that passes packets on is gone, and with it all sessions.
    pub fn fail(&mut self) {
        self.config = None;
        self.tell_ends();
        self.orders.clear();
        self.all.clear();
    }

    /// The numbers of all sessions, with those that have given way while the thread may still have them.
    pub fn ids(&self) -> impl Iterator<Item = SessionId> {
        self.all.iter().map(|(_, entry)| entry.id)
    }

    /// What that thread is to do.
    pub fn take_orders(&mut self) -> impl Iterator<Item = Order> {
        std::mem::take(&mut self.orders).into_iter()
    }

    /// How many sessions there are, with those that have given way while the thread may still have them.
    #[must_use]
    pub fn len(&self) -> usize {
        self.all.len()
    }

    /// Bytes that were passed on since the server was started.
    #[must_use]
    pub const fn passed(&self) -> u64 {
        self.passed.total()
    }

    /// Whether the owner wants a relay, and it has not failed.
    #[must_use]
    pub const fn is_there(&self) -> bool {
        self.config.is_some()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// The session with this number, if it is not over.
    fn get_mut(&mut self, id: SessionId) -> Option<&mut Entry> {
        self.all.get_mut(place_of(id)).filter(|entry| entry.id == id)
    }

    /// The sessions of an address.
    fn at(&self, addr: IpAddr) -> impl Iterator<Item = &Entry> {
        self.all.sides_at(addr..=addr).filter_map(|(place, _)| self.all.get(place))
    }
}

/// The number of a session has the place of it in so many bits.
const PLACE_BITS: u32 = 20;

fn place_of(id: SessionId) -> u32 {
    (id.0 & ((1 << PLACE_BITS) - 1)) as u32
}
