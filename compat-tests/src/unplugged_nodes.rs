//! Nodes of a cluster without sockets, with one made-up clock, step by step: for tests of what peers of different
//! nodes are told, and of what is lost, late or forged between nodes. [`sim::cluster`](crate::sim::cluster) is for
//! seeded schedules of the same, [`unplugged`](crate::unplugged) for one server.
//!
//! Messages between nodes arrive at once unless [`Net`] says otherwise. A test wraps [`Nodes`] with what its dialect
//! says and hears.
//!
//! Whoever names a node that there never was panics: a fixture fails its test.
#![expect(clippy::unwrap_used, reason = "a fixture fails its test")]

use std::collections::{BTreeSet, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use punchd::clock::{Instant, Now};
use punchd::cluster::{self, Cluster, Outbound, Whom};
use punchd::dialect::{ConnId, Name, Outbox, Output, Via};
use punchd::introductions::relay::{Bounds, sessions};
use punchd::server::{Config, Server, State};

use crate::sim::cluster::nodes::now;

/// By how much a message is late that is.
const LATE: Duration = Duration::from_millis(300);

/// Messages between nodes that are under way: to which node, and what.
pub type UnderWay = Vec<(usize, Vec<u8>)>;

/// What comes of messages between nodes.
#[derive(Debug, Default)]
pub struct Net {
    /// None arrives that is from the first of these to the second.
    pub cuts: BTreeSet<(usize, usize)>,
    /// The next one that has this in it is lost, for all whom it is for.
    pub loses: Option<&'static [u8]>,
    /// With this seed, of 128 messages one is lost, one comes twice, and one is 300 ms late.
    pub storm: Option<u64>,
}

/// Nodes, and what their peers were told.
#[derive(Debug, Default)]
pub struct Nodes {
    /// Nothing in place of one that is dead.
    pub servers: Vec<Option<Server>>,
    /// What each is started with.
    configs: Vec<Config>,
    /// What time it is for all of them.
    pub now: Instant,
    /// By which node, on which connection, and what; whoever looks at it takes it out.
    pub written: Vec<(usize, ConnId, Vec<u8>)>,
    /// Datagrams: by which node, to whom, and what; whoever looks at it takes it out.
    pub sent: Vec<(usize, SocketAddr, Vec<u8>)>,
    /// Connections that the nodes have ended.
    pub closed: BTreeSet<(usize, ConnId)>,
    /// What comes of messages between nodes.
    pub net: Net,
    late: Vec<(Instant, usize, Vec<u8>)>,
    /// Messages for nodes that are dead.
    lost: Vec<Vec<u8>>,
    /// How many messages between nodes there were.
    pub messages: usize,
    /// How many bytes these had.
    pub bytes: usize,
    /// The most datagrams that a node has sent without a pause.
    pub most_sent: usize,
    /// The longest that a node has worked without a pause, in real time.
    pub longest: Duration,
    /// How many connections there were, for slots from one on.
    pub connections: u32,
}

/// The name of a node: a, b and so on.
fn name(n: usize) -> String {
    char::from(b'a' + n as u8).into()
}

/// A relay at 192.0.2.n+1, with 32 pairs of ports.
#[must_use]
pub fn relay(n: usize, bounds: Bounds) -> sessions::Config {
    let told = IpAddr::from([192, 0, 2, n as u8 + 1]).into();
    sessions::Config { told, is_apart: true, ports: 20_000..=20_063, bounds }
}

/// Bounds of a relay that says that it has room, and has none.
#[must_use]
pub fn full() -> Bounds {
    Bounds { sessions_per_address: 0, ..Bounds::default() }
}

impl Nodes {
    /// Nodes that are started like this and know each other. Each has a name and a seed of its own.
    #[must_use]
    pub fn new(configs: Vec<Config>) -> Self {
        let mut nodes = Self { now: Instant::from_micros(10_000_000), ..Self::default() };
        configs.into_iter().for_each(|config| nodes.add(config));
        nodes.pass(100);
        nodes
    }

    /// One more node.
    pub fn add(&mut self, config: Config) {
        let n = self.servers.len();
        let cluster = Some(cluster::Config { name: name(n), incarnation: 0 });
        self.configs.push(Config { cluster, ..config });
        self.servers.push(None);
        self.restart(n);
    }

    /// A node begins anew, or comes back, and knows nothing.
    pub fn restart(&mut self, n: usize) {
        let config = &mut self.configs[n];
        let cluster = config.cluster.as_mut().unwrap();
        cluster.incarnation += 1;
        // IDs of rooms and peers differ.
        config.seed = [10 * n as u8 + cluster.incarnation as u8; 32];
        self.servers[n] = Some(Server::new(config.clone()));
    }

    /// A node dies without a word.
    pub fn kill(&mut self, n: usize) {
        self.servers[n] = None;
    }

    /// Another process goes on from what that of a node knew.
    pub fn take_over(&mut self, n: usize) {
        let under_way = self.take_over_alone(n);
        self.deliver(under_way);
    }

    /// The same; what it says to other nodes is under way.
    pub fn take_over_alone(&mut self, n: usize) -> UnderWay {
        let saved = self.servers[n].as_ref().unwrap().save().encode();
        let mut state = State::decode(&saved).unwrap();
        self.restart(n);
        self.act_alone(n, |server, now, out| _ = server.load(now, &mut state, out).unwrap())
    }

    /// Something happens at a node, which does nothing if it is dead, and all that comes of it at others.
    pub fn act(&mut self, n: usize, act: impl FnOnce(&mut Server, Now, &mut Outbox)) {
        let under_way = self.act_alone(n, act);
        self.deliver(under_way);
    }

    /// The same; what it says to other nodes is under way.
    pub fn act_alone(
        &mut self,
        n: usize,
        act: impl FnOnce(&mut Server, Now, &mut Outbox),
    ) -> UnderWay {
        let Some(server) = &mut self.servers[n] else { return Vec::new() };
        let (mut out, began) = (Outbox::new(), std::time::Instant::now());
        act(server, now(self.now), &mut out);
        self.longest = self.longest.max(began.elapsed());
        let posts = server.take_outbound();
        let sent = self.sent.len();
        for output in out.outputs() {
            match output {
                Output::Tcp(conn, bytes) => {
                    assert_ne!(conn.slot, u32::MAX, "written to one who is not here");
                    self.written.push((n, conn, bytes.to_vec()));
                }
                Output::Close(conn) => assert!(self.closed.insert((n, conn)), "closed twice"),
                Output::Udp(_, to, bytes) => self.sent.push((n, to, bytes.to_vec())),
            }
        }
        self.most_sent = self.most_sent.max(self.sent.len() - sent);
        self.carried(n, posts)
    }

    /// What of a node's posts arrives at once.
    fn carried(&mut self, from: usize, posts: impl IntoIterator<Item = Outbound>) -> UnderWay {
        let mut under_way = Vec::new();
        for Outbound { to, bytes } in posts {
            let has = |part: &mut &[u8]| bytes.windows(part.len()).any(|at| at == *part);
            if self.net.loses.take_if(|part| has(part)).is_some() {
                continue;
            }
            let is_for = |n: &usize| *n != from && to.as_ref().is_none_or(|to| **to == *name(*n));
            for n in (0..self.servers.len()).filter(is_for) {
                if self.net.cuts.contains(&(from, n)) {
                    continue;
                }
                match self.net.storm.as_mut().map(dice) {
                    Some(0) => {}
                    Some(1) => under_way.extend([(n, bytes.clone()), (n, bytes.clone())]),
                    Some(2) => self.late.push((self.now + LATE, n, bytes.clone())),
                    _ => under_way.push((n, bytes.clone())),
                }
            }
        }
        under_way
    }

    /// Messages arrive, and what comes of them.
    pub fn deliver(&mut self, under_way: UnderWay) {
        let mut under_way = VecDeque::from(under_way);
        while let Some((to, bytes)) = under_way.pop_front() {
            self.messages += 1;
            self.bytes += bytes.len();
            if self.servers[to].is_none() {
                self.lost.push(bytes);
                continue;
            }
            let hear = |server: &mut Server, now, out: &mut Outbox| {
                server.on_node_bytes(now, &bytes, out);
            };
            under_way.extend(self.act_alone(to, hear));
        }
    }

    /// Time passes, in milliseconds, and nodes do what they have to do at its time.
    pub fn pass(&mut self, millis: u64) {
        let end = self.now + Duration::from_millis(millis);
        loop {
            let wakeups = self.servers.iter().flatten().filter_map(Server::next_wakeup);
            let next = wakeups.chain(self.late.iter().map(|(at, ..)| *at)).min();
            let Some(next) = next.filter(|next| *next <= end) else { break };
            self.now = self.now.max(next);
            let now = self.now;
            let late: Vec<_> = self.late.extract_if(.., |(at, ..)| *at <= now).collect();
            self.deliver(late.into_iter().map(|(_, to, bytes)| (to, bytes)).collect());
            for n in 0..self.servers.len() {
                let due = self.servers[n].as_ref().and_then(Server::next_wakeup);
                if due.is_some_and(|due| due <= now) {
                    self.act(n, |server, now, out| server.on_wakeup(now, out));
                }
            }
        }
        self.now = end;
    }

    /// No message arrives any more that is to or from a node.
    pub fn cut_off(&mut self, n: usize) {
        let others = 0..self.servers.len();
        self.net.cuts.extend(others.flat_map(|other| [(n, other), (other, n)]));
    }

    /// Somebody connects to a node by TCP.
    pub fn open(&mut self, n: usize, from: SocketAddr) -> ConnId {
        self.connections += 1;
        let conn = ConnId { slot: self.connections, generation: self.connections };
        self.act(n, |server, now, out| server.on_accept(now, || now.instant, conn, from, out));
        conn
    }

    /// Bytes come on a connection.
    pub fn write(&mut self, n: usize, conn: ConnId, bytes: &[u8]) {
        self.act(n, |server, now, out| server.on_bytes(now, conn, bytes, out));
    }

    /// A peer ends its connection.
    pub fn end(&mut self, n: usize, conn: ConnId) {
        self.act(n, |server, now, out| server.on_gone(now, conn, out));
    }

    /// A datagram comes to a node.
    pub fn datagram(&mut self, n: usize, from: SocketAddr, data: &[u8]) {
        self.act(n, |server, now, out| server.on_datagram(now, Via::default(), from, data, out));
    }

    /// How many pairs each node relays.
    #[must_use]
    pub fn relayed(&self) -> Vec<usize> {
        let len = |server: &Option<Server>| server.as_ref().map_or(0, |node| node.relay().len());
        self.servers.iter().map(len).collect()
    }
}

/// One of 128 numbers.
fn dice(seed: &mut u64) -> u64 {
    *seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
    *seed >> 33 & 127
}

/// Somebody in place of a node who says what he likes.
#[derive(Debug)]
pub struct Impostor {
    n: usize,
    cluster: Cluster,
    /// What others have told it, as which dialect.
    heard: Vec<(Name, Vec<u8>)>,
}

impl Impostor {
    /// In place of this node.
    pub fn new(nodes: &mut Nodes, n: usize) -> Self {
        nodes.kill(n);
        let cluster = Cluster::new(cluster::Config { name: name(n), incarnation: 99 });
        Self { n, cluster, heard: Vec::new() }
    }

    /// Says all this to all other nodes, as that dialect. Returns how many messages these were.
    pub fn say(&mut self, nodes: &mut Nodes, of: Name, texts: &[Vec<u8>]) -> usize {
        let Self { n, cluster, .. } = self;
        cluster.on_wakeup(nodes.now);
        texts.iter().for_each(|text| cluster.post(nodes.now, of, Whom::All, text));
        let under_way = nodes.carried(*n, cluster.take_outbound());
        let count = under_way.len();
        nodes.deliver(under_way);
        count
    }

    /// Hears what was said to the node.
    pub fn hear(&mut self, nodes: &mut Nodes) {
        let Self { cluster, heard, .. } = self;
        nodes.lost.drain(..).for_each(|bytes| cluster.on_message(nodes.now, &bytes));
        while let Some(event) = cluster.next_event() {
            if let cluster::Event::Message(_, of, bytes) = event {
                heard.push((of, bytes));
            }
        }
    }

    /// Says that all that others have of a dialect is at this node. Returns how many messages these were.
    pub fn claim_all(&mut self, nodes: &mut Nodes, of: Name) -> usize {
        self.say(nodes, of, &[]);
        self.hear(nodes);
        let heard = self.heard.iter().filter(|(name, _)| *name == of);
        let texts: Vec<Vec<u8>> = heard.map(|(_, bytes)| bytes.clone()).collect();
        self.say(nodes, of, &texts)
    }
}
