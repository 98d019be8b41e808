//! Whether something in front of this server replaces the addresses of players, as the networks of
//! containers may: nobody can be told where the others are then.

use std::net::IpAddr;

/// Connections after which a majority is worth a word: fewer may be one player who tries something.
const SAMPLE: u32 = 20;

/// A majority vote over the private addresses that connections come from.
#[derive(Debug, Default)]
pub(super) struct Gateway {
    seen: u32,
    /// The address that may have the majority, and its votes beyond those of all others.
    leading: Option<IpAddr>,
    votes: u32,
    is_told: bool,
}

impl Gateway {
    /// Somebody has connected. Returns the address that most connections come from, if that is a private
    /// one, once.
    pub(super) fn note(&mut self, addr: IpAddr) -> Option<IpAddr> {
        if self.is_told {
            return None;
        }
        self.seen = self.seen.saturating_add(1);
        match self.leading {
            Some(leading) if leading == addr => self.votes += 1,
            _ if self.votes == 0 => (self.leading, self.votes) = (Some(addr), 1),
            _ => self.votes -= 1,
        }
        let leading = self.leading.filter(is_private)?;
        // That many more than all others is a majority, whatever came before it led.
        let is_most = self.seen >= SAMPLE && self.votes > self.seen / 2;
        self.is_told = is_most;
        is_most.then_some(leading)
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

    fn told(addrs: impl IntoIterator<Item = [u8; 4]>) -> Vec<IpAddr> {
        let mut gateway = Gateway::default();
        addrs.into_iter().filter_map(|addr| gateway.note(addr.into())).collect()
    }

    #[test]
    fn a_private_address_with_most_connections_is_told_once() {
        let bridge = [172, 17, 0, 1];
        assert_eq!(told([bridge; 100]), [IpAddr::from(bridge)]);
        let few = (0..100).map(|n| if n % 5 == 0 { [203, 0, 113, n] } else { bridge });
        assert_eq!(told(few), [IpAddr::from(bridge)]);
    }

    #[test]
    fn players_with_addresses_of_their_own_are_none_of_its_business() {
        assert!(told([[203, 0, 113, 1]; 100]).is_empty(), "a carrier's");
        assert!(told([[127, 0, 0, 1]; 100]).is_empty(), "tests on one machine");
        assert!(told((0..100).map(|n| [192, 168, 1, n])).is_empty(), "a LAN");
        assert!(told([[172, 17, 0, 1]; 19]).is_empty(), "one who tries something");
    }
}
