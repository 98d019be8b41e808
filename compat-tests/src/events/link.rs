//! The connection: lines of JSON, encrypted or not.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use rustls::{SupportedProtocolVersion, version};
use serde_json::Value;
use socket2::{Domain, Socket, Type};

use super::error::EventError;
use super::web::Web;
use crate::bounded::{self, Budget, LINE, Timed};
use crate::shown::quoted;

/// The most that a file with certificates has.
const CERTIFICATES: usize = 16 << 20;

/// How long a connection may take to come about, and a write to be taken, unless that is known better.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);

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
        let pem = bounded::file(ca, CERTIFICATES).map_err(|error| failed(&error))?;
        for certificate in CertificateDer::pem_slice_iter(&pem) {
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
    /// The frames of a WebSocket, if events go in these.
    web: Option<Web>,
    server: SocketAddr,
    patience: Duration,
    budget: Budget,
    /// What came behind the last whole line.
    rest: Vec<u8>,
    /// How long that line was.
    last: usize,
}

#[derive(Debug)]
enum Stream {
    Plain(Timed),
    Tls(Box<StreamOwned<ClientConnection, Timed>>),
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(tcp) => tcp.read(buffer),
            Self::Tls(tls) => tls.read(buffer),
        }
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(tcp) => tcp.write(bytes),
            Self::Tls(tls) => tls.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(tcp) => tcp.flush(),
            Self::Tls(tls) => tls.flush(),
        }
    }
}

impl Link {
    pub(super) fn open(
        from: Option<IpAddr>,
        server: SocketAddr,
        tls: Option<&Tls>,
        patience: Duration,
    ) -> Result<Self, EventError> {
        let failed = |source| EventError::Socket { doing: "connect to", with: server, source };
        let tcp = Socket::new(Domain::for_address(server), Type::STREAM, None).map_err(failed)?;
        if let Some(ip) = from {
            let with = SocketAddr::new(ip, 0);
            let doing = "use the local address";
            let failed = |source| EventError::Socket { doing, with, source };
            tcp.bind(&with.into()).map_err(failed)?;
        }
        tcp.connect_timeout(&server.into(), patience).map_err(failed)?;
        tcp.set_tcp_nodelay(true).map_err(failed)?;
        let tcp = Timed::new(TcpStream::from(tcp), patience);
        let stream = match tls {
            None => Stream::Plain(tcp),
            Some(tls) => {
                let connection = ClientConnection::new(Arc::clone(&tls.config), tls.name.clone());
                let connection = connection.map_err(|error| EventError::Tls(error.to_string()))?;
                let mut stream = StreamOwned::new(connection, tcp);
                stream.conn.complete_io(&mut stream.sock).map_err(|source| {
                    // The server is told what is wrong with its certificate.
                    while stream.conn.wants_write()
                        && stream.conn.write_tls(&mut stream.sock).is_ok()
                    {}
                    match is_end(&source) {
                        true => EventError::NoTls(server),
                        false => failed(source),
                    }
                })?;
                Stream::Tls(Box::new(stream))
            }
        };
        let budget = Budget::new(Instant::now());
        Ok(Self { stream, web: None, server, patience, budget, rest: Vec::new(), last: 0 })
    }

    /// From now on events go by WebSocket.
    pub(super) fn open_web(&mut self) -> Result<(), EventError> {
        self.until(Instant::now() + self.patience);
        let web = Web::open(&mut self.stream, self.server, "/events");
        self.web = Some(web.map_err(|source| EventError::Socket {
            doing: "open a WebSocket with",
            with: self.server,
            source,
        })?);
        Ok(())
    }

    pub(super) fn server(&self) -> SocketAddr {
        self.server
    }

    pub(super) fn tcp(&self) -> &TcpStream {
        match &self.stream {
            Stream::Plain(timed) => timed.tcp(),
            Stream::Tls(tls) => tls.sock.tcp(),
        }
    }

    fn until(&mut self, deadline: Instant) {
        match &mut self.stream {
            Stream::Plain(timed) => timed.set(deadline),
            Stream::Tls(tls) => tls.sock.set(deadline),
        }
    }

    /// How many bytes the last event had.
    pub(super) fn last(&self) -> usize {
        self.last
    }

    /// Whether a whole event has come that was not asked for yet.
    pub(super) fn has_event(&self) -> bool {
        self.rest.contains(&b'\n')
    }

    pub(super) fn send(&mut self, text: &str) -> Result<(), EventError> {
        self.until(Instant::now() + self.patience);
        let sent = match &mut self.web {
            Some(web) => web.send(&mut self.stream, text.trim_end()),
            None => self.stream.write_all(text.as_bytes()).and_then(|()| self.stream.flush()),
        };
        sent.map_err(|source| EventError::Socket { doing: "send to", with: self.server, source })
    }

    /// The next event, if it comes in time.
    pub(super) fn receive(&mut self, within: Duration) -> Result<Option<Value>, EventError> {
        let deadline = Instant::now() + within;
        loop {
            if let Some(end) = self.rest.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.rest.drain(..=end).collect();
                self.last = line.len();
                let event = serde_json::from_slice(&line);
                return event.map(Some).map_err(|error| {
                    EventError::Malformed(format!("{error} in {}", quoted(&line)))
                });
            }
            if self.rest.len() > LINE {
                return Err(EventError::TooMuch(self.server));
            }
            let is_over = Instant::now() >= deadline;
            match self.read(deadline) {
                Ok(0) => return Err(EventError::Closed(self.server)),
                Ok(length) if !self.budget.takes(Instant::now(), length) => {
                    return Err(EventError::TooMuch(self.server));
                }
                // Not the end of an event, and the time is over.
                Ok(_) if is_over && !self.has_event() => return Ok(None),
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error)
                    if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) =>
                {
                    if Instant::now() >= deadline {
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

    fn read(&mut self, deadline: Instant) -> std::io::Result<usize> {
        self.until(deadline);
        if let Some(web) = &mut self.web {
            return web.receive(&mut self.stream, &mut self.rest);
        }
        let mut buffer = [0; 16 * 1024];
        let length = self.stream.read(&mut buffer)?;
        self.rest.extend_from_slice(buffer.get(..length).unwrap_or_default());
        Ok(length)
    }
}

/// Whether a connection has ended, with or without good manners.
fn is_end(error: &std::io::Error) -> bool {
    matches!(error.kind(), ErrorKind::ConnectionReset | ErrorKind::UnexpectedEof)
}
