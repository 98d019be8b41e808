//! The requests for hosts that wait: for a UDP packet, or for a host that is just coming back.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};
use slab::Slab;
use smallvec::SmallVec;

use super::request::Request;
use super::slot::Slot;
use crate::clock::{Instant, earliest};
use crate::hash::Map;
use crate::limits;
use crate::prefixes::{KeysBySource, Shares};
use crate::timers::Timers;

/// The requests that wait.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Introductions {
    #[serde(with = "crate::state::slab")]
    waiting: Slab<Waiting>,
    /// Those of each client address, longest waiting first.
    by_client: KeysBySource<WaitId>,
    /// How many each network has.
    #[serde(skip)]
    shares: Shares,
    /// Those for each host address, longest waiting first.
    by_host: Map<IpAddr, SmallVec<[WaitId; 2]>>,
    /// When a host is no longer expected back.
    pub(super) returns: Timers<WaitId>,
    /// When the answer has to be given with what is known.
    pub(super) deadlines: Timers<WaitId>,
    /// The same of those whose host came so late that it is only being asked for its port.
    pub(super) late: Timers<WaitId>,
    /// When those whose hosts are at other nodes are not kept waiting any more, however often nodes come and go.
    #[serde(default = "no_answers")]
    pub(super) answers: Timers<WaitId>,
}

fn no_answers() -> Timers<WaitId> {
    Timers::new(limits::cluster::ANSWERS_WAIT)
}

/// A request that waits. Its connection and its timers hold one, and they end with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(super) struct WaitId(Slot);

/// Requests that are looked at one after the other, which may end each of them.
pub(super) type WaitIds = SmallVec<[WaitId; 8]>;

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Waiting {
    pub(super) request: Request,
    /// The text that the client sent, to be told back.
    pub(super) text: Box<str>,
    /// The number of the question to the node of the host, if that was asked. Another process asks by the same, so
    /// that the host is told once.
    #[serde(default)]
    pub(super) asked: Option<u64>,
}

impl Default for Introductions {
    fn default() -> Self {
        Self {
            waiting: Slab::new(),
            by_client: KeysBySource::default(),
            shares: Shares::default(),
            by_host: Map::default(),
            returns: Timers::new(limits::HOST_RETURN),
            deadlines: Timers::new(limits::INTRODUCTION_WAIT),
            late: Timers::new(limits::LATE_HOST),
            answers: no_answers(),
        }
    }
}

impl Introductions {
    /// When a request has waited long enough.
    pub(super) fn next_wakeup(&self) -> Option<Instant> {
        earliest([
            self.returns.next(),
            self.deadlines.next(),
            self.late.next(),
            self.answers.next(),
        ])
    }

    /// Goes on with the requests of another process.
    pub(super) fn restore(&mut self, saved: Self) {
        let Self { waiting, by_client, shares: _, by_host, returns, deadlines, late, answers } =
            saved;
        (self.waiting, self.by_client, self.by_host) = (waiting, by_client, by_host);
        let clients = self.waiting.iter().map(|(_, waiting)| waiting.request.client);
        clients.for_each(|client| _ = self.shares.add(client, 1));
        self.returns.restore(returns);
        self.deadlines.restore(deadlines);
        self.late.restore(late);
        self.answers.restore(answers);
    }

    /// A request that waits.
    pub(super) fn get(&self, id: WaitId) -> Option<&Waiting> {
        self.waiting.get(id.0.get())
    }

    /// The same, to be changed.
    pub(super) fn get_mut(&mut self, id: WaitId) -> Option<&mut Waiting> {
        self.waiting.get_mut(id.0.get())
    }

    /// Those of a client, of IPv6 those of its /64.
    pub(super) fn of_client(&self, addr: IpAddr) -> WaitIds {
        self.by_client.of(addr).into()
    }

    /// Those for the hosts of an address.
    pub(super) fn for_host(&self, addr: IpAddr) -> WaitIds {
        self.by_host.get(&addr).map(|ids| ids.as_slice().into()).unwrap_or_default()
    }

    /// All of them.
    pub(super) fn all(&self) -> Vec<WaitId> {
        self.waiting.iter().map(|(id, _)| WaitId(Slot::new(id))).collect()
    }

    /// The one that has to be answered before one more may wait: the oldest of this client if it
    /// has as many as it may, else, if too many wait for the host, the oldest of the client whose
    /// networks have most.
    pub(super) fn eviction_candidate(&self, request: &Request) -> Option<WaitId> {
        let own = self.by_client.of(request.client);
        if own.len() >= limits::WAITING_PER_CLIENT {
            return own.first().copied();
        }
        let here = self.by_host.get(&request.host)?;
        if here.len() < limits::WAITING_PER_HOST {
            return None;
        }
        let has =
            |id: &&WaitId| self.get(**id).map(|waiting| self.shares.of(waiting.request.client));
        // Of equal ones the last one is found.
        here.iter().rev().max_by_key(has).copied()
    }

    /// One more request waits.
    pub(super) fn add(&mut self, now: Instant, request: Request, text: &str) -> WaitId {
        let id = WaitId(Slot::new(self.waiting.insert(Waiting {
            request,
            text: text.into(),
            asked: None,
        })));
        self.by_client.add(request.client, id);
        self.shares.add(request.client, 1);
        self.by_host.entry(request.host).or_default().push(id);
        self.returns.arm(now, id);
        self.deadlines.arm(now, id);
        id
    }

    /// Forgets a request.
    pub(super) fn remove(&mut self, id: WaitId) -> Option<Waiting> {
        let waiting = self.waiting.try_remove(id.0.get())?;
        self.returns.cancel(&id);
        self.deadlines.cancel(&id);
        self.late.cancel(&id);
        self.answers.cancel(&id);
        self.by_client.remove(waiting.request.client, &id);
        self.shares.remove(waiting.request.client, 1);
        if let Some(ids) = self.by_host.get_mut(&waiting.request.host) {
            ids.retain(|other| *other != id);
            if ids.is_empty() {
                self.by_host.remove(&waiting.request.host);
            }
        }
        Some(waiting)
    }
}
