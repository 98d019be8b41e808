//! Players and servers of these tests.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use compat_tests::events::EventClient;
use compat_tests::folder::Folder;
use compat_tests::gmnet::wire::{self, Data, Protocol};
use compat_tests::master::{Master, binary, loopback};
use compat_tests::raw;
use serde_json::{Value, json};
use socket2::SockRef;

/// Patience with a busy machine.
pub(crate) const WAIT: Duration = Duration::from_secs(20);

/// Packets a second of those who send many. A busy machine may let nobody run for a while, and the kernel keeps some two
/// hundred for a socket of the relay. Others are tried by `PUNCH_PACKETS=1000`.
const PACKETS: usize = 250;

/// A number that can be told by the environment.
pub(crate) fn wanted(name: &str, usual: usize) -> usize {
    std::env::var(name).ok().and_then(|number| number.parse().ok()).unwrap_or(usual)
}

/// Time between two packets of one who sends many.
pub(crate) fn gap() -> Duration {
    Duration::from_secs(1) / u32::try_from(wanted("PUNCH_PACKETS", PACKETS)).unwrap()
}

/// Has the kernel keep more for this socket, as the thread that reads it may have to wait.
pub(crate) fn is_read_late(socket: &UdpSocket) {
    SockRef::from(socket).set_recv_buffer_size(4 << 20).unwrap();
}

/// A host of GMnet that registers once and for all.
pub(crate) struct Host {
    pub(crate) at: SocketAddr,
    pub(crate) game: UdpSocket,
    pub(crate) control: TcpStream,
}

impl Host {
    pub(crate) fn new(master: SocketAddr, data: &Data) -> Self {
        let ip = loopback();
        let game = raw::udp(ip);
        game.send_to(&wire::udp_register(Protocol::Modern), master).unwrap();
        let mut control = raw::connect(master, ip);
        control.write_all(&wire::register(Protocol::Modern, wire::CLIENT_VERSION, data)).unwrap();
        assert!(raw::asks(&control, wire::ASK_VERSION, b'\n', WAIT), "it is not registered");
        Self { at: game.local_addr().unwrap(), game, control }
    }

    /// Who it was told of, and how often, before this one, who has asked for it last. What it is told of this address,
    /// which is that of the relay, or of its own port, does not count.
    pub(crate) fn told_before(
        &mut self,
        last: SocketAddr,
        relay: IpAddr,
        by: SocketAddr,
    ) -> BTreeMap<SocketAddr, usize> {
        self.control.set_read_timeout(Some(WAIT)).unwrap();
        let mut told = BTreeMap::new();
        loop {
            let at = next_told(&mut self.control);
            if at == last {
                return told;
            }
            if at.ip() != relay && at.port() != by.port() {
                *told.entry(at).or_default() += 1;
            }
        }
    }
}

/// Where one is told that somebody is, next.
#[track_caller]
pub(crate) fn next_told(control: &mut TcpStream) -> SocketAddr {
    let (mut notice, mut byte) = (Vec::new(), [0]);
    while notice.iter().filter(|byte| **byte == 0).count() < 2 {
        control.read_exact(&mut byte).unwrap();
        notice.push(byte[0]);
        assert_eq!(notice[0], 0xff, "nobody is there");
    }
    let text = std::str::from_utf8(&notice[1..]).unwrap();
    let (ip, port) = text.trim_end_matches('\0').split_once('\0').unwrap();
    SocketAddr::new(ip.parse().unwrap(), port.parse().unwrap())
}

/// What players do all the time, and how often they have.
#[derive(Default)]
pub(crate) struct Load {
    pub(crate) is_over: AtomicBool,
    done: AtomicUsize,
}

impl Load {
    /// Does this again and again until all is over.
    pub(crate) fn repeat(&self, pause: Duration, mut act: impl FnMut()) {
        while !self.is_over.load(Ordering::Relaxed) {
            act();
            self.done.fetch_add(1, Ordering::Relaxed);
            std::thread::sleep(pause);
        }
    }

    /// Waits until as much more has been done.
    pub(crate) fn wait_for(&self, more: usize) {
        let (before, deadline) = (self.done.load(Ordering::Relaxed), Instant::now() + WAIT);
        while self.done.load(Ordering::Relaxed) < before + more {
            assert!(Instant::now() < deadline, "nobody does anything any more");
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

/// Also ends the load when the test fails.
pub(crate) struct Ends<'a>(pub(crate) &'a Load);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        self.0.is_over.store(true, Ordering::Relaxed);
    }
}

/// A server that runs a program of the test's own choice, and later others in its place.
pub(crate) struct Program {
    folder: Folder,
}

impl Program {
    pub(crate) fn new() -> Self {
        let program = Self { folder: Folder::new() };
        program.is_punchd();
        program
    }

    pub(crate) fn path(&self) -> String {
        self.folder.file("punchd")
    }

    /// Puts this in its place. Not by this process: a file cannot be run that any thread has just written, as long
    /// as another one has begun to start something.
    fn put(&self, how: &str, from: &Path) {
        let script = format!("{how} && chmod +x \"$0.new\" && mv \"$0.new\" \"$0\"");
        let mut command = Command::new("sh");
        let done = command.args(["-c", &script, &self.path()]).arg(from).status().unwrap();
        assert!(done.success());
    }

    pub(crate) fn is_punchd(&self) {
        self.is(binary());
    }

    /// This one is there from now on.
    pub(crate) fn is(&self, program: &Path) {
        self.put("cp \"$1\" \"$0.new\"", program);
    }

    pub(crate) fn is_script(&self, text: &str) {
        self.put(&format!("printf '#!/bin/sh\\n{text}\\n' >\"$0.new\""), binary());
    }
}

/// Another punchd, which hands over to this one or takes over from it: that of `PUNCHD_OTHER=/path/to/punchd`, as built
/// from the previous commit or taken from the latest release, else this one.
pub(crate) fn other() -> PathBuf {
    let other = std::env::var_os("PUNCHD_OTHER").filter(|path| !path.is_empty());
    other.map_or_else(|| binary().to_owned(), PathBuf::from)
}

/// Whether the connection still has somebody at its other end who answers.
pub(crate) fn answers(control: &TcpStream) -> bool {
    raw::asks(control, wire::ASK_VERSION, b'\n', WAIT)
}

/// A player of rooms, as far as its words to the server go.
pub(crate) struct Rooms {
    pub(crate) socket: UdpSocket,
    /// What has come and was not asked for yet.
    heard: Vec<String>,
}

impl Rooms {
    pub(crate) fn new(master: SocketAddr) -> Self {
        Self::at(loopback(), master)
    }

    pub(crate) fn at(ip: IpAddr, master: SocketAddr) -> Self {
        let socket = raw::udp(ip);
        socket.connect(master).unwrap();
        Self { socket, heard: Vec::new() }
    }

    pub(crate) fn say(&self, request: &str) {
        self.socket.send(request.as_bytes()).unwrap();
    }

    /// The rest of the first message that begins like this. It counts as heard then, and others wait.
    #[track_caller]
    pub(crate) fn hears(&mut self, begin: &str) -> String {
        self.hears_within(begin, WAIT).unwrap_or_else(|| panic!("no {begin} in {:?}", self.heard))
    }

    pub(crate) fn hears_within(&mut self, begin: &str, within: Duration) -> Option<String> {
        let deadline = Instant::now() + within;
        let mut looked = 0;
        loop {
            let found = self.heard.iter().skip(looked).position(|text| text.starts_with(begin));
            if let Some(n) = found {
                return Some(self.heard.remove(looked + n)[begin.len()..].to_owned());
            }
            looked = self.heard.len();
            let left = deadline.checked_duration_since(Instant::now()).filter(|l| !l.is_zero())?;
            self.socket.set_read_timeout(Some(left)).unwrap();
            let mut buffer = [0; 2048];
            if let Ok(length) = self.socket.recv(&mut buffer) {
                self.heard.push(String::from_utf8_lossy(&buffer[..length]).into_owned());
            }
        }
    }

    /// Asks for something and returns the rest of the answer, which begins like this.
    #[track_caller]
    pub(crate) fn asks(&mut self, request: &str, begin: &str) -> String {
        self.heard.retain(|text| !text.starts_with(begin));
        self.say(request);
        self.hears(begin)
    }

    /// Hosts or joins a room, and shows its key. Returns its own ID and its key.
    #[track_caller]
    pub(crate) fn enters(&mut self, request: &str) -> (String, String) {
        let own = self.asks(request, "rID:");
        let (id, key) = own.split_once(':').unwrap();
        self.asks(&format!("ka:{key}"), "ka");
        (id.to_owned(), key.to_owned())
    }
}

/// Sends an event as it is.
pub(crate) fn say_event(peer: &mut EventClient, event: &Value) {
    peer.send_text(&format!("{event}\n")).unwrap();
}

/// The next event of this type and name, if it is to have one; nothing is done about it, nor about any before it. A
/// response has the name of its request.
#[track_caller]
pub(crate) fn next_event(peer: &mut EventClient, kind: &str, name: Option<&str>) -> Value {
    let deadline = Instant::now() + WAIT;
    while Instant::now() < deadline {
        let event = peer.receive(WAIT).unwrap().unwrap();
        if event["type"] == kind && event["name"].as_str() == name {
            return event;
        }
    }
    panic!("no {kind} {name:?}");
}

/// What answers a request.
pub(crate) fn answer_to(request: &Value, data: &str) -> Value {
    let (name, id) = (&request["name"], &request["request_id"]);
    json!({"type": "response", "name": name, "data": data, "request_id": id})
}

/// A Binding request of STUN with this transaction ID.
pub(crate) fn binding(number: u64) -> Vec<u8> {
    let head = [0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42, 0, 0, 0, 0];
    [&head[..], &number.to_be_bytes()].concat()
}

/// Whether a datagram is answered.
pub(crate) fn answers_datagrams(at: SocketAddr) -> bool {
    let socket = raw::udp(loopback());
    socket.set_read_timeout(Some(WAIT)).unwrap();
    socket.send_to(&binding(1), at).unwrap();
    socket.recv_from(&mut [0; 256]).is_ok_and(|(_, from)| from == at)
}

/// A server at an address of its own, and where it is asked.
pub(crate) fn at_own_address(options: &[&str]) -> (Master, SocketAddr) {
    let ip = loopback();
    let master = Master::start(&[&["--bind", &ip.to_string()], options].concat());
    let at = SocketAddr::new(ip, master.addr().port());
    (master, at)
}
