//! Hosts that come back, change their data, and die; and what others notice of it: nothing.
#![expect(clippy::expect_used, reason = "a helper that fails is a test that fails")]

use std::collections::HashSet;
use std::net::IpAddr;
use std::process::Command;
use std::time::{Duration, Instant};

use compat_tests::gmnet::wire::{self, Protocol};
use compat_tests::gmnet::{Client, ClientConfig, Control, Data, Error, GameSocket};
use compat_tests::gmnet::{Host, HostConfig, Lobby, Query, Running};
use compat_tests::master::{self, Master, loopback};

const WAIT: Duration = Duration::from_secs(10);

fn host(master: &Master, data: &[&str]) -> Host {
    let config = HostConfig::new(master.addr()).on(loopback()).with_data(data);
    Host::registered(config, WAIT).expect("registering")
}

fn client(master: &Master, host: IpAddr) -> ClientConfig {
    ClientConfig::new(master.addr(), host).on(loopback())
}

/// What the lobby shows of a host.
fn listed(master: &Master, host: IpAddr) -> Option<Data> {
    let lobby = Lobby::fetch(master.addr(), Some(loopback()), &Query::default(), WAIT);
    lobby.expect("lobby").of(host).map(|entry| entry.data.clone())
}

/// Waits until the server has seen that a host is gone.
fn wait_until_gone(master: &Master, host: IpAddr) {
    let deadline = Instant::now() + WAIT;
    while Client::look_up(client(master, host)).expect("an answer").is_some() {
        assert!(Instant::now() < deadline, "{host} is still found");
    }
    assert_eq!(listed(master, host), None);
}

#[test]
fn a_host_that_registers_again_is_told_on_its_new_connection() {
    let master = Master::any();
    let mut host = host(&master, &["again"]);
    for _ in 0..3 {
        host.register().expect("registering again");
        host.confirm(WAIT).expect("confirmation");
        let client = Client::start(client(&master, host.local().ip())).expect("asking");
        let known = |host: &Host| host.told().iter().any(|told| told.client == client.local());
        assert!(host.run_until(WAIT, known).expect("hosting"), "told on the new connection");
    }
    // It registers so soon again that it may not have read the one before.
    let clients: HashSet<_> = host.told().iter().map(|told| told.client).collect();
    assert_eq!(clients.len(), 3);
    assert!((3..=5).contains(&host.told().len()), "{:?}", host.told());
}

#[test]
fn the_late_end_of_an_old_connection_removes_nothing() {
    for reset in [false, true] {
        let Some(master) = Master::any_but_old("D9") else { return };
        let config = HostConfig::new(master.addr()).on(loopback()).with_data(&["late"]);
        let ip = config.bind.expect("its address");
        let old = Control::open(master.addr(), Some(ip)).expect("connecting");
        let request = wire::register(Protocol::Modern, wire::CLIENT_VERSION, &config.data);
        old.send(&request).expect("registering");
        old.send(wire::ASK_VERSION).expect("asking");
        old.answer(WAIT).expect("carried out");
        let host = Host::registered(config, WAIT).expect("registering");
        if reset {
            old.reset()
        } else {
            drop(old)
        }
        // The server reads its connections one after another: once a later one has an answer ...
        assert!(listed(&master, ip).is_some());
        let at = host.local();
        let _running = host.spawn();
        // ... and a whole join later, the end of the old one has been seen.
        Client::join(client(&master, at.ip())).expect("joining");
        assert_eq!(listed(&master, ip).map(|data| data[0].clone()).as_deref(), Some("late"));
    }
}

#[test]
fn committed_data_is_listed_and_the_host_stays_joinable() {
    let master = Master::any();
    let mut host = host(&master, &["commit", "0 players"]);
    let ip = host.local().ip();
    for players in 1..=5 {
        let mut data = host.config().data.clone();
        data[1] = format!("{players} players");
        host.commit(data.clone());
        host.step().expect("the step after the commit");
        host.confirm(WAIT).expect("confirmation");
        assert_eq!(listed(&master, ip), Some(data));
        let found = Client::look_up(client(&master, ip)).expect("an answer");
        assert_eq!(found, Some(host.local()), "with its port, right after the commit");
    }
    let data = host.config().data.clone();
    let _running = host.spawn();
    let client = Client::join(client(&master, ip)).expect("joining");
    assert_eq!(client.request_data(WAIT).expect("data strings"), data);
}

#[test]
fn what_a_host_was_told_as_it_changed_its_data_is_told_again() {
    let master = Master::any();
    let mut host = host(&master, &["commit", "0 players"]);
    for players in 1..=3 {
        // It is told on the connection that it closes without a look at it.
        let client = Client::start(client(&master, host.local().ip())).expect("asking");
        let mut data = host.config().data.clone();
        data[1] = format!("{players} players");
        host.commit(data);
        host.step().expect("the step after the commit");
        host.confirm(WAIT).expect("confirmation");
        let known = |host: &Host| host.told().iter().any(|told| told.client == client.local());
        assert!(host.run_until(WAIT, known).expect("hosting"), "told on the new connection");
    }
}

#[test]
fn a_dead_host_is_not_found() {
    let master = Master::any();
    for reset in [false, true] {
        let host = host(&master, &["dies"]);
        let ip = host.local().ip();
        assert!(listed(&master, ip).is_some());
        if reset {
            host.die()
        } else {
            drop(host)
        }
        wait_until_gone(&master, ip);
    }
}

#[test]
fn a_restarted_server_gets_its_hosts_back_with_their_next_ping() {
    // Not from the range in which other sockets get theirs while the server is away.
    let port = (20_000 + std::process::id() % 10_000).to_string();
    let start = || {
        let mut command = Command::new(master::binary());
        command.args(["--port", &port]);
        Master::spawn(command)
    };
    let first = start();
    let mut host = host(&first, &["survivor"]);
    assert!(host.ping().expect("ping"), "a working connection is kept");
    first.crash();
    let gone = host.run_until(WAIT, |host| !host.has_master()).expect("hosting");
    assert!(gone, "the host sees the end of the server");
    let second = start();
    assert!(!host.ping().expect("ping"), "registered again");
    host.confirm(WAIT).expect("confirmation");
    let at = host.local().ip();
    let _running = host.spawn();
    Client::join(client(&second, at)).expect("joining").echo(b"hello", WAIT).expect("echo");
}

#[test]
fn a_version_below_the_minimum_is_refused() {
    let master = Master::any();
    let mut config = HostConfig::new(master.addr()).on(loopback()).with_data(&["old"]);
    config.version = "1.1.9".to_owned();
    let ip = config.bind.expect("its address");
    let error = Host::registered(config.clone(), WAIT).expect_err("too old");
    // Closing with our question unread may reset the connection: the same to a game.
    assert!(matches!(error, Error::MasterClosed { .. } | Error::Socket { .. }), "{error}");
    assert_eq!(listed(&master, ip), None);
    config.version = "1.10.0".to_owned();
    Host::registered(config, WAIT).expect("1.10 is newer than 1.2");
}

/// A client goes at each moment of its way, with FIN and with RST.
#[test]
fn a_client_can_die_at_any_moment() {
    let master = Master::any();
    let host = host(&master, &["bystander"]);
    let at = host.local();
    let mut running = host.spawn();
    let whole = wire::connect(Protocol::Modern, at.ip());
    for cut in (0..=whole.len()).step_by(4).chain([whole.len()]) {
        for reset in [false, true] {
            let ip = loopback();
            let socket = GameSocket::open(master.addr(), Some(ip), 0).expect("a socket");
            socket.send_raw(master.addr(), &wire::udp_connect(Protocol::Modern));
            let control = Control::open(master.addr(), Some(ip)).expect("connecting");
            control.send(&whole[..cut]).expect("sending");
            if reset { control.reset() } else { drop(control) }
        }
        running = serves(&master, running, at.ip());
    }
    for reset in [false, true] {
        let mut dying = Client::start(client(&master, at.ip())).expect("asking");
        while dying.answer().is_none() {
            dying.step().expect("an answer");
            std::thread::yield_now();
        }
        if reset {
            dying.die()
        } else {
            drop(dying)
        }
        running = serves(&master, running, at.ip());
    }
}

/// A host goes at each moment of its registration and of an introduction, with FIN and with RST.
#[test]
fn a_host_can_die_at_any_moment() {
    let master = Master::any();
    let host = host(&master, &["bystander"]);
    let at = host.local().ip();
    let mut running = host.spawn();
    let data: Data = std::array::from_fn(|n| format!("half {n}"));
    let whole = wire::register(Protocol::Modern, wire::CLIENT_VERSION, &data);
    let mut dead = Vec::new();
    for cut in (0..=whole.len()).step_by(9).chain([whole.len()]) {
        for reset in [false, true] {
            let ip = loopback();
            let socket = GameSocket::open(master.addr(), Some(ip), 0).expect("a socket");
            socket.send_raw(master.addr(), &wire::udp_register(Protocol::Modern));
            let control = Control::open(master.addr(), Some(ip)).expect("connecting");
            control.send(&whole[..cut]).expect("sending");
            if reset {
                control.reset()
            } else {
                drop(control)
            }
            dead.push(ip);
        }
        running = serves(&master, running, at);
    }
    for reset in [false, true] {
        let dying = self::host(&master, &["told, then dead"]);
        let ip = dying.local().ip();
        let ask = |_| Client::start(client(&master, ip)).expect("asking");
        let asking: Vec<Client> = (0..3).map(ask).collect();
        if reset {
            dying.die()
        } else {
            drop(dying)
        }
        running = serves(&master, running, at);
        drop(asking);
        dead.push(ip);
    }
    // All at once: a server may let each of them wait a while for a host that might come back.
    std::thread::scope(|scope| {
        for ip in dead {
            let master = &master;
            scope.spawn(move || wait_until_gone(master, ip));
        }
    });
    serves(&master, running, at);
}

/// A newcomer joins the bystander, which has been told of it, and of nobody at port 0.
fn serves(master: &Master, running: Running, at: IpAddr) -> Running {
    let client = Client::join(client(master, at)).expect("joining the bystander");
    client.echo(b"alive", WAIT).expect("echo");
    let mut host = running.stop().expect("hosting");
    let known = |host: &Host| host.told().iter().any(|told| told.client == client.local());
    let is_told = host.run_until(WAIT, known).expect("hosting");
    assert!(is_told, "the bystander is told of {}: {:?}", client.local(), host.told());
    assert!(host.told().iter().all(|told| told.client.port() != 0));
    host.spawn()
}
