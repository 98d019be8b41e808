//! What the server knows of the NATs that its peers are behind: whether a socket keeps its port
//! whomever it talks to, and if not, which port it gets next. All dialects and STUN show it, and
//! all of them make use of it.
//!
//! # What can be known
//!
//! A port that shows at the main and at the alternate port of the server belongs to one socket
//! whose mapping is endpoint-independent (RFC 4787). Who asks both by STUN and shows two ports has
//! a mapping for each destination: a symmetric NAT. Nothing else tells the two apart, least of all
//! ports that change: several players behind one NAT show several ports as well.
//!
//! If the ports that an address shows from some socket on count up in small equal steps, the NAT
//! allocates them in sequence, and the next one can be told. That is *sure* to be of use only if
//! that socket is known to get a new port for each destination.
//!
//! # Who can have shown it
//!
//! STUN requests can be sent in the name of anybody whose port is known. So what a port shows
//! after others were told of it does not make it symmetric: a wrong port would be told instead of
//! the right one. And who sends them in the name of everybody fills the table: so addresses at which
//! somebody has proven that he hears us are forgotten for others only where they have most of it.

use std::collections::hash_map::Entry;
use std::collections::{HashSet, VecDeque};
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV4};

use serde::{Deserialize, Serialize};
use smallvec::SmallVec;

use crate::clock::Instant;
use crate::hash::{Keyed, Map};
use crate::limits;
use crate::state::packed;

mod sequence;
mod settled;
#[cfg(test)]
mod tests;

use sequence::{Knock, Nat, Prediction, Tick};
use settled::Settled;

/// Ports that are told for one peer at most, nearest first. Each costs the other side packets.
pub const PREDICTED: usize = 4;

/// Next ports, nearest first.
pub type Ports = SmallVec<[u16; PREDICTED]>;

/// What a peer is behind.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub enum Kind {
    /// Not known.
    #[default]
    Unknown,
    /// No NAT: it has the address that the server sees.
    Open,
    /// A NAT with endpoint-independent mapping: one port for all destinations.
    Independent,
    /// A symmetric NAT: another port for each destination.
    Symmetric,
    /// A symmetric NAT whose ports count up or down, so that the next one can be told.
    Sequential,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 5] =
        [Self::Unknown, Self::Open, Self::Independent, Self::Symmetric, Self::Sequential];

    /// What programs call it. These names stay what they are.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Open => "open",
            Self::Independent => "independent",
            Self::Symmetric => "symmetric",
            Self::Sequential => "sequential",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Unknown => "unknown",
            Self::Open => "no NAT",
            Self::Independent => "endpoint-independent",
            Self::Symmetric => "symmetric",
            Self::Sequential => "symmetric, counts",
        })
    }
}

/// How a port of an address was seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seen {
    /// It sent a datagram to the main port.
    Main,
    /// It sent a STUN request to the main port.
    Stun,
    /// It sent a STUN request to the alternate port or address.
    Alternate,
    /// It opened a TCP connection.
    Tcp,
}

/// What there is to say about one endpoint.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct About {
    /// What it is behind.
    pub kind: Kind,
    /// The port that it may have for the next destination, if nobody knows whether it gets another
    /// port for each: good to try in addition.
    pub maybe: Option<u16>,
}

/// The knowledge, and how punches ended.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Nats {
    /// IPv6 has no NATs.
    #[serde(with = "crate::state::by_v4")]
    by_addr: Map<Ipv4Addr, Nat>,
    /// All of them, and when they were put here. Those that something came from since then get
    /// another chance when it is their turn to be forgotten; those that have proven themselves until then
    /// get the last place among their like.
    #[serde(with = "packed")]
    turns: VecDeque<(Ipv4Addr, Tick)>,
    #[serde(with = "packed")]
    proven_turns: VecDeque<(Ipv4Addr, Tick)>,
    /// What was predicted of them; of most nothing ever is.
    #[serde(with = "crate::state::by_v4")]
    predictions: Map<Ipv4Addr, Vec<Prediction>>,
    settled: Settled,
    /// Whether anybody has ever asked the alternate port. Before that no NAT is known to be
    /// symmetric, so nothing can be predicted.
    has_alternate: bool,
    /// Whether anybody has ever shown that it is behind none.
    has_open: bool,
}

/// A place in a line.
impl packed::Row<8> for (Ipv4Addr, Tick) {
    fn pack(&self) -> [u8; 8] {
        let (addr, tick) = self;
        (u64::from(addr.to_bits()) << 32 | u64::from(tick.0)).to_be_bytes()
    }

    fn unpack(row: &[u8; 8]) -> Self {
        let both = u64::from_be_bytes(*row);
        (Ipv4Addr::from_bits((both >> 32) as u32), Tick(both as u32))
    }
}

/// More evidence than this is not counted, so that a NAT that was replaced is noticed.
const CONFIDENT: u8 = 4;

impl Nats {
    /// Goes on with what another process knew.
    pub(crate) fn restore(&mut self, saved: Self) {
        *self = saved;
        self.settled.tidy();
        self.predictions.values_mut().for_each(|known| known.truncate(limits::PREDICTED_PAIRS));
        self.by_addr.values_mut().for_each(Nat::tidy);
        // Who is in no line would never be forgotten.
        let lines = self.turns.iter().chain(&self.proven_turns);
        let lined: HashSet<Ipv4Addr, Keyed> = lines.map(|(addr, _)| *addr).collect();
        let others = self.by_addr.iter().filter(|(addr, _)| !lined.contains(*addr));
        self.turns.extend(others.map(|(addr, nat)| (*addr, nat.last())));
    }

    /// Of how many addresses something is known.
    #[must_use]
    pub fn len(&self) -> usize {
        self.by_addr.len()
    }

    /// Whether nothing is known.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.by_addr.is_empty()
    }

    /// A port of an address was seen. Costs no more memory for an address that is known than
    /// one small allocation, if it shows more ports than most.
    pub fn saw(&mut self, now: Instant, peer: SocketAddr, seen: Seen) {
        let SocketAddr::V4(peer) = peer else { return };
        if peer.port() == 0 {
            return;
        }
        // What a port has shown before it was told stays valid: anybody can send a request in its name.
        let is_symmetric = || self.settled.get(peer).is_some_and(Kind::is_symmetric);
        if seen == Seen::Alternate && is_symmetric() {
            return;
        }
        self.note(now, peer, seen);
    }

    fn note(&mut self, now: Instant, peer: SocketAddrV4, seen: Seen) {
        self.has_alternate |= seen == Seen::Alternate;
        let kept =
            if self.has_alternate { self.settled.counting(*peer.ip()) } else { SmallVec::new() };
        let nat = self.touch(now, *peer.ip());
        nat.is_proven |= seen == Seen::Tcp;
        if let Some(kind) = nat.note(now, peer.port(), seen, &kept) {
            nat.conclude(kind);
        }
    }

    /// Somebody has shown that he hears what is sent to this address.
    pub fn prove(&mut self, addr: IpAddr) {
        let IpAddr::V4(addr) = addr else { return };
        if let Some(nat) = self.by_addr.get_mut(&addr) {
            nat.is_proven = true;
        }
    }

    /// A host at this address is asked over its connection to knock at the alternate port. What has
    /// knocked there before does not count: that was nobody who had been asked.
    pub fn ask_to_knock(&mut self, host: SocketAddr) {
        let SocketAddr::V4(host) = host else { return };
        if let Some(nat) = self.by_addr.get_mut(host.ip()) {
            nat.knock = Knock::Asked;
        }
    }

    /// A peer has knocked at the alternate port, as it was asked to over its connection. A forger of
    /// STUN requests knows the port of a host that everybody uses, but the knocks are the host's own:
    /// a port that shows here as well is not that of a symmetric NAT, whatever was shown before. Unless another one
    /// knocks too, which nobody is told: then that is the host, and a forger has knocked in its name. But a host knocks
    /// as soon as it is asked, and what comes later is nobody who was.
    pub fn saw_knock(&mut self, now: Instant, peer: SocketAddr) {
        let SocketAddr::V4(peer) = peer else { return };
        let is_told = self.settled.get(peer).is_some();
        let Some(nat) = self.by_addr.get_mut(peer.ip()) else { return };
        let tick = Tick::of(now);
        match nat.knock {
            Knock::Unasked => return,
            Knock::Asked if is_told => (nat.knock, nat.came) = (Knock::Came, tick.short()),
            Knock::Came if tick.since_short(nat.came) > limits::KNOCKS_AT_ALTERNATE => {
                nat.knock = Knock::Alone;
                return;
            }
            Knock::Alone => return,
            Knock::Came if is_told => {}
            _ => nat.knock = Knock::Elsewhere,
        }
        if peer.port() != 0 {
            self.note(now, peer, Seen::Alternate);
        }
    }

    /// Whether a host at this address, of which others are told the next port in place of its own,
    /// has knocked at the alternate port since.
    #[must_use]
    pub fn has_knocked(&self, host: SocketAddr) -> bool {
        let SocketAddr::V4(host) = host else { return false };
        let knock = self.by_addr.get(host.ip()).map(|nat| nat.knock);
        knock.is_some_and(|knock| knock.is_from_told() || knock == Knock::Elsewhere)
    }

    /// A peer says which endpoint it has in its own network.
    pub fn saw_local(&mut self, now: Instant, public: SocketAddr, local: SocketAddr) {
        if let SocketAddr::V4(public_v4) = public
            && public == local
        {
            self.has_open = true;
            self.touch(now, *public_v4.ip()).conclude(Kind::Open);
        }
    }

    /// Others are told of an endpoint from now on, which is its peer's: it has proven that, or has a
    /// connection from that address. That it has a symmetric NAT is not believed any more, unless
    /// it has shown that before.
    pub fn settle(&mut self, now: Instant, endpoint: SocketAddr) {
        self.prove(endpoint.ip());
        let SocketAddr::V4(endpoint) = endpoint else { return };
        // What no port has shown at the alternate one is not known of any.
        let shown = if self.has_alternate { self.by_addr.get(endpoint.ip()) } else { None };
        let nat = shown.filter(|nat| nat.is_fresh(now));
        let kind = nat.map(|nat| nat.about(endpoint.port(), false).kind).unwrap_or_default();
        self.settled.settle(endpoint, kind);
    }

    /// What is known of an endpoint.
    #[must_use]
    pub fn about(&self, now: Instant, endpoint: SocketAddr) -> About {
        let SocketAddr::V4(endpoint) = endpoint else { return About::default() };
        let Some(nat) = self.by_addr.get(endpoint.ip()).filter(|nat| nat.is_fresh(now)) else {
            return About::default();
        };
        let settled = if self.has_alternate { self.settled.get(endpoint) } else { None };
        let has_only_knocked = nat.knock.is_from_told();
        let has_counted = settled == Some(Kind::Sequential) && !has_only_knocked;
        let about = nat.about(endpoint.port(), has_counted);
        let about = match about.kind {
            Kind::Unknown if nat.kind == Kind::Unknown => about,
            // What others at its address have shown.
            Kind::Unknown => About { kind: nat.kind.without_sequence(), ..About::default() },
            _ => about,
        };
        if !about.kind.is_symmetric() {
            return about;
        }
        match settled {
            Some(kind) if !kind.is_symmetric() => About { kind, ..about },
            // Where each destination sees another port it would have knocked from one that nobody knows.
            Some(_) if has_only_knocked => About { kind: Kind::Independent, ..about },
            _ => about,
        }
    }

    /// The kind alone.
    #[must_use]
    pub fn kind(&self, now: Instant, endpoint: SocketAddr) -> Kind {
        // Where shipped games are alone nothing shows it, and each introduction asks for several.
        if !self.has_alternate && !self.has_open {
            return Kind::Unknown;
        }
        self.about(now, endpoint).kind
    }

    /// Whether [`Self::next`] may know anything of anybody, so that it is worth asking.
    #[must_use]
    pub fn can_predict(&self) -> bool {
        self.has_alternate
    }

    /// The ports that an endpoint will have towards another that it is introduced to, if they
    /// count, nearest first. It is told of so many `destinations`, the likeliest first, and uses up
    /// a port for each; who asks about the same two again soon gets the same answer.
    #[must_use]
    pub fn next(
        &mut self,
        now: Instant,
        endpoint: SocketAddr,
        towards: SocketAddr,
        destinations: usize,
    ) -> Ports {
        let SocketAddr::V4(endpoint) = endpoint else { return Ports::default() };
        let settled = if self.has_alternate { self.settled.get(endpoint) } else { None };
        if !self.has_alternate || settled.is_some_and(|kind| !kind.is_symmetric()) {
            return Ports::default();
        }
        let is_believed = |nat: &&mut Nat| settled.is_none() || !nat.knock.is_from_told();
        let nat = self.by_addr.get_mut(endpoint.ip()).filter(|nat| nat.is_fresh(now));
        let Some(nat) = nat.filter(is_believed) else { return Ports::default() };
        let endpoint_port = (endpoint.port(), settled == Some(Kind::Sequential));
        let mut predictions = self.predictions.remove(endpoint.ip()).unwrap_or_default();
        let ports = nat.next(now, endpoint_port, towards, destinations, &mut predictions);
        if !predictions.is_empty() {
            self.predictions.insert(*endpoint.ip(), predictions);
        }
        ports
    }
}

impl Kind {
    /// Whether each destination sees another port.
    #[must_use]
    pub fn is_symmetric(self) -> bool {
        matches!(self, Self::Symmetric | Self::Sequential)
    }

    /// For another socket of the same address, whose sequence is not known.
    fn without_sequence(self) -> Self {
        if self == Self::Sequential { Self::Symmetric } else { self }
    }
}

impl Nats {
    /// The entry of an address, which is made if need be; others may have to go for it.
    fn touch(&mut self, time: Instant, addr: Ipv4Addr) -> &mut Nat {
        let now = Tick::of(time);
        for of_proven in [false, true] {
            let line = if of_proven { &self.proven_turns } else { &self.turns };
            if line.front().is_some_and(|(_, at)| now.since(*at) >= limits::NAT_AGE) {
                self.forget_first(now, of_proven, true);
            }
        }
        if self.by_addr.len() >= limits::NATS && !self.by_addr.contains_key(&addr) {
            self.make_room(now);
        }
        match self.by_addr.entry(addr) {
            Entry::Occupied(known) => {
                let nat = known.into_mut();
                if !nat.is_fresh(time) {
                    // It keeps the place that it has.
                    let is_proven = nat.is_proven;
                    *nat = Nat::default();
                    nat.is_proven = is_proven;
                }
                nat
            }
            Entry::Vacant(new) => {
                self.turns.push_back((addr, now));
                new.insert(Nat::default())
            }
        }
    }

    /// Forgets one: of those that have not proven themselves, unless they have less than their part.
    fn make_room(&mut self, now: Tick) {
        /// Who comes when the table is full does not give others more chances than this.
        const CHANCES: u32 = 8;
        let mut chances = CHANCES;
        while self.by_addr.len() >= limits::NATS {
            let of_proven = self.turns.len() < limits::NATS_UNPROVEN;
            chances -= u32::from(self.forget_first(now, of_proven, chances > 0));
        }
    }

    /// Forgets the first in line; or else, if something came from it since it was put there and others
    /// `may_stay`, it goes to the end and has had its chance. (The second-chance algorithm of page caches.) One that has
    /// proven itself meanwhile goes to the line of those that have.
    fn forget_first(&mut self, now: Tick, of_proven: bool, may_stay: bool) -> bool {
        let line = if of_proven { &mut self.proven_turns } else { &mut self.turns };
        let Some((addr, at)) = line.pop_front() else { return false };
        let nat = self.by_addr.get(&addr);
        let nat = nat.filter(|nat| now.since(nat.last()) < limits::NAT_AGE);
        let Some((last, is_proven)) = nat.map(|nat| (nat.last(), nat.is_proven)) else {
            self.forget(addr);
            return false;
        };
        let was_heard = may_stay && last > at;
        if is_proven && !of_proven {
            self.proven_turns.push_back((addr, last));
            return false;
        }
        if was_heard {
            let line = if of_proven { &mut self.proven_turns } else { &mut self.turns };
            line.push_back((addr, last));
        } else {
            self.forget(addr);
        }
        was_heard
    }

    fn forget(&mut self, addr: Ipv4Addr) {
        self.by_addr.remove(&addr);
        self.predictions.remove(&addr);
    }
}

impl Nat {
    fn is_fresh(&self, now: Instant) -> bool {
        Tick::of(now).since(self.last()) < limits::NAT_AGE
    }

    fn conclude(&mut self, kind: Kind) {
        let kind = kind.without_sequence();
        if self.kind == kind {
            self.confidence = CONFIDENT.min(self.confidence + 1);
        } else if self.confidence > 1 {
            self.confidence -= 1;
        } else {
            self.kind = kind;
            self.confidence = 1;
        }
    }
}
