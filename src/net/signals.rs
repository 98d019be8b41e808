//! How the owner asks for something while the server runs. Ctrl-C, SIGINT and SIGTERM stop the loop, a
//! second one ends the process at once; SIGHUP reopens the log file and reads the certificate and the lists
//! of who is blocked and who is admitted again, in the thread that waits for signals, as a disk may take its time
//! and a long list does; SIGUSR1 has the log tell how punches end and what was refused; SIGUSR2 starts the process
//! that takes the place of this one.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::process::Child;
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use log::{info, warn};
use mio::Waker;

use super::Stopper;
use super::handover::Successor;
use super::sys::{Request, Signals, stop_service_by};
use crate::clock::{Instant, Now};
use crate::reloads::{self, Reloads};

/// How often the owner's files are looked at.
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// What a shell reports for a program that ended by SIGINT.
const INTERRUPTED: i32 = 130;

/// Stops the loop at the first SIGINT or SIGTERM and the process at the second; the loop also when
/// Windows stops the service.
///
/// # Errors
/// If the system refuses it.
pub fn stop_at_signals(stopper: Stopper) -> Result<(), ctrlc::Error> {
    let stops = stopper.clone();
    stop_service_by(move || _ = stops.stop());
    ctrlc::set_handler(move || {
        if stopper.stop() {
            warn!("ended at once by the second signal");
            log::logger().flush();
            std::process::exit(INTERRUPTED);
        }
    })
}

/// What the owner asks for by SIGHUP, SIGUSR1 and SIGUSR2.
pub struct Requests {
    /// None as soon as somebody listens to them.
    signals: Option<Signals>,
    come: Option<Receiver<News>>,
    /// Held for long while files are read.
    reloads: Arc<Mutex<Reloads>>,
    /// When the owner's files are looked at again.
    next_look: Instant,
    /// What takes the place of this process, and where it asks for it.
    successor: Option<(Successor, SocketAddr)>,
}

/// What the loop was asked for.
#[derive(Debug, Default)]
pub(super) struct Asked {
    /// What the owner's files say from now on, as far as they were read.
    pub(super) files: reloads::News,
    /// Processes that were started to take the place of this one, or why there are none.
    pub(super) successors: Vec<io::Result<Child>>,
}

/// What the loop has to do.
#[derive(Debug)]
enum News {
    /// Have the log tell.
    Tell,
    /// Go by these files from now on.
    Reloaded(reloads::News),
    /// This process is to take over, or cannot be started.
    Successor(io::Result<Child>),
}

impl Requests {
    /// Takes these signals out of the hands of every thread that is started from now on. For a SIGHUP
    /// `reloads` reads its files again.
    ///
    /// # Errors
    /// If the system refuses it.
    pub fn new(reloads: Reloads) -> io::Result<Self> {
        let (signals, next_look) = (Some(Signals::hold()?), Instant::default());
        let reloads = Arc::new(Mutex::new(reloads));
        Ok(Self { signals, come: None, reloads, next_look, successor: None })
    }

    /// For a SIGUSR2 this is started, which asks there for the place of this process.
    pub fn succeed_by(&mut self, successor: Successor, at: SocketAddr) {
        self.successor = Some((successor, at));
    }

    /// When [`Self::look`] has something to do again.
    pub(super) fn next_look(&self) -> Instant {
        self.next_look
    }

    /// Looks once a day whether the certificate ends soon.
    pub(super) fn look(&mut self, now: Now) {
        if now.instant >= self.next_look {
            self.next_look = now.instant + DAY;
            // Who reads it just now tells as well.
            if let Ok(reloads) = self.reloads.try_lock() {
                reloads.on_day(now.unix);
            }
        }
    }

    /// Listens to the signals, and wakes the loop for each.
    pub(super) fn listen(&mut self, waker: Arc<Waker>) -> io::Result<()> {
        let Some(signals) = self.signals.take() else { return Ok(()) };
        let (tell, come) = channel();
        self.come = Some(come);
        let (reloads, successor) = (Arc::clone(&self.reloads), self.successor.take());
        signals.listen(move |request| {
            let news = match request {
                Request::Tell => News::Tell,
                Request::Reload => {
                    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
                    let mut reloads = reloads.lock().unwrap_or_else(PoisonError::into_inner);
                    News::Reloaded(reloads.on_hangup(now.as_secs()))
                }
                Request::Succeed => match start(successor.as_ref()) {
                    None => return true,
                    Some(started) => News::Successor(started),
                },
            };
            tell.send(news).is_ok() && waker.wake().is_ok()
        })
    }

    /// Does what was asked for. Returns what the loop has to do itself.
    pub(super) fn handle(&mut self, tell: impl Fn() -> Vec<String>) -> Asked {
        let mut asked = Asked::default();
        while let Some(news) = self.come.as_ref().and_then(|come| come.try_recv().ok()) {
            match news {
                News::Tell => tell().iter().for_each(|line| info!("{line}")),
                News::Reloaded(latest) => {
                    let files = &mut asked.files;
                    files.blocks = latest.blocks.or(files.blocks.take());
                    files.admitted = latest.admitted.or(files.admitted.take());
                }
                News::Successor(started) => asked.successors.push(started),
            }
        }
        asked
    }
}

/// Whether this is the main process of a service of systemd that cannot be told of another one.
fn is_ended_with_this_one() -> bool {
    let of = std::env::var("SYSTEMD_EXEC_PID");
    let is_main = of.is_ok_and(|of| of == std::process::id().to_string());
    is_main && std::env::var_os("NOTIFY_SOCKET").is_none()
}

/// Starts what comes after this process, if it can be and nothing is about to already.
fn start(successor: Option<&(Successor, SocketAddr)>) -> Option<io::Result<Child>> {
    let Some((successor, at)) = successor else {
        warn!("SIGUSR2: no process can take over from this one; the log says why at its start");
        return None;
    };
    if is_ended_with_this_one() {
        warn!(
            "SIGUSR2: systemd would stop the new process together with this one, as it does not know of it; its \
             unit needs Type=notify"
        );
        return None;
    }
    let started = successor.start(*at);
    if started.is_none() {
        warn!("SIGUSR2: a process is about to take over already");
    }
    started
}

impl fmt::Debug for Requests {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Requests").field("come", &self.come).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::Options;
    use clap::Parser as _;

    #[test]
    fn the_certificate_is_looked_at_at_once_and_then_daily() {
        let options = Options::try_parse_from(["punchd"]).unwrap();
        let mut requests = Requests::new(Reloads::new(&options).unwrap()).unwrap();
        let at = |instant| Now { instant, unix: 0 };
        let start = Instant::from_micros(7_000_000);
        assert!(requests.next_look() <= start);
        requests.look(at(start));
        assert_eq!(requests.next_look(), start + DAY);
        requests.look(at((start + DAY).just_before()));
        assert_eq!(requests.next_look(), start + DAY);
        requests.look(at(start + DAY));
        assert_eq!(requests.next_look(), start + DAY + DAY);
    }
}
