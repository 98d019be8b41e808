//! TLS, with a rustls client that has no socket either.

use std::io::{Read, Write};
use std::sync::Arc;

use rcgen::{CertifiedKey, KeyPair, generate_simple_self_signed};
use rustls::crypto::ring;
use rustls::pki_types::{PrivateKeyDer, ServerName};
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, ClientConnection, RootCertStore, SupportedProtocolVersion, sign};

use super::super::tls::Acceptor;
use super::*;

pub(super) fn certificate() -> CertifiedKey<KeyPair> {
    generate_simple_self_signed(["localhost".to_owned()]).unwrap()
}

pub(super) fn loaded(of: &CertifiedKey<KeyPair>) -> sign::CertifiedKey {
    let key = PrivateKeyDer::try_from(of.signing_key.serialize_der()).unwrap();
    let chain = vec![of.cert.der().clone()];
    sign::CertifiedKey::from_der(chain, key, &ring::default_provider()).unwrap()
}

pub(super) fn client(
    trusted: &CertifiedKey<KeyPair>,
    version: &'static SupportedProtocolVersion,
) -> ClientConnection {
    let mut roots = RootCertStore::empty();
    roots.add(trusted.cert.der().clone()).unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_protocol_versions(&[version])
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    ClientConnection::new(Arc::new(config), ServerName::try_from("localhost").unwrap()).unwrap()
}

/// Lets client and server talk until both have said all; the client's bytes come in pieces.
pub(super) fn talk(
    world: &mut World,
    id: ConnId,
    client: &mut ClientConnection,
    size: usize,
) -> Result<String, rustls::Error> {
    let mut said = Vec::new();
    loop {
        let mut bytes = Vec::new();
        while client.wants_write() {
            client.write_tls(&mut bytes).unwrap();
        }
        let heard = world.heard.remove(&id).unwrap_or_default();
        if bytes.is_empty() && heard.is_empty() {
            return Ok(String::from_utf8_lossy(&said).into_owned());
        }
        for piece in bytes.chunks(size) {
            world.say(id, piece);
            world.turn();
        }
        let mut heard = &heard[..];
        while !heard.is_empty() {
            client.read_tls(&mut heard).unwrap();
            let state = client.process_new_packets()?;
            let length = state.plaintext_bytes_to_read() as u64;
            client.reader().take(length).read_to_end(&mut said).unwrap();
        }
    }
}

pub(super) const LOGIN: &[u8] =
    br#"{"type":"request","name":"login","data":{"id":"a"},"request_id":1}"#;

fn encrypted(certificate: &CertifiedKey<KeyPair>) -> (World, Acceptor) {
    let acceptor = Acceptor::new(loaded(certificate)).unwrap();
    let config = Config { tls: Some(acceptor.clone()), tls_required: true, ..Config::default() };
    (World::with(config), acceptor)
}

/// Somebody who has logged in on a connection.
fn logged_in() -> (World, ConnId, ClientConnection) {
    let certificate = certificate();
    let (mut world, _) = encrypted(&certificate);
    let id = world.open();
    let mut client = client(&certificate, &TLS13);
    client.writer().write_all(LOGIN).unwrap();
    let said = talk(&mut world, id, &mut client, 1 << 20).unwrap();
    assert!(said.contains("udp_token"), "{said}");
    (world, id, client)
}

#[test]
fn an_encrypted_connection_is_like_any_other() {
    let certificate = certificate();
    for (version, size) in [(&TLS12, 1), (&TLS12, 1 << 20), (&TLS13, 1), (&TLS13, 1 << 20)] {
        let (mut world, _) = encrypted(&certificate);
        let id = world.open();
        let mut client = client(&certificate, version);
        client.writer().write_all(LOGIN).unwrap();
        let said = talk(&mut world, id, &mut client, size).unwrap();
        assert!(said.contains("udp_token") && said.ends_with('\n'), "{said}");
        assert_eq!(client.protocol_version(), Some(version.version));
        // The longest event, there and back.
        let event = |data: &str| {
            json!({"type": "pass", "name": "x", "dest": "a", "data": data}).to_string()
        };
        let data = "x".repeat(limits::OBJECT - event("").len());
        client.set_buffer_limit(None);
        client.writer().write_all(event(&data).as_bytes()).unwrap();
        let said = talk(&mut world, id, &mut client, size).unwrap();
        assert_eq!(serde_json::from_str::<Value>(&said).unwrap()["data"], json!(data));
        client.send_close_notify();
        talk(&mut world, id, &mut client, size).unwrap();
        assert!(world.closed.contains(&id) && world.events.is_empty());
    }
}

#[test]
fn a_client_refuses_the_certificate_of_another() {
    let (mut world, _) = encrypted(&certificate());
    for version in [&TLS12, &TLS13] {
        let id = world.open();
        let mut wrong = client(&certificate(), version);
        let error = talk(&mut world, id, &mut wrong, 1 << 20).unwrap_err();
        assert!(matches!(error, rustls::Error::InvalidCertificate(_)), "{error}");
        let _ = talk(&mut world, id, &mut wrong, 1 << 20);
        assert!(world.closed.contains(&id), "its alert ends the connection");
    }
    assert!(world.events.is_empty());
    assert_eq!(world.shared.refusals.total(crate::refusals::Reason::Tls).times, 2);
}

/// Most libraries close the connection and say nothing.
#[test]
fn a_client_that_ends_tls_when_it_has_seen_the_certificate_is_refused_for_it() {
    let refused = |world: &World| world.shared.refusals.total(crate::refusals::Reason::Tls).times;
    let certificate = certificate();
    for (version, is_end) in [(&TLS12, true), (&TLS13, true), (&TLS12, false), (&TLS13, false)] {
        let (mut world, _) = encrypted(&certificate);
        let leave = |world: &mut World, id| match is_end {
            true => world.act(|events, cx| events.on_fin(cx, id)),
            false => world.act(|events, cx| events.on_gone(cx, id)),
        };
        let (id, mut hello) = (world.open(), Vec::new());
        client(&certificate, version).write_tls(&mut hello).unwrap();
        world.say(id, &hello[..hello.len() - 1]);
        world.turn();
        leave(&mut world, id);
        assert_eq!(refused(&world), 0, "it has seen nothing");
        let id = world.open();
        world.say(id, &hello);
        world.turn();
        leave(&mut world, id);
        assert_eq!(refused(&world), 1);
        let id = world.open();
        let mut trusting = client(&certificate, version);
        talk(&mut world, id, &mut trusting, 1 << 20).unwrap();
        leave(&mut world, id);
        assert_eq!(refused(&world), 1, "it has trusted it");
    }
}

#[test]
fn a_new_certificate_is_for_new_connections() {
    let (old, new) = (certificate(), certificate());
    let (mut world, acceptor) = encrypted(&old);
    let first = world.open();
    let mut living = client(&old, &TLS13);
    living.writer().write_all(LOGIN).unwrap();
    talk(&mut world, first, &mut living, 4096).unwrap();
    acceptor.replace(loaded(&new));
    let second = world.open();
    assert!(talk(&mut world, second, &mut client(&old, &TLS13), 4096).is_err());
    let third = world.open();
    assert_eq!(talk(&mut world, third, &mut client(&new, &TLS13), 4096), Ok(String::new()));
    living.writer().write_all(br#"{"type":"request","name":"ping","request_id":2}"#).unwrap();
    assert!(talk(&mut world, first, &mut living, 4096).unwrap().contains("response"));
}

#[test]
fn what_is_not_tls_is_closed() {
    let certificate = certificate();
    let (mut world, _) = encrypted(&certificate);
    let records: [&[u8]; 4] = [
        b"\x16\x03\x01\x00\x05hello",
        &[0x16; 70_000],
        b"\x16\x03\x01\xff\xff",
        b"\x16\x00\x00\x00\x00",
    ];
    for bytes in records {
        let id = world.open();
        world.say(id, bytes);
        world.wait(limits::LOGIN_WAIT);
        assert!(world.closed.contains(&id), "{bytes:?}");
    }
    assert!(world.events.is_empty());
    let mut bare = World::new();
    let id = bare.open();
    bare.say(id, b"\x16\x03\x01\x00\x05hello");
    assert!(bare.closed.contains(&id), "there is no certificate");
}

#[test]
fn an_address_may_not_begin_connections_all_the_time() {
    let limits = Limits { commands_per_second: 10, ..Limits::default() };
    let tls = Some(Acceptor::new(loaded(&certificate())).unwrap());
    let mut world = World::with(Config { tls, limits, ..Config::default() });
    let begun = |world: &mut World| {
        let id = world.open();
        world.say(id, b"\x16\x03\x01");
        !world.closed.contains(&id)
    };
    let at_once = (0..100).filter(|_| begun(&mut world)).count();
    assert_eq!(at_once, 11, "ten seconds' worth, and the one of this moment");
    world.wait(Duration::from_millis(1100));
    assert!(begun(&mut world) && !begun(&mut world));
}

#[test]
fn the_end_of_the_server_is_said_in_tls() {
    let (mut world, id, mut client) = logged_in();
    world.act(|events, cx| events.on_shutdown(cx));
    talk(&mut world, id, &mut client, 4096).unwrap();
    assert_eq!(client.reader().read(&mut [0; 9]).unwrap(), 0, "a goodbye, not a break");
}

/// Other addresses than that of the rest.
pub(super) fn stranger(n: u8) -> IpAddr {
    IpAddr::from([203, 0, 113, n])
}

/// The bytes with which a client begins.
fn hello(client: &mut ClientConnection) -> Vec<u8> {
    let mut bytes = Vec::new();
    client.write_tls(&mut bytes).unwrap();
    bytes
}

/// A client hello of this length that has no end yet, in records as long as they may be.
fn endless_hello(length: usize) -> Vec<u8> {
    let message = [&[1, 0, 0xFF, 0xF0, 3, 3][..], &vec![0; length]].concat();
    let record = |part: &[u8]| {
        let [high, low] = (part.len() as u16).to_be_bytes();
        [&[22, 3, 1, high, low], part].concat()
    };
    message.chunks(1 << 14).flat_map(record).collect()
}

#[test]
fn what_is_kept_of_a_handshake_is_counted_and_bounded() {
    let (mut world, _) = encrypted(&certificate());
    let id = world.open();
    let hello = endless_hello(60_000);
    for (n, piece) in hello.chunks(1000).enumerate() {
        if world.closed.contains(&id) {
            break;
        }
        assert_eq!(world.events.unfinished.total(), 1000 * n as u64);
        assert!(1000 * n <= limits::TLS_HANDSHAKE);
        world.say(id, piece);
    }
    assert!(world.closed.contains(&id) && world.events.is_empty());
    // A real one, with as much as clients send, is none of those.
    let (mut longest, id) = (client(&certificate(), &TLS13), world.open());
    let bytes = self::hello(&mut longest);
    assert!(bytes.len() < limits::TLS_HANDSHAKE / 4, "{}", bytes.len());
    world.say(id, bytes);
    world.turn();
    assert_eq!(world.events.unfinished.total(), 0);
}

#[test]
fn half_handshakes_of_one_address_keep_nobody_out() {
    let certificate = certificate();
    let (mut world, _) = encrypted(&certificate);
    let limits = Limits { commands_per_second: 0, ..Limits::default() };
    let tls = Some(Acceptor::new(loaded(&certificate)).unwrap());
    world.events = World::with(Config { tls, limits, ..Config::default() }).events;
    let others: Vec<ConnId> = (0..4).map(|n| world.open_from(stranger(n))).collect();
    others.iter().for_each(|id| world.say(*id, b"\x16\x03\x01"));
    for _ in 0..2 * limits::TLS_HANDSHAKES {
        let id = world.open();
        world.say(id, b"\x16\x03\x01");
    }
    let id = world.open_from(stranger(9));
    let said = {
        let mut client = client(&certificate, &TLS13);
        client.writer().write_all(LOGIN).unwrap();
        talk(&mut world, id, &mut client, 1 << 20).unwrap()
    };
    assert!(said.contains("udp_token"), "{said}");
    assert!(others.iter().all(|id| !world.closed.contains(id)), "who has least stays");
    assert_eq!(world.closed.len() as u64, limits::TLS_HANDSHAKES + 5);
    world.wait(limits::LOGIN_WAIT);
    assert!(world.closed.len() as u32 + 1 == world.opened, "nobody shakes hands for longer");
}

/// As many addresses as there are places have a half handshake each, 500 more begin one every
/// second, and all of them send a byte now and then. Those who mean it are 300 ms away.
#[test]
fn half_handshakes_of_many_addresses_keep_nobody_out() {
    const FAR: Duration = Duration::from_millis(300);
    const GAP: Duration = Duration::from_millis(2);
    let certificate = certificate();
    let (mut world, _) = encrypted(&certificate);
    let half = hello(&mut client(&certificate, &TLS13));
    let mut halves: Vec<ConnId> = Vec::new();
    let mut attack = |world: &mut World, time: Duration, gap: Duration| {
        let end = world.now.instant + time;
        while world.now.instant < end {
            let addr = IpAddr::from((0x0B00_0000 + halves.len() as u32).to_be_bytes());
            let id = world.open_from(addr);
            world.say(id, &half[..10]);
            halves.push(id);
            world.wait(gap);
        }
        let living: Vec<ConnId> = halves
            .iter()
            .rev()
            .take(4000)
            .filter(|id| !world.closed.contains(id))
            .copied()
            .collect();
        living.into_iter().for_each(|id| world.say(id, &half[10..11]));
    };
    let gap = Duration::from_millis(1);
    attack(&mut world, gap * u32::try_from(limits::TLS_HANDSHAKES).unwrap(), gap);
    assert!(world.closed.is_empty());
    for (n, version) in [&TLS12, &TLS13, &TLS12, &TLS13].into_iter().enumerate() {
        let id = world.open_from(stranger(n as u8));
        let mut client = client(&certificate, version);
        client.writer().write_all(LOGIN).unwrap();
        let mut said = Vec::new();
        for _ in 0..4 {
            while client.wants_write() {
                world.say(id, hello(&mut client));
            }
            attack(&mut world, FAR, GAP);
            let heard = world.heard.remove(&id).unwrap_or_default();
            let mut heard = &heard[..];
            while !heard.is_empty() {
                client.read_tls(&mut heard).unwrap();
                let state = client.process_new_packets().unwrap();
                let length = state.plaintext_bytes_to_read() as u64;
                client.reader().take(length).read_to_end(&mut said).unwrap();
            }
        }
        let said = String::from_utf8(said).unwrap();
        assert!(said.contains("udp_token"), "{n}: {said}");
        world.gone(id);
    }
    assert!(world.closed.len() > 1000, "somebody had to go");
}

#[test]
fn many_handshakes_at_once_take_several_turns_and_addresses_take_theirs() {
    let certificate = certificate();
    let (mut world, _) = encrypted(&certificate);
    let begin = |world: &mut World, from: IpAddr| {
        let id = world.open_from(from);
        world.say(id, hello(&mut client(&certificate, &TLS13)));
        id
    };
    let many: Vec<ConnId> = (0..20).map(|_| begin(&mut world, PUBLIC)).collect();
    let one = begin(&mut world, stranger(1));
    let answered = |world: &World| many.iter().filter(|id| world.heard.contains_key(id)).count();
    assert_eq!(answered(&world), 0, "those who want something else come first");
    assert_eq!(world.events.next_wakeup(), Some(world.now.instant));
    world.turn();
    assert!(world.heard.contains_key(&one), "it does not wait for all of the other address");
    assert_eq!(answered(&world), limits::TLS_PER_TURN - 1);
    (0..20).for_each(|_| world.turn());
    assert_eq!(answered(&world), 20);
    assert!(world.events.next_wakeup() > Some(world.now.instant));
}

#[test]
fn what_is_sent_ahead_in_tls_waits_for_a_turn_as_well() {
    let (mut world, id, mut client) = logged_in();
    let ping = br#"{"type":"request","name":"ping","request_id":2}"#;
    client.writer().write_all(&ping.repeat(100)).unwrap();
    client.send_close_notify();
    let bytes = hello(&mut client);
    world.begin_to_say(id, bytes);
    assert!(world.has_enough(id) && !world.closed.contains(&id));
    let mut heard = world.heard.remove(&id).unwrap();
    let first = heard.len();
    while world.take_turns() {}
    heard.extend(world.heard.remove(&id).unwrap());
    assert!(first < heard.len() / 4, "{first} of {} bytes in the first turn", heard.len());
    let (mut heard, mut said) = (&heard[..], String::new());
    while !heard.is_empty() {
        client.read_tls(&mut heard).unwrap();
        let length = client.process_new_packets().unwrap().plaintext_bytes_to_read() as u64;
        client.reader().take(length).read_to_string(&mut said).unwrap();
    }
    assert_eq!(said.lines().count(), 100);
    assert_eq!(client.reader().read(&mut [0; 9]).unwrap(), 0, "a goodbye behind all of it");
    assert!(world.closed.contains(&id) && world.events.is_empty());
}

#[test]
fn who_says_nothing_in_tls_is_closed() {
    let (mut world, id, mut client) = logged_in();
    client.set_buffer_limit(None);
    // New keys all the time, and a space now and then.
    for _ in 0..200 {
        client.writer().write_all(b" ").unwrap();
        (0..20).for_each(|_| client.refresh_traffic_keys().unwrap());
    }
    let mut bytes = Vec::new();
    while client.wants_write() {
        client.write_tls(&mut bytes).unwrap();
    }
    world.say(id, bytes);
    assert!(world.closed.contains(&id));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// Whatever is changed on the way: no panic, nothing is left, and it ends in the same way
    /// however it is cut.
    #[test]
    fn broken_handshakes_end(
        changes in prop::collection::vec((0usize..1200, any::<u8>()), 1..6),
        cut in 1usize..700,
        tls12: bool,
    ) {
        let certificate = certificate();
        let (mut world, _) = encrypted(&certificate);
        let mut client = client(&certificate, if tls12 { &TLS12 } else { &TLS13 });
        client.writer().write_all(LOGIN).unwrap();
        let conns = [world.open(), world.open()];
        let mut bytes = hello(&mut client);
        world.say(conns[0], &bytes);
        if let Some(heard) = world.heard.remove(&conns[0]) {
            client.read_tls(&mut &heard[..]).unwrap();
            client.process_new_packets().unwrap();
            bytes.extend(hello(&mut client));
        }
        for (at, to) in changes {
            let at = at % bytes.len();
            bytes[at] ^= to;
        }
        world.say(conns[0], &bytes);
        for piece in bytes.chunks(cut) {
            if !world.closed.contains(&conns[1]) {
                world.say(conns[1], piece);
            }
        }
        world.wait(limits::LOGIN_WAIT);
        prop_assert!(conns.iter().all(|id| world.closed.contains(id)));
        prop_assert!(world.events.is_empty());
    }
}
