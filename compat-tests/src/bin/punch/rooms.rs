//! `punch rooms`: a small chat in a room, by ENet through the hole that was punched.

use std::net::{IpAddr, SocketAddr};
use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant};

use clap::Subcommand;
use compat_tests::rooms::{Error, Event, Message, Player, STEP};
use punchd::dialect::rooms::field::{self, Id};
use punchd::dialect::rooms::message::{Request, Wanted};
use punchd::dialect::rooms::options::Options;
use punchd::lobby::code::Code;

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
    /// Open a room; /kick and /admit ID or IP, /rename NAME, /lock, /unlock, /data KEY=VALUE and /close
    /// work there
    Host {
        /// Name of the room
        name: String,
        #[command(flatten)]
        room: Room,
        #[command(flatten)]
        server: Server,
        #[command(flatten)]
        chat: Chat,
    },
    /// Show the open rooms: ID, players, name, and what there is to say of them
    List {
        /// Only those that are not full and not locked
        #[arg(long)]
        free: bool,
        #[command(flatten)]
        own: Own,
        #[command(flatten)]
        server: Server,
    },
    /// Join a room; /leave leaves it
    Join {
        /// ID of the room, its code if it is private, or its name
        room: String,
        /// Its password
        #[arg(long)]
        password: Option<String>,
        #[command(flatten)]
        game: Game,
        /// Tell players of the same public address where this one is in its own network
        #[arg(long)]
        lan: bool,
        #[command(flatten)]
        server: Server,
        #[command(flatten)]
        chat: Chat,
    },
    /// Join any room that has a place; /leave leaves it
    Any {
        #[command(flatten)]
        own: Own,
        #[command(flatten)]
        server: Server,
        #[command(flatten)]
        chat: Chat,
    },
}

#[derive(clap::Args)]
struct Game {
    /// The game: rooms of others are not seen
    #[arg(long, default_value = "")]
    game: String,
}

/// Rooms of a game with what their hosts say of them.
#[derive(clap::Args)]
struct Own {
    #[command(flatten)]
    game: Game,
    /// What the host says of the room, as map=castle; can be repeated
    #[arg(long, value_name = "KEY=VALUE", value_parser = pair)]
    data: Vec<(String, String)>,
}

impl Own {
    fn options(self) -> Options {
        Options { game: self.game.game, data: self.data, ..Options::default() }
    }
}

#[derive(clap::Args)]
struct Room {
    #[command(flatten)]
    own: Own,
    /// The most players, this one among them
    #[arg(long, value_name = "PLAYERS")]
    max: Option<usize>,
    /// Let only those in who know this
    #[arg(long)]
    password: Option<String>,
    /// Show the room in no list: others join by its code
    #[arg(long)]
    private: bool,
    /// Leave the room to the others when this player goes
    #[arg(long)]
    migrate: bool,
    /// Introduce all to each other
    #[arg(long)]
    mesh: bool,
    /// Tell players of the same public address where this one is in its own network
    #[arg(long)]
    lan: bool,
}

fn pair(text: &str) -> Result<(String, String), String> {
    let pair = text.split_once('=').ok_or("want KEY=VALUE, as map=castle")?;
    Ok((pair.0.into(), pair.1.into()))
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
        Command::Host { name, room, server, chat } => {
            let mut player = player(&server)?;
            let options = Options {
                max: room.max,
                password: room.password,
                is_private: room.private.then_some(true),
                migrates: room.migrate,
                is_mesh: room.mesh,
                lan: own_network(&player, room.lan)?,
                ..room.own.options()
            };
            let place = player.host_with(&name, options).map_err(explain)?;
            say(format!("room {} open", place.room));
            if let Some(code) = player.code() {
                say(format!("its code is {code}"));
            }
            Session::new(player, chat, true).run()
        }
        Command::List { free, own, server } => {
            let options = Options { is_free: free, more: true, ..own.options() };
            list(&mut player(&server)?, &options)
        }
        Command::Join { room, password, game, lan, server, chat } => {
            let mut player = player(&server)?;
            let wanted = find(&mut player, &room, &game.game)?;
            let lan = own_network(&player, lan)?;
            let options = Options { game: game.game, password, lan, ..Options::default() };
            let place = player.join_with(wanted, options).map_err(explain)?;
            say(format!("in room {}, knocking", place.room));
            Session::new(player, chat, false).run()
        }
        Command::Any { own, server, chat } => {
            let mut player = player(&server)?;
            let place = player.join_any(own.options()).map_err(explain)?;
            say(format!("in room {}, knocking", place.room));
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

/// Where a player is in its own network, if others are to be told.
fn own_network(player: &Player, is_told: bool) -> Result<Vec<SocketAddr>, String> {
    if is_told { Ok(vec![player.lan().map_err(explain)?]) } else { Ok(Vec::new()) }
}

fn explain(error: Error) -> String {
    let advice = match &error {
        Error::Socket(_) => "Is the local address right, and the port free?",
        Error::NoAnswer { .. } => {
            "Is it running, does it speak rooms, and does a firewall let UDP through?"
        }
        Error::TooMuch { .. } => "That is no master server of rooms.",
        Error::Endless { .. } => "--timeout gives it longer.",
        Error::Refused { reason, .. } => advice(reason),
    };
    format!("{error}\n{advice}")
}

/// What to do about a refusal.
fn advice(reason: &str) -> &'static str {
    match reason {
        "badkey" => {
            "A room may want --password, and this master server --key with a key or the name of a \
             game that it admits."
        }
        "noroom" => {
            "There is no such room any more, or it is one of another game: see `list`, --game."
        }
        "full" | "locked" => "Wait until the host lets somebody in, or join another room.",
        "kicked" => "Only the host lets this player in again: /admit ID.",
        "busy" => "The server is full or about to stop: try again in a minute.",
        "limit" => {
            "This address has too many rooms or players there, or was wrong too often: wait a while."
        }
        "family" => {
            "One side has IPv4 and the other IPv6: name the master server by an address of the \
                     other kind."
        }
        _ => "PROTOCOL.md tells what the reasons mean.",
    }
}

fn list(player: &mut Player, options: &Options) -> Result<(), String> {
    let rooms = player.list_with(options).map_err(explain)?;
    if rooms.is_empty() {
        say("no rooms");
    }
    for room in rooms {
        let mut line = format!("{}  {:>2}  {}", room.room, room.players, printable(&room.name));
        if room.status != "open" {
            line += &format!("  {}", printable(&room.status));
        }
        for (key, value) in &room.data {
            line += &format!("  {}", printable(&format!("{key}={value}")));
        }
        say(line);
    }
    Ok(())
}

/// The room that a user means: by ID, the newest one of that name, or by its code.
fn find(player: &mut Player, room: &str, game: &str) -> Result<Wanted, String> {
    if let Some(id) = field::id(room.as_bytes()) {
        return Ok(Wanted::Id(id));
    }
    let options = Options { game: game.into(), ..Options::default() };
    let rooms = player.list_with(&options).map_err(explain)?;
    let found = rooms.iter().find(|entry| entry.name == room);
    let found = found.map(|entry| Wanted::Id(entry.room));
    let found = found.or_else(|| Code::read(room.as_bytes()).map(Wanted::Code));
    found.ok_or_else(|| format!("there is no room \"{room}\""))
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
    /// Since when the host is gone.
    gone: Option<Instant>,
    /// Whether the master server has closed the room.
    is_closed: bool,
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
            gone: None,
            is_closed: false,
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

    fn on_line(&mut self, line: &str) {
        let (command, argument) = line.split_once(' ').unwrap_or((line, ""));
        let result = match command {
            "/close" | "/leave" => {
                self.over = Some(Ok(()));
                Ok(())
            }
            "/rename" => self.player.rename(argument),
            "/kick" | "/admit" => self.on_kick(command == "/kick", argument),
            "/lock" | "/unlock" => {
                let is_locked = Some(command == "/lock");
                let options = Options { is_locked, ..Options::default() };
                let so = if command == "/lock" { "nobody new comes in" } else { "all may come in" };
                self.player.change(&Request::Set(options)).map(|()| say(so))
            }
            "/data" => match pair(argument) {
                Ok(pair) => {
                    let data = vec![pair];
                    self.player.change(&Request::Set(Options { data, ..Options::default() }))
                }
                Err(error) => {
                    say(error);
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

    fn on_kick(&mut self, is_kick: bool, whom: &str) -> Result<(), Error> {
        match (field::id(whom.as_bytes()), whom.parse()) {
            (Some(id), _) if is_kick => self.player.kick(&Request::KickId(id)),
            (None, Ok(ip)) if is_kick => self.player.kick(&Request::KickIp(ip)),
            (Some(id), _) => return self.player.change(&Request::LetInId(id)),
            (None, Ok(ip)) => return self.player.change(&Request::LetInIp(ip)),
            _ => say("want an ID or an address"),
        }
        Ok(())
    }

    fn speak(&mut self, line: &str) {
        let line = if self.hosts { format!("host: {line}") } else { line.into() };
        let all: Vec<Id> = self.player.connected().collect();
        for id in all {
            self.player.say(id, &line);
        }
    }

    fn name(&self, id: Id) -> String {
        let is_host = !self.hosts && self.player.place().is_some_and(|place| place.room == id);
        if is_host { "host".into() } else { id.to_string() }
    }
}
