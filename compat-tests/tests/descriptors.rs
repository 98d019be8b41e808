//! Running out of file descriptors: those who are served go on being served, the loop does not
//! spin, and a new connection is let in or refused at once.
#![expect(clippy::expect_used, reason = "a helper that fails is a test that fails")]

use std::collections::BTreeSet;
use std::io::Write;
use std::net::TcpStream;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use compat_tests::gmnet::wire;
use compat_tests::gmnet::{Host, HostConfig, Query};
use compat_tests::master::{Master, loopback};
use compat_tests::raw;
use compat_tests::skipped;
use punchd::limits;

const WAIT: Duration = Duration::from_secs(10);

/// Sets the soft limit of open files of a running server; false where that is not possible.
fn limit_files(pid: u32, files: usize) -> bool {
    let arguments = [format!("--pid={pid}"), format!("--nofile={files}:")];
    match Command::new("prlimit").args(arguments).status() {
        Ok(status) => {
            if !status.success() {
                skipped::note(&format!("prlimit: {status}"));
            }
            status.success()
        }
        Err(error) => {
            skipped::note(&format!("prlimit: {error}"));
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

/// Whether a new connection is served, or refused; in time in either case.
fn is_let_in(stream: &TcpStream) -> bool {
    let begun = Instant::now();
    let served = raw::asks(stream, wire::ASK_VERSION, b'\n', WAIT);
    assert!(begun.elapsed() < Duration::from_secs(1), "after {:?}", begun.elapsed());
    served
}

#[test]
fn hosts_are_served_new_ones_are_refused_at_once_and_the_loop_sleeps() {
    let master = Master::start(&["--max-connections", "200"]);
    let pid = master.pid().expect("an own server");
    let mut hosts: Vec<Host> = (0..10).map(|_| host(&master)).collect();
    if !limit_files(pid, files(pid)) {
        return;
    }
    let before = raw::processor_time(pid);
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(1) {
        assert!(!is_let_in(&raw::connect(master.addr(), loopback())), "nobody gives way");
        hosts.iter_mut().for_each(|host| host.confirm(WAIT).expect("served as before"));
        std::thread::sleep(Duration::from_millis(100));
    }
    let used = raw::processor_time(pid) - before;
    assert!(used < Duration::from_millis(400), "{used:?} of processor time in a second");

    assert!(limit_files(pid, 264));
    let new: Vec<_> = (0..40).map(|_| raw::connect(master.addr(), loopback())).collect();
    assert!(new.iter().all(is_let_in), "as soon as there are descriptors again");
    hosts.iter_mut().for_each(|host| host.confirm(WAIT).expect("still registered"));
    let log = master.stop();
    assert_eq!(log.matches("no room for more connections").count(), 1, "said once:\n{log}");
}

#[test]
fn idle_connections_make_room() {
    let master = Master::start(&["--max-connections", "200"]);
    let pid = master.pid().expect("an own server");
    let mut host = host(&master);
    // Each has its answer before the next one connects: those that ask in one turn are idle for equally long.
    let asked = |_| {
        let stream = raw::connect(master.addr(), loopback());
        assert!(raw::asks(&stream, wire::ASK_VERSION, b'\n', WAIT));
        stream
    };
    let idle: Vec<_> = (0..3).map(asked).collect();
    if !limit_files(pid, files(pid)) {
        return;
    }
    let deadline = Instant::now() + WAIT;
    while !is_let_in(&raw::connect(master.addr(), loopback())) {
        assert!(Instant::now() < deadline, "no room is made");
        std::thread::sleep(limits::IDLE_WHEN_FULL / 10);
    }
    assert!(raw::read_to_end(&idle[0], WAIT).1, "the oldest had to go");
    assert!(raw::asks(&idle[2], wire::ASK_VERSION, b'\n', WAIT), "and not the youngest");
    host.confirm(WAIT).expect("still registered");
}

#[test]
fn a_crowd_of_one_address_that_is_never_idle_makes_room_at_once() {
    let master = Master::start(&["--max-connections", "200"]);
    let pid = master.pid().expect("an own server");
    let mut hosts: Vec<Host> = (0..4).map(|_| host(&master)).collect();
    let address = loopback();
    let crowd: Vec<_> = (0..60).map(|_| raw::connect(master.addr(), address)).collect();
    assert!(crowd.iter().all(|stream| raw::asks(stream, wire::ASK_VERSION, b'\n', WAIT)));
    if !limit_files(pid, files(pid)) {
        return;
    }
    let (lobby, done) = (Query::default().request(), AtomicBool::new(false));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                // Those that had to go cannot be written to.
                crowd.iter().for_each(|mut stream| _ = stream.write_all(&lobby));
                std::thread::sleep(limits::IDLE_WHEN_FULL / 4);
            }
        });
        std::thread::sleep(limits::IDLE_WHEN_FULL);
        let new: Vec<_> = (0..20).map(|_| raw::connect(master.addr(), loopback())).collect();
        let let_in = new.iter().filter(|stream| is_let_in(stream)).count();
        done.store(true, Ordering::Relaxed);
        assert_eq!(let_in, 20);
    });
    hosts.iter_mut().for_each(|host| host.confirm(WAIT).expect("still registered"));
}
