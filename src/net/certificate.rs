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
    let private = PrivateKeyDer::from_pem_slice(&read(key).map_err(CertificateError::Read)?)
        .map_err(in_pem(key, "private key"))?;
    let loaded = CertifiedKey::from_der(chain, private, &ring::default_provider());
    loaded.map_err(|error| match error {
        Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => {
            CertificateError::Mismatch(certificate.to_owned(), key.to_owned())
        }
        Error::InvalidCertificate(why) => {
            CertificateError::Malformed(certificate.to_owned(), why.to_string())
        }
        other => CertificateError::Malformed(key.to_owned(), other.to_string()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::regular::LONGEST;
    use std::fs;

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
