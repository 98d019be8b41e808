//! Servers to measure, each a process on a core of its own.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::Failure;
use crate::raw::free_ports;

/// How long a server may take to start or to stop.
const PATIENCE: Duration = Duration::from_secs(20);

/// A running server. It is killed when dropped.
#[derive(Debug)]
pub struct Process {
    child: Child,
    addr: SocketAddr,
    /// The thread whose time is told.
    watched: Pid,
}

impl Process {
    /// Starts a master server of this program with these options, on a free port.
    ///
    /// # Errors
    /// If it does not start.
    pub fn punchd(program: &Path, options: &[&str]) -> Result<Self, Failure> {
        Self::start(Command::new(program).args(options).env("PUNCHD_HTTP", "off"))
    }

    /// Starts the bare loop, which `punch`, the debug client, has in it; see [`super::bare`].
    ///
    /// # Errors
    /// If it does not start.
    pub fn bare(punch: &Path, lobby: usize) -> Result<Self, Failure> {
        Self::start(Command::new(punch).arg("bare").args(["--lobby", &lobby.to_string()]))
    }

    /// Starts the bare loop that a relay is compared with, at this address; see [`super::bare_relay`].
    ///
    /// # Errors
    /// If it does not start.
    pub fn bare_relay(punch: &Path, at: Ipv4Addr) -> Result<Self, Failure> {
        Self::start(Command::new(punch).arg("bare").args(["--relay", &IpAddr::V4(at).to_string()]))
    }

    /// Starts a server that knows `--port`, and waits until it takes connections.
    fn start(command: &mut Command) -> Result<Self, Failure> {
        let port = free_ports().map_err(Failure::system("find a free port"))?;
        let addr = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        command.args(["--port", &port.to_string()]).env_remove("RUST_LOG");
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let begin = Instant::now();
        let child = command.spawn().map_err(Failure::system("start the server"))?;
        let watched = pid_of(&child);
        let mut server = Self { child, addr, watched };
        if let Some((core, _)) = cores() {
            pin(watched, core)?;
        }
        while TcpStream::connect(addr).is_err() {
            if let Ok(Some(status)) = server.child.try_wait() {
                return Err(Failure::Wrong(format!("the server ended at once: {status}")));
            }
            if begin.elapsed() > PATIENCE {
                return Err(Failure::Late("the server does not listen".into()));
            }
            std::thread::sleep(Duration::from_micros(100));
        }
        // Threads that it started before it was bound to a core itself.
        if let Some((core, _)) = cores() {
            server.threads()?.into_iter().try_for_each(|(thread, _)| pin(thread, core))?;
        }
        Ok(server)
    }

    /// From now on [`Self::cpu`] tells of its thread with this name.
    ///
    /// # Errors
    /// If it has none.
    pub fn watch(&mut self, name: &str) -> Result<(), Failure> {
        let thread = self.threads()?.into_iter().find(|(_, called)| called == name);
        let none = || Failure::Wrong(format!("the server has no thread {name}"));
        self.watched = thread.ok_or_else(none)?.0;
        Ok(())
    }

    /// Its threads, and their names.
    fn threads(&self) -> Result<Vec<(Pid, String)>, Failure> {
        let tasks = fs::read_dir(format!("/proc/{}/task", self.child.id()));
        let tasks = tasks.map_err(Failure::system("ask which threads the server has"))?;
        let of = |path: &Path| {
            let number = path.file_name()?.to_str()?.parse().ok()?;
            let name = fs::read_to_string(path.join("comm")).ok()?;
            Some((Pid::from_raw(number), name.trim_end().to_owned()))
        };
        Ok(tasks.filter_map(|task| of(&task.ok()?.path())).collect())
    }

    /// Where it listens.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// What its first thread, or the one that is [watched](Self::watch), has used of its core so far.
    ///
    /// # Errors
    /// If the system does not tell.
    pub fn cpu(&self) -> Result<Duration, Failure> {
        self.cpu_of(self.watched)
    }

    /// What all its threads together have used so far.
    ///
    /// # Errors
    /// If the system does not tell.
    pub fn cpu_of_all(&self) -> Result<Duration, Failure> {
        self.threads()?.into_iter().map(|(thread, _)| self.cpu_of(thread)).sum()
    }

    fn cpu_of(&self, thread: Pid) -> Result<Duration, Failure> {
        let text = self.read(&format!("task/{thread}/schedstat"))?;
        let nanos = text.split_whitespace().next().and_then(|word| word.parse().ok());
        nanos.map(Duration::from_nanos).ok_or_else(|| unreadable("schedstat"))
    }

    /// The same, once it has nothing to do any more.
    ///
    /// # Errors
    /// If the system does not tell.
    pub fn cpu_at_rest(&self) -> Result<Duration, Failure> {
        let mut before = self.cpu()?;
        for _ in 0..200 {
            std::thread::sleep(Duration::from_millis(10));
            let now = self.cpu()?;
            if now - before < Duration::from_micros(500) {
                return Ok(now);
            }
            before = now;
        }
        Ok(before)
    }

    /// Bytes of memory that it has, without what the kernel has for its sockets.
    ///
    /// # Errors
    /// If the system does not tell.
    pub fn memory(&self) -> Result<u64, Failure> {
        self.status("VmRSS:").map(|kib| kib * 1024)
    }

    /// Bytes of that memory into which its files were mapped: above all the program itself.
    ///
    /// # Errors
    /// If the system does not tell.
    pub fn mapped(&self) -> Result<u64, Failure> {
        self.status("RssFile:").map(|kib| kib * 1024)
    }

    /// How often it went to sleep so far, and so was woken up.
    ///
    /// # Errors
    /// If the system does not tell.
    pub fn sleeps(&self) -> Result<u64, Failure> {
        self.status("voluntary_ctxt_switches:")
    }

    /// Lets it stand still, so that work piles up, or go on.
    ///
    /// # Errors
    /// If it is gone.
    pub fn pause(&self, paused: bool) -> Result<(), Failure> {
        let signal = if paused { Signal::SIGSTOP } else { Signal::SIGCONT };
        kill(pid_of(&self.child), signal).map_err(Failure::system("signal the server"))
    }

    /// Ends it as its owner would.
    ///
    /// # Errors
    /// If it does not end, or not well.
    pub fn stop(mut self) -> Result<(), Failure> {
        kill(pid_of(&self.child), Signal::SIGTERM).map_err(Failure::system("signal the server"))?;
        let begin = Instant::now();
        while begin.elapsed() < PATIENCE {
            match self.child.try_wait().map_err(Failure::system("wait for the server"))? {
                Some(status) if status.success() => return Ok(()),
                Some(status) => return Err(Failure::Wrong(format!("it ended with {status}"))),
                None => std::thread::sleep(Duration::from_millis(1)),
            }
        }
        Err(Failure::Late("the server does not end".into()))
    }

    fn read(&self, file: &str) -> Result<String, Failure> {
        fs::read_to_string(format!("/proc/{}/{file}", self.child.id()))
            .map_err(Failure::system("ask what the server uses"))
    }

    fn status(&self, field: &'static str) -> Result<u64, Failure> {
        let text = self.read("status")?;
        let line = text.lines().find_map(|line| line.strip_prefix(field));
        let number = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
        number.ok_or_else(|| unreadable(field))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if let Ok(Some(status)) = self.child.try_wait()
            && !status.success()
        {
            eprintln!("the server on port {} is gone: {status}", self.addr.port());
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[expect(clippy::cast_possible_wrap, reason = "process IDs are below 2^22")]
fn pid_of(child: &Child) -> Pid {
    Pid::from_raw(child.id() as i32)
}

fn unreadable(what: &str) -> Failure {
    Failure::Wrong(format!("this system does not tell {what} of a process"))
}

/// The core for the server and the one for who asks it; none if there is only one core.
#[must_use]
pub fn cores() -> Option<(usize, usize)> {
    // Of the whole machine, as this process may have been pinned already.
    let allowed = sched_getaffinity(Pid::from_raw(1)).ok()?;
    let mut cores = (0..CpuSet::count()).filter(|core| allowed.is_set(*core).unwrap_or(false));
    Some((cores.next()?, cores.next()?))
}

/// Binds this thread to the core for who asks. Servers started later are bound to the other one.
///
/// # Errors
/// If the system refuses it.
pub fn pin_this_thread() -> Result<(), Failure> {
    cores().map_or(Ok(()), |(_, core)| pin(Pid::from_raw(0), core))
}

fn pin(pid: Pid, core: usize) -> Result<(), Failure> {
    let mut set = CpuSet::new();
    set.set(core)
        .and_then(|()| sched_setaffinity(pid, &set))
        .map_err(Failure::system("bind a process to a core"))
}
