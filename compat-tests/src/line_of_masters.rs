//! Servers that come one after the other in the same place: each is started by SIGUSR2 to the one before.

use std::net::SocketAddr;
use std::process::Command;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::master::Master;

const WAIT: Duration = Duration::from_secs(20);

/// What one says whose place is taken, behind the number of the process that has it now.
const GOES_ON: &str = " goes on with ";

/// The first of them, whose log all of them write, and the one that serves now.
pub struct Masters {
    first: Option<Master>,
    addr: SocketAddr,
    pid: u32,
}

impl Masters {
    /// A fresh server with these options.
    ///
    /// # Panics
    /// If it does not start.
    #[must_use]
    pub fn start(options: &[&str]) -> Self {
        Self::of(Master::start(options))
    }

    /// Runs a prepared command line of the server.
    ///
    /// # Panics
    /// If it does not start.
    #[must_use]
    pub fn spawn(command: Command) -> Self {
        Self::of(Master::spawn(command))
    }

    /// The same with the standard input and output that it was given; the command has to see to it that the log
    /// goes to its standard error.
    ///
    /// # Panics
    /// If it does not start.
    #[must_use]
    pub fn watch(command: Command) -> Self {
        Self::of(Master::watch(command))
    }

    #[expect(clippy::expect_used, reason = "a fixture fails its test")]
    fn of(first: Master) -> Self {
        let pid = first.pid().expect("its own server");
        Self { addr: first.addr(), pid, first: Some(first) }
    }

    /// Where they listen.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// The first of them, which may be gone.
    ///
    /// # Panics
    /// Never: it is there as long as this is.
    #[must_use]
    #[expect(clippy::expect_used, reason = "a fixture fails its test")]
    pub fn first(&self) -> &Master {
        self.first.as_ref().expect("it is taken at the end alone")
    }

    /// The process that serves now.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// What all of them have logged.
    #[must_use]
    pub fn log(&self) -> String {
        self.first.as_ref().map(Master::log).unwrap_or_default()
    }

    /// Waits until a line of the log contains this.
    ///
    /// # Panics
    /// If none does in time.
    pub fn wait_for_log(&self, text: &str) {
        self.first.iter().for_each(|first| first.wait_for_log(text));
    }

    /// Asks the one that serves now for another one.
    ///
    /// # Panics
    /// If it is gone.
    #[expect(clippy::expect_used, reason = "a fixture fails its test")]
    pub fn ask(&self) {
        kill(self.as_pid(), Signal::SIGUSR2).expect("signalling punchd");
    }

    /// Has the next one take over, and returns for how long nobody was served, in milliseconds.
    ///
    /// # Panics
    /// If it does not.
    #[expect(clippy::expect_used, reason = "a fixture fails its test")]
    pub fn succeed(&mut self) -> f64 {
        self.ask();
        let line = format!("took over from process {}: ", self.pid);
        self.wait_for_log(&line);
        let log = self.wait_for_both();
        let (before, _) = log.rsplit_once(GOES_ON).expect("the line of the one before");
        let (_, next) = before.rsplit_once("process ").expect("who goes on");
        self.pid = next.parse().expect("its number");
        let taken = log.lines().find(|said| said.contains(&line)).expect("this line");
        let pause = taken.rsplit_once("pause ").and_then(|(_, pause)| pause.strip_suffix(" ms"));
        pause.and_then(|pause| pause.parse().ok()).expect("the pause")
    }

    /// Waits until all who have handed over have said so as well, which they may do late. Returns what was logged.
    fn wait_for_both(&self) -> String {
        let deadline = Instant::now() + WAIT;
        loop {
            let log = self.log();
            if log.matches(GOES_ON).count() >= log.matches("took over from process ").count() {
                return log;
            }
            assert!(Instant::now() < deadline, "who goes on is not said:\n{log}");
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// Ends the last of them. Returns what all have logged.
    ///
    /// # Panics
    /// If one does not end well.
    #[must_use]
    pub fn end(mut self) -> String {
        self.stop().unwrap_or_default()
    }

    fn stop(&mut self) -> Option<String> {
        let first = self.first.take()?;
        // It may be gone already.
        let _ = kill(self.as_pid(), Signal::SIGTERM);
        let (status, log) = first.ended(WAIT);
        assert!(status.success(), "punchd ended with {status}; its log:\n{log}");
        assert!(!log.contains("ERROR"), "punchd logged an error:\n{log}");
        Some(log)
    }

    #[expect(clippy::cast_possible_wrap, reason = "process IDs are below 2^22")]
    fn as_pid(&self) -> Pid {
        Pid::from_raw(self.pid as i32)
    }
}

impl Drop for Masters {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let _ = kill(self.as_pid(), Signal::SIGKILL);
        } else {
            self.stop();
        }
    }
}
