//! The relay for who does not meet the host of a lobby.

use super::*;
use crate::introductions::relay::sessions::{Config as Relay, Sessions};
use crate::introductions::relay::{Bounds, End, Report, Session};
use crate::nats::Seen;

const RELAY: [u8; 4] = [198, 51, 100, 20];

fn relaying() -> World {
    let mut world = World::new();
    let told = std::net::IpAddr::from(RELAY).into();
    let relay = Relay { told, is_apart: false, ports: 20_000..=20_063, bounds: Bounds::default() };
    world.shared.relay = Sessions::new(Some(relay));
    world
}

fn sessions(world: &mut World) -> Vec<Session> {
    world.shared.relay.take_new().collect()
}

/// Time passes, in which these show every second that they are there.
fn pass(world: &mut World, secs: u64, there: &[(SocketAddr, &str)]) -> Vec<(SocketAddr, Pb)> {
    let mut told = Vec::new();
    for _ in 0..secs {
        told.extend(world.wait(Duration::from_secs(1)));
        for (at, id) in there {
            world.say(*at, keep_alive(id));
        }
    }
    told
}

/// Registers somebody who does not show that it hears the answer.
fn registered(world: &mut World, at: SocketAddr) -> String {
    let answers = world.say(at, register());
    match Message::decode(&answers[0].1.0[..]).unwrap().content {
        Some(Content::RegisterResponse(response)) => response.client_id,
        other => panic!("{other:?}"),
    }
}

/// A lobby, its host, and a client that has asked to join.
fn joining(world: &mut World, is_proven: bool) -> (String, String, String) {
    let (host, guest) = (addr(1), addr(2));
    let ih = world.client(host);
    let lobby = world.lobby(host, &ih, 8);
    let ig = if is_proven { world.client(guest) } else { registered(world, guest) };
    world.say(guest, join(&lobby, &ig));
    (lobby, ih, ig)
}

fn at_relay(id: &str, port: u16) -> Pb {
    let at = SocketAddr::from((RELAY, port));
    pb().m(6, pb().n(1, 1).s(2, id).n(5, 1).m(6, ep(at)).m(7, ep(at)))
}

fn counted(world: &World) -> String {
    let lines = world.shared.journal.lines();
    let row: Vec<&str> = lines.get(1).map_or("", |row| row).split_whitespace().skip(3).collect();
    row.join(" ")
}

fn report(world: &mut World, report: Report) {
    let now = world.now;
    if let Some((attempt, way)) = world.shared.relay.note(now, report) {
        world.shared.journal.note(now, &world.shared.nats, &attempt, way);
    }
}

#[test]
fn who_does_not_meet_its_host_in_time_is_relayed() {
    let mut world = relaying();
    let (lobby, ih, ig) = joining(&mut world, true);
    let there = [(addr(1), &ih[..]), (addr(2), &ig[..])];
    let told = pass(&mut world, 10, &there);
    let [session] = sessions(&mut world)[..] else { panic!("one session") };
    let [client, host] = session.sides;
    assert_eq!((client.addr, host.addr), (addr(2).ip(), addr(1).ip()));
    let expected = [(addr(1), at_relay(&ig, host.port)), (addr(2), at_relay(&ih, client.port))];
    assert_eq!(told, expected);
    assert_eq!(counted(&world), "", "it has not ended");
    report(&mut world, Report::Connected(session.id));
    assert_eq!(counted(&world), "0 1 0");
    world.say(addr(1), ready(&lobby, &ig));
    report(&mut world, Report::Ended(session.id, End::Idle));
    assert_eq!(counted(&world), "0 1 0");
}

#[test]
fn who_is_not_there_even_so_is_given_up() {
    let mut world = relaying();
    let (_, ih, ig) = joining(&mut world, true);
    let there = [(addr(1), &ih[..]), (addr(2), &ig[..])];
    pass(&mut world, 10, &there);
    let told = pass(&mut world, 10, &there);
    let failed = error("Failed to establish connection with lobby host");
    assert_eq!(told, [(addr(2), failed)]);
    let [session] = sessions(&mut world)[..] else { panic!("one session") };
    report(&mut world, Report::Ended(session.id, End::Unanswered));
    assert_eq!(counted(&world), "0 0 1");
}

#[test]
fn who_has_proven_nothing_is_not_relayed() {
    let mut world = relaying();
    let (_, ih, _) = joining(&mut world, false);
    pass(&mut world, 15, &[(addr(1), &ih)]);
    assert_eq!(sessions(&mut world), []);
}

#[test]
fn two_that_cannot_meet_are_relayed_at_once() {
    let mut world = relaying();
    for n in [1, 2] {
        let second = SocketAddr::new(addr(n).ip(), addr(n).port() + 77);
        world.shared.nats.saw(world.now.instant, addr(n), Seen::Stun);
        world.shared.nats.saw(world.now.instant, second, Seen::Alternate);
    }
    joining(&mut world, true);
    assert_eq!(sessions(&mut world).len(), 1);
}
