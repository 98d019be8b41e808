//! What players do next.

use super::super::plan::NODES;
use super::super::stage::Stage;
use super::player::Place;
use super::{Cast, Event};

/// What somebody does who is in no room, what a client does, and what a host does.
#[derive(Clone, Copy, Debug)]
enum Act {
    Open,
    Join,
    JoinAny,
    Leave,
    Punched,
    Close,
    Kick,
    Rename,
    /// It speaks to another node from now on.
    Move,
    /// Its NAT has given it another port.
    Port,
}

impl Cast {
    /// A player does something; later if it waits for an answer.
    pub(super) fn act(&mut self, stage: &mut Stage, n: usize) {
        let Some(player) = self.players.get(n).filter(|player| !player.has_left) else { return };
        if player.asking.is_some() {
            return stage.after(std::time::Duration::from_millis(700), Event::Act(n).into());
        }
        let act = match &player.place {
            None => stage.rng.pick([Act::Open, Act::Open, Act::Join, Act::Join, Act::JoinAny]),
            Some(place) if place.is_host => stage.rng.pick([
                Act::Close,
                Act::Leave,
                Act::Kick,
                Act::Kick,
                Act::Rename,
                Act::Move,
                Act::Port,
            ]),
            Some(_) => stage.rng.pick([Act::Leave, Act::Leave, Act::Punched, Act::Move, Act::Port]),
        };
        let text = match (act, player.place.clone()) {
            (Act::Open, None) => Some(self.opening(stage, n)),
            (Act::Join, None) => self.joining(stage),
            (Act::JoinAny, None) => Some("qj".to_owned()),
            (Act::Move, Some(_)) => {
                let node = stage.rng.index(NODES);
                if stage.nodes.lives(node) {
                    self.move_to(stage, n, node);
                }
                None
            }
            (Act::Port, Some(Place { id, key, .. })) => {
                if let Some(player) = self.players.get_mut(n) {
                    let mut at = player.at();
                    at.set_port(at.port() + 1);
                    player.endpoints.push(at);
                }
                Some(format!("rc:{id}:{key}"))
            }
            (Act::Leave, Some(Place { key, .. })) => Some(format!("lr:{key}")),
            (Act::Close, Some(Place { key, .. })) => Some(format!("cr:{key}")),
            (Act::Rename, Some(place)) => {
                let name = self.book.new_name(n);
                Some(format!("rn:{name}:{}", place.key))
            }
            (Act::Kick, Some(Place { key, .. })) => {
                let clients: Vec<&String> = player.clients.keys().collect();
                let client = clients.get(stage.rng.index(clients.len())).copied();
                client.map(|client| format!("kc:id:{client}:{key}"))
            }
            (Act::Punched, Some(Place { id, key, .. })) => Some(format!("pc:{id}:ok:{key}")),
            _ => None,
        };
        if let Some(text) = text {
            self.ask(stage, n, text);
        }
    }

    fn opening(&mut self, stage: &mut Stage, n: usize) -> String {
        let mut text = format!("rh:{}", self.book.new_name(n));
        let rng = &mut stage.rng;
        for (share, option) in [(500, "migrate"), (300, "mesh"), (200, "private")] {
            if rng.permille(share) {
                text = format!("{text}:{option}");
            }
        }
        if rng.permille(300) {
            text = format!("{text}:max={}", 2 + rng.index(4));
        }
        if rng.permille(150) {
            text = format!("{text}:password=p{}", rng.index(1000));
        }
        text
    }

    /// One of the rooms that there may be, by its ID or its code.
    fn joining(&self, stage: &mut Stage) -> Option<String> {
        let rooms = self.book.rooms.iter().filter(|(_, room)| room.ended.is_none());
        let rooms: Vec<_> = rooms.collect();
        let (id, room) = rooms.get(stage.rng.index(rooms.len()))?;
        let by = room.code.as_ref().filter(|_| stage.rng.permille(700)).unwrap_or(id);
        Some(match &room.password {
            Some(password) => format!("jr:{by}:password={password}"),
            None => format!("jr:{by}"),
        })
    }

    /// The request by which a client finds its place by way of another node, or is introduced once more.
    pub(super) fn joining_again(&self, place: &Place) -> String {
        let room = self.book.rooms.get(&place.room);
        match room.and_then(|room| room.password.as_ref()) {
            Some(password) => format!("jr:{}:password={password}", place.room),
            None => format!("jr:{}", place.room),
        }
    }

    /// A player shows that it is there; a client that has not met its host is introduced once more.
    pub(super) fn keep_alive(&mut self, stage: &mut Stage, n: usize) {
        let Some(player) = self.players.get(n).filter(|player| player.asking.is_none()) else {
            return;
        };
        let Some(place) = player.place.as_ref().filter(|_| !player.has_left) else { return };
        let text = match place.is_host || self.has_met_host(n, place) {
            true => format!("ka:{}", place.key),
            false => self.joining_again(place),
        };
        self.ask(stage, n, text);
    }

    /// Whether a client and its host know where the other is.
    pub(super) fn has_met_host(&self, n: usize, place: &Place) -> bool {
        let host = self.host_of(&place.room).and_then(|host| self.players.get(host));
        let own = self.players.get(n).map(super::Player::at);
        host.is_some_and(|host| {
            place.host_at == Some(host.at()) && host.clients.get(&place.id).copied() == own
        })
    }

    /// Who takes himself for the host of a room.
    pub(super) fn host_of(&self, room: &str) -> Option<usize> {
        self.players.iter().position(|player| {
            player.place.as_ref().is_some_and(|place| place.is_host && place.room == room)
        })
    }

    /// A player leaves, and does nothing more.
    pub(super) fn leave_for_good(&mut self, stage: &mut Stage, n: usize) {
        let Some(player) = self.players.get_mut(n) else { return };
        player.has_left = true;
        let Some(place) = &player.place else { return };
        let verb = if place.is_host { "cr" } else { "lr" };
        let text = format!("{verb}:{}", place.key);
        self.ask(stage, n, text);
    }
}
