//! `punch probe`: what a running master server can do, and what that means for players.

mod certificate;
mod dialects;
mod gmnet;
mod meeting;
mod questions;
mod report;
mod seen;
mod stun;

use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use compat_tests::gmnet::{Control, Error, Host, wire};

use crate::causes;
use crate::common::{any_towards, local_ip, resolve_each, seconds};
use report::{Check, Outcome, Report};

/// Check from outside whether a master server works, in every dialect, over IPv4 and IPv6
#[derive(clap::Args)]
#[command(
    after_help = "Exit code 0 if all is right, 1 if something does not work. What the server leaves \
                  out on purpose is no fault. It registers a host for a moment; at the old server that \
                  takes the place of one that this machine's address has there. To see what players see, run it on a \
                  machine outside the server's network."
)]
pub(crate) struct Args {
    /// The master server; a name is tried over IPv4 and over IPv6
    #[arg(value_name = "HOST:PORT")]
    master: String,
    /// Local address to use; only its family is tried
    #[arg(long, value_name = "IP", value_parser = local_ip)]
    bind: Option<IpAddr>,
    /// A game, for a server that admits only some (--games)
    #[arg(long)]
    game: Option<String>,
    /// A key, for a server that wants one (--key)
    #[arg(long)]
    key: Option<String>,
    /// Try TLS although the server is named by an address
    #[arg(long)]
    tls: bool,
    /// How long to wait for an answer; four times as long where servers wait for UDP
    #[arg(long, value_name = "SECONDS", default_value = "3", value_parser = seconds)]
    wait: Duration,
    /// Print one JSON object instead of the table
    #[arg(long)]
    json: bool,
}

/// A server as it was named, and an address of each family that it has.
#[derive(Clone, Debug)]
pub(crate) struct Server {
    /// As it was given.
    pub(crate) text: String,
    /// Without the port.
    pub(crate) host: String,
    /// IPv4 first.
    pub(crate) addrs: Vec<SocketAddr>,
}

/// What the owner sees that the checks are, unless a game is named.
const OWN_NAME: &str = "punch probe";

/// What the checks know of the server and have found out so far.
struct Probe {
    master: SocketAddr,
    /// The name of the server, or its address.
    host: String,
    bind: Option<IpAddr>,
    wait: Duration,
    /// The last data string of the host that the checks register.
    tag: String,
    /// What the server may want to see.
    game: Option<String>,
    key: Option<String>,
    /// Which of them GMnet's server has to see; none if it takes any.
    data1: Option<String>,
    /// Whether TLS is to be tried in any case.
    tls: bool,
    /// Whether the server gives out its list of hosts.
    lobby: bool,
    /// The host that the checks register, and its address as the server sees it.
    registered: Option<(Host, IpAddr)>,
    /// Clients that were introduced there. The server takes one that closes its connection for one that has
    /// got through; unless its host has left, of whom there is nothing to count.
    met: Vec<meeting::Asking>,
    /// Where the server sees this machine.
    seen: Option<IpAddr>,
    /// The same for its datagrams alone, which may leave its network by another address than its connections.
    seen_by_udp: Option<IpAddr>,
    /// Whether it has refused that.
    is_refused: bool,
    /// Whether it has admitted the game or key.
    is_admitted: bool,
    /// Whether a host and a client did not meet there.
    is_not_introduced: bool,
    /// Whether events is spoken, and then whether only with TLS.
    events: Option<bool>,
    /// Whether STUN has answered.
    has_stun: bool,
    /// Whether the server closes connections that speak GMnet, takes none, or speaks it.
    tcp: Tcp,
    /// Who has shown that datagrams reach the server's port.
    udp: Option<&'static str>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tcp {
    /// A question of GMnet is not met with the end of the connection.
    Open,
    /// It is closed without an answer.
    Closes,
    /// A web server answers.
    Web,
    /// There is no connection.
    Blocked,
}

impl Probe {
    fn new(args: &Args, server: &Server, master: SocketAddr) -> Self {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self {
            master,
            host: server.host.clone(),
            bind: args.bind,
            wait: args.wait,
            tag: format!("{OWN_NAME} {}", since.as_nanos()),
            game: args.game.clone(),
            key: args.key.clone(),
            data1: None,
            tls: args.tls,
            lobby: false,
            registered: None,
            met: Vec::new(),
            seen: None,
            seen_by_udp: None,
            is_refused: false,
            is_admitted: false,
            is_not_introduced: false,
            events: None,
            has_stun: false,
            tcp: Tcp::Open,
            udp: None,
        }
    }

    /// The server is for others.
    fn refused(&self) -> Outcome {
        if self.key.is_none() && self.is_admitted {
            // The server looks at keys alone in this dialect.
            return Outcome::Refused(
                "it wants a key here, not only the name of a game: try one with --key".to_owned(),
            );
        }
        match self.shown().is_empty() {
            true => Outcome::Refused(
                "it admits only some games (--games, --key): try one with --game or --key"
                    .to_owned(),
            ),
            false => Outcome::FailsSo {
                detail: "this is none of the games or keys that it admits".to_owned(),
                meaning: "Players of this game are refused.",
                to_do: "Compare --game and --key here with --games and --key of the server, which \
                        are case-sensitive."
                    .to_owned(),
            },
        }
    }

    /// What a dialect with one place for both can show: the key, else the game.
    fn shown(&self) -> Vec<&str> {
        [&self.key, &self.game].into_iter().flatten().map(String::as_str).collect()
    }

    /// The game that the owner sees in the log and the window.
    fn name(&self) -> &str {
        self.game.as_deref().unwrap_or(OWN_NAME)
    }

    /// How long a lookup of a host may take: good servers wait up to 10 s for UDP that is late.
    fn look_up(&self) -> Duration {
        self.wait * 4
    }
}

pub(crate) fn run(args: &Args) -> Result<(), String> {
    let mut report = Report::new(args.json);
    let server = match resolve_each(&args.master) {
        Ok(server) => server,
        Err(why) => {
            report.begin_unknown(&args.master);
            report.add(&THE_NAME, &Outcome::Fails(why), Duration::ZERO);
            return report.conclude(&args.master);
        }
    };
    let Server { text, addrs, .. } = &server;
    let is_wanted = |addr: &&SocketAddr| args.bind.is_none_or(|ip| ip.is_ipv4() == addr.is_ipv4());
    let wanted: Vec<SocketAddr> = addrs.iter().filter(is_wanted).copied().collect();
    if wanted.is_empty() {
        return Err(format!("{text} has no address of the family that --bind has"));
    }
    // A family that this machine lacks is no fault if the other one can be tried.
    let is_any_way = wanted.iter().any(|master| no_way(*master, args.bind).is_none());
    for master in &wanted {
        report.begin(*master);
        match no_way(*master, args.bind) {
            Some(why) if is_any_way => report.add(&THE_WAY, &Outcome::Skipped(why), Duration::ZERO),
            Some(why) => report.add(&THE_WAY, &Outcome::Fails(why), Duration::ZERO),
            None => walk(&mut Probe::new(args, &server, *master), &mut report),
        }
    }
    let is_name = addrs.iter().all(|addr| addr.ip().to_string() != server.host);
    let is_public = addrs.iter().all(|addr| addr.is_ipv4() && !addr.ip().is_loopback());
    if args.bind.is_none() && is_name && is_public {
        report.note(
            "IPv6 was not tried: this name has no IPv6 address. Players without IPv4 cannot connect; \
             an AAAA record would help them.",
        );
    }
    report.conclude(text)
}

/// Nobody has such an address.
const THE_NAME: Check = Check {
    id: "name",
    name: "name not found",
    run: |_| Outcome::after_a_failure(),
    meaning: "This says nothing about the server.",
    to_do: "Is the name spelled right, and can this machine look up names? Players who connect by it \
            need an address record (A) for it.",
};

/// Not a question to the server but to this machine.
const THE_WAY: Check = Check {
    id: "way",
    name: "way there",
    run: |_| Outcome::after_a_failure(),
    meaning: "This says nothing about the server.",
    to_do: "Check this machine's network, and --bind if it was given.",
};

/// Why this machine cannot send anything there, if it knows that.
fn no_way(master: SocketAddr, bind: Option<IpAddr>) -> Option<String> {
    let tried = UdpSocket::bind((bind.unwrap_or(any_towards(master)), 0));
    let error = tried.and_then(|socket| socket.connect(master)).err()?;
    let family = if master.is_ipv4() { "IPv4" } else { "IPv6" };
    Some(match error.kind() {
        ErrorKind::NetworkUnreachable | ErrorKind::HostUnreachable => {
            format!("this machine has no way to it over {family}: {error}")
        }
        _ => format!("this machine cannot send over {family}: {error}"),
    })
}

/// Everything that is tried at one address.
fn walk(probe: &mut Probe, report: &mut Report) {
    let (tcp, said) = ask_in_gmnet(probe);
    probe.tcp = tcp;
    if tcp == Tcp::Web {
        return report.add(&dialects::GMNET, &dialects::web(&said), Duration::ZERO);
    }
    let mut of_others = None;
    if probe.tcp != Tcp::Open {
        let found = others(probe);
        // If it speaks nothing at all, that is not on purpose.
        let is_on_purpose = found.iter().any(|(_, outcome, _)| outcome.is_spoken());
        if probe.tcp == Tcp::Closes {
            let (check, outcome) = match is_on_purpose {
                true => (
                    &dialects::GMNET,
                    Outcome::NotOffered(
                        "closed without an answer: --dialects leaves it out".to_owned(),
                    ),
                ),
                false => (&dialects::SERVER, dialects::shut_out(probe.master.port())),
            };
            report.add(check, &outcome, Duration::ZERO);
            // Who is shut out learns nothing of the dialects.
            if is_on_purpose {
                conclude_others(probe, report, found);
            }
            return;
        }
        of_others = Some(found);
    }
    for check in gmnet::CHECKS {
        let (outcome, took) = timed(check, probe);
        report.add(check, &outcome, took);
        // Without TCP there is nothing to ask, only a long wait.
        if outcome.fails() && check.id == "tcp" {
            break;
        }
    }
    let found = of_others.unwrap_or_else(|| others(probe));
    conclude_others(probe, report, found);
}

type Found = Vec<(&'static Check, Outcome, Duration)>;

fn timed(check: &Check, probe: &mut Probe) -> (Outcome, Duration) {
    let start = Instant::now();
    let outcome = (check.run)(probe);
    (outcome, start.elapsed())
}

/// The dialects besides GMnet. Silence is judged when all have been asked.
fn others(probe: &mut Probe) -> Found {
    let mut found = Found::new();
    for check in dialects::CHECKS {
        let (outcome, took) = timed(check, probe);
        found.push((check, outcome, took));
    }
    found
}

fn conclude_others(probe: &Probe, report: &mut Report, found: Found) {
    seen::conclude(probe, report);
    let is_silent = found.iter().any(|(_, outcome, _)| matches!(outcome, Outcome::Silent));
    for (check, outcome, took) in found {
        let outcome = match outcome {
            Outcome::Silent => dialects::silence(probe),
            other => other,
        };
        report.add(check, &outcome, took);
    }
    if is_silent && dialects::is_udp_in_doubt(probe) {
        let outcome = match probe.is_refused && probe.shown().is_empty() {
            // This program is not told of a host's port, nor of anything else by UDP.
            true => Outcome::Unknown(
                "whether datagrams arrive shows only to games that are admitted: name one with --game, \
                 or a key with --key"
                    .to_owned(),
            ),
            false => Outcome::Fails("no datagram has been answered".to_owned()),
        };
        report.add(&dialects::UDP, &outcome, Duration::ZERO);
    }
}

/// What becomes of a question in GMnet, and the answer.
fn ask_in_gmnet(probe: &Probe) -> (Tcp, String) {
    let Ok(control) = Control::open(probe.master, probe.bind) else {
        return (Tcp::Blocked, String::new());
    };
    // Who is blocked may find the connection closed already.
    let asked = control.send(wire::ASK_VERSION);
    match control.answer(probe.wait) {
        Err(Error::MasterClosed { .. }) => (Tcp::Closes, String::new()),
        Ok(event) if causes::is_web(&event.bytes) => (Tcp::Web, causes::first_line(&event.bytes)),
        _ if asked.is_err() => (Tcp::Closes, String::new()),
        _ => (Tcp::Open, String::new()),
    }
}
