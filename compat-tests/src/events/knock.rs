//! The punch: both sides send to every endpoint they know of each other until both hear something
//! that only the other can know.

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use super::Introduction;
use crate::datagrams;

/// How far apart the knocks are.
const GAP: Duration = Duration::from_millis(100);

/// How often it is said once more that the other was heard, should the first time be lost.
const AGAIN: usize = 3;

/// Knocks at the other until it answers; returns where it is, if it did in time.
///
/// # Errors
/// If the socket is broken.
pub fn knock(
    socket: &UdpSocket,
    other: &Introduction,
    within: Duration,
) -> io::Result<Option<SocketAddr>> {
    let (knock, heard) = (format!("knock:{}", other.nonce), format!("heard:{}", other.nonce));
    let deadline = Instant::now() + within;
    while Instant::now() < deadline {
        // The likeliest first: if the own ports count, the other side expects the first.
        let places = other.predicted.iter().chain(&other.local).chain([&other.endpoint]);
        for to in places {
            // One that is not to be reached from here is as good as silent.
            let _ = socket.send_to(knock.as_bytes(), to);
        }
        let reached = datagrams::receive_paced(socket, Instant::now() + GAP, |said, from| {
            if said == knock.as_bytes() {
                let _ = socket.send_to(heard.as_bytes(), from);
            }
            (said == heard.as_bytes()).then_some(from)
        });
        if let Some(from) = reached {
            for _ in 0..AGAIN {
                let _ = socket.send_to(heard.as_bytes(), from);
            }
            return Ok(reached);
        }
    }
    Ok(None)
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;
    use nix::sys::socket::{setsockopt, sockopt::Ipv4RecvErr};

    /// As systems tell it for each knock, where nobody is at one of the endpoints.
    #[test]
    fn an_endpoint_where_nobody_is_neither_hurries_nor_stops_the_knocks_at_another() {
        let open = || UdpSocket::bind(("127.0.0.1", 0)).unwrap();
        let at = |socket: &UdpSocket| socket.local_addr().unwrap();
        let nobody = at(&open());
        let (own, other) = (open(), open());
        setsockopt(&own, Ipv4RecvErr, &true).unwrap();
        let met = Introduction {
            id: "b".to_owned(),
            nonce: "n".to_owned(),
            predicted: vec![at(&other)],
            local: Vec::new(),
            endpoint: nobody,
        };
        let answers = std::thread::spawn(move || {
            let (start, mut knocks, mut buffer) = (Instant::now(), 0, [0; 64]);
            loop {
                let (_, from) = other.recv_from(&mut buffer).unwrap();
                knocks += 1;
                if start.elapsed() >= GAP * 5 {
                    other.send_to(b"heard:n", from).unwrap();
                    return knocks;
                }
            }
        });
        let reached = knock(&own, &met, Duration::from_secs(10)).unwrap();
        assert_eq!(reached.as_ref(), met.predicted.first());
        let knocks = answers.join().unwrap();
        assert!(knocks <= 7, "{knocks} knocks in half a second");
    }
}
