//! What the bounds come to in memory.

use super::*;

/// An upper bound of the memory that this process takes whatever arrives, in bytes; what the
/// kernel needs for its sockets is not in it. It may be more than 32 bits can address.
#[must_use]
pub const fn worst_case(limits: &Limits) -> u64 {
    /// The program, its buffers, the tables for [`SOURCES`], lines for the log, and what the
    /// allocator keeps.
    const BASE: u64 = 24 << 20;
    /// Everything that is kept of a connection, be it a host's: states, table entries, index
    /// entries, timers, small allocations; tables may be half empty.
    const CONNECTION: u64 = 2048;
    /// Everything that is kept of a remembered port when it is the only one of its address: 210 bytes,
    /// and fragments.
    const PORT: u64 = 320;
    /// Everything that is kept of a notification.
    const NOTICE: u64 = 128;
    /// Everything that is kept of a peer that waits for another.
    const WAITING: u64 = 512;
    /// Everything that is kept of a natpunch client: its entries in six tables, and the lists of a game that it
    /// is alone in (2,682 bytes were counted).
    const CLIENT: u64 = 2688;
    /// Everything that is kept of one that was silent.
    const GONE: u64 = 384;
    /// Everything that is kept of a room of events, with what every room may have of own data and of those
    /// who were kicked; or the part of one connection in a mesh of 64.
    const EVENTS_ROOM: u64 = 1536;
    /// Everything that is kept of a natpunch lobby with all its members.
    const LOBBY: u64 = 1536;
    /// Everything that is kept of a peer of a room, of one that has left, and of half an offer, with
    /// its notifications.
    const ROOM_PEER: u64 = 2048;
    /// Everything that is kept of two natpunch clients that were told of each other, a moment ago and lately.
    const PAIR: u64 = 224;
    /// What every host may say of its room, and whom it has kicked, beyond that, with notices and half offers.
    const ROOM: u64 = 1536;
    /// Everything that is kept of a change of a room of events that somebody has still to be told: a place in two
    /// tables.
    const CHANGE: u64 = 96;
    /// Everything that is kept of an address and its ports.
    const NAT: u64 = 640;
    /// Everything that is kept of a host that knocks at the server, and of the twenty that did so before
    /// it within [`ASK_AGAIN`].
    const KNOCKING_HOST: u64 = 4096;
    /// Everything that is kept of a host in a sorted list.
    const SORTED: u64 = 64;
    /// Buffers grow by doubling, and fragments remain.
    const SLACK: u64 = 2;
    /// What rustls keeps of a peer after the handshake. With all else of a connection it is 5 KiB.
    const TLS: u64 = 3072;
    let fixed = BASE
        + TLS_HANDSHAKES * TLS_STATE as u64
        + PORTS as u64 * PORT
        + NOTICES as u64 * NOTICE
        + WAITING_PEERS as u64 * WAITING
        + NATPUNCH_CLIENTS as u64 * CLIENT
        + NATPUNCH_GONE_CLIENTS as u64 * GONE
        + NATPUNCH_LOBBIES as u64 * LOBBY
        + NATPUNCH_PAIRS as u64 * PAIR
        + ROOM_PEERS as u64 * ROOM_PEER
        + ROOM_PEERS as u64 * ROOM
        + 2 * ROOM_EXTRAS as u64
        + OFFERED_EXTRAS as u64
        + ROOM_CHANGES as u64 * CHANGE
        + NATS as u64 * NAT
        + KNOCKING_HOSTS as u64 * KNOCKING_HOST
        + LOBBY_REPLIES as u64
        + BROKEN as u64 * (CONNECTION + SLACK * 2 * OWED as u64)
        + SORTED_HOSTS as u64 * SORTED
        + HTTP_MEMORY as u64;
    let connections = (limits.connections as u64).saturating_mul(CONNECTION + TLS + EVENTS_ROOM);
    // A connection is a GMnet host's or that of somebody in a room of events, and TLS with a room takes more
    // than the data strings that every host may have.
    let strings = (limits.connections as u64).saturating_mul(SLACK * HOST_STRINGS as u64);
    let totals = (limits.total() as u64).saturating_mul(SLACK * 4).saturating_sub(strings);
    fixed.saturating_add(connections).saturating_add(totals)
}
