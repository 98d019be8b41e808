//! The whole server but for its sockets: who is let in, which dialect a packet speaks, and who has
//! to go when there is no room. It is used as a [`Dialect`] is, but lends what dialects share itself, so
//! that the event loop and a simulated network drive it in the same way.

use std::borrow::Cow;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use log::{debug, error, warn};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

use crate::clock::{Instant, Now, earliest};
use crate::dialect::contained::{Contained, Make};
use crate::dialect::events::{self, Events};
use crate::dialect::gmnet::{self, Gmnet};
use crate::dialect::natpunch::{self, Natpunch};
use crate::dialect::rooms::{self, Rooms};
use crate::dialect::stun::{self, Stun};
use crate::dialect::{
    ConnId, Context, Dialect, Name, Outbox, Reads, Shared, Stream, Use, Via, of_datagram,
};
use crate::introductions::PublicIps;
use crate::introductions::journal::Journal;
use crate::introductions::relay::{Order, Report, sessions};
use crate::limits::{self, Limits};
use crate::nats::Seen;
use crate::openings::Openings;
use crate::places::{Conn, Places};
use crate::rates::Rates;
use crate::timers::{Seldom, Timers};

/// What the owner decides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// What peers may do.
    pub limits: Limits,
    /// What is spoken.
    pub dialects: Vec<Name>,
    /// What all IDs, keys and tokens come from. Must be random and secret, except in tests.
    pub seed: [u8; 32],
    /// What the GMnet dialect has to know.
    pub gmnet: gmnet::Config,
    /// What the natpunch dialect has to know.
    pub natpunch: natpunch::Config,
    /// What the STUN dialect has to know.
    pub stun: stun::Config,
    /// UDP sockets from this number on are alternate ones: they are there for STUN alone.
    pub alternates_from: Option<u8>,
    /// What the rooms dialect has to know.
    pub rooms: rooms::Config,
    /// What the events dialect has to know.
    pub events: events::Config,
    /// The relay, if there is one.
    pub relay: Option<sessions::Config>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            limits: Limits::default(),
            dialects: Name::ALL.to_vec(),
            seed: [0; 32],
            gmnet: gmnet::Config::default(),
            natpunch: natpunch::Config::default(),
            stun: stun::Config::default(),
            alternates_from: None,
            rooms: rooms::Config::default(),
            events: events::Config::default(),
            relay: None,
        }
    }
}

/// Those that are spoken, by their [`Name`].
#[derive(Debug, Default)]
struct Dialects([Option<Box<Contained>>; Name::ALL.len()]);

impl Dialects {
    fn get(&self, name: Name) -> Option<&Contained> {
        self.0.get(name as usize)?.as_deref()
    }

    fn get_mut(&mut self, name: Name) -> Option<&mut Contained> {
        self.0.get_mut(name as usize)?.as_deref_mut()
    }

    fn all(&self) -> impl Iterator<Item = &Contained> {
        self.0.iter().flatten().map(|dialect| &**dialect)
    }

    fn all_mut(&mut self) -> impl Iterator<Item = &mut Contained> {
        self.0.iter_mut().flatten().map(|dialect| &mut **dialect)
    }
}

/// All dialects, behind one door.
#[derive(Debug)]
pub struct Server {
    limits: Limits,
    dialects: Dialects,
    places: Places,
    /// Those that have not said what they speak.
    openings: Openings,
    /// Connections that may be idle, those that were looked at longest ago first.
    idle: Timers<ConnId>,
    datagrams: Rates,
    /// The same for known endpoints whose address sends too many.
    endpoints: Rates,
    /// More datagrams come than there is time for.
    is_busy: bool,
    /// For how long there was no pause.
    behind: Duration,
    /// What dialects know of how many customers have something to be read.
    ready: usize,
    full: Seldom,
    crowded: Seldom,
    flooded: Seldom,
    alternates_from: Option<u8>,
    alternate_addr: Option<IpAddr>,
    shared: Shared,
}

impl Server {
    /// A server that nobody has talked to yet.
    #[must_use]
    pub fn new(config: Config) -> Self {
        let make = |name: &Name| (*name, maker(*name, &config));
        Self::speaking(&config, config.dialects.iter().map(make).collect())
    }

    /// A server that speaks these dialects.
    pub(crate) fn speaking(config: &Config, makers: Vec<(Name, Make)>) -> Self {
        let limits = config.limits;
        let alternate_addr = config.stun.alternate_addr;
        let mut dialects = Dialects::default();
        let mut random = StdRng::from_seed(config.seed);
        for (name, make) in makers {
            let random = StdRng::from_seed(random.random());
            if let Some(place) = dialects.0.get_mut(name as usize) {
                *place = Some(Box::new(Contained::new(make, random)));
            }
        }
        Self {
            limits,
            dialects,
            places: Places::new(StdRng::from_seed(random.random())),
            openings: Openings::default(),
            idle: Timers::new(limits::IDLE),
            datagrams: Rates::new(limits.datagrams_per_second, 2),
            endpoints: Rates::new(limits.datagrams_per_second, 2),
            is_busy: false,
            behind: Duration::ZERO,
            ready: 0,
            full: Seldom::default(),
            crowded: Seldom::default(),
            flooded: Seldom::default(),
            alternates_from: config.alternates_from,
            alternate_addr,
            shared: Shared {
                relay: sessions::Sessions::new(config.relay.clone()).with_secret(random.random()),
                ..Shared::default()
            },
        }
    }

    /// How introductions ended.
    #[must_use]
    pub fn journal(&self) -> &Journal {
        &self.shared.journal
    }

    /// The sessions of the relay.
    #[must_use]
    pub fn relay(&self) -> &sessions::Sessions {
        &self.shared.relay
    }

    /// What the relay's thread is to do: sessions that are new, and those that give way to them.
    pub fn new_sessions(&mut self) -> impl Iterator<Item = Order> {
        self.shared.relay.take_orders()
    }

    /// The relay's thread tells something.
    pub fn on_report(&mut self, now: Now, report: Report) {
        if let Some((attempt, way)) = self.shared.relay.note(now, report) {
            self.shared.journal.note(now, &self.shared.nats, &attempt, way);
        }
    }

    /// The relay's thread is gone.
    pub fn on_relay_gone(&mut self) {
        self.shared.relay.fail();
    }

    /// How many connections the customer with this address has.
    fn held(&self, addr: IpAddr) -> usize {
        let [.., held] = self.shared.unproven.connections.of(addr);
        held as usize
    }

    /// Whether a datagram was sent to the alternate port or address.
    fn is_alternate(&self, via: Via) -> bool {
        self.alternates_from.is_some_and(|from| via.socket >= from)
            || (via.local.is_some() && via.local == self.alternate_addr)
    }

    /// Whether a datagram is heard although too many come from its address: while there is time,
    /// or if its very endpoint is known and does not send too many.
    fn is_worth(&mut self, now: Instant, name: Name, peer: SocketAddr) -> bool {
        let knows = |dialect: &Contained| dialect.knows(peer);
        !self.is_busy
            || self.dialects.get(name).is_some_and(knows) && self.endpoints.allow_source(now, peer)
    }

    /// Lets the dialect of a connection do something, if it has one.
    fn with_dialect_of(
        &mut self,
        now: Now,
        conn: ConnId,
        out: &mut Outbox,
        act: impl FnOnce(&mut dyn Dialect, &mut Context<'_>),
    ) {
        if let Some(name) = self.places.get(conn).and_then(|conn| conn.speaks) {
            self.with(now, name, out, act);
        }
    }

    /// Lets a dialect do something, if it is spoken.
    fn with(
        &mut self,
        now: Now,
        name: Name,
        out: &mut Outbox,
        act: impl FnOnce(&mut dyn Dialect, &mut Context<'_>),
    ) {
        let Some(dialect) = self.dialects.get_mut(name) else { return };
        let before = out.len();
        act(dialect, &mut Context { now, out, shared: &mut self.shared });
        self.forget_closed(before, out);
    }

    /// Closes the connections of dialects that have failed.
    fn end_failed(&mut self, now: Now, out: &mut Outbox) {
        for name in Name::ALL {
            let dialect = self.dialects.get_mut(name);
            if !dialect.is_some_and(|dialect| dialect.take_failure(now.instant)) {
                continue;
            }
            let speaks = |(id, conn): (ConnId, &Conn)| (conn.speaks == Some(name)).then_some(id);
            let closed: Vec<ConnId> = self.places.iter().filter_map(speaks).collect();
            error!(
                "the dialect {name} has failed and begins anew, without its peers ({} connections); \
                 please report this, with the line above that begins with \"bug\"",
                closed.len()
            );
            for id in closed {
                self.forget(id);
                out.close(id);
            }
        }
    }

    /// Lets all dialects do something.
    fn with_all(
        &mut self,
        now: Now,
        out: &mut Outbox,
        act: impl Fn(&mut dyn Dialect, &mut Context<'_>),
    ) {
        let before = out.len();
        for dialect in self.dialects.all_mut() {
            act(dialect, &mut Context { now, out, shared: &mut self.shared });
        }
        self.forget_closed(before, out);
    }

    /// A peer has connected, whose first packet came at `began`, a round trip before: about when
    /// its UDP packets came that it sent just before. That is only asked where it matters, as it costs
    /// the loop a system call.
    pub fn on_accept(
        &mut self,
        now: Now,
        began: impl FnOnce() -> Instant,
        conn: ConnId,
        peer: SocketAddr,
        out: &mut Outbox,
    ) {
        let most = self.limits.connections_per_address;
        if self.held(peer.ip()) >= most {
            let dialects = &self.dialects;
            let use_of = |id, conn: &Conn| use_of(dialects, id, conn);
            let shares = &mut self.shared.unproven.connections;
            let Some(idle) = self.places.idle_of(shares, now.instant, peer.ip(), use_of) else {
                match self.crowded.say(now.instant) {
                    Some(before) => warn!(
                        "{} refused: its address has {most} connections already{before}; allow \
                         more with --max-per-address",
                        peer.ip()
                    ),
                    None => debug!("{peer} refused: its address has {most} connections already"),
                }
                out.close(conn);
                return;
            };
            self.end_idle(now, idle, out);
        }
        // No other dialect has datagrams that belong to connections.
        let gmnet = self.dialects.get(Name::Gmnet);
        let since = now.instant.before(limits::SURE.max(self.behind));
        let told = gmnet.and_then(|gmnet| gmnet.began_with(since, peer.ip()));
        let began = told.unwrap_or_else(|| if gmnet.is_some() { began() } else { now.instant });
        self.shared.nats.saw(now.instant, peer, Seen::Tcp);
        self.shared.unproven.connected(peer.ip());
        self.places.add(&mut self.shared.unproven.connections, began, conn, peer);
        self.idle.arm(now.instant, conn);
    }

    /// There is no room for a new connection of this address: which one is to be closed for it,
    /// if any gives way (see [`Places`]).
    pub fn who_gives_way(&mut self, now: Now, wants: IpAddr) -> Option<ConnId> {
        let Limits { connections, connections_per_address, hosts_per_address, .. } = self.limits;
        let dialects = &self.dialects;
        let use_of = |id, conn: &Conn| use_of(dialects, id, conn);
        let held = self.held(wants);
        let shares = &mut self.shared.unproven.connections;
        let closed = if held < connections_per_address {
            let large = limits::large_share(connections).max(hosts_per_address);
            let large = u32::try_from(large).unwrap_or(u32::MAX);
            self.places.who_gives_way(shares, now.instant, wants, large, use_of)
        } else {
            self.places.idle_of(shares, now.instant, wants, use_of)
        };
        if let Some(before) = self.full.say(now.instant) {
            let what = if closed.is_some() { "others are closed" } else { "new ones are refused" };
            warn!(
                "no room for more connections, {what}{before}; allow more with --max-connections \
                 and the limit of open files"
            );
        }
        if let Some((id, conn)) = closed.and_then(|id| Some((id, self.places.get(id)?))) {
            debug!("{} closed: there is no room for {wants}", conn.peer());
            if let Some(dialect) = conn.speaks.and_then(|name| self.dialects.get_mut(name)) {
                dialect.on_eviction(id);
            }
        }
        closed
    }

    /// Whether more datagrams come than there is time for. Only then those of an address that
    /// sends too many are dropped: its true owner may be somebody else than who sends them.
    pub fn note_busy(&mut self, is_busy: bool) {
        self.is_busy = is_busy;
    }

    /// There has been something to do without a pause for so long. What came in that time may have
    /// waited together for its turn, so that nothing is known of when it was sent.
    pub fn note_behind(&mut self, behind: Duration) {
        self.behind = behind.min(limits::OVERTAKEN);
    }

    /// Closes connections that have been of no use for too long.
    fn end_idle_ones(&mut self, now: Now, out: &mut Outbox) {
        while let Some(conn) = self.idle.pop_due(now.instant) {
            match self.use_of(conn) {
                Use::Lasting => {}
                Use::Idle(since) if now.instant - since >= limits::IDLE => {
                    self.end_idle(now, conn, out);
                }
                Use::Idle(_) | Use::Waiting => self.idle.arm(now.instant, conn),
            }
        }
    }

    fn end_idle(&mut self, now: Now, conn: ConnId, out: &mut Outbox) {
        if let Some(peer) = self.places.get(conn).map(Conn::peer) {
            debug!("{peer} closed: idle");
        }
        self.with_dialect_of(now, conn, out, |dialect, cx| {
            dialect.on_eviction(conn);
            dialect.on_gone(cx, conn);
        });
        self.forget(conn);
        out.close(conn);
    }

    /// Counts a connection no more.
    fn forget(&mut self, conn: ConnId) {
        self.idle.cancel(&conn);
        self.openings.forget(conn);
        self.places.remove(&mut self.shared.unproven.connections, conn);
    }

    /// Counts the connections no more that a dialect has closed since `before`.
    fn forget_closed(&mut self, before: usize, out: &Outbox) {
        for conn in out.closed_since(before) {
            self.forget(conn);
        }
    }
}

impl Server {
    /// Bytes arrived, cut as it pleased the network.
    pub fn on_bytes(&mut self, now: Now, id: ConnId, bytes: &[u8], out: &mut Outbox) {
        let Some(conn) = self.places.get(id).filter(|_| !bytes.is_empty()) else { return };
        let bytes = if conn.speaks.is_some() {
            Cow::Borrowed(bytes)
        } else {
            let (told, all) = self.openings.read(id, bytes);
            if !self.begin(now, id, told, out) {
                return;
            }
            all
        };
        let mut use_of = Use::Waiting;
        self.with_dialect_of(now, id, out, |dialect, cx| {
            dialect.on_bytes(cx, id, &bytes);
            use_of = dialect.use_of(id);
        });
        if self.places.get(id).is_none() {
            return;
        }
        match use_of {
            Use::Lasting => self.idle.cancel(&id),
            Use::Idle(_) if !self.idle.is_armed(&id) => self.idle.arm(now.instant, id),
            Use::Idle(_) | Use::Waiting => {}
        }
    }

    /// A connection begins to speak. False: it is not known what, or it has ended.
    fn begin(&mut self, now: Now, id: ConnId, told: Stream, out: &mut Outbox) -> bool {
        let Some(conn) = self.places.get_mut(id) else { return false };
        let peer = conn.peer();
        let name = match told {
            Stream::Untold => return false,
            Stream::Of(name) => name,
            Stream::Odd(odd) => {
                self.openings.tell(now.instant, peer.ip(), odd.what);
                if odd.has_event && self.dialects.get(Name::Events).is_some() {
                    out.tcp(id, |bytes| events::write_odd(bytes, odd.what));
                    self.forget(id);
                    out.close(id);
                    return false;
                }
                Name::Gmnet
            }
        };
        let opened = Now { instant: conn.opened, unix: now.unix };
        conn.speaks = Some(name);
        let dialect = self.dialects.get_mut(name);
        let Some(dialect) = dialect.filter(|dialect| dialect.speaks()) else {
            debug!("{peer} closed: it speaks the dialect {name}, which is not spoken here");
            self.forget(id);
            out.close(id);
            return false;
        };
        let shared = &mut self.shared;
        dialect.on_open(&mut Context { now: opened, out, shared }, id, peer);
        true
    }

    /// The peer will send nothing more, but may still read.
    pub fn on_fin(&mut self, now: Now, id: ConnId, out: &mut Outbox) {
        let Some(conn) = self.places.get(id) else { return };
        if conn.speaks.is_none() {
            self.forget(id);
            out.close(id);
            return;
        }
        self.with_dialect_of(now, id, out, |dialect, cx| dialect.on_fin(cx, id));
        // Whatever it stood for, it does not any more.
        if self.places.get(id).is_some() {
            self.idle.arm(now.instant, id);
        }
    }

    /// The connection is gone, nothing can be sent on it any more.
    pub fn on_gone(&mut self, now: Now, conn: ConnId, out: &mut Outbox) {
        self.with_dialect_of(now, conn, out, |dialect, cx| dialect.on_gone(cx, conn));
        self.forget(conn);
    }

    /// Of how many customers connections have something to read, told before they are served.
    pub fn note_ready(&mut self, customers: usize) {
        // So few make no difference, and they come and go all the time.
        let customers = if customers < limits::ROUND * limits::SLICES { 0 } else { customers };
        if std::mem::replace(&mut self.ready, customers) != customers {
            self.dialects.all_mut().for_each(|dialect| dialect.note_ready(customers));
        }
    }

    /// When more is to be read from a connection.
    #[must_use]
    pub fn reads(&self, id: ConnId) -> Reads {
        let speaks = self.places.get(id).and_then(|conn| conn.speaks);
        let dialect = speaks.and_then(|name| self.dialects.get(name));
        dialect.map_or(Reads::Now, |dialect| dialect.reads(id))
    }

    /// How many bytes that were written to a connection wait for its peer to read; told whenever that
    /// changes from or to some.
    pub fn on_unread(&mut self, id: ConnId, bytes: usize) {
        let speaks = self.places.get(id).and_then(|conn| conn.speaks);
        if let Some(dialect) = speaks.and_then(|name| self.dialects.get_mut(name)) {
            dialect.on_unread(id, bytes);
        }
    }

    /// A datagram arrived.
    pub fn on_datagram(
        &mut self,
        now: Now,
        via: Via,
        peer: SocketAddr,
        data: &[u8],
        out: &mut Outbox,
    ) {
        let name = of_datagram(data);
        if !self.datagrams.allow(now.instant, peer.ip()) && !self.is_worth(now.instant, name, peer)
        {
            if let Some(before) = self.flooded.say(now.instant) {
                let from = peer.ip();
                warn!("datagrams from {from} are dropped, there are too many{before}");
            }
            return;
        }
        if name != Name::Stun && self.alternates_from.is_some_and(|from| via.socket >= from) {
            if name == Name::Gmnet {
                self.shared.nats.saw_knock(now.instant, peer);
            }
            return;
        }
        let seen = match name {
            Name::Stun if self.is_alternate(via) => Seen::Alternate,
            Name::Stun => Seen::Stun,
            _ => Seen::Main,
        };
        self.shared.nats.saw(now.instant, peer, seen);
        self.with(now, name, out, |dialect, cx| dialect.on_datagram(cx, via, peer, data));
    }

    /// The time that [`Self::next_wakeup`] asked for has come (or not yet: then nothing is to be done).
    pub fn on_wakeup(&mut self, now: Now, out: &mut Outbox) {
        self.end_failed(now, out);
        self.end_idle_ones(now, out);
        self.with_all(now, out, |dialect, cx| dialect.on_wakeup(cx));
    }

    /// When something has to be done even if nothing arrives.
    #[must_use]
    pub fn next_wakeup(&self) -> Option<Instant> {
        let dialects = self.dialects.0.each_ref();
        let dialects = dialects.map(|dialect| dialect.as_ref().and_then(|d| d.next_wakeup()));
        earliest([self.idle.next(), earliest(dialects)])
    }

    /// The server is about to stop: answer now what would otherwise have been waited for.
    pub fn on_shutdown(&mut self, now: Now, out: &mut Outbox) {
        self.with_all(now, out, |dialect, cx| dialect.on_shutdown(cx));
    }

    /// Whether a peer is still owed something that a timer will send.
    #[must_use]
    pub fn owes(&self) -> bool {
        self.dialects.all().any(|dialect| dialect.owes())
    }

    /// What a connection is good for.
    #[must_use]
    pub fn use_of(&self, id: ConnId) -> Use {
        self.places
            .get(id)
            .map_or_else(|| Use::Idle(Instant::default()), |conn| use_of(&self.dialects, id, conn))
    }
}

/// Whether anybody would miss this connection.
fn use_of(dialects: &Dialects, id: ConnId, conn: &Conn) -> Use {
    match conn.speaks.and_then(|name| dialects.get(name)) {
        Some(dialect) => dialect.use_of(id),
        None => Use::Idle(conn.opened),
    }
}

/// What makes a dialect, now and after it has failed.
fn maker(name: Name, config: &Config) -> Make {
    match name {
        Name::Gmnet => {
            let apart = config.relay.as_ref().filter(|relay| relay.is_apart);
            let relay = apart.map_or(PublicIps::default(), |relay| relay.told);
            let config = gmnet::Config { relay, ..config.gmnet.clone() };
            Box::new(move |_| Box::new(Gmnet::new(config.clone())))
        }
        Name::Stun => {
            let config = config.stun.clone();
            Box::new(move |_| Box::new(Stun::new(config.clone())))
        }
        Name::Rooms => {
            let config = config.rooms.clone();
            Box::new(move |random| Box::new(Rooms::new(config.clone(), random)))
        }
        Name::Events => {
            let config = config.events.clone();
            Box::new(move |random| Box::new(Events::new(config.clone(), random)))
        }
        Name::Natpunch => {
            let config = config.natpunch.clone();
            Box::new(move |random| Box::new(Natpunch::new(config.clone(), random)))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dialect::Output;
    use crate::dialect::natpunch::message::{
        Content, CreateLobbyRequest, LobbyListRequest, Message, RegisterRequest,
    };
    use prost::Message as _;

    fn peer(n: u16) -> SocketAddr {
        let [high, low] = n.to_be_bytes();
        SocketAddr::from(([198, 51, high, low], 40_000))
    }

    /// The datagrams that go back to a peer for one from it.
    fn returned(server: &mut Server, from: SocketAddr, data: &[u8]) -> Vec<Vec<u8>> {
        let now = Now { instant: Instant::from_micros(60_000_000), unix: 0 };
        let mut out = Outbox::new();
        server.on_datagram(now, Via::default(), from, data, &mut out);
        let back = out.outputs().filter_map(|output| match output {
            Output::Udp(_, to, bytes) => (to == from).then(|| bytes.to_vec()),
            _ => None,
        });
        back.collect()
    }

    fn wire_size(datagrams: &[Vec<u8>]) -> usize {
        datagrams.iter().map(|datagram| datagram.len() + 28).sum()
    }

    fn natpunch(content: Content) -> Vec<u8> {
        Message { content: Some(content) }.encode_to_vec()
    }

    #[test]
    fn it_is_asked_when_a_connection_began_unless_one_datagram_has_just_come() {
        let at = |ms: u64| Now { instant: Instant::from_micros(1_000_000 + 1000 * ms), unix: 0 };
        let asks = |behind: u64, sent: &[(u64, u16)], comes: u64| {
            let (mut server, mut out) = (Server::new(Config::default()), Outbox::new());
            server.note_behind(Duration::from_millis(behind));
            for (ms, port) in sent {
                let from = SocketAddr::new(peer(1).ip(), *port);
                server.on_datagram(at(*ms), Via::default(), from, b"connect\n", &mut out);
            }
            let mut asked = false;
            let began = || {
                asked = true;
                at(0).instant
            };
            let conn = ConnId { slot: 0, generation: 1 };
            server.on_accept(at(comes), began, conn, peer(1), &mut out);
            asked
        };
        assert!(!asks(0, &[(100, 1)], 100) && !asks(0, &[(100, 1)], 105));
        assert!(asks(0, &[], 100), "it may still come");
        assert!(asks(0, &[(100, 1)], 106), "it may be that of another connection");
        assert!(asks(0, &[(100, 1), (100, 2)], 100), "it may be either");
        assert!(!asks(50, &[(100, 1)], 150), "both have waited: the round trip tells nothing");
        assert!(asks(50, &[(100, 1)], 151), "it had come before");
        assert!(asks(50, &[(100, 1), (110, 2)], 150), "it may be either");
        assert!(asks(10_000, &[(100, 1)], 201), "it has not waited for so long");
    }

    #[test]
    fn all_dialects_together_do_not_amplify() {
        let mut server = Server::new(Config::default());
        for n in 0..20 {
            let name = "x".repeat(60);
            assert_eq!(returned(&mut server, peer(n), format!("rh:{name}").as_bytes()).len(), 2);
            let register = natpunch(Content::RegisterRequest(RegisterRequest::default()));
            let [answer] = &returned(&mut server, peer(n), &register)[..] else { panic!() };
            let Some(Content::RegisterResponse(me)) = Message::decode(&answer[..]).unwrap().content
            else {
                panic!("{answer:?}")
            };
            let (client_id, lobby_name, max_players) = (me.client_id, name, 8);
            let create = CreateLobbyRequest { client_id, lobby_name, max_players };
            let create = natpunch(Content::CreateLobbyRequest(create));
            assert_eq!(returned(&mut server, peer(n), &create).len(), 1);
        }
        let victim = peer(1000);
        let list = natpunch(Content::LobbyListRequest(LobbyListRequest::default()));
        let (mut received, mut sent) = (0, 0);
        for request in [&b"rl"[..], b"rl:0123456789abcdef", &list, b"status", b"ka"].repeat(20) {
            received += request.len() + 28;
            sent += wire_size(&returned(&mut server, victim, request));
            assert!(sent <= 3 * received, "{sent} for {received}");
        }
        assert!(sent > received);
    }
}
