//! A bad line: datagrams that come late, or not at all.

use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// What happens to the datagrams that are sent to a peer. Nothing, by default.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Line {
    /// So much later they arrive.
    pub delay: Duration,
    /// So many of every sender are lost first.
    pub drop_first: usize,
}

/// The datagrams on a line.
#[derive(Debug, Default)]
pub struct Queue {
    line: Line,
    lost: HashMap<SocketAddr, usize>,
    under_way: VecDeque<(Instant, SocketAddr, Vec<u8>)>,
}

impl Queue {
    /// An empty line.
    #[must_use]
    pub fn new(line: Line) -> Self {
        Self { line, ..Self::default() }
    }

    /// A datagram that was sent just now.
    pub fn push(&mut self, now: Instant, from: SocketAddr, datagram: &[u8]) {
        if self.line.drop_first > 0 {
            let lost = self.lost.entry(from).or_default();
            if *lost < self.line.drop_first {
                *lost += 1;
                return;
            }
        }
        self.under_way.push_back((now + self.line.delay, from, datagram.to_vec()));
    }

    /// The next datagram that has arrived.
    pub fn pop(&mut self, now: Instant) -> Option<(SocketAddr, Vec<u8>)> {
        // All take the same time, so they arrive in order.
        if self.next()? > now {
            return None;
        }
        self.under_way.pop_front().map(|(_, from, datagram)| (from, datagram))
    }

    /// When the next one arrives, as far as is known.
    #[must_use]
    pub fn next(&self) -> Option<Instant> {
        self.under_way.front().map(|(at, _, _)| *at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn datagrams_are_lost_and_late() {
        let line = Line { delay: Duration::from_millis(300), drop_first: 2 };
        let mut queue = Queue::new(line);
        let [one, other] = [1, 2].map(|n| SocketAddr::from(([127, 0, 0, n], 5)));
        let now = Instant::now();
        for (from, datagram) in [(one, b"a"), (one, b"b"), (other, b"c"), (one, b"d")] {
            queue.push(now, from, datagram);
        }
        queue.push(now + Duration::from_millis(1), one, b"e");
        assert_eq!(queue.pop(now + Duration::from_millis(299)), None);
        let arrived = now + line.delay;
        assert_eq!(queue.pop(arrived), Some((one, b"d".to_vec())));
        assert_eq!(queue.pop(arrived), None);
        assert_eq!(queue.next(), Some(arrived + Duration::from_millis(1)));
    }
}
