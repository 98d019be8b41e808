//! Every bound that this server sets to what a peer may do, and every wait, with its reason.
//!
//! Those that owners may want to change are in [`Limits`], with an option each; the rest are
//! constants. [`worst_case`] adds up what they come to in memory.

pub mod cluster;
mod connections;
mod events;
mod gmnet;
pub mod handover;
mod http;
mod lobby;
mod log;
mod memory;
mod natpunch;
mod nats;
pub mod relay;
mod rooms;
mod tls;

pub use connections::*;
pub use events::*;
pub use gmnet::*;
pub use http::*;
pub use lobby::*;
pub use log::*;
pub use memory::*;
pub use natpunch::*;
pub use nats::*;
pub use rooms::*;
pub use tls::*;

/// The bounds that have an option.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Connections in all. A machine of 512 MB carries the default, and most systems allow as
    /// many open files.
    pub connections: usize,
    /// Connections of one address (IPv6: one /64). A carrier NAT has many players behind it, and
    /// each uses two connections for a moment.
    pub connections_per_address: usize,
    /// Registered hosts of one address. A school or a LAN party has one address.
    pub hosts_per_address: usize,
    /// Commands a second of one address, with ten seconds' worth at once; 0 is no limit. Thirty
    /// players who refresh their lobby every second use a sixth of it.
    pub commands_per_second: u32,
    /// Datagrams a second of one address, with two seconds' worth at once, and as many events to
    /// other peers; 0 is no limit. More are dropped only when more come than there is time for:
    /// they cost little, and their true sender may be somebody else.
    pub datagrams_per_second: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 16 * 1024,
            connections_per_address: 256,
            hosts_per_address: 32,
            commands_per_second: 200,
            datagrams_per_second: 2000,
        }
    }
}

impl Limits {
    /// Bytes of commands that are not finished, of all connections together; the same number of
    /// bytes is for events that are not finished, for the data strings of all hosts (half of it for
    /// what each may have, half for those with more), and for what peers asked for and do not read. A usual host has less than 200 bytes of data strings, so this is generous on average and
    /// keeps a few from taking everything.
    #[must_use]
    pub const fn total(&self) -> usize {
        const EACH: usize = 1024;
        const LEAST: usize = 16 << 20;
        let total = self.connections.saturating_mul(EACH);
        if total > LEAST { total } else { LEAST }
    }

    /// Bytes that one peer may have asked for and not read: half of what all may. So the lobby of
    /// as many hosts as there may be is within it: a usual host has less than 200 bytes there, and
    /// this is 512 for each connection.
    #[must_use]
    pub const fn unread(&self) -> usize {
        self.total() / 2
    }

    /// Longest lobby in bytes: hosts that would come after it are left out. A usual host has less
    /// than 200 bytes there, and this is 256 for each connection.
    #[must_use]
    pub const fn lobby(&self) -> usize {
        self.unread() / 2
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_case_is_told_for_any_number_of_connections() {
        let of = |connections| worst_case(&Limits { connections, ..Limits::default() });
        // On machines with 32 bits as well, where this is more than they have.
        assert!(of(1_000_000) > u64::from(u32::MAX), "{}", of(1_000_000));
        assert_eq!(of(usize::MAX), u64::MAX);
    }

    #[test]
    fn the_largest_lobby_may_wait_to_be_read() {
        /// A host with data strings of 40 bytes, in JSON.
        const HOST: usize = 220;
        for connections in [1, 1000, 16 * 1024, 100_000, 1_000_000] {
            let limits = Limits { connections, ..Limits::default() };
            assert!(limits.lobby() >= connections * HOST, "{connections} hosts");
        }
    }
}
