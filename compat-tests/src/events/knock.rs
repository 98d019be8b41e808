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
    /// Until when there was time for them.
    served: Option<Instant>,
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
        let next = self.prolong();
        let (knock, heard) = (format!("knock:{}", other.nonce), format!("heard:{}", other.nonce));
        self.running.retain(|punch| punch.other.id != other.id && punch.knock != knock);
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

    /// Ends one of them that has not been reached.
    pub fn give_up(&mut self) -> Option<Ended> {
        self.running.pop().map(|punch| Ended { other: punch.other, at: None })
    }

    /// Lets all go on for so much longer as nobody had time for them, which ends now.
    fn prolong(&mut self) -> Instant {
        let now = Instant::now();
        let before = self.served.replace(now).unwrap_or(now);
        self.running.iter_mut().for_each(|punch| punch.end += now - before);
        now
    }

    /// Knocks at all where it is time to, and takes what comes, until one of them has ended or the time is up. Time in
    /// which this is not called does not count for any.
    pub fn turn(&mut self, socket: &UdpSocket, until: Instant) -> Option<Ended> {
        self.prolong();
        let ended = self.go_on(socket, until);
        self.served = Some(Instant::now());
        let (n, at) = ended?;
        Some(Ended { other: self.running.remove(n).other, at })
    }

    /// Which has ended, and where the other is reached.
    fn go_on(&mut self, socket: &UdpSocket, until: Instant) -> Option<(usize, Option<SocketAddr>)> {
        loop {
            let now = Instant::now();
            if let Some(over) = self.running.iter().position(|punch| now >= punch.end) {
                // It may have answered while nobody looked.
                let heard = |said: &[u8], from| self.hears(socket, said, from);
                let reached = datagrams::receive_waiting(socket, heard);
                return Some(reached.map_or((over, None), |(n, from)| (n, Some(from))));
            }
            for punch in self.running.iter_mut().filter(|punch| now >= punch.next) {
                punch.knocks(socket);
            }
            if now >= until {
                return None;
            }
            let next = self.running.iter().map(|punch| punch.next.min(punch.end)).min();
            let next = next.map_or(until, |next| next.min(until));
            let heard = |said: &[u8], from| self.hears(socket, said, from);
            if let Some((n, from)) = datagrams::receive_paced(socket, next, heard) {
                return Some((n, Some(from)));
            }
        }
    }

    /// Who has heard us, as this datagram tells, and from where.
    fn hears(
        &self,
        socket: &UdpSocket,
        said: &[u8],
        from: SocketAddr,
    ) -> Option<(usize, SocketAddr)> {
        let n = self.running.iter().position(|punch| punch.hears(socket, said, from))?;
        Some((n, from))
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
#[expect(clippy::unwrap_used, reason = "a helper that fails is a test that fails")]
mod tests {
    use super::*;
    use nix::sys::socket::{setsockopt, sockopt::Ipv4RecvErr};

    fn open() -> UdpSocket {
        UdpSocket::bind(("127.0.0.1", 0)).unwrap()
    }

    fn at(socket: &UdpSocket) -> SocketAddr {
        socket.local_addr().unwrap()
    }

    /// A player at these places.
    fn player(predicted: Vec<SocketAddr>, endpoint: SocketAddr) -> Introduction {
        let (id, nonce) = ("b".to_owned(), "n".to_owned());
        Introduction { id, nonce, predicted, local: Vec::new(), endpoint }
    }

    #[test]
    fn who_has_answered_is_reached_however_long_nobody_looked() {
        let (own, other) = (open(), open());
        let mut punches = Punches::default();
        punches.start(player(Vec::new(), at(&other)), GAP);
        assert!(punches.turn(&own, Instant::now()).is_none());
        std::thread::sleep(2 * GAP);
        assert!(punches.turn(&own, Instant::now()).is_none(), "there was no time for it");
        other.send_to(b"heard:n", at(&own)).unwrap();
        std::thread::sleep(2 * GAP);
        let ended = punches.turn(&own, Instant::now() + GAP / 2).unwrap();
        assert_eq!(ended.at, Some(at(&other)));
    }

    #[test]
    fn who_has_answered_as_the_time_is_up_is_reached() {
        let (own, other) = (open(), open());
        let mut punches = Punches::default();
        punches.start(player(Vec::new(), at(&other)), Duration::ZERO);
        other.send_to(b"knock:other", at(&own)).unwrap();
        other.send_to(b"heard:n", at(&own)).unwrap();
        let ended = punches.turn(&own, Instant::now()).unwrap();
        assert_eq!(ended.at, Some(at(&other)));
        punches.start(player(Vec::new(), at(&other)), Duration::ZERO);
        assert_eq!(punches.turn(&own, Instant::now()).unwrap().at, None);
    }

    /// As systems tell it for each knock, where nobody is at one of the endpoints.
    #[test]
    fn an_endpoint_where_nobody_is_neither_hurries_nor_stops_the_knocks_at_another() {
        let nobody = at(&open());
        let (own, other) = (open(), open());
        setsockopt(&own, Ipv4RecvErr, &true).unwrap();
        let met = player(vec![at(&other)], nobody);
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
