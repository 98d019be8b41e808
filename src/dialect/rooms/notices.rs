//! What is going to be sent again. Where there is little room left for it, the peers of one source cannot take all.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};
use smallvec::SmallVec;

use super::delivery::To;
use super::field::Id;
use crate::clock::Instant;
use crate::limits;
use crate::prefixes::{Shares, weight};
use crate::timers::Timers;

/// What a notification is about: a newer one about the same takes the place of the older.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(super) enum Subject {
    /// A peer: it comes, has moved, is gone.
    Peer(Id),
    /// The ports that a peer is going to have.
    Ports(Id),
    /// Where a peer is in its own network.
    Local(Id),
    /// Who the host of the room is.
    Host,
    /// The room that the addressee was in.
    Room,
    /// The name of the room.
    Name,
}

pub(super) type Key = (SocketAddr, Subject);

/// A notification that is going to be sent again.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Notice {
    /// Whom it is for; nobody else must get it. `None` if the addressee is in no room any more.
    pub(super) addressee: Option<Id>,
    /// The room that the addressee was kicked from, if that is what it says.
    pub(super) kicked_from: Option<Id>,
    pub(super) to: To,
    /// That of a client that comes fits, and no memory has to be found for it.
    #[serde(with = "crate::state::bytes")]
    pub(super) text: SmallVec<[u8; 48]>,
    /// How often it is still to be sent.
    pub(super) copies: u8,
    /// How often that may still be tried: without credit nothing is sent.
    pub(super) tries: u8,
}

/// All of them, and how many are for the peers of each source.
#[derive(Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct Notices {
    all: Timers<Key, Notice>,
    #[serde(skip)]
    shares: Shares,
}

impl Notices {
    pub(super) fn new() -> Self {
        Self { all: Timers::new(limits::NOTICE_GAP), shares: Shares::default() }
    }

    /// Goes on with the notices of another process.
    pub(super) fn restore(&mut self, saved: Self) {
        self.all.restore(saved.all);
        for (at, _) in self.all.keys() {
            self.shares.add(at.ip(), 1);
        }
    }

    /// Sends this again later, if there is room for it. Not where this is armed already.
    pub(super) fn add(&mut self, now: Instant, key: Key, notice: Notice) {
        let len = self.all.len();
        let is_scarce = len >= limits::ROOM_NOTICES / 2;
        let has_share = || weight(self.shares.of(key.0.ip())) < limits::ROOM_NOTICES_OF_SOURCE;
        if len < limits::ROOM_NOTICES && (!is_scarce || has_share()) {
            self.shares.add(key.0.ip(), 1);
            self.all.arm_with(now, key, notice);
        }
    }

    pub(super) fn get_mut(&mut self, key: &Key) -> Option<&mut Notice> {
        self.all.get_mut(key)
    }

    pub(super) fn is_armed(&self, key: &Key) -> bool {
        self.all.is_armed(key)
    }

    /// It is not sent again.
    pub(super) fn cancel(&mut self, key: &Key) {
        self.cancel_if(key, |_| true);
    }

    /// It is not sent again if that is so of it. Whether it would have been, and is not.
    pub(super) fn cancel_if(&mut self, key: &Key, is_so: impl FnOnce(&Notice) -> bool) -> bool {
        let is_gone = self.all.cancel_if(*key, is_so);
        if is_gone {
            self.shares.remove(key.0.ip(), 1);
        }
        is_gone
    }

    /// When the first is due.
    pub(super) fn next(&self) -> Option<Instant> {
        self.all.next()
    }

    /// Takes the first out that is due.
    pub(super) fn take_due(&mut self, now: Instant) -> Option<(Key, Notice)> {
        if self.next()? > now {
            return None;
        }
        self.take()
    }

    /// Takes the first out.
    pub(super) fn take(&mut self) -> Option<(Key, Notice)> {
        let (key, notice) = self.all.take()?;
        self.shares.remove(key.0.ip(), 1);
        Some((key, notice))
    }

    pub(super) fn len(&self) -> usize {
        self.all.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dialect::route::Route;

    fn notice(endpoint: SocketAddr) -> Notice {
        let to = To { endpoint, via: Route::default(), proved: true };
        let (addressee, kicked_from) = (None, None);
        Notice { addressee, kicked_from, to, text: SmallVec::new(), copies: 3, tries: 60 }
    }

    #[test]
    fn peers_of_one_source_leave_half_to_others() {
        let (mut notices, now) = (Notices::new(), Instant::default());
        let mut add = |ip: [u8; 4], port: u16, subject: u16| {
            let (endpoint, subject) =
                (SocketAddr::from((ip, port)), Subject::Peer(Id(u64::from(subject))));
            notices.add(now, (endpoint, subject), notice(endpoint));
            notices.len()
        };
        let mut of_one = 0;
        for port in 0..1000 {
            (0..62).for_each(|subject| of_one = add([198, 51, 100, 1], port, subject));
        }
        assert_eq!(of_one, limits::ROOM_NOTICES / 2);
        let share = limits::ROOM_NOTICES_OF_SOURCE as usize;
        let mut of_both = 0;
        for port in 0..1000 {
            (0..62).for_each(|subject| of_both = add([198, 51, 100, 2], port, subject));
        }
        assert_eq!(of_both, of_one + share);
        // What is done makes room.
        while notices.take().is_some() {}
        assert!(notices.shares.is_empty());
    }
}
