//! A chat in a room: what happens there, and when it is over.

use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant};

use compat_tests::rooms::{Event, Message, Player, STEP};
use punchd::dialect::rooms::field::Id;

use super::Chat;
use super::refusals::explain;
use crate::common::{interrupted, printable, say, through, typed};

/// How long the last words may take to arrive.
const LAST_WORDS: Duration = Duration::from_secs(5);

/// How long a client that has not got through waits for the master server to tell another way, as
/// by a relay.
const ANOTHER_WAY: Duration = Duration::from_secs(3);

/// The master server says many things three times; what it says again in this time is a copy.
const COPIES: Duration = Duration::from_secs(2);

/// A chat, until it ends.
pub(super) struct Session {
    pub(super) player: Player,
    pub(super) hosts: bool,
    chat: Chat,
    /// How many of the texts that are expected have been said.
    heard: usize,
    /// What was shown of the room, and when.
    shown: Vec<(String, Instant)>,
    typed: Receiver<String>,
    /// Since when there is no way to the host.
    failed: Option<Instant>,
    /// Since when the host is gone.
    gone: Option<Instant>,
    /// Whether the master server has closed the room.
    is_closed: bool,
    /// Why it is over.
    pub(super) over: Option<Result<(), String>>,
}

impl Session {
    pub(super) fn new(player: Player, chat: Chat, hosts: bool) -> Self {
        Self {
            player,
            hosts,
            chat,
            heard: 0,
            shown: Vec::new(),
            typed: typed(),
            failed: None,
            gone: None,
            is_closed: false,
            over: None,
        }
    }

    pub(super) fn run(mut self) -> Result<(), String> {
        let interrupted = interrupted()?;
        let end = self.chat.duration.map(|duration| Instant::now() + duration);
        let result = loop {
            for event in self.player.step().map_err(explain)? {
                self.on_event(event);
            }
            // One a step: what follows may have to be said to others meanwhile.
            if let Ok(line) = self.typed.try_recv() {
                self.on_line(&line);
            }
            if let Some(result) = self.over.take() {
                break result;
            }
            if self.failed.is_some_and(|since| since.elapsed() > ANOTHER_WAY) {
                let why = "cannot reach the host: `punch nat` at both tells why, and whether a relay helps";
                break Err(why.into());
            }
            // Another one may become host.
            if self.gone.is_some_and(|since| self.is_closed || since.elapsed() > ANOTHER_WAY) {
                let complete = self.heard == self.chat.expect.len();
                break if complete { Ok(()) } else { Err(self.missed()) };
            }
            let expects = !self.chat.expect.is_empty();
            if expects && self.heard == self.chat.expect.len() {
                break Ok(());
            }
            if interrupted() || end.is_some_and(|end| Instant::now() >= end) {
                break if expects { Err(self.missed()) } else { Ok(()) };
            }
            std::thread::sleep(STEP);
        };
        self.player.hang_up(LAST_WORDS).map_err(explain)?;
        if self.player.place().is_some() {
            // The master server notices it anyway.
            let _ = self.player.leave();
        }
        say("gone");
        result
    }

    fn missed(&self) -> String {
        let next = self.chat.expect.get(self.heard).map_or("", String::as_str);
        format!("nobody said \"{next}\"")
    }

    fn on_event(&mut self, event: Event) {
        match event {
            Event::Told(message) => self.on_message(message),
            Event::Connected(id) => {
                self.failed = None;
                say(format!("connected with {}", self.name(id)));
                if let Some((at, is_later)) = self.player.way(id) {
                    say(through(at, !is_later));
                }
                for text in &self.chat.say {
                    self.player
                        .say(id, &if self.hosts { format!("host: {text}") } else { text.clone() });
                }
            }
            Event::Failed(id) => {
                say(format!("no way to {} was found", self.name(id)));
                self.failed = (!self.hosts).then(Instant::now);
            }
            Event::Said(id, text) => self.on_said(id, &text),
            Event::Kicked => self.over = Some(Err("the host has kicked this player".into())),
            Event::Disconnected(id) => {
                say(format!("{} has gone", self.name(id)));
                let host = self.player.place().map(|place| place.room);
                if !self.hosts && host == Some(id) {
                    self.gone = Some(Instant::now());
                }
            }
        }
    }

    /// The host tells everyone what one of them has said, and who.
    fn on_said(&mut self, from: Id, text: &str) {
        let line = if self.hosts { format!("{}: {text}", self.name(from)) } else { text.into() };
        say(printable(&line));
        if self.hosts {
            let others: Vec<Id> = self.player.connected().filter(|id| *id != from).collect();
            for other in others {
                self.player.say(other, &line);
            }
        }
        let said = line.split_once(": ").map_or("", |(_, said)| said);
        if self.chat.expect.get(self.heard).is_some_and(|expected| expected == said) {
            self.heard += 1;
        }
    }

    fn on_message(&mut self, message: Message) {
        match message {
            Message::Comes(id, at) => self.show(format!("{id} comes from {at}, knocking")),
            Message::Moved(_, at) => {
                self.failed = None;
                self.show(format!("the other side is at {at} now, knocking"));
            }
            Message::Predicted(_, ports) => {
                let ports: Vec<String> = ports.iter().map(u16::to_string).collect();
                self.show(format!("it may have another port towards us: {}", ports.join(", ")));
            }
            Message::Promoted(_) => {
                (self.hosts, self.failed, self.gone) = (true, None, None);
                self.show("this player is the host now".into());
            }
            Message::NewHost(id, at) => {
                (self.failed, self.gone) = (None, None);
                self.show(format!("the host is {id} at {at} now, knocking"));
            }
            Message::Gone(id) => self.show(format!("{id} has left the room")),
            Message::Named(name) => self.show(format!("the room is \"{}\" now", printable(&name))),
            Message::Kicked(_) => self.over = Some(Err("the host has kicked this player".into())),
            Message::Closed(_) if !self.hosts => {
                self.is_closed = true;
                self.show("the room is closed".into());
            }
            Message::Closed(_) => self.over = Some(Err("the master server closed the room".into())),
            Message::Refused(verb, _) if verb == "ka" => {
                let back = self.player.come_back();
                say(match back {
                    Ok(_) => "back in the room, from another endpoint".into(),
                    Err(error) => {
                        printable(&format!("the master server forgot this player: {error}"))
                    }
                });
            }
            _ => {}
        }
    }

    /// Says what the master server has told, once.
    fn show(&mut self, line: String) {
        self.shown.retain(|(_, at)| at.elapsed() < COPIES);
        if !self.shown.iter().any(|(before, _)| *before == line) {
            say(&line);
            self.shown.push((line, Instant::now()));
        }
    }

    pub(super) fn name(&self, id: Id) -> String {
        let is_host = !self.hosts && self.player.place().is_some_and(|place| place.room == id);
        if is_host { "host".into() } else { id.to_string() }
    }
}
