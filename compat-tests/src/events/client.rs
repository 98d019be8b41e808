//! The typed client: the same calls whether the connection is encrypted or not.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr, TcpStream, UdpSocket};
use std::time::{Duration, Instant};

use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::error::{EventError, Fault};
use super::link::{Link, PATIENCE, Tls};
use super::told::{Arrival, Introduction, Login, Pass, Request};
use crate::datagrams;
use crate::nat;
use crate::shown::quoted;

/// The server itself answers at once.
const OF_SERVER: Duration = Duration::from_secs(10);

/// Longer than the server waits for a peer, so that its word comes first.
const WAIT: Duration = Duration::from_secs(40);

/// So many bytes of events wait to be asked for.
const UNREAD: usize = 4 << 20;

/// How often the token is sent until the server has answered.
const TOKEN_GAP: Duration = Duration::from_millis(200);

type Handler = Box<dyn FnMut(&Request) -> Result<Value, Fault> + Send>;

/// A connection to the server.
pub struct EventClient {
    link: Link,
    last_id: u64,
    login: Option<Login>,
    passes: VecDeque<Pass>,
    /// Bytes that have come since nothing waited to be asked for.
    unread: usize,
    /// Confirmations and responses that nobody has asked for yet, by ID.
    answers: HashMap<u64, Value>,
    handlers: HashMap<String, Handler>,
    /// How long the server may take to answer.
    patience: Duration,
    /// When it has sent something last.
    heard: Instant,
    /// When it was asked last whether it is there, and by which request.
    asked: Option<(Instant, u64)>,
    /// How it is looked whether it is there while an answer is waited for.
    looks: Option<(Duration, Duration)>,
}

impl fmt::Debug for EventClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EventClient").field("login", &self.login).finish_non_exhaustive()
    }
}

impl EventClient {
    /// Connects, encrypted if `tls` is given.
    ///
    /// # Errors
    /// If nobody accepts, or the server is not who it should be.
    pub fn connect(server: SocketAddr, tls: Option<&Tls>) -> Result<Self, EventError> {
        Self::connect_from(None, server, tls)
    }

    /// The same from a local address, if one is given.
    ///
    /// # Errors
    /// Those of [`Self::connect`], or if this machine has no such address.
    pub fn connect_from(
        from: Option<IpAddr>,
        server: SocketAddr,
        tls: Option<&Tls>,
    ) -> Result<Self, EventError> {
        Self::connect_within(PATIENCE.max(OF_SERVER), from, server, tls)
    }

    /// The same where the server may take only so long to accept, and to answer what it answers itself.
    ///
    /// # Errors
    /// Those of [`Self::connect_from`].
    pub fn connect_within(
        patience: Duration,
        from: Option<IpAddr>,
        server: SocketAddr,
        tls: Option<&Tls>,
    ) -> Result<Self, EventError> {
        Ok(Self {
            link: Link::open(from, server, tls, patience.min(PATIENCE))?,
            patience: patience.min(OF_SERVER),
            heard: Instant::now(),
            asked: None,
            looks: None,
            last_id: 0,
            login: None,
            passes: VecDeque::new(),
            unread: 0,
            answers: HashMap::new(),
            handlers: HashMap::new(),
        })
    }

    /// The same by WebSocket, as a page of a browser does it.
    ///
    /// # Errors
    /// If nobody accepts, or does not speak WebSocket.
    pub fn connect_web(server: SocketAddr, tls: Option<&Tls>) -> Result<Self, EventError> {
        let mut client = Self::connect(server, tls)?;
        client.become_web()?;
        Ok(client)
    }

    /// Goes on by WebSocket on a connection on which nothing was said so far.
    ///
    /// # Errors
    /// If the server does not speak it.
    pub fn become_web(&mut self) -> Result<(), EventError> {
        self.link.open_web()
    }

    /// Whether the server does not say within this time that it is there. It is asked if it has sent nothing
    /// for `quiet`, and seen to be there only while something is waited for.
    pub fn is_silent(&mut self, quiet: Duration, within: Duration) -> bool {
        match self.asked {
            Some((asked, _)) if asked >= self.heard => asked.elapsed() >= within,
            _ => {
                if self.heard.elapsed() >= quiet {
                    // Whether the connection is broken shows when it is read.
                    let id = self.start_request(None, "ping", json!({})).unwrap_or(self.last_id);
                    self.asked = Some((Instant::now(), id));
                }
                false
            }
        }
    }

    /// From now on no answer is waited for, not that of a peer either, once [`Self::is_silent`] says so of these
    /// times: for who has logged in, and has another server to go on to. One that is there may take its time, as it
    /// may have to ask another node.
    pub fn give_up_silent(&mut self, quiet: Duration, within: Duration) {
        self.looks = Some((quiet, within));
        self.patience = OF_SERVER;
    }

    /// The TCP connection below.
    #[must_use]
    pub fn tcp(&self) -> &TcpStream {
        self.link.tcp()
    }

    /// Logs in under an ID.
    ///
    /// # Errors
    /// If the server refuses it.
    pub fn login(&mut self, id: &str, game: &str) -> Result<Login, EventError> {
        self.login_with(id, game, None)
    }

    /// Logs in where a key is asked for.
    ///
    /// # Errors
    /// If the server refuses it.
    pub fn login_with(
        &mut self,
        id: &str,
        game: &str,
        key: Option<&str>,
    ) -> Result<Login, EventError> {
        self.resume(id, game, key, None)
    }

    /// Logs in with the secret of an earlier login, to have that place again.
    ///
    /// # Errors
    /// If the server refuses it.
    pub fn resume(
        &mut self,
        id: &str,
        game: &str,
        key: Option<&str>,
        secret: Option<&str>,
    ) -> Result<Login, EventError> {
        let data = json!({"id": id, "game": game, "key": key, "secret": secret});
        let login: Login = self.ask("login", data)?;
        self.login = Some(login.clone());
        Ok(login)
    }

    /// What the server has said to the last login.
    #[must_use]
    pub fn logged_in(&self) -> Option<&Login> {
        self.login.as_ref()
    }

    /// Sends an event, to a peer or to the server, and does not ask what becomes of it.
    ///
    /// # Errors
    /// If the connection is broken.
    pub fn pass(&mut self, dest: Option<&str>, name: &str, data: Value) -> Result<(), EventError> {
        self.send(&with_dest(json!({"type": "pass", "name": name, "data": data}), dest))
    }

    /// Sends an event and waits until it has arrived, or it is known why not.
    ///
    /// # Errors
    /// If the connection is broken.
    pub fn confirm_pass(
        &mut self,
        dest: Option<&str>,
        name: &str,
        data: Value,
    ) -> Result<Arrival, EventError> {
        let id = self.start_confirm_pass(dest, name, data)?;
        self.arrival(id, WAIT)
    }

    /// Sends a request and waits for the answer.
    ///
    /// # Errors
    /// If the answer is an error, or the connection is broken.
    pub fn request(
        &mut self,
        dest: Option<&str>,
        name: &str,
        data: Value,
    ) -> Result<Value, EventError> {
        let id = self.start_request(dest, name, data)?;
        self.answer(id, if dest.is_some() { WAIT } else { self.patience })
    }

    /// The first half of [`Self::confirm_pass`]; [`Self::arrival`] is the other.
    ///
    /// # Errors
    /// If the connection is broken.
    pub fn start_confirm_pass(
        &mut self,
        dest: Option<&str>,
        name: &str,
        data: Value,
    ) -> Result<u64, EventError> {
        self.last_id += 1;
        let event =
            json!({"type": "confirm_pass", "name": name, "data": data, "pass_id": self.last_id});
        self.send(&with_dest(event, dest))?;
        Ok(self.last_id)
    }

    /// The first half of [`Self::request`]; [`Self::answer`] is the other.
    ///
    /// # Errors
    /// If the connection is broken.
    pub fn start_request(
        &mut self,
        dest: Option<&str>,
        name: &str,
        data: Value,
    ) -> Result<u64, EventError> {
        self.last_id += 1;
        let event =
            json!({"type": "request", "name": name, "data": data, "request_id": self.last_id});
        self.send(&with_dest(event, dest))?;
        Ok(self.last_id)
    }

    /// What became of a `confirm_pass`.
    ///
    /// # Errors
    /// If that is not known in time, or the connection is broken.
    pub fn arrival(&mut self, id: u64, within: Duration) -> Result<Arrival, EventError> {
        let answer = self.wait_for_answer(id, within)?;
        let Some(fault) = answer.get("error") else { return Ok(Arrival::Confirmed) };
        let fault: Fault = read(fault)?;
        Ok(match fault.code.as_str() {
            "no_such_peer" => Arrival::NoSuchPeer,
            "peer_left" => Arrival::PeerLeft,
            "timeout" => Arrival::Timeout,
            _ => Arrival::Refused(fault),
        })
    }

    /// The answer to a request.
    ///
    /// # Errors
    /// If it is an error or does not come in time, or the connection is broken.
    pub fn answer(&mut self, id: u64, within: Duration) -> Result<Value, EventError> {
        let mut answer = self.wait_for_answer(id, within)?;
        if let Some(fault) = answer.get("error") {
            return Err(EventError::Refused(read(fault)?));
        }
        Ok(answer.get_mut("data").map(Value::take).unwrap_or_default())
    }

    /// Answers requests of this name from now on, whenever the client waits for something.
    pub fn on_request(
        &mut self,
        name: &str,
        handler: impl FnMut(&Request) -> Result<Value, Fault> + Send + 'static,
    ) {
        self.handlers.insert(name.to_owned(), Box::new(handler));
    }

    /// The next event that wants no answer, if it comes in time.
    ///
    /// # Errors
    /// If the connection is broken.
    pub fn next_pass(&mut self, within: Duration) -> Result<Option<Pass>, EventError> {
        let deadline = Instant::now() + within;
        while self.passes.is_empty() {
            if !self.turn(deadline)? || self.is_over(deadline) {
                break;
            }
        }
        Ok(self.passes.pop_front())
    }

    /// The next event of this name; others wait until they are asked for.
    ///
    /// # Errors
    /// If it does not come in time, or the connection is broken.
    pub fn wait_for(&mut self, name: &str, within: Duration) -> Result<Pass, EventError> {
        let deadline = Instant::now() + within;
        let mut is_over = false;
        loop {
            let found = self.passes.iter().position(|pass| pass.name == name);
            if let Some(pass) = found.and_then(|n| self.passes.remove(n)) {
                return Ok(pass);
            }
            if is_over {
                return Err(EventError::NoAnswer(within));
            }
            is_over = !self.turn(deadline)? || self.is_over(deadline);
        }
    }

    /// Tells where one's game socket is in one's own network.
    ///
    /// # Errors
    /// If the server refuses it.
    pub fn local_endpoints(&mut self, local: &[SocketAddr]) -> Result<(), EventError> {
        let written = |addr: &SocketAddr| json!({"ip": addr.ip(), "port": addr.port()});
        let local: Vec<Value> = local.iter().map(written).collect();
        self.request(None, "local_endpoints", json!({"local": local})).map(drop)
    }

    /// Shows the server one's game socket; returns its endpoint as the server sees it.
    ///
    /// # Errors
    /// If one is not logged in, or no answer comes.
    pub fn udp_endpoint(
        &self,
        socket: &UdpSocket,
        within: Duration,
    ) -> Result<SocketAddr, EventError> {
        let server = self.link.server();
        let failed =
            |source| EventError::Socket { doing: "ask for the endpoint", with: server, source };
        let deadline = Instant::now() + within;
        nat::show(server, |to, data| {
            // It only helps; if it is lost that is as if it had never been there.
            let _ = socket.send_to(data, to);
        });
        while Instant::now() < deadline {
            self.keep_endpoint(socket).map_err(failed)?;
            let next = Instant::now() + TOKEN_GAP;
            let told = datagrams::receive_paced(socket, next, |data, from| {
                endpoint(std::str::from_utf8(data).ok().filter(|_| from == server)?)
            });
            if let Some(endpoint) = told {
                return Ok(endpoint);
            }
        }
        Err(EventError::NoAnswer(within))
    }

    /// Shows it once more and waits for nothing: that keeps the NAT's mapping, and tells the server if it has changed.
    ///
    /// # Errors
    /// If the socket is broken.
    pub fn keep_endpoint(&self, socket: &UdpSocket) -> io::Result<()> {
        let token = self.login.as_ref().map_or("", |login| login.udp_token.as_str());
        socket.send_to(format!("udp:{token}").as_bytes(), self.link.server()).map(drop)
    }

    /// The next introduction.
    ///
    /// # Errors
    /// If none comes in time, or the connection is broken.
    pub fn introduction(&mut self, within: Duration) -> Result<Introduction, EventError> {
        Introduction::read(&self.wait_for("introduce", within)?)
    }

    /// Sends a text as it is.
    ///
    /// # Errors
    /// If the connection is broken.
    pub fn send_text(&mut self, text: &str) -> Result<(), EventError> {
        self.link.send(text)
    }

    /// The next event of any kind, if it comes in time; nothing is done about it.
    ///
    /// # Errors
    /// If the connection is broken.
    pub fn receive(&mut self, within: Duration) -> Result<Option<Value>, EventError> {
        self.link.receive(within)
    }

    fn send(&mut self, event: &Value) -> Result<(), EventError> {
        self.link.send(&format!("{event}\n"))
    }

    pub(super) fn ask<T: DeserializeOwned>(
        &mut self,
        name: &str,
        data: Value,
    ) -> Result<T, EventError> {
        read(&self.request(None, name, data)?)
    }

    fn wait_for_answer(&mut self, id: u64, within: Duration) -> Result<Value, EventError> {
        let deadline = Instant::now() + within;
        loop {
            if let Some(answer) = self.answers.remove(&id) {
                return Ok(answer);
            }
            let look = self.looks.map(|(quiet, _)| Instant::now() + quiet);
            match self.turn(look.map_or(deadline, |look| look.min(deadline))) {
                Ok(_) if self.answers.contains_key(&id) => {}
                Ok(_) if self.is_over(deadline) => return Err(EventError::NoAnswer(within)),
                Ok(_) => {
                    if let Some((quiet, silent)) = self.looks
                        && self.is_silent(quiet, silent)
                    {
                        return Err(EventError::NoAnswer(silent));
                    }
                }
                Err(EventError::Closed(server)) => return Err(self.why_closed(server)),
                Err(error) => return Err(error),
            }
        }
    }

    /// The server has closed the connection, and may have said why before.
    fn why_closed(&self, server: SocketAddr) -> EventError {
        let is_error = |pass: &&Pass| pass.from.is_none() && pass.name == "error";
        let last = self.passes.iter().rfind(is_error);
        match last.and_then(|pass| read(&pass.data).ok()) {
            Some(fault) => EventError::ClosedFor(server, fault),
            None => EventError::Closed(server),
        }
    }

    /// Whether the time is up and all is taken care of that had come until then: of a server that
    /// sends without pause more is always there.
    fn is_over(&self, deadline: Instant) -> bool {
        Instant::now() >= deadline && !self.link.has_event()
    }

    /// Takes care of the next event. False: none came in time.
    fn turn(&mut self, deadline: Instant) -> Result<bool, EventError> {
        let left = deadline.saturating_duration_since(Instant::now());
        let Some(event) = self.link.receive(left)? else { return Ok(false) };
        self.heard = Instant::now();
        if self.passes.is_empty() {
            self.unread = 0;
        }
        self.unread += self.link.last();
        if self.unread > UNREAD {
            return Err(EventError::TooMuch(self.link.server()));
        }
        let text = |key: &str| event[key].as_str().map(str::to_owned);
        let name = text("name");
        let pass = Pass {
            from: text("from"),
            name: name.clone().unwrap_or_default(),
            data: event["data"].clone(),
        };
        match (event["type"].as_str(), name) {
            (Some("pass"), Some(_)) => self.passes.push_back(pass),
            (Some("confirm_pass"), Some(_)) => {
                self.passes.push_back(pass);
                self.send(&json!({"type": "confirm_pass", "pass_id": event["pass_id"]}))?;
            }
            (Some("request"), Some(name)) => {
                let mut answer = json!({
                    "type": "response", "name": name, "request_id": event["request_id"],
                });
                match self.handle(&pass) {
                    Ok(data) => answer["data"] = data,
                    Err(fault) => answer["error"] = json!(fault),
                }
                self.send(&answer)?;
            }
            (Some("confirm_pass"), None) => self.keep(&event["pass_id"], &event),
            (Some("response"), _) => self.keep(&event["request_id"], &event),
            _ => return Err(EventError::Malformed(quoted(event.to_string().as_bytes()))),
        }
        Ok(true)
    }

    fn handle(&mut self, request: &Request) -> Result<Value, Fault> {
        match self.handlers.get_mut(&request.name) {
            Some(handler) => handler(request),
            None if request.name == "ping" && request.from.is_none() => Ok(json!({})),
            None => Err(Fault {
                code: "unknown_request".to_owned(),
                message: "this peer knows no such request".to_owned(),
            }),
        }
    }

    fn keep(&mut self, id: &Value, event: &Value) {
        let is_ping = |id: &u64| self.asked.is_some_and(|(_, ping)| ping == *id);
        if let Some(id) = id.as_u64().filter(|id| *id <= self.last_id && !is_ping(id)) {
            self.answers.insert(id, event.clone());
        }
    }
}

fn with_dest(mut event: Value, dest: Option<&str>) -> Value {
    if let Some(dest) = dest {
        event["dest"] = dest.into();
    }
    event
}

pub(super) fn read<T: DeserializeOwned>(value: &Value) -> Result<T, EventError> {
    T::deserialize(value).map_err(|error| {
        EventError::Malformed(format!("{error} in {}", quoted(value.to_string().as_bytes())))
    })
}

/// What the server answers to a token: `udp:IP:PORT`.
fn endpoint(answer: &str) -> Option<SocketAddr> {
    let (ip, port) = answer.strip_prefix("udp:")?.rsplit_once(':')?;
    Some(SocketAddr::new(ip.parse().ok()?, port.parse().ok()?))
}
