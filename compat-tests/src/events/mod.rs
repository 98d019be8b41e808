//! A peer of the events dialect: JSON over TCP, encrypted or not, and a UDP socket of its own.
//!
//! [`EventClient`] blocks: a call waits for its answer and takes care of what comes meanwhile.
//! [`knock`] is the punch that follows an introduction.

mod client;
mod error;
pub mod knock;
mod link;
mod rooms;
mod told;
pub(crate) mod web;

pub use client::EventClient;
pub use error::{EventError, Fault};
pub use link::Tls;
pub use told::{Arrival, Introduction, Joined, Listed, Login, Made, Pass, Request};
