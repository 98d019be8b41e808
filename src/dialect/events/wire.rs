//! How bytes travel on a connection: as they are, or through TLS, as its first byte tells.

use log::{debug, warn};

use super::event::Fault;
use super::tls::Tls;
use super::{Events, Outbox};
use crate::clock::Now;
use crate::dialect::ConnId;
use crate::limits;

/// How bytes travel on a connection.
#[derive(Debug)]
pub(super) enum Wire {
    /// The first byte will tell.
    Unknown,
    Plain,
    Tls(Box<Tls>),
}

impl Events {
    /// Finds out by its first byte whether a connection is encrypted.
    pub(super) fn begin(&mut self, now: Now, id: ConnId, first: u8, out: &mut Outbox) {
        let Some(conn) = self.conns.get_mut(id) else { return };
        conn.wire = Wire::Plain;
        let addr = conn.addr;
        if first == b'{' {
            if self.config.tls_required {
                let fault = Fault::new("tls_required", "this server speaks TLS only");
                self.refuse(id, &fault, out);
            }
            return;
        }
        let Some(acceptor) = &self.config.tls else {
            if self.lines.says(now, addr.ip()) {
                warn!("{addr} closed: it wants TLS, and there is no certificate (--tls-cert)");
            }
            return self.end(id, out);
        };
        if !self.commands.allow(now.instant, addr.ip()) {
            debug!("{addr} closed: its address begins too many TLS connections");
            return self.end(id, out);
        }
        self.commands.charge(now.instant, addr.ip(), limits::HANDSHAKE - 1);
        match Tls::new(acceptor) {
            Ok(tls) => conn.wire = Wire::Tls(Box::new(tls)),
            Err(error) => {
                debug!("{addr} closed: {error}");
                self.end(id, out);
            }
        }
    }

    /// Decrypts what came, answers what TLS itself wants answered, and reads the rest.
    pub(super) fn decrypt(&mut self, now: Now, id: ConnId, bytes: &[u8], out: &mut Outbox) {
        let Some(conn) = self.conns.get_mut(id) else { return };
        let Wire::Tls(tls) = &mut conn.wire else { return self.read(now, id, bytes, out) };
        let mut plain = Vec::new();
        let read = tls.read(bytes, &mut plain);
        let closed = tls.is_closed();
        if tls.owes() {
            out.tcp(id, |bytes| tls.flush(bytes));
        }
        let addr = conn.addr;
        self.read(now, id, &plain, out);
        if let Err(error) = &read {
            debug!("{addr} closed: {error}");
        }
        if read.is_err() || closed {
            self.end(id, out);
        }
    }

    /// Sends something to a connection in one piece.
    pub(super) fn send(&mut self, id: ConnId, out: &mut Outbox, fill: impl FnOnce(&mut Vec<u8>)) {
        match self.conns.get_mut(id).map(|conn| &mut conn.wire) {
            None => {}
            Some(Wire::Tls(tls)) => {
                let mut plain = Vec::new();
                fill(&mut plain);
                tls.write(&plain);
                out.tcp(id, |bytes| tls.flush(bytes));
            }
            Some(Wire::Plain | Wire::Unknown) => out.tcp(id, fill),
        }
    }
}
