//! The owner's window and the metrics of each node of a cluster show all nodes, by real servers of NATS.
#![cfg(target_os = "linux")]
#![expect(clippy::expect_used, reason = "a helper that fails is a test that fails")]

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use compat_tests::browser::{browser, inside, rows, run};
use compat_tests::company::start_with_window;
use compat_tests::events::EventClient;
use compat_tests::folder::Folder;
use compat_tests::gmnet::{Host, HostConfig};
use compat_tests::http::get;
use compat_tests::master::{Master, loopback};
use compat_tests::nats_server::NatsServers;
use compat_tests::rooms::Player;
use compat_tests::skipped;
use serde_json::{Value, json};

const WAIT: Duration = Duration::from_secs(20);

/// So long after a node is killed it may still be shown.
const GHOST: Duration = Duration::from_secs(5);

const NAMES: [&str; 3] = ["a", "b", "c"];

/// The second has a relay, at an address that no other test has.
fn node(nats: &NatsServers, n: usize) -> (Master, SocketAddr) {
    let (urls, ip) = (nats.urls(0), loopback().to_string());
    let mut options = vec!["--cluster", &urls, "--node", NAMES[n]];
    if n == 1 {
        options.extend(["--relay", &ip, "--relay-ports", "20300-20303"]);
        options.extend(["--relay-public", "203.0.113.8"]);
    }
    start_with_window(&options)
}

fn cluster(window: SocketAddr) -> Value {
    let status = get(window, "/api/v1/status").expect("an answer").json();
    status["cluster"].clone()
}

/// The names of the nodes that a window shows.
fn shown(window: SocketAddr) -> Vec<String> {
    let cluster = cluster(window);
    let nodes = cluster["nodes"].as_array().expect("nodes");
    let mut names: Vec<String> =
        nodes.iter().filter_map(|node| node["node"].as_str()).map(Into::into).collect();
    names.sort();
    names
}

/// How many hosts and clients a node has in a dialect, as a window shows it.
fn census(window: SocketAddr, node: &str, dialect: &str) -> Option<(u64, u64)> {
    let cluster = cluster(window);
    let node = cluster["nodes"].as_array()?.iter().find(|of| of["node"] == node)?;
    let spoken = node["dialects"].as_array()?.iter().find(|of| of["name"] == dialect)?;
    Some((spoken["hosts"].as_u64()?, spoken["clients"].as_u64()?))
}

fn wait_until(what: &str, within: Duration, mut is_so: impl FnMut() -> bool) {
    let end = Instant::now() + within;
    while !is_so() {
        assert!(Instant::now() < end, "never: {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn each_node_shows_what_all_have_and_who_is_gone() {
    let Some(mut nats) = NatsServers::start(1) else { return };
    let mut nodes: Vec<(Master, SocketAddr)> = (0..3).map(|n| node(&nats, n)).collect();
    let config = HostConfig::new(nodes[0].0.addr()).on(loopback());
    let _host = Host::registered(config.with_data(&["Pong", "one"]), WAIT).expect("a host");
    let at = SocketAddr::new(loopback(), 0);
    let mut player = Player::new(nodes[1].0.addr(), at, WAIT).expect("a player");
    player.host("Room").expect("a room");
    let mut peer = EventClient::connect(nodes[2].0.addr(), None).expect("connecting");
    peer.login("amy", "chess").expect("logging in");
    for (_, window) in &nodes {
        let counts = |node, dialect| census(*window, node, dialect);
        wait_until("what all nodes have", WAIT, || {
            counts("a", "gmnet") == Some((1, 0))
                && counts("b", "rooms") == Some((1, 0))
                && counts("c", "events") == Some((0, 1))
        });
        // What is at another node counts there alone.
        assert_eq!((counts("b", "gmnet"), counts("a", "rooms")), (Some((0, 0)), Some((0, 0))));
        assert_eq!(counts("a", "events"), Some((0, 0)));
        let cluster = cluster(*window);
        assert_eq!(cluster["connected"], true);
        for node in cluster["nodes"].as_array().expect("nodes") {
            assert_eq!(node["version"], env!("CARGO_PKG_VERSION"), "{cluster:#}");
            assert!(node["uptime"].as_u64().is_some_and(|up| up < 100), "{cluster:#}");
            assert!(node["there"].as_u64().is_some_and(|there| there < 100), "{cluster:#}");
            assert_eq!(node["relay"].is_object(), node["node"] == "b", "{cluster:#}");
        }
        let text = get(*window, "/metrics").expect("metrics").body;
        for series in [
            "punchd_cluster_connected 1\n",
            "punchd_cluster_hosts{node=\"a\",dialect=\"gmnet\"} 1\n",
            "punchd_cluster_clients{node=\"c\",dialect=\"events\"} 1\n",
            "punchd_cluster_relay_sessions_max{node=\"b\"} 4096\n",
            "punchd_cluster_relay_sessions_max{node=\"a\"} 0\n",
        ] {
            assert!(text.contains(series), "{series} in {text}");
        }
    }
    // Their own are what they were.
    let text = get(nodes[2].1, "/metrics").expect("metrics").body;
    assert!(text.contains("punchd_hosts{dialect=\"gmnet\"} 0\n"), "{text}");
    nodes.remove(0).0.crash();
    for (_, window) in &nodes {
        wait_until("that a node is gone", GHOST, || shown(*window) == ["b", "c"]);
        let text = get(*window, "/metrics").expect("metrics").body;
        assert!(!text.contains("node=\"a\""), "{text}");
    }
    let window = nodes[0].1;
    nats.kill(0);
    wait_until("that NATS is gone", WAIT, || cluster(window)["connected"] == false);
    wait_until("that nobody else is there", GHOST, || shown(window) == ["b"]);
    let warnings = || get(window, "/api/v1/status").expect("an answer").json()["warnings"].clone();
    let want =
        json!(["no NATS server answers (--cluster): this node serves its own players alone"]);
    wait_until("a warning", WAIT, || warnings() == want);
    nats.run(0);
    wait_until("all again", WAIT, || shown(window) == ["b", "c"]);
    assert_eq!((&cluster(window)["connected"], warnings()), (&json!(true), json!([])));
}

#[test]
fn the_page_of_each_node_shows_all_nodes() {
    let Some(browser) = browser() else { return skipped::note("there is no chromium") };
    let Some(nats) = NatsServers::start(1) else { return };
    let nodes: Vec<(Master, SocketAddr)> = (0..2).map(|n| node(&nats, n)).collect();
    let config = HostConfig::new(nodes[0].0.addr()).on(loopback());
    let _host = Host::registered(config.with_data(&["Pong", "one"]), WAIT).expect("a host");
    let folder = Folder::new();
    for (n, (_, window)) in nodes.iter().enumerate() {
        wait_until("the other", WAIT, || census(*window, "a", "gmnet") == Some((1, 0)));
        wait_until("itself", WAIT, || shown(*window) == ["a", "b"]);
        let url = format!("http://{window}/");
        let (page, _) = run(browser, &folder, &["--dump-dom"], &url);
        assert!(inside(&page, "nodes-state", "</p>").ends_with(">1 other node is there"), "{page}");
        let all = rows(&page, "nodes");
        assert_eq!(all.len(), 2, "{all:#?}");
        // Its own is the first.
        for (row, m) in all.iter().zip([n, 1 - n]) {
            let own = if m == n { "<small>this one</small>" } else { "" };
            assert_eq!(row[0], format!("{}{own}", NAMES[m]), "{all:#?}");
            let gmnet = if m == 0 { ">gmnet 1, 0<" } else { ">gmnet 0, 0<" };
            assert!(row[5].contains(gmnet), "{all:#?}");
            let relayed = if m == 1 { "0 of 4096" } else { "no relay" };
            assert_eq!(row[6], relayed, "{all:#?}");
        }
    }
}

/// Both are told, and no more of it when one is gone.
#[test]
fn two_nodes_of_one_name_are_told_their_owners() {
    let Some(nats) = NatsServers::start(1) else { return };
    let (_one, window) = node(&nats, 0);
    let (two, other) = node(&nats, 0);
    let count = |window| {
        let status = get(window, "/api/v1/status").expect("an answer").json();
        let all = status["warnings"].as_array().expect("warnings").clone();
        let say_so = |text: &&Value| {
            text.as_str().is_some_and(|text| text.contains("calls itself a as well"))
        };
        all.iter().filter(say_so).count()
    };
    wait_until("warnings", WAIT, || [window, other].map(count) == [1, 1]);
    two.crash();
    wait_until("that it is the only one", WAIT, || count(window) == 0);
}

/// It has a way to others, and there are none: perhaps they have another one.
#[test]
fn a_node_that_stays_alone_is_told_its_owner() {
    let Some(nats) = NatsServers::places(2) else { return };
    let mut nats = nats;
    nats.run(0);
    let (master, window) = node(&nats, 0);
    let alone = "no other node is there: it has another --cluster-name, or its NATS server and this one do not reach \
                 each other";
    let warnings = || get(window, "/api/v1/status").expect("an answer").json()["warnings"].clone();
    wait_until("a warning", WAIT, || warnings() == json!([format!("{alone} (--cluster)")]));
    master.wait_for_log(&format!("cluster: {alone}"));
    let _other = node(&nats, 2);
    wait_until("that it is not alone", WAIT, || warnings() == json!([]));
    // By then it has tried both.
    nats.kill(0);
    master.wait_for_log("cluster: no NATS server answers, serving only this node's players");
    nats.run(1);
    master.wait_for_log("cluster: not all NATS servers of --cluster answer: 127.0.0.1:");
}

#[test]
fn who_is_no_node_has_no_cluster() {
    let (_master, window) = start_with_window(&[]);
    assert_eq!(cluster(window), Value::Null);
    let text = get(window, "/metrics").expect("metrics").body;
    assert!(!text.contains("punchd_cluster"), "{text}");
}
