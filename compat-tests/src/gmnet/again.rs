//! Saying again who one is: UDP loses packets, and the master server never says that one is there.

use std::time::{Duration, Instant};

/// How often a client that waits for its answer shows its port again: as PROTOCOL.md says.
pub(super) const HELLO: Duration = Duration::from_millis(500);

/// How long a host waits before it shows its port again, and twice as long each time.
const FIRST: Duration = Duration::from_millis(500);
/// How often it does so: all within the time for which a server still looks for its port.
const TIMES: u8 = 4;
/// So much later the registration follows: an old server hides a host that shows its port until it
/// registers again, and it has to be in this order there.
const REGISTER_AFTER: Duration = Duration::from_millis(250);

/// What a host has to send again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Due {
    /// The UDP packet that shows its port.
    Port,
    /// The registration over TCP.
    Registration,
}

/// What a host still says again, and when. Nothing, at first.
#[derive(Debug, Default)]
pub(super) struct Again {
    port: Option<Instant>,
    registration: Option<Instant>,
    pause: Duration,
    left: u8,
}

impl Again {
    /// It has just registered.
    pub(super) fn start(now: Instant) -> Self {
        Self { port: Some(now + FIRST), registration: None, pause: FIRST, left: TIMES }
    }

    /// The server has the port. What was sent already is still followed by a registration.
    pub(super) fn stop(&mut self) {
        self.port = None;
    }

    /// What is due.
    pub(super) fn due(&mut self, now: Instant) -> Option<Due> {
        if self.registration.is_some_and(|at| now >= at) {
            self.registration = None;
            return Some(Due::Registration);
        }
        if self.port.is_none_or(|at| now < at) {
            return None;
        }
        self.left -= 1;
        self.pause *= 2;
        self.port = (self.left > 0).then(|| now + self.pause);
        self.registration = Some(now + REGISTER_AFTER);
        Some(Due::Port)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is due in ten seconds, looked at a hundred times a second.
    fn all(mut again: Again, start: Instant, shown_at: u64) -> Vec<(u64, Due)> {
        let mut due = Vec::new();
        for ms in (0..10_000).step_by(10) {
            if ms == shown_at {
                again.stop();
            }
            due.extend(again.due(start + Duration::from_millis(ms)).map(|what| (ms, what)));
        }
        due
    }

    #[test]
    fn a_host_says_again_who_it_is_but_not_for_ever() {
        let now = Instant::now();
        let times = [500, 1500, 3500, 7500];
        let expected = times.map(|ms| [(ms, Due::Port), (ms + 250, Due::Registration)]);
        assert_eq!(all(Again::start(now), now, 9_990), expected.concat());
        assert_eq!(all(Again::default(), now, 9_990), []);
    }

    #[test]
    fn a_host_whose_port_is_known_only_ends_what_it_has_begun() {
        let now = Instant::now();
        assert_eq!(all(Again::start(now), now, 490), []);
        let begun = [(500, Due::Port), (750, Due::Registration)];
        assert_eq!(all(Again::start(now), now, 510), begun);
    }
}
