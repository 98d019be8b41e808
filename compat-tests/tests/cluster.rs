//! Several nodes as one, by real servers of NATS: who hosts at one node is found at the others, whoever dies.
#![cfg(target_os = "linux")]
#![expect(clippy::expect_used, clippy::panic, reason = "a helper that fails is a test that fails")]

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use compat_tests::events::{Arrival, EventClient, knock};
use compat_tests::gmnet::{Client, ClientConfig, Error, Host, HostConfig, Lobby, Query};
use compat_tests::master::{Master, loopback};
use compat_tests::natpunch;
use compat_tests::nats_server::NatsServers;
use compat_tests::rooms::{Player, STEP};
use compat_tests::running::Running;
use serde_json::json;

const WAIT: Duration = Duration::from_secs(20);

/// So long after a node is killed its hosts may still be listed.
const GHOST: Duration = Duration::from_secs(5);

/// Nodes of one cluster.
struct Nodes {
    nats: NatsServers,
    all: Vec<Master>,
}

fn node(nats: &NatsServers, n: usize) -> Master {
    let name = ["a", "b", "c"][n];
    Master::start(&["--cluster", &nats.urls(n), "--node", name])
}

impl Nodes {
    /// Three of them that know each other; none if there is no NATS here.
    fn three(servers: usize) -> Option<Self> {
        let nats = NatsServers::start(servers)?;
        let all: Vec<Master> = (0..3).map(|n| node(&nats, n)).collect();
        for (n, master) in all.iter().enumerate() {
            for other in (0..3).filter(|other| *other != n) {
                master.wait_for_log(&format!("cluster: node {} is there", ["a", "b", "c"][other]));
            }
        }
        Some(Self { nats, all })
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
    for node in &nodes.all {
        node.wait_for_log(
            "cluster: no NATS server answers, serving own players alone; will go on trying",
        );
    }
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
    nodes.all[0].wait_for_log("cluster: node a has begun anew");
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
    assert!(!log.contains("cluster: node a is gone"), "{log}");
}

/// All nodes are restarted, one after the other, while everybody plays.
#[test]
fn nodes_are_restarted_in_turn_and_no_host_is_missing() {
    const HOSTS: usize = 30;
    let Some(mut nodes) = Nodes::three(3) else { return };
    let names: Vec<String> = (0..HOSTS).map(|n| format!("host {n:02}")).collect();
    let hosts: Vec<Host> = (0..HOSTS).map(|n| nodes.host(n % 3, &names[n])).collect();
    let at: Vec<IpAddr> = hosts.iter().map(|host| host.local().ip()).collect();
    let _running: Vec<_> = hosts.into_iter().map(Host::spawn).collect();
    let wanted: Vec<&str> = names.iter().map(|name| &**name).collect();
    nodes.all.iter().for_each(|node| _ = wait_for(node, &wanted, WAIT));
    let masters: Vec<SocketAddr> = nodes.all.iter().map(Master::addr).collect();
    let (is_over, joined, looked) =
        (AtomicBool::new(false), AtomicUsize::new(0), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        let _ends = Ends(&is_over);
        for thread in 0..3 {
            let (is_over, joined, looked) = (&is_over, &joined, &looked);
            let (at, masters, wanted) = (&at, &masters, &wanted);
            scope.spawn(move || {
                let _ends = Ends(is_over);
                for n in (thread..).step_by(3) {
                    if is_over.load(Ordering::Relaxed) {
                        return;
                    }
                    let master = masters[n / 3 % 3];
                    join_at(master, at[n * 7 % HOSTS]).unwrap_or_else(|error| panic!("{error}"));
                    joined.fetch_add(1, Ordering::Relaxed);
                    assert_eq!(names_at(masters[n / 9 % 3]), *wanted);
                    looked.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        for n in 0..3 {
            let old = nodes.all.remove(0);
            let (port, name) = (old.addr().port().to_string(), ["a", "b", "c"][n]);
            let urls = nodes.nats.urls(n);
            let options = ["--port", &port, "--take-over", "--cluster", &urls, "--node", name];
            nodes.all.push(Master::start(&options));
            let (status, log) = old.ended(WAIT);
            assert!(status.success(), "{log}");
            let others = nodes.all.iter().take(2);
            others.for_each(|node| {
                node.wait_for_log(&format!("cluster: node {name} has begun anew"))
            });
            let (joined_before, end) = (joined.load(Ordering::Relaxed), Instant::now() + WAIT);
            while joined.load(Ordering::Relaxed) < joined_before + 30 && Instant::now() < end {
                assert!(!is_over.load(Ordering::Relaxed), "somebody has noticed");
                std::thread::sleep(Duration::from_millis(5));
            }
        }
    });
    println!("{joined:?} have joined, {looked:?} have looked at the lobby");
    for node in nodes.all {
        let log = node.stop();
        assert!(!log.contains("is gone: nothing was heard"), "{log}");
    }
}

/// Ends a load also when somebody panics.
struct Ends<'a>(&'a AtomicBool);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

fn player(node: &Master) -> Player {
    Player::new(node.addr(), SocketAddr::new(loopback(), 0), WAIT).expect("a player")
}

/// The names of the rooms that a node lists.
fn rooms(node: &Master) -> Vec<String> {
    let socket = UdpSocket::bind((loopback(), 0)).expect("a socket");
    socket.set_read_timeout(Some(Duration::from_millis(500))).expect("a timeout");
    let mut page = [0; 1500];
    for _ in 0..20 {
        socket.send_to(format!("{:\n<512}", "rl").as_bytes(), node.addr()).expect("sending");
        let Ok(length) = socket.recv(&mut page) else { continue };
        let page = String::from_utf8_lossy(&page[..length]).into_owned();
        let names = page.split(':').filter_map(|entry| entry.split(',').nth(1));
        return names.map(Into::into).collect();
    }
    panic!("no list; its log:\n{}", node.log());
}

fn wait_for_rooms(node: &Master, want: &[&str], within: Duration) -> Duration {
    let start = Instant::now();
    while rooms(node) != want {
        assert!(start.elapsed() < within, "not {want:?}; its log:\n{}", node.log());
        std::thread::sleep(Duration::from_millis(20));
    }
    start.elapsed()
}

/// Both live until they are connected.
fn meet(host: &mut Player, client: &mut Player) {
    let end = Instant::now() + WAIT;
    let id = client.place().expect("a place").id;
    while !client.has_host() || !host.connected().any(|other| other == id) {
        assert!(Instant::now() < end, "they do not meet");
        host.step().expect("a step");
        client.step().expect("a step");
        std::thread::sleep(STEP);
    }
}

#[test]
fn a_room_at_one_node_is_joined_from_all_and_gone_when_that_is_killed() {
    let Some(mut nodes) = Nodes::three(3) else { return };
    let mut host = player(&nodes.all[0]);
    let room = host.host("one").expect("a room").room;
    let mut other = player(&nodes.all[1]);
    other.host("two").expect("a room");
    nodes.all.iter().for_each(|node| _ = wait_for_rooms(node, &["two", "one"], WAIT));
    let mut clients = Vec::new();
    for node in &nodes.all {
        let mut client = player(node);
        client.join(room).expect("a place");
        meet(&mut host, &mut client);
        clients.push(client);
    }
    // One leaves and finds any room, be it where it may.
    let mut last = clients.pop().expect("the last");
    last.leave().expect("leaving");
    let options = punchd::dialect::rooms::options::Options::default();
    assert_ne!(last.join_any(options).expect("a place").room, room);
    meet(&mut other, &mut last);
    nodes.all.remove(0).crash();
    for node in &nodes.all {
        let took = wait_for_rooms(node, &["two"], GHOST);
        println!("gone from the list of a node after {took:?}");
    }
    // Who has lost his room is told so, and can have another at once.
    let client = clients.last_mut().expect("the client of the second node");
    client.come_back().expect_err("no room");
    client.host("three").expect("a room");
    nodes.all.iter().for_each(|node| _ = wait_for_rooms(node, &["three", "two"], WAIT));
}

fn peer(node: &Master, id: &str, game: &str) -> EventClient {
    let mut client = EventClient::connect(node.addr(), None).expect("connecting");
    client.login(id, game).expect("logging in");
    client
}

/// Waits until a peer is shown so many rooms.
fn wait_for_rooms_of(peer: &mut EventClient, count: usize, within: Duration) -> Duration {
    let start = Instant::now();
    while peer.list_rooms().expect("a list").len() != count {
        assert!(start.elapsed() < within, "{:?}", peer.list_rooms());
        std::thread::sleep(Duration::from_millis(20));
    }
    start.elapsed()
}

#[test]
fn peers_of_events_at_three_nodes_are_in_one_room_until_its_node_is_killed() {
    let Some(mut nodes) = Nodes::three(3) else { return };
    let mut amy = peer(&nodes.all[0], "amy", "chess");
    let mut bob = peer(&nodes.all[1], "bob", "chess");
    let mut carl = peer(&nodes.all[2], "carl", "chess");
    let room = amy.create_room("Lobby", 4).expect("a room");
    for (n, member) in [&mut bob, &mut carl].into_iter().enumerate() {
        wait_for_rooms_of(member, 1, WAIT);
        let joined = member.join_room(&room).expect("joined");
        assert_eq!((joined.host.as_str(), joined.players.len()), ("amy", n + 2));
    }
    assert_eq!(bob.wait_for("player_joined", WAIT).expect("told").data["id"], "carl");
    let taken = EventClient::connect(nodes.all[1].addr(), None).expect("connecting");
    let taken = { taken }.login("amy", "chess").expect_err("taken");
    assert_eq!(taken.code(), Some("id_taken"));
    // What they say to each other.
    bob.on_request("double", |request| Ok(json!(2 * request.data.as_i64().unwrap_or_default())));
    let bob = std::thread::spawn(move || {
        bob.wait_for("stop", WAIT).expect("being stopped");
        bob
    });
    assert_eq!(carl.request(Some("bob"), "double", json!(21)).expect("an answer"), json!(42));
    let hello = amy.confirm_pass(Some("bob"), "hello", json!(1)).expect("confirming");
    assert_eq!(hello, Arrival::Confirmed);
    amy.pass(Some("bob"), "stop", json!(null)).expect("passing");
    let mut bob = bob.join().expect("bob");
    // The host and one at another node reach each other.
    let sockets = [(), ()].map(|()| UdpSocket::bind("127.0.0.1:0").expect("a socket"));
    let at = |n: usize| sockets[n].local_addr().expect("an address");
    amy.udp_endpoint(&sockets[0], WAIT).expect("an endpoint");
    bob.udp_endpoint(&sockets[1], WAIT).expect("an endpoint");
    let for_amy = amy.introduction(WAIT).expect("told");
    let for_bob = bob.introduction(WAIT).expect("told");
    std::thread::scope(|scope| {
        let theirs = scope.spawn(|| knock::knock(&sockets[1], &for_bob, WAIT));
        assert_eq!(knock::knock(&sockets[0], &for_amy, WAIT).expect("a socket"), Some(at(1)));
        assert_eq!(theirs.join().expect("bob").expect("a socket"), Some(at(0)));
    });
    let result = bob.confirm_pass(None, "punch_result", json!({"id": "amy", "ok": true}));
    assert_eq!(result.expect("taken"), Arrival::Confirmed);
    nodes.all[0].wait_for_log("(\"Lobby\") directly");
    // A node dies that has a member, then the one that has the room.
    nodes.all.remove(2).crash();
    let start = Instant::now();
    assert_eq!(amy.wait_for("player_left", GHOST).expect("told").data["id"], "carl");
    println!("gone from a room after {:?}", start.elapsed());
    let gone = bob.request(Some("carl"), "double", json!(1)).expect_err("gone");
    // Nodes do not notice it at the same moment.
    assert!(matches!(gone.code(), Some("no_such_peer" | "peer_left")), "{gone}");
    nodes.all.remove(0).crash();
    let start = Instant::now();
    bob.wait_for("room_deleted", GHOST).expect("told");
    println!("told that the room is gone after {:?}", start.elapsed());
    wait_for_rooms_of(&mut bob, 0, GHOST);
    // Its host is back at another node, where it makes another.
    let mut amy = peer(&nodes.all[0], "amy", "chess");
    let room = amy.create_room("Lobby", 4).expect("a room");
    bob.join_room(&room).expect("joined");
}

/// A player who knows two nodes, by `punch`.
fn knows_two(args: &[&str], nodes: &[Master]) -> Running {
    let both = format!("{},{}", nodes[0].addr(), nodes[1].addr());
    let mut command = Command::new(env!("CARGO_BIN_EXE_punch"));
    command.args(args).args(["--master", &both]).stdin(Stdio::null());
    Running::start(command, WAIT)
}

/// Since a node was killed.
fn says_soon(player: &Running, line: &str, killed: Instant) {
    player.lines_to(line);
    println!("{line} after {:?}", killed.elapsed());
    assert!(killed.elapsed() < GHOST, "{line} after {:?}", killed.elapsed());
}

#[test]
fn whose_node_is_killed_is_back_at_another_and_seen_at_the_third() {
    let Some(mut nodes) = Nodes::three(3) else { return };
    let ip = loopback().to_string();
    let host = knows_two(&["host", "--bind", &ip, "--data2", "one"], &nodes.all);
    host.lines_to("registered");
    let room = knows_two(&["rooms", "host", "one", "--for", "60"], &nodes.all);
    room.lines_to("room ");
    let create = ["events", "--id", "amy", "--do", "create one 4", "--do", "wait 60"];
    let amy = knows_two(&create, &nodes.all);
    amy.lines_to("made the room");
    let mut carl = peer(&nodes.all[2], "carl", "");
    wait_for(&nodes.all[2], &["one"], WAIT);
    wait_for_rooms(&nodes.all[2], &["one"], WAIT);
    wait_for_rooms_of(&mut carl, 1, WAIT);
    let old = carl.list_rooms().expect("a list")[0].room.clone();
    // One whose node dies too, and one whose room is at a node that lives.
    let mut other = player(&nodes.all[2]);
    let third = other.host("third").expect("a room").room;
    nodes.all.iter().for_each(|node| _ = wait_for_rooms(node, &["third", "one"], WAIT));
    let join = ["rooms", "join", &third.to_string(), "--for", "60", "--say", "hello"];
    let guest = knows_two(&join, &nodes.all);
    let end = Instant::now() + WAIT;
    while other.connected().count() == 0 {
        assert!(Instant::now() < end, "the guest does not come");
        other.step().expect("a step");
        std::thread::sleep(STEP);
    }
    guest.lines_to("connected with host");
    let id = other.connected().next().expect("the guest");

    nodes.all.remove(0).crash();
    let killed = Instant::now();
    let at = nodes.all[0].addr();
    let keeps = std::thread::spawn(move || {
        // Its host does not notice anything.
        while killed.elapsed() < 2 * GHOST {
            other.step().expect("a step");
            assert!(other.connected().any(|connected| connected == id), "still connected");
            std::thread::sleep(STEP);
        }
        other
    });
    says_soon(&host, &format!("registered again at {at}"), killed);
    says_soon(&amy, "made the room", killed);
    says_soon(&room, &format!("open again, at the master server {at}"), killed);
    says_soon(&guest, &format!("is there again, knocking, at the master server {at}"), killed);
    let third = &nodes.all[1];
    wait_for(third, &["one"], GHOST);
    wait_for_rooms(third, &["one", "third"], GHOST);
    let is_new = |carl: &mut EventClient| {
        let rooms = carl.list_rooms().expect("a list");
        rooms.len() == 1 && rooms[0].room != old
    };
    while !is_new(&mut carl) {
        assert!(killed.elapsed() < 2 * GHOST, "{:?}", carl.list_rooms());
        std::thread::sleep(Duration::from_millis(20));
    }
    println!("seen at the third node after {:?}", killed.elapsed());
    assert!(killed.elapsed() < GHOST, "{:?}", killed.elapsed());
    keeps.join().expect("the host of the guest");
}

fn natpunch(node: &Master) -> natpunch::Client {
    natpunch::Client::register(node.addr(), loopback()).expect("registering")
}

/// All live until this has been said to one of them; returns how long it took.
fn live(
    all: &mut [natpunch::Client],
    within: Duration,
    mut is_it: impl FnMut(usize, &natpunch::Event) -> bool,
) -> Duration {
    let start = Instant::now();
    loop {
        for (n, client) in all.iter_mut().enumerate() {
            while let Some(event) = client.step(Duration::from_millis(2)).expect("a step") {
                if is_it(n, &event) {
                    return start.elapsed();
                }
            }
        }
        assert!(start.elapsed() < within, "it did not happen");
    }
}

/// Waits until a client is shown lobbies of these names.
fn wait_for_lobbies(
    all: &mut [natpunch::Client],
    who: usize,
    want: &[&str],
    within: Duration,
) -> Duration {
    let start = Instant::now();
    loop {
        all[who].list().expect("asking");
        let mut names = Vec::new();
        live(all, within, |n, event| {
            if let natpunch::Event::Lobbies(lobbies) = event {
                names = lobbies.iter().map(|lobby| lobby.lobby_name.clone()).collect();
            }
            n == who && matches!(event, natpunch::Event::Lobbies(_))
        });
        names.sort();
        if names == want {
            return start.elapsed();
        }
        assert!(start.elapsed() < within, "{names:?}, not {want:?}");
    }
}

fn create(all: &mut [natpunch::Client], who: usize, name: &str) -> String {
    all[who].create(name, 4).expect("asking");
    let mut id = String::new();
    live(all, WAIT, |n, event| {
        if let natpunch::Event::Created { lobby } = event {
            id.clone_from(lobby);
        }
        n == who && !id.is_empty()
    });
    id
}

#[test]
fn clients_of_natpunch_at_three_nodes_meet_until_the_node_of_their_host_is_killed() {
    let Some(mut nodes) = Nodes::three(3) else { return };
    let mut all: Vec<natpunch::Client> = nodes.all.iter().map(natpunch).collect();
    let lobby = create(&mut all, 0, "one");
    for who in 1..3 {
        wait_for_lobbies(&mut all, who, &["one"], WAIT);
        all[who].join(&lobby).expect("asking");
        live(&mut all, WAIT, |n, event| {
            n == who
                && matches!(event, natpunch::Event::Joined { members, .. } if members.len() > who)
        });
    }
    // Everybody has met everybody.
    let is_whole = |all: &[natpunch::Client]| {
        all.iter()
            .all(|client| client.peers().values().filter(|peer| peer.at.is_some()).count() == 2)
    };
    let end = Instant::now() + WAIT;
    while !is_whole(&all) {
        assert!(Instant::now() < end, "they do not meet");
        for client in &mut all {
            client.step(Duration::from_millis(2)).expect("a step");
        }
    }
    // By their IDs as well.
    let mut others: Vec<natpunch::Client> = nodes.all[1..].iter().map(natpunch).collect();
    let id = others[1].id().to_owned();
    let end = Instant::now() + WAIT;
    while others.iter().any(|client| client.peers().values().all(|peer| peer.at.is_none())) {
        assert!(Instant::now() < end, "they do not meet");
        others[0].connect(&id, 1).expect("asking");
        for client in &mut others {
            client.step(Duration::from_millis(20)).expect("a step");
        }
    }
    nodes.all.remove(0).crash();
    let start = Instant::now();
    drop(all.remove(0));
    for who in 0..2 {
        let left = GHOST.saturating_sub(start.elapsed());
        wait_for_lobbies(&mut all, who, &[], left);
        println!("gone from the list of a node after {:?}", start.elapsed());
    }
    // Who hosted it is at another node at once.
    all.push(natpunch(&nodes.all[0]));
    let lobby = create(&mut all, 2, "two");
    wait_for_lobbies(&mut all, 1, &["two"], WAIT);
    all[1].join(&lobby).expect("asking");
    live(&mut all, WAIT, |n, event| n == 1 && matches!(event, natpunch::Event::Joined { .. }));
}
