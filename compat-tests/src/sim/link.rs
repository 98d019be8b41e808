//! A TCP connection of a peer to the server: bytes in order, cut anywhere, and an end that may
//! come at any byte.

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use punchd::clock::Instant;
use punchd::dialect::ConnId;

/// Number of a connection, as the peers count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct LinkId(pub usize);

/// What a peer means by its bytes, so that the checks need not parse them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Registers a host with these data strings.
    Register([String; 8]),
    /// Registers a host of the older protocol, which is not listed.
    RegisterOld,
    /// Asks for the host at an address, if it is one.
    Ask(Option<IpAddr>),
    /// Asks for the list.
    Lobby,
    /// Registers with a version that is too old, which closes the connection.
    TooOld,
}

/// Bytes of a stream that are one command.
#[derive(Clone, Debug)]
struct Mark {
    start: usize,
    end: usize,
    command: Command,
}

/// How a connection ends that was not ended by who uses it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Death {
    /// The process ended; its system says goodbye.
    Fin,
    /// The system of the peer refuses to know the connection.
    Reset,
    /// Power cut, cable, NAT: nothing arrives any more, in neither direction.
    Silence,
}

/// One connection.
#[derive(Debug)]
pub struct Link {
    /// Whose it is.
    pub owner: usize,
    /// Where it comes from, as the server sees it.
    pub source: SocketAddr,
    /// How long after its SYN it was open.
    pub round_trip: Duration,
    /// Its number at the server, while it is open there.
    pub conn: Option<ConnId>,
    /// Until then nothing sent by the peer can arrive, as what was sent before is under way.
    pub up_free: Instant,
    /// The same for what the server sends.
    pub down_free: Instant,
    /// The peer will not send on it any more.
    pub ended: bool,
    /// The peer does not listen on it any more.
    pub deaf: bool,
    /// The server knows that nothing more will be sent.
    pub is_finished: bool,
    /// Nothing arrives at the server any more.
    pub is_cut: bool,
    /// Nor at the peer, and neither of them knows.
    pub silent: bool,
    /// It dies when so many bytes have arrived.
    pub doom: Option<(usize, Death)>,
    /// Its bytes may be anything; what the server makes of them is its own affair.
    pub is_garbage: bool,
    /// Whoever made it has several games on several ports, which nobody can tell apart.
    pub is_one_of_many: bool,
    sent: usize,
    arrived: usize,
    marks: VecDeque<Mark>,
}

impl Link {
    /// A connection whose first byte arrives at `open` at the earliest.
    #[must_use]
    pub fn new(owner: usize, source: SocketAddr, open: Instant) -> Self {
        Self {
            owner,
            source,
            round_trip: Duration::ZERO,
            conn: None,
            up_free: open,
            down_free: open,
            ended: false,
            deaf: false,
            is_finished: false,
            is_cut: false,
            silent: false,
            doom: None,
            is_garbage: false,
            is_one_of_many: false,
            sent: 0,
            arrived: 0,
            marks: VecDeque::new(),
        }
    }

    /// The peer sends so many bytes; they are this command.
    pub fn sent(&mut self, length: usize, command: Option<Command>) {
        let start = self.sent;
        self.sent += length;
        if let Some(command) = command {
            self.marks.push_back(Mark { start, end: self.sent, command });
        }
    }

    /// How many bytes the link lets through of so many that arrive, and whether it dies then.
    #[must_use]
    pub fn survives(&self, length: usize) -> (usize, Option<Death>) {
        match self.doom {
            Some((at, death)) if self.arrived + length >= at => {
                (at.saturating_sub(self.arrived), Some(death))
            }
            _ => (length, None),
        }
    }

    /// Whether nothing has arrived on it yet.
    #[must_use]
    pub fn is_new(&self) -> bool {
        self.arrived == 0
    }

    /// So many bytes have arrived: the commands that are complete now.
    pub fn arrive(&mut self, length: usize) -> Vec<Command> {
        self.arrived += length;
        let mut complete = Vec::new();
        // Every command ends with a line feed and a NUL, and is complete without the NUL.
        while self.marks.front().is_some_and(|mark| self.arrived + 1 >= mark.end) {
            complete.extend(self.marks.pop_front().map(|mark| mark.command));
        }
        complete
    }

    /// The stream has ended, and with it its last line: the command that this makes complete.
    #[must_use]
    pub fn finish(&self) -> Option<Command> {
        let mark = self.marks.front()?;
        let has = self.arrived.saturating_sub(mark.start);
        if self.arrived + 2 >= mark.end {
            return Some(mark.command.clone());
        }
        // What came of the address is none, whatever it was to become.
        let is_ask = matches!(mark.command, Command::Ask(_)) && has > "connect\n".len();
        is_ask.then_some(Command::Ask(None))
    }

    /// Whether the last byte that arrived was in the middle of a command.
    #[must_use]
    pub fn is_amid_command(&self) -> bool {
        self.marks.front().is_some_and(|mark| self.arrived > mark.start)
    }
}
