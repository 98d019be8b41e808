//! What peers are told of lobbies and clients, and how much of it fits into a datagram.

use std::net::{IpAddr, SocketAddr};

use prost::Message as _;
use rand::Rng;

use super::{Lobbies, Lobby};
use crate::dialect::natpunch::clients::Clients;
use crate::dialect::natpunch::id::Uuid;
use crate::dialect::natpunch::message::{
    ClientInfo, ClientListResponse, Content, Endpoint, JoinLobbyResponse, JoinLobbySuccess,
    LobbyInfo, LobbyListResponse, LobbyUpdate, Message,
};
use crate::introductions::PublicIps;
use crate::limits;

impl Lobbies {
    /// What a reader may know of a lobby, without its members. In the name of a host whose ID and
    /// endpoint one knows its lobby can be left: only members are told who it is.
    fn info(&self, id: Uuid, reader: Reader<'_>) -> Option<LobbyInfo> {
        let lobby = self.seen(id)?;
        let host = lobby.host().filter(|_| self.is_member(id, reader));
        Some(LobbyInfo {
            lobby_id: id.to_string(),
            lobby_name: lobby.name.clone(),
            host_client_id: host.map(|host| host.to_string()).unwrap_or_default(),
            current_players: lobby.members.len() as u32,
            max_players: lobby.max_players,
            members: Vec::new(),
        })
    }

    fn is_member(&self, id: Uuid, reader: Reader<'_>) -> bool {
        let members = self.seen(id).map_or(&[][..], |lobby| &lobby.members);
        reader.who.is_some_and(|who| members.contains(&who))
    }

    /// The members of a lobby, if the reader is one.
    fn members<'a>(
        &'a self,
        id: Uuid,
        reader: Reader<'a>,
    ) -> impl Iterator<Item = ClientInfo> + 'a {
        let lobby = self.seen(id).filter(|_| self.is_member(id, reader));
        let members = lobby.map_or(&[][..], |lobby| &lobby.members);
        members.iter().filter_map(move |id| reader.info(*id))
    }

    /// The answers to somebody who wants to join: for clients that wait for the first, and for those
    /// that take what comes before the second for nothing that concerns them.
    pub(in crate::dialect::natpunch) fn joining(
        &self,
        id: Uuid,
        reader: Reader<'_>,
    ) -> [Content; 2] {
        let host = self.seen(id).and_then(Lobby::host);
        let both = || host.into_iter().chain(reader.who);
        let members: Vec<_> = both().filter_map(|id| reader.info(id)).collect();
        let first = JoinLobbyResponse {
            success: true,
            lobby_id: id.to_string(),
            message: "Attempting to connect to lobby host...".into(),
            lobby_members: members.clone(),
        };
        let second = JoinLobbySuccess { lobby_members: members, ..joined(id) };
        [Content::JoinLobbyResponse(first), Content::JoinLobbySuccess(second)]
    }

    /// The answer to a member; members that do not fit are left out.
    pub(in crate::dialect::natpunch) fn success(&self, id: Uuid, reader: Reader<'_>) -> Content {
        let mut all = joined(id);
        let mut length = all.encoded_len();
        for member in self.members(id, reader) {
            length += field(member.encoded_len());
            if wrapped(length) > limits::NATPUNCH_DATAGRAM {
                break;
            }
            all.lobby_members.push(member);
        }
        Content::JoinLobbySuccess(all)
    }

    /// All members as a JoinLobbyResponse, for the program that takes them from nothing else.
    pub(in crate::dialect::natpunch) fn members_anew(
        &self,
        id: Uuid,
        reader: Reader<'_>,
    ) -> Content {
        match self.success(id, reader) {
            Content::JoinLobbySuccess(all) => Content::JoinLobbyResponse(JoinLobbyResponse {
                success: all.success,
                lobby_id: all.lobby_id,
                message: all.message,
                lobby_members: all.lobby_members,
            }),
            other => other,
        }
    }

    /// The news of a lobby; members that do not fit are left out.
    pub(in crate::dialect::natpunch) fn update(
        &self,
        id: Uuid,
        kind: &str,
        reader: Reader<'_>,
    ) -> Content {
        let mut all = LobbyUpdate {
            lobby_id: id.to_string(),
            lobby_info: self.info(id, reader),
            update_type: kind.into(),
        };
        if let Some(mut info) = all.lobby_info.take() {
            let (rest, mut length) = (all.encoded_len(), info.encoded_len());
            for member in self.members(id, reader) {
                length += field(member.encoded_len());
                if wrapped(rest + field(length)) > limits::NATPUNCH_DATAGRAM {
                    break;
                }
                info.members.push(member);
            }
            all.lobby_info = Some(info);
        }
        Content::LobbyUpdate(all)
    }

    /// The list of lobbies of its game that a reader can join, up to `limit` bytes; those
    /// `of_both_families`, if the relay joins them. If there are more, sources take turns, and who asks
    /// again sees others. Members are told of as far as there is room left then. With it: whether it has all
    /// lobbies.
    pub(in crate::dialect::natpunch) fn list(
        &self,
        request_id: &str,
        (reader, limit): (Reader<'_>, usize),
        of_both_families: bool,
        rng: &mut impl Rng,
    ) -> Option<(LobbyListResponse, bool)> {
        // No list has more.
        let most = limit / ENTRY;
        let by_game = self.by_game.both_from(reader.game, reader.at);
        let near = by_game.map(|[near, _]| near);
        let far = by_game.map(|[_, far]| far).filter(|_| of_both_families);
        let rows = [near, far].map(|list| list.map_or(&[][..], |list| &list.row));
        let is_more = rows.iter().map(|row| row.len()).sum::<usize>() > most + 1;
        let mut ids: Vec<Uuid> = rows.into_iter().flatten().take(most + 1).copied().collect();
        let mut list = self.list_of(&ids, request_id, (reader, limit))?;
        let is_whole = list.lobbies.len() == ids.len() && !is_more;
        if !is_whole {
            let [near, far] =
                [near, far].map(|list| list.map_or(Vec::new(), |list| list.in_turn(most, rng)));
            ids = alternate(&near, &far);
            list = self.list_of(&ids, request_id, (reader, limit))?;
        }
        let mut length = list.encoded_len();
        for (info, id) in list.lobbies.iter_mut().zip(&ids) {
            let mut own = info.encoded_len();
            length -= field(own);
            for member in self.members(*id, reader) {
                own += field(member.encoded_len());
                if wrapped(length + field(own)) > limit {
                    return Some((list, is_whole));
                }
                info.members.push(member);
            }
            length += field(own);
        }
        Some((list, is_whole))
    }

    fn list_of(
        &self,
        ids: &[Uuid],
        request_id: &str,
        (reader, limit): (Reader<'_>, usize),
    ) -> Option<LobbyListResponse> {
        let mut list = LobbyListResponse {
            success: true,
            request_id: request_id.into(),
            lobbies: Vec::new(),
            message: "Lobby list retrieved successfully".into(),
            cookie: String::new(),
        };
        let mut length = list.encoded_len();
        if wrapped(length) > limit {
            return None;
        }
        for id in ids {
            // Every lobby in a row is one.
            let Some(info) = self.info(*id, reader) else { break };
            length += field(info.encoded_len());
            if wrapped(length) > limit {
                break;
            }
            list.lobbies.push(info);
        }
        Some(list)
    }
}

/// One of each in turn, as long as there are both.
fn alternate(near: &[Uuid], far: &[Uuid]) -> Vec<Uuid> {
    let most = near.len().max(far.len());
    (0..most).flat_map(|n| [near.get(n), far.get(n)]).flatten().copied().collect()
}

/// No lobby takes less in a list, as each has its own ID there.
const ENTRY: usize = 40;

/// What a new member is told, without the others.
fn joined(id: Uuid) -> JoinLobbySuccess {
    JoinLobbySuccess {
        success: true,
        lobby_id: id.to_string(),
        message: "Successfully joined lobby and connected to host".into(),
        lobby_members: Vec::new(),
    }
}

/// The list of these clients, as far as there is room; none if there is no room for an empty one.
pub(in crate::dialect::natpunch) fn client_list(
    ids: &[Uuid],
    request_id: &str,
    (reader, limit): (Reader<'_>, usize),
) -> Option<Content> {
    let request_id = request_id.into();
    let mut list = ClientListResponse { success: true, request_id, ..Default::default() };
    let mut length = list.encoded_len();
    if wrapped(length) > limit {
        return None;
    }
    for client in ids.iter().filter_map(|id| reader.info(*id)) {
        length += field(client.encoded_len());
        if wrapped(length) > limit {
            break;
        }
        list.clients.push(client);
    }
    Some(Content::ClientListResponse(list))
}

/// How long a message of that length is as a field of another one; both are counted and not
/// encoded again and again, as what is added grows.
fn field(length: usize) -> usize {
    // The numbers of all these fields fit into the byte before the length.
    1 + prost::length_delimiter_len(length) + length
}

/// How long the content of a message is on the wire, if it has that length.
fn wrapped(length: usize) -> usize {
    /// The numbers of the messages that grow take two bytes.
    const NUMBER: usize = 2;
    NUMBER + prost::length_delimiter_len(length) + length
}

/// How long a message is on the wire.
pub(in crate::dialect::natpunch) fn size(content: Content) -> usize {
    Message { content: Some(content) }.encoded_len()
}

pub(in crate::dialect::natpunch) fn endpoint(addr: std::net::SocketAddr) -> Endpoint {
    Endpoint { ip_address: addr.ip().to_string(), port: addr.port().into() }
}

/// Who is told of clients: by the addresses at which it can reach them.
#[derive(Clone, Copy, Debug)]
pub(in crate::dialect::natpunch) struct Reader<'a> {
    pub(in crate::dialect::natpunch) at: IpAddr,
    /// Which client it is, if it is one.
    pub(in crate::dialect::natpunch) who: Option<Uuid>,
    /// Its game.
    pub(in crate::dialect::natpunch) game: &'a str,
    pub(in crate::dialect::natpunch) clients: &'a Clients,
    pub(in crate::dialect::natpunch) public_ips: PublicIps,
}

impl Reader<'_> {
    fn info(&self, id: Uuid) -> Option<ClientInfo> {
        let at = self.clients.get(id)?.endpoint;
        let at = SocketAddr::new(self.public_ips.told(at.ip(), self.at), at.port());
        Some(ClientInfo { client_id: id.to_string(), public_endpoint: Some(endpoint(at)) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng as _;
    use rand::rngs::StdRng;

    #[test]
    fn a_list_has_as_many_lobbies_as_fit_and_no_more() {
        let mut rng = StdRng::from_seed([1; 32]);
        let (mut lobbies, clients) = (Lobbies::default(), Clients::default());
        for n in 0..100 {
            let (name, host) = ("x".repeat(n % 64), Uuid::random(&mut rng));
            let addr = IpAddr::from([203, 0, 113, n as u8]);
            lobbies.create(name, 200, (host, addr, ""), &mut rng);
        }
        let viewer = IpAddr::from([203, 0, 113, 200]);
        for limit in 40..=limits::NATPUNCH_DATAGRAM {
            let same = || StdRng::seed_from_u64(limit as u64);
            let public_ips = PublicIps::default();
            let reader = Reader { at: viewer, who: None, game: "", clients: &clients, public_ips };
            let list = lobbies.list("request", (reader, limit), false, &mut same());
            let Some((mut list, is_whole)) = list else { continue };
            let of = |list: &LobbyListResponse| size(Content::LobbyListResponse(list.clone()));
            assert!(of(&list) <= limit && !is_whole, "{limit}");
            let [near, _] = lobbies.by_game.both_from("", viewer).unwrap();
            let next = near.in_turn(limit, &mut same())[list.lobbies.len()];
            list.lobbies.extend(lobbies.info(next, reader));
            assert!(of(&list) > limit, "{limit}");
        }
    }

    #[test]
    fn lengths_are_those_on_the_wire() {
        let member = ClientInfo { client_id: "x".repeat(36), public_endpoint: None };
        let mut info = LobbyInfo { lobby_name: "x".repeat(90), ..LobbyInfo::default() };
        let mut length = info.encoded_len();
        for _ in 0..40 {
            length += field(member.encoded_len());
            info.members.push(member.clone());
            assert_eq!(length, info.encoded_len());
            let list = LobbyListResponse { lobbies: vec![info.clone()], ..Default::default() };
            assert_eq!(field(length), list.encoded_len());
            assert_eq!(wrapped(field(length)), size(Content::LobbyListResponse(list)));
            let update = LobbyUpdate { lobby_info: Some(info.clone()), ..Default::default() };
            assert_eq!(wrapped(field(length)), size(Content::LobbyUpdate(update)));
            let members = info.members.clone();
            let success = JoinLobbySuccess { lobby_members: members, ..Default::default() };
            assert_eq!(wrapped(success.encoded_len()), size(Content::JoinLobbySuccess(success)));
        }
    }
}
