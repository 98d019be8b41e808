//! The lobbies there are.

use std::collections::HashMap;

use prost::Message as _;
use rand::{Rng, RngExt as _};

use super::clients::{Client, Clients};
use super::id::Uuid;
use super::message::{
    ClientInfo, Content, Endpoint, JoinLobbySuccess, LobbyInfo, LobbyListResponse, LobbyUpdate,
    Message,
};
use crate::limits;

/// A lobby. Its host is the member that has been in it longest.
#[derive(Debug)]
pub(super) struct Lobby {
    name: String,
    max_players: u32,
    pub(super) members: Vec<Uuid>,
    /// Who is about to meet the host; each has a place already.
    pub(super) pending: Vec<Uuid>,
    /// Where it is in the list of all.
    place: usize,
}

impl Lobby {
    pub(super) fn host(&self) -> Option<Uuid> {
        self.members.first().copied()
    }

    pub(super) fn is_full(&self) -> bool {
        let taken = self.members.len() + self.pending.len();
        taken >= self.max_players as usize || taken >= limits::NATPUNCH_MEMBERS
    }
}

/// All lobbies.
#[derive(Debug, Default)]
pub(super) struct Lobbies {
    all: HashMap<Uuid, Lobby>,
    /// The same in a row, so that a list can begin anywhere.
    row: Vec<Uuid>,
}

impl Lobbies {
    /// Opens a lobby; none if there are too many.
    pub(super) fn create(
        &mut self,
        name: String,
        max_players: u32,
        host: Uuid,
        rng: &mut impl Rng,
    ) -> Option<Uuid> {
        if self.row.len() >= limits::NATPUNCH_LOBBIES {
            return None;
        }
        let id = Uuid::random(rng);
        let place = self.row.len();
        self.row.push(id);
        let (members, pending) = (vec![host], Vec::new());
        self.all.insert(id, Lobby { name, max_players, members, pending, place });
        Some(id)
    }

    pub(super) fn find(&self, id: &str) -> Option<(Uuid, &Lobby)> {
        let id = id.parse().ok()?;
        Some((id, self.all.get(&id)?))
    }

    pub(super) fn get(&self, id: Uuid) -> Option<&Lobby> {
        self.all.get(&id)
    }

    pub(super) fn get_mut(&mut self, id: Uuid) -> Option<&mut Lobby> {
        self.all.get_mut(&id)
    }

    pub(super) fn remove(&mut self, id: Uuid) {
        let Some(lobby) = self.all.remove(&id) else { return };
        self.row.swap_remove(lobby.place);
        if let Some(moved) = self.row.get(lobby.place).and_then(|id| self.all.get_mut(id)) {
            moved.place = lobby.place;
        }
    }

    /// What everybody may know of a lobby, without its members.
    fn info(&self, id: Uuid) -> Option<LobbyInfo> {
        let lobby = self.all.get(&id)?;
        Some(LobbyInfo {
            lobby_id: id.to_string(),
            lobby_name: lobby.name.clone(),
            host_client_id: lobby.host().map(|host| host.to_string()).unwrap_or_default(),
            current_players: lobby.members.len() as u32,
            max_players: lobby.max_players,
            members: Vec::new(),
        })
    }

    fn members<'a>(
        &'a self,
        id: Uuid,
        clients: &'a Clients,
    ) -> impl Iterator<Item = ClientInfo> + 'a {
        let members = self.all.get(&id).map_or(&[][..], |lobby| &lobby.members);
        members.iter().filter_map(|id| Some(client_info(*id, clients.get(*id)?)))
    }

    /// The answer to a new member; members that do not fit are left out.
    pub(super) fn success(&self, id: Uuid, clients: &Clients) -> Content {
        let mut all = JoinLobbySuccess {
            success: true,
            lobby_id: id.to_string(),
            message: "Successfully joined lobby and connected to host".into(),
            lobby_members: Vec::new(),
        };
        for member in self.members(id, clients) {
            all.lobby_members.push(member);
            if size(Content::JoinLobbySuccess(all.clone())) > limits::NATPUNCH_DATAGRAM {
                all.lobby_members.pop();
                break;
            }
        }
        Content::JoinLobbySuccess(all)
    }

    /// The news of a lobby; members that do not fit are left out.
    pub(super) fn update(&self, id: Uuid, kind: &str, clients: &Clients) -> Content {
        let mut all = LobbyUpdate {
            lobby_id: id.to_string(),
            lobby_info: self.info(id),
            update_type: kind.into(),
        };
        if let Some(mut info) = all.lobby_info.take() {
            for member in self.members(id, clients) {
                info.members.push(member);
                let longer = LobbyUpdate { lobby_info: Some(info.clone()), ..all.clone() };
                if size(Content::LobbyUpdate(longer)) > limits::NATPUNCH_DATAGRAM {
                    info.members.pop();
                    break;
                }
            }
            all.lobby_info = Some(info);
        }
        Content::LobbyUpdate(all)
    }

    /// The list of lobbies, up to `limit` bytes. If there are more, the list begins anywhere, so
    /// that who asks again sees others. Members are told of as far as there is room left then.
    pub(super) fn list(
        &self,
        request_id: &str,
        limit: usize,
        clients: &Clients,
        rng: &mut impl Rng,
    ) -> Option<Content> {
        let mut list = self.list_from(0, request_id, limit)?;
        let count = list.lobbies.len();
        if count < self.row.len() {
            list = self.list_from(rng.random_range(0..self.row.len()), request_id, limit)?;
        }
        for n in 0..list.lobbies.len() {
            let Some((id, _)) = self.find(&list.lobbies[n].lobby_id) else { continue };
            for member in self.members(id, clients) {
                list.lobbies[n].members.push(member);
                if size(Content::LobbyListResponse(list.clone())) > limit {
                    list.lobbies[n].members.pop();
                    return Some(Content::LobbyListResponse(list));
                }
            }
        }
        Some(Content::LobbyListResponse(list))
    }

    fn list_from(&self, start: usize, request_id: &str, limit: usize) -> Option<LobbyListResponse> {
        let mut list = LobbyListResponse {
            success: true,
            request_id: request_id.into(),
            lobbies: Vec::new(),
            message: "Lobby list retrieved successfully".into(),
        };
        if size(Content::LobbyListResponse(list.clone())) > limit {
            return None;
        }
        for id in self.row.iter().cycle().skip(start).take(self.row.len()) {
            list.lobbies.extend(self.info(*id));
            if size(Content::LobbyListResponse(list.clone())) > limit {
                list.lobbies.pop();
                break;
            }
        }
        Some(list)
    }
}

/// How long a message is on the wire.
pub(super) fn size(content: Content) -> usize {
    Message { content: Some(content) }.encoded_len()
}

pub(super) fn endpoint(addr: std::net::SocketAddr) -> Endpoint {
    Endpoint { ip_address: addr.ip().to_string(), port: addr.port().into() }
}

fn client_info(id: Uuid, client: &Client) -> ClientInfo {
    ClientInfo { client_id: id.to_string(), public_endpoint: Some(endpoint(client.endpoint)) }
}
