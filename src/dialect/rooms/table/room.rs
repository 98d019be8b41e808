//! A room, and what its host has said of it.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::Peer;
use super::listed::Rank;
use crate::clock::Instant;
use crate::dialect::rooms::field::Id;
use crate::dialect::rooms::options::Options;
use crate::limits;
use crate::lobby::access::Access;
use crate::lobby::code::Code;
use crate::lobby::data::Data;
use crate::lobby::extras::Extra;

/// Who was kicked.
pub(in crate::dialect::rooms) type Ban = crate::lobby::access::Ban<Id>;

/// Players of a room whose host has not said how many, and whose clients have to make place for each
/// other (see `shares`).
const SHARED_SIZE: usize = 1 + limits::CLIENTS_PER_ROOM;

/// What somebody says of the room that he opens.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::dialect::rooms) struct Opening {
    pub(in crate::dialect::rooms) name: String,
    pub(in crate::dialect::rooms) game: Box<str>,
    /// Without the own data.
    pub(in crate::dialect::rooms) options: Options,
    pub(in crate::dialect::rooms) data: Data,
}

/// How a room looks in lists, but for its name and data.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::dialect::rooms) struct Looks {
    #[serde(rename = "l")]
    pub(in crate::dialect::rooms) is_locked: bool,
    #[serde(rename = "w")]
    pub(in crate::dialect::rooms) has_password: bool,
    #[serde(rename = "f")]
    pub(in crate::dialect::rooms) is_full: bool,
    /// See [`Room::has_own_size`].
    #[serde(rename = "o")]
    pub(in crate::dialect::rooms) has_own_size: bool,
    #[serde(rename = "p")]
    pub(in crate::dialect::rooms) players: u16,
    #[serde(rename = "s")]
    pub(in crate::dialect::rooms) size: u16,
}

impl Looks {
    /// Whether somebody new may come in.
    pub(in crate::dialect::rooms) const fn is_free(self) -> bool {
        !self.is_full && !self.is_locked
    }
}

/// A room.
#[derive(Debug, Serialize, Deserialize)]
pub(in crate::dialect::rooms) struct Room {
    pub(in crate::dialect::rooms) id: Id,
    pub(in crate::dialect::rooms) name: String,
    /// Only those find it who name the same game.
    pub(in crate::dialect::rooms) game: Box<str>,
    pub(in crate::dialect::rooms) host: Id,
    /// In the order in which they came.
    pub(in crate::dialect::rooms) clients: Vec<Id>,
    /// How many of these have shown that they are there; the others may be forged.
    pub(super) true_clients: usize,
    #[serde(rename = "door")]
    pub(in crate::dialect::rooms) access: Access<Id>,
    pub(in crate::dialect::rooms) data: Data,
    pub(super) extra: Extra,
    /// No list has it; who knows this, or its ID, finds it.
    pub(in crate::dialect::rooms) code: Option<Code>,
    /// Somebody else becomes host when the host leaves.
    pub(in crate::dialect::rooms) migrates: bool,
    /// All its members are introduced to each other.
    pub(in crate::dialect::rooms) is_mesh: bool,
    /// When it was given another name.
    pub(in crate::dialect::rooms) renamed: Option<Instant>,
    /// Its host has said that it closes it, or somebody in its name: it is kept for a while.
    pub(in crate::dialect::rooms) is_closing: bool,
    pub(super) rank: Rank,
    /// Where its host was when it came into the lists that have it.
    pub(super) listed_by: Option<IpAddr>,
}

impl Room {
    pub(super) fn new(
        id: Id,
        opening: Opening,
        code: Option<Code>,
        host: &Peer,
        number: u64,
    ) -> Self {
        let Opening { name, game, options, data } = opening;
        let size = default_size(&options);
        let mut room = Self {
            id,
            name,
            game,
            host: host.id,
            clients: Vec::new(),
            true_clients: 0,
            access: Access::new(size),
            data,
            extra: Extra::of(host.endpoint.ip()),
            code,
            migrates: options.migrates,
            is_mesh: options.is_mesh,
            renamed: None,
            is_closing: false,
            rank: Rank::new(number),
            listed_by: None,
        };
        room.change(&options);
        room
    }

    /// Does what its host says, but for the own data. What cannot be is left as it is.
    pub(in crate::dialect::rooms) fn change(&mut self, options: &Options) {
        if let Some(most) = options.max {
            self.access.set_size(most);
        }
        if let Some(password) = &options.password {
            self.access.set_password(password);
        }
        if let Some(is_locked) = options.is_locked {
            self.access.is_locked = is_locked;
        }
    }

    /// Whether all that these options say of a room is so, but for the game.
    pub(in crate::dialect::rooms) fn is_as(&self, options: &Options) -> bool {
        let has_word = |word: &String| {
            self.access.accepts_password(Some(word))
                && self.access.has_password() != word.is_empty()
        };
        options.max.is_none_or(|most| most == self.access.size())
            && options.password.as_ref().is_none_or(has_word)
            && options.is_private.is_none_or(|is_private| is_private == self.code.is_some())
            && options.is_locked.is_none_or(|is_locked| is_locked == self.access.is_locked)
            && (self.migrates || !options.migrates)
            && (self.is_mesh || !options.is_mesh)
            && options.data.iter().all(|(key, value)| self.data.get(key).unwrap_or("") == value)
    }

    /// Whether one that is opened with these options is like it, but for name and game: what they do not say is not
    /// so.
    pub(in crate::dialect::rooms) fn is_opened_by(&self, options: &Options) -> bool {
        let all = Options {
            max: options.max.or(Some(default_size(options))),
            password: Some(options.password.clone().unwrap_or_default()),
            is_private: Some(options.is_private == Some(true)),
            is_locked: Some(options.is_locked == Some(true)),
            ..options.clone()
        };
        let mut data = Data::default();
        self.is_as(&all)
            && (self.migrates, self.is_mesh) == (options.migrates, options.is_mesh)
            && set_all(&mut data, options)
            && data == self.data
    }

    /// How many are in it, the host among them, apart from those who may be forged.
    pub(in crate::dialect::rooms) const fn players(&self) -> usize {
        1 + self.true_clients
    }

    /// How many lists say are in it: those who may be forged as well, but they never look as if no place was
    /// left.
    pub(in crate::dialect::rooms) fn shown_players(&self) -> usize {
        let all = 1 + self.clients.len();
        if self.is_full() { self.players() } else { all.min(self.access.size().saturating_sub(1)) }
    }

    /// Whether its host has said how many may be in it, or that is bounded otherwise: then none of those
    /// who have shown a key makes place for another.
    pub(in crate::dialect::rooms) const fn has_own_size(&self) -> bool {
        self.access.size() < SHARED_SIZE
    }

    /// Whether it has no place left for anybody.
    pub(in crate::dialect::rooms) const fn is_full(&self) -> bool {
        self.players() >= self.access.size()
    }

    /// How many places are not taken, be it by those who may be forged. `None`: more than there are.
    pub(in crate::dialect::rooms) const fn places(&self) -> Option<usize> {
        self.access.size().checked_sub(1 + self.clients.len())
    }

    /// How lists have it.
    pub(in crate::dialect::rooms) fn looks(&self) -> Looks {
        let number = |count: usize| u16::try_from(count).unwrap_or(u16::MAX);
        Looks {
            is_locked: self.access.is_locked,
            has_password: self.access.has_password(),
            is_full: self.is_full(),
            has_own_size: self.has_own_size(),
            players: number(self.shown_players()),
            size: number(self.access.size()),
        }
    }

    /// Whether lists have it.
    pub(super) const fn is_listed(&self) -> bool {
        self.code.is_none() && !self.is_closing
    }
}

/// How many may be in a room of which nobody has said it.
const fn default_size(options: &Options) -> usize {
    if options.is_mesh { limits::MESH_PLAYERS } else { SHARED_SIZE }
}

/// Whether a room may have this data beside what it has: not too many pairs.
pub(in crate::dialect::rooms) fn set_all(data: &mut Data, options: &Options) -> bool {
    options.data.iter().all(|(key, value)| data.set(key, value).is_ok())
}
