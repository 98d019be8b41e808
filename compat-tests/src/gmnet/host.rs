//! A GMnet host: a game that can be joined.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::again::{Again, Due};
use super::config::HostConfig;
use super::control::{Control, Event, GameSocket};
use super::error::Error;
use super::running::Running;
use super::wire::{self, Data};
use super::{MOST_A_STEP, STEP};

/// How often a new player is sent its welcome.
const WELCOMES: u8 = 4;

/// So much is remembered of what was told and received, and so many players there can be.
const MOST_KEPT: usize = 4096;

/// At so many clients a host knocks at one time: more than are told in the time of the knocks.
const MOST_CLIENTS: usize = 512;

/// So many clients are read from one event, where a server has reason for one.
const MOST_AT_ONCE: usize = 64;

/// What the master server told a host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    /// The client.
    pub client: SocketAddr,
    /// When the message arrived.
    pub at: Instant,
    /// Whether its port had a NUL behind it.
    pub terminated: bool,
    /// Whether it came behind another one in one event. Games do not read it then, and so the
    /// host does not knock.
    pub lost: bool,
}

/// What happened in a step of a host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HostEvent {
    /// The master server told it about a client.
    Told(Told),
    /// The master server asks for its UDP port: it is told about a client that is the server.
    AskedForPort,
    /// A client is a player now.
    Connected(SocketAddr),
    /// A player was sent the data strings.
    DataSent(SocketAddr),
    /// A player sent something of the game's own.
    Received(SocketAddr, Vec<u8>),
    /// The master server closed the control connection.
    MasterGone,
    /// The master server sent something else, which games ignore.
    Ignored(Vec<u8>),
}

/// A game that can be joined.
#[derive(Debug)]
pub struct Host {
    config: HostConfig,
    socket: GameSocket,
    control: Option<Control>,
    told: Vec<Told>,
    knocking: Vec<(SocketAddr, Instant)>,
    players: Vec<Player>,
    received: Vec<(SocketAddr, Vec<u8>)>,
    register_next: bool,
    again: Again,
    /// What happened while it waited for something else.
    unsaid: Vec<HostEvent>,
}

#[derive(Debug)]
struct Player {
    endpoint: SocketAddr,
    welcomes_left: u8,
}

impl Host {
    /// Opens the game's socket and registers: UDP first, then TCP.
    ///
    /// # Errors
    /// If a socket cannot be had or nobody listens there.
    pub fn start(config: HostConfig) -> Result<Self, Error> {
        let socket =
            GameSocket::open(config.master, config.bind, config.port)?.on_line(config.line);
        let mut host = Self {
            config,
            socket,
            control: None,
            told: Vec::new(),
            knocking: Vec::new(),
            players: Vec::new(),
            received: Vec::new(),
            register_next: false,
            again: Again::default(),
            unsaid: Vec::new(),
        };
        host.register()?;
        Ok(host)
    }

    /// Starts, and waits until the master server has carried out the registration.
    ///
    /// # Errors
    /// Those of [`Host::start`] and [`Host::confirm`].
    pub fn registered(config: HostConfig, within: Duration) -> Result<Self, Error> {
        let mut host = Self::start(config)?;
        host.confirm(within)?;
        Ok(host)
    }

    /// Registers as GML does: UDP from the game's socket, the old connection closed, a new one,
    /// the whole request in one send.
    ///
    /// # Errors
    /// If nobody listens there.
    pub fn register(&mut self) -> Result<(), Error> {
        self.register_next = false;
        let HostConfig { master, protocol, bind, shows_nat, gap, .. } = self.config;
        if shows_nat {
            self.socket.show_nat(master);
        }
        self.socket.send_raw(master, &wire::udp_register(protocol));
        self.control = None;
        let control = Control::open(master, bind)?;
        std::thread::sleep(gap);
        control.send(&self.registration())?;
        self.control = Some(control);
        if self.config.repeats {
            self.again = Again::start(Instant::now());
        }
        Ok(())
    }

    /// Registers with another master server, or with the same one again. Players stay, unless the way there
    /// needs a socket of another kind.
    ///
    /// # Errors
    /// If nobody listens there, or there is no such socket.
    pub fn move_to(&mut self, master: SocketAddr) -> Result<(), Error> {
        let HostConfig { bind, port, line, .. } = self.config;
        if master.is_ipv4() != self.socket.local().is_ipv4() {
            self.socket = GameSocket::open(master, bind, port)?.on_line(line);
            self.players.clear();
            self.knocking.clear();
        }
        self.config.master = master;
        self.register()
    }

    /// Asks the master server for its version, which comes as [`HostEvent::Ignored`]: so it can be seen to be
    /// there.
    ///
    /// # Errors
    /// If the connection is broken.
    pub fn ask_version(&self) -> Result<(), Error> {
        self.control()?.send(wire::ASK_VERSION)
    }

    fn registration(&self) -> Vec<u8> {
        let HostConfig { protocol, version, data, .. } = &self.config;
        wire::register(*protocol, version, data)
    }

    /// Sends the UDP packet of the registration once more.
    pub fn send_udp_register(&self) {
        self.socket.send_raw(self.config.master, &wire::udp_register(self.config.protocol));
    }

    /// Waits until the master server has carried out the registration, which games cannot see:
    /// asks for its version on the control connection, and the answer comes after all before it.
    ///
    /// # Errors
    /// If the server closes the connection, which refuses the registration, or does not answer.
    pub fn confirm(&mut self, within: Duration) -> Result<(), Error> {
        let master = self.config.master;
        let deadline = Instant::now() + within;
        self.control()?.send(wire::ASK_VERSION)?;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let event = match self.control()?.answer(left) {
                Ok(event) => event,
                Err(Error::NoAnswer { .. }) => {
                    return Err(Error::NoAnswer { master, waited: within });
                }
                Err(error) => return Err(error),
            };
            let is_answer = |bytes: &[u8]| bytes.first() == Some(&wire::VERSION);
            // Something that it is told may have come with it.
            let mut told = self.on_master(&event)?;
            let before = told.len();
            told.retain(
                |happened| !matches!(happened, HostEvent::Ignored(rest) if is_answer(rest)),
            );
            let is_answered = told.len() < before;
            self.unsaid.extend(told);
            if is_answered {
                return Ok(());
            }
        }
    }

    /// Whether the control connection works as far as a game can see. One that does not is
    /// replaced by a new registration, as games do every few minutes.
    ///
    /// # Errors
    /// If the master server is not there.
    pub fn ping(&mut self) -> Result<bool, Error> {
        let works = self.control.as_ref().is_some_and(|control| control.send(wire::PING).is_ok());
        if !works {
            self.register()?;
        }
        Ok(works)
    }

    /// Changes the data strings as GML does: the control connection is closed now, and the next
    /// step registers again.
    pub fn commit(&mut self, data: Data) {
        self.config.data = data;
        self.control = None;
        self.register_next = true;
    }

    /// Closes the control connection, as a host does that stops being one. Players stay.
    pub fn unregister(&mut self) {
        self.control = None;
    }

    /// One step of the game: reads what is there, answers it, knocks, welcomes.
    ///
    /// # Errors
    /// If the master server sends what would be a run-time error in a game, or a socket breaks.
    pub fn step(&mut self) -> Result<Vec<HostEvent>, Error> {
        if self.register_next {
            self.register()?;
        }
        let mut happened = std::mem::take(&mut self.unsaid);
        for _ in 0..MOST_A_STEP {
            let Some((from, payload)) = self.socket.receive(Duration::ZERO)? else { break };
            happened.extend(self.on_datagram(from, payload));
        }
        for _ in 0..MOST_A_STEP {
            let Some(event) = self.control.as_ref().and_then(Control::pending) else { break };
            happened.extend(self.on_master(&event)?);
        }
        self.say_again();
        self.send_knocks();
        self.send_welcomes();
        Ok(happened)
    }

    /// Takes steps, 60 a second, until a condition holds; false if that does not come in time.
    ///
    /// # Errors
    /// Those of [`Host::step`].
    pub fn run_until(
        &mut self,
        within: Duration,
        mut done: impl FnMut(&Self) -> bool,
    ) -> Result<bool, Error> {
        let deadline = Instant::now() + within;
        loop {
            self.step()?;
            if done(self) {
                return Ok(true);
            }
            if Instant::now() >= deadline {
                return Ok(false);
            }
            std::thread::sleep(STEP);
        }
    }

    /// Takes steps on a thread of its own until [`Running::stop`] gives the host back.
    #[must_use]
    pub fn spawn(self) -> Running {
        Running::start(self)
    }

    /// Whether the control connection is open, as far as a game can see.
    #[must_use]
    pub fn has_master(&self) -> bool {
        self.control.is_some()
    }

    /// All that the master server has told, in order.
    #[must_use]
    pub fn told(&self) -> &[Told] {
        &self.told
    }

    /// The players.
    #[must_use]
    pub fn players(&self) -> Vec<SocketAddr> {
        self.players.iter().map(|player| player.endpoint).collect()
    }

    /// What players have sent of the game's own.
    #[must_use]
    pub fn received(&self) -> &[(SocketAddr, Vec<u8>)] {
        &self.received
    }

    /// The local address of the game's socket.
    #[must_use]
    pub fn local(&self) -> SocketAddr {
        self.socket.local()
    }

    /// The local address of the control connection.
    ///
    /// # Errors
    /// If there is none.
    pub fn master_side(&self) -> Result<SocketAddr, Error> {
        self.control()?.local_addr()
    }

    /// How it was set up, with the newest data strings.
    #[must_use]
    pub fn config(&self) -> &HostConfig {
        &self.config
    }

    /// Sends something of the game's own to a player.
    pub fn send(&self, to: SocketAddr, payload: &[u8]) {
        self.socket.send(to, payload);
    }

    /// Dies with an RST on the control connection.
    pub fn die(self) {
        if let Some(control) = self.control {
            control.reset();
        }
    }

    fn control(&self) -> Result<&Control, Error> {
        self.control.as_ref().ok_or(Error::NotConnected)
    }

    /// Says again who it is, as long as the master server may not know its port.
    fn say_again(&mut self) {
        let Some(control) = &self.control else { return };
        match self.again.due(Instant::now()) {
            Some(Due::Port) => self.send_udp_register(),
            // A connection that is broken is noticed elsewhere.
            Some(Due::Registration) => _ = control.send(&self.registration()),
            None => {}
        }
    }

    fn on_datagram(&mut self, from: SocketAddr, payload: Vec<u8>) -> Option<HostEvent> {
        if from == self.config.master {
            // A keepalive, which goes to ports that are known.
            self.again.stop();
        }
        let is_player = self.players.iter().any(|player| player.endpoint == from);
        match (is_player, payload.first()) {
            (false, Some(&wire::KNOCK)) if self.lets_in(from) => {
                self.players.push(Player { endpoint: from, welcomes_left: WELCOMES });
                self.again.stop();
                Some(HostEvent::Connected(from))
            }
            (true, Some(&wire::DATA_REQUEST)) => {
                self.socket.send(from, &wire::data_reply(&self.config.data));
                Some(HostEvent::DataSent(from))
            }
            // The rest of the knocks that were under way when the first one came.
            (_, Some(&wire::KNOCK)) | (false, _) => None,
            (true, _) => {
                if self.config.echo {
                    self.socket.send(from, &payload);
                }
                if self.received.len() < MOST_KEPT {
                    self.received.push((from, payload.clone()));
                }
                Some(HostEvent::Received(from, payload))
            }
        }
    }

    fn lets_in(&self, client: SocketAddr) -> bool {
        let HostConfig { never_welcome, only_told, .. } = self.config;
        let was_told = || self.told.iter().any(|told| !told.lost && told.client == client);
        !never_welcome && self.players.len() < MOST_KEPT && (!only_told || was_told())
    }

    /// Reads an event as games do, which is its first message; what is behind is only recorded.
    fn on_master(&mut self, event: &Event) -> Result<Vec<HostEvent>, Error> {
        if event.bytes.is_empty() {
            let ended = self.control.take().map(|control| control.ended(Vec::new()));
            return match ended {
                Some(flood @ Error::TooMuch { .. }) => Err(flood),
                _ => Ok(vec![HostEvent::MasterGone]),
            };
        }
        let mut happened = Vec::new();
        let (mut rest, mut lost) = (event.bytes.as_slice(), false);
        while happened.len() < MOST_AT_ONCE {
            let len = match rest.first() {
                Some(&wire::MASTER) => {
                    let told = wire::introduction(rest).map_err(|why| Error::Malformed {
                        from: self.config.master,
                        bytes: event.bytes.clone(),
                        why,
                    })?;
                    let len = told.len;
                    happened.push(self.on_introduction(told, event.at, lost));
                    lost = true;
                    len
                }
                // The answer to a question that games do not ask.
                Some(&wire::VERSION) => {
                    let end = rest.iter().position(|byte| *byte == b'\n');
                    let len = end.map_or(rest.len(), |end| end + 1);
                    happened.push(HostEvent::Ignored(rest.get(..len).unwrap_or_default().to_vec()));
                    len
                }
                _ => break,
            };
            rest = rest.get(len..).unwrap_or_default();
        }
        if !rest.is_empty() {
            happened.push(HostEvent::Ignored(rest.to_vec()));
        }
        Ok(happened)
    }

    fn on_introduction(
        &mut self,
        introduction: wire::Introduction,
        at: Instant,
        lost: bool,
    ) -> HostEvent {
        let wire::Introduction { endpoint: client, terminated, .. } = introduction;
        let knocks = !lost && self.knocking.len() < MOST_CLIENTS;
        if knocks && self.knocking.iter().all(|(known, _)| *known != client) {
            self.knocking.push((client, Instant::now()));
        }
        if client == self.config.master {
            // Its knocks show the port now, many times. To be told of a client does not mean that it
            // is known: that client may have been told that there is no such host.
            self.again.stop();
            return HostEvent::AskedForPort;
        }
        let told = Told { client, at, terminated, lost };
        if self.told.len() < MOST_KEPT {
            self.told.push(told.clone());
        }
        HostEvent::Told(told)
    }

    fn send_knocks(&mut self) {
        let (timeout, players) = (self.config.timeout, &self.players);
        self.knocking.retain(|(client, since)| {
            since.elapsed() < timeout && players.iter().all(|player| player.endpoint != *client)
        });
        for (client, _) in &self.knocking {
            self.socket.send(*client, &[wire::KNOCK]);
        }
    }

    fn send_welcomes(&mut self) {
        for player in self.players.iter_mut().filter(|player| player.welcomes_left > 0) {
            player.welcomes_left -= 1;
            self.socket.send(player.endpoint, &[wire::WELCOME]);
        }
    }
}
