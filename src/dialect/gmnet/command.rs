//! From bytes, cut as it pleased the network, to commands.
#![cfg_attr(not(test), deny(clippy::indexing_slicing))]

use std::fmt;

use smallvec::SmallVec;

use super::text::clean_into;
use crate::limits;

/// The commands of GMnet over TCP that do something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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
    fn of(line: &str) -> Option<Self> {
        Some(match line {
            "reg2" => Self::Reg2,
            "reg" => Self::Reg,
            "connect" => Self::Connect,
            "lobby2" => Self::Lobby2,
            "istesting" => Self::IsTesting,
            "testinginfos" => Self::TestingInfos,
            "version" => Self::Version,
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

/// A whole command with the lines that belong to it, cleaned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Command {
    /// What is to be done.
    pub verb: Verb,
    text: String,
    /// Where each line ends in `text`.
    ends: SmallVec<[usize; Self::MOST]>,
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
        self.text.get(*start..*end).unwrap_or_default()
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

/// A command whose lines are not all there yet. Whoever reads owns it: if reading fails it is gone,
/// so that no line of it can become part of another.
#[derive(Debug)]
struct Half(Command);

impl Half {
    /// A command that begins with this line, if one does.
    fn begin(line: &[u8], spare: &mut Spare) -> Option<Self> {
        let Spare(text) = spare;
        text.clear();
        clean_into(line, text);
        let verb = Verb::of(text)?;
        text.clear();
        Some(Self(Command { verb, text: std::mem::take(text), ends: SmallVec::new() }))
    }

    fn push(&mut self, line: &[u8]) -> Result<(), BadStream> {
        let Self(Command { text, ends, .. }) = self;
        clean_into(line, text);
        if text.len() > limits::COMMAND {
            return Err(BadStream::CommandTooLong);
        }
        ends.push(text.len());
        Ok(())
    }

    fn is_whole(&self) -> bool {
        self.0.count() >= self.0.verb.params()
    }

    /// Gives memory back that only a longer command would need.
    fn shrink(&mut self) {
        let text = &mut self.0.text;
        text.shrink_to(2 * text.len() + 64);
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
#[derive(Debug, Default)]
pub struct Reader {
    kept: Option<Box<Kept>>,
    after_cr: bool,
}

#[derive(Debug, Default)]
struct Kept {
    /// Bytes that are not read yet, behind some that are.
    bytes: Vec<u8>,
    /// How many are.
    start: usize,
    /// A command that has begun and of which lines are missing.
    half: Option<Half>,
}

impl Reader {
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
        kept.bytes.len() + kept.half.as_ref().map_or(0, |Half(command)| command.size())
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
        let Kept { bytes: mut held, mut start, mut half } =
            self.kept.take().map(|kept| *kept).unwrap_or_default();
        if !held.is_empty() {
            held.extend_from_slice(chunk);
        }
        let input = if held.is_empty() { chunk } else { held.get(start..).unwrap_or_default() };
        let mut rest = input;
        let go = loop {
            let Some(line) = self.next_line(&mut rest)? else { break Go::On };
            match &mut half {
                Some(half) => half.push(line)?,
                None => half = Half::begin(line, spare),
            }
            let Some(Half(command)) = half.take_if(|half| half.is_whole()) else { continue };
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
                if rest.is_empty() {
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
                held.shrink_to(2 * held.len());
                start = 0;
            }
        }
        self.kept = Some(Box::new(Kept { bytes: held, start, half }));
        Ok(go)
    }

    /// Takes the next line from the front of `rest`, if all of it is there.
    fn next_line<'a>(&mut self, rest: &mut &'a [u8]) -> Result<Option<&'a [u8]>, BadStream> {
        if self.after_cr && !rest.is_empty() {
            self.after_cr = false;
            *rest = rest.strip_prefix(b"\n").unwrap_or(rest);
        }
        let end = rest.iter().position(|b| matches!(b, b'\n' | b'\r'));
        if end.unwrap_or(rest.len()) > limits::LINE {
            return Err(BadStream::LineTooLong);
        }
        let Some((line, [end, tail @ ..])) = end.and_then(|end| rest.split_at_checked(end)) else {
            return Ok(None);
        };
        self.after_cr = *end == b'\r';
        *rest = tail;
        Ok(Some(line))
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
        let mut spare = Spare::default();
        let mut all = Vec::new();
        let mut feed = |reader: &mut Reader, chunk: &[u8]| {
            reader.read(chunk, &mut spare, |command| {
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
        (0..command.count()).map(|n| command.param(n)).collect()
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
        let mut spare = Spare::default();
        let go = reader.read(b"connect\n127.0.0.1\n\0", &mut spare, |_| Go::On);
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
        let mut spare = Spare::default();
        let stop = reader.read(b"connect\na\n\0version\n", &mut spare, |_| Go::Stop);
        assert_eq!(stop, Ok(Go::Stop));
        let mut verbs = Vec::new();
        let more = reader.read(b"", &mut spare, |command| {
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

    /// A stream with too long a line, too long a command, or neither, at some byte.
    fn long_stream() -> impl Strategy<Value = Vec<u8>> {
        let lengths = prop::sample::select(vec![0, limits::LINE + 1, 2 * limits::COMMAND]);
        (stream(), any::<prop::sample::Index>(), lengths).prop_map(|(mut stream, at, length)| {
            let line = [vec![b'x'; limits::LINE], b"\n".to_vec()].concat();
            let line = if length > limits::LINE + 1 { &line[..] } else { b"x" };
            let at = at.index(stream.len() + 1);
            stream.splice(at..at, line.iter().copied().cycle().take(length));
            stream
        })
    }

    /// What readers that share the spare memory get when each reads so many bytes in its turn.
    fn take_turns(streams: &[Vec<u8>], bytes: usize) -> Vec<(Vec<Command>, Result<Go, BadStream>)> {
        let mut spare = Spare::default();
        let mut readers: Vec<_> = streams.iter().map(|_| Reader::default()).collect();
        let mut got = vec![(Vec::new(), Ok(Go::On)); streams.len()];
        let turns = streams.iter().map(|stream| stream.len().div_ceil(bytes)).max();
        for turn in 0..turns.unwrap_or(0) {
            for (n, reader) in readers.iter_mut().enumerate() {
                let (all, end) = &mut got[n];
                if let (Ok(_), Some(chunk)) = (&end, streams[n].chunks(bytes).nth(turn)) {
                    *end = reader.read(chunk, &mut spare, |command| {
                        all.push(command.clone());
                        Go::On
                    });
                }
            }
        }
        got
    }

    proptest! {
        /// Each reader gets what it gets alone, whatever bytes another was refused at.
        #[test]
        fn readers_share_no_line(
            streams in prop::collection::vec(long_stream(), 2..5),
            cut in prop::sample::select(vec![50, 700, 20_000]),
        ) {
            let together = take_turns(&streams, cut);
            let alone: Vec<_> =
                streams.iter().flat_map(|stream| take_turns(std::slice::from_ref(stream), cut)).collect();
            prop_assert!(together == alone);
        }

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
