//! The server without a socket, and the clock that is told what time it is.

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use compat_tests::sim::wire;
use punchd::clock::{Instant, Now};
use punchd::dialect::gmnet::{Config, Gmnet};
use punchd::dialect::{ConnId, Context, Dialect, Outbox, Output, Shared, Via};
use punchd::introductions::PublicIps;

pub(crate) const HOST: &str = "203.0.113.1";
pub(crate) const MASTER: &str = "192.0.2.1";
pub(crate) const CLIENT: &str = "203.0.113.2";

/// The dialect, the time, and what was written to whom.
pub(crate) struct Story {
    pub(crate) gmnet: Gmnet,
    pub(crate) shared: Shared,
    /// Milliseconds.
    pub(crate) time: u64,
    pub(crate) next: u32,
    pub(crate) told: VecDeque<(ConnId, String)>,
    pub(crate) closed: Vec<ConnId>,
}

impl Story {
    pub(crate) fn new() -> Self {
        let config = Config { keepalive: Duration::ZERO, ..Config::default() };
        let (told, closed) = (VecDeque::new(), Vec::new());
        Self {
            gmnet: Gmnet::new(config),
            shared: Shared::default(),
            time: 1000,
            next: 0,
            told,
            closed,
        }
    }

    /// A server that asks hosts for their port, and was restarted a moment ago.
    pub(crate) fn asking() -> Self {
        let sockets = vec![SocketAddr::new(ip(MASTER), 6510)];
        let start_wait = Duration::from_secs(3);
        let config = Config { keepalive: Duration::ZERO, sockets, start_wait, ..Config::default() };
        Self { gmnet: Gmnet::new(config), ..Self::new() }
    }

    /// A server that tells this address of a relay; the relay itself is for the test to bring.
    pub(crate) fn with_relay(relay: PublicIps) -> Self {
        let config = Config { keepalive: Duration::ZERO, relay, ..Config::default() };
        Self { gmnet: Gmnet::new(config), ..Self::new() }
    }

    pub(crate) fn now(&self) -> Now {
        Now { instant: Instant::from_micros(self.time * 1000), unix: self.time / 1000 }
    }

    pub(crate) fn act(&mut self, act: impl FnOnce(&mut Gmnet, &mut Context<'_>)) {
        let mut out = Outbox::new();
        let (now, shared) = (self.now(), &mut self.shared);
        act(&mut self.gmnet, &mut Context { now, out: &mut out, shared });
        for output in out.outputs() {
            match output {
                Output::Tcp(conn, bytes) => {
                    self.told.push_back((conn, bytes.escape_ascii().to_string()));
                }
                Output::Close(conn) => self.closed.push(conn),
                Output::Udp(_, to, _) => panic!("nobody asked for a datagram to {to}"),
            }
        }
    }

    /// Time passes; the dialect is woken when it wants to be.
    pub(crate) fn wait(&mut self, millis: u64) {
        let end = self.time + millis;
        while let Some(at) = self.gmnet.next_wakeup().map(|at| at.micros().div_ceil(1000)) {
            if at > end {
                break;
            }
            self.time = at.max(self.time);
            self.act(|gmnet, cx| gmnet.on_wakeup(cx));
        }
        self.time = end;
    }

    pub(crate) fn open(&mut self, addr: &str) -> ConnId {
        self.next += 1;
        let conn = ConnId { slot: self.next, generation: self.next };
        let peer = SocketAddr::new(ip(addr), 50_000);
        self.act(|gmnet, cx| gmnet.on_open(cx, conn, peer));
        conn
    }

    pub(crate) fn send(&mut self, conn: ConnId, bytes: &[u8]) {
        self.act(|gmnet, cx| gmnet.on_bytes(cx, conn, bytes));
    }

    pub(crate) fn udp(&mut self, addr: &str, port: u16, word: &str) {
        let data = wire::datagram(format!("{word}\n\0").as_bytes());
        let peer = SocketAddr::new(ip(addr), port);
        self.act(|gmnet, cx| gmnet.on_datagram(cx, Via::default(), peer, &data));
    }

    /// A game that was told of the server knocks there, in each of so many steps.
    pub(crate) fn knock(&mut self, addr: &str, port: u16, steps: usize) {
        let (data, peer) = (wire::datagram(b"\xfd"), SocketAddr::new(ip(addr), port));
        for _ in 0..steps {
            self.act(|gmnet, cx| gmnet.on_datagram(cx, Via::default(), peer, &data));
            self.wait(17);
        }
    }

    pub(crate) fn fin(&mut self, conn: ConnId) {
        self.act(|gmnet, cx| gmnet.on_fin(cx, conn));
    }

    pub(crate) fn lost(&mut self, conn: ConnId) {
        self.act(|gmnet, cx| gmnet.on_gone(cx, conn));
    }

    pub(crate) fn shutdown(&mut self) {
        self.act(|gmnet, cx| gmnet.on_shutdown(cx));
    }

    /// Registers on a connection.
    pub(crate) fn reg2(&mut self, conn: ConnId, game: &str, name: &str) {
        let mut data: [String; 8] = Default::default();
        (data[0], data[1]) = (game.into(), name.into());
        self.send(conn, &wire::reg2("1.2.4", &data));
    }

    /// A host registers as GML hosts do: UDP first, then TCP.
    pub(crate) fn host(&mut self, addr: &str, port: u16, game: &str, name: &str) -> ConnId {
        self.udp(addr, port, "reg");
        self.host_without_udp(addr, game, name)
    }

    pub(crate) fn host_without_udp(&mut self, addr: &str, game: &str, name: &str) -> ConnId {
        let conn = self.open(addr);
        self.reg2(conn, game, name);
        conn
    }

    /// A client asks as GML clients do: UDP first, then TCP.
    pub(crate) fn join(&mut self, addr: &str, port: u16, host: &str) -> ConnId {
        self.udp(addr, port, "connect");
        self.join_without_udp(addr, host)
    }

    pub(crate) fn join_without_udp(&mut self, addr: &str, host: &str) -> ConnId {
        let conn = self.open(addr);
        self.send(conn, &wire::connect(host));
        conn
    }

    /// The next that anybody is told is this.
    #[track_caller]
    pub(crate) fn tells(&mut self, conn: ConnId, what: impl Into<String>) {
        assert_eq!(self.told.pop_front(), Some((conn, what.into())));
    }

    #[track_caller]
    pub(crate) fn tells_nobody(&self) {
        assert_eq!(self.told, [], "at {} ms", self.time);
    }

    /// The names (data2) of the listed hosts, oldest first.
    pub(crate) fn lobby(&mut self) -> Vec<String> {
        self.listed("192.0.2.200", "data2")
    }

    /// The addresses by which a viewer is shown them.
    pub(crate) fn lobby_ips(&mut self, viewer: &str) -> Vec<String> {
        self.listed(viewer, "ip")
    }

    fn listed(&mut self, viewer: &str, member: &str) -> Vec<String> {
        let before = std::mem::take(&mut self.told);
        let viewer = self.open(viewer);
        self.send(viewer, &wire::lobby2());
        let (_, reply) = self.told.pop_front().unwrap();
        self.lost(viewer);
        self.told = before;
        let member = format!("\\\"{member}\\\":\\\"");
        let values = reply.split(member.as_str()).skip(1);
        values.filter_map(|rest| rest.split("\\\"").next().map(str::to_owned)).collect()
    }
}

pub(crate) fn ip(addr: &str) -> IpAddr {
    addr.parse().unwrap()
}

/// The message that tells an endpoint, as it is written in these stories.
pub(crate) fn at(addr: &str, port: u16) -> String {
    format!("\\xff{addr}\\x00{port}\\x00")
}

pub(crate) const NOT_FOUND: &str = "\\xfe";
