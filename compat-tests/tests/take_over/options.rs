//! A new process with other options.

use std::net::SocketAddr;
use std::process::Command;
use std::time::Duration;

use compat_tests::events::EventClient;
use compat_tests::gmnet::wire::Data;
use compat_tests::master::{Master, binary, loopback};
use compat_tests::{natpunch, raw};

use super::fixtures::{Host, Rooms, WAIT, answers, answers_datagrams, at_own_address};

#[test]
fn a_new_process_may_have_other_options() {
    let (master, at) = at_own_address(&["--alt-port", "0"]);
    let (kept, other) = (raw::connect(at, loopback()), loopback());
    let mut command = Command::new(binary());
    let port = at.port().to_string();
    command.args(["--take-over", "--bind", &at.ip().to_string(), "--bind", &other.to_string()]);
    command.args(["--port", &port, "--alt-port", "0", "--max-connections", "100", "--testing"]);
    let next = Master::spawn(command);
    let (status, log) = master.ended(WAIT);
    assert_eq!(status.code(), Some(0), "{log}");
    assert!(log.contains(" goes on with 1 connection after "), "{log}");
    assert!(answers(&kept), "the connection from before");
    assert!(answers(&raw::connect(SocketAddr::new(other, at.port()), loopback())), "a new address");
    assert!(next.log().contains("up to 100 connections"), "{}", next.log());
    // Where nobody is, the new one begins anew.
    let log = next.stop();
    let mut command = Command::new(binary());
    command.args(["--take-over", "--bind", &at.ip().to_string(), "--port", "0"]);
    let alone = Master::spawn(command);
    assert!(alone.log().contains("no punchd runs there"), "{}\n{log}", alone.log());
}

/// Players of a dialect that the next process does not speak are told as when a server stops; all others go on.
#[test]
fn who_speaks_what_is_not_spoken_any_more_is_told_the_end() {
    const ALL: [&str; 4] = ["gmnet", "rooms", "events", "natpunch"];
    for left in ALL {
        let (master, at) = at_own_address(&["--alt-port", "0"]);
        let mut players = Players::come(at);
        let spoken = ALL.into_iter().filter(|name| *name != left).chain(["stun"]);
        let spoken = spoken.collect::<Vec<_>>().join(",");
        let mut command = Command::new(binary());
        command.args(["--take-over", "--bind", &at.ip().to_string(), "--alt-port", "0"]);
        command.args(["--port", &at.port().to_string(), "--dialects", &spoken]);
        let next = Master::spawn(command);
        let (status, log) = master.ended(WAIT);
        assert_eq!(status.code(), Some(0), "{log}");
        let lost = format!(
            "the state of {left} could not be taken over, and its connections are closed: it is not \
             spoken any more"
        );
        assert!(next.log().contains(&lost), "{}", next.log());
        assert_eq!(next.log().matches("could not be taken over").count(), 1, "{}", next.log());
        for name in ALL {
            match name == left {
                true => players.are_told_the_end(name),
                false => assert!(players.go_on(name), "{name} without {left}"),
            }
        }
    }
}

/// One of each dialect.
struct Players {
    master: SocketAddr,
    gmnet: Host,
    rooms: Rooms,
    events: EventClient,
    natpunch: natpunch::Client,
}

impl Players {
    fn come(master: SocketAddr) -> Self {
        let mut rooms = Rooms::new(master);
        rooms.enters("rh:a room");
        let mut events = EventClient::connect(master, None).unwrap();
        events.login("ann", "").unwrap();
        events.create_room("a room", 2).unwrap();
        let mut natpunch = natpunch::Client::register(master, loopback()).unwrap();
        natpunch.create("a lobby", 4).unwrap();
        while natpunch.lobby().is_none() {
            natpunch.step(WAIT).unwrap();
        }
        Self { master, gmnet: Host::new(master, &Data::default()), rooms, events, natpunch }
    }

    /// Whether these are as if nothing had been.
    fn go_on(&mut self, name: &str) -> bool {
        match name {
            "gmnet" => answers(&self.gmnet.control),
            "rooms" => self.rooms.asks("rl", "rl:").contains("a room"),
            "events" => self.events.list_rooms().is_ok_and(|rooms| rooms.len() == 1),
            _ => {
                self.natpunch.list().unwrap();
                while let Some(event) = self.natpunch.step(WAIT).unwrap() {
                    if let natpunch::Event::Lobbies(lobbies) = event {
                        return lobbies.len() == 1;
                    }
                }
                false
            }
        }
    }

    /// Connections end. A server that stops says nothing to those who send datagrams, but does not answer them any
    /// more.
    fn are_told_the_end(&mut self, name: &str) {
        match name {
            "gmnet" => assert!(raw::read_to_end(&self.gmnet.control, WAIT).1),
            "events" => assert!(raw::read_to_end(self.events.tcp(), WAIT).1),
            "rooms" => {
                self.rooms.say("rl");
                assert!(answers_datagrams(self.master), "so it has read what came before");
                assert_eq!(self.rooms.hears_within("rl", Duration::from_millis(1)), None);
            }
            _ => {
                self.natpunch.list().unwrap();
                assert!(answers_datagrams(self.master), "so it has read what came before");
                while let Some(event) = self.natpunch.step(Duration::ZERO).unwrap() {
                    assert!(!matches!(event, natpunch::Event::Lobbies(_)), "{event:?}");
                }
            }
        }
    }
}
