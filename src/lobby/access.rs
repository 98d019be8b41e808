//! Access to a room: who may come in.

use std::cmp::Reverse;
use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};

use serde::{Deserialize, Serialize};

use crate::limits;
use crate::prefixes::{Shares, network};

/// Whom a room keeps out after a kick, and by what he is known again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Ban<I> {
    /// The one at this endpoint.
    Endpoint(SocketAddr),
    /// Everybody at an address; made by [`Ban::everybody_at`].
    Network(IpAddr),
    /// The one who has shown that this ID is his; which address he had then.
    Id(I, IpAddr),
    /// One player, known by his ID and his endpoint.
    Player {
        /// The ID.
        id: I,
        /// The endpoint.
        at: SocketAddr,
        /// Whether nobody of his address may come either, as he may have another port by then.
        with_neighbours: bool,
    },
}

impl<I> Ban<I> {
    /// Everybody at this address; of IPv6 in its /64.
    #[must_use]
    pub fn everybody_at(addr: IpAddr) -> Self {
        Self::Network(network(addr))
    }

    /// The address that is meant.
    const fn ip(&self) -> IpAddr {
        match self {
            Self::Endpoint(at) | Self::Player { at, .. } => at.ip(),
            Self::Network(ip) | Self::Id(_, ip) => *ip,
        }
    }
}

/// Who may come into a room whose members have IDs of this type.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Access<I> {
    /// The most players, the host among them.
    size: usize,
    /// Nobody new comes in.
    pub is_locked: bool,
    password: Option<Box<str>>,
    /// The oldest first.
    barred: VecDeque<Ban<I>>,
}

impl<I: PartialEq> Access<I> {
    /// Open to everybody, as far as there are places for so many players.
    #[must_use]
    pub const fn new(size: usize) -> Self {
        Self { size, is_locked: false, password: None, barred: VecDeque::new() }
    }

    /// The most players, the host among them.
    #[must_use]
    pub const fn size(&self) -> usize {
        self.size
    }

    /// Sets the most players, the host among them: 1 to [`limits::ROOM_PLAYERS`]. Who is in stays in.
    /// False: there are no rooms of that size.
    pub fn set_size(&mut self, size: usize) -> bool {
        let may_be = (1..=limits::ROOM_PLAYERS).contains(&size);
        if may_be {
            self.size = size;
        }
        may_be
    }

    /// Whether a room with so many players, the host among them, has no place left.
    #[must_use]
    pub const fn is_full(&self, players: usize) -> bool {
        players >= self.size
    }

    /// Sets the word that all who come in have to know; an empty one is none. False: it is longer than
    /// [`limits::ROOM_PASSWORD`].
    pub fn set_password(&mut self, password: &str) -> bool {
        let may_be = password.len() <= limits::ROOM_PASSWORD;
        if may_be {
            self.password = Some(password).filter(|word| !word.is_empty()).map(Into::into);
        }
        may_be
    }

    /// The word that all who come in have to know.
    #[must_use]
    pub fn password(&self) -> Option<&str> {
        self.password.as_deref()
    }

    /// Whether there is a password.
    #[must_use]
    pub const fn has_password(&self) -> bool {
        self.password.is_some()
    }

    /// Whether the password is this one, or there is none. The time that it takes tells its length at
    /// most. Who asks for others counts [guesses](super::guesses).
    #[must_use]
    pub fn accepts_password(&self, word: Option<&str>) -> bool {
        let Some(password) = self.password.as_deref() else { return true };
        let word = word.unwrap_or_default();
        let pairs = password.bytes().zip(word.bytes());
        password.len() == word.len() && pairs.fold(0, |sum, (a, b)| sum | (a ^ b)) == 0
    }

    /// Keeps somebody out. If there are as many already as there may be at `most`, one who belongs to the
    /// address that has most is forgotten: nobody is let in again by somebody else who is kicked often.
    pub fn ban(&mut self, ban: Ban<I>, most: usize) {
        if self.has_ban(&ban) {
            return;
        }
        if self.barred.len() >= most {
            self.barred.remove(oldest_of_most(&self.barred));
        }
        self.barred.push_back(ban);
    }

    /// How many are kept out.
    #[must_use]
    pub fn kicked(&self) -> usize {
        self.barred.len()
    }

    /// Whether just this is kept out.
    #[must_use]
    pub fn has_ban(&self, ban: &Ban<I>) -> bool {
        self.barred.contains(ban)
    }

    /// Whether somebody at this endpoint is kept out, or because of the ID that he has shown to be his.
    #[must_use]
    pub fn keeps_out(&self, at: SocketAddr, id: Option<&I>) -> bool {
        let near = network(at.ip());
        self.barred.iter().any(|ban| match ban {
            Ban::Endpoint(other) => *other == at,
            Ban::Network(ip) => *ip == near,
            Ban::Id(other, _) => Some(other) == id,
            Ban::Player { id: other, at: there, with_neighbours } => {
                *there == at || Some(other) == id || *with_neighbours && network(there.ip()) == near
            }
        })
    }

    /// Whether a member that has come to this endpoint is kept out there. That a neighbour was kicked is no reason.
    #[must_use]
    pub fn keeps_out_member(&self, at: SocketAddr, id: &I) -> bool {
        let near = network(at.ip());
        let is_kept_out = |ip: &IpAddr| *ip == near;
        self.has_kicked(at, Some(id))
            || self.barred.iter().any(|ban| matches!(ban, Ban::Network(ip) if is_kept_out(ip)))
    }

    /// Whether it is just this one who was kicked, and not only somebody else of his address.
    #[must_use]
    pub fn has_kicked(&self, at: SocketAddr, id: Option<&I>) -> bool {
        self.barred.iter().any(|ban| match ban {
            Ban::Endpoint(other) => *other == at,
            Ban::Network(_) => false,
            Ban::Id(other, _) => Some(other) == id,
            Ban::Player { id: other, at: there, .. } => *there == at || Some(other) == id,
        })
    }

    /// Lets everybody at this address in again, whatever he was known by.
    pub fn let_in(&mut self, addr: IpAddr) {
        self.barred.retain(|ban| network(ban.ip()) != network(addr));
        // What is counted is what there is.
        self.barred.shrink_to_fit();
    }

    /// Lets the one with this ID in again, and everybody at the address that he had.
    pub fn let_in_id(&mut self, id: &I) {
        let is_his = |ban: &&Ban<I>| match ban {
            Ban::Id(other, _) | Ban::Player { id: other, .. } => other == id,
            _ => false,
        };
        if let Some(addr) = self.barred.iter().find(is_his).map(Ban::ip) {
            self.let_in(addr);
        }
    }
}

fn oldest_of_most<I>(barred: &VecDeque<Ban<I>>) -> usize {
    let mut shares = Shares::<()>::default();
    barred.iter().for_each(|ban| _ = shares.add(ban.ip(), 1));
    let all = barred.iter().enumerate();
    all.max_by_key(|(n, ban)| (shares.of(ban.ip()), Reverse(*n))).map_or(0, |(n, _)| n)
}

#[cfg(test)]
mod tests {
    use super::*;

    type Kind = Ban<&'static str>;

    fn access() -> Access<&'static str> {
        Access::new(limits::ROOM_PLAYERS)
    }

    fn ban(access: &mut Access<&'static str>, ban: Kind) {
        access.ban(ban, limits::KICKED_PER_ROOM);
    }

    fn at(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    #[test]
    fn a_room_has_as_many_places_as_its_host_says() {
        let mut access = access();
        assert!(!access.is_full(63) && access.is_full(64));
        assert!(access.set_size(1) && access.is_full(1));
        assert!(access.set_size(8) && !access.is_full(7) && access.is_full(8));
        assert!(!access.set_size(0) && !access.set_size(65));
        assert_eq!(access.size(), 8);
    }

    #[test]
    fn a_password_opens_and_nothing_else() {
        let mut access = access();
        assert!(
            !access.has_password()
                && access.accepts_password(None)
                && access.accepts_password(Some("any"))
        );
        assert!(access.set_password("sesame") && access.has_password());
        assert!(access.accepts_password(Some("sesame")));
        for wrong in [None, Some(""), Some("sesam"), Some("sesame "), Some("Sesame")] {
            assert!(!access.accepts_password(wrong), "{wrong:?}");
        }
        assert!(!access.set_password(&"x".repeat(limits::ROOM_PASSWORD + 1)));
        assert!(access.accepts_password(Some("sesame")), "one that is too long changes nothing");
        assert!(access.set_password("") && access.accepts_password(None));
    }

    #[test]
    fn who_is_barred_is_known_by_endpoint_address_or_id() {
        let mut access = access();
        ban(&mut access, Ban::Endpoint(at("192.0.2.1:5")));
        assert!(
            access.keeps_out(at("192.0.2.1:5"), None) && !access.keeps_out(at("192.0.2.1:6"), None)
        );
        ban(&mut access, Kind::everybody_at(at("192.0.2.2:5").ip()));
        assert!(access.keeps_out(at("192.0.2.2:6"), None));
        ban(&mut access, Kind::everybody_at(at("[2001:db8::1]:5").ip()));
        assert!(access.keeps_out(at("[2001:db8::ffff:2]:6"), None), "one /64 is one source");
        assert!(!access.keeps_out(at("[2001:db8:0:1::1]:5"), None));
        ban(&mut access, Ban::Id("eve", at("192.0.2.3:5").ip()));
        assert!(access.keeps_out(at("198.51.100.1:5"), Some(&"eve")));
        assert!(
            !access.keeps_out(at("192.0.2.3:5"), Some(&"bob")),
            "the address alone is not barred"
        );
    }

    #[test]
    fn a_player_is_barred_with_his_neighbours_or_without() {
        for with_neighbours in [false, true] {
            let mut access = access();
            ban(&mut access, Ban::Player { id: "eve", at: at("192.0.2.1:5"), with_neighbours });
            assert!(access.keeps_out(at("192.0.2.1:5"), None));
            assert!(access.keeps_out(at("198.51.100.1:5"), Some(&"eve")));
            assert_eq!(access.keeps_out(at("192.0.2.1:6"), Some(&"bob")), with_neighbours);
            access.let_in_id(&"eve");
            assert!(!access.keeps_out(at("192.0.2.1:5"), Some(&"eve")));
        }
    }

    #[test]
    fn who_is_let_in_is_barred_by_nothing_any_more() {
        let mut access = access();
        let bar_all = |access: &mut Access<&'static str>| {
            ban(access, Ban::Endpoint(at("192.0.2.1:5")));
            ban(access, Kind::everybody_at(at("192.0.2.1:5").ip()));
            ban(access, Ban::Id("eve", at("192.0.2.1:5").ip()));
        };
        bar_all(&mut access);
        ban(&mut access, Ban::Endpoint(at("192.0.2.9:5")));
        access.let_in(at("192.0.2.1:7").ip());
        assert!(!access.keeps_out(at("192.0.2.1:5"), Some(&"eve")));
        assert!(access.keeps_out(at("192.0.2.9:5"), None), "another one");
        bar_all(&mut access);
        access.let_in_id(&"bob");
        assert!(access.keeps_out(at("192.0.2.1:5"), None));
        access.let_in_id(&"eve");
        assert!(!access.keeps_out(at("192.0.2.1:5"), Some(&"eve")));
    }

    #[test]
    fn who_is_kicked_often_lets_nobody_else_in() {
        let mut access = access();
        ban(&mut access, Ban::Endpoint(at("192.0.2.1:5")));
        for port in 0..1000 {
            ban(&mut access, Ban::Endpoint(SocketAddr::new(at("203.0.113.1:1").ip(), port)));
        }
        assert!(access.keeps_out(at("192.0.2.1:5"), None));
        assert!(access.keeps_out(at("203.0.113.1:999"), None), "the latest");
        assert_eq!(access.barred.len(), limits::KICKED_PER_ROOM);
    }
}
