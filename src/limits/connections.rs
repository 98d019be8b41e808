//! The bounds of connections, whatever is spoken on them.

use std::time::Duration;

/// Bytes a GMnet peer may send ahead while it waits for the answer to a `connect`, or for its next
/// turn. Real clients send nothing at all then.
pub const AHEAD: usize = 64 * 1024;

/// A peer that has not read anything of what it asked for in this time reads no more.
pub const UNREAD_TIME: Duration = Duration::from_secs(30);

/// What others wait for at most at a time, in the unit of work: what it takes to write a byte of a
/// lobby, a nanosecond or less. With what the kernel does for it this is a millisecond; a few such
/// pieces can be done in one turn of the event loop.
pub const TURN_WORK: usize = 512 << 10;

/// A connection may use so many parts of [`TURN_WORK`] as this at a time; what it sent ahead waits
/// for the next turn.
pub const SLICES: usize = 4;

/// However many sources have sent something, all have had a part within so many turns of full
/// work, about a millisecond each: the more they are, the less each may have done at a time.
pub const ROUND: usize = 4;

/// How long a command of an address that has sent too many waits before it is tried again.
pub const THROTTLE: Duration = Duration::from_millis(100);

/// A connection that is neither a host's nor waiting for an answer may do nothing for this long.
/// A GML client needs it for a second or two, and does not mind when it is closed later.
pub const IDLE: Duration = Duration::from_secs(60);

/// When there is no room for a new connection, an idle one of a network that has no more is closed
/// for it, but only if it has been idle for this long: it may be about to speak. A GML client does
/// so a game step after it is connected, so half a round trip later the server has heard it.
pub const IDLE_WHEN_FULL: Duration = Duration::from_millis(500);

/// Of an address (IPv6: /64) with more connections than this even hosts give way, if it has most of
/// all, there is room for nobody, and who wants some has fewer. Else five hundred addresses that
/// register as many hosts as each may would keep out everybody else.
pub const HOUSEHOLD: u32 = 8;

/// With more connections than this of `connections` that there may be, a network has so large a
/// part that even its hosts give way, if nothing else does, to those of others. Eight of them can
/// take everything, and nobody whose hosts are a game's has so many.
#[must_use]
pub const fn large_share(connections: usize) -> usize {
    connections / 8
}

/// Bytes that the kernel takes of a connection beyond what is under way to its peer. Left alone it
/// takes up to 4 MB for one who reads slowly: then no bound of ours for what is unread holds, and
/// what is said last comes seconds later.
pub const UNSENT: u32 = 32 * 1024;

/// How long a dialect rests that a panic has ended. Who can cause it again and again costs no more
/// than two lines of the log a second; hosts do not come back sooner anyway.
pub const REST_AFTER_PANIC: Duration = Duration::from_secs(1);

/// How long datagrams and connections may have waited in the kernel, as far as it counts: a process that is
/// replaced or stopped is back sooner.
pub const WAITED: Duration = Duration::from_secs(10);

/// Connections, players and relayed pairs of blocked addresses that end in one turn of the loop: each may
/// have to be told to others.
pub const BLOCKED_AT_ONCE: usize = 64;

/// Connections whose time is over that end in one turn of the loop, for each reason, and requests of events that fail:
/// to close one takes the system some 20 µs, and thousands may be due at one time.
pub const CLOSED_AT_ONCE: usize = 64;
