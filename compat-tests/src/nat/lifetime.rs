//! How long the NAT keeps a mapping that nobody uses (RFC 5780, section 4.6).

use std::fmt;
use std::time::{Duration, Instant};

use super::{Error, Options, Stun};

/// Waits that are tried, spread evenly over the longest.
const WAITS: u32 = 30;

/// How often the server is asked to answer to a mapping: packets get lost.
const ASKS: usize = 3;

/// How long a mapping lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lifetime {
    /// At least so long.
    pub alive: Duration,
    /// Less than this; none if it outlived the longest wait.
    pub dead: Option<Duration>,
}

impl fmt::Display for Lifetime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.dead {
            Some(dead) => write!(f, "between {:.1?} and {dead:.1?}", self.alive),
            None => write!(f, "more than {:.1?}", self.alive),
        }
    }
}

/// Finds out how long a mapping lives, up to `longest`. One mapping is made for each of the waits
/// at once, and each is tried when its time has come, so that all takes no longer than the
/// longest; `progress` is told of each.
///
/// # Errors
/// If the server does not answer, or not to a port that it is to answer to, or sockets fail.
pub fn lifetime(
    options: &Options,
    longest: Duration,
    mut progress: impl FnMut(Duration, bool),
) -> Result<Lifetime, Error> {
    let fresh = Stun::open(options)?;
    let mapped = fresh.ask(options.server, 0)?.mapped;
    if !is_alive(options, &fresh, mapped.port())? {
        return Err(Error::NoResponsePort { server: options.server });
    }
    let mut mappings = Vec::new();
    for n in 1..=WAITS {
        let stun = Stun::open(options)?;
        let mapped = stun.ask(options.server, 0)?.mapped;
        mappings.push((Instant::now(), longest * n / WAITS, stun, mapped.port()));
    }
    let mut alive = Duration::ZERO;
    for (made, wait, stun, port) in mappings {
        let due = made + wait;
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        let lives = is_alive(options, &stun, port)?;
        progress(wait, lives);
        if !lives {
            return Ok(Lifetime { alive, dead: Some(wait) });
        }
        alive = wait;
    }
    Ok(Lifetime { alive, dead: None })
}

/// Has the server send something to a mapping, at the wish of another socket: so the mapping
/// itself is not used from inside.
fn is_alive(options: &Options, stun: &Stun, port: u16) -> Result<bool, Error> {
    let asker = Stun::open(options)?;
    let mut ids = Vec::new();
    for _ in 0..ASKS {
        ids.push(asker.ask_for(port)?);
        if stun.gets(&ids, options.patience)? {
            return Ok(true);
        }
    }
    Ok(false)
}
