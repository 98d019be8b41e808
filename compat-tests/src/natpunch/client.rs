//! The client itself.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use prost::Message as _;
use punchd::dialect::natpunch::message::{
    ClientInfo, ClientListRequest, ConnectRequest, ConnectionEstablished, Content,
    CreateLobbyRequest, Endpoint, JoinLobbyRequest, JoinLobbySuccess, KeepAlive, LeaveLobbyRequest,
    LobbyListRequest, Message, PeerConnectionReady, Ping, Pong, RegisterRequest, RegisterResponse,
};

use super::{Error, Event, Peer};
use crate::datagrams::is_passing;
use crate::nat;

/// How long one try to register waits for its answer, as the original.
const REGISTER: Duration = Duration::from_secs(1);

/// How long it is tried in all, as the original.
const PATIENCE: Duration = Duration::from_secs(10);

/// So many others a client is introduced to, more than a lobby has place for.
const MOST_PEERS: usize = 256;

/// Time between two signs of life.
const KEEP_ALIVE: Duration = Duration::from_secs(1);

/// The buffer of the original client, which receives nothing any more after a longer datagram.
const BUFFER: usize = 1024;

/// What a client shows of itself when it registers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Admission {
    /// The game that it belongs to.
    pub game: String,
    /// What the server asks for.
    pub key: String,
}

/// A registered client.
#[derive(Debug)]
pub struct Client {
    socket: UdpSocket,
    server: SocketAddr,
    id: String,
    public: SocketAddr,
    peers: BTreeMap<String, Peer>,
    /// The lobby that we opened or are in, and whether we are its host.
    lobby: Option<(String, bool)>,
    /// The lobby whose host we are about to meet.
    joining: Option<String>,
    /// The server has just said that we have not met it.
    has_failed: bool,
    pings: Vec<(u32, Instant)>,
    sequence: u32,
    next_keep_alive: Instant,
    events: VecDeque<Event>,
    /// When the server has said something last.
    heard: Instant,
}

impl Client {
    /// Registers with a server, from this address.
    ///
    /// # Errors
    /// If it does not answer, or refuses.
    pub fn register(server: SocketAddr, bind: IpAddr) -> Result<Self, Error> {
        Self::register_within(server, bind, PATIENCE)
    }

    /// The same, with a limit of time.
    ///
    /// # Errors
    /// If it does not answer in time, or refuses.
    pub fn register_within(
        server: SocketAddr,
        bind: IpAddr,
        patience: Duration,
    ) -> Result<Self, Error> {
        Self::register_for(server, bind, patience, &Admission::default())
    }

    /// The same, for a game, with a key.
    ///
    /// # Errors
    /// If it does not answer in time, or refuses.
    pub fn register_for(
        server: SocketAddr,
        bind: IpAddr,
        patience: Duration,
        admission: &Admission,
    ) -> Result<Self, Error> {
        let failed = |source| Error::Socket { doing: "register with", with: server, source };
        let socket = UdpSocket::bind((bind, 0)).map_err(failed)?;
        let local = socket.local_addr().map_err(failed)?;
        let mut client = Self {
            socket,
            server,
            id: String::new(),
            public: local,
            peers: BTreeMap::new(),
            lobby: None,
            joining: None,
            has_failed: false,
            pings: Vec::new(),
            sequence: 0,
            next_keep_alive: Instant::now(),
            events: VecDeque::new(),
            heard: Instant::now(),
        };
        client.move_to(server, patience, admission)?;
        Ok(client)
    }

    /// Registers with another server, or again, under another ID: in no lobby, but from the same socket, so that it
    /// keeps whom it has met, unless that socket does not lead there.
    ///
    /// # Errors
    /// If it does not answer in time, or refuses.
    pub fn move_to(
        &mut self,
        server: SocketAddr,
        patience: Duration,
        admission: &Admission,
    ) -> Result<(), Error> {
        let failed = |doing| move |source| Error::Socket { doing, with: server, source };
        self.socket_towards(server).map_err(failed("register with"))?;
        let local = local_endpoint(&self.socket, server).map_err(failed("find the way to"))?;
        (self.server, self.public) = (server, local);
        (self.lobby, self.joining, self.has_failed) = (None, None, false);
        let endpoint = Endpoint { ip_address: local.ip().to_string(), port: local.port().into() };
        let Admission { game, key } = admission.clone();
        let request = RegisterRequest { local_endpoint: Some(endpoint), game, key };
        nat::show(server, |to, data| {
            // It only helps; if it is lost that is as if it had never been there.
            let _ = self.socket.send_to(data, to);
        });
        let deadline = Instant::now() + patience;
        while let Some(left) = deadline.checked_duration_since(Instant::now()) {
            self.tell(Content::RegisterRequest(request.clone()))?;
            if let Some(response) = self.registered(REGISTER.min(left))? {
                return self.accept(response);
            }
        }
        Err(Error::NoAnswer { server, waited: patience })
    }

    /// Opens another socket where the server is of the other family.
    fn socket_towards(&mut self, server: SocketAddr) -> io::Result<()> {
        let any: IpAddr = match server {
            SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
            SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
        };
        if self.socket.local_addr()?.is_ipv4() != server.is_ipv4() {
            self.socket = UdpSocket::bind((any, 0))?;
            self.peers.clear();
        }
        Ok(())
    }

    fn registered(&mut self, patience: Duration) -> Result<Option<RegisterResponse>, Error> {
        let deadline = Instant::now() + patience;
        while let Some(left) = deadline.checked_duration_since(Instant::now()) {
            if let Some((from, Content::RegisterResponse(response))) = self.receive(left)?
                && from == self.server
            {
                self.heard = Instant::now();
                return Ok(Some(response));
            }
        }
        Ok(None)
    }

    fn accept(&mut self, response: RegisterResponse) -> Result<(), Error> {
        if !response.success {
            return Err(Error::Refused(response.message));
        }
        self.id = response.client_id;
        let told = response.public_endpoint.unwrap_or_default();
        if let (Ok(ip), Ok(port)) = (told.ip_address.parse(), u16::try_from(told.port)) {
            self.public = SocketAddr::new(ip, port);
        }
        self.keep_alive()
    }

    /// How long the server has said nothing. It answers requests alone.
    #[must_use]
    pub fn silence(&self) -> Duration {
        self.heard.elapsed()
    }

    /// Our ID.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Our endpoint as the server sees it.
    #[must_use]
    pub fn public(&self) -> SocketAddr {
        self.public
    }

    /// Whom we were introduced to, by ID.
    #[must_use]
    pub fn peers(&self) -> &BTreeMap<String, Peer> {
        &self.peers
    }

    /// Asks for the clients that use no lobbies.
    ///
    /// # Errors
    /// If sending fails.
    pub fn list_clients(&self) -> Result<(), Error> {
        self.tell(Content::ClientListRequest(ClientListRequest::default()))
    }

    /// Asks for the lobbies.
    ///
    /// # Errors
    /// If sending fails; this goes for all requests.
    pub fn list(&self) -> Result<(), Error> {
        let list = LobbyListRequest { request_id: self.id.clone(), ..Default::default() };
        self.tell(Content::LobbyListRequest(list))
    }

    /// Opens a lobby.
    ///
    /// # Errors
    /// If sending fails.
    pub fn create(&self, lobby_name: &str, max_players: u32) -> Result<(), Error> {
        let (lobby_name, client_id) = (lobby_name.into(), self.id.clone());
        let request = CreateLobbyRequest { lobby_name, client_id, max_players };
        self.tell(Content::CreateLobbyRequest(request))
    }

    /// Asks to be let into a lobby.
    ///
    /// # Errors
    /// If sending fails.
    pub fn join(&self, lobby: &str) -> Result<(), Error> {
        let request = JoinLobbyRequest { lobby_id: lobby.into(), client_id: self.id.clone() };
        self.tell(Content::JoinLobbyRequest(request))
    }

    /// The lobby that we are in.
    #[must_use]
    pub fn lobby(&self) -> Option<&str> {
        self.lobby.as_ref().map(|(lobby, _)| lobby.as_str())
    }

    /// Leaves a lobby.
    ///
    /// # Errors
    /// If sending fails.
    pub fn leave(&self, lobby: &str) -> Result<(), Error> {
        let request = LeaveLobbyRequest { lobby_id: lobby.into(), client_id: self.id.clone() };
        self.tell(Content::LeaveLobbyRequest(request))
    }

    /// Asks to be introduced to somebody.
    ///
    /// # Errors
    /// If sending fails.
    pub fn connect(&self, peer: &str, attempt_number: u32) -> Result<(), Error> {
        self.tell(Content::ConnectRequest(ConnectRequest {
            destination_client_id: peer.into(),
            source_client_id: self.id.clone(),
            local_endpoint: None,
            attempt_number,
        }))
    }

    /// Pings a peer that we are connected to; false if we are not.
    ///
    /// # Errors
    /// If sending fails.
    pub fn ping(&mut self, peer: &str) -> Result<bool, Error> {
        let Some(at) = self.peers.get(peer).and_then(|peer| peer.at) else { return Ok(false) };
        self.knock(peer, at)?;
        self.pings.retain(|(_, sent)| sent.elapsed() < PATIENCE);
        self.pings.push((self.sequence, Instant::now()));
        Ok(true)
    }

    /// Does what is due and waits for what happens next, but not for longer than this.
    ///
    /// # Errors
    /// If sending or receiving fails.
    pub fn step(&mut self, patience: Duration) -> Result<Option<Event>, Error> {
        if Instant::now() >= self.next_keep_alive {
            self.keep_alive()?;
        }
        let knocks: Vec<(String, SocketAddr)> = self
            .peers
            .iter_mut()
            .flat_map(|(id, peer)| peer.knocks().into_iter().map(|to| (id.clone(), to)))
            .collect();
        for (id, to) in knocks {
            self.knock(&id, to)?;
        }
        if self.events.is_empty()
            && let Some((from, content)) = self.receive(patience)?
        {
            self.handle(from, content)?;
        }
        Ok(self.events.pop_front())
    }

    fn keep_alive(&mut self) -> Result<(), Error> {
        self.next_keep_alive = Instant::now() + KEEP_ALIVE;
        self.tell(Content::KeepAlive(KeepAlive { client_id: self.id.clone() }))
    }

    fn knock(&mut self, peer: &str, to: SocketAddr) -> Result<(), Error> {
        self.sequence += 1;
        let (source_client_id, destination_client_id) = (self.id.clone(), peer.into());
        let sequence_number = self.sequence;
        let ping = Ping { source_client_id, destination_client_id, sequence_number };
        self.send(to, Content::Ping(ping))
    }

    fn handle(&mut self, from: SocketAddr, content: Content) -> Result<(), Error> {
        if from != self.server {
            return self.handle_peer(from, content);
        }
        self.heard = Instant::now();
        let has_failed = std::mem::take(&mut self.has_failed);
        let event = match content {
            Content::ConnectionInstruction(told) => {
                let Some(peer) = Peer::new(&told) else { return Ok(()) };
                let (id, public) = (told.client_id, peer.places[0]);
                let known = self.peers.get(&id).is_some_and(|known| known.places.contains(&public));
                if !known && self.peers.len() < MOST_PEERS {
                    self.peers.insert(id.clone(), peer);
                } else if known {
                    // The server may wait for us to say that we have met.
                    self.confirm(&id)?;
                }
                Event::Introduced { peer: id, public }
            }
            Content::CreateLobbyResponse(response) => {
                self.lobby = Some((response.lobby_id.clone(), true));
                Event::Created { lobby: response.lobby_id }
            }
            Content::JoinLobbyResponse(response) => {
                self.joining = Some(response.lobby_id.clone());
                Event::Joining { lobby: response.lobby_id }
            }
            // It comes before we have met the host, and from older servers after that.
            Content::JoinLobbySuccess(success) if self.expects(&success) => return Ok(()),
            Content::JoinLobbySuccess(success) => {
                self.joined(success.lobby_id, success.lobby_members)
            }
            Content::LobbyUpdate(update) => {
                let info = update.lobby_info.unwrap_or_default();
                let is_in = info.members.iter().any(|member| member.client_id == self.id);
                if is_in && self.joining.as_ref() == Some(&info.lobby_id) {
                    let event = self.joined(info.lobby_id, info.members);
                    self.events.push_back(event);
                    return Ok(());
                }
                if let Some((lobby, is_host)) = &mut self.lobby {
                    *is_host = *lobby == info.lobby_id && info.host_client_id == self.id;
                }
                Event::Update { kind: update.update_type, info }
            }
            Content::PeerLeft(left) => Event::PeerLeft { peer: left.client_id },
            // Whoever has not met the host is told so, and then that it has left.
            Content::LeaveLobbyResponse(_) if has_failed => return Ok(()),
            Content::LeaveLobbyResponse(_) => {
                self.lobby = None;
                Event::Left
            }
            Content::LobbyListResponse(list) => Event::Lobbies(list.lobbies),
            Content::ClientListResponse(list) => Event::Clients(list.clients),
            Content::Error(error) => {
                self.has_failed = self.joining.take().is_some();
                Event::Refused(error.message)
            }
            _ => return Ok(()),
        };
        self.events.push_back(event);
        Ok(())
    }

    /// Whether we are told of a lobby whose host we have not met.
    fn expects(&self, success: &JoinLobbySuccess) -> bool {
        let is_new = |member: &ClientInfo| {
            member.client_id != self.id && !self.peers.contains_key(&member.client_id)
        };
        self.joining.as_ref() == Some(&success.lobby_id) && success.lobby_members.iter().any(is_new)
    }

    fn joined(&mut self, lobby: String, members: Vec<ClientInfo>) -> Event {
        self.joining = None;
        self.lobby = Some((lobby.clone(), false));
        Event::Joined { lobby, members }
    }

    fn handle_peer(&mut self, from: SocketAddr, content: Content) -> Result<(), Error> {
        match content {
            Content::Ping(ping) if ping.destination_client_id == self.id => {
                let peer = ping.source_client_id;
                if let Some(known) = self.peers.get_mut(&peer) {
                    known.seen_at(from);
                }
                let pong = Pong {
                    source_client_id: self.id.clone(),
                    destination_client_id: peer,
                    sequence_number: ping.sequence_number,
                };
                self.send(from, Content::Pong(pong))
            }
            Content::Pong(pong) if pong.destination_client_id == self.id => {
                let peer = pong.source_client_id;
                self.connected(&peer, from)?;
                if let Some(n) = self.pings.iter().position(|(n, _)| *n == pong.sequence_number) {
                    let (_, sent) = self.pings.swap_remove(n);
                    self.events.push_back(Event::Pong { peer, after: sent.elapsed() });
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// A peer has answered a knock.
    fn connected(&mut self, peer: &str, at: SocketAddr) -> Result<(), Error> {
        match self.peers.get_mut(peer) {
            Some(known) if known.at.is_none() => known.at = Some(at),
            _ => return Ok(()),
        }
        self.events.push_back(Event::Connected { peer: peer.into(), at });
        let message = "Connection established".into();
        let established = ConnectionEstablished { message, client_id: self.id.clone() };
        self.send(at, Content::ConnectionEstablished(established))?;
        self.confirm(peer)
    }

    /// As the host of a lobby, tells the server that we have met somebody.
    fn confirm(&self, peer: &str) -> Result<(), Error> {
        let is_met = self.peers.get(peer).is_some_and(|peer| peer.at.is_some());
        match &self.lobby {
            Some((lobby, true)) if is_met => {
                let (lobby_id, new_peer_id) = (lobby.clone(), peer.into());
                let ready = PeerConnectionReady { lobby_id, new_peer_id };
                self.tell(Content::PeerConnectionReady(ready))
            }
            _ => Ok(()),
        }
    }

    fn tell(&self, content: Content) -> Result<(), Error> {
        self.send(self.server, content)
    }

    fn send(&self, to: SocketAddr, content: Content) -> Result<(), Error> {
        let bytes = Message { content: Some(content) }.encode_to_vec();
        match self.socket.send_to(&bytes, to) {
            Ok(_) => Ok(()),
            // A place that a peer claims to be at need not be one that can be reached.
            Err(_) if to != self.server => Ok(()),
            Err(source) => Err(Error::Socket { doing: "send to", with: to, source }),
        }
    }

    fn receive(&self, patience: Duration) -> Result<Option<(SocketAddr, Content)>, Error> {
        let failed = |source| Error::Socket { doing: "hear from", with: self.server, source };
        let patience = patience.max(Duration::from_millis(1));
        self.socket.set_read_timeout(Some(patience)).map_err(failed)?;
        let mut buffer = [0; BUFFER];
        match self.socket.recv_from(&mut buffer) {
            Ok((length, from)) => {
                let message = buffer.get(..length).map(Message::decode);
                let content = message.and_then(Result::ok).and_then(|message| message.content);
                Ok(content.map(|content| (from, content)))
            }
            Err(error) if is_passing(&error) => Ok(None),
            Err(error) => Err(failed(error)),
        }
    }
}

/// The endpoint of a socket when it talks to the server, as this machine sees it.
fn local_endpoint(socket: &UdpSocket, server: SocketAddr) -> io::Result<SocketAddr> {
    let local = socket.local_addr()?;
    if !local.ip().is_unspecified() {
        return Ok(local);
    }
    let route = UdpSocket::bind((local.ip(), 0))?;
    route.connect(server)?;
    Ok(SocketAddr::new(route.local_addr()?.ip(), local.port()))
}
