//! The bounds of natpunch.

use std::time::Duration;

/// A natpunch client that has been silent for this long is forgotten. The original waits for 5 s, or for
/// up to 15 as it looks every ten; its clients say that they are there every second or two, and a phone
/// that changes its network is silent for longer than 5.
pub const NATPUNCH_SILENCE: Duration = Duration::from_secs(15);

/// A natpunch client that was silent gets its ID back for so long: a player who has closed the lid of a
/// laptop for a moment.
pub const NATPUNCH_GONE: Duration = Duration::from_secs(600);

/// Clients of which that is remembered: seven a second.
pub const NATPUNCH_GONE_CLIENTS: usize = 4 * 1024;

/// Two natpunch clients are told of each other at their own request no more often than this: each time
/// they begin to knock anew.
pub const NATPUNCH_AGAIN: Duration = Duration::from_millis(250);

/// Two natpunch clients who were told of each other so long ago and ask to be told again have not met. Punches
/// that work take a second or two; a client that has lost packets asks again each second.
pub const NATPUNCH_TRIED: Duration = Duration::from_secs(5);

/// Pairs of which that is remembered: one for each client that there may be. So many in a quarter of a
/// second are more than a server full of players has; if there are more the eldest are forgotten.
pub const NATPUNCH_PAIRS: usize = 16 * 1024;

/// Longest name of a game, and longest key, that a natpunch client may show, in bytes: as long as the
/// name of a lobby.
pub const NATPUNCH_GAME: usize = 64;

/// A natpunch client may appear at another port of its address when its old one has been silent
/// for this long: longer than the time between two signs of life, so that as long as the true one
/// lives nobody can take its place, and short enough that it is believed before it is forgotten.
pub const NATPUNCH_MOVE: Duration = Duration::from_millis(2500);

/// For so long the new port must have said who it is, and no other port meanwhile: at least twice.
pub const NATPUNCH_CLAIM: Duration = Duration::from_secs(1);

/// A natpunch client that has been at another port for so long is there for good: it is not taken
/// back by one who forges that it speaks from where it was.
pub const NATPUNCH_SETTLED: Duration = Duration::from_secs(30);

/// How long a natpunch client has to meet the host of the lobby that it wants to join. The server of the original
/// gives it ten seconds, as long as its client knocks; but that crashes if it is told while it still knocks that it
/// has left, so it is told a second later.
pub const NATPUNCH_JOIN: Duration = Duration::from_secs(11);

/// Longest natpunch datagram, both ways: clients have buffers of this size, and never receive
/// anything again after a longer one.
pub const NATPUNCH_DATAGRAM: usize = 1024;

/// Clients of natpunch in all, and so of its memory.
pub const NATPUNCH_CLIENTS: usize = 16 * 1024;

/// Clients of natpunch that have one address (IPv6: one /64). A school or a LAN party.
pub const NATPUNCH_CLIENTS_PER_ADDRESS: usize = 64;

/// Lobbies of natpunch in all: one for every fourth client.
pub const NATPUNCH_LOBBIES: usize = 4 * 1024;

/// Lobbies that clients of one address (IPv6: one /64) have made.
pub const NATPUNCH_LOBBIES_PER_ADDRESS: usize = 64;

/// Lobbies that one natpunch client can be in at a time. Games need one.
pub const NATPUNCH_LOBBIES_PER_CLIENT: usize = 4;

/// Members of one natpunch lobby, whatever its host asks for: everybody is introduced to
/// everybody, so the work grows with the square.
pub const NATPUNCH_MEMBERS: usize = 32;

/// Members who are told in one turn that others have left with their node, or that a lobby has ended with its node. Each
/// is sent two datagrams, one of which names all members: some 10 µs, so that others wait for 3 ms. Of those who fell
/// silent and of what else is over as many datagrams tell, as one more who is in as many full lobbies as may be takes
/// as many again.
pub const NATPUNCH_TOLD_AT_ONCE: usize = 256;

/// Joins a second of one address, or of one IPv6 /64, in the long run; a /56 has twice as many, a /48 four times. Each
/// may have all members of a lobby told twice, with 65 KB, when it is met and when it leaves again.
pub const NATPUNCH_JOINS: u32 = 8;

/// Seconds' worth of joins that may come at once: all clients that an address may have, each to all lobbies that it may
/// be in.
pub const NATPUNCH_JOINS_SECONDS: u32 = 32;

/// Longest name of a natpunch lobby in bytes: a list of lobbies has to fit into one datagram.
pub const NATPUNCH_NAME: usize = 64;

/// The same as [`ROOM_SILENT_HOST`](super::ROOM_SILENT_HOST) of a client that says every second or two that it is there.
pub const NATPUNCH_SILENT_HOST: Duration = Duration::from_secs(6);

/// Columns that the log shows of why a request is refused: the sentences have up to 80, and some quote an ID that
/// the client has made up.
pub const NATPUNCH_REASON: usize = 160;
