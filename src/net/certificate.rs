//! Reads the server's certificate and its key from files.

use std::fmt;
use std::fs::OpenOptions;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use rustls::crypto::ring;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use rustls::{Error, InconsistentKeys};

use super::sys;

/// Longest file in bytes: a chain of certificates with RSA keys has less than 10 KiB.
const LONGEST: u64 = 1 << 20;

/// Why there is no certificate to use.
#[derive(Debug)]
pub enum CertificateError {
    /// A file cannot be read.
    Read(PathBuf, io::Error),
    /// This is no regular file, and to read from it could take for ever.
    NoFile(PathBuf),
    /// A file is longer than any certificate.
    TooLong(PathBuf),
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
            Self::Read(path, error) => write!(
                f,
                "cannot read {}: {error}; is that the file, and may this user read it?",
                path.display()
            ),
            Self::NoFile(path) => {
                write!(f, "{} is not a regular file: name the file itself", path.display())
            }
            Self::TooLong(path) => write!(
                f,
                "{} has more than {LONGEST} bytes: is that a certificate or a key?",
                path.display()
            ),
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
/// If they cannot be read or do not belong together. It never waits for anybody: only regular files
/// are read.
pub fn load(certificate: &Path, key: &Path) -> Result<CertifiedKey, CertificateError> {
    let in_pem = |path: &Path, what: &'static str| {
        let path = path.to_owned();
        move |error: pem::Error| match error {
            pem::Error::NoItemsFound => CertificateError::Nothing(path, what),
            other => CertificateError::Malformed(path, other.to_string()),
        }
    };
    let chain = CertificateDer::pem_slice_iter(&read(certificate)?)
        .collect::<Result<Vec<_>, _>>()
        .map_err(in_pem(certificate, "certificate"))?;
    if chain.is_empty() {
        return Err(CertificateError::Nothing(certificate.to_owned(), "certificate"));
    }
    let private = PrivateKeyDer::from_pem_slice(&read(key)?).map_err(in_pem(key, "private key"))?;
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

/// All that is in a regular file.
fn read(path: &Path) -> Result<Vec<u8>, CertificateError> {
    let failed = |error| CertificateError::Read(path.to_owned(), error);
    // Opening a FIFO would wait for somebody who writes to it.
    let opened = sys::open_at_once(OpenOptions::new().read(true), path);
    let file = opened.map_err(|error| match path.is_dir() {
        // Some systems do not even open it.
        true => CertificateError::NoFile(path.to_owned()),
        false => failed(error),
    })?;
    if !file.metadata().map_err(failed)?.is_file() {
        return Err(CertificateError::NoFile(path.to_owned()));
    }
    let mut bytes = Vec::new();
    file.take(LONGEST + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > LONGEST {
        return Err(CertificateError::TooLong(path.to_owned()));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
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
