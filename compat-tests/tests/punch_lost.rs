//! What `punch host` and `punch join` do where the network loses their packets to the master
//! server: one of this file loses what it likes, and looks at what comes.
#![expect(clippy::expect_used, reason = "a helper that fails is a test that fails")]

use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use compat_tests::gmnet::wire::{self, Protocol};
use compat_tests::master::loopback;

const WAIT: Duration = Duration::from_secs(10);

/// A master server that does nothing by itself.
struct Fake {
    tcp: TcpListener,
    udp: UdpSocket,
    addr: SocketAddr,
}

impl Fake {
    fn new() -> Self {
        let tcp = TcpListener::bind((loopback(), 0)).expect("a port");
        let addr = tcp.local_addr().expect("its address");
        let udp = UdpSocket::bind(addr).expect("the same port");
        udp.set_read_timeout(Some(WAIT)).expect("a time-out");
        Self { tcp, udp, addr }
    }

    fn punch(&self, args: &[&str]) -> Running {
        let mut command = Command::new(env!("CARGO_BIN_EXE_punch"));
        let (addr, own) = (self.addr.to_string(), loopback().to_string());
        command.args(args).args(["--master", &addr, "--bind", &own]);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        Running(command.spawn().expect("starting punch"))
    }

    fn accept(&self) -> TcpStream {
        let (stream, _) = self.tcp.accept().expect("a connection");
        stream.set_read_timeout(Some(WAIT)).expect("a time-out");
        stream
    }

    /// The next of these datagrams; others, as those of STUN, do not count.
    fn next(&self, expected: &[u8]) -> SocketAddr {
        let deadline = Instant::now() + WAIT;
        let mut buffer = [0; 2048];
        while Instant::now() < deadline {
            let (len, from) = self.udp.recv_from(&mut buffer).expect("a datagram");
            if &buffer[..len] == expected {
                return from;
            }
        }
        panic!("no {}", expected.escape_ascii());
    }

    /// How many of these have come.
    fn count(&self, expected: &[u8]) -> usize {
        self.udp.set_nonblocking(true).expect("not to block");
        let mut buffer = [0; 2048];
        let all = std::iter::from_fn(|| {
            self.udp.recv(&mut buffer).ok().map(|len| buffer[..len].to_vec())
        });
        all.filter(|datagram| datagram == expected).count()
    }
}

/// A `punch` that ends with the test.
struct Running(Child);

impl Running {
    /// What it says until it ends.
    fn output(&mut self) -> String {
        let mut said = String::new();
        let stdout = self.0.stdout.take().expect("stdout is piped");
        let stderr = self.0.stderr.take().expect("stderr is piped");
        stdout.chain(stderr).read_to_string(&mut said).expect("UTF-8");
        self.0.wait().expect("waiting for punch");
        said
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn read(stream: &mut TcpStream, expected: &[u8]) {
    let mut got = vec![0; expected.len()];
    stream.read_exact(&mut got).expect("what is expected");
    assert_eq!(got.escape_ascii().to_string(), expected.escape_ascii().to_string());
}

/// Registers a `punch host` whose first packet is lost; the connection, after that.
fn lose_first_reg(master: &Fake) -> TcpStream {
    let mut control = master.accept();
    master.next(&wire::udp_register(Protocol::Modern));
    read(&mut control, &registration());
    read(&mut control, wire::ASK_VERSION);
    control.write_all(b"\xf61.2.5\n").expect("an answer");
    control
}

fn registration() -> Vec<u8> {
    wire::register(Protocol::Modern, wire::CLIENT_VERSION, &Default::default())
}

#[test]
fn a_host_shows_its_port_again_and_registers_behind_it() {
    let master = Fake::new();
    let _host = master.punch(&["host"]);
    let mut control = lose_first_reg(&master);
    let reg = wire::udp_register(Protocol::Modern);
    for _ in 0..2 {
        master.next(&reg);
        // Old servers have hidden it.
        read(&mut control, &registration());
    }
}

#[test]
fn a_host_that_is_asked_for_its_port_says_no_more_than_that() {
    let master = Fake::new();
    let mut host = master.punch(&["host", "--for", "3"]);
    let mut control = lose_first_reg(&master);
    control.write_all(&wire::port_notice(master.addr)).expect("a notice");
    let said = host.output();
    assert!(said.contains("asks for the UDP port"), "{said}");
    assert_eq!(master.count(&wire::udp_register(Protocol::Modern)), 0, "{said}");
}

#[test]
fn a_host_that_is_kept_alive_says_no_more() {
    let master = Fake::new();
    let mut host = master.punch(&["host", "--for", "3"]);
    let mut control = master.accept();
    let from = master.next(&wire::udp_register(Protocol::Modern));
    read(&mut control, &registration());
    master.udp.send_to(&wire::datagram(&[0]), from).expect("a keepalive");
    control.write_all(b"\xf61.2.5\n").expect("an answer");
    let said = host.output();
    assert_eq!(master.count(&wire::udp_register(Protocol::Modern)), 0, "{said}");
}

#[test]
fn a_client_shows_its_port_again_until_it_is_answered() {
    let master = Fake::new();
    let nobody = IpAddr::from([192, 0, 2, 1]);
    let mut join = master.punch(&["join", &nobody.to_string()]);
    let mut control = master.accept();
    read(&mut control, &wire::connect(Protocol::Modern, nobody));
    let connect = wire::udp_connect(Protocol::Modern);
    let first = master.next(&connect);
    assert_eq!(master.next(&connect), first);
    assert_eq!(master.next(&connect), first);
    // From now on it knocks, and is quiet here.
    control.write_all(b"\xff192.0.2.1\x009\x00").expect("an introduction");
    let deadline = Instant::now() + WAIT;
    let mut before = master.count(&connect);
    while Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(700));
        match master.count(&connect) {
            0 => break,
            more => before += more,
        }
    }
    assert!(before <= 1, "{before} more");
    control.write_all(b"\xfe").expect("not found");
    assert!(join.output().contains("knows no host at 192.0.2.1"));
}
