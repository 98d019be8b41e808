//! What a seed stands for, and the times of a schedule.

use std::time::Duration;

use punchd::clock::Instant;

use super::faults::{Fault, Wrong};
use crate::sim::rng::Rng;

/// Nodes of the cluster.
pub const NODES: usize = 3;

/// When nothing goes wrong any more.
pub const CALM: Duration = Duration::from_secs(42);

/// Until then something new is done.
pub const BUSY: Duration = Duration::from_secs(46);

/// Until then the lobbies of GMnet are looked at.
pub const LOOKED: Duration = Duration::from_secs(60);

/// When all that is left of former players has to be gone: a room [`ROOM_SILENCE`](super::nodes::ROOM_SILENCE) after its
/// host has given up, and who has asked for it until then as long after that.
pub const QUIET: Duration = Duration::from_secs(94);

/// When all leave.
pub const LEAVE: Duration = Duration::from_secs(95);

/// How long a schedule is: nothing is remembered for longer of who has left.
pub const END: Duration = Duration::from_secs(140);

/// What goes wrong, and how long a message is under way between nodes.
#[must_use]
pub fn faults(rng: &mut Rng) -> (Vec<Fault>, Duration) {
    let calm = CALM.as_millis() as u64;
    let faults = (0..rng.index(5)).map(|_| fault(rng, calm)).collect();
    (faults, rng.millis(0..60))
}

/// A moment between two numbers of milliseconds.
pub fn moment(rng: &mut Rng, from: u64, to: u64) -> Instant {
    Instant::from_micros(rng.within(from * 1000..to * 1000))
}

fn fault(rng: &mut Rng, calm: u64) -> Fault {
    let from = moment(rng, 3000, calm - 6000);
    let to = (from + rng.millis(200..15_000)).min(Instant::from_micros(calm * 1000));
    let node = rng.index(NODES);
    let what = match rng.index(5) {
        0 => Wrong::Cut(node, (node + 1 + rng.index(NODES - 1)) % NODES),
        1 => Wrong::Alone(node),
        2 => Wrong::Storm {
            lost: rng.pick([0, 20, 300]),
            repeated: rng.pick([0, 100]),
            jitter: rng.pick([0, 20, 300]),
        },
        _ => Wrong::Dead(node),
    };
    Fault { from, to, what }
}
