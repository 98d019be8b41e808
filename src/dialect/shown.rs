//! What dialects tell the owner of themselves.

use std::borrow::Cow;
use std::net::{IpAddr, SocketAddr};
use std::ops::ControlFlow;

use serde::Serialize;

use super::ConnId;
use crate::clock::Instant;

/// What a dialect tells of itself, without a change to it.
pub trait Shows {
    /// How many there are, for the owner.
    fn census(&self) -> Census {
        Census::default()
    }

    /// Names of games, each with how many hosts it has in lists, in no order.
    fn games(&self, _each: &mut dyn FnMut(&str, usize)) {}

    /// The hosts but for the first `from` of them, in an order that holds while none comes or goes.
    fn hosts(&self, _from: usize, _each: &mut Showing<'_>) {}

    /// What its lists show to everybody who asks for a game: appends a JSON array; nothing if it has no
    /// lists for everybody.
    fn public_lobby(&self, _asked: &Asked<'_>, _bytes: &mut Vec<u8>) {}

    /// What it has bounds for that may be reached.
    fn bounds(&self, _each: &mut dyn FnMut(Bound)) {}

    /// What it keeps of peers, its own and those of other nodes: names of tables, each with how many entries it has.
    /// When all have left for long enough all are 0.
    fn kept(&self, _each: &mut Keeping<'_>) {}
}

/// Is told what a table is called and how many entries it has.
pub type Keeping<'a> = dyn FnMut(&'static str, usize) + 'a;

/// How many there are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Census {
    /// Those who can be joined: hosts, rooms or lobbies.
    pub hosts: usize,
    /// Others who are connected, logged in or registered.
    pub clients: usize,
}

/// A host, a room or a lobby.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shown<'a> {
    /// The name of its game; may be empty.
    pub game: &'a str,
    /// What it is called; may be empty.
    pub name: Cow<'a, str>,
    /// Where it is, with port 0 if that is not known.
    pub at: SocketAddr,
    /// Its connection, if it has one: it lives as long as that.
    pub conn: Option<ConnId>,
    /// Since when it has been there, if the connection does not tell.
    pub since: Option<Instant>,
    /// When something came last that shows that it lives, if not that it is connected.
    pub heard: Option<Instant>,
    /// How many are in it, if the dialect knows that.
    pub players: Option<usize>,
    /// How many may be.
    pub places: Option<usize>,
    /// Whether no list has it.
    pub is_private: bool,
}

/// Which lobby somebody asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Asked<'a> {
    /// The name of the game; empty for those without one.
    pub game: &'a str,
    /// The key that was shown, if the server asks for one: where the name of the game is all that there is, it
    /// is in the place of that.
    pub key: Option<&'a str>,
    /// Who asks: others are told where they can be reached from there.
    pub viewer: IpAddr,
    /// Whether who has the other family of addresses can be reached, by the relay.
    pub of_both_families: bool,
    /// How many entries there may be.
    pub most: usize,
}

/// Something of which there may be so much and no more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bound {
    /// What it is.
    pub what: &'static str,
    /// How much of it there is.
    pub used: usize,
    /// How much there may be.
    pub most: usize,
    /// The option that allows more.
    pub option: Option<&'static str>,
}

/// Is told of hosts one after the other, as long as it wants more.
pub type Showing<'a> = dyn FnMut(Shown<'_>) -> ControlFlow<()> + 'a;

/// Appends entries as JSON.
pub(super) fn write_json(entries: &impl Serialize, bytes: &mut Vec<u8>) {
    let before = bytes.len();
    // Writing to memory does not fail, and there is nothing in it that JSON does not have.
    if serde_json::to_writer(&mut *bytes, entries).is_err() {
        bytes.truncate(before);
    }
}
