//! GMnet PUNCH peers over real sockets, in GameMaker's wire forms.
//!
//! A peer lives as a game does: in steps, 60 a second. [`Host::step`] and [`Client::step`] never
//! wait; [`Client::join`] and [`Host::spawn`] pace the steps for those who do not want to.

mod again;
pub mod client;
pub mod config;
pub mod control;
pub mod error;
pub mod host;
pub mod knock;
pub mod line;
pub mod lobby;
pub mod running;
pub mod wire;

use std::time::Duration;

pub use client::{Answer, Client, Progress, Way};
pub use config::{ClientConfig, HostConfig};
pub use control::{Control, Event, GameSocket};
pub use error::Error;
pub use host::{Host, HostEvent, Told};
pub use knock::Stage;
pub use line::Line;
pub use lobby::{Direction, Entry, Lobby, Query};
pub use running::Running;
pub use wire::{Data, Protocol};

/// The time between two steps of a game.
pub const STEP: Duration = Duration::from_nanos(1_000_000_000 / 60);

/// What lies between the UDP packet of a game and its request over TCP: one step of a slow game. The old
/// server reads the two in threads of their own, and loses what comes in the other order.
pub const GAP: Duration = Duration::from_millis(30);

/// The gap for tests: none is needed for a server of this workspace.
fn usual_gap() -> Duration {
    let is_named = std::env::var_os("PUNCH_MASTER").is_some_and(|name| !name.is_empty());
    if is_named { GAP } else { Duration::ZERO }
}

/// So much of what has come is looked at in one step, of TCP and of UDP: whoever sends without pause
/// does not keep a game from its next step.
const MOST_A_STEP: usize = 256;

/// How long both sides knock before they give up: that of GMnet ENGINE.
pub const CONNECTION_TIMEOUT: Duration = Duration::from_secs(15);
