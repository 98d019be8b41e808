//! Players of every dialect, two of whom have met: for what a server shows of them.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use punchd::dialect::rooms::options::Options;
use serde_json::json;

use crate::events::EventClient;
use crate::gmnet::{Host, HostConfig};
use crate::master::{Master, loopback};
use crate::natpunch;
use crate::rooms::{Event, Player, STEP};

const WAIT: Duration = Duration::from_secs(20);

/// A server with a window for its owner, and where that is.
///
/// # Panics
/// If it does not start.
#[must_use]
#[expect(clippy::expect_used, reason = "a fixture fails its test")]
pub fn start_with_window(options: &[&str]) -> (Master, SocketAddr) {
    const LINE: &str = "the owner's window is at http://";
    let master = Master::start(&[&["--http", "127.0.0.1:0"], options].concat());
    master.wait_for_log(LINE);
    let log = master.log();
    let (_, rest) = log.split_once(LINE).expect("the line");
    let at = rest.split('/').next().and_then(|at| at.parse().ok());
    (master, at.expect("an address"))
}

/// They stay as long as this does, but for those of the rooms, who are given some time.
pub struct Company {
    _gmnet: Host,
    _rooms: [Player; 2],
    _events: EventClient,
    _natpunch: natpunch::Client,
}

impl Company {
    /// They come to a server: a host of GMnet with these data strings, a room with this name and two who meet
    /// in it, a room of events, and a client of natpunch.
    ///
    /// # Panics
    /// If the server does not let them.
    #[must_use]
    #[expect(clippy::expect_used, reason = "a fixture fails its test")]
    pub fn come(master: &Master, data: [&str; 2], room: &str) -> Self {
        let config = HostConfig::new(master.addr()).on(loopback()).with_data(&data);
        let gmnet = Host::registered(config, WAIT).expect("registered");
        let player =
            || Player::new(master.addr(), SocketAddr::new(loopback(), 0), WAIT).expect("a player");
        let mut rooms = [player(), player()];
        let own = vec![("map".to_owned(), "tower".to_owned())];
        let options = Options { data: own, ..Options::default() };
        let [host, client] = &mut rooms;
        let place = host.host_with(room, options).expect("a room");
        client.join(place.room).expect("a place");
        get_through(master, &mut rooms);
        let mut events = EventClient::connect(master.addr(), None).expect("connecting");
        events.login_with("ann", "", None).expect("logged in");
        events.make_room(json!({"name": "Arena", "data": {"map": "tower"}})).expect("a room");
        let natpunch = natpunch::Client::register(master.addr(), loopback()).expect("registered");
        Self { _gmnet: gmnet, _rooms: rooms, _events: events, _natpunch: natpunch }
    }
}

/// Lets a host of a room and who has joined it knock until they hear each other, and the server knows.
///
/// # Panics
/// If they do not in time.
#[expect(clippy::expect_used, reason = "a helper that fails is a test that fails")]
pub fn get_through(master: &Master, both: &mut [Player; 2]) {
    let (deadline, mut connected) = (Instant::now() + WAIT, 0);
    while connected < 2 && Instant::now() < deadline {
        for player in &mut *both {
            let events = player.step().expect("a step");
            connected += events.iter().filter(|e| matches!(e, Event::Connected(_))).count();
        }
        std::thread::sleep(STEP);
    }
    master.wait_for_log(" got through to host ");
}
