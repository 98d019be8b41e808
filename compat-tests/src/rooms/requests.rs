//! What a player asks the master server once it is in a room.

use std::time::{Duration, Instant};

use punchd::dialect::rooms::message::Request;
use rusty_enet::PeerID;

use super::error::Error;
use super::message::Message;
use super::player::{Event, KICKED, Player};
use super::{AGAIN, STEP};

/// So many requests wait for their turn; more than anybody types while one is on its way.
const MOST_UNANSWERED: usize = 64;

/// How long the last words to players may delay that the master server hears of the end.
const BEFORE_THE_END: Duration = Duration::from_secs(1);

impl Player {
    /// Renames the room.
    ///
    /// # Errors
    /// If the master server does not answer, or refuses.
    pub fn rename(&mut self, name: &str) -> Result<(), Error> {
        let request = Request::Rename(name.into());
        self.ask(&request, |message| matches!(message, Message::Named(now) if now == name))
    }

    /// Asks the master server for something and does not wait: what it says to that comes as
    /// [`Event::Answered`]. One request follows the other, so that the last of two names is the one that
    /// stays. False: too many wait already.
    pub fn tell(&mut self, request: Request) -> bool {
        if self.unanswered.len() >= MOST_UNANSWERED {
            return false;
        }
        let until = Instant::now() + self.patience;
        if self.unanswered.is_empty() {
            self.send(&request);
        }
        self.unanswered.push_back((request, until));
        true
    }

    /// Whether the master server has not answered everything yet.
    #[must_use]
    pub fn is_asking(&self) -> bool {
        !self.unanswered.is_empty()
    }

    /// Kicks by ID or by address. Who is kicked by his ID is told so and hung up on at once; what the
    /// master server says to that, comes as an event, if it is there at all.
    pub fn kick(&mut self, request: &Request) {
        self.tell(request.clone());
        if let Request::KickId(id) = request {
            self.disconnect(*id, KICKED);
        }
    }

    /// Sends again what has no answer yet, and gives up what has waited for too long.
    pub(super) fn ask_again(&mut self) {
        let now = Instant::now();
        while self.unanswered.front().is_some_and(|(_, until)| *until <= now) {
            let Some((request, _)) = self.unanswered.pop_front() else { break };
            let error = Error::NoAnswer { master: self.master, verb: request.verb() };
            self.events.push_back(Event::Answered(request, Err(error)));
        }
        if self.last_ask.elapsed() > AGAIN
            && let Some((request, _)) = self.unanswered.front().cloned()
        {
            self.send(&request);
        }
    }

    /// Whether this message answers the request that is on its way.
    pub(super) fn take_answer(&mut self, message: &Message) {
        let Some((request, _)) = self.unanswered.front() else { return };
        let verb = request.verb();
        let result = match message {
            Message::Refused(to, reason) if *to == verb.to_string() => {
                Err(Error::Refused { verb, reason: reason.clone() })
            }
            message if answers(request, message) => Ok(()),
            _ => return,
        };
        if let Message::Set(_, code) = message {
            self.code = *code;
        }
        if let Some((request, _)) = self.unanswered.pop_front() {
            self.events.push_back(Event::Answered(request, result));
        }
        if let Some((next, _)) = self.unanswered.front().cloned() {
            self.send(&next);
        }
    }

    /// Leaves the room, or closes it as its host if it does not go on without it.
    ///
    /// # Errors
    /// If the master server does not answer, or refuses.
    pub fn leave(&mut self) -> Result<(), Error> {
        let request = self.farewell(false);
        self.ask(&request, |message| answers(&Request::Leave, message))?;
        self.place = None;
        Ok(())
    }

    /// How this player leaves; who `closes` its room leaves it to nobody.
    fn farewell(&self, closes: bool) -> Request {
        let ends = self.hosts && (closes || !self.hands_over);
        if ends { Request::Close } else { Request::Leave }
    }

    /// Leaves the room and ends all connections once what was said has arrived, if that is not too long.
    /// The master server hears at once that a room is closed. That it gets another host, it hears when the
    /// last words have arrived, as clients then hang up on this one; or soon. False: it says nothing to it.
    ///
    /// # Errors
    /// If the socket fails.
    pub fn part(&mut self, closes: bool, within: Duration) -> Result<bool, Error> {
        let (began, farewell) = (Instant::now(), self.farewell(closes));
        self.unanswered.clear();
        let mut is_told = self.place.is_none() || self.is_out();
        if !is_told && matches!(farewell, Request::Close) {
            is_told = self.tell(farewell.clone());
        }
        let peers: Vec<PeerID> = self.connections.keys().copied().collect();
        for peer in peers {
            self.enet.peer_mut(peer).disconnect_later(0);
        }
        while began.elapsed() < within {
            let is_late = began.elapsed() >= BEFORE_THE_END;
            if !is_told && (is_late || self.connections.is_empty()) {
                is_told = self.tell(farewell.clone());
            }
            if is_told && self.connections.is_empty() && self.unanswered.is_empty() {
                break;
            }
            self.advance()?;
            self.ask_again();
            std::thread::sleep(STEP);
        }
        // The other side waits for the last acknowledgement.
        self.enet.flush();
        let no_answer =
            |event: &Event| matches!(event, Event::Answered(_, Err(Error::NoAnswer { .. })));
        Ok(self.unanswered.is_empty() && !self.events.iter().any(no_answer))
    }
}

/// Whether the master server says with this that it has done what was asked.
fn answers(request: &Request, message: &Message) -> bool {
    match request {
        Request::KickId(_) | Request::KickIp(_) => matches!(message, Message::Kicks),
        Request::LetInId(_) | Request::LetInIp(_) => matches!(message, Message::LetsIn),
        Request::Set(_) => matches!(message, Message::Set(..)),
        Request::Rename(name) => matches!(message, Message::Named(now) if now == name),
        Request::Close | Request::Leave => {
            matches!(message, Message::Left(_) | Message::Closed(_))
        }
        _ => false,
    }
}
