//! Hosts and clients: what they are, and what they were told.

use punchd::clock::Instant;
use punchd::dialect::ConnId;

use crate::sim::wire;

/// A host, as it is by now.
#[derive(Debug, Default)]
pub(super) struct Host {
    pub(super) conn: Option<(usize, ConnId)>,
    /// How often it was registered.
    pub(super) times: u32,
    /// Of whom it was told, and by which of its registrations.
    pub(super) told: Vec<(u32, String, String)>,
    pub(super) has_left: bool,
}

/// A client, as it is by now.
#[derive(Debug, Default)]
pub(super) struct Client {
    pub(super) conn: Option<(usize, ConnId)>,
    pub(super) answers: Vec<(Instant, Vec<u8>)>,
    /// The node that it asks has died.
    pub(super) is_lost: bool,
    /// The host had to be known when it was asked for: its name then.
    pub(super) sure: Option<String>,
}

/// Whose a connection is.
#[derive(Clone, Copy, Debug)]
pub(super) enum Owner {
    Host(usize),
    Client(usize),
}

/// What a host says when it registers.
pub(super) fn reg2(name: &str, data: &str) -> Vec<u8> {
    let mut strings = <[String; 8]>::default();
    let [game, own, third, ..] = &mut strings;
    (*game, *own, *third) = ("game".into(), name.into(), data.into());
    wire::reg2("1.2.4", &strings)
}
