//! Peers of events: with their room at the next server, whatever they do when their own goes.

use std::net::UdpSocket;
use std::process::Stdio;

use compat_tests::events::EventClient;
use compat_tests::master::loopback;
use compat_tests::running::Running;
use serde_json::json;

use super::{WAIT, command, hush, is_back, output, start, two, wake};

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

/// Who knocks at somebody that does not answer sees that the server is gone all the same.
#[test]
fn a_peer_of_events_that_knocks_is_at_the_next_as_soon() {
    for dies in [true, false] {
        let (one, other, both) = two();
        let create = ["events", "--id", "a", "--do", "create \"My room\""];
        let host = start(&[&create[..], &["--do", "wait 60", "--master", &both]].concat());
        host.lines_to("made the room");
        let mut mute = EventClient::connect(one.addr(), None).expect("a connection");
        mute.login("b", "").expect("a login");
        let socket = UdpSocket::bind((loopback(), 0)).expect("a socket");
        mute.udp_endpoint(&socket, WAIT).expect("its endpoint");
        mute.quick_join(json!({})).expect("a place");
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

/// At a prompt, in reach of a script.
fn at_a_prompt(id: &str, masters: &str) -> Running {
    let mut events = command(&["events", "--id", id, "--master", masters]);
    events.stdin(Stdio::piped());
    let events = Running::start(events, WAIT);
    events.lines_to("my UDP endpoint");
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
