//! A bad network for tests: each packet may be lost, doubled or late, one way and the other.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};

/// What the network does to each packet.
#[derive(Clone, Copy, Debug)]
pub(super) struct Trouble {
    /// In percent.
    pub(super) loss: u32,
    /// In percent.
    pub(super) copies: u32,
    /// At most so many milliseconds.
    pub(super) delay: u64,
}

/// What a dialect has to work over.
pub(super) const TROUBLES: [Trouble; 4] = [
    Trouble { loss: 0, copies: 100, delay: 0 },
    Trouble { loss: 20, copies: 0, delay: 40 },
    Trouble { loss: 20, copies: 30, delay: 300 },
    Trouble { loss: 50, copies: 50, delay: 100 },
];

/// Something under way.
#[derive(Debug)]
pub(super) struct Packet<T> {
    pub(super) from: SocketAddr,
    /// `None`: the server.
    pub(super) to: Option<SocketAddr>,
    pub(super) data: T,
}

/// The network, and what is under way in it.
#[derive(Debug)]
pub(super) struct Lossy<T> {
    pub(super) trouble: Trouble,
    random: StdRng,
    under_way: BTreeMap<(u64, u64), Packet<T>>,
    sent: u64,
}

impl<T: Clone> Lossy<T> {
    pub(super) fn new(seed: u8, trouble: Trouble) -> Self {
        let random = StdRng::from_seed([seed; 32]);
        Self { trouble, random, under_way: BTreeMap::new(), sent: 0 }
    }

    fn happens(&mut self, percent: u32) -> bool {
        self.random.next_u32() % 100 < percent
    }

    /// Puts a packet on its way at that time in milliseconds, or two, or none.
    pub(super) fn put(&mut self, now: u64, from: SocketAddr, to: Option<SocketAddr>, data: &T) {
        let copies = 1 + usize::from(self.happens(self.trouble.copies));
        for _ in 0..copies {
            if self.happens(self.trouble.loss) {
                continue;
            }
            let delay = 1 + self.random.next_u64() % (self.trouble.delay + 1);
            self.sent += 1;
            let packet = Packet { from, to, data: data.clone() };
            self.under_way.insert((now + delay, self.sent), packet);
        }
    }

    /// The next packet that has arrived by now.
    pub(super) fn take(&mut self, now: u64) -> Option<Packet<T>> {
        let entry = self.under_way.first_entry()?;
        (entry.key().0 <= now).then(|| entry.remove())
    }
}
