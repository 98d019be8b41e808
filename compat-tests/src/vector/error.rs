//! What can be wrong with the text of a vector.

use std::fmt;

use super::Socket;
use super::text::TextError;

/// What is wrong with a vector, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParseError {
    /// The number of the line, from 1.
    pub line: usize,
    /// What is wrong with it.
    pub wrong: Wrong,
}

/// What can be wrong with a line.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the messages below say what each of them means")]
pub enum Wrong {
    NoTitle,
    NoWhy,
    NoSteps,
    Head(String),
    Twice(String),
    Indented,
    Name(String),
    Step(String),
    Address(String),
    NoAddress(String),
    Time(String),
    Bracket,
    Option(String),
    Quote,
    Words(String),
    NotPlain(String),
    Text(TextError),
    Open(Socket),
    NotOpen(Socket),
    NoPort(String),
    Mark(String),
    TimeSent,
    Nothing,
    Below(String),
}

impl From<TextError> for Wrong {
    fn from(error: TextError) -> Self {
        Self::Text(error)
    }
}

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoTitle => write!(f, "the head has no \"title:\""),
            Self::NoWhy => write!(f, "the head has no \"why:\""),
            Self::NoSteps => write!(f, "there are no steps"),
            Self::Head(line) => write!(f, "{line:?}: want title:, why:, old: or server:"),
            Self::Twice(key) => write!(f, "\"{key}:\" is there twice"),
            Self::Indented => write!(f, "an indented line needs one above that it belongs to"),
            Self::Name(text) => write!(f, "{text:?} does not begin with a name (a-z 0-9 - _)"),
            Self::Step(text) => write!(f, "{text:?} is no step"),
            Self::Address(text) => write!(f, "{text:?} is no address like 127.0.42.11"),
            Self::NoAddress(peer) => write!(f, "{peer:?} has no address so far"),
            Self::Time(text) => write!(f, "{text:?} is no time like 80ms or 2s (60s at most)"),
            Self::Bracket => write!(f, "a [ without its ]"),
            Self::Option(text) => write!(f, "this step has no option {text:?}"),
            Self::Quote => write!(f, "a quote is missing, or a space behind one"),
            Self::Words(want) => write!(f, "want {want}"),
            Self::NotPlain(text) => write!(f, "{text:?} has to be UTF-8 without placeholders"),
            Self::Text(error) => error.fmt(f),
            Self::Open(socket) => write!(f, "\"{socket}\" was opened before"),
            Self::NotOpen(socket) => write!(f, "\"{socket}\" is not open here"),
            Self::NoPort(peer) => write!(f, "{peer:?} has no UDP socket so far"),
            Self::Mark(mark) => write!(f, "there is no mark {mark:?} so far"),
            Self::TimeSent => write!(f, "{{epoch}} cannot be sent"),
            Self::Nothing => write!(f, "there are no bytes"),
            Self::Below(text) => write!(f, "{text:?} does not belong below this step"),
        }
    }
}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.wrong)
    }
}

impl std::error::Error for ParseError {}
