//! What clients must never be told.

use std::net::SocketAddr;

use punchd::dialect::natpunch::message::{
    ClientInfo, ConnectionInstruction, Content, LobbyInfo, LobbyUpdate,
};
use punchd::limits::NATPUNCH_MEMBERS;

use super::Cast;
use super::book::{When, parse};

impl Cast {
    /// Whether a client may be told that. `is_untroubled`: nothing was ever wrong, so nothing is told twice.
    pub(super) fn check(
        &mut self,
        n: usize,
        (to, content): (SocketAddr, &Content),
        when: When,
        is_untroubled: bool,
    ) -> Result<(), String> {
        match content {
            Content::RegisterResponse(response) => {
                let at = response.public_endpoint.as_ref().and_then(parse);
                if !response.success || at != Some(to) {
                    return Err("it cannot register".into());
                }
            }
            Content::CreateLobbyResponse(made) => {
                let (lobby_id, lobby_name) = (made.lobby_id.clone(), made.lobby_name.clone());
                let info = LobbyInfo { lobby_id, lobby_name, ..Default::default() };
                self.note_lobby(when.now, &info)?;
                self.check_lobby(n, &made.lobby_id, &[], when)?;
            }
            Content::JoinLobbyResponse(said) => {
                self.check_lobby(n, &said.lobby_id, &said.lobby_members, when)?;
            }
            Content::JoinLobbySuccess(said) => {
                self.check_lobby(n, &said.lobby_id, &said.lobby_members, when)?;
            }
            Content::LobbyListResponse(list) => {
                for info in &list.lobbies {
                    self.note_lobby(when.now, info)?;
                    check_info(info)?;
                    if !info.host_client_id.is_empty() || !info.members.is_empty() {
                        self.check_lobby(n, &info.lobby_id, &info.members, when)?;
                    }
                }
            }
            Content::LobbyUpdate(update) => self.check_update(n, update, when)?,
            Content::ConnectionInstruction(instruction) => {
                self.check_instruction(n, (to, instruction), when, is_untroubled)?;
            }
            Content::PeerLeft(_) | Content::Error(_) | Content::LeaveLobbyResponse(_) => {}
            _ => return Err("no server says that".into()),
        }
        self.check_left(n, content)
    }

    /// What is told of a lobby, and of members of it, to one who is in it or wants to be.
    fn check_lobby(
        &self,
        n: usize,
        lobby: &str,
        members: &[ClientInfo],
        when: When,
    ) -> Result<(), String> {
        if !self.book.concerns(n, lobby, when) {
            return Err("it is not in that lobby".into());
        }
        let mut members = members.iter();
        members.try_for_each(|info| self.book.check_member(&self.clients, lobby, info, when))
    }

    fn check_update(&mut self, n: usize, update: &LobbyUpdate, when: When) -> Result<(), String> {
        let LobbyUpdate { lobby_id, lobby_info, update_type } = update;
        let info = lobby_info.as_ref().ok_or("nothing is told of the lobby")?;
        self.check_lobby(n, lobby_id, &info.members, when)?;
        check_info(info)?;
        match &**update_type {
            "player_left" => Ok(()),
            "player_joined" | "lobby_closed" => self.book.count(n, (update_type, None), lobby_id),
            _ => Err("that is no update".into()),
        }
    }

    fn check_instruction(
        &self,
        n: usize,
        (to, instruction): (SocketAddr, &ConnectionInstruction),
        when: When,
        is_untroubled: bool,
    ) -> Result<(), String> {
        let ConnectionInstruction { client_id: id, public_endpoint, local_endpoint, .. } =
            instruction;
        self.book.check_at(&self.clients, id, public_endpoint.as_ref(), when)?;
        self.book.check_meeting(n, id, when)?;
        let [public, local] = [public_endpoint, local_endpoint].map(|at| parse(at.as_ref()?));
        let other = self.book.ids.get(id).and_then(|own| self.clients.get(own.client));
        // Only behind one NAT they may reach each other there.
        let is_near = public.is_some_and(|at| at.ip() == to.ip());
        let own = other.map(|other| other.local).filter(|_| is_near);
        if local.is_none() || local != public && local != own {
            return Err(format!("that is not where it is in its own network: {other:?}"));
        }
        let told = self.clients.get(n).and_then(|client| client.told.get(id));
        let times = told.map_or(0, |(.., times)| *times);
        let most = self.book.most_told(&self.clients, n, id);
        if is_untroubled && times >= most {
            return Err(format!("it was told so {times} times before, and {most} are enough"));
        }
        Ok(())
    }

    /// Who has left is told with the lobby that he has left, and once.
    fn check_left(&mut self, n: usize, content: &Content) -> Result<(), String> {
        let Some(client) = self.clients.get_mut(n) else { return Ok(()) };
        match (client.left.take(), content) {
            (Some(left), Content::LobbyUpdate(update)) if update.update_type == "player_left" => {
                let members = update.lobby_info.as_ref().map_or(&[][..], |info| &info.members);
                if members.iter().any(|member| member.client_id == left) {
                    return Err(format!("{left} has left, and is a member"));
                }
                self.book.count(n, ("left", Some(&left)), &update.lobby_id)
            }
            (Some(left), _) => Err(format!("{left} has left, but what?")),
            (None, Content::LobbyUpdate(update)) if update.update_type == "player_left" => {
                Err("who has left?".into())
            }
            (None, Content::PeerLeft(peer)) => {
                client.left = Some(peer.client_id.clone());
                Ok(())
            }
            _ => Ok(()),
        }
    }
}

/// Whether a lobby can be so. Of a member whose own node is lost nothing is told, and who wanted to join hears that the
/// last one has left.
fn check_info(info: &LobbyInfo) -> Result<(), String> {
    let LobbyInfo { current_players, max_players, members, .. } = info;
    let most = *max_players.min(&(NATPUNCH_MEMBERS as u32));
    let is_one = *current_players <= most && members.len() as u32 <= *current_players;
    is_one.then_some(()).ok_or_else(|| format!("that is no lobby: {info:?}"))
}
