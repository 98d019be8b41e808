//! The bounds of what is remembered of addresses and their NATs, and of endpoints that have proven nothing.

use std::time::Duration;

/// For so long an unproven endpoint counts as told. Who is told of one sends ten datagrams a
/// second there for fifteen seconds, so this is five a second at any network in the long run.
pub const UNPROVEN: Duration = Duration::from_secs(30);

/// Unproven endpoints that one peer may be told of in that time: in whatever networks they are, it
/// sends no more than 80 datagrams a second because of them.
pub const UNPROVEN_PER_PEER: u32 = 8;

/// Peers that may be told of an unproven endpoint in that time if they ask for it: the first players
/// of a room whose host has not shown its key, perhaps because that datagram was lost.
pub const UNPROVEN_ASKERS: u32 = 4;

/// Networks of which an unproven endpoint was told in that time, in all. Each takes a peer to be
/// told, so that forged addresses alone do not fill it.
pub const UNPROVEN_NETWORKS: usize = 16 * 1024;

/// Addresses of which it is remembered how much they did lately, or may still be sent. Of four
/// thousand that are busy at once, one in ten thousand is forgotten too early. There are some ten
/// such tables, with 16 or 24 bytes for each address. A power of two.
pub const SOURCES: usize = 16 * 1024;

/// Addresses whose NATs are remembered: ten thousand players and as many strangers. A flood from
/// forged addresses makes the server forget those at which nobody has proven that he hears it, and punch as if it
/// had never known them.
pub const NATS: usize = 32 * 1024;

/// As many of these may always be such as nobody has proven himself at, who have yet to.
pub const NATS_UNPROVEN: usize = NATS / 4;

/// How long an address that nothing came from is remembered. Providers give an address to another
/// subscriber once a day or less, and a host may be silent for long before somebody joins it.
pub const NAT_AGE: Duration = Duration::from_secs(3600);

/// Ports of one address that are remembered in the order in which they appeared. A game shows
/// four at most (UDP, STUN, two TCP connections), so a second player may begin meanwhile.
pub const PORTS_OF_NAT: usize = 8;

/// Pairs of one address for which it is remembered which ports were predicted: who joins asks again
/// within seconds if a datagram was lost, and few join one host in the same seconds.
pub const PREDICTED_PAIRS: usize = 4;

/// Ports of one address for which it is remembered what they had shown of their NAT before others
/// were told of them: as many games as most NATs have at a time. Only peers that are really there have
/// any, and most have one: half a megabyte for [`NATS`] of them, and thirteen if all had so many.
pub const SETTLED: usize = 16;

/// A port that was silent for so long may belong to another socket when it shows again: RFC 4787
/// lets NATs forget a mapping after two minutes.
pub const MAPPING: Duration = Duration::from_secs(120);

/// The two STUN requests of a socket, to the main and to the alternate port, come within this
/// time: sent at once, or the second repeated for some seconds as RFC 8489 says.
pub const STUN_PAIR: Duration = Duration::from_secs(5);

/// So long after a knock at the alternate port in the name of a host another one may be its own: one round trip, a
/// frame of the game, and a packet that had to be sent again.
pub const KNOCKS_AT_ALTERNATE: Duration = Duration::from_secs(2);

/// Introductions that came to nothing of which the latest are kept for the owner.
pub const FAILURES: usize = 10;
