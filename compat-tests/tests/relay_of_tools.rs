//! The debug clients of rooms, events and natpunch through the relay of the real server: one has IPv4 and
//! the other IPv6, so that there is no other way.

use std::net::{IpAddr, Ipv6Addr, UdpSocket};
use std::process::{Command, Stdio};
use std::time::Duration;

use compat_tests::master::{Master, loopback};
use compat_tests::running::Running;
use compat_tests::skipped;

const PATIENCE: Duration = Duration::from_secs(30);

/// Says why a test cannot be done, if so.
fn lacks_ipv6() -> bool {
    let lacks = UdpSocket::bind((Ipv6Addr::LOCALHOST, 0)).is_err();
    if lacks {
        skipped::note("this machine has no IPv6");
    }
    lacks
}

/// A server at an address of both families, whose relay has other ports of them.
struct Both {
    master: Master,
    v4: IpAddr,
}

impl Both {
    /// Each test has ports of its own.
    fn start(ports: &str) -> Self {
        let v4 = loopback();
        let ip = v4.to_string();
        let options = ["--bind", &ip, "--bind", "::1", "--relay", "--relay-ports", ports];
        let master = Master::start(&options);
        Self { master, v4 }
    }

    fn punch(&self, is_v6: bool, arguments: &[&str]) -> Running {
        let port = self.master.addr().port();
        let master = if is_v6 { format!("[::1]:{port}") } else { format!("{}:{port}", self.v4) };
        let mut command = Command::new(env!("CARGO_BIN_EXE_punch"));
        // Options of natpunch stand before its command, those of rooms behind.
        let is_natpunch = arguments.first() == Some(&"natpunch");
        let (before, after) = arguments.split_at(if is_natpunch { 1 } else { arguments.len() });
        command.args(before).args(["--master", &master]).args(after);
        command.stdin(Stdio::piped());
        Running::start(command, PATIENCE)
    }
}

#[test]
fn players_of_rooms_meet_there() {
    if lacks_ipv6() {
        return;
    }
    let both = Both::start("20100-20107");
    let host = both.punch(true, &["rooms", "host", "Six", "--bind", "::1"]);
    host.line_with("open");
    let bind = both.v4.to_string();
    let say = ["rooms", "join", "Six", "--bind", &bind, "--say", "hello", "--for", "20"];
    let client = both.punch(false, &say);
    client.line_with(&format!("through at the second address, {bind}:201"));
    host.line_with("comes from [::1]:201");
    host.line_with("through at the first address, [::1]:201");
    host.line_with("hello");
    both.master.wait_for_log("(\"Six\") relayed after");
}

#[test]
fn players_of_events_meet_there() {
    if lacks_ipv6() {
        return;
    }
    let both = Both::start("20110-20117");
    let host = ["events", "--id", "host", "--do", "create Six", "--do", "wait 60"];
    let host = both.punch(true, &host);
    host.line_with("made the room");
    let client = ["events", "--id", "client", "--do", "join Six", "--do", "wait 60"];
    let client = both.punch(false, &client);
    client.line_with(&format!("through at the first address, {}:2011", both.v4));
    host.line_with("through at the first address, [::1]:2011");
    both.master.wait_for_log("(\"Six\") relayed after");
}

#[test]
fn clients_of_natpunch_meet_there() {
    if lacks_ipv6() {
        return;
    }
    let both = Both::start("20120-20127");
    let host = both.punch(true, &["natpunch", "create", "Six", "4"]);
    host.line_with("created");
    let client = both.punch(false, &["natpunch", "join", "Six"]);
    client.line_with(&format!("through at the first address, {}:2012", both.v4));
    client.line_with("met 1 of 1");
    host.line_with("through at the first address, [::1]:2012");
    both.master.wait_for_log("relayed after");
}
