//! What has to be answered, and told, where nothing is wrong.

use punchd::clock::Instant;
use punchd::dialect::natpunch::message::LobbyInfo;
use punchd::limits::NATPUNCH_AGAIN;

use super::super::faults::{SETTLED, TOLD};
use super::super::stage::Stage;
use super::Cast;
use super::client::{Place, Wish};

impl Cast {
    /// Whether a client has been where it is since so long before then that all know it, and is heard by the node that it
    /// has its ID from.
    fn is_settled(&self, stage: &Stage, n: usize, from: Instant) -> bool {
        let Some(client) = self.clients.get(n) else { return false };
        let own = client.id.as_ref().and_then(|id| self.book.ids.get(id));
        own.is_some_and(|own| {
            let nodes = (own.home, client.node);
            own.until.is_none()
                && own.since + SETTLED < from
                && stage.faults.is_calm(nodes, from.before(2 * SETTLED), stage.now)
        }) && client.acts_from + SETTLED < from
            && client.sleeps_until.is_none()
            && !client.has_left
    }

    /// Whether two have been known to the nodes of both since before one has asked for the other.
    pub(super) fn are_surely_known(
        &self,
        stage: &Stage,
        n: usize,
        other: &str,
        since: Instant,
    ) -> bool {
        let Some(own) = self.book.ids.get(other) else { return false };
        let client = self.clients.get(own.client);
        let has_it = client.is_some_and(|client| client.id.as_deref() == Some(other));
        let are_settled = [n, own.client].iter().all(|n| self.is_settled(stage, *n, since));
        has_it && are_settled && self.is_calm(stage, n, Some(own.home), since.before(SETTLED))
    }

    /// Whether nothing has been wrong since then between the node that a client has its ID from and another one.
    pub(super) fn is_calm(
        &self,
        stage: &Stage,
        n: usize,
        node: Option<usize>,
        from: Instant,
    ) -> bool {
        let nodes = self.home(n).zip(node);
        nodes.is_some_and(|nodes| stage.faults.is_calm(nodes, from, stage.now))
    }

    /// Whether a lobby has surely been there since before a client has asked for it.
    pub(super) fn is_surely_open(
        &self,
        stage: &Stage,
        n: usize,
        lobby: &str,
        since: Instant,
    ) -> bool {
        let node = self.node_of(lobby);
        let is_there = |n| {
            self.is_calm(stage, n, node, since.before(SETTLED)) && self.is_settled(stage, n, since)
        };
        let leaves = Wish::Leave(lobby.to_owned());
        let mut members = self.clients.iter().enumerate().filter(|(_, client)| {
            let is_in = client.places.get(lobby).is_some_and(|place| place.since + SETTLED < since);
            is_in && client.asking.as_ref().is_none_or(|asking| asking.wish != leaves)
        });
        members.any(|(member, _)| is_there(member)) && is_there(n)
    }

    /// The node of a lobby.
    pub(super) fn node_of(&self, lobby: &str) -> Option<usize> {
        self.book.lobbies.get(lobby).map(|lobby| lobby.node)
    }

    /// What a client asked so long ago is answered if nothing is wrong.
    pub(super) fn check_answered(
        &self,
        stage: &Stage,
        n: usize,
        request: u32,
    ) -> Result<(), String> {
        let client = self.clients.get(n).filter(|client| client.requests == request);
        let asking = client.and_then(|client| client.asking.as_ref());
        let Some(asking) = asking.filter(|asking| !asking.is_meeting) else { return Ok(()) };
        let node = match &asking.wish {
            // Who has no ID is not known to be anywhere.
            Wish::Register => None,
            Wish::List | Wish::Create(..) => self.home(n),
            Wish::Join(lobby) | Wish::Leave(lobby) => self.node_of(lobby),
            Wish::Meet(other) => self.book.ids.get(other).map(|own| own.home),
        };
        let since = asking.since;
        if self.is_settled(stage, n, since) && self.is_calm(stage, n, node, since.before(SETTLED)) {
            return Err(format!("client {n} of natpunch has no answer of {node:?}: {client:#?}"));
        }
        Ok(())
    }

    /// Whom somebody has asked for has been told of it as well.
    pub(super) fn check_met(
        &self,
        stage: &Stage,
        [id, other]: &[String; 2],
        since: Instant,
    ) -> Result<(), String> {
        let Some(own) = self.book.ids.get(id) else { return Ok(()) };
        let of_other = self.book.ids.get(other).and_then(|own| self.clients.get(own.client));
        let told = of_other.and_then(|client| client.told.get(id)).map(|told| told.1);
        let is_told = told.is_some_and(|at| at >= since.before(NATPUNCH_AGAIN));
        if !is_told && self.are_surely_known(stage, own.client, other, since) {
            return Err(format!("{other} was not told of {id}, who has asked for it: {told:?}"));
        }
        Ok(())
    }

    /// Whether the node of a lobby has died in which a client surely was: so its own node has told it.
    fn has_lost_it(&self, stage: &Stage, n: usize, lobby: &str, place: &Place) -> bool {
        let Some(of) = self.book.lobbies.get(lobby) else { return false };
        let (Some(died), Some(home)) = (of.died, self.home(n)) else { return false };
        let entered = (place.since.before(SETTLED), place.since + TOLD);
        place.since + SETTLED < died
            && self.is_settled(stage, n, died)
            && !stage.faults.is_storm(entered.0, stage.now)
            && stage.faults.is_calm((home, of.node), entered.0, entered.1)
    }

    /// What a client takes itself for is what its node says, or may be wrong.
    pub(super) fn check_list(
        &mut self,
        stage: &mut Stage,
        n: usize,
        list: &[LobbyInfo],
    ) -> Result<(), String> {
        let now = stage.now;
        let is_sure = |all: &Self, lobby: &str, since: Instant| {
            all.is_calm(stage, n, all.node_of(lobby), since.before(SETTLED))
                && all.is_settled(stage, n, since)
        };
        let is_in = |info: &&LobbyInfo| !info.host_client_id.is_empty();
        let Some(client) = self.clients.get(n) else { return Ok(()) };
        let mut gone = Vec::new();
        for (lobby, place) in client.places.iter().filter(|(_, place)| place.since + SETTLED < now)
        {
            if !list.iter().filter(is_in).any(|info| info.lobby_id == *lobby) {
                if is_sure(self, lobby, place.seen) || self.has_lost_it(stage, n, lobby, place) {
                    return Err(format!("it is not in {lobby}, and was not told so: {place:?}"));
                }
                gone.push(lobby.clone());
            }
        }
        let mut to_leave = None;
        for info in list.iter().filter(is_in) {
            let lobby = &info.lobby_id;
            let is_wished = client.asking.as_ref().is_some_and(
                |asking| matches!(&asking.wish, Wish::Join(of) | Wish::Leave(of) if of == lobby),
            );
            if is_wished || client.places.contains_key(lobby) {
                continue;
            }
            let is_loose = [lobby, &info.lobby_name].iter().any(|one| client.loose.contains(*one));
            let entry = client
                .id
                .as_ref()
                .and_then(|id| self.book.entries.get(&(id.clone(), lobby.clone())));
            let is_new = entry.and_then(|entry| entry.out).is_some_and(|out| out + TOLD > now);
            if !is_loose && !is_new && is_sure(self, lobby, now.before(SETTLED)) {
                return Err(format!("it is in {lobby}, and was not told so: {client:#?}"));
            }
            to_leave = to_leave.or(Some(lobby.clone()).filter(|_| !is_new));
        }
        if let Some(client) = self.clients.get_mut(n) {
            for lobby in gone {
                client.places.remove(&lobby);
                client.loose.insert(lobby);
            }
            for info in list {
                if let Some(place) = client.places.get_mut(&info.lobby_id).filter(|_| is_in(&info))
                {
                    place.seen = now;
                    place.host.clone_from(&info.host_client_id);
                }
            }
            if let Some(lobby) = to_leave.filter(|_| client.is_idle(now)) {
                self.ask(stage, n, Wish::Leave(lobby));
            }
        }
        Ok(())
    }
}
