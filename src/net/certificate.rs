//! Reads the server's certificate and its key from files, and tells when the certificate ends.

use std::fmt;
use std::path::{Path, PathBuf};

use rustls::crypto::ring;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use rustls::{Error, InconsistentKeys};

mod end;

pub use end::End;

use super::regular::{ReadError, read};

/// Why there is no certificate to use.
#[derive(Debug)]
pub enum CertificateError {
    /// A file cannot be read.
    Read(ReadError),
    /// There is nothing of the kind in a file that should be.
    Nothing(PathBuf, &'static str),
    /// A file is not what it should be.
    Malformed(PathBuf, String),
    /// Certificate and key are not a pair.
    Mismatch(PathBuf, PathBuf),
}

impl fmt::Display for CertificateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Read(error) => error.fmt(f),
            Self::Nothing(path, what) => write!(f, "there is no {what} in {}", path.display()),
            Self::Malformed(path, why) => write!(f, "cannot use {}: {why}", path.display()),
            Self::Mismatch(certificate, key) => write!(
                f,
                "the key in {} does not fit the certificate in {}",
                key.display(),
                certificate.display()
            ),
        }
    }
}

impl std::error::Error for CertificateError {}

/// Reads a certificate (with those that vouch for it behind it) and its key, both PEM.
///
/// # Errors
/// If they cannot be read or do not belong together.
pub fn load(certificate: &Path, key: &Path) -> Result<CertifiedKey, CertificateError> {
    let in_pem = |path: &Path, what: &'static str| {
        let path = path.to_owned();
        move |error: pem::Error| match error {
            pem::Error::NoItemsFound => CertificateError::Nothing(path, what),
            other => CertificateError::Malformed(path, other.to_string()),
        }
    };
    let chain = CertificateDer::pem_slice_iter(&read(certificate).map_err(CertificateError::Read)?)
        .collect::<Result<Vec<_>, _>>()
        .map_err(in_pem(certificate, "certificate"))?;
    if chain.is_empty() {
        return Err(CertificateError::Nothing(certificate.to_owned(), "certificate"));
    }
    let pem = read(key).map_err(CertificateError::Read)?;
    if is_encrypted(&pem) {
        let why = "the key has a passphrase; take that off with `openssl pkey -in OLD -out NEW`";
        return Err(CertificateError::Malformed(key.to_owned(), why.to_owned()));
    }
    let private = PrivateKeyDer::from_pem_slice(&pem).map_err(in_pem(key, "private key"))?;
    let loaded = CertifiedKey::from_der(chain, private, &ring::default_provider());
    loaded.map_err(|error| match error {
        Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => {
            CertificateError::Mismatch(certificate.to_owned(), key.to_owned())
        }
        Error::InvalidCertificate(why) => {
            CertificateError::Malformed(certificate.to_owned(), in_words(&why))
        }
        other => CertificateError::Malformed(key.to_owned(), other.to_string()),
    })
}

/// As OpenSSL marks it, in either of its two forms.
fn is_encrypted(pem: &[u8]) -> bool {
    let marks: [&[u8]; 2] = [b"BEGIN ENCRYPTED PRIVATE KEY", b"Proc-Type: 4,ENCRYPTED"];
    marks.iter().any(|mark| pem.windows(mark.len()).any(|part| part == *mark))
}

/// The library tells what it does not know as its own types are called.
fn in_words(why: &rustls::CertificateError) -> String {
    match why {
        rustls::CertificateError::Other(_) => format!(
            "this server cannot use such a certificate (it has to be X.509 version 3, as `openssl req -x509 -addext \
             subjectAltName=DNS:NAME` makes it): {why}"
        ),
        _ => why.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::regular::LONGEST;
    use std::fs;

    /// Of X.509 version 1, as `openssl x509 -req -signkey` makes them.
    const OLD: &str = "\
-----BEGIN CERTIFICATE-----
MIIBFDCBuwIUVzjOO/M8WUbvU+B/TV6ICf+Et4cwCgYIKoZIzj0EAwIwDDEKMAgG
A1UEAwwBYTAgFw0yNjExMjgwOTA1MzZaGA8yMTA5MDExNzA5MDUzNlowDDEKMAgG
A1UEAwwBYTBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABM+3wT++mrum7HsmGW5z
79sCJBq7wamnnHVVgiENjuAjtWX8nzejHnb6LD7vRNPZJuBtdAT0WfN0ueg8Hc23
8iMwCgYIKoZIzj0EAwIDSAAwRQIgaYpXLjunD+sok1ZImYfvsdbtsaBXClQlApZ+
FHn79yMCIQC+ZehxKcQRzWzyBaWHzatwr8X09gT8Ou0SX3P2fbk5lg==
-----END CERTIFICATE-----
";

    #[test]
    fn each_mistake_is_told_in_a_sentence() {
        let folder =
            std::env::temp_dir().join(format!("punchd-certificate-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let file = |name: &str, text: &str| {
            let path = folder.join(name);
            fs::write(&path, text).unwrap();
            path
        };
        let [mine, other] =
            [(); 2].map(|()| rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap());
        let certificate = file("certificate", &mine.cert.pem());
        let key = file("key", &mine.signing_key.serialize_pem());
        let others = file("others", &other.signing_key.serialize_pem());
        let empty = file("empty", "# nothing here\n");
        let broken = file("broken", "-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n");
        let junk = file("junk", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
        let missing = folder.join("missing");
        assert!(load(&certificate, &key).is_ok());
        let says = |certificate: &Path, key: &Path| load(certificate, key).unwrap_err().to_string();
        let old = file("old", OLD);
        assert!(says(&old, &key).contains("it has to be X.509 version 3"), "{}", says(&old, &key));
        let secret = file(
            "secret",
            "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n",
        );
        assert!(says(&certificate, &secret).contains("the key has a passphrase"));
        let older = file(
            "older",
            "-----BEGIN EC PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n\nAAAA\n-----END EC PRIVATE KEY-----\n",
        );
        assert!(says(&certificate, &older).contains("the key has a passphrase"));
        assert!(says(&missing, &key).starts_with("cannot read "));
        assert!(says(&certificate, &missing).starts_with("cannot read "));
        assert!(says(&empty, &key).starts_with("there is no certificate in "));
        assert!(says(&key, &key).starts_with("there is no certificate in "));
        assert!(says(&certificate, &empty).starts_with("there is no private key in "));
        assert!(says(&broken, &key).starts_with("cannot use "));
        assert!(says(&junk, &key).starts_with("cannot use "));
        assert!(says(&certificate, &others).contains(" does not fit the certificate in "));
        let long = file("long", &"x".repeat(LONGEST as usize + 1));
        assert!(says(&long, &key).contains(" has more than "));
        assert!(says(&folder, &key).contains(" is not a regular file"));
        fs::remove_dir_all(folder).unwrap();
    }
}
