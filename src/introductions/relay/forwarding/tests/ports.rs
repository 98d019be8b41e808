//! Which port of a player is believed.

use super::*;

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
    for _ in 0..2 * limits::THIRD {
        world.comes(B, (HOST, 9), b"moved, and stays");
    }
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

/// Its NAT gives it another port, while somebody forges some more packets than it sends.
#[test]
fn a_player_that_moves_is_found_among_forged_packets_from_ports_of_all_kinds() {
    for times in [1, 2] {
        let mut world = World::with_session(Shape::Any);
        let young = limits::YOUNG.as_millis() as u64 / 50;
        host_among_others(&mut world, 0..2 * young, |_| vec![9]);
        let sends = |n: u64| {
            let forged = (0..times).map(|k| 10_000 + (n * times + k) as u16 % 40_000);
            forged.chain([OWN]).collect::<Vec<u16>>()
        };
        // It is found within some seconds.
        let (passed, sent) = host_among_others(&mut world, 0..200, sends);
        assert!(passed + 120 > sent && sent == 200, "{passed} of {sent}");
        let (passed, sent) = host_among_others(&mut world, 200..600, sends);
        assert_eq!(passed, sent);
        host_is_at(&mut world, OWN);
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
