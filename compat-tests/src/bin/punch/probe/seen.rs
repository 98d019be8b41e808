//! Whether the server sees players where they are. A container's network, or a proxy, may replace the address of
//! each with its own: then all that is answered is right, and nobody can be told where anybody is.

use std::net::{IpAddr, UdpSocket};
use std::time::Duration;

use punchd::introductions::is_inside;

use super::Probe;
use super::report::{Check, Outcome, Report};
use crate::common::any_towards;

const CHECK: Check = Check {
    id: "seen",
    name: "addresses of players",
    run: |_| Outcome::after_a_failure(),
    meaning: "",
    to_do: "",
};

/// What there is to say of where this machine is seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Fine,
    /// It may be that both are in one network.
    Doubtful,
    Replaced,
}

/// Tells it, if the server has said where it sees this machine.
pub(super) fn conclude(probe: &Probe, report: &mut Report) {
    let Some((seen, own)) = probe.seen.zip(own_address(probe)) else { return };
    match judge(probe.master.ip(), own, seen) {
        Verdict::Fine => report.add(&CHECK, &Outcome::Works(format!("{seen}")), Duration::ZERO),
        Verdict::Doubtful => report.note(&format!(
            "The server sees this machine at {seen}, though it is at {own}. If both are in one network, a router \
             there does that; if not, something in front of the server replaces the addresses of all players, and \
             nobody can be introduced. To be sure, run this outside the server's network."
        )),
        Verdict::Replaced => report.add(
            &CHECK,
            &Outcome::FailsSo {
                detail: format!("sees this machine at {seen}, which is no address on the Internet"),
                meaning: "All players seem to be at one address, so nobody is told where the others are.",
                to_do: "Something in front of the server replaces addresses: in a container, use the host's \
                        network (--network host); a proxy has to pass addresses on as they are."
                    .to_owned(),
            },
            Duration::ZERO,
        ),
    }
}

/// By which address this machine reaches the server.
fn own_address(probe: &Probe) -> Option<IpAddr> {
    let socket = UdpSocket::bind((probe.bind.unwrap_or(any_towards(probe.master)), 0)).ok()?;
    socket.connect(probe.master).ok()?;
    socket.local_addr().ok().map(|local| local.ip())
}

fn judge(master: IpAddr, own: IpAddr, seen: IpAddr) -> Verdict {
    if seen == own || !is_inside(seen) {
        return Verdict::Fine;
    }
    if is_inside(master) {
        return Verdict::Doubtful;
    }
    // A router at home that sends what is for its own address back inside puts its own in place of the sender's.
    if is_inside(own) && is_near(own, seen) { Verdict::Doubtful } else { Verdict::Replaced }
}

/// Whether two may be in one network: a /16, as homes and offices have no larger one.
fn is_near(one: IpAddr, other: IpAddr) -> bool {
    match (one, other) {
        (IpAddr::V4(one), IpAddr::V4(other)) => one.octets()[..2] == other.octets()[..2],
        (IpAddr::V6(one), IpAddr::V6(other)) => one.segments()[..3] == other.segments()[..3],
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_seen_at_another_private_address_has_been_replaced() {
        use Verdict::{Doubtful, Fine, Replaced};
        for (master, own, seen, want) in [
            ("203.0.113.1", "198.51.100.7", "198.51.100.7", Fine),
            ("203.0.113.1", "192.168.1.7", "198.51.100.7", Fine),
            ("203.0.113.1", "198.51.100.7", "192.168.9.1", Replaced),
            ("203.0.113.1", "192.168.1.7", "172.17.0.1", Replaced),
            ("203.0.113.1", "198.51.100.7", "127.0.0.1", Replaced),
            ("203.0.113.1", "192.168.1.7", "192.168.1.1", Doubtful),
            ("192.168.1.2", "192.168.1.7", "172.17.0.1", Doubtful),
            ("192.168.1.2", "192.168.1.7", "192.168.1.7", Fine),
            ("127.0.0.1", "127.0.0.1", "127.0.0.1", Fine),
            ("2001:db8::1", "2001:db8:1::7", "fd00::1", Replaced),
        ] {
            let [master_ip, own_ip, seen_ip] = [master, own, seen].map(|ip| ip.parse().unwrap());
            assert_eq!(judge(master_ip, own_ip, seen_ip), want, "{master} {own} {seen}");
        }
    }
}
