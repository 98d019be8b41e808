//! What honest players feel while somebody attacks: the slowest answer to a join, and the slowest
//! notice to its host, of forty joins a twentieth of a second apart. The attacker shares the core
//! of the players, so a millisecond or two may be the machine's.

use std::io::{Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use compat_tests::bench::Failure;
use compat_tests::bench::process::Process;
use compat_tests::bench::sockets::{self, address};
use compat_tests::bench::stats::Rounds;
use compat_tests::gmnet::wire::{self, Protocol};

use crate::Bench;
use crate::report::Reach;

const JOINS: usize = 40;
const APART: Duration = Duration::from_millis(50);
/// Who is not told within this time is not told.
const PATIENCE: Duration = Duration::from_secs(6);
/// Kinds of peers, for their addresses.
const HOST: u8 = 11;
const PLAYER: u8 = 12;
const ATTACKER: u8 = 13;

/// Somebody who does one thing after another, so many times a second.
struct Attack {
    name: &'static str,
    per_second: u32,
    act: fn(&mut Attacker, usize),
    /// How many addresses the players have together.
    players: usize,
}

/// What an attacker has.
struct Attacker {
    server: SocketAddr,
    host: Ipv4Addr,
    open: Vec<TcpStream>,
    udp: Option<UdpSocket>,
}

const ATTACKS: [Attack; 11] = [
    Attack { name: "nobody attacks", per_second: 1, act: |_, _| (), players: 1 },
    Attack {
        name: "one address asks for the host 190 times a second",
        per_second: 190,
        act: Attacker::ask_for_host,
        players: JOINS,
    },
    // A host is told of one player in 50 ms, which is as often as these ask; they have to share.
    Attack {
        name: "one address asks for the host 190 times a second, and all players have one other",
        per_second: 190,
        act: Attacker::ask_for_host,
        players: 1,
    },
    Attack {
        name: "one address leaves 200 requests waiting",
        per_second: 100,
        act: |attacker, n| {
            let ask = wire::connect(Protocol::Modern, attacker.host.into());
            attacker.say(address(ATTACKER, 1), n, 200, &ask);
        },
        players: 1,
    },
    Attack {
        name: "16 addresses open connections and ping",
        per_second: 4000,
        act: |attacker, n| attacker.say(address(ATTACKER, 2 + n % 16), n, 4096, b"ping\n\0"),
        players: 1,
    },
    Attack {
        name: "one address registers hosts with long data",
        per_second: 100,
        act: |attacker, n| {
            let mut lines = vec!["reg2", "1.2.4", "Pong"];
            let long = "<".repeat(8000);
            lines.extend([long.as_str(); 7]);
            attacker.say(address(ATTACKER, 20), n, 64, &wire::strings(lines));
        },
        players: 1,
    },
    Attack {
        name: "one address sends 1,400 commands in one segment",
        per_second: 20,
        act: |attacker, n| {
            let lines = ["lobby2", "", "", "", "", "", "", "", "", "data2", "ASC", "20"];
            let many = wire::strings(lines).repeat(1400);
            attacker.say(address(ATTACKER, 21), n, 20, &many);
        },
        players: 1,
    },
    Attack {
        name: "one address asks 200 times in one segment for a game that nobody hosts",
        per_second: 100,
        act: |attacker, n| {
            let lines = ["lobby2", "none", "none", "", "", "", "", "", "", "data2", "ASC", "20"];
            attacker.say(address(ATTACKER, 22), n, 100, &wire::strings(lines).repeat(200));
        },
        players: 1,
    },
    Attack {
        name: "16 addresses list the rooms of events, 200 times in one segment",
        per_second: 100,
        act: |attacker, n| {
            let from = address(ATTACKER, 30 + n % 16);
            let login = format!(
                r#"{{"type":"request","name":"login","request_id":1,"data":{{"id":"{n}"}}}}"#
            );
            let list = r#"{"type":"request","name":"list_rooms","request_id":2}"#;
            // Those that are open are logged in already, which is an error and no more.
            attacker.say(from, n, 64, format!("{login}{}", list.repeat(200)).as_bytes());
        },
        players: 1,
    },
    Attack {
        name: "40 connects a second are forged in the player's name",
        per_second: 40,
        act: |attacker, _| {
            if let Ok(forger) = sockets::udp(address(PLAYER, 0), attacker.server) {
                let _ = forger.send(&wire::udp_connect(Protocol::Modern));
            }
        },
        players: 1,
    },
    Attack {
        name: "5,000 forged datagrams a second in the player's name",
        per_second: 5000,
        act: |attacker, _| {
            if attacker.udp.is_none() {
                attacker.udp = sockets::udp(address(PLAYER, 0), attacker.server).ok();
            }
            // Of no protocol, but GameMaker's.
            let nothing = wire::datagram(b"nil\n");
            attacker.udp.iter().for_each(|udp| _ = udp.send(&nothing));
        },
        players: 1,
    },
];

impl Attacker {
    /// Asks for the host by a new UDP port.
    fn ask_for_host(&mut self, n: usize) {
        let from = address(ATTACKER, 0);
        if let Ok(socket) = sockets::udp(from, self.server) {
            // What is lost of a flood is no loss.
            let _ = socket.send(&wire::udp_connect(Protocol::Modern));
        }
        let ask = wire::connect(Protocol::Modern, self.host.into());
        self.say(from, n, 64, &ask);
    }

    /// Says something on one of so many connections, which are opened one after the other.
    fn say(&mut self, from: Ipv4Addr, n: usize, most: usize, bytes: &[u8]) {
        let place = n % most;
        if self.open.len() <= place {
            let Ok(stream) = sockets::begin_tcp(from, self.server) else { return };
            self.open.push(stream);
        }
        let Some(stream) = self.open.get_mut(place) else { return };
        // Reads what there is, so that it is not closed for not reading.
        while stream.read(&mut [0; 64 * 1024]).is_ok_and(|length| length > 0) {}
        let sent = stream.write_all(bytes);
        let is_gone = sent.is_err_and(|error| {
            !matches!(
                error.kind(),
                std::io::ErrorKind::WouldBlock | std::io::ErrorKind::NotConnected
            )
        });
        if is_gone && let Ok(again) = sockets::begin_tcp(from, self.server) {
            *stream = again;
        }
    }
}

/// An attack that goes on until it is dropped.
struct Running {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Attack {
    fn start(&self, server: SocketAddr, host: Ipv4Addr) -> Running {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let (act, gap) = (self.act, Duration::from_secs(1) / self.per_second);
        let thread = thread::spawn(move || {
            let mut attacker = Attacker { server, host, open: Vec::new(), udp: None };
            let begin = Instant::now();
            for n in (0..).take_while(|_| !stopped.load(Ordering::Relaxed)) {
                let due = begin + gap * u32::try_from(n).unwrap_or(u32::MAX);
                let early = due.saturating_duration_since(Instant::now());
                if !early.is_zero() {
                    thread::sleep(early);
                }
                act(&mut attacker, n);
            }
        });
        Running { stop, thread: Some(thread) }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// What forty joins felt, in milliseconds, and how many of them never reached the host.
#[derive(Default)]
struct Felt {
    answer: f64,
    notice: f64,
    lost: f64,
}

pub(crate) fn attacks(bench: &mut Bench) -> Result<(), Failure> {
    for attack in &ATTACKS {
        let (mut answers, mut notices, mut lost) =
            (Rounds::default(), Rounds::default(), Rounds::default());
        for _ in 0..3 {
            let felt = joins(bench, attack)?;
            answers.add(felt.answer);
            notices.add(felt.notice);
            lost.add(felt.lost);
        }
        let report = &mut bench.report;
        let row = |what: &str| format!("while {}: {what}", attack.name);
        report.tell(&row("slowest answer"), Reach::AtMost(5.0), "ms", &answers);
        report.tell(&row("slowest notice"), Reach::AtMost(1500.0), "ms", &notices);
        report.tell(&row("joins lost of 40"), Reach::AtMost(0.0), "", &lost);
    }
    Ok(())
}

fn joins(bench: &Bench, attack: &Attack) -> Result<Felt, Failure> {
    // As an owner runs it.
    let server = Process::punchd(&bench.punchd, &["-q"])?;
    let host = address(HOST, 0);
    let mut control = register(server.addr(), host)?;
    let running = attack.start(server.addr(), host);
    thread::sleep(Duration::from_millis(500));
    let mut felt = Felt::default();
    let mut asked: Vec<(SocketAddr, Instant)> = Vec::new();
    for n in 0..JOINS {
        let begin = Instant::now();
        let player = address(PLAYER, n % attack.players);
        let udp = sockets::udp(player, server.addr());
        let udp = udp.map_err(Failure::system("open a UDP socket"))?;
        let _ = udp.send(&wire::udp_connect(Protocol::Modern));
        let from = udp.local_addr().map_err(Failure::system("ask for a port"))?;
        match join(server.addr(), player, host) {
            Ok(()) => felt.answer = felt.answer.max(millis(begin.elapsed())),
            Err(_) => felt.lost += 1.0,
        }
        asked.push((from, begin));
        hear(&mut control, &mut asked, &mut felt);
        thread::sleep(APART.saturating_sub(begin.elapsed()));
    }
    let end = Instant::now() + PATIENCE;
    while !asked.is_empty() && Instant::now() < end {
        hear(&mut control, &mut asked, &mut felt);
    }
    felt.lost += asked.len() as f64;
    drop(running);
    Ok(felt)
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

fn register(server: SocketAddr, host: Ipv4Addr) -> Result<TcpStream, Failure> {
    let udp = sockets::udp(host, server).map_err(Failure::system("open a UDP socket"))?;
    let _ = udp.send(&wire::udp_register(Protocol::Modern));
    let stream = sockets::tcp(host, server);
    let mut stream = stream.map_err(Failure::system("connect to the server"))?;
    let lines = ["reg2", "1.2.4", "Pong", "honest", "", "", "", "", "", ""];
    let sent = stream.write_all(&wire::strings(lines));
    sent.map_err(Failure::system("write to the server"))?;
    sockets::wait_for_version(&mut stream)?;
    let waits = stream.set_read_timeout(Some(Duration::from_millis(1)));
    waits.map_err(Failure::system("set a timeout"))?;
    Ok(stream)
}

/// Asks for the host and waits for the answer.
fn join(server: SocketAddr, player: Ipv4Addr, host: Ipv4Addr) -> Result<(), Failure> {
    let stream = sockets::tcp(player, server);
    let mut stream = stream.map_err(Failure::system("connect to the server"))?;
    let ask = wire::connect(Protocol::Modern, host.into());
    stream.write_all(&ask).map_err(Failure::system("ask the server"))?;
    let mut answer = [0; 64];
    let length = stream.read(&mut answer).map_err(Failure::system("read an answer"))?;
    match wire::introduction(answer.get(..length).unwrap_or_default()) {
        Ok(told) if told.endpoint.ip() == IpAddr::V4(host) => Ok(()),
        other => Err(Failure::Wrong(format!("{other:?} for an answer"))),
    }
}

/// Takes what the host is told from the list of those who asked.
fn hear(control: &mut TcpStream, asked: &mut Vec<(SocketAddr, Instant)>, felt: &mut Felt) {
    let mut bytes = [0; 4096];
    while let Ok(length @ 1..) = control.read(&mut bytes) {
        let text = bytes.get(..length).unwrap_or_default();
        for notice in text.split(|byte| *byte == wire::MASTER).filter(|n| !n.is_empty()) {
            let Ok(told) = wire::introduction(&[&[wire::MASTER], notice].concat()) else {
                continue;
            };
            if let Some(n) = asked.iter().position(|(from, _)| *from == told.endpoint) {
                let (_, begin) = asked.swap_remove(n);
                felt.notice = felt.notice.max(millis(begin.elapsed()));
            }
        }
    }
}
