//! What the owner is told of peers of events: why they are gone, and what is wrong with a certificate.
#![expect(clippy::expect_used, reason = "a helper that fails is a test that fails")]

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use compat_tests::events::{EventClient, Tls};
use compat_tests::folder::Folder;
use compat_tests::master::Master;
use rcgen::generate_simple_self_signed;
use rustls::crypto::ring;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, RootCertStore};
use serde_json::json;
use socket2::SockRef;

/// Patience with a busy machine; nothing here takes a tenth of it.
const WAIT: Duration = Duration::from_secs(10);

#[test]
fn the_log_says_why_a_peer_is_gone() {
    let master = Master::start(&[]);
    let client = |id| {
        let mut client = EventClient::connect(master.addr(), None).expect("connecting");
        client.login(id, "chess").expect("logging in");
        let at = client.tcp().local_addr().expect("an address");
        (client, at)
    };
    let (mut host, _) = client("host");
    let made = host.make_room(json!({"name": "Lobby"})).expect("a room");
    let (mut guest, at) = client("guest");
    guest.join(json!({"room": made.room})).expect("joined");
    host.kick("guest").expect("kicked");
    let room = &made.room;
    master.wait_for_log(&format!("\"guest\" ({at}) was kicked from the room {room} \"Lobby\""));
    // Who leaves what it was told resets the connection.
    guest.wait_for("self_left", WAIT).expect("told");
    drop(guest);
    master.wait_for_log(&format!("\"guest\" ({at}) is gone: it closed its connection"));
    let (lost, at) = client("lost");
    SockRef::from(lost.tcp()).set_linger(Some(Duration::ZERO)).expect("a reset");
    drop(lost);
    master.wait_for_log(&format!("\"lost\" ({at}) is gone: its connection was lost"));
    let (mut rude, at) = client("rude");
    rude.send_text("{]").expect("sending");
    master.wait_for_log(&format!("{at} (events) closed: this is not JSON"));
    master.wait_for_log(&format!("\"rude\" ({at}) is gone"));
    let log = master.stop();
    let line = log.lines().find(|line| line.contains("\"rude\" (") && line.contains("is gone"));
    assert!(line.expect("logged").ends_with("is gone"), "the line before says why: {log}");
}

/// A certificate for this name, and its file with which it is trusted.
struct Certificate(Folder);

impl Certificate {
    fn new() -> Self {
        let folder = Folder::new();
        let made = generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
        fs::write(folder.file("certificate"), made.cert.pem()).expect("writing");
        fs::write(folder.file("key"), made.signing_key.serialize_pem()).expect("writing");
        Self(folder)
    }

    fn trusted_as(&self, name: &str) -> Tls {
        let file = self.0.file("certificate");
        Tls::trusting(Path::new(&file), name).expect("a certificate")
    }
}

#[test]
fn the_log_says_that_a_certificate_is_not_trusted() {
    let own = Certificate::new();
    let [certificate, key] = ["certificate", "key"].map(|file| own.0.file(file));
    let master = Master::start(&["--tls-cert", &certificate, "--tls-key", &key]);
    for (tls, why) in [
        (Certificate::new().trusted_as("localhost"), "(events) closed: the game does not trust"),
        (own.trusted_as("example.org"), "(events) closed: the game does not trust"),
    ] {
        EventClient::connect(master.addr(), Some(&tls)).expect_err("not trusted");
        master.wait_for_log(why);
    }
    // Most libraries say nothing.
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_root_certificates(RootCertStore::empty())
        .with_no_client_auth();
    let name = ServerName::try_from("localhost").expect("a name");
    let mut silent = ClientConnection::new(Arc::new(config), name).expect("a connection");
    let mut hello = Vec::new();
    silent.write_tls(&mut hello).expect("writing");
    let mut tcp = TcpStream::connect(master.addr()).expect("connecting");
    tcp.set_read_timeout(Some(WAIT)).expect("a timeout");
    let at = tcp.local_addr().expect("an address");
    tcp.write_all(&hello).expect("sending");
    assert!(tcp.read(&mut [0; 4096]).expect("the certificate") > 0);
    drop(tcp);
    master.wait_for_log(&format!("{at} (events) closed: it ended TLS when it had seen"));
    let log = master.stop();
    assert_eq!(log.matches("(events) closed: ").count(), 3, "one line each: {log}");
}
