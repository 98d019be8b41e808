//! Who waits for whom: every `confirm_pass` and `request` that was passed on to a peer, until it
//! is confirmed or answered, its time is over, or one of the two is gone.
//!
//! The receiver sees an ID of the server's own, as two senders may use the same one at once; the
//! sender gets its own back.

use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::clock::{Instant, earliest};
use crate::dialect::ConnId;
use crate::dialect::events::event::Kind;
use crate::holders::Holders;
use crate::limits;
use crate::timers::Timers;

/// Somebody who waits.
#[derive(Debug, Serialize, Deserialize)]
pub struct Route {
    /// What for: of a [`Kind::ConfirmPass`] or a [`Kind::Request`].
    pub kind: Kind,
    /// Who waits.
    pub sender: ConnId,
    /// From which address.
    pub from: IpAddr,
    /// For whom.
    pub receiver: ConnId,
    /// The ID that the sender gave, as it was written.
    pub id: Box<str>,
    /// The name of the event.
    pub name: Box<str>,
    /// A node answers it itself: what is asked of the server, and not of a peer in words that may be the same.
    #[serde(skip)]
    pub is_of_node: bool,
}

/// There is no room for one more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Full {
    /// The sender waits for too many already.
    Sender,
    /// All peers together wait for too many.
    Server,
}

impl fmt::Display for Full {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Sender => "you wait for too many peers already",
            Self::Server => "too many wait for others on this server",
        })
    }
}

/// Everybody who waits.
#[derive(Debug, Serialize, Deserialize)]
pub struct Routes {
    last: u64,
    table: HashMap<u64, Route>,
    deadlines: Timers<u64>,
    /// The same of what another node answers itself.
    #[serde(default = "of_nodes")]
    of_nodes: Timers<u64>,
    /// Which routes a connection has to do with. Ordered, so that they end in the same order in
    /// every run.
    parts: HashMap<ConnId, Part>,
    shares: Holders<u64>,
}

fn of_nodes() -> Timers<u64> {
    Timers::new(limits::cluster::ANSWER_WAIT)
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct Part {
    sent: BTreeSet<u64>,
    received: BTreeSet<u64>,
}

impl Default for Routes {
    fn default() -> Self {
        Self {
            last: 0,
            table: HashMap::new(),
            deadlines: Timers::new(limits::ANSWER_WAIT),
            of_nodes: of_nodes(),
            parts: HashMap::new(),
            shares: Holders::default(),
        }
    }
}

impl Routes {
    /// Goes on with those who waited in another process.
    pub(super) fn restore(&mut self, saved: Self) {
        let Self { last, table, deadlines, of_nodes, parts, shares } = saved;
        (self.last, self.table, self.parts, self.shares) = (last, table, parts, shares);
        self.deadlines.restore(deadlines);
        self.of_nodes.restore(of_nodes);
        for number in self.of_nodes.keys() {
            self.table.get_mut(number).into_iter().for_each(|route| route.is_of_node = true);
        }
    }

    /// Somebody waits from now on. Returns the ID for the receiver, and the wait that has given way
    /// if there was no room: one of the address that had most.
    ///
    /// # Errors
    /// If there is no room.
    pub fn add(&mut self, now: Instant, route: Route) -> Result<(u64, Option<Route>), Full> {
        let sent = self.parts.get(&route.sender).map_or(0, |part| part.sent.len());
        if sent >= limits::WAITING_PER_PEER {
            return Err(Full::Sender);
        }
        let mut given_way = None;
        if self.table.len() >= limits::WAITING_PEERS {
            let newest = self.shares.eviction_candidate(route.from, 1).ok_or(Full::Server)?;
            given_way = self.remove(newest);
        }
        self.last += 1;
        let number = self.last;
        self.parts.entry(route.sender).or_default().sent.insert(number);
        self.parts.entry(route.receiver).or_default().received.insert(number);
        self.deadlines.arm(now, number);
        self.shares.change(route.from, number, 0, 1);
        self.table.insert(number, route);
        Ok((number, given_way))
    }

    /// Another node itself answers this, which takes no longer than a message takes.
    pub(super) fn hasten(&mut self, now: Instant, number: u64) {
        self.deadlines.cancel(&number);
        self.of_nodes.arm(now, number);
        self.table.get_mut(&number).into_iter().for_each(|route| route.is_of_node = true);
    }

    /// Who waits under this number.
    #[must_use]
    pub fn get(&self, number: u64) -> Option<&Route> {
        self.table.get(&number)
    }

    /// The receiver confirms or answers.
    pub fn take(&mut self, number: u64, kind: Kind, receiver: ConnId) -> Option<Route> {
        let route = self.table.get(&number)?;
        if route.kind != kind || route.receiver != receiver {
            return None;
        }
        self.remove(number)
    }

    /// Who was passed on under this number, by this sender, is answered elsewhere.
    pub(super) fn take_sent(&mut self, number: u64, kind: Kind, sender: ConnId) -> Option<Route> {
        let route = self.table.get(&number)?;
        if route.kind != kind || route.sender != sender {
            return None;
        }
        self.remove(number)
    }

    /// What this sender waits for from this receiver that has one of these names.
    pub(super) fn find_named(
        &self,
        sender: ConnId,
        receiver: ConnId,
        names: &[&str],
    ) -> Option<u64> {
        let mut sent = self.parts.get(&sender)?.sent.iter().copied();
        sent.find(|number| {
            self.table
                .get(number)
                .is_some_and(|route| route.receiver == receiver && names.contains(&&*route.name))
        })
    }

    /// Nobody waits under this number any more.
    pub(super) fn take_number(&mut self, number: u64) -> Option<Route> {
        self.remove(number)
    }

    /// Somebody whose time is over.
    pub fn pop_due(&mut self, now: Instant) -> Option<Route> {
        let number = self.of_nodes.pop_due(now).or_else(|| self.deadlines.pop_due(now))?;
        self.remove(number)
    }

    /// Somebody who waits for this connection, which is gone. What it waits for itself is
    /// forgotten.
    pub fn pop_of(&mut self, gone: ConnId) -> Option<Route> {
        while let Some(number) = self.parts.get_mut(&gone).and_then(|part| part.sent.pop_first()) {
            self.remove(number);
        }
        let number = *self.parts.get(&gone)?.received.first()?;
        self.remove(number)
    }

    /// Who was on one connection is on another from now on: all that it waits for, and all who wait for it.
    pub fn replace(&mut self, old: ConnId, new: ConnId) {
        let Some(part) = self.parts.remove(&old) else { return };
        for number in part.sent.iter().chain(&part.received) {
            if let Some(route) = self.table.get_mut(number) {
                for conn in [&mut route.sender, &mut route.receiver] {
                    if *conn == old {
                        *conn = new;
                    }
                }
            }
        }
        let of_new = self.parts.entry(new).or_default();
        of_new.sent.extend(part.sent);
        of_new.received.extend(part.received);
    }

    /// Anybody who waits.
    pub fn pop(&mut self) -> Option<Route> {
        let number = self.of_nodes.pop().or_else(|| self.deadlines.pop())?;
        self.remove(number)
    }

    /// When the next one's time is over.
    #[must_use]
    pub fn next_wakeup(&self) -> Option<Instant> {
        earliest([self.deadlines.next(), self.of_nodes.next()])
    }

    /// How many wait, and what is known of those.
    #[must_use]
    pub fn len(&self) -> usize {
        self.table.len() + self.deadlines.len() + self.of_nodes.len() + self.parts.len()
    }

    /// Whether nobody waits, and nothing is left of those who did.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.shares.is_empty()
            && self.table.is_empty()
            && self.deadlines.is_empty()
            && self.of_nodes.is_empty()
            && self.parts.is_empty()
    }

    fn remove(&mut self, number: u64) -> Option<Route> {
        let route = self.table.remove(&number)?;
        self.deadlines.cancel(&number);
        self.of_nodes.cancel(&number);
        self.shares.change(route.from, number, 1, 0);
        for conn in [route.sender, route.receiver] {
            if let Some(part) = self.parts.get_mut(&conn) {
                part.sent.remove(&number);
                part.received.remove(&number);
                if part.sent.is_empty() && part.received.is_empty() {
                    self.parts.remove(&conn);
                }
            }
        }
        Some(route)
    }
}
