//! What is sent: answers once, notifications a few times, as nobody confirms them. All of it
//! within the credit of the address it goes to, unless the peer there has proved itself.

use std::net::{IpAddr, SocketAddr};

use super::field::Id;
use super::message::{Answer, LONGEST_ANSWER};
use super::table::{Peer, Table};
use crate::amplification::Credits;
use crate::clock::Instant;
use crate::dialect::{Outbox, Via};
use crate::limits;
use crate::timers::Timers;

/// Where to send something.
#[derive(Clone, Copy, Debug)]
pub(super) struct To {
    pub(super) endpoint: SocketAddr,
    pub(super) via: Via,
    /// It is known to listen there, so that it may get more than it has paid for.
    pub(super) proved: bool,
}

impl From<&Peer> for To {
    fn from(peer: &Peer) -> Self {
        Self { endpoint: peer.endpoint, via: peer.via, proved: peer.proved }
    }
}

/// What a notification is about: a newer one about the same takes the place of the older.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Subject {
    /// A peer: it comes, has moved, is gone.
    Peer(Id),
    /// The ports that a peer is going to have.
    Ports(Id),
    /// The room that the addressee was in.
    Room,
    /// The name of the room.
    Name,
}

type Key = (SocketAddr, Subject);

/// A notification that is going to be sent again.
#[derive(Debug)]
struct Notice {
    /// Whom it is for; nobody else must get it. `None` if the addressee is in no room any more.
    addressee: Option<Id>,
    to: To,
    text: Box<[u8]>,
    copies: u8,
}

#[derive(Debug)]
pub(super) struct Post {
    credits: Credits,
    /// What is going to be sent again.
    notices: Timers<Key, Notice>,
    /// The place to write messages in, so that one costs no allocation.
    scratch: Vec<u8>,
}

impl Post {
    pub(super) fn new(credits: Credits) -> Self {
        Self { credits, notices: Timers::new(limits::NOTICE_GAP), scratch: Vec::new() }
    }

    /// A datagram came from this address, so that it may be sent some more.
    pub(super) fn received(&self, now: Instant, addr: IpAddr, len: usize) {
        self.credits.received(now, addr, len);
    }

    /// How long a list may be that answers a request of so many bytes.
    pub(super) fn space(&self, to: To, request: usize) -> usize {
        if to.proved {
            return LONGEST_ANSWER;
        }
        self.credits.left_for_list(to.endpoint.ip(), request).min(LONGEST_ANSWER)
    }

    /// Sends a message, once. Without credit it is as if the network had lost it.
    pub(super) fn send(
        &mut self,
        now: Instant,
        to: To,
        out: &mut Outbox,
        fill: impl FnOnce(&mut Vec<u8>),
    ) {
        self.scratch.clear();
        fill(&mut self.scratch);
        dispatch(&self.credits, now, to, &self.scratch, out);
    }

    /// Tells a peer in a room something, now and a few times more.
    pub(super) fn notify(
        &mut self,
        now: Instant,
        peer: &Peer,
        subject: Subject,
        answer: Answer<'_>,
        out: &mut Outbox,
    ) {
        self.tell(now, (Some(peer.id), peer.into()), subject, answer, out);
    }

    /// Tells a peer which ports another one is going to have, if that is known.
    pub(super) fn foretell(
        &mut self,
        now: Instant,
        whom: &Peer,
        other: Id,
        ports: &[u16],
        out: &mut Outbox,
    ) {
        if !ports.is_empty() {
            let answer = Answer::Predicted(other, ports);
            self.tell(now, (Some(whom.id), whom.into()), Subject::Ports(other), answer, out);
        }
    }

    /// Tells a peer that was in a room until now why it is not any more.
    pub(super) fn notify_former(
        &mut self,
        now: Instant,
        peer: &Peer,
        answer: Answer<'_>,
        out: &mut Outbox,
    ) {
        self.tell(now, (None, peer.into()), Subject::Room, answer, out);
    }

    fn tell(
        &mut self,
        now: Instant,
        (addressee, to): (Option<Id>, To),
        subject: Subject,
        answer: Answer<'_>,
        out: &mut Outbox,
    ) {
        let key = (to.endpoint, subject);
        self.scratch.clear();
        answer.write(&mut self.scratch);
        let text = self.scratch.as_slice().into();
        let copies = limits::NOTICE_COPIES;
        if let Some(notice) = self.notices.get_mut(&key) {
            // Its timer runs. So who changes something all the time makes others get two
            // messages a second and no more.
            *notice = Notice { addressee, to, text, copies };
            return;
        }
        dispatch(&self.credits, now, to, &self.scratch, out);
        if self.notices.len() < limits::ROOM_NOTICES {
            let notice = Notice { addressee, to, text, copies: copies - 1 };
            self.notices.arm_with(now, key, notice);
        }
    }

    /// The host knows that this client comes. That a peer has moved is not confirmed by anything:
    /// what comes from the addressee may be about the endpoint before.
    pub(super) fn confirm(&mut self, host: SocketAddr, client: Id) {
        let key = (host, Subject::Peer(client));
        if self.notices.get(&key).is_some_and(|notice| notice.text.starts_with(b"cj:")) {
            self.notices.cancel(&key);
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
    pub(super) fn on_wakeup(&mut self, now: Instant, table: &Table, out: &mut Outbox) {
        while let Some((key, mut notice)) = self.notices.take_due(now) {
            if self.send_again(now, &mut notice, table, out) {
                self.notices.arm_with(now, key, notice);
            }
        }
    }

    /// Sends for the last time all that would have been sent later.
    pub(super) fn flush(&mut self, now: Instant, table: &Table, out: &mut Outbox) {
        while let Some((_, mut notice)) = self.notices.take() {
            self.send_again(now, &mut notice, table, out);
        }
    }

    /// Whether it has to be sent once more after this.
    fn send_again(
        &self,
        now: Instant,
        notice: &mut Notice,
        table: &Table,
        out: &mut Outbox,
    ) -> bool {
        if let Some(id) = notice.addressee {
            match table.peer_at(notice.to.endpoint) {
                Some(peer) if peer.id == id => notice.to = peer.into(),
                _ => return false,
            }
        }
        notice.copies -= 1;
        dispatch(&self.credits, now, notice.to, &notice.text, out);
        notice.copies > 0
    }

    /// Whether nothing is left to be sent.
    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.notices.is_empty()
    }
}

fn dispatch(credits: &Credits, now: Instant, to: To, text: &[u8], out: &mut Outbox) {
    if to.proved || credits.spend(now, to.endpoint.ip(), text.len()) {
        out.udp(to.via, to.endpoint, |bytes| bytes.extend_from_slice(text));
    }
}
