#![doc = include_str!("../../vectors/README.md")]
//!
//! # In code
//!
//! [`Vector::parse`] reads a file into typed steps, [`play`] plays them against a server.

mod cursor;
mod error;
mod link;
mod lobby;
mod parse;
mod player;
mod text;

use std::fmt;
use std::net::Ipv4Addr;
use std::time::Duration;

pub use error::{ParseError, Wrong};
pub use link::{End, Kind};
pub use lobby::{LobbyFault, Row};
pub use player::{Failure, Fault, play};
pub use text::{Match, Pattern, Template, TextError, show};

/// One conversation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Vector {
    /// What happens, in one line.
    pub title: String,
    /// Why it has to be so.
    pub why: String,
    /// What the old master server did, where it did something else.
    pub old: Option<String>,
    /// The options that the server has to run with.
    pub options: Vec<String>,
    /// What is done, in this order.
    pub steps: Vec<Step>,
}

/// One step, with its place in the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// The number of its line, from 1.
    pub line: usize,
    /// That line as written.
    pub source: String,
    /// What is to be done.
    pub action: Action,
}

/// A socket of a peer.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Socket {
    /// The name of the peer.
    pub peer: String,
    /// Which of its two.
    pub kind: Kind,
}

impl fmt::Display for Socket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            Kind::Tcp => f.write_str(&self.peer),
            Kind::Udp => write!(f, "{} udp", self.peer),
        }
    }
}

/// What a step does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Opens a socket at this address.
    Open(Socket, Ipv4Addr),
    /// Sends.
    Send(Socket, Send),
    /// The next bytes are as said.
    Expect(Socket, Expect),
    /// The next bytes are a lobby reply.
    Lobby(Socket, Lobby),
    /// Nothing comes for so long.
    Silent(Socket, Duration),
    /// The server closes the connection within this time.
    Closed(Socket, Duration),
    /// The peer closes the connection, then waits.
    Close(Socket, How, Duration),
    /// Nothing is checked on this socket any more.
    Ignore(Socket),
    /// Notes the time under this name.
    Mark(String),
    /// Waits.
    Sleep(Duration),
}

/// What is sent, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Send {
    /// The pieces; more than one only with a pause.
    pub pieces: Vec<Template>,
    /// Whether GameMaker's header goes before each of them.
    pub header: bool,
    /// Whether each byte is a piece of its own.
    pub bytewise: bool,
    /// The time between two pieces.
    pub pause: Duration,
    /// The time after the last.
    pub settle: Duration,
}

/// What has to arrive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expect {
    /// One of these.
    pub any_of: Vec<Template>,
    /// By then.
    pub within: Duration,
    /// Not sooner after the message before.
    pub gap: Option<Duration>,
    /// In exactly one TCP segment.
    pub one_segment: bool,
    /// Unless the server closes the connection instead.
    pub or_closed: bool,
}

/// A lobby reply that has to arrive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lobby {
    /// Groups of hosts; in a group any order is right.
    pub groups: Vec<Vec<Row>>,
    /// By then.
    pub within: Duration,
    /// In exactly one TCP segment.
    pub one_segment: bool,
}

/// How a peer closes its connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// For good, with FIN.
    Fin,
    /// For good, with RST.
    Rst,
    /// For sending only.
    Half,
}
