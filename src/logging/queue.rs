//! Lines on their way to a terminal, a pipe or a file, and the thread that writes them there.
//! Writing can take any time: a pipe may be full, a disk may hang.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{FileTypeExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::Duration;

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};

use super::LogError;
use crate::limits;
use crate::net::signals;

/// Memory of a line besides its text.
const ENTRY: usize = 64;

/// How long the start waits for the log file. A disk may hang.
const OPEN_WAIT: Duration = Duration::from_secs(1);

/// Set when the log file has to be opened anew.
static REOPEN: AtomicBool = AtomicBool::new(false);

/// Opens the log file anew before its next line: its name may mean another file by now, as after
/// logrotate.
pub fn reopen() {
    REOPEN.store(true, Ordering::SeqCst);
    log::info!("SIGHUP: reopening the log file");
}

/// What the thread has to do.
enum Job {
    Write(Box<[u8]>),
    Reopen,
    /// Say that all before it is done.
    Report(Sender<()>),
}

/// What has not been written, and what never will be.
#[derive(Debug, Default)]
struct Counts {
    /// Bytes of the lines that wait.
    waiting: AtomicUsize,
    /// Lines for which there was no room.
    lost: AtomicU64,
}

/// Takes lines without ever waiting. Clones are the same queue.
#[derive(Clone, Debug)]
pub(super) struct Queue {
    jobs: Sender<Job>,
    counts: Arc<Counts>,
    is_file: bool,
}

/// Whether the log file is open.
pub(super) enum Opened {
    Yes,
    /// It is a named pipe that nobody reads; it will be open as soon as somebody does.
    Unread,
    /// It takes long.
    Not,
    Failed(io::Error),
}

impl Queue {
    /// A queue to standard error.
    ///
    /// # Errors
    /// If the system gives no thread.
    pub(super) fn to_console() -> io::Result<Self> {
        let (queue, jobs) = Self::new(false);
        let counts = Arc::clone(&queue.counts);
        spawn(move || work(&jobs, &counts, &mut io::stderr(), |_| ()))?;
        Ok(queue)
    }

    /// A queue to the end of a file, which is made if it is not there.
    ///
    /// # Errors
    /// If the system gives no thread.
    pub(super) fn to_file(path: &Path) -> io::Result<(Self, Opened)> {
        let (queue, jobs) = Self::new(true);
        let (counts, path) = (Arc::clone(&queue.counts), path.to_owned());
        let (open, is_open) = channel();
        spawn(move || {
            let opened = match append(&path) {
                Err(error) if is_unread_pipe(&path, &error) => {
                    let _ = open.send(Opened::Unread);
                    wait_for_reader(&path)
                }
                opened => opened,
            };
            match opened {
                Ok(mut file) => {
                    let _ = open.send(Opened::Yes);
                    work(&jobs, &counts, &mut file, |file| replace(file, &path));
                }
                Err(error) => _ = open.send(Opened::Failed(error)),
            }
        })?;
        Ok((queue, is_open.recv_timeout(OPEN_WAIT).unwrap_or(Opened::Not)))
    }

    fn new(is_file: bool) -> (Self, Receiver<Job>) {
        let (jobs, to_do) = channel();
        (Self { jobs, counts: Arc::default(), is_file }, to_do)
    }

    /// How many lines were lost since this was asked last; none if none were, or if there is
    /// hardly any room for more.
    pub(super) fn take_lost(&self) -> Option<u64> {
        let Counts { waiting, lost } = &*self.counts;
        let has_room = waiting.load(Ordering::Relaxed) < limits::LOG_WAITING / 2;
        (has_room && lost.load(Ordering::Relaxed) > 0).then(|| lost.swap(0, Ordering::Relaxed))
    }

    /// Tells when all that is in the queue now has been written.
    pub(super) fn written(&self) -> Receiver<()> {
        let (report, written) = channel();
        let _ = self.jobs.send(Job::Report(report));
        written
    }
}

impl Write for Queue {
    /// Takes a whole line.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let Counts { waiting, lost } = &*self.counts;
        let size = ENTRY + line.len();
        if waiting.load(Ordering::Relaxed) + size > limits::LOG_WAITING {
            lost.fetch_add(1, Ordering::Relaxed);
            return Ok(line.len());
        }
        waiting.fetch_add(size, Ordering::Relaxed);
        if self.is_file && REOPEN.swap(false, Ordering::SeqCst) {
            let _ = self.jobs.send(Job::Reopen);
        }
        let _ = self.jobs.send(Job::Write(line.into()));
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

pub(super) fn spawn(work: impl FnOnce() + Send + 'static) -> io::Result<()> {
    let run = || {
        // A signal that comes to this thread would not come to the loop.
        signals::block_all();
        work();
    };
    thread::Builder::new().name("log".to_owned()).spawn(run).map(drop)
}

/// Does what is to be done until the queue is gone.
fn work<W: Write>(jobs: &Receiver<Job>, counts: &Counts, to: &mut W, reopen: impl Fn(&mut W)) {
    for job in jobs {
        match job {
            Job::Write(line) => {
                // A full disk must not stop the server; the line is lost.
                let _ = to.write_all(&line);
                counts.waiting.fetch_sub(ENTRY + line.len(), Ordering::Relaxed);
            }
            Job::Reopen => reopen(to),
            Job::Report(report) => _ = report.send(()),
        }
    }
}

/// Opens a file to write at its end. A named pipe that nobody reads is an error, which
/// [`is_unread_pipe`] tells from others.
fn append(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.append(true).create(true).custom_flags(OFlag::O_NONBLOCK.bits());
    let file = options.open(path)?;
    // Only opening must not wait: a reader that takes a while is no reason to lose a line.
    fcntl(&file, FcntlArg::F_SETFL(OFlag::O_APPEND))?;
    Ok(file)
}

/// Whether a file cannot be opened since it is a named pipe that nobody reads.
pub(super) fn is_unread_pipe(path: &Path, error: &io::Error) -> bool {
    error.raw_os_error() == Some(Errno::ENXIO as i32)
        && path.metadata().is_ok_and(|file| file.file_type().is_fifo())
}

/// Opens a named pipe as soon as somebody reads it.
fn wait_for_reader(path: &Path) -> io::Result<File> {
    OpenOptions::new().append(true).open(path)
}

/// Opens a file anew; if that fails the old one stays.
fn replace(file: &mut File, path: &Path) {
    match append(path) {
        Ok(new) => *file = new,
        Err(error) => {
            let error = LogError::File(path.into(), error);
            log::warn!("{error}; until the next SIGHUP the log goes on in the file from before");
        }
    }
}
