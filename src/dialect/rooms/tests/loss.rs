//! A game over a bad network: each datagram may be lost, doubled or late, one way and the other.
//! Peers do what PROTOCOL.md tells them: send again after half a second.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::{Sent, World, peer};

/// In percent.
#[derive(Clone, Copy, Debug)]
struct Trouble {
    loss: u32,
    copies: u32,
    /// Milliseconds.
    delay: u64,
}

/// Something under way.
#[derive(Debug)]
struct Packet {
    from: SocketAddr,
    to: Option<SocketAddr>,
    text: String,
}

struct Net {
    world: World,
    trouble: Trouble,
    random: StdRng,
    under_way: BTreeMap<(u64, u64), Packet>,
    sent: u64,
    arrived: BTreeMap<SocketAddr, VecDeque<String>>,
}

impl Net {
    fn new(seed: u8, trouble: Trouble) -> Self {
        Self {
            world: World::new(),
            trouble,
            random: StdRng::from_seed([seed; 32]),
            under_way: BTreeMap::new(),
            sent: 0,
            arrived: BTreeMap::new(),
        }
    }

    fn happens(&mut self, percent: u32) -> bool {
        self.random.next_u32() % 100 < percent
    }

    /// Puts a packet on its way, or two, or none.
    fn put(&mut self, from: SocketAddr, to: Option<SocketAddr>, text: &str) {
        let copies = 1 + usize::from(self.happens(self.trouble.copies));
        for _ in 0..copies {
            if self.happens(self.trouble.loss) {
                continue;
            }
            let delay = 1 + self.random.next_u64() % (self.trouble.delay + 1);
            self.sent += 1;
            let at = (self.world.millis + delay, self.sent);
            self.under_way.insert(at, Packet { from, to, text: text.into() });
        }
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
        while let Some(entry) = self.under_way.first_entry()
            && entry.key().0 <= self.world.millis
        {
            let packet = entry.remove();
            match packet.to {
                Some(to) => self.arrived.entry(to).or_default().push_back(packet.text),
                None => {
                    let sent = self.world.send(packet.from, packet.text.as_bytes());
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

#[test]
fn a_lobby_works_over_any_network() {
    for seed in 0..20 {
        play_lobby(seed, Trouble { loss: 0, copies: 100, delay: 0 });
        play_lobby(seed, Trouble { loss: 20, copies: 0, delay: 40 });
        play_lobby(seed, Trouble { loss: 20, copies: 30, delay: 300 });
        play_lobby(seed, Trouble { loss: 50, copies: 50, delay: 100 });
    }
}

#[test]
fn a_game_is_played_over_any_network() {
    for seed in 0..40 {
        play(seed, Trouble { loss: 0, copies: 100, delay: 0 });
        play(seed, Trouble { loss: 20, copies: 0, delay: 40 });
        play(seed, Trouble { loss: 20, copies: 30, delay: 300 });
        play(seed, Trouble { loss: 50, copies: 50, delay: 100 });
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
