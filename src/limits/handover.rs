//! How long a new process may take to come into the place of the running one.

use std::time::Duration;

/// From its start, or from when it first asks, until it has all: reading options, certificates and lists takes a
/// moment, and while it does the running one serves on.
pub const TAKE_OVER: Duration = Duration::from_secs(5);

/// So long nobody is served at most while everything moves, which takes milliseconds: a player who joins waits
/// longer than this for a late packet, and no socket is full of what has come meanwhile.
pub const FROZEN: Duration = Duration::from_secs(2);

/// Descriptors that the kernel moves with one message (`SCM_MAX_FD`).
pub const DESCRIPTORS: usize = 253;

/// Bytes of one message. Several have room in the buffer of a socket (`net.core.wmem_default`, 208 KiB).
pub const PACKET: usize = 64 * 1024;
