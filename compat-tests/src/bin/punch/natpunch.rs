//! `punch natpunch`: a client of the natpunch dialect, by hand or by script.

mod servers;

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use clap::Parser as _;
use compat_tests::natpunch::{Admission, Client, ClientInfo, Error, Event, LobbyInfo};

use self::servers::register;
use crate::causes::advice;
use crate::common::{
    any_towards, count, interrupted, local_ip, port, printable, resolve_at, say, seconds, through,
    typed,
};
use crate::masters::{Masters, Name, SILENT, name};

/// Time between two looks at what is typed.
const STEP: Duration = Duration::from_millis(50);

/// After so long without success a request is made again: packets get lost.
const AGAIN: Duration = Duration::from_secs(1);

/// So many others it is kept of where they are said to be: more than come into a lobby.
const MOST_OTHERS: usize = 256;

/// Be a client of the natpunch dialect; without a command, take commands from standard input
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Address or name of the server
    #[arg(short, long, global = true, value_name = "HOST", default_value = "127.0.0.1")]
    address: String,
    /// UDP port of the server
    #[arg(short, long, global = true, default_value_t = compat_tests::gmnet::wire::DEFAULT_PORT)]
    #[arg(value_parser = port)]
    port: u16,
    /// The server's address and port in one, or A,B: B is used if A is gone
    #[arg(long, global = true, value_name = "HOST:PORT", value_delimiter = ',', value_parser = name)]
    #[arg(conflicts_with_all = ["address", "port"])]
    master: Vec<Name>,
    /// Local address to use
    #[arg(long, global = true, value_name = "IP", value_parser = local_ip)]
    bind: Option<IpAddr>,
    /// Give up after so many seconds; a server with a relay tries for 20
    #[arg(long, global = true, value_name = "S", default_value = "30", value_parser = seconds)]
    timeout: Duration,
    /// Stay for so many seconds after success
    #[arg(long, global = true, value_name = "S", default_value = "0", value_parser = seconds)]
    stay: Duration,
    /// The game that we belong to, for a server that admits only some games
    #[arg(long, global = true, value_name = "NAME", default_value = "")]
    game: String,
    /// The key that the server asks for
    #[arg(
        long,
        global = true,
        value_name = "SECRET",
        default_value = "",
        hide_default_value = true
    )]
    key: String,
    #[command(subcommand)]
    command: Option<Command>,
}

/// What can be done, on the command line and by hand.
#[derive(clap::Subcommand, Clone, Debug)]
enum Command {
    /// List the lobbies
    List,
    /// List the lobbies, with the members of our own
    Lobbies,
    /// List the clients that use no lobbies
    Clients,
    /// Open a lobby, and succeed when it has so many players
    Create {
        /// Its name
        name: String,
        /// Players that there may be
        #[arg(value_parser = count::<u32>)]
        max_players: u32,
        /// Players to wait for; 0 waits until Ctrl-C, as long as the server answers within --timeout
        #[arg(default_value_t = 0, value_parser = count::<usize>)]
        wait_for: usize,
    },
    /// Join a lobby, and succeed when all so far are met
    Join {
        /// Its ID, or its name
        lobby: String,
        /// Players to wait for, ourselves included
        #[arg(default_value_t = 2, value_parser = count::<usize>)]
        wait_for: usize,
    },
    /// Be introduced to a client, and succeed when it is met
    Connect {
        /// Its ID
        peer: String,
    },
    /// Meet a client and ping it
    Ping {
        /// Its ID
        peer: String,
    },
}

/// By hand there is more.
#[derive(clap::Parser)]
#[command(no_binary_name = true, disable_help_flag = true, name = "")]
enum Line {
    #[command(flatten)]
    Command(Command),
    /// Leave LOBBY, or the lobby that we are in
    Leave {
        /// Its ID
        lobby: Option<String>,
    },
    /// Say who we are and whom we have met
    Who,
    /// End
    Quit,
}

/// A client that does one thing.
struct Session {
    client: Client,
    masters: Masters,
    admission: Admission,
    /// The lobby that we have opened: its name, and the players that there may be.
    own: Option<(String, u32)>,
    /// Lobbies that the server told of.
    lobbies: Vec<LobbyInfo>,
    /// We are in a lobby.
    joined: bool,
    /// Clients that the server told of.
    clients: Vec<ClientInfo>,
    /// The server has told of lobbies, or of clients.
    listed: bool,
    pongs: usize,
    /// Where the server said first that others are, and where last.
    told: HashMap<String, (SocketAddr, SocketAddr)>,
    refused: Option<String>,
    /// Whether Ctrl-C or SIGTERM has come.
    is_interrupted: Box<dyn Fn() -> bool>,
}

pub(crate) fn run(args: &Args) -> Result<(), String> {
    let mut masters = match args.master.is_empty() {
        true => Masters::only(
            resolve_at(&args.address, args.port).map_err(|e| format!("{}: {e}", args.address))?,
        ),
        false => Masters::find(&args.master, args.bind)?,
    };
    let admission = Admission { game: args.game.clone(), key: args.key.clone() };
    let client = register(&mut masters, args.bind, args.timeout, &admission)?;
    say(format!("registered {} at {}", printable(client.id()), client.public()));
    let mut session = Session {
        client,
        masters,
        admission,
        own: None,
        lobbies: Vec::new(),
        clients: Vec::new(),
        joined: false,
        listed: false,
        pongs: 0,
        told: HashMap::new(),
        refused: None,
        is_interrupted: Box::new(interrupted()?),
    };
    let ended = match &args.command {
        None => session.by_hand(),
        Some(command) => {
            let done = session.carry_out(command, args.timeout);
            // Who stops it while it stays has seen that it worked.
            done.map(|()| _ = session.wait(args.stay, |_| false))
        }
    };
    if args.command.is_none() || (session.is_interrupted)() {
        session.leave_at_last();
    }
    ended
}

impl Session {
    /// Handles what happens until `done` or the time is over; whether it was done.
    fn wait(&mut self, time: Duration, done: impl Fn(&Self) -> bool) -> Result<bool, String> {
        let deadline = Instant::now() + time;
        while !done(self) {
            if (self.is_interrupted)() {
                return Err("stopped".to_owned());
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(false);
            }
            self.step(left.min(STEP))?;
        }
        Ok(true)
    }

    /// Leaves the lobby, so that nobody waits for us there.
    fn leave_at_last(&mut self) {
        let Some(lobby) = self.client.lobby().map(str::to_owned) else { return };
        let deadline = Instant::now() + AGAIN;
        self.refused = None;
        // Who is refused is in no lobby, and a refusal comes at once: it would be asked without a pause.
        while self.client.lobby().is_some() && self.refused.is_none() && Instant::now() < deadline {
            // Nothing is left to be done if it fails.
            if self.client.leave(&lobby).is_err() || self.step(AGAIN / 4).is_err() {
                return;
            }
        }
    }

    fn step(&mut self, patience: Duration) -> Result<(), String> {
        match self.client.step(patience).map_err(|error| error.to_string())? {
            Some(event) => self.note(event),
            None => return Ok(()),
        }
        Ok(())
    }

    fn note(&mut self, event: Event) {
        match &event {
            Event::Introduced { peer, public } => {
                if self.told.len() > MOST_OTHERS {
                    self.told.clear();
                }
                self.told.entry(peer.clone()).or_insert((*public, *public)).1 = *public;
                say(format!("introduced {} at {public}", printable(peer)));
            }
            Event::Connected { peer, at } => {
                say(format!("connected {} at {at}", printable(peer)));
                if let Some((first, last)) = self.told.get(peer) {
                    say(through(*at, first == last));
                }
            }
            Event::Pong { peer, after } => {
                say(format!("pong {} after {after:.1?}", printable(peer)))
            }
            Event::Created { lobby } => say(format!("created {}", printable(lobby))),
            Event::Joining { lobby } => say(format!("joining {}", printable(lobby))),
            Event::Joined { lobby, members } => {
                say(format!("joined {}, {} members", printable(lobby), members.len()))
            }
            Event::Update { kind, info } => {
                say(format!("{} {}/{}", printable(kind), info.current_players, info.max_players));
            }
            Event::PeerLeft { peer } => say(format!("left {}", printable(peer))),
            Event::Left => say("left the lobby"),
            Event::Lobbies(_) | Event::Clients(_) => {}
            Event::Refused(why) => say(format!("refused: {}", printable(why))),
        }
        match event {
            Event::Created { .. } | Event::Joined { .. } => self.joined = true,
            Event::Left => self.joined = false,
            Event::Pong { .. } => self.pongs += 1,
            Event::Refused(why) => self.refused = Some(why),
            Event::Lobbies(lobbies) => (self.lobbies, self.listed) = (lobbies, true),
            Event::Clients(clients) => (self.clients, self.listed) = (clients, true),
            _ => {}
        }
    }

    /// Makes a request until `done`.
    fn ask(
        &mut self,
        time: Duration,
        request: impl Fn(&Self) -> Result<(), compat_tests::natpunch::Error>,
        done: impl Fn(&Self) -> bool,
    ) -> Result<(), String> {
        self.refused = None;
        let mut began = Instant::now();
        let deadline = began + time;
        while Instant::now() < deadline {
            let asked = request(self);
            if !self.masters.are_several() {
                asked.map_err(|error| error.to_string())?;
            }
            if self.wait(AGAIN, |session| done(session) || session.refused.is_some())? {
                return self.refused.take().map_or(Ok(()), |why| Err(printable(&why)));
            }
            let silence = self.client.silence().min(began.elapsed());
            if self.masters.are_several() && silence >= SILENT {
                let server = self.masters.current();
                self.move_on(&format!("{server} does not answer any more"), time)?;
                began = Instant::now();
            }
        }
        Err(format!("not done within {time:.0?}"))
    }

    fn met(&self) -> usize {
        self.client.peers().values().filter(|peer| peer.at.is_some()).count()
    }

    fn is_connected(&self, peer: &str) -> bool {
        self.client.peers().get(peer).is_some_and(|peer| peer.at.is_some())
    }

    fn carry_out(&mut self, command: &Command, time: Duration) -> Result<(), String> {
        match command {
            Command::List | Command::Lobbies => {
                self.find_lobbies(time)?;
                self.print_lobbies(matches!(command, Command::Lobbies));
                Ok(())
            }
            Command::Clients => {
                self.listed = false;
                self.ask(time, |s| s.client.list_clients(), |s| s.listed)?;
                self.clients.iter().for_each(|client| print_client("", client));
                Ok(())
            }
            Command::Create { name, max_players, wait_for } => {
                self.joined = false;
                self.ask(time, |s| s.client.create(name, *max_players), |s| s.joined)?;
                self.own = Some((name.clone(), *max_players));
                self.wait_for_players(*wait_for, time)
            }
            Command::Join { lobby, wait_for } => {
                let id = self.lobby_id(lobby, time)?;
                self.joined = false;
                self.ask(time, |s| s.client.join(&id), |s| s.joined)?;
                self.wait_for_players(*wait_for, time)
            }
            Command::Connect { peer } => {
                self.ask(time, |s| s.client.connect(peer, 1), |s| s.is_connected(peer))
            }
            Command::Ping { peer } => {
                if !self.is_connected(peer) {
                    self.ask(time, |s| s.client.connect(peer, 1), |s| s.is_connected(peer))?;
                }
                let before = self.pongs;
                for _ in 0..3 {
                    self.client.ping(peer).map_err(|error| error.to_string())?;
                    if self.wait(AGAIN, |s| s.pongs > before)? {
                        return Ok(());
                    }
                }
                Err("no pong".into())
            }
        }
    }

    fn find_lobbies(&mut self, time: Duration) -> Result<(), String> {
        self.listed = false;
        self.ask(time, |s| s.client.list(), |s| s.listed)
    }

    /// The ID of a lobby that is given by name or ID; waits until there is one of that name.
    fn lobby_id(&mut self, lobby: &str, time: Duration) -> Result<String, String> {
        let deadline = Instant::now() + time;
        let mut has_said = false;
        loop {
            self.find_lobbies(time)?;
            let is_it = |info: &&LobbyInfo| info.lobby_name == lobby || info.lobby_id == lobby;
            if let Some(info) = self.lobbies.iter().find(is_it) {
                return Ok(info.lobby_id.clone());
            }
            // A long list does not tell of all.
            if lobby.len() == 36 {
                return Ok(lobby.into());
            }
            if Instant::now() >= deadline {
                return Err(format!("there is no lobby \"{}\"", printable(lobby)));
            }
            if !has_said {
                has_said = true;
                let lobby = printable(lobby);
                say(format!("no lobby \"{lobby}\" yet; looking for it for {time:.0?}"));
            }
            self.wait(AGAIN / 4, |_| false)?;
        }
    }

    fn wait_for_players(&mut self, players: usize, time: Duration) -> Result<(), String> {
        if players == 0 {
            return self.wait_for_all(time);
        }
        if self.wait_for_so_many(players, time)? {
            say(format!("met {} of {}", self.met(), players - 1));
            return Ok(());
        }
        Err(format!("met {} of {} within {time:.0?}", self.met(), players - 1))
    }

    fn print_lobbies(&self, with_members: bool) {
        for info in &self.lobbies {
            let (now, most) = (info.current_players, info.max_players);
            let (id, name) = (printable(&info.lobby_id), printable(&info.lobby_name));
            say(format!("{id} {now}/{most} {name}"));
            for member in info.members.iter().filter(|_| with_members) {
                print_client("  ", member);
            }
        }
        if self.lobbies.is_empty() {
            say("no lobbies");
        }
    }

    /// Takes commands from standard input.
    fn by_hand(&mut self) -> Result<(), String> {
        let lines = typed();
        while !(self.is_interrupted)() {
            match lines.try_recv() {
                Ok(line) => match Line::try_parse_from(line.split_whitespace()) {
                    Ok(Line::Quit) => return Ok(()),
                    Ok(line) => self.obey(&line)?,
                    Err(error) => say(error),
                },
                Err(mpsc::TryRecvError::Empty) => self.step(STEP)?,
                Err(mpsc::TryRecvError::Disconnected) => return Ok(()),
            }
        }
        Ok(())
    }

    fn obey(&mut self, line: &Line) -> Result<(), String> {
        /// By hand nobody waits for long.
        const TIME: Duration = Duration::from_secs(5);
        let result = match line {
            // The rest goes on while the next line is typed.
            Line::Command(Command::Create { name, max_players, .. }) => {
                self.joined = false;
                self.ask(TIME, |s| s.client.create(name, *max_players), |s| s.joined)
            }
            Line::Command(command) => self.carry_out(command, TIME),
            Line::Leave { lobby } => {
                let own = self.client.lobby().map(str::to_owned);
                match lobby.clone().or(own) {
                    Some(lobby) => self.ask(TIME, |s| s.client.leave(&lobby), |s| !s.joined),
                    None => Err("in no lobby".to_owned()),
                }
            }
            Line::Who | Line::Quit => {
                say(format!("we are {} at {}", printable(self.client.id()), self.client.public()));
                for (id, peer) in self.client.peers() {
                    let (id, at) = (printable(id), peer.at);
                    say(format!("{id} {}", at.map_or("not met".into(), |at| at.to_string())));
                }
                Ok(())
            }
        };
        if let Err(why) = result {
            say(why);
        }
        Ok(())
    }
}

fn print_client(indent: &str, client: &ClientInfo) {
    let at = client.public_endpoint.clone().unwrap_or_default();
    let (id, ip) = (printable(&client.client_id), printable(&at.ip_address));
    say(format!("{indent}{id} {ip}:{}", at.port));
}
