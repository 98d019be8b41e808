//! Plays a vector against a server.

use std::collections::HashMap;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::thread::sleep;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use super::link::{End, Kind, Link};
use super::lobby::{self, LobbyFault};
use super::text::{Facts, Match, Pattern, Template, show};
use super::{Action, Expect, How, Lobby, Send, Socket, Step, Vector};

/// How long the last look for bytes that nobody expected waits.
const END: Duration = Duration::from_millis(60);

/// How long a second segment of a message may be on its way when the first is there.
const SEGMENT: Duration = Duration::from_millis(20);

/// Bytes of a message that a trace shows.
const TRACED: usize = 300;

/// A vector that the server failed.
#[derive(Debug)]
pub struct Failure {
    /// The step, unless all steps passed and something came that none of them expects.
    pub step: Option<Step>,
    /// What was wrong.
    pub fault: Fault,
    /// All that happened until then, one line each.
    pub trace: Vec<String>,
}

/// What a server can do wrong.
#[derive(Debug)]
pub enum Fault {
    /// The peer could not get its socket, or not connect it.
    Open(io::Error),
    /// Other bytes than expected, or not enough of them in time.
    Bytes {
        /// What would have been right.
        expected: Vec<Pattern>,
        /// What came.
        received: Vec<u8>,
        /// How the connection ended, if it did.
        end: Option<End>,
    },
    /// Too soon after the message before.
    Gap {
        /// How soon.
        came: Duration,
        /// How soon at most.
        least: Duration,
    },
    /// In so many TCP segments instead of one.
    Segments(u32),
    /// A lobby reply that is wrong.
    Lobby(LobbyFault),
    /// Bytes where none should be.
    Unexpected(Vec<u8>),
    /// The server closed a connection that should stay.
    Ended(End),
    /// The server did not close a connection in time.
    NotClosed,
}

/// Plays all steps; `tell` hears each line of the trace as it happens.
///
/// # Errors
/// With the first thing that the server does otherwise than the vector says.
pub fn play(
    vector: &Vector,
    master: SocketAddr,
    mut tell: impl FnMut(&str),
) -> Result<(), Box<Failure>> {
    let mut player = Player {
        master,
        begun: Instant::now(),
        begun_at: seconds_now(),
        links: HashMap::new(),
        marks: HashMap::new(),
        trace: Vec::new(),
        tell: &mut tell,
    };
    for step in &vector.steps {
        if let Err(fault) = player.step(&step.action) {
            return Err(player.failure(Some(step.clone()), fault));
        }
    }
    player.at_end().map_err(|fault| player.failure(None, fault))
}

struct Player<'a> {
    master: SocketAddr,
    begun: Instant,
    begun_at: u64,
    links: HashMap<Socket, Link>,
    marks: HashMap<String, u64>,
    trace: Vec<String>,
    tell: &'a mut dyn FnMut(&str),
}

impl Facts for Player<'_> {
    fn port(&self, peer: &str) -> Option<u16> {
        let socket = Socket { peer: peer.to_owned(), kind: Kind::Udp };
        self.links.get(&socket)?.local().map(|address| address.port())
    }

    /// A mark's second or the next one, as the server does its work a little later.
    fn epoch(&self, mark: Option<&str>) -> Option<(u64, u64)> {
        match mark {
            Some(mark) => self.marks.get(mark).map(|at| (*at, at + 1)),
            None => Some((self.begun_at.saturating_sub(1), seconds_now() + 2)),
        }
    }
}

impl Player<'_> {
    fn note(&mut self, text: &str) {
        let line = format!("{:6} ms  {text}", self.begun.elapsed().as_millis());
        (self.tell)(&line);
        self.trace.push(line);
    }

    fn failure(&mut self, step: Option<Step>, fault: Fault) -> Box<Failure> {
        Box::new(Failure { step, fault, trace: std::mem::take(&mut self.trace) })
    }

    #[expect(clippy::expect_used, reason = "the parser lets no step use a socket that is not open")]
    fn link(&mut self, socket: &Socket) -> &mut Link {
        self.links.get_mut(socket).expect("a socket that was opened")
    }

    #[expect(clippy::expect_used, reason = "the parser lets no text ask for what is not known")]
    fn fill(&self, template: &Template) -> Pattern {
        template.fill(self).expect("placeholders that are known")
    }

    fn step(&mut self, action: &Action) -> Result<(), Fault> {
        match action {
            Action::Open(socket, from) => {
                let link = Link::open(socket.kind, *from, self.master).map_err(Fault::Open)?;
                let at = link.local().map(|at| at.to_string()).unwrap_or_default();
                self.note(&format!("{socket}: open at {at}"));
                self.links.insert(socket.clone(), link);
            }
            Action::Send(socket, send) => self.send(socket, send),
            Action::Expect(socket, expect) => self.expect(socket, expect)?,
            Action::Lobby(socket, lobby) => self.lobby(socket, lobby)?,
            Action::Silent(socket, time) => self.silent(socket, *time)?,
            Action::Closed(socket, within) => self.closed(socket, *within)?,
            Action::Close(socket, how, settle) => self.close(socket, *how, *settle),
            Action::Ignore(socket) => self.link(socket).ignored = true,
            Action::Mark(mark) => {
                self.marks.insert(mark.clone(), seconds_now());
            }
            Action::Sleep(time) => sleep(*time),
        }
        Ok(())
    }

    /// An error while sending is only noted: a server may close a connection at any time, and
    /// what matters is what the next steps expect.
    fn send(&mut self, socket: &Socket, send: &Send) {
        let mut pieces: Vec<Vec<u8>> =
            send.pieces.iter().filter_map(|piece| self.fill(piece).bytes()).collect();
        if send.bytewise {
            pieces = pieces.concat().iter().map(|byte| vec![*byte]).collect();
        }
        for (n, mut piece) in pieces.into_iter().enumerate() {
            if send.header {
                piece.splice(0..0, header(piece.len()));
            }
            if n > 0 {
                sleep(send.pause);
            }
            self.note(&format!("{socket}> {}", shorter(&piece)));
            if let Err(e) = self.link(socket).send(&piece) {
                self.note(&format!("{socket}: cannot send: {e}"));
            }
        }
        sleep(send.settle);
    }

    fn expect(&mut self, socket: &Socket, expect: &Expect) -> Result<(), Fault> {
        let patterns: Vec<Pattern> = expect.any_of.iter().map(|t| self.fill(t)).collect();
        let shortest = patterns.iter().map(Pattern::len).min().unwrap_or(1);
        let link = self.link(socket);
        link.receive(Instant::now() + expect.within, shortest, |data| {
            patterns.iter().any(|p| p.compare(data) == Match::Full)
                || patterns.iter().all(|p| matches!(p.compare(data), Match::Wrong(_)))
        });
        let hit = patterns.iter().find(|p| p.compare(link.unread()) == Match::Full);
        let Some(length) = hit.map(Pattern::len) else {
            let (received, end) = (link.unread().to_vec(), link.end());
            if expect.or_closed && end.is_some() && received.is_empty() {
                link.end_expected = true;
                self.note(&format!("{socket}: closed by the server"));
                return Ok(());
            }
            return Err(Fault::Bytes { expected: patterns, received, end });
        };
        self.took(socket, length, expect.gap, expect.one_segment)
    }

    /// Accounts for a message and checks how it came.
    fn took(
        &mut self,
        socket: &Socket,
        length: usize,
        gap: Option<Duration>,
        one_segment: bool,
    ) -> Result<(), Fault> {
        let link = self.link(socket);
        let shown = shorter(&link.unread()[..length]);
        let came = link.take(length);
        if let (Some(least), Some(came)) = (gap, came)
            && came < least
        {
            return Err(Fault::Gap { came, least });
        }
        if one_segment {
            sleep(SEGMENT);
            if let Some(segments) = link.new_segments().filter(|segments| *segments != 1) {
                return Err(Fault::Segments(segments));
            }
        }
        self.note(&format!("{socket}< {shown}"));
        Ok(())
    }

    fn lobby(&mut self, socket: &Socket, lobby: &Lobby) -> Result<(), Fault> {
        let link = self.link(socket);
        link.receive(Instant::now() + lobby.within, usize::MAX, |data| {
            data.contains(&b'\n') || data.first().is_some_and(|first| *first != 0xF9)
        });
        let data = link.unread();
        let end = data.iter().position(|b| *b == b'\n');
        let (Some(end), Some(0xF9)) = (end, data.first()) else {
            return Err(Fault::Lobby(LobbyFault::NoReply(received(data, link.end()))));
        };
        let entries = lobby::read(&data[1..end]).map_err(Fault::Lobby)?;
        let seconds = |mark: Option<&str>| self.epoch(mark).unwrap_or_default();
        lobby::compare(&lobby.groups, &entries, seconds).map_err(Fault::Lobby)?;
        self.took(socket, end + 1, None, lobby.one_segment)
    }

    fn silent(&mut self, socket: &Socket, time: Duration) -> Result<(), Fault> {
        let link = self.link(socket);
        link.receive(Instant::now() + time, usize::MAX, |data| !data.is_empty());
        surprise(link).map_or(Ok(()), Err)?;
        self.note(&format!("{socket}: nothing for {time:?}"));
        Ok(())
    }

    fn closed(&mut self, socket: &Socket, within: Duration) -> Result<(), Fault> {
        let link = self.link(socket);
        link.receive(Instant::now() + within, usize::MAX, |data| !data.is_empty());
        if !link.unread().is_empty() {
            return Err(Fault::Unexpected(link.unread().to_vec()));
        }
        let end = link.end().ok_or(Fault::NotClosed)?;
        link.end_expected = true;
        self.note(&format!("{socket}: {}", ending(end)));
        Ok(())
    }

    fn close(&mut self, socket: &Socket, how: How, settle: Duration) {
        self.note(&format!("{socket}: close {how:?}"));
        let link = self.link(socket);
        match how {
            How::Half => link.close_half(),
            How::Fin => link.close(false),
            How::Rst => link.close(true),
        }
        sleep(settle);
    }

    fn at_end(&mut self) -> Result<(), Fault> {
        sleep(END);
        let mut surprises = Vec::new();
        for (socket, link) in self.links.iter_mut().filter(|(_, link)| !link.ignored) {
            link.receive(Instant::now(), usize::MAX, |data| !data.is_empty());
            surprises.extend(surprise(link).map(|fault| (socket.clone(), fault)));
        }
        let Some((socket, fault)) = surprises.pop() else { return Ok(()) };
        self.note(&format!("{socket}: at the end"));
        Err(fault)
    }
}

/// What happened on a connection although nothing should.
fn surprise(link: &Link) -> Option<Fault> {
    match (link.unread(), link.end()) {
        ([], None | Some(End::Here)) => None,
        ([], Some(_)) if link.end_expected => None,
        ([], Some(end)) => Some(Fault::Ended(end)),
        (_, Some(End::Here)) => None,
        (data, _) => Some(Fault::Unexpected(data.to_vec())),
    }
}

/// The header that GameMaker puts before each datagram.
fn header(length: usize) -> Vec<u8> {
    let length = u32::try_from(length).unwrap_or(u32::MAX);
    [[0xDE, 0xC0, 0xAD, 0xDE], 12_u32.to_le_bytes(), length.to_le_bytes()].concat()
}

fn seconds_now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

fn shorter(bytes: &[u8]) -> String {
    match bytes.get(..TRACED) {
        Some(start) => format!("{} ... {} bytes", show(start), bytes.len()),
        None => show(bytes),
    }
}

fn ending(end: End) -> &'static str {
    match end {
        End::Closed => "closed by the server",
        End::Reset => "reset by the server",
        End::Here => "closed by the peer itself",
    }
}

fn received(data: &[u8], end: Option<End>) -> String {
    let data = if data.is_empty() { "nothing".to_owned() } else { show(data) };
    end.map_or_else(|| data.clone(), |end| format!("{data}, then {}", ending(end)))
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.step {
            Some(step) => writeln!(f, "line {}: {}", step.line, step.source)?,
            None => writeln!(f, "after the last step")?,
        }
        write!(f, "{}", self.fault)
    }
}

impl std::error::Error for Failure {}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Open(e) => write!(
                f,
                "cannot connect: {e} (peers have loopback addresses, so the server has to be here)"
            ),
            Self::Bytes { expected, received: data, end } => {
                for (n, pattern) in expected.iter().enumerate() {
                    writeln!(f, "{:>8}  {pattern}", if n == 0 { "expected" } else { "or" })?;
                }
                write!(f, "received  {}", received(data, *end))?;
                match expected.as_slice() {
                    [pattern] if !data.is_empty() => {
                        let at = match pattern.compare(data) {
                            Match::Wrong(at) => at,
                            _ => data.len(),
                        };
                        let column = "received  ".len() + show(&data[..at]).len();
                        write!(f, "\n{:>1$} byte {at}", "^", column + 1)
                    }
                    _ => Ok(()),
                }
            }
            Self::Gap { came, least } => {
                write!(f, "came {came:?} after the message before it, should be {least:?} at least")
            }
            Self::Segments(count) => write!(f, "arrived in {count} TCP segments instead of one"),
            Self::Lobby(fault) => fault.fmt(f),
            Self::Unexpected(data) => write!(f, "expected  nothing\nreceived  {}", show(data)),
            Self::Ended(end) => write!(f, "expected  nothing\nreceived  {}", ending(*end)),
            Self::NotClosed => write!(f, "the server did not close the connection in time"),
        }
    }
}
