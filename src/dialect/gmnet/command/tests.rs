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
fn what_has_been_read_makes_room_for_more_ahead() {
    let mut reader = Reader::default();
    let line = b"version\n";
    for _ in 0..limits::AHEAD / line.len() {
        assert_eq!(reader.hold(line), Ok(Go::Stop));
    }
    assert_eq!(reader.hold(line), Err(BadStream::TooFarAhead));
    for _ in 0..100 {
        assert_eq!(reader.read(b"", &mut Spare::default(), |_| Go::Stop), Ok(Go::Stop));
        assert_eq!(reader.hold(line), Ok(Go::Stop));
        assert_eq!(reader.hold(line), Err(BadStream::TooFarAhead));
    }
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

/// A long stream of many commands, but short enough to be held.
fn many_commands() -> impl Strategy<Value = Vec<u8>> {
    let words = vec!["version", "connect", "reg2", "lobby2", "reg", "ping", "", "a \u{200b}b"];
    let ends = prop::sample::select(vec!["\n\0", "\n", "\r\n", "\r"]);
    let line = (prop::sample::select(words), ends).prop_map(|(word, end)| [word, end].concat());
    (prop::collection::vec(line, 1..60), 1..150usize).prop_map(|(lines, times)| {
        let mut stream = lines.concat().repeat(times).into_bytes();
        stream.truncate(limits::AHEAD);
        stream
    })
}

/// The same as [`read`], where each command is waited for. Of each chunk it is known how many
/// commands have got their answer when the next one comes.
fn read_with_pauses(chunks: &[(&[u8], usize)]) -> (Vec<Command>, Result<bool, BadStream>) {
    let mut reader = Reader::default();
    let mut spare = Spare::default();
    let mut all = Vec::new();
    let most = chunks.iter().map(|(chunk, _)| chunk.len()).sum();
    let mut go_on = |reader: &mut Reader, chunk: &[u8]| {
        let before = all.len();
        let go = reader.read(chunk, &mut spare, |command| {
            all.push(command.clone());
            Go::Stop
        });
        assert!(all.len() <= before + 1, "it stops when it is told to");
        assert!(all.len() <= most, "nothing is read twice");
        go
    };
    let mut go = Ok(Go::On);
    for (chunk, answers) in chunks {
        go = go.and_then(|go| match go {
            Go::On => go_on(&mut reader, chunk),
            Go::Stop => reader.hold(chunk),
        });
        for _ in 0..*answers {
            if go == Ok(Go::Stop) {
                go = go_on(&mut reader, b"");
            }
        }
    }
    reader.finish();
    while go == Ok(Go::Stop) {
        go = go_on(&mut reader, b"");
    }
    // The line that the end has ended, if nothing was waited for.
    let go = go.and_then(|_| go_on(&mut reader, b""));
    (all, go.map(|_| reader.is_amid_command()))
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

/// Wherever reading ended before, in too long a line, amid a command, or behind lines that are none.
#[test]
fn what_one_reader_was_sent_is_no_part_of_what_the_next_gets() {
    let line = [vec![b'x'; limits::LINE], b"\n".to_vec()].concat();
    let sent = |parts: &[&[u8]]| parts.concat();
    let before = [
        (sent(&[&line, b"reg2ping"]), Ok(Go::On)),
        (sent(&[b"reg2\n", &line]), Ok(Go::On)),
        (sent(&[b"reg2\n", &line, b"x", &line]), Err(BadStream::LineTooLong)),
        (sent(&[b"reg2\n", &line, &line, &line, &line]), Err(BadStream::CommandTooLong)),
    ];
    let next = b"reg2\nreg2reg2\n\n\n\n\n\n\n\n\n".to_vec();
    for (stream, end) in before {
        let got = take_turns(&[stream, next.clone()], 100_000);
        assert_eq!(got[0].1, end);
        let [command] = &got[1].0[..] else { panic!("{} commands behind {end:?}", got[1].0.len()) };
        assert_eq!(words(command), ["reg2reg2", "", "", "", "", "", "", "", ""], "{end:?}");
    }
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

    /// What comes during a pause is held, and goes on where reading has stopped.
    #[test]
    fn pauses_make_no_difference(
        stream in many_commands(),
        cuts in prop::collection::vec((any::<prop::sample::Index>(), 0..500usize), 0..8),
    ) {
        let mut cuts: Vec<_> = cuts.iter().map(|(at, n)| (at.index(stream.len() + 1), *n)).collect();
        cuts.extend([(0, 0), (stream.len(), 0)]);
        cuts.sort_unstable();
        let chunks: Vec<(&[u8], usize)> =
            cuts.windows(2).map(|w| (&stream[w[0].0..w[1].0], w[1].1)).collect();
        let (paused, whole) = (read_with_pauses(&chunks), read(&[&stream]));
        // Not with `assert_eq`: they are long.
        let differ = paused.0.iter().zip(&whole.0).position(|(one, other)| one != other);
        prop_assert_eq!((paused.0.len(), paused.1, differ), (whole.0.len(), whole.1, None));
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
