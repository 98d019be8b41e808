//! How introductions ended. A client of GMnet's scripts closes its connection when the host has let it
//! in, and at no other time before the game ends; so one that is open long after has not got through.

use std::net::SocketAddr;
use std::time::Duration;

use log::info;

use super::Gmnet;
use super::names::Named;
use crate::clock::Instant;
use crate::dialect::{ConnId, Context, Name};
use crate::limits;
use crate::nats::Kind;

/// Attempts that are given up before others have their turn.
const AT_ONCE: usize = 64;

/// A client and a host that were told of each other.
#[derive(Clone, Copy, Debug)]
pub(super) struct Attempt {
    client: SocketAddr,
    host: SocketAddr,
    told: Instant,
}

impl Gmnet {
    /// Both have been told.
    pub(super) fn begin_attempt(
        &mut self,
        cx: &Context<'_>,
        id: ConnId,
        [client, host]: [SocketAddr; 2],
    ) {
        // Who has said that it sends nothing more has closed its half for another reason.
        if self.conns.get(id).is_some_and(|conn| !conn.finished) {
            let told = cx.now.instant;
            self.attempts.arm_with(told, id, Attempt { client, host, told });
        }
    }

    /// A client closes its connection.
    pub(super) fn end_attempt(&mut self, cx: &mut Context<'_>, id: ConnId) {
        let Some(attempt) = self.attempts.remove(&id) else { return };
        let took = cx.now.instant - attempt.told;
        // So fast nobody is let in: it wanted to know where the host is, and no more. And late it may
        // have given up.
        if !(limits::WELCOME..=limits::LATE_WELCOME).contains(&took) {
            return;
        }
        self.note_end(cx, attempt, Some(took));
    }

    /// Clients whose connections are still open have not got through.
    pub(super) fn give_attempts_up(&mut self, cx: &mut Context<'_>) {
        for _ in 0..AT_ONCE {
            let Some((_, attempt)) = self.attempts.take_due(cx.now.instant) else { break };
            self.note_end(cx, attempt, None);
        }
    }

    fn note_end(&mut self, cx: &mut Context<'_>, attempt: Attempt, took: Option<Duration>) {
        let Attempt { client, host, .. } = attempt;
        // Of one whose host has left there is nothing to say.
        let at = self.hosts.find(host.ip(), Some(host.port()));
        let Some(named) = at.and_then(|key| self.hosts.get(key)).map(Named) else { return };
        let nats = &mut cx.shared.nats;
        nats.count(cx.now.instant, Name::Gmnet, [client, host], took.is_some());
        if !self.lines.says(cx.now, client.ip()) {
            return;
        }
        match took {
            Some(took) => {
                info!("{client} got through to host {named} after {:.1} s", took.as_secs_f64());
            }
            None => {
                let [one, other] = [host, client].map(|at| nats.kind(cx.now.instant, at));
                info!("{client} did not get through to host {named}: {}", reason(one, other));
            }
        }
    }
}

/// What is in the way, as far as that is known.
fn reason(host: Kind, client: Kind) -> &'static str {
    let gives_another = |kind| matches!(kind, Kind::Symmetric | Kind::Sequential);
    match (gives_another(host), gives_another(client)) {
        (true, true) => "both routers give each player another port",
        (true, false) => {
            "the host's router gives each player another port, the client's lets in only who was knocked at"
        }
        (false, true) => {
            "the client's router gives each player another port, the host's lets in only who was knocked at"
        }
        (false, false) if host == Kind::Unknown || client == Kind::Unknown => {
            "a router gives each player another port, or UDP is blocked; punch nat, started there, tells which"
        }
        (false, false) => "UDP is blocked on one side, or the game has ended",
    }
}
