//! What peers say to each other: to whom it may come, in which order, and what has to arrive.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use punchd::clock::Instant;
use serde_json::Value;

use super::super::faults::{Faults, SETTLED, TOLD};
use super::super::stage::Stage;
use super::Cast;

/// Something that was said so long ago has arrived where nothing is wrong.
pub const ARRIVES: Duration = Duration::from_secs(2);

/// So long a peer has had its ID to be surely known by it.
const KNOWN: Duration = Duration::from_secs(4);

/// So long a connection may stand that a peer has left open, and the other side goes on without it.
const LEFT_OPEN: Duration = Duration::from_secs(20);

/// A login of a peer, until it ends.
#[derive(Clone, Copy, Debug)]
struct Session {
    peer: usize,
    node: usize,
    since: Instant,
    until: Option<Instant>,
}

/// Something that a peer has said to another one.
#[derive(Clone, Debug)]
pub struct Said {
    /// Who has said it, and to whom.
    pub from: usize,
    /// The ID of whom it is for.
    pub to: String,
    at: Instant,
    /// Sessions of both, if they were sure: only then it has to arrive.
    sure: Option<[usize; 2]>,
    has_arrived: bool,
}

/// All that was said.
#[derive(Debug, Default)]
pub struct Passes {
    said: Vec<Said>,
    sessions: Vec<Session>,
    /// What has arrived last, by the logins of sender and receiver.
    last: BTreeMap<[usize; 2], u64>,
}

impl Passes {
    /// A peer is logged in from now on.
    pub fn logged_in(&mut self, peer: usize, node: usize, now: Instant) {
        self.sessions.push(Session { peer, node, since: now, until: None });
    }

    /// It is not any more.
    pub fn gone(&mut self, peer: usize, now: Instant) {
        let open = self.sessions.iter_mut().filter(|one| one.peer == peer && one.until.is_none());
        open.for_each(|session| session.until = Some(now));
    }

    /// The session of a peer.
    fn session_of(&self, peer: usize) -> Option<usize> {
        self.sessions.iter().rposition(|one| one.peer == peer && one.until.is_none())
    }

    /// One says something to those of whom each may be meant; returns its number.
    pub fn say(&mut self, now: Instant, from: usize, to: &str, meant: &BTreeSet<usize>) -> u64 {
        let open = |peer: usize| self.session_of(peer);
        let is_old = |session: &usize| {
            self.sessions.get(*session).is_some_and(|one| now.since(one.since) > KNOWN)
        };
        let receivers: Vec<usize> = meant.iter().filter_map(|peer| open(*peer)).collect();
        // Another login under that ID may still be known somewhere.
        let others = self.sessions.iter().filter(|one| {
            meant.contains(&one.peer) && one.until.is_none_or(|until| now.since(until) < KNOWN)
        });
        let is_only = others.count() == 1;
        let sure = match (open(from).filter(is_old), &receivers[..]) {
            (Some(from), [to]) if is_only && is_old(to) => Some([from, *to]),
            _ => None,
        };
        self.said.push(Said { from, to: to.into(), at: now, sure, has_arrived: false });
        self.said.len() as u64 - 1
    }

    /// It comes to a peer with this ID.
    ///
    /// # Errors
    /// If it must not.
    pub fn comes(&mut self, number: u64, peer: usize, id: &str) -> Result<(), String> {
        let receiver = self.session_of(peer).ok_or("it is not logged in")?;
        let said = self.said.get_mut(number as usize).ok_or("nobody has said that")?;
        if said.to != id {
            return Err(format!("that is for {}", said.to));
        }
        if std::mem::replace(&mut said.has_arrived, true) {
            return Err("it comes twice".into());
        }
        let (from, at) = (said.from, said.at);
        let before = |one: &Session| one.peer == from && one.since <= at;
        let sender = self.sessions.iter().rposition(before).ok_or("its sender was not there")?;
        let last = self.last.insert([sender, receiver], number);
        match last {
            Some(last) if last > number => Err(format!("it comes behind {last}")),
            _ => Ok(()),
        }
    }

    /// Who has said it.
    #[must_use]
    pub fn sender(&self, number: u64) -> Option<usize> {
        self.said.get(number as usize).map(|said| said.from)
    }

    /// Who has said it learns what became of it.
    ///
    /// # Errors
    /// If that is not so.
    pub fn answered(&self, number: u64, event: &Value, error: Option<&str>) -> Result<(), String> {
        let said = self.said.get(number as usize).ok_or("nobody has said that")?;
        match error {
            None if !said.has_arrived => Err("it has not arrived".into()),
            None if event["from"].as_str() != Some(&said.to) => Err("that is somebody else".into()),
            None if event["type"] == "response" && event["data"]["said"] != number => {
                Err("that is the answer to something else".into())
            }
            None | Some("timeout" | "no_such_peer" | "peer_left" | "no_such_room" | "busy") => {
                Ok(())
            }
            Some(_) => Err("there is nothing wrong with that".into()),
        }
    }

    /// Whether it has to have arrived by now: then the nodes of both.
    fn must_have_arrived(&self, faults: &Faults, number: u64, now: Instant) -> Option<[usize; 2]> {
        let said = self.said.get(number as usize)?;
        let sessions = said.sure?.map(|session| self.sessions.get(session).copied());
        let [Some(from), Some(to)] = sessions else { return None };
        let stay = from.until.is_none() && to.until.is_none();
        // A connection that it has left open where it was before counts until that node hears of the new one.
        let stands = |one: &&Session| {
            one.peer == to.peer && one.until.is_some_and(|until| said.at.since(until) < LEFT_OPEN)
        };
        let before = self.sessions.iter().filter(stands).map(|one| (one.node, to.node));
        let mut ways = before.chain([(from.node, to.node)]);
        let is_calm = ways.all(|way| faults.is_calm(way, said.at.before(SETTLED + TOLD), now));
        (stay && is_calm).then_some([from.node, to.node])
    }
}

impl Cast {
    /// What was said must have arrived if nothing was in its way.
    pub(super) fn check_arrived(&mut self, stage: &Stage, number: u64) -> Result<(), String> {
        let nodes = self.passes.must_have_arrived(&stage.faults, number, stage.now);
        let Some([from, to]) = nodes else { return Ok(()) };
        match self.passes.said.get(number as usize) {
            Some(said) if !said.has_arrived => {
                Err(format!("what was said at node {from} has not arrived at node {to}: {said:?}"))
            }
            _ => {
                self.summary.passed += 1;
                self.summary.passed_elsewhere += u64::from(from != to);
                Ok(())
            }
        }
    }
}
