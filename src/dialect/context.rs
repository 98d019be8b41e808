//! What a dialect is called with.

use std::collections::BTreeSet;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use log::Level;

use super::{Name, Outbox};
use crate::amplification::Credits;
use crate::clock::Now;
use crate::cluster::{Names, NodeId};
use crate::diagnostics::Diagnostics;
use crate::introductions::journal::Journal;
use crate::introductions::relay::sessions::Sessions;
use crate::introductions::unmet::Asked;
#[cfg(test)]
use crate::introductions::{
    PublicIps,
    relay::{Bounds, Order, Report, Session, Shape, sessions::Config},
};
use crate::nats::Nats;
use crate::refusals::{Reason, Refusals};
use crate::unproven::Unproven;

/// One call of a dialect: when it is, where what is to be done goes, and what all dialects share.
#[derive(Debug)]
pub struct Context<'a> {
    /// What time it is; of a connection that begins to speak: when it was opened.
    pub now: Now,
    /// What the dialect wants done.
    pub out: &'a mut Outbox,
    /// What belongs to no dialect alone.
    pub shared: &'a mut Shared,
}

impl Context<'_> {
    /// Two are told of each other; the first of `told` is told to the first.
    pub fn introduced(&mut self, pair: [SocketAddr; 2], told: [SocketAddr; 2]) {
        self.shared.diagnostics.told(self.now, pair, told);
        self.shared.relay.introduced(self.now, pair);
    }

    /// When the datagram came: it may have waited for its turn.
    #[must_use]
    pub fn came(&self) -> Now {
        Now { instant: self.now.instant.before(self.shared.waited), ..self.now }
    }

    /// Something was refused to who is at this address.
    pub fn refused(&mut self, speaks: Name, reason: Reason, addr: IpAddr) {
        self.shared.refusals.note(self.now, Some(speaks), reason, addr);
    }

    /// Somebody asked for somebody and is not introduced, for this reason; with a line of this level, if
    /// there is to be one.
    pub fn not_introduced(&mut self, level: Option<Level>, asked: Asked, why: fmt::Arguments<'_>) {
        self.shared.journal.not_introduced(self.now, &self.shared.nats, level, asked, why);
    }
}

/// The tables of the whole server, which has them and lends them for each call.
#[derive(Debug, Default)]
pub struct Shared {
    /// What is known of the NATs that peers are behind.
    pub nats: Nats,
    /// Of whom peers may be told.
    pub unproven: Unproven,
    /// What each address may still be sent by UDP.
    pub credits: Credits,
    /// How introductions ended.
    pub journal: Journal,
    /// What was refused.
    pub refusals: Refusals,
    /// What seems to be wrong with the network of the server.
    pub diagnostics: Diagnostics,
    /// Who is relayed.
    pub relay: Sessions,
    /// What the other nodes of the cluster are called.
    pub nodes: Names,
    /// Nodes that are to tell everything once more, as what they have told was not believed.
    pub unheard: BTreeSet<NodeId>,
    /// How long the datagram has waited for its turn since it came.
    pub waited: Duration,
}

/// What tests of several dialects look for.
#[cfg(test)]
impl Shared {
    /// Tables with a relay at these addresses.
    pub(crate) fn relaying(told: PublicIps, bounds: Bounds) -> Self {
        let config = Config { told, is_apart: false, ports: 20_000..=20_063, bounds };
        Self { relay: Sessions::new(Some(config)), ..Self::default() }
    }

    /// The sessions that were given out since the last time.
    pub(crate) fn sessions(&mut self) -> Vec<Session> {
        let new: Vec<Session> = self.relay.take_orders().filter_map(Order::session).collect();
        assert!(new.iter().all(|session| session.shape == Shape::Any));
        new
    }

    /// The only one of them.
    pub(crate) fn session(&mut self) -> Session {
        let new = self.sessions();
        assert_eq!(new.len(), 1, "{new:?}");
        new[0]
    }

    /// The relay's thread tells something.
    pub(crate) fn report(&mut self, now: Now, report: Report) {
        if let Some((attempt, way)) = self.relay.note(now, report) {
            self.journal.note(now, &self.nats, attempt, way);
        }
    }

    /// Why somebody was not introduced, and how often; the latest first.
    pub(crate) fn unmet(&self) -> Vec<(String, u64)> {
        self.journal.unmet().map(|unmet| (unmet.why.to_string(), unmet.times)).collect()
    }

    /// How many got through directly, relayed, and not at all.
    pub(crate) fn counted(&self) -> String {
        let lines = self.journal.lines();
        let rows = lines.iter().skip(1).find(|line| !line.starts_with("lately: "));
        let row = rows.map(|row| row.split_whitespace().rev().take(3).collect::<Vec<_>>());
        row.map_or("0 0 0".into(), |row| row.into_iter().rev().collect::<Vec<_>>().join(" "))
    }
}
