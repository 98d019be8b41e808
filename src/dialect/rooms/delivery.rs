//! What is sent: answers once, notifications a few times, as nobody confirms them. All of it
//! within the credit of the address it goes to, unless the peer there has proved itself.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};
use smallvec::SmallVec;

use super::field::Id;
use super::message::{Answer, LONGEST_ANSWER};
use super::nodes;
use super::notices::{Notice, Notices, Subject};
use super::table::{Peer, Table};
use crate::amplification::Credits;
use crate::clock::Instant;
use crate::dialect::route::Route;
use crate::dialect::{Context, Name};
use crate::introductions::PublicIps;
use crate::limits;
use crate::refusals::Reason as Refusal;

/// Where to send something.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) struct To {
    pub(super) endpoint: SocketAddr,
    pub(super) via: Route,
    /// It is known to listen there, so that it may get more than it has paid for.
    pub(super) proved: bool,
}

impl From<&Peer> for To {
    fn from(peer: &Peer) -> Self {
        Self { endpoint: peer.endpoint, via: peer.via, proved: peer.proved }
    }
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Delivery {
    /// What is going to be sent again.
    notices: Notices,
    /// The place to write messages in, so that one costs no allocation.
    #[serde(skip)]
    scratch: Vec<u8>,
}

impl Delivery {
    /// Goes on with the notices of another process.
    pub(super) fn restore(&mut self, saved: Self) {
        self.notices.restore(saved.notices);
    }

    pub(super) fn new() -> Self {
        Self { notices: Notices::new(), scratch: Vec::new() }
    }

    /// How long a list may be that answers the request of this turn.
    pub(super) fn space(credits: &Credits, to: To) -> usize {
        if to.proved {
            return LONGEST_ANSWER;
        }
        credits.left_for_list(to.endpoint.ip()).min(LONGEST_ANSWER)
    }

    /// Sends a message, once. Without credit it is as if the network had lost it.
    pub(super) fn send(&mut self, cx: &mut Context<'_>, to: To, fill: impl FnOnce(&mut Vec<u8>)) {
        self.scratch.clear();
        fill(&mut self.scratch);
        send(cx, to, &self.scratch);
    }

    /// Tells a peer which place it has, if that may be told yet, and its key. A bare request does not pay
    /// for both, and without a key nobody can prove anything. What it was told of the end of its place
    /// before is not told again: it would take that for the end of this one.
    pub(super) fn send_place(
        &mut self,
        cx: &mut Context<'_>,
        to: To,
        place: Option<Answer<'_>>,
        own: Answer<'_>,
    ) {
        self.notices.cancel(&(to.endpoint, Subject::Room));
        self.scratch.clear();
        if let Some(place) = place {
            place.write(&mut self.scratch);
        }
        let between = self.scratch.len();
        own.write(&mut self.scratch);
        let both = self.scratch.split_at_checked(between);
        let both = both.into_iter().flat_map(<[_; 2]>::from).filter(|text| !text.is_empty());
        let lengths: SmallVec<[usize; 2]> = both.clone().map(<[u8]>::len).collect();
        cx.shared.credits.advance_for_key(to.endpoint.ip(), &lengths);
        both.for_each(|text| send(cx, to, text));
    }

    /// Tells a peer in a room something, now and a few times more.
    pub(super) fn notify(
        &mut self,
        cx: &mut Context<'_>,
        peer: &Peer,
        subject: Subject,
        answer: Answer<'_>,
    ) {
        if let Answer::Gone(other) = answer {
            self.forget_ways_to(peer.endpoint, other);
        }
        self.tell(cx, (Some(peer.id), peer.into()), subject, answer);
    }

    /// Who is at this endpoint knows that another one is gone: nothing else of that is sent there again.
    pub(super) fn forget_other(&mut self, endpoint: SocketAddr, other: Id) {
        self.notices.cancel(&(endpoint, Subject::Peer(other)));
        self.forget_ways_to(endpoint, other);
    }

    fn forget_ways_to(&mut self, endpoint: SocketAddr, other: Id) {
        self.notices.cancel(&(endpoint, Subject::Ports(other)));
        self.notices.cancel(&(endpoint, Subject::Local(other)));
    }

    /// What is going to be sent again to this endpoint says something else from now on.
    pub(super) fn correct(&mut self, endpoint: SocketAddr, subject: Subject, answer: Answer<'_>) {
        if let Some(notice) = self.notices.get_mut(&(endpoint, subject)) {
            self.scratch.clear();
            answer.write(&mut self.scratch);
            notice.text = self.scratch.as_slice().into();
        }
    }

    /// Tells a peer which ports another one is going to have, if that is known.
    pub(super) fn tell_predicted_ports(
        &mut self,
        cx: &mut Context<'_>,
        whom: &Peer,
        other: Id,
        ports: &[u16],
    ) {
        if !ports.is_empty() {
            let answer = Answer::Predicted(other, ports);
            self.tell(cx, (Some(whom.id), whom.into()), Subject::Ports(other), answer);
        }
    }

    /// Tells a peer that was in a room until now why it is not any more.
    pub(super) fn notify_former(&mut self, cx: &mut Context<'_>, peer: &Peer, answer: Answer<'_>) {
        self.tell(cx, (None, peer.into()), Subject::Room, answer);
    }

    fn tell(
        &mut self,
        cx: &mut Context<'_>,
        (addressee, to): (Option<Id>, To),
        subject: Subject,
        answer: Answer<'_>,
    ) {
        let key = (to.endpoint, subject);
        self.scratch.clear();
        answer.write(&mut self.scratch);
        let text = self.scratch.as_slice().into();
        let (copies, tries) = (limits::NOTICE_COPIES, limits::NOTICE_TRIES);
        let kicked_from = match answer {
            Answer::Kicked(room) => Some(room),
            _ => None,
        };
        let notice = |copies| Notice { addressee, kicked_from, to, text, copies, tries };
        if let Some(before) = self.notices.get_mut(&key) {
            // Its timer runs. So who changes something all the time makes others get two
            // messages a second and no more.
            *before = notice(copies);
            return;
        }
        let copies = copies - u8::from(dispatch(cx, to, &self.scratch));
        self.notices.add(cx.now.instant, key, notice(copies));
    }

    /// A peer is not at this endpoint any more, where it was told of these others. Nothing would be sent there, but
    /// one that moves on and on would take the place of what is for others.
    pub(super) fn forget(&mut self, id: Id, endpoint: SocketAddr, others: &[Id]) {
        let of_others = others
            .iter()
            .flat_map(|id| [Subject::Peer(*id), Subject::Ports(*id), Subject::Local(*id)]);
        for subject in of_others.chain([Subject::Host, Subject::Name]) {
            self.notices.cancel_if(&(endpoint, subject), |notice| notice.addressee == Some(id));
        }
    }

    /// The host knows that this client comes. That a peer has moved is not confirmed by anything:
    /// what comes from the addressee may be about the endpoint before.
    pub(super) fn confirm(&mut self, cx: &Context<'_>, host: SocketAddr, client: Id) {
        let says_that_it_comes = |notice: &Notice| notice.text.starts_with(b"cj:");
        let is_told = self.notices.cancel_if(&(host, Subject::Peer(client)), says_that_it_comes);
        if is_told && cx.shared.nats.can_predict() {
            self.notices.cancel(&(host, Subject::Ports(client)));
        }
    }

    /// Whether a notification about this is going to be sent.
    pub(super) fn is_pending(&self, endpoint: SocketAddr, subject: Subject) -> bool {
        self.notices.is_armed(&(endpoint, subject))
    }

    /// When something has to be sent again.
    pub(super) fn next_wakeup(&self) -> Option<Instant> {
        self.notices.next()
    }

    /// Sends again what it is time for.
    pub(super) fn on_wakeup(
        &mut self,
        cx: &mut Context<'_>,
        table: &mut Table,
        public_ips: &PublicIps,
    ) {
        while let Some((key, mut notice)) = self.notices.take_due(cx.now.instant) {
            if self.send_again(cx, &mut notice, (table, public_ips)) {
                self.notices.add(cx.now.instant, key, notice);
            } else if let Some(id) = notice.addressee.filter(|_| notice.copies == 0) {
                table.doubt(cx.now.instant, id);
            }
        }
    }

    /// Sends for the last time all that would have been sent later.
    pub(super) fn flush(&mut self, cx: &mut Context<'_>, table: &Table, public_ips: &PublicIps) {
        while let Some((_, mut notice)) = self.notices.take() {
            self.send_again(cx, &mut notice, (table, public_ips));
        }
    }

    /// Whether it has to be sent once more after this.
    fn send_again(
        &self,
        cx: &mut Context<'_>,
        notice: &mut Notice,
        (table, public_ips): (&Table, &PublicIps),
    ) -> bool {
        if let Some(id) = notice.addressee {
            match table.peer_at(notice.to.endpoint) {
                Some(peer) if peer.id == id => notice.to = peer.into(),
                _ => return false,
            }
        }
        // Its host has let it in again: it may be on its way.
        if let Some(room) = notice.kicked_from
            && table.room(room).is_some()
            && !table.is_barred(public_ips, room, notice.to.endpoint)
        {
            return false;
        }
        notice.tries -= 1;
        let is_sent = dispatch(cx, notice.to, &notice.text);
        // Who is in no room any more sends nothing that would bring credit.
        let may_wait = notice.addressee.is_some() && self.notices.len() < limits::ROOM_NOTICES / 2;
        notice.copies -= u8::from(is_sent || !may_wait);
        notice.copies > 0 && notice.tries > 0
    }

    /// How much is left to be sent.
    pub(super) fn len(&self) -> usize {
        self.notices.len()
    }
}

/// Sends an answer. Without credit it is as if the network had lost it.
fn send(cx: &mut Context<'_>, to: To, text: &[u8]) {
    if !dispatch(cx, to, text) {
        cx.refused(Name::Rooms, Refusal::Unproven, to.endpoint.ip());
    }
}

/// Whether there was credit for it, so that it is sent.
fn dispatch(cx: &mut Context<'_>, to: To, text: &[u8]) -> bool {
    let credits = &mut cx.shared.credits;
    let is_paid = to.proved || credits.spend(cx.now.instant, to.endpoint.ip(), text.len());
    if is_paid {
        match to.via.node {
            None => cx.out.udp(to.via.via, to.endpoint, |bytes| bytes.extend_from_slice(text)),
            Some(node) => nodes::send_by(cx, node, (to.via.via, to.endpoint), text),
        }
    }
    is_paid
}
