//! A player: its talk with the master server, its punches, its ENet connections.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use punchd::dialect::rooms::field::{self, Id, Key};
use punchd::dialect::rooms::message::{Request, Verb, Wanted};
use punchd::dialect::rooms::options::Options;
use punchd::lobby::code::Code;
use rusty_enet::{Host, HostSettings, Packet, PeerID};

use super::again::WATCHING;
use super::error::Error;
use super::message::{Entry, Message, More};
use super::punch::{Punch, State};
use super::tap::{KNOCK, Tap};
use super::{AGAIN, STEP};
use crate::nat;

mod asking;

/// How often a player tells the master server that it is there: more often than the strictest NAT
/// forgets.
const KEEP_ALIVE: Duration = Duration::from_secs(10);

/// How long to wait for the answer of the alternate port: it may not be there.
const SHOWING: Duration = Duration::from_millis(300);

/// So many events wait for a player that asks for something.
const MOST_EVENTS: usize = 4096;

/// So many events of ENet are taken care of in one step.
const MOST_A_STEP: usize = 256;

/// So many others a player is introduced to at one time, more than a room has place for.
const MOST_PUNCHES: usize = 256;

/// More ports no server predicts.
const MOST_PORTS: usize = 16;

/// Why a connection ends, for the other side of it: as its host has kicked it.
pub(super) const KICKED: u32 = 1;

/// What a player has to know to come back.
#[derive(Clone, Copy, Debug)]
pub struct Place {
    /// The room.
    pub room: Id,
    /// Its own ID.
    pub id: Id,
    /// The key for coming back.
    pub key: Key,
}

/// Something that happened to a player.
#[derive(Debug)]
pub enum Event {
    /// The master server has sent this.
    Told(Message),
    /// The punch with this player has worked, and ENet is connected.
    Connected(Id),
    /// The punch with this player has not worked.
    Failed(Id),
    /// Another player has said this.
    Said(Id, String),
    /// The ENet connection with this player has ended.
    Disconnected(Id),
    /// The host has kicked this player, and says so itself.
    Kicked,
    /// What a request came to that nobody has waited for.
    Answered(Request, Result<(), Error>),
}

/// A player of the rooms dialect.
pub struct Player {
    pub(super) master: SocketAddr,
    /// How long a request may take in all.
    pub(super) patience: Duration,
    pub(super) enet: Host<Tap>,
    pub(super) place: Option<Place>,
    /// The code of its room, if it is private.
    pub(super) code: Option<Code>,
    /// Requests that nobody waits for, and until when they are sent again. One at a time is on its way.
    pub(super) unanswered: VecDeque<(Request, Instant)>,
    /// Whether the master server has said that this player is in no room any more.
    pub(super) is_out: bool,
    /// Where others are in this player's own network, as far as told.
    near: HashMap<Id, Vec<SocketAddr>>,
    /// Whether its room outlives it when it hosts one.
    pub(super) hands_over: bool,
    pub(super) hosts: bool,
    pub(super) punches: Vec<Punch>,
    pub(super) connections: HashMap<PeerID, Id>,
    pub(super) events: VecDeque<Event>,
    pub(super) last_ask: Instant,
    /// Whether it looks if its master server is still there.
    pub(super) watches: bool,
    /// Since when it has asked the master server something and heard nothing.
    pub(super) unheard: Option<Instant>,
    /// What stands in front of every request.
    prefix: Vec<u8>,
    /// The ports that clients, or the host, are going to have, as far as told.
    predicted: HashMap<Option<Id>, Vec<u16>>,
}

impl Player {
    /// A player at this local address.
    ///
    /// # Errors
    /// If the system gives it no socket.
    pub fn new(master: SocketAddr, bind: SocketAddr, patience: Duration) -> Result<Self, Error> {
        let settings = HostSettings { peer_limit: 64, channel_limit: 1, ..Default::default() };
        let enet = Host::new(Tap::new(bind, master)?, settings)
            .map_err(|error| io::Error::other(error.to_string()))?;
        Ok(Self {
            master,
            patience,
            enet,
            place: None,
            code: None,
            hands_over: false,
            unanswered: VecDeque::new(),
            is_out: false,
            near: HashMap::new(),
            hosts: false,
            punches: Vec::new(),
            connections: HashMap::new(),
            events: VecDeque::new(),
            last_ask: Instant::now(),
            watches: false,
            unheard: None,
            prefix: Vec::new(),
            predicted: HashMap::new(),
        })
    }

    /// The same player with a key for a server that asks for one.
    #[must_use]
    pub fn with_key(mut self, key: &str) -> Self {
        self.prefix = b"k:".to_vec();
        field::encode(key, &mut self.prefix);
        self.prefix.push(b':');
        self
    }

    /// Its place in a room.
    #[must_use]
    pub fn place(&self) -> Option<Place> {
        self.place
    }

    /// The code of the private room that it hosts.
    #[must_use]
    pub fn code(&self) -> Option<Code> {
        self.code
    }

    /// Whether it is in no room any more, as the master server says: the room is closed, or the server
    /// does not know this player. Its connections may last.
    #[must_use]
    pub fn is_out(&self) -> bool {
        self.is_out
    }

    /// Whether it is the host, or connected with it.
    #[must_use]
    pub fn has_host(&self) -> bool {
        self.hosts || self.place.is_some_and(|place| self.is_connected(place.room))
    }

    pub(super) fn is_connected(&self, with: Id) -> bool {
        self.connections.values().any(|id| *id == with)
    }

    /// Those it is connected with.
    pub fn connected(&self) -> impl Iterator<Item = Id> {
        self.connections.values().copied()
    }

    /// Where another player's packets come from, and whether that is not where the master server told
    /// first that it is.
    #[must_use]
    pub fn way(&self, to: Id) -> Option<(SocketAddr, bool)> {
        let punch = self.punches.iter().find(|punch| punch.id == to)?;
        Some((punch.at, punch.is_later))
    }

    /// Where this player is in its own network: the address that leads to the master server.
    ///
    /// # Errors
    /// If the system does not tell.
    pub fn lan(&self) -> Result<SocketAddr, Error> {
        let any = UdpSocket::bind(SocketAddr::new(self.local()?.ip(), 0))?;
        any.connect(self.master)?;
        Ok(SocketAddr::new(any.local_addr()?.ip(), self.local()?.port()))
    }

    /// Its local endpoint.
    ///
    /// # Errors
    /// If the system does not tell.
    pub fn local(&self) -> Result<SocketAddr, Error> {
        Ok(self.enet.socket().local()?)
    }

    /// Opens a room and shows the key, so that the master server knows that this player is there.
    ///
    /// # Errors
    /// If the master server does not answer, or refuses.
    pub fn host(&mut self, name: &str) -> Result<Place, Error> {
        self.host_with(name, Options::default())
    }

    /// The same with more to say of it.
    ///
    /// # Errors
    /// If the master server does not answer, or refuses.
    pub fn host_with(&mut self, name: &str, options: Options) -> Result<Place, Error> {
        self.hosts = true;
        self.hands_over = options.migrates;
        self.enter(&Request::Host(name.into(), options))
    }

    /// Joins a room and begins to knock at its host.
    ///
    /// # Errors
    /// If the master server does not answer, or refuses.
    pub fn join(&mut self, room: Id) -> Result<Place, Error> {
        self.join_with(Wanted::Id(room), Options::default())
    }

    /// The same by ID or by code, with more to say of it.
    ///
    /// # Errors
    /// If the master server does not answer, or refuses.
    pub fn join_with(&mut self, room: Wanted, options: Options) -> Result<Place, Error> {
        self.hosts = false;
        self.enter(&Request::Join(room, options))
    }

    /// Joins any room that fits.
    ///
    /// # Errors
    /// If the master server does not answer, or refuses, as when there is none.
    pub fn join_any(&mut self, options: Options) -> Result<Place, Error> {
        self.hosts = false;
        self.enter(&Request::JoinAny(options))
    }

    /// Comes back with its key, as after its NAT has given it another port.
    ///
    /// # Errors
    /// If the master server does not answer, or refuses.
    pub fn come_back(&mut self) -> Result<Place, Error> {
        let Some(place) = self.place else {
            return Err(Error::Refused { verb: Verb::Rc, reason: "no place yet".into() });
        };
        let request = Request::Return(place.id, place.key, Options::default());
        self.show_nat()?;
        let back = self.take_place(&request);
        self.is_out = matches!(&back, Err(Error::Refused { reason, .. }) if reason == "noroom");
        let place = back?;
        // Both sides have to punch again. Had the master server refused, those who are connected would
        // not have noticed anything.
        self.punches.clear();
        self.hang_up_at_once(|_| true);
        self.take_place(&Request::Return(place.id, place.key, Options::default()))
    }

    /// Gets another local port, as if a NAT had done that.
    ///
    /// # Errors
    /// If the system has none.
    pub fn rebind(&mut self) -> Result<(), Error> {
        Ok(self.enet.socket_mut().rebind()?)
    }

    /// Loses so many of the next ENet packets that arrive, as if the network had done that.
    pub fn lose(&mut self, packets: usize) {
        self.enet.socket_mut().lose = packets;
    }

    fn enter(&mut self, request: &Request) -> Result<Place, Error> {
        self.show_nat()?;
        let place = self.take_place(request)?;
        // The first key shows that the answer has arrived here.
        self.take_place(&Request::Return(place.id, place.key, Options::default()))
    }

    /// Lets the master server see what the NAT in front of this player does, before it is asked
    /// for anything that depends on it.
    fn show_nat(&mut self) -> Result<(), Error> {
        self.enet.socket_mut().shown = false;
        nat::show(self.master, |to, data| self.enet.socket().send_to(to, data));
        let deadline = Instant::now() + SHOWING;
        while !self.enet.socket().shown && Instant::now() < deadline {
            self.advance()?;
            std::thread::sleep(STEP);
        }
        Ok(())
    }

    /// Asks until both answers have come.
    pub(super) fn take_place(&mut self, request: &Request) -> Result<Place, Error> {
        let (mut room, mut own, mut given) = (None, None, None);
        let returns = if let Request::Return(id, ..) = request { Some(*id) } else { None };
        self.ask(request, |message| {
            match message {
                Message::Hosting(id, code) => {
                    room = Some((*id, None));
                    given = *code;
                }
                Message::Joined(id, _, host) => room = Some((*id, Some(*host))),
                // Others may have asked for a place in its name.
                Message::Own(id, key) if returns.is_none_or(|own| own == *id) => {
                    own = Some((*id, *key));
                }
                _ => {}
            }
            room.is_some() && own.is_some()
        })?;
        let (Some((room, host)), Some((id, key))) = (room, own) else {
            return Err(Error::NoAnswer { master: self.master, verb: request.verb() });
        };
        let place = Place { room, id, key };
        self.place = Some(place);
        self.is_out = false;
        self.code = given.or(self.code);
        if let Some(host) = host {
            // A client knows its host by the ID of the room.
            self.meet(room, host);
        }
        Ok(place)
    }

    /// Whether this is the room that it has its place in: others may close one that they have opened in its name.
    #[must_use]
    pub fn is_in(&self, room: Id) -> bool {
        self.place.is_some_and(|place| place.room == room)
    }

    /// Says something to this player, reliably and in order.
    pub fn say(&mut self, to: Id, text: &str) {
        let found = self.connections.iter().find(|(_, id)| **id == to).map(|(peer, _)| *peer);
        if let Some(peer) = found {
            // Fails only if the connection is about to end.
            let _ = self.enet.peer_mut(peer).send(0, &Packet::reliable(text.as_bytes()));
        }
    }

    /// What has happened since the last step.
    ///
    /// # Errors
    /// If the socket fails.
    pub fn step(&mut self) -> Result<Vec<Event>, Error> {
        self.advance()?;
        self.ask_again();
        let pause = match self.unheard {
            Some(_) if self.watches => AGAIN,
            None if self.watches => WATCHING,
            _ => KEEP_ALIVE,
        };
        if self.place.is_some() && !self.is_out && self.last_ask.elapsed() > pause {
            self.send(&Request::KeepAlive);
        }
        Ok(self.events.drain(..).collect())
    }

    /// Takes what has come, knocks where it is time to.
    pub(super) fn advance(&mut self) -> Result<(), Error> {
        for _ in 0..MOST_A_STEP {
            let Some(event) = self.enet.service()?.map(rusty_enet::Event::no_ref) else { break };
            self.on_enet(event);
        }
        while let Some(data) = self.enet.socket_mut().messages.pop_front() {
            self.unheard = None;
            if let Some(message) = Message::read(&data) {
                self.on_message(&message);
                self.events.push_back(Event::Told(message));
            }
        }
        while let Some(from) = self.enet.socket_mut().knocks.pop_front() {
            self.on_knock(from);
        }
        let mut failed = Vec::new();
        for punch in &mut self.punches {
            if punch.fails() {
                failed.push(punch.id);
            } else if punch.knocks() {
                punch.places().for_each(|at| self.enet.socket().send_to(at, KNOCK));
            }
        }
        for id in failed {
            self.give_up(id);
            self.report(id, false);
            self.events.push_back(Event::Failed(id));
        }
        self.shake_hands();
        Ok(())
    }

    fn on_message(&mut self, message: &Message) {
        self.take_answer(message);
        match message {
            // In a mesh it has got through already, before one of the two became host.
            Message::Comes(id, at) if self.is_connected(*id) => self.keep(*id, *at),
            // The master server repeats itself.
            Message::Comes(id, at) => _ = self.meet(*id, *at),
            Message::Moved(id, at) => {
                let id = self.known_as(*id);
                if self.meet(id, *at) {
                    self.hang_up_at_once(|of| of == id);
                }
            }
            // It may be here before what it belongs to.
            Message::Predicted(id, ports) => {
                let towards = self.hosts.then_some(*id);
                let ports = ports.get(..MOST_PORTS).unwrap_or(ports);
                if self.predicted.len() < MOST_PUNCHES {
                    self.predicted.insert(towards, ports.to_vec());
                }
                let of_host = |punch: &&mut Punch| towards.is_none_or(|id| punch.id == id);
                if let Some(punch) = self.punches.iter_mut().find(of_host) {
                    punch.ports = ports.to_vec();
                }
            }
            Message::Local(id, all) => {
                let id = self.known_as(*id);
                let all = all.get(..MOST_PORTS).unwrap_or(all);
                if let Some(punch) = self.punches.iter_mut().find(|punch| punch.id == id) {
                    punch.near = all.to_vec();
                }
                if self.near.len() < MOST_PUNCHES {
                    self.near.insert(id, all.to_vec());
                }
            }
            Message::Gone(id) => self.punches.retain(|punch| punch.id != *id),
            Message::Closed(room) => self.is_out |= self.is_in(*room),
            Message::Promoted(_) if !self.hosts => {
                (self.hosts, self.hands_over) = (true, true);
                self.forget_host();
                // From now on the others connect.
                self.give_up_all();
            }
            Message::NewHost(id, at) if !self.hosts => {
                if let Some(place) = self.place
                    && !self.punches.iter().any(|of| of.id == place.room && of.told == *at)
                {
                    self.forget_host();
                    self.follow(*id, place.room, *at);
                }
            }
            _ => {}
        }
    }

    /// Goes on with a connection instead of punching once more, and says so to the master server.
    fn keep(&mut self, id: Id, at: SocketAddr) {
        if let Some(punch) = self.punches.iter_mut().find(|punch| punch.id == id) {
            punch.told = at;
        }
        self.report(id, true);
    }

    /// Another client is the host now, and known by the ID of the room from now on. In a mesh there may be
    /// a connection with it, or a punch that is going on.
    fn follow(&mut self, id: Id, room: Id, at: SocketAddr) {
        let lives = |punch: &Punch| punch.id == id && punch.state != State::Failed;
        if self.is_connected(id) || self.punches.iter().any(|of| lives(of) && of.told == at) {
            self.connections.values_mut().filter(|of| **of == id).for_each(|of| *of = room);
            self.punches.iter_mut().filter(|of| of.id == id).for_each(|of| of.id = room);
        } else {
            self.punches.retain(|punch| punch.id != id);
        }
        if self.is_connected(room) {
            self.keep(room, at);
        } else {
            self.meet(room, at);
        }
    }

    /// By which ID this player knows another one: a client knows its host by the ID of the room.
    fn known_as(&self, id: Id) -> Id {
        match self.place {
            Some(place) if !self.hosts && !self.punches.iter().any(|of| of.id == id) => place.room,
            _ => id,
        }
    }

    /// There is another host, or this player is one.
    fn forget_host(&mut self) {
        if let Some(place) = self.place {
            self.give_up(place.room);
            self.punches.retain(|punch| punch.id != place.room);
            self.hang_up_at_once(|of| of == place.room);
        }
    }

    /// Whether this player is the one of the two that connects: a client to its host, and of two clients
    /// the one with the lower ID.
    pub(super) fn connects_to(&self, id: Id) -> bool {
        self.place.is_some_and(|place| !self.hosts && (id == place.room || place.id < id))
    }

    /// Begins to knock. False: it does so already.
    fn meet(&mut self, id: Id, at: SocketAddr) -> bool {
        let is_same = |punch: &Punch| punch.id == id && punch.told == at && !punch.is_over;
        let is_new = !self.punches.iter().any(is_same);
        if self.punches.len() >= MOST_PUNCHES {
            self.punches.retain(|punch| punch.state != State::Failed);
        }
        if self.punches.len() >= MOST_PUNCHES {
            return false;
        }
        if is_new {
            self.give_up(id);
            let mut punch = Punch::new(id, at);
            punch.is_later = self.punches.iter().any(|before| before.id == id);
            self.punches.retain(|punch| punch.id != id);
            let ports = self.predicted.get(&self.hosts.then_some(id));
            punch.ports.extend(ports.into_iter().flatten());
            punch.near.extend(self.near.get(&id).into_iter().flatten());
            self.punches.push(punch);
        }
        is_new
    }

    /// Tells the master server how a punch has ended; once, as it only wants to know.
    pub(super) fn report(&mut self, id: Id, worked: bool) {
        let Some(place) = self.place else { return };
        let client = if self.hosts || id != place.room { id } else { place.id };
        self.send(&Request::Punched(client, worked));
    }
}
