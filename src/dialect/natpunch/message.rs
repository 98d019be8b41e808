//! The messages of natpunch: package `api` in Protocol Buffers (proto3), one `Message` in each
//! datagram. Field numbers and types are those of the original; whoever changes one breaks every
//! shipped game.

/// An IP address and a UDP port.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Endpoint {
    /// In text.
    #[prost(string, tag = "1")]
    pub ip_address: String,
    /// From 1 to 65535.
    #[prost(uint32, tag = "2")]
    pub port: u32,
}

/// A member of a lobby.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct ClientInfo {
    /// Its ID.
    #[prost(string, tag = "1")]
    pub client_id: String,
    /// Its endpoint as the server sees it.
    #[prost(message, optional, tag = "2")]
    pub public_endpoint: Option<Endpoint>,
}

/// A lobby.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct LobbyInfo {
    /// Its ID.
    #[prost(string, tag = "1")]
    pub lobby_id: String,
    /// Its name.
    #[prost(string, tag = "2")]
    pub lobby_name: String,
    /// Who confirms new members; only members are told.
    #[prost(string, tag = "3")]
    pub host_client_id: String,
    /// Members, the host being one.
    #[prost(uint32, tag = "4")]
    pub current_players: u32,
    /// Members that there may be.
    #[prost(uint32, tag = "5")]
    pub max_players: u32,
    /// Who they are, as far as there is room; only members are told.
    #[prost(message, repeated, tag = "6")]
    pub members: Vec<ClientInfo>,
}

/// What is known of a NAT, in the terms of RFC 3489, section 5.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, prost::Enumeration)]
#[repr(i32)]
pub enum NatType {
    /// Nothing.
    Unknown = 0,
    /// Endpoint-independent mapping and filtering.
    FullCone = 1,
    /// Endpoint-independent mapping, address-dependent filtering.
    RestrictedCone = 2,
    /// Endpoint-independent mapping, address- and port-dependent filtering.
    PortRestrictedCone = 3,
    /// Another mapping for each peer.
    Symmetric = 4,
}

/// Client to server: here I am.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct RegisterRequest {
    /// The client's endpoint as it sees itself.
    #[prost(message, optional, tag = "1")]
    pub local_endpoint: Option<Endpoint>,
    /// The game that it belongs to; the original has no such field, and skips it. Far from its
    /// numbers, so that it can grow.
    #[prost(string, tag = "100")]
    pub game: String,
    /// What admits it to a server that asks for a key; the same is true.
    #[prost(string, tag = "101")]
    pub key: String,
}

/// Server to client: that is who and where you are.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct RegisterResponse {
    /// Whether it is registered.
    #[prost(bool, tag = "1")]
    pub success: bool,
    /// Its endpoint as the server sees it.
    #[prost(message, optional, tag = "2")]
    pub public_endpoint: Option<Endpoint>,
    /// Its ID from now on.
    #[prost(string, tag = "3")]
    pub client_id: String,
    /// Why not, if not.
    #[prost(string, tag = "4")]
    pub message: String,
}

/// Client to server: which clients are there?
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct ClientListRequest {
    /// What the answer repeats.
    #[prost(string, tag = "1")]
    pub request_id: String,
}

/// Server to client: these.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct ClientListResponse {
    /// Always true.
    #[prost(bool, tag = "1")]
    pub success: bool,
    /// That of the request.
    #[prost(string, tag = "2")]
    pub request_id: String,
    /// As many as there is room for.
    #[prost(message, repeated, tag = "3")]
    pub clients: Vec<ClientInfo>,
    /// Empty.
    #[prost(string, tag = "4")]
    pub message: String,
}

/// Client to server: introduce me to this client.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct ConnectRequest {
    /// Whom to meet.
    #[prost(string, tag = "1")]
    pub destination_client_id: String,
    /// Who asks.
    #[prost(string, tag = "2")]
    pub source_client_id: String,
    /// The endpoint of who asks, as it sees itself.
    #[prost(message, optional, tag = "3")]
    pub local_endpoint: Option<Endpoint>,
    /// Counts its tries.
    #[prost(uint32, tag = "4")]
    pub attempt_number: u32,
}

/// Server to client: knock there.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct ConnectionInstruction {
    /// Always true.
    #[prost(bool, tag = "1")]
    pub accepted: bool,
    /// Who is there.
    #[prost(string, tag = "2")]
    pub client_id: String,
    /// Empty.
    #[prost(string, tag = "3")]
    pub message: String,
    /// What is known of the NAT of who is there.
    #[prost(enumeration = "NatType", tag = "4")]
    pub nat_type: i32,
    /// That of the request.
    #[prost(uint32, tag = "5")]
    pub attempt_number: u32,
    /// Where it is, as the server sees it.
    #[prost(message, optional, tag = "6")]
    pub public_endpoint: Option<Endpoint>,
    /// Where it is, as it sees itself; where it did not say, the public endpoint again.
    #[prost(message, optional, tag = "7")]
    pub local_endpoint: Option<Endpoint>,
}

/// Between clients: the punch worked.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct ConnectionEstablished {
    /// Free text.
    #[prost(string, tag = "1")]
    pub message: String,
    /// Who says so.
    #[prost(string, tag = "2")]
    pub client_id: String,
}

/// Server to client: that cannot be done.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Error {
    /// Why.
    #[prost(string, tag = "1")]
    pub message: String,
}

/// Client to server: I am still there.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct KeepAlive {
    /// Who.
    #[prost(string, tag = "1")]
    pub client_id: String,
}

/// Between clients: anything.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct DebugMessage {
    /// Free text.
    #[prost(string, tag = "1")]
    pub message: String,
}

/// Client to server: open a lobby.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct CreateLobbyRequest {
    /// Its name.
    #[prost(string, tag = "1")]
    pub lobby_name: String,
    /// Its host.
    #[prost(string, tag = "2")]
    pub client_id: String,
    /// Members that there may be.
    #[prost(uint32, tag = "3")]
    pub max_players: u32,
}

/// Server to client: the lobby is open.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct CreateLobbyResponse {
    /// Always true; what goes wrong is an [`Error`].
    #[prost(bool, tag = "1")]
    pub success: bool,
    /// Its ID.
    #[prost(string, tag = "2")]
    pub lobby_id: String,
    /// Its name.
    #[prost(string, tag = "3")]
    pub lobby_name: String,
    /// For people.
    #[prost(string, tag = "4")]
    pub message: String,
}

/// Client to server: let me into this lobby.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct JoinLobbyRequest {
    /// Which.
    #[prost(string, tag = "1")]
    pub lobby_id: String,
    /// Who.
    #[prost(string, tag = "2")]
    pub client_id: String,
}

/// Server to client: now meet the host of the lobby.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct JoinLobbyResponse {
    /// Always true; what goes wrong is an [`Error`].
    #[prost(bool, tag = "1")]
    pub success: bool,
    /// Which lobby.
    #[prost(string, tag = "2")]
    pub lobby_id: String,
    /// For people.
    #[prost(string, tag = "3")]
    pub message: String,
    /// The host, and who joins.
    #[prost(message, repeated, tag = "4")]
    pub lobby_members: Vec<ClientInfo>,
}

/// Client to server: which lobbies are there?
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct LobbyListRequest {
    /// Comes back in the answer.
    #[prost(string, tag = "1")]
    pub request_id: String,
    /// What shows that the client gets what is sent to it, from an answer; anything else: it wants that. The
    /// original has no such field.
    #[prost(string, tag = "100")]
    pub cookie: String,
}

/// Server to client: these.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct LobbyListResponse {
    /// Always true.
    #[prost(bool, tag = "1")]
    pub success: bool,
    /// That of the request.
    #[prost(string, tag = "2")]
    pub request_id: String,
    /// As many as there is room for.
    #[prost(message, repeated, tag = "3")]
    pub lobbies: Vec<LobbyInfo>,
    /// For people.
    #[prost(string, tag = "4")]
    pub message: String,
    /// With what to ask again; there are no lobbies then. Clients of the original skip it.
    #[prost(string, tag = "100")]
    pub cookie: String,
}

/// Server to members: the lobby has changed.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct LobbyUpdate {
    /// Which.
    #[prost(string, tag = "1")]
    pub lobby_id: String,
    /// How it is now.
    #[prost(message, optional, tag = "2")]
    pub lobby_info: Option<LobbyInfo>,
    /// `player_joined`, `player_left` or `lobby_closed`.
    #[prost(string, tag = "3")]
    pub update_type: String,
}

/// Between clients: are you there?
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Ping {
    /// Who asks.
    #[prost(string, tag = "1")]
    pub source_client_id: String,
    /// Who is asked.
    #[prost(string, tag = "2")]
    pub destination_client_id: String,
    /// Comes back in the answer.
    #[prost(uint32, tag = "3")]
    pub sequence_number: u32,
}

/// Between clients: yes.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Pong {
    /// Who answers.
    #[prost(string, tag = "1")]
    pub source_client_id: String,
    /// Who asked.
    #[prost(string, tag = "2")]
    pub destination_client_id: String,
    /// That of the ping.
    #[prost(uint32, tag = "3")]
    pub sequence_number: u32,
}

/// Client to server: I leave this lobby.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct LeaveLobbyRequest {
    /// Which.
    #[prost(string, tag = "1")]
    pub lobby_id: String,
    /// Who.
    #[prost(string, tag = "2")]
    pub client_id: String,
}

/// Server to client: you have left.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct LeaveLobbyResponse {
    /// Always true; what goes wrong is an [`Error`].
    #[prost(bool, tag = "1")]
    pub success: bool,
    /// For people.
    #[prost(string, tag = "2")]
    pub message: String,
}

/// Server to members: this one is gone.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct PeerLeft {
    /// Who.
    #[prost(string, tag = "1")]
    pub client_id: String,
}

/// Host to server: I have met this one, let it in.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct PeerConnectionReady {
    /// Into which lobby.
    #[prost(string, tag = "1")]
    pub lobby_id: String,
    /// Whom.
    #[prost(string, tag = "2")]
    pub new_peer_id: String,
}

/// Server to client: you are in as soon as you have met the host.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct JoinLobbySuccess {
    /// Always true.
    #[prost(bool, tag = "1")]
    pub success: bool,
    /// Which lobby.
    #[prost(string, tag = "2")]
    pub lobby_id: String,
    /// For people.
    #[prost(string, tag = "3")]
    pub message: String,
    /// The host, and who joins; for a member all, as far as there is room.
    #[prost(message, repeated, tag = "4")]
    pub lobby_members: Vec<ClientInfo>,
}

/// What a datagram holds.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Message {
    /// One of these; none in a message of a later version.
    #[prost(
        oneof = "Content",
        tags = "1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24"
    )]
    pub content: Option<Content>,
}

/// The messages there are; each is described at its type.
#[derive(Clone, PartialEq, Eq, prost::Oneof)]
#[expect(missing_docs, reason = "each is described at its type")]
pub enum Content {
    #[prost(message, tag = "1")]
    RegisterRequest(RegisterRequest),
    #[prost(message, tag = "2")]
    RegisterResponse(RegisterResponse),
    #[prost(message, tag = "3")]
    ClientListRequest(ClientListRequest),
    #[prost(message, tag = "4")]
    ClientListResponse(ClientListResponse),
    #[prost(message, tag = "5")]
    ConnectRequest(ConnectRequest),
    #[prost(message, tag = "6")]
    ConnectionInstruction(ConnectionInstruction),
    #[prost(message, tag = "7")]
    ConnectionEstablished(ConnectionEstablished),
    #[prost(message, tag = "8")]
    Error(Error),
    #[prost(message, tag = "9")]
    KeepAlive(KeepAlive),
    #[prost(message, tag = "10")]
    DebugMessage(DebugMessage),
    #[prost(message, tag = "11")]
    CreateLobbyRequest(CreateLobbyRequest),
    #[prost(message, tag = "12")]
    CreateLobbyResponse(CreateLobbyResponse),
    #[prost(message, tag = "13")]
    JoinLobbyRequest(JoinLobbyRequest),
    #[prost(message, tag = "14")]
    JoinLobbyResponse(JoinLobbyResponse),
    #[prost(message, tag = "15")]
    LobbyListRequest(LobbyListRequest),
    #[prost(message, tag = "16")]
    LobbyListResponse(LobbyListResponse),
    #[prost(message, tag = "17")]
    LobbyUpdate(LobbyUpdate),
    #[prost(message, tag = "18")]
    Ping(Ping),
    #[prost(message, tag = "19")]
    Pong(Pong),
    #[prost(message, tag = "20")]
    LeaveLobbyRequest(LeaveLobbyRequest),
    #[prost(message, tag = "21")]
    LeaveLobbyResponse(LeaveLobbyResponse),
    #[prost(message, tag = "22")]
    PeerLeft(PeerLeft),
    #[prost(message, tag = "23")]
    PeerConnectionReady(PeerConnectionReady),
    #[prost(message, tag = "24")]
    JoinLobbySuccess(JoinLobbySuccess),
}
