//! TLS as a machine that turns bytes into bytes: rustls without its sockets and without its
//! buffers, so that what is kept of a peer is counted, and none of it while the peer is silent.
//! Nothing waits and nothing blocks here; signing with the server's key is the most expensive thing
//! it does.

use std::borrow::Cow;
use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

use rustls::crypto::ring;
use rustls::server::{
    ClientHello, NoServerSessionStorage, ResolvesServerCert, UnbufferedServerConnection,
};
use rustls::sign::CertifiedKey;
use rustls::unbuffered::{
    ConnectionState, EncodeError, EncryptError, InsufficientSizeError, UnbufferedStatus,
    WriteTraffic,
};
use rustls::{AlertDescription, Error, ServerConfig};

use crate::limits;

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

    /// The certificate that new connections get, in DER.
    #[must_use]
    pub fn certificate(&self) -> Option<Vec<u8>> {
        let current = self.current.0.read().unwrap_or_else(PoisonError::into_inner);
        current.cert.first().map(|first| first.to_vec())
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
pub struct Tls {
    connection: UnbufferedServerConnection,
    /// What came and has not been freed: an incomplete record or handshake message, or what waits for
    /// its turn.
    incoming: Vec<u8>,
    /// So many bytes of it are not needed any more.
    used: usize,
    /// So many bytes of it rustls has seen.
    seen: usize,
    /// Records without anything in them, beyond those with something.
    empty: usize,
    /// Bytes that came before the handshake was done.
    handshake: usize,
    handshaking: bool,
    /// The peer has been shown the certificate.
    has_shown: bool,
    /// The peer has said goodbye, or what it should not: nothing more is read.
    closed: bool,
    /// The peer has broken the protocol: rustls must not be asked to go on.
    broken: bool,
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls").field("incoming", &self.incoming.len()).finish_non_exhaustive()
    }
}

/// What is to be said with what TLS itself has to say.
#[derive(Clone, Copy)]
enum Say<'a> {
    Nothing,
    Text(&'a [u8]),
    Goodbye,
}

impl Tls {
    /// A connection whose client hello has not been read yet.
    ///
    /// # Errors
    /// If the system has no random numbers.
    pub fn new(acceptor: &Acceptor) -> Result<Self, Error> {
        Ok(Self {
            connection: UnbufferedServerConnection::new(Arc::clone(&acceptor.config))?,
            incoming: Vec::new(),
            used: 0,
            seen: 0,
            empty: 0,
            handshake: 0,
            handshaking: true,
            has_shown: false,
            closed: false,
            broken: false,
        })
    }

    /// Keeps what came from the network for the next [`read`](Self::read).
    pub fn keep(&mut self, bytes: &[u8]) {
        self.incoming.extend_from_slice(bytes);
        if self.handshaking {
            self.handshake += bytes.len();
        }
    }

    /// Whether a peer has sent more in its handshake than a handshake takes.
    #[must_use]
    pub fn is_too_long(&self) -> bool {
        self.handshaking && self.handshake > limits::TLS_HANDSHAKE
    }

    /// Reads what was [kept](Self::keep); appends to `plain` what the peer has said with it, and to
    /// `out` what is for the network, even after an error. After each record `go_on` is told what it
    /// took, in the unit of [`limits::TURN_WORK`], and says whether the next may be read; a handshake
    /// is not interrupted.
    ///
    /// # Errors
    /// If this is not TLS, or not as it has to be, or longer than [`limits::TLS_HANDSHAKE`] or
    /// [`limits::TLS_RECORD`], or there is nothing in it.
    pub fn read(
        &mut self,
        go_on: impl FnMut(usize) -> bool,
        plain: &mut Vec<u8>,
        out: &mut Vec<u8>,
    ) -> Result<(), Error> {
        let before = out.len();
        let read = self.read_records(go_on, plain, out);
        // The first thing that is said is the certificate, unless it is what was wrong.
        self.has_shown |= read.is_ok() && out.len() > before;
        self.discard();
        let read = read.and_then(|()| self.check());
        // Nothing that comes behind an error is read.
        self.closed |= read.is_err();
        read
    }

    /// Whether all is as it has to be.
    fn check(&self) -> Result<(), Error> {
        let error = |why: &str| Err(Error::General(why.to_owned()));
        if self.empty > limits::TLS_EMPTY {
            error("there is next to nothing in its TLS records")
        } else if self.is_too_long() {
            error("the handshake is too long")
        } else if !self.handshaking
            && !self.is_waiting()
            && self.incoming.len().saturating_sub(self.used) > limits::TLS_RECORD
        {
            error("a TLS message is too long")
        } else {
            Ok(())
        }
    }

    fn read_records(
        &mut self,
        mut go_on: impl FnMut(usize) -> bool,
        plain: &mut Vec<u8>,
        out: &mut Vec<u8>,
    ) -> Result<(), Error> {
        while let Some(end) = self.next_record() {
            let (length, said) = (end - self.seen, plain.len());
            let was_handshaking = self.handshaking;
            self.seen = end;
            self.run(end, Say::Nothing, plain, out)?;
            let mut work = length + limits::TLS_RECORD_WORK;
            if plain.len() > said {
                self.empty = self.empty.saturating_sub(1);
            } else {
                self.empty += usize::from(!was_handshaking);
                work += limits::TLS_KEYS_WORK;
            }
            let has_time = go_on(work) || self.handshaking;
            if !has_time || self.empty > limits::TLS_EMPTY {
                return Ok(());
            }
        }
        // Of a record that is not complete the head may be wrong already.
        self.run(self.incoming.len(), Say::Nothing, plain, out)
    }

    /// Where the record ends that comes next, if it is there.
    fn next_record(&self) -> Option<usize> {
        if self.closed {
            return None;
        }
        let [_, _, _, high, low, ..] = *self.incoming.get(self.seen..)? else { return None };
        let end = self.seen + 5 + usize::from(u16::from_be_bytes([high, low]));
        (end <= self.incoming.len()).then_some(end)
    }

    /// Whether there are records that can be read without anything more from the network, once
    /// there is time.
    #[must_use]
    pub fn is_waiting(&self) -> bool {
        !self.handshaking && self.next_record().is_some()
    }

    /// Encrypts what is to be said, and appends it to `out`. Before the handshake is done there is
    /// nobody to say it to.
    pub fn write(&mut self, plain: &[u8], out: &mut Vec<u8>) {
        if self.handshaking {
            return;
        }
        // What could not be encrypted is not sent; the next read tells why.
        let _ = self.run(self.seen, Say::Text(plain), &mut Vec::new(), out);
    }

    /// Says goodbye, if somebody is there to hear it; appends it to `out`.
    pub fn close(&mut self, out: &mut Vec<u8>) {
        if self.handshaking {
            return;
        }
        // Who has broken the protocol is not owed one.
        let _ = self.run(self.seen, Say::Goodbye, &mut Vec::new(), out);
    }

    /// Whether the peer has said goodbye, or what it should not: nothing more is read.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.closed
    }

    /// Whether the peer has not shown yet that it has the keys.
    #[must_use]
    pub fn is_handshaking(&self) -> bool {
        self.handshaking
    }

    /// Whether the peer has been shown the certificate and has said neither that it takes it nor what is wrong.
    #[must_use]
    pub fn waits_for_trust(&self) -> bool {
        self.handshaking && self.has_shown && !self.closed
    }

    /// Bytes that are kept until the rest of what they belong to comes, or there is time.
    #[must_use]
    pub fn held(&self) -> usize {
        self.incoming.len()
    }

    /// Lets rustls go on until it wants more than this much of what came.
    fn run(
        &mut self,
        end: usize,
        say: Say<'_>,
        plain: &mut Vec<u8>,
        out: &mut Vec<u8>,
    ) -> Result<(), Error> {
        let mut failed = None;
        // After an error only the alert is to be fetched that tells the peer of it.
        while !self.broken || self.connection.wants_write() {
            let rest = self.incoming.get_mut(self.used..end).unwrap_or_default();
            let UnbufferedStatus { mut discard, state } = self.connection.process_tls_records(rest);
            let mut done = false;
            match state {
                Ok(ConnectionState::EncodeTlsData(mut data)) => {
                    append(out, 0, |room| {
                        data.encode(room).map_err(|error| match error {
                            EncodeError::InsufficientSize(size) => Some(size),
                            EncodeError::AlreadyEncoded => None,
                        })
                    });
                }
                Ok(ConnectionState::TransmitTlsData(data)) => data.done(),
                Ok(ConnectionState::ReadTraffic(mut records)) => {
                    while let Some(Ok(record)) = records.next_record() {
                        discard += record.discard;
                        plain.extend_from_slice(record.payload);
                    }
                }
                Ok(ConnectionState::WriteTraffic(mut traffic)) => {
                    done = true;
                    speak(&mut traffic, say, out);
                }
                Ok(ConnectionState::PeerClosed) => self.closed = true,
                Ok(_) => done = true,
                Err(error) => {
                    self.broken = true;
                    failed = Some(error);
                }
            }
            self.used += discard;
            if done {
                break;
            }
        }
        self.handshaking = self.connection.is_handshaking();
        failed.map_or(Ok(()), Err)
    }

    /// Frees what is not needed any more, unless most of it is: moving that each time would be more
    /// work than reading the next record.
    fn discard(&mut self) {
        let used = self.used.min(self.incoming.len());
        if used < self.incoming.len() / 2 {
            return;
        }
        self.incoming.drain(..used);
        self.seen = self.seen.saturating_sub(used);
        self.used = 0;
        if self.incoming.capacity() > 2 * self.incoming.len() {
            self.incoming.shrink_to_fit();
        }
    }
}

/// Encrypts what is to be said.
fn speak<Data>(traffic: &mut WriteTraffic<'_, Data>, say: Say<'_>, out: &mut Vec<u8>) {
    /// More than the head and the tag of a record take, and a goodbye.
    const RECORD: usize = 64;
    let size = |error| match error {
        EncryptError::InsufficientSize(size) => Some(size),
        EncryptError::EncryptExhausted => None,
    };
    match say {
        Say::Nothing => {}
        Say::Text(text) => {
            let about = text.len() + (text.len() >> 14) * RECORD + RECORD;
            append(out, about, |room| traffic.encrypt(text, room).map_err(size));
        }
        Say::Goodbye => append(out, RECORD, |room| traffic.queue_close_notify(room).map_err(size)),
    }
}

/// Appends what `fill` writes, for which it needs so much room, or as much as it says then. What it
/// cannot write is left out.
fn append(
    out: &mut Vec<u8>,
    about: usize,
    mut fill: impl FnMut(&mut [u8]) -> Result<usize, Option<InsufficientSizeError>>,
) {
    let start = out.len();
    let mut room = about;
    // Twice is enough if it says right.
    for _ in 0..2 {
        out.resize(start + room, 0);
        match fill(out.get_mut(start..).unwrap_or_default()) {
            Ok(written) => return out.truncate(start + written),
            Err(Some(InsufficientSizeError { required_size })) => room = required_size,
            Err(None) => break,
        }
    }
    out.truncate(start);
}

/// What a certificate has to be for games to trust it.
pub const CERTIFICATE: &str = "it has to be of an authority that the game knows, be for the name by which the game \
                               connects, and come with its chain (fullchain.pem)";

/// What is wrong with a connection, and where that is the certificate, what to do.
#[must_use]
pub fn explained(error: &Error) -> Cow<'static, str> {
    use AlertDescription::{
        BadCertificate, CertificateExpired, CertificateUnknown, DecryptError, UnknownCA,
        UnrecognisedName, UnsupportedCertificate,
    };
    let why = match error {
        // Of a certificate with the name of an authority that the game knows and another key it says DecryptError.
        Error::AlertReceived(
            UnknownCA | BadCertificate | CertificateUnknown | DecryptError | UnsupportedCertificate,
        ) => {
            return format!("the game does not trust this certificate: {CERTIFICATE}").into();
        }
        Error::AlertReceived(CertificateExpired) => {
            "the game says that this certificate has expired: renew it, or set the clock"
        }
        Error::AlertReceived(UnrecognisedName) => {
            "the game does not trust this certificate: it is for another name than that by which the game \
             connects"
        }
        other => return other.to_string().into(),
    };
    why.into()
}
