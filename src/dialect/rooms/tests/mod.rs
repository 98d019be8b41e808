//! The dialect without sockets and with a made-up clock.

use std::net::SocketAddr;
use std::time::Duration;

use rand::SeedableRng as _;
use rand::rngs::StdRng;

use super::{Config, Rooms};
use crate::clock::{Instant, Now};
use crate::dialect::{Context, Dialect, Outbox, Output, Shared, Via};

mod access;
mod amplification;
mod bounds;
mod counted;
mod forged;
mod games;
mod hostile;
mod listed;
mod loss;
mod mesh;
mod message;
mod migrating;
mod nats;
mod notices;
mod offered;
mod relayed;
mod requests;
mod returning;
mod small;
mod unmet;

/// A dialect, its clock, and peers that are addresses.
struct World {
    rooms: Rooms,
    shared: Shared,
    millis: u64,
}

/// What a datagram made the server send, in order.
#[derive(Debug, PartialEq, Eq)]
struct Sent(Vec<(SocketAddr, String)>);

/// A place in a room, as its peer knows it.
#[derive(Clone, Debug)]
struct Place {
    at: SocketAddr,
    room: String,
    id: String,
    key: String,
}

/// A peer of its own network.
fn peer(n: u16) -> SocketAddr {
    let [high, low] = n.to_be_bytes();
    SocketAddr::from(([198, high, low, 7], 40_000))
}

impl World {
    /// The first page of rooms, for a stranger who pads its request.
    fn listed(&mut self) -> String {
        self.answer(peer(9), &format!("{:\n<512}", "rl"))
    }

    fn new() -> Self {
        Self::with(Config::default())
    }

    fn with(config: Config) -> Self {
        Self::seeded(7, config)
    }

    fn seeded(seed: u8, config: Config) -> Self {
        let rooms = Rooms::new(config, StdRng::from_seed([seed; 32]));
        Self { rooms, shared: Shared::default(), millis: 1_000_000 }
    }

    fn now(&self) -> Now {
        Now { instant: Instant::from_micros(self.millis * 1000), unix: self.millis / 1000 }
    }

    /// What is sent when the dialect is called.
    fn act(&mut self, act: impl FnOnce(&mut Rooms, &mut Context<'_>)) -> Sent {
        let mut out = Outbox::new();
        let now = self.now();
        act(&mut self.rooms, &mut Context { now, out: &mut out, shared: &mut self.shared });
        Sent::of(&out)
    }

    /// Sends a datagram to the server.
    fn send(&mut self, from: SocketAddr, data: &[u8]) -> Sent {
        self.act(|rooms, cx| rooms.on_datagram(cx, Via::default(), from, data))
    }

    /// All that one peer gets for a datagram of its own.
    fn ask(&mut self, from: SocketAddr, text: &str) -> Vec<String> {
        self.send(from, text.as_bytes()).to(from)
    }

    /// The one message that a peer gets for a datagram of its own.
    fn answer(&mut self, from: SocketAddr, text: &str) -> String {
        let mut answers = self.ask(from, text);
        assert_eq!(answers.len(), 1, "{text}: {answers:?}");
        answers.remove(0)
    }

    /// Lets time pass and returns what is sent meanwhile.
    fn pass(&mut self, time: Duration) -> Sent {
        let until = self.millis + u64::try_from(time.as_millis()).unwrap();
        let mut sent = Vec::new();
        while let Some(at) = self.rooms.next_wakeup().filter(|at| at.micros() <= until * 1000) {
            self.millis = self.millis.max(at.micros().div_ceil(1000));
            sent.extend(self.act(Rooms::on_wakeup).0);
        }
        self.millis = until;
        Sent(sent)
    }

    fn pass_secs(&mut self, secs: u64) -> Sent {
        self.pass(Duration::from_secs(secs))
    }

    /// Opens a room and shows the key.
    fn host(&mut self, at: SocketAddr, name: &str) -> Place {
        let host = self.enter(at, &format!("rh:{name}"));
        self.prove(&host);
        host
    }

    /// Joins a room and shows the key.
    fn join(&mut self, at: SocketAddr, room: &Place) -> Place {
        let client = self.join_unproved(at, room);
        self.prove(&client);
        client
    }

    fn join_unproved(&mut self, at: SocketAddr, room: &Place) -> Place {
        self.enter(at, &format!("jr:{}", room.room))
    }

    /// Asks until both answers come. When addresses fall into one place of the table of credits,
    /// there may be credit for only one of them at first.
    fn enter(&mut self, at: SocketAddr, text: &str) -> Place {
        let answers = (0..3).map(|_| self.ask(at, text)).find(|answers| answers.len() == 2);
        Place::of(at, &answers.unwrap_or_else(|| panic!("no two answers to {text}")))
    }

    /// The rooms on the first page of a list, each with what is said of it.
    fn list(&mut self, at: SocketAddr, request: &str) -> Vec<String> {
        let page = self.answer(at, &format!("{request:\n<512}"));
        let entries = page.strip_prefix("rl:").unwrap_or_else(|| panic!("{page}"));
        entries.split(':').filter(|entry| !entry.is_empty()).map(Into::into).collect()
    }

    fn prove(&mut self, place: &Place) {
        let answers = self.ask(place.at, &place.rc());
        assert_eq!(Place::of(place.at, &answers).key, place.key);
    }

    /// A world with a room, its host and a client that is connected, and no notification under way.
    fn introduced() -> (Self, Place, Place) {
        let mut world = Self::new();
        let host = world.host(peer(1), "Room");
        let client = world.join(peer(2), &host);
        world.answer(host.at, &format!("pc:{}:ok", client.id));
        world.pass_secs(2);
        (world, host, client)
    }
}

impl Sent {
    fn of(out: &Outbox) -> Self {
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        let each = out.outputs().map(|output| match output {
            Output::Udp(_, to, bytes) => (to, text(bytes)),
            other => panic!("{other:?} in a dialect of datagrams"),
        });
        Self(each.collect())
    }

    fn to(&self, whom: SocketAddr) -> Vec<String> {
        self.0.iter().filter(|(to, _)| *to == whom).map(|(_, text)| text.clone()).collect()
    }
}

impl Place {
    /// From the two answers to `rh`, `jr` or `rc`.
    fn of(at: SocketAddr, answers: &[String]) -> Self {
        let with = |start: [&str; 2]| {
            let found =
                answers.iter().find(|text| start.iter().any(|start| text.starts_with(start)));
            found.unwrap_or_else(|| panic!("want two answers, got {answers:?}"))
        };
        let (place, own) = (with(["rh:", "jr:"]), with(["rID:", "rID:"]));
        let room = place.split(':').nth(1).unwrap().to_string();
        let own: Vec<&str> = own.split(':').collect();
        let ["rID", id, key] = own[..] else { panic!("{own:?}") };
        Self { at, room, id: id.to_string(), key: key.to_string() }
    }

    /// A request of its own that nobody else can make.
    fn signed(&self, request: &str) -> String {
        format!("{request}:{}", self.key)
    }

    fn rc(&self) -> String {
        format!("rc:{}:{}", self.id, self.key)
    }

    fn ip(&self) -> String {
        self.at.ip().to_string()
    }
}
