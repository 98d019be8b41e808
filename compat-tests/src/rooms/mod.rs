//! Players of the rooms dialect over real sockets: one UDP socket for the master server, the punch
//! and the game.
//!
//! A [`Player`] lives in steps that never wait. What it asks the master server is sent again until
//! it is answered; what the master server tells it makes it knock; once a knock has come through,
//! the client connects by ENet (reliable UDP) over the same socket.

mod again;
mod error;
mod links;
pub mod message;
pub mod player;
mod punch;
mod requests;
mod tap;

use std::time::Duration;

pub use error::Error;
pub use message::{Entry, Message, More};
pub use player::{Event, Place, Player};

/// The time between two steps.
pub const STEP: Duration = Duration::from_millis(5);

/// How long a request waits for its answer before it is sent again.
pub const AGAIN: Duration = Duration::from_millis(500);
