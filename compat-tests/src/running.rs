//! A program that runs beside a test, and what it says. It ends with the test.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

/// A program, and its lines as they come.
#[derive(Debug)]
pub struct Running {
    child: Child,
    lines: Receiver<String>,
    patience: Duration,
}

#[expect(clippy::expect_used, clippy::panic, reason = "a helper that fails is a test that fails")]
impl Running {
    /// Starts it. Whatever it is waited for may take so long.
    ///
    /// # Panics
    /// If it does not start.
    #[must_use]
    pub fn start(mut command: Command, patience: Duration) -> Self {
        let mut child = command.stdout(Stdio::piped()).spawn().expect("starting a program");
        let stdout = BufReader::new(child.stdout.take().expect("stdout is piped"));
        let (sink, lines) = channel();
        std::thread::spawn(move || {
            stdout.lines().map_while(Result::ok).try_for_each(|line| sink.send(line))
        });
        Self { child, lines, patience }
    }

    /// Its process.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The next line.
    ///
    /// # Panics
    /// If none comes.
    #[track_caller]
    pub fn line(&self) -> String {
        self.line_with("")
    }

    /// The next line that contains this text.
    ///
    /// # Panics
    /// If none comes.
    #[track_caller]
    pub fn line_with(&self, text: &str) -> String {
        self.lines_to(text).pop().unwrap_or_default()
    }

    /// What follows in the next line that begins so.
    ///
    /// # Panics
    /// If none comes.
    #[track_caller]
    pub fn line_after(&self, start: &str) -> String {
        let line = self.lines_until(start, |line| line.starts_with(start)).pop();
        line.unwrap_or_default().split_off(start.len()).trim().to_owned()
    }

    /// All lines up to the next one that contains this text.
    ///
    /// # Panics
    /// If none comes.
    #[track_caller]
    pub fn lines_to(&self, text: &str) -> Vec<String> {
        self.lines_until(text, |line| line.contains(text))
    }

    #[track_caller]
    fn lines_until(&self, wanted: &str, is_it: impl Fn(&str) -> bool) -> Vec<String> {
        let deadline = Instant::now() + self.patience;
        let mut said = Vec::new();
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let Ok(line) = self.lines.recv_timeout(left) else {
                panic!("no line with {wanted:?}: {said:#?}");
            };
            said.push(line);
            if said.last().is_some_and(|line| is_it(line)) {
                return said;
            }
        }
    }

    /// What it has said since it was asked last.
    #[must_use]
    pub fn lines_so_far(&self) -> Vec<String> {
        self.lines.try_iter().collect()
    }

    /// What it says until it ends.
    #[must_use]
    pub fn last_lines(&self) -> Vec<String> {
        self.lines.iter().collect()
    }

    /// Types a line, where the standard input of the command is a pipe.
    ///
    /// # Panics
    /// If it is none, or the program has ended.
    pub fn types(&mut self, line: &str) {
        let stdin = self.child.stdin.as_mut().expect("stdin is piped");
        writeln!(stdin, "{line}").expect("typing");
    }

    /// Nothing more is typed.
    pub fn ends_input(&mut self) {
        drop(self.child.stdin.take());
    }

    /// Ends it as a crash does: it tells nobody.
    ///
    /// # Panics
    /// If that cannot be done.
    pub fn crashes(&mut self) {
        self.child.kill().expect("killing a program");
        self.child.wait().expect("waiting for a program");
    }

    /// How it has ended by itself.
    ///
    /// # Panics
    /// If it does not end.
    #[track_caller]
    pub fn wait(&mut self) -> ExitStatus {
        self.wait_for(self.patience)
    }

    /// The same, if it takes longer than anything else.
    ///
    /// # Panics
    /// If it does not end.
    #[track_caller]
    pub fn wait_for(&mut self, patience: Duration) -> ExitStatus {
        let deadline = Instant::now() + patience;
        loop {
            if let Some(status) = self.child.try_wait().expect("waiting for a program") {
                return status;
            }
            assert!(Instant::now() < deadline, "it does not end");
            std::thread::sleep(Duration::from_millis(2));
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
