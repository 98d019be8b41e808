//! The log: to the terminal or the system's journal, and to a file if one is named. A line is made
//! where it is logged, if there are not too [many](budget), and written by a [thread](queue) of its
//! own: nobody waits for whoever reads the log.

use std::fmt;
use std::fs::OpenOptions;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::thread;
use std::time::Instant;

use env_logger::fmt::Formatter;
use env_logger::{Builder, Logger, Target, WriteStyle};
use log::{Level, LevelFilter, Log, Metadata, Record, warn};

use crate::limits;
use crate::net::sys;
use crate::truncation::Bounded;

mod budget;
mod json;
mod printable;
mod queue;

use budget::Budget;
use printable::Printable;
pub use queue::reopen;
use queue::{Opened, Queue};

/// Lines that were left out since this was said last.
static LEFT_OUT: AtomicU64 = AtomicU64::new(0);

/// Wakes the thread that says so.
static TELLER: OnceLock<SyncSender<()>> = OnceLock::new();

/// Counts a line that is not written since there are too many. The log tells the count soon.
pub fn leave_out() {
    LEFT_OUT.fetch_add(1, Ordering::Relaxed);
    if let Some(teller) = TELLER.get() {
        // Full: it is awake already.
        let _ = teller.try_send(());
    }
}

/// How much is logged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Verbosity {
    /// Nothing but errors on the terminal; the file gets what it always gets.
    Quiet,
    /// What an owner wants to know.
    #[default]
    Normal,
    /// Every detail, for finding out what a game does.
    Verbose,
}

/// How lines look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// For people.
    #[default]
    Text,
    /// For programs: each line is an object.
    Json,
}

/// Why there can be no log.
#[derive(Debug)]
pub enum LogError {
    /// Its file cannot be opened.
    File(PathBuf, io::Error),
    /// The system gives no thread for it.
    Thread(io::Error),
}

impl fmt::Display for LogError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (path, error) = match self {
            Self::File(path, error) => (path, error),
            Self::Thread(error) => return write!(f, "cannot start the thread of the log: {error}"),
        };
        let hint = match error.kind() {
            _ if queue::is_unread_pipe(path, error) => {
                "it is a named pipe that nobody reads: start what reads it"
            }
            // Some systems say no more of a folder than that access is denied.
            _ if path.is_dir() => "name a file, not a folder",
            io::ErrorKind::BrokenPipe => "start what reads it",
            io::ErrorKind::NotFound => "make its folder first",
            io::ErrorKind::PermissionDenied => "let this user write there, or choose another place",
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => "make room there",
            _ => "choose another place",
        };
        write!(f, "cannot write the log file {}: {error}; {hint}", path.display())
    }
}

impl std::error::Error for LogError {}

/// Starts logging. `RUST_LOG`, where it is set, decides instead of `verbosity`.
///
/// # Errors
/// If the log file cannot be opened, or there is no thread to write it.
pub fn start(verbosity: Verbosity, format: Format, file: Option<&Path>) -> Result<(), LogError> {
    let level = match verbosity {
        Verbosity::Quiet => LevelFilter::Error,
        Verbosity::Normal => LevelFilter::Info,
        Verbosity::Verbose => LevelFilter::Debug,
    };
    // The journal notes the time itself.
    let in_journal =
        std::env::var("JOURNAL_STREAM").is_ok_and(|stream| sys::is_standard_output(&stream));
    let (at_console, in_file) = match format {
        Format::Json => (json_line as WriteLine, json_line as WriteLine),
        Format::Text if in_journal => (bare as WriteLine, dated as WriteLine),
        Format::Text => (dated as WriteLine, dated as WriteLine),
    };
    let mut places =
        vec![Place::new(level, at_console, Queue::to_console().map_err(LogError::Thread)?)];
    let mut late = None;
    if let Some(path) = file {
        let (queue, opened) = Queue::to_file(path).map_err(LogError::Thread)?;
        match opened {
            Opened::Failed(error) => return Err(LogError::File(path.into(), error)),
            Opened::Unread => {
                late = Some("nobody reads this named pipe yet: start what reads it");
            }
            Opened::Not => late = Some("opening it takes too long: check its disk"),
            Opened::Yes => {}
        }
        places.push(Place::new(LevelFilter::Info.max(console_level(verbosity)), in_file, queue));
    }
    let loggers = Loggers { places, budgets: Mutex::default() };
    log::set_max_level(loggers.level());
    // Fails only if a logger is set already, which a test may have done.
    let _ = log::set_boxed_logger(Box::new(loggers));
    let (teller, wakes) = sync_channel(1);
    queue::spawn(move || tell_left_out(&wakes)).map_err(LogError::Thread)?;
    let _ = TELLER.set(teller);
    if let Some((path, why)) = file.zip(late) {
        warn!("nothing is written to the log file {} yet, its lines wait; {why}", path.display());
    }
    Ok(())
}

/// Whether a file could be written at its end, without making it.
///
/// # Errors
/// If it could not.
pub fn check(file: &Path) -> Result<(), LogError> {
    let failed = |error| LogError::File(file.into(), error);
    match sys::open_at_once(OpenOptions::new().append(true), file) {
        Err(error) if queue::is_unread_pipe(file, &error) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty());
            sys::may_make_files(folder.unwrap_or(Path::new("."))).map_err(failed)
        }
        other => other.map(drop).map_err(failed),
    }
}

/// Says how many lines were left out, some time after the first of them: perhaps no other line
/// follows that could say so.
fn tell_left_out(wakes: &Receiver<()>) {
    for () in wakes {
        thread::sleep(limits::LOG_LEFT_OUT);
        if let Some(text) = take_left_out() {
            warn!("{text}");
        }
    }
}

fn take_left_out() -> Option<String> {
    let left_out = LEFT_OUT.swap(0, Ordering::Relaxed);
    let lines = if left_out == 1 { "line was" } else { "lines were" };
    (left_out > 0).then(|| format!("{left_out} {lines} left out, there are too many"))
}

fn console_level(verbosity: Verbosity) -> LevelFilter {
    if verbosity == Verbosity::Verbose { LevelFilter::Debug } else { LevelFilter::Info }
}

fn builder(level: LevelFilter) -> Builder {
    let mut builder = Builder::new();
    match std::env::var("RUST_LOG") {
        Ok(filters) if !filters.is_empty() => builder.parse_filters(&filters),
        _ => builder.filter_level(level),
    };
    builder
}

fn dated(line: &mut Formatter, record: &Record<'_>) -> io::Result<()> {
    let text = message(record);
    writeln!(line, "{} {:5} {text}", line.timestamp_seconds(), record.level())
}

fn bare(line: &mut Formatter, record: &Record<'_>) -> io::Result<()> {
    writeln!(line, "{:5} {}", record.level(), message(record))
}

/// What a line says. Those about peers have a bound, whatever these are called.
fn message<'a>(record: &'a Record<'a>) -> impl fmt::Display + 'a {
    let is_of_peers = record.key_values().count() > 0;
    let columns = if is_of_peers { limits::LOG_LINE } else { usize::MAX };
    Bounded(Printable(record.args()), columns)
}

fn json_line(line: &mut Formatter, record: &Record<'_>) -> io::Result<()> {
    let time = line.timestamp_seconds().to_string();
    json::write(line, &time, record)
}

/// How a line is written.
type WriteLine = fn(&mut Formatter, &Record<'_>) -> io::Result<()>;

/// Where the log goes to.
struct Place {
    logger: Logger,
    queue: Queue,
}

impl Place {
    fn new(level: LevelFilter, format: WriteLine, queue: Queue) -> Self {
        let target = Target::Pipe(Box::new(queue.clone()));
        let mut builder = builder(level);
        builder.format(format).target(target).write_style(WriteStyle::Never);
        Self { logger: builder.build(), queue }
    }

    fn write(&self, record: &Record<'_>) {
        if let Some(lost) = self.queue.take_lost() {
            self.warn(format_args!("{lost} lines are lost: what reads the log is too slow"));
        }
        self.logger.log(record);
    }

    fn warn(&self, text: fmt::Arguments<'_>) {
        self.logger.log(&Record::builder().level(Level::Warn).target(OWN).args(text).build());
    }
}

/// All places of the log.
struct Loggers {
    places: Vec<Place>,
    /// For what an owner wants to know, and for details.
    budgets: Mutex<[Budget; 2]>,
}

impl Loggers {
    fn level(&self) -> LevelFilter {
        let levels = self.places.iter().map(|place| place.logger.filter());
        levels.max().unwrap_or(LevelFilter::Off)
    }

    fn wait_for_places(&self, until: Instant) {
        let written: Vec<_> = self.places.iter().map(|place| place.queue.written()).collect();
        for written in written {
            let _ = written.recv_timeout(until.saturating_duration_since(Instant::now()));
        }
    }

    fn admits(&self, record: &Record<'_>) -> bool {
        if is_own(record) {
            return true;
        }
        let mut budgets = self.budgets.lock().unwrap_or_else(PoisonError::into_inner);
        let [usual, details] = &mut *budgets;
        let now = Instant::now();
        match record.level() {
            Level::Debug | Level::Trace => details.admit(now, limits::LOG_DETAILS),
            _ => usual.admit(now, limits::LOG_LINES),
        }
    }
}

/// The target of what this module says.
const OWN: &str = module_path!();

/// Whether a line is about the server itself: its start and end, what its owner asks for, what the
/// system refuses. No peer can cause many of those.
fn is_own(record: &Record<'_>) -> bool {
    match record.level() {
        Level::Error => true,
        Level::Warn | Level::Info => {
            let of = |module| record.target().starts_with(module);
            record.target() == "punchd" || of(OWN) || of("punchd::net")
        }
        Level::Debug | Level::Trace => false,
    }
}

impl Log for Loggers {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        self.places.iter().any(|place| place.logger.enabled(metadata))
    }

    fn log(&self, record: &Record<'_>) {
        if !self.enabled(record.metadata()) {
            return;
        }
        if !self.admits(record) {
            return leave_out();
        }
        // The end of the process must not come before the count.
        let left_out = is_own(record).then(take_left_out).flatten();
        for place in &self.places {
            left_out.iter().for_each(|text| place.warn(format_args!("{text}")));
            place.write(record);
        }
    }

    /// Waits until all is written, but no longer than [`limits::LOG_FLUSH`].
    fn flush(&self) {
        let until = Instant::now() + limits::LOG_FLUSH;
        self.wait_for_places(until);
        // Only now it is known how many lines a full disk has lost, and there is no time for it to
        // work again.
        for text in self.places.iter().filter_map(|place| place.queue.take_unwritten()) {
            self.places.iter().for_each(|place| place.warn(format_args!("{text}")));
        }
        self.wait_for_places(until);
    }
}
