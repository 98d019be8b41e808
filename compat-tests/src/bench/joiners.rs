//! Rooms with clients that join and leave, again and again. Each host and each client has a
//! loopback address of its own, as servers tell peers apart by address.
//!
//! A join is done when the client has its two answers, and when the host has been told of it, has
//! said that the punch worked, and has been answered. After that nothing is sent again later, so
//! the work of a join is always the same.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use mio::net::UdpSocket;
use mio::{Events, Interest, Poll, Token};

use super::Failure;
use super::players::Server;
use super::sockets::{self, address, wait_for};

/// All answers of a round must be there within this time.
const PATIENCE: Duration = Duration::from_secs(60);
/// A request is filled up with NULs, which do not count, so that it pays for its answers: an
/// address is sent three times what came from it.
const PADDED: usize = 48;
/// For so long after it has left, the server takes the `jr` of a client for an old one.
const LATE: Duration = Duration::from_millis(1200);
/// Kinds of peers, for their addresses.
const HOST: u8 = 8;
const CLIENT: u8 = 9;

/// Hosts of rooms, and their clients.
#[derive(Debug)]
pub struct Joiners {
    is_checked: bool,
    poll: Poll,
    hosts: Vec<Host>,
    clients: Vec<Client>,
    /// Which client is at `IP:PORT`.
    at: HashMap<String, usize>,
    /// Clients that have their answers.
    answered: usize,
    /// Clients that their hosts know.
    confirmed: usize,
}

#[derive(Debug)]
struct Host {
    udp: UdpSocket,
    /// `IP:PORT`
    addr: String,
    room: String,
}

#[derive(Debug)]
struct Client {
    udp: UdpSocket,
    /// The ID that it was told, once it was.
    id: String,
    /// The ID that its host was told.
    told: String,
    /// It has its key too, or has heard that it has left.
    is_done: bool,
}

impl Joiners {
    /// Makes rooms, whose hosts prove themselves. The clients are in no room yet.
    ///
    /// # Errors
    /// If the machine or the server does not take so many, or says something wrong.
    pub fn new(server: Server, rooms: usize, clients: usize) -> Result<Self, Failure> {
        let mut joiners = Self {
            is_checked: matches!(server, Server::Master(_)),
            poll: Poll::new().map_err(Failure::system("make a poll"))?,
            hosts: Vec::with_capacity(rooms),
            clients: Vec::with_capacity(clients),
            at: HashMap::new(),
            answered: 0,
            confirmed: 0,
        };
        for n in 0..rooms {
            let (mut udp, addr) = open(HOST, n, server.addr())?;
            let room = open_room(&udp)?;
            joiners.watch(&mut udp, n)?;
            joiners.hosts.push(Host { udp, addr, room });
        }
        for n in 0..clients {
            let (mut udp, addr) = open(CLIENT, n, server.addr())?;
            joiners.watch(&mut udp, rooms + n)?;
            joiners.at.insert(addr, n);
            let (id, told) = (String::new(), String::new());
            joiners.clients.push(Client { udp, id, told, is_done: false });
        }
        Ok(joiners)
    }

    fn watch(&self, udp: &mut UdpSocket, n: usize) -> Result<(), Failure> {
        let watched = self.poll.registry().register(udp, Token(n), Interest::READABLE);
        watched.map_err(Failure::system("wait for a socket's events"))
    }

    /// All clients join, so many at a time, one room after the other. Returns how long it took.
    ///
    /// # Errors
    /// If an answer is wrong or missing.
    pub fn join(&mut self, at_once: usize) -> Result<Duration, Failure> {
        (self.answered, self.confirmed) = (0, 0);
        for client in &mut self.clients {
            client.id.clear();
            client.told.clear();
            client.is_done = false;
        }
        let took = self.ask(at_once, |joiners, n| {
            let host = &joiners.hosts[n % joiners.hosts.len()];
            say(&joiners.clients[n].udp, &format!("jr:{}", host.room))
        })?;
        let wrong = |client: &&Client| self.is_checked && client.id != client.told;
        if let Some(client) = self.clients.iter().find(wrong) {
            let Client { id, told, .. } = client;
            return Err(Failure::Wrong(format!("client {id} is {told} to its host")));
        }
        Ok(took)
    }

    /// All clients leave, and everybody has forgotten it when this returns.
    ///
    /// # Errors
    /// If an answer is wrong or missing.
    pub fn leave(&mut self) -> Result<(), Failure> {
        (self.answered, self.confirmed) = (0, self.clients.len());
        for client in &mut self.clients {
            client.is_done = false;
        }
        self.ask(32, |joiners, n| say(&joiners.clients[n].udp, "lr"))?;
        std::thread::sleep(LATE);
        self.read_events(&mut Events::with_capacity(1024))
    }

    fn ask(
        &mut self,
        at_once: usize,
        request: impl Fn(&Self, usize) -> io::Result<()>,
    ) -> Result<Duration, Failure> {
        let mut events = Events::with_capacity(1024);
        let (count, begin) = (self.clients.len(), Instant::now());
        let mut started = 0;
        while self.answered.min(self.confirmed) < count {
            while started < count && started - self.answered.min(self.confirmed) < at_once {
                request(self, started).map_err(Failure::system("ask the server"))?;
                started += 1;
            }
            self.read_events(&mut events)?;
            if begin.elapsed() > PATIENCE {
                let (answered, confirmed) = (self.answered, self.confirmed);
                return Err(Failure::Late(format!(
                    "{answered} of {count} clients are answered, hosts know {confirmed}"
                )));
            }
        }
        Ok(begin.elapsed())
    }

    fn read_events(&mut self, events: &mut Events) -> Result<(), Failure> {
        wait_for(&mut self.poll, events, Duration::from_millis(100))?;
        let mut buffer = [0; 2048];
        for Token(n) in events.iter().map(mio::event::Event::token) {
            let client = n.checked_sub(self.hosts.len());
            loop {
                let udp = client.map_or_else(|| &self.hosts[n].udp, |n| &self.clients[n].udp);
                let Ok(length) = udp.recv(&mut buffer) else { break };
                let text = String::from_utf8_lossy(&buffer[..length]);
                let heard = match client {
                    Some(client) => self.client_heard(client, &text),
                    None => self.host_heard(n, &text),
                };
                if heard.is_none() {
                    let who = if client.is_some() { "client" } else { "host" };
                    return Err(Failure::Wrong(format!("a {who} was told \"{text}\"")));
                }
            }
        }
        Ok(())
    }

    /// None if it is wrong.
    fn client_heard(&mut self, n: usize, text: &str) -> Option<()> {
        let host = &self.hosts[n % self.hosts.len()];
        let client = &mut self.clients[n];
        if let Some(rest) = text.strip_prefix("jr:") {
            let (room, rest) = rest.split_once(':')?;
            let (id, addr) = rest.split_once(':')?;
            client.id = id.to_owned();
            let is_right = room == host.room && addr == host.addr && is_hex(id, 16);
            return (is_right || !self.is_checked).then_some(());
        }
        let own = text.strip_prefix("rID:").and_then(|rest| rest.split_once(':'));
        let is_right = match own {
            Some((id, key)) => id == client.id && is_hex(key, 32),
            None if text.starts_with("rh:") => !self.is_checked,
            None => text.trim_end_matches('\0') == "lr" || text == format!("lr:{}", host.room),
        };
        if !is_right {
            return None;
        }
        if client.is_done {
            // The answer to its key.
            return (own.is_some() || !self.is_checked).then_some(());
        }
        client.is_done = true;
        self.answered += 1;
        match own {
            Some((id, key)) => say(&client.udp, &format!("rc:{id}:{key}")).ok(),
            None => Some(()),
        }
    }

    /// None if it is wrong.
    fn host_heard(&mut self, n: usize, text: &str) -> Option<()> {
        let (verb, rest) = text.trim_end_matches('\0').split_once(':')?;
        let (id, rest) = rest.split_once(':').unwrap_or((rest, ""));
        match verb {
            "cj" if self.is_checked => {
                let client = *self.at.get(rest)?;
                let told = &mut self.clients[client].told;
                if client % self.hosts.len() != n || !told.is_empty() {
                    return None;
                }
                id.clone_into(told);
            }
            "cj" => {}
            // Those who are told last at the end of a round, and its copies.
            "cl" => return is_hex(id, 16).then_some(()),
            "pc" if rest == "ok" && is_hex(id, 16) => {
                self.confirmed += 1;
                return Some(());
            }
            _ => return None,
        }
        say(&self.hosts[n].udp, &format!("pc:{id}:ok")).ok()
    }
}

fn open(kind: u8, n: usize, server: SocketAddr) -> Result<(UdpSocket, String), Failure> {
    let socket = sockets::udp(address(kind, n), server);
    let addr = socket.and_then(|socket| Ok((socket.local_addr()?.to_string(), socket)));
    let (addr, socket) = addr.map_err(Failure::system("open a UDP socket"))?;
    Ok((UdpSocket::from_std(socket), addr))
}

/// Makes a room, and shows that the host is where it says. Returns the room's ID.
fn open_room(udp: &UdpSocket) -> Result<String, Failure> {
    say(udp, "rh").map_err(Failure::system("make a room"))?;
    let (room, own) = (hear(udp)?, hear(udp)?);
    let proof = own.replacen("rID", "rc", 1);
    say(udp, &proof).map_err(Failure::system("make a room"))?;
    let again = (hear(udp)?, hear(udp)?);
    match room.strip_prefix("rh:") {
        Some(id) if is_hex(id, 16) && again == (room.clone(), own) => Ok(id.to_owned()),
        _ => Err(Failure::Wrong(format!("\"{room}\" for a new room, then {again:?}"))),
    }
}

fn hear(udp: &UdpSocket) -> Result<String, Failure> {
    let mut buffer = [0; 2048];
    let begin = Instant::now();
    loop {
        match udp.recv(&mut buffer) {
            Ok(length) => return Ok(String::from_utf8_lossy(&buffer[..length]).into_owned()),
            Err(_) if begin.elapsed() > PATIENCE => {
                return Err(Failure::Late("no answer to who makes a room".into()));
            }
            Err(_) => std::thread::sleep(Duration::from_micros(50)),
        }
    }
}

fn say(udp: &UdpSocket, text: &str) -> io::Result<()> {
    let mut bytes = [0; 128];
    let length = text.len().min(bytes.len());
    bytes[..length].copy_from_slice(&text.as_bytes()[..length]);
    udp.send(&bytes[..length.max(PADDED)]).map(drop)
}

fn is_hex(text: &str, length: usize) -> bool {
    text.len() == length && text.bytes().all(|b| b.is_ascii_hexdigit())
}
