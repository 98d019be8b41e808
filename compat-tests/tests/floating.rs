//! Two nodes with one floating address, which keepalived gives to one that serves: what shipped games know. Their
//! machines, that of a host and that of the players are network namespaces, so it takes root.
#![cfg(target_os = "linux")]
#![expect(clippy::expect_used, clippy::panic, reason = "a helper that fails is a test that fails")]

use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use compat_tests::skipped;

const WAIT: Duration = Duration::from_secs(30);

/// So long after a node or its machine is gone, players may find nobody at the address.
const MOVED: Duration = Duration::from_secs(5);

/// So long after a node with a higher priority is back it would have the address, if it took that.
const TAKEN_BACK: Duration = Duration::from_secs(4);

/// What games know.
const FLOATING: &str = "10.77.0.100";

/// The machine of a host that knows the floating address alone.
const HOME: usize = 3;

/// Machines at one switch: two for nodes, one for players, and [`HOME`].
struct Machines {
    prefix: String,
    folder: PathBuf,
    children: Vec<(usize, Child)>,
}

/// Whether all programs are there and this is root.
fn can_run() -> bool {
    if !cfg!(feature = "cluster") {
        skipped::note("this was built without --features cluster");
        return false;
    }
    for (program, asked) in
        [("ip", "-V"), ("curl", "-V"), ("keepalived", "-v"), ("nats-server", "--version")]
    {
        let mut command = Command::new(program);
        let command = command.arg(asked).stdout(Stdio::null()).stderr(Stdio::null());
        if !command.status().is_ok_and(|status| status.success()) {
            skipped::note(&format!("there is no {program} in PATH"));
            return false;
        }
    }
    if !nix::unistd::geteuid().is_root() {
        skipped::note("network namespaces take root");
        return false;
    }
    true
}

fn ip(words: &str) -> bool {
    let words = words.split_whitespace();
    Command::new("ip").args(words).status().expect("running ip").success()
}

impl Machines {
    fn new() -> Option<Self> {
        if !can_run() {
            return None;
        }
        let prefix = format!("pd{}x", std::process::id());
        let folder = std::env::temp_dir().join(format!("{prefix}floating"));
        fs::create_dir_all(&folder).expect("a folder");
        let all = Self { prefix, folder, children: Vec::new() };
        if !ip(&format!("netns add {}", all.name(0))) {
            skipped::note("this system has no network namespaces");
            return None;
        }
        all.on(0, "ip link add switch type bridge");
        all.on(0, "ip address add 10.77.0.1/24 dev switch");
        all.on(0, "ip link set switch up");
        all.on(0, "ip link set lo up");
        for n in [1, 2, HOME] {
            let name = all.name(n);
            assert!(ip(&format!("netns add {name}")));
            let line = format!("ip link add line{n} type veth peer name net netns {name}");
            all.on(0, &line);
            all.on(0, &format!("ip link set line{n} master switch"));
            all.on(0, &format!("ip link set line{n} up"));
            all.on(n, &format!("ip address add {}/24 dev net", at(n)));
            all.on(n, "ip link set net up");
            all.on(n, "ip link set lo up");
        }
        Some(all)
    }

    fn name(&self, n: usize) -> String {
        format!("{}{n}", self.prefix)
    }

    fn command(&self, n: usize, words: &str) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.name(n)]).args(words.split_whitespace());
        command.stdin(Stdio::null());
        command
    }

    /// Does something on a machine.
    fn on(&self, n: usize, words: &str) {
        let status = self.command(n, words).status().expect("running ip");
        assert!(status.success(), "{words}");
    }

    /// Starts something on a machine; what it says goes into a file.
    fn start(&mut self, n: usize, what: &str, words: &str) -> usize {
        let log = fs::File::create(self.log(n, what)).expect("a log");
        let mut command = self.command(n, words);
        command.stderr(log.try_clone().expect("a log")).stdout(log);
        self.children.push((n, command.spawn().expect(what)));
        self.children.len() - 1
    }

    fn log(&self, n: usize, what: &str) -> PathBuf {
        self.folder.join(format!("{what}{n}.log"))
    }

    /// The processes of a node, of which that of punchd is returned.
    fn start_node(&mut self, n: usize) -> usize {
        let own = at(n);
        let routes = [1, 2].map(|n| format!("nats://{}:6222", at(n))).join(",");
        let nats = format!("nats-server -a {own} -p 4222 --cluster_name test --routes {routes}");
        self.start(n, "nats", &format!("{nats} --cluster nats://{own}:6222"));
        let config = self.folder.join(format!("keepalived{n}.conf"));
        fs::write(&config, keepalived_config(n)).expect("writing");
        let (config, pid) = (config.display(), self.folder.join(format!("pid{n}")));
        let pids = format!("-p {0} -r {0}v -c {0}c", pid.display());
        self.start(n, "keepalived", &format!("keepalived -n -l -f {config} {pids}"));
        self.start_punchd(n)
    }

    fn start_punchd(&mut self, n: usize) -> usize {
        let servers = [n, 3 - n].map(|n| format!("nats://{}:4222", at(n))).join(",");
        let punchd = compat_tests::master::binary().display();
        self.start(n, "punchd", &format!("{punchd} --cluster {servers} --node n{n}"))
    }

    /// A host on machine `n` registers there.
    fn start_host(&mut self, n: usize, master: &str, name: &'static str) {
        let punch = env!("CARGO_BIN_EXE_punch");
        let host = format!("{punch} host --master {master}:6510 --data1 Pong --data2 {name}");
        self.start(n, name, &host);
    }

    /// What the tool for players says there.
    fn punch(&self, words: &str) -> Output {
        let punch = env!("CARGO_BIN_EXE_punch");
        self.command(0, &format!("{punch} {words}")).output().expect("running punch")
    }

    /// The names of the hosts that players find; none if there is no answer.
    fn lobby(&self) -> Option<Vec<&'static str>> {
        let lobby = self.punch(&format!("lobby --master {FLOATING}:6510 --json"));
        let text = String::from_utf8_lossy(&lobby.stdout).into_owned();
        let names = ["one", "two", "home"].into_iter().filter(|name| text.contains(name));
        lobby.status.success().then(|| names.collect())
    }

    /// A player gets to the host on this machine.
    fn join(&self, n: usize) {
        let join = self.punch(&format!("join --master {FLOATING}:6510 {}", at(n)));
        assert!(join.status.success(), "{join:?}");
    }

    fn has_address(&self, n: usize) -> bool {
        let all = self.command(n, "ip address show dev net").output().expect("running ip").stdout;
        String::from_utf8_lossy(&all).contains(FLOATING)
    }

    /// The address stays there for as long as the other node would take to have it.
    fn keeps_address(&self, n: usize, other: usize) {
        let start = Instant::now();
        while start.elapsed() < TAKEN_BACK {
            assert!(self.has_address(n) && !self.has_address(other), "it moved");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// How often keepalived there has found that its node serves after it did not.
    fn found_serving(&self, n: usize) -> usize {
        let log = fs::read_to_string(self.log(n, "keepalived")).expect("a log");
        log.matches("VRRP_Script(serves) succeeded").count()
    }

    fn wait_for(&self, what: &str, within: Duration, is_so: impl Fn(&Self) -> bool) -> Duration {
        let start = Instant::now();
        while !is_so(self) {
            if start.elapsed() > within {
                let logs = [(1, "punchd"), (2, "punchd"), (1, "keepalived"), (2, "keepalived")];
                let logs = logs.map(|(n, what)| fs::read_to_string(self.log(n, what)));
                panic!("{what}: not within {within:?}: {:?}; {logs:#?}", self.lobby());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        start.elapsed()
    }

    /// Kills all that runs on a machine, or one process of it.
    fn kill(&mut self, n: usize, only: Option<usize>) {
        for (i, (of, child)) in self.children.iter_mut().enumerate() {
            if *of == n && only.is_none_or(|only| only == i) {
                let _ = child.kill();
                let _ = child.wait();
            }
        }
    }
}

impl Drop for Machines {
    fn drop(&mut self) {
        (0..=HOME).for_each(|n| self.kill(n, None));
        (0..=HOME).for_each(|n| _ = ip(&format!("netns del {}", self.name(n))));
        let _ = fs::remove_dir_all(&self.folder);
    }
}

fn at(n: usize) -> String {
    format!("10.77.0.1{n}")
}

/// As README has it, for this network.
fn keepalived_config(n: usize) -> String {
    let readme = include_str!("../../README.md");
    let (_, config) = readme.split_once("```text\nglobal_defs {").expect("one in README");
    let (config, _) = config.split_once("```").expect("its end");
    let mut config = format!("global_defs {{{config}");
    let priority = format!("priority {}", 200 - n);
    for (from, to) in [("eth0", "net"), ("203.0.113.100", FLOATING), ("priority 100", &priority)] {
        assert!(config.contains(from), "no {from} in README's configuration");
        config = config.replace(from, to);
    }
    config
}

#[test]
fn games_that_know_one_address_find_a_node_that_lives() {
    let Some(mut machines) = Machines::new() else { return };
    let first = machines.start_node(1);
    machines.wait_for("a node", WAIT, |all| all.has_address(1) && all.lobby().is_some());
    machines.start_node(2);
    machines.wait_for("the other", WAIT, |all| {
        all.punch(&format!("lobby --master {}:6510", at(2))).status.success()
    });
    machines.start_host(1, &at(1), "one");
    machines.start_host(2, &at(2), "two");
    machines.start_host(HOME, FLOATING, "home");
    let is_whole = |all: &Machines| all.lobby() == Some(vec!["one", "two", "home"]);
    machines.wait_for("all hosts", WAIT, is_whole);
    machines.join(HOME);
    // Only punchd dies.
    machines.kill(1, Some(first));
    let is_moved = |lobby: Vec<&str>| lobby.contains(&"two") && !lobby.contains(&"one");
    let took = machines.wait_for("another node", MOVED, |all| all.lobby().is_some_and(is_moved));
    println!("another node has the address {took:?} after punchd is killed");
    machines.join(2);
    machines.wait_for("the host that knows it", WAIT, |all| {
        all.lobby().is_some_and(|lobby| lobby.contains(&"home"))
    });
    machines.join(HOME);
    // It is back, and leaves the address where the connections of hosts are, though its priority is higher.
    let before = machines.found_serving(1);
    machines.start_punchd(1);
    machines.wait_for("the first", WAIT, |all| all.found_serving(1) > before);
    machines.keeps_address(2, 1);
    machines.join(HOME);
    machines.wait_for("all again", WAIT, is_whole);
    // The machine that has it dies, and nobody says so.
    machines.on(0, "ip link set line2 down");
    machines.kill(2, None);
    let is_moved = |lobby: Vec<&str>| lobby.contains(&"one") && !lobby.contains(&"two");
    let took = machines.wait_for("the first", MOVED, |all| all.lobby().is_some_and(is_moved));
    println!("another node has the address {took:?} after its machine is gone");
    machines.join(1);
}
