//! `punch bare`: what benchmarks compare a master server with.

use std::net::IpAddr;

use compat_tests::bench::{bare, bare_relay};

/// Run the loop that a master server is compared with
#[derive(clap::Args)]
pub(crate) struct Args {
    /// TCP and UDP port
    #[arg(long)]
    port: u16,
    /// Bytes that a lobby has
    #[arg(long, default_value_t = 4096)]
    lobby: usize,
    /// Be a relay at this address instead, told of its players on the TCP port
    #[arg(long)]
    relay: Option<IpAddr>,
}

pub(crate) fn run(args: &Args) -> Result<(), String> {
    let served = match args.relay {
        Some(ip) => bare_relay::serve(args.port, ip),
        None => bare::serve(args.port, args.lobby),
    };
    served.map_err(|error| error.to_string())
}
