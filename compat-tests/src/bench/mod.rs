//! Measuring a master server from outside: who asks, what is asked, and what it costs.
//!
//! - [`process`]: runs the server, or the [`bare`] loop it is compared with, on a core of its own,
//!   and tells what that took of the machine.
//! - [`players`]: hosts and clients on many loopback addresses. They check every answer; a wrong
//!   one ends the measurement.
//! - [`questions`]: the lobby asked for again and again.
//! - [`joiners`]: clients of rooms that join and leave.
//! - [`pairs`]: peers that pass events to each other.
//! - [`relayed`]: pairs between whom a relay passes packets on, or [a bare loop](bare_relay).
//! - [`traffic`]: packets of players whom nobody listens to.
//! - [`flood`]: forged datagrams, as fast as a core can send them.
//! - [`notes`]: the journal of introductions without a server.
//! - [`world`]: the server without sockets, to count what its logic costs.
//! - [`stats`]: medians and how far apart the rounds are.
//!
//! All traffic stays on loopback and everything is bounded in number and time.

pub mod bare;
pub mod bare_relay;
pub mod failure;
pub mod flood;
pub mod joiners;
pub mod notes;
pub mod pairs;
mod peers;
pub mod players;
pub mod process;
pub mod questions;
pub mod relayed;
pub mod sockets;
pub mod stats;
pub mod traffic;
pub mod world;

pub use failure::Failure;
