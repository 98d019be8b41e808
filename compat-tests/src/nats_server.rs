//! Servers of NATS for nodes of a cluster: the program `nats-server` from PATH, or the one that `NATS_SERVER_BIN`
//! names. Without it tests note that they are skipped.

use std::ffi::OsString;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

/// How long a server may take until it answers.
const READY_WITHIN: Duration = Duration::from_secs(20);

/// Several servers that are one.
#[derive(Debug)]
pub struct NatsServers {
    program: OsString,
    ports: Vec<[u16; 2]>,
    children: Vec<Option<Child>>,
    /// How long a message between two servers takes.
    distance: Duration,
    /// The file that says how long messages may be, if they may not be as long as usual.
    config: Option<PathBuf>,
}

/// The program, if it can be run.
fn program() -> Option<OsString> {
    let program = std::env::var_os("NATS_SERVER_BIN").unwrap_or_else(|| "nats-server".into());
    let mut version = Command::new(&program);
    version.arg("--version").stdout(Stdio::null()).stderr(Stdio::null());
    version.status().is_ok_and(|status| status.success()).then_some(program)
}

/// Ports that nobody has now.
#[expect(clippy::expect_used, reason = "a fixture fails its test")]
fn free_ports() -> [u16; 2] {
    let listeners =
        [0, 1].map(|_| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port"));
    listeners.map(|listener| listener.local_addr().expect("its address").port())
}

fn route_at(port: u16) -> String {
    format!("nats://127.0.0.1:{port}")
}

/// Connects whoever comes to the returned port with this one. What is sent takes so long in each direction.
fn long_line(to: u16, distance: Duration) -> io::Result<u16> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let port = listener.local_addr()?.port();
    std::thread::spawn(move || {
        while let Ok((one, _)) = listener.accept() {
            let Ok(other) = TcpStream::connect((Ipv4Addr::LOCALHOST, to)) else { continue };
            let (Ok(back), Ok(forth)) = (one.try_clone(), other.try_clone()) else { continue };
            carry(one, other, distance);
            carry(forth, back, distance);
        }
    });
    Ok(port)
}

/// Carries what one sends to the other, which gets it so much later.
fn carry(mut from: TcpStream, mut to: TcpStream, distance: Duration) {
    let (sender, receiver) = mpsc::channel::<(Instant, Vec<u8>)>();
    std::thread::spawn(move || {
        let mut bytes = [0; 1 << 16];
        while let Ok(count @ 1..) = from.read(&mut bytes) {
            let piece = bytes.get(..count).unwrap_or_default().to_vec();
            if sender.send((Instant::now() + distance, piece)).is_err() {
                break;
            }
        }
    });
    std::thread::spawn(move || {
        while let Ok((due, piece)) = receiver.recv() {
            std::thread::sleep(due.saturating_duration_since(Instant::now()));
            if to.write_all(&piece).is_err() {
                break;
            }
        }
        let _ = to.shutdown(Shutdown::Both);
    });
}

impl NatsServers {
    /// Finds places for so many servers, none of which runs yet. None: there is no such program here, or the tested
    /// punchd cannot use it, which is noted.
    #[must_use]
    pub fn places(count: usize) -> Option<Self> {
        if !cfg!(feature = "cluster") {
            crate::skipped::note("this was built without --features cluster");
            return None;
        }
        let Some(program) = program() else {
            crate::skipped::note("there is no nats-server in PATH, nor by NATS_SERVER_BIN");
            return None;
        };
        let ports = (0..count).map(|_| free_ports()).collect();
        let children = (0..count).map(|_| None).collect();
        Some(Self { program, ports, children, distance: Duration::ZERO, config: None })
    }

    /// Two of them that run, between which a message takes so long.
    #[must_use]
    pub fn two_apart(distance: Duration) -> Option<Self> {
        let mut servers = Self::places(2)?;
        servers.distance = distance;
        (0..2).for_each(|n| servers.run(n));
        Some(servers)
    }

    /// One that runs, and takes no messages of more bytes than this.
    #[must_use]
    #[expect(clippy::expect_used, reason = "a fixture fails its test")]
    pub fn with_max_payload(bytes: usize) -> Option<Self> {
        let mut servers = Self::places(1)?;
        let [port, _] = servers.ports.first().copied().unwrap_or_default();
        let file = std::env::temp_dir().join(format!("punchd-nats-{port}.conf"));
        std::fs::write(&file, format!("max_payload: {bytes}\n")).expect("writing");
        servers.config = Some(file);
        servers.run(0);
        Some(servers)
    }

    /// The same as [`Self::places`], with all of them started.
    #[must_use]
    pub fn start(count: usize) -> Option<Self> {
        let mut servers = Self::places(count)?;
        (0..count).for_each(|n| servers.run(n));
        Some(servers)
    }

    /// Starts a server, and waits until it answers.
    ///
    /// # Panics
    /// If it does not.
    #[expect(clippy::expect_used, reason = "a fixture fails its test")]
    pub fn run(&mut self, n: usize) {
        let [port, route] = self.ports.get(n).copied().expect("one of them");
        let routes: Vec<String> = match self.distance {
            Duration::ZERO => self.ports.iter().map(|[_, route]| route_at(*route)).collect(),
            // The first one calls the other, over a line that takes its time; it has to be told of one route at least.
            distance => {
                let other = self.ports.get(1 - n).map_or(0, |[_, route]| *route);
                let line = (n == 0).then(|| long_line(other, distance).expect("a line"));
                vec![route_at(line.unwrap_or(route))]
            }
        };
        let mut command = Command::new(&self.program);
        self.config.iter().for_each(|file| _ = command.arg("-c").arg(file));
        command.args(["-a", "127.0.0.1", "-p", &port.to_string()]);
        command.args(["--cluster_name", "test"]);
        command.args(["--cluster", &format!("nats://127.0.0.1:{route}")]);
        command.args(["--routes", &routes.join(",")]);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let child = command.spawn().expect("starting nats-server");
        *self.children.get_mut(n).expect("one of them") = Some(child);
        let (at, deadline) = (self.at(n), Instant::now() + READY_WITHIN);
        while TcpStream::connect(at).is_err() {
            assert!(Instant::now() < deadline, "nats-server does not answer");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Kills a server.
    pub fn kill(&mut self, n: usize) {
        if let Some(child) = self.children.get_mut(n).and_then(Option::as_mut) {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    fn at(&self, n: usize) -> SocketAddr {
        let port = self.ports.get(n).map_or(0, |[port, _]| *port);
        SocketAddr::from((Ipv4Addr::LOCALHOST, port))
    }

    /// The URL of one of them.
    #[must_use]
    pub fn url(&self, n: usize) -> String {
        format!("nats://{}", self.at(n))
    }

    /// The URLs of all, as `--cluster` takes them, this one first.
    #[must_use]
    pub fn urls(&self, first: usize) -> String {
        let count = self.ports.len();
        let urls: Vec<String> = (0..count).map(|n| self.url((first + n) % count)).collect();
        urls.join(",")
    }
}

impl Drop for NatsServers {
    fn drop(&mut self) {
        (0..self.children.len()).for_each(|n| self.kill(n));
        self.config.iter().for_each(|file| _ = std::fs::remove_file(file));
    }
}
