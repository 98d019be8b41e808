//! The bounds of the relay that have no option.

use std::time::Duration;

/// A session of which one side has sent nothing within this time is over. Games give up after 5 to 15
/// seconds.
pub const UNANSWERED: Duration = Duration::from_secs(20);

/// A session of which one side has sent nothing for so long is over. Games that play send many times a
/// second.
pub const IDLE: Duration = Duration::from_secs(60);

/// Nobody is sent anything who has sent nothing for so long: he may have left, and another may have his
/// address now. That of RFC 7675.
pub const CONSENT: Duration = Duration::from_secs(30);

/// A player that has not sent from its port for so long may send from another one: its NAT may have
/// forgotten the first, or that was another's, behind the same address.
pub const MOVED: Duration = Duration::from_secs(2);

/// For so long after a session began, or a player was found at another port as it was silent at the one before, the
/// port that sends more is the player's, even if another was first: who forges a few packets a second for each port of
/// the pool may be there before the player, who then sends many more. Players meet within a few seconds, so they have
/// some left for that; and not for longer, as nothing that others send may take the place of who plays.
pub const YOUNG: Duration = Duration::from_secs(10);

/// Where a player is looked for at another port, one of so many packets from ports that are neither the one that is
/// believed nor the one that is counted takes one from the count: else as many forged packets, each from a port of its
/// own, as the player sends would hide it.
pub const THIRD: u8 = 6;

/// Sessions of one client address with the hosts of one address: two players, each of whom tries again. So
/// nobody takes all that a host may have.
pub const PER_PAIR: u32 = 4;

/// Sessions of one network, a /24 or a /48, in which a session counts for each side: an eighth of all, so
/// that one network does not take them from everybody.
pub const PER_NETWORK: u32 = SESSIONS as u32 / 8;

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

/// Entries for the ports that host addresses were told. Hosts that share one use up ports for each other.
pub const HOSTS: usize = 16 * 1024;

/// Ports of the pool.
pub const PORTS: usize = 1024;

/// An upper bound of the memory that the relay takes beside that of
/// [`worst_case`](super::worst_case), in bytes.
pub const WORST_CASE: u64 = {
    /// Everything that is kept of a session on both threads; tables may be half empty.
    const SESSION: u64 = 1024;
    /// Everything that is kept of the ports of a host address.
    const HOST: u64 = 2;
    /// Everything that is kept of an address that did not get through.
    const FAILURE: u64 = 256;
    /// The thread, its buffers and those of its sockets here.
    const BASE: u64 = 4 << 20;
    let held = 2 * (HELD * HELD_BYTES) as u64;
    BASE + SESSIONS as u64 * (SESSION + held) + HOSTS as u64 * HOST + FAILURES as u64 * FAILURE
};

/// So long after a client was told where the host is it is told of the relay, if it is still connected.
/// Later than a quarter of the game's own time, 5 s at least, its script has moved on to the next port.
pub const SECOND_NOTICE: Duration = Duration::from_secs(1);

/// So long it counts that a client did not reach a host by itself: its player tries again soon, or never.
pub const FAILED: Duration = Duration::from_secs(120);

/// Client addresses of which that is kept.
pub const FAILURES: usize = 4096;

/// Introductions of which it is remembered when they were, in case the two are relayed then. Each has 80 bytes.
pub const INTRODUCED: usize = 512;

/// How long two try it directly at most before they say that they fail: in rooms 15 s, with requests that are lost and
/// sent again.
pub const DIRECT: Duration = Duration::from_secs(30);
