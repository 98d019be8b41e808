//! What the relay and its plan promise. They are checked by what goes into the two halves and comes out of
//! them, with what little has to be remembered for that; nothing is asked of the code that is checked, but
//! how many sessions it has and what its journal says.

pub(super) mod flow;
pub(super) mod given;
pub(super) mod hopeless;
pub(super) mod journal;
pub(super) mod meter;
pub(super) mod passed;
mod said;
pub(super) mod taken;

/// What is promised.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Promise {
    /// Only the two who were introduced get anything, and only what the other has sent.
    NoOpenRelay,
    /// No session lasts longer than it may, none ends before, and nothing is left of it.
    Ends,
    /// No two sessions share a port of an address, and a host is told a port again when it was told all
    /// others.
    OwnPorts,
    /// Who does not get through is told of the relay in time, and so is his host; nobody else is.
    Told,
    /// Two who were told of the relay get through.
    GetsThrough,
    /// No more is passed on than may be, and no less without need.
    Bounds,
    /// The journal counts each introduction once.
    CountedOnce,
}

/// A promise that was broken.
pub type Violation = crate::sim::promises::Violation<Promise>;

/// What a check says.
pub(super) type Kept<T = ()> = Result<T, Violation>;

/// A promise was broken in this way.
pub(super) fn broken<T>(promise: Promise, what: String) -> Kept<T> {
    Err(Violation { promise, what })
}
