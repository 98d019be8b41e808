//! Peers of events: with their room at the next server, whatever they do when their own goes.

use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::process::Stdio;
use std::time::Instant;

use compat_tests::events::EventClient;
use compat_tests::events::knock::knock;
use compat_tests::master::{Master, loopback};
use compat_tests::running::Running;
use serde_json::json;

use super::{BACK, BUSY, WAIT, command, hush, is_back, output, start, two, wake};

#[test]
fn a_peer_of_events_is_at_the_next_with_its_room() {
    for dies in [true, false] {
        let (one, other, both) = two();
        let wait = ["--do", "wait 60", "--master", &both];
        let create = ["events", "--id", "a", "--do", "create \"My room\" 4 map=a"];
        let host = start(&[&create[..], &wait].concat());
        host.lines_to("made the room");
        let client = ["events", "--id", "b", "--do", "join \"My room\""];
        let client = start(&[&client[..], &wait].concat());
        client.lines_to("in the room");
        let mut one = Some(one);
        let end = || match dies {
            true => one.take().expect("the first").crash(),
            false => one.iter().for_each(hush),
        };
        is_back(&host, end, "made the room");
        client.lines_to("logged in again as b");
        client.lines_to("in the room");
        let at = other.addr().to_string();
        let (_, said) = output(&["events", "--id", "c", "--master", &at, "--do", "rooms"]);
        assert!(said.contains("2/4"), "{said}");
        one.iter().for_each(wake);
    }
}

/// Somebody in the only room, who has shown its UDP port.
fn comes(id: &str, master: SocketAddr) -> (EventClient, UdpSocket) {
    let mut peer = EventClient::connect(master, None).expect("a connection");
    peer.login(id, "").expect("a login");
    let socket = UdpSocket::bind((loopback(), 0)).expect("a socket");
    peer.udp_endpoint(&socket, WAIT).expect("its endpoint");
    peer.quick_join(json!({})).expect("a place");
    (peer, socket)
}

/// Who knocks at some that do not answer sees that the server is gone all the same.
#[test]
fn a_peer_of_events_that_knocks_is_at_the_next_as_soon() {
    for dies in [true, false] {
        let (one, other, both) = two();
        let create = ["events", "--id", "a", "--do", "create \"My room\""];
        let host = start(&[&create[..], &["--do", "wait 60", "--master", &both]].concat());
        host.lines_to("made the room");
        let ids = ["b", "c", "d", "e", "f", "g"];
        let _mute = ids.map(|id| comes(id, one.addr()));
        host.lines_to("knocking at b");
        let mut one = Some(one);
        let end = || match dies {
            true => one.take().expect("the first").crash(),
            false => one.iter().for_each(hush),
        };
        is_back(&host, end, "made the room");
        assert!(other.log().contains("\"a\""), "{}", other.log());
        one.iter().for_each(wake);
    }
}

/// Nor do they keep one that does from being met.
#[test]
fn a_peer_of_events_meets_one_while_it_knocks_at_others() {
    let one = Master::start(&[]);
    let at = one.addr().to_string();
    let create = ["events", "--id", "a", "--do", "create \"My room\""];
    let host = start(&[&create[..], &["--do", "wait 60", "--master", &at]].concat());
    host.lines_to("made the room");
    let _mute = ["b", "c"].map(|id| comes(id, one.addr()));
    let (mut there, socket) = comes("d", one.addr());
    let host_is = there.introduction(WAIT).expect("where the host is");
    assert_eq!(knock(&socket, &host_is, BACK), Some(host_is.endpoint));
    let said = host.lines_to("connected to d");
    assert!(!said.iter().any(|line| line.contains("cannot be reached")), "{said:?}");
    let rest = [host.line_with("cannot be reached"), host.line_with("cannot be reached")];
    assert!(rest.iter().all(|line| line.starts_with(['b', 'c'])), "{rest:?}");
}

/// At a prompt, in reach of a script.
fn at_a_prompt(id: &str, masters: &str) -> Running {
    let mut events = command(&["events", "--id", id, "--master", masters]);
    events.stdin(Stdio::piped());
    let mut events = Running::start(events, WAIT);
    events.types("rooms");
    events.lines_to("no rooms");
    events
}

/// Also while a peer is waited for, who may take his time: it is the server that says nothing.
#[test]
fn who_waits_for_an_answer_of_a_silent_server_is_at_the_next() {
    for asks in ["rooms", "request b echo", "confirm b x"] {
        let (one, other, both) = two();
        let mut mute = EventClient::connect(one.addr(), None).expect("a connection");
        mute.login("b", "").expect("a login");
        let mut peer = at_a_prompt("a", &both);
        hush(&one);
        peer.types(asks);
        is_back(&peer, || {}, "logged in again as a");
        peer.lines_to(&format!("not done, as the connection was lost: {asks}"));
        peer.types("rooms");
        peer.lines_to("no rooms");
        assert!(other.log().contains("\"a\""), "{}", other.log());
        wake(&one);
    }
}

/// Another address of a server, at which only its TCP is: what comes there by UDP is for the test.
fn without_udp(server: SocketAddr) -> SocketAddr {
    let listener = TcpListener::bind((loopback(), 0)).expect("a port");
    let addr = listener.local_addr().expect("its address");
    std::thread::spawn(move || {
        for client in listener.incoming().flatten() {
            let server = TcpStream::connect(server).expect("the server");
            let back = (server.try_clone().expect("a copy"), client.try_clone().expect("a copy"));
            for (mut from, mut to) in [(client, server), back] {
                std::thread::spawn(move || {
                    let _ = std::io::copy(&mut from, &mut to);
                    let _ = to.shutdown(Shutdown::Write);
                });
            }
        }
    });
    addr
}

/// So that a NAT keeps its mapping, while nothing else happens.
#[test]
fn the_token_is_sent_again_as_long_as_the_peer_is_there() {
    let one = Master::start(&[]);
    let addr = without_udp(one.addr());
    let udp = UdpSocket::bind(addr).expect("the same port");
    udp.set_read_timeout(Some(WAIT)).expect("a timeout");
    let at = addr.to_string();
    let peer = start(&["events", "--id", "a", "--master", &at, "--do", "wait 60"]);
    let token = || {
        let mut buffer = [0; 64];
        loop {
            let (length, from) = udp.recv_from(&mut buffer).expect("a token");
            if buffer[..length].starts_with(b"udp:") {
                return (buffer[..length].to_vec(), from);
            }
        }
    };
    let (first, from) = token();
    udp.send_to(b"udp:192.0.2.1:7", from).expect("an answer");
    peer.lines_to("my UDP endpoint is 192.0.2.1:7");
    let answered = Instant::now();
    // Some may have been under way.
    while answered.elapsed() < BACK {
        assert_eq!(token(), (first.clone(), from));
    }
}

#[test]
fn who_has_no_udp_at_the_next_is_in_its_room_there_as_soon() {
    let [one, other] = [Master::start(&[]), Master::start(&[])];
    let both = format!("{},{}", one.addr(), without_udp(other.addr()));
    let create = ["events", "--id", "a", "--do", "create \"My room\""];
    let host = start(&[&create[..], &["--do", "wait 60", "--master", &both]].concat());
    host.lines_to("made the room");
    is_back(&host, || hush(&one), "made the room");
    host.lines_to("no UDP, so no introductions");
    wake(&one);
}

#[test]
fn a_server_that_does_not_answer_to_a_web_socket_is_left_as_soon() {
    let (one, _other, both) = two();
    hush(&one);
    let begun = Instant::now();
    let (out, said) = output(&["events", "--ws", "--id", "a", "--master", &both, "--do", "rooms"]);
    assert!(out.status.success() && said.contains("no rooms"), "{said}");
    assert!(begun.elapsed() < BACK + BUSY, "{:?}", begun.elapsed());
    wake(&one);
}
