//! Two who were told of each other, and what they play.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use serde::{Deserialize, Serialize};
use smallvec::SmallVec;

use crate::dialect::Name;
use crate::introductions::leads_nowhere;
use crate::truncation;

/// A client and a host that were told of each other.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attempt {
    /// The dialect that they speak.
    pub dialect: Name,
    /// Where the client is.
    pub client: SocketAddr,
    /// Where the host is.
    pub host: SocketAddr,
    /// What is played, and where.
    pub names: Names,
    /// What each was told of the other.
    pub told: EndpointsTold,
    /// From where they are connected.
    #[serde(default, skip_serializing_if = "crate::state::is_default")]
    pub connected: Connected,
    /// Whether the client, or who tells how it ended, has proven its address: anybody can send
    /// datagrams in the name of another.
    pub is_proven: bool,
}

impl Attempt {
    /// Client and host, each of whom was told where the other is seen, with nothing between, and has proven itself.
    #[must_use]
    pub fn new(dialect: Name, [client, host]: [SocketAddr; 2], names: Names) -> Self {
        let (told, connected) = (EndpointsTold::default(), Connected::default());
        Self { dialect, client, host, names, told, connected, is_proven: true }
    }

    /// Who of the two was told an address where he reaches nobody, and which.
    pub(super) fn misled(&self) -> Option<(&'static str, IpAddr)> {
        let [to_client, to_host] = self.told().map(|at| at.ip());
        let client =
            (leads_nowhere(self.client.ip(), to_client)).then_some(("the client", to_client));
        client.or_else(|| leads_nowhere(self.host.ip(), to_host).then_some(("the host", to_host)))
    }

    /// The addresses that client and host have for certain: those of their connections, if they have any.
    pub(super) fn sources(&self) -> [IpAddr; 2] {
        let [client, host] = self.connected.elsewhere();
        [client.unwrap_or(self.client.ip()), host.unwrap_or(self.host.ip())]
    }

    /// Where the client was told that the host is, and where the host was told that the client is; what they
    /// were told last, without ports that a NAT may give next.
    #[must_use]
    pub fn told(&self) -> [SocketAddr; 2] {
        self.told.0.as_deref().copied().unwrap_or([self.host, self.client])
    }
}

/// Where client and host were told that the other is. That is mostly where it is seen to be, and takes no memory
/// then.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct EndpointsTold(Option<Box<[SocketAddr; 2]>>);

impl EndpointsTold {
    /// Client and host are there, and were told this.
    #[must_use]
    pub fn new([client, host]: [SocketAddr; 2], told: [SocketAddr; 2]) -> Self {
        Self((told != [host, client]).then(|| Box::new(told)))
    }
}

/// From where client and host are connected. That is mostly where their game sockets are, and takes no memory then.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Connected(Option<Box<[Option<IpAddr>; 2]>>);

impl Connected {
    /// The addresses of the connections of those whose game socket is seen at another one.
    #[must_use]
    pub fn new(elsewhere: [Option<IpAddr>; 2]) -> Self {
        Self((elsewhere != [None; 2]).then(|| Box::new(elsewhere)))
    }

    /// The address of the client's connection and that of the host's; none where it is that of the game socket,
    /// or where there is no connection.
    #[must_use]
    pub fn elsewhere(&self) -> [Option<IpAddr>; 2] {
        self.0.as_deref().copied().unwrap_or_default()
    }
}

/// What peers call their game and their room, made short and kept in one piece.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "(String, String)", into = "(String, String)")]
pub struct Names {
    /// UTF-8. Nearly all games have a name that fits, and no memory has to be found for it.
    text: SmallVec<[u8; 32]>,
    /// Where the name of the room begins.
    room: u16,
}

impl Names {
    /// Both may be empty.
    #[must_use]
    pub fn new(game: &str, room: &str) -> Self {
        let mut text = SmallVec::new();
        Self::push(game, &mut text);
        let begins = u16::try_from(text.len()).unwrap_or(u16::MAX);
        Self::push(room, &mut text);
        Self { text, room: begins }
    }

    /// The game; may be empty.
    #[must_use]
    pub fn game(&self) -> &str {
        let name = self.text.get(..usize::from(self.room)).unwrap_or_default();
        std::str::from_utf8(name).unwrap_or_default()
    }

    /// The room, or who hosts it if it has no name; empty in GMnet, which has no rooms.
    #[must_use]
    pub fn room(&self) -> &str {
        let name = self.text.get(usize::from(self.room)..).unwrap_or_default();
        std::str::from_utf8(name).unwrap_or_default()
    }

    /// The same in as little memory as there is.
    #[must_use]
    pub fn packed(&self) -> (Box<[u8]>, u16) {
        (self.text[..].into(), self.room)
    }

    /// What was packed.
    #[must_use]
    pub fn unpacked((text, room): (&[u8], u16)) -> Self {
        Self { text: text.into(), room }
    }

    /// Some programs that show a log begin a new line at U+2028 and U+2029, too.
    fn breaks_lines(letter: char) -> bool {
        letter.is_control() || ['\u{2028}', '\u{2029}'].contains(&letter)
    }

    fn is_short(name: &str) -> bool {
        let is_plain = || name.bytes().all(|b| matches!(b, b' '..=b'~'));
        name.len() <= truncation::COLUMNS && is_plain()
    }

    fn push(name: &str, text: &mut SmallVec<[u8; 32]>) {
        if name.is_empty() {
            return;
        }
        if Self::is_short(name) {
            return text.extend_from_slice(name.as_bytes());
        }
        // What another process has cut is not cut once more.
        let is_whole = |begin: &&str| truncation::cut(begin, truncation::COLUMNS).is_none();
        if let Some(begin) = name.strip_suffix(truncation::ELLIPSIS).filter(is_whole) {
            Self::push(begin, text);
            return text.extend_from_slice(truncation::ELLIPSIS.as_bytes());
        }
        let mut left = truncation::COLUMNS;
        for letter in name.chars() {
            let letter = if Self::breaks_lines(letter) { ' ' } else { letter };
            let Some(rest) = left.checked_sub(truncation::width(letter)) else {
                return text.extend_from_slice(truncation::ELLIPSIS.as_bytes());
            };
            left = rest;
            text.extend_from_slice(letter.encode_utf8(&mut [0; 4]).as_bytes());
        }
    }
}

impl From<(String, String)> for Names {
    fn from((game, room): (String, String)) -> Self {
        Self::new(&game, &room)
    }
}

impl From<Names> for (String, String) {
    fn from(names: Names) -> Self {
        (names.game().into(), names.room().into())
    }
}

/// For the log: the room, else the game, in brackets; nothing if there is neither.
impl fmt::Display for Names {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.game(), self.room()) {
            ("", "") => Ok(()),
            (game, "") => write!(f, " ({game})"),
            (_, room) => write!(f, " ({room:?})"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_short_and_on_one_line() {
        let names = |game, room| {
            let names = Names::new(game, room);
            (names.game().to_owned(), names.room().to_owned(), names.to_string())
        };
        let of = |game: &str, room: &str, told: &str| (game.into(), room.into(), told.into());
        assert_eq!(names("", ""), of("", "", ""));
        assert_eq!(names("Pong", ""), of("Pong", "", " (Pong)"));
        assert_eq!(names("Pong", "Me \"too\""), of("Pong", "Me \"too\"", " (\"Me \\\"too\\\"\")"));
        assert_eq!(names("", "é"), of("", "é", " (\"é\")"));
        let long = "é".repeat(61);
        let short = format!("{}...", "é".repeat(60));
        assert_eq!(names(&long, &long), of(&short, &short, &format!(" ({short:?})")));
        assert_eq!(names("a\u{2028}b\n", ""), of("a b ", "", " (a b )"));
        // A letter that the log writes as an escape takes as many columns as that has.
        let marked = ["e\u{301}", "\u{301}"].map(|letter| letter.repeat(60));
        let (game, _, told) = names(&marked[0], "");
        assert!(game.chars().count() < 20 && told.len() < 100, "{game}");
        let (.., told) = names("", &marked[1]);
        assert!(told.len() < 80, "{told}");
    }
}
