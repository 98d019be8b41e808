//! The log: to the terminal or the system's journal, and to a file if one is named.

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use env_logger::fmt::Formatter;
use env_logger::{Builder, Logger, Target, WriteStyle};
use log::{LevelFilter, Log, Metadata, Record};

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

/// The log file cannot be opened.
#[derive(Debug)]
pub struct LogFileError {
    path: PathBuf,
    error: io::Error,
}

impl fmt::Display for LogFileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.path.display();
        let hint = match self.error.kind() {
            io::ErrorKind::NotFound => "make its folder first",
            io::ErrorKind::PermissionDenied => "let this user write there, or choose another place",
            io::ErrorKind::IsADirectory => "name a file, not a folder",
            _ => "choose another place",
        };
        write!(f, "cannot write the log file {path}: {}; {hint}", self.error)
    }
}

impl std::error::Error for LogFileError {}

/// Starts logging. `RUST_LOG`, where it is set, decides instead of `verbosity`.
///
/// # Errors
/// If the log file cannot be opened.
pub fn start(verbosity: Verbosity, file: Option<&Path>) -> Result<(), LogFileError> {
    let console = match verbosity {
        Verbosity::Quiet => LevelFilter::Error,
        Verbosity::Normal => LevelFilter::Info,
        Verbosity::Verbose => LevelFilter::Debug,
    };
    // The journal notes the time itself.
    let in_journal = std::env::var_os("JOURNAL_STREAM").is_some();
    let console = builder(console)
        .format(
            move |line, record| if in_journal { bare(line, record) } else { dated(line, record) },
        )
        .build();
    let file = match file {
        None => None,
        Some(path) => {
            let to = LogFile::open(path)?;
            let level = LevelFilter::Info.max(console_level(verbosity));
            let target = Target::Pipe(Box::new(to));
            let style = WriteStyle::Never;
            Some(builder(level).format(dated).target(target).write_style(style).build())
        }
    };
    let loggers = Loggers { console, file };
    log::set_max_level(loggers.level());
    // Fails only if a logger is set already, which a test may have done.
    let _ = log::set_boxed_logger(Box::new(loggers));
    Ok(())
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
    writeln!(line, "{} {:5} {}", line.timestamp_seconds(), record.level(), record.args())
}

fn bare(line: &mut Formatter, record: &Record<'_>) -> io::Result<()> {
    writeln!(line, "{:5} {}", record.level(), record.args())
}

/// Both places of the log.
struct Loggers {
    console: Logger,
    file: Option<Logger>,
}

impl Loggers {
    fn level(&self) -> LevelFilter {
        let file = self.file.as_ref().map_or(LevelFilter::Off, Logger::filter);
        self.console.filter().max(file)
    }
}

impl Log for Loggers {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        self.console.enabled(metadata) || self.file.as_ref().is_some_and(|f| f.enabled(metadata))
    }

    fn log(&self, record: &Record<'_>) {
        self.console.log(record);
        if let Some(file) = &self.file {
            file.log(record);
        }
    }

    fn flush(&self) {
        self.console.flush();
    }
}

/// Set when the log file has to be opened anew.
static REOPEN: AtomicBool = AtomicBool::new(false);

/// Opens the log file anew before its next line: its name may mean another file by now, as after
/// logrotate.
pub fn reopen() {
    REOPEN.store(true, Ordering::SeqCst);
    log::info!("SIGHUP: reopening the log file");
}

struct LogFile {
    path: PathBuf,
    file: File,
}

impl LogFile {
    fn open(path: &Path) -> Result<Self, LogFileError> {
        let file = append(path).map_err(|error| LogFileError { path: path.into(), error })?;
        Ok(Self { path: path.into(), file })
    }
}

fn append(path: &Path) -> io::Result<File> {
    OpenOptions::new().append(true).create(true).open(path)
}

impl Write for LogFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if REOPEN.swap(false, Ordering::SeqCst)
            && let Ok(file) = append(&self.path)
        {
            self.file = file;
        }
        // A full disk must not stop the server; the line is lost.
        let _ = self.file.write_all(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
