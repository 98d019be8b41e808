//! What a peer has not read yet, and who has sent it. Whoever reads slowly must not be cut off from
//! all because one sends it much: so each address may fill no more than half of what is left of the
//! room, and there is some left for others. Those who are in no room with the peer have much less
//! of it, and a smaller share, as there may be many of them.

use std::net::{IpAddr, Ipv6Addr};

use serde::{Deserialize, Serialize};

use crate::limits;

/// Networks that are told apart. Many more cannot have a share that is worth anything.
const NETWORKS: usize = 64;

/// What one peer has not read.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Unread {
    bytes: usize,
    /// Whether there was something since that was asked for last.
    was_behind: bool,
    /// How much of that came from others, of each network; not all of it is known.
    by: Vec<(IpAddr, usize)>,
}

impl Unread {
    /// Whether all is read.
    pub(super) fn is_empty(&self) -> bool {
        self.bytes == 0
    }

    /// Whether something was not read at any time since [`Self::watch`].
    pub(super) fn was_behind(&self) -> bool {
        self.was_behind
    }

    /// From now on it counts whether something is not read.
    pub(super) fn watch(&mut self) {
        self.was_behind = !self.is_empty();
    }

    /// So many bytes are not read. What was read since is taken to be of all in proportion.
    pub(super) fn is_now(&mut self, bytes: usize) {
        if bytes == 0 {
            self.by = Vec::new();
        } else if bytes < self.bytes {
            let before = self.bytes;
            self.by.iter_mut().for_each(|(_, of)| *of = of.saturating_mul(bytes) / before);
            self.by.retain(|(_, of)| *of > 0);
        }
        self.bytes = bytes;
        self.was_behind |= bytes > 0;
    }

    /// Whether somebody at this address may send so many bytes more, who is a stranger or not. A
    /// stranger may send one event of any length at a time while others have not sent much.
    pub(super) fn has_room(&self, addr: IpAddr, length: usize, is_stranger: bool) -> bool {
        let network = widest(addr);
        let sent = self.by.iter().find(|(of, _)| *of == network).map_or(0, |(_, sent)| *sent);
        let (room, shares) = match is_stranger {
            true => (limits::UNREAD_BY_STRANGERS, limits::STRANGERS),
            false => (limits::UNREAD_BY_OTHERS, 2),
        };
        let share = room.saturating_sub(self.bytes) / shares;
        let is_first = is_stranger && sent == 0 && self.bytes < limits::UNREAD_WHEN_FIRST;
        self.bytes == 0 || is_first || sent.saturating_add(length) <= share
    }

    /// Somebody at this address has sent so many bytes.
    pub(super) fn note_sent(&mut self, addr: IpAddr, length: usize) {
        // Nearly always they are read at once.
        if self.bytes == 0 {
            return;
        }
        let network = widest(addr);
        let has_place = self.by.len() < NETWORKS;
        match self.by.iter_mut().find(|(of, _)| *of == network) {
            Some((_, sent)) => *sent = sent.saturating_add(length),
            None if has_place => self.by.push((network, length)),
            None => {}
        }
    }
}

/// The address, or the /48 that one IPv6 site may have.
fn widest(addr: IpAddr) -> IpAddr {
    match addr {
        IpAddr::V4(_) => addr,
        IpAddr::V6(v6) => Ipv6Addr::from_bits(v6.to_bits() & !(u128::MAX >> 48)).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addr(n: u8) -> IpAddr {
        IpAddr::from([192, 0, 2, n])
    }

    /// Sends as much as there is room for, and tells how much that is.
    fn fill(unread: &mut Unread, addr: IpAddr, is_stranger: bool) -> usize {
        const EVENT: usize = 1000;
        let mut sent = 0;
        while unread.has_room(addr, EVENT, is_stranger) {
            unread.note_sent(addr, EVENT);
            unread.is_now(unread.bytes + EVENT);
            sent += EVENT;
        }
        sent
    }

    #[test]
    fn there_is_room_for_others() {
        let mut unread = Unread::default();
        unread.is_now(1);
        let first = fill(&mut unread, addr(1), false);
        assert!(first.abs_diff(limits::UNREAD_BY_OTHERS / 3) < 2000, "{first}");
        for n in 2..12 {
            assert!(fill(&mut unread, addr(n), false) >= 1000, "the {n}th");
        }
        assert_eq!(fill(&mut unread, addr(1), false), 0);
        assert!(unread.bytes < limits::UNREAD_BY_OTHERS);
    }

    #[test]
    fn what_is_read_is_forgotten() {
        let mut unread = Unread::default();
        unread.is_now(1);
        let first = fill(&mut unread, addr(1), false);
        unread.is_now(unread.bytes / 2);
        let more = fill(&mut unread, addr(1), false);
        assert!(more >= first / 2 - 2000, "{more} of {first}");
        unread.is_now(0);
        assert!(unread.by.is_empty() && unread.has_room(addr(1), limits::OBJECT, true));
    }

    #[test]
    fn strangers_have_little_room_and_take_none_of_the_others() {
        let mut unread = Unread::default();
        unread.is_now(1);
        let first = fill(&mut unread, addr(1), true);
        assert!(first.abs_diff(limits::UNREAD_BY_STRANGERS / 9) < 2000, "{first}");
        assert!(unread.has_room(addr(2), limits::OBJECT, true), "one event of any length");
        (2..60).for_each(|n| _ = fill(&mut unread, addr(n), true));
        assert!(unread.bytes < limits::UNREAD_BY_STRANGERS, "{}", unread.bytes);
        let friend = fill(&mut unread, addr(100), false);
        assert!(friend > limits::UNREAD_BY_OTHERS / 5, "{friend}");
        unread.is_now(limits::UNREAD_BY_STRANGERS);
        assert!(!unread.has_room(addr(101), 1, true));
    }

    /// Whatever twenty others send: all that they may in events of one length, two of them long ones before.
    #[test]
    fn a_stranger_of_whom_nothing_is_unread_may_say_something_short() {
        for length in [1, 100, 1000, 30_000, limits::OBJECT] {
            for long in [[0; 2], [limits::UNREAD_WHEN_FIRST - 2, limits::OBJECT]] {
                let mut unread = Unread::default();
                unread.is_now(1);
                let send = |unread: &mut Unread, n, length| {
                    let may = length > 0 && unread.has_room(addr(n), length, true);
                    if may {
                        unread.note_sent(addr(n), length);
                        unread.is_now(unread.bytes + length);
                    }
                    may
                };
                (1..).zip(long).for_each(|(n, length)| _ = send(&mut unread, n, length));
                (1..=20).for_each(|n| while send(&mut unread, n, length) {});
                assert!(unread.bytes < limits::UNREAD_BY_STRANGERS);
                assert!(unread.has_room(addr(200), 300, true), "{length}: {}", unread.bytes);
            }
        }
    }
}
