//! What each network has of the bytes of all: an address, of IPv6 a /64, however many sessions it has.

use std::hash::BuildHasher as _;
use std::net::IpAddr;

use super::bucket::{Bucket, Rate};
use crate::clock::Instant;
use crate::hash::Keyed;
use crate::prefixes;

/// So much more room is made at a time: to double it would leave half of it empty.
const MORE: usize = 128;

/// The shares, each at its place.
#[derive(Debug, Default)]
pub(super) struct Shares {
    /// Looked through when a player comes: a table would take as much memory again.
    all: Vec<Share>,
    /// How many of them are used.
    networks: usize,
}

/// What the players of a network have together. Packed, as there is one for each side of most sessions.
#[repr(Rust, packed(2))]
#[derive(Clone, Copy, Debug)]
struct Share {
    bucket: Bucket,
    /// The hash of the network. Two that have the same share a share; nobody can choose such a one, as the
    /// hash has a secret key.
    network: u32,
    /// How many players; if none, another network may have its place.
    players: u16,
}

impl Shares {
    /// One more player. Returns the place of its share.
    pub(super) fn join(&mut self, keyed: &Keyed, addr: IpAddr) -> u16 {
        let network = keyed.hash_one(prefixes::network(addr)) as u32;
        // Who has just left does not begin with a full share again.
        let own = self.all.iter().position(|share| share.network == network);
        let at = own.unwrap_or_else(|| self.make(network)).min(usize::from(u16::MAX));
        if let Some(share) = self.all.get_mut(at) {
            self.networks += usize::from(share.players == 0);
            share.players = share.players.saturating_add(1);
        }
        at as u16
    }

    /// Makes a full share of this network. Returns its place.
    fn make(&mut self, network: u32) -> usize {
        let new = Share { bucket: Bucket::default(), network, players: 0 };
        if let Some(at) = self.all.iter().position(|share| share.players == 0)
            && let Some(share) = self.all.get_mut(at)
        {
            *share = new;
            return at;
        }
        // There are some thousand at most; beyond what a place can tell, all have the last.
        if self.all.len() > usize::from(u16::MAX) {
            return self.all.len();
        }
        if self.all.len() == self.all.capacity() {
            self.all.reserve_exact(MORE);
        }
        let at = self.all.len();
        self.all.push(new);
        at
    }

    /// A player of this share has left.
    pub(super) fn leave(&mut self, at: u16) {
        if let Some(share) = self.all.get_mut(usize::from(at)) {
            self.networks = self.networks.saturating_sub(usize::from(share.players == 1));
            share.players = share.players.saturating_sub(1);
        }
    }

    /// What each network has of this.
    pub(super) fn of(&self, total: Rate) -> Rate {
        total.shared_by(self.networks)
    }

    /// Whether so much is there of this share.
    pub(super) fn has(&self, at: u16, rate: Rate, now: Instant, amount: usize) -> bool {
        self.all.get(usize::from(at)).is_some_and(|share| {
            let bucket = share.bucket;
            bucket.has(rate, now, amount)
        })
    }

    /// Takes it from this share, or all there is.
    pub(super) fn take_most(&mut self, at: u16, rate: Rate, now: Instant, amount: usize) {
        if let Some(share) = self.all.get_mut(usize::from(at)) {
            let mut bucket = share.bucket;
            bucket.take_most(rate, now, amount);
            share.bucket = bucket;
        }
    }
}
