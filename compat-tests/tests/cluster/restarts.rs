//! All nodes are restarted while everybody plays.

use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use compat_tests::events::EventClient;
use compat_tests::gmnet::Host;
use compat_tests::master::Master;
use compat_tests::nats_server::NatsServers;
use serde_json::json;

use super::events::{peer, wait_for_rooms_of};
use super::{Nodes, WAIT, join_at, names_at, wait_for};

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
        assert!(!log.contains("has begun anew"), "{log}");
    }
}

/// A new process may be at another server of NATS than the one before, so what it says may come before what that said
/// last, and what is said to it may go to where nobody listens yet.
#[test]
fn a_node_that_is_restarted_at_another_nats_server_loses_no_request() {
    const PLAYERS: usize = 12;
    /// As between Europe and America.
    const DISTANCE: Duration = Duration::from_millis(50);
    let Some(nats) = NatsServers::two_apart(DISTANCE) else { return };
    // All are at one address, and join a room again and again without a pause.
    let unbounded = ["--max-commands", "0"];
    let start = |options: &[&str]| Master::start(&[&unbounded, options].concat());
    let far = start(&["--cluster", &nats.url(0), "--node", "a"]);
    let mut node = start(&["--cluster", &nats.url(1), "--node", "b"]);
    far.wait_for_log("cluster: node b is there");
    node.wait_for_log("cluster: node a is there");
    let mut amy = peer(&far, "amy", "chess");
    amy.on_request("double", |request| Ok(json!(2 * request.data.as_i64().unwrap_or_default())));
    let room = amy.create_room("Lobby", PLAYERS + 1).expect("a room");
    let mut players: Vec<EventClient> =
        (0..PLAYERS).map(|n| peer(&node, &format!("player {n}"), "chess")).collect();
    players.iter_mut().for_each(|player| _ = wait_for_rooms_of(player, 1, WAIT));
    let (is_over, answers) = (AtomicBool::new(false), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        let _ends = Ends(&is_over);
        let host = scope.spawn(move || amy.wait_for("stop", WAIT * 3).map(drop));
        let playing: Vec<_> = players
            .into_iter()
            .map(|mut player| {
                let (is_over, answers, room) = (&is_over, &answers, &room);
                scope.spawn(move || {
                    let _ends = Ends(is_over);
                    while !is_over.load(Ordering::Relaxed) {
                        player.join_room(room).expect("joined");
                        let answer = player.request(Some("amy"), "double", json!(21));
                        assert_eq!(answer.expect("an answer"), json!(42));
                        player.leave_room().expect("left");
                        answers.fetch_add(3, Ordering::Relaxed);
                    }
                    player
                })
            })
            .collect();
        for n in 0..4 {
            let port = node.addr().port().to_string();
            let url = nats.url(n % 2);
            let options = ["--port", &port, "--take-over", "--cluster", &url, "--node", "b"];
            let old = std::mem::replace(&mut node, start(&options));
            let (status, log) = old.ended(WAIT);
            assert!(status.success(), "{log}");
            let (before, end) = (answers.load(Ordering::Relaxed), Instant::now() + WAIT);
            while answers.load(Ordering::Relaxed) < before + 100 {
                assert!(!is_over.load(Ordering::Relaxed), "somebody has noticed");
                assert!(Instant::now() < end, "{}", node.log());
                std::thread::sleep(Duration::from_millis(5));
            }
        }
        is_over.store(true, Ordering::Relaxed);
        let mut players: Vec<_> =
            playing.into_iter().map(|player| player.join().expect("a player")).collect();
        players[0].pass(Some("amy"), "stop", json!(null)).expect("passing");
        host.join().expect("the host").expect("being stopped");
    });
    println!("{answers:?} answers");
}

/// Ends a load also when somebody panics.
struct Ends<'a>(&'a AtomicBool);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}
