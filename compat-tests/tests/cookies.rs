//! Lists asked for with cookies, by clients that have proven nothing, over a network that loses, doubles and
//! delays: everybody gets every page in the end, and nobody more than three times its bytes without a cookie.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a helper that fails is a test that fails")]

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Duration;

use compat_tests::amplification::Ledger;
use compat_tests::sim::rng::Rng;
use prost::Message as _;
use punchd::clock::{Instant, Now};
use punchd::dialect::natpunch::message::*;
use punchd::dialect::{Outbox, Output, Via};
use punchd::server::{Config, Server};

/// Rooms, and lobbies: more than one datagram holds.
const MANY: usize = 60;

/// Clients of each dialect.
const CLIENTS: u8 = 60;

/// When a client asks again.
const AGAIN: Duration = Duration::from_millis(500);

/// Cookies are renewed in this time.
const LONG: Duration = Duration::from_secs(200);

/// A client that wants to see all.
#[derive(Default)]
struct Client {
    is_of_rooms: bool,
    cookie: String,
    /// The room after which the next page begins.
    after: String,
    seen: BTreeSet<String>,
    /// Whole lists so far.
    lists: usize,
    /// Answers that were longer than three times a request.
    long: usize,
}

impl Client {
    fn request(&self) -> Vec<u8> {
        if !self.is_of_rooms {
            let cookie = if self.cookie.is_empty() { "?".into() } else { self.cookie.clone() };
            return natpunch(Content::LobbyListRequest(LobbyListRequest {
                request_id: "1".into(),
                cookie,
            }));
        }
        let cookie = match self.cookie.as_str() {
            "" => "cookie".into(),
            cookie => format!("cookie={cookie}"),
        };
        match self.after.as_str() {
            "" => format!("rl:{cookie}").into_bytes(),
            after => format!("rl:{after}:{cookie}").into_bytes(),
        }
    }

    fn receive(&mut self, data: &[u8]) {
        self.long += usize::from(data.len() > 3 * (self.request().len() + 28));
        if !self.is_of_rooms {
            let Some(Content::LobbyListResponse(list)) = content(data) else { return };
            self.seen.extend(list.lobbies.iter().map(|lobby| lobby.lobby_id.clone()));
            self.lists += usize::from(!list.lobbies.is_empty());
            self.cookie = list.cookie;
            return;
        }
        let text = std::str::from_utf8(data).unwrap();
        if let Some(cookie) = text.strip_prefix("er:rl:cookie:") {
            self.cookie = cookie.into();
        }
        let Some(page) = text.strip_prefix("rl:") else { return };
        let entries = page.split(':').filter(|entry| entry.contains(','));
        self.seen.extend(entries.filter_map(|entry| entry.get(..16)).map(String::from));
        // A late copy of another page only has it looked at once more.
        self.after = page.rsplit_once(":+").map_or(String::new(), |(_, last)| last.into());
        self.lists += usize::from(self.after.is_empty());
    }
}

struct World {
    server: Server,
    rng: Rng,
    ledger: Ledger,
    micros: u64,
    clients: BTreeMap<SocketAddr, Client>,
    /// What is on its way: when it arrives, which one it is, to or from whom.
    way: BTreeMap<(u64, u64), (bool, SocketAddr, Vec<u8>)>,
    sent: u64,
}

impl World {
    fn new(seed: u64) -> Self {
        let clients = (0..CLIENTS).flat_map(|n| {
            let of = |is_of_rooms| Client { is_of_rooms, ..Client::default() };
            let at = |net: u8| SocketAddr::from(([198, net, 100, n], 4000));
            [(at(51), of(true)), (at(52), of(false))]
        });
        Self {
            server: Server::new(Config::default()),
            rng: Rng::new(seed),
            ledger: Ledger::default(),
            micros: 60_000_000,
            clients: clients.collect(),
            way: BTreeMap::new(),
            sent: 0,
        }
    }

    /// Has the server get a datagram, and puts its answers on their way.
    fn deliver(&mut self, from: SocketAddr, data: &[u8]) -> Vec<(SocketAddr, Vec<u8>)> {
        let now = Now { instant: Instant::from_micros(self.micros), unix: 1_700_000_000 };
        let mut out = Outbox::new();
        self.ledger.received(from, data);
        self.server.on_datagram(now, Via { socket: 0, local: None }, from, data, &mut out);
        let told = out.outputs().filter_map(|output| match output {
            Output::Udp(_, to, bytes) => Some((to, bytes.to_vec())),
            _ => None,
        });
        let told: Vec<_> = told.collect();
        for (to, bytes) in &told {
            self.ledger.sent(*to, bytes).unwrap();
        }
        told
    }

    /// Three of ten are lost, one comes twice, and each takes its time.
    fn send(&mut self, is_request: bool, at: SocketAddr, data: &[u8]) {
        let copies = match self.rng.within(0..10) {
            0..3 => 0,
            3 => 2,
            _ => 1,
        };
        for _ in 0..copies {
            self.sent += 1;
            let delay = self.rng.within(5_000..700_000);
            self.way.insert((self.micros + delay, self.sent), (is_request, at, data.to_vec()));
        }
    }

    fn fill(&mut self) -> [BTreeSet<String>; 2] {
        let mut all = [BTreeSet::new(), BTreeSet::new()];
        for n in 0..MANY as u8 {
            let at = SocketAddr::from(([203, 0, 113, n], 4000));
            for (_, bytes) in self.deliver(at, b"rh:A room of usual size") {
                let text = String::from_utf8(bytes).unwrap();
                all[0].extend(text.strip_prefix("rh:").map(String::from));
                if let Some(own) = text.strip_prefix("rID:") {
                    self.deliver(at, format!("rc:{own}").as_bytes());
                }
            }
            let at = SocketAddr::from(([203, 0, 113, n], 5000));
            let register = natpunch(Content::RegisterRequest(RegisterRequest::default()));
            let (_, bytes) = self.deliver(at, &register).remove(0);
            let Some(Content::RegisterResponse(told)) = content(&bytes) else { panic!() };
            let client_id = told.client_id;
            let create = CreateLobbyRequest { lobby_name: "L".into(), client_id, max_players: 4 };
            let answers = self.deliver(at, &natpunch(Content::CreateLobbyRequest(create)));
            let Some(Content::CreateLobbyResponse(told)) = content(&answers[0].1) else { panic!() };
            all[1].insert(told.lobby_id);
        }
        all
    }

    /// Lets everybody ask and hear until so much time has passed.
    fn run(&mut self, time: Duration) {
        let end = self.micros + time.as_micros() as u64;
        let mut ask_at = self.micros;
        while ask_at < end {
            let requests = self.clients.iter().map(|(at, client)| (*at, client.request()));
            for (at, request) in requests.collect::<Vec<_>>() {
                self.send(true, at, &request);
            }
            ask_at += AGAIN.as_micros() as u64;
            while let Some(entry) = self.way.first_entry().filter(|entry| entry.key().0 <= ask_at) {
                self.micros = entry.key().0;
                match entry.remove() {
                    (true, at, data) => {
                        for (to, bytes) in self.deliver(at, &data) {
                            self.send(false, to, &bytes);
                        }
                    }
                    (false, at, data) => {
                        if let Some(client) = self.clients.get_mut(&at) {
                            client.receive(&data);
                        }
                    }
                }
            }
            self.micros = ask_at;
        }
    }
}

fn natpunch(content: Content) -> Vec<u8> {
    Message { content: Some(content) }.encode_to_vec()
}

fn content(data: &[u8]) -> Option<Content> {
    Message::decode(data).unwrap().content
}

#[test]
fn cookies_bring_every_page_to_everybody_over_a_bad_network() {
    for seed in 0..2 {
        let mut world = World::new(seed);
        let [rooms, lobbies] = world.fill();
        assert_eq!((rooms.len(), lobbies.len()), (MANY, MANY));
        // Rooms live longer than that without a sign of life, lobbies do not: their clients get one list or so.
        world.run(Duration::from_secs(12));
        let of_natpunch = world.clients.values().filter(|client| !client.is_of_rooms);
        for client in of_natpunch {
            assert!(client.lists > 0 && client.long > 0, "seed {seed}: no list in twelve seconds");
            assert!(client.seen.is_subset(&lobbies));
        }
        world.run(LONG);
        for client in world.clients.values().filter(|client| client.is_of_rooms) {
            assert!(client.seen.is_superset(&rooms), "seed {seed}: a page never came");
            assert!(client.lists > 10 && client.long > 10, "seed {seed}: {} lists", client.lists);
        }
    }
}
