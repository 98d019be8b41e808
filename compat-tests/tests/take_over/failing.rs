//! Processes that come to take over and do not.

use std::io::Read as _;
use std::net::SocketAddr;
use std::process::Command;
use std::time::{Duration, Instant};

use compat_tests::folder::Folder;
use compat_tests::line_of_masters::Masters;
use compat_tests::master::{Master, loopback};
use compat_tests::raw;

use super::fixtures::{Program, WAIT, answers, at_own_address};

#[test]
fn the_running_one_goes_on_whatever_becomes_of_the_next() {
    let program = Program::new();
    let mut command = Command::new(program.path());
    command.args(["--port", "0"]);
    let mut masters = Masters::spawn(command);
    let kept = raw::connect(masters.addr(), loopback());
    let goes_on = |masters: &Masters, why: &str| {
        masters.wait_for_log(why);
        assert!(answers(&kept) && answers(&raw::connect(masters.addr(), loopback())));
    };
    std::fs::remove_file(program.path()).unwrap();
    masters.ask();
    goes_on(&masters, "SIGUSR2: no process can be started to take over: ");
    let before = Instant::now();
    program.is_script("exec sleep 1000");
    masters.ask();
    masters.wait_for_log("is started, to take over");
    masters.ask();
    goes_on(&masters, "SIGUSR2: a process is about to take over already");
    goes_on(&masters, "and this one goes on: it was not ready within 5 s");
    assert!(before.elapsed() < Duration::from_secs(9), "{:?}", before.elapsed());
    program.is_script("exit 3");
    masters.ask();
    goes_on(&masters, "and this one goes on: it has ended (exit status: 3)");
    program.is_script("kill -9 $$");
    masters.ask();
    goes_on(&masters, "and this one goes on: it has ended (signal: 9 (SIGKILL))");
    program.is_punchd();
    let pid = masters.pid();
    masters.succeed();
    assert_ne!(masters.pid(), pid);
    assert!(answers(&kept), "the connection from before");
}

/// A new process as the test plays it.
pub(crate) struct Fake(std::os::fd::OwnedFd);

impl Fake {
    pub(crate) fn ask(at: SocketAddr) -> Self {
        use nix::sys::socket::{AddressFamily, SockFlag, SockType, UnixAddr, connect, socket};
        let kind = SockType::SeqPacket;
        let socket = socket(AddressFamily::Unix, kind, SockFlag::SOCK_CLOEXEC, None).unwrap();
        let name = UnixAddr::new_abstract(format!("punchd/{at}").as_bytes()).unwrap();
        connect(std::os::fd::AsRawFd::as_raw_fd(&socket), &name).unwrap();
        Self(socket)
    }

    pub(crate) fn say(&self, packet: &str) {
        nix::unistd::write(&self.0, packet.as_bytes()).unwrap();
    }

    /// The next packet. None: the other end has hung up.
    pub(crate) fn hear(&self) -> Option<String> {
        let mut buffer = vec![0; 1 << 16];
        match nix::unistd::read(&self.0, &mut buffer) {
            Ok(0) | Err(nix::errno::Errno::ECONNRESET) => None,
            Ok(length) => Some(String::from_utf8_lossy(&buffer[..length]).into_owned()),
            Err(error) => panic!("{error}"),
        }
    }

    /// Packets until one has this in it.
    #[track_caller]
    pub(crate) fn hear_until(&self, text: &str) -> String {
        loop {
            let packet = self.hear().unwrap_or_else(|| panic!("it hangs up before {text}"));
            if packet.contains(text) {
                return packet;
            }
        }
    }

    pub(crate) fn is_ready(&self) {
        self.hear_until("\"Sockets\"");
        self.say(r#"{"Ready":{"version":1,"build":"test"}}"#);
    }

    /// It is ready and has taken the connections.
    pub(crate) fn has_connections(&self) {
        self.is_ready();
        self.hear_until("\"Connected\"");
        self.say("\"HaveConnections\"");
    }

    /// And is told all.
    pub(crate) fn is_told(&self) {
        self.has_connections();
        self.hear_until("\"Whole\"");
    }
}

#[test]
fn who_does_not_do_as_a_new_process_does_changes_nothing() {
    let (master, at) = at_own_address(&[]);
    let kept = raw::connect(at, loopback());
    let goes_on = |why: &str| {
        master.wait_for_log(&format!("and this one goes on: {why}"));
        assert!(answers(&kept) && answers(&raw::connect(at, loopback())));
    };
    for (says, why) in [
        ("?", "it says something that is not understood"),
        ("\"Go\"", "it says something that is not understood"),
        (r#"{"Refused":"it is tired"}"#, "it is tired"),
        (
            r#"{"Ready":{"version":9,"build":"9.9.9","more":1}}"#,
            "it is punchd 9.9.9, which hands over in another way (version 9, not 1)",
        ),
    ] {
        let fake = Fake::ask(at);
        fake.hear_until("\"Welcome\"");
        fake.say(says);
        goes_on(why);
        while fake.hear().is_some() {}
    }
    drop(Fake::ask(at));
    goes_on("it has ended");
    // It does not wait until it has heard of all connections, or dies with them.
    let fake = Fake::ask(at);
    fake.is_ready();
    fake.hear_until("\"Connected\"");
    fake.say("\"HaveAll\"");
    goes_on("it says something that is not understood");
    let fake = Fake::ask(at);
    fake.is_ready();
    fake.hear_until("\"Connected\"");
    drop(fake);
    goes_on("it has ended");
    // It dies with all that it was told.
    let fake = Fake::ask(at);
    fake.is_told();
    drop(fake);
    goes_on("it has ended");
    // Even when it was told to go on.
    let fake = Fake::ask(at);
    fake.is_told();
    fake.say("\"HaveAll\"");
    fake.hear_until("\"Go\"");
    drop(fake);
    goes_on("it has ended");
    // A second one, while one is there that says nothing more.
    let fake = Fake::ask(at);
    fake.is_told();
    let before = Instant::now();
    goes_on("it does not answer in time");
    assert!(before.elapsed() < Duration::from_secs(4), "frozen for {:?}", before.elapsed());
    let first = Fake::ask(at);
    first.hear_until("\"Sockets\"");
    let second = Fake::ask(at);
    assert!(second.hear_until("\"Refused\"").contains("another process is about to"));
    drop((fake, first));
    let log = master.stop();
    assert!(!log.contains("goes on with"), "{log}");
}

/// A process that says it has all, is told to go on and says nothing more, as if it had been stopped.
const SILENT: &str = r#"
import socket, sys, time
other = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
other.connect("\0punchd/" + sys.argv[1])
def hear(what):
    while what not in other.recv(1 << 16): pass
hear(b'"Sockets"'); other.send(b'{"Ready":{"version":1,"build":"test"}}')
hear(b'"Connected"'); other.send(b'"HaveConnections"')
hear(b'"Whole"'); other.send(b'"HaveAll"')
hear(b'"Go"'); time.sleep(1000)
"#;

/// Whether it serves or will is not known, so it is ended first.
#[test]
fn who_was_told_to_go_on_and_does_not_is_ended_before_the_running_one_goes_on() {
    let (master, at) = at_own_address(&[]);
    let kept = raw::connect(at, loopback());
    let silent = Command::new("python3").args(["-c", SILENT, &at.to_string()]).spawn();
    let Ok(mut silent) = silent else {
        return compat_tests::skipped::note("there is no python3");
    };
    master.wait_for_log("and this one goes on: it does not answer in time");
    assert!(answers(&kept) && answers(&raw::connect(at, loopback())));
    let signal = std::os::unix::process::ExitStatusExt::signal(&silent.wait().unwrap());
    assert_eq!(signal, Some(9));
}

#[test]
fn what_is_started_to_take_over_ends_with_the_one_that_stops() {
    let program = Program::new();
    let mut command = Command::new(program.path());
    command.args(["--port", "0"]);
    let masters = Masters::spawn(command);
    program.is_script("exec sleep 1000");
    masters.ask();
    masters.wait_for_log("is started, to take over");
    let log = masters.end();
    let (before, _) = log.rsplit_once(" is started, to take over").unwrap();
    let pid: i32 = before.rsplit_once(' ').unwrap().1.parse().unwrap();
    let is_there = nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), None);
    assert_eq!(is_there, Err(nix::errno::Errno::ESRCH), "{pid}");
}

#[test]
fn the_log_says_why_a_new_process_does_not_begin() {
    let (program, folder) = (Program::new(), Folder::new());
    let blocks = folder.file("block");
    std::fs::write(&blocks, "").unwrap();
    let mut command = Command::new(program.path());
    command.args(["--port", "0", "--block", &blocks]);
    let master = Master::spawn(command);
    std::fs::write(&blocks, "nonsense\n").unwrap();
    let pid = nix::unistd::Pid::from_raw(master.pid().unwrap().cast_signed());
    for times in 1..=5 {
        nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGUSR2).unwrap();
        let deadline = Instant::now() + WAIT;
        let all = |text: &str| master.log().matches(text).count() >= times;
        while !all("and this one goes on: ") || !all("nonsense") {
            assert!(Instant::now() < deadline, "{}", master.log());
            std::thread::sleep(Duration::from_millis(1));
        }
    }
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM).unwrap();
    // There are errors in its log.
    let (status, _) = master.ended(WAIT);
    assert!(status.success());
}

#[test]
fn nobody_takes_over_to_be_where_no_game_looks_for_it() {
    let (master, at) = at_own_address(&[]);
    let port = raw::free_ports().unwrap().to_string();
    let mut command = Command::new(compat_tests::master::binary());
    command.arg(format!("--take-over={at}")).args(["--bind", &at.ip().to_string()]);
    command.args(["--port", &port, "--http", "off"]);
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains(&format!("give it --port {}", at.port())), "{said}");
    master.wait_for_log("and this one goes on: ");
    assert!(answers(&raw::connect(at, loopback())));
}

/// Its descriptor is not the last one then, so that closing it tells the peer nothing.
#[test]
fn a_connection_that_ends_while_two_processes_have_it_has_ended() {
    let (master, at) = at_own_address(&[]);
    let (mut ends, stays) = (raw::connect(at, loopback()), raw::connect(at, loopback()));
    assert!(answers(&ends) && answers(&stays));
    let fake = Fake::ask(at);
    // What it does not take has the descriptors as well.
    fake.is_ready();
    master.wait_for_log("it was not ready within 5 s");
    let fake = (fake, Fake::ask(at));
    fake.1.is_ready();
    assert!(answers(&stays));
    ends.shutdown(std::net::Shutdown::Write).unwrap();
    ends.set_read_timeout(Some(Duration::from_secs(4))).unwrap();
    assert_eq!(ends.read(&mut [0]).unwrap(), 0, "the end");
    // Somebody else has its place.
    assert!(answers(&raw::connect(at, loopback())) && answers(&stays));
    drop(fake);
}

#[test]
fn a_process_of_another_user_gets_nothing() {
    if !nix::unistd::geteuid().is_root() {
        return compat_tests::skipped::note("only root can start a process of another user");
    }
    const NOBODY: u32 = 65_534;
    let (master, at) = at_own_address(&[]);
    let program = Program::new();
    let open = Command::new("chmod").args(["-R", "a+rX"]).arg(program.path()).status().unwrap();
    assert!(open.success());
    let mut command = Command::new(program.path());
    std::os::unix::process::CommandExt::uid(&mut command, NOBODY);
    command.arg(format!("--take-over={at}")).args(["--port", "0", "--http", "off"]);
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains(" does not hand over: it belongs to another user"), "{said}");
    master.wait_for_log(&format!("of user {NOBODY} wants to take over and may not"));
    assert!(answers(&raw::connect(at, loopback())));
}

/// Whoever is on the machine may ask, and ask again.
#[test]
fn who_asks_all_the_time_and_may_not_holds_nobody_up() {
    if !nix::unistd::geteuid().is_root() {
        return compat_tests::skipped::note("only root can start a process of another user");
    }
    const NOBODY: u32 = 65_534;
    let (master, at) = at_own_address(&[]);
    let script = "import socket, sys
name = chr(0) + 'punchd/' + sys.argv[1]
while True:
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as one: one.connect(name)
    except OSError: pass";
    let strangers: Vec<_> = (0..4)
        .map(|_| {
            let mut command = Command::new("python3");
            std::os::unix::process::CommandExt::uid(&mut command, NOBODY);
            command.args(["-c", script, &at.to_string()]).spawn().unwrap()
        })
        .collect();
    master.wait_for_log(&format!("of user {NOBODY} wants to take over and may not"));
    let start = Instant::now();
    for _ in 0..20 {
        assert!(answers(&raw::connect(at, loopback())));
    }
    println!("20 answers in {:?}", start.elapsed());
    for mut stranger in strangers {
        stranger.kill().unwrap();
        stranger.wait().unwrap();
    }
    // And whoever may is heard as before.
    Fake::ask(at).hear_until("\"Sockets\"");
}

/// Who was started to take over and ends does not end the take-over by another one.
#[test]
fn another_process_takes_over_whatever_becomes_of_the_one_that_was_started() {
    let program = Program::new();
    let ip = loopback();
    let mut command = Command::new(program.path());
    command.args(["--bind", &ip.to_string(), "--port", "0"]);
    let masters = Masters::spawn(command);
    program.is_script("sleep 1");
    masters.ask();
    masters.wait_for_log("is started, to take over");
    let fake = Fake::ask(SocketAddr::new(ip, masters.addr().port()));
    masters.wait_for_log("does not take over: it has ended");
    fake.is_ready();
    fake.hear_until("\"Connected\"");
}

/// systemd takes the end of a service's main process for that of the service, if it is told of no other one.
#[test]
fn the_main_process_of_a_service_that_tells_nothing_goes_on() {
    let script = "SYSTEMD_EXEC_PID=$$ exec \"$0\" --port 0 --http off";
    let mut command = Command::new("sh");
    command.args(["-c", script]).arg(compat_tests::master::binary());
    let master = Master::spawn(command);
    let control = raw::connect(master.addr(), loopback());
    master.signal(nix::sys::signal::Signal::SIGUSR2);
    master.wait_for_log("its unit needs Type=notify");
    assert!(answers(&control) && !master.log().contains("is started, to take over"));
}

/// With a relay there are more sockets than a process may have open at first, as most systems have it.
#[test]
fn who_takes_over_may_have_as_few_open_files_as_any_process_at_first() {
    let relay = loopback().to_string();
    let options = ["--relay", &relay, "--relay-public", "203.0.113.8"];
    let (master, at) = at_own_address(&options);
    let script = "ulimit -S -n 256; exec \"$0\" \"$@\"";
    let mut command = Command::new("sh");
    command.args(["-c", script]).arg(compat_tests::master::binary());
    command.arg(format!("--take-over={at}")).args(["--bind", &at.ip().to_string()]);
    command.args(["--port", &at.port().to_string(), "--http", "off"]).args(options);
    let next = Master::spawn(command);
    next.wait_for_log("took over from process");
    let (status, _) = master.ended(WAIT);
    assert!(status.success() && answers(&raw::connect(at, loopback())));
}
