//! What is known of a connection.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::Likely;
use super::command::{Command, Reader};
use super::slot::HostKey;
use super::waiting::WaitId;
use crate::clock::Instant;
use crate::state::packed::{self, Fields};

/// What is known of a connection.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Conn {
    #[serde(with = "crate::state::ip")]
    pub(super) addr: IpAddr,
    #[serde(default, skip_serializing_if = "Reader::is_empty")]
    pub(super) reader: Reader,
    /// A command that must wait because its address has done too much, or for the next turn.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) deferred: Option<Box<Command>>,
    #[serde(with = "packed::one")]
    pub(super) times: Times,
    /// The peer will send nothing more.
    #[serde(default, skip_serializing_if = "crate::state::is_default")]
    pub(super) finished: bool,
    /// Its command waits as its address has done too much, which has been counted.
    #[serde(default, skip_serializing_if = "crate::state::is_default")]
    pub(super) is_put_off: bool,
    /// The `connect` whose answer has to come before anything else is done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) waiting: Option<WaitId>,
    /// A relay of another node is asked for its `connect`, or the node of its host: that answer has to come first as well.
    /// Who is asked is known by who goes on with that.
    #[serde(skip)]
    pub(super) is_asking: bool,
    /// The ports that a host was told last for this connection.
    #[serde(default, skip_serializing_if = "crate::state::is_default")]
    pub(super) likely: Likely,
    /// The host that this is the control connection of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) host: Option<HostKey>,
}

/// When a connection did what.
#[derive(Debug)]
pub(super) struct Times {
    pub(super) opened: Instant,
    /// When its last command was complete, or the first part of one came whose rest did not come
    /// with it.
    pub(super) progress: Instant,
    /// When it last asked for something that players are here for: to be a host, or for hosts.
    pub(super) last_use: Instant,
    /// When its last `connect` was answered; at the start of the server if none was.
    pub(super) answered: Instant,
    /// Until then the next notification has to wait.
    pub(super) quiet_until: Instant,
}

impl packed::Row<40> for Times {
    fn pack(&self) -> [u8; 40] {
        let Self { opened, progress, last_use, answered, quiet_until } = self;
        let times = [opened, progress, last_use, answered, quiet_until];
        packed::row(&times.map(|at| at.micros().to_be_bytes()).each_ref().map(|at| &at[..]))
    }

    fn unpack(row: &[u8; 40]) -> Self {
        let mut fields = Fields(row);
        let mut next = || Instant::from_micros(u64::from_be_bytes(fields.next()));
        Self {
            opened: next(),
            progress: next(),
            last_use: next(),
            answered: next(),
            quiet_until: next(),
        }
    }
}

impl Conn {
    /// One that has just been opened from this address.
    pub(super) fn new(now: Instant, addr: IpAddr) -> Self {
        Self {
            addr,
            reader: Reader::default(),
            deferred: None,
            times: Times {
                opened: now,
                progress: now,
                last_use: now,
                answered: Instant::default(),
                quiet_until: Instant::default(),
            },
            finished: false,
            is_put_off: false,
            waiting: None,
            is_asking: false,
            likely: Likely::default(),
            host: None,
        }
    }

    /// Bytes of commands that are not finished.
    pub(super) fn unfinished(&self) -> usize {
        self.reader.size() + self.deferred.as_ref().map_or(0, |command| command.size())
    }

    /// Whether what its peer sends has to wait for something else.
    pub(super) fn is_waiting(&self) -> bool {
        self.is_unanswered() || self.deferred.is_some()
    }

    /// Whether it waits for others, and not because of what it did itself.
    pub(super) fn is_unanswered(&self) -> bool {
        self.waiting.is_some() || self.is_asking
    }
}
