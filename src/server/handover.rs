//! What another process needs to go on from here: the state of the server without its sockets.
//!
//! Connections keep their [`ConnId`] and moments stay what they are, so the other process continues the same clock.
//! What depends on options comes from those of the process that goes on.

use std::borrow::Cow;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use log::{debug, warn};
use serde::{Deserialize, Serialize};

use super::Server;
use crate::clock::{Instant, Now};
use crate::cluster::Known;
use crate::detection::Detection;
use crate::dialect::{ConnId, Context, Dialect as _, Name, Outbox};
use crate::state::packed::{self, Fields, Row};
use crate::state::{self, NotUnderstood, Part, Parts, Saved, Saving, Written};
use crate::timers::Timers;

/// Who is connected. Without this part nobody can be taken over.
const CONNECTIONS: &str = "connections";

/// The other nodes of the cluster.
const NODES: &str = "nodes";

/// What the owner's window has counted, if there is one.
const WINDOW: &str = "window";

/// The versions of what no dialect has alone. Another version of a part is not read.
const SHARED: u16 = 1;

/// The version of what a dialect saves. Fields that are added with a default do not change it.
const fn version(name: Name) -> u16 {
    match name {
        Name::Gmnet | Name::Stun | Name::Rooms | Name::Events | Name::Natpunch => 1,
    }
}

/// What another process needs to go on: one part for each dialect and one for what is shared, each with its
/// own version.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    parts: Vec<Part>,
}

impl State {
    /// As bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        state::write(self).unwrap_or_default()
    }

    /// What [`Self::encode`] has made, in whichever version.
    ///
    /// # Errors
    ///
    /// These bytes are something else.
    pub fn decode(bytes: &[u8]) -> Result<Self, NotUnderstood> {
        state::read(bytes)
    }

    /// All parts.
    #[must_use]
    pub fn parts(&self) -> &[Part] {
        &self.parts
    }
}

impl FromIterator<Part> for State {
    fn from_iter<T: IntoIterator<Item = Part>>(parts: T) -> Self {
        Self { parts: parts.into_iter().collect() }
    }
}

impl Parts for State {
    fn part(&mut self, name: &str) -> Option<&Part> {
        self.parts.iter().find(|part| part.name == name)
    }
}

/// Who is connected.
#[derive(Serialize, Deserialize)]
struct Connections<O, I> {
    #[serde(with = "packed")]
    all: Vec<Connection>,
    /// The dialects that are spoken, which need not be known here.
    dialects: Vec<Cow<'static, str>>,
    /// Those that end, as they cannot move.
    staying: Vec<ConnId>,
    #[serde(rename = "openings")]
    detection: O,
    idle: I,
}

struct Connection {
    id: ConnId,
    peer: SocketAddr,
    /// The number of its dialect, if it speaks one yet.
    speaks: Option<u8>,
    opened: Instant,
}

impl Row<35> for Connection {
    fn pack(&self) -> [u8; 35] {
        let ip = match self.peer.ip() {
            IpAddr::V4(v4) => v4.to_ipv6_mapped(),
            IpAddr::V6(v6) => v6,
        };
        packed::row(&[
            &self.id.slot.to_be_bytes(),
            &self.id.generation.to_be_bytes(),
            &ip.octets(),
            &self.peer.port().to_be_bytes(),
            &[self.speaks.unwrap_or(NONE)],
            &self.opened.micros().to_be_bytes(),
        ])
    }

    fn unpack(row: &[u8; 35]) -> Self {
        let mut fields = Fields(row);
        let slot = u32::from_be_bytes(fields.next());
        let generation = u32::from_be_bytes(fields.next());
        let ip = Ipv6Addr::from(fields.next::<16>()).to_canonical();
        let port = u16::from_be_bytes(fields.next());
        let [speaks] = fields.next();
        let opened = Instant::from_micros(u64::from_be_bytes(fields.next()));
        Self {
            id: ConnId { slot, generation },
            peer: SocketAddr::new(ip, port),
            speaks: Some(speaks).filter(|n| *n != NONE),
            opened,
        }
    }
}

/// In place of the number of a dialect.
const NONE: u8 = u8::MAX;

/// Writes what has a name in the server and what is shared, in an order in which it can be read.
macro_rules! shared_parts {
    ($act:ident) => {
        $act!("nats", shared.nats);
        $act!("unproven", shared.unproven);
        $act!("credits", shared.credits);
        $act!("journal", shared.journal);
        $act!("refusals", shared.refusals);
        $act!("relay", shared.relay);
        $act!("datagrams", datagrams);
        $act!("endpoints", endpoints);
        $act!("gateway", gateway);
    };
}

impl Server {
    /// What another process needs to go on. All that the outbox had must have been done. For the other process
    /// those connections end that do not [move](Self::moves).
    #[must_use]
    pub fn save(&self) -> State {
        let mut state = State::default();
        self.save_parts(&mut |part| state.parts.extend(part));
        state
    }

    /// The same, each part as soon as it is written, in the order in which they are read.
    pub fn save_parts(&self, put: &mut dyn FnMut(Written)) {
        Saving::new(CONNECTIONS, SHARED, put).write(&self.connections());
        macro_rules! save {
            ($name:literal, $($part:ident).+) => {
                Saving::new($name, SHARED, put).write(&self.$($part).+);
            };
        }
        shared_parts!(save);
        let nodes = self.cluster.as_ref().map(|cluster| cluster.known());
        Saving::new(NODES, SHARED, put).write(&nodes);
        if let Some(window) = self.save_window() {
            Saving::new(WINDOW, SHARED, put).write(&window);
        }
        for name in Name::ALL {
            if let Some(dialect) = self.dialects.get(name) {
                dialect.save(&mut Saving::new(name.text(), version(name), put));
            }
        }
    }

    fn connections(&self) -> impl Serialize {
        let number = |name: Name| (0..).zip(Name::ALL).find(|(_, n)| *n == name).map(|(n, _)| n);
        let all = self.connections.iter().map(|(id, conn)| Connection {
            id,
            peer: conn.peer(),
            speaks: conn.speaks.and_then(number),
            opened: conn.opened,
        });
        let staying = self.connections.iter().map(|(id, _)| id).filter(|id| !self.moves(*id));
        Connections {
            all: all.collect(),
            dialects: Name::ALL.map(|name| name.text().into()).into(),
            staying: staying.collect(),
            detection: &self.detection,
            idle: &self.idle,
        }
    }

    /// Goes on from what another process knew; this server must be new, with its window if it gets one. What is to
    /// be sent is in the outbox then. Returns the connections that must be closed since the part they belong to was
    /// not understood; they are forgotten already. Of all others [`Self::has`] tells.
    ///
    /// # Errors
    ///
    /// Not even who is connected is understood, so nobody can be taken over. The server is as new as before.
    pub fn load(
        &mut self,
        now: Now,
        parts: &mut dyn Parts,
        out: &mut Outbox,
    ) -> Result<Vec<ConnId>, NotUnderstood> {
        let connections: Connections<Detection, Timers<ConnId>> =
            state::part(parts, CONNECTIONS, SHARED)?;
        let Connections { all, dialects, staying, detection, idle } = connections;
        macro_rules! load {
            ($name:literal, $($part:ident).+) => {
                match state::part(parts, $name, SHARED) {
                    Ok(saved) => self.$($part).+.restore(saved),
                    Err(_) if parts.is_cut() => {}
                    Err(why) => warn!("what the server knew of {} is lost: {why}", $name),
                }
            };
        }
        shared_parts!(load);
        // One without them has known no others.
        let known = state::part::<Option<Known>>(parts, NODES, SHARED).ok().flatten();
        let mut is_same = false;
        if let (Some(cluster), Some(known)) = (&mut self.cluster, known) {
            is_same = cluster.restore(now.instant, known);
            self.shared.nodes = cluster.names().clone();
        }
        self.shared.relay.go_on_elsewhere(now.instant, is_same);
        // Dialects ask whether there is a relay.
        self.note_relays();
        match state::part(parts, WINDOW, SHARED) {
            Ok(kept) => self.load_window(kept),
            Err(why) => debug!("what the window has shown is lost: {why}"),
        }
        self.detection.restore(detection);
        self.idle.restore(idle);
        let mut spoken = Vec::new();
        for name in Name::ALL {
            // Not spoken there, so nothing is lost.
            if parts.part(name.text()).is_none() {
                continue;
            }
            match self.load_dialect(now, parts, name, out) {
                Ok(()) => spoken.push(name),
                Err(_) if parts.is_cut() => {}
                Err(why) => warn!(
                    "the state of {name} could not be taken over, and its connections are closed: {why}"
                ),
            }
        }
        let named = |name: &Cow<str>| name.parse().ok().filter(|name| spoken.contains(name));
        let spoken: Vec<Option<Name>> = dialects.iter().map(named).collect();
        let lost = all.into_iter().filter_map(|conn| self.take_over(conn, &spoken));
        let lost: Vec<ConnId> = lost.collect();
        self.blocking.begin();
        for id in staying {
            let speaks = self.connections.get(id).and_then(|conn| conn.speaks);
            if let Some(dialect) = speaks.and_then(|name| self.dialects.get_mut(name)) {
                dialect.on_left_behind(id);
            }
            self.on_gone(now, id, out);
        }
        self.tell_dialects(now, out);
        Ok(lost)
    }

    fn load_dialect(
        &mut self,
        now: Now,
        parts: &mut dyn Parts,
        name: Name,
        out: &mut Outbox,
    ) -> Result<(), NotUnderstood> {
        let dialect = self.dialects.get_mut(name);
        let dialect = dialect.ok_or_else(|| NotUnderstood::new("it is not spoken any more"))?;
        let from = &mut Saved::new(name.text(), version(name), parts);
        dialect.load(&mut Context { now, out, shared: &mut self.shared }, from)
    }

    /// Takes over a connection. If it speaks a dialect of which nothing is known here, it is lost.
    fn take_over(&mut self, conn: Connection, spoken: &[Option<Name>]) -> Option<ConnId> {
        let Connection { id, peer, speaks, opened } = conn;
        let speaks = speaks.map(|n| spoken.get(usize::from(n)).copied().flatten());
        if speaks == Some(None)
            || id.slot as usize >= state::PLACES
            || !self.connections.is_free(id)
        {
            self.idle.cancel(&id);
            self.detection.forget(id);
            return Some(id);
        }
        self.connections.add(&mut self.shared.unproven.connections, opened, id, peer);
        if let Some(conn) = self.connections.get_mut(id) {
            conn.speaks = speaks.flatten();
        }
        None
    }

    /// Whether a connection can go on in another process: it is known, and neither encrypted nor one of a browser
    /// that looks at the lobby or at the window.
    #[must_use]
    pub fn moves(&self, id: ConnId) -> bool {
        let Some(conn) = self.connections.get(id) else { return false };
        let moves = |name| self.dialects.get(name).is_some_and(|dialect| dialect.moves(id));
        !self.speaks_http(id) && conn.speaks.is_none_or(moves)
    }

    /// Whether this connection is one of those that have a place.
    #[must_use]
    pub fn has(&self, id: ConnId) -> bool {
        self.connections.get(id).is_some()
    }
}
