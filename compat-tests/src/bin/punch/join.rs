//! `punch join`: a game that joins a host.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use compat_tests::gmnet::{Answer, Client, ClientConfig, Error, GAP, Progress, STEP, Stage, Way};
use compat_tests::meddler::Meddler;
use compat_tests::nat::{Options, Stun};

use crate::causes;
use crate::common::{local_ip, port, printable, resolve_at, say, seconds, through};
use crate::endings::Ending;
use crate::masters::{Named, SILENT};
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
    /// Address of the host as the lobby shows it, also IP:PORT, or its name
    #[arg(value_parser = host)]
    host: Whom,
    #[command(flatten)]
    master: Named,
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

/// A host as it was named.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Whom {
    ip: IpAddr,
    /// For one of several hosts at that address, as lobbies show them under `--lobby-ports`.
    port: Option<u16>,
}

impl std::fmt::Display for Whom {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.port {
            Some(port) => SocketAddr::new(self.ip, port).fmt(f),
            None => self.ip.fmt(f),
        }
    }
}

/// A host by its address or its name, perhaps with its port.
fn host(name: &str) -> Result<Whom, String> {
    let failed = |why| {
        format!(
            "want the address of a host, or a name that has one, perhaps with :PORT \
             (`punch lobby` shows the addresses): {why}"
        )
    };
    // A bare IPv6 address has colons, and no port.
    let with_port = name.rsplit_once(':').filter(|_| name.parse::<IpAddr>().is_err());
    let port = with_port.and_then(|(host, port)| Some((host, port.parse().ok()?)));
    match port.filter(|(_, port)| *port != 0) {
        Some((host, port)) => {
            resolve_at(host, port).map(|at| Whom { ip: at.ip(), port: Some(port) }).map_err(failed)
        }
        None => resolve_at(name, 0).map(|at| Whom { ip: at.ip(), port: None }).map_err(failed),
    }
}

pub(crate) fn run(args: Args) -> Result<(), String> {
    let script = args.unruly.script(Role::Join)?;
    let masters = args.master.masters(args.bind)?;
    let shown = masters.current();
    let own_master = args.unruly.master(shown)?;
    let master = own_master.as_ref().map_or(shown, Meddler::honest);
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
        host_port: args.host.port,
        others: if own_master.is_some() { Vec::new() } else { masters.others() },
        silence: SILENT,
        ..ClientConfig::new(master, args.host.ip)
    };
    if let Some(own) = &own_master {
        wait_for_host(own, args.host.ip, args.bind).map_err(|error| error.to_string())?;
    }
    say(format!("asking the master server {shown} for {}", args.host));
    let glues = args.unruly.glues();
    if let Some(script) = script {
        return play(script.start(), &config, glues, own_master);
    }
    let is_unruly = !args.unruly.is_none();
    let client = connect(&config, glues).map_err(|(error, knocked, master)| {
        explain_end(&error, knocked, is_unruly, &ClientConfig { master, ..config.clone() })
    })?;
    prove(&client, args.game).map_err(explain)?;
    if let Some(way) = client.way() {
        say(tell_way(way));
    }
    let after = client.connected_after().unwrap_or_default();
    say(format!("connect_ms={}", after.as_millis()));
    Ok(())
}

/// Joins, and says so whenever something new is tried.
/// An error comes with whether the host has knocked here, and with the master server that was asked last.
fn connect(config: &ClientConfig, glues: bool) -> Result<Client, (Error, bool, SocketAddr)> {
    let mut told = Told::default();
    let last = config.others.last().copied().unwrap_or(config.master);
    let (mut client, _other) = start(config, glues).map_err(|error| (error, false, last))?;
    loop {
        match told.step(&mut client) {
            Ok(true) => return Ok(client),
            Ok(false) => std::thread::sleep(STEP),
            Err(error) => return Err((error, client.was_knocked_at(), client.master())),
        }
    }
}

/// Why there is no connection. It is no NAT's fault if the packets of the host arrive here, or if this
/// program keeps things from it on purpose.
fn explain_end(error: &Error, knocked: bool, is_unruly: bool, config: &ClientConfig) -> String {
    let why = match error {
        Error::NoWelcome { .. } if is_unruly => {
            "With options to test a game this program behaves badly on purpose, so no NAT is to blame: \
             the host did not cope with it, or needs longer than --timeout. Without them it should be joined."
        }
        Error::NoWelcome { .. } if knocked => {
            "The host's knocks arrive here, so no NAT is in the way: it does not answer ours. Does it \
             let nobody in (`punch host --never-welcome`), is it full, or has it hung?"
        }
        Error::NoWelcome { host, later, .. }
            if later.is_empty() && is_behind_one_router(host.ip(), seen_at(config)) =>
        {
            "The host has the public address of this network: both are behind the same router, which \
             does not let them reach each other by it (hairpinning). --port PORT joins the host by its \
             address in that network; in the game a relay of the master server would help."
        }
        _ => Ending::behind(error, config.master, config.bind).unwrap_or(advice(error)),
    };
    format!("{error}\n{why}")
}

/// Where the master server sees this machine, if it speaks STUN.
fn seen_at(config: &ClientConfig) -> Option<IpAddr> {
    let options = Options { bind: config.bind, ..Options::new(config.master) };
    let answer = Stun::open(&options).ok()?.try_ask(config.master, 0).ok()??;
    Some(answer.mapped.ip())
}

/// Whether a host that is told to be at this address is behind the router of who is seen there.
fn is_behind_one_router(host: IpAddr, seen: Option<IpAddr>) -> bool {
    host.is_ipv4() && !host.is_loopback() && seen == Some(host)
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
    /// How many master servers were left for the next one.
    left: usize,
}

impl Told {
    /// Takes a step, tells what is new, and says whether the client is connected.
    fn step(&mut self, client: &mut Client) -> Result<bool, Error> {
        let progress = client.step();
        for why in client.left().iter().skip(self.left) {
            say(format!("{why}; going on to the next master server"));
        }
        if client.left().len() > self.left {
            self.left = client.left().len();
            say(format!("asking the master server {}", client.master()));
        }
        let progress = progress?;
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
        Stage::Following => "no answer yet; trying the next higher ports".to_owned(),
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
            "Is the host registered (`punch lobby`), with that address? It is not found either if its UDP \
             does not reach the server, so that its port is not known (the server's log: \"its UDP packet \
             is not here yet\"), or if it has come by IPv6 and this client by IPv4, or the other way \
             round: then name the server by an address of the other kind. If it has an open UDP port, \
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_router_is_the_cause_only_of_one_public_address() {
        let [one, other, local, v6] = ["203.0.113.7", "203.0.113.8", "127.0.0.1", "2001:db8::1"]
            .map(|ip| ip.parse::<IpAddr>().unwrap());
        assert!(is_behind_one_router(one, Some(one)));
        for (host, seen) in [(one, Some(other)), (one, None), (local, Some(local)), (v6, Some(v6))]
        {
            assert!(!is_behind_one_router(host, seen), "{host} {seen:?}");
        }
    }

    #[test]
    fn a_host_may_be_named_with_its_port() {
        for (text, ip, port) in [
            ("203.0.113.7", "203.0.113.7", None),
            ("203.0.113.7:3315", "203.0.113.7", Some(3315)),
            ("2001:db8::7", "2001:db8::7", None),
            ("[2001:db8::7]", "2001:db8::7", None),
            ("[2001:db8::7]:3315", "2001:db8::7", Some(3315)),
        ] {
            let ip = ip.parse().unwrap();
            assert_eq!(host(text), Ok(Whom { ip, port }), "{text}");
            assert_eq!(host(&host(text).unwrap().to_string()), host(text), "{text}");
        }
        for wrong in
            ["203.0.113.7:0", "203.0.113.7:65536", "203.0.113.7:", ":3315", "", "no such host"]
        {
            assert!(host(wrong).is_err(), "{wrong}");
        }
    }
}
