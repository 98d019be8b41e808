//! Replies to `lobby2` as they were made, for the next who ask the same before anything changes.
//! Players of a game ask the same all the time, and copying ten thousand hosts costs a fraction of
//! writing them anew.

use std::net::IpAddr;

use hashlink::LinkedHashMap;

use super::command::Command;
use crate::hash::Keyed;
use crate::introductions::is_inside;
use crate::limits;

/// What was replied, that asked for longest ago in front.
#[derive(Debug, Default)]
pub(super) struct Replies {
    by_request: LinkedHashMap<Box<str>, Reply, Keyed>,
    /// Memory of all this.
    bytes: usize,
    /// The place to build requests in.
    request: String,
}

/// All viewers of whom the same is true see the same hosts, by the same addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Side {
    is_inside: bool,
    is_ipv4: bool,
}

impl Side {
    /// Where a viewer at this address stands.
    pub(super) fn of(viewer: IpAddr) -> Self {
        Self { is_inside: is_inside(viewer), is_ipv4: viewer.is_ipv4() }
    }

    fn letter(self) -> char {
        match (self.is_inside, self.is_ipv4) {
            (true, true) => 'i',
            (true, false) => 'I',
            (false, true) => 'o',
            (false, false) => 'O',
        }
    }
}

#[derive(Debug)]
struct Reply {
    /// The version of the list that it was made from.
    version: u64,
    bytes: Box<[u8]>,
    hosts: usize,
}

impl Replies {
    /// The reply to a request, as it was made from this version of the list for viewers on this
    /// side, and how many hosts are in it. None: it has to be made, and [`Self::keep`] is for that
    /// one.
    pub(super) fn find(
        &mut self,
        command: &Command,
        side: Side,
        version: u64,
    ) -> Option<(&[u8], usize)> {
        self.request.clear();
        self.request.push(side.letter());
        for n in 0..command.count() {
            self.request.push('\n');
            self.request.push_str(command.param(n));
        }
        let made = self.by_request.to_back(self.request.as_str())?;
        (made.version == version).then_some((&*made.bytes, made.hosts))
    }

    /// Keeps the reply to the request that was not found.
    pub(super) fn keep(&mut self, version: u64, bytes: &[u8], hosts: usize) {
        // One that is longer would push out all others.
        if bytes.len() > limits::LOBBY_REPLIES / 2 {
            return;
        }
        let reply = Reply { version, bytes: bytes.into(), hosts };
        let size = |reply: &Reply| ENTRY + reply.bytes.len();
        let request = self.request.as_str();
        self.bytes += size(&reply);
        match self.by_request.insert(request.into(), reply) {
            Some(replaced) => self.bytes -= size(&replaced),
            None => self.bytes += request.len(),
        }
        while self.bytes > limits::LOBBY_REPLIES
            && let Some((request, reply)) = self.by_request.pop_front()
        {
            self.bytes -= request.len() + size(&reply);
        }
    }
}

/// Memory of a reply besides its own bytes and those of the request.
const ENTRY: usize = 160;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dialect::gmnet::command::{Go, Reader, Spare};

    fn lobby(game: &str) -> Command {
        let mut found = None;
        let text = format!("lobby2\n{game}\n\n\n\n\n\n\n\ndate\nDESC\n\n");
        let read = Reader::default().read(text.as_bytes(), &mut Spare::default(), |command| {
            found = Some(command.clone());
            Go::Stop
        });
        assert_eq!(read, Ok(Go::Stop));
        found.expect("a whole command")
    }

    /// Whether the reply had to be made.
    fn is_made(replies: &mut Replies, game: &str, side: Side, version: u64) -> bool {
        let text = format!("{game} {version}");
        if let Some(found) = replies.find(&lobby(game), side, version) {
            assert_eq!(found, (text.as_bytes(), 7));
            return false;
        }
        replies.keep(version, text.as_bytes(), 7);
        true
    }

    #[test]
    fn a_reply_is_made_once_for_each_version_request_and_side() {
        let mut replies = Replies::default();
        for version in [1, 2] {
            for game in ["a", "b"] {
                for viewer in ["127.0.0.1", "203.0.113.7", "::1", "2001:db8::1"] {
                    let side = Side::of(viewer.parse().unwrap());
                    assert!(is_made(&mut replies, game, side, version));
                    assert!(!is_made(&mut replies, game, side, version));
                }
            }
        }
        assert_eq!(replies.by_request.len(), 8);
    }

    #[test]
    fn they_take_no_more_memory_than_they_may() {
        let mut replies = Replies::default();
        let side = Side::of(IpAddr::from([203, 0, 113, 7]));
        let long = "x".repeat(10_000);
        for n in 0..2000 {
            assert!(is_made(&mut replies, &format!("{long}{n}"), side, n % 3));
            let all = replies.by_request.iter();
            let bytes: usize = all.map(|(key, r)| key.len() + ENTRY + r.bytes.len()).sum();
            assert_eq!(replies.bytes, bytes);
            assert!(bytes <= limits::LOBBY_REPLIES, "{bytes}");
        }
        assert!(replies.bytes > limits::LOBBY_REPLIES - 40_000);
        assert!(!is_made(&mut replies, &format!("{long}1999"), side, 1999 % 3), "the newest stays");
        let longest = vec![b'x'; limits::LOBBY_REPLIES / 2 + 1];
        for _ in 0..2 {
            assert_eq!(replies.find(&lobby("longest"), side, 1), None);
            replies.keep(1, &longest, 1);
        }
        assert!(replies.by_request.len() > 1, "the others stay");
    }
}
