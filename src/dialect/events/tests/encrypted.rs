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

fn certificate() -> CertifiedKey<KeyPair> {
    generate_simple_self_signed(["localhost".to_owned()]).unwrap()
}

fn loaded(of: &CertifiedKey<KeyPair>) -> sign::CertifiedKey {
    let key = PrivateKeyDer::try_from(of.signing_key.serialize_der()).unwrap();
    let chain = vec![of.cert.der().clone()];
    sign::CertifiedKey::from_der(chain, key, &ring::default_provider()).unwrap()
}

fn client(
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
fn talk(
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
            return Ok(String::from_utf8(said).unwrap());
        }
        for piece in bytes.chunks(size) {
            world.say(id, piece);
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

const LOGIN: &[u8] = br#"{"type":"request","name":"login","data":{"id":"a"},"request_id":1}"#;

fn encrypted(certificate: &CertifiedKey<KeyPair>) -> (World, Acceptor) {
    let acceptor = Acceptor::new(loaded(certificate)).unwrap();
    let config = Config { tls: Some(acceptor.clone()), tls_required: true, ..Config::default() };
    (World::with(config), acceptor)
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
        talk(&mut world, id, &mut wrong, 1 << 20).unwrap_err();
        assert!(world.closed.contains(&id), "its alert ends the connection");
    }
    assert!(world.events.is_empty());
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
    let certificate = certificate();
    let (mut world, _) = encrypted(&certificate);
    let id = world.open();
    let mut client = client(&certificate, &TLS13);
    client.writer().write_all(LOGIN).unwrap();
    talk(&mut world, id, &mut client, 4096).unwrap();
    world.act(|events, now, out| events.on_shutdown(now, out));
    talk(&mut world, id, &mut client, 4096).unwrap();
    assert_eq!(client.reader().read(&mut [0; 9]).unwrap(), 0, "a goodbye, not a break");
}
