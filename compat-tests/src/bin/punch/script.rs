//! Scripts: what a peer does, and when.
//!
//! ```text
//! # The host hangs for three seconds as soon as a client has come.
//! when connected
//! at 0 hang
//! at 3 resume
//! at 10 end
//! ```
//!
//! `at SECONDS` counts from the start or from the `when` before it.

use std::collections::VecDeque;
use std::fmt;
use std::time::{Duration, Instant};

use compat_tests::meddler::Meddler;

use crate::common::{say, seconds};

/// Whose script it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    Host,
    Join,
}

/// What a script can wait for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Moment {
    /// The master server has told one side about the other.
    Told,
    /// The host has welcomed the client.
    Connected,
}

/// What a script can do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    /// Join: ask the master server for the host.
    Ask,
    /// Host: register, again if need be.
    Register,
    /// Host: change data string 1.
    Data1(String),
    /// Host: close the connection to the master server.
    Leave,
    /// Send bytes of the game's own to all on the other side.
    Send(Vec<u8>),
    /// Take no steps, as a game that loads a level.
    Hang,
    /// Take steps again.
    Resume,
    /// The own master server goes away.
    MasterDown,
    /// It comes back, and knows nobody.
    MasterUp,
    /// End.
    End,
}

/// As scripts have it.
impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ask => f.write_str("ask"),
            Self::Register => f.write_str("register"),
            Self::Data1(text) => write!(f, "data1 {text}"),
            Self::Leave => f.write_str("leave"),
            Self::Send(bytes) => {
                f.write_str("send")?;
                bytes.iter().try_for_each(|byte| write!(f, " {byte:02x}"))
            }
            Self::Hang => f.write_str("hang"),
            Self::Resume => f.write_str("resume"),
            Self::MasterDown => f.write_str("master down"),
            Self::MasterUp => f.write_str("master up"),
            Self::End => f.write_str("end"),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Line {
    When(Moment),
    At(Duration, Action),
}

/// A script that is being carried out.
#[derive(Debug)]
pub(crate) struct Script {
    lines: VecDeque<Line>,
    since: Instant,
    started: Instant,
}

impl Script {
    /// Reads a script; an error names the line.
    pub(crate) fn parse(text: &str, role: Role) -> Result<Self, String> {
        let mut lines = VecDeque::new();
        for (n, line) in (1..).zip(text.lines()) {
            let line = line.trim();
            if !line.is_empty() && !line.starts_with('#') {
                lines.push_back(parse_line(line, role).map_err(|why| format!("line {n}: {why}"))?);
            }
        }
        let asks = lines.iter().any(|line| matches!(line, Line::At(_, Action::Ask)));
        if role == Role::Join && !asks {
            return Err("no `at SECONDS ask`, so nothing would ever happen".to_owned());
        }
        let now = Instant::now();
        Ok(Self { lines, since: now, started: now })
    }

    /// The script from now on.
    pub(crate) fn start(mut self) -> Self {
        self.since = Instant::now();
        self.started = self.since;
        self
    }

    /// What is to be done now, if anything; told of with its time. `has` says whether a moment
    /// has come.
    pub(crate) fn next(&mut self, has: impl Fn(Moment) -> bool) -> Option<Action> {
        loop {
            match self.lines.front()? {
                Line::When(moment) if has(*moment) => self.since = Instant::now(),
                Line::At(after, _) if self.since.elapsed() >= *after => {}
                Line::When(_) | Line::At(..) => return None,
            }
            if let Line::At(_, action) = self.lines.pop_front()? {
                say(format!("script, {:.2} s: {action}", self.started.elapsed().as_secs_f64()));
                return Some(action);
            }
        }
    }
}

/// The own master server goes away or comes back.
pub(crate) fn move_master(master: &mut Option<Meddler>, up: bool) -> Result<(), String> {
    let master = master.as_mut().ok_or("`master` is for --own-master")?;
    if up {
        return master.up().map_err(|error| format!("the master server cannot come back: {error}"));
    }
    master.down();
    Ok(())
}

fn parse_line(line: &str, role: Role) -> Result<Line, String> {
    let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
    match (word, rest.trim()) {
        ("when", "told") => Ok(Line::When(Moment::Told)),
        ("when", "connected") => Ok(Line::When(Moment::Connected)),
        ("at", rest) => {
            let (after, action) = rest.split_once(' ').ok_or("want `at SECONDS ACTION`")?;
            Ok(Line::At(seconds(after)?, parse_action(action.trim(), role)?))
        }
        _ => Err("want `at SECONDS ACTION`, `when told` or `when connected`".to_owned()),
    }
}

fn parse_action(text: &str, role: Role) -> Result<Action, String> {
    let (word, rest) = text.split_once(' ').unwrap_or((text, ""));
    let action = match (word, rest.trim()) {
        ("data1", text) if role == Role::Host => Action::Data1(text.to_owned()),
        ("register", "") if role == Role::Host => Action::Register,
        ("leave", "") if role == Role::Host => Action::Leave,
        ("ask", "") if role == Role::Join => Action::Ask,
        ("send", bytes) => Action::Send(hex(bytes).ok_or("want bytes such as `send 01 ff`")?),
        ("hang", "") => Action::Hang,
        ("resume", "") => Action::Resume,
        ("master", "down") => Action::MasterDown,
        ("master", "up") => Action::MasterUp,
        ("end", "") => Action::End,
        _ => {
            let own = if role == Role::Host { "register, leave, data1 TEXT" } else { "ask" };
            return Err(format!(
                "`{text}` is none of {own}, send BYTES, hang, resume, master down, master up, end"
            ));
        }
    };
    Ok(action)
}

fn hex(text: &str) -> Option<Vec<u8>> {
    text.split_whitespace()
        .map(|byte| u8::from_str_radix(byte, 16).ok())
        .collect::<Option<Vec<u8>>>()
        .filter(|bytes| !bytes.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is said of a script is what it says.
    #[test]
    fn actions_are_written_as_they_are_read() {
        for line in [
            "at 0 ask",
            "at 0 register",
            "at 0 data1 Another name",
            "at 0 leave",
            "at 0 hang",
            "at 0 send 01 00 64 ff",
            "at 0 resume",
            "at 0 master down",
            "at 0 master up",
            "at 0 end",
        ] {
            let of = |role| match parse_line(line, role) {
                Ok(Line::At(_, action)) => Some(action.to_string()),
                _ => None,
            };
            let written = of(Role::Host).or_else(|| of(Role::Join));
            assert_eq!(written.as_deref(), line.strip_prefix("at 0 "));
        }
    }

    #[test]
    fn a_script_waits_for_times_and_moments() {
        let text =
            "# a comment\n\nat 0 data1 My  game\nwhen connected\nat 0 send 01 ff\nat 60 end\n";
        let mut script = Script::parse(text, Role::Host).expect("valid");
        assert_eq!(script.next(|_| false), Some(Action::Data1("My  game".to_owned())));
        assert_eq!(script.next(|moment| moment == Moment::Told), None);
        assert_eq!(script.next(|_| true), Some(Action::Send(vec![1, 0xff])));
        assert_eq!(script.next(|_| true), None);
        assert_eq!(script.lines.len(), 1);
    }

    #[test]
    fn mistakes_are_named_with_their_line() {
        for (role, text, why) in [
            (Role::Host, "at 0 hang\nat x end", "line 2: want a number"),
            (Role::Host, "at 1 ask", "line 1: `ask` is none of register"),
            (Role::Join, "at 1 register", "line 1: `register` is none of ask"),
            (Role::Host, "at 1 send 1 xy", "line 1: want bytes"),
            (Role::Host, "when ready", "line 1: want `at"),
            (Role::Join, "at 1 end", "no `at SECONDS ask`"),
        ] {
            let error = Script::parse(text, role).expect_err(text);
            assert!(error.starts_with(why), "{error}");
        }
    }
}
