//! The punch: both sides send to every endpoint they know of each other until both hear something
//! that only the other can know.

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use super::Introduction;

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
    socket.set_read_timeout(Some(GAP))?;
    let mut buffer = [0; 2048];
    while Instant::now() < deadline {
        // The likeliest first: if the own ports count, the other side expects the first.
        let places = other.predicted.iter().chain(&other.local).chain([&other.endpoint]);
        for to in places {
            // One that is not to be reached from here is as good as silent.
            let _ = socket.send_to(knock.as_bytes(), to);
        }
        let next = Instant::now() + GAP;
        while Instant::now() < next {
            let Ok((length, from)) = socket.recv_from(&mut buffer) else { break };
            let said = buffer.get(..length).unwrap_or_default();
            if said == knock.as_bytes() {
                let _ = socket.send_to(heard.as_bytes(), from);
            } else if said == heard.as_bytes() {
                for _ in 0..AGAIN {
                    let _ = socket.send_to(heard.as_bytes(), from);
                }
                return Ok(Some(from));
            }
        }
    }
    Ok(None)
}
