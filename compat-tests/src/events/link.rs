//! The connection: lines of JSON, encrypted or not.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use rustls::{SupportedProtocolVersion, version};
use serde_json::Value;

use super::error::EventError;

/// How long a connection may take to come about, and a write to be taken.
const PATIENCE: Duration = Duration::from_secs(10);

/// Whom to trust, and who the server has to be.
#[derive(Clone, Debug)]
pub struct Tls {
    config: Arc<ClientConfig>,
    name: ServerName<'static>,
}

impl Tls {
    /// Trusts the certificates in a PEM file, and those that they vouch for, if they are for a
    /// server of this name.
    ///
    /// # Errors
    /// If the file or the name cannot be used.
    pub fn trusting(ca: &Path, name: &str) -> Result<Self, EventError> {
        Self::with_versions(ca, name, &[&version::TLS13, &version::TLS12])
    }

    /// The same, with certain versions of TLS only.
    ///
    /// # Errors
    /// If the file or the name cannot be used.
    pub fn with_versions(
        ca: &Path,
        name: &str,
        versions: &[&'static SupportedProtocolVersion],
    ) -> Result<Self, EventError> {
        let failed = |error: &dyn std::fmt::Display| {
            EventError::Tls(format!("{} for {name}: {error}", ca.display()))
        };
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_file_iter(ca).map_err(|error| failed(&error))? {
            let certificate = certificate.map_err(|error| failed(&error))?;
            roots.add(certificate).map_err(|error| failed(&error))?;
        }
        let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_protocol_versions(versions)
            .map_err(|error| failed(&error))?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let name = ServerName::try_from(name.to_owned()).map_err(|error| failed(&error))?;
        Ok(Self { config: Arc::new(config), name })
    }
}

/// A connection to the server.
#[derive(Debug)]
pub(super) struct Link {
    stream: Stream,
    server: SocketAddr,
    /// What came behind the last whole line.
    rest: Vec<u8>,
}

#[derive(Debug)]
enum Stream {
    Plain(TcpStream),
    Tls(Box<StreamOwned<ClientConnection, TcpStream>>),
}

impl Link {
    pub(super) fn open(server: SocketAddr, tls: Option<&Tls>) -> Result<Self, EventError> {
        let failed = |source| EventError::Socket { doing: "connect to", with: server, source };
        let tcp = TcpStream::connect_timeout(&server, PATIENCE).map_err(failed)?;
        tcp.set_nodelay(true).map_err(failed)?;
        tcp.set_write_timeout(Some(PATIENCE)).map_err(failed)?;
        let stream = match tls {
            None => Stream::Plain(tcp),
            Some(tls) => {
                let connection = ClientConnection::new(Arc::clone(&tls.config), tls.name.clone());
                let connection = connection.map_err(|error| EventError::Tls(error.to_string()))?;
                tcp.set_read_timeout(Some(PATIENCE)).map_err(failed)?;
                let mut stream = StreamOwned::new(connection, tcp);
                stream.conn.complete_io(&mut stream.sock).map_err(failed)?;
                Stream::Tls(Box::new(stream))
            }
        };
        Ok(Self { stream, server, rest: Vec::new() })
    }

    pub(super) fn server(&self) -> SocketAddr {
        self.server
    }

    pub(super) fn tcp(&self) -> &TcpStream {
        match &self.stream {
            Stream::Plain(tcp) => tcp,
            Stream::Tls(tls) => &tls.sock,
        }
    }

    pub(super) fn send(&mut self, text: &str) -> Result<(), EventError> {
        let sent = match &mut self.stream {
            Stream::Plain(tcp) => tcp.write_all(text.as_bytes()),
            Stream::Tls(tls) => tls.write_all(text.as_bytes()).and_then(|()| tls.flush()),
        };
        sent.map_err(|source| EventError::Socket { doing: "send to", with: self.server, source })
    }

    /// The next event, if it comes in time.
    pub(super) fn receive(&mut self, within: Duration) -> Result<Option<Value>, EventError> {
        let deadline = Instant::now() + within;
        loop {
            if let Some(end) = self.rest.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.rest.drain(..=end).collect();
                let event = serde_json::from_slice(&line);
                return event.map(Some).map_err(|error| {
                    EventError::Malformed(format!("{error} in {}", line.escape_ascii()))
                });
            }
            let left = deadline.saturating_duration_since(Instant::now());
            // Zero would mean to wait for ever.
            match self.read(left.max(Duration::from_millis(1))) {
                Ok(0) => return Err(EventError::Closed(self.server)),
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error)
                    if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) =>
                {
                    if left.is_zero() {
                        return Ok(None);
                    }
                }
                Err(error) if is_end(&error) => return Err(EventError::Closed(self.server)),
                Err(source) => {
                    let with = self.server;
                    return Err(EventError::Socket { doing: "receive from", with, source });
                }
            }
        }
    }

    fn read(&mut self, within: Duration) -> std::io::Result<usize> {
        self.tcp().set_read_timeout(Some(within))?;
        let mut buffer = [0; 16 * 1024];
        let length = match &mut self.stream {
            Stream::Plain(tcp) => tcp.read(&mut buffer)?,
            Stream::Tls(tls) => tls.read(&mut buffer)?,
        };
        self.rest.extend_from_slice(buffer.get(..length).unwrap_or_default());
        Ok(length)
    }
}

/// Whether a connection has ended, with or without good manners.
fn is_end(error: &std::io::Error) -> bool {
    matches!(error.kind(), ErrorKind::ConnectionReset | ErrorKind::UnexpectedEof)
}
