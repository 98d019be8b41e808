//! How introductions ended, as far as the server can know, beside what its journal says.

use std::collections::BTreeMap;
use std::net::IpAddr;

use punchd::clock::Instant;
use punchd::dialect::ConnId;
use punchd::introductions::journal::Counts;
use punchd::introductions::relay::{Report, SessionId};
use punchd::limits;

use super::{Kept, Promise, broken};

/// A client that was told of a host, or of the relay.
#[derive(Clone, Copy, Debug)]
struct Attempt {
    at: Instant,
    session: Option<SessionId>,
    host: IpAddr,
    /// It is known that the server notes how it ends: it knows the client's port, and the host stays.
    is_sure: bool,
}

/// What becomes of a session.
#[derive(Clone, Copy, Debug, Default)]
struct Course {
    is_connected: bool,
    is_welcome: bool,
}

/// How many there are, at least and at most.
#[derive(Clone, Copy, Debug, Default)]
struct Count {
    sure: u64,
    more: u64,
}

impl Count {
    fn add(&mut self, is_sure: bool) {
        *(if is_sure { &mut self.sure } else { &mut self.more }) += 1;
    }

    fn is(self, count: u64) -> bool {
        (self.sure..=self.sure + self.more).contains(&count)
    }
}

#[derive(Debug, Default)]
pub(in super::super) struct Ended {
    attempts: BTreeMap<ConnId, Attempt>,
    sessions: BTreeMap<SessionId, Course>,
    direct: Count,
    relayed: Count,
    failed: Count,
}

impl Ended {
    /// A client was told where its host is.
    pub(in super::super) fn told(
        &mut self,
        at: Instant,
        (client, host): (ConnId, IpAddr),
        is_sure: bool,
    ) {
        let attempt = Attempt { at, session: None, host, is_sure };
        self.attempts.insert(client, attempt);
    }

    /// A client was told of the relay.
    pub(in super::super) fn relayed(
        &mut self,
        at: Instant,
        (client, host): (ConnId, IpAddr),
        id: SessionId,
    ) {
        self.sessions.insert(id, Course::default());
        let attempt = Attempt { at, session: Some(id), host, is_sure: true };
        self.attempts.insert(client, attempt);
    }

    /// It was told something else, or is not connected any more by the will of the server.
    pub(in super::super) fn drop(&mut self, client: ConnId) {
        self.attempts.remove(&client);
    }

    /// A client closes its connection. Whether it may have got through directly.
    pub(in super::super) fn ends(&mut self, now: Instant, client: ConnId) -> bool {
        let Some(attempt) = self.attempts.remove(&client) else { return false };
        let took = now - attempt.at;
        if !(limits::WELCOME..=limits::LATE_WELCOME).contains(&took) {
            return false;
        }
        match attempt.session {
            None => self.direct.add(attempt.is_sure),
            Some(id) => {
                if let Some(course) = self.sessions.get_mut(&id) {
                    course.is_welcome = true;
                }
            }
        }
        attempt.session.is_none()
    }

    /// The host at an address leaves, or comes anew: nothing may be said of who was told of it.
    pub(in super::super) fn host_changes(&mut self, host: IpAddr) {
        let of_it = self.attempts.values_mut().filter(|attempt| attempt.host == host);
        of_it.for_each(|attempt| attempt.is_sure = false);
    }

    /// The server has done what it had to do by now.
    pub(in super::super) fn passes(&mut self, now: Instant) {
        let Self { attempts, failed, .. } = self;
        attempts.retain(|_, attempt| {
            let is_over = now - attempt.at >= limits::ATTEMPT;
            if is_over && attempt.session.is_none() {
                failed.add(attempt.is_sure);
            }
            !is_over
        });
    }

    /// The server hears what became of a session.
    pub(in super::super) fn reports(&mut self, report: Report) -> Kept {
        match report {
            Report::Connected(id) => {
                let Some(course) = self.sessions.get_mut(&id) else {
                    return broken(Promise::CountedOnce, format!("{id:?} is connected, but over"));
                };
                course.is_connected = true;
                self.relayed.add(true);
            }
            Report::Ended(id, _) => match self.sessions.remove(&id) {
                Some(Course { is_connected: true, .. }) => {}
                Some(Course { is_welcome: true, .. }) => self.direct.add(true),
                Some(_) => self.failed.add(true),
                None => return broken(Promise::CountedOnce, format!("{id:?} is over twice")),
            },
            Report::Passed(_) => {}
        }
        Ok(())
    }

    /// The journal says the same.
    pub(in super::super) fn check(&self, noted: Counts) -> Kept {
        let Counts { direct, relayed, failed, .. } = noted;
        if self.direct.is(direct) && self.relayed.is(relayed) && self.failed.is(failed) {
            return Ok(());
        }
        let want = [self.direct, self.relayed, self.failed];
        broken(Promise::CountedOnce, format!("the journal has {noted:?}, there were {want:?}"))
    }
}
