//! Lines on their way to a terminal, a pipe or a file, and the thread that writes them there.
//! Writing can take any time: a pipe may be full, a disk may hang.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SendError, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use log::error;

use super::LogError;
use crate::limits;
pub(super) use crate::net::sys::is_unread_pipe;
use crate::net::sys::{self, without_signals};

/// Memory of a line besides its text.
const ENTRY: usize = 64;

/// How long the start waits for the log file. A disk may hang.
const OPEN_WAIT: Duration = Duration::from_secs(1);

/// How seldom it is told that nothing can be written, if it works in between.
const TOLD_GAP: Duration = Duration::from_secs(60);

/// Set when the log file has to be opened anew.
static REOPEN: AtomicBool = AtomicBool::new(false);

/// Opens the log file anew before its next line: its name may mean another file by now, as after
/// logrotate.
pub fn reopen() {
    REOPEN.store(true, Ordering::SeqCst);
    log::info!("SIGHUP: reopening the log file");
}

/// Whether it has been said on standard error that the log file cannot be opened anew.
static SAID: AtomicBool = AtomicBool::new(false);

/// Says what is wrong with the log where nobody can miss it, unless the log itself goes there. If that is
/// gone as well, so be it.
fn say_on_stderr(why: &impl std::fmt::Display) {
    if !sys::is_one_output() {
        let _ = writeln!(io::stderr(), "punchd: {why}");
    }
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
    /// Lines that could not be written, as far as that has not been told.
    unwritten: AtomicU64,
}

/// Takes lines without ever waiting. Clones are the same queue.
#[derive(Clone, Debug)]
pub(super) struct Queue {
    jobs: Sender<Job>,
    counts: Arc<Counts>,
    /// Where they go to; none is standard output.
    file: Option<PathBuf>,
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
    /// A queue to standard output, where the log of the old server went.
    ///
    /// # Errors
    /// If the system gives no thread.
    pub(super) fn to_console() -> io::Result<Self> {
        let (queue, jobs) = Self::new(None);
        let counts = Arc::clone(&queue.counts);
        // Without the buffer that Rust has for it: that keeps what could not be written.
        let stdout = sys::standard_output()?;
        spawn(move || Writer::new(stdout, None, counts).work(&jobs, |_| true, |_| false))?;
        Ok(queue)
    }

    /// A queue to the end of a file, which is made if it is not there.
    ///
    /// # Errors
    /// If the system gives no thread.
    pub(super) fn to_file(path: &Path) -> io::Result<(Self, Opened)> {
        let (queue, jobs) = Self::new(Some(path.to_owned()));
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
            let file = match opened {
                Ok(file) => {
                    let _ = open.send(Opened::Yes);
                    Some(file)
                }
                Err(error) => match open.send(Opened::Failed(error)) {
                    // The start has not waited for it.
                    Err(SendError(Opened::Failed(error))) => {
                        error!("{}", LogError::File(path.clone(), error));
                        open_at_last(&jobs, &counts, || append(&path))
                    }
                    _ => None,
                },
            };
            if let Some(file) = file {
                let mut writer = Writer::new(file, Some(path.clone()), counts);
                let is_renamed = |file: &File| sys::was_renamed(file, &path);
                writer.work(&jobs, |file| replace(file, &path), is_renamed);
            }
        })?;
        Ok((queue, is_open.recv_timeout(OPEN_WAIT).unwrap_or(Opened::Not)))
    }

    fn new(file: Option<PathBuf>) -> (Self, Receiver<Job>) {
        let (jobs, to_do) = channel();
        (Self { jobs, counts: Arc::default(), file }, to_do)
    }

    /// How many lines were lost since this was asked last; none if none were, or if there is
    /// hardly any room for more.
    pub(super) fn take_lost(&self) -> Option<u64> {
        let Counts { waiting, lost, .. } = &*self.counts;
        let has_room = waiting.load(Ordering::Relaxed) < limits::LOG_WAITING / 2;
        (has_room && lost.load(Ordering::Relaxed) > 0).then(|| lost.swap(0, Ordering::Relaxed))
    }

    /// How many lines could not be written, in words, if that has not been told.
    pub(super) fn take_unwritten(&self) -> Option<String> {
        let lines = self.counts.unwritten.swap(0, Ordering::Relaxed);
        let name = name(self.file.as_deref());
        (lines > 0).then(|| format!("{lines} lines are lost: {name} could not be written"))
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
        let Counts { waiting, lost, .. } = &*self.counts;
        let size = ENTRY + line.len();
        if waiting.load(Ordering::Relaxed) + size > limits::LOG_WAITING {
            lost.fetch_add(1, Ordering::Relaxed);
            return Ok(line.len());
        }
        waiting.fetch_add(size, Ordering::Relaxed);
        if self.file.is_some() && REOPEN.swap(false, Ordering::SeqCst) {
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
    // A signal that comes to this thread would not come to the loop: it leaves all of them to others, from
    // its first moment on, as one that nobody handles ends the process.
    without_signals(|| thread::Builder::new().name("log".to_owned()).spawn(work).map(drop))
}

fn name(file: Option<&Path>) -> String {
    file.map_or("the log to standard output".into(), |path| {
        format!("the log file {}", path.display())
    })
}

/// What takes the lines, and how that goes. A full disk must not stop the server: what cannot be
/// written is lost, counted, and told in the other place of the log.
struct Writer<W> {
    to: W,
    file: Option<PathBuf>,
    counts: Arc<Counts>,
    /// The last line was written in part.
    is_cut: bool,
    /// It has been told that nothing can be written.
    is_failing: bool,
    /// It is to be told again, as the owner wants it to be tried again.
    is_asked: bool,
    /// It has been told on standard error: the other place of the log may be on the same disk.
    is_on_stderr: bool,
    /// When it was told last. Something that works and fails by turns must not fill the other place.
    told: Option<Instant>,
}

impl<W: Write> Writer<W> {
    fn new(to: W, file: Option<PathBuf>, counts: Arc<Counts>) -> Self {
        // Lines may be lost that came before it could be opened.
        let is_failing = counts.unwritten.load(Ordering::Relaxed) > 0;
        let (is_cut, is_asked, is_on_stderr) = (false, false, false);
        Self { to, file, counts, is_cut, is_failing, is_asked, is_on_stderr, told: None }
    }

    /// Does what is to be done until the queue is gone.
    fn work(
        &mut self,
        jobs: &Receiver<Job>,
        reopen: impl Fn(&mut W) -> bool,
        is_renamed: impl Fn(&W) -> bool,
    ) {
        // That it cannot be opened anew is a line of the log itself, which must not cause the next.
        let mut failed: Option<Instant> = None;
        for job in jobs {
            match job {
                Job::Write(line) => {
                    if failed.is_none_or(|at| at.elapsed() >= TOLD_GAP) && is_renamed(&self.to) {
                        failed = (!reopen(&mut self.to)).then(Instant::now);
                    }
                    match self.write(&line) {
                        Ok(()) => self.note_success(),
                        Err(error) => self.note_failure(error),
                    }
                    self.counts.waiting.fetch_sub(ENTRY + line.len(), Ordering::Relaxed);
                }
                Job::Reopen => {
                    _ = reopen(&mut self.to);
                    self.is_asked = true;
                }
                Job::Report(report) => _ = report.send(()),
            }
        }
    }

    /// Writes a line, behind the end of the one before if that was written in part.
    fn write(&mut self, line: &[u8]) -> io::Result<()> {
        if self.is_cut {
            self.to.write_all(
                b"
",
            )?;
            self.is_cut = false;
        }
        let mut rest = line;
        while !rest.is_empty() {
            match self.to.write(rest) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(length) => {
                    rest = rest.get(length..).unwrap_or_default();
                    self.is_cut = !rest.is_empty();
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn note_success(&mut self) {
        self.is_asked = false;
        if std::mem::take(&mut self.is_failing) {
            let lines = self.counts.unwritten.swap(0, Ordering::Relaxed);
            log::warn!("{} is written again; {lines} lines are lost", name(self.file.as_deref()));
        }
    }

    fn note_failure(&mut self, error: io::Error) {
        self.counts.unwritten.fetch_add(1, Ordering::Relaxed);
        let is_news = !self.is_failing && self.told.is_none_or(|at| at.elapsed() >= TOLD_GAP);
        if !is_news && !self.is_asked {
            return;
        }
        (self.is_failing, self.is_asked, self.told) = (true, false, Some(Instant::now()));
        let why = match &self.file {
            Some(path) => LogError::File(path.clone(), error).to_string(),
            None => format!("cannot write {}: {error}", name(None)),
        };
        if !std::mem::replace(&mut self.is_on_stderr, true) {
            say_on_stderr(&why);
        }
        // However little is logged: whoever wants a log has to know that there is none.
        log::error!("{why}; until that works, lines are lost");
    }
}

/// Opens a file to write at its end. A named pipe that nobody reads is an error, which
/// [`is_unread_pipe`] tells from others.
fn append(path: &Path) -> io::Result<File> {
    let file = sys::open_at_once(OpenOptions::new().append(true).create(true), path)?;
    // Only opening must not wait: a reader that takes a while is no reason to lose a line.
    sys::wait_from_now_on(&file)?;
    Ok(file)
}

/// Tries again to open what could not be opened, when the owner asks for it and once a minute. Lines are lost until
/// then. None: there will be no more.
fn open_at_last<F>(
    jobs: &Receiver<Job>,
    counts: &Counts,
    open: impl Fn() -> io::Result<F>,
) -> Option<F> {
    let mut tried = Instant::now();
    for job in jobs {
        match job {
            Job::Write(line) => {
                counts.waiting.fetch_sub(ENTRY + line.len(), Ordering::Relaxed);
                counts.unwritten.fetch_add(1, Ordering::Relaxed);
                if tried.elapsed() < TOLD_GAP {
                    continue;
                }
            }
            Job::Reopen => {}
            Job::Report(report) => {
                let _ = report.send(());
                continue;
            }
        }
        tried = Instant::now();
        if let Ok(file) = open() {
            return Some(file);
        }
    }
    None
}

/// Opens a named pipe as soon as somebody reads it.
fn wait_for_reader(path: &Path) -> io::Result<File> {
    OpenOptions::new().append(true).open(path)
}

/// Opens a file anew; if that fails the old one stays. Returns whether it worked.
fn replace(file: &mut File, path: &Path) -> bool {
    match append(path) {
        Ok(new) => *file = new,
        Err(error) => {
            let error = LogError::File(path.into(), error);
            let until = sys::UNTIL_REOPENED;
            if !SAID.swap(true, Ordering::Relaxed) {
                say_on_stderr(&error);
            }
            log::warn!("{error}; {until} logging continues in the old file");
            return false;
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A disk with room for so many bytes.
    struct Disk(Vec<u8>, usize);

    impl Write for Disk {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let room = self.1 - self.0.len();
            let taken = &bytes[..room.min(bytes.len())];
            self.0.extend_from_slice(taken);
            if taken.is_empty() { Err(io::ErrorKind::StorageFull.into()) } else { Ok(taken.len()) }
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_file_that_was_renamed_is_opened_anew_before_the_next_line() {
        let written = |can_be_opened: bool| {
            let (mut queue, jobs) = Queue::new(None);
            let mut writer = Writer::new(Files(1, Vec::new()), None, Arc::clone(&queue.counts));
            (0..3).for_each(|_| queue.write_all(b"line").unwrap());
            drop(queue.jobs);
            let times = std::cell::Cell::new(0);
            let reopen = |file: &mut Files| {
                times.set(times.get() + 1);
                file.0 += usize::from(can_be_opened);
                can_be_opened
            };
            // The first one has another name by now.
            writer.work(&jobs, reopen, |file| file.0 == 1);
            (writer.to.1, times.get())
        };
        assert_eq!(written(true), (vec![2, 2, 2], 1));
        assert_eq!(written(false), (vec![1, 1, 1], 1), "and that is told once");
    }

    #[test]
    fn a_file_that_could_not_be_opened_is_opened_when_the_owner_asks() {
        let (mut queue, jobs) = Queue::new(None);
        let (tries, counts) = (std::cell::Cell::new(0), Arc::clone(&queue.counts));
        let send = |job| queue.jobs.send(job).unwrap();
        send(Job::Reopen);
        for job in [Job::Write(b"lost".as_slice().into()), Job::Reopen] {
            send(job);
        }
        counts.waiting.fetch_add(ENTRY + 4, Ordering::Relaxed);
        queue.write_all(b"written").unwrap();
        drop(queue);
        let open = || {
            tries.set(tries.get() + 1);
            if tries.get() > 1 {
                Ok(Files(1, Vec::new()))
            } else {
                Err(io::ErrorKind::NotFound.into())
            }
        };
        let files = open_at_last(&jobs, &counts, open).unwrap();
        assert_eq!(counts.unwritten.load(Ordering::Relaxed), 1);
        let mut writer = Writer::new(files, None, Arc::clone(&counts));
        writer.work(&jobs, |_| true, |_| false);
        assert_eq!(counts.unwritten.load(Ordering::Relaxed), 0, "told");
        assert_eq!((writer.to.1, tries.get()), (vec![1], 2));
        assert_eq!(counts.waiting.load(Ordering::Relaxed), 0);
        assert_eq!(
            open_at_last(&jobs, &counts, || io::Result::Ok(())),
            None,
            "nobody writes any more"
        );
    }

    /// Which of several files is open, and to which each line went.
    struct Files(usize, Vec<usize>);

    impl Write for Files {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.1.push(self.0);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_line_that_was_cut_by_a_full_disk_leaves_the_next_one_whole() {
        let (mut queue, jobs) = Queue::new(None);
        let mut writer = Writer::new(Disk(Vec::new(), 10), None, Arc::clone(&queue.counts));
        for line in [
            "first
", "second
", "third
",
        ] {
            queue.write_all(line.as_bytes()).unwrap();
        }
        let Queue { jobs: end, counts, .. } = queue;
        end.send(Job::Reopen).unwrap();
        end.send(Job::Write(
            b"fourth
"
            .as_slice()
            .into(),
        ))
        .unwrap();
        drop(end);
        counts.waiting.fetch_add(ENTRY + 7, Ordering::Relaxed);
        // Room is made when it is opened again.
        let more = |disk: &mut Disk| {
            disk.1 = 100;
            true
        };
        writer.work(&jobs, more, |_| false);
        assert_eq!(
            writer.to.0,
            b"first
seco
fourth
"
        );
        assert_eq!(counts.waiting.load(Ordering::Relaxed), 0);
        assert!(!writer.is_failing && !writer.is_cut);
        assert_eq!(counts.unwritten.load(Ordering::Relaxed), 0, "told");
    }
}
