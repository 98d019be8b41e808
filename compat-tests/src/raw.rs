//! Bare sockets for peers that no game would be, and a look at the server from outside: what
//! floods and hangs are made of, and what they cost.

use std::hash::{BuildHasher as _, RandomState};
use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use socket2::{Domain, Socket, Type};

/// The first of four ports in a row that nobody has at any address, by TCP or UDP. The system gives none of
/// them to clients, nor where it is asked for any port: so nobody else gets one before it is used.
///
/// # Errors
/// No such ports were found.
pub fn free_ports() -> std::io::Result<u16> {
    const FIRST: usize = 10_000;
    /// As many fours as there are below the ports that systems give out by themselves.
    const FOURS: usize = 5500;
    /// Those of one test are not tried by another of the same program, beside which it runs.
    static NEXT: LazyLock<AtomicUsize> =
        LazyLock::new(|| AtomicUsize::new(RandomState::new().hash_one(()) as usize % FOURS));
    let mut result = Err(ErrorKind::AddrInUse.into());
    for _ in 0..64 {
        let first = (FIRST + 4 * (NEXT.fetch_add(1, Ordering::Relaxed) % FOURS)) as u16;
        let mut sockets = (first..first + 4).map(|port| {
            let at = (Ipv4Addr::UNSPECIFIED, port);
            TcpListener::bind(at).and_then(|_| UdpSocket::bind(at))
        });
        result = sockets.try_for_each(|socket| socket.map(drop)).map(|()| first);
        if result.is_ok() {
            break;
        }
    }
    result
}

/// Connects by TCP from a local address.
///
/// # Panics
/// If nobody accepts.
#[must_use]
pub fn connect(to: SocketAddr, from: IpAddr) -> TcpStream {
    connect_through(to, from, None)
}

/// The same, with a receive buffer as small as the system allows: what such a peer does not read
/// stays with the server.
///
/// # Panics
/// If nobody accepts.
#[must_use]
pub fn connect_narrow(to: SocketAddr, from: IpAddr) -> TcpStream {
    connect_through(to, from, Some(1))
}

#[expect(clippy::expect_used, reason = "a fixture fails its test")]
fn connect_through(to: SocketAddr, from: IpAddr, buffer: Option<usize>) -> TcpStream {
    let socket = Socket::new(Domain::for_address(to), Type::STREAM, None).expect("a socket");
    if let Some(size) = buffer {
        socket.set_recv_buffer_size(size).expect("its buffer");
    }
    socket.bind(&SocketAddr::new(from, 0).into()).expect("its address");
    socket.connect(&to.into()).expect("connecting");
    socket.set_tcp_nodelay(true).expect("its options");
    socket.into()
}

/// A UDP socket at a local address.
///
/// # Panics
/// If there is none to be had.
#[must_use]
#[expect(clippy::expect_used, reason = "a fixture fails its test")]
pub fn udp(at: IpAddr) -> UdpSocket {
    UdpSocket::bind((at, 0)).expect("a UDP socket")
}

/// Reads until the connection ends: all that came, and whether it ended in time.
///
/// # Panics
/// If the socket is broken.
#[expect(clippy::expect_used, reason = "a fixture fails its test")]
pub fn read_to_end(mut stream: &TcpStream, within: Duration) -> (Vec<u8>, bool) {
    let deadline = Instant::now() + within;
    let (mut all, mut buffer) = (Vec::new(), vec![0; 64 * 1024]);
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return (all, false);
        }
        stream.set_read_timeout(Some(left)).expect("a timeout");
        match stream.read(&mut buffer) {
            Ok(0) => return (all, true),
            Ok(length) => all.extend_from_slice(&buffer[..length]),
            Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
            Err(e) if e.kind() == ErrorKind::Interrupted => {}
            // Reset: gone as well.
            Err(_) => return (all, true),
        }
    }
}

/// Sends a request and tells whether the whole answer, up to a byte, came in time.
pub fn asks(mut stream: &TcpStream, request: &[u8], end: u8, within: Duration) -> bool {
    let deadline = Instant::now() + within;
    let mut buffer = vec![0; 64 * 1024];
    let mut last = None;
    if stream.write_all(request).is_err() {
        return false;
    }
    while last != Some(end) {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() || stream.set_read_timeout(Some(left)).is_err() {
            return false;
        }
        match stream.read(&mut buffer) {
            Ok(0) => return false,
            Ok(length) => last = buffer[..length].last().copied(),
            Err(e) if e.kind() == ErrorKind::Interrupted => {}
            Err(_) => return false,
        }
    }
    true
}

/// A line of `/proc/PID/status` in bytes, such as `VmHWM`, the most memory there ever was.
///
/// # Panics
/// If there is no such line.
#[must_use]
#[expect(clippy::expect_used, reason = "a fixture fails its test")]
pub fn memory(pid: u32, line: &str) -> usize {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("a process");
    let found = status.lines().find_map(|l| l.strip_prefix(line)?.strip_prefix(':'));
    let kilobytes = found.and_then(|value| value.trim().strip_suffix(" kB")?.parse::<usize>().ok());
    kilobytes.expect("a number of kB") * 1024
}

/// Processor time that a process has used so far.
///
/// # Panics
/// If there is no such process.
#[must_use]
#[expect(clippy::expect_used, reason = "a fixture fails its test")]
pub fn processor_time(pid: u32) -> Duration {
    /// Linux tells it in hundredths of a second.
    const TICK: Duration = Duration::from_millis(10);
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).expect("a process");
    // Fields 14 and 15, counted from 1; the second may have spaces in it, and ends in `)`.
    let (_, rest) = stat.rsplit_once(')').expect("a name");
    let ticks = rest.split_whitespace().skip(11).take(2).filter_map(|n| n.parse::<u32>().ok());
    TICK * ticks.sum::<u32>()
}
