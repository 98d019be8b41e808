//! GMnet from registration to goodbye without a socket, by a clock that is told what time it is:
//! a story a test, each line something that happens.
#![expect(clippy::panic, clippy::unwrap_used, reason = "a helper that fails is a test that fails")]

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use compat_tests::sim::wire;
use punchd::clock::{Instant, Now};
use punchd::dialect::gmnet::{Config, Gmnet};
use punchd::dialect::{ConnId, Dialect, Outbox, Output, Via};

const HOST: &str = "203.0.113.1";
const CLIENT: &str = "203.0.113.2";

/// The dialect, the time, and what was written to whom.
struct Story {
    gmnet: Gmnet,
    /// Milliseconds.
    time: u64,
    next: u32,
    told: VecDeque<(ConnId, String)>,
    closed: Vec<ConnId>,
}

impl Story {
    fn new() -> Self {
        let config = Config { keepalive: Duration::ZERO, ..Config::default() };
        let (told, closed) = (VecDeque::new(), Vec::new());
        Self { gmnet: Gmnet::new(config), time: 1000, next: 0, told, closed }
    }

    fn act(&mut self, act: impl FnOnce(&mut Gmnet, Now, &mut Outbox)) {
        let instant = Instant::from_micros(self.time * 1000);
        let mut out = Outbox::new();
        act(&mut self.gmnet, Now { instant, unix: self.time / 1000 }, &mut out);
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
    fn wait(&mut self, millis: u64) {
        let end = self.time + millis;
        while let Some(at) = self.gmnet.next_wakeup().map(|at| at.micros().div_ceil(1000)) {
            if at > end {
                break;
            }
            self.time = at.max(self.time);
            self.act(|gmnet, now, out| gmnet.on_wakeup(now, out));
        }
        self.time = end;
    }

    fn open(&mut self, addr: &str) -> ConnId {
        self.next += 1;
        let conn = ConnId { slot: self.next, generation: self.next };
        let peer = SocketAddr::new(ip(addr), 50_000);
        self.act(|gmnet, now, out| gmnet.on_open(now, conn, peer, out));
        conn
    }

    fn send(&mut self, conn: ConnId, bytes: &[u8]) {
        self.act(|gmnet, now, out| gmnet.on_bytes(now, conn, bytes, out));
    }

    fn udp(&mut self, addr: &str, port: u16, word: &str) {
        let data = wire::datagram(format!("{word}\n\0").as_bytes());
        let peer = SocketAddr::new(ip(addr), port);
        self.act(|gmnet, now, out| gmnet.on_datagram(now, Via::default(), peer, &data, out));
    }

    fn fin(&mut self, conn: ConnId) {
        self.act(|gmnet, now, out| gmnet.on_fin(now, conn, out));
    }

    fn lost(&mut self, conn: ConnId) {
        self.act(|gmnet, now, out| gmnet.on_gone(now, conn, out));
    }

    fn shutdown(&mut self) {
        self.act(|gmnet, now, out| gmnet.on_shutdown(now, out));
    }

    /// Registers on a connection.
    fn reg2(&mut self, conn: ConnId, game: &str, name: &str) {
        let mut data: [String; 8] = Default::default();
        (data[0], data[1]) = (game.into(), name.into());
        self.send(conn, &wire::reg2("1.2.4", &data));
    }

    /// A host registers as GML hosts do: UDP first, then TCP.
    fn host(&mut self, addr: &str, port: u16, game: &str, name: &str) -> ConnId {
        self.udp(addr, port, "reg");
        self.host_without_udp(addr, game, name)
    }

    fn host_without_udp(&mut self, addr: &str, game: &str, name: &str) -> ConnId {
        let conn = self.open(addr);
        self.reg2(conn, game, name);
        conn
    }

    /// A client asks as GML clients do: UDP first, then TCP.
    fn join(&mut self, addr: &str, port: u16, host: &str) -> ConnId {
        self.udp(addr, port, "connect");
        self.join_without_udp(addr, host)
    }

    fn join_without_udp(&mut self, addr: &str, host: &str) -> ConnId {
        let conn = self.open(addr);
        self.send(conn, &wire::connect(host));
        conn
    }

    /// The next that anybody is told is this.
    #[track_caller]
    fn tells(&mut self, conn: ConnId, what: impl Into<String>) {
        assert_eq!(self.told.pop_front(), Some((conn, what.into())));
    }

    #[track_caller]
    fn tells_nobody(&self) {
        assert_eq!(self.told, [], "at {} ms", self.time);
    }

    /// The names (data2) of the listed hosts, oldest first.
    fn lobby(&mut self) -> Vec<String> {
        let before = std::mem::take(&mut self.told);
        let viewer = self.open("192.0.2.200");
        self.send(viewer, &wire::lobby2());
        let (_, reply) = self.told.pop_front().unwrap();
        self.lost(viewer);
        self.told = before;
        let names = reply.split("\\\"data2\\\":\\\"").skip(1);
        names.filter_map(|rest| rest.split("\\\"").next().map(str::to_owned)).collect()
    }
}

fn ip(addr: &str) -> IpAddr {
    addr.parse().unwrap()
}

/// The message that tells an endpoint, as it is written in these stories.
fn at(addr: &str, port: u16) -> String {
    format!("\\xff{addr}\\x00{port}\\x00")
}

const NOT_FOUND: &str = "\\xfe";

#[test]
fn a_host_registers_a_client_joins_both_leave() {
    let mut story = Story::new();
    let host = story.host(HOST, 4000, "Pong", "Ann");
    assert_eq!(story.lobby(), ["Ann"]);
    let client = story.join(CLIENT, 5000, HOST);
    story.tells(client, at(HOST, 4000));
    story.tells(host, at(CLIENT, 5000));
    story.fin(client);
    story.fin(host);
    assert_eq!(story.closed, [client, host]);
    assert_eq!(story.lobby(), [""; 0]);
    story.wait(3_600_000);
    assert_eq!(story.gmnet.next_wakeup(), None, "nothing is left to do");
    story.tells_nobody();
}

#[test]
fn a_clients_udp_packet_is_late() {
    let mut story = Story::new();
    let host = story.host(HOST, 4000, "Pong", "Ann");
    let client = story.join_without_udp(CLIENT, HOST);
    story.wait(2000);
    story.tells_nobody();
    story.udp(CLIENT, 5000, "connect");
    story.tells(client, at(HOST, 4000));
    story.tells(host, at(CLIENT, 5000));
    story.wait(10_000);
    story.tells_nobody();
}

#[test]
fn a_clients_udp_packet_never_comes() {
    let mut story = Story::new();
    story.host(HOST, 4000, "Pong", "Ann");
    let client = story.join_without_udp(CLIENT, HOST);
    story.wait(2499);
    story.tells_nobody();
    story.wait(1);
    story.tells(client, at(HOST, 4000));
    story.wait(10_000);
    story.tells_nobody();
}

#[test]
fn a_hosts_udp_packet_is_late_or_never_comes() {
    let mut story = Story::new();
    let host = story.host_without_udp(HOST, "Pong", "Ann");
    let client = story.join(CLIENT, 5000, HOST);
    story.wait(2000);
    story.tells_nobody();
    story.udp(HOST, 4000, "reg");
    story.tells(client, at(HOST, 4000));
    story.tells(host, at(CLIENT, 5000));

    let mute = story.host_without_udp("203.0.113.9", "Pong", "Bob");
    let client = story.join("203.0.113.3", 5000, "203.0.113.9");
    story.wait(2500);
    story.tells(client, NOT_FOUND);
    story.tells(mute, at("203.0.113.3", 5000));
    story.tells_nobody();
}

#[test]
fn a_client_asks_while_the_host_commits_data() {
    let mut story = Story::new();
    let old = story.host(HOST, 4000, "Pong", "Ann");
    story.wait(60_000);
    story.fin(old);
    let client = story.join(CLIENT, 5000, HOST);
    story.tells_nobody();
    story.wait(30);
    let new = story.host(HOST, 4000, "Pong", "Ann, 2 players");
    story.tells(client, at(HOST, 4000));
    story.tells(new, at(CLIENT, 5000));
    assert_eq!(story.lobby(), ["Ann, 2 players"]);
}

#[test]
fn a_host_that_does_not_come_back_is_not_found() {
    let mut story = Story::new();
    let host = story.host(HOST, 4000, "Pong", "Ann");
    story.fin(host);
    let client = story.join(CLIENT, 5000, HOST);
    story.wait(499);
    story.tells_nobody();
    story.wait(1);
    story.tells(client, NOT_FOUND);
}

#[test]
fn two_clients_behind_one_address_each_have_their_port() {
    let mut story = Story::new();
    let host = story.host(HOST, 4000, "Pong", "Ann");
    story.udp(CLIENT, 5001, "connect");
    let one = story.open(CLIENT);
    story.wait(1);
    story.udp(CLIENT, 5002, "connect");
    let two = story.open(CLIENT);
    story.send(one, &wire::connect(HOST));
    story.send(two, &wire::connect(HOST));
    story.tells(one, at(HOST, 4000));
    story.tells(host, at(CLIENT, 5001));
    story.tells(two, at(HOST, 4000));
    story.wait(50);
    story.tells(host, at(CLIENT, 5002));
    story.send(one, &wire::connect(HOST));
    story.wait(2500);
    story.tells(one, at(HOST, 4000));
    story.tells(host, at(CLIENT, 5001));
}

#[test]
fn two_hosts_behind_one_address_are_both_listed_and_the_newest_is_meant() {
    let mut story = Story::new();
    let one = story.host(HOST, 4001, "Pong", "Ann");
    let two = story.host(HOST, 4002, "Pong", "Bob");
    assert_eq!(story.lobby(), ["Bob"], "it may be the same game that comes back");
    story.wait(1000);
    assert_eq!(story.lobby(), ["Ann", "Bob"]);
    let client = story.join(CLIENT, 5000, HOST);
    story.tells(client, at(HOST, 4002));
    story.tells(two, at(CLIENT, 5000));
    story.fin(two);
    let client = story.join(CLIENT, 5001, HOST);
    story.tells(client, at(HOST, 4001));
    story.tells(one, at(CLIENT, 5001));
}

#[test]
fn notifications_keep_their_distance() {
    let mut story = Story::new();
    let host = story.host(HOST, 4000, "Pong", "Ann");
    for n in 0..3 {
        let addr = format!("203.0.113.{}", 10 + n);
        let client = story.join(&addr, 5000, HOST);
        story.tells(client, at(HOST, 4000));
        if n == 0 {
            story.tells(host, at(&addr, 5000));
        }
    }
    story.wait(49);
    story.tells_nobody();
    story.wait(1);
    story.tells(host, at("203.0.113.11", 5000));
    story.wait(49);
    story.tells_nobody();
    story.wait(1);
    story.tells(host, at("203.0.113.12", 5000));
}

#[test]
fn an_old_connection_that_closes_late_takes_nothing_with_it() {
    let mut story = Story::new();
    let old = story.host(HOST, 4000, "Pong", "Ann");
    story.wait(30_000);
    let new = story.host(HOST, 4000, "Pong", "Ann");
    assert_eq!(story.lobby(), ["Ann"], "once");
    story.wait(30_000);
    story.lost(old);
    assert_eq!(story.lobby(), ["Ann"]);
    let client = story.join(CLIENT, 5000, HOST);
    story.tells(client, at(HOST, 4000));
    story.tells(new, at(CLIENT, 5000));
}

#[test]
fn a_udp_packet_never_hides_or_moves_a_host() {
    let mut story = Story::new();
    let host = story.host(HOST, 4000, "Pong", "Ann");
    story.wait(60_000);
    story.udp(HOST, 4000, "reg");
    story.udp(HOST, 6666, "reg");
    assert_eq!(story.lobby(), ["Ann"]);
    let client = story.join(CLIENT, 5000, HOST);
    story.tells(client, at(HOST, 4000));
    story.tells(host, at(CLIENT, 5000));
}

#[test]
fn port_zero_is_told_to_nobody() {
    let mut story = Story::new();
    let host = story.host(HOST, 0, "Pong", "Ann");
    let client = story.join(CLIENT, 0, HOST);
    story.wait(10_000);
    story.tells(client, NOT_FOUND);
    story.tells_nobody();
    story.fin(host);
    story.host(HOST, 4000, "Pong", "Ann");
    let client = story.join(CLIENT, 0, HOST);
    story.wait(10_000);
    story.tells(client, at(HOST, 4000));
    story.tells_nobody();
}

#[test]
fn half_a_command_is_waited_for_a_second() {
    let mut story = Story::new();
    let conn = story.open(CLIENT);
    story.send(conn, b"connect\n");
    story.wait(999);
    assert_eq!(story.closed, []);
    story.wait(1);
    assert_eq!(story.closed, [conn]);
    story.tells_nobody();
}

#[test]
fn who_will_send_no_more_is_answered_and_then_let_go() {
    let mut story = Story::new();
    story.host(HOST, 4000, "Pong", "Ann");
    let client = story.join_without_udp(CLIENT, HOST);
    story.fin(client);
    assert_eq!(story.closed, []);
    story.wait(2500);
    story.tells(client, at(HOST, 4000));
    assert_eq!(story.closed, [client]);
}

#[test]
fn who_waits_when_the_server_stops_is_answered_at_once() {
    let mut story = Story::new();
    let one = story.join_without_udp("203.0.113.3", HOST);
    story.tells(one, NOT_FOUND);
    story.host(HOST, 4000, "Pong", "Ann");
    let two = story.join_without_udp(CLIENT, HOST);
    story.tells_nobody();
    story.shutdown();
    story.tells(two, at(HOST, 4000));
    story.tells_nobody();
}

// What the simulation found. Several games behind one address come in all orders.

#[test]
fn a_port_that_is_too_old_to_be_told_does_not_hide_a_fresh_one() {
    let mut story = Story::new();
    let host = story.host(HOST, 4000, "Pong", "Ann");
    story.udp(CLIENT, 5001, "connect");
    story.wait(20_000);
    story.host(CLIENT, 4001, "Pong", "Bob");
    story.wait(20_000);
    let client = story.open(CLIENT);
    story.wait(1);
    story.udp(CLIENT, 5002, "connect");
    story.send(client, &wire::connect(HOST));
    story.tells(client, at(HOST, 4000));
    story.tells(host, at(CLIENT, 5002));
}

#[test]
fn a_late_packet_of_one_host_is_not_taken_back_while_the_other_has_its_own() {
    let mut story = Story::new();
    let one = story.host_without_udp(HOST, "Pong", "Ann");
    story.udp(HOST, 4001, "reg");
    story.wait(4000);
    let two = story.open(HOST);
    story.wait(50);
    story.udp(HOST, 4002, "reg");
    story.reg2(two, "Snake", "Bob");
    let client = story.join(CLIENT, 5000, HOST);
    story.tells(client, at(HOST, 4002));
    story.tells(two, at(CLIENT, 5000));
    story.fin(two);
    let client = story.join(CLIENT, 5001, HOST);
    story.tells(client, at(HOST, 4001));
    story.tells(one, at(CLIENT, 5001));
}

#[test]
fn a_host_that_commits_data_comes_back_to_its_own_port() {
    let mut story = Story::new();
    // Somebody's registration came to nothing; its packet is still remembered.
    story.udp(HOST, 4009, "reg");
    story.wait(100);
    let old = story.host(HOST, 4001, "Pong", "Ann");
    story.wait(3000);
    story.udp(HOST, 4001, "reg");
    story.fin(old);
    story.wait(20);
    let new = story.host_without_udp(HOST, "Pong", "Ann, 2 players");
    let client = story.join(CLIENT, 5000, HOST);
    story.tells(client, at(HOST, 4001));
    story.tells(new, at(CLIENT, 5000));
}

#[test]
fn a_host_that_commits_data_takes_nothing_back_from_a_neighbour() {
    let mut story = Story::new();
    let old = story.host(HOST, 4001, "Pong", "Ann");
    story.wait(2000);
    let other = story.host_without_udp(HOST, "Snake", "Bob");
    story.udp(HOST, 4002, "reg");
    story.wait(2000);
    let new = story.open(HOST);
    story.wait(10);
    story.udp(HOST, 4001, "reg");
    story.fin(old);
    story.reg2(new, "Pong", "Ann, 2 players");
    let client = story.join(CLIENT, 5000, HOST);
    story.tells(client, at(HOST, 4001));
    story.tells(new, at(CLIENT, 5000));
    story.fin(new);
    let client = story.join(CLIENT, 5001, HOST);
    story.tells(client, at(HOST, 4002));
    story.tells(other, at(CLIENT, 5001));
}

#[test]
fn who_registers_next_does_not_prolong_the_shadow_of_who_did_before() {
    let mut story = Story::new();
    story.host(HOST, 4001, "Pong", "Ann");
    story.host(HOST, 4002, "Pong", "Bob");
    story.wait(500);
    story.host(HOST, 4003, "Snake", "Cid");
    assert_eq!(story.lobby(), ["Bob", "Cid"]);
    story.wait(500);
    assert_eq!(story.lobby(), ["Ann", "Bob", "Cid"]);
}

#[test]
fn the_port_of_a_host_is_not_given_to_another_when_a_third_leaves() {
    let mut story = Story::new();
    story.host(HOST, 4001, "Pong", "Ann");
    story.wait(20_000);
    let guest = story.host_without_udp(HOST, "Pong", "Ann's shadow");
    story.fin(guest);
    story.host_without_udp(HOST, "Snake", "Cid");
    assert_eq!(story.lobby(), ["Ann", "Cid"]);
}

#[test]
fn a_host_that_registers_twice_before_its_packet_comes_gets_its_own_port() {
    let mut story = Story::new();
    let one = story.host(HOST, 4001, "Pong", "Ann");
    story.wait(1000);
    let two = story.host_without_udp(HOST, "Pong", "Bob");
    story.reg2(two, "Pong", "Bob, 2 players");
    story.udp(HOST, 4002, "reg");
    story.wait(1000);
    assert_eq!(story.lobby(), ["Ann", "Bob, 2 players"]);
    let client = story.join(CLIENT, 5000, HOST);
    story.tells(client, at(HOST, 4002));
    story.tells(two, at(CLIENT, 5000));
    story.fin(two);
    let client = story.join(CLIENT, 5001, HOST);
    story.tells(client, at(HOST, 4001));
    story.tells(one, at(CLIENT, 5001));
}

#[test]
fn a_host_that_can_be_reached_is_meant_before_one_that_cannot() {
    let mut story = Story::new();
    let one = story.host(HOST, 4001, "Pong", "Ann");
    story.wait(20_000);
    story.host_without_udp(HOST, "Snake", "Bob");
    let client = story.join(CLIENT, 5000, HOST);
    story.tells(client, at(HOST, 4001));
    story.tells(one, at(CLIENT, 5000));
}

#[test]
fn all_requests_of_a_client_are_answered_when_the_server_stops() {
    let mut story = Story::new();
    story.host(HOST, 4000, "Pong", "Ann");
    let client = story.open(CLIENT);
    story.send(client, &[wire::connect(HOST), wire::connect(HOST)].concat());
    story.tells_nobody();
    story.shutdown();
    story.tells(client, at(HOST, 4000));
    story.tells(client, at(HOST, 4000));
}

#[test]
fn who_hangs_up_while_registering_is_no_host() {
    let mut story = Story::new();
    story.udp(HOST, 4000, "reg");
    let host = story.open(HOST);
    let client = story.join(CLIENT, 5000, HOST);
    story.send(host, b"reg");
    story.fin(host);
    assert_eq!(story.closed, [host]);
    story.tells_nobody();
    story.wait(2500);
    story.tells(client, NOT_FOUND);
}

#[test]
fn a_host_whose_loan_is_taken_back_has_the_port_it_had_before() {
    let mut story = Story::new();
    let old = story.host(HOST, 4001, "Pong", "Ann");
    story.wait(20_000);
    // Ann comes back, and her packet is late; her old connection died without a word.
    let ann = story.host_without_udp(HOST, "Pong", "Ann, 2 players");
    // Bob shows his port; who is it but Ann? Then he registers.
    story.wait(500);
    story.udp(HOST, 4002, "reg");
    let bob = story.host_without_udp(HOST, "Snake", "Bob");
    story.lost(old);
    let client = story.join(CLIENT, 5000, &format!("{HOST}:4001"));
    story.tells(client, at(HOST, 4001));
    story.tells(ann, at(CLIENT, 5000));
    let client = story.join(CLIENT, 5001, HOST);
    story.tells(client, at(HOST, 4002));
    story.tells(bob, at(CLIENT, 5001));
}

#[test]
fn a_packet_from_the_port_of_a_dead_connection_is_for_the_newer_one() {
    for is_first in [true, false] {
        let mut story = Story::new();
        story.host(HOST, 4001, "Pong", "Ann");
        story.wait(20_000);
        // Nobody knows that the old connection is dead; Ann plays another game now.
        if is_first {
            story.udp(HOST, 4001, "reg");
        }
        let new = story.host_without_udp(HOST, "Snake", "Ann");
        if !is_first {
            story.wait(300);
            story.udp(HOST, 4001, "reg");
        }
        assert_eq!(story.lobby(), ["Ann"], "it is one game, with one port");
        let client = story.join(CLIENT, 5000, HOST);
        story.tells(client, at(HOST, 4001));
        story.tells(new, at(CLIENT, 5000));
    }
}

#[test]
fn a_host_keeps_its_port_from_a_neighbour_that_lacks_one() {
    let mut story = Story::new();
    let ann = story.host(HOST, 4001, "Pong", "Ann");
    // A copy that the network has made, behind Bob's registration, is no sign of anything.
    story.wait(100);
    let bob = story.host_without_udp(HOST, "Snake", "Bob");
    story.udp(HOST, 4001, "reg");
    assert_eq!(story.lobby(), ["Ann", "Bob"]);
    // Ann registers anew on the connection that she has, packet first.
    story.wait(5000);
    story.udp(HOST, 4001, "reg");
    story.reg2(ann, "Pong", "Ann, 2 players");
    assert_eq!(story.lobby(), ["Ann, 2 players", "Bob"]);
    story.udp(HOST, 4002, "reg");
    let client = story.join(CLIENT, 5000, HOST);
    story.tells(client, at(HOST, 4002));
    story.tells(bob, at(CLIENT, 5000));
    story.fin(bob);
    let client = story.join(CLIENT, 5001, HOST);
    story.tells(client, at(HOST, 4001));
    story.tells(ann, at(CLIENT, 5001));
}

#[test]
fn a_packet_that_the_connection_has_overtaken_belongs_to_it() {
    let mut story = Story::new();
    let host = story.host(HOST, 4001, "Pong", "Ann");
    // Of somebody who went away without asking.
    story.udp(CLIENT, 5000, "connect");
    story.udp(CLIENT, 4009, "reg");
    story.wait(5000);
    let client = story.open(CLIENT);
    story.wait(30);
    story.udp(CLIENT, 5001, "connect");
    story.wait(30);
    // And of the next, who is nearly as fast.
    story.udp(CLIENT, 5002, "connect");
    story.send(client, &wire::connect(HOST));
    story.tells(client, at(HOST, 4001));
    story.tells(host, at(CLIENT, 5001));

    story.wait(50);
    let late = story.open(CLIENT);
    story.wait(30);
    story.udp(CLIENT, 4002, "reg");
    story.wait(30);
    story.reg2(late, "Snake", "Bob");
    let client = story.join("203.0.113.3", 5003, CLIENT);
    story.tells(client, at(CLIENT, 4002));
}
