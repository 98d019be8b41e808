//! Whether something in front of this server replaces the addresses of players, as the networks of
//! containers may: nobody can be told where the others are then.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

/// Connections after which a majority is worth a word: fewer may be one player who tries something.
const SAMPLE: u32 = 20;

/// A majority vote over the private addresses that connections come from.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Gateway {
    seen: u32,
    /// The address that may have the majority, and its votes beyond those of all others.
    leading: Option<IpAddr>,
    votes: u32,
    is_told: bool,
}

impl Gateway {
    /// Goes on with what another process has seen.
    pub(super) fn restore(&mut self, saved: Self) {
        *self = saved;
    }

    /// Somebody has connected. Returns what to tell the owner if most connections come from one private address,
    /// once.
    pub(super) fn note(&mut self, addr: IpAddr) -> Option<String> {
        self.seen = self.seen.saturating_add(1);
        match self.leading {
            Some(leading) if leading == addr => self.votes = self.votes.saturating_add(1),
            _ if self.votes == 0 => (self.leading, self.votes) = (Some(addr), 1),
            _ => self.votes -= 1,
        }
        if self.is_told {
            return None;
        }
        let warning = self.warning();
        self.is_told = warning.is_some();
        warning
    }

    /// What seems to be wrong, if most connections come from one private address.
    pub(super) fn warning(&self) -> Option<String> {
        let leading = self.leading.filter(is_private)?;
        // That many more than all others is a majority, whatever came before it led.
        let is_most = self.seen >= SAMPLE && self.votes > self.seen / 2;
        is_most.then(|| {
            format!(
                "most players come from {leading}, as if something replaced their addresses: nobody can be \
                 told where they are. In a container, use the host's network (--network host)"
            )
        })
    }
}

fn is_private(addr: &IpAddr) -> bool {
    match addr {
        IpAddr::V4(addr) => addr.is_private(),
        IpAddr::V6(addr) => addr.is_unique_local(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(addrs: impl IntoIterator<Item = [u8; 4]>) -> Vec<String> {
        let mut gateway = Gateway::default();
        let told: Vec<_> = addrs.into_iter().filter_map(|addr| gateway.note(addr.into())).collect();
        assert_eq!(gateway.warning().as_ref(), told.first(), "the window shows it while it is so");
        told
    }

    #[test]
    fn a_private_address_with_most_connections_is_told_once() {
        let bridge = [172, 17, 0, 1];
        let is_named =
            |told: &[String]| told.len() == 1 && told[0].contains("come from 172.17.0.1,");
        assert!(is_named(&told([bridge; 100])));
        let few = (0..100).map(|n| if n % 5 == 0 { [203, 0, 113, n] } else { bridge });
        assert!(is_named(&told(few)));
    }

    #[test]
    fn players_with_addresses_of_their_own_are_none_of_its_business() {
        assert!(told([[203, 0, 113, 1]; 100]).is_empty(), "a carrier's");
        assert!(told([[127, 0, 0, 1]; 100]).is_empty(), "tests on one machine");
        assert!(told((0..100).map(|n| [192, 168, 1, n])).is_empty(), "a LAN");
        assert!(told([[172, 17, 0, 1]; 19]).is_empty(), "one who tries something");
    }
}
