//! What has to be so when nothing new has happened for a while.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use punchd::dialect::natpunch::message::LobbyInfo;

use super::super::faults::SETTLED;
use super::super::plan::NODES;
use super::super::stage::Stage;
use super::{Cast, Client, entry};

/// Each has asked for lobbies within this time.
const LISTED: Duration = Duration::from_secs(6);

impl Cast {
    /// Nothing is left of the past: all nodes know the same clients and lobbies, and none but those.
    pub(super) fn check_quiet(&mut self, stage: &Stage) -> Result<(), String> {
        let mut all: Option<BTreeMap<String, String>> = None;
        let mut members: BTreeMap<String, Vec<usize>> = BTreeMap::new();
        let mut at = [0; NODES];
        for (n, client) in self.clients.iter().enumerate() {
            let broken = |what: &str| format!("client {n} of natpunch {what}: {client:#?}");
            let own = client.id.as_ref().and_then(|id| self.book.ids.get(id));
            let Some(own) = own.filter(|own| own.until.is_none()) else {
                return Err(broken("is none"));
            };
            at.get_mut(own.home).into_iter().for_each(|at| *at += 1);
            let list = client.list.as_ref().filter(|(at, _)| *at + LISTED > stage.now);
            let Some((_, list)) = list else { return Err(broken("is told of no lobbies")) };
            let entries: BTreeMap<_, _> = list.iter().map(entry).collect();
            if all.get_or_insert_with(|| entries.clone()) != &entries {
                return Err(broken(&format!("is told of other lobbies than {all:?}")));
            }
            let is_in = |info: &&LobbyInfo| !info.host_client_id.is_empty();
            let told: BTreeSet<&String> =
                list.iter().filter(is_in).map(|info| &info.lobby_id).collect();
            if told != client.places.keys().collect() {
                return Err(broken(&format!("is in {told:?}")));
            }
            told.into_iter().for_each(|lobby| members.entry(lobby.clone()).or_default().push(n));
        }
        let lobbies = all.unwrap_or_default();
        for (lobby, text) in &lobbies {
            let members = members.get(lobby).map_or(&[][..], |all| all);
            if !text.contains(&format!(" {} ", members.len())) {
                return Err(format!("{members:?} are in the lobby {lobby}: {text}"));
            }
            self.check_members(stage, lobby, members)?;
        }
        let total: usize = at.iter().sum();
        for (n, here) in at.into_iter().enumerate() {
            let kept: BTreeMap<_, _> = stage.nodes.kept(n).into_iter().collect();
            let of_node = |lobby: &&String| {
                self.book.lobbies.get(*lobby).is_some_and(|lobby| lobby.node == n)
            };
            let own = lobbies.keys().filter(of_node).count();
            let expected = [
                ("natpunch: clients", here),
                ("natpunch: clients of other nodes", total - here),
                ("natpunch: lobbies", own),
                ("natpunch: lobbies of other nodes", lobbies.len() - own),
                ("natpunch: those who join", 0),
                ("natpunch: those who join no more", 0),
                ("natpunch: pairs that others are asked for", 0),
                ("natpunch: those whom others have forgotten", 0),
            ];
            for (what, expected) in expected {
                let there = kept.get(what).copied().unwrap_or(0);
                if there != expected {
                    let clients = &self.clients;
                    return Err(format!(
                        "node {n} has {there} for {what:?}, not {expected}: {clients:#?}"
                    ));
                }
            }
        }
        Ok(())
    }

    /// All members of a lobby have the same host, who is one of them, and know where the others are if nothing was
    /// wrong since they are in it.
    fn check_members(
        &mut self,
        stage: &Stage,
        lobby: &str,
        members: &[usize],
    ) -> Result<(), String> {
        let clients: Vec<(usize, &Client)> =
            members.iter().filter_map(|n| Some((*n, self.clients.get(*n)?))).collect();
        let mut pairs = 0;
        for (n, client) in &clients {
            let Some(place) = client.places.get(lobby) else { continue };
            if !clients.iter().any(|(_, other)| other.id.as_ref() == Some(&place.host)) {
                return Err(format!("{} is no host of {lobby}: {clients:#?}", place.host));
            }
            for (m, other) in clients.iter().filter(|(m, _)| m != n) {
                let told = other.id.as_ref().and_then(|id| client.told.get(id));
                if told.is_some_and(|(at, ..)| *at == other.at()) {
                    pairs += 1;
                } else if self.were_sure(stage, lobby, [*n, *m]) {
                    return Err(format!(
                        "{client:#?} was not told of {other:#?}, who is in {lobby} as well"
                    ));
                }
            }
        }
        self.summary.lobby_pairs += pairs / 2;
        Ok(())
    }

    /// Whether nothing was wrong since two are in a lobby.
    fn were_sure(&self, stage: &Stage, lobby: &str, pair: [usize; 2]) -> bool {
        let since = |n: &usize| self.clients.get(*n)?.places.get(lobby).map(|place| place.since);
        let Some(since) = pair.iter().filter_map(since).max() else { return false };
        let from = since.before(SETTLED);
        let Some(of) = self.book.lobbies.get(lobby) else { return false };
        let [one, other] = pair.map(|n| self.home(n).filter(|_| self.is_at_home(n)));
        one.zip(other).is_some_and(|(one, other)| {
            let all = [(one, other), (one, of.node), (other, of.node)];
            all.into_iter().all(|pair| stage.faults.is_calm(pair, from, stage.now))
        })
    }
}
