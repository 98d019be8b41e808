//! What the kernel alone lets a relay do: a loop that receives a packet and sends it on, for known
//! senders, and thinks nothing.
//!
//! On its first connection that says anything it is told who they are, a line for each: the sender, the
//! port of the pool that it sends to, to whom its packets go, and the port of the pool that they leave from.
//! The end of that is answered with [`READY`], and from then on it passes packets on.

use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::ops::RangeInclusive;
use std::time::Duration;

use mio::net::UdpSocket;
use mio::{Events, Interest, Poll, Token};
use punchd::hash::Map;

/// The ports of the pool.
pub const PORTS: RangeInclusive<u16> = 20_000..=20_063;

/// The answer to who has told which senders there are.
pub const READY: &[u8] = b"ready";

/// Nobody needs longer for that.
const PATIENCE: Duration = Duration::from_secs(20);

/// Who sends to which socket of the pool, and what becomes of that: from which it leaves, and where to.
type Ways = Map<(usize, SocketAddr), (usize, SocketAddr)>;

/// Passes packets on at this address until the process is ended. It is told for whom on this TCP port.
///
/// # Errors
/// If the system does not let it listen or wait.
pub fn serve(port: u16, ip: IpAddr) -> io::Result<()> {
    let mut poll = Poll::new()?;
    let mut sockets = Vec::new();
    for port in PORTS {
        let mut socket = UdpSocket::bind(SocketAddr::new(ip, port))?;
        poll.registry().register(&mut socket, Token(sockets.len()), Interest::READABLE)?;
        sockets.push(socket);
    }
    let ways = be_told(port)?;
    let mut events = Events::with_capacity(256);
    let mut buffer = [0; 2048];
    loop {
        match poll.poll(&mut events, None) {
            // It was made to stand still for a while.
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            other => other?,
        }
        for event in &events {
            let Token(at) = event.token();
            let Some(socket) = sockets.get(at) else { continue };
            while let Ok((length, from)) = socket.recv_from(&mut buffer) {
                if let Some((leaves, to)) = ways.get(&(at, from))
                    && let Some(leaves) = sockets.get(*leaves)
                    && let Some(data) = buffer.get(..length)
                {
                    // What a socket does not take is lost, as everywhere.
                    let _ = leaves.send_to(data, *to);
                }
            }
        }
    }
}

/// Waits for who tells the senders.
fn be_told(port: u16) -> io::Result<Ways> {
    let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, port))?;
    loop {
        let (mut stream, _) = listener.accept()?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let mut text = String::new();
        stream.read_to_string(&mut text)?;
        let ways: Ways = text.lines().filter_map(way).collect();
        // Others only look whether it listens.
        if !ways.is_empty() {
            stream.write_all(READY)?;
            return Ok(ways);
        }
    }
}

fn way(line: &str) -> Option<((usize, SocketAddr), (usize, SocketAddr))> {
    let place =
        |port: &str| Some(usize::from(port.parse::<u16>().ok()?.checked_sub(*PORTS.start())?));
    let mut words = line.split(' ');
    let from = words.next()?.parse().ok()?;
    let at = place(words.next()?)?;
    let to = words.next()?.parse().ok()?;
    Some(((at, from), (place(words.next()?)?, to)))
}

/// Tells the loop at this address of pairs of players: where each is, and the port of the pool that both
/// send to.
///
/// # Errors
/// If it is not there.
pub fn tell(
    bare: SocketAddr,
    pairs: impl Iterator<Item = ([SocketAddr; 2], u16)>,
) -> io::Result<()> {
    let text: String = pairs
        .flat_map(|([one, other], port)| [(one, other, port), (other, one, port)])
        .map(|(from, to, port)| format!("{from} {port} {to} {port}\n"))
        .collect();
    let mut stream = TcpStream::connect(bare)?;
    stream.write_all(text.as_bytes())?;
    stream.shutdown(std::net::Shutdown::Write)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    if answer == READY { Ok(()) } else { Err(io::ErrorKind::InvalidData.into()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_where_packets_go() {
        let [one, other]: [SocketAddr; 2] =
            [([127, 0, 0, 1], 5).into(), ([127, 0, 0, 2], 6).into()];
        assert_eq!(way("127.0.0.1:5 20000 127.0.0.2:6 20001"), Some(((0, one), (1, other))));
        assert_eq!(way("127.0.0.1:5 20000"), None);
    }
}
