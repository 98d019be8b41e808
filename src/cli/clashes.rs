//! Ports that the options give to two things at once. The system would say that "another program" has them.

use std::net::{IpAddr, SocketAddr};

use super::Options;
use super::relay::Place;

impl Options {
    /// What is wrong with the place of the window, if games have it. `main` are their sockets.
    #[must_use]
    pub fn window_clash(&self, main: &[SocketAddr]) -> Option<String> {
        let at = self.http.http.0?;
        main.iter().find(|addr| is_same(**addr, at))?;
        Some(format!(
            "the owner's window cannot open at http://{at}/: that is the port of the games; choose another with \
             --http, or --http off"
        ))
    }

    /// What is wrong with the ports of the relay, if one of them is that of something else here. `sockets`
    /// are those of the games and of STUN.
    #[must_use]
    pub fn relay_clash(sockets: &[SocketAddr], relay: &Place) -> Option<String> {
        let ports = &relay.config.ports;
        let is_in = |addr: &&SocketAddr| {
            let has = |bind: &IpAddr| is_same(SocketAddr::new(*bind, addr.port()), **addr);
            ports.contains(&addr.port()) && relay.binds.iter().any(has)
        };
        let port = sockets.iter().find(is_in)?.port();
        let (first, last) = (ports.start(), ports.end());
        Some(format!(
            "the relay cannot have the ports {first} to {last}, as {port} is needed for games or for STUN: give \
             it others with --relay-ports"
        ))
    }
}

/// Whether the system gives only one of two sockets what they want.
fn is_same(one: SocketAddr, other: SocketAddr) -> bool {
    let has = |all: IpAddr, ip: IpAddr| all.is_unspecified() && (all.is_ipv6() || ip.is_ipv4());
    let (a, b) = (one.ip(), other.ip());
    one.port() == other.port() && one.port() != 0 && (a == b || has(a, b) || has(b, a))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::introductions::PublicIps;
    use clap::Parser as _;

    #[test]
    fn what_two_want_is_told() {
        let at = |text: &str| text.parse::<SocketAddr>().unwrap();
        let clash = |main: &str, http: &str| {
            let options = Options::try_parse_from(["punchd", "--http", http]).unwrap();
            options.window_clash(&[at(main)]).is_some()
        };
        assert!(clash("[::]:7000", "127.0.0.1:7000"));
        assert!(clash("0.0.0.0:7000", "127.0.0.1:7000"));
        assert!(clash("127.0.0.1:7000", "127.0.0.1:7000"));
        assert!(clash("[::]:7000", "[::1]:7000"));
        assert!(!clash("0.0.0.0:7000", "[::1]:7000"));
        assert!(!clash("203.0.113.7:7000", "127.0.0.1:7000"));
        assert!(!clash("[::]:7001", "127.0.0.1:7000"));
        assert!(!clash("[::]:7000", "off"));
        let clash = |main: &str, ip: &str, ports: &str| {
            let line = ["punchd", "--relay", ip, "--relay-ports", ports];
            let options = Options::try_parse_from(line).unwrap();
            let place = options.relay.place(&[], PublicIps::default(), [].into_iter()).unwrap();
            Options::relay_clash(&[at(main)], &place.unwrap()).is_some()
        };
        assert!(clash("[::]:7000", "203.0.113.8", "6990-7000"));
        assert!(clash("[::]:7000", "203.0.113.8", "7000-7001"));
        assert!(!clash("[::]:7000", "203.0.113.8", "7001-7002"));
        assert!(!clash("203.0.113.7:7000", "203.0.113.8", "6990-7010"));
    }
}
