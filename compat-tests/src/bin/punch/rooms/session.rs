//! A chat in a room: what happens there, and when it is over.

use std::collections::VecDeque;
use std::sync::mpsc::{Receiver, TryRecvError};
use std::time::{Duration, Instant};

use compat_tests::rooms::{Event, Message, Player, STEP};
use punchd::dialect::rooms::field::Id;

use super::Chat;
use super::home::{Home, Lost};
use super::refusals::explain;
use crate::common::{interrupted, printable, say, through, typed};

/// How long the last words may take to arrive.
const LAST_WORDS: Duration = Duration::from_secs(5);

/// How long a client that has not got through waits for the master server to tell another way, as
/// by a relay.
const ANOTHER_WAY: Duration = Duration::from_secs(3);

/// How long a client whose host has gone waits for another one. The master server makes one at once when
/// the host has left; but when it has crashed, only after minutes of silence, and nobody tells a client
/// whether it will.
const ANOTHER_HOST: Duration = Duration::from_secs(20);

/// So many lines wait until this player is connected.
const MOST_HELD: usize = 64;

/// The master server says many things three times; what it says again in this time is a copy.
const COPIES: Duration = Duration::from_secs(2);

/// A chat, until it ends.
pub(super) struct Session {
    pub(super) player: Player,
    pub(super) hosts: bool,
    chat: Chat,
    /// How to get back into the room.
    pub(super) home: Home,
    /// Since when the master server knows nothing of this player.
    pub(super) lost: Option<Lost>,
    /// How many of the texts that are expected have been said.
    heard: usize,
    /// What was shown of the room, and when.
    shown: Vec<(String, Instant)>,
    typed: Receiver<String>,
    /// Whether nothing more is going to be typed.
    is_all_typed: bool,
    /// What was typed while there was no host to tell it.
    held: VecDeque<String>,
    /// Since when there is no way to the host.
    failed: Option<Instant>,
    /// Since when the host is gone.
    gone: Option<Instant>,
    /// Whether the master server has closed the room.
    is_closed: bool,
    /// Whether its host has said that the room is not to go on without it.
    pub(super) closes: bool,
    /// Why it is over.
    pub(super) over: Option<Result<(), String>>,
}

impl Session {
    pub(super) fn new(player: Player, chat: Chat, hosts: bool, home: Home) -> Self {
        Self {
            player,
            hosts,
            chat,
            home,
            lost: None,
            heard: 0,
            shown: Vec::new(),
            typed: typed(),
            is_all_typed: false,
            held: VecDeque::new(),
            failed: None,
            gone: None,
            is_closed: false,
            closes: false,
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
            self.look_for_master();
            self.go_home();
            // One a step: what follows may have to be said to others meanwhile.
            match self.typed.try_recv() {
                Ok(line) => self.on_line(&line),
                Err(end) => self.is_all_typed = end == TryRecvError::Disconnected,
            }
            if let Some(result) = self.over.take().or_else(|| self.is_over()) {
                break result;
            }
            if interrupted() || end.is_some_and(|end| Instant::now() >= end) {
                let expects = !self.chat.expect.is_empty();
                break if expects { Err(self.missed()) } else { Ok(()) };
            }
            std::thread::sleep(STEP);
        };
        if !self.player.part(self.closes, LAST_WORDS).map_err(explain)? {
            say(
                "the master server says nothing: it takes minutes to notice that this player is gone",
            );
        }
        say("gone");
        result
    }

    /// Whether there is nothing more to wait for, and how that ends.
    fn is_over(&self) -> Option<Result<(), String>> {
        let is_complete = self.heard == self.chat.expect.len();
        let expects = !self.chat.expect.is_empty();
        if self.failed.is_some_and(|since| since.elapsed() > ANOTHER_WAY) {
            let why = "cannot reach the host: `punch nat` at both tells why, and whether a relay helps. \
                       If both are behind one router, --lan at both helps";
            return Some(Err(why.into()));
        }
        let is_out = self.player.is_out() && self.lost.is_none();
        if self.gone.is_some() && (self.is_closed || is_out) {
            return Some(if is_complete { Ok(()) } else { Err(self.missed()) });
        }
        if self.is_closed && !self.player.has_host() {
            return Some(Err(
                "the room was closed before this player got through to its host".into()
            ));
        }
        if self.player.is_out() && self.lost.is_none() && !self.player.has_host() {
            return Some(Err("the master server knows nothing of this player any more".into()));
        }
        if self.gone.is_some_and(|since| since.elapsed() > ANOTHER_HOST) {
            let why = format!(
                "the master server has named no other host within {} s. If the room goes on without its \
                 host, that may take minutes after a crash: join it again then",
                ANOTHER_HOST.as_secs()
            );
            return Some(Err(why));
        }
        if expects && is_complete {
            return Some(Ok(()));
        }
        let chat = &self.chat;
        let is_script = expects || !chat.say.is_empty() || chat.duration.is_some();
        let is_said = self.held.is_empty() || self.hosts;
        let is_done = self.is_all_typed && is_said && !self.player.is_asking();
        (is_done && !is_script).then_some(Ok(()))
    }

    fn missed(&self) -> String {
        let next = self.chat.expect.get(self.heard).map_or("", String::as_str);
        format!("nobody said \"{next}\"")
    }

    fn on_event(&mut self, event: Event) {
        match event {
            Event::Told(message) => self.on_message(message),
            Event::Connected(id) => {
                if self.is_host(id) {
                    (self.failed, self.gone) = (None, None);
                }
                say(format!("connected with {}", self.name(id)));
                if let Some((at, is_later)) = self.player.way(id) {
                    say(through(at, !is_later));
                }
                for text in &self.chat.say {
                    self.player
                        .say(id, &if self.hosts { format!("host: {text}") } else { text.clone() });
                }
                self.say_held();
            }
            Event::Failed(id) => {
                say(format!("no way to {} was found", self.name(id)));
                if self.is_host(id) {
                    self.failed = Some(Instant::now());
                }
            }
            Event::Said(id, text) => self.on_said(id, &text),
            Event::Kicked => self.over = Some(Err("the host has kicked this player".into())),
            Event::Disconnected(id) => {
                say(format!("{} has gone", self.name(id)));
                if self.is_host(id) {
                    self.gone = Some(Instant::now());
                    say("waiting for the room to get another host");
                }
            }
            Event::Answered(request, result) => self.on_answer(&request, result),
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
            Message::Comes(id, at) => _ = self.show(format!("{id} comes from {at}, knocking")),
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
                self.home.options.migrates = true;
                self.show("this player is the host now".into());
            }
            Message::NewHost(id, at) => {
                (self.failed, self.gone) = (None, None);
                if self.show(format!("the host is {id} at {at} now")) {
                    let is_known = self.player.has_host();
                    say(if is_known { "still connected with it" } else { "knocking there" });
                    self.say_held();
                }
            }
            Message::Gone(id) => _ = self.show(format!("{id} has left the room")),
            Message::Named(name) => {
                self.home.name = Some(name.clone());
                _ = self.show(format!("the room is \"{}\" now", printable(&name)))
            }
            Message::Kicked(_) => self.over = Some(Err("the host has kicked this player".into())),
            Message::Closed(room) if !self.player.is_in(room) => {}
            Message::Closed(_) if !self.hosts => {
                self.is_closed = true;
                self.show("the room is closed".into());
            }
            Message::Closed(_) => self.over = Some(Err("the master server closed the room".into())),
            // Only this says that the master server does not know it: what others say in its name may be refused.
            Message::Refused(verb, reason)
                if verb == "ka" && reason == "noroom" && !self.player.is_out() =>
            {
                self.come_back();
            }
            _ => {}
        }
    }

    /// The master server does not know who this is: perhaps it comes from another endpoint now.
    fn come_back(&mut self) {
        match self.player.come_back() {
            Ok(_) => say("back in the room, from another endpoint"),
            Err(error) => {
                say(printable(&format!("the master server forgot this player: {error}")));
                if self.player.is_out() {
                    self.lose_home();
                }
            }
        }
    }

    /// Says what the master server has told, once. False: it was said already.
    fn show(&mut self, line: String) -> bool {
        self.shown.retain(|(_, at)| at.elapsed() < COPIES);
        let is_new = !self.shown.iter().any(|(before, _)| *before == line);
        if is_new {
            say(&line);
            self.shown.push((line, Instant::now()));
        }
        is_new
    }

    /// Says a line to all; or later, if there is no host to tell it.
    pub(super) fn speak(&mut self, line: &str) {
        if !self.player.has_host() {
            if self.held.len() < MOST_HELD {
                return self.held.push_back(line.into());
            }
            return say(format!("not connected yet, and {MOST_HELD} lines wait: this one is lost"));
        }
        let line = if self.hosts { format!("host: {line}") } else { line.into() };
        let all: Vec<Id> = self.player.connected().collect();
        for id in all {
            self.player.say(id, &line);
        }
    }

    /// Says what was typed too early.
    fn say_held(&mut self) {
        if self.player.has_host() {
            self.held.split_off(0).iter().for_each(|line| self.speak(line));
        }
    }

    fn is_host(&self, id: Id) -> bool {
        !self.hosts && self.player.place().is_some_and(|place| place.room == id)
    }

    pub(super) fn name(&self, id: Id) -> String {
        if self.is_host(id) { "host".into() } else { id.to_string() }
    }
}
