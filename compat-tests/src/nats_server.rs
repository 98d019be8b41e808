//! Servers of NATS for nodes of a cluster: the program `nats-server` from PATH, or the one that `NATS_SERVER_BIN`
//! names. Without it tests note that they are skipped.

mod line;

use std::ffi::OsString;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use self::line::Line;

/// How long a server may take until it answers.
const READY_WITHIN: Duration = Duration::from_secs(20);

/// Where servers that have lines say that they are: nobody is there, as they would tell each other of ways around the
/// lines.
const NOWHERE: &str = "127.0.0.1:1";

/// How long a server takes until it notices that a line is cut.
#[derive(Clone, Copy, Debug)]
pub enum Notices {
    /// About two seconds: then it gives the connection up, and looks for the other server.
    Soon,
    /// Minutes, as it is left to itself: a shorter cut is but a pause, after which all that was said arrives.
    Late,
}

/// Several servers that are one.
#[derive(Debug)]
pub struct NatsServers {
    program: OsString,
    ports: Vec<[u16; 2]>,
    children: Vec<Option<Child>>,
    /// What lies between these two, if anything does.
    lines: Vec<(usize, usize, Line)>,
    /// The file that says what is not as usual.
    config: Option<PathBuf>,
}

/// The program, if it can be run.
fn program() -> Option<OsString> {
    let program = std::env::var_os("NATS_SERVER_BIN").unwrap_or_else(|| "nats-server".into());
    let mut version = Command::new(&program);
    version.arg("--version").stdout(Stdio::null()).stderr(Stdio::null());
    version.status().is_ok_and(|status| status.success()).then_some(program)
}

/// Ports for one server. The system gives those from 32768 on to anybody, and a server that has none while another test's
/// is at that port would not be missed: nodes of two tests would be one cluster.
fn free_ports() -> [u16; 2] {
    const FIRST: u32 = 18_000;
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let start = std::process::id().wrapping_mul(0x9E37);
    let free = std::iter::repeat_with(|| {
        let n = start.wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed));
        (FIRST + n % (32_000 - FIRST)) as u16
    });
    let mut free = free.filter(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok());
    [(); 2].map(|()| free.next().unwrap_or_default())
}

fn route_at(port: u16) -> String {
    format!("nats://127.0.0.1:{port}")
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
        Some(Self { program, ports, children, lines: Vec::new(), config: None })
    }

    /// Two of them that run, between which a message takes so long.
    #[must_use]
    pub fn two_apart(distance: Duration) -> Option<Self> {
        let mut servers = Self::places(2)?;
        servers.lines = vec![(0, 1, Line::new(distance))];
        (0..2).for_each(|n| servers.run(n));
        Some(servers)
    }

    /// So many that run, and can be cut off from each other.
    #[must_use]
    pub fn on_lines(count: usize, notices: Notices) -> Option<Self> {
        let mut servers = Self::places(count)?;
        let pairs = (0..count).flat_map(|one| (one + 1..count).map(move |other| (one, other)));
        servers.lines = pairs.map(|(one, other)| (one, other, Line::default())).collect();
        if let Notices::Soon = notices {
            servers.configure("ping_interval: \"500ms\"\nping_max: 2\n");
        }
        (0..count).for_each(|n| servers.run(n));
        Some(servers)
    }

    /// One that runs, and takes no messages of more bytes than this.
    #[must_use]
    pub fn with_max_payload(bytes: usize) -> Option<Self> {
        let mut servers = Self::places(1)?;
        servers.configure(&format!("max_payload: {bytes}\n"));
        servers.run(0);
        Some(servers)
    }

    #[expect(clippy::expect_used, reason = "a fixture fails its test")]
    fn configure(&mut self, text: &str) {
        let [port, _] = self.ports.first().copied().unwrap_or_default();
        let file = std::env::temp_dir().join(format!("punchd-nats-{port}.conf"));
        std::fs::write(&file, text).expect("writing");
        self.config = Some(file);
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
        let mut command = Command::new(&self.program);
        self.config.iter().for_each(|file| _ = command.arg("-c").arg(file));
        command.args(["-a", "127.0.0.1", "-p", &port.to_string()]);
        command.args(["--cluster_name", "test"]);
        command.args(["--cluster", &format!("nats://127.0.0.1:{route}")]);
        command.args(["--routes", &self.routes(n).join(",")]);
        if !self.lines.is_empty() {
            // Nodes know none but those that they are given, either.
            command.args(["--cluster_advertise", NOWHERE, "--no_advertise"]);
        }
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let child = command.spawn().expect("starting nats-server");
        *self.children.get_mut(n).expect("one of them") = Some(child);
        let (at, deadline) = (self.at(n), Instant::now() + READY_WITHIN);
        while TcpStream::connect(at).is_err() {
            assert!(Instant::now() < deadline, "nats-server does not answer");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// The servers that one of them calls.
    #[expect(clippy::expect_used, reason = "a fixture fails its test")]
    fn routes(&self, n: usize) -> Vec<String> {
        let place = |n: usize| self.ports.get(n).map_or(0, |[_, route]| *route);
        if self.lines.is_empty() {
            return (0..self.ports.len()).map(|n| route_at(place(n))).collect();
        }
        // The first of two calls the other. It has to be told of one route at least, so this may be its own.
        let lines = self.lines.iter().filter(|(one, ..)| *one == n);
        let led = lines.map(|(_, other, line)| line.lead_to(place(*other)).expect("a line"));
        led.chain([place(n)]).map(route_at).collect()
    }

    /// Cuts a server off from all others, where there are lines: no bytes come through, and nobody is told.
    pub fn cut_off(&self, n: usize) {
        let all = self.lines.iter().filter(|(one, other, _)| [one, other].contains(&&n));
        all.for_each(|(.., line)| line.cut());
    }

    /// All lines are whole again.
    pub fn mend(&self) {
        self.lines.iter().for_each(|(.., line)| line.mend());
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
