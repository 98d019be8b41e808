//! `punch join`: a game that joins a host.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use compat_tests::gmnet::{Answer, Client, ClientConfig, Error, GAP, Progress, STEP, Stage, Way};
use compat_tests::meddler::Meddler;

use crate::causes;
use crate::common::{
    LOCAL_MASTER, local_ip, port, printable, resolve, resolve_at, say, seconds, through,
};
use crate::script::{Action, Moment, Role, Script, move_master};
use crate::unruly::{Unruly, wait_for_host};

/// How long a connected host may take to answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);

/// So much of what a host sends is printed in one step.
const MOST_A_STEP: usize = 64;

/// Join a host: exit code 0 if data goes both ways
#[derive(clap::Args)]
#[command(after_help = "It prints the host's data strings, and last connect_ms=NUMBER: the time \
                        to the host's welcome.")]
pub(crate) struct Args {
    /// Address of the host, as the lobby shows it, or its name
    #[arg(value_parser = host)]
    host: IpAddr,
    /// Master server
    #[arg(long, value_name = "HOST:PORT", default_value = LOCAL_MASTER, value_parser = resolve)]
    master: SocketAddr,
    /// UDP port that hosts of this game use, for a direct connection
    #[arg(long, value_name = "PORT", value_parser = port)]
    port: Option<u16>,
    /// Local address to use
    #[arg(long, value_name = "IP", value_parser = local_ip)]
    bind: Option<IpAddr>,
    /// How long to wait for the master server, and then for the host
    #[arg(long, value_name = "SECONDS", default_value = "15", value_parser = seconds)]
    timeout: Duration,
    /// The host is a game, which does not send back what it gets as `punch host` does
    #[arg(long)]
    game: bool,
    #[command(flatten)]
    unruly: Unruly,
}

/// The address of a host by its address or its name.
fn host(name: &str) -> Result<IpAddr, String> {
    let failed = |why| format!("want the address of a host, or a name that has one: {why}");
    resolve_at(name, 0).map(|at| at.ip()).map_err(failed)
}

pub(crate) fn run(args: Args) -> Result<(), String> {
    let script = args.unruly.script(Role::Join)?;
    let own_master = args.unruly.master(args.master)?;
    let master = own_master.as_ref().map_or(args.master, Meddler::honest);
    let config = ClientConfig {
        given: args.port,
        bind: args.bind,
        timeout: args.timeout,
        line: args.unruly.line(),
        gap: GAP,
        // The own master server is there to see what the host makes of being told.
        waits_for_knock: own_master.is_some(),
        shows_nat: args.unruly.is_none(),
        repeats: args.unruly.is_none(),
        answers_knocks: args.unruly.is_none(),
        keeps_all: args.unruly.is_none(),
        ..ClientConfig::new(master, args.host)
    };
    if let Some(own) = &own_master {
        wait_for_host(own, args.host, args.bind).map_err(|error| error.to_string())?;
    }
    say(format!("asking the master server {} for {}", args.master, args.host));
    let glues = args.unruly.glues();
    if let Some(script) = script {
        return play(script.start(), &config, glues, own_master);
    }
    let is_unruly = !args.unruly.is_none();
    let client = connect(&config, glues)
        .map_err(|(error, knocked)| explain_end(&error, knocked, is_unruly))?;
    prove(&client, args.game).map_err(explain)?;
    if let Some(way) = client.way() {
        say(tell_way(way));
    }
    let after = client.connected_after().unwrap_or_default();
    say(format!("connect_ms={}", after.as_millis()));
    Ok(())
}

/// Joins, and says so whenever something new is tried.
/// An error comes with whether the host has knocked here.
fn connect(config: &ClientConfig, glues: bool) -> Result<Client, (Error, bool)> {
    let mut told = Told::default();
    let (mut client, _other) = start(config, glues).map_err(|error| (error, false))?;
    loop {
        match told.step(&mut client) {
            Ok(true) => return Ok(client),
            Ok(false) => std::thread::sleep(STEP),
            Err(error) => return Err((error, client.was_knocked_at())),
        }
    }
}

/// Why there is no connection. It is no NAT's fault if the packets of the host arrive here, or if this
/// program keeps things from it on purpose.
fn explain_end(error: &Error, knocked: bool, is_unruly: bool) -> String {
    let why = match error {
        Error::NoWelcome { .. } if is_unruly => {
            "With options to test a game this program behaves badly on purpose, so no NAT is to blame: \
             the host did not cope with it, or needs longer than --timeout. Without them it should be joined."
        }
        Error::NoWelcome { .. } if knocked => {
            "The host's knocks arrive here, so no NAT is in the way: it does not answer ours. Does it \
             let nobody in (`punch host --never-welcome`), is it full, or has it hung?"
        }
        _ => advice(error),
    };
    format!("{error}\n{why}")
}

/// Asks for the host. Where replies are glued another client does right before, so that the host
/// is told about two at once, and has to read the second.
fn start(config: &ClientConfig, glues: bool) -> Result<(Client, Option<Client>), Error> {
    let other = glues.then(|| Client::start(ClientConfig { port: 0, ..config.clone() }));
    let other = other.transpose()?;
    Ok((Client::start(config.clone())?, other))
}

/// Does what a script says. What the host sends meanwhile is printed.
fn play(
    mut script: Script,
    config: &ClientConfig,
    glues: bool,
    mut own_master: Option<Meddler>,
) -> Result<(), String> {
    let mut joining: Option<(Client, Told)> = None;
    let (mut hangs, mut _other) = (false, None);
    loop {
        let has = |moment| {
            joining.as_ref().is_some_and(|(client, _)| match moment {
                Moment::Told => client.answer().is_some(),
                Moment::Connected => client.host().is_some(),
            })
        };
        match script.next(has) {
            Some(Action::Ask) => {
                let (client, other) = start(config, glues).map_err(explain)?;
                joining = Some((client, Told::default()));
                _other = other;
            }
            Some(Action::Send(bytes)) => {
                let client = joining.as_ref().map(|(client, _)| client);
                client.ok_or(Error::NotConnected).and_then(|c| c.send(&bytes)).map_err(explain)?;
            }
            Some(Action::Hang) => hangs = true,
            Some(Action::Resume) => hangs = false,
            Some(Action::MasterDown) => move_master(&mut own_master, false)?,
            Some(Action::MasterUp) => move_master(&mut own_master, true)?,
            Some(Action::End) => {
                let connected = joining.is_some_and(|(client, _)| client.host().is_some());
                return connected.then_some(()).ok_or_else(|| "not connected".to_owned());
            }
            // Those of a host.
            Some(Action::Register | Action::Data1(_) | Action::Leave) => {}
            None => {
                if let Some((client, told)) = joining.as_mut().filter(|_| !hangs)
                    && told.step(client).map_err(explain)?
                {
                    print_received(client);
                }
                std::thread::sleep(STEP);
            }
        }
    }
}

fn print_received(client: &Client) {
    for _ in 0..MOST_A_STEP {
        let Ok(bytes) = client.receive(Duration::ZERO) else { return };
        let hex: Vec<String> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        say(format!("received {}", hex.join(" ")));
    }
}

fn explain(error: Error) -> String {
    format!("{error}\n{}", advice(&error))
}

/// What was told so far of how a client gets on.
#[derive(Default)]
struct Told {
    answer: Option<Answer>,
    /// How many endpoints of the host.
    endpoints: usize,
    stage: Option<Stage>,
    knocked_at: bool,
    connected: bool,
}

impl Told {
    /// Takes a step, tells what is new, and says whether the client is connected.
    fn step(&mut self, client: &mut Client) -> Result<bool, Error> {
        let progress = client.step()?;
        if self.endpoints > 0 {
            for other in client.told().iter().skip(self.endpoints) {
                say(format!("the host is also at {other}; knocking there"));
            }
        } else if client.answer() != self.answer {
            say(tell_answer(client.answer()));
        }
        (self.answer, self.endpoints) = (client.answer(), client.told().len());
        if client.was_knocked_at() && !self.knocked_at {
            self.knocked_at = true;
            say("the host knocks");
        }
        match progress {
            Progress::Knocking(now) if self.stage != Some(now) => {
                self.stage = Some(now);
                say(tell_stage(now, client.given().unwrap_or_default()));
            }
            Progress::Connected(host) if !self.connected => {
                self.connected = true;
                say(format!("welcomed by {host}"));
            }
            Progress::Asking | Progress::Knocking(_) | Progress::Connected(_) => {}
        }
        Ok(self.connected)
    }
}

fn tell_answer(answer: Option<Answer>) -> String {
    match answer {
        None => String::new(),
        Some(Answer::Told(host)) => format!("the host is at {host}"),
        Some(Answer::NotFound) => "the master server knows no such host".to_owned(),
        Some(Answer::Unreachable) => "the master server cannot be reached".to_owned(),
    }
}

fn tell_way(way: Way) -> String {
    match way {
        Way::Direct => "through directly".to_owned(),
        Way::Instead(host) => format!("through at {host}, told in place of the host's address"),
        Way::Later(host) => through(host, false),
    }
}

fn tell_stage(stage: Stage, given: u16) -> String {
    match stage {
        Stage::Told => "knocking there".to_owned(),
        Stage::Following => "no answer yet; trying the ports behind that one".to_owned(),
        Stage::Predicted => "no answer yet; trying ports that the host may have now".to_owned(),
        Stage::Given if given == 0 => "no answer yet; listening until the time is over".to_owned(),
        Stage::Given => format!("no answer yet; trying port {given} of the game"),
        Stage::Over => "the time is over".to_owned(),
    }
}

/// Shows that data gets to the host and back, and prints the host's data strings.
fn prove(client: &Client, game: bool) -> Result<(), Error> {
    let data = client.request_data(ANSWER_WITHIN)?;
    if !game {
        client.echo(b"punch join: does this come back?", ANSWER_WITHIN)?;
    }
    say("data goes both ways; the host says:");
    let said = data.iter().enumerate().filter(|(_, string)| !string.is_empty());
    said.for_each(|(n, string)| say(format!("data{}={}", n + 1, printable(string))));
    if data.iter().all(String::is_empty) {
        say("(no data strings)");
    }
    Ok(())
}

/// What to do about it.
fn advice(error: &Error) -> &'static str {
    match error {
        Error::Socket { doing, source, .. } => causes::advice(doing, source),
        Error::MasterClosed { .. } | Error::Malformed { .. } | Error::TooMuch { .. } => {
            "That is no answer for a game. `punch probe` checks what the server can do."
        }
        Error::NoAnswer { .. } => {
            "A game would wait for ever here. `punch probe` checks what the server can do."
        }
        Error::NotFound { .. } => {
            "Is the host registered (`punch lobby`), with that address? If it has an open UDP port, \
             --port PORT joins it directly."
        }
        Error::NoWelcome { later, .. } if later.is_empty() => {
            "The master server did its part, but nothing came through from the host. Its NAT or \
             yours may give every destination another port: the host should forward its UDP port, \
             or its firewall must let UDP through; --port PORT then joins it directly."
        }
        Error::NoWelcome { .. } => {
            "Neither the direct way nor the second address worked, so UDP is most likely blocked at \
             the host or here: `punch nat` at both tells where; then let UDP through that firewall."
        }
        Error::HostSilent { .. } => {
            "Connected, but data does not come back. If the host is a game and not `punch host`, \
             add --game."
        }
        Error::NotConnected => "The connection is gone.",
    }
}
