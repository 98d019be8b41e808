//! Why a measurement is worth nothing.

use std::fmt;
use std::io;

/// Why a measurement was given up.
#[derive(Debug)]
pub enum Failure {
    /// The machine does not do what is needed.
    System {
        /// What was to be done, as an infinitive.
        doing: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// The server said something wrong.
    Wrong(String),
    /// Something took too long.
    Late(String),
}

impl Failure {
    /// For `map_err`: names what failed.
    pub fn system<E: Into<io::Error>>(doing: &'static str) -> impl FnOnce(E) -> Self {
        move |source| Self::System { doing, source: source.into() }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::System { doing, source } => write!(f, "cannot {doing}: {source}"),
            Self::Wrong(what) => write!(f, "wrong: {what}"),
            Self::Late(what) => write!(f, "too late: {what}"),
        }
    }
}

impl std::error::Error for Failure {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::System { source, .. } => Some(source),
            Self::Wrong(_) | Self::Late(_) => None,
        }
    }
}
