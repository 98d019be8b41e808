//! Saying again who one is: UDP loses packets, and the master server never says that one is there.

use std::time::{Duration, Instant};

/// How often a client that waits for its answer shows its port again: as PROTOCOL.md says.
pub(super) const HELLO: Duration = Duration::from_millis(500);

/// How long a host waits before it shows its port again, and twice as long each time.
const FIRST: Duration = Duration::from_millis(500);
/// How often it does so: all within the time for which a server still looks for its port.
const TIMES: u8 = 3;
/// So much behind the last of these it registers again: an old server does not list a host that has
/// shown its port, until it registers. To a newer one it is a line in the log.
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

    /// The server has the port. If it was shown again, the registration still follows.
    pub(super) fn stop(&mut self) {
        self.port = None;
    }

    /// What is due.
    pub(super) fn due(&mut self, now: Instant) -> Option<Due> {
        let Some(at) = self.port else {
            let registers = self.registration.is_some_and(|at| now >= at);
            return registers.then(|| {
                self.registration = None;
                Due::Registration
            });
        };
        if now < at {
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
        let mut expected = [500, 1500, 3500].map(|ms| (ms, Due::Port)).to_vec();
        expected.push((3750, Due::Registration));
        assert_eq!(all(Again::start(now), now, 9_990), expected);
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
