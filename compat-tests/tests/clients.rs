//! The minimal clients in other languages, in `clients/`: each plays with the real server, and as host
//! and as client with each of the others. What is not installed is skipped, and said so.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a helper that fails is a test that fails")]

use std::io::{BufRead, BufReader, Read as _};
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use compat_tests::folder::Folder;
use compat_tests::master::{Master, loopback};
use compat_tests::skipped;
use nix::sys::signal::Signal;

/// Longer than any of them waits for anything.
const PATIENCE: Duration = Duration::from_secs(60);

/// So soon hosts are at another server: five seconds, and two for a busy machine.
const BACK: Duration = Duration::from_secs(7);

/// A program that can be started, and the arguments before its own.
#[derive(Clone)]
struct Language {
    name: &'static str,
    program: Vec<String>,
}

fn file(name: &str) -> String {
    let path: PathBuf = [env!("CARGO_MANIFEST_DIR"), "clients", name].iter().collect();
    path.display().to_string()
}

/// Whether a command can be run and ends well. Godot says that it has not when it is asked for help.
fn works(command: &[&str]) -> bool {
    let [program, arguments @ ..] = command else { return false };
    let quiet = || Stdio::null();
    let mut command = Command::new(program);
    command.args(arguments).stdin(quiet()).stdout(quiet()).stderr(quiet());
    let is_help = arguments.last() == Some(&"--help");
    command.status().is_ok_and(|status| status.success() || is_help)
}

/// The first of these that works, as the program for this file; else it is said what is missing.
fn found(
    name: &'static str,
    (clients, file_name): (&str, &str),
    tries: &[(&[&str], &[&str])],
) -> Option<Language> {
    let first = tries.iter().find(|(check, _)| works(check));
    let Some((_, run)) = first else {
        let programs: Vec<_> = tries.iter().map(|(check, _)| check.join(" ")).collect();
        skipped::note(&format!(
            "{clients} in {name}: none of these works here: {}",
            programs.join(", ")
        ));
        return None;
    };
    let program = run.iter().map(|word| (*word).to_owned()).chain([file(file_name)]);
    Some(Language { name, program: program.collect() })
}

/// The languages of rooms that this machine has.
fn languages(folder: &Folder) -> Vec<Language> {
    let lua = |program| (["-e", "require 'socket'"], [program]);
    let luas = ["lua", "luajit", "lua5.4", "lua5.3", "lua5.1"].map(lua);
    let checks: Vec<Vec<&str>> =
        luas.iter().map(|(check, run)| [&run[..], check].concat()).collect();
    let luas: Vec<(&[&str], &[&str])> =
        checks.iter().zip(&luas).map(|(check, (_, run))| (&check[..], &run[..])).collect();
    let all = [
        found("Python", ("rooms", "rooms.py"), &[(&["python3", "--version"], &["python3"])]),
        found("JavaScript", ("rooms", "rooms.js"), &[(&["node", "--version"], &["node"])]),
        found("Lua", ("rooms", "rooms.lua"), &luas),
        found(
            "GDScript",
            ("rooms", "rooms.gd"),
            &[
                (&["godot3-server", "--help"], &["godot3-server", "-s"]),
                (&["godot", "--headless", "--help"], &["godot", "--headless", "-s"]),
            ],
        ),
        compiled(folder),
    ];
    all.into_iter().flatten().collect()
}

/// Those of events as well.
fn all_languages(folder: &Folder) -> Vec<Language> {
    let events =
        [("Python, events", "python3", "events.py"), ("JavaScript, events", "node", "events.js")];
    let events = events.into_iter().filter_map(|(name, program, file)| {
        found(name, ("events", file), &[(&[program, "--version"], &[program])])
    });
    languages(folder).into_iter().chain(events).collect()
}

/// The one in C is a header that has to be translated first.
fn compiled(folder: &Folder) -> Option<Language> {
    let program = folder.file("rooms");
    let flags = ["-std=c99", "-O1", "-Wall", "-Werror=implicit-function-declaration"];
    let source = file("rooms.h");
    let arguments = [&flags[..], &["-x", "c", "-DROOMS_MAIN", "-o", &program, &source]].concat();
    let compiler = ["cc", "gcc", "clang"].into_iter().find(|cc| works(&[cc, "--version"]));
    let Some(compiler) = compiler else {
        skipped::note("rooms in C: there is no cc, gcc or clang");
        return None;
    };
    let output = Command::new(compiler).args(arguments).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Some(Language { name: "C", program: vec![program] })
}

/// A client that runs, and its lines.
struct Running {
    child: Child,
    lines: mpsc::Receiver<String>,
    seen: Vec<String>,
    /// Godot writes a log to where it is started.
    _folder: Folder,
}

impl Running {
    fn start(language: &Language, arguments: &[&str]) -> Self {
        let mut command = Command::new(&language.program[0]);
        command.args(&language.program[1..]).args(arguments);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let folder = Folder::new();
        command.current_dir(folder.file(""));
        let mut child = command.spawn().unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let (send, lines) = mpsc::channel();
        std::thread::spawn(move || {
            stdout.lines().map_while(Result::ok).all(|line| send.send(line).is_ok())
        });
        Self { child, lines, seen: Vec::new(), _folder: folder }
    }

    /// Waits for a line that begins so.
    fn line(&mut self, start: &str, who: &str) {
        while !self.seen.last().is_some_and(|line| line.starts_with(start)) {
            match self.lines.recv_timeout(PATIENCE) {
                Ok(line) => self.seen.push(line),
                Err(_) => {
                    let errors = self.errors();
                    panic!("{who} does not say {start:?}: {:?} {errors}", self.seen);
                }
            }
        }
    }

    fn errors(&mut self) -> String {
        // It may hang: then there is nothing to read before it is gone.
        let _ = self.child.kill();
        let mut text = String::new();
        self.child.stderr.take().unwrap().read_to_string(&mut text).unwrap();
        text
    }

    /// Waits until it ends, which is no success, and returns all that it has said.
    fn end_in_failure(mut self) -> String {
        let deadline = Instant::now() + PATIENCE;
        while self.child.try_wait().unwrap().is_none() && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(20));
        }
        let said = self.errors() + &self.lines.iter().collect::<Vec<_>>().join("\n");
        assert!(!self.child.wait().unwrap().success(), "{said}");
        said
    }

    fn ends_well(&mut self, who: &str) {
        self.line("all is well", who);
        assert!(self.child.wait().unwrap().success(), "{who}");
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn rooms_in_every_language_are_played_with_every_other() {
    let folder = Folder::new();
    let master = Master::start(&[]);
    let languages = languages(&folder);
    let port = master.addr().port().to_string();
    for host in &languages {
        for guest in &languages {
            let pair = format!("{} hosts {}", host.name, guest.name);
            // Characters that have to be encoded, and some that need more than one byte.
            let name = format!("{pair}: 50 %, gr\u{fc}n");
            let start = |of, role| Running::start(of, &["127.0.0.1", &port, role, &name]);
            let mut hosting = start(host, "host");
            hosting.line("open ", &pair);
            let mut joining = start(guest, "join");
            joining.ends_well(&pair);
            hosting.ends_well(&pair);
            let heard = hosting.seen.iter().filter_map(|line| line.strip_prefix("heard "));
            assert_eq!(heard.collect::<Vec<_>>(), ["hello", "back again"], "{pair}");
        }
    }
}

/// After a restart the server knows nobody: hosts open their rooms again, and are found.
#[test]
fn hosts_in_every_language_open_their_rooms_again_after_a_restart() {
    let folder = Folder::new();
    let addr: SocketAddr = (loopback(), 6510).into();
    let master = Master::start_at(addr, &[]);
    let ip = addr.ip().to_string();
    let all = all_languages(&folder);
    let start = |of: &Language, role| {
        let room = format!("A room of {}", of.name);
        Running::start(of, &[&ip, "6510", role, &room])
    };
    let mut hosts: Vec<Running> = all.iter().map(|language| start(language, "host")).collect();
    for (host, language) in hosts.iter_mut().zip(&all) {
        host.line("open ", language.name);
    }
    master.crash();
    let _master = Master::start_at(addr, &[]);
    for (host, language) in hosts.iter_mut().zip(&all) {
        host.seen.clear();
        host.line("open ", language.name);
        start(language, "join").ends_well(language.name);
        host.ends_well(language.name);
    }
}

/// A name that no server has.
const NOBODY: &str = "nobody.invalid";

/// Of four servers the first has no address any more, the second is not there and the third is killed, or says nothing
/// any more: hosts go on to the last, and are found there.
#[test]
fn hosts_in_every_language_go_on_to_the_next_server() {
    let folder = Folder::new();
    let all = all_languages(&folder);
    for is_killed in [true, false] {
        let [dead, first, next] = [(); 3].map(|()| SocketAddr::from((loopback(), 6510)));
        let [one, other] = [first, next].map(|addr| Master::start_at(addr, &[]));
        let servers = [dead, first, next].map(|addr| addr.ip().to_string()).join(",");
        let servers = format!("{NOBODY},{servers}");
        let start = |of: &Language, role| {
            let room = format!("A room of {}", of.name);
            Running::start(of, &[&servers, "6510", role, &room])
        };
        let mut hosts: Vec<Running> = all.iter().map(|language| start(language, "host")).collect();
        for (host, language) in hosts.iter_mut().zip(&all) {
            host.line("open ", language.name);
            host.seen.clear();
        }
        let mut one = Some(one);
        match is_killed {
            true => one.take().unwrap().crash(),
            false => one.as_ref().unwrap().signal(Signal::SIGSTOP),
        }
        let begin = Instant::now();
        for (host, language) in hosts.iter_mut().zip(&all) {
            host.line("open ", language.name);
            println!("{} is back after {:?}", language.name, begin.elapsed());
        }
        assert!(begin.elapsed() < BACK, "{:?}", begin.elapsed());
        // All at once: a host waits for so long and no longer.
        let joins: Vec<Running> = all.iter().map(|language| start(language, "join")).collect();
        for ((host, mut join), language) in hosts.iter_mut().zip(joins).zip(&all) {
            join.ends_well(language.name);
            host.ends_well(language.name);
        }
        if let Some(one) = one {
            one.signal(Signal::SIGCONT);
        }
        drop(other);
    }
}

/// Where no server has an address they say so, and no more.
#[test]
fn clients_in_every_language_say_that_no_server_has_an_address() {
    let folder = Folder::new();
    for language in &all_languages(&folder) {
        let said = Running::start(language, &[NOBODY, "6510", "join", "Room"]).end_in_failure();
        assert!(said.contains("no server has an address"), "{}: {said}", language.name);
        // The engine says of itself which it is.
        let is_engine = language.name == "GDScript";
        assert!(is_engine || said.lines().count() <= 2, "{}: {said}", language.name);
    }
}

/// Nor anything that only a programmer reads where no server answers.
#[test]
fn clients_in_every_language_say_that_no_server_answers() {
    let folder = Folder::new();
    // Nothing listens there.
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let port = nobody.port().to_string();
    let all = all_languages(&folder);
    let start = |of| Running::start(of, &["127.0.0.1", &port, "join", "Room"]);
    let running: Vec<_> = all.iter().map(start).collect();
    for (language, client) in all.iter().zip(running) {
        let said = client.end_in_failure();
        let is_engine = language.name == "GDScript";
        assert!(is_engine || said.lines().count() == 1, "{}: {said}", language.name);
        assert!(is_engine || said.len() < 100 && !said.contains('\0'), "{}: {said}", language.name);
    }
}

/// Answers a client until it is in a room and has shown its key; its host never answers.
fn let_in(server: &UdpSocket) {
    let (room, own) = ("0123456789abcdef", "00000000000000aa:000000000000000000000000000000bb");
    let mut buffer = [0; 1500];
    loop {
        let (length, client) = server.recv_from(&mut buffer).unwrap();
        let asked = String::from_utf8_lossy(&buffer[..length]).into_owned();
        let say = |text: String| _ = server.send_to(text.as_bytes(), client).unwrap();
        match &asked[..2] {
            "rl" => say(format!("rl:{room},Room,open,1")),
            "jr" | "rc" => {
                say(format!("jr:{room}:00000000000000aa:127.0.0.1:9"));
                say(format!("rID:{own}"));
            }
            _ => {}
        }
        if asked.starts_with("rc") {
            return;
        }
    }
}

/// Whose server dies while it plays asks the next one for its place in the same room.
#[test]
fn clients_of_rooms_in_every_language_ask_the_next_server_for_their_place() {
    let folder = Folder::new();
    let all = languages(&folder);
    let check = |language: &Language| {
        let one = UdpSocket::bind((loopback(), 0)).unwrap();
        let at = one.local_addr().unwrap();
        let next = UdpSocket::bind((loopback(), at.port())).unwrap();
        for socket in [&one, &next] {
            socket.set_read_timeout(Some(PATIENCE)).unwrap();
        }
        let servers = format!("{},{}", at.ip(), next.local_addr().unwrap().ip());
        let port = at.port().to_string();
        let _client = Running::start(language, &[&servers, &port, "join", "Room"]);
        let_in(&one);
        let begin = Instant::now();
        let mut buffer = [0; 1500];
        let (length, _) = next.recv_from(&mut buffer).unwrap();
        println!("{} asks after {:?}", language.name, begin.elapsed());
        assert_eq!(&buffer[..length], b"jr:0123456789abcdef", "{}", language.name);
        assert!(begin.elapsed() < BACK, "{}: {:?}", language.name, begin.elapsed());
    };
    std::thread::scope(|scope| all.iter().for_each(|of| _ = scope.spawn(|| check(of))));
}

/// Asks until an answer with this beginning comes: where addresses fall into one place of the table of what they may
/// be sent, there may not be enough for all at once.
fn asked(socket: &UdpSocket, master: SocketAddr, request: &str, want: &str) -> String {
    socket.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
    let deadline = Instant::now() + PATIENCE;
    let mut buffer = [0; 1500];
    while Instant::now() < deadline {
        socket.send_to(request.as_bytes(), master).unwrap();
        while let Ok((length, _)) = socket.recv_from(&mut buffer) {
            let said = String::from_utf8_lossy(&buffer[..length]);
            if said.starts_with(want) {
                return said.into_owned();
            }
        }
    }
    panic!("{request} is not answered with {want}");
}

/// A list has several pages, and the room that is looked for is on the last.
#[test]
fn rooms_in_every_language_are_found_on_the_last_page() {
    let folder = Folder::new();
    let master = Master::start(&["--max-hosts", "64"]);
    let port = master.addr().port().to_string();
    for language in languages(&folder) {
        let name = format!("The first of {}", language.name);
        let mut hosting = Running::start(&language, &["127.0.0.1", &port, "host", &name]);
        hosting.line("open ", language.name);
        // Those who have shown their keys stand before others, and the newest first.
        let others: Vec<UdpSocket> = (0..40u8)
            .map(|n| {
                let socket = UdpSocket::bind((Ipv4Addr::new(127, 0, 1, n + 1), 0)).unwrap();
                let open = "rh:One of many others, with a rather long name:d.app=minimal";
                let own = asked(&socket, master.addr(), open, "rID:");
                asked(&socket, master.addr(), &own.replacen("rID", "rc", 1), "rh:");
                socket
            })
            .collect();
        let mut joining = Running::start(&language, &["127.0.0.1", &port, "join", &name]);
        joining.ends_well(language.name);
        hosting.ends_well(language.name);
        for socket in &others {
            socket.send_to(b"cr", master.addr()).unwrap();
        }
    }
}

/// Encrypted and not; half of them are here, half there.
#[test]
fn events_in_every_language_are_played_with_every_other() {
    let folder = Folder::new();
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let [certificate, key] = ["certificate", "key"].map(|name| folder.file(name));
    std::fs::write(&certificate, made.cert.pem()).unwrap();
    std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    let master = Master::start(&["--tls-cert", &certificate, "--tls-key", &key]);
    let port = master.addr().port().to_string();
    let python: &[(&[&str], &[&str])] = &[(&["python3", "--version"], &["python3"])];
    let node: &[(&[&str], &[&str])] = &[(&["node", "--version"], &["node"])];
    let python = found("Python", ("events", "events.py"), python);
    let node = found("JavaScript", ("events", "events.js"), node);
    let languages: Vec<Language> = python.into_iter().chain(node).collect();
    for host in &languages {
        for guest in &languages {
            for encrypted in [[true, true], [true, false], [false, true], [false, false]] {
                let pair = format!("{} hosts {}, TLS {encrypted:?}", host.name, guest.name);
                let start = |of, role, is_encrypted: bool| {
                    let plain = ["localhost", &port, role, &pair];
                    let tls: &[&str] = if is_encrypted { &[&certificate] } else { &[] };
                    Running::start(of, &[&plain, tls].concat())
                };
                let mut hosting = start(host, "host", encrypted[0]);
                hosting.line("open ", &pair);
                let mut joining = start(guest, "join", encrypted[1]);
                joining.ends_well(&pair);
                hosting.ends_well(&pair);
                assert!(hosting.seen.iter().any(|line| line == "heard hello"), "{pair}");
            }
        }
    }
    // Whom nobody vouches for is not believed.
    for language in &languages {
        let arguments = ["localhost", &port, "join", "a room", "system"];
        let mut command = Command::new(&language.program[0]);
        let output = command.args(&language.program[1..]).args(arguments).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).to_lowercase();
        assert!(!output.status.success() && said.contains("self-signed"), "{said}");
    }
}
