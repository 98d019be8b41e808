//! TLS as a machine that turns bytes into bytes: rustls without its sockets. Nothing waits and
//! nothing blocks here; signing with the server's key is the most expensive thing it does.

use std::io::{Read, Write};
use std::sync::{Arc, PoisonError, RwLock};

use rustls::crypto::ring;
use rustls::server::{ClientHello, NoServerSessionStorage, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{Error, ServerConfig, ServerConnection};

/// What makes TLS connections: the certificate that new ones get can be replaced while others
/// live on.
#[derive(Clone, Debug)]
pub struct Acceptor {
    config: Arc<ServerConfig>,
    current: Arc<Current>,
}

/// The certificate of today. rustls asks for it from wherever it runs, hence the lock; here it is
/// always the one thread.
#[derive(Debug)]
struct Current(RwLock<Arc<CertifiedKey>>);

impl ResolvesServerCert for Current {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner)))
    }
}

impl Acceptor {
    /// Makes connections with this certificate, of TLS 1.3 or 1.2.
    ///
    /// # Errors
    /// If rustls does not like its own defaults.
    pub fn new(key: CertifiedKey) -> Result<Self, Error> {
        let current = Arc::new(Current(RwLock::new(Arc::new(key))));
        let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_cert_resolver(Arc::<Current>::clone(&current));
        // A game connects once and stays, so there is nothing to resume, and nothing to remember
        // for those who are gone.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        Ok(Self { config: Arc::new(config), current })
    }

    /// New connections get this certificate from now on.
    pub fn replace(&self, key: CertifiedKey) {
        *self.current.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(key);
    }
}

impl PartialEq for Acceptor {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.config, &other.config)
    }
}

impl Eq for Acceptor {}

/// One TLS connection.
#[derive(Debug)]
pub struct Tls {
    connection: ServerConnection,
    record: Record,
    closed: bool,
}

impl Tls {
    /// A connection whose client hello has not been read yet.
    ///
    /// # Errors
    /// If the system has no random numbers.
    pub fn new(acceptor: &Acceptor) -> Result<Self, Error> {
        let mut connection = ServerConnection::new(Arc::clone(&acceptor.config))?;
        // What is written is flushed at once, and bounded behind that.
        connection.set_buffer_limit(None);
        Ok(Self { connection, record: Record::default(), closed: false })
    }

    /// Reads what came from the network; appends to `plain` what the peer has said with it. There
    /// may be something to [`flush`](Self::flush) after it, even after an error.
    ///
    /// # Errors
    /// If this is not TLS, or not as it has to be.
    pub fn read(&mut self, mut bytes: &[u8], plain: &mut Vec<u8>) -> Result<(), Error> {
        self.record.advance(bytes);
        while !bytes.is_empty() {
            let failed = |error: std::io::Error| Error::General(error.to_string());
            if self.connection.read_tls(&mut bytes).map_err(failed)? == 0 {
                // The peer has said goodbye; what follows is none of our business.
                return Ok(());
            }
            let state = self.connection.process_new_packets()?;
            self.closed = state.peer_has_closed();
            let length = state.plaintext_bytes_to_read() as u64;
            self.connection.reader().take(length).read_to_end(plain).map_err(failed)?;
        }
        Ok(())
    }

    /// Encrypts what is to be said.
    pub fn write(&mut self, plain: &[u8]) {
        // Into memory, which has room: see `new`.
        let written = self.connection.writer().write_all(plain);
        debug_assert!(written.is_ok());
    }

    /// Says goodbye.
    pub fn close(&mut self) {
        self.connection.send_close_notify();
    }

    /// Whether the peer has said goodbye.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.closed
    }

    /// Whether there is something for the network.
    #[must_use]
    pub fn owes(&self) -> bool {
        self.connection.wants_write()
    }

    /// Appends what is for the network.
    pub fn flush(&mut self, bytes: &mut Vec<u8>) {
        while self.connection.wants_write() && self.connection.write_tls(bytes).is_ok() {}
    }

    /// Bytes of a record that is not complete: they are kept until it is.
    #[must_use]
    pub fn held(&self) -> usize {
        self.record.got
    }
}

/// How much of the record has come that is under way (RFC 8446, section 5.1).
#[derive(Debug, Default)]
struct Record {
    got: usize,
    length: [u8; 2],
}

impl Record {
    /// Type, version, length.
    const HEADER: usize = 5;

    fn advance(&mut self, mut bytes: &[u8]) {
        while let Some((&first, rest)) = bytes.split_first() {
            match self.got {
                0..3 => {}
                n @ 3..Self::HEADER => self.length[n - 3] = first,
                _ => {
                    let left = self.whole() - self.got;
                    let (_, after) = bytes.split_at(left.min(bytes.len()));
                    self.got += bytes.len() - after.len();
                    bytes = after;
                    self.end();
                    continue;
                }
            }
            self.got += 1;
            bytes = rest;
            self.end();
        }
    }

    fn whole(&self) -> usize {
        Self::HEADER + usize::from(u16::from_be_bytes(self.length))
    }

    fn end(&mut self) {
        if self.got >= Self::HEADER && self.got == self.whole() {
            self.got = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn the_rest_of_a_record_is_known(
            lengths in prop::collection::vec(0usize..600, 0..6),
            rest in 0usize..500,
            cuts in prop::collection::vec(1usize..700, 1..9),
        ) {
            let mut bytes = Vec::new();
            for length in lengths.into_iter().chain([500]) {
                bytes.extend([23, 3, 3]);
                bytes.extend((length as u16).to_be_bytes());
                bytes.resize(bytes.len() + length, 0xFF);
            }
            bytes.truncate(bytes.len() - 505 + rest);
            let mut record = Record::default();
            let mut left = &bytes[..];
            for cut in cuts.into_iter().cycle() {
                let (now, later) = left.split_at(cut.min(left.len()));
                record.advance(now);
                left = later;
                if left.is_empty() { break }
            }
            prop_assert_eq!(record.got, rest);
        }
    }
}
