//! Players of a room whose connections break and whose networks change at random moments: each comes back to
//! its place, and gets once and in order what the others have sent meanwhile.

use rand::RngExt as _;
use rand::seq::IndexedRandom as _;

use super::*;

/// A player as its game knows it.
struct Player {
    id: String,
    secret: String,
    /// None: its connection has broken, and it is not back yet.
    conn: Option<ConnId>,
    /// Since when.
    broken: Instant,
    /// How many messages it has sent to each, and the last one that it has got of each.
    sent: BTreeMap<String, u64>,
    got: BTreeMap<String, u64>,
}

struct Game {
    world: World,
    random: StdRng,
    room: Value,
    players: Vec<Player>,
}

impl Game {
    fn new(seed: u8) -> Self {
        let mut game = Self {
            world: World::seeded(seed, Config::default()),
            random: StdRng::from_seed([seed; 32]),
            room: Value::Null,
            players: Vec::new(),
        };
        for n in 0..game.random.random_range(2..6) {
            let conn = game.open();
            let data = json!({"id": format!("p{n}"), "keep": true});
            let answer = game.world.ask(conn, "login", data).unwrap();
            let secret = answer["secret"].as_str().unwrap().to_owned();
            game.players.push(Player {
                id: format!("p{n}"),
                secret,
                conn: Some(conn),
                broken: Instant::default(),
                sent: BTreeMap::new(),
                got: BTreeMap::new(),
            });
            if n == 0 {
                let data = json!({"name": "r", "mesh": seed.is_multiple_of(2)});
                game.room = game.world.ask(conn, "create_room", data).unwrap()["room"].clone();
            } else {
                game.world.ask(conn, "join_room", json!({"room": game.room})).unwrap();
            }
        }
        game.world.heard.clear();
        game
    }

    /// A connection from somewhere.
    fn open(&mut self) -> ConnId {
        let addr = [198, 51, 100, self.random.random_range(1..9)];
        self.world.open_from(addr.into())
    }

    /// One of them sends something to another, who may be away.
    fn pass(&mut self, from: usize) {
        let ids: Vec<String> = self.players.iter().map(|player| player.id.clone()).collect();
        let to = ids.choose(&mut self.random).unwrap().clone();
        let player = &mut self.players[from];
        let Some(conn) = player.conn.filter(|_| player.id != to) else { return };
        let number = player.sent.entry(to.clone()).or_default();
        *number += 1;
        let event = json!({"type": "pass", "name": "n", "data": number, "dest": to});
        self.world.say(conn, event.to_string());
    }

    fn breaks(&mut self, n: usize) {
        let player = &mut self.players[n];
        if let Some(conn) = player.conn.take() {
            player.broken = self.world.now.instant;
            take_in(&mut self.world, player, conn);
            self.world.gone(conn);
        }
    }

    /// It comes back by another connection, whether the server has seen the old one end or not.
    fn comes_back(&mut self, n: usize) {
        let conn = self.open();
        let player = &mut self.players[n];
        if let Some(old) = player.conn {
            take_in(&mut self.world, player, old);
        }
        let data = json!({"id": player.id, "secret": player.secret, "keep": true});
        let login = json!({"type": "request", "name": "login", "data": data, "request_id": 1});
        self.world.say(conn, login.to_string());
        let heard = self.world.lines(conn);
        let answer: Value = serde_json::from_str(&heard[0]).unwrap();
        let place = &answer["data"];
        assert_eq!((&place["resumed"], &place["room"]), (&json!(true), &self.room), "{answer}");
        assert_eq!(place["host"], "p0");
        player.conn = Some(conn);
        count(player, &heard[1..]);
        let ids: Vec<&str> = self.players.iter().map(|player| &*player.id).collect();
        assert_eq!(place["players"], json!(ids), "nobody has been missed");
    }

    fn step(&mut self) {
        let n = self.random.random_range(0..self.players.len());
        match self.random.random_range(0..10) {
            0 => self.breaks(n),
            1 => self.comes_back(n),
            2 => self.world.wait(Duration::from_millis(self.random.random_range(0..3000))),
            _ => self.pass(n),
        }
        // Nobody stays away for so long that its place is given up, or is owed too much.
        let late = self.world.now.instant.before(limits::BROKEN_WAIT / 2);
        for n in 0..self.players.len() {
            let player = &self.players[n];
            let owed: u64 = self.players.iter().filter_map(|p| p.sent.get(&player.id)).sum();
            let got: u64 = player.got.values().sum();
            if player.conn.is_none() && (player.broken < late || owed - got > 50) {
                self.comes_back(n);
            }
        }
    }

    fn play(mut self) {
        for _ in 0..300 {
            self.step();
        }
        (0..self.players.len()).for_each(|n| self.comes_back(n));
        for to in &self.players {
            for from in self.players.iter().filter(|from| from.sent.contains_key(&to.id)) {
                assert_eq!(
                    to.got.get(&from.id),
                    from.sent.get(&to.id),
                    "of {} to {}",
                    from.id,
                    to.id
                );
            }
        }
        for player in self.players {
            let conn = player.conn.unwrap();
            self.world.act(|events, cx| events.on_fin(cx, conn));
            if !self.world.closed.contains(&conn) {
                self.world.gone(conn);
            }
        }
        self.world.wait(limits::BROKEN_WAIT);
        assert!(self.world.events.is_empty(), "nothing is left of anybody");
    }
}

/// What has come by a connection before it broke.
fn take_in(world: &mut World, player: &mut Player, conn: ConnId) {
    let lines = world.lines(conn);
    count(player, &lines);
}

/// Each message comes once, and in order.
fn count(player: &mut Player, lines: &[String]) {
    for line in lines {
        let event: Value = serde_json::from_str(line).unwrap();
        match event["name"].as_str().unwrap() {
            "n" => {
                let got = player.got.entry(event["from"].as_str().unwrap().into()).or_default();
                *got += 1;
                assert_eq!(event["data"], json!(got), "{event}");
            }
            "player_joined" | "self_joined" | "error" => {}
            other => panic!("{other}: {event}"),
        }
    }
}

#[test]
fn who_roams_misses_nothing_and_is_not_missed() {
    (0..60).for_each(|seed| Game::new(seed).play());
}
