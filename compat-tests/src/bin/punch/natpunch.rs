//! `punch natpunch`: a client of the natpunch dialect, by hand or by script.

mod lobbies;
mod servers;

use std::collections::{BTreeSet, HashMap};
use std::net::{IpAddr, SocketAddr};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use clap::Parser as _;
use compat_tests::natpunch::{Admission, Client, ClientInfo, Error, Event, LobbyInfo};

use self::lobbies::print_client;
use self::servers::{Back, Home, Looks, is_unknown, register};
use crate::causes::advice;
use crate::common::{
    any_towards, count, interrupted, local_ip, port, printable, resolve_at, say, seconds, through,
    typed,
};
use crate::masters::{Masters, Name, name};

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
    /// Give up after so many seconds; with a relay the server tries for 20 s
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
        /// The most players, the host among them
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
    /// How long it is tried to find a server that is there.
    time: Duration,
    /// Whether the server is there.
    looks: Looks,
    /// The server does not know us any more.
    is_forgotten: bool,
    /// The lobby that we want to be in.
    home: Option<Home>,
    /// How we are to be in it again.
    back: Option<Back>,
    /// Lobbies that the server told of.
    lobbies: Vec<LobbyInfo>,
    /// We are in a lobby.
    joined: bool,
    /// The server has told of lobbies.
    listed: bool,
    /// Clients that the server told of, if it has.
    clients: Option<Vec<ClientInfo>>,
    pongs: usize,
    /// Where the server said first that others are, and where last.
    told: HashMap<String, (SocketAddr, SocketAddr)>,
    refused: Option<String>,
    /// Why we are not in our lobby again and look for it no more.
    homeless: Option<String>,
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
        time: args.timeout,
        looks: Looks::default(),
        is_forgotten: false,
        home: None,
        back: None,
        lobbies: Vec::new(),
        clients: None,
        joined: false,
        listed: false,
        pongs: 0,
        told: HashMap::new(),
        refused: None,
        homeless: None,
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
    session.leave_at_last();
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
        (self.refused, self.is_forgotten) = (None, false);
        // Who is refused is in no lobby, and a refusal comes at once: it would be asked without a pause.
        let is_refused = |session: &Self| session.refused.is_some() || session.is_forgotten;
        while self.client.lobby().is_some() && !is_refused(self) && Instant::now() < deadline {
            // Nothing is left to be done if it fails.
            if self.client.leave(&lobby).is_err() || self.read(AGAIN / 4).is_err() {
                return;
            }
        }
    }

    /// Does what is due, also about the server.
    fn step(&mut self, patience: Duration) -> Result<(), String> {
        match self.read(patience) {
            Err(error) if self.masters.are_several() => self.move_on(error.to_string())?,
            read => read.map_err(|error| error.to_string())?,
        }
        self.tend()
    }

    fn read(&mut self, patience: Duration) -> Result<(), Error> {
        if let Some(event) = self.client.step(patience)? {
            self.note(event);
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
            Event::Left => (self.joined, self.home, self.back) = (false, None, None),
            Event::Pong { .. } => self.pongs += 1,
            Event::Refused(why) if is_unknown(&why) => self.is_forgotten = true,
            // The one in the list was that of before.
            Event::Refused(_) if self.looks_for_home() => self.lobbies.clear(),
            Event::Refused(why) => self.refused = Some(why),
            Event::Lobbies(lobbies) => (self.lobbies, self.listed) = (lobbies, true),
            Event::Clients(clients) => self.clients = Some(clients),
            _ => {}
        }
    }

    /// Makes a request until `done`.
    fn ask(
        &mut self,
        time: Duration,
        request: impl Fn(&Self) -> Result<(), Error>,
        done: impl Fn(&Self) -> bool,
    ) -> Result<(), String> {
        self.refused = None;
        let deadline = Instant::now() + time;
        while Instant::now() < deadline {
            let asked = request(self);
            if !self.masters.are_several() {
                asked.map_err(|error| error.to_string())?;
            }
            if self.wait(AGAIN, |session| done(session) || session.refused.is_some())? {
                return self.refused.take().map_or(Ok(()), |why| Err(printable(&why)));
            }
        }
        Err(format!("not done within {time:.0?}"))
    }

    /// How many others we have met. Each has another ID when it has registered again.
    fn met(&self) -> usize {
        self.client.peers().values().filter_map(|peer| peer.at).collect::<BTreeSet<_>>().len()
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
                self.clients = None;
                self.ask(time, |s| s.client.list_clients(), |s| s.clients.is_some())?;
                self.clients.iter().flatten().for_each(|client| print_client("", client));
                Ok(())
            }
            Command::Create { name, max_players, wait_for } => {
                self.create(name, *max_players, time)?;
                self.wait_for_players(*wait_for, time)
            }
            Command::Join { lobby, wait_for } => {
                self.join(lobby, time)?;
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

    fn wait_for_players(&mut self, players: usize, time: Duration) -> Result<(), String> {
        if players == 0 {
            return self.wait_for_all(time);
        }
        if self.wait(time, |session| session.met() + 1 >= players)? {
            say(format!("met {} of {}", self.met(), players - 1));
            return Ok(());
        }
        Err(format!("met {} of {} within {time:.0?}", self.met(), players - 1))
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
                self.create(name, *max_players, TIME)
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
