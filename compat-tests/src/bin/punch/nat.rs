//! `punch nat`: what the NAT in front of this machine does.

use std::io::IsTerminal as _;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use compat_tests::nat::{Error, Options, discover, lifetime};

use crate::causes::advice;
use crate::common::{local_ip, port, resolve, say, seconds};

/// Find out what kind of NAT is in front of this machine
///
/// Asks a STUN server with an alternate port; one with an alternate address as well can tell more.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Master server, or another STUN server
    #[arg(value_name = "HOST:PORT", value_parser = resolve)]
    server: SocketAddr,
    /// Alternate port of a server that has only one address [default: port + 1]
    #[arg(long, value_name = "PORT", value_parser = port)]
    alt_port: Option<u16>,
    /// Local address to use
    #[arg(long, value_name = "IP", value_parser = local_ip)]
    bind: Option<IpAddr>,
    /// Ask again after so many seconds without an answer
    #[arg(long, value_name = "S", default_value = "0.5", value_parser = seconds)]
    patience: Duration,
    /// Also find out how long a mapping lives, trying up to so many seconds [default: 300]
    #[arg(long, value_name = "S", num_args = 0..=1, default_missing_value = "300")]
    #[arg(value_parser = seconds)]
    lifetime: Option<Duration>,
}

pub(crate) fn run(args: &Args) -> Result<(), String> {
    let mut options =
        Options { patience: args.patience, bind: args.bind, ..Options::new(args.server) };
    options.alternate_port = args.alt_port.unwrap_or(options.alternate_port);
    let report = discover(&options).map_err(|error| match error {
        Error::NoAnswer { .. } => format!(
            "{error}\nIs the address right? If others get an answer there, UDP is blocked here, and \
             no relay helps: let UDP through the firewall, or use another network. Or this address is \
             in the server's --block, as `punch probe` shows."
        ),
        Error::Socket { doing, ref source, .. } => format!("{error}\n{}", advice(doing, source)),
        Error::Refused { .. } | Error::NoResponsePort { .. } => error.to_string(),
    })?;
    say(report);
    let Some(longest) = args.lifetime else { return Ok(()) };
    let shows = std::io::stderr().is_terminal();
    let found = lifetime(&options, longest, |wait, lives| {
        let state = if lives { "is still there" } else { "is gone" };
        let end = if shows { "\r" } else { "\n" };
        eprint!(
            "a mapping {state} after {:.1} s of {:.0} s{end}",
            wait.as_secs_f64(),
            longest.as_secs_f64()
        );
    });
    if shows {
        eprintln!();
    }
    let found = found.map_err(|error| error.to_string())?;
    say(format!("mapping lifetime  {found}"));
    Ok(())
}
