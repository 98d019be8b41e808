//! The lobbies there are.

use std::cmp::Ordering;
use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};

use prost::Message as _;
use rand::Rng;

use super::clients::Clients;
use super::id::Uuid;
use super::message::{
    ClientInfo, Content, Endpoint, JoinLobbySuccess, LobbyInfo, LobbyListResponse, LobbyUpdate,
    Message,
};
use super::turns::Turns;
use crate::customers::{Counts, Shares, widest};
use crate::dialect::by_family::ByFamily;
use crate::holders::Holders;
use crate::introductions::PublicIps;
use crate::limits;

/// A lobby. Its host is the member that has been in it longest.
#[derive(Debug)]
pub(super) struct Lobby {
    pub(super) name: String,
    max_players: u32,
    pub(super) members: Vec<Uuid>,
    /// Who is about to meet the host; each has a place already.
    pub(super) pending: Vec<Uuid>,
    /// Where it is in its row.
    place: usize,
    /// Where the one who made it came from; its members have the same family.
    made_by: IpAddr,
    /// Counts lobbies.
    number: u64,
    /// Its host, if somebody is in it who comes from elsewhere.
    protects: Option<Uuid>,
}

/// Which lobby gives way before others: the newest.
type Rank = (u64, Uuid);

impl Lobby {
    pub(super) fn host(&self) -> Option<Uuid> {
        self.members.first().copied()
    }

    pub(super) fn is_full(&self) -> bool {
        let taken = self.members.len() + self.pending.len();
        taken >= self.max_players as usize || taken >= limits::NATPUNCH_MEMBERS
    }

    /// Who gives the place that was kept for him to somebody from this address: one of the address
    /// (IPv6: of the /48, the /56, the /64) that has most places, if it has more than the other's would
    /// have, and never a member.
    pub(super) fn gives_way(&self, to: IpAddr, clients: &Clients) -> Option<Uuid> {
        let from = |id: &Uuid| clients.get(*id).map(|client| client.endpoint.ip());
        let mut shares = Shares::<()>::default();
        let all = self.members.iter().chain(&self.pending);
        all.filter_map(from).for_each(|addr| _ = shares.add(addr, 1));
        let pending = self.pending.iter().filter_map(|id| Some((from(id)?, *id)));
        let larger = pending.filter(|(addr, _)| shares.compare(*addr, to, 1) == Ordering::Greater);
        larger.max_by_key(|(addr, _)| shares.of(*addr)).map(|(_, id)| id)
    }

    fn rank(&self, id: Uuid) -> Rank {
        (self.number, id)
    }
}

/// All lobbies.
#[derive(Debug, Default)]
pub(super) struct Lobbies {
    all: HashMap<Uuid, Lobby>,
    /// The same in a row: those that peers with IPv4 can join, and the others.
    rows: ByFamily<Vec<Uuid>>,
    /// The same by customer, for lists that do not hold all.
    turns: ByFamily<Turns>,
    made: Counts,
    /// Those in which somebody from elsewhere is are protected.
    shares: Holders<Rank>,
    /// The same, and nothing is protected.
    all_shares: Holders<Rank>,
    opened: u64,
}

impl Lobbies {
    /// Which lobby has to be closed before somebody from this address can open one: one of the
    /// network that has most; one in which somebody from elsewhere is only if there is no other, of
    /// an address that has more than a household, or a network that has over an eighth of all.
    pub(super) fn in_the_way(&self, addr: IpAddr) -> Option<Uuid> {
        if self.all.len() < limits::NATPUNCH_LOBBIES {
            return None;
        }
        let has_many = |id: &Uuid| {
            self.all.get(id).is_some_and(|lobby| {
                let [widest, narrowest] = self.all_shares.held(lobby.made_by);
                narrowest > limits::HOUSEHOLD.into() || widest > limits::NATPUNCH_LOBBIES as u64 / 8
            })
        };
        let any = || self.all_shares.gives_way(addr, 1).map(|(_, id)| id).filter(has_many);
        self.shares.gives_way(addr, 1).map(|(_, id)| id).or_else(any)
    }

    /// The members of a lobby have changed.
    pub(super) fn note_members(&mut self, id: Uuid, clients: &mut Clients) {
        let Some(lobby) = self.all.get_mut(&id) else { return };
        let is_other = |addr: IpAddr| widest(addr) != widest(lobby.made_by);
        let mut members = lobby.members.iter().filter_map(|id| clients.get(*id));
        let has_others = members.any(|client| is_other(client.endpoint.ip()));
        let before = lobby.protects;
        let after = lobby.host().filter(|_| has_others);
        if before == after {
            return;
        }
        lobby.protects = after;
        match (before, after) {
            (None, Some(_)) => self.shares.protect(lobby.made_by, lobby.rank(id), 1),
            (Some(_), None) => self.shares.release(lobby.made_by, lobby.rank(id), 1),
            _ => {}
        }
        before.into_iter().for_each(|host| clients.is_host_of_others(host, false));
        after.into_iter().for_each(|host| clients.is_host_of_others(host, true));
    }

    /// Opens a lobby; none if there are too many.
    pub(super) fn create(
        &mut self,
        name: String,
        max_players: u32,
        (host, made_by): (Uuid, IpAddr),
        rng: &mut impl Rng,
    ) -> Option<Uuid> {
        if self.all.len() >= limits::NATPUNCH_LOBBIES
            || self.made.of(made_by) >= limits::NATPUNCH_LOBBIES_PER_ADDRESS
        {
            return None;
        }
        let id = Uuid::random(rng);
        let row = self.rows.of_mut(made_by);
        let place = row.len();
        row.push(id);
        self.turns.of_mut(made_by).add(made_by, id);
        let (members, pending) = (vec![host], Vec::new());
        self.opened += 1;
        let number = self.opened;
        let protects = None;
        let lobby = Lobby { name, max_players, members, pending, place, made_by, number, protects };
        self.made.add(made_by);
        self.shares.change(made_by, lobby.rank(id), 0, 1);
        self.all_shares.change(made_by, lobby.rank(id), 0, 1);
        self.all.insert(id, lobby);
        Some(id)
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.all.len()
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

    pub(super) fn remove(&mut self, id: Uuid, clients: &mut Clients) {
        let Some(lobby) = self.all.remove(&id) else { return };
        self.made.remove(lobby.made_by);
        if let Some(host) = lobby.protects {
            self.shares.release(lobby.made_by, lobby.rank(id), 1);
            clients.is_host_of_others(host, false);
        }
        self.all_shares.change(lobby.made_by, lobby.rank(id), 1, 0);
        self.shares.change(lobby.made_by, lobby.rank(id), 1, 0);
        self.turns.of_mut(lobby.made_by).remove(lobby.made_by, id);
        let row = self.rows.of_mut(lobby.made_by);
        row.swap_remove(lobby.place);
        if let Some(moved) = row.get(lobby.place).and_then(|id| self.all.get_mut(id)) {
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
        reader: Reader<'a>,
    ) -> impl Iterator<Item = ClientInfo> + 'a {
        let members = self.all.get(&id).map_or(&[][..], |lobby| &lobby.members);
        members.iter().filter_map(move |id| reader.info(*id))
    }

    /// The answer to a new member; members that do not fit are left out.
    pub(super) fn success(&self, id: Uuid, reader: Reader<'_>) -> Content {
        let mut all = JoinLobbySuccess {
            success: true,
            lobby_id: id.to_string(),
            message: "Successfully joined lobby and connected to host".into(),
            lobby_members: Vec::new(),
        };
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

    /// The news of a lobby; members that do not fit are left out.
    pub(super) fn update(&self, id: Uuid, kind: &str, reader: Reader<'_>) -> Content {
        let mut all = LobbyUpdate {
            lobby_id: id.to_string(),
            lobby_info: self.info(id),
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

    /// The list of lobbies that somebody at this address can join, up to `limit` bytes; those
    /// `of_both_families`, if the relay joins them. If there are more, customers take turns, and who asks
    /// again sees others. Members are told of as far as there is room left then.
    pub(super) fn list(
        &self,
        request_id: &str,
        (reader, limit): (Reader<'_>, usize),
        of_both_families: bool,
        rng: &mut impl Rng,
    ) -> Option<Content> {
        let [near, far] = self.rows.both_from(reader.at);
        let far = if of_both_families { &far[..] } else { &[] };
        // No list has more.
        let most = limit / ENTRY;
        let mut ids: Vec<Uuid> = near.iter().chain(far).take(most + 1).copied().collect();
        let mut list = self.list_of(&ids, request_id, limit)?;
        if list.lobbies.len() < ids.len() {
            let [near_turns, far_turns] = self.turns.both_from(reader.at);
            let near: Vec<_> = near_turns.in_turn(rng).take(most.min(near.len())).collect();
            let far: Vec<_> = far_turns.in_turn(rng).take(most.min(far.len())).collect();
            ids = alternate(&near, &far);
            list = self.list_of(&ids, request_id, limit)?;
        }
        let mut length = list.encoded_len();
        for (info, id) in list.lobbies.iter_mut().zip(&ids) {
            let mut own = info.encoded_len();
            length -= field(own);
            for member in self.members(*id, reader) {
                own += field(member.encoded_len());
                if wrapped(length + field(own)) > limit {
                    return Some(Content::LobbyListResponse(list));
                }
                info.members.push(member);
            }
            length += field(own);
        }
        Some(Content::LobbyListResponse(list))
    }

    fn list_of(&self, ids: &[Uuid], request_id: &str, limit: usize) -> Option<LobbyListResponse> {
        let mut list = LobbyListResponse {
            success: true,
            request_id: request_id.into(),
            lobbies: Vec::new(),
            message: "Lobby list retrieved successfully".into(),
        };
        let mut length = list.encoded_len();
        if wrapped(length) > limit {
            return None;
        }
        for id in ids {
            // Every lobby in a row is one.
            let Some(info) = self.info(*id) else { break };
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

/// No lobby takes less in a list, as each has its own ID and that of its host there.
const ENTRY: usize = 72;

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
pub(super) fn size(content: Content) -> usize {
    Message { content: Some(content) }.encoded_len()
}

pub(super) fn endpoint(addr: std::net::SocketAddr) -> Endpoint {
    Endpoint { ip_address: addr.ip().to_string(), port: addr.port().into() }
}

/// Who is told of clients: by the addresses at which it can reach them.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reader<'a> {
    pub(super) at: IpAddr,
    pub(super) clients: &'a Clients,
    pub(super) public_ips: PublicIps,
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
            lobbies.create(name, 200, (host, addr), &mut rng);
        }
        let viewer = IpAddr::from([203, 0, 113, 200]);
        for limit in 40..=limits::NATPUNCH_DATAGRAM {
            let same = || StdRng::seed_from_u64(limit as u64);
            let reader = Reader { at: viewer, clients: &clients, public_ips: PublicIps::default() };
            let list = lobbies.list("request", (reader, limit), false, &mut same());
            let Some(list) = list else { continue };
            assert!(size(list.clone()) <= limit, "{limit}");
            let Content::LobbyListResponse(mut list) = list else { panic!("{list:?}") };
            let next = lobbies.turns.of(viewer).in_turn(&mut same()).nth(list.lobbies.len());
            list.lobbies.extend(next.and_then(|next| lobbies.info(next)));
            assert!(size(Content::LobbyListResponse(list)) > limit, "{limit}");
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
