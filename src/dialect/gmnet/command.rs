//! From bytes, cut as it pleased the network, to commands.

use std::fmt;

use super::text::clean_into;
use crate::limits;

/// The commands of GMnet over TCP that do something.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Verb {
    /// Any other line: ignored. `ping` is one of them.
    #[default]
    Unknown,
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
    fn of(line: &str) -> Self {
        match line {
            "reg2" => Self::Reg2,
            "reg" => Self::Reg,
            "connect" => Self::Connect,
            "lobby2" => Self::Lobby2,
            "istesting" => Self::IsTesting,
            "testinginfos" => Self::TestingInfos,
            "version" => Self::Version,
            _ => Self::Unknown,
        }
    }

    /// How many lines follow.
    fn params(self) -> usize {
        match self {
            Self::Reg2 => 9,
            Self::Connect => 1,
            Self::Lobby2 => 11,
            Self::Unknown | Self::Reg | Self::IsTesting | Self::TestingInfos | Self::Version => 0,
        }
    }
}

/// A command with the lines that belong to it, cleaned.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Command {
    /// What is to be done.
    pub verb: Verb,
    text: String,
    ends: [usize; Self::MOST],
    count: usize,
}

impl Command {
    /// The most lines that follow any command word.
    const MOST: usize = 11;

    /// The line number `n` behind the command word, from 0; empty beyond the last.
    #[must_use]
    pub fn param(&self, n: usize) -> &str {
        if n >= self.count {
            return "";
        }
        let start = if n == 0 { 0 } else { self.ends[n - 1] };
        &self.text[start..self.ends[n]]
    }

    /// How many lines followed.
    #[must_use]
    pub fn count(&self) -> usize {
        self.count
    }

    /// Bytes of its lines.
    #[must_use]
    pub fn size(&self) -> usize {
        self.text.len()
    }

    /// Begins anew with a command word.
    fn begin(&mut self, line: &[u8]) {
        self.clear();
        clean_into(line, &mut self.text);
        self.verb = Verb::of(&self.text);
        self.text.clear();
    }

    fn push(&mut self, line: &[u8]) {
        clean_into(line, &mut self.text);
        self.ends[self.count] = self.text.len();
        self.count += 1;
    }

    fn is_complete(&self) -> bool {
        self.count == self.verb.params()
    }

    /// Whether it is more than the place for one.
    fn has_begun(&self) -> bool {
        self.verb != Verb::Unknown
    }

    /// Forgets everything; keeps the memory unless a long command made it grow.
    pub fn clear(&mut self) {
        const USUAL: usize = 4096;
        self.verb = Verb::Unknown;
        self.count = 0;
        self.text.clear();
        self.text.shrink_to(USUAL);
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
#[derive(Debug, Default)]
pub struct Reader {
    kept: Option<Box<Kept>>,
    after_cr: bool,
}

#[derive(Debug, Default)]
struct Kept {
    /// Bytes that are not read yet.
    bytes: Vec<u8>,
    /// A command that has begun and of which lines are missing, or none.
    command: Command,
}

impl Reader {
    /// Whether a command has begun and lines are missing.
    #[must_use]
    pub fn is_amid_command(&self) -> bool {
        self.kept.as_ref().is_some_and(|kept| kept.command.has_begun())
    }

    /// Bytes that are kept for later.
    #[must_use]
    pub fn size(&self) -> usize {
        self.kept.as_ref().map_or(0, |kept| kept.bytes.len() + kept.command.size())
    }

    /// Keeps bytes whose turn has not come.
    ///
    /// # Errors
    /// If there are too many.
    pub fn hold(&mut self, chunk: &[u8]) -> Result<Go, BadStream> {
        let kept = self.kept.get_or_insert_default();
        if kept.bytes.len() + chunk.len() > limits::AHEAD {
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
    /// had enough for now; what is left is held. `command` is the place to build them in.
    ///
    /// # Errors
    /// If a line is too long; the rest of the stream makes no sense then.
    pub fn read(
        &mut self,
        chunk: &[u8],
        command: &mut Command,
        mut each: impl FnMut(&Command) -> Go,
    ) -> Result<Go, BadStream> {
        let mut held = Vec::new();
        if let Some(kept) = self.kept.take() {
            held = kept.bytes;
            if kept.command.has_begun() {
                *command = kept.command;
            }
        }
        if !held.is_empty() {
            held.extend_from_slice(chunk);
        }
        let input = if held.is_empty() { chunk } else { &held };
        let mut rest = input;
        let go = loop {
            if !self.next(&mut rest, command)? {
                break Go::On;
            }
            let go = each(command);
            command.clear();
            if go == Go::Stop {
                break go;
            }
        };
        let mut unfinished = Command::default();
        if command.has_begun() {
            std::mem::swap(&mut unfinished, command);
        } else {
            // The NUL behind a line end, as GameMaker sends it: it would be cleaned away anyway.
            while let [0, tail @ ..] = rest {
                rest = tail;
            }
            if rest.is_empty() {
                return Ok(go);
            }
        }
        if held.is_empty() {
            held = rest.to_vec();
        } else {
            let used = input.len() - rest.len();
            held.drain(..used);
            held.shrink_to(2 * held.len());
        }
        self.kept = Some(Box::new(Kept { bytes: held, command: unfinished }));
        Ok(go)
    }

    /// Takes lines from the front of `rest` until a command is complete.
    fn next(&mut self, rest: &mut &[u8], command: &mut Command) -> Result<bool, BadStream> {
        loop {
            if std::mem::take(&mut self.after_cr) {
                match rest {
                    [b'\n', tail @ ..] => *rest = tail,
                    [] => {
                        self.after_cr = true;
                        return Ok(false);
                    }
                    _ => {}
                }
            }
            let Some(end) = rest.iter().position(|b| matches!(b, b'\n' | b'\r')) else {
                return if rest.len() > limits::LINE {
                    Err(BadStream::LineTooLong)
                } else {
                    Ok(false)
                };
            };
            if end > limits::LINE {
                return Err(BadStream::LineTooLong);
            }
            self.after_cr = rest[end] == b'\r';
            let line = &rest[..end];
            *rest = &rest[end + 1..];
            if !command.has_begun() {
                command.begin(line);
            } else {
                command.push(line);
            }
            if command.text.len() > limits::COMMAND {
                return Err(BadStream::CommandTooLong);
            }
            if command.is_complete() && command.has_begun() {
                return Ok(true);
            }
        }
    }
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
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// All commands of a stream that arrives in these chunks, and how it ended.
    fn read(chunks: &[&[u8]]) -> (Vec<Command>, Result<bool, BadStream>) {
        let mut reader = Reader::default();
        let mut scratch = Command::default();
        let mut all = Vec::new();
        let mut feed = |reader: &mut Reader, chunk: &[u8]| {
            reader.read(chunk, &mut scratch, |command| {
                all.push(command.clone());
                Go::On
            })
        };
        for chunk in chunks {
            if let Err(error) = feed(&mut reader, chunk) {
                return (all, Err(error));
            }
        }
        reader.finish();
        let end = feed(&mut reader, b"").map(|_| reader.is_amid_command());
        (all, end)
    }

    fn words(command: &Command) -> Vec<&str> {
        (0..command.count).map(|n| command.param(n)).collect()
    }

    #[test]
    fn gamemaker_sends_nul_behind_every_line() {
        let (all, end) = read(&[b"reg2\n\x001.2.4\n\0a\n\0b\n\0\n\0\n\0\n\0\n\0\n\0h\n\0ping\n\0"]);
        assert_eq!(all.len(), 1);
        assert_eq!(all[0].verb, Verb::Reg2);
        assert_eq!(words(&all[0]), ["1.2.4", "a", "b", "", "", "", "", "", "h"]);
        assert_eq!(end, Ok(false));
    }

    #[test]
    fn nothing_is_held_between_commands() {
        let mut reader = Reader::default();
        let mut scratch = Command::default();
        let go = reader.read(b"connect\n127.0.0.1\n\0", &mut scratch, |_| Go::On);
        assert_eq!(go, Ok(Go::On));
        assert_eq!(reader.size(), 0);
        assert!(!reader.is_amid_command());
    }

    #[test]
    fn line_ends_of_all_kinds() {
        for stream in ["version\nversion\n", "version\r\nversion\r\n", "version\rversion\r"] {
            assert_eq!(read(&[stream.as_bytes()]).0.len(), 2, "{stream:?}");
        }
        let (all, _) = read(&[b"connect\r", b"\n127.0.0.1\r", b"\n"]);
        assert_eq!(words(&all[0]), ["127.0.0.1"], "the line feed belongs to the return before it");
    }

    #[test]
    fn the_end_of_the_stream_ends_the_last_line() {
        assert_eq!(read(&[b"vers", b"ion"]).0.len(), 1);
        assert_eq!(read(&[b"connect\n127.0.0.1"]).0.len(), 1);
        assert_eq!(read(&[b"connect\n"]), (vec![], Ok(true)), "half a command is none");
    }

    #[test]
    fn who_had_enough_gets_the_rest_later() {
        let mut reader = Reader::default();
        let mut scratch = Command::default();
        let stop = reader.read(b"connect\na\n\0version\n", &mut scratch, |_| Go::Stop);
        assert_eq!(stop, Ok(Go::Stop));
        let mut verbs = Vec::new();
        let more = reader.read(b"", &mut scratch, |command| {
            verbs.push(command.verb);
            Go::On
        });
        assert_eq!((more, verbs), (Ok(Go::On), vec![Verb::Version]));
    }

    #[test]
    fn long_lines_work_up_to_the_limit() {
        let line = |length| [vec![b'a'; length], b"\nversion\n".to_vec()].concat();
        assert_eq!(read(&[&line(16 * 1024)]).0.len(), 1);
        assert_eq!(read(&[&line(limits::LINE + 1)]), (vec![], Err(BadStream::LineTooLong)));
        assert_eq!(read(&[&vec![b'a'; limits::LINE + 1]]).1, Err(BadStream::LineTooLong));
    }

    fn stream() -> impl Strategy<Value = Vec<u8>> {
        let pieces = prop::sample::select(vec![
            &b"reg2"[..],
            b"connect",
            b"lobby2",
            b"version",
            b"ping",
            b"reg",
            b"1.2.4",
            b"\n",
            b"\r\n",
            b"\r",
            b"\n\0",
            b"\0",
            b"\xff",
            b"\xe2\x82",
            "\u{200b}".as_bytes(),
            b"x",
        ]);
        let any = prop::collection::vec(any::<u8>(), 0..20);
        let piece = prop_oneof![8 => pieces.prop_map(<[u8]>::to_vec), 1 => any];
        prop::collection::vec(piece, 0..60).prop_map(|pieces| pieces.concat())
    }

    proptest! {
        #[test]
        fn parsing_does_not_depend_on_how_the_stream_was_cut(
            stream in stream(),
            cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..8),
        ) {
            let mut at: Vec<usize> = cuts.iter().map(|cut| cut.index(stream.len() + 1)).collect();
            at.extend([0, stream.len()]);
            at.sort_unstable();
            let chunks: Vec<&[u8]> = at.windows(2).map(|w| &stream[w[0]..w[1]]).collect();
            let single: Vec<&[u8]> = stream.chunks(1).collect();
            let whole = read(&[&stream]);
            prop_assert_eq!(&read(&chunks), &whole);
            prop_assert_eq!(&read(&single), &whole);
        }
    }
}
