//! PROTOCOL.md says what the server does: its programs run and meet, its bytes are what comes.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails so")]

use std::collections::HashMap;
use std::fmt;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpStream, UdpSocket};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use compat_tests::gmnet::wire;
use compat_tests::master::{Master, loopback};
use compat_tests::running::Running;
use compat_tests::skipped;
use socket2::{Domain, Socket, Type};

/// Longer than any answer takes, even where the server waits for a packet that never comes.
const PATIENCE: Duration = Duration::from_secs(10);

/// How long the two programs may take to meet; they knock at once.
const MEETING: Duration = Duration::from_secs(20);

/// A fenced block of the document: the words behind its kind, and its lines.
struct Block {
    line: usize,
    options: Vec<String>,
    text: String,
}

fn blocks(kind: &str) -> Vec<Block> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../PROTOCOL.md");
    let document = std::fs::read_to_string(path).unwrap();
    let mut all = Vec::new();
    let mut open: Option<(bool, Block)> = None;
    for (n, line) in document.lines().enumerate() {
        match (line.strip_prefix("```"), &mut open) {
            (Some(info), None) => {
                let mut words = info.split_whitespace().map(str::to_string);
                let wanted = words.next().as_deref() == Some(kind);
                let options = words.collect();
                open = Some((wanted, Block { line: n + 2, options, text: String::new() }));
            }
            (Some(_), Some(_)) => {
                all.extend(open.take().filter(|(wanted, _)| *wanted).map(|(_, block)| block));
            }
            (None, Some((_, block))) => {
                block.text.push_str(line);
                block.text.push('\n');
            }
            (None, None) => {}
        }
    }
    assert!(open.is_none(), "a block of PROTOCOL.md has no end");
    all
}

/// Something that happens on one socket, and the line of the document that says so.
#[derive(Debug)]
struct Event {
    line: usize,
    socket: String,
    from_server: bool,
    what: What,
}

#[derive(Debug)]
enum What {
    Message(Vec<Piece>),
    End,
    Silence(Duration),
}

#[derive(Debug)]
enum Piece {
    Bytes(Vec<u8>),
    /// The port of the named socket, in decimal text.
    PortOf(String),
    /// Seconds since 1970, in decimal text.
    Time,
}

/// Reads a `wire` block. Lines that follow each other on one socket and way are one message.
fn events(block: &Block) -> Vec<Event> {
    let mut events: Vec<Event> = Vec::new();
    let mut goes_on = false;
    for (n, text) in block.text.lines().enumerate() {
        let line = block.line + n;
        let text = text.split(';').next().unwrap_or_default().trim();
        if text.is_empty() {
            goes_on = false;
            continue;
        }
        let mut words = text.split_whitespace();
        let (Some(socket), Some(way)) = (words.next(), words.next()) else {
            panic!("PROTOCOL.md:{line}: want SOCKET WAY BYTES")
        };
        let from_server = match way {
            "S>C" => true,
            "C>S" => false,
            _ => panic!("PROTOCOL.md:{line}: {way} is neither S>C nor C>S"),
        };
        let words: Vec<&str> = words.collect();
        let what = match words[..] {
            ["end"] => What::End,
            ["silence", seconds] => {
                What::Silence(Duration::from_secs_f64(seconds.parse().unwrap()))
            }
            _ => What::Message(vec![piece(&words, line)]),
        };
        match (events.last_mut(), what) {
            (
                Some(Event { socket: last, from_server: way, what: What::Message(pieces), .. }),
                What::Message(more),
            ) if goes_on && last == socket && *way == from_server => pieces.extend(more),
            (_, what) => events.push(Event { line, socket: socket.into(), from_server, what }),
        }
        goes_on = true;
    }
    events
}

fn piece(words: &[&str], line: usize) -> Piece {
    if let [first, .., last] = words
        && let Some(name) = first.strip_prefix('<')
    {
        assert!(last.ends_with('>'), "PROTOCOL.md:{line}: a placeholder without end");
        return if name == "time" { Piece::Time } else { Piece::PortOf(name.into()) };
    }
    let byte = |word: &&str| u8::from_str_radix(word, 16);
    let bytes = words.iter().map(byte).collect::<Result<_, _>>();
    Piece::Bytes(bytes.unwrap_or_else(|error| panic!("PROTOCOL.md:{line}: {words:?}: {error}")))
}

/// The sockets of all peers in a block, opened when they are first spoken of.
struct Peers<'a> {
    master: SocketAddr,
    udp: HashMap<&'a str, UdpSocket>,
    tcp: HashMap<&'a str, TcpStream>,
}

impl<'a> Peers<'a> {
    fn udp(&mut self, name: &'a str) -> &UdpSocket {
        self.udp.entry(name).or_insert_with(|| UdpSocket::bind((addr_of(name), 0)).unwrap())
    }

    fn tcp(&mut self, name: &'a str) -> &mut TcpStream {
        let master = self.master;
        self.tcp.entry(name).or_insert_with(|| {
            let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
            socket.bind(&SocketAddr::from((addr_of(name), 0)).into()).unwrap();
            socket.connect(&master.into()).unwrap();
            socket.set_tcp_nodelay(true).unwrap();
            socket.into()
        })
    }

    fn send(&mut self, event: &'a Event, pieces: &[Piece]) {
        let bytes: Vec<u8> = pieces
            .iter()
            .flat_map(|piece| match piece {
                Piece::Bytes(bytes) => bytes.clone(),
                other => panic!("{event}: {other:?} cannot be sent"),
            })
            .collect();
        let master = self.master;
        if event.socket.ends_with(".udp") {
            self.udp(&event.socket).send_to(&bytes, master).unwrap();
        } else {
            self.tcp(&event.socket).write_all(&bytes).unwrap();
        }
    }

    /// What one receive gives, but for the port notice, which may come at any time.
    fn receive(&mut self, event: &'a Event, time: Duration) -> std::io::Result<Vec<u8>> {
        let notice = wire::port_notice(self.master);
        let stream = self.tcp(&event.socket);
        stream.set_read_timeout(Some(time)).unwrap();
        let mut buffer = [0; 4096];
        loop {
            let length = stream.read(&mut buffer)?;
            let mut message = &buffer[..length];
            while let Some(rest) = message.strip_prefix(&notice[..]) {
                message = rest;
            }
            if length == 0 || !message.is_empty() {
                return Ok(message.to_vec());
            }
        }
    }

    /// One receive gives exactly one message.
    fn expect(&mut self, event: &'a Event, pieces: &[Piece]) {
        let message = self.receive(event, PATIENCE).unwrap_or_else(|e| panic!("{event}: {e}"));
        let message = &message[..];
        let mut rest = message;
        for piece in pieces {
            let expected = match piece {
                Piece::Bytes(bytes) => bytes.clone(),
                Piece::PortOf(name) => {
                    let port = self.udp[name.as_str()].local_addr().unwrap().port();
                    port.to_string().into_bytes()
                }
                Piece::Time => recent_time(rest, event),
            };
            let Some(tail) = rest.strip_prefix(&expected[..]) else {
                panic!("{event}: want {}, got {}", expected.escape_ascii(), message.escape_ascii());
            };
            rest = tail;
        }
        assert!(rest.is_empty(), "{event}: {} comes in addition", rest.escape_ascii());
    }

    fn expect_end(&mut self, event: &'a Event) {
        let message = self.receive(event, PATIENCE).unwrap();
        assert!(message.is_empty(), "{event}: {message:x?} instead of the end");
    }

    fn expect_silence(&mut self, event: &'a Event, time: Duration) {
        let read = self.receive(event, time);
        assert!(read.is_err(), "{event}: {read:x?} instead of silence");
    }

    fn play(&mut self, event: &'a Event) {
        match (&event.what, event.from_server) {
            (What::Message(pieces), false) => self.send(event, pieces),
            (What::Message(pieces), true) => self.expect(event, pieces),
            (What::End, false) => self.tcp(&event.socket).shutdown(Shutdown::Both).unwrap(),
            (What::End, true) => self.expect_end(event),
            (What::Silence(time), _) => self.expect_silence(event, *time),
        }
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PROTOCOL.md:{}, {}", self.line, self.socket)
    }
}

/// The address of a peer, as the document tells its reader.
fn addr_of(socket: &str) -> Ipv4Addr {
    let last = match socket.split('.').next() {
        Some("host") => 2,
        Some("client" | "list") => 3,
        Some("guest") => 4,
        _ => panic!("{socket} is no socket of the document"),
    };
    Ipv4Addr::new(127, 0, 0, last)
}

/// The digits in front, if they are a time of the last minute.
fn recent_time(text: &[u8], event: &Event) -> Vec<u8> {
    let digits: Vec<u8> = text.iter().copied().take_while(u8::is_ascii_digit).collect();
    let told: u64 = std::str::from_utf8(&digits).unwrap().parse().unwrap_or_default();
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    assert!((now - 60..=now).contains(&told), "{event}: {told} is no time of the last minute");
    digits
}

fn play(block: &Block) {
    let options: Vec<&str> = block.options.iter().map(String::as_str).collect();
    let master = Master::start(&options);
    let events = events(block);
    let mut peers = Peers { master: master.addr(), udp: HashMap::new(), tcp: HashMap::new() };
    // A port may be told before its socket has sent anything.
    for event in events.iter().filter(|event| event.socket.ends_with(".udp")) {
        peers.udp(&event.socket);
    }
    for event in &events {
        peers.play(event);
    }
}

#[test]
fn the_bytes_are_those_of_the_server() {
    let blocks = blocks("wire");
    assert!(!blocks.is_empty(), "PROTOCOL.md has no bytes");
    std::thread::scope(|scope| {
        for block in &blocks {
            scope.spawn(|| play(block));
        }
    });
}

/// Runs a program of the document.
fn start(script: &std::path::Path, arguments: &[&str]) -> Running {
    let mut command = Command::new("python3");
    command.arg(script).args(arguments).stdin(Stdio::null());
    Running::start(command, MEETING)
}

/// The directory of this test's scripts, removed with it.
struct Scripts(PathBuf);

impl Scripts {
    fn extract(of: &str) -> Self {
        let directory =
            std::env::temp_dir().join(format!("punchd-protocol-{of}-{}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        let scripts = Self(directory);
        let programs = blocks("python");
        assert_eq!(programs.len(), 2, "PROTOCOL.md has a host and a client");
        for (name, block) in ["host.py", "client.py"].iter().zip(programs) {
            std::fs::write(scripts.0.join(name), block.text).unwrap();
        }
        scripts
    }
}

impl Drop for Scripts {
    fn drop(&mut self) {
        // What is left in the temporary directory does no harm.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn has_python() -> bool {
    let recent = "import sys; sys.exit(sys.version_info < (3, 10))";
    let ran = Command::new("python3").args(["-c", recent]).stderr(Stdio::null()).status();
    ran.is_ok_and(|status| status.success())
}

#[test]
fn the_programs_meet() {
    if !has_python() {
        skipped::note("the programs of PROTOCOL.md need Python 3.10 or newer as python3");
        return;
    }
    let master = Master::start(&[]);
    let port = master.addr().port().to_string();
    let scripts = Scripts::extract("meet");
    let data = ["a", "\u{e9}", "", "4", "", "", "", "eight"];
    let arguments = [&["127.0.0.1", port.as_str()], &data[..]].concat();
    let host = start(&scripts.0.join("host.py"), &arguments);
    master.wait_for_log("registered: a");

    let client = scripts.0.join("client.py");
    for _ in 0..2 {
        let mut client = start(&client, &["127.0.0.1", &port, "127.0.0.1"]);
        client.line_with("connected to 127.0.0.1 ");
        assert_eq!(client.line_with("["), "['a', '\u{e9}', '', '4', '', '', '', 'eight']");
        assert!(client.wait().success());
        host.line_with("player 127.0.0.1 ");
    }
    let mut nobody = Command::new("python3");
    nobody.arg(&client).args(["127.0.0.1", &port, "127.0.0.77"]);
    let output = nobody.output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(String::from_utf8_lossy(&output.stderr).trim(), "not found");
}

/// What `punch` does to games that are tested: replies come several at once, behind one that nobody asked for.
#[test]
fn the_programs_skip_what_they_did_not_ask_for() {
    if !has_python() {
        skipped::note("the programs of PROTOCOL.md need Python 3.10 or newer as python3");
        return;
    }
    let scripts = Scripts::extract("skip");
    let punch = |args: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_punch"));
        command.args(args);
        command.stdin(Stdio::null());
        Running::start(command, MEETING)
    };
    let (ip, host) = (loopback().to_string(), loopback().to_string());
    let master = format!("{ip}:6510");
    let common = ["--glue-replies", "--master", &master, "--bind", &host];
    let hosting = punch(&[&["host", "--data1", "a"], &common[..]].concat());
    hosting.line_with("registered");
    let client = start(&scripts.0.join("client.py"), &[&ip, "6510", &host]);
    assert_eq!(client.line_with("["), "['a', '', '', '', '', '', '', '']");

    let ip = loopback().to_string();
    let master = format!("{ip}:6510");
    let common = ["--glue-replies", "--master", &master, "--bind", &host];
    let joining = punch(&[&["join", "127.0.0.1", "--game"], &common[..]].concat());
    joining.line_with("waiting for the host");
    let _host = start(&scripts.0.join("host.py"), &[&ip, "6510", "b"]);
    joining.line_with("data1=b");
    joining.line_with("connect_ms=");
}
