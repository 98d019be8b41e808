//! natpunch: registration, introductions and lobbies in Protocol Buffers over UDP, on the wire
//! as games know it from the server of that name.
//!
//! An ID is only believed from the endpoint that registered it. Everything that goes wrong is
//! told in an `Error` message, or not at all where the original is silent.

use std::net::{IpAddr, SocketAddr};

use log::{debug, warn};
use prost::Message as _;
use rand::rngs::StdRng;

use super::{Context, Dialect, Name, Outbox, Via};
use crate::admission::{self, Admission};
use crate::clock::Instant;
use crate::introductions::PublicIps;
use crate::introductions::candidates::{Candidates, may_be_told, may_share_network};
use crate::introductions::plan;
use crate::limits;
use crate::nats::Kind;
use crate::timers::{Seldom, Timers};

mod clients;
mod id;
mod lobbies;
pub mod message;
mod relaying;
mod turns;

use clients::Clients;
use id::Uuid;
use lobbies::{Lobbies, Reader, endpoint, size};
use message::{
    ConnectRequest, ConnectionInstruction, Content, CreateLobbyRequest, CreateLobbyResponse,
    Endpoint, Error, JoinLobbyRequest, JoinLobbyResponse, LeaveLobbyRequest, LeaveLobbyResponse,
    Message, NatType, PeerConnectionReady, PeerLeft, RegisterRequest, RegisterResponse,
};

/// What the owner decides.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Config {
    /// The addresses by which those outside know who is inside.
    pub public_ips: PublicIps,
    /// Who is admitted. Clients of this dialect cannot say which game they are, so it is all of
    /// them or none.
    pub admission: Admission,
}

/// Who sent a datagram, and how it came.
#[derive(Clone, Copy, Debug)]
struct Sender {
    via: Via,
    peer: SocketAddr,
}

/// The state of the dialect.
#[derive(Debug)]
pub struct Natpunch {
    rng: StdRng,
    clients: Clients,
    lobbies: Lobbies,
    /// Those who are about to meet the host of a lobby: the lobby, and who.
    joins: Timers<(Uuid, Uuid)>,
    public_ips: PublicIps,
    admission: Admission,
    refused: admission::Refused,
    /// Those who wanted to meet somebody whom they cannot reach.
    foreign: Seldom,
}

impl Natpunch {
    /// A dialect that has heard of nobody yet. IDs are drawn from `rng`, which must be secret.
    #[must_use]
    pub fn new(config: Config, rng: StdRng) -> Self {
        Self {
            rng,
            clients: Clients::default(),
            lobbies: Lobbies::default(),
            joins: Timers::new(limits::NATPUNCH_JOIN),
            public_ips: config.public_ips,
            admission: config.admission,
            refused: admission::Refused::default(),
            foreign: Seldom::default(),
        }
    }

    fn register(&mut self, cx: &mut Context<'_>, from: Sender, request: RegisterRequest) {
        let Sender { via, peer } = from;
        let local = local(request.local_endpoint, peer);
        if let Some(local) = local {
            cx.shared.nats.saw_local(cx.now.instant, peer, local);
        }
        if let Some(other) = self.clients.in_the_way(peer.ip())
            && self.clients.at(peer).is_none()
        {
            self.forget(cx, other);
        }
        let id = self.clients.register(cx.now.instant, via, peer, local, &mut self.rng);
        let (client_id, message) = match id {
            Ok(id) => (id.to_string(), ""),
            Err(refusal) => (String::new(), refusal.message()),
        };
        let count = self.clients.len();
        debug!("{peer} registered as {client_id:?} {message} ({count} clients)");
        let response = RegisterResponse {
            success: id.is_ok(),
            public_endpoint: Some(endpoint(peer)),
            client_id,
            message: message.into(),
        };
        self.answer(cx, from, Content::RegisterResponse(response));
    }

    /// Nobody is admitted: who registers learns why.
    fn turn_away(&mut self, cx: &mut Context<'_>, from: Sender, content: &Content) {
        if let Content::RegisterRequest(_) = content {
            let why = format_args!("its clients cannot show a game or a key; see --games, --key");
            self.refused.note(cx.now.instant, from.peer.ip(), Name::Natpunch, why);
            let response = RegisterResponse {
                success: false,
                public_endpoint: Some(endpoint(from.peer)),
                client_id: String::new(),
                message: "This server is for other games".into(),
            };
            self.answer(cx, from, Content::RegisterResponse(response));
        }
    }

    fn keep_alive(&mut self, cx: &mut Context<'_>, from: Sender, id: &str) {
        let Sender { via, peer } = from;
        if self.clients.hear(cx.now.instant, id, via, peer).is_some() {
            return;
        }
        let Some(id) = self.clients.move_to(cx.now.instant, id, via, peer) else { return };
        debug!("{id} is at {peer} now");
        let lobbies = self.clients.get(id).map_or(Vec::new(), |client| client.lobbies.clone());
        for lobby in lobbies.iter().filter_map(|id| self.lobbies.get(*id)) {
            if lobby.members.contains(&id) {
                let others = lobby.members.iter().filter(|other| **other != id);
                others.for_each(|other| self.introduce(cx, id, *other, 0));
            } else if let Some(host) = lobby.host() {
                self.introduce(cx, id, host, 0);
            }
        }
    }

    fn connect(&mut self, cx: &mut Context<'_>, from: Sender, request: ConnectRequest) {
        let source = &request.source_client_id;
        let Some(source) = self.clients.hear(cx.now.instant, source, from.via, from.peer) else {
            return;
        };
        if let (Some(local), Some(client)) =
            (local(request.local_endpoint, from.peer), self.clients.get_mut(source))
        {
            client.local = Some(local);
        }
        let wanted = request.destination_client_id;
        match wanted.parse() {
            Ok(id) if self.are_apart(cx, [source, id]) => {
                self.refuse_family(cx, from, &format!("client {wanted}"));
            }
            Ok(id) if self.clients.get(id).is_some() => {
                self.introduce(cx, source, id, request.attempt_number);
            }
            _ => self.refuse(cx, from, &format!("Destination client {wanted} not found")),
        }
    }

    fn create(&mut self, cx: &mut Context<'_>, from: Sender, request: CreateLobbyRequest) {
        let host = self.clients.hear(cx.now.instant, &request.client_id, from.via, from.peer);
        let Some(host) = host else { return self.refuse(cx, from, NOT_REGISTERED) };
        if request.lobby_name.len() > limits::NATPUNCH_NAME {
            return self.refuse(cx, from, "Lobby name is too long");
        }
        let Some(client) = self.clients.get(host) else { return };
        if client.lobbies.len() >= limits::NATPUNCH_LOBBIES_PER_CLIENT {
            return self.refuse(cx, from, TOO_MANY_LOBBIES);
        }
        let (name, most) = (request.lobby_name.clone(), request.max_players);
        let addr = from.peer.ip();
        if let Some(other) = self.lobbies.in_the_way(addr) {
            self.close(other, cx.out);
        }
        let Some(id) = self.lobbies.create(name, most, (host, addr), &mut self.rng) else {
            return self.refuse(cx, from, TOO_MANY_LOBBIES);
        };
        self.clients.enter(host, id);
        cx.shared.nats.settle(cx.now.instant, from.peer);
        debug!("{host} opened the lobby {id}");
        let response = CreateLobbyResponse {
            success: true,
            lobby_id: id.to_string(),
            lobby_name: request.lobby_name,
            message: "Lobby created successfully".into(),
        };
        self.answer(cx, from, Content::CreateLobbyResponse(response));
    }

    fn join(&mut self, cx: &mut Context<'_>, from: Sender, request: &JoinLobbyRequest) {
        let joiner = self.clients.hear(cx.now.instant, &request.client_id, from.via, from.peer);
        let Some(joiner) = joiner else { return self.refuse(cx, from, NOT_REGISTERED) };
        let Some((id, lobby)) = self.lobbies.find(&request.lobby_id) else {
            return self.refuse(cx, from, LOBBY_NOT_FOUND);
        };
        let Some(host) = lobby.host() else {
            return self.refuse(cx, from, "Lobby host not found");
        };
        if lobby.members.contains(&joiner) {
            // The answer was lost, or the client has forgotten.
            let success = self.lobbies.success(id, self.reader(from.peer.ip()));
            return self.answer(cx, from, success);
        }
        if self.are_apart(cx, [joiner, host]) {
            return self.refuse_family(cx, from, "the host of the lobby");
        }
        if !lobby.pending.contains(&joiner) {
            let is_full = lobby.is_full();
            let gives_way =
                is_full.then(|| lobby.gives_way(from.peer.ip(), &self.clients)).flatten();
            if is_full && gives_way.is_none() {
                return self.refuse(cx, from, "Lobby is full");
            }
            let Some(client) = self.clients.get(joiner) else { return };
            if client.lobbies.len() >= limits::NATPUNCH_LOBBIES_PER_CLIENT {
                return self.refuse(cx, from, TOO_MANY_LOBBIES);
            }
            if let Some(other) = gives_way {
                self.give_up(id, other, cx.out);
            }
            self.clients.enter(joiner, id);
            if let Some(lobby) = self.lobbies.get_mut(id) {
                lobby.pending.push(joiner);
            }
            self.joins.arm(cx.now.instant, (id, joiner));
        }
        let response = JoinLobbyResponse {
            success: true,
            lobby_id: id.to_string(),
            message: "Attempting to connect to lobby host...".into(),
            lobby_members: Vec::new(),
        };
        self.answer(cx, from, Content::JoinLobbyResponse(response));
        self.introduce(cx, joiner, host, 0);
    }

    /// The host of a lobby has met who wanted to join: now that one is a member.
    fn ready(&mut self, cx: &mut Context<'_>, from: Sender, request: &PeerConnectionReady) {
        let (Some((id, _)), Ok(joiner)) =
            (self.lobbies.find(&request.lobby_id), request.new_peer_id.parse())
        else {
            return;
        };
        let Some(lobby) = self.lobbies.get_mut(id) else { return };
        let is_host = lobby.host().is_some() && lobby.host() == self.clients.at(from.peer);
        let Some(n) = lobby.pending.iter().position(|pending| *pending == joiner) else { return };
        if !is_host {
            return;
        }
        lobby.pending.remove(n);
        lobby.members.push(joiner);
        self.joins.cancel(&(id, joiner));
        self.lobbies.note_members(id, &mut self.clients);
        self.count(cx, id, joiner, true);
        debug!("{joiner} joined the lobby {id}");
        self.tell_read(joiner, |lobbies, reader| lobbies.success(id, reader), cx.out);
        let members = self.lobbies.get(id).map_or(&[][..], |lobby| &lobby.members);
        let others = || members.iter().filter(|other| **other != joiner);
        others().for_each(|other| self.tell_update(*other, id, "player_joined", cx.out));
        others().for_each(|other| self.introduce(cx, joiner, *other, 0));
    }

    fn leave(&mut self, cx: &mut Context<'_>, from: Sender, request: &LeaveLobbyRequest) {
        let who = self.clients.hear(cx.now.instant, &request.client_id, from.via, from.peer);
        let Some(who) = who else { return self.refuse(cx, from, NOT_REGISTERED) };
        let Some((id, _)) = self.lobbies.find(&request.lobby_id) else {
            return self.refuse(cx, from, LOBBY_NOT_FOUND);
        };
        let Some(client) = self.clients.get(who) else { return };
        if !client.lobbies.contains(&id) {
            return self.refuse(cx, from, "Client not in lobby");
        }
        self.clients.exit(who, id);
        self.take_out(cx, id, who);
        let message = "Successfully left lobby".into();
        let response = LeaveLobbyResponse { success: true, message };
        self.answer(cx, from, Content::LeaveLobbyResponse(response));
    }

    /// Takes somebody out of a lobby and tells the others. The lobby goes with its last member;
    /// when the host goes, the next in standing has to meet those who are joining.
    fn take_out(&mut self, cx: &mut Context<'_>, id: Uuid, who: Uuid) {
        let Some(lobby) = self.lobbies.get_mut(id) else { return };
        let was_host = lobby.host() == Some(who);
        let was_member = lobby.members.contains(&who);
        lobby.members.retain(|member| *member != who);
        lobby.pending.retain(|joiner| *joiner != who);
        self.joins.cancel(&(id, who));
        if !was_member {
            return;
        }
        let pending = lobby.pending.clone();
        let Some(host) = lobby.host() else { return self.close(id, cx.out) };
        self.lobbies.note_members(id, &mut self.clients);
        let left = Content::PeerLeft(PeerLeft { client_id: who.to_string() });
        for member in self.lobbies.get(id).map_or(&[][..], |lobby| &lobby.members) {
            self.tell(*member, left.clone(), cx.out);
            self.tell_update(*member, id, "player_left", cx.out);
        }
        if was_host {
            for joiner in pending {
                self.joins.arm(cx.now.instant, (id, joiner));
                self.introduce(cx, joiner, host, 0);
            }
        }
    }

    /// Closes a lobby and tells those who are in it or want to be.
    fn close(&mut self, id: Uuid, out: &mut Outbox) {
        let Some(lobby) = self.lobbies.get(id) else { return };
        let (members, pending) = (lobby.members.clone(), lobby.pending.clone());
        for member in members {
            self.tell_update(member, id, "lobby_closed", out);
            self.clients.exit(member, id);
        }
        for joiner in pending {
            self.tell_update(joiner, id, "lobby_closed", out);
            self.give_up(id, joiner, out);
        }
        debug!("the lobby {id} is gone");
        self.lobbies.remove(id, &mut self.clients);
    }

    fn forget(&mut self, cx: &mut Context<'_>, id: Uuid) {
        let Some(client) = self.clients.remove(id) else { return };
        debug!("{id} at {} is gone", client.endpoint);
        for lobby in client.lobbies {
            self.take_out(cx, lobby, id);
        }
    }

    /// Somebody has not met the host of a lobby.
    fn give_up(&mut self, id: Uuid, joiner: Uuid, out: &mut Outbox) {
        self.joins.cancel(&(id, joiner));
        if let Some(lobby) = self.lobbies.get_mut(id) {
            lobby.pending.retain(|pending| *pending != joiner);
        }
        self.clients.exit(joiner, id);
        let message = "Failed to establish connection with lobby host".into();
        self.tell(joiner, Content::Error(Error { message }), out);
    }

    fn list(&mut self, cx: &mut Context<'_>, from: Sender, request_id: &str) {
        let limit = if self.clients.is_proven(from.peer) {
            limits::NATPUNCH_DATAGRAM
        } else {
            cx.shared.credits.left_for_list(from.peer.ip()).min(limits::NATPUNCH_DATAGRAM)
        };
        let (at, public_ips) = (from.peer.ip(), self.public_ips);
        let reader = Reader { at, clients: &self.clients, public_ips };
        let of_both_families = cx.shared.relay.joins_families();
        let list = self.lobbies.list(request_id, (reader, limit), of_both_families, &mut self.rng);
        if let Some(list) = list {
            self.answer(cx, from, list);
        }
    }

    /// Tells two clients where the other one is, at the relay if that is where they can meet. If its NAT
    /// counts, that is the port that it will have towards the next one it sends to.
    fn introduce(&self, cx: &mut Context<'_>, one: Uuid, other: Uuid, attempt_number: u32) {
        if let Some([for_one, for_other]) = self.relay_at_once(cx, [one, other]) {
            // Both take it for another try.
            let attempt_number = attempt_number.saturating_add(1);
            for (whom, who, at) in [(one, other, for_one), (other, one, for_other)] {
                self.instruct(cx, whom, who, (attempt_number, NatType::Unknown), [at, at]);
            }
            return;
        }
        let at = |id| self.clients.get(id).map(|client| client.endpoint.is_ipv4());
        if at(one) != at(other) {
            return;
        }
        for (whom, who) in [(one, other), (other, one)] {
            let Some(client) = self.clients.get(who) else { continue };
            let Some(other) = self.clients.get(whom).map(|client| client.endpoint) else {
                continue;
            };
            let both = [client.endpoint, other];
            let candidates = Candidates::of(cx, self.public_ips, both, client.proven);
            let is_own = |local: &SocketAddr| local.ip() == client.endpoint.ip();
            let share = may_share_network(client.endpoint, other);
            let local = client.local.filter(|local| share || is_own(local));
            // Clients read it without looking whether it is there.
            let local = local.unwrap_or(candidates.endpoint);
            let nat_type = nat_type(candidates.kind);
            self.instruct(cx, whom, who, (attempt_number, nat_type), [candidates.best(), local]);
        }
    }

    /// Tells a client where another one is: as it is seen, and as it sees itself.
    fn instruct(
        &self,
        cx: &mut Context<'_>,
        whom: Uuid,
        who: Uuid,
        (attempt_number, nat_type): (u32, NatType),
        [public, local]: [SocketAddr; 2],
    ) {
        let instruction = ConnectionInstruction {
            accepted: true,
            client_id: who.to_string(),
            message: String::new(),
            nat_type: nat_type.into(),
            attempt_number,
            public_endpoint: Some(endpoint(public)),
            local_endpoint: Some(endpoint(local)),
        };
        self.tell(whom, Content::ConnectionInstruction(instruction), cx.out);
    }

    fn refuse_family(&mut self, cx: &mut Context<'_>, from: Sender, whom: &str) {
        let [its, own] = if from.peer.is_ipv4() { ["IPv6", "IPv4"] } else { ["IPv4", "IPv6"] };
        let why = format!("No way to {whom}: it has {its}, you have {own}");
        if let Some(before) = self.foreign.say(cx.now.instant) {
            warn!("{} cannot meet anybody there. {why}{before}", from.peer);
        }
        self.refuse(cx, from, &why);
    }

    /// Counts whether a client has met the host of a lobby.
    fn count(&self, cx: &mut Context<'_>, lobby: Uuid, joiner: Uuid, worked: bool) {
        let Some(lobby) = self.lobbies.get(lobby) else { return };
        let Some(host) = lobby.host() else { return };
        if let Some(attempt) = self.attempt([joiner, host], &lobby.name) {
            plan::note_end(cx, &attempt, worked);
        }
    }

    /// The time of somebody who wants to join a lobby is over. At the relay it has as long again.
    fn end_join(&mut self, cx: &mut Context<'_>, id: Uuid, joiner: Uuid) {
        let lobby = self.lobbies.get(id);
        if let Some((host, name)) = lobby.and_then(|lobby| Some((lobby.host()?, &lobby.name)))
            && self.open_session(cx, [joiner, host], name)
        {
            self.joins.arm(cx.now.instant, (id, joiner));
            return self.introduce(cx, joiner, host, 0);
        }
        self.count(cx, id, joiner, false);
        self.give_up(id, joiner, cx.out);
    }

    fn refuse(&mut self, cx: &mut Context<'_>, from: Sender, why: &str) {
        debug!("{}: {why}", from.peer);
        self.answer(cx, from, Content::Error(Error { message: why.into() }));
    }

    /// Answers whoever sent a datagram; who may be forged gets no more than the bound allows.
    fn answer(&mut self, cx: &mut Context<'_>, from: Sender, content: Content) {
        let Sender { via, peer } = from;
        let length = size(content.clone());
        if matches!(&content, Content::RegisterResponse(response) if response.success) {
            cx.shared.credits.lend_for_key(peer.ip(), &[length]);
        }
        if self.clients.is_proven(peer)
            || cx.shared.credits.spend(cx.now.instant, peer.ip(), length)
        {
            send(via, peer, content, cx.out);
        }
    }

    /// Tells a client news of a lobby.
    fn tell_update(&self, id: Uuid, lobby: Uuid, kind: &str, out: &mut Outbox) {
        self.tell_read(id, |lobbies, reader| lobbies.update(lobby, kind, reader), out);
    }

    /// Sends a client something in which others are told of, by the addresses at which it can reach them.
    fn tell_read(
        &self,
        id: Uuid,
        content: impl FnOnce(&Lobbies, Reader<'_>) -> Content,
        out: &mut Outbox,
    ) {
        if let Some(client) = self.clients.get(id) {
            let reader = self.reader(client.endpoint.ip());
            send(client.via, client.endpoint, content(&self.lobbies, reader), out);
        }
    }

    fn reader(&self, at: IpAddr) -> Reader<'_> {
        Reader { at, clients: &self.clients, public_ips: self.public_ips }
    }

    /// Sends something to a client.
    fn tell(&self, id: Uuid, content: Content, out: &mut Outbox) {
        if let Some(client) = self.clients.get(id) {
            send(client.via, client.endpoint, content, out);
        }
    }
}

/// What is known of a NAT, in the words of this dialect, which asks what is let in as well. A server
/// cannot see that; who takes a NAT for the strictest of those that it may be is never wrong.
fn nat_type(kind: Kind) -> NatType {
    match kind {
        Kind::Unknown => NatType::Unknown,
        Kind::Open | Kind::Independent => NatType::PortRestrictedCone,
        Kind::Symmetric | Kind::Sequential => NatType::Symmetric,
    }
}

const NOT_REGISTERED: &str = "Client not registered";
const LOBBY_NOT_FOUND: &str = "Lobby not found";
const TOO_MANY_LOBBIES: &str = "Too many lobbies";

/// Clients take no more than this, and stop receiving altogether when more comes.
fn send(via: Via, to: SocketAddr, content: Content, out: &mut Outbox) {
    let message = Message { content: Some(content) };
    if message.encoded_len() <= limits::NATPUNCH_DATAGRAM {
        out.udp(via, to, |bytes| message.encode_raw(bytes));
    }
}

/// The endpoint that a client claims to have, if it can be one: many say 0.0.0.0. Others knock there,
/// so that it must not be that of a stranger.
fn local(claimed: Option<Endpoint>, public: SocketAddr) -> Option<SocketAddr> {
    let claimed = claimed?;
    let ip: IpAddr = claimed.ip_address.parse().ok()?;
    let port = u16::try_from(claimed.port).ok().filter(|port| *port != 0)?;
    let ip = ip.to_canonical();
    may_be_told(ip, public.ip()).then(|| SocketAddr::new(ip, port))
}

impl Dialect for Natpunch {
    fn on_datagram(&mut self, cx: &mut Context<'_>, via: Via, peer: SocketAddr, data: &[u8]) {
        if data.len() > limits::NATPUNCH_DATAGRAM {
            return;
        }
        let Ok(Message { content: Some(content) }) = Message::decode(data) else { return };
        if !self.clients.is_proven(peer) {
            cx.shared.credits.received(cx.now.instant, peer.ip(), data.len());
        }
        let from = Sender { via, peer };
        if !self.admission.is_open() {
            return self.turn_away(cx, from, &content);
        }
        match content {
            Content::RegisterRequest(request) => self.register(cx, from, request),
            Content::KeepAlive(request) => self.keep_alive(cx, from, &request.client_id),
            Content::ConnectRequest(request) => self.connect(cx, from, request),
            Content::CreateLobbyRequest(request) => self.create(cx, from, request),
            Content::JoinLobbyRequest(request) => self.join(cx, from, &request),
            Content::LobbyListRequest(request) => self.list(cx, from, &request.request_id),
            Content::LeaveLobbyRequest(request) => self.leave(cx, from, &request),
            Content::PeerConnectionReady(request) => self.ready(cx, from, &request),
            // What servers say, and what clients say to each other.
            _ => {}
        }
    }

    fn on_wakeup(&mut self, cx: &mut Context<'_>) {
        while let Some((lobby, joiner)) = self.joins.pop_due(cx.now.instant) {
            self.end_join(cx, lobby, joiner);
        }
        while let Some(id) = self.clients.pop_silent(cx.now.instant) {
            self.forget(cx, id);
        }
    }

    fn knows(&self, endpoint: SocketAddr) -> bool {
        self.clients.is_proven(endpoint)
    }

    fn next_wakeup(&self) -> Option<Instant> {
        self.joins.next().into_iter().chain(self.clients.next_wakeup()).min()
    }
}

#[cfg(test)]
mod tests;
