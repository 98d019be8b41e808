//! A lobby over a bad network. Clients do what PROTOCOL.md tells them: show that they are there each second,
//! and send again what was not answered.

use super::message::LobbyUpdate;
use super::*;
use crate::dialect::lossy::{Lossy, Packet, TROUBLES, Trouble};

/// Milliseconds between two requests for the same.
const AGAIN: u64 = 1000;

struct Player {
    at: SocketAddr,
    /// Empty: it has not registered yet.
    id: String,
    /// What has come, the latest last.
    heard: Vec<Content>,
    /// Whom it wants to let in as a host, until it hears that they are in.
    meets: Vec<String>,
}

struct Net {
    world: World,
    network: Lossy<Vec<u8>>,
    players: Vec<Player>,
    lobby: String,
    millis: u64,
}

impl Net {
    fn new(seed: u8, trouble: Trouble) -> Self {
        let player = |n| Player { at: addr(n), id: String::new(), heard: vec![], meets: vec![] };
        Self {
            world: World::new(),
            network: Lossy::new(seed, trouble),
            players: (1..=4).map(player).collect(),
            lobby: String::new(),
            millis: 0,
        }
    }

    fn put(&mut self, from: SocketAddr, Pb(bytes): Pb) {
        self.network.put(self.millis, from, None, &bytes);
    }

    fn put_all(&mut self, sent: Vec<(SocketAddr, Pb)>) {
        for (to, Pb(bytes)) in sent {
            self.network.put(self.millis, to, Some(to), &bytes);
        }
    }

    /// One millisecond.
    fn step(&mut self) {
        self.millis += 1;
        let sent = self.world.wait(Duration::from_millis(1));
        self.put_all(sent);
        while let Some(Packet { from, to, data }) = self.network.take(self.millis) {
            match to {
                Some(to) => self.hear(to, &data),
                None => {
                    let sent = self.world.send(from, &data);
                    self.put_all(sent);
                }
            }
        }
        if self.millis.is_multiple_of(AGAIN) {
            for n in 0..self.players.len() {
                self.show_up(n);
            }
        }
    }

    fn show_up(&mut self, n: usize) {
        let Player { at, id, meets, .. } = &self.players[n];
        let (at, id, meets) = (*at, id.clone(), meets.clone());
        if !id.is_empty() {
            self.put(at, keep_alive(&id));
        }
        for other in meets {
            self.put(at, ready(&self.lobby, &other));
        }
    }

    fn hear(&mut self, at: SocketAddr, data: &[u8]) {
        let Some(player) = self.players.iter_mut().find(|player| player.at == at) else { return };
        let content = Message::decode(data).unwrap().content.unwrap();
        match &content {
            Content::LobbyUpdate(LobbyUpdate { lobby_info: Some(info), .. }) => {
                let is_in = |id: &String| info.members.iter().any(|one| one.client_id == *id);
                player.meets.retain(|id| !is_in(id));
            }
            Content::ConnectionInstruction(told) => {
                player.meets.push(told.client_id.clone());
            }
            _ => {}
        }
        player.heard.push(content);
    }

    /// Has a player ask until it hears what it wants to.
    fn ask<T>(&mut self, n: usize, request: &Pb, wanted: impl Fn(&Content) -> Option<T>) -> T {
        let at = self.players[n].at;
        self.players[n].heard.clear();
        for _ in 0..90 {
            self.put(at, request.clone());
            for _ in 0..AGAIN {
                self.step();
                if let Some(found) = self.players[n].heard.iter().find_map(&wanted) {
                    // A late copy would undo what it does next.
                    (0..=self.network.trouble.delay).for_each(|_| self.step());
                    return found;
                }
            }
        }
        panic!(
            "{request:?} is not answered: {:?} {:?}",
            self.players[n].heard, self.network.trouble
        );
    }

    fn register(&mut self, n: usize) {
        self.players[n].id = self.ask(n, &register(), |content| match content {
            Content::RegisterResponse(response) => {
                assert!(response.success);
                Some(response.client_id.clone())
            }
            _ => None,
        });
    }

    fn host(&mut self) {
        let request = create(&self.players[0].id, "Game", 4);
        self.lobby = self.ask(0, &request, |content| match content {
            Content::CreateLobbyResponse(response) => Some(response.lobby_id.clone()),
            _ => None,
        });
    }

    /// Asks to be let in, again when that has failed, until all hear that it is in.
    fn join(&mut self, n: usize) {
        let id = self.players[n].id.clone();
        let request = join(&self.lobby, &id);
        self.ask(n, &request, |content| match content {
            Content::LobbyUpdate(LobbyUpdate { lobby_info: Some(info), .. }) => {
                info.members.iter().any(|one| one.client_id == id).then_some(())
            }
            Content::Error(error) => {
                assert_eq!(error.message, "Failed to establish connection with lobby host");
                None
            }
            _ => None,
        });
    }

    fn members(&self) -> Vec<String> {
        let lobby = self.world.natpunch.lobbies.get(self.lobby.parse().unwrap());
        lobby.map_or(vec![], |lobby| lobby.members.iter().map(ToString::to_string).collect())
    }

    /// A player is seen at another port of its router.
    fn moves(&mut self, n: usize) {
        let new = SocketAddr::new(self.players[n].at.ip(), 9000);
        self.players[n].at = new;
        let id = self.players[n].id.parse().unwrap();
        let is_there = |net: &Self| {
            net.world.natpunch.clients.get(id).is_some_and(|client| client.endpoint == new)
        };
        // 2.5 s after the old port was silent, and as many packets as get through.
        let until = self.millis + 30 * AGAIN;
        while !is_there(self) {
            assert!(self.millis < until, "{:?}", self.network.trouble);
            self.step();
        }
    }

    fn leave(&mut self, n: usize) {
        let request = leave(&self.lobby, &self.players[n].id);
        self.ask(n, &request, |content| match content {
            Content::LeaveLobbyResponse(_) => Some(()),
            Content::Error(error) => {
                let is_out = ["Client not in lobby", "Lobby not found"].contains(&&*error.message);
                is_out.then_some(())
            }
            _ => None,
        });
    }
}

/// All come into a lobby, one moves, the host leaves and one after the other goes.
fn play(seed: u8, trouble: Trouble) {
    let mut net = Net::new(seed, trouble);
    (0..4).for_each(|n| net.register(n));
    net.host();
    assert_eq!(
        net.world.natpunch.lobbies.len(),
        1,
        "{seed} {trouble:?}: as often as it had to ask"
    );
    (1..4).for_each(|n| net.join(n));
    let ids: Vec<String> = net.players.iter().map(|player| player.id.clone()).collect();
    assert_eq!(net.members(), ids, "{seed} {trouble:?}");
    net.moves(2);
    assert_eq!(net.members(), ids, "{seed} {trouble:?}");
    net.leave(0);
    assert_eq!(net.members(), ids[1..], "the one who was there first is host");
    net.join(0);
    assert_eq!(net.members().last(), Some(&ids[0]), "and lets the former host in");
    (0..4).for_each(|n| net.leave(n));
    assert!(net.members().is_empty(), "{seed} {trouble:?}");
    net.players.clear();
    (0..20 * AGAIN).for_each(|_| net.step());
    assert_eq!(net.world.natpunch.clients.len(), 0, "{seed} {trouble:?}");
    // A request that came late has opened a lobby more.
    assert_eq!(net.world.natpunch.lobbies.len(), 0, "{seed} {trouble:?}");
}

#[test]
fn a_lobby_works_over_any_network() {
    for seed in 0..20 {
        TROUBLES.into_iter().for_each(|trouble| play(seed, trouble));
    }
}
