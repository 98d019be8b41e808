//! `punch join`: a game that joins a host.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use compat_tests::gmnet::{Answer, Client, ClientConfig, Error, Progress, STEP, Stage};

use crate::common::{LOCAL_MASTER, printable, resolve, say, seconds};

/// How long a connected host may take to answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);

/// Join a host: exit code 0 if data goes both ways
#[derive(clap::Args)]
#[command(after_help = "It prints the host's data strings, and last connect_ms=NUMBER: the time \
                        to the host's welcome.")]
pub(crate) struct Args {
    /// Address of the host, as the lobby shows it
    host: IpAddr,
    /// Master server
    #[arg(long, value_name = "HOST:PORT", default_value = LOCAL_MASTER, value_parser = resolve)]
    master: SocketAddr,
    /// UDP port that hosts of this game use, for a direct connection
    #[arg(long, value_name = "PORT")]
    port: Option<u16>,
    /// Local address to use
    #[arg(long, value_name = "IP")]
    bind: Option<IpAddr>,
    /// How long to wait for the master server, and then for the host
    #[arg(long, value_name = "SECONDS", default_value = "15", value_parser = seconds)]
    timeout: Duration,
    /// The host is a game, which does not send back what it gets as `punch host` does
    #[arg(long)]
    game: bool,
}

pub(crate) fn run(args: &Args) -> Result<(), String> {
    let config = ClientConfig {
        given: args.port,
        bind: args.bind,
        timeout: args.timeout,
        ..ClientConfig::new(args.master, args.host)
    };
    say(format!("asking the master server {} for {}", args.master, args.host));
    let client = connect(config).map_err(|error| format!("{error}\n{}", advice(&error)))?;
    prove(&client, args.game).map_err(|error| format!("{error}\n{}", advice(&error)))?;
    let after = client.connected_after().unwrap_or_default();
    say(format!("connect_ms={}", after.as_millis()));
    Ok(())
}

/// Joins, and says so whenever something new is tried.
fn connect(config: ClientConfig) -> Result<Client, Error> {
    let given = config.given.unwrap_or_default();
    let mut client = Client::start(config)?;
    let (mut answer, mut stage) = (None, None);
    loop {
        let progress = client.step()?;
        if client.answer() != answer {
            answer = client.answer();
            say(tell_answer(answer));
        }
        match progress {
            Progress::Asking => {}
            Progress::Knocking(now) if stage != Some(now) => {
                stage = Some(now);
                say(tell_stage(now, given));
            }
            Progress::Knocking(_) => {}
            Progress::Connected(host) => {
                say(format!("welcomed by {host}"));
                return Ok(client);
            }
        }
        std::thread::sleep(STEP);
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
    for (n, string) in data.iter().enumerate() {
        say(format!("data{}={}", n + 1, printable(string)));
    }
    Ok(())
}

/// What to do about it.
fn advice(error: &Error) -> &'static str {
    match error {
        Error::Socket { .. } => {
            "Is the address right, is the master server running, and does a firewall let TCP through?"
        }
        Error::MasterClosed { .. } | Error::Malformed { .. } => {
            "That is no answer for a game. `punch probe` checks what the server can do."
        }
        Error::NoAnswer { .. } => {
            "A game would wait for ever here. `punch probe` checks what the server can do."
        }
        Error::NotFound { .. } => {
            "Is the host registered (`punch lobby`), with that address? If it has an open UDP port, \
             --port PORT joins it directly."
        }
        Error::NoWelcome { .. } => {
            "The master server did its part, but nothing came through from the host. Its NAT or \
             yours may give every destination another port: the host should forward its UDP port, \
             or its firewall must let UDP through; --port PORT then joins it directly."
        }
        Error::HostSilent { .. } => {
            "Connected, but data does not come back. If the host is a game and not `punch host`, \
             add --game."
        }
        Error::NotConnected => "The connection is gone.",
    }
}
