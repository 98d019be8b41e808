//! Whom a host has not been told of yet. Nearly always that is nobody, so it takes no more than a
//! pointer then.

use std::collections::VecDeque;
use std::net::SocketAddr;

/// Notifications that wait for the notify gap, the oldest first.
#[derive(Debug, Default)]
#[expect(clippy::box_collection, reason = "every connection has one, and hardly any is in use")]
pub(super) struct Notices(Option<Box<VecDeque<SocketAddr>>>);

impl Notices {
    pub(super) fn len(&self) -> usize {
        self.0.as_ref().map_or(0, |queue| queue.len())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    pub(super) fn push(&mut self, client: SocketAddr) {
        self.0.get_or_insert_default().push_back(client);
    }

    pub(super) fn pop(&mut self) -> Option<SocketAddr> {
        let queue = self.0.as_mut()?;
        let client = queue.pop_front();
        if queue.is_empty() {
            self.0 = None;
        }
        client
    }
}
