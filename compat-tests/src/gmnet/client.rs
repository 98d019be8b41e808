//! A GMnet client: a game that joins a host.

mod asking;

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::MOST_A_STEP;
use super::again::HELLO;
use super::config::ClientConfig;
use super::control::{Control, Event, GameSocket};
use super::error::Error;
use super::knock::{Plan, Stage};
use super::wire::{self, Data};
use asking::Next;

/// At so many endpoints a client knocks at one time.
const MOST_ENDPOINTS: usize = 8;

/// How long a client waits before it repeats a request to its host that may have been lost.
const REPEAT: Duration = Duration::from_millis(200);

/// How far a client is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// It waits for the master server's answer.
    Asking,
    /// It knocks at the host.
    Knocking(Stage),
    /// The host has welcomed it.
    Connected(SocketAddr),
}

/// What the master server answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The host's endpoint.
    Told(SocketAddr),
    /// There is no such host.
    NotFound,
    /// There was no master server to ask.
    Unreachable,
}

/// By which way a client has got through to its host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// From the host's own address.
    Direct,
    /// By the address that the master server told first, which is not that of the host.
    Instead(SocketAddr),
    /// By an endpoint that was told later, when direct did not work.
    Later(SocketAddr),
}

/// A game that joins a host.
#[derive(Debug)]
pub struct Client {
    config: ClientConfig,
    socket: GameSocket,
    control: Option<Control>,
    /// The next master server that is asked while the host is knocked at, as the one that told of it is gone.
    next: Option<Next>,
    answer: Option<Answer>,
    state: State,
    started: Instant,
    /// When the master server was shown the port last.
    shown: Instant,
    connected: Option<Duration>,
    /// From where the host has knocked.
    knocker: Option<SocketAddr>,
    /// Where the host is, as far as the master server has told.
    told: Vec<SocketAddr>,
    /// Why master servers were left for the next one.
    left: Vec<Error>,
}

#[derive(Debug)]
enum State {
    Asking {
        since: Instant,
    },
    /// At one endpoint by a plan, and at those that were told later.
    Knocking {
        plan: Plan,
        since: Instant,
        later: Vec<(SocketAddr, Instant)>,
    },
    Connected {
        host: SocketAddr,
    },
}

impl Client {
    /// Tells the master server its UDP port and asks for the host.
    ///
    /// # Errors
    /// If a socket cannot be had, or there is no master server and no port for a direct connection.
    pub fn start(config: ClientConfig) -> Result<Self, Error> {
        let started = Instant::now();
        let socket =
            GameSocket::open(config.master, config.bind, config.port)?.on_line(config.line);
        let state = State::Asking { since: started };
        let mut client = Self {
            config,
            socket,
            control: None,
            next: None,
            answer: None,
            state,
            started,
            shown: started,
            connected: None,
            knocker: None,
            told: Vec::new(),
            left: Vec::new(),
        };
        client.show_port();
        client.ask_any()?;
        Ok(client)
    }

    /// Joins: starts, and takes steps until the host's welcome.
    ///
    /// # Errors
    /// Why it is not connected.
    pub fn join(config: ClientConfig) -> Result<Self, Error> {
        let mut client = Self::start(config)?;
        client.run()?;
        Ok(client)
    }

    /// Only asks the master server: the endpoint of the host, or none if there is no such host.
    ///
    /// # Errors
    /// If the master server is not there, says nothing, or says what no game understands.
    pub fn look_up(config: ClientConfig) -> Result<Option<SocketAddr>, Error> {
        let mut client = Self::start(ClientConfig { given: None, ..config })?;
        loop {
            match (client.step(), client.answer) {
                (_, Some(Answer::Told(endpoint))) => return Ok(Some(endpoint)),
                (_, Some(Answer::NotFound)) => return Ok(None),
                (Err(error), _) => return Err(error),
                (Ok(_), _) => std::thread::sleep(client.config.step),
            }
        }
    }

    /// Takes steps until the host's welcome.
    ///
    /// # Errors
    /// Why it is not connected.
    pub fn run(&mut self) -> Result<(), Error> {
        while !matches!(self.step()?, Progress::Connected(_)) {
            std::thread::sleep(self.config.step);
        }
        Ok(())
    }

    /// One step of the game: reads what is there, then knocks.
    ///
    /// # Errors
    /// Why it is not connected and will not be.
    pub fn step(&mut self) -> Result<Progress, Error> {
        // A connected client has closed its control connection, so nothing is read then.
        for _ in 0..MOST_A_STEP {
            let Some(event) = self.control.as_ref().and_then(Control::pending) else { break };
            self.on_master(&event)?;
        }
        match self.state {
            State::Asking { since } if since.elapsed() >= self.patience() => {
                let silent =
                    Error::NoAnswer { master: self.config.master, waited: self.patience() };
                self.ask_next(silent)?;
            }
            State::Asking { .. } => self.show_port_again(),
            State::Knocking { .. } => {
                self.ask_meanwhile()?;
                self.step_knocking()?;
            }
            State::Connected { .. } => {}
        }
        Ok(self.progress())
    }

    /// How far it is.
    #[must_use]
    pub fn progress(&self) -> Progress {
        match &self.state {
            State::Asking { .. } => Progress::Asking,
            State::Knocking { plan, since, later } => Progress::Knocking(
                // The plan may be over, and others are still knocked at.
                match plan.stage(since.elapsed()) {
                    Stage::Over if !later.is_empty() => Stage::Given,
                    stage => stage,
                },
            ),
            State::Connected { host } => Progress::Connected(*host),
        }
    }

    /// What the master server answered, as soon as it has.
    #[must_use]
    pub fn answer(&self) -> Option<Answer> {
        self.answer
    }

    /// All endpoints of the host that the master server has told, in order.
    #[must_use]
    pub fn told(&self) -> &[SocketAddr] {
        &self.told
    }

    /// By which way it got through, when connected.
    #[must_use]
    pub fn way(&self) -> Option<Way> {
        let host = self.host()?;
        let later = self.told.get(1..).unwrap_or_default();
        Some(if later.contains(&host) {
            Way::Later(host)
        } else if host.ip() == self.config.host {
            Way::Direct
        } else {
            Way::Instead(host)
        })
    }

    /// The master server that it talks to.
    #[must_use]
    pub fn master(&self) -> SocketAddr {
        self.config.master
    }

    /// Why it has left other master servers for that one, in this order.
    #[must_use]
    pub fn left(&self) -> &[Error] {
        &self.left
    }

    /// The host, when connected.
    #[must_use]
    pub fn host(&self) -> Option<SocketAddr> {
        match self.state {
            State::Connected { host } => Some(host),
            _ => None,
        }
    }

    /// The time from the start to the welcome, when connected.
    #[must_use]
    pub fn connected_after(&self) -> Option<Duration> {
        self.connected
    }

    /// The port that the game gave for a direct connection.
    #[must_use]
    pub fn given(&self) -> Option<u16> {
        self.config.given
    }

    /// Whether the host has knocked while it knocked itself.
    #[must_use]
    pub fn was_knocked_at(&self) -> bool {
        self.knocker.is_some()
    }

    /// The local address of the game's socket.
    #[must_use]
    pub fn local(&self) -> SocketAddr {
        self.socket.local()
    }

    /// Asks the host for its eight data strings.
    ///
    /// # Errors
    /// If it is not connected, or the host does not send them in time.
    pub fn request_data(&self, within: Duration) -> Result<Data, Error> {
        self.request(&[wire::DATA_REQUEST], "data strings", within, wire::data_strings)
    }

    /// Sends something of the game's own and waits until the host sends the same back.
    ///
    /// # Errors
    /// If it is not connected, or the host does not send it in time.
    pub fn echo(&self, payload: &[u8], within: Duration) -> Result<(), Error> {
        self.request(payload, "echo", within, |got| (got == payload).then_some(()))
    }

    /// Sends something of the game's own to the host.
    ///
    /// # Errors
    /// If it is not connected.
    pub fn send(&self, payload: &[u8]) -> Result<(), Error> {
        let host = self.host().ok_or(Error::NotConnected)?;
        self.socket.send(host, payload);
        Ok(())
    }

    /// The next thing of the game's own that the host sends.
    ///
    /// # Errors
    /// If it is not connected, or nothing comes in time.
    pub fn receive(&self, within: Duration) -> Result<Vec<u8>, Error> {
        self.wait_for("message", Instant::now() + within, within, |got| Some(got.to_vec()))
    }

    /// Dies with an RST on the connection to the master server, if there is one.
    pub fn die(self) {
        if let Some(control) = self.control {
            control.reset();
        }
    }

    /// Reads an event as games do, which is its first message. A second introduction starts the
    /// knocking again; who keeps all adds it, also if it came with the first.
    fn on_master(&mut self, event: &Event) -> Result<(), Error> {
        let mut len = self.on_message(&event.bytes)?;
        while self.config.keeps_all
            && let Some(rest @ [wire::MASTER, ..]) = event.bytes.get(len..)
        {
            len += self.on_message(rest)?;
        }
        Ok(())
    }

    /// Reads what is at the beginning, and says how many bytes an introduction had.
    fn on_message(&mut self, bytes: &[u8]) -> Result<usize, Error> {
        let master = self.config.master;
        match bytes.first() {
            None if self.answer.is_some() => {
                let ended = self.control.take().map(|control| control.ended(Vec::new()));
                ended.map_or(Ok(()), |why| self.go_on_knocking(why))?;
            }
            None => {
                let closed = Error::MasterClosed { master, after: Vec::new() };
                let ended = self.control.as_ref();
                let why = ended.map_or(closed, |control| control.ended(Vec::new()));
                self.ask_next(why)?;
            }
            Some(&wire::MASTER) => {
                let malformed = |why| Error::Malformed { from: master, bytes: bytes.to_vec(), why };
                let told = wire::introduction(bytes).map_err(malformed)?;
                self.on_introduction(told.endpoint);
                return Ok(told.len);
            }
            Some(&wire::NOT_FOUND) if self.next.is_some() => self.ask_later(),
            Some(&wire::NOT_FOUND) => {
                let error = Error::NotFound { host: self.config.host };
                self.knock_directly(Answer::NotFound, error)?;
            }
            Some(_) => {}
        }
        Ok(bytes.len())
    }

    fn on_introduction(&mut self, host: SocketAddr) {
        self.answer = Some(Answer::Told(host));
        self.is_told();
        let is_new = !self.told.contains(&host);
        if is_new && self.told.len() < MOST_ENDPOINTS {
            self.told.push(host);
        }
        match &mut self.state {
            State::Knocking { later, .. } if self.config.keeps_all => {
                if is_new && later.len() < MOST_ENDPOINTS {
                    later.push((host, Instant::now()));
                }
            }
            _ => self.knock(host),
        }
    }

    fn knock(&mut self, host: SocketAddr) {
        let ClientConfig { known, given, timeout, .. } = self.config;
        let plan = Plan::new(host, known, given, timeout);
        self.state = State::Knocking { plan, since: Instant::now(), later: Vec::new() };
    }

    /// Without the master server's help: only if the game knows the port of its hosts.
    fn knock_directly(&mut self, answer: Answer, otherwise: Error) -> Result<(), Error> {
        self.answer = Some(answer);
        let port = self.config.given.ok_or(otherwise)?;
        self.knock(SocketAddr::new(self.config.host, port));
        Ok(())
    }

    fn step_knocking(&mut self) -> Result<(), Error> {
        for _ in 0..MOST_A_STEP {
            let Some((from, payload)) = self.socket.receive(Duration::ZERO)? else { break };
            if payload.first() == Some(&wire::KNOCK) && self.is_address_of_host(from) {
                self.knocker = Some(from);
            }
            if payload.first() == Some(&wire::WELCOME) {
                self.state = State::Connected { host: from };
                self.connected = Some(self.started.elapsed());
                (self.control, self.next) = (None, None);
                return Ok(());
            }
        }
        let timeout = self.config.timeout;
        let State::Knocking { plan, since, later } = &mut self.state else { return Ok(()) };
        let elapsed = since.elapsed();
        later.retain(|(_, since)| since.elapsed() < timeout);
        if plan.stage(elapsed) == Stage::Over && later.is_empty() {
            let later = self.told.get(1..).unwrap_or_default().to_vec();
            return Err(Error::NoWelcome { host: plan.told(), later, waited: elapsed });
        }
        let mut targets = plan.targets(elapsed);
        targets.extend(later.iter().map(|(host, _)| *host));
        if self.config.waits_for_knock && self.knocker.is_none() {
            return Ok(());
        }
        let knocker =
            self.knocker.filter(|from| self.config.answers_knocks && !targets.contains(from));
        for target in targets.into_iter().chain(knocker) {
            self.socket.send(target, &[wire::KNOCK]);
        }
        Ok(())
    }

    /// Whether it is one that the player asked for, or that the master server has told.
    fn is_address_of_host(&self, addr: SocketAddr) -> bool {
        addr.ip() == self.config.host || self.told.iter().any(|told| told.ip() == addr.ip())
    }

    /// Sends a request, again and again as UDP may lose it, until its answer is there.
    fn request<T>(
        &self,
        payload: &[u8],
        wanted: &'static str,
        within: Duration,
        mut answer: impl FnMut(&[u8]) -> Option<T>,
    ) -> Result<T, Error> {
        let deadline = Instant::now() + within;
        loop {
            self.send(payload)?;
            let until = deadline.min(Instant::now() + REPEAT);
            match self.wait_for(wanted, until, within, &mut answer) {
                Err(Error::HostSilent { .. }) if Instant::now() < deadline => {}
                other => return other,
            }
        }
    }

    fn wait_for<T>(
        &self,
        wanted: &'static str,
        until: Instant,
        within: Duration,
        mut answer: impl FnMut(&[u8]) -> Option<T>,
    ) -> Result<T, Error> {
        let host = self.host().ok_or(Error::NotConnected)?;
        let silent = Error::HostSilent { host, wanted, waited: within };
        loop {
            let left = until.saturating_duration_since(Instant::now());
            let Some((from, payload)) = self.socket.receive(left)? else { return Err(silent) };
            // Knocks and welcomes that were still under way are none of the game's own.
            let old = matches!(payload.first(), Some(&(wire::KNOCK | wire::WELCOME)));
            if from == host
                && !old
                && let Some(found) = answer(&payload)
            {
                return Ok(found);
            }
            if Instant::now() >= until {
                return Err(silent);
            }
        }
    }
}
