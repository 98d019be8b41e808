//! The command line: that of the old server, and what is new. Every option can also be given as
//! an environment variable.

use std::error::Error;
use std::ffi::{OsStr, OsString};
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::builder::Resettable;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Arg, ArgAction, CommandFactory as _, FromArgMatches as _, Parser};

mod clashes;
pub mod cluster;
pub mod http;
pub mod owner;
pub mod relay;
mod told;
mod values;
mod variables;

pub use values::Millis;
use values::{
    Spoken, parse_bind, parse_connections, parse_flag, parse_game, parse_key, parse_millis,
    parse_name, parse_number, parse_own_ip, parse_port, parse_public_ip, parse_rate,
};
pub use variables::unknown as unknown_variables;

use crate::admission::{Admission, Lists};
use crate::dialect::{Name, events, gmnet, natpunch, rooms};
use crate::introductions::PublicIps;
use crate::limits::{self, Limits};
use crate::logging::Verbosity;
use crate::net::handover::From;
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
                  PUNCHD_TESTING=1, and so on. README has more, for the relay and for clusters."
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

    /// Public IP to send to players instead of a private one
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

    /// Take over from the punchd that runs there, without losing anybody
    #[arg(long, env = "PUNCHD_TAKE_OVER", hide_env = true, value_name = "IP:PORT")]
    #[arg(help_heading = "Network", num_args = 0..=1, require_equals = true)]
    #[arg(default_value_t, default_missing_value = "yes", hide_default_value = true)]
    pub take_over: From,

    /// Alternate UDP port of STUN; 0 picks a free one [default: port + 1]
    #[arg(long, env = "PUNCHD_ALT_PORT", hide_env = true, value_name = "PORT")]
    #[arg(help_heading = "Network", value_parser = parse_port)]
    pub alt_port: Option<u16>,

    /// Alternate address of STUN: a second address of this machine
    #[arg(long, env = "PUNCHD_ALT_ADDR", hide_env = true, value_name = "IP")]
    #[arg(help_heading = "Network", value_parser = parse_own_ip)]
    pub alt_addr: Option<IpAddr>,

    /// Speak only gmnet,rooms etc., or none [default: all]
    #[arg(long, env = "PUNCHD_DIALECTS", hide_env = true, value_name = "LIST")]
    #[arg(help_heading = "Network", value_delimiter = ',', hide_default_value = true)]
    #[arg(default_values_t = Name::ALL.map(|name| Spoken(Some(name))))]
    pub dialects: Vec<Spoken>,

    /// What is told by HTTP.
    #[command(flatten)]
    pub http: http::HttpOptions,

    /// The relay.
    #[command(flatten)]
    pub relay: relay::RelayOptions,

    /// The cluster.
    #[command(flatten)]
    pub cluster: cluster::ClusterOptions,

    /// Do not answer requests for the lobby
    #[arg(long, env = "PUNCHD_DISABLE_LOBBY", hide_env = true)]
    #[arg(help_heading = "Games", value_parser = parse_flag)]
    pub disable_lobby: bool,

    /// List hosts that share an address as IP:PORT
    #[arg(long, env = "PUNCHD_LOBBY_PORTS", hide_env = true)]
    #[arg(help_heading = "Games", value_parser = parse_flag)]
    pub lobby_ports: bool,

    /// Seconds between NAT keepalives to a host; 0 sends none
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

    /// Answer test tools as a test server, with its name and versions
    #[arg(long, env = "PUNCHD_TESTING", hide_env = true)]
    #[arg(help_heading = "Games", value_parser = parse_flag)]
    pub testing: bool,

    /// Admit only games with this key; repeatable
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

    /// Seconds until a host that vanished is removed
    #[arg(long, env = "PUNCHD_GHOST_LIMIT", hide_env = true, value_name = "S")]
    #[arg(help_heading = "Limits", value_parser = parse_number::<6, 86_400>)]
    #[arg(default_value_t = limits::GHOST.as_secs())]
    pub ghost_limit: u64,

    /// Seconds until a silent peer of a room is removed
    #[arg(long, env = "PUNCHD_ROOM_TIMEOUT", hide_env = true, value_name = "S")]
    #[arg(help_heading = "Limits", value_parser = parse_number::<1, 86_400>)]
    #[arg(default_value_t = limits::ROOM_SILENCE.as_secs())]
    pub room_timeout: u64,

    /// Files of the owner.
    #[command(flatten)]
    pub owner: owner::OwnerOptions,

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

    /// Print the options; -h prints the important ones
    #[arg(short, long, help_heading = "Log and help", action = ArgAction::HelpShort)]
    help: Option<bool>,

    /// Print the version
    #[arg(short = 'V', long, help_heading = "Log and help", action = ArgAction::Version)]
    version: Option<bool>,

    /// How many of the keys, and of the games, stand in files.
    #[arg(skip)]
    in_files: [usize; 2],

    /// All options with their values, for the owner; without what is secret.
    #[arg(skip)]
    pub in_force: Vec<(String, String)>,
}

impl Options {
    /// The options of this process; ends it if they are wrong, or if it was only asked what there
    /// is. A variable that is empty is as good as none: compose files and the like have them. Not one
    /// that says whom to admit: a secret that did not arrive must not let in everybody.
    #[must_use]
    pub fn of_process() -> Self {
        let command = Self::command().mut_args(|option| {
            let is_empty = |name| std::env::var_os(name).is_some_and(|value| value.is_empty());
            let admits = ["key", "games", "key_file", "games_file", "block"]
                .contains(&option.get_id().as_str());
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
        let is_check = line.iter().any(|argument| argument == "--check");
        let matches = command.clone().try_get_matches_from(line).unwrap_or_else(|error| {
            let error = name_variable(&command, error, |name| std::env::var(name).ok());
            if is_check && error.use_stderr() { exit_of_check(&error) } else { error.exit() }
        });
        let options = Self::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
        Self { in_force: in_force(&command, &matches), ..options }
    }

    /// Ends the process, as these options do not go together.
    pub fn exit(&self, error: &clap::Error) -> ! {
        if self.owner.check { exit_of_check(error) } else { error.exit() }
    }

    /// Reads the keys and games that stand in files to those that are options.
    ///
    /// # Errors
    /// If a file cannot be read or has none, or an entry of it or of the options cannot be one; what is wrong with
    /// each.
    pub fn read_files(&mut self) -> Result<(), Vec<Box<dyn Error>>> {
        let of_options = [
            owner::wrong("--key (PUNCHD_KEY)", &self.keys, values::check_key),
            owner::wrong("--games (PUNCHD_GAMES)", &self.games, values::check_game),
        ];
        let mut wrong: Vec<_> = of_options.into_iter().flatten().collect();
        let mut read =
            |file: Result<Vec<String>, _>| file.map_err(|why| wrong.push(why)).unwrap_or_default();
        let (keys, games) = (read(self.owner.keys()), read(self.owner.games()));
        self.in_files = [keys.len(), games.len()];
        self.keys.extend(keys);
        self.games.extend(games);
        if wrong.is_empty() { Ok(()) } else { Err(wrong) }
    }

    /// All keys and games, those in files included as soon as these are read.
    #[must_use]
    pub fn lists(&self) -> Lists {
        Lists { keys: self.keys.clone(), games: self.games.clone() }
    }

    /// The keys and games that are options and stand in no file.
    #[must_use]
    pub fn own_lists(&self) -> Lists {
        let own = |all: &[String], in_file: usize| {
            all.get(..all.len().saturating_sub(in_file)).unwrap_or_default().to_vec()
        };
        let [keys, games] = self.in_files;
        Lists { keys: own(&self.keys, keys), games: own(&self.games, games) }
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
        let admission = Admission::of(self.keys.clone(), self.games.clone());
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
        let dialects = self.dialects.iter().filter_map(|spoken| spoken.0).collect();
        server::Config {
            limits,
            dialects,
            gmnet,
            rooms,
            events,
            natpunch,
            public_lobby: self.http.public_lobby,
            cluster: self.cluster.config(),
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
        if let Some(why) = self.serves_nothing() {
            return Err(Self::command().error(ErrorKind::ArgumentConflict, why));
        }
        if let Some(why) = self.cluster.lacks() {
            return Err(Self::command().error(ErrorKind::ArgumentConflict, why));
        }
        if let Err(second) = PublicIps::try_from(&self.public_ip[..]) {
            let why = format!(
                "--public-ip (PUNCHD_PUBLIC_IP) takes at most one address of IPv4 and one of IPv6: \
                 leave out {second} or the other one of its family"
            );
            return Err(Self::command().error(ErrorKind::ArgumentConflict, why));
        }
        Ok(())
    }
}

/// Ends a check that has found options that are wrong.
fn exit_of_check(error: &clap::Error) -> ! {
    // Whoever reads it or not, it is wrong.
    let _ = error.print();
    std::process::exit(1)
}

/// What `-h` shows, which has to fit the smallest terminal; `--help` shows all.
const IMPORTANT: [&str; 17] = [
    "port",
    "bind",
    "public_ip",
    "dialects",
    "relay",
    "http",
    "public_lobby",
    "tls_cert",
    "key",
    "games",
    "block",
    "check",
    "log",
    "quiet",
    "verbose",
    "help",
    "version",
];

/// The options with their values, those that are not given as well; without what is secret.
fn in_force(command: &clap::Command, matches: &clap::ArgMatches) -> Vec<(String, String)> {
    // Addresses of NATS servers may have a password in them.
    const SECRET: [&str; 3] = ["key", "http_token", "cluster"];
    let shown = |arg: &Arg| {
        let id = arg.get_id().as_str();
        let name = arg.get_long().filter(|_| !["help", "version"].contains(&id))?;
        let values: Vec<_> = matches.get_raw(id)?.map(OsStr::to_string_lossy).collect();
        let value = match SECRET.contains(&id) {
            true => format!("({} given)", values.len()),
            false => values.join(","),
        };
        Some((format!("--{name}"), value))
    };
    command.get_arguments().filter_map(shown).collect()
}

/// The command whose help is short.
fn short_help() -> clap::Command {
    let command = Options::command()
        .about("A master server for games behind NATs, in place of GMnet GATE.PUNCH")
        .after_help("--help shows more options.");
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

/// Whether an argument of the command line ends with this value.
fn is_given(argument: &str, value: &str) -> bool {
    match value {
        "" => argument.is_empty() || argument.ends_with('='),
        value => argument.ends_with(value),
    }
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
        && !std::env::args().any(|given| is_given(&given, value))
    {
        let name = name.to_string_lossy().into_owned();
        error.insert(ContextKind::InvalidArg, ContextValue::String(name));
    }
    error
}

#[cfg(test)]
mod tests;
