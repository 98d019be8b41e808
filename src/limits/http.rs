//! The bounds of HTTP: of the owner's window and of the lobby for web sites.

use std::time::Duration;

/// Connections of the owner's window: five browsers with six each, and a few `curl`s. They are none of
/// those that players may have.
pub const WINDOW_CONNECTIONS: usize = 32;

/// Requests a second that an address may make of the window without its token, with two seconds' worth at once:
/// health checks, and people who mistype it. Each beyond that ends its connection.
pub const WINDOW_STRANGERS: u32 = 20;

/// Connections that the window takes in one turn of the loop.
pub const WINDOW_ACCEPTED: usize = 8;

/// Bytes of a request line with its headers. Browsers send less than 2 KiB.
pub const HTTP_HEAD: usize = 8 * 1024;

/// Headers of a request. Browsers send about twenty.
pub const HTTP_HEADERS: usize = 64;

/// Bytes of what a request asks for: a path, and filters behind it.
pub const HTTP_TARGET: usize = 1024;

/// How long a request may take from its first byte, or its connection, to its last.
pub const HTTP_REQUEST_TIME: Duration = Duration::from_secs(10);

/// How long a connection may stay without a request. The page asks every few seconds.
pub const HTTP_IDLE: Duration = Duration::from_secs(60);

/// How long reading an answer may take: one of [`HTTP_ANSWER`] with 13 kB a second, and most are far shorter. Who
/// takes a little now and then has no place for longer.
pub const HTTP_ANSWER_TIME: Duration = Duration::from_secs(30);

/// Hosts in one answer, and introductions: with all that is said of each it is written in well below a
/// millisecond, and has less than [`HTTP_ANSWER`].
pub const HTTP_ROWS: usize = 100;

/// Minutes of which the window keeps numbers for its curves.
pub const SAMPLES: usize = 60;

/// Introductions that are kept with how they ended, for the owner.
pub const INTRODUCTIONS: usize = 256;

/// Of these the clients of one address (IPv6: /64) make place for each other when they have so many and half of the
/// places are taken, those of a /56 when they have twice and those of a /48, or of a /24 of IPv4, four times as many:
/// who joins and leaves all the time pushes nobody else out.
pub const INTRODUCTIONS_OF_SOURCE: u32 = 16;

/// Pairs of addresses that are known to have counted in a minute, so that they do not count again in it.
pub const COUNTED_PAIRS: usize = 1024;

/// Pairs with a client of one address (IPv6: /64) that count in a minute or two: more than play in a home, so
/// that nobody who joins all hosts there are makes the numbers his own.
pub const COUNTED_OF_SOURCE: u32 = 16;

/// Bytes that one of them takes at most, with the free places beside it.
pub const COUNTED_BYTES: usize = 160;

/// Bytes that one of them takes at most, with the names of its game and its room.
pub const INTRODUCTION_BYTES: usize = 768;

/// Of those who were not introduced to whom they asked for, how many are kept with why: half of them of those who
/// have proven their addresses.
pub const UNMET: usize = 96;

/// How many of them an address (IPv6: /64) may have; a /56 has twice and a /48, or a /24 of IPv4, four times as many.
/// A player tries a few hosts.
pub const UNMET_OF_SOURCE: usize = 6;

/// Of those who have proven nothing so many are noted in a second: each takes some ten microseconds, and costs
/// whoever forges it a datagram.
pub const UNMET_UNPROVEN: usize = 16;

/// Bytes of the sentence that says why; those that there are have up to 330, names of usual length included.
pub const UNMET_SENTENCE: usize = 384;

/// Bytes that one of them takes at most, with its sentence and the names of its game and its room.
pub const UNMET_BYTES: usize = 1152;

/// Connections that ask for the lobby by HTTP at a time. A browser asks and is done in a moment; the one that
/// has done nothing for longest makes room.
pub const LOBBY_CONNECTIONS: usize = 256;

/// Entries of each dialect in the lobby for web sites.
pub const LOBBY_ROWS: usize = 100;

/// Bytes that the hosts of GMnet may have there; those of a hundred usual ones are 25,000.
pub const LOBBY_PART: usize = 64 * 1024;

/// How long such a lobby is told again before it is made anew.
pub const LOBBY_KEPT: Duration = Duration::from_secs(1);

/// How many of them are kept.
pub const LOBBIES_KEPT: usize = 8;

/// Memory of all that: introductions, and who was not introduced; requests that are not finished, of which a read may bring as much again;
/// an answer while it is made; and lobbies. What is not read counts as that of any peer.
pub const HTTP_MEMORY: usize = INTRODUCTIONS * INTRODUCTION_BYTES
    + UNMET * UNMET_BYTES
    + 2 * COUNTED_PAIRS * COUNTED_BYTES
    + (WINDOW_CONNECTIONS + LOBBY_CONNECTIONS) * 2 * HTTP_HEAD
    + SAMPLES * 128
    + 2 * HTTP_ANSWER
    + LOBBIES_KEPT * HTTP_ANSWER;

/// Bytes of the longest answer.
pub const HTTP_ANSWER: usize = 384 * 1024;
