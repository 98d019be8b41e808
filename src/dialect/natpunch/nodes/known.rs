//! What is known of the clients and lobbies of other nodes: as they tell it, until they say that it is gone, or are gone.

use log::warn;

use super::super::id::Uuid;
use super::super::{Natpunch, clients, leaving, lobbies};
use super::message::{Known, Told};
use crate::clock::Instant;
use crate::cluster::NodeId;
use crate::dialect::rounds::Full;
use crate::dialect::{Context, Name};
use crate::limits::{self, cluster as bounds};

impl Natpunch {
    pub(super) fn handle_told(&mut self, cx: &mut Context<'_>, node: NodeId, all: Vec<Told>) {
        for told in all {
            match told {
                Told::Client(told) => self.put_client(cx, node, told),
                Told::Lobby(told) => self.put_lobby(cx, node, told),
            }
        }
    }

    /// What another process needs to have the same lists at once.
    pub(in crate::dialect::natpunch) fn known_of_nodes(&self) -> Vec<Known> {
        let known = self.nodes.rounds.nodes().map(|node| {
            let clients = self.clients.told_of(node).into_iter().map(Told::Client);
            let lobbies = self.lobbies.told_of(node).into_iter().map(Told::Lobby);
            Known { node, all: clients.chain(lobbies).collect() }
        });
        known.collect()
    }

    /// Goes on with the clients and lobbies of other nodes that another process has known, until their nodes tell of
    /// them again.
    pub(in crate::dialect::natpunch) fn restore_nodes(
        &mut self,
        cx: &mut Context<'_>,
        known: Vec<Known>,
    ) {
        for Known { node, all } in known {
            if cx.shared.nodes.has(node) {
                self.nodes.rounds.begin(node);
                self.handle_told(cx, node, all);
            }
        }
    }

    /// Another node tells of a client. What it says of one of somebody else's is not believed.
    pub(super) fn put_client(&mut self, cx: &mut Context<'_>, node: NodeId, told: clients::Told) {
        let (id, endpoint) = (told.id, told.endpoint);
        if !told.is_valid() || self.clients.is_own(id) || self.is_lobby(id) {
            return;
        }
        if let Some((of, round)) = self.clients.told_by(id) {
            if self.nodes.rounds.is_others((of, round), node) {
                return;
            }
            self.nodes.rounds.remove(of, self.clients.strings_of(id));
            // One that was to be taken away, and is told of again before, is in nothing any more.
            if of != node || self.nodes.rounds.is_gone(of, round) {
                self.forget_elsewhere(cx, id);
            }
        }
        let Some(round) = self.round(cx, node, told.strings()) else {
            self.forget_elsewhere(cx, id);
            return;
        };
        let moved = self.clients.put(cx.now.instant, (node, round), told);
        if let Some(lobbies) = self.nodes.unclaimed.remove(&id) {
            lobbies.into_iter().for_each(|lobby| self.clients.enter(id, lobby));
        }
        if let Some(before) = moved {
            cx.shared.relay.moved(Name::Natpunch, before, endpoint);
            self.relays.moved(before, endpoint);
            self.introduce_anew(cx, id);
        }
    }

    /// Another node tells of a lobby.
    fn put_lobby(&mut self, cx: &mut Context<'_>, node: NodeId, told: lobbies::Told) {
        let id = told.id;
        if !told.is_valid() || self.lobbies.get(id).is_some() || self.clients.get(id).is_some() {
            return;
        }
        if let Some((of, round)) = self.lobbies.told_by(id) {
            if self.nodes.rounds.is_others((of, round), node) {
                return;
            }
            self.settle(cx, id);
            self.nodes.rounds.remove(of, self.lobbies.strings_of(id));
            if of != node || self.nodes.rounds.is_gone(of, round) {
                self.tell_end(cx, id);
                self.drop_lobby(id);
            }
        }
        let Some(round) = self.round(cx, node, told.strings()) else {
            return self.drop_lobby(id);
        };
        let all = told.all();
        let there = self.lobbies.seen(id).map_or(Vec::new(), |lobby| lobby.everybody().collect());
        self.lobbies.put((node, round), told);
        for own in there.into_iter().filter(|own| !all.contains(own)) {
            self.clients.exit(own, id);
        }
        for own in all {
            let is_in = |client: &clients::Client| client.lobbies.contains(&id);
            if self.nodes.wanted.is_armed(&(id, own))
                && self.clients.is_own(own)
                && !self.clients.get(own).is_some_and(is_in)
            {
                self.clients.enter(own, id);
            }
        }
    }

    fn is_lobby(&self, id: Uuid) -> bool {
        self.lobbies.seen(id).is_some()
    }

    /// The round that a node tells now; none if it has no room for so many bytes of strings.
    fn round(&mut self, cx: &Context<'_>, node: NodeId, strings: usize) -> Option<u32> {
        match self.nodes.rounds.add(node, strings) {
            Ok(round) => round,
            Err(Full) => {
                if let Some(before) = self.nodes.full.say(cx.now.instant) {
                    warn!("cluster: another node has more clients than there is room for{before}");
                }
                None
            }
        }
    }

    /// A client or a lobby of another node is gone, as that one says.
    pub(super) fn take_away(&mut self, cx: &mut Context<'_>, node: NodeId, id: Uuid) {
        if self.clients.node_of(id) == Some(node) {
            self.nodes.rounds.remove(node, self.clients.strings_of(id));
            self.forget_elsewhere(cx, id);
        } else if self.lobbies.told_by(id).is_some_and(|(of, _)| of == node) {
            self.settle(cx, id);
            self.nodes.rounds.remove(node, self.lobbies.strings_of(id));
            // Who was in it has been told.
            self.drop_lobby(id);
        }
    }

    fn forget_elsewhere(&mut self, cx: &mut Context<'_>, id: Uuid) {
        self.count_joiners_of(cx, id);
        let Some(client) = self.clients.take_away(id) else { return };
        client.lobbies.into_iter().for_each(|lobby| self.take_out(cx, lobby, id));
    }

    fn drop_lobby(&mut self, id: Uuid) {
        let Some(lobby) = self.lobbies.take_away(id) else { return };
        lobby.everybody().for_each(|who| self.clients.exit(who, id));
    }

    /// A lobby of another node has ended for the clients of this one, and nobody else tells them.
    fn tell_end(&mut self, cx: &mut Context<'_>, id: Uuid) {
        let Some(lobby) = self.lobbies.seen(id) else { return };
        let (members, all) = (lobby.members.clone(), lobby.everybody().collect::<Vec<_>>());
        for who in all {
            let is_in = |client: &clients::Client| client.lobbies.contains(&id);
            // What it asked for before is over, also if its node tells of it once more.
            self.nodes.wanted.cancel(&(id, who));
            if !self.clients.is_own(who) || !self.clients.get(who).is_some_and(is_in) {
                continue;
            }
            if members.contains(&who) {
                self.tell_update(who, id, "lobby_closed", cx.out);
                self.clients.exit(who, id);
            } else {
                self.turn_out(cx.now.instant, id, who);
            }
        }
    }

    /// What nodes have told before may be gone.
    fn look_for_gone(&mut self) {
        let Some(nodes) = self.nodes.leaving.begin() else { return };
        let rounds = &self.nodes.rounds;
        let is_gone = |of, round| nodes.contains(&of) && rounds.is_gone(of, round);
        let [lobbies, clients] = [self.lobbies.elsewhere(is_gone), self.clients.elsewhere(is_gone)];
        self.nodes.leaving.add(lobbies.into_iter().chain(clients));
    }

    /// Takes a few of those away that are gone, or were lost: as many as there is time to tell others of.
    pub(super) fn sweep(&mut self, cx: &mut Context<'_>) {
        self.look_for_gone();
        let mut told = 0;
        while told < limits::NATPUNCH_TOLD_AT_ONCE {
            if let Some(id) = self.nodes.lost.first().copied() {
                told += 1 + self.members_with(id);
                self.settle(cx, id);
                continue;
            }
            let Some(id) = self.nodes.leaving.pop() else { break };
            told += 1;
            // It may have been told since.
            let told_by = self.clients.told_by(id).or_else(|| self.lobbies.told_by(id));
            if let Some((node, round)) = told_by
                && self.nodes.rounds.is_gone(node, round)
            {
                told += self.members_with(id);
                self.tell_end(cx, id);
                self.take_away(cx, node, id);
            }
        }
    }

    /// How many are in a lobby, or in the lobbies of a client.
    pub(super) fn members_with(&self, id: Uuid) -> usize {
        let of_client = self.clients.get(id).map_or(&[][..], |client| &client.lobbies);
        let lobbies = of_client.iter().chain([&id]).filter_map(|lobby| self.lobbies.seen(*lobby));
        lobbies.map(|lobby| lobby.members.len()).sum()
    }

    /// At its node a client has left the lobbies of this one, or the clients of this one a lobby: so it is here, before
    /// anything else happens to it.
    pub(in crate::dialect::natpunch) fn settle(&mut self, cx: &mut Context<'_>, id: Uuid) {
        if !self.nodes.lost.remove(&id) {
            return;
        }
        let lobbies = match self.clients.get(id) {
            Some(client) if !self.clients.is_own(id) => client.lobbies.clone(),
            _ => return self.tell_end(cx, id),
        };
        for lobby in lobbies {
            self.clients.exit(id, lobby);
            self.take_out(cx, lobby, id);
        }
    }

    /// Another process has known clients and lobbies of other nodes, which tell of them anew.
    pub(in crate::dialect::natpunch) fn await_others(&mut self, now: Instant) {
        let unclaimed = &mut self.nodes.unclaimed;
        for id in self.lobbies.newest_first() {
            let all = self.lobbies.get(id).into_iter().flat_map(lobbies::Lobby::everybody);
            for who in all.filter(|who| !self.clients.is_own(*who)) {
                unclaimed.entry(who).or_default().push(id);
            }
        }
        self.nodes.claims_end = Some(now + bounds::CLAIM);
    }

    pub(super) fn end_claims(&mut self, cx: &mut Context<'_>) {
        self.nodes.claims_end = None;
        let mut unclaimed: Vec<_> = std::mem::take(&mut self.nodes.unclaimed).into_iter().collect();
        unclaimed.sort_unstable();
        for (id, lobbies) in unclaimed {
            lobbies.into_iter().for_each(|lobby| self.take_out(cx, lobby, id));
        }
        let mut lost = Vec::new();
        for (id, lobbies) in self.clients.own_lobbies() {
            let gone = lobbies.iter().filter(|lobby| !self.is_lobby(**lobby));
            lost.extend(gone.map(|lobby| (id, *lobby)));
        }
        lost.sort_unstable();
        for (id, lobby) in lost {
            self.clients.exit(id, lobby);
            self.tell(id, leaving::has_left(), cx.out);
        }
    }
}
