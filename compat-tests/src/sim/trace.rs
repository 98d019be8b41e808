//! What happened, as a number that is the same only if everything was, and on request as text.

use std::net::SocketAddr;

use punchd::clock::Instant;
use punchd::dialect::ConnId;

/// Whom an input or output is about.
#[derive(Clone, Copy, Debug)]
pub enum Who {
    /// The server as a whole.
    Server,
    /// A connection.
    Conn(ConnId),
    /// Somebody by UDP.
    Peer(SocketAddr),
}

/// Everything that went into the server and came out of it.
#[derive(Clone, Debug)]
pub struct Trace {
    hash: u64,
    lines: Option<Vec<String>>,
}

impl Trace {
    /// A trace of nothing; with `text` it can be read afterwards.
    #[must_use]
    pub fn new(text: bool) -> Self {
        Self { hash: 0xCBF2_9CE4_8422_2325, lines: text.then(Vec::new) }
    }

    /// Notes an input or output: what it is, whom it is about, its bytes.
    pub fn note(&mut self, now: Instant, what: &'static str, who: Who, bytes: &[u8]) {
        self.mix(&now.micros().to_le_bytes());
        self.mix(what.as_bytes());
        match who {
            Who::Server => {}
            Who::Conn(id) => {
                self.mix(&(u64::from(id.slot) << 32 | u64::from(id.generation)).to_le_bytes())
            }
            Who::Peer(SocketAddr::V4(peer)) => {
                self.mix(&peer.ip().octets());
                self.mix(&peer.port().to_le_bytes());
            }
            Who::Peer(SocketAddr::V6(peer)) => {
                self.mix(&peer.ip().octets());
                self.mix(&peer.port().to_le_bytes());
            }
        }
        self.mix(bytes);
        if let Some(lines) = &mut self.lines {
            lines.push(line(now, what, who, bytes));
        }
    }

    /// The number.
    #[must_use]
    pub fn hash(&self) -> u64 {
        self.hash
    }

    /// The text, line by line.
    #[must_use]
    pub fn lines(&self) -> &[String] {
        self.lines.as_deref().unwrap_or_default()
    }

    /// FNV-1a.
    fn mix(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.hash = (self.hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01B3);
        }
    }
}

fn line(now: Instant, what: &str, who: Who, bytes: &[u8]) -> String {
    let seconds = now.micros() / 1_000_000;
    let micros = now.micros() % 1_000_000;
    let who = match who {
        Who::Server => String::new(),
        Who::Conn(id) => format!("#{}", id.generation),
        Who::Peer(peer) => peer.to_string(),
    };
    let bytes = bytes.escape_ascii().to_string().replace("\\x00", "\\0");
    format!("{seconds:5}.{micros:06} {what:8} {who:21} {bytes}")
}
