//! Games find each other through the master server: the sample with itself, and with the Rust
//! peers in both directions.

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use compat_tests::gmnet::{Client, ClientConfig, Entry, Host, HostConfig, Lobby, Query};
use compat_tests::master::{Master, loopback};

use crate::runner::{Game, WAIT, is_here};

/// A sample host that is registered.
pub(crate) fn host(master: SocketAddr, set: &[(&str, &str)]) -> Game {
    let mut host = Game::start("host", master, loopback(), set);
    host.wait_for("state", "connected");
    host
}

/// A sample client that joins.
pub(crate) fn client(master: SocketAddr, host: IpAddr, set: &[(&str, &str)]) -> Game {
    let host = host.to_string();
    Game::start("client", master, loopback(), &[&[("host_ip", host.as_str())], set].concat())
}

/// The sample's position packet.
fn position(number: u8, x: i16, y: i16) -> Vec<u8> {
    [vec![1, number], x.to_le_bytes().to_vec(), y.to_le_bytes().to_vec()].concat()
}

/// The lobby's entry of a host, as soon as it is there and `is_it`.
pub(crate) fn entry(master: SocketAddr, of: IpAddr, is_it: impl Fn(&Entry) -> bool) -> Entry {
    let deadline = Instant::now() + WAIT;
    loop {
        let lobby = Lobby::fetch(master, Some(loopback()), &Query::default(), WAIT);
        let lobby = lobby.expect("a lobby");
        if let Some(entry) = lobby.of(of).filter(|entry| is_it(entry)) {
            return entry.clone();
        }
        assert!(Instant::now() < deadline, "{of} is not listed like that: {}", lobby.json());
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_host_and_a_client_of_the_sample_exchange_positions() {
    if !is_here() {
        return;
    }
    let master = Master::start(&[]);
    let mut host = host(master.addr(), &[("data1", "met"), ("data8", "eight")]);
    let mut client = client(master.addr(), host.at(), &[("leave_after", "1")]);
    assert_eq!(client.value("state"), "asking");
    assert_eq!(client.value("state"), "punching");
    assert_eq!(client.value("state"), "connected");
    client.wait_for("data", "met|||||||eight");
    client.wait_for("position", "1,2");
    let player = host.value("player");
    assert!(player.starts_with(&format!("{}:", client.at())), "{player}");
    host.wait_for("position", "3,4");
    client.wait_for("state", "idle");
    assert_eq!(client.exit_code(), 0);
    // Its silence is noticed after 20 s; by then the next test is wanted.
    assert_eq!(host.all("state"), ["asking", "connected"]);
    assert_eq!(host.all("reason"), Vec::<String>::new());
}

#[test]
fn the_client_of_the_sample_joins_a_rust_host() {
    if !is_here() {
        return;
    }
    let master = Master::start(&[]);
    let config = HostConfig::new(master.addr()).on(loopback()).with_data(&["rust", "", "zwölf"]);
    let host = Host::registered(config, WAIT).expect("registering");
    let at = host.local().ip();
    let running = host.spawn();
    let mut client = client(master.addr(), at, &[("x", "-300"), ("y", "4")]);
    client.wait_for("state", "connected");
    client.wait_for("data", "rust||zwölf|||||");
    // The host sends back what it gets.
    client.wait_for("position", "-300,4");
    let host = running.stop().expect("no trouble");
    let (from, first) = host.received().first().expect("a position");
    assert_eq!((from.ip(), first.as_slice()), (client.at(), position(0, -300, 4).as_slice()));
    assert_eq!(host.players().len(), 1);
}

#[test]
fn a_rust_client_joins_the_host_of_the_sample() {
    if !is_here() {
        return;
    }
    let master = Master::start(&[]);
    let mut host = host(master.addr(), &[("data1", "sample"), ("x", "-7"), ("y", "500")]);
    let config = ClientConfig::new(master.addr(), host.at()).on(loopback());
    let client = Client::join(config).expect("joining");
    let data = client.request_data(WAIT).expect("the data strings");
    assert_eq!(data[0], "sample");
    assert_eq!(client.receive(WAIT).expect("a position"), position(0, -7, 500));
    client.send(&position(9, 320, -2)).expect("connected");
    host.wait_for("position", "320,-2");
    assert_eq!(host.all("player"), [client.local().to_string()]);
    // What is no position is refused, not read.
    client.send(&position(9, 1, 1)[..5]).expect("connected");
    client.send(&position(9, 11, 12)).expect("connected");
    assert_eq!(host.value("position"), "11,12");
}

#[test]
fn two_clients_join_at_one_moment() {
    if !is_here() {
        return;
    }
    let master = Master::start(&[]);
    let mut host = host(master.addr(), &[]);
    let mut clients =
        ["31", "32"].map(|x| client(master.addr(), host.at(), &[("x", x), ("y", "0")]));
    for client in &mut clients {
        client.wait_for("state", "connected");
        client.wait_for("position", "1,2");
    }
    let players = [host.value("player"), host.value("player")];
    for client in &clients {
        let ip = format!("{}:", client.at());
        assert!(players.iter().any(|player| player.starts_with(&ip)), "{players:?}");
    }
    host.wait_for("position", "31,0");
    host.wait_for("position", "32,0");
}

#[test]
fn the_lobby_shows_the_data_of_the_sample() {
    if !is_here() {
        return;
    }
    let master = Master::start(&[]);
    let alpha = [("data1", "game"), ("data2", "alpha \"äöü\""), ("data8", "8")];
    let alpha = host(master.addr(), &alpha);
    let changing = [("data1", "game"), ("data2", "beta"), ("new_data1", "late")];
    let beta = host(master.addr(), &[&changing[..], &[("new_data1_after", "1")]].concat());

    let listed = entry(master.addr(), alpha.at(), |_| true);
    assert_eq!(listed.data, ["game", "alpha \"äöü\"", "", "", "", "", "", "8"]);
    let entry_of_alpha = format!("{}|game|alpha \"äöü\"||||||8|{}", alpha.at(), listed.created);
    entry(master.addr(), beta.at(), |entry| entry.data[0] == "late");

    let lobby = |set: &[(&str, &str)]| -> Vec<String> {
        let mut lobby = Game::start("lobby", master.addr(), loopback(), set);
        assert_eq!(lobby.exit_code(), 0, "{}", lobby.output());
        lobby.output();
        lobby.all("entry")
    };
    assert_eq!(lobby(&[("filter1", "game")]), [entry_of_alpha]);
    assert_eq!(lobby(&[("filter1", "gam")]), Vec::<String>::new());
    let data2 = |descending: &str, limit: &str| -> Vec<String> {
        let set = [("sort", "data2"), ("descending", descending), ("limit", limit)];
        lobby(&set).iter().map(|entry| entry.split('|').nth(2).unwrap_or("").to_owned()).collect()
    };
    assert_eq!(data2("0", ""), ["alpha \"äöü\"", "beta"]);
    assert_eq!(data2("1", "1"), ["beta"]);
}
