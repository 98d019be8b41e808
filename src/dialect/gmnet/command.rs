//! From bytes, cut as it pleased the network, to commands.
#![cfg_attr(not(test), deny(clippy::indexing_slicing))]

use std::fmt;

use serde::{Deserialize, Serialize};
use smallvec::SmallVec;

use super::text::{clean_into, keep_into};
use crate::limits;

/// The commands of GMnet over TCP that do something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Verb {
    /// Register as a host: version and eight data strings.
    Reg2,
    /// Register as a host, older protocol.
    Reg,
    /// Ask for a host: its address.
    Connect,
    /// Ask for the list of hosts: eight filters, sort field, direction, limit.
    Lobby2,
    /// Is the server in testing mode?
    IsTesting,
    /// Name and versions, in testing mode.
    TestingInfos,
    /// Version of the server.
    Version,
}

impl Verb {
    /// None for any other line: it is ignored. `ping` is one of them.
    fn of(line: &[u8]) -> Option<Self> {
        Some(match line {
            b"reg2" => Self::Reg2,
            b"reg" => Self::Reg,
            b"connect" => Self::Connect,
            b"lobby2" => Self::Lobby2,
            b"istesting" => Self::IsTesting,
            b"testinginfos" => Self::TestingInfos,
            b"version" => Self::Version,
            _ => return None,
        })
    }

    /// How many lines follow.
    fn params(self) -> usize {
        match self {
            Self::Reg2 => 9,
            Self::Connect => 1,
            Self::Lobby2 => 11,
            Self::Reg | Self::IsTesting | Self::TestingInfos | Self::Version => 0,
        }
    }
}

/// A whole command with the lines that belong to it, cleaned; what [`Verb::Connect`] asks for is as it was written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Command {
    /// What is to be done.
    pub verb: Verb,
    text: String,
    /// Where each line ends in `text`.
    ends: SmallVec<[u16; Self::MOST]>,
}

impl Command {
    /// The most lines that follow any command word.
    const MOST: usize = 11;

    /// The line number `n` behind the command word, from 0; empty beyond the last.
    #[must_use]
    pub fn param(&self, n: usize) -> &str {
        let start = match n.checked_sub(1) {
            Some(before) => self.ends.get(before),
            None => Some(&0),
        };
        let (Some(start), Some(end)) = (start, self.ends.get(n)) else { return "" };
        self.text.get(usize::from(*start)..usize::from(*end)).unwrap_or_default()
    }

    /// The lines from number `first` on as one text, and where in it the first ones end.
    #[must_use]
    pub fn joined<const N: usize>(&self, first: usize) -> (&str, [u16; N]) {
        let end = |n: usize| self.ends.get(n).or(self.ends.last()).copied().unwrap_or(0);
        let start = first.checked_sub(1).map_or(0, end);
        let text = self.text.get(usize::from(start)..).unwrap_or_default();
        (text, std::array::from_fn(|n| end(first + n) - start))
    }

    /// How many lines followed.
    #[must_use]
    pub fn count(&self) -> usize {
        self.ends.len()
    }

    /// Bytes of its lines.
    #[must_use]
    pub fn size(&self) -> usize {
        self.text.len()
    }
}

/// How much memory so many bytes of something unfinished may take: it comes in small pieces, and
/// buffers that double would take up to twice of what is counted.
fn with_reserve(length: usize) -> usize {
    length + length / 4 + 64
}

/// A command whose lines are not all there yet. Whoever reads owns it: if reading fails it is gone,
/// so that no line of it can become part of another.
#[derive(Debug, Serialize, Deserialize)]
struct Partial(Command);

impl Partial {
    /// Bytes of the shortest command word, `reg`.
    const SHORTEST: usize = 3;

    /// A command that begins with this line, if one does.
    fn begin(line: &[u8], spare: &mut Spare) -> Option<Self> {
        if line.len() < Self::SHORTEST {
            // Much of it costs us more than whoever sends it.
            return None;
        }
        let Spare(text) = spare;
        text.clear();
        // Nearly every one is just that.
        let verb = Verb::of(line).or_else(|| {
            clean_into(line, text);
            let verb = Verb::of(text.as_bytes());
            text.clear();
            verb
        })?;
        Some(Self(Command { verb, text: std::mem::take(text), ends: SmallVec::new() }))
    }

    fn push(&mut self, line: &[u8]) -> Result<(), BadStream> {
        let Self(Command { verb, text, ends }) = self;
        match verb {
            Verb::Connect => keep_into(line, text),
            _ => clean_into(line, text),
        }
        if text.len() > limits::COMMAND {
            return Err(BadStream::CommandTooLong);
        }
        ends.push(u16::try_from(text.len()).unwrap_or(u16::MAX));
        Ok(())
    }

    fn is_whole(&self) -> bool {
        self.0.count() >= self.0.verb.params()
    }

    /// Gives memory back that only a longer command would need.
    fn shrink(&mut self) {
        let text = &mut self.0.text;
        text.shrink_to(with_reserve(text.len()));
    }
}

/// Memory for the text of the next command, so that a whole one costs no allocation. It has no
/// content: a command that begins takes the memory alone.
#[derive(Debug, Default)]
pub struct Spare(String);

impl Spare {
    /// Takes the memory of a command that was carried out, unless it is unusually large.
    fn keep(&mut self, command: Command) {
        const USUAL: usize = 4096;
        self.0 = command.text;
        self.0.clear();
        self.0.shrink_to(USUAL);
    }
}

/// Why the rest of a stream is not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadStream {
    /// A line is longer than [`limits::LINE`].
    LineTooLong,
    /// A command has more than [`limits::COMMAND`] bytes.
    CommandTooLong,
    /// More than [`limits::AHEAD`] bytes came while an answer was awaited.
    TooFarAhead,
}

impl fmt::Display for BadStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::LineTooLong => write!(f, "it sent a line of more than {} bytes", limits::LINE),
            Self::CommandTooLong => {
                write!(f, "it sent a command of more than {} bytes", limits::COMMAND)
            }
            Self::TooFarAhead => {
                write!(f, "it sent more than {} bytes without waiting for an answer", limits::AHEAD)
            }
        }
    }
}

/// What is kept of a connection's input between two reads: nothing, usually.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Reader {
    kept: Option<Box<Kept>>,
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct Kept {
    /// Bytes that are not read yet, behind some that are.
    #[serde(with = "crate::state::bytes")]
    bytes: Vec<u8>,
    /// How many are.
    start: usize,
    /// A command that has begun and of which lines are missing.
    half: Option<Partial>,
    /// The last line ended with a CR, so a LF that comes next ends no other.
    after_cr: bool,
}

impl Reader {
    /// Whether nothing is kept.
    pub(super) fn is_empty(&self) -> bool {
        self.kept.is_none()
    }

    /// Bytes that are read may stay for so long.
    const READ: usize = 8 * 1024;

    /// Whether a command has begun and lines are missing.
    #[must_use]
    pub fn is_amid_command(&self) -> bool {
        self.kept.as_ref().is_some_and(|kept| kept.half.is_some())
    }

    /// Bytes that are kept for later.
    #[must_use]
    pub fn size(&self) -> usize {
        let Some(kept) = &self.kept else { return 0 };
        kept.bytes.len() + kept.half.as_ref().map_or(0, |Partial(command)| command.size())
    }

    /// Keeps bytes whose turn has not come.
    ///
    /// # Errors
    /// If there are too many.
    pub fn hold(&mut self, chunk: &[u8]) -> Result<Go, BadStream> {
        let kept = self.kept.get_or_insert_default();
        if kept.bytes.len() - kept.start + chunk.len() > limits::AHEAD {
            return Err(BadStream::TooFarAhead);
        }
        kept.bytes.extend_from_slice(chunk);
        Ok(Go::Stop)
    }

    /// The stream has ended, and so has its last line. Returns how much this adds to the size.
    pub fn finish(&mut self) -> usize {
        let Some(Kept { bytes, .. }) = self.kept.as_deref_mut() else { return 0 };
        if matches!(bytes.last(), None | Some(b'\n' | b'\r')) {
            return 0;
        }
        bytes.push(b'\n');
        1
    }

    /// Gives `each` every command that is complete with `chunk`, until it answers that it has
    /// had enough for now; what is left is held.
    ///
    /// # Errors
    /// If a line or a command is too long; the rest of the stream makes no sense then, and nothing
    /// is held of it.
    pub fn read(
        &mut self,
        chunk: &[u8],
        spare: &mut Spare,
        mut each: impl FnMut(&Command) -> Go,
    ) -> Result<Go, BadStream> {
        let (mut held, mut start, mut half, mut after_cr) = match self.kept.take() {
            None => Default::default(),
            Some(kept) => (kept.bytes, kept.start, kept.half, kept.after_cr),
        };
        if !held.is_empty() {
            held.extend_from_slice(chunk);
        }
        let input = if held.is_empty() { chunk } else { held.get(start..).unwrap_or_default() };
        let mut rest = input;
        let go = loop {
            let Some(line) = next_line(&mut rest, &mut after_cr)? else { break Go::On };
            match &mut half {
                Some(half) => half.push(line)?,
                None => half = Partial::begin(line, spare),
            }
            let Some(Partial(command)) = half.take_if(|half| half.is_whole()) else { continue };
            let go = each(&command);
            spare.keep(command);
            if go == Go::Stop {
                break go;
            }
        };
        match &mut half {
            Some(half) => half.shrink(),
            None => {
                // The NUL behind a line end, as GameMaker sends it: it would be cleaned away anyway.
                while let [0, tail @ ..] = rest {
                    rest = tail;
                }
                if rest.is_empty() && !after_cr {
                    return Ok(go);
                }
            }
        }
        if held.is_empty() {
            held = rest.to_vec();
        } else {
            start += input.len() - rest.len();
            // Not for each command: it moves all that is left.
            if start >= Self::READ || start >= held.len() / 2 {
                held.drain(..start);
                start = 0;
            }
            held.shrink_to(with_reserve(held.len()));
        }
        self.kept = Some(Box::new(Kept { bytes: held, start, half, after_cr }));
        Ok(go)
    }
}

/// Takes the next line from the front of `rest`, if all of it is there.
fn next_line<'a>(rest: &mut &'a [u8], after_cr: &mut bool) -> Result<Option<&'a [u8]>, BadStream> {
    if *after_cr && !rest.is_empty() {
        *after_cr = false;
        *rest = rest.strip_prefix(b"\n").unwrap_or(rest);
    }
    let end = rest.iter().position(|b| matches!(b, b'\n' | b'\r'));
    if end.unwrap_or(rest.len()) > limits::LINE {
        return Err(BadStream::LineTooLong);
    }
    let Some((line, [end, tail @ ..])) = end.and_then(|end| rest.split_at_checked(end)) else {
        return Ok(None);
    };
    *after_cr = *end == b'\r';
    *rest = tail;
    Ok(Some(line))
}

/// Whether to go on with the next command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Go {
    /// Yes.
    On,
    /// Not before the answer to this one, or never again.
    Stop,
}

#[cfg(test)]
mod tests;
