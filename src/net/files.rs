//! The limit of open files. Every connection is one, and the usual soft limit of 1024 would be
//! reached by a thousand players.

use std::fmt;
use std::io;

use log::warn;

use super::sys;

/// Descriptors that are no connections: listeners, poll, log, standard streams, and some room.
const OTHERS: u64 = 64;

/// With room for fewer connections than this nobody is served who did not ask for so few: a player who
/// joins takes two.
const LEAST: usize = 16;

/// Why the configured number of connections cannot be had.
#[derive(Debug)]
pub enum FilesError {
    /// The hard limit is too low.
    TooFew {
        /// Connections asked for.
        connections: usize,
        /// Sockets besides, of the relay.
        sockets: usize,
        /// Files needed for them.
        needed: u64,
        /// Files allowed.
        hard: u64,
    },
    /// The limit could not be read or set.
    System(io::Error),
}

impl fmt::Display for FilesError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooFew { connections, sockets, needed, hard } => {
                write!(
                    f,
                    "{connections} connections need {needed} open files, but only {hard} are \
                     allowed; {}",
                    sys::how_to_raise(*needed)
                )?;
                match hard.saturating_sub(OTHERS + *sockets as u64) {
                    0 => Ok(()),
                    fewer => write!(f, ", or ask for fewer with --max-connections {fewer}"),
                }
            }
            Self::System(error) => write!(f, "cannot set the limit of open files: {error}"),
        }
    }
}

impl std::error::Error for FilesError {}

/// Makes room for that many connections, and sockets besides: raises the soft limit, and the hard one where the system
/// allows it.
///
/// # Errors
/// If the hard limit is too low.
pub fn make_room(connections: usize, sockets: usize) -> Result<(), FilesError> {
    let needed = connections as u64 + sockets as u64 + OTHERS;
    let (soft, hard) = sys::open_files().map_err(FilesError::System)?;
    if soft >= needed {
        return Ok(());
    }
    if hard >= needed {
        return sys::allow_files(needed, hard).map_err(FilesError::System);
    }
    // Only root may do this; for everybody else it fails.
    sys::allow_files(needed, needed).map_err(|_| FilesError::TooFew {
        connections,
        sockets,
        needed,
        hard,
    })
}

/// As many connections as the limits allow, up to `wanted`, beside that many sockets.
///
/// # Errors
/// If they allow next to none.
pub fn make_room_for_most(wanted: usize, sockets: usize) -> Result<usize, FilesError> {
    if make_room(wanted, sockets).is_ok() {
        return Ok(wanted);
    }
    let (soft, hard) = sys::open_files().unwrap_or((1024, 1024));
    let soft = if sys::allow_files(hard, hard).is_ok() { hard } else { soft };
    let others = OTHERS + sockets as u64;
    let most = usize::try_from(soft.saturating_sub(others)).unwrap_or(wanted).min(wanted);
    let needed = wanted as u64 + others;
    if most < LEAST {
        return Err(FilesError::TooFew { connections: wanted, sockets, needed, hard: soft });
    }
    warn!(
        "the limit of open files allows only {most} connections, instead of {wanted}; {}, or ask for \
         no more with --max-connections {most}",
        sys::how_to_raise(needed)
    );
    Ok(most)
}
