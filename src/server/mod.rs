//! The whole server but for its sockets: who is let in, which dialect a packet speaks, and who has
//! to go when there is no room. It is used as a [`Dialect`] is, but lends what dialects share itself, so
//! that the event loop and a simulated network drive it in the same way.

mod answers;
mod blocking;
mod cluster;
mod config;
mod connections;
mod gateway;
mod handover;
mod public;
#[cfg(test)]
mod tests;
pub mod window;

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use log::{error, warn};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

use self::blocking::Blocking;
use self::config::{Dialects, maker};
use self::gateway::Gateway;
use self::public::Public;
use self::window::Window;
use crate::admission::{Admission, Lists};
use crate::clock::{Instant, Now, earliest};
use crate::cluster::Cluster;
use crate::connection_table::{Conn, ConnectionTable};
use crate::detection::Detection;
use crate::dialect::supervised::{Make, Supervised};
use crate::dialect::{
    ConnId, Context, Dialect, Keeping, Name, Outbox, Shared, Shows as _, Via, of_datagram,
};
use crate::introductions::journal::Journal;
use crate::introductions::relay::{Order, Report, sessions};
use crate::limits::{self, Limits};
use crate::nats::Seen;
use crate::rates::Rates;
use crate::refusals::{Reason, Refusals};
use crate::timers::{AddressLogThrottle, LogThrottle, Timers};

pub use self::config::Config;
pub use self::handover::State;
pub use crate::state::NotUnderstood;
pub use crate::state::{Part, Parts, Written};

/// All dialects, on one port.
#[derive(Debug)]
pub struct Server {
    limits: Limits,
    dialects: Dialects,
    connections: ConnectionTable,
    /// Those that have not said what they speak.
    detection: Detection,
    /// Connections that may be idle, those that were looked at longest ago first.
    idle: Timers<ConnId>,
    datagrams: Rates,
    /// The same for known endpoints whose address sends too many.
    endpoints: Rates,
    /// More datagrams come than there is time for.
    is_busy: bool,
    /// For how long there was no pause.
    behind: Duration,
    gateway: Gateway,
    /// What dialects know of how many sources have something to be read.
    ready: usize,
    full: LogThrottle,
    crowded: AddressLogThrottle,
    flooded: LogThrottle,
    /// Whose datagrams are of a dialect that is not spoken.
    unspoken: LogThrottle,
    blocking: Blocking,
    admission: Admission,
    alternates_from: Option<u8>,
    alternate_addr: Option<IpAddr>,
    shared: Shared,
    /// Where the owner looks in.
    window: Option<Box<Window>>,
    /// The lobby for web sites.
    public: Option<Box<Public>>,
    /// The other nodes, if this is one of a cluster.
    cluster: Option<Box<Cluster>>,
    /// What another node says of relays is not understood.
    odd_relay: LogThrottle,
    is_stopping: bool,
    has_lost_relay: bool,
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
                *place = Some(Box::new(Supervised::new(make, random)));
            }
        }
        Self {
            limits,
            dialects,
            connections: ConnectionTable::new(StdRng::from_seed(random.random())),
            detection: Detection::default(),
            idle: Timers::new(limits::IDLE),
            datagrams: Rates::new(limits.datagrams_per_second, 2),
            endpoints: Rates::new(limits.datagrams_per_second, 2),
            is_busy: false,
            behind: Duration::ZERO,
            gateway: Gateway::default(),
            ready: 0,
            full: LogThrottle::default(),
            crowded: AddressLogThrottle::default(),
            flooded: LogThrottle::default(),
            unspoken: LogThrottle::default(),
            blocking: Blocking::new(config.blocks.clone()),
            admission: config.gmnet.admission.clone(),
            alternates_from: config.alternates_from,
            alternate_addr,
            shared: Shared {
                relay: sessions::Sessions::new(config.relay.clone()).with_secret(random.random()),
                ..Shared::default()
            },
            window: None,
            cluster: config.cluster.clone().map(|config| Box::new(Cluster::new(config))),
            public: config.public_lobby.then(|| Box::new(Public::new(config))),
            odd_relay: LogThrottle::default(),
            is_stopping: false,
            has_lost_relay: false,
        }
    }

    /// The owner admits these from now on. Who is there already may stay.
    pub fn admit(&mut self, lists: Lists) {
        self.admission.replace(lists);
    }

    /// How introductions ended.
    #[must_use]
    pub fn journal(&self) -> &Journal {
        &self.shared.journal
    }

    /// What was refused.
    #[must_use]
    pub fn refusals(&self) -> &Refusals {
        &self.shared.refusals
    }

    /// Something was refused before any dialect had to do with it.
    pub fn refused(&mut self, now: Now, reason: Reason, addr: IpAddr) {
        self.shared.refusals.note(now, None, reason, addr);
    }

    /// For the owner: how introductions ended, and what was refused.
    #[must_use]
    pub fn lines(&self, now: Now) -> Vec<String> {
        let mut lines = self.shared.journal.lines();
        lines.extend(self.shared.refusals.lines(now));
        lines
    }

    /// What all dialects keep of peers, as [`Shows::kept`] has it, for who wants to see that nothing is left of those who
    /// are gone.
    pub fn kept(&self, each: &mut Keeping<'_>) {
        self.dialects.all().for_each(|dialect| dialect.kept(each));
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
            self.shared.journal.note(now, &self.shared.nats, attempt, way);
        }
    }

    /// The relay's thread is gone.
    pub fn on_relay_gone(&mut self) {
        self.shared.relay.fail();
        self.has_lost_relay = true;
    }

    /// How many connections the source with this address has.
    fn held(&self, addr: IpAddr) -> usize {
        let [.., held] = self.shared.unproven.connections.of(addr);
        held as usize
    }

    /// Whether a datagram was sent to the alternate port, which is there for STUN alone.
    fn is_of_stun(&self, via: Via) -> bool {
        self.alternates_from.is_some_and(|from| via.socket >= from)
    }

    /// Whether a datagram was sent to the alternate port or address.
    fn is_alternate(&self, via: Via) -> bool {
        self.is_of_stun(via) || (via.local.is_some() && via.local == self.alternate_addr)
    }

    /// Whether a datagram is heard although too many come from its address: while there is time,
    /// or if its very endpoint is known and does not send too many.
    fn is_worth(&mut self, now: Instant, name: Name, peer: SocketAddr) -> bool {
        let knows = |dialect: &Supervised| dialect.knows(peer);
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
        if let Some(name) = self.connections.get(conn).and_then(|conn| conn.speaks) {
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
        self.post_since(now, before, out);
    }

    /// Closes the connections of dialects that have failed.
    fn end_failed(&mut self, now: Now, out: &mut Outbox) {
        for name in Name::ALL {
            let dialect = self.dialects.get_mut(name);
            if !dialect.is_some_and(|dialect| dialect.take_failure(now.instant)) {
                continue;
            }
            let speaks = |(id, conn): (ConnId, &Conn)| (conn.speaks == Some(name)).then_some(id);
            let closed: Vec<ConnId> = self.connections.iter().filter_map(speaks).collect();
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
        self.post_since(now, before, out);
    }

    /// Whether more datagrams come than there is time for. Only then those of an address that
    /// sends too many are dropped: its true owner may be somebody else than who sends them.
    pub fn note_busy(&mut self, is_busy: bool) {
        self.is_busy = is_busy;
    }

    /// There has been something to do without a pause for so long. What came in that time may have
    /// waited together for its turn, so that nothing is known of when it was sent.
    pub fn note_behind(&mut self, behind: Duration) {
        self.behind = behind.min(limits::BELONGS);
    }

    /// So long the datagrams that are told of from now on have waited in the kernel.
    pub fn note_waited(&mut self, waited: Duration) {
        self.shared.waited = waited;
    }
}

impl Server {
    /// A datagram arrived.
    pub fn on_datagram(
        &mut self,
        now: Now,
        via: Via,
        peer: SocketAddr,
        data: &[u8],
        out: &mut Outbox,
    ) {
        // Nobody is there, so it is forged, and nobody can be told of it.
        if peer.port() == 0 {
            return;
        }
        // Where games play another port may be closed than where STUN answers besides.
        if !self.is_of_stun(via) {
            self.shared.diagnostics.udp_came();
        }
        if self.is_blocked(now, peer.ip()) {
            return;
        }
        let name = of_datagram(data);
        if !self.datagrams.allow(now.instant, peer.ip()) && !self.is_worth(now.instant, name, peer)
        {
            self.shared.refusals.note(now, Some(name), Reason::Datagrams, peer.ip());
            if let Some(before) = self.flooded.say(now.instant) {
                let from = peer.ip();
                warn!(
                    event = "refused", address:% = from, reason = Reason::Datagrams.name();
                    "datagrams from {from} are dropped, there are too many{before}; allow more with \
                     --max-datagrams"
                );
            }
            return;
        }
        if name != Name::Stun && self.is_of_stun(via) {
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
        if self.dialects.get(name).is_none() {
            self.shared.refusals.note(now, Some(name), Reason::NotSpoken, peer.ip());
            // Anybody can forge such datagrams in the name of others.
            if self.unspoken.say(now.instant).is_some() {
                let what = format_args!("it speaks {name}, which --dialects leaves out");
                self.detection.log_once(now.instant, peer.ip(), what);
            }
            return;
        }
        let before = out.len();
        self.with(now, name, out, |dialect, cx| dialect.on_datagram(cx, via, peer, data));
        let came = now.instant.before(self.shared.waited);
        self.note_answer(name, Some(came), out.len() > before);
    }

    /// The time that [`Self::next_wakeup`] asked for has come (or not yet: then nothing is to be done).
    pub fn on_wakeup(&mut self, now: Now, out: &mut Outbox) {
        self.end_failed(now, out);
        self.end_blocked(now, out);
        self.end_idle_ones(now, out);
        self.with_all(now, out, |dialect, cx| dialect.on_wakeup(cx));
        self.wake_cluster(now, out);
        self.wake_window(now, out);
        self.wake_public(now, out);
    }

    /// When something has to be done even if nothing arrives.
    #[must_use]
    pub fn next_wakeup(&self) -> Option<Instant> {
        let dialects = self.dialects.0.each_ref();
        let dialects = dialects.map(|dialect| dialect.as_ref().and_then(|d| d.next_wakeup()));
        let window = self.window.as_ref().and_then(|window| window.next_wakeup());
        let public = self.public.as_ref().and_then(|public| public.next_wakeup());
        let blocking = self.blocking.is_amid().then(Instant::default);
        let nodes = self.cluster.as_ref().map(|cluster| cluster.next_wakeup());
        let cluster = earliest([nodes, self.shared.relay.next_wakeup()]);
        earliest([blocking, self.idle.next(), earliest(dialects), window, public, cluster])
    }

    /// The server is about to stop: answer now what would otherwise have been waited for.
    pub fn on_shutdown(&mut self, now: Now, out: &mut Outbox) {
        self.is_stopping = true;
        self.with_all(now, out, |dialect, cx| dialect.on_shutdown(cx));
        self.cluster.iter_mut().for_each(|cluster| cluster.say_bye());
    }

    /// Another process goes on with all that [moves](Self::moves): what stays is told the end, which only encrypted
    /// connections can be.
    pub fn say_goodbye(&mut self, now: Now, out: &mut Outbox) {
        self.with(now, Name::Events, out, |dialect, cx| dialect.on_handed_over(cx));
    }

    /// Whether a peer is still owed something that a timer will send.
    #[must_use]
    pub fn owes(&self) -> bool {
        self.dialects.all().any(|dialect| dialect.owes())
    }
}
