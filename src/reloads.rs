//! What the owner may change while the server runs: files that SIGHUP has read again. And what becomes of
//! them as time goes by: certificates end.

use std::path::PathBuf;

use log::{info, warn};

use crate::admission::Lists;
use crate::blocks::Blocks;
use crate::cli::Options;
use crate::cli::owner::OwnerOptions;
use crate::dialect::events::tls::Acceptor;
use crate::logging;
use crate::net::certificate::{self, CertificateError, End};

/// The certificate that is in use.
struct Tls {
    certificate: PathBuf,
    key: PathBuf,
    acceptor: Acceptor,
    end: Option<End>,
}

/// The files of the owner.
pub struct Reloads {
    has_log: bool,
    tls: Option<Tls>,
    options: OwnerOptions,
    /// Whom the command line and the environment admit.
    own: Lists,
    /// Whom they and the files admit.
    admitted: Lists,
}

/// What the server has to know of files that were read again.
#[derive(Debug, Default)]
pub struct News {
    /// Whom nothing is heard of from now on.
    pub blocks: Option<Blocks>,
    /// Who is admitted from now on.
    pub admitted: Option<Lists>,
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
        let (has_log, own) = (options.log.is_some(), options.own_lists());
        let admitted = options.lists();
        Ok(Self { has_log, tls: tls.transpose()?, options: options.owner.clone(), own, admitted })
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

    /// Opens the log file anew, and reads the other files again; returns what the server has to know of them.
    /// What is no good changes nothing. `now` is in seconds since 1970.
    pub fn on_hangup(&mut self, now: u64) -> News {
        if self.has_log {
            logging::reopen();
        }
        let OwnerOptions { block, key_file, games_file, .. } = &self.options;
        let has_lists = [block, key_file, games_file].iter().any(|file| file.is_some());
        if !self.has_log && self.tls.is_none() && !has_lists {
            info!(
                "SIGHUP: nothing to do, as there is neither --log nor --tls-cert nor --block nor \
                 --key-file nor --games-file"
            );
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
        News { blocks: self.read_blocks(), admitted: self.read_admitted() }
    }

    /// Who is admitted, if there are files that say so.
    fn read_admitted(&mut self) -> Option<Lists> {
        let OwnerOptions { key_file, games_file, .. } = &self.options;
        if key_file.is_none() && games_file.is_none() {
            return None;
        }
        let Lists { keys, games } = &mut self.admitted;
        let lists = [
            (key_file, self.options.keys(), &self.own.keys, keys, "key"),
            (games_file, self.options.games(), &self.own.games, games, "game"),
        ];
        for (file, read, own, admitted, what) in lists {
            let Some(file) = file else { continue };
            match read {
                Ok(read) => {
                    *admitted = [&own[..], &read].concat();
                    let (many, file) = (admitted.len(), file.display());
                    let are = if many == 1 { " is" } else { "s are" };
                    info!("{many} {what}{are} admitted, those in {file} included");
                }
                Err(why) => warn!("{why}; the {what}s from before stay"),
            }
        }
        self.admitted.warnings().iter().for_each(|what| warn!("{what}"));
        Some(self.admitted.clone())
    }

    /// Whom nothing is to be heard of, if a file says so and is good.
    fn read_blocks(&self) -> Option<Blocks> {
        let file = self.options.block.as_ref()?;
        match self.options.blocks() {
            Ok(blocks) => {
                let (count, file) = (blocks.len(), file.display());
                match count {
                    // As when a list is read that is just being written.
                    0 => warn!("nobody is blocked any more: {file} names no address or network"),
                    1 => info!("1 address or network is blocked, as {file} says"),
                    _ => info!("{count} addresses and networks are blocked, as {file} says"),
                }
                warn_of_all(&blocks);
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
        if let Some(why) = self.warning(now) {
            warn!("{why}");
        }
    }

    /// What is wrong with the end of the certificate, if anything is.
    #[must_use]
    pub fn warning(&self, now: u64) -> Option<String> {
        let Tls { certificate, end, .. } = self.tls.as_ref()?;
        let whose = format_args!("the certificate in {}", certificate.display());
        (*end)?.warning(&whose, now)
    }
}

/// Warns if the owner blocks everybody.
pub fn warn_of_all(blocks: &Blocks) {
    for family in blocks.families() {
        warn!("--block names all addresses of {family}: nobody who has one of them can play");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser as _;

    const DAY: u64 = 24 * 60 * 60;
    const SOON: u64 = 14;

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
        let warning = |before: u64| reloads.warning(end.unix - before);
        assert_eq!(warning(SOON * DAY), None);
        for (before, when) in [
            (SOON * DAY - 1, " expires in 13 days, on 2030-06-01: renew it"),
            (DAY, " expires in a day, on "),
            (3600, " expires within a day, on "),
        ] {
            let warning = warning(before).unwrap();
            assert!(warning.contains(when), "{warning}");
        }
        let late = reloads.warning(end.unix + 1).unwrap();
        assert!(late.contains(" has expired, on 2030-06-01: games refuse it"), "{late}");
        let none = Reloads::new(&Options::try_parse_from(["punchd"]).unwrap()).unwrap();
        assert_eq!((none.end(), none.warning(u64::MAX)), (None, None));
        fs::remove_dir_all(folder).unwrap();
    }
}
