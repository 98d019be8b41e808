//! Who comes back on another connection: by its secret at once, without it when the old connection has not
//! answered.

use std::sync::Arc;

use log::info;
use serde::Serialize;
use serde_json::value::RawValue;

use super::event::{self, Event, Fault};
use super::rooms::InRoom;
use super::wire::Wire;
use super::{Context, Events};
use crate::dialect::{ConnId, hex};
use crate::limits;
use crate::refusals::Reason;

/// The answer to a login, and what more is told to one who is back.
#[derive(Serialize)]
pub(super) struct LoggedIn<'a> {
    /// Of a private room, for its host.
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    host: Option<&'a str>,
    id: &'a str,
    /// For how many seconds its place is kept if the connection breaks.
    #[serde(skip_serializing_if = "Option::is_none")]
    keep: Option<u64>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    mesh: bool,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    players: Vec<&'a str>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    resumed: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    room: Option<String>,
    secret: String,
    udp_token: String,
}

impl<'a> LoggedIn<'a> {
    pub(super) fn new(id: &'a str, secret: u128, token: u128) -> Self {
        let (secret, udp_token) = (hex::of_128(secret), hex::of_128(token));
        Self {
            code: None,
            data: None,
            host: None,
            id,
            keep: None,
            mesh: false,
            players: Vec::new(),
            resumed: false,
            room: None,
            secret,
            udp_token,
        }
    }

    /// The same for one who is back, with what there is to know of its room.
    fn back_in(mut self, room: Option<InRoom<'a>>) -> Self {
        self.resumed = true;
        if let Some(InRoom { code, data, is_mesh, players, room, .. }) = room {
            self.host = players.first().copied();
            let is_host = self.host == Some(self.id);
            (self.code, self.data, self.mesh) = (code.filter(|_| is_host), data, is_mesh);
            (self.players, self.room) = (players, Some(room));
        }
        self
    }

    /// The same for one who has said whether its place is to be kept.
    pub(super) fn keeping(mut self, keeps: Option<bool>) -> Self {
        self.keep = keeps.filter(|keeps| *keeps).map(|_| limits::BROKEN_WAIT.as_secs());
        self
    }
}

/// Somebody else is logged in under an ID.
pub(super) fn id_taken() -> Fault {
    Fault::new("id_taken", "somebody else has that ID").because(Reason::IdTaken)
}

impl Events {
    /// Somebody wants an ID that is taken. True: it has taken the place of who had it, and is answered.
    /// False: the ID is free now.
    pub(super) fn claim(
        &mut self,
        cx: &mut Context<'_>,
        id: ConnId,
        event: &Event<'_>,
        (holder, secret, keeps): (ConnId, Option<&str>, Option<bool>),
    ) -> Result<bool, Fault> {
        let secret = secret.and_then(|secret| hex::read_128(secret.as_bytes()));
        if let Some(peer) = self.peer(holder)
            && secret == Some(peer.secret)
            && !self.conns.is_given_up(holder)
        {
            self.take_over(cx, holder, (id, keeps), event);
            return Ok(true);
        }
        if self.is_lost(cx, holder) {
            let fault = Fault::new("timeout", super::SILENT).because(Reason::Unfinished);
            self.refuse(cx, holder, &fault);
            return Ok(false);
        }
        Err(id_taken())
    }

    /// Whether a peer whose ID is wanted has been asked and has said nothing. It is asked now if it was not.
    pub(super) fn is_lost(&mut self, cx: &mut Context<'_>, holder: ConnId) -> bool {
        if self.conns.is_broken(holder) {
            return true;
        }
        let Some(peer) = self.peer_mut(holder) else { return false };
        let now = cx.now.instant;
        match peer.wanted {
            // Behind what others had sent to it the ping may come late: then it has as long as everybody.
            Some((asked, false)) => {
                let was_behind =
                    self.conns.get(holder).is_some_and(|conn| conn.unread.was_behind());
                return !was_behind && now - asked >= limits::WANTED_WAIT;
            }
            Some((asked, true)) if now - asked < limits::WANTED_GAP => return false,
            Some(_) | None => peer.wanted = Some((now, false)),
        }
        self.silent.cancel(&holder);
        // If it was asked before, that is for how long it has to answer.
        if !self.asked.is_armed(&holder) {
            self.asked.arm(now, holder);
        }
        if let Some(conn) = self.conns.get_mut(holder) {
            conn.unread.watch();
        }
        self.send(holder, cx.out, |bytes| event::write_request(bytes, "ping", "ping"));
        false
    }

    /// Gives the place of a peer, with all that belongs to it, to another connection of it.
    fn take_over(
        &mut self,
        cx: &mut Context<'_>,
        old: ConnId,
        (new, keeps): (ConnId, Option<bool>),
        event: &Event<'_>,
    ) {
        let Some(mut peer) = self.conns.get_mut(old).and_then(|conn| conn.peer.take()) else {
            return;
        };
        peer.wanted = None;
        peer.keeps = keeps.unwrap_or(peer.keeps);
        let keeps = peer.keeps;
        let (id, game, room) = (Arc::clone(&peer.id), Arc::clone(&peer.game), peer.room);
        let any_room = peer.any_room();
        let (token, secret) = (peer.token, peer.secret);
        let Some(conn) = self.conns.get_mut(new) else { return };
        let addr = conn.addr;
        conn.peer = Some(peer);
        self.silent.cancel(&old);
        self.asked.cancel(&old);
        if self.unheard.remove(&old).is_some() {
            self.unheard.arm(cx.now.instant, new);
        }
        self.strangers.cancel(&new);
        self.silent.arm(cx.now.instant, new);
        self.names.insert(Arc::clone(&game), Arc::clone(&id), new);
        self.tokens.insert(token, new);
        self.routes.replace(old, new);
        self.rooms.replace(&game, room.unwrap_or_default(), old, new);
        for successor in &mut self.successors {
            if *successor == old {
                *successor = new;
            }
        }
        if self.lines.says(cx.now, addr.ip()) {
            info!("{id:?} is back as {addr}");
        }
        let owed = if self.conns.is_broken(old) {
            self.forget(old).map(|conn| conn.wire)
        } else {
            self.refuse(cx, old, &Fault::new("resumed", "you are back on another connection"));
            None
        };
        self.nodes.forget_untold(old);
        self.tell_login(cx, new);
        let room = any_room.and_then(|room| self.in_room(&game, room));
        let answer = LoggedIn::new(&id, secret, token).keeping(Some(keeps)).back_in(room);
        let answer = serde_json::value::to_raw_value(&answer).unwrap_or_default();
        self.answer(new, event, &answer, cx.out);
        if let Some(Wire::Broken(owed)) = owed {
            self.pay(new, &owed, cx.out);
        }
    }
}
