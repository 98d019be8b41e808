//! Reads files that the owner has named, and never waits for anybody: only regular files are read.

use std::fmt;
use std::fs::OpenOptions;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use super::sys;

/// Longest file in bytes: a chain of certificates with RSA keys has less than 10 KiB, and 50,000 networks
/// have less than this.
pub const LONGEST: u64 = 1 << 20;

/// Why a file cannot be read.
#[derive(Debug)]
pub enum ReadError {
    /// The system says so.
    System(PathBuf, io::Error),
    /// This is no regular file, and to read from it could take for ever.
    NoFile(PathBuf),
    /// It has more than [`LONGEST`] bytes.
    TooLong(PathBuf),
}

impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::System(path, error) => write!(
                f,
                "cannot read {}: {error}: check the path and that this user may read it",
                path.display()
            ),
            Self::NoFile(path) => {
                write!(f, "{} is not a regular file: name the file itself", path.display())
            }
            Self::TooLong(path) => write!(
                f,
                "{} has more than {LONGEST} bytes: is that the right file?",
                path.display()
            ),
        }
    }
}

impl std::error::Error for ReadError {}

/// All that is in a regular file.
///
/// # Errors
/// If it cannot be read, is something else, or is too long.
pub fn read(path: &Path) -> Result<Vec<u8>, ReadError> {
    let failed = |error| ReadError::System(path.to_owned(), error);
    // Opening a FIFO would wait for somebody who writes to it.
    let opened = sys::open_at_once(OpenOptions::new().read(true), path);
    let file = opened.map_err(|error| match path.is_dir() {
        // Some systems do not even open it.
        true => ReadError::NoFile(path.to_owned()),
        false => failed(error),
    })?;
    if !file.metadata().map_err(failed)?.is_file() {
        return Err(ReadError::NoFile(path.to_owned()));
    }
    let mut bytes = Vec::new();
    file.take(LONGEST + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > LONGEST {
        return Err(ReadError::TooLong(path.to_owned()));
    }
    Ok(bytes)
}
