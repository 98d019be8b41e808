//! The servers of NATS that this node is given: which of them answer, and when they are tried again.

use std::io;
use std::net::SocketAddr;
use std::str::FromStr as _;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_nats::{Server, ServerAddr};
use tokio::time::Instant;

/// Whether a URL is one of a NATS server.
///
/// # Errors
/// If it is not: why.
pub fn check_url(url: &str) -> io::Result<()> {
    match ServerAddr::from_str(url)?.port() {
        0 => Err(io::Error::other("there is no port 0")),
        _ => Ok(()),
    }
}

/// What came of the servers of `--cluster`, as the library saw it last.
#[derive(Clone, Debug, Default)]
pub(super) struct Tried(Arc<Mutex<Vec<Server>>>);

impl Tried {
    /// What has come of them now.
    pub(super) fn see(&self, servers: Vec<Server>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = servers;
    }

    /// Which of them do not answer, and why; without the passwords in their URLs.
    pub(super) fn failures(&self) -> Option<String> {
        let servers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let told = servers.iter().filter(|server| !server.is_discovered).filter_map(|server| {
            let why = server.last_error.as_deref()?;
            let (host, port) = (server.addr.host(), server.addr.port());
            Some(match host.parse() {
                Ok(ip) => format!("{}: {why}", SocketAddr::new(ip, port)),
                Err(_) => format!("{host}:{port}: {why}"),
            })
        });
        let told: Vec<String> = told.collect();
        (!told.is_empty()).then(|| told.join("; "))
    }
}

/// When servers were tried, so that one that takes connections and closes them is not tried without a pause.
#[derive(Debug, Default)]
pub(super) struct Tries(Mutex<Option<Instant>>);

impl Tries {
    /// Tries that count for a second each, one after the other.
    fn lately(&self, now: Instant) -> u32 {
        let mut until = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let lately = until.map_or(Duration::ZERO, |until| until.saturating_duration_since(now));
        *until = Some(now + lately + Duration::from_secs(1));
        lately.as_secs().try_into().unwrap_or(u32::MAX)
    }

    /// How long to wait until the servers are tried again, after so many tries in vain: at once at first.
    pub(super) fn pause(&self, in_vain: usize, now: Instant) -> Duration {
        let in_vain = u32::try_from(in_vain).unwrap_or(u32::MAX).saturating_sub(1);
        Duration::from_millis(50) * in_vain.max(self.lately(now)).min(40)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rounds of this length, of which each is a connection that is closed at once.
    fn tries_in(span: Duration) -> u32 {
        let (tries, begin) = (Tries::default(), Instant::now());
        let (mut now, mut count) = (begin, 0);
        while now - begin < span {
            now += tries.pause(1, now) + Duration::from_millis(1);
            count += 1;
        }
        count
    }

    #[test]
    fn who_closes_each_connection_is_tried_once_a_second() {
        assert!(tries_in(Duration::from_secs(10)) < 40);
        assert!(tries_in(Duration::from_secs(100)) < 140);
    }

    #[test]
    fn after_a_while_without_trouble_there_is_no_pause() {
        let (tries, now) = (Tries::default(), Instant::now());
        assert_eq!(tries.pause(1, now), Duration::ZERO);
        assert_eq!(tries.pause(9, now), Duration::from_millis(400), "nobody is there");
        assert_eq!(tries.pause(1, now + Duration::from_secs(9)), Duration::ZERO);
        assert_eq!(tries.pause(99, now), Duration::from_secs(2));
    }
}
