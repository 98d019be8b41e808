//! The bytes of a vector: escapes and placeholders, read, filled in, compared, printed.

use std::fmt;

/// No vector needs more than a million bytes at once; a slip of the finger must not fill memory.
const MAX_REPEAT: usize = 4 << 20;

/// Text of a vector with its escapes read and its placeholders still open.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Template(Vec<Part>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Bytes(Vec<u8>),
    Port(String),
    Epoch(Option<String>),
}

/// What a placeholder can ask the player for.
pub trait Facts {
    /// The port of the UDP socket of this peer.
    fn port(&self, peer: &str) -> Option<u16>;
    /// The seconds of the Unix time that are right for this mark, or for now: first and last.
    fn epoch(&self, mark: Option<&str>) -> Option<(u64, u64)>;
}

/// What is wrong with a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TextError {
    /// A backslash with something behind it that is no escape.
    Escape(String),
    /// `{word}` or `{word:...}` with a word that means nothing.
    Placeholder(String),
    /// `{repeat:N:TEXT}` with no usable number.
    Repeat(String),
}

impl fmt::Display for TextError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Escape(what) => write!(f, "unknown escape {what:?}"),
            Self::Placeholder(what) => {
                write!(f, "unknown placeholder {what:?} (there are port, epoch and repeat)")
            }
            Self::Repeat(what) => write!(f, "{what:?}: want {{repeat:NUMBER:TEXT}}, up to 4 MiB"),
        }
    }
}

impl std::error::Error for TextError {}

impl Template {
    /// Reads escapes and placeholders.
    ///
    /// # Errors
    /// If one of them is not known.
    pub fn parse(text: &str) -> Result<Self, TextError> {
        let mut template = Self::default();
        let mut rest = text;
        while let Some(c) = rest.chars().next() {
            let used = match c {
                '\\' => template.push_escape(rest)?,
                '{' => template.push_placeholder(rest)?,
                _ => {
                    let plain = rest.find(['\\', '{']).unwrap_or(rest.len());
                    template.push(&rest.as_bytes()[..plain]);
                    plain
                }
            };
            rest = &rest[used..];
        }
        Ok(template)
    }

    /// Appends plain bytes.
    pub fn push(&mut self, bytes: &[u8]) {
        match self.0.last_mut() {
            Some(Part::Bytes(last)) => last.extend_from_slice(bytes),
            _ if bytes.is_empty() => {}
            _ => self.0.push(Part::Bytes(bytes.to_vec())),
        }
    }

    /// Appends another template.
    pub fn append(&mut self, other: Self) {
        for part in other.0 {
            match part {
                Part::Bytes(bytes) => self.push(&bytes),
                part => self.0.push(part),
            }
        }
    }

    /// The bytes, if no placeholder is open.
    #[must_use]
    pub fn fixed(&self) -> Option<&[u8]> {
        match self.0.as_slice() {
            [] => Some(&[]),
            [Part::Bytes(bytes)] => Some(bytes),
            _ => None,
        }
    }

    /// The peers whose ports are asked for.
    pub fn ports(&self) -> impl Iterator<Item = &str> {
        self.0.iter().filter_map(|part| match part {
            Part::Port(peer) => Some(peer.as_str()),
            _ => None,
        })
    }

    /// The times that are asked for: marks, or `None` for `{epoch}`.
    pub fn epochs(&self) -> impl Iterator<Item = Option<&str>> {
        self.0.iter().filter_map(|part| match part {
            Part::Epoch(mark) => Some(mark.as_deref()),
            _ => None,
        })
    }

    /// Fills the placeholders in; `None` if the player does not know one of them, which a
    /// parsed vector rules out.
    #[must_use]
    pub fn fill(&self, facts: &impl Facts) -> Option<Pattern> {
        let mut pieces = Vec::new();
        for part in &self.0 {
            pieces.push(match part {
                Part::Bytes(bytes) => Piece::Bytes(bytes.clone()),
                Part::Port(peer) => Piece::Bytes(facts.port(peer)?.to_string().into_bytes()),
                Part::Epoch(mark) => {
                    let (first, last) = facts.epoch(mark.as_deref())?;
                    Piece::Seconds { first, last }
                }
            });
        }
        Some(Pattern(pieces))
    }

    fn push_escape(&mut self, rest: &str) -> Result<usize, TextError> {
        let wrong = || TextError::Escape(rest.chars().take(4).collect());
        let second = rest.chars().nth(1).ok_or_else(wrong)?;
        let simple = match second {
            'n' => b'\n',
            'r' => b'\r',
            't' => b'\t',
            '0' => 0,
            '\\' | '"' | '|' => second as u8,
            'x' => {
                let digits = rest.get(2..4).ok_or_else(wrong)?;
                self.push(&[u8::from_str_radix(digits, 16).map_err(|_| wrong())?]);
                return Ok(4);
            }
            'u' => {
                let (digits, _) = rest[2..]
                    .strip_prefix('{')
                    .and_then(|inner| inner.split_once('}'))
                    .ok_or_else(wrong)?;
                let code = u32::from_str_radix(digits, 16).map_err(|_| wrong())?;
                let c = char::from_u32(code).ok_or_else(wrong)?;
                self.push(c.encode_utf8(&mut [0; 4]).as_bytes());
                return Ok(digits.len() + 4);
            }
            _ => return Err(wrong()),
        };
        self.push(&[simple]);
        Ok(2)
    }

    /// A brace that is not followed by a lower-case word means itself, as in JSON.
    fn push_placeholder(&mut self, rest: &str) -> Result<usize, TextError> {
        let word: String = rest[1..].chars().take_while(char::is_ascii_lowercase).collect();
        if word.is_empty() {
            self.push(b"{");
            return Ok(1);
        }
        let inner = rest[1..].split_once('}').map(|(inner, _)| inner);
        let inner = inner.ok_or_else(|| TextError::Placeholder(word.clone()))?;
        let argument = inner[word.len()..].strip_prefix(':');
        match (word.as_str(), argument) {
            ("port", Some(peer)) => self.0.push(Part::Port(peer.to_owned())),
            ("epoch", None) if inner == "epoch" => self.0.push(Part::Epoch(None)),
            ("epoch", Some(mark)) => self.0.push(Part::Epoch(Some(mark.to_owned()))),
            ("repeat", Some(argument)) => self.push(&repeated(argument)?),
            _ => return Err(TextError::Placeholder(inner.to_owned())),
        }
        Ok(inner.len() + 2)
    }
}

fn repeated(argument: &str) -> Result<Vec<u8>, TextError> {
    let wrong = || TextError::Repeat(argument.to_owned());
    let (count, text) = argument.split_once(':').ok_or_else(wrong)?;
    let count: usize = count.parse().map_err(|_| wrong())?;
    let template = Template::parse(text)?;
    let bytes = template.fixed().ok_or_else(wrong)?;
    let length = count.checked_mul(bytes.len()).filter(|n| *n <= MAX_REPEAT).ok_or_else(wrong)?;
    let mut out = Vec::with_capacity(length);
    (0..count).for_each(|_| out.extend_from_slice(bytes));
    Ok(out)
}

/// Bytes to expect, all known but for times.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern(Vec<Piece>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Bytes(Vec<u8>),
    Seconds { first: u64, last: u64 },
}

/// A Unix time has ten digits until the year 2286.
const SECONDS_WIDTH: usize = 10;

/// How received bytes compare with a [`Pattern`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Match {
    /// They begin with it.
    Full,
    /// They may become it when more of them arrive.
    Start,
    /// The byte at this place is wrong.
    Wrong(usize),
}

impl Pattern {
    /// How many bytes it has.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.iter().map(Piece::width).sum()
    }

    /// Whether it has no bytes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The bytes, if there is no time in it.
    #[must_use]
    pub fn bytes(&self) -> Option<Vec<u8>> {
        let mut out = Vec::new();
        for piece in &self.0 {
            let Piece::Bytes(bytes) = piece else { return None };
            out.extend_from_slice(bytes);
        }
        Some(out)
    }

    /// Compares the bytes received so far.
    #[must_use]
    pub fn compare(&self, data: &[u8]) -> Match {
        let mut at = 0;
        for piece in &self.0 {
            let have = &data[at..data.len().min(at + piece.width())];
            if let Some(wrong) = piece.wrong(have) {
                return Match::Wrong(at + wrong);
            }
            if have.len() < piece.width() {
                return Match::Start;
            }
            at += have.len();
        }
        Match::Full
    }
}

impl Piece {
    fn width(&self) -> usize {
        match self {
            Self::Bytes(bytes) => bytes.len(),
            Self::Seconds { .. } => SECONDS_WIDTH,
        }
    }

    /// Where the first byte is that does not belong here.
    fn wrong(&self, have: &[u8]) -> Option<usize> {
        match self {
            Self::Bytes(bytes) => have.iter().zip(bytes).position(|(a, b)| a != b),
            Self::Seconds { first, last } => {
                let stray = have.iter().position(|b| !b.is_ascii_digit());
                let number = std::str::from_utf8(have).ok().and_then(|text| text.parse().ok());
                let fits = have.len() < SECONDS_WIDTH
                    || number.is_some_and(|n| (*first..=*last).contains(&n));
                stray.or(if fits { None } else { Some(0) })
            }
        }
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|piece| match piece {
            Piece::Bytes(bytes) => f.write_str(&show(bytes)),
            Piece::Seconds { first, last } => write!(f, "<{first}..{last}>"),
        })
    }
}

/// Bytes as printable ASCII, with the escapes that vectors use.
#[must_use]
pub fn show(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len());
    for &b in bytes {
        match b {
            b'\\' => out.push_str("\\\\"),
            b'\n' => out.push_str("\\n"),
            b'\r' => out.push_str("\\r"),
            b' '..=b'~' => out.push(b.into()),
            _ => out.push_str(&format!("\\x{b:02x}")),
        }
    }
    out
}
