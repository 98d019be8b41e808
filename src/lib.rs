//! A master server for games whose players sit behind NATs.
//!
//! # The map
//!
//! | module | what it is |
//! | --- | --- |
//! | [`cli`], [`logging`], [`lines`] | the command line, the log and which lines go there |
//! | [`net`] | all system calls: the event loop, the sockets, the thread of the relay; [`net::sys`] has what differs between systems |
//! | [`server`] | the whole server but for its sockets: admission, and which dialect is spoken |
//! | `detection` | connections that begin with what is of no dialect |
//! | `connection_table` | which connections there are, and who gives way when there is no room |
//! | [`dialect`] | the wire protocols, each a state machine without sockets or clock |
//! | [`http`] | HTTP, without sockets or clock; the page of the owner's window |
//! | [`admission`] | which games may use the server |
//! | [`lobby`] | what a room is in every dialect: its code, who may come in, what its host says of it |
//! | [`introductions`] | who is told which endpoint, who is relayed, how it ended |
//! | [`nats`] | what all dialects have learned of the NATs that peers are behind |
//! | [`limits`] | every bound and every wait, with its reason |
//! | [`rates`], [`prefixes`], [`amplification`] | how often, how much and how many bytes an address or prefix may have |
//! | [`cookies`] | how an address shows that it gets what is sent to it |
//! | `source_cache` | the table in which such things are remembered of each address |
//! | [`unproven`] | of whom others may be told |
//! | [`blocks`], [`lists`] | whom the owner blocks, and how files of his are read |
//! | [`mod@check`] | whether it would start, for `--check` |
//! | [`reloads`] | files that SIGHUP has read again, and when the certificate ends |
//! | [`refusals`] | what was refused, how often, and to whom |
//! | [`holders`] | who holds most and gives way when a bound is reached |
//! | [`cluster`] | several servers that are one: who is there, and what one tells the other |
//! | [`clock`], [`timers`] | time as a value, deadlines as data |
//! | [`hash`] | how tables find their keys |
//! | `state` | how state is written for another process |
//!
//! # How a packet travels
//!
//! The kernel says that a socket is readable; [`net`] reads it and calls the
//! [`Server`](server::Server), which lets it in and hands it to the
//! [`Dialect`](dialect::Dialect) it speaks, in a [`Context`](dialect::Context) with the time and with what
//! all dialects share; that changes its state and puts what is to be sent into the
//! [`Outbox`](dialect::Outbox) of the context; [`net`] sends it. When nothing arrives, the loop sleeps until the
//! time that [`next_wakeup`](dialect::Dialect::next_wakeup) names.
//!
//! A test drives the same server with a clock and a network of its own making.
#![forbid(unsafe_code)]
#![cfg_attr(not(test), deny(clippy::indexing_slicing, clippy::string_slice))]

pub mod admission;
pub mod amplification;
pub mod blocks;
pub mod check;
pub mod cli;
pub mod clock;
pub mod cluster;
mod connection_table;
pub mod cookies;
mod detection;
pub mod diagnostics;
pub mod dialect;
pub mod hash;
pub mod holders;
pub mod http;
pub mod introductions;
pub mod limits;
pub mod lines;
pub mod lists;
pub mod lobby;
pub mod logging;
pub mod nats;
pub mod net;
pub mod prefixes;
pub mod rates;
pub mod refusals;
pub mod reloads;
mod round_robin;
pub mod server;
mod source_cache;
mod state;
pub mod timers;
pub mod truncation;
pub mod unproven;

/// As all other tests have it.
#[cfg(test)]
#[allow(dead_code, unreachable_pub, reason = "what sums up is for the last of all tests")]
#[path = "../compat-tests/src/skipped.rs"]
mod skipped;
