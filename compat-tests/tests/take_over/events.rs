//! Two hundred peers of events with rooms of all kinds, in the middle of what they say to each other.

use std::io::Write as _;
use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use compat_tests::events::{EventClient, Login, Made};
use compat_tests::line_of_masters::Masters;
use compat_tests::master::loopback;
use compat_tests::raw;
use serde_json::{Value, json};
use socket2::SockRef;

use super::fixtures::{WAIT, answer_to, next_event, say_event};

/// How many pairs of a host and a guest there are, with rooms of these kinds in turn.
const PAIRS: usize = 100;

const KINDS: [&str; 5] = ["open", "private", "migrating", "kicking", "locked"];

/// Peers whose connections have broken, and whose places are kept.
const BROKEN: usize = 10;

/// Who hears of changes of the list.
const WATCHERS: usize = 5;

/// All come from one address.
const OPTIONS: [&str; 8] = [
    "--max-per-address",
    "1000",
    "--max-hosts",
    "1000",
    "--max-commands",
    "0",
    "--max-datagrams",
    "0",
];

fn peer(master: SocketAddr, id: &str) -> EventClient {
    let mut peer = EventClient::connect(master, None).unwrap();
    peer.login(id, "g").unwrap();
    peer
}

fn code_of<T: std::fmt::Debug>(result: Result<T, compat_tests::events::EventError>) -> String {
    result.unwrap_err().code().unwrap_or_default().to_owned()
}

/// A host and its guest.
struct Pair {
    kind: &'static str,
    n: usize,
    host: EventClient,
    guest: EventClient,
    /// Where their games are, as the server knows.
    sockets: [UdpSocket; 2],
    made: Made,
    /// What the guest is to answer, and what the host is to confirm.
    owed: Option<[Value; 2]>,
}

impl Pair {
    fn meet(master: SocketAddr, n: usize) -> Self {
        let kind = KINDS[n % KINDS.len()];
        let ids = Self::ids(n);
        let [mut host, mut guest] = ids.clone().map(|id| peer(master, &id));
        let sockets = [(); 2].map(|()| raw::udp(loopback()));
        for (peer, socket) in [&host, &guest].into_iter().zip(&sockets) {
            peer.udp_endpoint(socket, WAIT).unwrap();
        }
        let mut room = json!({"name": format!("Room {n}"), "data": {"map": n}});
        match kind {
            "private" => {
                (room["private"], room["password"]) = (json!(true), json!(format!("owl{n}")));
            }
            "migrating" => room["migrate"] = json!(true),
            "locked" => room["max_players"] = json!(3),
            _ => {}
        }
        let made = host.make_room(room).unwrap();
        guest.join(json!({"room": made.room, "password": format!("owl{n}")})).unwrap();
        guest.introduction(WAIT).unwrap();
        match kind {
            "kicking" => host.kick(&ids[1]).unwrap(),
            "locked" => host.update_room(json!({"locked": true})).unwrap(),
            _ => {}
        }
        Self { kind, n, host, guest, sockets, made, owed: None }
    }

    fn ids(n: usize) -> [String; 2] {
        ["host", "guest"].map(|who| format!("{who}{n}"))
    }

    fn half(&self) -> (String, String) {
        let event =
            json!({"type": "pass", "name": "half", "data": self.n, "dest": Self::ids(self.n)[1]});
        let text = format!("{event}\n");
        let (half, rest) = text.split_at(text.len() / 2);
        (half.to_owned(), rest.to_owned())
    }

    /// They begin to say something to each other.
    fn begin(&mut self) {
        let [host, guest] = Self::ids(self.n);
        let ask = json!({"type": "request", "name": "ask", "dest": guest, "request_id": "a"});
        let tell = json!({"type": "confirm_pass", "name": "tell", "dest": host, "pass_id": "t"});
        say_event(&mut self.host, &ask);
        let asked = next_event(&mut self.guest, "request", Some("ask"));
        say_event(&mut self.guest, &tell);
        let told = next_event(&mut self.host, "confirm_pass", Some("tell"));
        self.owed = Some([asked, told]);
        self.host.send_text(&self.half().0).unwrap();
    }

    /// And they come to an end.
    fn end(&mut self) {
        let [asked, told] = self.owed.take().unwrap();
        self.host.send_text(&self.half().1).unwrap();
        assert_eq!(next_event(&mut self.guest, "pass", Some("half"))["data"], json!(self.n));
        say_event(&mut self.guest, &answer_to(&asked, "yes"));
        let answer = next_event(&mut self.host, "response", Some("ask"));
        assert_eq!((&answer["request_id"], &answer["data"]), (&json!("a"), &json!("yes")));
        say_event(&mut self.host, &json!({"type": "confirm_pass", "pass_id": told["pass_id"]}));
        assert_eq!(next_event(&mut self.guest, "confirm_pass", None)["pass_id"], "t");
    }

    /// All that such rooms promise.
    fn goes_on(mut self, master: SocketAddr) {
        let (n, room) = (self.n, self.made.room.clone());
        let [host_id, guest_id] = Self::ids(n);
        let mut new = peer(master, &format!("new{n}"));
        let socket = raw::udp(loopback());
        new.udp_endpoint(&socket, WAIT).unwrap();
        match self.kind {
            "open" => {
                assert_eq!(code_of(new.quick_join(json!({"map": n + PAIRS}))), "no_such_room");
                let joined = new.quick_join(json!({"map": n})).unwrap();
                assert_eq!((&joined.room, joined.players.len()), (&room, 3));
                // Where the host's game is was known before.
                let introduced = new.introduction(WAIT).unwrap();
                let at = self.sockets[0].local_addr().unwrap();
                assert_eq!((introduced.id, introduced.endpoint), (host_id, at));
            }
            "private" => {
                let code = self.made.code.unwrap();
                assert_eq!(code_of(new.join(json!({"code": code}))), "bad_key");
                let wrong = json!({"code": code, "password": "owl"});
                assert_eq!(code_of(new.join(wrong)), "bad_key");
                let right = json!({"code": code, "password": format!("owl{n}")});
                assert_eq!(new.join(right).unwrap().room, room);
            }
            "migrating" => {
                self.host.leave_room().unwrap();
                let changed = self.guest.wait_for("host_changed", WAIT).unwrap();
                assert_eq!(changed.data, json!({"room": room, "id": guest_id}));
                self.guest.update_room(json!({"name": "Mine"})).unwrap();
                assert_eq!(new.join_room(&room).unwrap().host, guest_id);
            }
            "kicking" => {
                assert_eq!(code_of(self.guest.join_room(&room)), "kicked");
                self.host.let_in(&guest_id).unwrap();
                self.guest.join_room(&room).unwrap();
            }
            _ => {
                assert_eq!(code_of(new.join_room(&room)), "locked");
                self.host.update_room(json!({"locked": false})).unwrap();
                new.join_room(&room).unwrap();
                let mut late = peer(master, &format!("late{n}"));
                assert_eq!(code_of(late.join_room(&room)), "full");
            }
        }
    }
}

/// Its connection breaks, and its place is kept.
struct Broken {
    id: String,
    secret: String,
    room: String,
}

impl Broken {
    fn new(master: SocketAddr, n: usize) -> Self {
        let id = format!("broken{n}");
        let mut peer = EventClient::connect(master, None).unwrap();
        let data = json!({"id": id, "game": "broken", "keep": true});
        let login = peer.request(None, "login", data).unwrap();
        let room = peer.create_room("Kept", 2).unwrap();
        SockRef::from(peer.tcp()).set_linger(Some(Duration::ZERO)).unwrap();
        Self { id, secret: login["secret"].as_str().unwrap().to_owned(), room }
    }

    /// It comes back, and is told what was said to it meanwhile.
    fn comes_back(self, master: SocketAddr) {
        let mut peer = EventClient::connect(master, None).unwrap();
        let login: Login = peer.resume(&self.id, "broken", None, Some(&self.secret)).unwrap();
        assert!(login.resumed && login.room == Some(self.room), "{login:?}");
        assert_eq!(peer.wait_for("meanwhile", WAIT).unwrap().data, json!(1));
        peer.update_room(json!({"name": "still the host"})).unwrap();
    }
}

#[test]
fn peers_go_on_in_the_middle_of_what_they_say() {
    let mut masters = Masters::start(&OPTIONS);
    let master = masters.addr();
    let mut pairs: Vec<Pair> = (0..PAIRS).map(|n| Pair::meet(master, n)).collect();
    let broken: Vec<Broken> = (0..BROKEN).map(|n| Broken::new(master, n)).collect();
    let mut other = EventClient::connect(master, None).unwrap();
    other.login("other", "broken").unwrap();
    broken.iter().for_each(|peer| {
        other.pass(Some(&peer.id), "meanwhile", json!(1)).unwrap();
    });
    let mut watchers: Vec<EventClient> = (0..WATCHERS)
        .map(|n| {
            let mut watcher = peer(master, &format!("watcher{n}"));
            watcher.watch_rooms(json!({"filter": {"map": "new"}})).unwrap();
            watcher
        })
        .collect();
    for round in 0..2 {
        pairs.iter_mut().for_each(Pair::begin);
        masters.succeed();
        pairs.iter_mut().for_each(Pair::end);
        // It changes before the next one takes over, and is told by that.
        let changed = &mut pairs[round * KINDS.len()];
        changed.host.update_room(json!({"data": {"map": "new"}})).unwrap();
        masters.succeed();
        for watcher in &mut watchers {
            let change = watcher.wait_for("rooms_changed", WAIT).unwrap();
            assert_eq!(change.data["rooms"][0]["room"], json!(changed.made.room));
        }
        changed.host.update_room(json!({"data": {"map": changed.n}})).unwrap();
        for watcher in &mut watchers {
            let change = watcher.wait_for("rooms_changed", WAIT).unwrap();
            assert_eq!(change.data["gone"], json!([changed.made.room]));
        }
    }
    other.request(None, "ping", json!({})).unwrap();
    broken.into_iter().for_each(|peer| peer.comes_back(master));
    pairs.into_iter().for_each(|pair| pair.goes_on(master));
    let log = masters.end();
    assert!(!log.contains("is lost"), "{log}");
}

/// A page moves as every peer that is not encrypted, in the middle of a frame as well.
#[test]
fn a_page_goes_on() {
    let mut masters = Masters::start(&[]);
    let mut page = EventClient::connect_web(masters.addr(), None).unwrap();
    page.login("page", "g").unwrap();
    let mut bob = peer(masters.addr(), "bob");
    for n in 0..3 {
        let event = json!({"type": "pass", "name": "hello", "data": n, "dest": "bob"}).to_string();
        // A whole text, of which the mask leaves everything as it is.
        let head = [0x81, 0x80 | u8::try_from(event.len()).unwrap(), 0, 0, 0, 0];
        let frame = [&head[..], event.as_bytes()].concat();
        let (half, rest) = frame.split_at([3, 8, 40][n]);
        page.tcp().write_all(half).unwrap();
        masters.succeed();
        page.tcp().write_all(rest).unwrap();
        assert_eq!(bob.wait_for("hello", WAIT).unwrap().data, json!(n));
        bob.pass(Some("page"), "hello", json!(n)).unwrap();
        assert_eq!(page.wait_for("hello", WAIT).unwrap().data, json!(n));
    }
}

/// Who does not answer has 30 s, whoever serves meanwhile.
pub(crate) fn an_answer_is_waited_for_no_longer_than_before() {
    const TIMEOUT: Duration = Duration::from_secs(30);
    let mut masters = Masters::start(&[]);
    let [mut alice, _bob] = ["alice", "bob"].map(|id| peer(masters.addr(), id));
    let asked = alice.start_request(Some("bob"), "question", json!(1)).unwrap();
    let begun = Instant::now();
    for part in [3, 2] {
        let next = TIMEOUT / part;
        let left = next.saturating_sub(begun.elapsed());
        assert!(alice.answer(asked, left).is_err_and(|error| error.code().is_none()), "{part}");
        masters.succeed();
    }
    let error = alice.answer(asked, TIMEOUT + WAIT).unwrap_err();
    let after = begun.elapsed();
    assert_eq!(error.code(), Some("timeout"), "{error}");
    assert!(after > TIMEOUT - Duration::from_secs(1) && after < TIMEOUT * 3 / 2, "{after:?}");
}

/// Two wait for the other's datagram: who waits is told that none comes, when it would have been told without a new
/// process.
#[test]
fn who_waits_for_a_datagram_is_told_that_none_comes() {
    let mut masters = Masters::start(&[]);
    let [mut host, mut guest] = ["host", "guest"].map(|id| peer(masters.addr(), id));
    let socket = raw::udp(loopback());
    host.udp_endpoint(&socket, WAIT).unwrap();
    let made = host.make_room(json!({"name": "Room"})).unwrap();
    guest.join(json!({"room": made.room})).unwrap();
    masters.succeed();
    let told = host.wait_for("error", WAIT).unwrap();
    assert_eq!(told.data["code"], "no_udp");
    let log = masters.end();
    assert_eq!(log.matches("could not be introduced to").count(), 1, "{log}");
}
