//! `punch rooms`: a small chat in a room, by ENet through the hole that was punched.

use std::net::{IpAddr, SocketAddr};
use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant};

use clap::Subcommand;
use compat_tests::rooms::{Error, Event, Message, Player, STEP};
use punchd::dialect::rooms::field::{self, Id};
use punchd::dialect::rooms::message::Request;

use crate::common::{
    LOCAL_MASTER, any_towards, interrupted, printable, resolve, say, seconds, through, typed,
};

/// How long the last words may take to arrive.
const LAST_WORDS: Duration = Duration::from_secs(5);

/// How long a client that has not got through waits for the master server to tell another way, as
/// by a relay.
const ANOTHER_WAY: Duration = Duration::from_secs(3);

/// Host, list or join a room, and chat there
#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Open a room; /kick ID or IP, /rename NAME and /close work there
    Host {
        /// Name of the room
        name: String,
        #[command(flatten)]
        server: Server,
        #[command(flatten)]
        chat: Chat,
    },
    /// Show the open rooms: ID, players, name
    List {
        #[command(flatten)]
        server: Server,
    },
    /// Join a room; /leave leaves it
    Join {
        /// ID of the room, or its name
        room: String,
        #[command(flatten)]
        server: Server,
        #[command(flatten)]
        chat: Chat,
    },
}

#[derive(clap::Args)]
struct Server {
    /// Master server
    #[arg(long, value_name = "HOST:PORT", default_value = LOCAL_MASTER, value_parser = resolve)]
    master: SocketAddr,
    /// Local address to use
    #[arg(long, value_name = "IP")]
    bind: Option<IpAddr>,
    /// Local UDP port; 0 for any
    #[arg(long, default_value_t = 0)]
    port: u16,
    /// The key, if the server asks for one
    #[arg(long)]
    key: Option<String>,
    /// How long to wait for the master server
    #[arg(long, value_name = "SECONDS", default_value = "10", value_parser = seconds)]
    timeout: Duration,
}

#[derive(clap::Args)]
struct Chat {
    /// Say this to everyone who is connected; can be repeated
    #[arg(long, value_name = "TEXT")]
    say: Vec<String>,
    /// End once somebody has said this; can be repeated, for texts in this order
    #[arg(long, value_name = "TEXT")]
    expect: Vec<String>,
    /// End after so many seconds, with exit code 1 if something expected was not said
    #[arg(long = "for", value_name = "SECONDS", value_parser = seconds)]
    duration: Option<Duration>,
}

pub(crate) fn run(args: Args) -> Result<(), String> {
    match args.command {
        Command::Host { name, server, chat } => {
            let mut player = player(&server)?;
            let place = player.host(&name).map_err(explain)?;
            say(format!("room {} open", place.room));
            Session::new(player, chat, true).run()
        }
        Command::List { server } => list(&mut player(&server)?),
        Command::Join { room, server, chat } => {
            let mut player = player(&server)?;
            let room = find(&mut player, &room)?;
            player.join(room).map_err(explain)?;
            say(format!("in room {room}, knocking"));
            Session::new(player, chat, false).run()
        }
    }
}

fn player(server: &Server) -> Result<Player, String> {
    let any = any_towards(server.master);
    let bind = SocketAddr::new(server.bind.unwrap_or(any), server.port);
    let player = Player::new(server.master, bind, server.timeout).map_err(explain)?;
    Ok(match &server.key {
        Some(key) => player.with_key(key),
        None => player,
    })
}

fn explain(error: Error) -> String {
    let advice = match &error {
        Error::Socket(_) => "Is the local address right, and the port free?",
        Error::NoAnswer { .. } => {
            "Is it running, does it speak rooms, and does a firewall let UDP through?"
        }
        Error::TooMuch { .. } => "That is no master server of rooms.",
        Error::Endless { .. } => "--timeout gives it longer.",
        Error::Refused { .. } => "PROTOCOL.md tells what the reasons mean.",
    };
    format!("{error}\n{advice}")
}

fn list(player: &mut Player) -> Result<(), String> {
    let rooms = player.list().map_err(explain)?;
    if rooms.is_empty() {
        say("no rooms");
    }
    for room in rooms {
        say(format!("{}  {:>2}  {}", room.room, room.players, printable(&room.name)));
    }
    Ok(())
}

/// The room that a user means: by ID, or the newest one of that name.
fn find(player: &mut Player, room: &str) -> Result<Id, String> {
    if let Some(id) = field::id(room.as_bytes()) {
        return Ok(id);
    }
    let rooms = player.list().map_err(explain)?;
    let found = rooms.iter().find(|entry| entry.name == room);
    found.map(|entry| entry.room).ok_or_else(|| format!("there is no room \"{room}\""))
}

/// The master server says many things three times; what it says again in this time is a copy.
const COPIES: Duration = Duration::from_secs(2);

/// A chat, until it ends.
struct Session {
    player: Player,
    hosts: bool,
    chat: Chat,
    /// How many of the texts that are expected have been said.
    heard: usize,
    /// What was shown of the room, and when.
    shown: Vec<(String, Instant)>,
    typed: Receiver<String>,
    /// Since when there is no way to the host.
    failed: Option<Instant>,
    /// Why it is over.
    over: Option<Result<(), String>>,
}

impl Session {
    fn new(player: Player, chat: Chat, hosts: bool) -> Self {
        Self {
            player,
            hosts,
            chat,
            heard: 0,
            shown: Vec::new(),
            typed: typed(),
            failed: None,
            over: None,
        }
    }

    fn run(mut self) -> Result<(), String> {
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
            Event::Disconnected(id) => {
                say(format!("{} has gone", self.name(id)));
                if !self.hosts {
                    let complete = self.heard == self.chat.expect.len();
                    self.over = Some(if complete { Ok(()) } else { Err(self.missed()) });
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
            Message::Gone(id) => self.show(format!("{id} has left the room")),
            Message::Named(name) => self.show(format!("the room is \"{}\" now", printable(&name))),
            Message::Kicked(_) => self.over = Some(Err("the host has kicked this player".into())),
            Message::Closed(_) if !self.hosts => self.show("the room is closed".into()),
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

    fn on_line(&mut self, line: &str) {
        let (command, argument) = line.split_once(' ').unwrap_or((line, ""));
        let result = match command {
            "/close" | "/leave" => {
                self.over = Some(Ok(()));
                Ok(())
            }
            "/rename" => self.player.rename(argument),
            "/kick" => match (field::id(argument.as_bytes()), argument.parse()) {
                (Some(id), _) => self.player.kick(&Request::KickId(id)),
                (None, Ok(ip)) => self.player.kick(&Request::KickIp(ip)),
                _ => {
                    say("want /kick ID or /kick IP");
                    Ok(())
                }
            },
            _ => {
                self.speak(line);
                Ok(())
            }
        };
        if let Err(error) = result {
            say(error);
        }
    }

    fn speak(&mut self, line: &str) {
        let line = if self.hosts { format!("host: {line}") } else { line.into() };
        let all: Vec<Id> = self.player.connected().collect();
        for id in all {
            self.player.say(id, &line);
        }
    }

    fn name(&self, id: Id) -> String {
        if self.hosts { id.to_string() } else { "host".into() }
    }
}
