//! natpunch: registration, introductions and lobbies in Protocol Buffers over UDP, on the wire
//! as games know it from the server of that name.
//!
//! An ID is only believed from the endpoint that registered it. Everything that goes wrong is
//! told in an `Error` message, or not at all where the original is silent.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use log::{debug, log};
use prost::Message as _;
use rand::rngs::StdRng;

use super::route::Route;
use super::{Context, Dialect, Name, Via};
use crate::admission::{self, Admission};
use crate::blocks::Blocks;
use crate::clock::{Instant, earliest};
use crate::cluster::NodeId;
use crate::cookies::Cookies;
use crate::introductions::PublicIps;
use crate::introductions::candidates::may_be_told;
use crate::introductions::journal::Attempt;
use crate::introductions::relay::remote::Awaited;
use crate::introductions::unmet::Cause;
use crate::limits;
use crate::lines::Lines;
use crate::rates::Rates;
use crate::refusals::Reason;
use crate::state::{self, NotUnderstood, Saved, Saving};
use crate::timers::{LogThrottle, Timers};
use crate::unproven::is_local;

mod answering;
mod by_game;
mod clients;
mod entering;
mod id;
mod introducing;
mod leaving;
mod lobbies;
pub mod message;
mod nodes;
mod registering;
mod relaying;
mod shown;
mod turns;

use answering::{reader, send};
use clients::{Client, Clients, Program};
use id::Uuid;
use introducing::{Joiner, Told};
use lobbies::{Lobbies, client_list};
use message::{ConnectRequest, Content, Endpoint, LobbyListRequest, Message, RegisterRequest};
use nodes::{Losses, Nodes};
use serde::{Deserialize, Serialize};

/// What the owner decides.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Config {
    /// The addresses by which those outside know who is inside.
    pub public_ips: PublicIps,
    /// Who is admitted. Those of the original cannot say which game they are, so they are only if
    /// everybody is.
    pub admission: Admission,
}

/// Who sent a datagram, and how it came.
#[derive(Clone, Copy, Debug)]
struct Sender {
    via: Route,
    peer: SocketAddr,
    /// The client of another node that it is, which has passed on what it says.
    of: Option<(NodeId, Uuid)>,
}

/// The state of the dialect.
#[derive(Debug, Serialize, Deserialize)]
pub struct Natpunch {
    #[serde(skip, default = "state::no_random")]
    rng: StdRng,
    cookies: Cookies,
    clients: Clients,
    lobbies: Lobbies,
    /// Those who are about to meet the host of a lobby: the lobby, and who.
    joins: Timers<(Uuid, Uuid)>,
    /// Those who wanted to join a lobby and cannot any more, and have not been told yet.
    parting: Timers<Uuid>,
    /// Those who were told of each other a moment ago, the lower ID first.
    met: Timers<(Uuid, Uuid), Option<Joiner>>,
    /// Those who were told of each other lately, the lower ID first.
    told: Timers<(Uuid, Uuid), Told>,
    /// How often clients of an address join lobbies.
    #[serde(skip, default = "joins_of_address")]
    joined: Rates,
    lines: Lines,
    #[serde(skip)]
    public_ips: PublicIps,
    #[serde(skip)]
    admission: Admission,
    refused: admission::Refused,
    /// Those who wanted to meet somebody whom they cannot reach.
    foreign: LogThrottle,
    /// The other nodes of a cluster. To another process of this node they tell everything anew.
    #[serde(skip)]
    nodes: Nodes,
    /// Those for whom the relay of another node is asked: who wants to meet whom, and the number of the try.
    #[serde(default)]
    relays: Awaited<([Uuid; 2], u32)>,
}

fn joins_of_address() -> Rates {
    Rates::new(limits::NATPUNCH_JOINS, limits::NATPUNCH_JOINS_SECONDS)
}

impl Natpunch {
    /// A dialect that has heard of nobody yet. IDs are drawn from `rng`, which must be secret.
    #[must_use]
    pub fn new(config: Config, mut rng: StdRng) -> Self {
        Self {
            cookies: Cookies::new(&mut rng),
            rng,
            clients: Clients::default(),
            lobbies: Lobbies::default(),
            joins: Timers::new(limits::NATPUNCH_JOIN),
            parting: Timers::new(limits::NATPUNCH_JOIN),
            met: Timers::new(limits::NATPUNCH_AGAIN),
            told: Timers::new(limits::relay::FAILED),
            joined: joins_of_address(),
            lines: Lines::default(),
            public_ips: config.public_ips,
            admission: config.admission,
            refused: admission::Refused::default(),
            foreign: LogThrottle::default(),
            nodes: Nodes::default(),
            relays: Awaited::default(),
        }
    }

    /// Goes on from what another process knew. What options decide stays as it is here.
    fn restore(&mut self, now: Instant, saved: Self) {
        let Self { rng: _, cookies, clients, lobbies, joins, parting, met, told, lines, .. } =
            saved;
        (self.cookies, self.lobbies) = (cookies, lobbies);
        self.clients.restore(clients);
        self.joins.restore(joins);
        self.parting.restore(parting);
        self.met.restore(met);
        self.told.restore(told);
        self.lines.restore(lines);
        (self.refused, self.foreign, self.relays) = (saved.refused, saved.foreign, saved.relays);
        self.lobbies.list_anew();
        self.await_others(now);
    }

    /// What the owner is shown of a game: with keys it is one, which is a secret.
    fn shown_game<'a>(&self, game: &'a str) -> &'a str {
        if self.admission.asks_for_key() { "" } else { game }
    }

    fn connect(&mut self, cx: &mut Context<'_>, from: Sender, request: ConnectRequest) {
        let Some(source) = self.hear(cx, from, &request.source_client_id) else { return };
        let local = claimed(request.local_endpoint, from.peer);
        let Some(client) = self.clients.get_mut(source) else { return };
        client.local = local.filter(|local| is_private(*local, from.peer)).or(client.local);
        let game = client.game.clone();
        let wanted = request.destination_client_id;
        let is_there = |id| self.clients.get(id).is_some_and(|other| other.game == game);
        match wanted.parse() {
            Ok(id) if is_there(id) && self.are_apart(cx, [source, id]) => {
                let host = self.clients.get(id).map(|host| host.endpoint);
                let whom = format!("client {wanted}");
                self.refuse_family(cx, from, &whom, Join { wanted: &wanted, host, lobby: "" });
            }
            Ok(id) if is_there(id) => {
                let at = self.clients.get(id).map(|other| other.endpoint);
                self.relay_if_tried(cx, [source, id], request.attempt_number);
                if let (true, Some(at)) =
                    (self.introduce_again(cx, source, id, request.attempt_number), at)
                    && self.clients.is_own(id)
                {
                    let line = format_args!("client {} introduced to client {at}", from.peer);
                    say(&mut self.lines, cx, ("introduced", from.peer), line);
                }
            }
            _ => {
                let why = format!("Destination client {wanted} not found");
                self.refuse_join(cx, from, Join::nobody(&wanted), Cause::NotFound, &why);
            }
        }
    }

    /// Carries out what somebody wants.
    fn act(&mut self, cx: &mut Context<'_>, from: Sender, content: Content) {
        match content {
            Content::RegisterRequest(request) => self.register(cx, from, request),
            Content::KeepAlive(request) => self.keep_alive(cx, from, &request.client_id),
            Content::ClientListRequest(request) => self.list_clients(cx, from, &request.request_id),
            Content::ConnectRequest(request) => self.connect(cx, from, request),
            Content::CreateLobbyRequest(request) => self.create(cx, from, request),
            Content::JoinLobbyRequest(request) => self.join(cx, from, &request),
            Content::LobbyListRequest(request) => self.list(cx, from, &request),
            Content::LeaveLobbyRequest(request) => self.leave(cx, from, &request),
            Content::PeerConnectionReady(request) => self.ready(cx, from, &request),
            // What servers say, and what clients say to each other.
            _ => {}
        }
    }

    fn forget(&mut self, cx: &mut Context<'_>, id: Uuid) -> Option<Client> {
        let client = self.clients.remove(id)?;
        let at = client.endpoint;
        if client.proven {
            say(&mut self.lines, cx, ("gone", at), format_args!("client {at} is gone"));
        } else {
            debug!("{id} at {at} is gone");
        }
        for lobby in &client.lobbies {
            self.take_out(cx, *lobby, id);
        }
        Some(client)
    }

    /// The lobbies that there are. The newest client asks with its own ID.
    fn list(&mut self, cx: &mut Context<'_>, from: Sender, request: &LobbyListRequest) {
        let LobbyListRequest { request_id, cookie } = request;
        // The newest client writes `req_%!d(string=ID)`.
        let own = self.clients.at(from.peer).map(|own| own.to_string());
        let shown = own.as_deref().filter(|own| request_id.contains(*own)).unwrap_or(request_id);
        if let Some(id) = self.hear(cx, from, shown) {
            self.clients.uses_lobbies(id);
            self.clients.note_program(id, Program::SaysReady);
        } else if is_of_august(request_id)
            && let Some(id) = self.clients.at(from.peer)
        {
            self.clients.note_program(id, Program::SaysNothing);
        }
        let now = cx.now.instant;
        let is_shown = !cookie.is_empty() && self.cookies.are_shown(now, from.peer, cookie);
        let limit = if is_shown { limits::NATPUNCH_DATAGRAM } else { self.space(cx, from) };
        let reader = reader(&self.clients, self.public_ips, (from.peer, self.who(from)));
        let of_both_families = cx.shared.relay.joins_families_anywhere(cx.now);
        let list = self.lobbies.list(request_id, (reader, limit), of_both_families, &mut self.rng);
        let Some((mut list, is_whole)) = list else { return };
        if limit < limits::NATPUNCH_DATAGRAM && !is_whole && !cookie.is_empty() {
            list.lobbies.clear();
            list.cookie = self.cookies.of(now, from.peer).to_string();
        }
        let list = Content::LobbyListResponse(list);
        if is_shown {
            return send(from.via, from.peer, list, cx.out);
        }
        self.answer(cx, from, list);
    }

    /// The clients that there are, for one of them.
    fn list_clients(&mut self, cx: &mut Context<'_>, from: Sender, request_id: &str) {
        /// No client takes less, as each has its ID.
        const ENTRY: usize = 40;
        if self.clients.at(from.peer).is_none() {
            return self.refuse(cx, from, NOT_REGISTERED);
        }
        let limit = self.space(cx, from);
        let reader = reader(&self.clients, self.public_ips, (from.peer, self.who(from)));
        let ids = self.clients.some_of(reader.game, (reader.at, limit / ENTRY), &mut self.rng);
        if let Some(list) = client_list(&ids, request_id, (reader, limit)) {
            self.answer(cx, from, list);
        }
    }

    /// How long a list may be.
    fn space(&self, cx: &Context<'_>, from: Sender) -> usize {
        let paid = || cx.shared.credits.left_for_list(from.peer.ip());
        let is_proven = self.clients.is_proven(from.peer);
        if is_proven { usize::MAX } else { paid() }.min(limits::NATPUNCH_DATAGRAM)
    }
}

/// Whom somebody wants to meet.
#[derive(Clone, Copy)]
struct Join<'a> {
    /// As it was asked for.
    wanted: &'a str,
    /// Where that is, if it is known.
    host: Option<SocketAddr>,
    /// The name of the lobby, if it is one and is there.
    lobby: &'a str,
}

impl<'a> Join<'a> {
    /// Somebody who is not there.
    const fn nobody(wanted: &'a str) -> Self {
        Self { wanted, host: None, lobby: "" }
    }
}

const NOT_REGISTERED: &str = "Client not registered";
const LOBBY_NOT_FOUND: &str = "Lobby not found";
const TOO_MANY_LOBBIES: &str = "Too many lobbies";
const TOO_MANY_JOINS: &str = "Too many joins from this address, try again in a moment";

/// Writes a line about somebody who has shown its ID.
fn say(
    lines: &mut Lines,
    cx: &Context<'_>,
    (event, about): (&'static str, SocketAddr),
    line: fmt::Arguments<'_>,
) {
    if let Some(level) = lines.level(cx.now, about.ip(), true) {
        log!(
            level, dialect = "natpunch", event = event, address:% = about; "natpunch: {line}"
        );
    }
}

/// Whether the program of August 2025 has made this ID of a request, from the time in nanoseconds.
fn is_of_august(request_id: &str) -> bool {
    /// Those of this century.
    const DIGITS: usize = 19;
    let digits = request_id.strip_prefix("req_").unwrap_or("");
    digits.len() == DIGITS && digits.bytes().all(|byte| byte.is_ascii_digit())
}

fn is_too_long(request: &RegisterRequest) -> bool {
    request.game.len().max(request.key.len()) > limits::NATPUNCH_GAME
}

/// The endpoint that a client claims to have, if it can be one: many say 0.0.0.0.
fn claimed(claimed: Option<Endpoint>, public: SocketAddr) -> Option<SocketAddr> {
    let claimed = claimed?;
    let ip: IpAddr = claimed.ip_address.parse().ok()?;
    let port = u16::try_from(claimed.port).ok().filter(|port| *port != 0)?;
    let ip = ip.to_canonical();
    may_be_told(ip, public.ip()).then(|| SocketAddr::new(ip, port))
}

/// Whether others may be told that a client has this endpoint in its own network. They knock there, so
/// it must be nobody's outside of that; and loopback is another machine for each.
fn is_private(local: SocketAddr, public: SocketAddr) -> bool {
    is_local(local.ip()) || local.ip().is_loopback() && public.ip().is_loopback()
}

impl Dialect for Natpunch {
    fn on_datagram(&mut self, cx: &mut Context<'_>, via: Via, peer: SocketAddr, data: &[u8]) {
        if data.len() > limits::NATPUNCH_DATAGRAM {
            return cx.refused(Name::Natpunch, Reason::TooLong, peer.ip());
        }
        let Ok(Message { content: Some(content) }) = Message::decode(data) else {
            return cx.refused(Name::Natpunch, Reason::Malformed, peer.ip());
        };
        if !self.clients.is_proven(peer) {
            cx.shared.credits.received(cx.now.instant, peer.ip(), data.len());
        }
        let from = Sender { via: via.into(), peer, of: None };
        if self.passes_on(cx, from, &content, data) {
            return;
        }
        // Only who is admitted gets an ID, and who has one is.
        let is_client = self.clients.at(peer).is_some();
        let shows_one = matches!(content, Content::RegisterRequest(_) | Content::KeepAlive(_));
        if !self.admission.is_open() && !is_client && !shows_one {
            let asks_for_key = self.admission.asks_for_key();
            let reason = if asks_for_key { Reason::Key } else { Reason::Game };
            return cx.refused(Name::Natpunch, reason, peer.ip());
        }
        self.clients.touch(cx.now.instant, peer);
        self.act(cx, from, content);
    }

    fn on_wakeup(&mut self, cx: &mut Context<'_>) {
        self.end_due(cx);
        self.introduce_owed(cx);
        self.tell_nodes(cx);
    }

    fn on_node_joined(&mut self, cx: &mut Context<'_>, node: NodeId) {
        self.begin_to_tell(cx, node);
    }

    fn on_node_message(&mut self, cx: &mut Context<'_>, node: NodeId, bytes: &[u8]) {
        self.handle_node_message(cx, node, bytes);
    }

    fn on_node_gone(&mut self, cx: &mut Context<'_>, node: NodeId) {
        self.forget_node(cx, node);
    }

    fn on_relay(&mut self, cx: &mut Context<'_>, attempt: &Attempt, _is_given: bool) {
        self.handle_relay(cx, attempt);
    }

    fn end_blocked(&mut self, cx: &mut Context<'_>, blocks: &Blocks, most: usize) -> usize {
        let blocked = self.clients.blocked(blocks, most);
        blocked.into_iter().filter_map(|id| self.forget(cx, id)).count()
    }

    fn knows(&self, endpoint: SocketAddr) -> bool {
        self.clients.is_proven(endpoint) || self.nodes.knows(endpoint)
    }

    fn next_wakeup(&self) -> Option<Instant> {
        let (joins, parting, met) = (self.joins.next(), self.parting.next(), self.met.next());
        let news = Some(Instant::default()).filter(|_| self.has_news());
        let nodes = self.nodes.next_wakeup();
        earliest([joins, parting, met, self.clients.next_wakeup(), news, nodes])
    }

    fn save(&self, to: &mut Saving<'_>) {
        to.write(self);
        to.table("nodes", &self.known_of_nodes());
        to.table("ways", &self.clients.ways());
        to.table("leads", self.nodes.leads());
        to.table("losses", &self.nodes.losses());
    }

    fn load(&mut self, cx: &mut Context<'_>, from: &mut Saved<'_>) -> Result<(), NotUnderstood> {
        self.restore(cx.now.instant, from.read()?);
        // One without these has known no other nodes.
        self.restore_nodes(cx, from.table("nodes").unwrap_or_default());
        let ways: Vec<(Uuid, NodeId)> = from.table("ways").unwrap_or_default();
        let there = ways.into_iter().filter(|(_, node)| cx.shared.nodes.has(*node));
        self.clients.restore_ways(there);
        if let Ok(leads) = from.table("leads") {
            self.nodes.restore_leads(leads, |node| cx.shared.nodes.has(node));
        }
        let losses: Vec<Losses> = from.table("losses").unwrap_or_default();
        self.nodes.restore_losses(losses, |node| cx.shared.nodes.has(node));
        Ok(())
    }
}

#[cfg(test)]
mod tests;
