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

/// Hosts in one answer, and introductions: with all that is said of each it is written in well below a
/// millisecond, and has less than 256 KiB.
pub const HTTP_ROWS: usize = 200;

/// Minutes of which the window keeps numbers for its curves.
pub const SAMPLES: usize = 60;

/// Introductions that are kept with how they ended, for the owner.
pub const INTRODUCTIONS: usize = 256;

/// Memory of all that: what is kept of an introduction, with the name of its game, and what a connection of
/// the window has asked for and not read, with its request.
pub const HTTP_MEMORY: usize =
    INTRODUCTIONS * 384 + WINDOW_CONNECTIONS * (HTTP_ANSWER + 4 * HTTP_HEAD) + SAMPLES * 128;

/// Bytes of the longest answer.
pub const HTTP_ANSWER: usize = 256 * 1024;
