//! What clients do next.

use std::time::Duration;

use punchd::clock::Instant;
use punchd::dialect::natpunch::message::{Content, LeaveLobbyRequest, PeerConnectionReady};

use super::super::plan::{LEAVE, NODES};
use super::super::stage::Stage;
use super::client::Wish;
use super::{Cast, Event};

/// Who is at something tries again so much later.
const LATER: Duration = Duration::from_millis(700);

/// Who has not done until then what it was to do does not do it: it would not be quiet in time.
const NEVER: Duration = LEAVE.saturating_sub(Duration::from_secs(40));

/// Fewer than a list holds, with what members are told in it.
const LOBBIES: usize = 8;

#[derive(Clone, Copy, Debug)]
enum Act {
    Create,
    Join,
    Leave,
    Meet,
    /// It speaks to another node from now on.
    Move,
    /// Its NAT has given it another port.
    Port,
    /// It says nothing until it is forgotten.
    Sleep,
}

impl Cast {
    /// A client does something; later if it waits for an answer.
    pub(super) fn act(&mut self, stage: &mut Stage, n: usize) {
        let Some(client) = self.clients.get(n).filter(|client| !client.has_left) else { return };
        if !client.is_idle(stage.now) {
            if stage.now < Instant::default() + NEVER {
                stage.after(LATER, Event::Act(n).into());
            }
            return;
        }
        let act = match client.places.is_empty() {
            true => self.rng.pick([
                Act::Create,
                Act::Create,
                Act::Join,
                Act::Join,
                Act::Join,
                Act::Join,
                Act::Join,
                Act::Meet,
                Act::Move,
                Act::Port,
            ]),
            false => self.rng.pick([
                Act::Leave,
                Act::Leave,
                Act::Join,
                Act::Join,
                Act::Join,
                Act::Create,
                Act::Meet,
                Act::Meet,
                Act::Move,
                Act::Port,
                Act::Sleep,
            ]),
        };
        let wish = match act {
            Act::Create => self.opening(n),
            Act::Join => self.lobby_to_join(n).map(Wish::Join),
            Act::Leave => {
                let all: Vec<&String> = client.places.keys().collect();
                let lobby = all.get(self.rng.index(all.len()));
                lobby.map(|lobby| Wish::Leave((*lobby).clone()))
            }
            Act::Meet => {
                let others = self.book.ids.iter().filter(|(_, own)| own.client != n);
                let others: Vec<&String> = others.map(|(id, _)| id).collect();
                // Those who came last are there the most.
                others.get(self.rng.index(others.len())).map(|id| Wish::Meet((*id).clone()))
            }
            Act::Move => {
                let node = self.rng.index(NODES);
                if node != client.node && stage.nodes.lives(node) {
                    self.move_to(stage, n, node);
                }
                None
            }
            Act::Port => {
                // Two changes at a time are one too many for who does not hear it from his node.
                if self.is_at_home(n) {
                    self.change_port(stage, n);
                }
                None
            }
            Act::Sleep => {
                let until = stage.now + self.rng.millis(17_000..25_000);
                self.sleep(stage, n, until);
                None
            }
        };
        if let Some(wish) = wish {
            self.ask(stage, n, wish);
        }
    }

    /// Whether a client speaks to the node that it has its ID from.
    pub(super) fn is_at_home(&self, n: usize) -> bool {
        let client = self.clients.get(n);
        let id = client.and_then(|client| client.id.as_ref());
        let own = id.and_then(|id| self.book.ids.get(id));
        own.zip(client).is_some_and(|(own, client)| own.home == client.node)
    }

    fn opening(&mut self, n: usize) -> Option<Wish> {
        let client = self.clients.get(n)?;
        let (id, list) = (client.id.clone()?, client.list.as_ref());
        if list.is_some_and(|(_, list)| list.len() >= LOBBIES) {
            return None;
        }
        Some(Wish::Create(self.book.new_name(id), 2 + self.rng.index(5) as u32))
    }

    /// A lobby that a client has seen, or one that may have ended.
    fn lobby_to_join(&mut self, n: usize) -> Option<String> {
        let client = self.clients.get(n)?;
        let (_, list) = client.list.as_ref()?;
        let all: Vec<&String> = match self.rng.permille(900) {
            true => list.iter().map(|info| &info.lobby_id).collect(),
            false => self.book.lobbies.keys().collect(),
        };
        let others: Vec<_> =
            all.into_iter().filter(|id| !client.places.contains_key(*id)).collect();
        others.get(self.rng.index(others.len())).map(|id| (*id).clone())
    }

    /// A client says nothing until then, and by then has been forgotten.
    fn sleep(&mut self, stage: &Stage, n: usize, until: Instant) {
        let Some(client) = self.clients.get_mut(n) else { return };
        client.sleeps_until = Some(until);
        client.loose.extend(std::mem::take(&mut client.places).into_keys());
        let Some(id) = client.id.clone() else { return };
        self.book.is_silent(stage.now, &id);
        // Only the node that it has its ID from gives it back.
        if !self.is_at_home(n)
            && let Some(client) = self.clients.get_mut(n)
        {
            client.id = None;
            self.book.give_up(stage.now, &id);
        }
    }

    /// A host of a lobby has met somebody who wants to join it.
    pub(super) fn say_ready(&mut self, stage: &mut Stage, n: usize, lobby: String, id: String) {
        let Some(client) = self.clients.get(n) else { return };
        if client.places.contains_key(&lobby) && client.sleeps_until.is_none() && !client.has_left {
            let (lobby_id, new_peer_id) = (lobby, id);
            let request = PeerConnectionReady { lobby_id, new_peer_id };
            self.say(stage, n, Content::PeerConnectionReady(request));
        }
    }

    /// A client does nothing more; half of them leave what they are in.
    pub(super) fn leave_for_good(&mut self, stage: &mut Stage, n: usize) {
        let Some(client) = self.clients.get_mut(n) else { return };
        (client.has_left, client.asking) = (true, None);
        let (places, id) = (std::mem::take(&mut client.places), client.id.clone());
        if self.rng.permille(500) {
            for lobby_id in places.into_keys() {
                let client_id = id.clone().unwrap_or_default();
                let request = LeaveLobbyRequest { lobby_id, client_id };
                self.say(stage, n, Content::LeaveLobbyRequest(request));
            }
        }
    }
}
