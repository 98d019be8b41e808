//! Connections when there are more than there may be: they are shared out among networks, and
//! whoever does nothing gives way to others of its own.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use compat_tests::gmnet::Query;
use compat_tests::gmnet::wire::{self, Protocol};
use compat_tests::unplugged::Unplugged;
use punchd::dialect::ConnId;
use punchd::limits;

const PING: &[u8] = b"version\n";

/// Number `n` of the addresses of one source: each /64 of a /48 has sixteen of them.
fn source(n: u16) -> SocketAddr {
    let ip = Ipv6Addr::new(0x2001, 0xdb8, 0, n / 16, 0, 0, 0, n % 16);
    SocketAddr::from((ip, 40_000))
}

fn honest(n: u16) -> SocketAddr {
    let [high, low] = n.to_be_bytes();
    SocketAddr::from((Ipv4Addr::new(11, 0, high, low), 40_000))
}

fn register() -> Vec<u8> {
    wire::register(Protocol::Modern, wire::CLIENT_VERSION, &["game"; 8].map(String::from))
}

/// A server that has so many connections at most, and those that were opened.
struct World {
    server: Unplugged,
    most: usize,
    conns: Vec<ConnId>,
}

impl World {
    fn new(most: usize, more: &[&str]) -> Self {
        let max = most.to_string();
        let options = [&["--max-connections", &max], more].concat();
        Self { server: Unplugged::new(&options), most, conns: Vec::new() }
    }

    /// Lets somebody in as the event loop does: if there is no room, one has to give way.
    fn enter(&mut self, peer: SocketAddr) -> Option<ConnId> {
        self.conns.retain(|conn| !self.server.is_closed(*conn));
        if self.conns.len() == self.most && !self.server.make_room(peer.ip()) {
            return None;
        }
        let conn = self.server.open(peer);
        self.conns.push(conn);
        (!self.server.is_closed(conn)).then_some(conn)
    }

    /// Lets somebody in who says something at once.
    fn say(&mut self, peer: SocketAddr, bytes: &[u8]) -> Option<ConnId> {
        let conn = self.enter(peer)?;
        self.server.send(conn, bytes);
        Some(conn)
    }

    fn is_closed(&self, conn: ConnId) -> bool {
        self.server.is_closed(conn)
    }
}

#[test]
fn one_ipv6_source_cannot_take_all_connections() {
    let mut world = World::new(4000, &[]);
    let player = world.say(honest(1), PING).expect("room");
    let theirs: Vec<_> = (1..4000).map(|n| world.say(source(n), PING).expect("room")).collect();
    for second in 0..120 {
        world.server.pass(Duration::from_secs(1));
        theirs.iter().for_each(|conn| world.server.send(*conn, PING));
        world.server.send(player, &Query::default().request());
        // They want every place that becomes free; some other player wants one each second.
        for n in 0..20 {
            world.say(source(4000 + 20 * second + n), PING);
        }
        let other = world.say(honest(2 + second), &register()).expect("a place");
        assert!(!world.is_closed(player) && !world.is_closed(other), "second {second}");
    }
    let hosts = world.conns.iter().filter(|conn| !theirs.contains(conn)).count();
    assert!(hosts > 120, "all players stay: {hosts}");
}

#[test]
fn a_network_that_holds_less_never_gives_way_to_one_that_holds_more() {
    let mut world = World::new(400, &[]);
    // None of them says anything for a long time.
    let few: Vec<_> = (0..40).map(|n| world.enter(honest(n)).expect("room")).collect();
    (0..360).for_each(|n| _ = world.enter(source(n)));
    world.server.pass(limits::IDLE / 2);
    let let_in = (0..2000).filter(|n| {
        world.server.pass(Duration::from_millis(1));
        world.enter(source(*n)).is_some()
    });
    assert!(let_in.count() > 360, "for those of its own that are idle");
    assert!(few.iter().all(|conn| !world.is_closed(*conn)));
}

#[test]
fn hosts_give_way_only_in_a_network_that_has_a_large_part() {
    let mut world = World::new(400, &[]);
    let school: Vec<_> =
        (0..32).map(|_| world.say(honest(1), &register()).expect("room")).collect();
    let homes: Vec<_> =
        (2..100).map(|n| world.say(honest(n), &register()).expect("room")).collect();
    let theirs: Vec<_> = std::iter::from_fn(|| {
        let n = world.conns.len() as u16;
        (n < 400).then(|| world.say(source(n), &register()).expect("room"))
    })
    .collect();
    world.server.pass(Duration::from_secs(300));
    let late: Vec<_> = (1000..1100).map(|n| world.say(honest(n), &register())).collect();
    assert!(late.iter().all(Option::is_some), "they are let in");
    assert!(school.iter().chain(&homes).all(|conn| !world.is_closed(*conn)), "nobody else is lost");
    assert!(theirs.iter().any(|conn| !world.is_closed(*conn)), "a part is theirs");
}

#[test]
fn many_addresses_with_as_many_hosts_or_peers_as_each_may_have_keep_nobody_out() {
    let login = |n: usize| {
        let data = format!("{{\"id\":\"{n}\"}}");
        format!(r#"{{"type":"request","name":"login","request_id":1,"data":{data}}}"#).into_bytes()
    };
    for is_host in [true, false] {
        let mut world = World::new(1000, &[]);
        let homes: Vec<_> =
            (0..40).map(|n| world.say(honest(n / 2), &register()).expect("room")).collect();
        let fill = |world: &mut World, from: u16, n: usize| {
            let says = if is_host { register() } else { login(n) };
            world.say(honest(100 + from), &says)
        };
        (40..1000).for_each(|n| _ = fill(&mut world, n as u16 % 40, n).expect("room"));
        world.server.pass(Duration::from_secs(10));
        for n in 0..200 {
            let host = world.say(honest(1000 + n), &register());
            assert!(host.is_some_and(|conn| !world.is_closed(conn)), "{n}");
            // They want the place back at once.
            fill(&mut world, n % 40, 1000 + usize::from(n));
        }
        assert!(homes.iter().all(|conn| !world.is_closed(*conn)), "nobody else is lost");
    }
}

#[test]
fn where_all_are_hosts_and_nobody_has_many_a_new_one_is_refused() {
    let mut world = World::new(200, &[]);
    let hosts: Vec<_> =
        (0..200).map(|n| world.say(honest(n), &register()).expect("room")).collect();
    world.server.pass(limits::IDLE);
    assert!(world.enter(honest(300)).is_none());
    assert!(hosts.iter().all(|conn| !world.is_closed(*conn)));
}

#[test]
fn an_idle_connection_gives_way_to_a_new_one_of_its_address_and_one_of_use_does_not() {
    let mut world = World::new(1000, &["--max-per-address", "8"]);
    let elsewhere = world.say(honest(1), &register()).expect("room");
    let (addr, connect) = (honest(2), wire::connect(Protocol::Modern, honest(1).ip()));
    let host = world.say(addr, &register()).expect("room");
    world.server.datagram(honest(1), &wire::udp_register(Protocol::Modern));
    let idle: Vec<_> = (0..6)
        .map(|_| {
            world.server.pass(Duration::from_millis(1));
            world.say(addr, PING).expect("room")
        })
        .collect();
    // All pings come just before.
    world.server.pass(limits::IDLE_WHEN_FULL * 3);
    let waiting = world.say(addr, &connect).expect("room");
    idle.iter().for_each(|conn| world.server.send(*conn, PING));
    let player = world.say(addr, &Query::default().request()).expect("a place");
    assert_eq!(world.server.heard(player).len(), 1, "served");
    assert!(world.is_closed(idle[0]), "the oldest had to go");
    assert!(idle[1..].iter().all(|conn| !world.is_closed(*conn)), "and no other");
    for stays in [host, waiting, player, elsewhere] {
        assert!(!world.is_closed(stays));
    }
    // When all are of use, the new one is refused.
    (0..5).for_each(|_| _ = world.say(addr, &register()));
    assert!(world.enter(addr).is_none());
    assert!(!world.is_closed(host) && !world.is_closed(waiting));
}

#[test]
fn who_has_to_wait_for_its_own_flood_does_not_keep_others_of_its_address_out() {
    let mut world = World::new(1000, &["--max-per-address", "8", "--max-commands", "5"]);
    let addr = honest(2);
    let flood: Vec<_> = (0..8).map(|_| world.say(addr, &PING.repeat(500)).expect("room")).collect();
    world.server.pass(limits::IDLE_WHEN_FULL);
    flood.iter().for_each(|conn| world.server.send(*conn, PING));
    assert!(world.enter(addr).is_some());
}

#[test]
fn who_has_sent_its_last_byte_is_answered_but_the_first_to_go() {
    const COMMANDS: usize = 400;
    let mut world = World::new(40, &["--max-commands", "10"]);
    let player = world.say(honest(0), PING).expect("room");
    // Asking for the lobby again and again, they have always done something just now.
    let request = Query::default().request().repeat(COMMANDS);
    let finished: Vec<_> = (1..40).map(|n| world.say(honest(n), &request).expect("room")).collect();
    finished.iter().for_each(|conn| world.server.finish(*conn));
    world.server.pass(limits::IDLE_WHEN_FULL * 2);
    assert!(finished.iter().all(|conn| !world.is_closed(*conn)), "they wait for the rest");
    for n in 100..105 {
        assert!(world.say(honest(n), PING).is_some(), "a place");
    }
    assert!(!world.is_closed(player), "it may still say something");
    assert_eq!(finished.iter().filter(|conn| world.is_closed(**conn)).count(), 5);

    let rest: Vec<_> = finished.into_iter().filter(|conn| !world.is_closed(*conn)).collect();
    world.server.pass(limits::IDLE - Duration::from_secs(5));
    for conn in rest {
        assert_eq!(world.server.heard(conn).len(), COMMANDS);
        assert!(world.is_closed(conn), "nothing is left to be said");
    }
}
