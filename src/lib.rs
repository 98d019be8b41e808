//! A master server for games whose players sit behind NATs.
//!
//! # The map
//!
//! | module | what it is |
//! | --- | --- |
//! | [`cli`], [`logging`] | the command line and the log |
//! | [`net`] | all system calls: the event loop and the sockets |
//! | [`dialect`] | the wire protocols, each a state machine without sockets or clock |
//! | [`limits`] | every bound and every wait, with its reason |
//! | [`clock`], [`timers`] | time as a value, deadlines as data |
//!
//! # How a packet travels
//!
//! The kernel says that a socket is readable; [`net`] reads it and calls the
//! [`Dialect`](dialect::Dialect), which changes its state and puts what is to be sent into the
//! [`Outbox`](dialect::Outbox); [`net`] sends it. When nothing arrives, the loop sleeps until the
//! time that [`next_wakeup`](dialect::Dialect::next_wakeup) names.
//!
//! A test drives the same dialects with a clock and a network of its own making.
#![forbid(unsafe_code)]

pub mod cli;
pub mod clock;
pub mod dialect;
pub mod limits;
pub mod logging;
pub mod net;
pub mod timers;
