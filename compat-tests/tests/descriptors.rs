//! Running out of file descriptors: those who are served go on being served, the loop does not
//! spin, and when there are descriptors again new connections are accepted.
#![expect(clippy::expect_used, reason = "a helper that fails is a test that fails")]

use std::collections::BTreeSet;
use std::process::Command;
use std::time::{Duration, Instant};

use compat_tests::gmnet::wire;
use compat_tests::gmnet::{Host, HostConfig};
use compat_tests::master::{Master, loopback};
use compat_tests::raw;
use punchd::limits;

const WAIT: Duration = Duration::from_secs(10);

/// Sets the soft limit of open files of a running server; false where that is not possible.
fn limit_files(pid: u32, files: usize) -> bool {
    let arguments = [format!("--pid={pid}"), format!("--nofile={files}:")];
    match Command::new("prlimit").args(arguments).status() {
        Ok(status) => status.success(),
        Err(error) => {
            eprintln!("skipped: prlimit: {error}");
            false
        }
    }
}

/// Descriptors are given out from the lowest free one on, so this limit allows no further one.
fn files(pid: u32) -> usize {
    let open = std::fs::read_dir(format!("/proc/{pid}/fd")).expect("the server's files");
    let numbers = open.flatten().filter_map(|e| e.file_name().to_str()?.parse().ok());
    let numbers: BTreeSet<usize> = numbers.collect();
    (0..).find(|n| !numbers.contains(n)).unwrap_or(usize::MAX)
}

fn host(master: &Master) -> Host {
    let config = HostConfig::new(master.addr()).on(loopback());
    Host::registered(config, WAIT).expect("registering")
}

#[test]
fn hosts_are_served_new_ones_wait_and_the_loop_sleeps() {
    let master = Master::start(&["--max-connections", "200"]);
    let pid = master.pid().expect("an own server");
    let mut hosts: Vec<Host> = (0..10).map(|_| host(&master)).collect();
    if !limit_files(pid, files(pid)) {
        return;
    }
    // The kernel completes these; the server cannot accept them.
    let waiting: Vec<_> = (0..40).map(|_| raw::connect(master.addr(), loopback())).collect();
    master.wait_for_log("no room for more connections");
    let before = raw::processor_time(pid);
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(1) {
        hosts.iter_mut().for_each(|host| host.confirm(WAIT).expect("served as before"));
        std::thread::sleep(Duration::from_millis(100));
    }
    let used = raw::processor_time(pid) - before;
    assert!(used < Duration::from_millis(400), "{used:?} of processor time in a second");
    assert!(!raw::asks(&waiting[0], wire::ASK_VERSION, b'\n', Duration::from_millis(100)));

    assert!(limit_files(pid, 264));
    for stream in &waiting {
        assert!(raw::asks(stream, wire::ASK_VERSION, b'\n', WAIT), "accepted at last");
    }
    hosts.iter_mut().for_each(|host| host.confirm(WAIT).expect("still registered"));
    let log = master.stop();
    assert_eq!(log.matches("no room for more connections").count(), 1, "said once:\n{log}");
}

#[test]
fn idle_connections_make_room() {
    let master = Master::start(&["--max-connections", "200"]);
    let pid = master.pid().expect("an own server");
    let mut host = host(&master);
    let idle: Vec<_> = (0..3).map(|_| raw::connect(master.addr(), loopback())).collect();
    assert!(idle.iter().all(|stream| raw::asks(stream, wire::ASK_VERSION, b'\n', WAIT)));
    if !limit_files(pid, files(pid)) {
        return;
    }
    let begun = Instant::now();
    let new = raw::connect(master.addr(), loopback());
    assert!(raw::asks(&new, wire::ASK_VERSION, b'\n', WAIT));
    assert!(begun.elapsed() < limits::IDLE_WHEN_FULL * 3, "after {:?}", begun.elapsed());
    assert!(raw::read_to_end(&idle[0], WAIT).1, "the oldest had to go");
    assert!(raw::asks(&idle[2], wire::ASK_VERSION, b'\n', WAIT), "and not the youngest");
    host.confirm(WAIT).expect("still registered");
}
