//! A new process takes the place of the running one while players of all kinds do what they do: nobody notices.
#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, clippy::panic, reason = "a helper that fails is a test that fails")]

mod activated;
mod begun;
mod deadlines;
mod events;
mod failing;
mod fixtures;
mod load;
mod lobbies;
mod options;
mod players;
mod relayed;
mod rooms;
mod slow;
mod tls;
mod versions;
mod waiting;
mod window;
