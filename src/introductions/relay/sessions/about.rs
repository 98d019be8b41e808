//! What other nodes are told of the relay.

use super::Sessions;
use crate::clock::Now;
use crate::cluster;
use crate::limits;

impl Sessions {
    /// How much it does, and how much it may; none if there is no relay.
    pub fn about(&mut self, now: Now) -> Option<cluster::Relay> {
        let config = self.config.as_ref()?;
        let bounds = config.bounds;
        Some(cluster::Relay {
            v4: config.told.v4,
            v6: config.told.v6,
            is_apart: config.is_apart,
            sessions: self.all.count() as u64,
            most: limits::relay::SESSIONS as u64,
            bytes: self.passed.rate(now.instant),
            most_bytes: bounds.total_bytes.into(),
            is_used_up: self.is_used_up(now),
        })
    }
}
