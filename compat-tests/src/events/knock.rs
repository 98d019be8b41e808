//! The punch: both sides send to every endpoint they know of each other until both hear something
//! that only the other can know.

use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use super::Introduction;
use crate::datagrams;

/// How far apart the knocks are.
const GAP: Duration = Duration::from_millis(100);

/// How often it is said once more that the other was heard, should the first time be lost.
const AGAIN: usize = 3;

/// As many as a room has players: who is introduced to more may be made to knock at strangers.
const MOST_RUNNING: usize = 64;

/// Knocks at the other until it answers; returns where it is, if it did in time.
pub fn knock(socket: &UdpSocket, other: &Introduction, within: Duration) -> Option<SocketAddr> {
    let mut punches = Punches::default();
    punches.start(other.clone(), within);
    punches.turn(socket, Instant::now() + within + GAP)?.at
}

/// Punches that run at the same time on one socket.
#[derive(Debug, Default)]
pub struct Punches {
    running: Vec<Punch>,
}

/// How a punch has ended.
#[derive(Debug)]
pub struct Ended {
    /// The other, as it was told last.
    pub other: Introduction,
    /// Where it is reached; none if it did not answer in time.
    pub at: Option<SocketAddr>,
}

#[derive(Debug)]
struct Punch {
    other: Introduction,
    knock: String,
    heard: String,
    next: Instant,
    end: Instant,
}

impl Punches {
    /// Begins to knock at another. What was told of it before does not count any more.
    pub fn start(&mut self, other: Introduction, within: Duration) {
        let (knock, heard) = (format!("knock:{}", other.nonce), format!("heard:{}", other.nonce));
        self.running.retain(|punch| punch.other.id != other.id && punch.knock != knock);
        let next = Instant::now();
        self.running.push(Punch { other, knock, heard, next, end: next + within });
    }

    /// Whether nobody is knocked at.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.running.is_empty()
    }

    /// Whether somebody has to be reached, or not to be, before there is one more.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.running.len() >= MOST_RUNNING
    }

    /// Lets all go on for so much longer, in which nobody had time for them.
    pub fn prolong(&mut self, by: Duration) {
        self.running.iter_mut().for_each(|punch| punch.end += by);
    }

    /// Knocks at all where it is time to, and takes what comes, until one of them has ended or the time is up.
    pub fn turn(&mut self, socket: &UdpSocket, until: Instant) -> Option<Ended> {
        loop {
            let now = Instant::now();
            if let Some(over) = self.running.iter().position(|punch| now >= punch.end) {
                return Some(Ended { other: self.running.remove(over).other, at: None });
            }
            for punch in self.running.iter_mut().filter(|punch| now >= punch.next) {
                punch.knocks(socket);
            }
            if now >= until {
                return None;
            }
            let next = self.running.iter().map(|punch| punch.next.min(punch.end)).min();
            let next = next.map_or(until, |next| next.min(until));
            let reached = datagrams::receive_paced(socket, next, |said, from| {
                let n = self.running.iter().position(|punch| punch.hears(socket, said, from))?;
                Some((n, from))
            });
            if let Some((n, from)) = reached {
                return Some(Ended { other: self.running.remove(n).other, at: Some(from) });
            }
        }
    }
}

impl Punch {
    fn knocks(&mut self, socket: &UdpSocket) {
        self.next = Instant::now() + GAP;
        let other = &self.other;
        // The likeliest first: if the own ports count, the other side expects the first.
        let places = other.predicted.iter().chain(&other.local).chain([&other.endpoint]);
        for to in places {
            // One that is not to be reached from here is as good as silent.
            let _ = socket.send_to(self.knock.as_bytes(), to);
        }
    }

    /// Answers what is for this punch; whether the other has heard us.
    fn hears(&self, socket: &UdpSocket, said: &[u8], from: SocketAddr) -> bool {
        let is_heard = said == self.heard.as_bytes();
        let answers = match is_heard {
            true => AGAIN,
            false => usize::from(said == self.knock.as_bytes()),
        };
        for _ in 0..answers {
            let _ = socket.send_to(self.heard.as_bytes(), from);
        }
        is_heard
    }
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
        let reached = knock(&own, &met, Duration::from_secs(10));
        assert_eq!(reached.as_ref(), met.predicted.first());
        let knocks = answers.join().unwrap();
        assert!(knocks <= 7, "{knocks} knocks in half a second");
    }
}
