//! What each may send, alone and together.

use super::*;

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
