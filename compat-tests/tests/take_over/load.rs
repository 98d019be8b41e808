//! Players of all kinds do what they do while processes take over, or fail to.

use std::net::SocketAddr;
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use compat_tests::gmnet::wire::Data;
use compat_tests::line_of_masters::Masters;
use compat_tests::master::{binary, loopback};

use super::failing::Fake;
use super::fixtures::{Ends, Host, Load, Program, WAIT, other, wanted};
use super::players::{
    Kept, ask, bind, join, join_again, look, natpunch, pass, rename, request, room,
};
use super::relayed::{self, Pair};

/// How often a new process takes over, and among how many hosts. Others are tried by
/// `PUNCH_TAKE_OVERS=50 PUNCH_HOSTS=1000 PUNCH_PACKETS=1000`.
const TIMES: usize = 20;
const HOSTS: usize = 100;

/// Puts the whole load on servers that run this program while this is done with them, and looks at what everybody has
/// seen of it. Returns what they have logged.
fn under_load(program: &Program, hosts: usize, act: impl FnOnce(&Load, &mut Masters)) -> String {
    let relay = loopback();
    let mut command = Command::new(program.path());
    command.args(["--port", "0", "--max-hosts", "1000000"]).args(relayed::options(relay));
    command.env_remove("PUNCHD_OTHER");
    let mut masters = Masters::spawn(command);
    let master = masters.addr();
    let data: Data = std::array::from_fn(|n| if n == 0 { "Load".into() } else { String::new() });
    let mut hosts: Vec<Host> = (0..hosts).map(|_| Host::new(master, &data)).collect();
    let at: Vec<SocketAddr> = hosts.iter().map(|host| host.at).collect();
    let pair = Pair::meet(master, relay);
    let (load, asked) = (Load::default(), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        let _ends = Ends(&load);
        let (load, at, asked, pair) = (&load, &at[..], &asked, &pair);
        let acting = [
            scope.spawn(move || look(load, master, at)),
            scope.spawn(move || join(load, master, at, asked, relay)),
            scope.spawn(move || join(load, master, &at[at.len() / 2..], asked, relay)),
            scope.spawn(move || join_again(load, master, at, asked, relay)),
            scope.spawn(move || join_again(load, master, &at[at.len() / 2..], asked, relay)),
            scope.spawn(move || ask(load, master)),
            scope.spawn(move || bind(load, master)),
            scope.spawn(move || room(load, master)),
            scope.spawn(move || rename(load, master)),
            scope.spawn(move || pass(load, master)),
            scope.spawn(move || request(load, master)),
            scope.spawn(move || natpunch(load, master)),
            scope.spawn(move || println!("{} packets relayed each way", pair.play(load))),
        ];
        act(load, &mut masters);
        load.wait_for(300);
        assert!(!acting.iter().any(|thread| thread.is_finished()), "somebody has noticed");
        load.is_over.store(true, Ordering::Relaxed);
        acting.into_iter().for_each(|thread| thread.join().unwrap());
    });
    // Who has asked once was told once, and his host as well, before one who asks for all of them.
    let asked = asked.into_inner().unwrap();
    println!("{} introductions", asked.len());
    let mut last = Kept::new(master);
    hosts.iter().for_each(|host| last.asks_for(host.at, relay));
    let last = last.game.local_addr().unwrap();
    for host in &mut hosts {
        let players = asked.iter().filter(|at| **at == host.at).count();
        let told = host.told_before(last, relay, master);
        let is_once = told.values().all(|times| *times == 1);
        assert!(told.len() == players && is_once, "{players}: {told:?}");
    }
    let log = masters.end();
    assert!(!log.contains("is lost") && !log.contains("is relayed any more"), "{log}");
    log
}

/// With `PUNCHD_OTHER` every second one is that one.
#[test]
fn nobody_notices_that_new_processes_take_over() {
    let (program, other) = (Program::new(), other());
    let mut pauses = Vec::new();
    let log = under_load(&program, wanted("PUNCH_HOSTS", HOSTS), |load, masters| {
        for n in 0..wanted("PUNCH_TAKE_OVERS", TIMES) {
            program.is(if n % 2 == 0 { &other } else { binary() });
            load.wait_for(300);
            pauses.push(masters.succeed());
        }
    });
    assert!(!log.contains("does not take over"), "{log}");
    pauses.sort_by(f64::total_cmp);
    println!("pauses in ms, sorted: {pauses:.1?}");
}

/// New processes that crash at any time, one that hangs, and one that takes over at last.
#[test]
fn nobody_notices_that_new_processes_fail() {
    let program = Program::new();
    under_load(&program, HOSTS, |load, masters| {
        let mut times = 0;
        let mut goes_on = |masters: &Masters, why: &str| {
            let (said, deadline) = ("and this one goes on: ", Instant::now() + WAIT);
            while masters.log().matches(said).count() == times {
                assert!(Instant::now() < deadline, "{}", masters.log());
                std::thread::sleep(Duration::from_millis(1));
            }
            times += 1;
            let log = masters.log();
            assert!(log.rsplit(said).next().is_some_and(|last| last.starts_with(why)), "{log}");
            load.wait_for(300);
        };
        program.is_script("exit 3");
        masters.ask();
        goes_on(masters, "it has ended (exit status: 3)");
        program.is_script("exec sleep 1000");
        masters.ask();
        goes_on(masters, "it was not ready within 5 s");
        let at = SocketAddr::new(std::net::Ipv6Addr::UNSPECIFIED.into(), masters.addr().port());
        for heard in ["\"Sockets\"", "\"Connected\"", "\"Whole\"", "\"Go\""] {
            let fake = Fake::ask(at);
            match heard {
                "\"Sockets\"" => fake.is_ready(),
                "\"Connected\"" => {
                    fake.is_ready();
                    fake.hear_until(heard);
                }
                "\"Whole\"" => fake.is_told(),
                _ => {
                    fake.is_told();
                    fake.say("\"HaveAll\"");
                    fake.hear_until(heard);
                }
            }
            drop(fake);
            goes_on(masters, "it has ended");
        }
        program.is_punchd();
        masters.succeed();
    });
}
