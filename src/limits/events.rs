//! The bounds of events.

use std::time::Duration;

/// Longest event in bytes.
pub const OBJECT: usize = 64 * 1024;

/// Work for a frame of a WebSocket beyond its bytes, in the unit of [`TURN_WORK`](super::TURN_WORK): a tenth of a
/// microsecond.
pub const FRAME_WORK: usize = 100;

/// Longest key that any game can show, in bytes. An event has the most room: all of it ([`OBJECT`]) but what a login
/// has around its key at least.
pub const LONGEST_KEY: usize =
    OBJECT - r#"{"type":"request","name":"login","data":{"id":"a","key":""},"request_id":1}"#.len();

/// Levels that an event may have. People write five; a parser that recurses takes this many.
pub const NESTING: usize = 64;

/// Longest name of an event in bytes. It is a word in a game's source.
pub const NAME: usize = 128;

/// Longest `pass_id` or `request_id` in bytes as it is written. UUIDs take 38.
pub const ID_OF_EVENT: usize = 128;

/// Longest ID of a peer, name of a game, and name of a room, in bytes.
pub const LABEL: usize = 64;

/// Confirmations and answers that one peer may wait for.
pub const WAITING_PER_PEER: usize = 256;

/// Confirmations and answers that are waited for in all: as many as one address can have
/// with all the connections that are usual for one. Each takes some 500 bytes.
pub const WAITING_PEERS: usize = 64 * 1024;

/// Those who wait for a peer that has left are told, so many at a time: a tenth of a millisecond.
pub const FAILED_AT_ONCE: usize = 256;

/// Messages after which what many cause at once is left for the next turn, as when a node dies: some 3,000 peers that
/// were in its rooms are told within 24 turns, and others are served in between.
pub const TOLD_AT_ONCE: usize = 256;

/// Peers who are told of something cost as much as a command: as many as this.
pub const TOLD_PER_COMMAND: usize = 8;

/// How long an answer of a peer may take.
pub const ANSWER_WAIT: Duration = Duration::from_secs(30);

/// How long a new connection may take until it has logged in, TLS handshake included. Programs
/// need a second; a person who types into a terminal can make it too.
pub const LOGIN_WAIT: Duration = Duration::from_secs(30);

/// After so much silence a peer is asked whether it is still there. Home routers forget a silent
/// TCP connection after five minutes or more.
pub const SILENCE: Duration = Duration::from_secs(60);

/// How long it may take to answer that.
pub const PING_WAIT: Duration = Duration::from_secs(15);

/// When somebody wants the ID of a peer, that is asked whether it is there, and has so long to say anything.
/// Whose network has changed comes back in that time; who is there answers within one or two round trips,
/// even if a packet is lost.
pub const WANTED_WAIT: Duration = Duration::from_millis(3500);

/// A peer is asked that no more often than this, however many want its ID.
pub const WANTED_GAP: Duration = Duration::from_secs(10);

/// Bytes of decrypted and undecrypted events of a connection that sends more than it may and has to wait:
/// so much is read before its peer has to wait as well.
pub const THROTTLED: usize = 256 * 1024;

/// So many rooms at which somebody has the server look count as a command.
pub const ROOMS_PER_COMMAND: usize = 512;

/// Longest own data of a room of events, in bytes as its host writes them.
pub const OWN_DATA: usize = 1024;

/// Members of such data that rooms are looked for by; others are told alone. Eight bytes each.
pub const OWN_MARKS: usize = 32;

/// Changes of rooms that are kept until all who watch have been told: more than happen in a second with 16,384
/// connections that all do something. Who does not read makes others keep no more than these.
pub const ROOM_CHANGES: usize = 16 * 1024;

/// How often who watches is told of changes.
pub const ROOM_CHANGES_GAP: Duration = Duration::from_secs(1);

/// Players in a room, and in one that is made without saying how many: with each join everyone
/// in it is told.
pub const ROOM_PLAYERS: usize = 64;

/// Rooms in one answer: fits what most networks carry in a few packets.
pub const ROOMS_AT_ONCE: usize = 64;

/// Rooms that are gone and that who watches is told of at once: 20 kB. As many as a node may have had of one game are
/// told within the five seconds in which a lobby has to be right again.
pub const ROOMS_GONE_AT_ONCE: usize = 1024;

/// Addresses in its own network that are kept of those that a peer names. A machine has a few, and some more that
/// lead nowhere.
pub const LOCAL_ENDPOINTS: usize = 8;

/// Who has come into a room has this time to show where its game socket is, and so have those whom it is to meet:
/// clients send such a datagram twice a second until it is answered.
pub const UNHEARD: Duration = Duration::from_secs(5);

/// Objects in a list that a peer sends: no machine has so many addresses. Each takes a microsecond or two.
pub const OBJECTS: usize = 64;

/// Members of an object. No client of ours sends more than a dozen; the own data of a room, which is
/// [`ROOM_DATA`] at most, has room for fewer.
pub const MEMBERS: usize = 1024;

/// So many of a room are told at once where somebody is who shows its game socket: two messages each take a tenth of a
/// millisecond. Of more it is told later, as the datagrams of a whole mesh of [`ROOM_PLAYERS`] come at the same moment.
pub const INTRODUCED_AT_ONCE: usize = 16;

/// How often the endpoint of a peer may change: with it everyone in its room is told.
pub const ENDPOINT_GAP: Duration = Duration::from_secs(1);

/// When a peer has so many bytes to read, others can send it no more: it must not lose its
/// connection (see [`Limits::unread`](super::Limits::unread)) by what they send. Each address may fill no more than half
/// of what is left of it: a single one 170 KiB, more than two events of the longest.
pub const UNREAD_BY_OTHERS: usize = 512 * 1024;

/// The same for those who are in no room with it: what its room and the server have to say must not
/// come behind seconds of what strangers say. At 125 kB/s this is a second.
pub const UNREAD_BY_STRANGERS: usize = 128 * 1024;

/// Each address of strangers may fill one part in so many of what is left of that: after 20 that take all they
/// get who shows up can still say something of 300 bytes.
pub const STRANGERS: usize = 8;

/// When a peer has less to read than this, a stranger of whom it has nothing to read may send it one event of any
/// length. So all of that together fits into [`UNREAD_BY_STRANGERS`].
pub const UNREAD_WHEN_FIRST: usize = 32 * 1024;

/// For so long a peer that has asked for it has its place though its connection has broken: a phone that goes
/// from one network to another needs some seconds. Nobody is to wait for one who is gone for longer than
/// where it ended its connection in silence and somebody wants its ID.
pub const BROKEN_WAIT: Duration = Duration::from_secs(20);

/// Such places in all; with what they are owed 8 MiB, as buffers grow by doubling.
pub const BROKEN: usize = 256;

/// Such places of one address (IPv6: one /64): a household, and a bus.
pub const BROKEN_PER_ADDRESS: usize = 16;

/// Bytes that others may send to such a peer: a game that lives on without it says a few hundred in a second. What
/// the server itself has to tell may be as much again.
pub const OWED: usize = 8 * 1024;
