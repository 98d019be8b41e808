//! Several games behind one address: all are registered, all are listed, all are reached.
#![expect(clippy::expect_used, reason = "a helper that fails is a test that fails")]

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use compat_tests::gmnet::wire::{self, Protocol};
use compat_tests::gmnet::{Client, ClientConfig, Control, GameSocket, Host, HostConfig};
use compat_tests::gmnet::{Lobby, Query};
use compat_tests::master::{Master, loopback};

const WAIT: Duration = Duration::from_secs(10);

fn host(master: &Master, at: IpAddr, data1: &str) -> Host {
    let config = HostConfig::new(master.addr()).on(at).with_data(&[data1]);
    Host::registered(config, WAIT).expect("registering")
}

/// The addresses in the lobby, in its order.
fn listed(master: &Master) -> Vec<String> {
    let lobby = Lobby::fetch(master.addr(), Some(loopback()), &Query::default(), WAIT);
    lobby.expect("lobby").entries.into_iter().map(|entry| entry.ip).collect()
}

/// Waits until the lobby has so many hosts.
fn wait_for_lobby(master: &Master, hosts: usize) -> Vec<String> {
    let deadline = Instant::now() + WAIT;
    loop {
        let listed = listed(master);
        if listed.len() == hosts {
            return listed;
        }
        assert!(Instant::now() < deadline, "want {hosts} hosts: {listed:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Asks for a host as the lobby names it; the port that the client is told.
fn told_port(master: &Master, name: &str) -> Option<u16> {
    let ip = loopback();
    let udp = GameSocket::open(master.addr(), Some(ip), 0).expect("a socket");
    udp.send_raw(master.addr(), &wire::udp_connect(Protocol::Modern));
    let control = Control::open(master.addr(), Some(ip)).expect("connecting");
    control.send(&wire::strings(["connect", name])).expect("asking");
    let event = control.answer(WAIT).expect("an answer");
    if event.bytes == [wire::NOT_FOUND] {
        return None;
    }
    Some(wire::introduction(&event.bytes).expect("valid").endpoint.port())
}

/// Twenty players behind a new address who ask for these hosts in turn at once. None if one of them stood still
/// between its packet and its connection, on a busy machine: nobody could tell whose packet that is.
fn twenty_at_once(
    master: &Master,
    hosts: &[Host; 2],
) -> Option<(IpAddr, [(GameSocket, Control); 20])> {
    /// Half of how far the two may drift apart (`limits::DRIFT`).
    const AT_ONCE: Duration = Duration::from_millis(10);
    let shared = loopback();
    let mut is_at_once = true;
    let players = std::array::from_fn(|n| {
        let udp = GameSocket::open(master.addr(), Some(shared), 0).expect("a socket");
        let began = Instant::now();
        udp.send_raw(master.addr(), &wire::udp_connect(Protocol::Modern));
        let control = Control::open(master.addr(), Some(shared)).expect("connecting");
        is_at_once &= began.elapsed() < AT_ONCE;
        let at = hosts[n % 2].local().ip().to_string();
        control.send(&wire::strings(["connect", &at])).expect("asking");
        (udp, control)
    });
    is_at_once.then_some((shared, players))
}

#[test]
fn hosts_are_told_of_each_of_twenty_clients_of_one_address_at_once() {
    let master = Master::start(&[]);
    let mut hosts = [host(&master, loopback(), "one"), host(&master, loopback(), "other")];
    let tries = (0..50).find_map(|_| twenty_at_once(&master, &hosts));
    let (shared, players) = tries.expect("a machine that is not that busy");
    for (n, (_, control)) in players.iter().enumerate() {
        let answer = control.answer(WAIT).expect("an answer");
        let told = wire::introduction(&answer.bytes).expect("valid").endpoint;
        assert_eq!(told, hosts[n % 2].local(), "client {n}");
    }
    let locals: BTreeSet<SocketAddr> = players.iter().map(|(udp, _)| udp.local()).collect();
    let told = |hosts: &[Host]| -> Vec<SocketAddr> {
        let all = hosts.iter().flat_map(Host::told).map(|told| told.client);
        all.filter(|client| client.ip() == shared).collect()
    };
    let deadline = Instant::now() + WAIT;
    while told(&hosts).into_iter().collect::<BTreeSet<_>>() != locals {
        assert!(Instant::now() < deadline, "{:?} of {locals:?}", told(&hosts));
        for host in &mut hosts {
            host.step().expect("hosting");
        }
        std::thread::yield_now();
    }
    // Whose packet is whose may be in doubt, then a host is told of two more at most.
    for host in &mut hosts {
        host.confirm(WAIT).expect("nothing comes behind");
    }
    assert!(told(&hosts).len() <= players.len() * 3, "{:?}", told(&hosts));
}

#[test]
fn one_after_the_other_they_are_introduced_to_the_host_that_each_asked_for() {
    let master = Master::start(&["--notify-gap", "0"]);
    let mut hosts = [host(&master, loopback(), "one"), host(&master, loopback(), "other")];
    let shared = loopback();
    for n in 0..20 {
        let host = &mut hosts[n % 2];
        let config = ClientConfig::new(master.addr(), host.local().ip()).on(shared);
        let client = Client::start(config).expect("asking");
        assert!(host.run_until(WAIT, |host| host.told().len() == n / 2 + 1).expect("hosting"));
        assert_eq!(host.told()[n / 2].client, client.local(), "client {n}");
    }
}

#[test]
fn several_hosts_of_one_address_are_all_listed_and_the_newest_is_meant() {
    let master = Master::start(&[]);
    let at = loopback();
    let mut hosts: Vec<Host> = (0..4).map(|_| host(&master, at, "the same game")).collect();
    assert_eq!(wait_for_lobby(&master, 4), vec![at.to_string(); 4]);
    let ports: Vec<u16> = hosts.iter().map(|host| host.local().port()).collect();
    for port in &ports {
        assert_eq!(told_port(&master, &format!("{at}:{port}")), Some(*port), "a particular one");
    }
    assert_eq!(told_port(&master, &format!("{at}:1")), None);
    for (n, port) in ports.iter().enumerate().rev() {
        // The server may need a moment to see that the one behind has gone.
        wait_for_lobby(&master, n + 1);
        assert_eq!(told_port(&master, &at.to_string()), Some(*port), "the newest of {}", n + 1);
        hosts.pop();
    }
    wait_for_lobby(&master, 0);
    assert_eq!(told_port(&master, &at.to_string()), None);
}

#[test]
fn the_one_that_dies_first_takes_nobody_with_it() {
    let master = Master::start(&[]);
    let at = loopback();
    let first = host(&master, at, "game");
    let mut second = host(&master, at, "game");
    wait_for_lobby(&master, 2);
    first.die();
    wait_for_lobby(&master, 1);
    assert_eq!(told_port(&master, &at.to_string()), Some(second.local().port()));
    assert!(second.run_until(WAIT, |host| host.told().len() == 1).expect("hosting"));
}

#[test]
fn the_lobby_names_hosts_that_share_an_address_by_their_ports_if_asked() {
    let master = Master::start(&["--lobby-ports"]);
    let (shared, own) = (loopback(), loopback());
    let _alone = host(&master, own, "alone");
    let pair = [host(&master, shared, "one"), host(&master, shared, "two")];
    let listed = wait_for_lobby(&master, 3);
    assert!(listed.contains(&own.to_string()), "{listed:?}");
    for host in &pair {
        let name = host.local().to_string();
        assert!(listed.contains(&name), "{name} of {listed:?}");
        assert_eq!(told_port(&master, &name), Some(host.local().port()));
    }
    let [one, two] = pair;
    drop(two);
    // The one that is left has its address for itself, and the lobby shows it as ever.
    let mut names = wait_for_lobby(&master, 2);
    names.retain(|name| *name != own.to_string());
    assert_eq!(names, [shared.to_string()]);
    assert_eq!(told_port(&master, &names[0]), Some(one.local().port()));
}

/// While it stands still, datagrams and connections wait in the kernel; read at once, they would seem to
/// have come at once, too.
#[cfg(target_os = "linux")]
#[test]
fn who_waits_for_a_server_that_stands_still_is_told_of_with_its_own_port() {
    use nix::sys::signal::Signal;

    /// Longer than two packets may lie apart for their order to be in doubt (`limits::DRIFT`, twice).
    const APART: Duration = Duration::from_millis(60);
    let master = Master::start(&[]);
    let mut hosts = [0; 4].map(|_| host(&master, loopback(), "a game"));
    let shared = loopback();
    master.signal(Signal::SIGSTOP);
    let players = [0, 1, 2, 3].map(|n| {
        let udp = GameSocket::open(master.addr(), Some(shared), 0).expect("a socket");
        udp.send_raw(master.addr(), &wire::udp_connect(Protocol::Modern));
        let control = Control::open(master.addr(), Some(shared)).expect("connecting");
        let at = hosts[n].local().ip().to_string();
        control.send(&wire::strings(["connect", &at])).expect("asking");
        std::thread::sleep(APART);
        (udp, control)
    });
    master.signal(Signal::SIGCONT);
    for (n, (host, (udp, control))) in hosts.iter_mut().zip(players).enumerate() {
        let answer = control.answer(WAIT).expect("an answer");
        assert_ne!(answer.bytes, [wire::NOT_FOUND], "player {n}");
        assert!(host.run_until(WAIT, |host| !host.told().is_empty()).expect("hosting"));
        assert_eq!(host.told()[0].client, udp.local(), "player {n}");
    }
}
