//! Runs the GML drivers of the sample and reads what they say.

use std::io::{BufRead, BufReader, Read};
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use compat_tests::master::loopback;
use compat_tests::skipped;

/// How long anything may take that is not itself a wait. What happens takes a second or two; the
/// rest is patience with a busy machine.
pub(crate) const WAIT: Duration = Duration::from_secs(30);

/// A game ends by itself after so many seconds, should its test die without ending it.
const LONGEST: &str = "120";

/// The exit code after an error in the GML code.
const GML_ERROR: i32 = 70;

/// Where `gml-run` is if nothing else is said.
const BESIDE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/gml/gml-run");

/// Whether there is a `gml-run`; if not, notes that the test is skipped.
pub(crate) fn is_here() -> bool {
    if found().is_none() {
        skipped::note(&format!("PUNCH_GML_RUN is not set and there is no {BESIDE}"));
    }
    found().is_some()
}

fn found() -> Option<&'static PathBuf> {
    static FOUND: OnceLock<Option<PathBuf>> = OnceLock::new();
    FOUND
        .get_or_init(|| {
            let named = std::env::var_os("PUNCH_GML_RUN").map(PathBuf::from);
            // A name that leads nowhere is a mistake, and no reason to skip.
            named.or_else(|| Some(PathBuf::from(BESIDE)).filter(|path| path.exists()))
        })
        .as_ref()
}

/// An address for a master server that nobody else uses, neither now nor a second time.
pub(crate) fn place() -> SocketAddr {
    SocketAddr::new(loopback(), 6510)
}

/// A game: one process with an address of its own, behind a filter as of a NAT.
pub(crate) struct Game {
    child: Child,
    at: IpAddr,
    lines: Receiver<String>,
    said: Vec<String>,
    /// Up to which line of `said` the test has read.
    read: usize,
}

impl Game {
    /// Starts a driver of `compat-tests/gml/` with the project.
    pub(crate) fn start(
        driver: &str,
        master: SocketAddr,
        at: IpAddr,
        set: &[(&str, &str)],
    ) -> Self {
        let file = format!("{}/gml/{driver}.gml", env!("CARGO_MANIFEST_DIR"));
        let (ip, port) = (master.ip().to_string(), master.port().to_string());
        let mut options = vec!["--driver".to_owned(), file];
        for (name, value) in [("master_ip", ip.as_str()), ("master_port", &port)].iter().chain(set)
        {
            options.extend(["--set".to_owned(), format!("{name}={value}")]);
        }
        let options: Vec<&str> = options.iter().map(String::as_str).collect();
        Self::run(at, &options)
    }

    /// Runs the project with options of `gml-run`.
    pub(crate) fn run(at: IpAddr, options: &[&str]) -> Self {
        let project = concat!(env!("CARGO_MANIFEST_DIR"), "/../gml-client-sample");
        let mut command = Command::new(found().expect("asked for with is_here()"));
        command
            .args(["--project", project, "--local-addr", &at.to_string()])
            .args(["--udp-filter", "address-and-port", "--seconds", LONGEST])
            .args(["--save-dir", concat!(env!("CARGO_TARGET_TMPDIR"), "/gml")])
            .args(options);
        Self::spawn(at, command)
    }

    /// Runs a subcommand of `punch`, at an address of its own too.
    pub(crate) fn punch(at: IpAddr, options: &[&str]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_punch"));
        command.args(options).args(["--bind", &at.to_string()]);
        Self::spawn(at, command)
    }

    fn spawn(at: IpAddr, mut command: Command) -> Self {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("starting a game");
        let (sink, lines) = channel();
        let pipes: [Box<dyn Read + Send>; 2] = [
            Box::new(child.stdout.take().expect("stdout is piped")),
            Box::new(child.stderr.take().expect("stderr is piped")),
        ];
        for pipe in pipes {
            let sink = sink.clone();
            std::thread::spawn(move || {
                let mut lines = BufReader::new(pipe).lines().map_while(Result::ok);
                lines.try_for_each(|line| sink.send(line))
            });
        }
        Self { child, at, lines, said: Vec::new(), read: 0 }
    }

    /// Its address.
    pub(crate) fn at(&self) -> IpAddr {
        self.at
    }

    /// The value of the next line `KEY=VALUE` with this key, if the game says one in time.
    pub(crate) fn next(&mut self, key: &str, within: Duration) -> Option<String> {
        self.find(within, |line| line.strip_prefix(key)?.strip_prefix('='))
    }

    /// Waits for a line with this text, such as those of `punch`.
    pub(crate) fn wait_for_line(&mut self, text: &str) {
        if self.find(WAIT, |line| line.contains(text).then_some(line)).is_none() {
            self.fail(&format!("does not say {text:?}"));
        }
    }

    fn find(&mut self, within: Duration, is_it: impl Fn(&str) -> Option<&str>) -> Option<String> {
        let deadline = Instant::now() + within;
        loop {
            while let Some(line) = self.said.get(self.read) {
                self.read += 1;
                if let Some(found) = is_it(line) {
                    return Some(found.to_owned());
                }
            }
            let left = deadline.saturating_duration_since(Instant::now());
            match self.lines.recv_timeout(left) {
                Ok(line) => self.said.push(line),
                Err(RecvTimeoutError::Timeout) => return None,
                Err(RecvTimeoutError::Disconnected) => self.fail("has ended too early"),
            }
        }
    }

    /// The value of the next line with this key.
    pub(crate) fn value(&mut self, key: &str) -> String {
        match self.next(key, WAIT) {
            Some(value) => value,
            None => self.fail(&format!("does not say {key}=")),
        }
    }

    /// Waits until the game says exactly this.
    pub(crate) fn wait_for(&mut self, key: &str, value: &str) {
        self.wait_until(key, &format!("={value}"), |said| said == value);
    }

    /// Waits until the game says something of which `is_it` holds, and gives that back.
    pub(crate) fn wait_until(
        &mut self,
        key: &str,
        what: &str,
        is_it: impl Fn(&str) -> bool,
    ) -> String {
        let deadline = Instant::now() + WAIT;
        loop {
            match self.next(key, deadline.saturating_duration_since(Instant::now())) {
                Some(value) if is_it(&value) => return value,
                Some(_) => {}
                None => self.fail(&format!("does not say {key}{what}")),
            }
        }
    }

    /// Passes over what it has said so far.
    pub(crate) fn skip(&mut self) {
        self.said.extend(self.lines.try_iter());
        self.read = self.said.len();
    }

    /// All values that it has said with this key, whether the test has read them or not.
    pub(crate) fn all(&mut self, key: &str) -> Vec<String> {
        self.said.extend(self.lines.try_iter());
        let prefix = format!("{key}=");
        self.said.iter().filter_map(|line| line.strip_prefix(&prefix)).map(str::to_owned).collect()
    }

    /// Waits until it ends by itself, and gives its exit code.
    pub(crate) fn exit_code(&mut self) -> i32 {
        let deadline = Instant::now() + WAIT;
        loop {
            match self.child.try_wait().expect("waiting for a game") {
                Some(status) => return status.code().unwrap_or(-1),
                None if Instant::now() >= deadline => self.fail("does not end"),
                None => std::thread::sleep(Duration::from_millis(5)),
            }
        }
    }

    /// What it has said, all of it if it has ended.
    pub(crate) fn output(&mut self) -> String {
        self.said.extend(self.lines.try_iter());
        while let Ok(line) = self.lines.recv_timeout(Duration::from_millis(200)) {
            self.said.push(line);
        }
        self.said.join("\n")
    }

    fn fail(&mut self, what: &str) -> ! {
        let output = self.output();
        panic!("the game at {} {what}; it said:\n{output}", self.at);
    }
}

impl Drop for Game {
    fn drop(&mut self) {
        let ended = self.child.try_wait().ok().flatten();
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            let output = self.output();
            eprintln!("--- the game at {}\n{output}\n---", self.at);
        } else if ended.is_some_and(|status| status.code() == Some(GML_ERROR)) {
            self.fail("has an error in its GML");
        }
    }
}
