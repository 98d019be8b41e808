//! What becomes of the replies on one connection: when which bytes leave.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::Meddling;

/// How far apart the pieces of a reply are: six steps of a game, so that even a slow one looks in
/// between.
pub(super) const APART: Duration = Duration::from_millis(100);

/// How long a reply waits for another that it can be glued to.
pub(super) const TOGETHER: Duration = Duration::from_millis(250);

/// A reply that nobody asked for and that means no harm: the version of a master server.
const COMPANION: &[u8] = b"\xf61.2.5\n";

/// The bytes that wait to be sent on a connection.
#[derive(Debug)]
pub(super) struct Replies {
    meddling: Meddling,
    /// The replies that wait for others, and until when.
    gathering: Option<(Instant, Vec<u8>)>,
    pieces: VecDeque<(Instant, Vec<u8>)>,
}

impl Replies {
    pub(super) fn new(meddling: Meddling) -> Self {
        Self { meddling, gathering: None, pieces: VecDeque::new() }
    }

    /// The server has this to say.
    pub(super) fn push(&mut self, now: Instant, reply: &[u8]) {
        if !self.meddling.glue_replies {
            self.cut(now, reply);
            return;
        }
        let (_, gathered) =
            self.gathering.get_or_insert_with(|| (now + TOGETHER, COMPANION.to_vec()));
        gathered.extend(reply);
    }

    fn cut(&mut self, now: Instant, reply: &[u8]) {
        if !self.meddling.split_replies {
            self.pieces.push_back((now, reply.to_vec()));
            return;
        }
        let behind = self.pieces.back().map_or(now, |(last, _)| now.max(*last + APART));
        // The first byte alone is what original games drop; the second cut is in the address.
        let (first, rest) = reply.split_at(reply.len().min(1));
        let (second, third) = rest.split_at(rest.len().div_ceil(2));
        let pieces = [first, second, third].into_iter().filter(|piece| !piece.is_empty());
        for (n, piece) in (0..).zip(pieces) {
            self.pieces.push_back((behind + n * APART, piece.to_vec()));
        }
    }

    /// The bytes that leave now, as one piece. What cannot be sent is to be given back.
    pub(super) fn pop(&mut self, now: Instant) -> Option<Vec<u8>> {
        if let Some((_, gathered)) = self.gathering.take_if(|(until, _)| *until <= now) {
            self.cut(now, &gathered);
        }
        let due = self.pieces.front().is_some_and(|(at, _)| *at <= now);
        if due { self.pieces.pop_front().map(|(_, piece)| piece) } else { None }
    }

    /// Takes back what could not be sent.
    pub(super) fn give_back(&mut self, now: Instant, rest: Vec<u8>) {
        self.pieces.push_front((now, rest));
    }

    pub(super) fn is_empty(&self) -> bool {
        self.gathering.is_none() && self.pieces.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gmnet::wire;

    const REPLY: &[u8] = b"\xff198.51.100.7\x0050123\x00";

    /// All pieces with their times in milliseconds.
    fn leave(replies: &mut Replies, start: Instant) -> Vec<(u64, Vec<u8>)> {
        let at = |ms| start + Duration::from_millis(ms);
        (0..1000).filter_map(|ms| replies.pop(at(ms)).map(|piece| (ms, piece))).collect()
    }

    #[test]
    fn replies_leave_as_they_are() {
        let now = Instant::now();
        let mut replies = Replies::new(Meddling::default());
        replies.push(now, REPLY);
        replies.push(now, b"\xfe");
        assert_eq!(replies.pop(now).as_deref(), Some(REPLY));
        assert_eq!(replies.pop(now).as_deref(), Some(b"\xfe".as_slice()));
        assert!(replies.is_empty());
    }

    #[test]
    fn split_replies_leave_in_pieces() {
        let now = Instant::now();
        let mut replies = Replies::new(Meddling { split_replies: true, ..Meddling::default() });
        replies.push(now, REPLY);
        replies.push(now, b"\xfe");
        let pieces = leave(&mut replies, now);
        let times: Vec<u64> = pieces.iter().map(|(ms, _)| *ms).collect();
        assert_eq!(times, [0, 100, 200, 300]);
        assert_eq!(pieces[0].1, [wire::MASTER]);
        assert_eq!(pieces[..3].iter().flat_map(|(_, piece)| piece).count(), REPLY.len());
        assert!(replies.is_empty());
    }

    #[test]
    fn glued_replies_leave_together_behind_another() {
        let now = Instant::now();
        let mut replies = Replies::new(Meddling { glue_replies: true, ..Meddling::default() });
        replies.push(now, REPLY);
        replies.push(now + Duration::from_millis(60), REPLY);
        assert!(!replies.is_empty());
        let pieces = leave(&mut replies, now);
        assert_eq!(pieces, [(250, [COMPANION, REPLY, REPLY].concat())]);
        assert_eq!(COMPANION[0], wire::VERSION);
        assert!(replies.is_empty());
    }
}
