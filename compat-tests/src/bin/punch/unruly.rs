//! The options with which a peer, and a master server of its own, behave badly on purpose.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use compat_tests::bounded::text_file;
use compat_tests::gmnet::{Error, Line, Lobby, Query};
use compat_tests::meddler::{Meddler, Meddling};

use crate::common::{count, number, say};
use crate::script::{Role, Script};

/// How long the own master server may take to show its lobby.
const LOBBY_WITHIN: Duration = Duration::from_secs(5);
/// How often it is asked whether the host is there.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// The longest script.
const LONGEST_SCRIPT: usize = 1 << 20;

#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "To test a game")]
pub(crate) struct Unruly {
    /// Be the master server too, at the address of --master
    #[arg(long)]
    own_master: bool,
    /// With a master server of its own: replies come in pieces
    #[arg(long)]
    split_reply: bool,
    /// With a master server of its own: several replies come at once
    #[arg(long)]
    glue_replies: bool,
    /// What the game sends by UDP arrives so much later
    #[arg(long, value_name = "MS", default_value_t = 0, hide_default_value = true)]
    #[arg(value_parser = number::<0, 3_600_000>)]
    delay_udp: u64,
    /// The first N UDP packets of the game are lost
    #[arg(long, value_name = "N", default_value_t = 0, hide_default_value = true)]
    #[arg(value_parser = count::<usize>)]
    drop_first: usize,
    /// Do what a file says, and when
    #[arg(long, value_name = "FILE")]
    script: Option<PathBuf>,
}

impl Unruly {
    /// What becomes of UDP packets.
    pub(crate) fn line(&self) -> Line {
        Line { delay: Duration::from_millis(self.delay_udp), drop_first: self.drop_first }
    }

    /// Whether everything is as it should be, so that this is not to test a game.
    pub(crate) fn is_none(&self) -> bool {
        !(self.own_master || self.split_reply || self.glue_replies)
            && self.delay_udp == 0
            && self.drop_first == 0
    }

    /// Whether replies come several at once.
    pub(crate) fn glues(&self) -> bool {
        self.glue_replies
    }

    /// The own master server, if there is to be one.
    pub(crate) fn master(&self, addr: SocketAddr) -> Result<Option<Meddler>, String> {
        let &Self { own_master, split_reply, glue_replies, .. } = self;
        if !(own_master || split_reply || glue_replies) {
            return Ok(None);
        }
        let meddling = Meddling { split_replies: split_reply, glue_replies, line: self.line() };
        let master = Meddler::start(addr, meddling)
            .map_err(|error| format!("cannot be the master server at {addr}: {error}"))?;
        say(format!("master server at {}", master.addr()));
        Ok(Some(master))
    }

    /// The script, if there is one.
    pub(crate) fn script(&self, role: Role) -> Result<Option<Script>, String> {
        let Some(file) = &self.script else { return Ok(None) };
        let name = file.display();
        let text = text_file(file, LONGEST_SCRIPT)
            .map_err(|error| format!("cannot read {name}: {error}"))?;
        Script::parse(&text, role).map(Some).map_err(|why| format!("{name}, {why}"))
    }
}

/// Waits until the lobby of the own master server lists a host.
pub(crate) fn wait_for_host(
    master: &Meddler,
    host: IpAddr,
    from: Option<IpAddr>,
) -> Result<(), Error> {
    say(format!("waiting for the host {host}"));
    while Lobby::fetch(master.honest(), from, &Query::default(), LOBBY_WITHIN)?.of(host).is_none() {
        std::thread::sleep(LOOK_EVERY);
    }
    Ok(())
}
