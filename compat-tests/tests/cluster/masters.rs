//! Players who know several nodes, of which one dies.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use compat_tests::events::EventClient;
use compat_tests::gmnet::{Host, HostConfig};
use compat_tests::master::{Master, loopback};
use compat_tests::rooms::STEP;
use compat_tests::running::Running;
use nix::sys::signal::Signal;

use super::events::{peer, wait_for_rooms_of};
use super::natpunch::Clients;
use super::rooms::{player, wait_for_rooms};
use super::{GHOST, Nodes, WAIT, wait_for};

/// A player who knows two nodes, by `punch`.
fn knows_two(args: &[&str], nodes: &[Master]) -> Running {
    knows(args, &nodes[..2])
}

fn knows(args: &[&str], nodes: &[Master]) -> Running {
    let all: Vec<String> = nodes.iter().map(|node| node.addr().to_string()).collect();
    let mut command = Command::new(env!("CARGO_BIN_EXE_punch"));
    command.args(args).args(["--master", &all.join(",")]).stdin(Stdio::null());
    Running::start(command, WAIT)
}

/// Since a node was killed.
fn says_soon(player: &Running, line: &str, killed: Instant) {
    says_within(player, line, killed, GHOST);
}

fn says_within(player: &Running, line: &str, killed: Instant, within: Duration) {
    player.lines_to(line);
    println!("{line} after {:?}", killed.elapsed());
    assert!(killed.elapsed() < within, "{line} after {:?}", killed.elapsed());
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
    nodes.all.iter().for_each(|node| _ = wait_for_rooms(node, &["one", "third"], WAIT));
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

#[test]
fn clients_of_natpunch_whose_node_is_killed_are_back_at_another() {
    let Some(mut nodes) = Nodes::three(3) else { return };
    let host = knows_two(&["natpunch", "create", "one", "4"], &nodes.all);
    host.lines_to("created");
    let third = knows(&["natpunch", "create", "third", "4"], &nodes.all[2..]);
    third.lines_to("created");
    let mut viewers = Clients::at(&nodes.all);
    let wait = |viewers: &mut Clients, n: usize| {
        let end = Instant::now() + GHOST;
        while viewers.list(n) != ["one", "third"] {
            assert!(Instant::now() < end, "{:?}", viewers.list(n));
        }
    };
    (0..3).for_each(|n| wait(&mut viewers, n));
    let guest = knows_two(&["natpunch", "--stay", "60", "join", "third"], &nodes.all);
    guest.lines_to("met 1 of 1");
    third.lines_to("connected");

    nodes.all.remove(0).crash();
    let killed = Instant::now();
    // It takes four seconds until they think that it is gone, so there is little left for a busy machine.
    let within = GHOST + Duration::from_secs(2);
    says_within(&host, "created", killed, within);
    says_within(&guest, "joined", killed, within);
    says_within(&third, "connected", killed, within);
    (1..3).for_each(|n| wait(&mut viewers, n));
}

#[test]
fn a_client_whose_node_is_killed_is_introduced_by_another() {
    let Some(mut nodes) = Nodes::three(3) else { return };
    let ip = loopback();
    let of_third = HostConfig::new(nodes.all[2].addr()).on(ip).with_data(&["Pong", "one"]);
    let deaf = HostConfig { never_welcome: true, ..of_third.clone() };
    let deaf = Host::registered(deaf, WAIT).expect("registering");
    nodes.all.iter().for_each(|node| _ = wait_for(node, &["one"], WAIT));
    let join = || ["join".to_owned(), ip.to_string(), "--bind".into(), loopback().to_string()];
    let [knocks, waits] = [join(), join()];
    // One was told where the host is, who is there no more; the other waits for that.
    let mut knocks = knows_two(&knocks.each_ref().map(String::as_str), &nodes.all);
    knocks.lines_to("knocking there");
    drop(deaf);
    nodes.all.iter().for_each(|node| _ = wait_for(node, &[], WAIT));
    nodes.all[0].signal(Signal::SIGSTOP);
    let mut waits = knows_two(&waits.each_ref().map(String::as_str), &nodes.all);
    waits.lines_to("asking the master server");
    let host = Host::registered(of_third, WAIT).expect("registering").spawn();
    wait_for(&nodes.all[1], &["one"], WAIT);

    nodes.all.remove(0).crash();
    let killed = Instant::now();
    for client in [&mut knocks, &mut waits] {
        says_soon(client, "connect_ms=", killed);
        assert!(client.wait().success());
    }
    let mut host = host.stop().expect("its steps");
    assert!(host.run_until(WAIT, |host| host.told().len() == 2).expect("its steps"));
    assert_eq!(host.players().len(), 2);
}
