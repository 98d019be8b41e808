//! `punch host` and `punch join` with a master server that does only what a test has it do: it loses
//! packets, and tells what it likes.
#![expect(clippy::expect_used, clippy::panic, reason = "a helper that fails is a test that fails")]

mod lost;
mod ways;

use std::io::Read;
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

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
