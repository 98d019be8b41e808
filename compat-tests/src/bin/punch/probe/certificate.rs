//! TLS under the events dialect, and whose certificate the server has until when.

use std::io;
use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use compat_tests::bounded::{self, Timed};
use punchd::net::certificate::End;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::verify_server_name;
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{ClientConfig, ClientConnection, DigitallySignedStruct, RootCertStore};
use rustls::{SignatureScheme, StreamOwned};

use super::report::Outcome;
use super::{Probe, Tcp, dialects};
use crate::events::SYSTEM_TRUSTS;

const DAY: u64 = 24 * 60 * 60;

/// So many days before its end a certificate should have been renewed: Let's Encrypt's clients do so 30
/// days before.
const SOON: u64 = 14;

/// The most that a file with certificates has.
const CERTIFICATES: usize = 16 << 20;

pub(super) fn tls(probe: &mut Probe) -> Outcome {
    if probe.tcp == Tcp::Blocked {
        return Outcome::Skipped("it needs TCP, which does not connect".to_owned());
    }
    let Some(needs_tls) = probe.events else {
        return Outcome::Skipped("it is for events, which is not spoken".to_owned());
    };
    // A server without a certificate counts a handshake as one that has failed.
    if !(needs_tls || probe.tls) && probe.host.parse::<IpAddr>().is_ok() {
        return Outcome::Skipped(
            "certificates are for names: name the server as clients do, or add --tls".to_owned(),
        );
    }
    let stream = match connect(probe) {
        Ok(stream) => stream,
        Err(error) if is_no_tls(&error) && !needs_tls => {
            return Outcome::NotOffered(
                "the server has no certificate (--tls-cert): networks on the way can read events"
                    .to_owned(),
            );
        }
        Err(error) => return Outcome::Fails(format!("no TLS connection: {error}")),
    };
    let chain: Vec<CertificateDer<'static>> =
        stream.conn.peer_certificates().unwrap_or_default().to_vec();
    match dialects::ask_login(probe, stream) {
        Ok(Some(_)) => judge(&chain, &probe.host),
        Ok(None) => Outcome::Fails("closed without an answer to the login".to_owned()),
        Err(error) => Outcome::Fails(error.to_string()),
    }
}

/// Whether clients that check it accept this certificate for a server of this name.
fn judge(chain: &[CertificateDer<'static>], host: &str) -> Outcome {
    let Some((first, others)) = chain.split_first() else {
        return Outcome::Fails("the server shows no certificate".to_owned());
    };
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let until = match End::of(first) {
        Some(end) if end.unix < now => {
            return wrong(format!("its certificate ended on {end}"), RENEW);
        }
        Some(end) if end.unix < now + SOON * DAY => {
            format!("certificate until {end}, in {} days: renew it", (end.unix - now) / DAY)
        }
        Some(end) => format!("certificate until {end}"),
        None => "certificate whose end cannot be read".to_owned(),
    };
    let Ok(name) = ServerName::try_from(host.to_owned()) else {
        return Outcome::Works(until);
    };
    let is_for_name = ParsedCertificate::try_from(first)
        .and_then(|certificate| verify_server_name(&certificate, &name));
    match (is_for_name, &name) {
        (Ok(()), _) => {}
        // Nobody has to connect by the address.
        (Err(_), ServerName::IpAddress(_)) => {
            return Outcome::Works(format!(
                "{until}; not for {host}, so clients must connect by a name that is in it"
            ));
        }
        (Err(_), _) => return wrong(format!("its certificate is not for {host}"), OTHER_NAME),
    }
    Outcome::Works(match is_trusted(first, others, &name) {
        Some(true) => format!("{until}, for {host}, trusted here"),
        Some(false) => format!("{until}, for {host}; clients trust it only if they are given it"),
        None => format!("{until}, for {host}"),
    })
}

const RENEW: &str = "Renew the certificate and send punchd SIGHUP.";
const OTHER_NAME: &str =
    "Get a certificate for this name (--tls-cert), or have clients connect by the name in it.";

fn wrong(detail: String, to_do: &str) -> Outcome {
    let meaning = "Clients of events that check certificates do not connect with TLS.";
    Outcome::FailsSo { detail, meaning, to_do: to_do.to_owned() }
}

/// Whether an authority that this machine trusts vouches for it; none if the machine has no list.
fn is_trusted(
    first: &CertificateDer<'_>,
    others: &[CertificateDer<'static>],
    name: &ServerName<'_>,
) -> Option<bool> {
    let file = SYSTEM_TRUSTS.iter().map(Path::new).find(|file| file.exists())?;
    let pem = bounded::file(file, CERTIFICATES).ok()?;
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(CertificateDer::pem_slice_iter(&pem).flatten());
    let provider = Arc::new(ring::default_provider());
    let verifier =
        WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider).build().ok()?;
    Some(verifier.verify_server_cert(first, others, name, &[], UnixTime::now()).is_ok())
}

fn connect(probe: &Probe) -> io::Result<StreamOwned<ClientConnection, Timed>> {
    let provider = Arc::new(ring::default_provider());
    let config = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Any(provider)))
        .with_no_client_auth();
    let name = ServerName::try_from(probe.host.clone())
        .unwrap_or_else(|_| ServerName::from(probe.master.ip()));
    let connection = ClientConnection::new(Arc::new(config), name).map_err(io::Error::other)?;
    let mut stream = StreamOwned::new(connection, dialects::connect(probe)?);
    while stream.conn.is_handshaking() {
        stream.conn.complete_io(&mut stream.sock)?;
    }
    Ok(stream)
}

/// Whether the server has taken the greeting of TLS for something else: it closes, says nothing, or
/// answers in plain text.
fn is_no_tls(error: &io::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionReset, TimedOut, UnexpectedEof, WouldBlock};
    let kinds = [BrokenPipe, ConnectionReset, TimedOut, UnexpectedEof, WouldBlock];
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    kinds.contains(&error.kind()) || matches!(inner, Some(rustls::Error::InvalidMessage(_)))
}

/// Accepts any certificate, so that what is in it can be looked at. Nothing secret is sent.
#[derive(Debug)]
struct Any(Arc<CryptoProvider>);

impl ServerCertVerifier for Any {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signed, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signed, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
