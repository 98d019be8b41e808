//! Two hundred rooms of all kinds, and what their players do in the next process.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use compat_tests::line_of_masters::Masters;

use super::fixtures::{Ends, Load, Rooms, WAIT};

/// How many rooms there are, of [`KINDS`] in turn.
const ROOMS: usize = 200;

const KINDS: [&str; 5] = ["open", "private", "migrating", "kicking", "locked"];

/// Wrong codes and passwords of one address.
const GUESSES: usize = 10;

/// A player in a room.
struct Player {
    socket: Rooms,
    room: String,
    /// Its own ID and its key.
    id: String,
    key: String,
}

impl Player {
    /// Hosts a room with these options. Also returns the code of a private one.
    fn host(master: SocketAddr, options: &str) -> (Self, Option<String>) {
        let mut socket = Rooms::new(master);
        let (id, key) = socket.enters(&format!("rh:{options}"));
        let made = socket.hears("rh:");
        let (room, code) = made.split_once(':').map_or((&*made, None), |(r, code)| (r, Some(code)));
        (Self { room: room.into(), id, key, socket }, code.map(str::to_owned))
    }

    /// Joins by such a request.
    fn join(master: SocketAddr, request: &str) -> Self {
        let mut socket = Rooms::new(master);
        let (id, key) = socket.enters(request);
        let room = socket.hears("jr:").split(':').next().unwrap().to_owned();
        Self { socket, room, id, key }
    }

    /// Asks for something as oneself.
    #[track_caller]
    fn asks(&mut self, request: &str, begin: &str) -> String {
        self.socket.asks(&format!("{request}:{}", self.key), begin)
    }

    fn at(&self) -> SocketAddr {
        self.socket.socket.local_addr().unwrap()
    }
}

/// A room and all who have to do with it.
struct Room {
    kind: &'static str,
    n: usize,
    host: Player,
    code: Option<String>,
    members: Vec<Player>,
    /// Who was kicked.
    outside: Option<Player>,
}

impl Room {
    fn open(master: SocketAddr, n: usize) -> Self {
        let kind = KINDS[n % KINDS.len()];
        let options = match kind {
            "open" => format!("Room {n}:game=G:d.map=m{n}:d.mode=ctf"),
            "private" => format!("Room {n}:private:password=owl{n}:max=4"),
            "migrating" => format!("Room {n}:migrate"),
            "kicking" => format!("Room {n}"),
            _ => format!("Room {n}:max=3:mesh"),
        };
        let (mut host, code) = Player::host(master, &options);
        let join = match kind {
            "open" => format!("jr:{}:game=G", host.room),
            "private" => format!("jr:{}:password=owl{n}", code.as_ref().unwrap()),
            _ => format!("jr:{}", host.room),
        };
        let count = if kind == "migrating" { 2 } else { 1 };
        let members = (0..count).map(|_| Player::join(master, &join)).collect();
        let mut outside = None;
        if kind == "kicking" {
            let kicked = Player::join(master, &join);
            host.asks(&format!("kc:id:{}", kicked.id), "kc:id:");
            outside = Some(kicked);
        } else if kind == "locked" {
            host.asks("rs:locked", "rs:");
        }
        Self { kind, n, host, code, members, outside }
    }

    /// All that such rooms promise.
    fn goes_on(mut self, master: SocketAddr) {
        let (n, mut new) = (self.n, Rooms::new(master));
        let room = self.host.room.clone();
        assert_eq!(self.host.asks("ka", "ka"), "");
        match self.kind {
            "open" => {
                assert_eq!(new.asks(&format!("qj:game=G:d.map=m{n}x"), "er:qj:"), "noroom");
                assert_eq!(Player::join(master, &format!("qj:game=G:d.map=m{n}")).room, room);
            }
            "private" => {
                let code = self.code.unwrap();
                assert_eq!(new.asks(&format!("jr:{code}"), "er:jr:"), "badkey");
                assert_eq!(new.asks(&format!("jr:{code}:password=owl"), "er:jr:"), "badkey");
                let came = Player::join(master, &format!("jr:{code}:password=owl{n}"));
                let at = self.host.socket.hears(&format!("cj:{}:", came.id));
                assert_eq!((came.room, at.replace(':', " ")), (room, came.socket.at_text()));
            }
            "migrating" => {
                let [mut heir, mut other] = <[Player; 2]>::try_from(self.members).ok().unwrap();
                self.host.asks("lr", "lr:");
                assert_eq!(heir.socket.hears("nh:"), heir.id);
                heir.socket.hears(&format!("cj:{}:", other.id));
                let told = other.socket.hears(&format!("nh:{}:", heir.id));
                assert_eq!(told.replace(':', " "), heir.socket.at_text());
                assert_eq!(heir.asks(&format!("rn:Mine {n}"), "rn:"), format!("Mine {n}"));
                assert_eq!(other.socket.hears("rn:Mine "), n.to_string());
            }
            "kicking" => {
                let mut outside = self.outside.unwrap();
                let join = format!("jr:{room}");
                assert_eq!(outside.socket.asks(&join, "er:jr:"), "kicked");
                // Its whole address, as it has shown its key.
                let mut same = Rooms::at(outside.at().ip(), master);
                assert_eq!(same.asks(&join, "er:jr:"), "kicked");
                self.host.asks(&format!("li:id:{}", outside.id), "li:id:");
                assert!(outside.socket.asks(&join, "jr:").starts_with(&room));
            }
            _ => {
                let join = format!("jr:{room}");
                assert_eq!(new.asks(&join, "er:jr:"), "locked");
                self.host.asks("rs:unlocked", "rs:");
                let came = Player::join(master, &join);
                // In a mesh both are told of each other.
                self.members[0].socket.hears(&format!("cj:{}:", came.id));
                assert_eq!(new.asks(&join, "er:jr:"), "full");
            }
        }
    }

    /// Who was in it is in it still, also at another endpoint.
    fn has_its_members(&mut self, master: SocketAddr) {
        for member in &mut self.members {
            let mut moved = Rooms::at(member.at().ip(), master);
            let back = moved.asks(&format!("rc:{}:{}", member.id, member.key), "jr:");
            assert!(back.starts_with(&format!("{}:{}:", self.host.room, member.id)), "{back}");
            let told = self.host.socket.hears(&format!("ep:{}:", member.id));
            assert_eq!(told.replace(':', " "), moved.at_text());
            member.key = moved.hears("rID:").split_once(':').unwrap().1.to_owned();
            member.socket = moved;
            member.asks("ka", "ka");
        }
    }
}

impl Rooms {
    /// Its endpoint, for comparing it with a message.
    fn at_text(&self) -> String {
        self.socket.local_addr().unwrap().to_string().replace(':', " ")
    }
}

#[test]
fn rooms_of_all_kinds_go_on() {
    let mut masters = Masters::start(&[]);
    let master = masters.addr();
    let mut all: Vec<Room> = (0..ROOMS).map(|n| Room::open(master, n)).collect();
    // Some guess, and may guess less afterwards.
    let mut guesser = Rooms::new(master);
    let mut guess = |n: usize| {
        guesser.asks(&format!("jr:BBBBB{}", "BCDFGHJKMNPQ".as_bytes()[n] as char), "er:jr:")
    };
    assert!((0..GUESSES / 2).all(|n| guess(n) == "noroom"));
    let load = Load::default();
    std::thread::scope(|scope| {
        let _ends = Ends(&load);
        // Somebody looks at the list all the time.
        let looking = scope.spawn(|| {
            let mut viewer = Rooms::new(master);
            load.repeat(Duration::from_millis(5), || {
                assert!(viewer.asks("rl:free", "rl:").contains("Room "));
            });
        });
        for part in 0..3 {
            load.wait_for(10);
            // The host is told thrice that somebody comes: here as well as there.
            let room = all.iter_mut().find(|room| room.kind == "kicking").unwrap();
            let came = Player::join(master, &format!("jr:{}", room.host.room));
            room.host.socket.hears(&format!("cj:{}:", came.id));
            masters.succeed();
            room.host.socket.hears(&format!("cj:{}:", came.id));
            room.members.push(came);
            for room in all.iter_mut().filter(|room| room.n % 3 == part) {
                room.has_its_members(master);
            }
        }
        load.wait_for(10);
        load.is_over.store(true, std::sync::atomic::Ordering::Relaxed);
        looking.join().unwrap();
    });
    assert!((GUESSES / 2..GUESSES).all(|n| guess(n) == "noroom"));
    assert_eq!(guess(GUESSES), "limit", "the guesses from before are forgotten");
    all.into_iter().for_each(|room| room.goes_on(master));
    let log = masters.end();
    assert!(!log.contains("is lost"), "{log}");
}

/// A host that is silent is gone when the time is over, and not so long after the last process has come.
pub(crate) fn a_silent_host_of_a_room_is_gone_in_time() {
    const TIMEOUT: Duration = Duration::from_secs(6);
    let seconds = TIMEOUT.as_secs().to_string();
    let mut masters = Masters::start(&["--room-timeout", &seconds]);
    let (host, _) = Player::host(masters.addr(), "Silent");
    let said = Instant::now();
    let mut member = Player::join(masters.addr(), &format!("jr:{}", host.room));
    let mut pauses = [TIMEOUT / 3, TIMEOUT * 2 / 3].into_iter().peekable();
    let ended = loop {
        if member.socket.hears_within("cr:", Duration::from_millis(200)).is_some() {
            break said.elapsed();
        }
        assert!(said.elapsed() < WAIT, "it is never gone");
        member.socket.say(&format!("ka:{}", member.key));
        if pauses.next_if(|pause| said.elapsed() > *pause).is_some() {
            masters.succeed();
        }
    };
    assert_eq!(pauses.next(), None, "gone after {ended:?}");
    let after_the_last = TIMEOUT + TIMEOUT * 2 / 3;
    assert!(ended > TIMEOUT * 9 / 10 && ended < after_the_last, "{ended:?}");
}
