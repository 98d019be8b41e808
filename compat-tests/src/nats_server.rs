//! Servers of NATS for nodes of a cluster: the program `nats-server` from PATH, or the one that `NATS_SERVER_BIN`
//! names. Without it tests note that they are skipped.

use std::ffi::OsString;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// How long a server may take until it answers.
const READY_WITHIN: Duration = Duration::from_secs(20);

/// Several servers that are one.
#[derive(Debug)]
pub struct NatsServers {
    program: OsString,
    ports: Vec<[u16; 2]>,
    children: Vec<Option<Child>>,
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
        Some(Self { program, ports, children: (0..count).map(|_| None).collect() })
    }

    /// The same, with all of them started.
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
        let routes: Vec<String> =
            self.ports.iter().map(|[_, route]| format!("nats://127.0.0.1:{route}")).collect();
        let mut command = Command::new(&self.program);
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
    }
}
