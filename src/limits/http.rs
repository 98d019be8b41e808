//! The bounds of HTTP: of the owner's window and of the lobby for web sites.

use std::time::Duration;

/// Connections of the owner's window: five browsers with six each, and a few `curl`s. They are none of
/// those that players may have.
pub const WINDOW_CONNECTIONS: usize = 32;

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

/// Memory of all that: what is kept of an introduction, with the name of its game; requests that are not
/// finished, of which a read may bring as much again; an answer while it is made; and lobbies. What is not
/// read counts as that of any peer.
pub const HTTP_MEMORY: usize = INTRODUCTIONS * 384
    + (WINDOW_CONNECTIONS + LOBBY_CONNECTIONS) * 2 * HTTP_HEAD
    + SAMPLES * 128
    + 2 * HTTP_ANSWER
    + LOBBIES_KEPT * HTTP_ANSWER;

/// Bytes of the longest answer.
pub const HTTP_ANSWER: usize = 384 * 1024;
