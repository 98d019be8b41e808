//! The debug client's chat: what becomes of what is typed, and how it ends.

use std::time::{Duration, Instant};

use compat_tests::master::Master;

use compat_tests::running::Running;

use super::{player, said, start, wait_for};

/// A host and a client of its room that are connected.
fn pair(master: &Master, name: &str, options: &[&str]) -> (Running, Running) {
    let host = start(master, &[&["host", name], options].concat());
    host.line_with("room ");
    let client = start(master, &["join", name]);
    client.line_with("connected with host");
    host.line_with("connected with ");
    (host, client)
}

#[test]
fn a_room_that_closes_ends_who_has_not_got_through() {
    let Some(master) = Master::of_rooms() else { return };
    let mut host = player(&master);
    // It does nothing, so nobody gets through.
    let room = host.host("Brief").expect("a room").room.to_string();
    let mut client = start(&master, &["join", &room]);
    client.line_with("knocking");
    host.leave().expect("closed");
    client.line_with("the room is closed");
    let began = Instant::now();
    assert_eq!(client.wait().code(), Some(1));
    // It does not knock to the end first.
    assert!(began.elapsed() < Duration::from_secs(8), "after {:?}", began.elapsed());
}

#[test]
fn what_is_typed_early_is_said_once_connected() {
    let Some(master) = Master::of_rooms() else { return };
    let mut host = player(&master);
    let room = host.host("Early").expect("a room").room.to_string();
    let mut client = start(&master, &["join", &room]);
    client.line_with("knocking");
    for n in 0..65 {
        client.types(&format!("early {n}"));
    }
    client.line_with("this one is lost");
    let mut heard = Vec::new();
    wait_for(&mut [&mut host], |_, event| {
        heard.extend(said(event));
        (heard.len() == 64).then_some(())
    });
    assert!(heard.iter().enumerate().all(|(n, text)| *text == format!("early {n}")), "{heard:?}");
}

#[test]
fn a_mesh_of_three_talks_on_when_its_host_leaves() {
    let Some(master) = Master::of_rooms() else { return };
    let (mut host, mut one) = pair(&master, "Mesh of three", &["--mesh", "--migrate"]);
    let mut two = start(&master, &["join", "Mesh of three"]);
    two.line_with("connected with ");
    two.line_with("connected with ");
    one.line_with("connected with ");
    host.types("/leave");
    assert!(host.wait().success());
    one.line_with("this player is the host now");
    two.line_with("still connected with it");
    one.types("from one");
    two.line_with("host: from one");
    two.types("from two");
    one.line_with(": from two");
}

#[test]
fn a_host_closes_a_room_that_it_could_leave() {
    let Some(master) = Master::of_rooms() else { return };
    let (mut host, mut client) = pair(&master, "Closed", &["--migrate"]);
    host.types("/close");
    client.line_with("the room is closed");
    assert!(host.wait().success());
    assert!(client.wait().success());
    assert!(client.last_lines().iter().all(|line| !line.contains("host now")));
}

/// The master server notices only when it has heard nothing for its time.
#[test]
fn a_client_waits_for_another_host_after_a_crash() {
    let master = Master::start(&["--room-timeout", "15"]);
    let (mut host, mut heir) = pair(&master, "Crash", &["--migrate"]);
    host.crashes();
    heir.line_with("host has gone");
    heir.types("said meanwhile");
    heir.line_with("this player is the host now");
    heir.types("/close");
    assert!(heir.wait().success());
}

#[test]
fn a_client_does_not_wait_without_end_for_another_host() {
    let Some(master) = Master::of_rooms() else { return };
    let (mut host, mut client) = pair(&master, "No heir", &[]);
    host.crashes();
    client.line_with("host has gone");
    let began = Instant::now();
    assert_eq!(client.wait_for(Duration::from_secs(40)).code(), Some(1));
    assert!(began.elapsed() > Duration::from_secs(15), "after {:?}", began.elapsed());
}

#[test]
fn the_end_of_what_is_typed_ends_a_chat_that_is_no_script() {
    let Some(master) = Master::of_rooms() else { return };
    let script = ["host", "Input", "--expect", "last words"];
    let mut host = start(&master, &script);
    host.line_with("room ");
    host.ends_input();
    let mut client = start(&master, &["join", "Input"]);
    client.line_with("knocking");
    client.types("last words");
    client.ends_input();
    host.line_with(": last words");
    assert!(host.wait().success());
    assert!(client.wait().success());
    let mut alone = start(&master, &["host", "Alone"]);
    alone.line_with("room ");
    alone.types("/data map=cave");
    alone.ends_input();
    alone.line_with("map=cave");
    assert!(alone.wait().success());
}

#[test]
fn a_dead_master_server_does_not_stop_the_talk() {
    let master = Master::start(&[]);
    let (mut host, mut client) = pair(&master, "Dead", &[]);
    drop(master);
    let began = Instant::now();
    host.types("/rename Dead");
    host.types("hello");
    client.line_with("host: hello");
    client.types("hello host");
    host.line_with("hello host");
    assert!(began.elapsed() < Duration::from_secs(5), "after {:?}", began.elapsed());
    host.line_with("does not answer the request to change the room");
    let began = Instant::now();
    host.types("/close");
    assert!(host.wait().success());
    assert!(began.elapsed() < Duration::from_secs(8), "after {:?}", began.elapsed());
}

#[test]
fn a_dead_client_does_not_delay_that_a_room_closes() {
    let Some(master) = Master::of_rooms() else { return };
    let (mut host, mut dead) = pair(&master, "Delay", &[]);
    let mut client = start(&master, &["join", "Delay"]);
    client.line_with("connected with host");
    dead.crashes();
    let began = Instant::now();
    host.types("/close");
    client.line_with("the room is closed");
    assert!(began.elapsed() < Duration::from_secs(3), "after {:?}", began.elapsed());
    assert!(client.wait().success());
    assert!(host.wait().success());
}

#[test]
fn commands_say_what_became_of_them() {
    let Some(master) = Master::of_rooms() else { return };
    let (mut host, mut client) = pair(&master, "Commands", &[]);
    host.types("/nonsense");
    host.line_with("there is no command /nonsense");
    host.line_with("/rename NAME");
    host.types("/help");
    host.line_with("/rename NAME");
    host.types("/rename");
    host.line_with("want a name");
    host.types("/data map=wood");
    host.line_with("map=wood");
    host.types("/data map");
    host.line_with("want KEY=VALUE");
    client.types("/rename Mine");
    client.line_with("the host alone may /rename");
    // Neither of the two reached the host as talk.
    client.types("who am I?");
    let line = host.line_with(": ");
    let id = line.strip_suffix(": who am I?").expect("what was said first");
    host.types(&format!("/kick {id}"));
    host.line_with(&format!("{id} is out"));
    assert_eq!(client.wait().code(), Some(1));
    host.types(&format!("/admit {id}"));
    host.line_with(&format!("{id} may come in again"));
    host.types("/admit everybody");
    host.line_with("want an ID or an address");
    let mut again = start(&master, &["join", "Commands"]);
    again.line_with("connected with host");
    again.types("/leave");
    assert!(again.wait().success());
}
