//! A game over a bad network. Peers do what PROTOCOL.md tells them: send again after half a second.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::time::Duration;

use super::{Sent, World, peer};
use crate::dialect::lossy::{Lossy, Packet, TROUBLES, Trouble};
use crate::limits;

struct Net {
    world: World,
    network: Lossy<String>,
    trouble: Trouble,
    arrived: BTreeMap<SocketAddr, VecDeque<String>>,
}

impl Net {
    fn new(seed: u8, trouble: Trouble) -> Self {
        let network = Lossy::new(seed, trouble);
        Self { world: World::new(), network, trouble, arrived: BTreeMap::new() }
    }

    fn put(&mut self, from: SocketAddr, to: Option<SocketAddr>, text: &str) {
        self.network.put(self.world.millis, from, to, &text.into());
    }

    fn put_all(&mut self, sent: Sent) {
        assert!(self.world.rooms.table.are_counted_right());
        let server = peer(0);
        for (to, text) in sent.0 {
            self.put(server, Some(to), &text);
        }
    }

    /// One millisecond.
    fn step(&mut self) {
        let sent = self.world.pass(Duration::from_millis(1));
        self.put_all(sent);
        while let Some(Packet { from, to, data }) = self.network.take(self.world.millis) {
            match to {
                Some(to) => self.arrived.entry(to).or_default().push_back(data),
                None => {
                    let sent = self.world.send(from, data.as_bytes());
                    self.put_all(sent);
                }
            }
        }
    }

    /// Sends a request every half second until an answer with this beginning has come.
    fn request(&mut self, from: SocketAddr, text: &str, want: &str) -> String {
        for _ in 0..60 {
            self.put(from, None, text);
            for _ in 0..500 {
                self.step();
                if let Some(found) = self.take(from, want) {
                    return found;
                }
            }
        }
        panic!("no {want} for {text}; {:?} {:?}", self.arrived.get(&from), self.trouble);
    }

    /// A message that has come and begins like that.
    fn take(&mut self, whom: SocketAddr, want: &str) -> Option<String> {
        let arrived = self.arrived.get_mut(&whom)?;
        let at = arrived.iter().position(|text| text.starts_with(want))?;
        arrived.remove(at)
    }

    /// Waits for a notification, and makes the client ask again if none comes.
    fn told(&mut self, whom: SocketAddr, want: &str) -> Option<String> {
        (0..2500).find_map(|_| {
            self.step();
            self.take(whom, want)
        })
    }

    fn forget(&mut self) {
        for _ in 0..self.trouble.delay + 1600 {
            self.step();
        }
        self.arrived.clear();
    }
}

/// The field of a message.
fn field(text: &str, n: usize) -> String {
    text.split(':').nth(n).unwrap().to_string()
}

/// A whole game: host, join, punch, rename, move, kick, leave, close. Returns how much the host and
/// the clients were told.
fn play(seed: u8, trouble: Trouble) {
    let mut net = Net::new(seed, trouble);
    let (host, one, two, moved) = (peer(1), peer(2), peer(3), peer(4));
    let room = field(&net.request(host, "rh:Game", "rh:"), 1);
    let own = net.request(host, "rh:Game", "rID:");
    net.forget();
    net.request(host, &format!("rc:{}:{}", field(&own, 1), field(&own, 2)), "rID:");
    let join = format!("jr:{room}");
    let mut clients = Vec::new();
    for at in [one, two] {
        let id = field(&net.request(at, &join, "jr:"), 2);
        let own = net.request(at, &join, "rID:");
        assert_eq!(field(&own, 1), id, "the same place whatever happened");
        let comes = format!("cj:{id}:{}:40000", at.ip());
        while net.told(host, &comes).is_none() {
            net.request(at, &join, "jr:");
        }
        net.request(host, &format!("pc:{id}:ok"), "pc:");
        net.request(at, &format!("pc:{id}:ok"), "pc:");
        clients.push((id, field(&own, 2)));
    }
    let listed = net.request(peer(9), "rl", "rl:");
    assert_eq!(listed, format!("rl:{room},Game,open,3"), "{trouble:?}");
    net.request(host, "rn:Renamed", "rn:Renamed");
    net.forget();
    net.request(moved, &format!("rc:{}:{}", clients[0].0, clients[0].1), "jr:");
    net.request(host, &format!("kc:id:{}", clients[1].0), "kc:id:");
    net.forget();
    assert_eq!(net.request(two, &join, "er:"), "er:jr:kicked");
    let listed = net.request(peer(9), "rl", "rl:");
    assert_eq!(listed, format!("rl:{room},Renamed,open,2"), "{trouble:?}");
    assert_eq!(net.request(moved, "lr", "lr:"), format!("lr:{room}"));
    assert_eq!(net.request(host, "cr", "cr:"), format!("cr:{room}"));
    net.forget();
    assert_eq!(net.request(peer(9), "rl", "rl:"), "rl:", "no ghosts: {trouble:?}");
    net.world.pass_secs(31);
    assert!(net.world.rooms.is_empty(), "{trouble:?}: {:?}", net.world.rooms);
}

/// What it is told is asked for again if it does not come.
fn told_or_again(net: &mut Net, whom: SocketAddr, want: &str, again: (SocketAddr, &str)) {
    for _ in 0..60 {
        if net.told(whom, want).is_some() {
            return;
        }
        net.request(again.0, again.1, "jr:");
        // Or the host would be taken to be gone.
        (1..=5).for_each(|n| net.put(peer(n), None, "ka"));
    }
    panic!("{whom} is not told {want}");
}

/// A room behind a code and a password, in which all meet, one moves, and the host leaves.
fn play_lobby(seed: u8, trouble: Trouble) {
    let mut net = Net::new(seed, trouble);
    let (host, moved) = (peer(1), peer(5));
    let clients = [peer(2), peer(3), peer(4)];
    let open = "rh:Lobby:private:password=p:migrate:mesh:game=G:max=4";
    let answer = net.request(host, open, "rh:");
    let (room, code) = (field(&answer, 1), field(&answer, 2));
    let own = net.request(host, open, "rID:");
    let host_key = field(&own, 2);
    net.request(host, &format!("ka:{host_key}"), "ka");
    let join = format!("jr:{code}:password=p:game=G");
    let mut keys = Vec::new();
    let mut met = Vec::<(SocketAddr, String)>::new();
    for at in clients {
        assert_eq!(
            net.request(at, &format!("jr:{code}:game=G:password=q"), "er:jr:"),
            "er:jr:badkey"
        );
        let id = field(&net.request(at, &join, "jr:"), 2);
        let own = net.request(at, &join, "rID:");
        assert_eq!(field(&own, 1), id, "the same place whatever happened");
        net.request(at, &format!("ka:{}", field(&own, 2)), "ka");
        for (other, other_id) in &met {
            told_or_again(&mut net, *other, &format!("cj:{id}:"), (at, &join));
            told_or_again(&mut net, at, &format!("cj:{other_id}:"), (at, &join));
        }
        met.push((at, id));
        keys.push(field(&own, 2));
    }
    net.forget();
    assert_eq!(net.request(peer(9), "rl:game=G", "rl:"), "rl:", "{trouble:?}");
    assert_eq!(net.request(peer(9), &join, "er:jr:"), "er:jr:full");
    // The second moves, and the others hear where it is; the new key is in the last answer.
    let [(one, successor), (_, second), (three, _)] = &met[..] else { panic!() };
    net.request(moved, &format!("rc:{second}:{}", keys[1]), "jr:");
    let new = field(&net.request(moved, &format!("rc:{second}:{}", keys[1]), "rID:"), 2);
    net.request(moved, &format!("ka:{new}"), "ka");
    let at = format!("ep:{second}:{}:40000", moved.ip());
    told_or_again(&mut net, *three, &at, (moved, &join));
    // The host goes, and the first that came takes over.
    net.request(host, &format!("lr:{host_key}"), "lr:");
    net.forget();
    let place = net.request(*one, &format!("rc:{successor}:{}", keys[0]), "rh:");
    assert_eq!(place, format!("rh:{room}:{code}"), "{trouble:?}");
    for client in [moved, *three] {
        let place = net.request(client, &join, "jr:");
        assert!(place.ends_with(&format!(":{}:40000", one.ip())), "{place}");
    }
    net.request(*one, &format!("cr:{}", keys[0]), "cr:");
    net.forget();
    assert_eq!(net.request(peer(9), &join, "er:jr:"), "er:jr:noroom");
    net.world.pass_secs(31);
    assert!(net.world.rooms.is_empty(), "{trouble:?}: {:?}", net.world.rooms);
}

/// As many as a mesh may have come in, and all are told of all.
fn play_mesh(seed: u8, trouble: Trouble) {
    let mut net = Net::new(seed, trouble);
    let players: Vec<SocketAddr> = (0..limits::MESH_PLAYERS).map(|n| peer(n as u16 + 1)).collect();
    let mut told = BTreeMap::new();
    let (mut room, mut ids) = (String::new(), Vec::new());
    for (n, at) in players.iter().enumerate() {
        let request = if n == 0 { "rh:Mesh:mesh".into() } else { format!("jr:{room}") };
        let place = net.request(*at, &request, if n == 0 { "rh:" } else { "jr:" });
        let own = net.request(*at, &request, "rID:");
        let (id, key) = (field(&own, 1), field(&own, 2));
        room = field(&place, 1);
        net.request(*at, &format!("ka:{key}"), "ka");
        ids.push(id);
        // The others show that they are there, and so does it, by asking again.
        for _ in 0..2 {
            players[..n].iter().for_each(|other| net.put(*other, None, "ka"));
            (0..500).for_each(|_| net.step());
        }
    }
    for _ in 0..120 {
        for (n, at) in players.iter().enumerate() {
            let heard = net.arrived.remove(at).unwrap_or_default();
            let heard = heard.iter().filter(|text| text.starts_with("cj:"));
            told.entry(n).or_insert_with(BTreeSet::new).extend(heard.map(|text| field(text, 1)));
            let request = if n == 0 { "ka".into() } else { format!("jr:{room}") };
            net.put(*at, None, &request);
        }
        let all = |n: usize| {
            // A client knows the host by the answer to `jr`.
            let others = ids.iter().enumerate().filter(|(other, _)| *other != n && *other != 0);
            others.map(|(_, id)| id.clone()).collect::<BTreeSet<_>>()
        };
        if told.iter().all(|(n, heard)| heard.is_superset(&all(*n))) {
            return;
        }
        (0..1000).for_each(|_| net.step());
    }
    let heard: Vec<usize> = told.values().map(BTreeSet::len).collect();
    panic!("{seed} {trouble:?}: {heard:?}");
}

#[test]
fn all_of_a_large_mesh_meet_over_any_network() {
    for seed in 0..2 {
        TROUBLES.into_iter().for_each(|trouble| play_mesh(seed, trouble));
    }
}

/// The host is gone without a word, and the one who came first goes on with the room.
fn play_silent_host(seed: u8, trouble: Trouble) {
    let mut net = Net::new(seed, trouble);
    let (host, clients) = (peer(1), [peer(2), peer(3)]);
    let room = field(&net.request(host, "rh:Room:migrate", "rh:"), 1);
    let own = net.request(host, "rh:Room:migrate", "rID:");
    net.request(host, &format!("ka:{}", field(&own, 2)), "ka");
    let join = format!("jr:{room}");
    let keys = clients.map(|at| {
        net.request(at, &join, "jr:");
        let own = net.request(at, &join, "rID:");
        net.request(at, &format!("ka:{}", field(&own, 2)), "ka");
        (field(&own, 1), field(&own, 2))
    });
    let silence = limits::ROOM_SILENCE.as_secs();
    for _ in 0..silence + 5 {
        for (at, (_, key)) in clients.iter().zip(&keys) {
            net.put(*at, None, &format!("ka:{key}"));
        }
        (0..1000).for_each(|_| net.step());
    }
    net.forget();
    let (id, key) = &keys[0];
    let place = net.request(clients[0], &format!("rc:{id}:{key}"), "rh:");
    assert_eq!(place, format!("rh:{room}"), "{seed} {trouble:?}");
    let place = net.request(clients[1], &join, "jr:");
    assert!(place.ends_with(&format!(":{}:40000", clients[0].ip())), "{place}");
}

#[test]
fn a_room_goes_on_without_its_silent_host_over_any_network() {
    for seed in 0..4 {
        TROUBLES.into_iter().for_each(|trouble| play_silent_host(seed, trouble));
    }
}

#[test]
fn a_lobby_works_over_any_network() {
    for seed in 0..20 {
        TROUBLES.into_iter().for_each(|trouble| play_lobby(seed, trouble));
    }
}

#[test]
fn a_game_is_played_over_any_network() {
    for seed in 0..40 {
        TROUBLES.into_iter().for_each(|trouble| play(seed, trouble));
    }
}

/// Every datagram of a plain game, one after the other: lost, and doubled.
#[test]
fn any_one_datagram_may_be_lost_or_doubled() {
    /// A game that loses or doubles the datagram of this number; `false` if it had not so many.
    fn play_but(number: u64, copies: usize) -> bool {
        let mut world = World::new();
        let (host, client) = (peer(1), peer(2));
        let mut count = 0;
        let mut deliver = |world: &mut World, from, text: &str, to: SocketAddr| {
            let mut inbox = Vec::new();
            let bad = |count: &mut u64| {
                *count += 1;
                if *count - 1 == number { copies } else { 1 }
            };
            let mut sent = Vec::new();
            for _ in 0..bad(&mut count) {
                sent.extend(world.send(from, text.as_bytes()).0);
            }
            for (whom, text) in sent {
                for _ in 0..bad(&mut count) {
                    inbox.push((whom, text.clone()));
                }
            }
            inbox.into_iter().filter(|(whom, _)| *whom == to).map(|(_, text)| text).collect()
        };
        let mut ask = |world: &mut World, from, text: &str, want: usize| -> Vec<String> {
            for _ in 0..3 {
                let mut got: Vec<String> = deliver(world, from, text, from);
                got.sort();
                got.dedup();
                if got.len() >= want {
                    return got;
                }
                world.pass(Duration::from_millis(500));
            }
            panic!("no answer to {text}");
        };
        let place = ask(&mut world, host, "rh:a", 2);
        let room = field(place.iter().find(|text| text.starts_with("rh:")).unwrap(), 1);
        let place = ask(&mut world, client, &format!("jr:{room}"), 2);
        let id = field(place.iter().find(|text| text.starts_with("jr:")).unwrap(), 2);
        ask(&mut world, client, &format!("pc:{id}:ok"), 1);
        ask(&mut world, host, "rn:b", 1);
        assert_eq!(ask(&mut world, peer(9), "rl", 1), [format!("rl:{room},b,open,2")]);
        ask(&mut world, client, "lr", 1);
        ask(&mut world, host, "cr", 1);
        assert_eq!(ask(&mut world, peer(9), "rl", 1), ["rl:"]);
        world.pass_secs(31);
        assert!(world.rooms.is_empty());
        number < count
    }
    for copies in [0, 2, 3] {
        let played = (0..100).take_while(|number| play_but(*number, copies)).count();
        assert!((18..40).contains(&played), "{played} datagrams");
    }
}
