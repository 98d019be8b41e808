//! TLS records that cost much and carry little have their part of a turn, too.

use std::io::{Read, Write};

use rcgen::{CertifiedKey, KeyPair};
use rustls::ClientConnection;
use rustls::version::TLS13;

use super::super::tls::Acceptor;
use super::super::wire::Wire;
use super::encrypted::{LOGIN, certificate, client, loaded, stranger, talk};
use super::*;

const PING: &[u8] = br#"{"type":"request","name":"ping","request_id":2}"#;

/// All that a client has to send.
fn sent(client: &mut ClientConnection) -> Vec<u8> {
    let mut bytes = Vec::new();
    while client.wants_write() {
        client.write_tls(&mut bytes).unwrap();
    }
    bytes
}

/// So many new keys, one after the other.
fn keys(client: &mut ClientConnection, count: usize) {
    (0..count).for_each(|_| client.refresh_traffic_keys().unwrap());
}

/// So many times new keys and a ping, as one piece. rustls itself allows no more than 32 without
/// anything in between.
fn keys_and_pings(client: &mut ClientConnection, count: usize) -> Vec<u8> {
    client.set_buffer_limit(None);
    for _ in 0..count {
        keys(client, 6);
        client.writer().write_all(PING).unwrap();
    }
    sent(client)
}

/// What a client has heard since the last time.
fn heard_by(world: &mut World, id: ConnId, client: &mut ClientConnection) -> String {
    let heard = world.heard.remove(&id).unwrap_or_default();
    let (mut heard, mut said) = (&heard[..], String::new());
    while !heard.is_empty() {
        client.read_tls(&mut heard).unwrap();
        let length = client.process_new_packets().unwrap().plaintext_bytes_to_read() as u64;
        client.reader().take(length).read_to_string(&mut said).unwrap();
    }
    said
}

/// How many requests are answered now.
fn answered(world: &mut World, id: ConnId, client: &mut ClientConnection) -> usize {
    let said = heard_by(world, id, client);
    said.lines().filter(|line| line.contains("response")).count()
}

fn unhindered(trusted: &CertifiedKey<KeyPair>) -> World {
    let limits = Limits { commands_per_second: 0, datagrams_per_second: 0, ..Limits::default() };
    let tls = Some(Acceptor::new(loaded(trusted)).unwrap());
    World::with(Config { tls, limits, ..Config::default() })
}

/// So many who have logged in, each from an address of its own.
fn crowd(count: u8) -> (World, Vec<(ConnId, ClientConnection)>) {
    let trusted = certificate();
    let mut world = unhindered(&trusted);
    let log_in = |n: u8| {
        let (id, mut client) = (world.open_from(stranger(n)), client(&trusted, &TLS13));
        let login = String::from_utf8(LOGIN.to_vec())
            .unwrap()
            .replace("\"a\"", &json!(n.to_string()).to_string());
        client.writer().write_all(login.as_bytes()).unwrap();
        let said = talk(&mut world, id, &mut client, 1 << 20).unwrap();
        assert!(said.contains("udp_token"), "{said}");
        (id, client)
    };
    let clients = (0..count).map(log_in).collect();
    (world, clients)
}

fn one() -> (World, ConnId, ClientConnection) {
    let (world, mut clients) = crowd(1);
    let (id, client) = clients.remove(0);
    (world, id, client)
}

#[test]
fn new_keys_are_work_that_waits_for_a_turn() {
    let (mut world, id, mut client) = one();
    let bytes = keys_and_pings(&mut client, 10);
    world.begin_to_say(id, &bytes);
    let at_once = answered(&mut world, id, &mut client);
    assert!((1..=4).contains(&at_once), "{at_once} at once");
    assert!(world.has_enough(id) && world.events.owes());
    assert!(world.events.unfinished.total() > bytes.len() as u64 / 2, "what waits is counted");
    assert_eq!(world.events.next_wakeup(), Some(world.now.instant));
    // More comes nevertheless.
    client.writer().write_all(PING).unwrap();
    let (more, rest) = (sent(&mut client), answered(&mut world, id, &mut client));
    assert_eq!(rest, 0);
    let (first, last) = more.split_at(10);
    world.begin_to_say(id, first);
    world.begin_to_say(id, last);
    assert_eq!(answered(&mut world, id, &mut client), 0, "out of order");
    while world.take_turns() {}
    assert_eq!(at_once + answered(&mut world, id, &mut client), 11);
    assert!(!world.has_enough(id) && !world.events.owes());
    assert_eq!(world.events.unfinished.total(), 0);
}

#[test]
fn a_crowd_with_new_keys_is_no_more_work_than_any_other() {
    let (mut world, mut clients) = crowd(20);
    let all: Vec<Vec<u8>> = clients.iter_mut().map(|(_, c)| keys_and_pings(c, 9)).collect();
    world.events.note_ready(400);
    let slice = limits::TURN_WORK / 100;
    let most = slice + 2 * (limits::TLS_KEYS_WORK + limits::COMMAND_WORK);
    world.events.work_queue.begin_turn(world.now.instant);
    let clients_and_bytes = clients.iter().map(|(id, _)| *id).zip(&all);
    for (n, (id, bytes)) in clients_and_bytes.enumerate() {
        world.begin_to_say(id, bytes);
        let spent = world.events.work_queue.spent();
        assert!(spent > n * slice && spent <= (n + 1) * most, "{spent} after {n}");
        assert!(world.has_enough(id));
    }
    let all: usize = all.iter().map(Vec::len).sum();
    assert!(
        world.events.unfinished.total() > all as u64 * 9 / 10,
        "more than a record or two each"
    );
    world.take_turns();
    let spent = world.events.work_queue.spent();
    assert!(spent <= limits::TURN_WORK + most, "{spent} in one turn");
    while world.take_turns() {}
    for (id, client) in &mut clients {
        assert_eq!(answered(&mut world, *id, client), 9);
    }
}

#[test]
fn the_end_of_a_connection_comes_behind_records_that_wait() {
    for by_fin in [true, false] {
        let (mut world, id, mut client) = one();
        let mut bytes = keys_and_pings(&mut client, 10);
        if !by_fin {
            client.send_close_notify();
            bytes.extend(sent(&mut client));
        }
        world.begin_to_say(id, &bytes);
        if by_fin {
            world.act(|events, cx| events.on_fin(cx, id));
        }
        assert!(!world.closed.contains(&id), "{by_fin}");
        assert_eq!(world.events.use_of(id) == Use::Idle(Instant::default()), by_fin);
        while world.take_turns() {}
        assert_eq!(answered(&mut world, id, &mut client), 10);
        assert!(world.closed.contains(&id) && world.events.is_empty());
    }
}

#[test]
fn who_leaves_while_its_records_wait_leaves_nothing() {
    let (mut world, id, mut client) = one();
    world.begin_to_say(id, keys_and_pings(&mut client, 10));
    world.gone(id);
    while world.take_turns() {}
    assert!(world.events.is_empty() && world.events.next_wakeup().is_none());
}

#[test]
fn a_record_that_is_wrong_comes_behind_those_before_it() {
    let (mut world, mut clients) = crowd(2);
    let [(wrong, sender), (id, receiver)] = &mut clients[..] else { panic!() };
    for _ in 0..10 {
        keys(sender, 6);
        sender.writer().write_all(br#"{"type":"pass","name":"x","dest":"1"}"#).unwrap();
    }
    let mut bytes = sent(sender);
    *bytes.last_mut().unwrap() ^= 1;
    world.begin_to_say(*wrong, &bytes);
    assert!(!world.closed.contains(wrong));
    while world.take_turns() {}
    assert_eq!(heard_by(&mut world, *id, receiver).lines().count(), 9);
    assert!(world.closed.contains(wrong) && world.events.unfinished.is_empty());
}

#[test]
fn what_waits_may_be_longer_than_a_record() {
    let (mut world, id, mut client) = one();
    client.set_buffer_limit(None);
    (0..600).for_each(|_| client.writer().write_all(PING).unwrap());
    let bytes = sent(&mut client);
    assert!(bytes.len() > 2 * limits::TLS_RECORD);
    world.begin_to_say(id, bytes);
    assert!(world.has_enough(id));
    while world.take_turns() {}
    assert_eq!(answered(&mut world, id, &mut client), 600);
    assert!(!world.closed.contains(&id));
}

#[test]
fn new_keys_right_behind_the_handshake_wait_as_well() {
    let trusted = certificate();
    let (mut world, mut client) = (unhindered(&trusted), client(&trusted, &TLS13));
    let id = world.open();
    world.say(id, sent(&mut client));
    world.turn();
    assert_eq!(heard_by(&mut world, id, &mut client), "");
    let bytes = keys_and_pings(&mut client, 10);
    world.begin_to_say(id, bytes);
    world.act(|events, cx| events.go_on_with_handshakes(cx));
    assert!(world.has_enough(id));
    while world.take_turns() {}
    assert_eq!(answered(&mut world, id, &mut client), 10);
}

#[test]
fn ends_of_handshakes_take_several_turns() {
    let trusted = certificate();
    let mut world = unhindered(&trusted);
    let mut begun: Vec<_> = (0..80).map(|_| (world.open(), client(&trusted, &TLS13))).collect();
    begun.iter_mut().for_each(|(id, client)| world.say(*id, sent(client)));
    (0..80).for_each(|_| world.turn());
    for (id, client) in &mut begun {
        assert_eq!(heard_by(&mut world, *id, client), "");
        world.say(*id, sent(client));
    }
    let left = |world: &World| {
        let wires = begun.iter().map(|(id, _)| &world.events.conns.get(*id).unwrap().wire);
        wires.filter(|wire| matches!(wire, Wire::Tls(tls) if tls.is_handshaking())).count()
    };
    assert_eq!(left(&world), 80);
    world.turn();
    assert!((1..60).contains(&left(&world)), "{} left", left(&world));
    assert_eq!(world.events.next_wakeup(), Some(world.now.instant));
    (0..3).for_each(|_| world.turn());
    assert_eq!(left(&world), 0);
}

#[test]
fn who_renews_its_keys_too_often_is_closed() {
    let (mut world, id, mut client) = one();
    // With each thing it says nobody minds.
    for _ in 0..200 {
        keys(&mut client, 1);
        client.writer().write_all(b" ").unwrap();
        world.say(id, sent(&mut client));
        heard_by(&mut world, id, &mut client);
    }
    assert!(!world.closed.contains(&id));
    let closed = (0..100).position(|_| {
        keys(&mut client, 2);
        client.writer().write_all(b" ").unwrap();
        world.say(id, sent(&mut client));
        heard_by(&mut world, id, &mut client);
        world.closed.contains(&id)
    });
    assert_eq!(closed, Some(limits::TLS_EMPTY - 1), "however slowly it does");
    assert!(world.events.is_empty());
}
