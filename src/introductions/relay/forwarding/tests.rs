use std::collections::VecDeque;

use proptest::prelude::*;

use super::*;
use crate::introductions::relay::Side;

mod ports;
mod rates;

const CLIENT: [u8; 4] = [203, 0, 113, 1];
const HOST: [u8; 4] = [203, 0, 113, 2];
/// Ports of the pool: the client's and the host's.
const A: u16 = 20_000;
const B: u16 = 20_001;

#[test]
fn sessions_go_on_in_another_process() {
    let mut world = World::with_session(Shape::Any);
    world.open(2, [[203, 0, 113, 3], HOST], [A, A], Shape::Any);
    world.comes(A, (CLIENT, 5000), b"held");
    let saved = world.relay.save().unwrap();
    let load = |saved: &[u8], has_port: fn(IpAddr, u16) -> bool| {
        let mut other = World::new(Bounds::default());
        other.millis = world.millis;
        let loaded = other.relay.load(saved, has_port);
        loaded.map(|()| other)
    };
    let mut other = load(&saved, |_, _| true).unwrap();
    assert_eq!(other.relay.sessions(), [SessionId(1), SessionId(2)].into());
    other.comes(B, (HOST, 6000), b"first");
    other.leaves(B, (HOST, 6000), b"held");
    other.leaves(A, (CLIENT, 5000), b"first");
    assert_eq!(other.relay.next_wakeup(), world.relay.next_wakeup());
    // Where the pool is another one.
    let mut fewer = load(&saved, |addr, port| (addr, port) != (HOST.into(), B)).unwrap();
    assert_eq!(fewer.relay.sessions(), [SessionId(2)].into());
    let ended: Vec<_> = fewer.relay.take_reports().collect();
    assert_eq!(ended, [Report::Ended(SessionId(1), End::GaveWay)]);
    for length in 0..saved.len() {
        assert!(load(&saved[..length], |_, _| true).is_err(), "{length}");
    }
}

struct World {
    relay: Forwarding,
    millis: u64,
    sent: VecDeque<(u16, SocketAddr, Vec<u8>)>,
}

impl World {
    fn new(bounds: Bounds) -> Self {
        Self { relay: Forwarding::new(bounds), millis: 1, sent: VecDeque::new() }
    }

    fn with_session(shape: Shape) -> Self {
        let mut world = Self::new(Bounds::default());
        world.open(1, [CLIENT, HOST], [A, B], shape);
        world
    }

    fn now(&self) -> Instant {
        Instant::from_micros(self.millis * 1000)
    }

    fn open(&mut self, id: u64, addrs: [[u8; 4]; 2], ports: [u16; 2], shape: Shape) {
        let [client, host] = addrs.map(IpAddr::from);
        let sides = [Side { addr: client, port: ports[0] }, Side { addr: host, port: ports[1] }];
        let session = Session { id: SessionId(id), sides, shape };
        self.relay.open(self.now(), session);
    }

    fn comes(&mut self, at: u16, from: ([u8; 4], u16), data: &[u8]) {
        let now = self.now();
        let mut send = |port, to, data: &[u8]| self.sent.push_back((port, to, data.to_vec()));
        self.relay.on_datagram(now, at, from.into(), data, &mut send);
    }

    /// The next packet that leaves is this one.
    #[track_caller]
    fn leaves(&mut self, port: u16, to: ([u8; 4], u16), data: &[u8]) {
        assert_eq!(self.sent.pop_front(), Some((port, to.into(), data.to_vec())));
    }

    #[track_caller]
    fn nothing_leaves(&self) {
        assert_eq!(self.sent, []);
    }

    /// Both have sent something.
    fn connect(&mut self) {
        self.comes(A, (CLIENT, 1), b"hello");
        self.comes(B, (HOST, 2), b"hi");
        self.comes(A, (CLIENT, 1), b"yes");
        self.comes(B, (HOST, 2), b"ok");
        self.sent.clear();
    }

    fn wait(&mut self, time: Duration) -> Vec<Report> {
        let end = self.millis + time.as_millis() as u64;
        while let Some(at) = self.relay.next_wakeup().map(|at| at.micros().div_ceil(1000))
            && at <= end
        {
            self.millis = at;
            self.relay.on_wakeup(self.now());
        }
        self.millis = end;
        self.relay.take_reports().collect()
    }

    /// How long after now it ends, and why.
    fn end(&mut self) -> (Duration, End) {
        let before = self.millis;
        for _ in 0..100_000 {
            let reports = self.wait(Duration::from_secs(1));
            if let Some(end) = reports.iter().find_map(|report| match report {
                Report::Ended(SessionId(1), end) => Some(*end),
                _ => None,
            }) {
                return (Duration::from_millis(self.millis - before), end);
            }
        }
        panic!("it never ends")
    }
}

#[test]
fn what_comes_to_one_port_leaves_from_the_other() {
    let mut world = World::with_session(Shape::Any);
    world.comes(A, (CLIENT, 1), b"hello");
    world.nothing_leaves();
    world.comes(B, (HOST, 2), b"hi");
    world.leaves(B, (HOST, 2), b"hello");
    world.leaves(A, (CLIENT, 1), b"hi");
    world.comes(A, (CLIENT, 1), b"more");
    world.leaves(B, (HOST, 2), b"more");
    assert_eq!(world.wait(Duration::ZERO), [], "the host may be sprayed");
    world.comes(B, (HOST, 2), b"and");
    world.leaves(A, (CLIENT, 1), b"and");
    world.nothing_leaves();
    assert_eq!(world.wait(Duration::ZERO), [Report::Connected(SessionId(1))]);
    let reports = world.wait(CHECK);
    assert_eq!(reports, [Report::Passed(14)]);
}

/// After a silence it is looked for at any port, and there is none to answer to.
#[test]
fn a_player_is_never_at_port_0() {
    let mut world = World::with_session(Shape::Any);
    world.connect();
    world.wait(limits::UNANSWERED);
    world.comes(A, (CLIENT, 0), b"forged");
    world.comes(B, (HOST, 0), b"forged");
    world.nothing_leaves();
    assert!(!world.wait(CHECK).iter().any(|report| matches!(report, Report::Ended(..))));
    world.comes(B, (HOST, 2), b"hi");
    world.leaves(A, (CLIENT, 1), b"hi");
}

#[test]
fn a_stranger_gets_nothing_and_changes_nothing() {
    let mut world = World::with_session(Shape::Any);
    let stranger = ([203, 0, 113, 3], 1);
    for port in [A, B, A - 1] {
        world.comes(port, stranger, b"me");
    }
    // Nor does a player at the port of the other one.
    world.comes(B, (CLIENT, 1), b"me");
    world.comes(A, (HOST, 2), b"me");
    world.comes(A, (CLIENT, 1), b"hello");
    world.nothing_leaves();
    world.comes(B, (HOST, 2), b"hi");
    world.leaves(B, (HOST, 2), b"hello");
    world.leaves(A, (CLIENT, 1), b"hi");
    world.comes(A, stranger, b"me");
    world.nothing_leaves();
}

#[test]
fn the_first_four_packets_are_held() {
    let mut world = World::with_session(Shape::Any);
    for n in 0..6 {
        world.comes(A, (CLIENT, 1), &[n]);
    }
    world.comes(B, (HOST, 2), b"hi");
    for n in 0..4 {
        world.leaves(B, (HOST, 2), &[n]);
    }
    world.leaves(A, (CLIENT, 1), b"hi");
    world.nothing_leaves();

    let mut world = World::with_session(Shape::Any);
    world.comes(A, (CLIENT, 1), &[0; limits::HELD_BYTES + 1]);
    world.comes(A, (CLIENT, 1), &[0; limits::HELD_BYTES]);
    world.comes(B, (HOST, 2), b"hi");
    world.leaves(B, (HOST, 2), &[0; limits::HELD_BYTES]);
    world.leaves(A, (CLIENT, 1), b"hi");
}

#[test]
fn they_are_connected_when_packets_have_gone_both_ways() {
    let mut world = World::with_session(Shape::Any);
    // Too long to be held, so that nothing of the client has passed yet.
    world.comes(A, (CLIENT, 1), &[0; limits::HELD_BYTES + 1]);
    world.comes(B, (HOST, 2), b"hi");
    world.leaves(A, (CLIENT, 1), b"hi");
    world.comes(B, (HOST, 2), b"hi");
    world.leaves(A, (CLIENT, 1), b"hi");
    assert_eq!(world.wait(Duration::ZERO), []);
    for _ in 0..2 {
        world.comes(A, (CLIENT, 7), b"from another port");
        world.leaves(B, (HOST, 2), b"from another port");
    }
    assert_eq!(world.wait(Duration::ZERO), [Report::Connected(SessionId(1))]);
}

#[test]
fn who_has_left_is_not_flooded() {
    let mut world = World::with_session(Shape::Any);
    world.connect();
    let mut passed = 0;
    for _ in 0..100 {
        world.wait(Duration::from_secs(1));
        world.comes(A, (CLIENT, 1), b"are you there?");
        passed += world.sent.drain(..).count();
    }
    assert_eq!(passed as u64, limits::CONSENT.as_secs() - 1);
    assert!(world.relay.take_dropped().to_silent > 20);
}

#[test]
fn what_gives_way_is_over_at_once_and_others_have_its_ports() {
    let mut world = World::with_session(Shape::Any);
    world.connect();
    world.wait(Duration::ZERO);
    let side = Side { addr: CLIENT.into(), port: A };
    let now = world.now();
    world.relay.obey(now, Order::Close(SessionId(1), side));
    world.open(2, [CLIENT, [203, 0, 113, 9]], [A, B], Shape::Any);
    // The one before may be told to be over again, as when its end was on its way.
    world.relay.obey(now, Order::Close(SessionId(1), side));
    assert_eq!(world.wait(Duration::ZERO), [Report::Ended(SessionId(1), End::GaveWay)]);
    world.comes(B, (HOST, 2), b"to nobody");
    world.comes(A, (CLIENT, 1), b"hello");
    world.comes(B, ([203, 0, 113, 9], 3), b"hi");
    world.leaves(B, ([203, 0, 113, 9], 3), b"hello");
    world.leaves(A, (CLIENT, 1), b"hi");
    world.nothing_leaves();
}

#[test]
fn games_of_gamemaker_pass_nothing_else() {
    let mut world = World::with_session(Shape::GameMaker);
    let game = [0xDE, 0xC0, 0xAD, 0xDE, 12, 0, 0, 0];
    world.comes(A, (CLIENT, 1), b"a tunnel");
    world.comes(A, (CLIENT, 1), &game[..3]);
    world.comes(A, (CLIENT, 1), &game);
    world.comes(B, (HOST, 2), &game);
    world.leaves(B, (HOST, 2), &game);
    world.leaves(A, (CLIENT, 1), &game);
    world.nothing_leaves();
    assert_eq!(world.relay.take_dropped(), Dropped { of_other_shape: 2, ..Dropped::default() });
    assert!(world.relay.take_dropped().is_empty());
}

#[test]
fn a_session_that_is_not_answered_is_over() {
    let mut world = World::with_session(Shape::Any);
    world.comes(A, (CLIENT, 1), b"hello");
    let (after, end) = world.end();
    assert_eq!(end, End::Unanswered);
    assert!((limits::UNANSWERED..=limits::UNANSWERED + CHECK).contains(&after), "{after:?}");
    assert_eq!(world.relay.next_wakeup(), None, "nothing is left to do");
    world.comes(B, (HOST, 2), b"hi");
    world.comes(A, (CLIENT, 1), b"hello");
    world.nothing_leaves();
    let is_known = |(port, ip)| world.relay.sessions.sender(port, IpAddr::from(ip)).is_some();
    assert!(![(A, CLIENT), (B, HOST)].into_iter().any(is_known));
}

#[test]
fn a_session_that_is_idle_is_over() {
    let mut world = World::with_session(Shape::Any);
    world.connect();
    world.wait(limits::IDLE - Duration::from_secs(1));
    world.comes(A, (CLIENT, 1), b"still there");
    world.comes(B, (HOST, 2), b"me too");
    // One alone does not keep it.
    world.wait(Duration::from_secs(30));
    world.comes(A, (CLIENT, 1), b"still there");
    let (after, end) = world.end();
    assert_eq!(end, End::Idle);
    let (after, rest) = (after + Duration::from_secs(30), limits::IDLE + CHECK);
    assert!((limits::IDLE..=rest).contains(&after), "{after:?}");
}

#[test]
fn no_session_is_for_ever() {
    let mut world = World::with_session(Shape::Any);
    world.connect();
    let reports = loop {
        world.comes(A, (CLIENT, 1), b"still there");
        world.comes(B, (HOST, 2), b"me too");
        let reports = world.wait(Duration::from_secs(20));
        if reports.contains(&Report::Ended(SessionId(1), End::UsedUp)) {
            break reports;
        }
        assert!(world.millis < 2 * limits::AGE.as_millis() as u64, "{reports:?}");
    };
    let age = Duration::from_millis(world.millis);
    assert!(age >= limits::AGE && age < limits::AGE + Duration::from_secs(60), "{reports:?}");

    let bounds = Bounds { session_bytes: u32::MAX, total_bytes: u32::MAX, ..Bounds::default() };
    let mut world = World::new(bounds);
    world.open(1, [CLIENT, HOST], [A, B], Shape::Any);
    world.connect();
    world.relay.sessions.get_mut(0).unwrap().0.bytes = limits::SESSION_BYTES - 1;
    assert_eq!(world.wait(CHECK), [Report::Connected(SessionId(1)), Report::Passed(12)]);
    world.comes(A, (CLIENT, 1), b"the last");
    assert!(world.wait(CHECK).contains(&Report::Ended(SessionId(1), End::UsedUp)));
}

/// Something that comes: to which port, from which address and port, and how long after.
type Event = (u8, u8, u8, u16);

proptest! {
    /// Three sessions share four ports of the pool, two of them a client's address; anybody sends from
    /// anywhere to any port.
    #[test]
    fn only_the_two_get_what_the_two_send(
        events in proptest::collection::vec((0..4u8, 0..6u8, 0..3u8, 0..2000u16), 0..300),
    ) {
        let mut world = World::new(Bounds::default());
        let addr = |n: u8| [203, 0, 113, n];
        let sessions = [([0, 1], [0, 1]), ([0, 2], [2, 0]), ([3, 0], [0, 3])];
        for (id, (players, ports)) in (1..).zip(sessions) {
            world.open(id, players.map(addr), ports.map(|port| A + port), Shape::Any);
        }
        // What each side of each session has sent, by its number.
        let mut said = vec![Vec::new(); 6];
        let mut heard = vec![Vec::new(); 6];
        for (n, (port, from, from_port, wait)) in events.into_iter().enumerate() {
            let _: Event = (port, from, from_port, wait);
            world.millis += u64::from(wait);
            let data = (n as u32).to_be_bytes();
            for (session, (players, ports)) in sessions.iter().enumerate() {
                for side in 0..2 {
                    if (players[side], ports[side]) == (from, u16::from(port)) {
                        said[2 * session + side].push(data);
                    }
                }
            }
            world.comes(A + u16::from(port), (addr(from), 1 + u16::from(from_port)), &data);
            for (port, to, data) in world.sent.drain(..) {
                let to_whom = |(session, side): (usize, usize)| {
                    let (players, ports): ([u8; 2], [u16; 2]) = sessions[session];
                    to.ip() == IpAddr::from(addr(players[side])) && port == A + ports[side]
                };
                let all = (0..3).flat_map(|session| [(session, 0), (session, 1)]);
                let (session, side) = all.clone().find(|one| to_whom(*one)).expect("a player");
                heard[2 * session + side].push(<[u8; 4]>::try_from(&data[..]).expect("four bytes"));
            }
        }
        for (side, heard) in heard.iter().enumerate() {
            let other = side ^ 1;
            let mut sent = said[other].iter();
            for data in heard {
                prop_assert!(sent.any(|one| one == data), "{side} got what {other} has not sent, or twice");
            }
        }
    }
}
