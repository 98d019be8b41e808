//! Many peers of several dialects at once, in the hands of a fuzzer: each must be told what it would
//! be told if it were alone. So they ask only for what is their own, and everything else is allowed:
//! lines and objects longer than every bound, in the middle of anything, and bytes that mean nothing.

use std::net::SocketAddr;

use prost::Message as _;
use punchd::clock::{Instant, Now};
use punchd::dialect::natpunch::message::{
    Content, CreateLobbyRequest, JoinLobbyRequest, KeepAlive, LeaveLobbyRequest, Message,
    RegisterRequest,
};
use punchd::dialect::{ConnId, Outbox, Output, Via};
use punchd::limits;
use punchd::server::{Config, Server};

use super::phrases;
use super::world::Script;

/// Peers, each with an address in a network of its own.
const PEERS: usize = 4;

/// What happens, one after the other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Act {
    /// A peer sends these bytes on its connection, in chunks of at most so many; it opens one if
    /// it has none.
    Send(usize, Vec<u8>, usize),
    /// A peer will send no more on its connection.
    Fin(usize),
    /// A peer's connection breaks.
    Break(usize),
    /// A peer sends a datagram.
    Datagram(usize, Vec<u8>),
    /// A peer sends a request of natpunch, with the IDs that it was told, and so many letters more.
    Natpunch(usize, usize, usize),
    /// So many milliseconds pass.
    Sleep(u64),
}

impl Act {
    fn concerns(&self, peer: usize) -> bool {
        match self {
            Self::Send(whose, ..) | Self::Fin(whose) | Self::Break(whose) => *whose == peer,
            Self::Datagram(whose, _) | Self::Natpunch(whose, ..) => *whose == peer,
            Self::Sleep(_) => true,
        }
    }
}

/// What a peer was told: on its connections, in its datagrams, and how often one was closed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Told {
    bytes: Vec<u8>,
    datagrams: Vec<Vec<u8>>,
    closed: u32,
}

/// Has what the bytes of an input say happen to a server, and checks it.
/// # Panics
/// If a peer is told something else alone.
pub fn run(data: &[u8]) {
    check(&read(data));
}

/// Checks that each peer is told what it is told alone.
///
/// # Panics
/// If one is not.
pub fn check(acts: &[Act]) {
    let together = play(acts.iter());
    for (peer, told) in together.iter().enumerate() {
        let alone = play(acts.iter().filter(|act| act.concerns(peer)));
        assert_eq!(Some(told), alone.get(peer), "peer {peer} is told something else alone");
    }
}

/// The acts that the bytes of an input stand for.
fn read(data: &[u8]) -> Vec<Act> {
    let mut script = Script(data);
    let mut acts = Vec::new();
    while let (Some(op), true) = (script.byte(), acts.len() < 200) {
        let peer = usize::from(op / 8) % PEERS;
        acts.push(match op % 8 {
            0..=2 => {
                let (phrase, at, length) = (script.number(), script.number(), script.number());
                let bytes = phrase_of(peer, phrase.into(), at.into(), length_of(length));
                Act::Send(peer, bytes, chunk_of(script.number()))
            }
            3 => {
                let count = script.number();
                let bytes = script.take(count.into()).iter().map(|byte| meaningless(*byte));
                Act::Send(peer, bytes.collect(), chunk_of(script.number()))
            }
            4 => match script.number() {
                n @ 0..128 => Act::Datagram(peer, datagram_of(n).to_vec()),
                n => Act::Natpunch(peer, n.into(), length_of(script.number())),
            },
            5 => Act::Fin(peer),
            6 => Act::Break(peer),
            _ => Act::Sleep(u64::from(script.number()) * 20),
        });
    }
    acts
}

/// How much longer a phrase becomes: often not at all, and often by more or less than a bound.
fn length_of(byte: u8) -> usize {
    const BOUNDS: [usize; 4] = [limits::LINE, limits::COMMAND, limits::OBJECT, limits::AHEAD];
    match byte {
        0..96 => 0,
        96..128 => usize::from(byte),
        _ => BOUNDS[usize::from(byte) % BOUNDS.len()] + usize::from(byte / 4 % 16) - 8,
    }
}

fn chunk_of(byte: u8) -> usize {
    match byte {
        0..32 => usize::from(byte) * 97 + 1,
        _ => 16 * 1024,
    }
}

/// A byte of no command.
fn meaningless(byte: u8) -> u8 {
    match byte % 8 {
        0 => b'\n',
        1 => b'\r',
        2 => 0,
        3 => b'{',
        4 => b'}',
        5 => b'"',
        _ => byte | 0x80,
    }
}

/// How many phrases there are.
pub const PHRASES: usize = 14;

/// A request of a peer about nobody else, with so many letters put in at a place.
///
/// # Panics
/// Never.
#[must_use]
pub fn phrase_of(peer: usize, phrase: usize, at: usize, length: usize) -> Vec<u8> {
    let name = char::from(b'p' + peer as u8);
    let mut bytes = match phrase % PHRASES {
        0 => format!("reg2\n\x001.2.4\n\0{name}\n\0\n\0b\n\0\n\0\n\0\n\0\n\0{name}\n\0"),
        1 => format!("reg2\n1.2.4\n{name}\na\nb\nc\nd\ne\nf\ng\n"),
        2 => "reg2\n1.0\n\n\n\n\n\n\n\n\n".to_owned(),
        3 => format!("lobby2\n\0{name}\n\0\n\0\n\0\n\0\n\0\n\0\n\0date\n\0DESC\n\0\n\0"),
        4 => format!("lobby2\n{name}\n\n\n\n\n\n\n\ndata1\nASC\n3\n"),
        5 => format!("connect\n\0{}\n\0", addr(peer).ip()),
        6 => "version\n\0".to_owned(),
        7 => "ping\n\0".to_owned(),
        8 => format!(
            r#"{{"type":"request","name":"login","data":{{"id":"{name}"}},"request_id":1}}"#
        ),
        9 => r#"{"type":"request","name":"create_room","data":{"name":"r"},"request_id":2}"#
            .to_owned(),
        10 => r#"{"type":"request","name":"leave_room","request_id":3}"#.to_owned(),
        11 => {
            r#"{"type":"request","name":"nothing","data":[1,{"a":"b"}],"request_id":4}"#.to_owned()
        }
        12 => r#"{"type":"response","request_id":"7"}"#.to_owned(),
        _ => "testinginfos\r\nistesting\rversion\n".to_owned(),
    }
    .into_bytes();
    let at = at % (bytes.len() + 1);
    bytes.splice(at..at, std::iter::repeat_n(name as u8, length));
    bytes
}

fn datagram_of(byte: u8) -> &'static [u8] {
    const DATAGRAMS: [&[u8]; 5] = [
        b"reg\n\0",
        b"connect\n\0",
        b"\0\x01\0\0\x21\x12\xa4\x42twelve bytes",
        b"rl",
        b"\xff\xff\xff\xff\xff",
    ];
    DATAGRAMS[usize::from(byte) % DATAGRAMS.len()]
}

/// How many requests of natpunch there are.
pub const NATPUNCH_REQUESTS: usize = 6;

/// A request of natpunch of the client with this ID about its own lobby, with so many letters put in.
fn natpunch_request(request: usize, [client, lobby]: &[String; 2], length: usize) -> Vec<u8> {
    let more = "x".repeat(length);
    let (client_id, lobby_id) = (client.clone(), lobby.clone());
    let content = match request % NATPUNCH_REQUESTS {
        0 => Content::RegisterRequest(RegisterRequest::default()),
        1 => Content::KeepAlive(KeepAlive { client_id: client_id + &more }),
        2 => Content::CreateLobbyRequest(CreateLobbyRequest {
            lobby_name: "a lobby".to_owned() + &more,
            client_id,
            max_players: 4,
        }),
        3 => Content::JoinLobbyRequest(JoinLobbyRequest { lobby_id: lobby_id + &more, client_id }),
        4 => Content::LeaveLobbyRequest(LeaveLobbyRequest { lobby_id, client_id }),
        _ => {
            let message = Message { content: Some(Content::RegisterRequest(Default::default())) };
            return [message.encode_to_vec(), more.into_bytes()].concat();
        }
    };
    Message { content: Some(content) }.encode_to_vec()
}

fn addr(peer: usize) -> SocketAddr {
    // Far from each other: a packet from a neighbouring address may be taken for that of a host whose own never comes.
    SocketAddr::from(([203, 1 + peer as u8, 113, 1], 4000))
}

/// A server, and the connections of its peers.
struct Stage {
    server: Server,
    out: Outbox,
    micros: u64,
    generation: u32,
    /// Of each peer, and whether it has ended its side.
    open: [Option<(ConnId, bool)>; PEERS],
    /// What natpunch told each last: the IDs of the client and of its lobby.
    ids: [[String; 2]; PEERS],
    told: [Told; PEERS],
}

/// What each peer is told if this happens.
fn play<'a>(acts: impl Iterator<Item = &'a Act>) -> [Told; PEERS] {
    let mut stage = Stage {
        server: Server::new(Config::default()),
        out: Outbox::new(),
        micros: 1_000_000,
        generation: 0,
        open: [None; PEERS],
        ids: Default::default(),
        told: Default::default(),
    };
    acts.for_each(|act| stage.act(act));
    stage.sleep(10_000);
    stage.told
}

impl Stage {
    fn now(&self) -> Now {
        Now { instant: Instant::from_micros(self.micros), unix: self.micros / 1_000_000 }
    }

    fn act(&mut self, act: &Act) {
        match act {
            Act::Send(peer, bytes, chunk) => {
                for chunk in bytes.chunks(*chunk) {
                    let Some(id) = self.conn(*peer) else { break };
                    self.server.on_bytes(self.now(), id, chunk, &mut self.out);
                    self.deliver();
                    if self.open[*peer].is_none() {
                        break;
                    }
                }
            }
            Act::Fin(peer) => {
                let Some((id, finished @ false)) = &mut self.open[*peer] else { return };
                *finished = true;
                let id = *id;
                self.server.on_fin(self.now(), id, &mut self.out);
            }
            Act::Break(peer) => {
                let Some((id, _)) = self.open[*peer].take() else { return };
                self.server.on_gone(self.now(), id, &mut self.out);
            }
            Act::Datagram(peer, bytes) => {
                let (now, via) = (self.now(), Via::default());
                self.server.on_datagram(now, via, addr(*peer), bytes, &mut self.out);
            }
            Act::Natpunch(peer, request, length) => {
                let bytes = natpunch_request(*request, &self.ids[*peer], *length);
                let (now, via) = (self.now(), Via::default());
                self.server.on_datagram(now, via, addr(*peer), &bytes, &mut self.out);
            }
            Act::Sleep(millis) => self.sleep(*millis),
        }
        self.deliver();
    }

    /// The connection on which a peer may send, which it opens if it has none. They take the places
    /// of others that have gone.
    fn conn(&mut self, peer: usize) -> Option<ConnId> {
        if let Some((id, finished)) = self.open[peer] {
            return (!finished).then_some(id);
        }
        let is_free = |slot: &u32| !self.open.iter().flatten().any(|(id, _)| id.slot == *slot);
        let slot = (0..).find(is_free)?;
        self.generation += 1;
        let id = ConnId { slot, generation: self.generation };
        self.open[peer] = Some((id, false));
        let now = self.now();
        self.server.on_accept(now, || now.instant, id, addr(peer), &mut self.out);
        self.deliver();
        self.open[peer].map(|(id, _)| id)
    }

    fn sleep(&mut self, millis: u64) {
        let until = self.micros + millis * 1000;
        while let Some(at) = self.server.next_wakeup().filter(|at| at.micros() <= until) {
            self.micros = self.micros.max(at.micros());
            self.server.on_wakeup(self.now(), &mut self.out);
            self.deliver();
        }
        self.micros = until;
    }

    fn deliver(&mut self) {
        let mut out = std::mem::take(&mut self.out);
        for output in out.outputs() {
            let holds = |id| move |open: &Option<(ConnId, bool)>| open.is_some_and(|o| o.0 == id);
            match output {
                Output::Tcp(id, bytes) => {
                    let peer = self.open.iter().position(holds(id));
                    assert!(peer.is_some(), "something was sent on a connection that is not open");
                    let Some(peer) = peer else { continue };
                    self.told[peer].bytes.extend(without_secrets(bytes));
                }
                Output::Close(id) => {
                    let peer = self.open.iter().position(holds(id));
                    assert!(peer.is_some(), "a connection was closed that is not open");
                    let Some(peer) = peer else { continue };
                    self.open[peer] = None;
                    self.told[peer].closed += 1;
                }
                Output::Udp(_, to, bytes) => {
                    let peer = (0..PEERS).find(|peer| addr(*peer) == to);
                    assert!(peer.is_some(), "a datagram was sent to somebody unknown");
                    let Some(peer) = peer else { continue };
                    match Message::decode(bytes).ok().and_then(|message| message.content) {
                        Some(Content::RegisterResponse(told)) => self.ids[peer][0] = told.client_id,
                        Some(Content::CreateLobbyResponse(told)) => {
                            self.ids[peer][1] = told.lobby_id;
                        }
                        _ => {}
                    }
                    self.told[peer].datagrams.push(without_secrets(bytes));
                }
            }
        }
        out.clear();
        self.out = out;
    }
}

/// The same without IDs and keys, which are drawn by lot.
fn without_secrets(bytes: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    for run in bytes.split_mut(|byte| !phrases::is_of_word(*byte)) {
        if phrases::is_word(run) {
            run.fill(b'0');
        }
    }
    bytes
}
