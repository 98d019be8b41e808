//! The bounds of TLS.

use std::time::Duration;

/// How many commands the beginning of a TLS connection counts for: signing with an RSA key of 2048
/// bits takes a quarter of a millisecond and everybody waits for it, be it for one who goes on or
/// for one who hangs up and begins another.
pub const HANDSHAKE: u32 = 10;

/// TLS handshakes under way: those of all who come back after a restart, at the few milliseconds
/// that each takes and with round trips of a third of a second. Where there is no room, who has most
/// gives way, and among those who have as many the one that has waited longest: with 500 new ones a
/// second, after four seconds.
pub const TLS_HANDSHAKES: u64 = 2048;

/// A handshake gives way to one of somebody who has as many only if nothing became of it for so long.
/// A real one needs a round trip. So a flood that fills all places in less time, more than 10,000 a second from
/// networks that have no more than one, keeps some out, but does not cut off those who are in.
pub const TLS_STEP: Duration = Duration::from_millis(200);

/// Handshakes that are signed in one turn of the loop: each takes a third of a millisecond, or one
/// with an RSA key of 2,048 bits.
pub const TLS_PER_TURN: usize = 2;

/// Bytes that a peer may send until its handshake is done. Real ones send less than 4 KiB, with
/// key shares that withstand quantum computers.
pub const TLS_HANDSHAKE: usize = 16 * 1024;

/// Memory that rustls takes for a connection, whatever comes, in bytes: keys, secrets and what it has
/// to know. During the handshake it is more than after it.
pub const TLS_STATE: usize = 8 * 1024;

/// Longest TLS record with its head (RFC 5246, section 6.2.3; that of RFC 8446 is shorter), and so
/// the most that is kept of a peer until the rest comes.
pub const TLS_RECORD: usize = 16 * 1024 + 2048 + 5;

/// Work for any TLS record beyond its bytes, in the unit of [`TURN_WORK`](super::TURN_WORK): rustls takes about a
/// microsecond.
pub const TLS_RECORD_WORK: usize = 1000;

/// Work for a TLS record without anything in it, beyond that: it may bring new keys, which take rustls
/// five to nine microseconds.
pub const TLS_KEYS_WORK: usize = 9000;

/// TLS records without anything in them that a peer may send beyond those with something. New keys
/// are due every few million records, and an empty one before each other was seen when TLS was young.
pub const TLS_EMPTY: usize = 64;
