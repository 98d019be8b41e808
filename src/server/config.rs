//! What the owner decides, and the dialects that are made of it.

use crate::blocks::Blocks;
use crate::cluster;
use crate::dialect::Name;
use crate::dialect::events::{self, Events};
use crate::dialect::gmnet::{self, Gmnet};
use crate::dialect::natpunch::{self, Natpunch};
use crate::dialect::rooms::{self, Rooms};
use crate::dialect::stun::{self, Stun};
use crate::dialect::supervised::{Make, Supervised};
use crate::introductions::PublicIps;
use crate::introductions::relay::sessions;
use crate::limits::Limits;

/// What the owner decides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// What peers may do.
    pub limits: Limits,
    /// What is spoken.
    pub dialects: Vec<Name>,
    /// What all IDs, keys and tokens come from. Must be random and secret, except in tests.
    pub seed: [u8; 32],
    /// What the GMnet dialect has to know.
    pub gmnet: gmnet::Config,
    /// What the natpunch dialect has to know.
    pub natpunch: natpunch::Config,
    /// What the STUN dialect has to know.
    pub stun: stun::Config,
    /// UDP sockets from this number on are alternate ones: they are there for STUN alone.
    pub alternates_from: Option<u8>,
    /// What the rooms dialect has to know.
    pub rooms: rooms::Config,
    /// What the events dialect has to know.
    pub events: events::Config,
    /// Whom nothing is heard of.
    pub blocks: Blocks,
    /// The relay, if there is one.
    pub relay: Option<sessions::Config>,
    /// Whether web sites may show the lobby.
    pub public_lobby: bool,
    /// This node of a cluster, if it is one.
    pub cluster: Option<cluster::Config>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            limits: Limits::default(),
            dialects: Name::ALL.to_vec(),
            seed: [0; 32],
            gmnet: gmnet::Config::default(),
            natpunch: natpunch::Config::default(),
            stun: stun::Config::default(),
            alternates_from: None,
            rooms: rooms::Config::default(),
            events: events::Config::default(),
            blocks: Blocks::default(),
            relay: None,
            public_lobby: false,
            cluster: None,
        }
    }
}

/// Those that are spoken, by their [`Name`].
#[derive(Debug, Default)]
pub(super) struct Dialects(pub(super) [Option<Box<Supervised>>; Name::ALL.len()]);

impl Dialects {
    pub(super) fn get(&self, name: Name) -> Option<&Supervised> {
        self.0.get(name as usize)?.as_deref()
    }

    pub(super) fn get_mut(&mut self, name: Name) -> Option<&mut Supervised> {
        self.0.get_mut(name as usize)?.as_deref_mut()
    }

    pub(super) fn all(&self) -> impl Iterator<Item = &Supervised> {
        self.0.iter().flatten().map(|dialect| &**dialect)
    }

    pub(super) fn all_mut(&mut self) -> impl Iterator<Item = &mut Supervised> {
        self.0.iter_mut().flatten().map(|dialect| &mut **dialect)
    }
}

/// What makes a dialect, now and after it has failed.
pub(super) fn maker(name: Name, config: &Config) -> Make {
    match name {
        Name::Gmnet => {
            let apart = config.relay.as_ref().filter(|relay| relay.is_apart);
            let relay = apart.map_or(PublicIps::default(), |relay| relay.told);
            let config = gmnet::Config { relay, ..config.gmnet.clone() };
            Box::new(move |_| Box::new(Gmnet::new(config.clone())))
        }
        Name::Stun => {
            let config = config.stun.clone();
            Box::new(move |_| Box::new(Stun::new(config.clone())))
        }
        Name::Rooms => {
            let config = config.rooms.clone();
            Box::new(move |random| Box::new(Rooms::new(config.clone(), random)))
        }
        Name::Events => {
            let config = config.events.clone();
            Box::new(move |random| Box::new(Events::new(config.clone(), random)))
        }
        Name::Natpunch => {
            let config = config.natpunch.clone();
            Box::new(move |random| Box::new(Natpunch::new(config.clone(), random)))
        }
    }
}
