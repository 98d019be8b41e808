//! The lobby for web sites, on the port of the games: what lists show to everybody, and nothing else.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use log::warn;
use serde::Serialize;
use serde_json::value::RawValue;

use super::{Config, Server};
use crate::admission::Admission;
use crate::clock::{Instant, Now};
use crate::connection_table::Conn;
use crate::dialect::{Asked, ConnId, Name, Outbox, Reads, Shows as _, Stream, of_stream};
use crate::http::{Answer, Answering, Body, For, Http, Method, Request, Status};
use crate::introductions::is_inside;
use crate::limits;
use crate::rates::Rates;
use crate::refusals::Reason;
use crate::timers::{AddressLogThrottle, Timers};

/// Who asks for the lobby, and what was told lately.
#[derive(Debug)]
pub(super) struct Public {
    http: Http,
    admission: Admission,
    rates: Rates,
    /// By what was asked and from which side.
    kept: Timers<String, Vec<u8>>,
    /// Who has asked without a right key.
    guessed: AddressLogThrottle,
}

impl Public {
    pub(super) fn new(config: &Config) -> Self {
        Self {
            http: Http::new(For::Everybody),
            admission: config.gmnet.admission.clone(),
            rates: Rates::new(config.limits.commands_per_second, 10),
            kept: Timers::new(limits::LOBBY_KEPT),
            guessed: AddressLogThrottle::default(),
        }
    }

    pub(super) fn next_wakeup(&self) -> Option<Instant> {
        self.http.next_wakeup()
    }

    pub(super) fn forget(&mut self, id: ConnId) {
        self.http.forget(id);
    }

    pub(super) fn reads(&self, id: ConnId) -> Reads {
        self.http.reads(id)
    }

    pub(super) fn note_unread(&mut self, id: ConnId, bytes: usize) {
        self.http.note_unread(id, bytes);
    }
}

impl Server {
    /// Whether a connection has begun to speak HTTP.
    pub(super) fn speaks_http(&self, id: ConnId) -> bool {
        self.public.as_ref().is_some_and(|public| public.http.has(id))
    }

    /// When such a connection has asked last.
    pub(super) fn last_asked(&self, id: ConnId) -> Option<Instant> {
        self.public.as_ref()?.http.last_asked(id)
    }

    /// A connection begins to speak HTTP. If there are too many, another gives way.
    pub(super) fn begin_http(&mut self, now: Now, id: ConnId, out: &mut Outbox) {
        let Some(public) = &mut self.public else { return };
        let Some(addr) = self.connections.get(id).map(|conn| conn.peer().ip()) else { return };
        let is_full = public.http.len() >= limits::LOBBY_CONNECTIONS;
        let eviction_candidate = if is_full { public.http.eviction_candidate(addr) } else { None };
        public.http.open(now.instant, id, addr);
        if let Some(other) = eviction_candidate {
            self.forget(other);
            out.close(other);
        }
    }

    pub(super) fn read_http(&mut self, now: Now, id: ConnId, bytes: &[u8], out: &mut Outbox) {
        if self.begins_anew(now, id, bytes) {
            return self.on_bytes(now, id, bytes, out);
        }
        self.with_public(now, id, out, |http, out, answering| {
            http.read(now, id, bytes, out, answering);
        });
    }

    /// A connection that was answered asks for a WebSocket: a web server before this one sends the requests of
    /// one visitor behind those of others. From now on it is as if it were new.
    fn begins_anew(&mut self, now: Now, id: ConnId, bytes: &[u8]) -> bool {
        let Some(public) = &mut self.public else { return false };
        let asks = bytes.first() == Some(&b'G') && of_stream(bytes) == Stream::Of(Name::Events);
        if !asks || !public.http.is_done(id) {
            return false;
        }
        public.http.forget(id);
        if let Some(conn) = self.connections.get_mut(id) {
            conn.opened = now.instant;
        }
        true
    }

    pub(super) fn end_http(&mut self, now: Now, id: ConnId, out: &mut Outbox) {
        self.with_public(now, id, out, |http, out, _| http.fin(id, out));
    }

    /// The time has come that the lobby has asked for.
    pub(super) fn wake_public(&mut self, now: Now, out: &mut Outbox) {
        let Some(public) = &mut self.public else { return };
        while public.kept.take_due(now.instant).is_some() {}
        let Some(next) = public.http.next_waiting() else {
            let before = out.len();
            public.http.wake(now, out, &mut |_, _| Answer::error(Status::Internal));
            return self.forget_closed(before, out);
        };
        self.with_public(now, next, out, |http, out, answering| http.wake(now, out, answering));
    }

    /// Does something with the connections, and answers what this one asks by that.
    fn with_public(
        &mut self,
        now: Now,
        id: ConnId,
        out: &mut Outbox,
        act: impl FnOnce(&mut Http, &mut Outbox, &mut Answering<'_>),
    ) {
        let Some(viewer) = self.connections.get(id).map(|conn: &Conn| conn.peer().ip()) else {
            return;
        };
        let Some(mut public) = self.public.take() else { return };
        let before = out.len();
        let Public { http, admission, rates, kept, guessed } = &mut *public;
        let mut refused = None;
        act(http, out, &mut |_, request| {
            let answer = if rates.allow(now.instant, viewer) {
                self.lobby(now, admission, kept, viewer, request)
            } else {
                Err((Answer::error(Status::TooManyRequests), Some(Reason::Requests)))
            };
            answer
                .unwrap_or_else(|(answer, reason)| {
                    refused = reason;
                    answer
                })
                .to(For::Everybody)
        });
        if refused == Some(Reason::Key)
            && let Some(before) = guessed.say(now.instant, viewer)
        {
            warn!(
                event = "refused", address:% = viewer, reason = Reason::Key.name();
                "{viewer} asks for the lobby without a key of this server{before}"
            );
        }
        self.public = Some(public);
        if let Some(reason) = refused {
            self.refused(now, reason, viewer);
        }
        self.forget_closed(before, out);
    }

    /// The lobby that is asked for.
    fn lobby(
        &self,
        now: Now,
        admission: &Admission,
        kept: &mut Timers<String, Vec<u8>>,
        viewer: IpAddr,
        request: &Request<'_>,
    ) -> Result<Answer, (Answer, Option<Reason>)> {
        if request.path != "/lobby" {
            return Err((Answer::error(Status::NotFound), None));
        }
        if request.method == Method::Options {
            return Ok(Answer::to_preflight());
        }
        // Who mistypes the game would be shown all of them.
        request
            .check(&["game", "key"], &["limit"])
            .map_err(|why| (Answer::because(Status::BadRequest, &why), None))?;
        let game = request.asked("game").unwrap_or_default();
        let key = request.asked("key");
        if admission.asks_for_key() && !admission.admits(key.as_deref(), &game) {
            let why = "this server wants a key: /lobby?key=KEY";
            return Err((Answer::because(Status::Unauthorized, why), Some(Reason::Key)));
        }
        // Hosts of other games are not registered here; nobody has done harm who asks for all.
        if !admission.asks_for_key() && !game.is_empty() && !admission.admits(None, &game) {
            return Err((Answer::error(Status::NotFound), Some(Reason::Game)));
        }
        let key = key.as_deref().filter(|_| admission.asks_for_key());
        let viewer = as_elsewhere(viewer);
        let asked = Asked {
            game: &game,
            key,
            viewer,
            of_both_families: self.shared.relay.joins_families_anywhere(now),
            most: request
                .asked_number("limit")
                .map_or(limits::LOBBY_ROWS, |n| n.min(limits::LOBBY_ROWS)),
        };
        let (inside, v4) = (is_inside(viewer), viewer.is_ipv4());
        let question = format!("{inside} {v4} {} {key:?} {game:?}", asked.most);
        while kept.take_due(now.instant).is_some() {}
        let bytes = match kept.get(&question) {
            Some(bytes) => bytes.clone(),
            None => {
                let bytes = self.write_lobby(&asked);
                while kept.len() >= limits::LOBBIES_KEPT {
                    kept.take();
                }
                kept.arm_with(now.instant, question, bytes.clone());
                bytes
            }
        };
        let mut answer = Answer::of(Body::Json(bytes));
        // What a key shows is nobody else's.
        let cache = if key.is_some() { "private, max-age=1" } else { "max-age=1" };
        answer.headers.push(("Cache-Control", cache.to_owned()));
        Ok(answer)
    }

    fn write_lobby(&self, asked: &Asked<'_>) -> Vec<u8> {
        #[derive(Serialize)]
        struct Lobby<'a> {
            game: &'a str,
            gmnet: Box<RawValue>,
            rooms: Box<RawValue>,
            events: Box<RawValue>,
        }
        let list = |name| {
            let mut bytes = Vec::new();
            if let Some(dialect) = self.dialects.get(name) {
                dialect.public_lobby(asked, &mut bytes);
            }
            // Nothing is what a dialect has that is not spoken.
            let text = String::from_utf8(bytes).ok().filter(|text| !text.is_empty());
            let list = text.and_then(|text| RawValue::from_string(text).ok());
            list.unwrap_or_else(|| RawValue::NULL.to_owned())
        };
        let [gmnet, rooms, events] = [Name::Gmnet, Name::Rooms, Name::Events].map(list);
        let lobby = Lobby { game: asked.game, gmnet, rooms, events };
        let mut bytes = serde_json::to_vec(&lobby).unwrap_or_default();
        bytes.push(b'\n');
        bytes
    }
}

/// For whom the lobby is that is asked for from here: on the machine of the server that is a web server, which
/// passes it on to anybody. Addresses inside the network of the server mean nothing to those.
fn as_elsewhere(viewer: IpAddr) -> IpAddr {
    /// Addresses that nobody has (RFC 5737, RFC 3849).
    const V4: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
    const V6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1);
    match viewer {
        IpAddr::V4(v4) if v4.is_loopback() => V4.into(),
        IpAddr::V6(v6) if v6.is_loopback() => V6.into(),
        other => other,
    }
}

#[cfg(test)]
mod tests;
