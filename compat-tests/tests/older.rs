//! The older protocol, alone and mixed with the one that shipped games speak.
#![expect(clippy::expect_used, clippy::panic, reason = "a helper that fails is a test that fails")]

use std::time::Duration;

use compat_tests::gmnet::{Answer, Client, ClientConfig, Host, HostConfig, Lobby, Protocol, Query};
use compat_tests::master::{Master, loopback};

const WAIT: Duration = Duration::from_secs(10);

/// Both sides are told the truth, and data goes both ways.
fn meet(hosting: Protocol, joining: Protocol) {
    let Some(master) = Master::any_but_old("D25") else { return };
    let config = HostConfig::new(master.addr()).on(loopback()).with_data(&["mixed"]);
    let host = Host::registered(config.speaking(hosting), WAIT).expect("registering");
    let at = host.local();
    let running = host.spawn();

    let config = ClientConfig::new(master.addr(), at.ip()).on(loopback()).speaking(joining);
    let client = Client::join(config).expect("joining");
    assert_eq!(client.answer(), Some(Answer::Told(at)));
    client.echo(b"hello", WAIT).expect("echo");

    let mut host = running.stop().expect("hosting");
    assert!(host.run_until(WAIT, |host| !host.told().is_empty()).expect("hosting"));
    let [told] = host.told() else { panic!("told {:?}", host.told()) };
    assert_eq!((told.client, told.terminated), (client.local(), true));
}

#[test]
fn an_older_client_joins_an_older_host() {
    meet(Protocol::Older, Protocol::Older);
}

#[test]
fn a_modern_client_joins_an_older_host() {
    meet(Protocol::Older, Protocol::Modern);
}

#[test]
fn an_older_client_joins_a_modern_host() {
    meet(Protocol::Modern, Protocol::Older);
}

#[test]
fn an_older_host_is_not_listed_and_its_death_is_seen() {
    let Some(master) = Master::any_but_old("D25") else { return };
    let config = HostConfig::new(master.addr()).on(loopback()).speaking(Protocol::Older);
    let host = Host::registered(config, WAIT).expect("registering");
    let at = host.local();
    let config = ClientConfig::new(master.addr(), at.ip()).on(loopback());
    assert_eq!(Client::look_up(config.clone()).expect("an answer"), Some(at));
    let lobby = Lobby::fetch(master.addr(), Some(loopback()), &Query::default(), WAIT);
    assert!(lobby.expect("lobby").of(at.ip()).is_none(), "it has nothing to list");
    drop(host);
    let deadline = std::time::Instant::now() + WAIT;
    while Client::look_up(config.clone()).expect("an answer").is_some() {
        assert!(std::time::Instant::now() < deadline, "{at} is still found");
    }
}
