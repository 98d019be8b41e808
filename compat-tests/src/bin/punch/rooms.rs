//! `punch rooms`: a small chat in a room, by ENet through the hole that was punched.

mod commands;
mod home;
mod listing;
mod refusals;
mod session;

use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use clap::Subcommand;
use compat_tests::rooms::Player;
use punchd::dialect::rooms::options::Options;

use self::home::Home;
use self::listing::{find, list};
use self::refusals::explain;
use self::session::Session;
use crate::common::{any_towards, count, local_ip, port, say, seconds};
use crate::masters::{Masters, Named};

/// Host, list or join a room, and chat there
///
/// Everyone in the room sees what you type; /help lists the commands. It exits on /leave, Ctrl-C, or the
/// end of its input (Ctrl-D); the latter does not count with --say, --expect or --for.
#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Open a room; /close closes it for all, /leave does so too unless --migrate was given. There are also
    /// /rename NAME, /kick and /admit ID or IP, /lock, /unlock, /data KEY=VALUE and /help
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
    /// List the open rooms: ID, players and most players, name, and own data
    List {
        /// Only those that are not full and not locked
        #[arg(long)]
        free: bool,
        #[command(flatten)]
        sought: Sought,
        #[command(flatten)]
        server: Server,
    },
    /// Join a room; /leave leaves it, /help tells more
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
    /// Join any room that has a place; /leave leaves it, /help tells more
    Any {
        #[command(flatten)]
        sought: Sought,
        #[command(flatten)]
        server: Server,
        #[command(flatten)]
        chat: Chat,
    },
}

#[derive(clap::Args)]
struct Game {
    /// The game: rooms of other games are not seen
    #[arg(long, default_value = "")]
    game: String,
}

/// What rooms are looked for.
#[derive(clap::Args)]
struct Sought {
    #[command(flatten)]
    game: Game,
    /// Only rooms with this own data, such as map=castle; repeatable
    #[arg(long, value_name = "KEY=VALUE", value_parser = pair)]
    data: Vec<(String, String)>,
}

impl Sought {
    fn options(self) -> Options {
        Options { game: self.game.game, data: self.data, ..Options::default() }
    }
}

#[derive(clap::Args)]
struct Room {
    #[command(flatten)]
    game: Game,
    /// Own data of the room, by which it can be found, such as map=castle; repeatable
    #[arg(long, value_name = "KEY=VALUE", value_parser = pair)]
    data: Vec<(String, String)>,
    /// The most players, this one among them
    #[arg(long, value_name = "PLAYERS", value_parser = count::<usize>)]
    max: Option<usize>,
    /// Password that players need to join
    #[arg(long)]
    password: Option<String>,
    /// Keep the room out of lists; others join it by its code
    #[arg(long)]
    private: bool,
    /// When this player leaves, another one becomes host, unless /close closes the room
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
    #[command(flatten)]
    master: Named,
    /// Local address to use
    #[arg(long, value_name = "IP", value_parser = local_ip)]
    bind: Option<IpAddr>,
    /// Local UDP port; 0 for any
    #[arg(long, default_value_t = 0, value_parser = port)]
    port: u16,
    /// The key, if the server asks for one; without it the game is shown in its place
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
            let (mut player, masters) = player(&server, &room.game.game)?;
            let options = Options {
                max: room.max,
                password: room.password,
                is_private: room.private.then_some(true),
                migrates: room.migrate,
                is_mesh: room.mesh,
                lan: own_network(&player, room.lan)?,
                game: room.game.game,
                data: room.data,
                ..Options::default()
            };
            let home = Home { name: Some(name.clone()), options: options.clone(), masters };
            let place = player.host_with(&name, options).map_err(explain)?;
            say(format!("room {} open", place.room));
            if let Some(code) = player.code() {
                say(format!("its code is {code}"));
            }
            Session::new(player, chat, true, home).run()
        }
        Command::List { free, sought, server } => {
            let options = Options { is_free: free, more: true, ..sought.options() };
            list(&mut player(&server, &options.game)?.0, &options)
        }
        Command::Join { room, password, game, lan, server, chat } => {
            let (mut player, masters) = player(&server, &game.game)?;
            let (wanted, name) = find(&mut player, &room, &game.game)?;
            let lan = own_network(&player, lan)?;
            let options = Options { game: game.game, password, lan, ..Options::default() };
            let home = Home { name, options: options.clone(), masters };
            let place = player.join_with(wanted, options).map_err(explain)?;
            say(format!("in room {}, knocking", place.room));
            Session::new(player, chat, false, home).run()
        }
        Command::Any { sought, server, chat } => {
            let (mut player, masters) = player(&server, &sought.game.game)?;
            let options = sought.options();
            let game = options.game.clone();
            let home =
                Home { name: None, options: Options { game, ..Options::default() }, masters };
            let place = player.join_any(options).map_err(explain)?;
            say(format!("in room {}, knocking", place.room));
            Session::new(player, chat, false, home).run()
        }
    }
}

/// How long a master server may take to say that it is there, and how often it is asked meanwhile.
const THERE_WITHIN: Duration = Duration::from_millis(1500);
const ASK_EVERY: Duration = Duration::from_millis(300);

/// A player who shows the key, or else the game, as servers look for one of them in the same place; and the
/// master servers that it knows, of which it uses the first that is there.
fn player(server: &Server, game: &str) -> Result<(Player, Masters), String> {
    let mut masters = server.master.masters(server.bind)?;
    if masters.are_several() {
        // If none is there the first request says so.
        let _ = masters.ask(|masters| is_there(masters.current(), server.bind), |_, _| true);
    }
    let master = masters.current();
    let any = any_towards(master);
    let bind = SocketAddr::new(server.bind.unwrap_or(any), server.port);
    let player = Player::new(master, bind, server.timeout).map_err(explain)?;
    let player = if masters.are_several() { player.watching() } else { player };
    let game = Some(game).filter(|game| !game.is_empty());
    let player = match server.key.as_deref().or(game) {
        Some(shown) => player.with_key(shown),
        None => player,
    };
    Ok((player, masters))
}

/// Asks a master server whether it is there: whatever it says, it is.
fn is_there(master: SocketAddr, bind: Option<IpAddr>) -> Result<(), String> {
    let ask = || -> std::io::Result<()> {
        let socket = UdpSocket::bind((bind.unwrap_or(any_towards(master)), 0))?;
        socket.connect(master)?;
        socket.set_read_timeout(Some(ASK_EVERY))?;
        let end = Instant::now() + THERE_WITHIN;
        loop {
            socket.send(b"status")?;
            match socket.recv(&mut [0; 512]) {
                Err(error) if Instant::now() < end && is_late(&error) => {}
                said => return said.map(drop),
            }
        }
    };
    ask().map_err(|error| match is_late(&error) {
        true => format!("the master server {master} does not answer"),
        false => format!("the master server {master} does not answer: {error}"),
    })
}

fn is_late(error: &std::io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted)
}

/// Where a player is in its own network, if others are to be told.
fn own_network(player: &Player, is_told: bool) -> Result<Vec<SocketAddr>, String> {
    if is_told { Ok(vec![player.lan().map_err(explain)?]) } else { Ok(Vec::new()) }
}
