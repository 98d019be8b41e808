//! The whole way of a player into a game: asked, introduced, knocked, welcomed, data both ways.
#![expect(clippy::expect_used, reason = "a helper that fails is a test that fails")]

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use compat_tests::gmnet::{
    Answer, Client, ClientConfig, Control, Error, GameSocket, Host, HostConfig,
};
use compat_tests::gmnet::{Lobby, Protocol, Query, wire};
use compat_tests::master::{Master, loopback};

/// Patience with a busy machine; nothing here takes a tenth of it.
const WAIT: Duration = Duration::from_secs(10);

fn host(master: &Master, data: &[&str]) -> Host {
    let config = HostConfig::new(master.addr()).on(loopback()).with_data(data);
    Host::registered(config, WAIT).expect("registering")
}

fn client(master: &Master, host: IpAddr) -> ClientConfig {
    ClientConfig::new(master.addr(), host).on(loopback())
}

/// Joins, proves data goes both ways, and returns the local endpoint of the client.
fn join_and_play(config: ClientConfig, data1: &str) -> SocketAddr {
    let client = Client::join(config).expect("joining");
    assert_eq!(client.request_data(WAIT).expect("data strings")[0], data1);
    client.echo(b"hello", WAIT).expect("echo");
    client.local()
}

#[test]
fn one_client_joins_a_host() {
    let master = Master::any();
    let data = ["My Game", "v2", "", "four", "ö5", "", "", "the eighth"];
    let host = host(&master, &data);
    let at = host.local();
    let running = host.spawn();

    let client = Client::join(client(&master, at.ip())).expect("joining");
    assert_eq!(client.answer(), Some(Answer::Told(at)));
    assert_eq!(client.host(), Some(at));
    assert_eq!(client.request_data(WAIT).expect("data strings"), data);
    client.send(b"from the client").expect("sending");
    assert_eq!(client.receive(WAIT).expect("echo"), b"from the client");

    let mut host = running.stop().expect("hosting");
    assert!(host.run_until(WAIT, |host| !host.told().is_empty()).expect("hosting"));
    assert_eq!(host.players(), [client.local()]);
    assert_eq!(host.received(), [(client.local(), b"from the client".to_vec())]);
    host.send(client.local(), b"from the host");
    assert_eq!(client.receive(WAIT).expect("app message"), b"from the host");
    let [told] = host.told() else { panic!("told {:?}", host.told()) };
    // The old server leaves the NUL out (D1).
    assert_eq!((told.client, told.terminated), (client.local(), !master.is_old()));
}

#[test]
fn twenty_clients_at_once_are_each_told_once_and_apart() {
    const CLIENTS: u32 = 20;
    const GAP: Duration = Duration::from_millis(50);
    let Some(master) = Master::any_but_old("D5 and D20") else { return };
    let host = host(&master, &["full house"]);
    let at = host.local().ip();
    let running = host.spawn();

    let locals: BTreeSet<SocketAddr> = std::thread::scope(|scope| {
        let joins: Vec<_> = (0..CLIENTS)
            .map(|_| scope.spawn(|| join_and_play(client(&master, at), "full house")))
            .collect();
        joins.into_iter().map(|join| join.join().expect("a client")).collect()
    });
    let mut host = running.stop().expect("hosting");
    // On loopback knocks get through before the host is told, so wait for the last to be told.
    assert!(host.run_until(WAIT, |host| host.told().len() >= 20).expect("hosting"));
    assert_eq!(host.players().into_iter().collect::<BTreeSet<_>>(), locals);

    let told = host.told();
    assert_eq!(told.len(), locals.len(), "each once");
    assert_eq!(told.iter().map(|told| told.client).collect::<BTreeSet<_>>(), locals);
    // The sum of the gaps: a late reader can shrink one gap, but not all of them.
    let span = told[told.len() - 1].at - told[0].at;
    assert!(span >= GAP * (CLIENTS - 2), "twenty messages within {span:?}");
}

#[test]
fn two_players_behind_one_address_are_told_apart() {
    let master = Master::any();
    let host = host(&master, &["shared"]);
    let at = host.local().ip();
    let running = host.spawn();
    let config = client(&master, at);

    let first = Client::join(config.clone()).expect("the first joins");
    let second = Client::join(config).expect("the second joins");
    assert_eq!(first.local().ip(), second.local().ip());
    let mut host = running.stop().expect("hosting");
    assert!(host.run_until(WAIT, |host| host.told().len() >= 2).expect("hosting"));
    let told: Vec<SocketAddr> = host.told().iter().map(|told| told.client).collect();
    assert_eq!(told, [first.local(), second.local()]);
}

#[test]
fn a_client_on_the_machine_of_the_host_joins() {
    let master = Master::any();
    let host = host(&master, &["one machine"]);
    let at = host.local();
    let running = host.spawn();
    let local = join_and_play(ClientConfig::new(master.addr(), at.ip()).on(at.ip()), "one machine");
    let mut host = running.stop().expect("hosting");
    assert!(host.run_until(WAIT, |host| !host.told().is_empty()).expect("hosting"));
    assert_eq!(host.told()[0].client, local);
}

#[test]
fn an_unknown_host_is_joined_directly_if_the_game_knows_the_port() {
    let master = Master::any();
    let mut host = host(&master, &["unlisted"]);
    let at = host.local();
    host.unregister();
    wait_until_gone(&master, at.ip());
    let running = host.spawn();

    let config = client(&master, at.ip());
    let error = Client::join(config.clone()).expect_err("no port given");
    assert!(matches!(error, Error::NotFound { host } if host == at.ip()), "{error}");
    let client = Client::join(config.given(at.port())).expect("joining directly");
    assert_eq!(client.answer(), Some(Answer::NotFound));
    assert_eq!(client.host(), Some(at));
    client.echo(b"hello", WAIT).expect("echo");
    assert!(running.stop().expect("hosting").told().is_empty());
}

#[test]
fn a_client_without_a_master_server_joins_directly() {
    let master = Master::any();
    let host = host(&master, &["direct"]);
    let at = host.local();
    let running = host.spawn();
    // Nobody listens on a port whose socket is bound and not listening.
    let placeholder = std::net::UdpSocket::bind((loopback(), 0)).expect("a free port");
    let nobody = placeholder.local_addr().expect("its address");
    let config = ClientConfig::new(nobody, at.ip()).on(loopback());
    let error = Client::join(config.clone()).expect_err("nothing to try");
    assert!(matches!(error, Error::Socket { .. }), "{error}");
    let client = Client::join(config.given(at.port())).expect("joining directly");
    assert_eq!(client.answer(), Some(Answer::Unreachable));
    client.echo(b"hello", WAIT).expect("echo");
    drop(running);
}

#[test]
fn a_host_that_does_not_answer_is_given_up() {
    let master = Master::any();
    // Registered, but it takes no steps: a game that hangs.
    let hung = host(&master, &["hangs"]);
    let config =
        ClientConfig { timeout: Duration::from_millis(600), ..client(&master, hung.local().ip()) };
    let mut client = Client::start(config).expect("asking");
    let error = client.run().expect_err("nobody answers");
    assert!(matches!(error, Error::NoWelcome { host, .. } if host == hung.local()), "{error}");
    assert_eq!(client.answer(), Some(Answer::Told(hung.local())));
}

#[test]
fn a_client_whose_udp_packet_is_late_is_waited_for() {
    let Some(master) = Master::any_but_old("D2") else { return };
    let mut host = host(&master, &["patience"]);
    let at = host.local();
    let ip = loopback();
    let control = Control::open(master.addr(), Some(ip)).expect("connecting");
    let udp = GameSocket::open(master.addr(), Some(ip), 0).expect("a socket");
    control.send(&wire::connect(Protocol::Modern, at.ip())).expect("asking");
    // Its answer is held back, and so is that to the host.
    assert!(control.next(Duration::from_millis(500)).is_none());
    assert!(!host.run_until(Duration::ZERO, |host| !host.told().is_empty()).expect("hosting"));
    udp.send_raw(master.addr(), &wire::udp_connect(Protocol::Modern));
    let event = control.answer(WAIT).expect("an answer");
    assert_eq!(wire::introduction(&event.bytes).expect("valid").endpoint, at);
    assert!(host.run_until(WAIT, |host| !host.told().is_empty()).expect("hosting"));
    assert_eq!(host.told()[0].client, udp.local());
}

#[test]
fn a_client_without_udp_gets_an_answer_and_the_host_is_told_nothing() {
    let Some(master) = Master::any_but_old("D2") else { return };
    let mut host = host(&master, &["no UDP"]);
    let at = host.local();
    let control = Control::open(master.addr(), Some(loopback())).expect("connecting");
    control.send(&wire::connect(Protocol::Modern, at.ip())).expect("asking");
    let event = control.answer(WAIT).expect("an answer within ten seconds");
    match event.bytes.first() {
        Some(&wire::NOT_FOUND) => {}
        _ => assert_eq!(wire::introduction(&event.bytes).expect("valid").endpoint, at),
    }
    // What the host is told, it is told before the answer to its own question.
    host.confirm(WAIT).expect("confirmation");
    assert!(host.told().is_empty(), "{:?}", host.told());
}

#[test]
fn udp_packets_of_a_registered_host_hide_nothing() {
    let Some(master) = Master::any_but_old("D12") else { return };
    let host = host(&master, &["re-registers by UDP"]);
    let at = host.local();
    for _ in 0..3 {
        host.send_udp_register();
    }
    let found = Client::look_up(client(&master, at.ip())).expect("an answer");
    assert_eq!(found, Some(at));
    let lobby = Lobby::fetch(master.addr(), Some(loopback()), &Query::default(), WAIT);
    let lobby = lobby.expect("lobby");
    let entry = lobby.of(at.ip()).expect("listed");
    assert_eq!(entry.data[0], "re-registers by UDP");
}

/// The server may need a moment to see that a host has gone.
fn wait_until_gone(master: &Master, host: IpAddr) {
    let deadline = std::time::Instant::now() + WAIT;
    while Client::look_up(client(master, host)).expect("an answer").is_some() {
        assert!(std::time::Instant::now() < deadline, "{host} is still found");
    }
}
