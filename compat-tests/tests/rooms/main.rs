//! The rooms dialect over real sockets: players of this library, and the debug client.
#![expect(clippy::expect_used, clippy::panic, reason = "a helper that fails is a test that fails")]

use std::io::{Read, Write};
use std::net::{Ipv6Addr, SocketAddr, TcpStream, UdpSocket};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use compat_tests::master::{self, Master, loopback};
use compat_tests::rooms::{Error, Event, Message, Player, STEP};
use compat_tests::running::Running;
use compat_tests::{natlab, skipped};

mod chat;
mod forged;
mod lobby;

const WAIT: Duration = Duration::from_secs(20);

fn player(master: &Master) -> Player {
    let bind = SocketAddr::new(loopback(), 0);
    Player::new(master.addr(), bind, WAIT).expect("a player")
}

/// Lets players live until one of them has seen what is wanted.
fn wait_for<T>(players: &mut [&mut Player], mut want: impl FnMut(usize, &Event) -> Option<T>) -> T {
    let deadline = Instant::now() + WAIT;
    let mut seen = Vec::new();
    while Instant::now() < deadline {
        for (n, player) in players.iter_mut().enumerate() {
            for event in player.step().expect("a step") {
                if let Some(found) = want(n, &event) {
                    return found;
                }
                seen.push((n, event));
            }
        }
        std::thread::sleep(STEP);
    }
    panic!("it did not happen, but {seen:?}");
}

fn said(events: &Event) -> Option<String> {
    if let Event::Said(_, text) = events { Some(text.clone()) } else { None }
}

#[test]
fn players_meet_and_talk_in_order() {
    let Some(master) = Master::of_rooms() else { return };
    let (mut host, mut client) = (player(&master), player(&master));
    let room = host.host("Meeting").expect("a room").room;
    let listed = client.list().expect("a list");
    let entry = listed.iter().find(|entry| entry.room == room).expect("the room");
    assert_eq!((entry.name.as_str(), entry.status.as_str(), entry.players), ("Meeting", "open", 1));
    let place = client.join(room).expect("a place");
    let mut both = 0;
    wait_for(&mut [&mut host, &mut client], |_, event| {
        both += usize::from(matches!(event, Event::Connected(_)));
        (both == 2).then_some(())
    });
    for n in 0..100 {
        host.say(place.id, &n.to_string());
    }
    let mut next = 0;
    wait_for(&mut [&mut host, &mut client], |_, event| {
        assert_eq!(said(event)?, next.to_string());
        next += 1;
        (next == 100).then_some(())
    });
}

#[test]
fn a_player_comes_back_from_another_port_and_meets_the_host_again() {
    let Some(master) = Master::of_rooms() else { return };
    let (mut host, mut client) = (player(&master), player(&master));
    let room = host.host("Moving").expect("a room").room;
    let place = client.join(room).expect("a place");
    let connected = |_: usize, event: &Event| matches!(event, Event::Connected(_)).then_some(());
    wait_for(&mut [&mut host, &mut client], connected);
    let before = client.local().expect("an endpoint");
    client.rebind().expect("another port");
    let back = client.come_back().expect("the place");
    assert_eq!((back.id, back.room), (place.id, room));
    assert_ne!(back.key.to_string(), place.key.to_string());
    let at = wait_for(&mut [&mut host, &mut client], |n, event| match event {
        Event::Told(Message::Moved(id, at)) if n == 0 && *id == place.id => Some(*at),
        _ => None,
    });
    assert_eq!(at, client.local().expect("an endpoint"));
    assert_ne!(at, before);
    wait_for(&mut [&mut host, &mut client], connected);
}

/// ENet alone tries again after 0.5, 1, 2, 4 and 8 seconds, which is longer than players knock.
#[test]
fn a_lost_handshake_is_begun_anew() {
    let Some(master) = Master::of_rooms() else { return };
    let (mut host, mut client) = (player(&master), player(&master));
    let room = host.host("Lossy").expect("a room").room;
    client.join(room).expect("a place");
    host.lose(6);
    let (began, mut both) = (Instant::now(), 0);
    wait_for(&mut [&mut host, &mut client], |_, event| {
        assert!(!matches!(event, Event::Failed(_)), "after {:?}", began.elapsed());
        both += usize::from(matches!(event, Event::Connected(_)));
        (both == 2).then_some(())
    });
    assert!(began.elapsed() < Duration::from_secs(12), "after {:?}", began.elapsed());
}

#[test]
fn who_is_kicked_is_told_and_stays_out() {
    use punchd::dialect::rooms::message::Request;
    let Some(master) = Master::of_rooms() else { return };
    let (mut host, mut client) = (player(&master), player(&master));
    let room = host.host("Strict").expect("a room").room;
    let place = client.join(room).expect("a place");
    host.kick(&Request::KickId(place.id));
    wait_for(&mut [&mut host, &mut client], |n, event| {
        (n == 1 && matches!(event, Event::Told(Message::Kicked(of)) if *of == room)).then_some(())
    });
    let again = client.join(room);
    assert!(matches!(again, Err(Error::Refused { reason, .. }) if reason == "kicked"));
    host.rename("Stricter").expect("a new name");
    let listed = client.list().expect("a list");
    assert!(listed.iter().any(|entry| entry.room == room && entry.name == "Stricter"));
    host.leave().expect("closed");
    let listed = client.list().expect("a list");
    assert!(!listed.iter().any(|entry| entry.room == room));
}

#[test]
fn silence_ends_a_room() {
    let master = Master::start(&["--room-timeout", "1"]);
    let mut host = player(&master);
    let room = host.host("Short").expect("a room").room;
    wait_for(&mut [&mut host], |_, event| {
        matches!(event, Event::Told(Message::Closed(of)) if *of == room).then_some(())
    });
    master.wait_for_log("room \"Short\" of 127.");
    master.wait_for_log("closed: its host was silent for too long");
}

#[test]
fn ids_differ_between_two_servers() {
    let rooms = [(); 2].map(|()| {
        let master = Master::start(&[]);
        player(&master).host("a").expect("a room").room
    });
    assert_ne!(rooms[0], rooms[1]);
}

#[test]
fn what_is_switched_off_is_not_spoken() {
    let only_gmnet = Master::start(&["--dialects", "gmnet"]);
    let udp = UdpSocket::bind((loopback(), 0)).expect("a socket");
    udp.set_read_timeout(Some(Duration::from_millis(300))).expect("a timeout");
    udp.send_to(b"status", only_gmnet.addr()).expect("sent");
    assert!(udp.recv_from(&mut [0; 99]).is_err(), "no answer");
    only_gmnet.wait_for_log("is not understood: it speaks rooms, which --dialects leaves out");

    let only_rooms = Master::start(&["--dialects", "rooms"]);
    udp.send_to(b"status", only_rooms.addr()).expect("sent");
    udp.set_read_timeout(Some(WAIT)).expect("a timeout");
    let mut answer = [0; 99];
    let (len, from) = udp.recv_from(&mut answer).expect("an answer");
    assert_eq!((&answer[..len], from), (b"OK".as_slice(), only_rooms.addr()));
    let mut tcp = TcpStream::connect(only_rooms.addr()).expect("a connection");
    tcp.set_read_timeout(Some(WAIT)).expect("a timeout");
    tcp.write_all(b"version\n").expect("sent");
    assert_eq!(tcp.read(&mut answer).expect("the end"), 0, "closed");
}

/// A subcommand of `punch rooms` that goes on until it is stopped.
fn start(master: &Master, args: &[&str]) -> Running {
    let (master, own) = (master.addr().to_string(), loopback().to_string());
    start_with(&[args, &["--master", &master, "--bind", &own]].concat())
}

fn start_with(args: &[&str]) -> Running {
    let mut command = Command::new(env!("CARGO_BIN_EXE_punch"));
    command.arg("rooms").args(args).stdin(Stdio::piped());
    Running::start(command, WAIT)
}

#[test]
fn a_chat_of_three() {
    let Some(master) = Master::of_rooms() else { return };
    let mut host = start(&master, &["host", "Chat of three", "--say", "welcome", "--max", "4"]);
    let room = host.line_with("room ");
    let room = room.split(' ').nth(1).expect("an ID").to_string();
    let list = start(&master, &["list"]);
    assert!(list.line_with(&room).ends_with("   1/4   Chat of three"));

    let mut one = start(&master, &["join", &room]);
    one.line_with("connected with host");
    one.line_with("host: welcome");
    let mut two = start(&master, &["join", "Chat of three", "--say", "hello"]);
    let heard = one.line_with(": hello");
    assert_eq!(host.line_with(": hello"), heard);
    let two_is = heard.split(':').next().expect("an ID").to_string();
    for n in 0..20 {
        one.types(&format!("line {n}"));
    }
    for n in 0..20 {
        assert!(two.line_with(": line ").ends_with(&format!(": line {n}")));
    }
    host.types("/rename New name");
    one.line_with("the room is \"New name\" now");
    host.types(&format!("/kick {two_is}"));
    assert_eq!(two.wait().code(), Some(1));
    one.types("still here?");
    host.line_with(": still here?");
    host.types("/close");
    assert!(host.wait().success());
    assert!(one.wait().success());
    assert!(one.lines_so_far().iter().all(|line| !line.contains("the room is \"")), "said once");
    let list = start(&master, &["list"]);
    assert!(list.last_lines().iter().all(|line| !line.contains(&room)));
}

#[test]
fn a_script_knows_whether_it_was_understood() {
    let Some(master) = Master::of_rooms() else { return };
    let expect = ["--expect", "one", "--expect", "two", "--for", "20"];
    let mut host = start(&master, &[&["host", "Script"], &expect[..]].concat());
    let room = host.line_with("room ");
    let room = room.split(' ').nth(1).expect("an ID").to_string();
    let mut client =
        start(&master, &["join", &room, "--say", "one", "--say", "two", "--for", "20"]);
    assert!(host.wait().success());
    assert!(client.wait().success());
    let mut deaf = start(&master, &["host", "Deaf", "--expect", "x", "--for", "0.2"]);
    assert_eq!(deaf.wait().code(), Some(1));
    let mut lost = start(&master, &["join", "0123456789abcdef"]);
    assert_eq!(lost.wait().code(), Some(1));
}

#[test]
fn a_client_without_a_way_to_its_host_ends() {
    let Some(master) = Master::of_rooms() else { return };
    let mut host = player(&master);
    // It does nothing any more, so its NAT lets nobody in.
    let room = host.host("Walled").expect("a room").room.to_string();
    let mut client = start(&master, &["join", &room]);
    client.line_with("no way to host was found");
    assert_eq!(client.wait().code(), Some(1));
}

#[test]
fn a_chat_over_ipv6() {
    if UdpSocket::bind((Ipv6Addr::LOCALHOST, 0)).is_err() {
        skipped::note("this machine has no IPv6");
        return;
    }
    let master = Master::start(&[]);
    let at = format!("[::1]:{}", master.addr().port());
    let host = start_with(&["host", "Six", "--say", "welcome", "--master", &at]);
    host.line_with("room ");
    let expect = ["--expect", "welcome", "--for", "20"];
    let join = ["join", "Six", "--master", &at];
    assert!(start_with(&[&join[..], &expect[..]].concat()).wait().success());
    host.line_with("comes from [::1]:");
}

/// Both behind NATs that let in only what they have asked for, one packet in five lost.
#[test]
fn a_chat_through_two_nats_that_lose_packets() {
    let (punchd, punch) = (master::binary().display(), env!("CARGO_BIN_EXE_punch"));
    let server = format!("server: {punchd} --port 7000");
    let texts = |option: &str, who: &str| -> String {
        (0..20).map(|n| format!(" --{option} '{who} {n}'")).collect()
    };
    let at = "--master $NATLAB_SERVER1:7000 --for 25 --timeout 25";
    let host = format!(
        "a: {punch} rooms host Lab {at}{}{}",
        texts("say", "host"),
        texts("expect", "client")
    );
    let client = format!(
        "b: {punch} rooms join Lab {at}{}{}",
        texts("say", "client"),
        texts("expect", "host")
    );
    // ENet repeats its handshake ever more seldom, so some schedules of losses let none through in
    // that time.
    let mut said = String::new();
    for seed in ["rooms", "chat"] {
        let loses = "port-restricted:loss=20,delay=10";
        let (one, other) = (format!("a={loses}"), format!("b={loses}"));
        let sites = ["--site", &one, "--site", &other];
        let commands = ["--service", &server, "--ready", "server: udp/7000", "--service", &host];
        let more = ["--ready", "a: output room .* open", "--exec", &client];
        let begin = ["run", "--time-limit", "29", "--seed", seed];
        let all = [&begin[..], &sites[..], &commands[..], &more[..]].concat();
        let Some(output) = natlab::run(all) else { return };
        said = String::from_utf8_lossy(&output.stdout).into_owned();
        said += &String::from_utf8_lossy(&output.stderr);
        if output.status.success() {
            assert!(said.contains("host: host 19"), "{said}");
            return;
        }
    }
    panic!("{said}");
}
