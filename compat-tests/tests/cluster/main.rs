//! Several nodes as one, by real servers of NATS: who hosts at one node is found at the others, whoever dies.
#![cfg(target_os = "linux")]
#![expect(clippy::expect_used, clippy::panic, reason = "a helper that fails is a test that fails")]

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use compat_tests::gmnet::{Client, ClientConfig, Error, Host, HostConfig, Lobby, Query};
use compat_tests::master::{Master, loopback};
use compat_tests::nats_server::{NatsServers, Notices};

mod events;
mod masters;
mod natpunch;
mod nats_deaths;
mod partition;
mod restarts;
mod rooms;

const WAIT: Duration = Duration::from_secs(20);

/// So long after a node is killed its hosts may still be listed.
const GHOST: Duration = Duration::from_secs(5);

/// Nodes of one cluster.
struct Nodes {
    nats: NatsServers,
    all: Vec<Master>,
}

fn node(nats: &NatsServers, n: usize) -> Master {
    node_at(&nats.urls(n), n)
}

fn node_at(urls: &str, n: usize) -> Master {
    Master::start(&["--cluster", urls, "--node", ["a", "b", "c"][n]])
}

impl Nodes {
    /// Three of them that know each other; none if there is no NATS here.
    fn three(servers: usize) -> Option<Self> {
        let nats = NatsServers::start(servers)?;
        let all = (0..3).map(|n| node(&nats, n)).collect();
        Some(Self { nats, all }.that_know_each_other())
    }

    /// The same, each at a NATS server of its own that can be cut off from the others.
    fn on_lines(notices: Notices) -> Option<Self> {
        let nats = NatsServers::on_lines(3, notices)?;
        let all = (0..3).map(|n| node_at(&nats.url(n), n)).collect();
        Some(Self { nats, all }.that_know_each_other())
    }

    fn that_know_each_other(self) -> Self {
        for (n, master) in self.all.iter().enumerate() {
            for other in (0..3).filter(|other| *other != n) {
                master.wait_for_log(&format!("cluster: node {} is there", ["a", "b", "c"][other]));
            }
        }
        self
    }

    fn host(&self, n: usize, name: &str) -> Host {
        let config = HostConfig::new(self.all[n].addr()).on(loopback());
        Host::registered(config.with_data(&["Pong", name]), WAIT).expect("registering")
    }
}

/// The second data strings of the hosts that a node lists.
fn names(node: &Master) -> Vec<String> {
    names_at(node.addr())
}

fn names_at(master: SocketAddr) -> Vec<String> {
    let lobby = Lobby::fetch(master, Some(loopback()), &Query::default(), WAIT);
    let mut names: Vec<String> =
        lobby.expect("a lobby").entries.into_iter().map(|entry| entry.data[1].clone()).collect();
    names.sort();
    names
}

/// Waits until a node lists these; returns how long that took.
fn wait_for(node: &Master, want: &[&str], within: Duration) -> Duration {
    let start = Instant::now();
    loop {
        let names = names(node);
        if names == want {
            return start.elapsed();
        }
        assert!(start.elapsed() < within, "{names:?}, not {want:?}; its log:\n{}", node.log());
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// What each of three nodes lists.
type Lists<'a> = [&'a [&'a str]; 3];

/// Waits until all nodes list this. Until then each lists that or the same as before: nothing is missing or twice, be it
/// for a moment.
fn turn(
    mut list: impl FnMut(usize) -> Vec<String>,
    before: Lists<'_>,
    after: Lists<'_>,
    within: Duration,
) {
    let end = Instant::now() + within;
    loop {
        let lists = [0, 1, 2].map(&mut list);
        if lists == after {
            return;
        }
        let are_right = (0..3).all(|n| lists[n] == before[n] || lists[n] == after[n]);
        assert!(are_right, "{lists:?}, between {before:?} and {after:?}");
        assert!(Instant::now() < end, "{lists:?}, not {after:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Nothing changes for longer than it takes until what is gone is missed.
fn stays(mut list: impl FnMut(usize) -> Vec<String>, want: Lists<'_>) {
    let end = Instant::now() + GHOST;
    while Instant::now() < end {
        assert_eq!([0, 1, 2].map(&mut list), want);
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn join(node: &Master, host: IpAddr) {
    join_at(node.addr(), host).unwrap_or_else(|error| panic!("{error}; its log:\n{}", node.log()));
}

fn join_at(master: SocketAddr, host: IpAddr) -> Result<(), Error> {
    Client::join(ClientConfig::new(master, host).on(loopback()))?.echo(b"hello", WAIT).map(drop)
}

#[test]
fn a_host_at_one_node_is_joined_from_all_and_gone_when_that_is_killed() {
    let Some(mut nodes) = Nodes::three(3) else { return };
    let host = nodes.host(0, "one");
    let at = host.local().ip();
    let running = host.spawn();
    let own = nodes.host(1, "two");
    for node in &nodes.all {
        wait_for(node, &["one", "two"], WAIT);
    }
    for node in &nodes.all {
        join(node, at);
    }
    // Where there is none, that is said.
    let nobody = ClientConfig::new(nodes.all[2].addr(), loopback()).on(loopback());
    assert_eq!(Client::look_up(nobody).expect("an answer"), None);
    nodes.all.remove(0).crash();
    for node in &nodes.all {
        let took = wait_for(node, &["two"], GHOST);
        println!("gone from the lobby of a node after {took:?}");
    }
    drop((running, own));
    for node in &nodes.all {
        wait_for(node, &[], WAIT);
    }
}

#[test]
fn the_death_of_a_nats_server_is_not_noticed() {
    let Some(mut nodes) = Nodes::three(3) else { return };
    let host = nodes.host(0, "one");
    let at = host.local().ip();
    let _running = host.spawn();
    nodes.all.iter().for_each(|node| _ = wait_for(node, &["one"], WAIT));
    for dead in 0..2 {
        nodes.nats.kill(dead);
        for node in &nodes.all[1..] {
            assert_eq!(names(node), ["one"], "at once");
            join(node, at);
        }
        let end = Instant::now() + GHOST;
        while Instant::now() < end {
            nodes.all.iter().for_each(|node| assert_eq!(names(node), ["one"]));
            std::thread::sleep(Duration::from_millis(100));
        }
        let other = nodes.host(2, "two");
        nodes.all.iter().for_each(|node| _ = wait_for(node, &["one", "two"], WAIT));
        drop(other);
        nodes.all.iter().for_each(|node| _ = wait_for(node, &["one"], WAIT));
    }
}

#[test]
fn without_nats_a_node_serves_its_own_and_joins_when_it_can() {
    let Some(mut nats) = NatsServers::places(1) else { return };
    let all: Vec<Master> = (0..2).map(|n| node(&nats, n)).collect();
    let mut nodes = Nodes { nats: NatsServers::places(0).expect("none"), all };
    let host = nodes.host(0, "one");
    let at = host.local().ip();
    let _running = host.spawn();
    let silent = "cluster: no NATS server answers, serving only this node's players and still trying: \
                  127.0.0.1:";
    nodes.all.iter().for_each(|node| node.wait_for_log(silent));
    assert_eq!((names(&nodes.all[0]), names(&nodes.all[1])), (vec!["one".into()], vec![]));
    join(&nodes.all[0], at);
    nats.run(0);
    wait_for(&nodes.all[1], &["one"], WAIT);
    join(&nodes.all[1], at);
    // One that ends says so, and one that comes back is told everything.
    let second = nodes.all.pop().expect("the second");
    let log = second.stop();
    assert!(log.contains("cluster: connected to NATS as node b"), "{log}");
    nodes.all[0].wait_for_log("cluster: node b is gone: it has left");
    nodes.all.push(node(&nats, 1));
    wait_for(&nodes.all[1], &["one"], WAIT);
}

#[test]
fn a_process_takes_over_a_node_and_others_miss_no_host() {
    let Some(mut nodes) = Nodes::three(1) else { return };
    let host = nodes.host(0, "one");
    let at = host.local().ip();
    let _running = host.spawn();
    nodes.all.iter().for_each(|node| _ = wait_for(node, &["one"], WAIT));
    let old = nodes.all.remove(0);
    let port = old.addr().port().to_string();
    let urls = nodes.nats.urls(0);
    let options = ["--port", &port, "--take-over", "--cluster", &urls, "--node", "a"];
    let new = std::thread::scope(|scope| {
        let starts = scope.spawn(|| Master::start(&options));
        while !starts.is_finished() {
            assert_eq!(names(&nodes.all[0]), ["one"]);
        }
        starts.join().expect("a new process")
    });
    let (status, log) = old.ended(WAIT);
    assert!(status.success(), "{log}");
    let end = Instant::now() + GHOST;
    while Instant::now() < end {
        nodes.all.iter().for_each(|node| assert_eq!(names(node), ["one"]));
        std::thread::sleep(Duration::from_millis(50));
    }
    join(&nodes.all[0], at);
    wait_for(&new, &["one"], WAIT);
    let other = nodes.host(1, "two");
    wait_for(&new, &["one", "two"], WAIT);
    join(&new, at);
    drop(other);
    let log = nodes.all[0].log();
    let is_noticed = |text: &str| log.contains(&format!("cluster: node a {text}"));
    assert!(!is_noticed("is gone") && !is_noticed("has begun anew"), "{log}");
}

/// Who registers with so much is not seen at other nodes, and nobody else is any the worse for it.
#[test]
fn a_message_that_nats_does_not_take_cuts_nobody_off() {
    let Some(nats) = NatsServers::with_max_payload(4096) else { return };
    let nodes = [0, 1].map(|n| {
        let name = ["a", "b"][n];
        Master::start(&["--cluster", &nats.urls(0), "--node", name])
    });
    nodes[0].wait_for_log("cluster: node b is there");
    let host = |data: &[&str]| {
        let config = HostConfig::new(nodes[0].addr()).on(loopback());
        Host::registered(config.with_data(data), WAIT).expect("registering")
    };
    let large = "x".repeat(8000);
    let too_large = host(&["Pong", "large", &large]);
    wait_for(&nodes[0], &["large"], WAIT);
    std::thread::sleep(Duration::from_millis(200));
    drop(too_large);
    wait_for(&nodes[0], &[], WAIT);
    let _host = host(&["Pong", "one"]);
    wait_for(&nodes[1], &["one"], WAIT);
    nodes[0].wait_for_log("cluster: the NATS server takes messages of 4096 bytes at most");
    nodes[0].wait_for_log("cluster: a message to other nodes is not sent");
}
