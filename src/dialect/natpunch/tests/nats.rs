//! What is told of NATs, and counted.

use super::*;
use crate::nats::Seen;

fn connect(source: &str, destination: &str) -> Pb {
    pb().m(5, pb().s(1, destination).s(2, source))
}

/// An instruction with a `nat_type`.
fn with_type(id: &str, nat_type: u64, public: SocketAddr, local: SocketAddr) -> Pb {
    pb().m(6, pb().n(1, 1).s(2, id).n(4, nat_type).m(6, ep(public)).m(7, ep(local)))
}

#[test]
fn both_are_told_what_the_other_is_behind() {
    let mut world = World::new();
    let (a, b, c) = (addr(1), addr(2), addr(3));
    let next = |addr: SocketAddr, n| SocketAddr::new(addr.ip(), addr.port() + n);
    world.shared.nats.saw(world.now.instant, a, Seen::Stun);
    world.shared.nats.saw(world.now.instant, a, Seen::Alternate);
    world.shared.nats.saw(world.now.instant, b, Seen::Stun);
    world.shared.nats.saw(world.now.instant, next(b, 1), Seen::Alternate);
    let [ia, ib, ic] = [a, b, c].map(|at| world.client(at));
    assert_eq!(
        world.say(a, connect(&ia, &ib)),
        [(a, with_type(&ib, 4, next(b, 2), b)), (b, with_type(&ia, 3, a, a))],
        "PORT_RESTRICTED_CONE is the strictest that it can be; SYMMETRIC, with its next port"
    );
    assert_eq!(
        world.say(c, connect(&ic, &ib)),
        [(c, with_type(&ib, 4, next(b, 3), b)), (b, instruction(&ic, c, c))],
        "that port was used up by the knock at the other"
    );
}

#[test]
fn a_client_that_has_its_own_address_has_no_nat() {
    let mut world = World::new();
    world.say(addr(1), pb().m(1, pb().m(1, ep(addr(1)))));
    assert_eq!(world.shared.nats.kind(world.now.instant, addr(1)), Kind::Open);
}

#[test]
fn joins_are_counted() {
    let mut world = World::new();
    let (host, guest, late) = (addr(1), addr(2), addr(3));
    let id = world.client(host);
    let lobby = world.lobby(host, &id, 8);
    let guest_id = world.client(guest);
    world.say(guest, join(&lobby, &guest_id));
    world.say(host, ready(&lobby, &guest_id));
    assert!(world.shared.journal.lines()[1].ends_with(" 1         0       0"));
    let late_id = world.client(late);
    world.say(late, join(&lobby, &late_id));
    for _ in 0..11 {
        world.wait(Duration::from_secs(1));
        for (at, id) in [(host, &id), (late, &late_id)] {
            world.say(at, keep_alive(id));
        }
    }
    assert!(
        world.shared.journal.lines()[1].ends_with(" 1         0       1"),
        "{:?}",
        world.shared.journal.lines()
    );
}

#[test]
fn a_host_that_is_silent_is_said_to_be_gone() {
    let mut world = World::new();
    let (host, late) = (addr(1), addr(2));
    let id = world.client(host);
    let lobby = world.lobby(host, &id, 8);
    world.say(host, keep_alive(&id));
    let late_id = world.client(late);
    world.say(late, join(&lobby, &late_id));
    for _ in 0..11 {
        world.wait(Duration::from_secs(1));
        world.say(late, keep_alive(&late_id));
    }
    let why = world.shared.journal.latest().next().unwrap().to_string();
    assert!(why.ends_with(": nothing has come from the host for 11 s: it is gone"), "{why}");
}

/// The port that was told is another one than that from which the guest has come.
#[test]
fn the_journal_has_the_port_that_was_told() {
    let mut world = World::new();
    let (host, guest) = (addr(1), addr(2));
    let id = world.client(host);
    let lobby = world.lobby(host, &id, 8);
    let next = |n| SocketAddr::new(guest.ip(), guest.port() + n);
    world.shared.nats.saw(world.now.instant, guest, Seen::Stun);
    world.shared.nats.saw(world.now.instant, next(1), Seen::Alternate);
    let guest_id = world.client(guest);
    world.say(guest, join(&lobby, &guest_id));
    let told = world.say(host, ready(&lobby, &guest_id));
    let ended = world.shared.journal.latest().next().unwrap();
    assert_eq!((ended.attempt.client, ended.attempt.host), (guest, host));
    assert_eq!(ended.attempt.told(), [host, next(2)], "{told:?}");
}

/// Nobody but the host knows its port before it has a lobby.
#[test]
fn what_is_forged_for_the_host_of_a_lobby_does_not_move_its_port() {
    let mut world = World::new();
    let (host, guest) = (addr(1), addr(2));
    let id = world.client(host);
    let lobby = world.lobby(host, &id, 8);
    world.shared.nats.saw(world.now.instant, host, Seen::Stun);
    let next = SocketAddr::new(host.ip(), host.port() + 1);
    world.shared.nats.saw(world.now.instant, next, Seen::Alternate);
    let guest_id = world.client(guest);
    let told = world.say(guest, join(&lobby, &guest_id));
    assert!(told.contains(&(guest, instruction(&id, host, host))), "{told:?}");
}

#[test]
fn who_is_outside_is_told_the_public_address_of_who_is_inside() {
    let mut world = World::new();
    let public = SocketAddr::from(([198, 51, 100, 7], 4001));
    let public_ips = public.ip().into();
    let random = StdRng::from_seed([7; 32]);
    world.natpunch = Natpunch::new(Config { public_ips, ..Config::default() }, random);
    let (inside, outside) = (SocketAddr::from(([192, 168, 1, 5], 4001)), addr(2));
    let (ia, ib) = (world.client(inside), world.client(outside));
    let told = world.say(outside, connect(&ib, &ia));
    assert!(told.contains(&(outside, instruction(&ia, public, public))), "{told:?}");
    assert!(told.contains(&(inside, instruction(&ib, outside, outside))), "{told:?}");

    let lobby = world.lobby(inside, &ia, 8);
    let other = SocketAddr::from(([192, 168, 1, 6], 4001));
    let ic = world.client(other);
    let mut told = Vec::new();
    for (from, what) in [
        (other, join(&lobby, &ic)),
        (inside, ready(&lobby, &ic)),
        (outside, pb().m(15, pb().s(1, "q"))),
        (outside, join(&lobby, &ib)),
        (inside, ready(&lobby, &ib)),
        (other, leave(&lobby, &ic)),
    ] {
        told.extend(world.say(from, what));
    }
    let told: Vec<_> = told.into_iter().filter(|(to, _)| *to == outside).collect();
    assert!(told.len() >= 5, "{told:?}");
    let text: String = told.iter().map(|(_, Pb(bytes))| bytes.escape_ascii().to_string()).collect();
    assert!(!text.contains("192.168.") && text.matches("198.51.100.7").count() >= 5, "{text}");
}
