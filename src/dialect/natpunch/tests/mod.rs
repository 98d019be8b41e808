//! natpunch by its bytes: what goes in and what must come out is put together by hand, field
//! number by field number, not by the library under test.

use super::*;
use crate::amplification::KEYED;
use crate::clock::Now;
use crate::dialect::{Outbox, Output, Shared};
use crate::nats::Kind;
use proptest::prelude::*;
use rand::SeedableRng as _;
use std::collections::{HashMap, HashSet};
use std::time::Duration;

mod bytes;
mod clients;
mod errors;
mod flow;
mod loss;
mod nats;
mod programs;
mod promises;
mod relayed;
mod shares;

/// A protobuf writer of a few lines: wire types 0 (varint) and 2 (length-delimited).
#[derive(Clone, Default, PartialEq, Eq)]
struct Pb(Vec<u8>);

impl Pb {
    fn varint(&mut self, mut n: u64) {
        while n >= 0x80 {
            self.0.push(n as u8 | 0x80);
            n >>= 7;
        }
        self.0.push(n as u8);
    }

    /// A number; proto3 leaves out zeros.
    fn n(mut self, field: u64, n: u64) -> Self {
        if n != 0 {
            self.varint(field << 3);
            self.varint(n);
        }
        self
    }

    /// A string; proto3 leaves out empty ones.
    fn s(self, field: u64, text: &str) -> Self {
        if text.is_empty() { self } else { self.m(field, Pb(text.as_bytes().to_vec())) }
    }

    /// A message in the message, which is there even if it is empty.
    fn m(mut self, field: u64, inner: Pb) -> Self {
        self.varint(field << 3 | 2);
        self.varint(inner.0.len() as u64);
        self.0.extend_from_slice(&inner.0);
        self
    }
}

impl std::fmt::Debug for Pb {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.0.escape_ascii())
    }
}

fn pb() -> Pb {
    Pb::default()
}

fn ep(addr: SocketAddr) -> Pb {
    pb().s(1, &addr.ip().to_string()).n(2, addr.port().into())
}

fn register() -> Pb {
    pb().m(1, pb())
}

fn keep_alive(id: &str) -> Pb {
    pb().m(9, pb().s(1, id))
}

fn create(id: &str, name: &str, most: u64) -> Pb {
    pb().m(11, pb().s(1, name).s(2, id).n(3, most))
}

fn join(lobby: &str, id: &str) -> Pb {
    pb().m(13, pb().s(1, lobby).s(2, id))
}

fn leave(lobby: &str, id: &str) -> Pb {
    pb().m(20, pb().s(1, lobby).s(2, id))
}

fn ready(lobby: &str, id: &str) -> Pb {
    pb().m(23, pb().s(1, lobby).s(2, id))
}

fn error(text: &str) -> Pb {
    pb().m(8, pb().s(1, text))
}

fn instruction(id: &str, public: SocketAddr, local: SocketAddr) -> Pb {
    pb().m(6, pb().n(1, 1).s(2, id).m(6, ep(public)).m(7, ep(local)))
}

/// The answers to who wants to join.
fn joining(lobby: &str, members: [(&str, SocketAddr); 2]) -> [Pb; 2] {
    let head = |text| pb().n(1, 1).s(2, lobby).s(3, text);
    let [first, second] = [
        "Attempting to connect to lobby host...",
        "Successfully joined lobby and connected to host",
    ]
    .map(|text| {
        members.iter().fold(head(text), |all, (id, at)| all.m(4, pb().s(1, id).m(2, ep(*at))))
    });
    [pb().m(14, first), pb().m(24, second)]
}

/// Who has not met the host is told that, and then that it has left.
fn failed() -> [Pb; 2] {
    let left = pb().n(1, 1).s(2, "Successfully left lobby");
    [error("Failed to establish connection with lobby host"), pb().m(21, left)]
}

/// Both are told to the same one.
fn both<T: Clone>(to: T, told: [Pb; 2]) -> [(T, Pb); 2] {
    told.map(|message| (to.clone(), message))
}

fn addr(n: u8) -> SocketAddr {
    SocketAddr::from(([203, 0, 113, n], 4000 + u16::from(n)))
}

/// A server and its clock.
struct World {
    natpunch: Natpunch,
    shared: Shared,
    now: Now,
    sent: Vec<(SocketAddr, Pb)>,
}

impl World {
    fn new() -> Self {
        let random = StdRng::from_seed([7; 32]);
        let natpunch = Natpunch::new(Config::default(), random);
        let now = Now { instant: Instant::from_micros(60_000_000), unix: 0 };
        Self { natpunch, shared: Shared::default(), now, sent: Vec::new() }
    }

    fn act(&mut self, act: impl FnOnce(&mut Natpunch, &mut Context<'_>)) {
        let mut out = Outbox::new();
        let (now, shared) = (self.now, &mut self.shared);
        act(&mut self.natpunch, &mut Context { now, out: &mut out, shared });
        self.sent.extend(out.outputs().map(|output| match output {
            Output::Udp(_, to, bytes) => (to, Pb(bytes.to_vec())),
            other => panic!("{other:?}"),
        }));
    }

    /// Sends a datagram; what comes of it is all that was sent and not looked at.
    fn send(&mut self, from: SocketAddr, data: &[u8]) -> Vec<(SocketAddr, Pb)> {
        self.act(|natpunch, cx| natpunch.on_datagram(cx, Via::default(), from, data));
        std::mem::take(&mut self.sent)
    }

    fn say(&mut self, from: SocketAddr, message: Pb) -> Vec<(SocketAddr, Pb)> {
        self.send(from, &message.0)
    }

    /// Lets time go by, and all timers fire when they are due.
    fn wait(&mut self, time: Duration) -> Vec<(SocketAddr, Pb)> {
        let end = self.now.instant + time;
        while let Some(at) = self.natpunch.next_wakeup().filter(|at| *at <= end) {
            self.now.instant = at;
            self.act(Natpunch::on_wakeup);
        }
        self.now.instant = end;
        std::mem::take(&mut self.sent)
    }

    /// Registers a client; it proves that it is real.
    fn client(&mut self, at: SocketAddr) -> String {
        // Others may be told that somebody gave way.
        let mut answers = self.say(at, register());
        answers.retain(|(to, _)| *to == at);
        let [(_, Pb(bytes))] = &answers[..] else { panic!("{answers:?}") };
        let Some(Content::RegisterResponse(response)) =
            Message::decode(&bytes[..]).unwrap().content
        else {
            panic!("{answers:?}")
        };
        if response.success {
            assert_eq!(self.say(at, keep_alive(&response.client_id)), []);
        }
        response.client_id
    }

    /// Opens a lobby.
    fn lobby(&mut self, host: SocketAddr, id: &str, most: u64) -> String {
        let answers = self.say(host, create(id, "Game", most));
        let [(_, Pb(bytes))] = &answers[..] else { panic!("{answers:?}") };
        match Message::decode(&bytes[..]).unwrap().content {
            Some(Content::CreateLobbyResponse(response)) => response.lobby_id,
            other => panic!("{other:?}"),
        }
    }
}
