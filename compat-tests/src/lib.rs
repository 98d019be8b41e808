//! What tests and the debug client `punch` are made of: GMnet peers over real sockets, and a
//! fixture that runs the real server.
//!
//! - [`master`]: starts the built `punchd`, or points at a running server (`PUNCH_MASTER`).
//! - [`vector`]: recorded conversations, played against a server and compared byte for byte.
//! - [`gmnet`]: [`gmnet::Host`], [`gmnet::Client`] and [`gmnet::Lobby`], and the bytes they send.
//! - [`natpunch`]: a client of the natpunch dialect.
//! - [`natlab`]: commands behind made-up NATs, where the machine can do that.
//! - [`nat`]: what kind of NAT is in front of this machine.
#![forbid(unsafe_code)]

pub mod gmnet;
pub mod master;
pub mod nat;
pub mod natlab;
pub mod natpunch;
pub mod vector;
