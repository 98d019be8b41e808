//! Introductions of GMnet that wait for something while another process takes over.

use std::io::{Read as _, Write as _};
use std::net::{IpAddr, SocketAddr, TcpStream, UdpSocket};
use std::time::{Duration, Instant};

use compat_tests::activated::{activated, sockets};
use compat_tests::gmnet::wire::{self, Data, Protocol};
use compat_tests::line_of_masters::Masters;
use compat_tests::master::loopback;
use compat_tests::raw;

use super::fixtures::{Host, WAIT, next_told};

/// How long the server waits for what is missing.
const PATIENCE: Duration = Duration::from_millis(2500);

/// A client that asks for a host.
struct Client {
    game: UdpSocket,
    control: TcpStream,
    asked: Instant,
}

impl Client {
    fn asks_for(master: SocketAddr, host: IpAddr) -> Self {
        let game = raw::udp(loopback());
        let mut control = raw::connect(master, game.local_addr().unwrap().ip());
        control.set_read_timeout(Some(WAIT)).unwrap();
        control.write_all(&wire::connect(Protocol::Modern, host)).unwrap();
        Self { game, control, asked: Instant::now() }
    }

    /// Its packet, by which the server sees where its game is.
    fn shows_its_port(&self, master: SocketAddr) {
        self.game.send_to(&wire::udp_connect(Protocol::Modern), master).unwrap();
    }

    /// That the host is not there, and how long after the question that is said.
    fn hears_of_nobody(mut self) -> Duration {
        let mut answer = [0];
        self.control.read_exact(&mut answer).unwrap();
        assert_eq!(answer, [wire::NOT_FOUND]);
        self.asked.elapsed()
    }
}

fn wait_until(begun: Instant, after: Duration) {
    std::thread::sleep(after.saturating_sub(begun.elapsed()));
}

#[test]
fn what_is_missing_may_come_to_the_next_process() {
    let mut masters = Masters::start(&[]);
    let mut host = Host::new(masters.addr(), &Data::default());
    let mut client = Client::asks_for(masters.addr(), host.at.ip());
    masters.succeed();
    client.shows_its_port(masters.addr());
    assert_eq!(next_told(&mut client.control), host.at);
    assert_eq!(next_told(&mut host.control), client.game.local_addr().unwrap());
    assert!(client.asked.elapsed() < PATIENCE, "it was not told at once");
}

#[test]
fn what_never_comes_is_waited_for_no_longer_than_before() {
    let mut masters = Masters::start(&[]);
    let host = Host::new(masters.addr(), &Data::default());
    let mut client = Client::asks_for(masters.addr(), host.at.ip());
    for part in [3, 2] {
        wait_until(client.asked, PATIENCE / part);
        masters.succeed();
    }
    wait_until(client.asked, PATIENCE * 4 / 5);
    masters.succeed();
    assert_eq!(next_told(&mut client.control), host.at);
    let after = client.asked.elapsed();
    assert!(after > PATIENCE * 9 / 10 && after < PATIENCE * 8 / 5, "{after:?}");
}

/// Who joins just after a restart waits for the host; one process that takes over from another is no restart.
pub(crate) fn hosts_are_waited_for_after_the_start_alone() {
    const WAITS: Duration = Duration::from_secs(5);
    let (tcp, udp) = sockets();
    let mut command = activated(&tcp, Some(&udp));
    command.env("PUNCHD_START_WAIT", WAITS.as_secs().to_string());
    let started = Instant::now();
    let mut masters = Masters::watch(command);
    let (at, nobody) = (tcp.local_addr().unwrap(), loopback());
    let client = Client::asks_for(at, nobody);
    // The wait goes on for those who come later as well.
    wait_until(started, WAITS * 2 / 5);
    masters.succeed();
    let late = Client::asks_for(at, loopback());
    wait_until(started, WAITS * 4 / 5);
    masters.succeed();
    let after = client.hears_of_nobody();
    assert!(after > WAITS * 4 / 5 && after < WAITS * 9 / 5, "{after:?}");
    late.hears_of_nobody();
    assert!(started.elapsed() >= WAITS, "{:?}", started.elapsed());
    wait_until(started, WAITS + PATIENCE);
    masters.succeed();
    let after = Client::asks_for(at, nobody).hears_of_nobody();
    assert!(after < WAITS / 2, "{after:?}");
}
