//! How sessions go on in another process: no packet is lost by it, as those that come meanwhile wait in the sockets.

use std::collections::HashSet;
use std::net::IpAddr;

use serde::{Serialize as _, Serializer};

use super::bucket::Bucket;
use super::{End, Forwarding, Report, SessionId};
use crate::state::{self, NotUnderstood};

/// Writes a full share, whichever it is.
#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde wants it")]
pub(super) fn full_share<S: Serializer>(_: &u16, to: S) -> Result<S::Ok, S::Error> {
    Bucket::default().serialize(to)
}

impl Forwarding {
    /// The version of what is written.
    pub const VERSION: u16 = 1;

    /// What another process needs to go on.
    #[must_use]
    pub fn save(&self) -> Option<Vec<u8>> {
        state::write(self)
    }

    /// Goes on from what another process knew, by the same clock, with the bounds that are set here. Those
    /// sessions end that have a port which this process does not have, as `has_port` tells of the ports for a
    /// player.
    ///
    /// # Errors
    ///
    /// It is not understood: there are no sessions.
    pub fn load(
        &mut self,
        bytes: &[u8],
        has_port: impl Fn(IpAddr, u16) -> bool,
    ) -> Result<(), NotUnderstood> {
        let Self { sessions, total, check, reports, passed, dropped, .. } = state::read(bytes)?;
        self.sessions.restore(sessions);
        (self.total, self.check, self.reports) = (total, check, reports);
        (self.passed, self.dropped) = (passed, dropped);
        let is_lost = |leg: &super::Leg| !has_port(leg.addr, leg.pool_port);
        let all = self.sessions.iter();
        let lost = all.filter(|(_, allocation)| allocation.sides.iter().any(is_lost));
        let lost: Vec<u32> = lost.map(|(at, _)| at).collect();
        for allocation in lost.into_iter().filter_map(|at| self.sessions.remove(at)) {
            self.reports.push(Report::Ended(allocation.id, End::GaveWay));
        }
        Ok(())
    }

    /// The numbers of all sessions.
    #[must_use]
    pub fn sessions(&self) -> HashSet<SessionId> {
        self.sessions.iter().map(|(_, allocation)| allocation.id).collect()
    }
}
