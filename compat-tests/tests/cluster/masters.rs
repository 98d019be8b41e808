//! Players who know several nodes, of which one dies.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use compat_tests::events::EventClient;
use compat_tests::master::{Master, loopback};
use compat_tests::rooms::STEP;
use compat_tests::running::Running;

use super::events::{peer, wait_for_rooms_of};
use super::rooms::{player, wait_for_rooms};
use super::{GHOST, Nodes, WAIT, wait_for};

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
