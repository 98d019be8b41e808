//! A flood of everything at once: the memory of the server stays below what its bounds add up to.
#![expect(clippy::expect_used, clippy::panic, reason = "a helper that fails is a test that fails")]

use std::io::Write;
use std::net::{Ipv4Addr, TcpStream, UdpSocket};
use std::path::Path;
use std::time::{Duration, Instant};

use compat_tests::events::{EventClient, Tls};
use compat_tests::folder::Folder;
use compat_tests::gmnet::wire::{self, Protocol};
use compat_tests::gmnet::{Data, Host, HostConfig, Query};
use compat_tests::master::{Master, loopback};
use compat_tests::raw;
use prost::Message as _;
use punchd::dialect::natpunch::message::{Content, Message, RegisterRequest};
use punchd::limits::{self, Limits};
use punchd::net::files;

/// Patience: a debug build writes a lobby of a megabyte in a tenth of a second.
const WAIT: Duration = Duration::from_secs(60);

/// Connections that the server allows.
const CONNECTIONS: usize = 2000;

/// Hosts in the lobby, and what each says of itself in each of its strings, of which two are
/// listed: a lobby of 1.3 MB.
const LISTED: usize = 160;
const STRING: usize = 4096;

/// Hosts that are not in the lobby, with as long data as they can send: four times what is kept of
/// all hosts together at the most.
const UNLISTED: usize = 1000;

/// Viewers who never read, and how often each asks: six times what may be unread.
const VIEWERS: usize = 16;
const QUESTIONS: usize = 5;

/// Clients whose UDP packet never comes, and who send ahead.
const WAITING: usize = 400;

/// Peers that stop in the middle of a long command, and as many in the middle of a long event:
/// four times what may be unfinished.
const STOPPED: usize = 1000;

/// Peers that stop in the middle of a TLS client hello of 64 kB: four times what may be unfinished.
const HELLOS: usize = 1000;

/// What the first peer with TLS takes, with the code that it has read.
const FIRST_ENCRYPTED: usize = 2 << 20;

/// Peers that are logged in through TLS and silent, and the memory that each may take.
const ENCRYPTED: usize = 1000;
const TLS_PEER: usize = 5 * 1024;

/// Addresses that each show a port, and those of them that want a room and register for punching.
const ADDRESSES: usize = limits::PORTS + limits::PORTS / 16;
const PEERS: usize = 2 * limits::ROOM_PEERS;

/// Addresses whose hosts say all that they may of all rooms that they may have: more than there is space for.
const TALKERS: u8 = 132;

/// Connections that say all that they may of a room of events.
const EVENTS_ROOMS: usize = 300;

/// What is kept of a room, its host, and what every host may say of it.
const ROOM: usize = 4096;

/// The server, how much memory it took before the last check, and the most it ever took.
struct Watched {
    master: Master,
    pid: u32,
    before: usize,
    most: usize,
}

impl Watched {
    fn start(more: &[&str]) -> Self {
        let connections = CONNECTIONS.to_string();
        let options = ["--max-connections", &connections, "--max-datagrams", "0"];
        let master = Master::start(&[&options, more].concat());
        let pid = master.pid().expect("an own server");
        Self { before: raw::memory(pid, "VmRSS"), most: 0, pid, master }
    }

    fn open(&self, count: usize) -> Vec<TcpStream> {
        (0..count).map(|_| raw::connect_narrow(self.master.addr(), loopback())).collect()
    }

    /// Waits until the server has nothing to do any more.
    fn settle(&self) {
        let deadline = Instant::now() + WAIT;
        let mut before = raw::processor_time(self.pid);
        loop {
            std::thread::sleep(Duration::from_millis(200));
            let now = raw::processor_time(self.pid);
            if now == before || Instant::now() > deadline {
                break;
            }
            before = now;
        }
    }

    /// What has come since the last time must not take more memory than this.
    fn check(&mut self, what: &str, bound: usize) {
        self.settle();
        // The most there was, so nothing that came and went is missed.
        let most = raw::memory(self.pid, "VmHWM");
        let taken = most.saturating_sub(self.before);
        eprintln!("memory: {what} {:.1} MiB of {:.1}", megabytes(taken), megabytes(bound));
        assert!(taken <= bound, "{what}: {taken} bytes, the bound is {bound}");
        self.begin_anew();
    }

    /// The same of the first of its kind: it has code read from the disk, as much around it as the system likes, which
    /// is not counted.
    fn check_first(&mut self, what: &str, bound: usize, before: usize) {
        self.settle();
        let taken = self.anonymous().saturating_sub(before);
        eprintln!("memory: {what} {:.1} MiB of {:.1}", megabytes(taken), megabytes(bound));
        assert!(taken <= bound, "{what}: {taken} bytes, the bound is {bound}");
        self.begin_anew();
    }

    /// What is in no file.
    fn anonymous(&self) -> usize {
        raw::memory(self.pid, "RssAnon")
    }

    /// What there is now is taken for granted.
    fn begin_anew(&mut self) {
        self.most = self.most.max(raw::memory(self.pid, "VmHWM"));
        self.before = raw::memory(self.pid, "VmRSS");
        // From now on, VmHWM is the most since now (proc(5)).
        std::fs::write(format!("/proc/{}/clear_refs", self.pid), "5").expect("an own process");
    }
}

fn megabytes(bytes: usize) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

fn registration(data1: &str, length: usize) -> Vec<u8> {
    let rest = "x".repeat(length);
    let data: Data = std::array::from_fn(|n| if n == 0 { data1.into() } else { rest.clone() });
    wire::register(Protocol::Modern, wire::CLIENT_VERSION, &data)
}

/// Sends to all of them what can be sent, until nothing more goes out for a while: the server may hang up on the way,
/// and need not read all.
fn send_some(streams: &[TcpStream], bytes: &[u8]) {
    let mut sent = vec![0; streams.len()];
    let deadline = Instant::now() + WAIT;
    let mut rounds_without = 0;
    while rounds_without < 20 && Instant::now() < deadline {
        let before: usize = sent.iter().sum();
        for (mut stream, sent) in streams.iter().zip(&mut sent) {
            stream.set_nonblocking(true).expect("an option");
            *sent += stream.write(&bytes[*sent..]).unwrap_or(0);
        }
        rounds_without = if sent.iter().sum::<usize>() > before { 0 } else { rounds_without + 1 };
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Own data of a room, each pair as long as one may be.
fn pairs(which: std::ops::Range<u8>) -> String {
    which.map(|n| format!(":d.{n:02}={}", "x".repeat(limits::ROOM_DATA_BYTES - 3))).collect()
}

/// Asks until an answer begins with one of these.
fn ask(socket: &UdpSocket, request: &str, answers: &[&str]) -> String {
    let deadline = Instant::now() + WAIT;
    let mut buffer = [0; 1500];
    while Instant::now() < deadline {
        socket.send(request.as_bytes()).expect("sending");
        while let Ok(length) = socket.recv(&mut buffer) {
            let text = String::from_utf8_lossy(&buffer[..length]);
            if answers.iter().any(|answer| text.starts_with(answer)) {
                return text.into_owned();
            }
        }
    }
    panic!("no answer to {request}");
}

/// Rooms whose hosts, each address alone in its /24, say all that they may of them, until there is no space for more. How many there are, and
/// of how many not all could be said.
fn fill_rooms(master: &Master) -> (usize, usize) {
    let (mut rooms, mut refused) = (0, 0);
    for n in 0..TALKERS {
        for _ in 0..limits::Limits::default().hosts_per_address {
            let socket = raw::udp(Ipv4Addr::new(127, 3, n, 3).into());
            socket.connect(master.addr()).expect("an address");
            socket.set_read_timeout(Some(Duration::from_millis(500))).expect("an option");
            let lan = ":lan=192.168.100.100%3A40000:lan=192.168.100.101%3A40000";
            let open =
                format!("rh:{}:password={}{lan}{}", "n".repeat(64), "p".repeat(64), pairs(0..3));
            let own = ask(&socket, &open, &["rID:"]).replacen("rID", "rc", 1);
            ask(&socket, &own, &["rID:"]);
            let key = own.rsplit(':').next().expect("a key");
            rooms += 1;
            for part in [3..9, 9..16] {
                let said = ask(&socket, &format!("rs{}:{key}", pairs(part)), &["rs:", "er:rs:"]);
                refused += usize::from(said == "er:rs:limit");
            }
        }
    }
    (rooms, refused)
}

/// Rooms of events of which as much is said, 30 of each address.
fn fill_events(master: &Master) -> Vec<TcpStream> {
    let data: Vec<String> = (10..42).map(|n| format!("\"{n}\":\"{}\"", "x".repeat(23))).collect();
    let (name, password, data) = ("n".repeat(64), "p".repeat(64), data.join(","));
    let create = format!(
        r#"{{"type":"request","name":"create_room","request_id":2,"data":{{"name":"{name}","password":"{password}","data":{{{data}}}}}}}"#
    );
    let of = |n: usize| {
        let peer =
            raw::connect_narrow(master.addr(), Ipv4Addr::new(127, 4, (n / 30) as u8, 4).into());
        let login = format!(
            r#"{{"type":"request","name":"login","request_id":1,"data":{{"id":"{n:064}","game":"{name}"}}}}"#
        );
        assert!(raw::asks(&peer, login.as_bytes(), b'\n', WAIT), "logged in");
        assert!(raw::asks(&peer, create.as_bytes(), b'\n', WAIT), "a room");
        peer
    };
    let peers = (0..EVENTS_ROOMS).map(of).collect();
    let mut viewer = EventClient::connect(master.addr(), None).expect("in");
    viewer.login("viewer", &name).expect("logged in");
    let list = viewer.request(None, "list_rooms", serde_json::json!({})).expect("a list");
    assert!(list["more"] == true && list["rooms"][0]["data"]["41"].is_string(), "{list}");
    peers
}

/// More of everything that datagrams bring than is remembered, each from an address of its own,
/// which costs the most.
fn flood_datagrams(master: &Master) {
    let register = Content::RegisterRequest(RegisterRequest::default());
    let ports = [wire::udp_register(Protocol::Modern), wire::udp_connect(Protocol::Modern)];
    // All that is told of a room before its host has shown its key.
    let room = format!("rh:{}:password={}{}", "n".repeat(64), "p".repeat(64), pairs(0..3));
    let others = [room.into_bytes(), Message { content: Some(register) }.encode_to_vec()];
    for n in 0..ADDRESSES {
        let socket = raw::udp(Ipv4Addr::from(0x7F80_0000 + n as u32).into());
        // One that is lost is one less.
        let _ = socket.send_to(&ports[n % 2], master.addr());
        let others = others.iter().filter(|_| n < PEERS);
        others.for_each(|packet| _ = socket.send_to(packet, master.addr()));
        // The server shall take them, not lose them: its socket may hold a few hundred.
        if n % 64 == 0 {
            let peer = raw::connect(master.addr(), loopback());
            raw::asks(&peer, wire::ASK_VERSION, b'\n', WAIT);
        }
    }
    // Many ports of one address, too.
    for _ in 0..2000 {
        let socket = raw::udp(Ipv4Addr::new(127, 0, 0, 1).into());
        socket.send_to(&ports[0], master.addr()).expect("sending");
    }
}

/// The bound of all memory, where addresses have 64 bits.
fn worst_case(limits: &Limits) -> usize {
    usize::try_from(limits::worst_case(limits)).expect("64 bits")
}

#[test]
fn a_flood_of_everything_stays_below_the_bound() {
    files::make_room(2 * CONNECTIONS, 0).expect("enough open files for this test");
    let limits = Limits { connections: CONNECTIONS, ..Limits::default() };
    let bound = worst_case(&limits);
    let mut server = Watched::start(&[]);
    let at_rest = server.before;
    // What is kept of everybody, with fragments, and with what else is kept of those peers.
    let of_all = limits.total() * 3 / 2 + (8 << 20);

    // First, while nothing is left of others that they could use.
    let (rooms, refused) = fill_rooms(&server.master);
    assert!(refused > 0 && refused < rooms, "{refused} of {rooms}");
    let of_rooms = 2 * limits::ROOM_EXTRAS;
    server.check("rooms with all their data", of_rooms + rooms * ROOM);
    let talking = fill_events(&server.master);
    server.check("rooms of events with all their data", of_rooms + EVENTS_ROOMS * 2 * ROOM);
    drop(talking);

    let mut victim = {
        let config = HostConfig::new(server.master.addr()).on(loopback()).with_data(&["<INV>"]);
        Host::registered(config, WAIT).expect("registering")
    };
    let listed = server.open(LISTED);
    listed.iter().for_each(|s| { s }.write_all(&registration("game", STRING)).expect("sending"));
    let unlisted = server.open(UNLISTED);
    let long = registration("<INV>", limits::COMMAND / 8);
    send_some(&unlisted, &long);
    // Their commands come in pieces.
    server.check("data strings of hosts, and commands that have begun", of_all + limits.total());

    let waiting = server.open(WAITING);
    let connect = wire::connect(Protocol::Modern, victim.local().ip());
    let ahead = [connect, vec![b'x'; limits::AHEAD - 100]].concat();
    send_some(&waiting, &ahead);
    let stopped = server.open(STOPPED);
    send_some(&stopped, &long[..long.len() - 10]);
    server.check("unfinished commands and waiting requests", of_all);
    drop(stopped);
    let stopped = server.open(STOPPED);
    send_some(&stopped, &[b"{\"event\":\"".to_vec(), vec![b'x'; limits::OBJECT - 100]].concat());
    server.check("unfinished events", of_all);

    let viewers = server.open(VIEWERS);
    let lobby = Query::default().request();
    send_some(&viewers, &lobby.repeat(QUESTIONS));
    server.check("unread answers", of_all);

    flood_datagrams(&server.master);
    server.check("all that comes by UDP", bound - 8 * limits.total());
    // And the rest of the room is taken by those who say nothing, and more than there is room for.
    let silent = server.open(CONNECTIONS);
    server.check("silent connections", CONNECTIONS * 2048);

    let most = server.most;
    eprintln!(
        "memory: {:.1} MiB at rest, {:.1} at most; the bound is {:.1}",
        megabytes(at_rest),
        megabytes(most),
        megabytes(bound)
    );
    assert!(most < bound, "{most} bytes, the bound is {bound}");
    // A flood that the server never saw would prove nothing.
    assert!(most > at_rest + (64 << 20), "{most} bytes, {at_rest} at rest");
    victim.confirm(WAIT).expect("still registered");
    drop((listed, unlisted, viewers, waiting, stopped, silent));
    let peer = raw::connect(server.master.addr(), loopback());
    assert!(raw::asks(&peer, wire::ASK_VERSION, b'\n', WAIT), "still there for everybody");
}

/// Starts a server that has a certificate, and tells whom to trust.
fn encrypted() -> (Watched, Folder) {
    let folder = Folder::new();
    let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).expect("a certificate");
    let (certificate, key) = (folder.file("certificate"), folder.file("key"));
    std::fs::write(&certificate, made.cert.pem()).expect("writing");
    std::fs::write(&key, made.signing_key.serialize_pem()).expect("writing");
    (
        Watched::start(&[
            "--tls-cert",
            &certificate,
            "--tls-key",
            &key,
            "--max-commands",
            "0",
            "--max-per-address",
            "2000",
        ]),
        folder,
    )
}

/// A TLS client hello of 64 kB, in records as long as they may be, and not quite complete.
fn endless_hello() -> Vec<u8> {
    let message = [&[1, 0, 0xFF, 0xF0, 3, 3][..], &[0; 60_000]].concat();
    let record = |part: &[u8]| {
        let [high, low] = u16::try_from(part.len()).expect("a record").to_be_bytes();
        [&[22, 3, 1, high, low], part].concat()
    };
    message.chunks(1 << 14).flat_map(record).collect()
}

#[test]
fn what_tls_takes_is_bounded() {
    files::make_room(2 * CONNECTIONS, 0).expect("enough open files for this test");
    let (mut server, folder) = encrypted();
    let limits = Limits { connections: CONNECTIONS, ..Limits::default() };
    // First, while nothing is left of others that they could use.
    let tls = Tls::trusting(Path::new(&folder.file("certificate")), "127.0.0.1").expect("trust");
    let enter = |server: &Watched, n: usize| {
        let mut client = EventClient::connect(server.master.addr(), Some(&tls)).expect("in");
        client.login(&format!("peer {n}"), "chess").expect("logged in");
        client
    };
    let before = server.anonymous();
    let first = enter(&server, ENCRYPTED);
    server.check_first("the first TLS peer", FIRST_ENCRYPTED, before);
    let peers: Vec<EventClient> = (0..ENCRYPTED).map(|n| enter(&server, n)).collect();
    server.check("TLS peers", ENCRYPTED * TLS_PEER);
    drop((first, peers));
    server.settle();
    let hello = endless_hello();
    // As much as may be of a hello, and all of one.
    let half = server.open(HELLOS);
    send_some(&half, &hello[..limits::TLS_HANDSHAKE]);
    let bound = limits.total() + HELLOS * limits::TLS_STATE;
    server.check("half TLS handshakes", bound);
    drop(half);
    let whole = server.open(HELLOS);
    send_some(&whole, &hello);
    server.check("long TLS handshakes", bound);
    drop(whole);
}

/// `most` in MiB, rounded up.
fn mebibytes(most: usize) -> usize {
    most.div_ceil(1 << 20)
}

#[test]
fn the_readme_says_how_much_memory_it_is() {
    let readme = concat!(env!("CARGO_MANIFEST_DIR"), "/../README.md");
    let readme = std::fs::read_to_string(readme).expect("a README").replace('\n', " ");
    let of = |connections| worst_case(&Limits { connections, ..Limits::default() });
    let default = worst_case(&Limits::default());
    for figure in [
        format!("{} MiB ({default} bytes)", mebibytes(default)),
        format!("{} MiB for 1000 connections", mebibytes(of(1000))),
        format!("{} KiB for each", ((of(30_000) - of(20_000)) / 10_000).div_ceil(1024)),
        format!("of the {} MiB", mebibytes(of(CONNECTIONS))),
        format!("(`--relay` adds {} MiB)", limits::relay::WORST_CASE.div_ceil(1 << 20)),
    ] {
        assert!(readme.contains(&figure), "the README does not say: {figure}");
    }
}
