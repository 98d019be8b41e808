//! Upgrade and roll back: an older punchd hands over to this one, and this one to the older.

use std::net::SocketAddr;
use std::process::Command;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use compat_tests::events::EventClient;
use compat_tests::gmnet::wire::Data;
use compat_tests::gmnet::{Client, ClientConfig};
use compat_tests::line_of_masters::Masters;
use compat_tests::master::{binary, loopback};
use compat_tests::natpunch;
use serde_json::json;

use super::fixtures::{Ends, Host, Load, Program, Rooms, WAIT, answers, next_told, other};
use super::relayed::{self, Pair};

/// Those who are there all the time.
struct Players {
    master: SocketAddr,
    gmnet: Host,
    rooms: Rooms,
    key: String,
    code: String,
    events: [EventClient; 2],
    natpunch: natpunch::Client,
    lobby: String,
}

impl Players {
    fn come(master: SocketAddr) -> Self {
        let data: Data = std::array::from_fn(|n| if n == 0 { "Old".into() } else { String::new() });
        let mut rooms = Rooms::new(master);
        let (_, key) = rooms.enters("rh:Old:private:password=owl:d.map=m1");
        let code = rooms.hears("rh:").split_once(':').unwrap().1.to_owned();
        let mut events = ["ann", "bob"].map(|id| {
            let mut peer = EventClient::connect(master, None).unwrap();
            peer.login(id, "game").unwrap();
            peer
        });
        let room = events[0].make_room(json!({"name": "Old", "data": {"map": 1}})).unwrap();
        events[1].join_room(&room.room).unwrap();
        let mut natpunch = natpunch::Client::register(master, loopback()).unwrap();
        natpunch.create("Old", 4).unwrap();
        while natpunch.lobby().is_none() {
            natpunch.step(WAIT).unwrap();
        }
        let lobby = natpunch.lobby().unwrap().to_owned();
        let gmnet = Host::new(master, &data);
        Self { master, gmnet, rooms, key, code, events, natpunch, lobby }
    }

    /// All of them are used, by somebody new as well. `n` is another number each time.
    fn are_used(&mut self, n: usize) {
        let master = self.master;
        assert!(answers(&self.gmnet.control));
        let new = Client::look_up(ClientConfig::new(master, self.gmnet.at.ip()).on(loopback()));
        assert_eq!(new.unwrap(), Some(self.gmnet.at));
        // It may be asked for its own port before.
        while next_told(&mut self.gmnet.control).port() == master.port() {}

        let name = format!("Room {n}");
        assert_eq!(self.rooms.asks(&format!("rn:{name}:{}", self.key), "rn:"), name);
        let (code, mut new) = (&self.code, Rooms::new(master));
        assert_eq!(new.asks(&format!("jr:{code}:password=cat"), "er:jr:"), "badkey");
        let (id, _) = new.enters(&format!("jr:{code}:password=owl"));
        self.rooms.hears(&format!("cj:{id}:"));

        let [ann, bob] = &mut self.events;
        ann.update_room(json!({"name": name})).unwrap();
        assert_eq!(bob.wait_for("room_updated", WAIT).unwrap().data["name"], json!(name));
        bob.pass(Some("ann"), "n", json!(n)).unwrap();
        assert_eq!(ann.wait_for("n", WAIT).unwrap().data, json!(n));
        let rooms = bob.find_rooms(json!({"filter": {"map": 1}})).unwrap();
        assert_eq!((rooms.len(), rooms[0].players), (1, 2));

        self.natpunch.step(Duration::ZERO).unwrap();
        let mut new = natpunch::Client::register(master, loopback()).unwrap();
        new.list().unwrap();
        let deadline = Instant::now() + WAIT;
        let listed = loop {
            assert!(Instant::now() < deadline, "no list");
            if let Some(natpunch::Event::Lobbies(listed)) = new.step(WAIT).unwrap() {
                break listed;
            }
        };
        assert_eq!(listed.iter().map(|entry| &entry.lobby_id).collect::<Vec<_>>(), [&self.lobby]);
    }
}

/// Without `PUNCHD_OTHER` both are this one, which shows the same of a program that is replaced by itself.
#[test]
fn an_upgrade_and_a_roll_back_lose_nobody() {
    let (program, relay, other) = (Program::new(), loopback(), other());
    program.is(&other);
    let mut command = Command::new(program.path());
    command.args(["--port", "0"]).args(relayed::options(relay));
    // It is none of its options.
    command.env_remove("PUNCHD_OTHER");
    let mut masters = Masters::spawn(command);
    let pair = Pair::meet(masters.addr(), relay);
    let (load, mut players) = (Load::default(), Players::come(masters.addr()));
    std::thread::scope(|scope| {
        let _ends = Ends(&load);
        let playing = scope.spawn(|| pair.play(&load));
        for (n, next) in [binary(), &other, binary(), &other].into_iter().enumerate() {
            players.are_used(n);
            load.wait_for(50);
            program.is(next);
            masters.succeed();
            assert!(!playing.is_finished(), "their packets do not arrive");
        }
        players.are_used(9);
        load.wait_for(50);
        load.is_over.store(true, Ordering::Relaxed);
        playing.join().unwrap();
    });
    let log = masters.end();
    assert!(!log.contains("is lost") && !log.contains("is relayed any more"), "{log}");
}
