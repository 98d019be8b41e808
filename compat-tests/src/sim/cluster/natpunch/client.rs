//! A client, and how it asks until it is answered.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Duration;

use punchd::clock::Instant;
use punchd::dialect::natpunch::message::{
    ConnectRequest, Content, CreateLobbyRequest, Endpoint, JoinLobbyRequest, KeepAlive,
    LeaveLobbyRequest, LobbyInfo, LobbyListRequest, RegisterRequest,
};

use super::super::faults::{SETTLED, TOLD};
use super::super::plan::NODES;
use super::super::stage::Stage;
use super::{Cast, Event, bytes};

/// A request is sent again so long after the last time.
const AGAIN: Duration = Duration::from_millis(700);

/// It is sent so many times in all, before another node is tried.
const TIMES: u32 = 6;

/// The same of who was told that it may meet the host of a lobby: it has 11 s, and as long again if the host changes.
const TIMES_MEETING: u32 = 36;

/// So long after it was first sent a request is answered, where nothing is wrong.
const ANSWERED: Duration = TOLD.saturating_add(AGAIN);

/// Who has come to another node or port is believed within this time, and only shows that it is there until then.
const BELIEVED: Duration = SETTLED;

/// How often a client shows that it is there.
const KEEP_ALIVE: Duration = Duration::from_secs(1);

/// How often it asks for lobbies.
const LIST: Duration = Duration::from_secs(3);

/// What a client wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wish {
    /// An ID.
    Register,
    /// To know which lobbies there are.
    List,
    /// A lobby with this name, for so many.
    Create(String, u32),
    /// To be in this lobby.
    Join(String),
    /// Not to be in it.
    Leave(String),
    /// To meet the client with this ID.
    Meet(String),
}

/// Something that a client has asked and that is not answered yet.
#[derive(Clone, Debug)]
pub struct Asking {
    /// What it wants.
    pub wish: Wish,
    /// How often it has asked.
    pub times: u32,
    /// When it asked first.
    pub since: Instant,
    /// It was answered, and is not in the lobby yet.
    pub is_meeting: bool,
}

/// A lobby that a client is a member of, as far as it knows.
#[derive(Clone, Debug)]
pub struct Place {
    /// Since when.
    pub since: Instant,
    /// When it was told last that it is in it.
    pub seen: Instant,
    /// The ID of its host.
    pub host: String,
}

/// A client.
#[derive(Debug)]
pub struct Client {
    /// All endpoints that it has had, with when it came there; the last one now.
    pub endpoints: Vec<(SocketAddr, Instant)>,
    /// Where it is in its own network.
    pub local: SocketAddr,
    /// The node that it speaks to.
    pub node: usize,
    /// When it has spoken to each node last.
    pub spoke: [Option<Instant>; NODES],
    /// Its ID.
    pub id: Option<String>,
    /// Until then it only shows that it is there.
    pub acts_from: Instant,
    /// It says nothing until then.
    pub sleeps_until: Option<Instant>,
    /// The lobbies that it is in.
    pub places: BTreeMap<String, Place>,
    /// Lobbies, by their IDs or names, that it may be in: it has got no answer.
    pub loose: BTreeSet<String>,
    /// What it has asked.
    pub asking: Option<Asking>,
    /// How often it has asked something.
    pub requests: u32,
    /// Which lobbies there were, and when.
    pub list: Option<(Instant, Vec<LobbyInfo>)>,
    /// Of whom it was told just now that he has left; which lobby is told next.
    pub left: Option<String>,
    /// Of whom it was told, by ID: where and when last, and how often.
    pub told: BTreeMap<String, (SocketAddr, Instant, u32)>,
    /// When it has asked for something last.
    pub sent: Instant,
    /// Until then something that it asked for before may still be answered.
    pub stray_until: Instant,
    /// It does nothing more.
    pub has_left: bool,
}

impl Client {
    /// One that has done nothing. The first two are behind one NAT.
    #[must_use]
    pub fn new(n: usize, node: usize) -> Self {
        let network = 101 + if n == 1 { 0 } else { n as u8 };
        let public = SocketAddr::from(([198, 51, network, 1], 50_000 + 100 * n as u16));
        Self {
            endpoints: vec![(public, Instant::default())],
            local: SocketAddr::from(([192, 168, 1, 1 + n as u8], 7777)),
            node,
            spoke: [None; NODES],
            id: None,
            acts_from: Instant::default(),
            sleeps_until: None,
            places: BTreeMap::new(),
            loose: BTreeSet::new(),
            asking: None,
            requests: 0,
            list: None,
            left: None,
            told: BTreeMap::new(),
            sent: Instant::default(),
            stray_until: Instant::default(),
            has_left: false,
        }
    }

    /// Whether it is, or was, at this endpoint.
    #[must_use]
    pub fn is_at(&self, at: SocketAddr) -> bool {
        self.endpoints.iter().any(|(own, _)| *own == at)
    }

    /// Where it is.
    #[must_use]
    pub fn at(&self) -> SocketAddr {
        self.endpoints.last().map_or_else(|| SocketAddr::from(([0; 4], 0)), |(at, _)| *at)
    }

    /// Whether it can do something new.
    #[must_use]
    pub fn is_idle(&self, now: Instant) -> bool {
        let is_awake = self.sleeps_until.is_none() && !self.has_left;
        is_awake && self.id.is_some() && self.asking.is_none() && self.acts_from <= now
    }

    /// What it sends to get something; none: it has no ID.
    fn request(&self, wish: &Wish) -> Option<Content> {
        let client_id = self.id.clone();
        Some(match wish.clone() {
            Wish::Register => {
                let at = self.local;
                let ip_address = at.ip().to_string();
                let local_endpoint = Some(Endpoint { ip_address, port: at.port().into() });
                let request = RegisterRequest { local_endpoint, ..Default::default() };
                Content::RegisterRequest(request)
            }
            Wish::List => {
                let request_id = client_id?;
                let request = LobbyListRequest { request_id, ..Default::default() };
                Content::LobbyListRequest(request)
            }
            Wish::Create(lobby_name, max_players) => {
                let client_id = client_id?;
                let request = CreateLobbyRequest { lobby_name, client_id, max_players };
                Content::CreateLobbyRequest(request)
            }
            Wish::Join(lobby_id) => {
                let client_id = client_id?;
                Content::JoinLobbyRequest(JoinLobbyRequest { lobby_id, client_id })
            }
            Wish::Leave(lobby_id) => {
                let client_id = client_id?;
                Content::LeaveLobbyRequest(LeaveLobbyRequest { lobby_id, client_id })
            }
            Wish::Meet(destination_client_id) => {
                let source_client_id = client_id?;
                let request = ConnectRequest {
                    destination_client_id,
                    source_client_id,
                    local_endpoint: None,
                    attempt_number: 0,
                };
                Content::ConnectRequest(request)
            }
        })
    }
}

impl Cast {
    /// A client asks for something, until it is answered.
    pub(super) fn ask(&mut self, stage: &mut Stage, n: usize, wish: Wish) {
        let Some(client) = self.clients.get_mut(n) else { return };
        client.requests += 1;
        client.stray_until = client.sent + TOLD;
        let asking = Asking { wish, times: 0, since: stage.now, is_meeting: false };
        client.asking = Some(asking);
        stage.after(ANSWERED, Event::Answered(n, client.requests).into());
        self.send(stage, n);
    }

    fn send(&mut self, stage: &mut Stage, n: usize) {
        let Some(client) = self.clients.get_mut(n) else { return };
        let Some(asking) = &mut client.asking else { return };
        asking.times += 1;
        client.sent = stage.now;
        let wish = asking.wish.clone();
        let Some(request) = client.request(&wish) else { return };
        if let (Some(id), Wish::Join(other) | Wish::Meet(other)) = (&client.id, &wish) {
            match wish {
                Wish::Join(_) => self.book.asks_to_join(stage.now, id, other),
                _ => self.book.asks_to_meet(stage.now, [id, other]),
            }
        }
        stage.after(AGAIN, Event::Again(n, client.requests).into());
        self.say(stage, n, request);
    }

    /// A client sends something to its node, if that lives.
    pub(super) fn say(&mut self, stage: &mut Stage, n: usize, content: Content) {
        let Some(client) = self.clients.get_mut(n) else { return };
        if stage.nodes.lives(client.node) {
            if let Some(spoke) = client.spoke.get_mut(client.node) {
                *spoke = Some(stage.now);
            }
            stage.datagram(client.node, client.at(), &bytes(content));
        }
    }

    /// A client has no answer yet: it asks once more, or another node.
    pub(super) fn ask_again(&mut self, stage: &mut Stage, n: usize, request: u32) {
        let Some(client) = self.clients.get_mut(n) else { return };
        let Some(asking) = client.asking.as_ref().filter(|_| client.requests == request) else {
            return;
        };
        let is_meeting = asking.is_meeting;
        if asking.times < if is_meeting { TIMES_MEETING } else { TIMES } {
            return self.send(stage, n);
        }
        client.give_up();
        let others = client.node + 1 + self.rng.index(NODES - 1);
        if let Some(node) = stage.living(others % NODES).filter(|_| !is_meeting) {
            self.move_to(stage, n, node);
        }
    }

    /// A client speaks to another node from now on, with the ID that it has.
    pub(super) fn move_to(&mut self, stage: &mut Stage, n: usize, node: usize) {
        let Some(client) = self.clients.get_mut(n) else { return };
        client.give_up();
        (client.node, client.acts_from) = (node, stage.now + BELIEVED);
    }

    /// The NAT of a client gives it another port.
    pub(super) fn change_port(&mut self, stage: &Stage, n: usize) {
        let Some(client) = self.clients.get_mut(n) else { return };
        let mut at = client.at();
        at.set_port(at.port() + 1);
        client.endpoints.push((at, stage.now));
        client.acts_from = stage.now + BELIEVED;
    }

    /// A client shows that it is there, or gets an ID.
    pub(super) fn keep_alive(&mut self, stage: &mut Stage, n: usize) {
        let Some(client) = self.clients.get_mut(n).filter(|client| !client.has_left) else {
            return;
        };
        stage.after(KEEP_ALIVE + self.rng.millis(0..300), Event::KeepAlive(n).into());
        match client.sleeps_until {
            Some(until) if stage.now < until => return,
            Some(_) => (client.sleeps_until, client.acts_from) = (None, stage.now + TOLD),
            None => {}
        }
        match client.id.clone() {
            Some(client_id) => self.say(stage, n, Content::KeepAlive(KeepAlive { client_id })),
            None if client.asking.is_none() => self.ask(stage, n, Wish::Register),
            None => {}
        }
    }

    /// A client asks for the lobbies, now and then.
    pub(super) fn list(&mut self, stage: &mut Stage, n: usize) {
        let Some(client) = self.clients.get(n).filter(|client| !client.has_left) else { return };
        if client.is_idle(stage.now) {
            self.ask(stage, n, Wish::List);
        }
        stage.after(LIST + self.rng.millis(0..500), Event::List(n).into());
    }
}

impl Client {
    /// It does not wait for an answer any more.
    pub(super) fn give_up(&mut self) {
        let Some(asking) = self.asking.take() else { return };
        if let Wish::Join(lobby) | Wish::Leave(lobby) | Wish::Create(lobby, _) = asking.wish {
            self.places.remove(&lobby);
            self.loose.insert(lobby);
        }
    }
}
