//! `punch events`: a peer of the JSON events, for people at a prompt and for scripts.

mod account;
mod punching;
mod rooms;

use std::collections::{BTreeSet, HashMap};
use std::io::{IsTerminal, Write};
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::path::{Path, PathBuf};
use std::sync::mpsc::TryRecvError;
use std::time::{Duration, Instant};

use compat_tests::events::knock::Punches;
use compat_tests::events::{Arrival, EventClient, EventError, Introduction, Joined, Pass};
use compat_tests::shown;
use serde_json::{Value, json};

use self::account::{Account, Home, is_dead, is_lost};
use crate::causes::advice;
use crate::common::{local_ip, printable, say, seconds, typed};
use crate::masters::{Named, SILENT};
use crate::words::{ORDERS, first_word, is_event, looked_for, own_value, settings, usage, words};

/// How long the server may take to answer a datagram, and a peer to be reached.
const UDP_WITHIN: Duration = Duration::from_secs(5);

/// So much is shown that comes when the time is up: a server may send without pause.
const LATE: usize = 16;

/// Letters of a code.
const CODE: usize = 6;

/// How often it is looked whether the server is still there, if there is another one.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// How often the server is shown the UDP socket again, as many NATs forget after 30 s.
const ALIVE: Duration = Duration::from_secs(20);

/// How often the prompt is looked at.
const STEP: Duration = Duration::from_millis(50);

/// What one can type.
const HELP: &str = "\
create NAME [MAX] [MORE]   make a room for MAX players (8). MORE: private, locked, password=WORD,
                           migrate (outlives its host), mesh (all meet all), KEY=VALUE (found by)
rooms [KEY=VALUE] [free] [newest|players]      list the rooms
join ROOM [PASSWORD]       join one, by ID, name or code
quick [KEY=VALUE]          join any that fits     watch, unwatch   hear of changes
set [MORE]                 change one's own room as for 'create', and: unlocked, max=N, name=NAME
who, delete, leave, kick ID, let ID            of the room; wait SECONDS
secret                     print the value for --secret, which resumes this login elsewhere
pass, confirm ID NAME [DATA]   send an event (ID - is the server); confirm waits until it is there
request ID NAME [DATA]     ask and wait for the answer; this client answers 'echo'
help, quit                 names with blanks are in quotes, as in create \"My room\" map=\"big one\"
";

/// Talk to other players by JSON events: rooms, messages, introductions
#[derive(clap::Args)]
#[command(after_help = HELP)]
pub(crate) struct Args {
    /// The ID to log in with
    #[arg(long)]
    id: String,
    /// The game, which has rooms of its own
    #[arg(long, default_value = "", hide_default_value = true)]
    game: String,
    /// The key, if the server asks for one
    #[arg(long)]
    key: Option<String>,
    /// The secret of an earlier login, to resume it
    #[arg(long)]
    secret: Option<String>,
    #[command(flatten)]
    master: Named,
    /// Local address to use
    #[arg(long, value_name = "IP", value_parser = local_ip)]
    bind: Option<IpAddr>,
    /// Encrypt
    #[arg(long)]
    tls: bool,
    /// Connect by WebSocket, as a web page does
    #[arg(long)]
    ws: bool,
    /// Trust the certificates in this file [default: the system's]
    #[arg(long, value_name = "FILE", requires = "tls")]
    ca: Option<PathBuf>,
    /// Do this and end; repeatable [default: read commands from stdin]
    #[arg(long = "do", value_name = "COMMAND")]
    commands: Vec<String>,
}

pub(crate) fn run(args: &Args) -> Result<(), String> {
    let mut account = Account {
        masters: args.master.masters(args.bind)?,
        bind: args.bind,
        ca: args.tls.then(|| trusted(args.ca.as_deref())).transpose()?,
        is_web: args.ws,
        id: args.id.clone(),
        game: args.game.clone(),
        key: args.key.clone(),
    };
    let secret = args.secret.as_deref();
    let (client, login) = account.login(secret).map_err(not_in)?;
    let socket = account.open_udp().map_err(|error| format!("cannot open a UDP port: {error}"))?;
    let back = if login.resumed { ", back in the place from before" } else { "" };
    say(format_args!("logged in as {}{back}", printable(&login.id)));
    if secret.is_some() && !login.resumed {
        say(
            "this is a new login: a secret is valid only until the login that it came from has ended",
        );
    }
    let id = printable(&login.id);
    let mut session = Session {
        id,
        account,
        client,
        back: None,
        was_told_why: false,
        home: None,
        watched: None,
        socket,
        shown: Instant::now(),
        room: login.room,
        players: login.players.iter().map(|id| printable(id)).collect(),
        failed: 0,
        punches: Punches::default(),
        unreached: BTreeSet::new(),
        first: HashMap::new(),
    };
    session.show_endpoint();
    if args.commands.is_empty() {
        return session.converse();
    }
    for command in &args.commands {
        if !session.carry_out(command).map_err(text)? {
            break;
        }
    }
    session.ends()
}

/// What somebody sent, as one line.
fn one_line(data: &Value) -> String {
    shown::json(&data.to_string())
}

/// Why there is no login.
fn not_in(error: EventError) -> String {
    use std::io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset};
    let is_end = match &error {
        EventError::Closed(_) => true,
        EventError::Socket { source, .. } => {
            matches!(source.kind(), BrokenPipe | ConnectionAborted | ConnectionReset)
        }
        _ => false,
    };
    match &error {
        _ if is_end => format!(
            "{error}\nEither this address is in the server's --block, or has as many connections as it may \
             have, or --dialects leaves events out. `punch probe` tells more."
        ),
        EventError::Malformed(said) if said.contains("HTTP/1.") => format!(
            "{error}\nA web server answers there: is that the port of the owner's window (--http, 6580)?"
        ),
        _ => text(error),
    }
}

fn text(error: EventError) -> String {
    match error.code() {
        Some("tls_required") => format!("{error}\n--tls encrypts."),
        Some("bad_key") => {
            format!("{error}\nA server that admits only some games wants --key, or --game.")
        }
        _ => match &error {
            EventError::Socket { doing, source, .. } if source.get_ref().is_none() => {
                format!("{error}\n{}", advice(doing, source))
            }
            _ => error.to_string(),
        },
    }
}

/// Where systems keep the certificates of those whom all trust.
pub(crate) const SYSTEM_TRUSTS: [&str; 3] =
    ["/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem"];

/// The file with the certificates to trust.
fn trusted(ca: Option<&Path>) -> Result<PathBuf, String> {
    let of_system = || SYSTEM_TRUSTS.iter().map(Path::new).find(|file| file.exists());
    let file = ca.or_else(of_system).ok_or(
        "--tls has to know whose certificates to trust, and this system has no file of them: name \
         one with --ca, such as the server's own cert.pem",
    )?;
    Ok(file.to_owned())
}

/// A logged-in client, and where it is.
struct Session {
    id: String,
    account: Account,
    client: EventClient,
    /// When it came back last, after its connection was lost.
    back: Option<Instant>,
    /// Whether the server has said why it is about to close the connection.
    was_told_why: bool,
    /// How it is in its room again after the server has lost that.
    home: Option<Home>,
    /// What it wants to hear of rooms.
    watched: Option<Value>,
    socket: UdpSocket,
    /// When the server has been shown where that is.
    shown: Instant,
    room: Option<String>,
    players: Vec<String>,
    /// How often something did not work.
    failed: usize,
    /// Whom it knocks at.
    punches: Punches,
    /// Whom it did not reach, so far: a server may introduce them once more, to its relay.
    unreached: BTreeSet<String>,
    /// Where each was said to be first, by what the two know each other.
    first: HashMap<String, SocketAddr>,
}

impl Session {
    /// Tells the server where the UDP socket is, from outside and from inside.
    fn show_endpoint(&mut self) {
        self.shown = Instant::now();
        match self.client.udp_endpoint(&self.socket, UDP_WITHIN) {
            Ok(endpoint) => say(format_args!("my UDP endpoint is {endpoint}")),
            Err(error) => return say(format_args!("no UDP, so no introductions: {error}")),
        }
        // The address of the way to the server is the one that others in the network can use.
        let inside = self.client.tcp().local_addr().map(|addr| addr.ip());
        let port = self.socket.local_addr().map(|addr| addr.port());
        if let (Ok(ip), Ok(port)) = (inside, port)
            && let Err(error) = self.client.local_endpoints(&[SocketAddr::new(ip, port)])
        {
            say(error);
        }
    }

    /// Shows it again, if it is time to.
    fn keep_endpoint(&mut self) {
        if self.shown.elapsed() >= ALIVE {
            self.shown = Instant::now();
            // If it is lost there is a next time.
            let _ = self.client.keep_endpoint(&self.socket);
        }
    }

    /// Carries out what comes on the standard input, and shows what comes from the server.
    fn converse(&mut self) -> Result<(), String> {
        let prompts = std::io::stdin().is_terminal();
        let lines = typed();
        let prompt = || {
            if prompts {
                print!("> ");
                let _ = std::io::stdout().flush();
            }
        };
        prompt();
        loop {
            match lines.try_recv() {
                Ok(line) => match self.carry_out(&line) {
                    Ok(true) => prompt(),
                    // Who types has seen what went wrong.
                    Ok(false) if prompts => return Ok(()),
                    Ok(false) => return self.ends(),
                    Err(error) => return Err(text(error)),
                },
                Err(TryRecvError::Disconnected) if prompts => return Ok(()),
                Err(TryRecvError::Disconnected) => return self.ends(),
                Err(TryRecvError::Empty) => self.listen(STEP).map_err(text)?,
            }
        }
    }

    /// Shows what comes from the server in this time, and knocks at those who are to be met.
    fn listen(&mut self, time: Duration) -> Result<(), EventError> {
        let end = Instant::now() + time;
        let (mut late, mut read) = (0, 0);
        while late < LATE {
            self.keep_endpoint();
            // What has come is read first, as it may tell of more to be knocked at; but it may be without end.
            if read % LATE == 0 {
                self.knock(end);
            }
            let left = end.saturating_duration_since(Instant::now());
            let most = if self.punches.is_empty() { LOOK_EVERY } else { Duration::ZERO };
            let pass = match self.client.next_pass(left.min(most)) {
                Ok(Some(pass)) => pass,
                Ok(None) => {
                    read = 0;
                    if self.has_silent_master() {
                        self.come_back(EventError::NoAnswer(SILENT))?;
                    } else if Instant::now() >= end {
                        break;
                    }
                    continue;
                }
                Err(error) => {
                    self.come_back(error)?;
                    continue;
                }
            };
            self.show(&pass)?;
            read += 1;
            late += usize::from(Instant::now() >= end);
        }
        Ok(())
    }

    /// Whether the server is silent, and there is another one to go on to.
    fn has_silent_master(&mut self) -> bool {
        self.account.masters.are_several() && self.client.is_silent(LOOK_EVERY, SILENT)
    }

    fn show(&mut self, pass: &Pass) -> Result<(), EventError> {
        let id = || printable(pass.data["id"].as_str().unwrap_or_default());
        let reason = || printable(pass.data["reason"].as_str().unwrap_or_default());
        match (pass.from.as_deref(), pass.name.as_str()) {
            (None, "introduce") => self.punch(Introduction::read(pass)?),
            (None, "self_joined") => {}
            (None, "player_joined") => {
                say(format_args!("{} joined", id()));
                self.players.push(id());
            }
            (None, "player_left") => {
                say(format_args!("{} is gone ({})", id(), reason()));
                self.players.retain(|player| *player != id());
            }
            (None, "host_changed") => say(format_args!("{} is the host now", id())),
            (None, "self_left") => {
                say(format_args!("out of the room ({})", reason()));
                (self.room, self.home) = (None, None);
                self.players.clear();
            }
            (None, name) => {
                self.was_told_why |= name == "error";
                say(format_args!("server: {} {}", printable(name), one_line(&pass.data)))
            }
            (Some(from), name) => {
                let (from, name) = (printable(from), printable(name));
                say(format_args!("{from}: {name} {}", one_line(&pass.data)));
            }
        }
        Ok(())
    }

    /// Says what did not work, which a script finds in the exit code.
    fn fail(&mut self, what: impl std::fmt::Display) {
        say(what);
        self.failed += 1;
    }

    /// Carries out a command; false ends the session. What the server refuses is said, and is no
    /// reason to end.
    fn carry_out(&mut self, line: &str) -> Result<bool, EventError> {
        let words = match words(line) {
            Ok(words) => words,
            // Data of an event may be any text.
            Err(_) if is_event(line) => line.split_whitespace().map(str::to_owned).collect(),
            Err(why) => {
                self.fail(why);
                return Ok(true);
            }
        };
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let done = match words[..] {
            [] => Ok(()),
            ["quit"] => return Ok(false),
            ["help"] => {
                say(HELP);
                Ok(())
            }
            ["wait", time] => match seconds(time) {
                Ok(time) => self.listen(time),
                Err(why) => {
                    self.fail(why);
                    Ok(())
                }
            },
            ["pass" | "confirm" | "request", ..] => self.send(line),
            _ => self.in_rooms(&words),
        };
        match done {
            Err(EventError::Refused(fault)) => self.fail(format_args!("refused: {fault}")),
            Err(error)
                if is_lost(&error) || self.account.masters.are_several() && is_dead(&error) =>
            {
                self.come_back(error)?;
                self.fail(format_args!(
                    "not done, as the connection was lost: {}",
                    printable(line)
                ));
            }
            other => other?,
        }
        self.listen(Duration::ZERO)?;
        Ok(true)
    }

    /// A command is not what it has to be.
    fn wrong(&mut self, why: &str) -> Result<(), EventError> {
        self.fail(why);
        Ok(())
    }

    /// `pass`, `confirm` and `request`: whom to, what, and data, which is JSON or else a text.
    fn send(&mut self, line: &str) -> Result<(), EventError> {
        let mut rest = line;
        let mut next = || match first_word(rest) {
            Ok(Some((word, behind))) => {
                rest = behind;
                Ok(word)
            }
            Ok(None) => Err(String::new()),
            Err(why) => Err(why),
        };
        let (verb, dest, name) = (next().unwrap_or_default(), next(), next());
        let (dest, name) = match (dest, name) {
            (Ok(dest), Ok(name)) => (dest, name),
            (Err(why), _) | (_, Err(why)) if !why.is_empty() => return self.wrong(&why),
            _ => return self.wrong(&format!("want {verb} ID NAME [DATA]")),
        };
        let dest = Some(dest.as_str()).filter(|dest| *dest != "-");
        let (name, data) = (
            name.as_str(),
            match rest.trim() {
                "" => Value::Null,
                text => own_value(text),
            },
        );
        match verb.as_str() {
            "pass" => self.client.pass(dest, name, data)?,
            "confirm" => match self.client.confirm_pass(dest, name, data)? {
                Arrival::Confirmed => say("confirmed"),
                Arrival::NoSuchPeer => {
                    self.fail("not confirmed: nobody is logged in under that ID");
                }
                Arrival::PeerLeft => self.fail("not confirmed: the peer has left"),
                Arrival::Timeout => self.fail("not confirmed: the peer does not answer"),
                Arrival::Refused(fault) => self.fail(format_args!("not confirmed: {fault}")),
            },
            _ => {
                let answer = self.client.request(dest, name, data)?;
                say(format_args!("answer: {}", one_line(&answer)));
            }
        }
        Ok(())
    }
}
