//! How a peer gets out of a room, and what others are told then.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use log::log;

use super::departures::How;
use super::message::{Answer, Reason};
use super::notices::Subject;
use super::table::Ban;
use super::{Id, Rooms, Turn};
use crate::dialect::Context;
use crate::limits;
use crate::prefixes::network;

/// Why a peer is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Why {
    /// It wanted to, or somebody in its name.
    Left,
    /// It has gone to another room, or somebody in its name.
    Elsewhere,
    /// It wanted to and has shown its key with that.
    Signed,
    /// Nothing came from it for too long.
    Silent,
    /// Others need the place, and it never proved that it is there.
    Evicted,
    /// It sends back what it gets.
    Echoes,
    /// The owner of the server has blocked its address.
    Blocked,
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Left | Self::Elsewhere | Self::Signed => "its host closed it",
            Self::Silent => "its host was silent for too long",
            Self::Evicted => "others need the place, and its host never sent rc with its key",
            Self::Blocked => "the address of its host is blocked",
            Self::Echoes => "its host is no game, but something that sends back what it gets",
        })
    }
}

impl Rooms {
    /// Ends what is over, as far as there is time to tell others of it: the rest stays due, and the next turn goes on.
    pub(super) fn end_due(&mut self, cx: &mut Context<'_>) {
        let (before, mut ended) = (cx.out.len(), 0);
        while ended + cx.out.len() - before < limits::ROOM_TOLD_AT_ONCE && self.end_next(cx) {
            ended += 1;
        }
    }

    /// Ends who was silent for too long, a room that is closing, or a place that was kept. False: nothing is over.
    fn end_next(&mut self, cx: &mut Context<'_>) -> bool {
        let now = cx.now.instant;
        if let Some(id) = self.table.pop_silent(now) {
            self.end(cx, id, Why::Silent);
        } else if let Some(room) = self.table.pop_closing(now) {
            self.close_room(cx, room, Why::Left);
        } else if let Some(client) = self.table.pop_kept(now) {
            self.end(cx, client, Why::Silent);
        } else {
            return false;
        }
        true
    }

    /// `lr`: the sender leaves.
    pub(super) fn leave(&mut self, turn: &mut Turn<'_, '_>) -> Result<(), Reason> {
        let (id, room) = match self.place(turn) {
            Ok(peer) if peer.is_host => return self.leave_as_host(turn),
            Ok(peer) => (peer.id, peer.room),
            Err(reason) => return self.answer_former(turn, How::Left, reason),
        };
        if matches!(self.departures.just_now(turn.instant(), turn.from), Some((_, How::Left))) {
            return Ok(());
        }
        self.answer(turn, Answer::Left(room));
        self.end(turn.cx, id, leaves(turn));
        Ok(())
    }

    /// `cr`: the sender closes its room.
    pub(super) fn close(&mut self, turn: &mut Turn<'_, '_>) -> Result<(), Reason> {
        let room = match self.own_room(turn) {
            Ok(room) => room,
            Err(reason) => return self.answer_former(turn, How::Closed, reason),
        };
        if matches!(self.departures.just_now(turn.instant(), turn.from), Some((_, How::Closed))) {
            return Ok(());
        }
        self.answer(turn, Answer::Closed(room));
        if let Some(host) = self.table.room(room).map(|room| room.host) {
            self.end(turn.cx, host, leaves(turn));
        }
        Ok(())
    }

    /// The sender asks again for what is done already.
    fn answer_former(
        &mut self,
        turn: &mut Turn<'_, '_>,
        how: How,
        reason: Reason,
    ) -> Result<(), Reason> {
        let room = self.departures.room(turn.from, how).ok_or(reason)?;
        let answer = if how == How::Left { Answer::Left(room) } else { Answer::Closed(room) };
        self.answer(turn, answer);
        Ok(())
    }

    /// `kc:id`: a client of the sender has to go. If it is not there any more, all is well.
    pub(super) fn kick_id(&mut self, turn: &mut Turn<'_, '_>, id: Id) -> Result<(), Reason> {
        let room = self.own_room(turn)?;
        let peer = self.table.peer(id).filter(|peer| peer.room == room);
        if peer.is_some_and(|peer| peer.is_host) {
            return Err(Reason::BadRequest);
        }
        let known = peer.map(|peer| (peer.endpoint, peer.proved));
        self.answer(turn, Answer::KickedId(id));
        if let Some((at, is_proven)) = known {
            // Who has not shown a key may have been somebody else, and who is at the host's own address
            // shares it with the host.
            let with_neighbours = is_proven && network(at.ip()) != network(turn.from.ip());
            self.table.ban(room, Ban::Player { id, at, with_neighbours });
            self.kick(turn, room, id);
        }
        Ok(())
    }

    /// Whether somebody may not enter a room.
    pub(super) fn is_barred(&self, id: Id, from: SocketAddr) -> bool {
        self.table.is_barred(&self.config.public_ips, id, from)
    }

    /// Whether who is at this endpoint is at that address, or the host of the room takes it for that.
    fn is_at(&self, room: Id, at: SocketAddr, ip: IpAddr) -> bool {
        let known_as = self.table.known_as(&self.config.public_ips, room, at);
        network(at.ip()) == network(ip) || known_as == Some(ip)
    }

    /// `kc:ip`: all clients of an address have to go, and none may come.
    pub(super) fn kick_ip(&mut self, turn: &mut Turn<'_, '_>, ip: IpAddr) -> Result<(), Reason> {
        let id = self.own_room(turn)?;
        self.answer(turn, Answer::KickedIp(ip));
        self.table.ban(id, Ban::everybody_at(ip));
        for client in self.table.room(id).map_or(Vec::new(), |room| room.clients.clone()) {
            let Some(at) = self.table.peer(client).map(|peer| peer.endpoint) else { continue };
            let is_relayed = self.is_relayed_at(turn.cx, client, ip);
            if is_relayed {
                // The address is that of others as well.
                self.table.ban(id, Ban::Endpoint(at));
            }
            if is_relayed || self.is_at(id, at, ip) {
                self.kick(turn, id, client);
            }
        }
        Ok(())
    }

    fn kick(&mut self, turn: &mut Turn<'_, '_>, id: Id, client: Id) {
        let Some(peer) = self.table.leave(&mut turn.cx.shared.unproven, client) else { return };
        let whence = (id, How::Kicked);
        self.departures.note(turn.instant(), peer.endpoint, whence);
        self.delivery.forget_other(turn.from, client);
        self.delivery.notify_former(turn.cx, &peer, Answer::Kicked(id));
        self.tell_others_gone(turn.cx, id, client);
        let is_proven = self.table.peer_at(turn.from).is_some_and(|host| host.proved);
        if let Some(level) = self.lines.level(turn.cx.now, turn.from.ip(), is_proven) {
            let (game, room) = self.names(id);
            log!(
                level, dialect = "rooms", event = "gone", client:% = peer.endpoint, game = game,
                room = room; "client {} kicked from room {}", peer.endpoint, self.named(id)
            );
        }
    }

    /// Ends the place of a peer: a host takes its room with it.
    ///
    /// Anybody can send what ends it in the name of the peer. One that has shown a key is kept for a
    /// while, whatever stands at its endpoint meanwhile: if it is still there, it learns that it has no
    /// place when it says so, and comes back with its key. If it may be elsewhere, others hear of that when
    /// a key is shown there ([`Rooms::tell_left_behind`]) or the time is over.
    pub(super) fn end(&mut self, cx: &mut Context<'_>, id: Id, why: Why) {
        let Some(peer) = self.table.peer(id) else { return };
        let (room, endpoint, is_proven) = (peer.room, peer.endpoint, peer.proved);
        let (is_host, is_told, was_kept) = (peer.is_host, peer.told, peer.is_kept);
        let is_unsaid = peer.is_unsaid;
        let has_shown_key = peer.has_shown_key();
        let is_unsure = matches!(why, Why::Elsewhere | Why::Echoes);
        let is_kept = has_shown_key && !was_kept && (is_unsure || why == Why::Left);
        if is_host {
            let may_migrate = matches!(why, Why::Silent | Why::Evicted | Why::Blocked);
            if may_migrate && self.hand_over(cx, room) {
                return;
            }
            if !is_kept {
                return self.close_room(cx, room, why);
            }
            self.departures.note(cx.now.instant, endpoint, (room, How::Closed));
            self.log_closed(cx, (room, endpoint), is_proven, why);
            return self.table.begin_closing(cx.now.instant, room);
        }
        if is_kept {
            self.table.keep(cx.now.instant, id, is_unsure);
        } else if let Some(peer) = self.table.leave(&mut cx.shared.unproven, id)
            && why == Why::Elsewhere
        {
            self.offer_again(cx.now.instant, peer);
        }
        let is_said = if was_kept { is_unsaid } else { !(is_kept && is_unsure) };
        if is_said {
            self.tell_gone(cx, (room, id), is_told, is_proven);
        }
        if was_kept {
            return;
        }
        let has_left = matches!(why, Why::Left | Why::Elsewhere | Why::Signed);
        if has_left {
            self.departures.note(cx.now.instant, endpoint, (room, How::Left));
        }
        if let Some(level) = self.lines.level(cx.now, endpoint.ip(), is_proven) {
            let how = if has_left { "left" } else { "is gone from" };
            let (game, name) = self.names(room);
            log!(
                level, dialect = "rooms", event = "gone", client:% = endpoint, game = game,
                room = name; "client {endpoint} {how} room {}", self.named(room)
            );
        }
    }

    /// Tells those who know a client of a room that it is gone.
    fn tell_gone(
        &mut self,
        cx: &mut Context<'_>,
        (room, client): (Id, Id),
        is_told: bool,
        is_proven: bool,
    ) {
        let host = self.table.room(room).and_then(|room| self.table.peer(room.host));
        if let Some(host) = host.filter(|_| is_told) {
            self.delivery.notify(cx, host, Subject::Peer(client), Answer::Gone(client));
        }
        if is_proven {
            self.tell_others_gone(cx, room, client);
        }
    }

    /// A key was shown by who is there now: so the clients whose places there are kept have really gone.
    pub(super) fn tell_left_behind(&mut self, turn: &mut Turn<'_, '_>) {
        if self.table.keeps_nobody() {
            return;
        }
        let kept = self.table.kept_at(turn.from).filter(|peer| peer.is_unsaid);
        let kept: Vec<Id> = kept.map(|peer| peer.id).collect();
        for id in kept {
            let Some(peer) = self.table.peer_mut(id) else { continue };
            peer.is_unsaid = false;
            let (room, is_told, is_proven) = (peer.room, peer.told, peer.proved);
            self.tell_gone(turn.cx, (room, id), is_told, is_proven);
        }
    }

    /// Closes a room and tells everybody in it, except a host that knows already or is no host.
    pub(super) fn close_room(&mut self, cx: &mut Context<'_>, id: Id, why: Why) {
        let host = self.table.room(id).filter(|room| !room.is_closing).map(|room| room.host);
        // Of one that is closing this has been said.
        if let Some(host) = host.and_then(|host| self.table.peer(host)) {
            let (at, is_proven) = (host.endpoint, host.proved);
            self.log_closed(cx, (id, at), is_proven, why);
        }
        let Some((room, peers)) = self.table.close(&mut cx.shared.unproven, cx.now.instant, id)
        else {
            return;
        };
        let is_host_told = matches!(why, Why::Silent | Why::Evicted);
        for peer in &peers {
            if !peer.is_host || is_host_told {
                self.delivery.notify_former(cx, peer, Answer::Closed(id));
            } else if !room.is_closing {
                let whence = (id, How::Closed);
                self.departures.note(cx.now.instant, peer.endpoint, whence);
            }
        }
    }

    fn log_closed(
        &mut self,
        cx: &Context<'_>,
        (id, host): (Id, SocketAddr),
        is_proven: bool,
        why: Why,
    ) {
        if let Some(level) = self.lines.level(cx.now, host.ip(), is_proven) {
            let (game, room) = self.names(id);
            log!(
                level, dialect = "rooms", event = "closed", host:% = host, game = game, room = room;
                "room {} of {host} closed: {why}", self.named(id)
            );
        }
    }

    /// What came is an answer. So there is a server, or something that sends back whatever it
    /// gets, and somebody has forged a request in its name.
    pub(super) fn end_unproved(&mut self, turn: &mut Turn<'_, '_>) {
        let unproved = self.table.peer_at(turn.from).filter(|peer| !peer.proved);
        if let Some(id) = unproved.map(|peer| peer.id) {
            self.end(turn.cx, id, Why::Echoes);
        }
    }
}

/// How somebody leaves by what it sends: who shows its key with it has surely sent it itself.
fn leaves(turn: &Turn<'_, '_>) -> Why {
    if turn.is_signed { Why::Signed } else { Why::Left }
}
