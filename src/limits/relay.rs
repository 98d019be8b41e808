//! The bounds of the relay that have no option.

use std::time::Duration;

/// A session of which one side has sent nothing within this time is over. Games give up after 5 to 15
/// seconds.
pub const UNANSWERED: Duration = Duration::from_secs(20);

/// A session that passes nothing on for so long is over. Games that play send many times a second.
pub const IDLE: Duration = Duration::from_secs(60);

/// A session that is so old is over, so that none is for ever. Nobody plays longer.
pub const AGE: Duration = Duration::from_secs(12 * 3600);

/// Bytes that one session passes on at most: with the usual bound of a second, most of a day's.
pub const SESSION_BYTES: u64 = 4_000_000_000;

/// Packets of a side that are held until the other side has sent one. A client counts what it has sent,
/// and takes the first answer for the end of that.
pub const HELD: usize = 4;

/// Bytes of each of them: more than a game sends in one datagram before it is connected.
pub const HELD_BYTES: usize = 512;

/// Sessions in all. With the usual bound of all bytes a second each then has 2.4 kB.
pub const SESSIONS: usize = 4096;

/// Host addresses of which is kept which ports they were told; more forget the eldest.
pub const HOSTS: usize = 16 * 1024;

/// Ports of the pool.
pub const PORTS: usize = 1024;

/// So long after a client was told where the host is it is told of the relay, if it is still connected.
/// Later than a quarter of the game's own time, 5 s at least, its script has moved on to the next port.
pub const SECOND_NOTICE: Duration = Duration::from_secs(1);

/// So long it counts that a client did not reach a host by itself: its player tries again soon, or never.
pub const FAILED: Duration = Duration::from_secs(120);

/// Client addresses of which that is kept.
pub const FAILURES: usize = 4096;
