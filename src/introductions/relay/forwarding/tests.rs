use std::collections::VecDeque;

use proptest::prelude::*;

use super::*;
use crate::introductions::relay::Side;

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
fn a_player_may_change_its_port_until_they_are_connected() {
    let mut world = World::with_session(Shape::Any);
    world.comes(A, (CLIENT, 1), b"hello");
    world.comes(A, (CLIENT, 7), b"again");
    world.comes(B, (HOST, 2), b"hi");
    world.leaves(B, (HOST, 2), b"hello");
    world.leaves(B, (HOST, 2), b"again");
    world.leaves(A, (CLIENT, 7), b"hi");
    // Somebody at the host's address sprays ports, and the host is still there.
    for port in 10..20 {
        world.comes(B, (HOST, port), b"sprayed");
        world.leaves(A, (CLIENT, 7), b"sprayed");
    }
    for _ in 0..2 {
        world.comes(B, (HOST, 2), b"here");
        world.leaves(A, (CLIENT, 7), b"here");
        world.comes(A, (CLIENT, 7), b"me too");
        world.leaves(B, (HOST, 2), b"me too");
    }
    for (at, from) in [(A, (CLIENT, 1)), (B, (HOST, 3))] {
        world.comes(at, from, b"sprayed");
        world.nothing_leaves();
    }
    assert_eq!(world.relay.take_dropped().from_other_port, 2);
    world.comes(B, (HOST, 2), b"still");
    world.leaves(A, (CLIENT, 7), b"still");
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

/// By its NAT, or because somebody behind its address was there before it.
#[test]
fn a_player_is_found_at_another_port_when_the_first_is_silent() {
    let mut world = World::with_session(Shape::Any);
    world.connect();
    world.wait(limits::MOVED - Duration::from_millis(1));
    world.comes(B, (HOST, 9), b"too soon");
    world.nothing_leaves();
    world.wait(Duration::from_millis(1));
    world.comes(B, (HOST, 9), b"moved");
    world.leaves(A, (CLIENT, 1), b"moved");
    world.comes(A, (CLIENT, 1), b"welcome");
    world.leaves(B, (HOST, 9), b"welcome");
}

/// Else each packet of theirs would keep it out for as long again.
#[test]
fn others_who_spray_ports_do_not_keep_out_a_player_that_has_moved() {
    let mut world = World::with_session(Shape::Any);
    world.connect();
    world.wait(limits::MOVED);
    for port in 20..23 {
        world.comes(B, (HOST, port), b"sprayed");
    }
    world.comes(B, (HOST, 9), b"moved");
    world.comes(B, (HOST, 9), b"and stays");
    world.comes(B, (HOST, 23), b"sprayed");
    world.sent.clear();
    world.comes(A, (CLIENT, 1), b"welcome");
    world.leaves(B, (HOST, 9), b"welcome");
}

/// The client at its port, and packets of the host's address, the `n`th after `n` times 50 ms: who `sends` says
/// from which ports. How many of those from its own port reach the client, and how many there were.
fn host_among_others(
    world: &mut World,
    packets: std::ops::Range<u64>,
    sends: impl Fn(u64) -> Vec<u16>,
) -> (usize, usize) {
    let mut sent = 0;
    world.sent.clear();
    for n in packets {
        world.comes(A, (CLIENT, 1), b"client");
        for port in sends(n) {
            let data: &[u8] = if port == OWN { b"honest" } else { b"forged" };
            sent += usize::from(port == OWN);
            world.comes(B, (HOST, port), data);
        }
        world.millis += 50;
    }
    let honest = |packet: &&(u16, SocketAddr, Vec<u8>)| packet.2 == b"honest";
    (world.sent.iter().filter(honest).count(), sent)
}

/// The port that the host sends from.
const OWN: u16 = 7000;

/// Where a packet of the client goes to.
#[track_caller]
fn host_is_at(world: &mut World, port: u16) {
    world.sent.clear();
    world.comes(A, (CLIENT, 1), b"where");
    world.leaves(B, (HOST, port), b"where");
}

/// Somebody forges five packets a second, from before the session is there.
#[test]
fn in_a_young_session_the_port_that_sends_more_wins() {
    let forged = |n: u64| n.is_multiple_of(4).then_some(9);
    let honest = |n: u64| (n >= 8).then_some(OWN);
    let mut world = World::with_session(Shape::Any);
    let sends = |n| forged(n).into_iter().chain(honest(n)).collect();
    let (passed, sent) = host_among_others(&mut world, 0..8, sends);
    assert_eq!((passed, sent), (0, 0));
    host_is_at(&mut world, 9);
    let (passed, sent) = host_among_others(&mut world, 8..600, sends);
    assert!(passed + 6 >= sent && sent > 500, "{passed} of {sent}");
    host_is_at(&mut world, OWN);

    // Whoever sprays ports as well does not make it begin again, nor does it help to send some at once.
    let sprayed = |n: u64| n.is_multiple_of(2).then_some(10_000 + n as u16);
    let burst = |n: u64| if n.is_multiple_of(20) { vec![9; 5] } else { vec![] };
    let all = |n| sprayed(n).into_iter().chain(burst(n)).chain(honest(n)).collect();
    let mut world = World::with_session(Shape::Any);
    let (passed, sent) = host_among_others(&mut world, 0..600, all);
    assert!(passed + 20 >= sent && sent > 500, "{passed} of {sent}");
    host_is_at(&mut world, OWN);
}

#[test]
fn no_port_takes_the_place_of_who_plays_however_much_it_sends() {
    let mut world = World::with_session(Shape::Any);
    let young = limits::YOUNG.as_millis() as u64 / 50;
    host_among_others(&mut world, 0..young, |_| vec![OWN]);
    let mut sends = vec![9; 50];
    sends.push(OWN);
    let (passed, sent) = host_among_others(&mut world, 0..600, |_| sends.clone());
    assert_eq!((passed, sent), (600, 600));
    host_is_at(&mut world, OWN);
    assert_eq!(world.relay.take_dropped().from_other_port, 50 * 600);
    // Nor what has sent nearly as much while the session was young.
    let mut world = World::with_session(Shape::Any);
    let nearly = |n| if n % 9 > 3 { vec![OWN, 9] } else { vec![OWN] };
    host_among_others(&mut world, 0..young, nearly);
    let (passed, sent) = host_among_others(&mut world, 0..600, |_| vec![9, 9, OWN]);
    assert_eq!((passed, sent), (600, 600));
}

#[test]
fn who_sprays_ports_moves_nothing_in_a_young_session() {
    for ports in [2, 3, 1000] {
        let mut world = World::with_session(Shape::Any);
        world.connect();
        world.comes(B, (HOST, OWN), b"too few to be believed");
        let sends = |n: u64| (0..20).map(|k| 10_000 + ((20 * n + k) % ports) as u16).collect();
        let young = limits::YOUNG.as_millis() as u64 / 50;
        // The host itself says little.
        for n in 0..young {
            host_among_others(&mut world, n..n + 1, sends);
            if n.is_multiple_of(20) {
                world.comes(B, (HOST, 2), b"here");
            }
        }
        host_is_at(&mut world, 2);
    }
}

/// Another player behind its address, whose game tries ports as well and stays where it is answered.
#[test]
fn a_player_that_was_not_believed_for_long_is_there_at_its_first_packet() {
    let mut world = World::with_session(Shape::Any);
    world.connect();
    for _ in 0..2 {
        world.wait(limits::MOVED / 2 - Duration::from_millis(1));
        world.comes(B, (HOST, 9), b"too soon");
    }
    world.nothing_leaves();
    world.wait(Duration::from_millis(2));
    world.comes(B, (HOST, 9), b"moved");
    for _ in 0..2 {
        world.comes(B, (HOST, 23), b"tries this port too");
    }
    world.sent.clear();
    world.comes(A, (CLIENT, 1), b"welcome");
    world.leaves(B, (HOST, 9), b"welcome");
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

/// How many packets of this size get through that come in so many seconds, a thousand a second.
fn passed(world: &mut World, size: usize, secs: u64) -> usize {
    world.sent.clear();
    for n in 0..1000 * secs {
        world.millis += 1;
        world.comes(A, (CLIENT, 1), &vec![0; size]);
        if n % 1000 == 0 {
            world.comes(B, (HOST, 2), b"i am here");
        }
    }
    world.sent.iter().filter(|(port, ..)| *port == B).count()
}

#[test]
fn a_player_has_its_bytes_and_packets_a_second() {
    let Bounds { session_bytes, session_packets, .. } = Bounds::default();
    let mut world = World::with_session(Shape::Any);
    world.connect();
    world.millis += 10_000;
    let packets = passed(&mut world, 1, 8);
    assert!(packets.abs_diff(10 * session_packets as usize) <= 2, "{packets}");
    world.millis += 10_000;
    let bytes = 1000 * passed(&mut world, 1000, 8);
    assert!(bytes.abs_diff(10 * session_bytes as usize) <= 2000, "{bytes}");
    assert!(world.relay.take_dropped().over_session > 10_000);
    // The other one has its own.
    world.comes(B, (HOST, 2), b"mine");
    assert_eq!(world.sent.back().unwrap().2, b"mine");
}

#[test]
fn all_together_have_their_bytes_a_second() {
    let bounds = Bounds { total_bytes: 10_000, ..Bounds::default() };
    let mut world = World::new(bounds);
    world.open(1, [CLIENT, HOST], [A, B], Shape::Any);
    world.connect();
    let bytes = 100 * passed(&mut world, 100, 8);
    // One second's worth at once, as the other second's is kept for others.
    assert!(bytes.abs_diff(9 * 10_000) <= 200, "{bytes}");
    assert!(world.relay.take_dropped().over_total > 0);
}

/// One session sends as much as it can, another one a packet now and then.
#[test]
fn who_sends_little_has_its_share_when_others_use_up_the_bytes_of_all() {
    let bounds = Bounds { total_bytes: 10_000, ..Bounds::default() };
    let mut world = World::new(bounds);
    world.open(1, [CLIENT, HOST], [A, B], Shape::Any);
    world.connect();
    let modest = [[203, 0, 113, 77], [203, 0, 113, 78]];
    let ports = [A + 2, B + 2];
    world.open(2, modest, ports, Shape::Any);
    for n in [0, 1] {
        world.comes(ports[n], (modest[n], 1), b"hello");
        world.comes(ports[n], (modest[n], 1), b"hello");
    }
    let (mut passed, mut greedy) = (0, 0);
    for n in 0..1000 {
        world.millis += 10;
        for _ in 0..5 {
            let before = world.sent.len();
            world.comes(A, (CLIENT, 1), &[7; 100]);
            greedy += world.sent.len() - before;
        }
        world.comes(B, (HOST, 2), b"x");
        if n % 10 == 0 {
            for side in [0, 1] {
                let before = world.sent.len();
                world.comes(ports[side], (modest[side], 1), &[8; 100]);
                passed += world.sent.len() - before;
            }
        }
    }
    assert_eq!(passed, 200, "all of what is below its share");
    assert!(greedy > 700, "the rest is for others: {greedy}");
}

/// An address with 32 sessions sends three times what all may, and a pair beside it what a game does.
fn lost_beside_many_sessions(world: &mut World) -> usize {
    let modest = [[203, 0, 113, 77], [203, 0, 113, 78]];
    let mut lost = 0;
    for n in 0..2000u16 {
        world.millis += 5;
        // 1.2 MB/s in all.
        for k in 8 * (n % 4)..8 * (n % 4) + 8 {
            world.comes(A + k, (CLIENT, 1), &[7; 750]);
            world.comes(B + 1000 + k, (HOST, 2), b"x");
        }
        if n % 5 == 0 {
            for (side, port) in [A, B].into_iter().enumerate() {
                world.sent.clear();
                world.comes(port, (modest[side], 1), &[8; 500]);
                lost += usize::from(n > 10 && world.sent.is_empty());
            }
        }
    }
    lost
}

#[test]
fn an_address_with_many_sessions_has_one_share() {
    let bounds = Bounds { total_bytes: 400_000, ..Bounds::default() };
    let mut world = World::new(bounds);
    world.open(1, [[203, 0, 113, 77], [203, 0, 113, 78]], [A, B], Shape::Any);
    for k in 0..32 {
        let ports = [A + k, B + 1000 + k];
        world.open(2 + u64::from(k), [CLIENT, HOST], ports, Shape::Any);
    }
    let lost = lost_beside_many_sessions(&mut world);
    assert_eq!(lost, 0, "of 800");
    assert!(world.relay.take_dropped().over_total > 1000);
    // The same in another process.
    let saved = world.relay.save().unwrap();
    let mut other = World::new(bounds);
    other.millis = world.millis;
    other.relay.load(&saved, |_, _| true).unwrap();
    assert_eq!(lost_beside_many_sessions(&mut other), 0, "of 800");
    assert!(other.relay.take_dropped().over_total > 1000);
}

/// Else all shares would be too small, or a network that comes again would have a second one.
#[test]
fn shares_are_as_many_as_networks_that_have_sessions() {
    use crate::hash::Keyed;
    let (mut shares, keyed) = (Shares::default(), Keyed::default());
    let ip = |text: &str| text.parse::<IpAddr>().unwrap();
    let a = shares.join(&keyed, ip("2001:db8::1"));
    assert_eq!(shares.join(&keyed, ip("2001:db8::2")), a);
    let b = shares.join(&keyed, ip("2001:db8:0:1::1"));
    assert_ne!(a, b);
    let (second, now) = (Rate::per_second(1000), Instant::from_micros(1));
    let has = |shares: &Shares, at, amount| shares.has(at, shares.of(second), now, amount);
    assert!(has(&shares, a, 1000) && !has(&shares, a, 1001), "two seconds of a half");
    shares.take_most(a, shares.of(second), now, 900);
    assert!(has(&shares, a, 100) && !has(&shares, a, 101));
    // One of its two is there still, then none.
    shares.leave(a);
    assert!(!has(&shares, b, 1001));
    shares.leave(a);
    assert!(has(&shares, b, 2000));
    // It is the same one again, and as empty, unless another has its place.
    assert_eq!(shares.join(&keyed, ip("2001:db8::3")), a);
    assert!(!has(&shares, a, 1000));
    shares.leave(a);
    let c = shares.join(&keyed, ip("203.0.113.1"));
    assert_eq!(c, a);
    assert!(has(&shares, c, 1000));
    assert_ne!(shares.join(&keyed, ip("203.0.113.2")), c);
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
