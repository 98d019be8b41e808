//! Where a JSON object ends: cuts a stream of bytes into objects, however the network cut it.
//! Every byte is looked at once. What is inside an object is not judged here, but for how long
//! and how deep it is.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::event::Fault;
use crate::limits;
use crate::refusals::Reason;

/// Why a stream cannot be read any further.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrameError {
    /// An object is longer than [`limits::OBJECT`].
    TooLong,
    /// An object has more than [`limits::NESTING`] levels.
    TooDeep,
    /// Between two objects stands something else.
    NoObject,
    /// A bracket is closed that is not open.
    Bracket,
}

impl FrameError {
    /// The word for it on the wire.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::TooLong => "too_long",
            Self::TooDeep => "too_deep",
            Self::NoObject | Self::Bracket => "bad_json",
        }
    }
}

impl From<FrameError> for Fault {
    fn from(error: FrameError) -> Self {
        let reason = match error {
            FrameError::TooLong | FrameError::TooDeep => Reason::TooLong,
            FrameError::NoObject | FrameError::Bracket => Reason::Malformed,
        };
        Self::new(error.code(), error.to_string()).because(reason)
    }
}

impl fmt::Display for FrameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong => write!(f, "an event has at most {} bytes", limits::OBJECT),
            Self::TooDeep => write!(f, "an event has at most {} levels", limits::NESTING),
            Self::NoObject => f.write_str("an event is a JSON object"),
            Self::Bracket => f.write_str("this is not JSON: a bracket is closed that is not open"),
        }
    }
}

impl std::error::Error for FrameError {}

/// Whether to go on reading.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Go {
    /// With the next object.
    On,
    /// Later, with what is left.
    Later,
    /// Not at all: the connection is closed.
    Stop,
}

/// What is known of a stream: the object that is not complete yet, and where in it we are.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Framer {
    #[serde(with = "crate::state::bytes")]
    begun: Vec<u8>,
    /// How many brackets are open; zero between objects.
    depth: usize,
    /// Which of them are square, a bit each, the innermost last.
    square: u64,
    text: Text,
    /// How many bytes of a byte order mark stand between two objects so far.
    mark: usize,
}

/// U+FEFF, which some programs write before the first text or before each.
const MARK: &[u8; 3] = b"\xef\xbb\xbf";

/// A bit for each level.
const _: () = assert!(limits::NESTING <= u64::BITS as usize);

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
enum Text {
    #[default]
    Outside,
    Inside,
    /// Behind a backslash.
    Escape,
}

impl Framer {
    /// Bytes of the object that is not complete.
    #[must_use]
    pub fn size(&self) -> usize {
        self.begun.len()
    }

    /// The beginning of a byte order mark of which the rest has not come: it is not taken to have been there.
    pub(super) fn take_mark(&mut self) -> &'static [u8] {
        MARK.get(..std::mem::take(&mut self.mark)).unwrap_or_default()
    }

    /// Reads the next bytes of the stream and hands out the objects that are complete with them.
    /// Returns what has not been read, if it was told to go on later: that comes first then.
    ///
    /// # Errors
    /// If no event can begin or go on like that; nothing can be read after it.
    pub fn read<'a>(
        &mut self,
        chunk: &'a [u8],
        mut each: impl FnMut(&[u8]) -> Go,
    ) -> Result<&'a [u8], FrameError> {
        let mut rest = chunk;
        loop {
            if self.depth == 0 {
                rest = self.skip_space(rest);
                match rest.first() {
                    None => return Ok(&[]),
                    Some(b'{') if self.mark == 0 => {}
                    Some(_) => return Err(FrameError::NoObject),
                }
            }
            let room = limits::OBJECT - self.begun.len();
            let (window, beyond) = rest.split_at(rest.len().min(room));
            let Some(end) = self.find_end(window)? else {
                if window.len() == room {
                    return Err(FrameError::TooLong);
                }
                self.begun.extend_from_slice(window);
                debug_assert!(beyond.is_empty());
                return Ok(&[]);
            };
            let (object, after) = rest.split_at(end);
            rest = after;
            let go = if self.begun.is_empty() {
                each(object)
            } else {
                self.begun.extend_from_slice(object);
                each(&std::mem::take(&mut self.begun))
            };
            match go {
                Go::On => {}
                Go::Later => return Ok(self.skip_space(rest)),
                Go::Stop => return Ok(&[]),
            }
        }
    }

    /// Skips what may stand between two objects: what JSON calls white space (RFC 8259, section 2), NULs,
    /// which C and GameMaker write behind a text, and byte order marks.
    fn skip_space<'a>(&mut self, mut bytes: &'a [u8]) -> &'a [u8] {
        while let [first, rest @ ..] = bytes {
            if MARK.get(self.mark) == Some(first) {
                self.mark = (self.mark + 1) % MARK.len();
            } else if self.mark > 0 || !matches!(first, b' ' | b'\t' | b'\n' | b'\r' | 0) {
                break;
            }
            bytes = rest;
        }
        bytes
    }

    /// Goes on through an object; returns where it ends, if it does.
    fn find_end(&mut self, bytes: &[u8]) -> Result<Option<usize>, FrameError> {
        let mut matters = self.text.what_matters();
        for (n, &byte) in bytes.iter().enumerate() {
            // Nearly all bytes are passed over here.
            if !matters.has(byte) {
                continue;
            }
            match (self.text, byte) {
                (Text::Inside, b'"') => self.text = Text::Outside,
                (Text::Inside, b'\\') => self.text = Text::Escape,
                (Text::Inside, _) => {}
                (Text::Escape, _) => self.text = Text::Inside,
                (Text::Outside, b'"') => self.text = Text::Inside,
                (Text::Outside, b'{' | b'[') => {
                    self.depth += 1;
                    self.square = self.square << 1 | u64::from(byte == b'[');
                    if self.depth > limits::NESTING {
                        return Err(FrameError::TooDeep);
                    }
                }
                (Text::Outside, b'}' | b']') => {
                    if self.square & 1 != u64::from(byte == b']') {
                        return Err(FrameError::Bracket);
                    }
                    self.square >>= 1;
                    self.depth -= 1;
                    if self.depth == 0 {
                        return Ok(Some(n + 1));
                    }
                }
                (Text::Outside, _) => {}
            }
            matters = self.text.what_matters();
        }
        Ok(None)
    }
}

/// Which bytes have to be looked at.
struct Bytes([bool; 256]);

impl Bytes {
    #[expect(clippy::indexing_slicing, reason = "there is one for each byte")]
    fn has(&self, byte: u8) -> bool {
        self.0[usize::from(byte)]
    }

    #[expect(clippy::indexing_slicing, reason = "the compiler computes it, and would stop")]
    const fn these(which: &[u8]) -> Self {
        let mut bytes = [false; 256];
        let mut n = 0;
        while n < which.len() {
            bytes[which[n] as usize] = true;
            n += 1;
        }
        Self(bytes)
    }
}

impl Text {
    fn what_matters(self) -> &'static Bytes {
        static OUTSIDE: Bytes = Bytes::these(b"{}[]\"");
        static INSIDE: Bytes = Bytes::these(b"\"\\");
        static ALL: Bytes = Bytes([true; 256]);
        match self {
            Self::Outside => &OUTSIDE,
            Self::Inside => &INSIDE,
            Self::Escape => &ALL,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::{Deserializer, Value, json};

    /// The objects of a stream that came in these pieces, and how it ended.
    fn read<'a>(
        pieces: impl IntoIterator<Item = &'a [u8]>,
    ) -> (Vec<Vec<u8>>, Result<(), FrameError>) {
        let mut framer = Framer::default();
        let mut objects = Vec::new();
        for piece in pieces {
            let read = framer.read(piece, |object| {
                objects.push(object.to_vec());
                Go::On
            });
            if read.is_err() {
                return (objects, read.map(|_| ()));
            }
        }
        (objects, Ok(()))
    }

    /// A stream and the places where it is cut.
    fn cut<'a>(bytes: &'a [u8], cuts: &[usize]) -> Vec<&'a [u8]> {
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut % (bytes.len() + 1)).collect();
        cuts.extend([0, bytes.len()]);
        cuts.sort_unstable();
        cuts.windows(2).map(|pair| &bytes[pair[0]..pair[1]]).collect()
    }

    fn value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<i64>().prop_map(Value::from),
            "[\\x00-\\x7f\u{e9}\u{1F3AE}]{0,12}".prop_map(Value::from),
        ];
        leaf.prop_recursive(6, 40, 5, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
                prop::collection::btree_map("[\"\\\\{}a]{0,3}", inner, 0..5)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    fn object() -> impl Strategy<Value = Value> {
        ("[{}\"\\\\]{0,3}", value()).prop_map(|(key, value)| json!({ key: value }))
    }

    /// Valid objects, with or without white space, and garbage that looks like some.
    fn stream() -> impl Strategy<Value = Vec<u8>> {
        let good = prop::collection::vec((object(), any::<bool>(), "[ \t\r\n]{0,3}"), 0..5)
            .prop_map(|parts| {
                let written = |(object, pretty, space): (Value, bool, String)| {
                    let text = if pretty {
                        serde_json::to_string_pretty(&object).unwrap()
                    } else {
                        object.to_string()
                    };
                    text + &space
                };
                parts.into_iter().map(written).collect::<String>().into_bytes()
            });
        let bad = prop::collection::vec(
            prop::sample::select(b"{{{}}}[]\"\"\\ \n:,a1\xff\0\xef\xbb\xbf".to_vec()),
            0..200,
        );
        prop_oneof![good, bad]
    }

    proptest! {
        #[test]
        fn cuts_make_no_difference(bytes in stream(), cuts in prop::collection::vec(any::<usize>(), 0..8)) {
            prop_assert_eq!(read(cut(&bytes, &cuts)), read([&bytes[..]]));
        }

        /// Whoever is read one object at a time has said the same.
        #[test]
        fn pauses_make_no_difference(bytes in stream(), cuts in prop::collection::vec(any::<usize>(), 0..4)) {
            let mut framer = Framer::default();
            let mut objects = Vec::new();
            let mut end = Ok(());
            'all: for piece in cut(&bytes, &cuts) {
                let mut rest = piece;
                while !rest.is_empty() {
                    let read = framer.read(rest, |object| {
                        objects.push(object.to_vec());
                        Go::Later
                    });
                    match read {
                        Ok(left) => rest = left,
                        Err(error) => {
                            end = Err(error);
                            break 'all;
                        }
                    }
                }
            }
            prop_assert_eq!((objects, end), read([&bytes[..]]));
        }

        #[test]
        fn it_agrees_with_serde_json(
            objects in prop::collection::vec((object(), "[ \t\r\n]{0,2}"), 0..6),
            cuts in prop::collection::vec(any::<usize>(), 0..8),
        ) {
            let text: String = objects.iter().map(|(object, space)| format!("{object}{space}")).collect();
            let theirs: Vec<Value> =
                Deserializer::from_str(&text).into_iter().map(Result::unwrap).collect();
            let (ours, end) = read(cut(text.as_bytes(), &cuts));
            let ours: Vec<Value> =
                ours.iter().map(|object| serde_json::from_slice(object).unwrap()).collect();
            prop_assert_eq!(ours, theirs);
            prop_assert_eq!(end, Ok(()));
        }

        #[test]
        fn any_bytes_are_read(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let (objects, _) = read([&bytes[..], &bytes[..]]);
            let all_begin = objects.iter().all(|object| object.first() == Some(&b'{'));
            prop_assert!(all_begin);
        }
    }

    #[test]
    fn an_object_may_have_64_kib_and_not_more() {
        let of_length = |length: usize| format!("{{\"a\":\"{}\"}}", "x".repeat(length - 8));
        let longest = of_length(limits::OBJECT);
        assert_eq!(longest.len(), 64 * 1024);
        let longer = of_length(limits::OBJECT + 1);
        for pieces in [1, 7, 4096, limits::OBJECT] {
            let twice = format!("{longest} {longest}");
            let (objects, end) = read(twice.as_bytes().chunks(pieces));
            assert_eq!((objects.len(), end), (2, Ok(())), "in pieces of {pieces}");
            let both = format!("{longest}{longer}");
            let (objects, end) = read(both.as_bytes().chunks(pieces));
            assert_eq!((objects.len(), end), (1, Err(FrameError::TooLong)), "pieces of {pieces}");
        }
    }

    #[test]
    fn an_object_may_have_64_levels_and_not_more() {
        let deep = |levels: usize| {
            format!("{{\"a\":{}{}}}", "[".repeat(levels - 1), "]".repeat(levels - 1))
        };
        assert_eq!(read([deep(64).as_bytes()]).1, Ok(()));
        assert_eq!(read([deep(65).as_bytes()]).1, Err(FrameError::TooDeep));
        let bomb = "{\"a\":".repeat(1_000_000);
        assert_eq!(read([bomb.as_bytes()]).1, Err(FrameError::TooDeep));
    }

    #[test]
    fn brackets_in_texts_are_text() {
        let tricky = br#"{"}":"{\"\\","x":"\\\\\""}{"n":[{}]}"#;
        let (objects, end) = read(tricky.chunks(1));
        assert_eq!(end, Ok(()));
        assert_eq!(objects, [&tricky[..26], &tricky[26..]]);
    }

    #[test]
    fn nothing_but_objects_stands_in_a_stream() {
        for bad in ["{]", "{\"a\":[}", "{\"a\":{]}"] {
            assert_eq!(read([bad.as_bytes()]).1, Err(FrameError::Bracket), "{bad:?}");
        }
        for bad in ["1", "[]", "\"\"", "}", "]", ",", "{},{}", "nul", "\x0c{}"] {
            assert_eq!(read([bad.as_bytes()]).1, Err(FrameError::NoObject), "{bad:?}");
        }
    }

    #[test]
    fn nuls_and_byte_order_marks_may_stand_between_objects() {
        let stream = b"\0\xef\xbb\xbf{}\0\0\n\xef\xbb\xbf\r\n{}\0";
        for size in 1..stream.len() {
            assert_eq!(read(stream.chunks(size)), (vec![b"{}".to_vec(); 2], Ok(())), "{size}");
        }
        for bad in [&b"{}\xef{}"[..], b"\xef\xbb {}", b"\xbb\xbf{}", b"\xef\xbb\xbe{}"] {
            assert_eq!(read([bad]).1, Err(FrameError::NoObject), "{bad:?}");
        }
        for bad in ["{\"a\":\0}", "{\"a\0\":1}"] {
            let (objects, _) = read([bad.as_bytes()]);
            assert!(serde_json::from_slice::<Value>(&objects[0]).is_err(), "inside it is wrong");
        }
    }

    /// Whoever sends 64 KiB byte by byte costs no more than once through them.
    #[test]
    fn a_begun_object_is_kept_once() {
        let mut framer = Framer::default();
        framer.read(b"  {\"a\":\"", |_| Go::On).unwrap();
        assert_eq!(framer.size(), 6);
        framer.read(b"\"}  ", |_| Go::On).unwrap();
        assert_eq!(framer.size(), 0);
    }
}
