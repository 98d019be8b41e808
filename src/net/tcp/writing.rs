//! What is written to connections, and what becomes of it where a peer does not read.

use std::io::{self, Write as _};
use std::net::Shutdown;

use log::debug;
use mio::net::TcpStream;
use mio::{Registry, Token};

use super::{Connection, Connections};
use crate::clock::Instant;
use crate::dialect::ConnId;
use crate::limits;
use crate::net::FIRST_CONNECTION;
use crate::net::sys::is_memory_pressure;

/// What a socket did not take at once.
#[derive(Debug, Default)]
pub(super) struct Backlog {
    pub(super) bytes: Vec<u8>,
    /// How much of that it took since.
    pub(super) sent: usize,
}

impl Connections {
    /// Some connections that were written to and have not read for too long, or not all of the last.
    pub(in crate::net) fn slow_readers(&mut self, now: Instant) -> Vec<ConnId> {
        let due = || self.unread.pop_due(now).or_else(|| self.leaving.pop_due(now));
        std::iter::from_fn(due).take(limits::CLOSED_AT_ONCE).collect()
    }

    /// Writes bytes in one write; what the socket does not take is kept. False: it is lost.
    pub(in crate::net) fn write(
        &mut self,
        now: Instant,
        id: ConnId,
        bytes: &[u8],
        registry: &Registry,
    ) -> bool {
        let Some(conn) = self.slab.get_mut(id.slot as usize) else { return true };
        if conn.generation != id.generation {
            return true;
        }
        let mut written = 0;
        let was_empty = conn.backlog.is_none();
        if was_empty {
            match write_some(&mut conn.stream, bytes) {
                Ok(Wrote::All) => return true,
                Ok(Wrote::Some(length)) => written = length,
                Ok(Wrote::Starved(length)) => {
                    written = length;
                    self.starved.arm(now, id);
                }
                Err(error) => {
                    debug!("connection {} lost while writing: {error}", id.slot);
                    return false;
                }
            }
            self.unread.arm(now, id);
        }
        let rest = bytes.get(written..).unwrap_or_default();
        let backlog = conn.backlog.get_or_insert_default();
        if backlog.sent > backlog.bytes.len() / 2 {
            // A peer that reads all the time, but never all of it, must not pay for what it has
            // read.
            backlog.bytes.drain(..backlog.sent);
            self.unread_bytes -= std::mem::take(&mut backlog.sent);
        }
        if backlog.bytes.len() + rest.len() > self.limits.unread() {
            debug!("connection {} lost: its peer asks for more than it reads", id.slot);
            return false;
        }
        backlog.bytes.extend_from_slice(rest);
        self.unread_bytes += rest.len();
        !was_empty || rewatch(conn, id, registry)
    }

    /// If all peers together have left too much unread: takes away what is kept for the one that
    /// has read nothing for the longest, and tells who is lost by that. So those who do not read
    /// make room for those who do.
    pub(in crate::net) fn take_unread(&mut self) -> Option<ConnId> {
        if self.unread_bytes <= self.limits.total() {
            return None;
        }
        let id = self.unread.pop()?;
        let conn = self.slab.get_mut(id.slot as usize)?;
        self.unread_bytes -= conn.backlog.take().map_or(0, |backlog| backlog.bytes.len());
        // What may still be written in this turn must not follow a gap.
        let _ = conn.stream.shutdown(Shutdown::Both);
        debug!("connection {} lost: its peer does not read and others do", id.slot);
        Some(id)
    }

    /// Writes what was kept, if the socket takes it. False: the connection is lost.
    pub(in crate::net) fn flush(&mut self, now: Instant, id: ConnId, registry: &Registry) -> bool {
        let Some(conn) = self.slab.get_mut(id.slot as usize) else { return true };
        if conn.generation != id.generation {
            return true;
        }
        let Some(backlog) = &mut conn.backlog else { return true };
        let rest = backlog.bytes.get(backlog.sent..).unwrap_or_default();
        let length = match write_some(&mut conn.stream, rest) {
            Ok(Wrote::All) => rest.len(),
            Ok(Wrote::Some(length)) => length,
            Ok(Wrote::Starved(length)) => {
                self.starved.arm(now, id);
                length
            }
            Err(_) => return false,
        };
        backlog.sent += length;
        if length > 0 {
            self.unread.arm(now, id);
        }
        if backlog.sent < backlog.bytes.len() {
            return true;
        }
        self.unread_bytes -= backlog.bytes.len();
        conn.backlog = None;
        self.unread.cancel(&id);
        if conn.closing {
            self.end(id);
            return true;
        }
        rewatch(conn, id, registry)
    }

    /// Bytes that were written to a connection and that it has not taken.
    pub(in crate::net) fn unread(&self, id: ConnId) -> usize {
        let conn = self.slab.get(id.slot as usize).filter(|conn| conn.generation == id.generation);
        let backlog = conn.and_then(|conn| conn.backlog.as_ref());
        backlog.map_or(0, |backlog| backlog.bytes.len() - backlog.sent)
    }

    /// Whether a connection has not taken yet what was written to it.
    pub(in crate::net) fn owe(&self) -> bool {
        self.slab.iter().any(|(_, conn)| conn.backlog.is_some())
    }
}

/// Tells the kernel whether we wait for room to write. False: the connection is lost.
fn rewatch(conn: &mut Connection, id: ConnId, registry: &Registry) -> bool {
    let token = Token(FIRST_CONNECTION + id.slot as usize);
    let interest = conn.interest();
    !conn.watched || registry.reregister(&mut conn.stream, token, interest).is_ok()
}

/// How much a socket took.
enum Wrote {
    All,
    Some(usize),
    /// So much, for lack of kernel memory. Nothing will tell when it has some again.
    Starved(usize),
}

/// Writes as much as the socket takes now.
fn write_some(stream: &mut TcpStream, bytes: &[u8]) -> io::Result<Wrote> {
    let mut written = 0;
    while let Some(rest @ [_, ..]) = bytes.get(written..) {
        match stream.write(rest) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(length) => written += length,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                return Ok(Wrote::Some(written));
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if is_memory_pressure(&error) => return Ok(Wrote::Starved(written)),
            Err(error) => return Err(error),
        }
    }
    Ok(Wrote::All)
}
