//! `punch bare`: what benchmarks compare a master server with.

use compat_tests::bench::bare;

/// Run the loop that a master server is compared with
#[derive(clap::Args)]
pub(crate) struct Args {
    /// TCP and UDP port
    #[arg(long)]
    port: u16,
    /// Bytes that a lobby has
    #[arg(long, default_value_t = 4096)]
    lobby: usize,
}

pub(crate) fn run(args: &Args) -> Result<(), String> {
    bare::serve(args.port, args.lobby).map_err(|error| error.to_string())
}
