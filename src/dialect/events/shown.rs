//! What the owner is shown of the rooms.

use super::Events;
use crate::dialect::{Bound, Census};

impl Events {
    pub(super) fn counted(&self) -> Census {
        let hosts = self.rooms.len();
        Census { hosts, clients: self.tokens.len().saturating_sub(hosts) }
    }

    pub(super) fn show_bounds(&self, each: &mut dyn FnMut(Bound)) {
        let used = usize::try_from(self.unfinished.total()).unwrap_or(usize::MAX);
        each(Bound {
            what: "bytes of events that are not finished",
            used,
            most: self.config.limits.total(),
            option: Some("--max-connections"),
        });
    }
}
