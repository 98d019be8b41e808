//! What seems to be wrong with the server's own network, seen by what players can and cannot do. The owner is
//! told in the log and in his window.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use log::warn;

use crate::clock::{Instant, Now};
use crate::introductions::leads_nowhere;

/// How long the window shows what was told in the log.
const SHOWN: Duration = Duration::from_secs(60 * 60);

/// What was noticed.
#[derive(Debug, Default)]
pub struct Diagnostics {
    /// A datagram has come, from anybody.
    has_udp: bool,
    /// Peers whose datagrams were waited for in vain before any came.
    lacking: u32,
    /// The UDP port of the server, if it seems to be closed.
    closed: Option<u16>,
    /// Which address somebody was told who can do nothing with it, when that was told the owner.
    misled: Option<(IpAddr, Instant)>,
}

impl Diagnostics {
    /// A datagram has come.
    pub const fn udp_came(&mut self) {
        self.has_udp = true;
        self.closed = None;
    }

    /// The datagrams of so many peers never came who are connected by TCP, to this port. Whether no datagram
    /// has come of anybody since the start, so that these are not to blame.
    pub fn udp_lacks(&mut self, peers: u32, port: u16) -> bool {
        /// Of one alone it may be the network of that one.
        const SEVERAL: u32 = 2;
        if self.has_udp {
            return false;
        }
        self.lacking = self.lacking.saturating_add(peers);
        let is_closed = self.lacking >= SEVERAL;
        if is_closed && self.closed.replace(port).is_none() {
            warn!("{}", closed(port));
        }
        is_closed
    }

    /// Two are told of each other; the first of `told` is told to the first.
    pub fn told(&mut self, now: Now, pair: [SocketAddr; 2], told: [SocketAddr; 2]) {
        let [one, other] = pair;
        let [to_one, to_other] = told;
        for (whom, told) in [(one.ip(), to_one.ip()), (other.ip(), to_other.ip())] {
            if leads_nowhere(whom, told) && self.misled_lately(now.instant).is_none() {
                self.misled = Some((told, now.instant));
                warn!("{}", misled(told));
            }
        }
    }

    fn misled_lately(&self, now: Instant) -> Option<IpAddr> {
        self.misled.filter(|(_, at)| now - *at < SHOWN).map(|(told, _)| told)
    }

    /// What seems to be wrong now, a sentence each.
    #[must_use]
    pub fn sentences(&self, now: Instant) -> Vec<String> {
        let closed = self.closed.map(closed);
        closed.into_iter().chain(self.misled_lately(now).map(misled)).collect()
    }
}

/// For hosts and clients.
#[must_use]
pub fn closed(port: u16) -> String {
    format!(
        "no UDP packet has reached this server at all: UDP port {port} seems to be closed here, in its \
         firewall or its provider's"
    )
}

fn misled(told: IpAddr) -> String {
    format!(
        "a player from outside was told {told}, which they cannot reach: start with --public-ip and the \
         public address of this network"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(secs: u64) -> Now {
        Now { instant: Instant::from_micros(secs * 1_000_000), unix: secs }
    }

    #[test]
    fn where_no_datagram_comes_at_all_the_port_is_closed() {
        let mut diagnostics = Diagnostics::default();
        assert!(!diagnostics.udp_lacks(1, 6510), "it may be his own network");
        assert!(diagnostics.sentences(at(1).instant).is_empty());
        assert!(diagnostics.udp_lacks(1, 6510));
        assert_eq!(diagnostics.sentences(at(1).instant), [closed(6510)]);
        diagnostics.udp_came();
        assert!(!diagnostics.udp_lacks(2, 6510) && diagnostics.sentences(at(2).instant).is_empty());
    }

    #[test]
    fn an_inside_address_told_to_somebody_outside_is_told_once_an_hour() {
        let mut diagnostics = Diagnostics::default();
        let [inside, outside]: [SocketAddr; 2] =
            ["127.0.0.1:1", "203.0.113.7:2"].map(|at| at.parse().unwrap());
        let lan: SocketAddr = "192.168.1.2:3".parse().unwrap();
        diagnostics.told(at(1), [inside, lan], [lan, inside]);
        diagnostics.told(at(1), [inside, outside], [outside, outside]);
        assert!(
            diagnostics.sentences(at(2).instant).is_empty(),
            "both are inside, or are told another"
        );
        diagnostics.told(at(3), [outside, inside], [inside, outside]);
        let all = diagnostics.sentences(at(4).instant);
        assert!(all.len() == 1 && all[0].contains("was told 127.0.0.1, which"), "{all:?}");
        assert!(diagnostics.sentences(at(3 + 3600).instant).is_empty());
    }
}
