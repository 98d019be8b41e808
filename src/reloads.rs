//! What the owner may change while the server runs: files that SIGHUP has read again. And what becomes of
//! them as time goes by: certificates end.

use std::path::PathBuf;

use log::{info, warn};

use crate::blocks::Blocks;
use crate::cli::Options;
use crate::cli::owner::OwnerOptions;
use crate::dialect::events::tls::Acceptor;
use crate::logging;
use crate::net::certificate::{self, CertificateError, End};

/// Seconds of a day.
const DAY: u64 = 24 * 60 * 60;

/// For so many days before its end a certificate is told to end. Those of Let's Encrypt are renewed 30 days
/// before it, so something is wrong then.
const SOON: u64 = 14;

/// The certificate that is in use.
struct Tls {
    certificate: PathBuf,
    key: PathBuf,
    acceptor: Acceptor,
    end: Option<End>,
}

/// The files of the owner, but for those that are read at the start alone.
pub struct Reloads {
    has_log: bool,
    tls: Option<Tls>,
    options: OwnerOptions,
}

impl Reloads {
    /// Reads the certificate, if there is to be one.
    ///
    /// # Errors
    /// If it is no good.
    pub fn new(options: &Options) -> Result<Self, CertificateError> {
        let tls = options.tls_cert.clone().zip(options.tls_key.clone());
        let tls = tls.map(|(certificate, key)| {
            let loaded = certificate::load(&certificate, &key)?;
            let end = loaded.cert.first().and_then(|first| End::of(first));
            let odd = |error: rustls::Error| {
                CertificateError::Malformed(certificate.clone(), error.to_string())
            };
            let acceptor = Acceptor::new(loaded).map_err(odd)?;
            Ok(Tls { certificate, key, acceptor, end })
        });
        let (has_log, options) = (options.log.is_some(), options.owner.clone());
        Ok(Self { has_log, tls: tls.transpose()?, options })
    }

    /// What makes TLS connections, if the owner has given a certificate.
    #[must_use]
    pub fn acceptor(&self) -> Option<Acceptor> {
        self.tls.as_ref().map(|tls| tls.acceptor.clone())
    }

    /// When the certificate ends, if there is one and that can be read in it.
    #[must_use]
    pub fn end(&self) -> Option<End> {
        self.tls.as_ref()?.end
    }

    /// Opens the log file anew, and reads the certificate and the list of those who are blocked again, which it
    /// returns. What is no good changes nothing. `now` is in seconds since 1970.
    pub fn on_hangup(&mut self, now: u64) -> Option<Blocks> {
        if self.has_log {
            logging::reopen();
        }
        if !self.has_log && self.tls.is_none() && self.options.block.is_none() {
            info!("SIGHUP: nothing to do, as there is neither --log nor --tls-cert nor --block");
        }
        if let Some(tls) = &mut self.tls {
            match certificate::load(&tls.certificate, &tls.key) {
                Ok(loaded) => {
                    tls.end = loaded.cert.first().and_then(|first| End::of(first));
                    tls.acceptor.replace(loaded);
                    let file = tls.certificate.display();
                    info!("new TLS connections get the certificate in {file}");
                }
                Err(why) => warn!("{why}; the certificate from before stays"),
            }
        }
        self.on_day(now);
        let file = self.options.block.as_ref()?;
        match self.options.blocks() {
            Ok(blocks) => {
                let count = blocks.len();
                info!("{count} addresses and networks are blocked, as {} says", file.display());
                Some(blocks)
            }
            Err(why) => {
                warn!("{why}; the old list stays in force");
                None
            }
        }
    }

    /// Warns of a certificate that ends soon, or has ended. `now` is in seconds since 1970.
    pub fn on_day(&self, now: u64) {
        if let Some(why) = self.doubt(now) {
            warn!("{why}");
        }
    }

    /// What is wrong with the end of the certificate, if anything is.
    #[must_use]
    pub fn doubt(&self, now: u64) -> Option<String> {
        let Tls { certificate, end, .. } = self.tls.as_ref()?;
        let file = certificate.display();
        let end = (*end)?;
        match end.unix.checked_sub(now).map(|left| left / DAY) {
            None => Some(format!(
                "the certificate in {file} has expired, on {end}: games refuse it; renew it"
            )),
            Some(days) if days >= SOON => None,
            Some(days) => {
                let when = match days {
                    0 => "within a day".to_owned(),
                    1 => "in a day".to_owned(),
                    days => format!("in {days} days"),
                };
                Some(format!(
                    "the certificate in {file} expires {when}, on {end}: renew it, and see why that has not \
                     happened by itself"
                ))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser as _;
    use std::fs;

    #[test]
    fn a_certificate_is_doubtful_from_two_weeks_before_its_end() {
        let folder = std::env::temp_dir().join(format!("punchd-reloads-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let (certificate, key) = (folder.join("cert.pem"), folder.join("key.pem"));
        let mut params = rcgen::CertificateParams::new(["localhost".to_owned()]).unwrap();
        params.not_after = rcgen::date_time_ymd(2030, 6, 1);
        let made_for = rcgen::KeyPair::generate().unwrap();
        fs::write(&certificate, params.self_signed(&made_for).unwrap().pem()).unwrap();
        fs::write(&key, made_for.serialize_pem()).unwrap();
        let line = ["punchd", "--tls-cert", certificate.to_str().unwrap(), "--tls-key"];
        let options = [&line[..], &[key.to_str().unwrap()]].concat();
        let reloads = Reloads::new(&Options::try_parse_from(options).unwrap()).unwrap();
        let end = reloads.end().unwrap();
        assert_eq!(end.to_string(), "2030-06-01");
        let doubt = |before: u64| reloads.doubt(end.unix - before);
        assert_eq!(doubt(SOON * DAY), None);
        for (before, when) in [
            (SOON * DAY - 1, " expires in 13 days, on 2030-06-01: renew it"),
            (DAY, " expires in a day, on "),
            (3600, " expires within a day, on "),
        ] {
            let doubt = doubt(before).unwrap();
            assert!(doubt.contains(when), "{doubt}");
        }
        let late = reloads.doubt(end.unix + 1).unwrap();
        assert!(late.contains(" has expired, on 2030-06-01: games refuse it"), "{late}");
        let none = Reloads::new(&Options::try_parse_from(["punchd"]).unwrap()).unwrap();
        assert_eq!((none.end(), none.doubt(u64::MAX)), (None, None));
        fs::remove_dir_all(folder).unwrap();
    }
}
