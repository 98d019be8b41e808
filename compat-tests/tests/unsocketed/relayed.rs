//! Who does not get through is told of the relay, which is at another address than the server.

use std::net::SocketAddr;
use std::time::Duration;

use punchd::dialect::gmnet::{self, Gmnet};
use punchd::introductions::PublicIps;
use punchd::introductions::relay::sessions::{Config, Sessions};
use punchd::introductions::relay::{Bounds, End, Order, Report, SessionId, Shape};
use punchd::nats::Seen;

use super::story::{CLIENT, HOST, MASTER, NOT_FOUND, Story, at, ip};

const RELAY: &str = "192.0.2.20";
const FIRST: u16 = 20_000;

/// A server with a relay.
fn relaying() -> Story {
    relaying_at(PublicIps::from(ip(RELAY)))
}

fn relaying_at(told: PublicIps) -> Story {
    let mut story = Story::with_relay(told);
    let ports = FIRST..=FIRST + 63;
    let config = Config { told, is_apart: true, ports, bounds: Bounds::default() };
    story.shared.relay = Sessions::new(Some(config));
    story
}

/// The sessions that the relay's thread was told of: number, port of the client, port of the host.
fn sessions(story: &mut Story) -> Vec<(SessionId, u16, u16)> {
    let opened = story.shared.relay.take_orders().filter_map(Order::session).map(|session| {
        assert_eq!(session.shape, Shape::GameMaker);
        (session.id, session.sides[0].port, session.sides[1].port)
    });
    opened.collect()
}

fn report(story: &mut Story, report: Report) {
    let now = story.now();
    if let Some((attempt, way)) = story.shared.relay.note(now, report) {
        story.shared.journal.note(now, &story.shared.nats, attempt, way);
    }
}

fn counted(story: &Story) -> String {
    let lines = story.shared.journal.lines();
    let row = lines.iter().rfind(|line| !line.starts_with("lately: ")).unwrap();
    row.split_whitespace().skip(3).collect::<Vec<_>>().join(" ")
}

#[test]
fn who_is_still_connected_after_a_second_is_relayed() {
    let mut story = relaying();
    let host = story.host(HOST, 4000, "Pong", "Ann");
    let client = story.join(CLIENT, 5000, HOST);
    story.tells(client, at(HOST, 4000));
    story.tells(host, at(CLIENT, 5000));
    story.wait(999);
    story.tells_nobody();
    story.wait(1);
    let [(id, for_client, for_host)] = sessions(&mut story)[..] else { panic!("one session") };
    story.tells(host, at(RELAY, for_host));
    story.tells(client, at(RELAY, for_client));
    report(&mut story, Report::Connected(id));
    assert_eq!(counted(&story), "0 1 0");
    story.wait(100);
    story.fin(client);
    report(&mut story, Report::Ended(id, End::Idle));
    story.wait(60_000);
    assert_eq!(counted(&story), "0 1 0", "once");
    assert_eq!(sessions(&mut story), []);
}

/// Its client was told the port that it had before.
#[test]
fn a_host_that_shows_another_port_meanwhile_is_relayed_all_the_same() {
    let mut story = relaying();
    let sockets = vec![SocketAddr::new(ip(MASTER), 6510)];
    let relay = PublicIps::from(ip(RELAY));
    story.gmnet = Gmnet::new(gmnet::Config {
        sockets,
        relay,
        keepalive: Duration::ZERO,
        ..gmnet::Config::default()
    });
    let host = story.host(HOST, 4000, "Pong", "Ann");
    story.wait(300_000);
    let client = story.join(CLIENT, 5000, HOST);
    story.tells(host, at(MASTER, 6510));
    story.wait(300);
    story.tells(client, at(HOST, 4000));
    story.tells(host, at(CLIENT, 5000));
    story.knock(HOST, 4077, 16);
    story.wait(1000 - 16 * 17);
    let [(id, for_client, for_host)] = sessions(&mut story)[..] else { panic!("one session") };
    story.tells(host, at(RELAY, for_host));
    story.tells(client, at(RELAY, for_client));
    report(&mut story, Report::Ended(id, End::Unanswered));
    assert_eq!(counted(&story), "0 0 1");
}

/// A game closes its connection to change its data, and what arrives there then nobody reads.
#[test]
fn a_host_that_comes_back_just_then_is_told_of_the_relay_again() {
    for (pause, port) in [(0, Some(4000)), (300, Some(4000)), (900, Some(4000)), (300, None)] {
        let mut story = relaying();
        let host = match port {
            Some(port) => story.host(HOST, port, "Pong", "Ann"),
            None => story.host_without_udp(HOST, "Pong", "Ann"),
        };
        story.join(CLIENT, 5000, HOST);
        story.wait(3000);
        story.told.clear();
        let client = story.join(CLIENT, 5000, HOST);
        story.wait(if port.is_some() { 0 } else { 2500 });
        let [.., (_, for_client, for_host)] = sessions(&mut story)[..] else { panic!("none") };
        story.tells(host, at(RELAY, for_host));
        story.tells(client, at(RELAY, for_client));
        story.wait(pause);
        story.lost(host);
        story.wait(100);
        let host = match port {
            Some(port) => story.host(HOST, port, "Pong", "Ann"),
            None => story.host_without_udp(HOST, "Pong", "Ann"),
        };
        story.wait(100);
        story.tells(host, at(RELAY, for_host));
        story.tells_nobody();
    }
}

#[test]
fn a_host_that_comes_back_later_is_told_nothing_twice() {
    let mut story = relaying();
    let host = story.host(HOST, 4000, "Pong", "Ann");
    story.join(CLIENT, 5000, HOST);
    story.wait(2001);
    story.told.clear();
    story.lost(host);
    story.host(HOST, 4000, "Pong", "Ann");
    story.wait(1000);
    story.tells_nobody();
}

/// As when its NAT has given it another port, and a neighbour's game has the one before.
#[test]
fn a_host_that_moves_is_still_the_one_that_was_not_reached() {
    let mut story = relaying();
    let host = story.host(HOST, 4000, "Pong", "Ann");
    story.join(CLIENT, 5000, HOST);
    story.wait(1000);
    assert_eq!(sessions(&mut story).len(), 1);
    story.udp(HOST, 4077, "reg");
    story.reg2(host, "Pong", "Ann");
    let _neighbour = story.host(HOST, 4000, "Chess", "Bob");
    story.wait(2000);
    story.told.clear();
    // Who asks for the relay means it.
    let client = story.join(CLIENT, 5000, RELAY);
    let [(_, for_client, for_host)] = sessions(&mut story)[..] else { panic!("one session") };
    story.tells(host, at(RELAY, for_host));
    story.tells(client, at(RELAY, for_client));
}

#[test]
fn who_gets_through_or_leaves_is_not_relayed() {
    let mut story = relaying();
    story.host(HOST, 4000, "Pong", "Ann");
    for millis in [1, 300, 999] {
        let client = story.join(CLIENT, 5000, HOST);
        story.wait(millis);
        story.fin(client);
        story.wait(20_000);
        assert_eq!(sessions(&mut story), [], "{millis}");
        story.told.clear();
    }
    // The first one was too fast; the same two count once in a minute.
    assert_eq!(counted(&story), "1 0 0");
}

#[test]
fn who_gets_through_directly_after_all_is_counted_so() {
    let mut story = relaying();
    story.host(HOST, 4000, "Pong", "Ann");
    let client = story.join(CLIENT, 5000, HOST);
    story.wait(1200);
    let [(id, ..)] = sessions(&mut story)[..] else { panic!("one session") };
    story.fin(client);
    report(&mut story, Report::Ended(id, End::Unanswered));
    assert_eq!(counted(&story), "1 0 0");
}

#[test]
fn who_does_not_get_through_even_so_has_failed() {
    let mut story = relaying();
    story.host(HOST, 4000, "Pong", "Ann");
    story.join(CLIENT, 5000, HOST);
    story.wait(1200);
    let [(id, ..)] = sessions(&mut story)[..] else { panic!("one session") };
    story.wait(20_000);
    report(&mut story, Report::Ended(id, End::Unanswered));
    assert_eq!(counted(&story), "0 0 1");
}

/// A host whose game lists the relay's port already welcomes nobody there again.
#[test]
fn the_next_try_is_relayed_at_once_and_by_another_port_of_the_host() {
    let mut story = relaying();
    let host = story.host(HOST, 4000, "Pong", "Ann");
    let first = story.join(CLIENT, 5000, HOST);
    story.wait(1200);
    let [(_, _, before)] = sessions(&mut story)[..] else { panic!("one session") };
    story.fin(first);
    story.told.clear();
    let again = story.join(CLIENT, 5000, HOST);
    let [(_, for_client, for_host)] = sessions(&mut story)[..] else { panic!("one session") };
    assert_ne!(before, for_host);
    story.tells(host, at(RELAY, for_host));
    story.tells(again, at(RELAY, for_client));
    story.fin(again);
    story.wait(120_000);
    story.told.clear();
    let late = story.join(CLIENT, 5000, HOST);
    story.tells(late, at(HOST, 4000));
}

#[test]
fn players_without_udp_packets_are_relayed() {
    let mut story = relaying();
    let host = story.host(HOST, 4000, "Pong", "Ann");
    let client = story.join_without_udp(CLIENT, HOST);
    story.wait(2500);
    let [(_, for_client, for_host)] = sessions(&mut story)[..] else { panic!("one session") };
    story.tells(host, at(RELAY, for_host));
    story.tells(client, at(RELAY, for_client));

    let mute = story.host_without_udp("203.0.113.9", "Pong", "Bob");
    let client = story.join("203.0.113.3", 5000, "203.0.113.9");
    story.wait(2500);
    let [(_, for_client, for_host)] = sessions(&mut story)[..] else { panic!("one session") };
    story.tells(mute, at(RELAY, for_host));
    story.tells(client, at(RELAY, for_client));
}

#[test]
fn two_routers_that_are_known_not_to_work_together_are_relayed_at_once() {
    let mut story = relaying();
    let now = story.now().instant;
    for (addr, port) in [(HOST, 4000), (CLIENT, 5000)] {
        for (port, seen) in [(port, Seen::Stun), (port + 77, Seen::Alternate)] {
            story.shared.nats.saw(now, (ip(addr), port).into(), seen);
        }
    }
    let host = story.host(HOST, 4000, "Pong", "Ann");
    let client = story.join(CLIENT, 5000, HOST);
    let [(_, for_client, for_host)] = sessions(&mut story)[..] else { panic!("one session") };
    story.tells(host, at(RELAY, for_host));
    story.tells(client, at(RELAY, for_client));
}

#[test]
fn ipv4_meets_ipv6_at_the_relay() {
    let (v6_host, v6_relay) = ("2001:db8::1", "2001:db8:ffff::20");
    let told = PublicIps { v6: v6_relay.parse().ok(), ..PublicIps::from(ip(RELAY)) };
    let mut story = relaying_at(told);
    let host = story.host(v6_host, 4000, "Pong", "Ann");
    let client = story.join(CLIENT, 5000, v6_host);
    let [(_, for_client, for_host)] = sessions(&mut story)[..] else { panic!("one session") };
    story.tells(host, at(v6_relay, for_host));
    story.tells(client, at(RELAY, for_client));
    // A relay of one family helps no one of them.
    let mut story = relaying();
    story.host(v6_host, 4000, "Pong", "Ann");
    let client = story.join(CLIENT, 5000, v6_host);
    story.tells(client, NOT_FOUND);
}

/// GMnet ENGINE sends its packets to the address that it asked for.
#[test]
fn the_lobby_shows_the_relay_to_who_has_failed() {
    let mut story = relaying();
    let host = story.host(HOST, 4000, "Pong", "Ann");
    story.host("203.0.113.9", 4000, "Pong", "Bob");
    assert_eq!(story.lobby_ips(CLIENT), [HOST, "203.0.113.9"]);
    let client = story.join(CLIENT, 5000, HOST);
    story.wait(1200);
    story.fin(client);
    sessions(&mut story);
    story.told.clear();
    assert_eq!(story.lobby_ips(CLIENT), [RELAY, "203.0.113.9"]);
    assert_eq!(story.lobby_ips("203.0.113.3"), [HOST, "203.0.113.9"], "others see the host itself");

    let again = story.join(CLIENT, 5000, RELAY);
    let [(_, for_client, for_host)] = sessions(&mut story)[..] else { panic!("one session") };
    story.tells(host, at(RELAY, for_host));
    story.tells(again, at(RELAY, for_client));
    let other = story.join("203.0.113.3", 5000, RELAY);
    story.tells(other, NOT_FOUND);
    story.fin(again);
    story.wait(120_000);
    assert_eq!(story.lobby_ips(CLIENT), [HOST, "203.0.113.9"]);
}

#[test]
fn who_asks_for_many_sessions_is_told_of_the_host_itself() {
    let mut story = relaying();
    story.host(HOST, 4000, "Pong", "Ann");
    for _ in 0..40 {
        let client = story.join(CLIENT, 5000, HOST);
        story.wait(1200);
        story.fin(client);
    }
    let most = punchd::limits::relay::PER_PAIR as usize;
    assert_eq!(sessions(&mut story).len(), most);
    story.told.clear();
    let client = story.join(CLIENT, 5000, HOST);
    story.tells(client, at(HOST, 4000));
}

/// At the relay there is nothing for it.
#[test]
fn who_asks_for_the_relay_and_has_no_session_is_told_where_the_host_is_itself() {
    let mut story = relaying();
    story.host(HOST, 4000, "Pong", "Ann");
    for _ in 0..punchd::limits::relay::PER_PAIR {
        story.join(CLIENT, 5000, HOST);
        story.wait(1000);
    }
    assert_eq!(sessions(&mut story).len(), punchd::limits::relay::PER_PAIR as usize);
    for asked in [RELAY.into(), format!("{RELAY}:4000")] {
        story.told.clear();
        let client = story.join(CLIENT, 5000, &asked);
        story.tells(client, at(HOST, 4000));
    }
}

#[test]
fn many_clients_are_told_a_notify_gap_apart() {
    let mut story = relaying();
    let host = story.host(HOST, 4000, "Pong", "Ann");
    for n in 0..3 {
        story.join(&format!("198.51.100.{n}"), 5000, HOST);
    }
    story.wait(999);
    story.told.clear();
    story.wait(1);
    let told = sessions(&mut story);
    assert_eq!(told.len(), 3);
    let to_host = |story: &Story| story.told.iter().filter(|(to, _)| *to == host).count();
    assert_eq!(to_host(&story), 1);
    story.wait(200);
    assert_eq!(to_host(&story), 3);
}

/// Others have filled the queue of the host in the meantime: it is told when they have had their turns.
#[test]
fn who_finds_the_queue_of_the_host_full_is_relayed_a_little_later() {
    let mut story = relaying();
    let host = story.host(HOST, 4000, "Pong", "Ann");
    let client = story.join(CLIENT, 5000, HOST);
    story.wait(999);
    for n in 0..=punchd::limits::NOTICES_PER_HOST {
        let other = story.join(&format!("198.18.{n}.1"), 5000, HOST);
        story.fin(other);
    }
    story.wait(1);
    assert_eq!(sessions(&mut story), [], "there is no room");
    story.wait(30_000);
    let [(_, for_client, for_host)] = sessions(&mut story)[..] else { panic!("one session") };
    for (whom, port) in [(client, for_client), (host, for_host)] {
        assert!(story.told.contains(&(whom, at(RELAY, port))), "{:?}", story.told);
    }
}

#[test]
fn whom_the_relay_has_no_place_for_is_not_told_that_a_relay_would_help() {
    let mut story = relaying();
    story.host(HOST, 4000, "Pong", "Ann");
    let most = punchd::limits::relay::PER_PAIR as usize;
    for _ in 0..=most {
        story.join(CLIENT, 5000, HOST);
    }
    story.wait(1200);
    assert_eq!(sessions(&mut story).len(), most);
    story.wait(60_000);
    let lines = story.shared.journal.lines();
    let failure = lines.iter().rfind(|line| line.contains("did not get through")).unwrap();
    assert!(
        failure.contains("the relay would help, but there are 4 sessions between"),
        "{failure}"
    );
}
