//! The command line: that of the old server, and what is new. Every option can also be given as
//! an environment variable.

use std::ffi::{OsStr, OsString};
use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::time::Duration;

use clap::builder::Resettable;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Arg, ArgAction, CommandFactory as _, FromArgMatches as _, Parser};

pub mod relay;

use crate::admission::Admission;
use crate::dialect::{Name, events, gmnet, natpunch, rooms};
use crate::introductions::PublicIps;
use crate::limits::{self, Limits};
use crate::logging::Verbosity;
use crate::net::sys;
use crate::server;

/// What this was built of: version, commit (release builds in a checkout), and target.
pub const BUILD: &str = env!("PUNCHD_BUILD");

/// The port that games were shipped with.
pub const PORT: u16 = 6510;

/// A master server for games whose players sit behind NATs, in place of GMnet GATE.PUNCH
#[derive(Debug, Parser)]
#[command(
    version = BUILD,
    long_version = concat!(env!("PUNCHD_BUILD"), "\nspeaks GMnet GATE.PUNCH 1.2.5"),
    max_term_width = 100,
    disable_help_flag = true,
    disable_version_flag = true,
    args_override_self = true,
    after_help = "Each option is an environment variable as well: PUNCHD_PORT=7000, \
                  PUNCHD_TESTING=1, and so on. README has four more that bound the relay."
)]
pub struct Options {
    /// TCP and UDP port; 0 picks a free one [default: 6510]
    #[arg(short, long, env = "PUNCHD_PORT", hide_env = true, value_name = "PORT")]
    #[arg(help_heading = "Network", value_parser = parse_port)]
    pub port: Option<u16>,

    /// Listen on this address; repeatable [default: all]
    #[arg(long, env = "PUNCHD_BIND", hide_env = true, value_delimiter = ',')]
    #[arg(help_heading = "Network", value_name = "IP", value_parser = parse_bind)]
    pub bind: Vec<IpAddr>,

    /// Tell this for players in its network; one a family
    #[arg(long, env = "PUNCHD_PUBLIC_IP", hide_env = true, value_delimiter = ',')]
    #[arg(help_heading = "Network", value_name = "IP", value_parser = parse_public_ip)]
    pub public_ip: Vec<IpAddr>,

    /// Certificate for TLS, in PEM
    #[arg(long, env = "PUNCHD_TLS_CERT", hide_env = true, value_name = "FILE")]
    #[arg(help_heading = "Network", requires = "tls_key")]
    #[arg(help = format!("Certificate for TLS, in PEM; {}", sys::RELOADS))]
    pub tls_cert: Option<PathBuf>,

    /// The key of the certificate, in PEM
    #[arg(long, env = "PUNCHD_TLS_KEY", hide_env = true, value_name = "FILE")]
    #[arg(help_heading = "Network", requires = "tls_cert")]
    pub tls_key: Option<PathBuf>,

    /// Refuse JSON events without TLS
    #[arg(long, env = "PUNCHD_TLS_REQUIRED", hide_env = true)]
    #[arg(help_heading = "Network", value_parser = parse_flag)]
    pub tls_required: bool,

    /// UDP port for STUN's other answers; 0 picks one [default: port + 1]
    #[arg(long, env = "PUNCHD_ALT_PORT", hide_env = true, value_name = "PORT")]
    #[arg(help_heading = "Network", value_parser = parse_port)]
    pub alt_port: Option<u16>,

    /// A second address of this machine, for STUN's other answers
    #[arg(long, env = "PUNCHD_ALT_ADDR", hide_env = true, value_name = "IP")]
    #[arg(help_heading = "Network", value_parser = parse_own_ip)]
    pub alt_addr: Option<IpAddr>,

    /// Speak these only, as in gmnet,rooms [default: all]
    #[arg(long, env = "PUNCHD_DIALECTS", hide_env = true, value_name = "LIST")]
    #[arg(help_heading = "Network", value_delimiter = ',', hide_default_value = true)]
    #[arg(default_values_t = Name::ALL)]
    pub dialects: Vec<Name>,

    /// The relay.
    #[command(flatten)]
    pub relay: relay::RelayOptions,

    /// Do not answer requests for the lobby
    #[arg(long, env = "PUNCHD_DISABLE_LOBBY", hide_env = true)]
    #[arg(help_heading = "Games", value_parser = parse_flag)]
    pub disable_lobby: bool,

    /// List hosts that share an address as IP:PORT
    #[arg(long, env = "PUNCHD_LOBBY_PORTS", hide_env = true)]
    #[arg(help_heading = "Games", value_parser = parse_flag)]
    pub lobby_ports: bool,

    /// Seconds between packets that keep NATs open; 0: none
    #[arg(long, env = "PUNCHD_KEEPALIVE", hide_env = true, value_name = "S")]
    #[arg(help_heading = "Games", value_parser = parse_number::<0, 3600>)]
    #[arg(default_value_t = limits::KEEPALIVE.as_secs())]
    pub keepalive: u64,

    /// Milliseconds between messages to one host
    #[arg(long, env = "PUNCHD_NOTIFY_GAP", hide_env = true, value_name = "MS")]
    #[arg(help_heading = "Games", value_parser = parse_millis)]
    #[arg(default_value_t = Millis(limits::NOTIFY_GAP))]
    pub notify_gap: Millis,

    /// Seconds that joins wait for hosts after a restart
    #[arg(long, env = "PUNCHD_START_WAIT", hide_env = true, value_name = "S")]
    #[arg(help_heading = "Games", value_parser = parse_number::<0, 20>)]
    #[arg(default_value_t = limits::START_WAIT.as_secs())]
    pub start_wait: u64,

    /// Be a test server: tell test tools name and versions
    #[arg(long, env = "PUNCHD_TESTING", hide_env = true)]
    #[arg(help_heading = "Games", value_parser = parse_flag)]
    pub testing: bool,

    /// Admit only who presents this; one a game, repeatable
    #[arg(long = "key", env = "PUNCHD_KEY", hide_env = true, value_name = "SECRET")]
    #[arg(id = "key", help_heading = "Games", value_delimiter = ',', value_parser = parse_key)]
    pub keys: Vec<String>,

    /// Admit only these games, by name (GMnet: data1)
    #[arg(long, env = "PUNCHD_GAMES", hide_env = true, value_name = "NAME,NAME")]
    #[arg(help_heading = "Games", value_delimiter = ',', value_parser = parse_game)]
    pub games: Vec<String>,

    /// Name of this server, for test tools
    #[arg(
        long,
        env = "PUNCHD_NAME",
        hide_env = true,
        default_value = "",
        hide_default_value = true
    )]
    #[arg(help_heading = "Games", value_parser = parse_name)]
    pub name: String,

    /// Connections [default: 16384, or what the limit of open files allows]
    #[arg(long, env = "PUNCHD_MAX_CONNECTIONS", hide_env = true)]
    #[arg(help_heading = "Limits", value_name = "N", value_parser = parse_connections)]
    pub max_connections: Option<usize>,

    /// Connections of one address (IPv6: /64 network)
    #[arg(long, env = "PUNCHD_MAX_PER_ADDRESS", hide_env = true, value_name = "N")]
    #[arg(help_heading = "Limits", value_parser = parse_connections)]
    #[arg(default_value_t = Limits::default().connections_per_address)]
    pub max_per_address: usize,

    /// Hosts of one address
    #[arg(long, env = "PUNCHD_MAX_HOSTS", hide_env = true, value_name = "N")]
    #[arg(help_heading = "Limits", value_parser = parse_connections)]
    #[arg(default_value_t = Limits::default().hosts_per_address)]
    pub max_hosts: usize,

    /// Commands a second of one address; 0 is no limit
    #[arg(long, env = "PUNCHD_MAX_COMMANDS", hide_env = true, value_name = "N")]
    #[arg(help_heading = "Limits", value_parser = parse_rate)]
    #[arg(default_value_t = Limits::default().commands_per_second)]
    pub max_commands: u32,

    /// Datagrams a second of one address; 0 is no limit
    #[arg(long, env = "PUNCHD_MAX_DATAGRAMS", hide_env = true, value_name = "N")]
    #[arg(help_heading = "Limits", value_parser = parse_rate)]
    #[arg(default_value_t = Limits::default().datagrams_per_second)]
    pub max_datagrams: u32,

    /// Seconds until a host that vanished is gone
    #[arg(long, env = "PUNCHD_GHOST_LIMIT", hide_env = true, value_name = "S")]
    #[arg(help_heading = "Limits", value_parser = parse_number::<6, 86_400>)]
    #[arg(default_value_t = limits::GHOST.as_secs())]
    pub ghost_limit: u64,

    /// Seconds until a silent peer of a room is gone
    #[arg(long, env = "PUNCHD_ROOM_TIMEOUT", hide_env = true, value_name = "S")]
    #[arg(help_heading = "Limits", value_parser = parse_number::<1, 86_400>)]
    #[arg(default_value_t = limits::ROOM_SILENCE.as_secs())]
    pub room_timeout: u64,

    /// Append the log to this file too
    #[arg(short, long, env = "PUNCHD_LOG", hide_env = true, value_name = "FILE")]
    #[arg(help_heading = "Log and help")]
    #[arg(help = format!("Append the log to this file too; {}", sys::REOPENS))]
    pub log: Option<PathBuf>,

    /// Show errors only
    #[arg(short, long, env = "PUNCHD_QUIET", hide_env = true)]
    #[arg(help_heading = "Log and help", value_parser = parse_flag)]
    pub quiet: bool,

    /// Show every detail (RUST_LOG, if set, decides instead)
    #[arg(short, long, env = "PUNCHD_VERBOSE", hide_env = true)]
    #[arg(help_heading = "Log and help", value_parser = parse_flag)]
    pub verbose: bool,

    /// Print all options; -h prints the important ones
    #[arg(short, long, help_heading = "Log and help", action = ArgAction::HelpShort)]
    help: Option<bool>,

    /// Print the version
    #[arg(short = 'V', long, help_heading = "Log and help", action = ArgAction::Version)]
    version: Option<bool>,
}

impl Options {
    /// The options of this process; ends it if they are wrong, or if it was only asked what there
    /// is. A variable that is empty is as good as none: compose files and the like have them. Not one
    /// that says whom to admit: a secret that did not arrive must not let in everybody.
    #[must_use]
    pub fn of_process() -> Self {
        let command = Self::command().mut_args(|option| {
            let is_empty = |name| std::env::var_os(name).is_some_and(|value| value.is_empty());
            let admits = ["key", "games"].contains(&option.get_id().as_str());
            match !admits && option.get_env().is_some_and(is_empty) {
                true => option.env(Resettable::Reset),
                false => option,
            }
        });
        let line: Vec<OsString> = std::env::args_os().map(with_two_dashes).collect();
        if line.iter().any(|argument| argument == "-h") {
            // A terminal that is gone is no reason to start.
            let _ = short_help().print_help();
            std::process::exit(0);
        }
        let matches = command.clone().try_get_matches_from(line).unwrap_or_else(|error| {
            name_variable(&command, error, |name| std::env::var(name).ok()).exit()
        });
        Self::from_arg_matches(&matches).unwrap_or_else(|error| error.exit())
    }

    /// What the server has to know, if it can have that many connections; but for what is
    /// random, and for the sockets that there are.
    #[must_use]
    pub fn server(&self, connections: usize) -> server::Config {
        let limits = Limits {
            connections,
            connections_per_address: self.max_per_address,
            hosts_per_address: self.max_hosts,
            commands_per_second: self.max_commands,
            datagrams_per_second: self.max_datagrams,
        };
        let admission = Admission { keys: self.keys.clone(), games: self.games.clone() };
        let public_ips = self.public_ips();
        let gmnet = gmnet::Config {
            admission: admission.clone(),
            testing: self.testing,
            name: self.name.clone(),
            disable_lobby: self.disable_lobby,
            notify_gap: self.notify_gap.0,
            keepalive: Duration::from_secs(self.keepalive),
            lobby_ports: self.lobby_ports,
            public_ips,
            relay: PublicIps::default(),
            // Only the sockets tell whether this is a restart.
            start_wait: Duration::ZERO,
            alternate_port: None,
            sockets: Vec::new(),
            limits,
        };
        let events =
            events::Config { tls_required: self.tls_required, limits, ..Default::default() };
        let events = events::Config { admission: admission.clone(), public_ips, ..events };
        let natpunch = natpunch::Config { public_ips, admission: admission.clone() };
        let silence = Duration::from_secs(self.room_timeout);
        let rooms =
            rooms::Config { silence, public_ips, limits, admission, ..rooms::Config::default() };
        let dialects = self.dialects.clone();
        server::Config {
            limits,
            dialects,
            gmnet,
            rooms,
            events,
            natpunch,
            ..server::Config::default()
        }
    }

    /// The addresses by which those outside know who is inside; [`Self::check`] has seen that they go
    /// together.
    #[must_use]
    pub fn public_ips(&self) -> PublicIps {
        PublicIps::try_from(&self.public_ip[..]).unwrap_or_default()
    }

    /// How much to log.
    #[must_use]
    pub fn verbosity(&self) -> Verbosity {
        match (self.verbose, self.quiet) {
            (true, _) => Verbosity::Verbose,
            (false, true) => Verbosity::Quiet,
            (false, false) => Verbosity::Normal,
        }
    }

    /// What clap cannot see: for it, `PUNCHD_QUIET=0` is an option that is given.
    ///
    /// # Errors
    /// If two options do not go together.
    pub fn check(&self) -> Result<(), clap::Error> {
        if self.quiet && self.verbose {
            let why = "--quiet and --verbose (PUNCHD_QUIET, PUNCHD_VERBOSE) exclude each other: \
                       leave one out";
            return Err(Self::command().error(ErrorKind::ArgumentConflict, why));
        }
        if self.tls_required && self.tls_cert.is_none() {
            let why = "--tls-required (PUNCHD_TLS_REQUIRED) needs a certificate: give it with \
                       --tls-cert and --tls-key";
            return Err(Self::command().error(ErrorKind::MissingRequiredArgument, why));
        }
        if let Err(second) = PublicIps::try_from(&self.public_ip[..]) {
            let why = format!(
                "--public-ip (PUNCHD_PUBLIC_IP) names one address of IPv4 and one of IPv6: \
                 leave {second} or the other one of its family out"
            );
            return Err(Self::command().error(ErrorKind::ArgumentConflict, why));
        }
        Ok(())
    }

    /// What has no effect beside other options, for the log.
    #[must_use]
    pub fn without_effect(&self) -> Option<&'static str> {
        // So it was in the old server, and its command lines have both.
        let idle = self.disable_lobby && self.testing;
        idle.then_some("--disable-lobby has no effect with --testing: the lobby is answered")
    }

    /// What restricts who may do what here, in short, for the log.
    #[must_use]
    pub fn restrictions(&self) -> String {
        let mut all = Vec::new();
        if !self.public_ip.is_empty() {
            let told: Vec<_> = self.public_ip.iter().map(IpAddr::to_string).collect();
            all.push(format!("told as {}", told.join(" and ")));
        }
        if !self.games.is_empty() {
            let games: Vec<_> =
                distinct(&self.games).iter().map(|game| format!("{game:?}")).collect();
            all.push(format!("only for the games {}", games.join(", ")));
        }
        match distinct(&self.keys).len() {
            0 => {}
            1 => all.push("1 key".into()),
            keys => all.push(format!("{keys} keys")),
        }
        if Name::ALL.iter().any(|name| !self.dialects.contains(name)) {
            let names: Vec<_> = self.dialects.iter().map(Name::to_string).collect();
            all.push(format!("only {}", names.join(", ")));
        }
        let others = [
            (self.tls_required, "TLS required"),
            (self.tls_cert.is_some() && !self.tls_required, "with TLS"),
            (self.testing, "testing"),
            (self.disable_lobby && !self.testing, "no lobby"),
        ];
        all.extend(others.iter().filter(|(is_so, _)| *is_so).map(|(_, what)| (*what).to_owned()));
        all.iter().fold(String::new(), |text, one| text + "; " + one)
    }
}

/// What `-h` shows, which has to fit the smallest terminal; `--help` shows all.
const IMPORTANT: [&str; 17] = [
    "port",
    "bind",
    "public_ip",
    "dialects",
    "relay",
    "tls_cert",
    "tls_key",
    "key",
    "games",
    "testing",
    "name",
    "disable_lobby",
    "log",
    "quiet",
    "verbose",
    "help",
    "version",
];

/// The command whose help is short.
fn short_help() -> clap::Command {
    let command = Options::command()
        .about("A master server for games behind NATs, in place of GMnet GATE.PUNCH")
        .after_help("--help shows all options.");
    command.mut_args(|option| {
        let is_important = IMPORTANT.contains(&option.get_id().as_str());
        option.help_heading(None).hide(!is_important)
    })
}

/// `-port` as `--port`: the old server took its long options with one dash as well.
fn with_two_dashes(argument: OsString) -> OsString {
    let Some(text) = argument.to_str() else { return argument };
    let Some(name) = text.strip_prefix('-').filter(|name| !name.starts_with('-')) else {
        return argument;
    };
    let name = name.split('=').next().unwrap_or_default();
    let command = Options::command();
    let is_long = name.len() > 1 && command.get_arguments().any(|arg| arg.get_long() == Some(name));
    if is_long { format!("-{text}").into() } else { argument }
}

/// Says which variable of the environment is wrong, where clap names the option that it stands for.
fn name_variable(
    command: &clap::Command,
    mut error: clap::Error,
    value_of: impl Fn(&OsStr) -> Option<String>,
) -> clap::Error {
    let (Some(ContextValue::String(option)), Some(ContextValue::String(value))) =
        (error.get(ContextKind::InvalidArg), error.get(ContextKind::InvalidValue))
    else {
        return error;
    };
    let name = option.trim_start_matches('-').split([' ', '=']).next();
    let mut arguments = command.get_arguments();
    let variable = arguments.find(|known| known.get_long() == name).and_then(Arg::get_env);
    // A list is refused for one of its parts.
    let is_its = |text: &str| text == value || text.split(',').any(|part| part == value);
    if let Some(name) = variable.filter(|name| value_of(name).is_some_and(|text| is_its(&text)))
        && !std::env::args().any(|given| given.ends_with(value.as_str()))
    {
        let name = name.to_string_lossy().into_owned();
        error.insert(ContextKind::InvalidArg, ContextValue::String(name));
    }
    error
}

/// What is in a list, each once.
fn distinct(list: &[String]) -> Vec<&String> {
    let mut all: Vec<&String> = Vec::new();
    for text in list {
        if !all.contains(&text) {
            all.push(text);
        }
    }
    all
}

/// A time that is given in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Millis(pub Duration);

impl std::fmt::Display for Millis {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.as_millis().fmt(f)
    }
}

/// A flag in the environment. Anything else than these words is more likely a mistake than a yes.
fn parse_flag(text: &str) -> Result<bool, String> {
    match text {
        "1" | "true" | "yes" => Ok(true),
        "0" | "false" | "no" | "" => Ok(false),
        _ => Err("want 1, true or yes, or else 0, false, no or nothing".into()),
    }
}

/// The address of one machine, or what stands for all that this one has. Lists are written with blanks
/// as well as without.
fn read_ip(text: &str) -> Option<IpAddr> {
    let ip = text.trim().parse::<IpAddr>().ok()?.to_canonical();
    let is_for_many = ip.is_multicast() || ip == IpAddr::from(Ipv4Addr::BROADCAST);
    // Those of a link mean nothing without the name of the interface.
    let is_of_link = matches!(ip, IpAddr::V6(v6) if v6.is_unicast_link_local());
    (!is_for_many && !is_of_link).then_some(ip)
}

fn read_ip_of_one(text: &str) -> Option<IpAddr> {
    read_ip(text).filter(|ip| !ip.is_unspecified())
}

fn parse_bind(text: &str) -> Result<IpAddr, String> {
    let why = "invalid IP address: want an address of this machine, or 0.0.0.0 or :: for all";
    read_ip(text).ok_or_else(|| why.into())
}

/// Players would knock there.
fn parse_public_ip(text: &str) -> Result<IpAddr, String> {
    let why = "want the IP address by which players elsewhere reach this server, as 203.0.113.7";
    read_ip_of_one(text).ok_or_else(|| why.into())
}

fn parse_own_ip(text: &str) -> Result<IpAddr, String> {
    read_ip_of_one(text).ok_or_else(|| "want an address of this machine, as 203.0.113.8".into())
}

fn parse_port(text: &str) -> Result<u16, String> {
    text.parse().map_err(|_| "want a port from 1 to 65535, or 0 for one that is free".into())
}

/// An empty key would admit nobody, and seem to be none.
fn parse_key(text: &str) -> Result<String, String> {
    if text.trim().is_empty() {
        return Err("a key is empty: name one, or leave --key and PUNCHD_KEY out".into());
    }
    Ok(text.to_owned())
}

fn parse_game(text: &str) -> Result<String, String> {
    match text.trim() {
        "" => Err("a name is empty: give one, or leave --games and PUNCHD_GAMES out".into()),
        name => Ok(name.to_owned()),
    }
}

/// A whole number in these bounds.
fn parse_number<const LEAST: u64, const MOST: u64>(text: &str) -> Result<u64, String> {
    let number = text.parse().ok().filter(|number| (LEAST..=MOST).contains(number));
    number.ok_or_else(|| format!("want a number from {LEAST} to {MOST}"))
}

fn parse_millis(text: &str) -> Result<Millis, String> {
    match text.parse::<u64>() {
        Ok(ms) if ms <= 10_000 => Ok(Millis(Duration::from_millis(ms))),
        _ => Err("want milliseconds, from 0 to 10000".into()),
    }
}

fn parse_connections(text: &str) -> Result<usize, String> {
    match text.parse::<usize>() {
        Ok(n) if (1..=1_000_000).contains(&n) => Ok(n),
        _ => Err("want a number from 1 to 1000000".into()),
    }
}

/// More than this no clock here tells apart, nor could any machine carry it out.
fn parse_rate(text: &str) -> Result<u32, String> {
    match text.parse::<u32>() {
        Ok(n) if n <= 1_000_000 => Ok(n),
        _ => Err("want a number from 1 to 1000000, or 0 for no limit".into()),
    }
}

/// The name is a line of its own on the wire.
fn parse_name(text: &str) -> Result<String, String> {
    if text.chars().any(char::is_control) {
        return Err("a name is one line, without control characters".into());
    }
    Ok(text.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_options_are_sound() {
        Options::command().debug_assert();
    }

    #[test]
    fn dialects_are_chosen_by_name() {
        let dialects = |args: &[&str]| {
            let options = Options::try_parse_from([&["punchd"], args].concat());
            options.map(|options| options.server(1).dialects)
        };
        assert_eq!(dialects(&[]).unwrap(), Name::ALL);
        let some = dialects(&["--dialects", "rooms, gmnet"]).unwrap();
        assert_eq!(some, [Name::Rooms, Name::Gmnet]);
        let error = dialects(&["--dialects", "room"]).unwrap_err().to_string();
        assert!(error.contains("gmnet, stun, rooms"), "{error}");
    }

    #[test]
    fn a_rate_is_a_limit_or_none_and_nothing_between() {
        let rates = |n: &str| {
            let line = ["punchd", "--max-datagrams", n, "--max-commands", n];
            let options = Options::try_parse_from(line).map_err(|error| error.to_string())?;
            let limits = options.server(1).limits;
            Ok((limits.datagrams_per_second, limits.commands_per_second))
        };
        for n in [0, 1, 1_000_000] {
            assert_eq!(rates(&n.to_string()), Ok((n, n)));
        }
        for n in ["1000001", "4294967295", "4294967296", "many"] {
            let error: String = rates(n).unwrap_err();
            assert!(error.contains("from 1 to 1000000, or 0 for no limit"), "{error}");
        }
    }

    #[test]
    fn an_address_that_nobody_has_is_refused() {
        let error = |option: &str, ip: &str| {
            let line = Options::try_parse_from(["punchd", option, ip]);
            line.map(drop).map_err(|error| error.to_string())
        };
        let many = ["255.255.255.255", "224.0.0.1", "ff02::1", "::ffff:224.0.0.1"];
        for ip in ["0.0.0.0", "::", "::ffff:0.0.0.0"].iter().chain(&many) {
            let why = error("--public-ip", ip).expect_err(ip);
            assert!(why.contains("by which players elsewhere reach this server"), "{ip}: {why}");
            let why = error("--alt-addr", ip).expect_err(ip);
            assert!(why.contains("want an address of this machine"), "{ip}: {why}");
        }
        for ip in many {
            let why = error("--bind", ip).expect_err(ip);
            assert!(why.contains("want an address of this machine, or 0.0.0.0"), "{ip}: {why}");
        }
        assert!(error("--bind", "1.2.3").unwrap_err().contains("want an address"));
        for (option, ip) in [
            ("--bind", "0.0.0.0,::"),
            ("--bind", "127.0.0.1"),
            ("--public-ip", "203.0.113.7"),
            ("--public-ip", "2001:db8::7"),
            ("--public-ip", "192.168.0.7"),
            ("--alt-addr", "127.0.0.2"),
        ] {
            assert_eq!(error(option, ip), Ok(()), "{option} {ip}");
        }
    }

    #[test]
    fn restrictions_are_what_they_are() {
        let told = |args: &[&str]| {
            let options = Options::try_parse_from([&["punchd"], args].concat()).unwrap();
            (options.restrictions(), options.without_effect())
        };
        assert_eq!(told(&["--key", "a", "--key", "a"]).0, "; 1 key");
        assert_eq!(told(&["--key", "a,b,a"]).0, "; 2 keys");
        assert_eq!(told(&["--games", "A,B,A"]).0, "; only for the games \"A\", \"B\"");
        assert_eq!(told(&["--disable-lobby"]), ("; no lobby".to_owned(), None));
        assert_eq!(told(&["--public-ip", "203.0.113.7"]).0, "; told as 203.0.113.7");
        let (restrictions, without_effect) = told(&["--testing", "--disable-lobby"]);
        assert_eq!(restrictions, "; testing");
        assert!(without_effect.unwrap().starts_with("--disable-lobby has no effect"));
    }

    #[test]
    fn a_mistake_in_the_environment_names_its_variable() {
        let error = |value: &str| {
            let line = ["punchd", "--dialects", value, "--port", "0"];
            let error = Options::command().try_get_matches_from(line).unwrap_err();
            let of = |name: &OsStr| (name == "PUNCHD_DIALECTS").then(|| value.to_owned());
            name_variable(&Options::command(), error, of).to_string()
        };
        for value in ["foo", "rooms,foo"] {
            assert!(error(value).contains("invalid value 'foo' for 'PUNCHD_DIALECTS'"), "{value}");
        }
    }

    #[test]
    fn old_options_have_one_dash_or_two() {
        let parsed = |line: &[&str]| {
            let line =
                [&["punchd"], line].concat().into_iter().map(|word| with_two_dashes(word.into()));
            Options::try_parse_from(line)
        };
        let line =
            ["-port", "6511", "-testing", "-name", "X", "-log=a.log", "-disable-lobby", "-quiet"];
        let options = parsed(&line).unwrap();
        assert_eq!((options.port, options.testing, options.quiet), (Some(6511), true, true));
        assert_eq!((options.name.as_str(), options.log), ("X", Some("a.log".into())));
        assert!(options.disable_lobby);
        // What one dash has meant before still does.
        let options = parsed(&["-qp7000", "-l", "b.log"]).unwrap();
        assert_eq!(
            (options.port, options.quiet, options.log),
            (Some(7000), true, Some("b.log".into()))
        );
        assert!(parsed(&["-prot", "6511"]).is_err());
    }

    /// What a parser of the library says is no help: "invalid digit found in string".
    #[test]
    fn a_wrong_value_is_told_what_to_be() {
        for option in Options::command().get_arguments() {
            let Some(name) = option.get_long().filter(|_| option.get_action().takes_values())
            else {
                continue;
            };
            for wrong in ["no such thing", "-7", "99999999999999999999999"] {
                let line = ["punchd".to_owned(), format!("--{name}={wrong}")];
                let Err(error) = Options::command().try_get_matches_from(line) else { continue };
                if error.kind() == ErrorKind::MissingRequiredArgument {
                    continue;
                }
                let said = error.to_string();
                let helps =
                    ["want ", "possible values", "as in "].iter().any(|word| said.contains(word));
                assert!(helps, "--{name}={wrong}: {said}");
            }
        }
    }

    #[test]
    fn short_help_fits_the_smallest_terminal() {
        let help = short_help().render_help().to_string();
        assert!(help.lines().count() <= 24, "{help}");
        assert!(help.lines().all(|line| line.chars().count() <= 80), "{help}");
        for name in IMPORTANT {
            let option = format!("--{}", name.replace('_', "-"));
            assert!(help.contains(&option), "{option}: {help}");
        }
        assert!(help.contains("--help shows all options"), "{help}");
    }

    #[test]
    fn help_fits_a_screen() {
        let help = Options::command().render_help().to_string();
        assert!(help.lines().count() <= 50, "{help}");
        assert!(help.contains(&format!("[default: {PORT}]")), "{help}");
    }

    #[test]
    fn every_option_is_an_environment_variable_as_well() {
        let command = Options::command();
        let tells = |id: &str| ["help", "version"].contains(&id);
        for option in command.get_arguments().filter(|option| !tells(option.get_id().as_str())) {
            let name = format!("PUNCHD_{}", option.get_id().as_str().to_uppercase());
            assert_eq!(option.get_env(), Some(name.as_ref()), "{option}");
        }
    }

    #[test]
    fn the_old_command_line_works() {
        let line = ["punchd", "-p", "7000", "--name", "Mine", "--testing", "-q", "-l", "a.log"];
        let options = Options::try_parse_from(line).unwrap();
        assert_eq!((options.port, options.testing), (Some(7000), true));
        assert_eq!(options.name, "Mine");
        assert_eq!(options.log, Some("a.log".into()));
        assert_eq!(options.verbosity(), Verbosity::Quiet);
        assert!(!options.disable_lobby);
        let twice = ["punchd", "-q", "-q", "--port", "1", "--port", "7000"];
        assert_eq!(Options::try_parse_from(twice).unwrap().port, Some(7000), "the last counts");
    }
}
