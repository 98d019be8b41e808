//! The server that a test talks to: the built `punchd` on a free port, or one that runs already.
//!
//! A test says `Master::start(&["--testing"])` and asks [`Master::addr`] where to connect. When
//! the fixture is dropped the server gets SIGTERM and must be gone within `EXIT_WITHIN` with
//! exit code 0 and no error-level line in its log; anything else fails the test.

use std::io::{BufRead, BufReader};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, ToSocketAddrs, UdpSocket};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex, OnceLock};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// How long a server may take from start to its `listening` line. A debug build on a busy
/// two-core machine needs some 50 ms; under an emulator of another system three at once have taken more than 20 s.
const READY_WITHIN: Duration = Duration::from_secs(60);

/// How long a server may take until it has done, and logged, what a test waits for. Without
/// optimization and on a busy machine it may be slow; no promise is about that.
const LOG_WITHIN: Duration = Duration::from_secs(60);

/// How long a server may take from SIGTERM to its exit: its promise is one second, the rest is
/// for a busy machine.
const EXIT_WITHIN: Duration = Duration::from_secs(5);

/// A server to test, stopped and checked when dropped.
pub struct Master {
    addr: SocketAddr,
    own: Option<Own>,
}

/// A server that this process started.
struct Own {
    child: Child,
    log: Arc<Log>,
    /// Fills the log until the server closes its standard output.
    reader: JoinHandle<()>,
}

/// What the server has written to its standard output, line by line.
#[derive(Default)]
struct Log {
    lines: Mutex<Vec<String>>,
    more: Condvar,
}

impl Master {
    /// The server named by `PUNCH_MASTER`, else a fresh one without options.
    #[must_use]
    pub fn any() -> Self {
        match running() {
            Some(addr) => Self { addr, own: None },
            None => Self::start(&[]),
        }
    }

    /// The same for a test of what the old server does otherwise, by the name that PROTOCOL.md has for that, as
    /// D2. None if the server named by `PUNCH_MASTER` is like the old one: then the test is noted as skipped.
    #[must_use]
    pub fn any_but_old(defect: &str) -> Option<Self> {
        let master = Self::any();
        if master.is_old() {
            crate::skipped::note(&format!(
                "PUNCH_MASTER is like the old server, which has {defect}"
            ));
            return None;
        }
        Some(master)
    }

    /// Whether the server named by `PUNCH_MASTER` is like the old one, which speaks GMnet alone.
    #[must_use]
    pub fn is_old(&self) -> bool {
        self.own.is_none() && !speaks_rooms(self.addr)
    }

    /// The same for a test of rooms. None if the server named by `PUNCH_MASTER` does not speak that dialect,
    /// as the old server: then the test is noted as skipped.
    #[must_use]
    pub fn of_rooms() -> Option<Self> {
        let is_there = running().is_none_or(speaks_rooms);
        if !is_there {
            crate::skipped::note("PUNCH_MASTER does not speak rooms");
        }
        is_there.then(Self::any)
    }

    /// A fresh server with these options, on a port that the system picks.
    ///
    /// # Panics
    /// If it does not start: then no test can go on.
    #[must_use]
    pub fn start(options: &[&str]) -> Self {
        let mut command = Command::new(binary());
        command.args(["--port", "0"]).args(options);
        Self::spawn(command)
    }

    /// A fresh server on this address alone, which therefore can be the same a second time. To be
    /// sure that nobody else is there, take one of [`loopback`].
    ///
    /// # Panics
    /// If it does not start.
    #[must_use]
    pub fn start_at(addr: SocketAddr, options: &[&str]) -> Self {
        let mut command = Command::new(binary());
        command.args(["--bind", &addr.ip().to_string(), "--port", &addr.port().to_string()]);
        command.args(options);
        let mut master = Self::spawn(command);
        master.addr = addr;
        master
    }

    /// Runs a prepared command line of the server, which must log where it listens.
    ///
    /// # Panics
    /// If it does not start.
    #[must_use]
    pub fn spawn(mut command: Command) -> Self {
        command.stdin(Stdio::null());
        Self::started(Own::spawn(command, true))
    }

    /// The same with the standard input and output that it was given; the command has to see to it
    /// that the log goes to its standard error.
    ///
    /// # Panics
    /// If it does not start.
    #[must_use]
    pub fn watch(command: Command) -> Self {
        Self::started(Own::spawn(command, false))
    }

    #[expect(clippy::panic, reason = "a fixture fails its test")]
    fn started(own: Own) -> Self {
        let Some(line) = own.log.wait_for("listening on port ", READY_WITHIN) else {
            let text = own.log.text();
            own.kill();
            panic!("punchd did not say where it listens; its log:\n{text}");
        };
        Self::listening(own, &line)
    }

    /// Runs a prepared command line of the server, which must log where it listens to this file:
    /// its standard output may stay empty.
    ///
    /// # Panics
    /// If it does not start.
    #[must_use]
    #[expect(clippy::panic, reason = "a fixture fails its test")]
    pub fn spawn_with_log_file(mut command: Command, file: &Path) -> Self {
        command.stdin(Stdio::null());
        let own = Own::spawn(command, true);
        let deadline = Instant::now() + READY_WITHIN;
        loop {
            let text = std::fs::read_to_string(file).unwrap_or_default();
            let mut whole = text.split_inclusive('\n').filter(|line| line.ends_with('\n'));
            if let Some(line) = whole.find(|line| line.contains("listening on port ")) {
                return Self::listening(own, line);
            }
            if Instant::now() > deadline {
                own.kill();
                panic!("punchd did not say where it listens in {file:?}:\n{text}");
            }
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    #[expect(clippy::panic, reason = "a fixture fails its test")]
    fn listening(own: Own, line: &str) -> Self {
        let port = port_in(line).unwrap_or_else(|| panic!("no port in {line:?}"));
        Self { addr: SocketAddr::from((Ipv4Addr::LOCALHOST, port)), own: Some(own) }
    }

    /// Where the server listens, TCP and UDP; on loopback unless `PUNCH_MASTER` says otherwise.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// The process ID, if this fixture started the server.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        self.own.as_ref().map(|own| own.child.id())
    }

    /// All log lines so far (none for a server that ran already).
    #[must_use]
    pub fn log(&self) -> String {
        self.own.as_ref().map(|own| own.log.text()).unwrap_or_default()
    }

    /// The alternate UDP port, as the log says it.
    #[must_use]
    pub fn alternate_port(&self) -> Option<u16> {
        let log = self.log();
        let (_, rest) = log.split_once("STUN on UDP port ")?;
        let end = rest.find(|c: char| !c.is_ascii_digit())?;
        rest.get(..end)?.parse().ok()
    }

    /// Waits until a log line contains `text`.
    ///
    /// # Panics
    /// After `LOG_WITHIN` without such a line. Servers that ran already have no log: no wait.
    #[expect(clippy::panic, reason = "a fixture fails its test")]
    pub fn wait_for_log(&self, text: &str) {
        let Some(own) = &self.own else { return };
        if own.log.wait_for(text, LOG_WITHIN).is_none() {
            panic!("no log line with {text:?}; the log:\n{}", own.log.text());
        }
    }

    /// Sends a signal to the server.
    ///
    /// # Panics
    /// If the server was not started by this fixture, or is gone.
    #[expect(clippy::expect_used, reason = "a fixture fails its test")]
    pub fn signal(&self, signal: Signal) {
        let own = self.own.as_ref().expect("only an own server gets signals");
        kill(own.pid(), signal).expect("signalling punchd");
    }

    /// Kills the server without any grace, as a power cut would.
    ///
    /// # Panics
    /// If the server was not started by this fixture.
    #[expect(clippy::expect_used, reason = "a fixture fails its test")]
    pub fn crash(mut self) {
        let mut own = self.own.take().expect("only an own server can be killed");
        own.child.kill().expect("killing punchd");
        own.child.wait().expect("waiting for punchd");
    }

    /// Waits until the server ends by itself, or by a signal that the test sent; returns how it
    /// ended and its log.
    ///
    /// # Panics
    /// If it is still there after this time, or was not started by this fixture.
    #[expect(clippy::expect_used, reason = "a fixture fails its test")]
    pub fn ended(mut self, within: Duration) -> (ExitStatus, String) {
        self.own.take().expect("only an own server is waited for").ended(within)
    }

    /// Stops the server and returns its log; fails as the drop would.
    #[must_use]
    pub fn stop(mut self) -> String {
        self.own.take().map(Own::stop).unwrap_or_default()
    }
}

impl Drop for Master {
    fn drop(&mut self) {
        let Some(own) = self.own.take() else { return };
        if std::thread::panicking() {
            eprintln!("--- log of punchd\n{}---", own.log.text());
            own.kill();
        } else {
            own.stop();
        }
    }
}

impl Own {
    #[expect(clippy::expect_used, reason = "a fixture fails its test")]
    fn spawn(mut command: Command, captures: bool) -> Self {
        let (log_of_child, writer) = std::io::pipe().expect("a pipe");
        // The log goes to standard output, and what precedes it, or ends it, to standard error.
        if captures {
            command.stdout(writer.try_clone().expect("a copy"));
        }
        command.stderr(writer);
        if !command.get_envs().any(|(name, _)| name == "RUST_LOG") {
            command.env_remove("RUST_LOG");
        }
        // Many run at once, and one alone can have the port of the window. Who wants one says so.
        if !command.get_envs().any(|(name, _)| name == "PUNCHD_HTTP") {
            command.env("PUNCHD_HTTP", "off");
        }
        let child = command.spawn().expect("starting punchd");
        // With its ends of the pipe: else the log would have no end.
        drop(command);
        let log = Arc::new(Log::default());
        let sink = Arc::clone(&log);
        let reader = std::thread::spawn(move || sink.fill(BufReader::new(log_of_child)));
        Self { child, log, reader }
    }

    #[expect(clippy::cast_possible_wrap, reason = "process IDs are below 2^22")]
    fn pid(&self) -> Pid {
        Pid::from_raw(self.child.id() as i32)
    }

    fn kill(mut self) {
        // Already failing: whatever goes wrong here is not the news.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    #[expect(clippy::panic, reason = "a fixture fails its test")]
    fn ended(mut self, within: Duration) -> (ExitStatus, String) {
        let deadline = Instant::now() + within;
        let status = loop {
            match self.child.try_wait() {
                Ok(Some(status)) => break status,
                Ok(None) if Instant::now() < deadline => {
                    std::thread::sleep(Duration::from_millis(2));
                }
                other => {
                    let text = self.log.text();
                    self.kill();
                    panic!("punchd is still there after {within:?} ({other:?}); its log:\n{text}");
                }
            }
        };
        // Its standard output ends with it: only then is the log whole.
        let _ = self.reader.join();
        (status, self.log.text())
    }

    fn stop(self) -> String {
        let _ = kill(self.pid(), Signal::SIGTERM);
        let (status, text) = self.ended(EXIT_WITHIN);
        assert!(status.success(), "punchd ended with {status}; its log:\n{text}");
        // That the log takes nothing is no fault of the server: tests bring it about.
        let is_fault =
            |line: &str| line.contains("ERROR") && !line.contains("cannot write the log");
        assert!(!text.lines().any(is_fault), "punchd logged an error:\n{text}");
        text
    }
}

impl Log {
    fn fill(&self, reader: impl BufRead) {
        for line in reader.lines().map_while(Result::ok) {
            self.lines.lock().unwrap_or_else(|e| e.into_inner()).push(line);
            self.more.notify_all();
        }
    }

    fn text(&self) -> String {
        self.lines.lock().unwrap_or_else(|e| e.into_inner()).join("\n")
    }

    fn wait_for(&self, text: &str, within: Duration) -> Option<String> {
        let deadline = Instant::now() + within;
        let mut lines = self.lines.lock().unwrap_or_else(|e| e.into_inner());
        loop {
            if let Some(line) = lines.iter().find(|line| line.contains(text)) {
                return Some(line.clone());
            }
            let left = deadline.checked_duration_since(Instant::now())?;
            lines = self.more.wait_timeout(lines, left).unwrap_or_else(|e| e.into_inner()).0;
        }
    }
}

/// Runs a prepared command line of the server that must not start, as it asks for the impossible:
/// returns how it ended and what it said.
///
/// # Panics
/// If it runs all the same.
#[must_use]
pub fn fails_to_start(mut command: Command) -> (ExitStatus, String) {
    command.stdin(Stdio::null());
    Own::spawn(command, true).ended(READY_WITHIN)
}

/// The server that the environment names, for tests against any other server.
#[must_use]
#[expect(clippy::panic, reason = "a fixture fails its test")]
pub fn running() -> Option<SocketAddr> {
    let name = std::env::var("PUNCH_MASTER").ok().filter(|name| !name.is_empty())?;
    let found = name.to_socket_addrs().ok().and_then(|mut all| all.find(SocketAddr::is_ipv4));
    Some(
        found.unwrap_or_else(|| panic!("PUNCH_MASTER={name}: want HOST:PORT with an IPv4 address")),
    )
}

/// Whether a server answers `status`.
fn speaks_rooms(server: SocketAddr) -> bool {
    let ask = || -> std::io::Result<bool> {
        let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
        socket.set_read_timeout(Some(Duration::from_millis(500)))?;
        socket.connect(server)?;
        for _ in 0..4 {
            socket.send(b"status")?;
            let mut answer = [0; 64];
            if socket.recv(&mut answer).is_ok() {
                return Ok(true);
            }
        }
        Ok(false)
    };
    ask().unwrap_or(false)
}

/// The path of the built server, in the profile of this test; built first if it has to be.
#[expect(clippy::expect_used, reason = "a fixture fails its test")]
pub fn binary() -> &'static std::path::Path {
    static BUILT: OnceLock<std::path::PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| {
        if let Some(path) = std::env::var_os("PUNCHD_BIN") {
            return path.into();
        }
        // Not as it was when this was built: the program in packages is the same wherever that was.
        let of_cargo = std::env::var_os("CARGO_MANIFEST_DIR");
        let own = of_cargo.map_or_else(|| "compat-tests".into(), std::path::PathBuf::from);
        let root = own.join("../Cargo.toml");
        let build = escargot::CargoBuild::new().manifest_path(root).package("punchd").bin("punchd");
        let build = if cfg!(debug_assertions) { build } else { build.release() };
        let build = if cfg!(feature = "cluster") { build.features("cluster") } else { build };
        // These are set for tests. Build scripts of dependencies look at them, and would run again.
        let names = std::env::vars_os().filter_map(|(name, _)| name.into_string().ok());
        let of_test =
            |name: &String| ["CARGO_PKG_", "CARGO_MANIFEST_"].iter().any(|p| name.starts_with(p));
        let build = names.filter(of_test).fold(build, |build, name| build.env_remove(name));
        build.run().expect("building punchd").path().to_path_buf()
    })
}

/// A loopback address of its own for every peer of every test in this process, as servers tell
/// peers apart by address. Tests of other processes get others, except by a rare accident that
/// does no harm: they have servers of their own. The first 256 are of one /24, which has shares of what the server
/// bounds.
#[must_use]
pub fn loopback() -> IpAddr {
    use std::sync::atomic::{AtomicU32, Ordering};
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let n = NEXT.fetch_add(1, Ordering::Relaxed);
    let start = (std::process::id().wrapping_mul(0x9E37) % 0x00F0_0000) & !0xFF;
    IpAddr::V4(Ipv4Addr::from(0x7F01_0000 + (start + n) % 0x00F0_0000))
}

fn port_in(line: &str) -> Option<u16> {
    let (_, rest) = line.split_once("listening on port ")?;
    let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().ok()
}
