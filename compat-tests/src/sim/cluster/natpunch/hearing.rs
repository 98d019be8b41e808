//! What clients make of what they are told.

use std::net::SocketAddr;

use punchd::clock::Instant;
use punchd::dialect::natpunch::message::{ConnectionInstruction, Content, KeepAlive, LobbyUpdate};
use punchd::limits::{NATPUNCH_JOIN, NATPUNCH_SILENCE};

use super::super::faults::{SETTLED, TOLD, Wrong};
use super::super::stage::Stage;
use super::book::{When, parse};
use super::client::{Client, Place, Wish};
use super::{Cast, Event};

impl Cast {
    /// A client was told something.
    pub(super) fn told(
        &mut self,
        stage: &mut Stage,
        n: usize,
        (node, to): (usize, SocketAddr),
        content: &Content,
    ) -> Result<(), String> {
        let now = stage.now;
        // Where messages are lost it takes longer until all know the same; and who is heard, but has lost those who hear
        // it, tells them nothing, which they notice later than that nothing is heard.
        let is_late = stage.faults.all.iter().any(|fault| {
            let is_it = matches!(fault.what, Wrong::Storm { .. } | Wrong::Cut(..));
            is_it && fault.from < now && now < fault.to + 3 * SETTLED
        });
        let when = When { now, late: if is_late { 2 * SETTLED } else { SETTLED } };
        let is_untroubled = stage.faults.all.iter().all(|fault| fault.from > now);
        self.check(n, (to, content), when, is_untroubled)?;
        let Some(client) = self.clients.get(n) else { return Ok(()) };
        if client.spoke.get(node).is_none_or(Option::is_none) {
            return Err("it has never spoken to that node".into());
        }
        // What comes to where it was is lost.
        if to != client.at() || client.sleeps_until.is_some() || client.has_left {
            return Ok(());
        }
        self.take(stage, n, node, content)
    }

    fn take(
        &mut self,
        stage: &mut Stage,
        n: usize,
        node: usize,
        content: &Content,
    ) -> Result<(), String> {
        let now = stage.now;
        let Some(client) = self.clients.get_mut(n) else { return Ok(()) };
        let wish = client.asking.as_ref().map(|asking| asking.wish.clone());
        match (content, wish) {
            (Content::RegisterResponse(response), Some(Wish::Register)) => {
                let id = response.client_id.clone();
                self.book.own(now, &id, (n, node))?;
                (client.asking, client.acts_from) = (None, now);
                // It may be the ID that it had, with the lobbies that it is in, and those that it wanted to open.
                let before = self.book.entries.keys().filter(|(own, _)| *own == id);
                client.loose.extend(before.map(|(_, lobby)| lobby.clone()));
                client.id = Some(id.clone());
                self.say(stage, n, Content::KeepAlive(KeepAlive { client_id: id }));
            }
            (Content::CreateLobbyResponse(made), wish) => {
                let is_wished = wish.is_some_and(
                    |wish| matches!(wish, Wish::Create(name, _) if name == made.lobby_name),
                );
                // The first answer may have been lost, and a request that comes when somebody has joined opens another.
                if is_wished && client.asking.take().is_some_and(|asking| asking.times > 1) {
                    client.loose.insert(made.lobby_name.clone());
                }
                let host = client.id.clone().unwrap_or_default();
                client.places.insert(made.lobby_id.clone(), Place { since: now, seen: now, host });
            }
            (Content::JoinLobbyResponse(response), Some(Wish::Join(lobby))) => {
                if let Some(asking) = client.asking.as_mut().filter(|_| lobby == response.lobby_id)
                {
                    asking.is_meeting = true;
                }
            }
            (Content::LobbyUpdate(update), wish) => {
                let is_wished = wish == Some(Wish::Join(update.lobby_id.clone()));
                self.take_update(now, n, update, is_wished);
            }
            (Content::LobbyListResponse(list), wish) => {
                if wish == Some(Wish::List) {
                    client.asking = None;
                }
                client.list = Some((now, list.lobbies.clone()));
                self.check_list(stage, n, &list.lobbies)?;
            }
            (Content::ConnectionInstruction(instruction), wish) => {
                self.take_instruction(stage, n, instruction, wish);
            }
            (Content::LeaveLobbyResponse(_), Some(Wish::Leave(lobby))) => {
                self.is_out(now, n, &lobby)
            }
            (Content::Error(error), wish) => self.take_error(stage, n, &error.message, wish)?,
            _ => {}
        }
        Ok(())
    }

    /// A client is not in a lobby, and does not join it any more.
    fn is_out(&mut self, now: Instant, n: usize, lobby: &str) {
        let Some(client) = self.clients.get_mut(n) else { return };
        client.places.remove(lobby);
        client.loose.remove(lobby);
        client.asking.take_if(
            |asking| matches!(&asking.wish, Wish::Join(of) | Wish::Leave(of) if of == lobby),
        );
        if let Some(id) = &client.id {
            self.book.is_out(now, id, lobby);
        }
    }

    fn take_update(&mut self, now: Instant, n: usize, update: &LobbyUpdate, is_wished: bool) {
        let LobbyUpdate { lobby_id, update_type, lobby_info } = update;
        let is_own = |client: &Client| {
            let info = lobby_info.as_ref().filter(|info| !info.members.is_empty());
            info.is_none_or(|info| {
                info.members.iter().any(|of| client.id.as_ref() == Some(&of.client_id))
            })
        };
        // That of an ID that it had before, at the node of the lobby.
        if update_type == "lobby_closed" && !self.clients.get(n).is_some_and(is_own) {
            return;
        }
        if update_type == "lobby_closed" {
            return self.is_out(now, n, lobby_id);
        }
        let is_elsewhere = self.is_elsewhere(n, lobby_id);
        let Some(client) = self.clients.get_mut(n) else { return };
        let Some(info) = lobby_info else { return };
        // Else it is for an ID that it had before.
        if !info.members.iter().any(|member| client.id.as_ref() == Some(&member.client_id)) {
            return;
        }
        let place = client.places.entry(lobby_id.clone());
        let new = Place { since: now, seen: now, host: String::new() };
        let place = place.or_insert(new);
        place.seen = now;
        place.host.clone_from(&info.host_client_id);
        if is_wished {
            client.asking = None;
            self.summary.joined += 1;
            self.summary.joined_elsewhere += u64::from(is_elsewhere);
        }
    }

    /// Whether a lobby is at another node than that of a client.
    fn is_elsewhere(&self, n: usize, lobby: &str) -> bool {
        let lobby = self.book.lobbies.get(lobby);
        lobby.is_some_and(|lobby| Some(lobby.node) != self.home(n))
    }

    /// The node that a client has its ID from.
    pub(super) fn home(&self, n: usize) -> Option<usize> {
        let id = self.clients.get(n)?.id.as_ref()?;
        self.book.ids.get(id).map(|own| own.home)
    }

    fn take_instruction(
        &mut self,
        stage: &mut Stage,
        n: usize,
        instruction: &ConnectionInstruction,
        wish: Option<Wish>,
    ) {
        let Some(client) = self.clients.get_mut(n) else { return };
        let other = instruction.client_id.clone();
        let Some(at) = instruction.public_endpoint.as_ref().and_then(parse) else { return };
        let told = client.told.entry(other.clone()).or_insert((at, stage.now, 0));
        *told = (at, stage.now, told.2 + 1);
        let Some(id) = client.id.clone() else { return };
        if wish == Some(Wish::Meet(other.clone()))
            && let Some(asking) = client.asking.take()
        {
            stage.after(TOLD, Event::Met([id.clone(), other.clone()], asking.since).into());
        }
        // Most of those who join get through to their host.
        let own = client.places.iter().filter(|(_, place)| place.host == id);
        for (lobby, _) in own {
            if self.rng.permille(900) {
                let met = self.rng.millis(20..400);
                stage.after(met, Event::Ready(n, lobby.clone(), other.clone()).into());
            }
        }
    }

    fn take_error(
        &mut self,
        stage: &mut Stage,
        n: usize,
        error: &str,
        wish: Option<Wish>,
    ) -> Result<(), String> {
        let now = stage.now;
        let Some(client) = self.clients.get_mut(n) else { return Ok(()) };
        let since = client.asking.as_ref().map_or(now, |asking| asking.since);
        match (error, wish) {
            ("Client not registered", wish) if wish != Some(Wish::Register) => {
                let Some(id) = client.id.take() else { return Ok(()) };
                client.places.clear();
                client.give_up();
                let node = client.node;
                let own = self.book.ids.get(&id).filter(|own| own.until.is_none());
                let from = now.before(3 * SETTLED);
                // Whose endpoint has another ID at this node is somebody else there.
                let mut ids = self.book.ids.values();
                let has_other = ids.any(|other| {
                    (other.client, other.home) == (n, node)
                        && own.is_none_or(|own| own.home != node)
                });
                if own.is_some_and(|own| {
                    own.since < from && stage.faults.is_calm((own.home, node), from, now)
                }) && !has_other
                {
                    return Err(format!("it is a client: {own:?}"));
                }
                self.book.give_up(now, &id);
                self.ask(stage, n, Wish::Register);
            }
            ("Failed to establish connection with lobby host", wish) => {
                self.take_failure(stage, n, wish)?;
            }
            (
                "Lobby is full" | "Too many lobbies" | "Client not in lobby",
                Some(Wish::Join(lobby) | Wish::Leave(lobby)),
            ) => self.is_out(now, n, &lobby),
            ("Lobby not found", _) if now < client.stray_until => {}
            ("Lobby not found", Some(Wish::Join(lobby) | Wish::Leave(lobby))) => {
                let is_open = self.is_surely_open(stage, n, &lobby, since);
                self.is_out(now, n, &lobby);
                if is_open {
                    return Err("it is there".into());
                }
            }
            ("Too many lobbies", Some(Wish::Create(..))) => client.asking = None,
            (error, Some(Wish::Meet(other))) if error.contains(&other) => {
                client.asking = None;
                if self.are_surely_known(stage, n, &other, since) {
                    return Err("it is there".into());
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// A client has not got into a lobby: one that it asks for, or one that was closed as it did, which is told when it
    /// would have knocked no more, and only to who is in no other one.
    fn take_failure(&mut self, stage: &Stage, n: usize, wish: Option<Wish>) -> Result<(), String> {
        let now = stage.now;
        // It may be told so as who it was before: of what that had asked for.
        let was = self.book.ids.values().filter(|own| own.client == n).filter_map(|own| own.until);
        if was.max().is_some_and(|until| now.since(until) < NATPUNCH_SILENCE + NATPUNCH_JOIN) {
            return Ok(());
        }
        let Some(client) = self.clients.get(n) else { return Ok(()) };
        let Some(asking) = client.asking.as_ref().filter(|_| matches!(wish, Some(Wish::Join(_))))
        else {
            // Told by a node that it is in, and by its own that there is no such lobby, it may be wrong.
            let is_calm = |lobby: &str, place: &Place| {
                self.is_calm(stage, n, self.node_of(lobby), place.since.before(SETTLED))
            };
            let mut places = client
                .places
                .iter()
                .filter(|(lobby, place)| place.since + TOLD < now && is_calm(lobby, place));
            // A try that it has given up may have failed, or it has left by now.
            let is_sure = client.loose.is_empty() && !matches!(wish, Some(Wish::Leave(_)));
            return match places.next().filter(|_| is_sure) {
                Some((lobby, place)) => Err(format!("it is in {lobby}: {place:?}")),
                None => Ok(()),
            };
        };
        let Wish::Join(lobby) = asking.wish.clone() else { return Ok(()) };
        let is_first = now.since(asking.since) < NATPUNCH_JOIN && !client.loose.contains(&lobby);
        let is_storm = stage.faults.is_storm(now.before(3 * SETTLED), now);
        // What another node says of the join before may have been on its way as this one began.
        let is_late = asking.since + TOLD < now;
        if is_first && asking.is_meeting && is_late && !is_storm {
            return Err("it joins another one".into());
        } else if is_first {
            // Its node may not have heard of it yet.
            return Ok(());
        }
        let entry = client.id.clone().and_then(|id| self.book.entries.get(&(id, lobby.clone())));
        // If it has asked just now it may have another try.
        if entry.is_some_and(|entry| entry.last + TOLD > now) {
            if let Some(client) = self.clients.get_mut(n) {
                client.give_up();
            }
        } else {
            self.is_out(now, n, &lobby);
        }
        Ok(())
    }
}
