//! The master server that meddles: what it does to games, and that it is a master server at all.
#![expect(clippy::expect_used, reason = "a helper that fails is a test that fails")]

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use compat_tests::gmnet::{
    Client, ClientConfig, Control, Error, GameSocket, Host, HostConfig, Line, Lobby, Query, wire,
};
use compat_tests::master::loopback;
use compat_tests::meddler::{Meddler, Meddling};

const WAIT: Duration = Duration::from_secs(10);

fn start(meddling: Meddling) -> Meddler {
    Meddler::start(SocketAddr::new(loopback(), 0), meddling).expect("a free port")
}

/// A host that came in by the honest door.
fn host(master: &Meddler) -> Host {
    let config = HostConfig::new(master.honest()).on(loopback()).with_data(&["game"]);
    Host::registered(config, WAIT).expect("registering")
}

fn client(master: SocketAddr, host: IpAddr) -> ClientConfig {
    ClientConfig {
        timeout: Duration::from_secs(1),
        ..ClientConfig::new(master, host).on(loopback())
    }
}

/// All that comes within a second after `connect`, event by event.
fn events(master: SocketAddr, host: IpAddr) -> Vec<Vec<u8>> {
    let control = Control::open(master, Some(loopback())).expect("connecting");
    control.send(&wire::connect(wire::Protocol::Modern, host)).expect("sending");
    let mut events = Vec::new();
    while let Some(event) = control.next(Duration::from_secs(1)) {
        events.push(event.bytes);
    }
    events
}

#[test]
fn without_meddling_it_is_a_master_server() {
    let master = start(Meddling::default());
    let host = host(&master);
    let at = host.local().ip();
    let running = host.spawn();
    for door in [master.addr(), master.honest()] {
        let client = Client::join(ClientConfig { timeout: WAIT, ..client(door, at) });
        client.expect("joining").echo(b"there and back", WAIT).expect("an echo");
        let lobby = Lobby::fetch(door, None, &Query::default(), WAIT).expect("a lobby");
        assert_eq!((lobby.entries.len(), lobby.events), (1, 1));
    }
    let mut host = running.stop().expect("no trouble");
    // The second may have knocked before the host was told.
    assert!(host.run_until(WAIT, |host| host.told().len() == 2).expect("no trouble"));
    drop(host);
    let gone = || Lobby::fetch(master.addr(), None, &Query::default(), WAIT).expect("a lobby");
    while !gone().entries.is_empty() {}
}

#[test]
fn split_replies_come_in_three_events() {
    let master = start(Meddling { split_replies: true, ..Meddling::default() });
    let host = host(&master);
    let at = host.local().ip();
    let lobby = Lobby::fetch(master.addr(), None, &Query::default(), WAIT).expect("a lobby");
    assert_eq!((lobby.entries.len(), lobby.events), (1, 3));
    let lobby = Lobby::fetch(master.honest(), None, &Query::default(), WAIT).expect("a lobby");
    assert_eq!(lobby.events, 1);
    let error = Client::join(client(master.addr(), at)).expect_err("a fragment");
    assert!(matches!(error, Error::Malformed { .. }), "{error}");
    assert_eq!(events(master.addr(), Ipv4Addr::new(192, 0, 2, 1).into()), [[wire::NOT_FOUND]]);
}

#[test]
fn glued_replies_come_in_one_event() {
    let master = start(Meddling { glue_replies: true, ..Meddling::default() });
    let nobody = Ipv4Addr::new(192, 0, 2, 1).into();
    assert_eq!(events(master.addr(), nobody), [b"\xf61.2.5\n\xfe"]);
    assert_eq!(events(master.honest(), nobody), [[wire::NOT_FOUND]]);
    // Two clients at one moment.
    let at = loopback();
    let socket = GameSocket::open(master.addr(), Some(at), 0).expect("a socket");
    socket.send_raw(master.addr(), &wire::udp_register(wire::Protocol::Modern));
    let control = Control::open(master.addr(), Some(at)).expect("connecting");
    let request =
        wire::register(wire::Protocol::Modern, wire::CLIENT_VERSION, &wire::Data::default());
    control.send(&[&request, wire::ASK_VERSION].concat()).expect("sending");
    assert_eq!(control.answer(WAIT).expect("registered").bytes, b"\xf61.2.5\n\xf61.2.5\n");
    // A busy machine may keep the second one waiting for too long, but not every time.
    let come_together = (0..5).any(|_| {
        let _clients = [0, 1].map(|_| Client::start(client(master.honest(), at)).expect("asking"));
        let told = control.answer(WAIT).expect("a notification").bytes;
        assert_eq!(told[0], wire::VERSION);
        told.iter().filter(|byte| **byte == wire::MASTER).count() == 2
    });
    assert!(come_together);
}

#[test]
fn datagrams_come_late() {
    let delay = Duration::from_millis(400);
    let line = Line { delay, drop_first: 0 };
    let master = start(Meddling { line, ..Meddling::default() });
    let host = host(&master);
    let at = host.local().ip();
    let _running = host.spawn();
    let config = |door| ClientConfig { timeout: WAIT, ..client(door, at) };
    let late = Client::join(config(master.addr())).expect("joining");
    assert!(late.connected_after() >= Some(delay));
    // A line of its own is as slow.
    let late = Client::join(ClientConfig { line, ..config(master.honest()) }).expect("joining");
    assert!(late.connected_after() >= Some(delay));
}

#[test]
fn datagrams_are_lost() {
    let line = Line { drop_first: 1, ..Line::default() };
    let master = start(Meddling { line, ..Meddling::default() });
    let config = HostConfig::new(master.addr()).on(loopback());
    let host = Host::registered(config, WAIT).expect("registering");
    let at = host.local().ip();
    let config = || ClientConfig { timeout: WAIT, ..client(master.honest(), at) };
    // Its only packet did not arrive, so nobody can be told where it is.
    assert_eq!(Client::look_up(config()).expect("an answer"), None);
    host.send_udp_register();
    assert_eq!(Client::look_up(config()).expect("an answer"), Some(host.local()));
}

#[test]
fn a_host_that_never_welcomes_knocks_all_the_same() {
    let master = start(Meddling::default());
    let config = HostConfig::new(master.honest()).on(loopback());
    let mute = Host::registered(HostConfig { never_welcome: true, ..config }, WAIT);
    let mute = mute.expect("registering");
    let at = mute.local().ip();
    let _running = mute.spawn();
    let mut client = Client::start(client(master.honest(), at)).expect("asking");
    let error = client.run().expect_err("no welcome");
    assert!(matches!(error, Error::NoWelcome { .. }), "{error}");
    assert!(client.was_knocked_at());
}

#[test]
fn a_host_behind_a_nat_hears_whom_it_was_told_about() {
    let master = start(Meddling::default());
    let config = HostConfig { only_told: true, ..HostConfig::new(master.honest()).on(loopback()) };
    let host = Host::registered(config, WAIT).expect("registering");
    let at = host.local();
    let _running = host.spawn();
    let nobody = SocketAddr::new(loopback(), at.port());
    let error = Client::join(client(nobody, at.ip()).given(at.port())).expect_err("no welcome");
    assert!(matches!(error, Error::NoWelcome { .. }), "{error}");
    let known = ClientConfig { timeout: WAIT, ..client(master.honest(), at.ip()) };
    Client::join(known).expect("joining");
}

#[test]
fn it_goes_away_and_comes_back_to_the_same_place() {
    let mut master = start(Meddling::default());
    let doors = [master.addr(), master.honest()];
    let mut host = host(&master);
    master.down();
    for door in doors {
        assert!(Control::open(door, Some(loopback())).is_err());
    }
    assert!(host.run_until(WAIT, |host| !host.has_master()).expect("no trouble"));
    master.up().expect("the same ports");
    assert_eq!([master.addr(), master.honest()], doors);
    let lobby = || Lobby::fetch(doors[0], None, &Query::default(), WAIT).expect("a lobby");
    assert_eq!(lobby().entries, []);
    assert!(!host.ping().expect("a master server"));
    host.confirm(WAIT).expect("registered again");
    assert_eq!(lobby().entries.len(), 1);
}
