//! How another process of a node goes on with what it has at other nodes, and has for them.

use super::{RemoteRelays, pair_of};
use crate::clock::Instant;
use crate::introductions::relay::sessions::Sessions;

impl Sessions {
    /// Goes on with what another process has had at other nodes, and for them, unless that was another node: others are
    /// not who they were for it then.
    pub(crate) fn go_on_elsewhere(&mut self, now: Instant, is_same_node: bool) {
        let saved = std::mem::take(&mut self.elsewhere);
        if !is_same_node {
            return;
        }
        self.elsewhere.restore(now, saved);
        let served = self.elsewhere.served.clone();
        for (session, asked) in served {
            // There may be no relay here any more.
            if self.places(session).is_some() {
                self.elsewhere.asked.insert(asked, session);
            } else {
                self.elsewhere.served.remove(&session);
            }
        }
    }
}

impl RemoteRelays {
    fn restore(&mut self, now: Instant, saved: Self) {
        let Self { count, all, waits, refused, given, rates, served, news, ended, .. } = saved;
        self.count = count;
        let mut by_pair: Vec<_> =
            all.iter().map(|(n, entry)| (*n, pair_of(&entry.attempt))).collect();
        // Of several the last one counts.
        by_pair.sort_unstable_by_key(|(number, _)| *number);
        self.by_pair = by_pair.into_iter().map(|(number, pair)| (pair, number)).collect();
        // They are asked again, and what was answered meanwhile may be lost.
        waits.keys().for_each(|number| self.waits.arm(now, *number));
        self.refused.restore(refused);
        self.given.restore(given);
        self.rates.restore(rates);
        (self.all, self.served, self.news, self.ended) = (all, served, news, ended);
    }
}
