//! What a request may say behind its first fields: `name=value`, or a word that stands alone.

use std::io::Write as _;
use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use super::field;
use crate::dialect::addr::push_port;
use crate::introductions::plan::Wish;
use crate::limits;
use crate::lobby::data;
use crate::lobby::names::clean;
use crate::unproven::is_local;

/// The longest name of a room or a game, in bytes of UTF-8.
pub const LONGEST_NAME: usize = 64;

/// What stands before the key of own data.
const DATA: &str = "d.";

/// What a request says of a game, a room, or its sender.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Options {
    /// `always` or `never`: what a client wants of the relay.
    pub wish: Wish,
    /// `game=G`: nothing is seen of other games.
    pub game: String,
    /// `max=N`: the most players, the host among them.
    pub max: Option<usize>,
    /// `password=P`: the one of a room, or the one that who joins knows.
    pub password: Option<String>,
    /// `private` or `public`: whether lists have the room.
    pub is_private: Option<bool>,
    /// `locked` or `unlocked`: whether somebody new may come in.
    pub is_locked: Option<bool>,
    /// `migrate`: the room outlives its host.
    pub migrates: bool,
    /// `mesh`: all in it are introduced to each other.
    pub is_mesh: bool,
    /// `free`: no rooms that are full or locked.
    pub is_free: bool,
    /// `more`: all that there is to say of each room.
    pub more: bool,
    /// `cookie=C`: shows that the sender gets what is sent to it; `cookie` or a wrong one: wants one.
    pub cookie: Option<String>,
    /// `lan=IP%3APORT`: where the sender is in its own network.
    pub lan: Vec<SocketAddr>,
    /// `d.KEY=VALUE`: own data of a room, or what is looked for.
    pub data: Vec<(String, String)>,
}

/// Which options a request may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Allowed {
    /// Those of who opens a room.
    Opening,
    /// Those of who changes it.
    Changes,
    /// Those of who looks for rooms.
    Search,
    /// Those of who joins one.
    Entrance,
    /// Those of who joins any.
    AnyEntrance,
    /// Those of who comes back.
    Place,
}

impl Allowed {
    /// Whether an option may be there.
    fn has(self, name: &str) -> bool {
        use Allowed::{AnyEntrance, Changes, Entrance, Opening, Place, Search};
        match name {
            "game" => matches!(self, Opening | Search | Entrance | AnyEntrance),
            "max" | "private" | "locked" => matches!(self, Opening | Changes),
            "public" | "unlocked" => self == Changes,
            "password" => matches!(self, Opening | Changes | Entrance),
            "migrate" | "mesh" => self == Opening,
            "always" | "never" => matches!(self, Entrance | AnyEntrance),
            "free" | "more" | "cookie" => self == Search,
            "lan" => matches!(self, Opening | Entrance | AnyEntrance | Place),
            DATA => !matches!(self, Entrance | Place),
            _ => false,
        }
    }
}

impl Options {
    /// Reads one field each. `None` if one of them is none that may be there.
    pub fn read<'a>(fields: impl Iterator<Item = &'a [u8]>, allowed: Allowed) -> Option<Self> {
        let mut options = Self::default();
        let mut said = Vec::new();
        for field in fields {
            let kind = options.add(std::str::from_utf8(field).ok()?, allowed)?;
            // One of a kind, but for those of which there may be several.
            if !matches!(kind, "lan" | DATA) && said.contains(&kind) {
                return None;
            }
            said.push(kind);
        }
        Some(options)
    }

    /// Adds what a field says, and tells of what kind it is.
    fn add<'a>(&mut self, field: &'a str, allowed: Allowed) -> Option<&'a str> {
        let (name, value) = match field.split_once('=') {
            Some((name, value)) => (name, Some(field::decode(value.as_bytes())?)),
            None => (field, None),
        };
        let kind = if name.starts_with(DATA) { DATA } else { name };
        if !allowed.has(kind) {
            return None;
        }
        match (name, value) {
            ("game", Some(game)) if game.len() <= LONGEST_NAME => {
                self.game = clean(&game).into_owned();
            }
            ("max", Some(most)) => {
                let most = most.parse().ok()?;
                self.max = Some(most).filter(|most| (1..=limits::ROOM_PLAYERS).contains(most));
                self.max?;
            }
            ("password", Some(word)) if word.len() <= limits::ROOM_PASSWORD => {
                self.password = Some(word);
            }
            ("lan", Some(at)) => self.add_lan(at.parse().ok()?),
            ("private" | "public", None) => self.is_private = Some(name == "private"),
            ("locked" | "unlocked", None) => self.is_locked = Some(name == "locked"),
            ("migrate", None) => self.migrates = true,
            ("mesh", None) => self.is_mesh = true,
            ("free", None) => self.is_free = true,
            ("more", None) => self.more = true,
            ("cookie", value) => self.cookie = Some(value.unwrap_or_default()),
            ("always" | "never", None) => self.wish = Wish::read(name.as_bytes())?,
            (_, Some(value)) => {
                let key = field::decode(name.strip_prefix(DATA)?.as_bytes())?;
                if !data::is_fit(&key, &value) {
                    return None;
                }
                self.data.push((key, value));
            }
            _ => return None,
        }
        Some(match kind {
            "public" => "private",
            "unlocked" => "locked",
            "never" => "always",
            other => other,
        })
    }

    /// Others knock there: nobody outside must be meant. What is too much is left out.
    fn add_lan(&mut self, at: SocketAddr) {
        let ip = at.ip().to_canonical();
        let at = SocketAddr::new(ip, at.port());
        let is_useful = is_local(ip) && at.port() != 0 && !self.lan.contains(&at);
        if is_useful && self.lan.len() < limits::ROOM_LAN_ENDPOINTS {
            self.lan.push(at);
        }
    }

    /// Whether nothing is said.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Appends them as a client sends them, a colon before each.
    pub fn write(&self, bytes: &mut Vec<u8>) {
        let mut word = |text: &str| {
            bytes.push(b':');
            bytes.extend_from_slice(text.as_bytes());
        };
        self.wish.text().into_iter().for_each(&mut word);
        let private = self.is_private.map(|is| if is { "private" } else { "public" });
        private.into_iter().for_each(&mut word);
        let locked = self.is_locked.map(|is| if is { "locked" } else { "unlocked" });
        locked.into_iter().for_each(&mut word);
        let flags = [
            (self.migrates, "migrate"),
            (self.is_mesh, "mesh"),
            (self.is_free, "free"),
            (self.more, "more"),
        ];
        flags.into_iter().filter(|(is, _)| *is).for_each(|(_, text)| word(text));
        // Writing to memory does not fail.
        if let Some(most) = self.max {
            let _ = write!(bytes, ":max={most}");
        }
        let game = Some(&self.game).filter(|game| !game.is_empty());
        for (name, text) in [("game", game), ("password", self.password.as_ref())] {
            if let Some(text) = text {
                let _ = write!(bytes, ":{name}=");
                field::encode(text, bytes);
            }
        }
        match self.cookie.as_deref() {
            Some("") => bytes.extend_from_slice(b":cookie"),
            Some(cookie) => {
                bytes.extend_from_slice(b":cookie=");
                field::encode(cookie, bytes);
            }
            None => {}
        }
        for at in &self.lan {
            bytes.extend_from_slice(b":lan=");
            field::encode(&at.to_string(), bytes);
        }
        for (key, value) in &self.data {
            let _ = write!(bytes, ":{DATA}");
            write_pair(key, value, bytes);
        }
    }
}

/// Appends `KEY=VALUE`.
pub(super) fn write_pair(key: &str, value: &str, bytes: &mut Vec<u8>) {
    field::encode(key, bytes);
    bytes.push(b'=');
    field::encode(value, bytes);
}

/// Appends endpoints, two fields each.
pub(super) fn write_endpoints(all: &[SocketAddr], bytes: &mut Vec<u8>) {
    for at in all {
        bytes.push(b':');
        field::encode_ip(at.ip(), bytes);
        bytes.push(b':');
        push_port(at.port(), bytes);
    }
}
