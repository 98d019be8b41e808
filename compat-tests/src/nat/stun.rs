//! A STUN client on one UDP socket.

use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use punchd::dialect::stun::message::{BINDING, Class, Id, Message, Writer, attribute};

use super::Options;
use crate::datagrams;

/// How often a question is asked before it counts as not answered.
const TRIES: u32 = 3;

/// What is sent to find out about hairpinning: nothing that a server would take for a question.
const KNOCK: &[u8] = b"punch nat: hairpin";

/// Why a question has no answer.
#[derive(Debug)]
pub enum Error {
    /// A system call failed.
    Socket {
        /// What it was to do, as an infinitive.
        doing: &'static str,
        /// With whom.
        with: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// Nothing came back.
    NoAnswer {
        /// Who was asked.
        server: SocketAddr,
        /// How long for.
        waited: Duration,
    },
    /// The server says that it cannot do what was asked.
    Refused {
        /// Who was asked.
        server: SocketAddr,
        /// The number of the error (RFC 8489, section 14.8).
        code: u16,
    },
    /// Nothing comes back to another port than that which asks, so it does not tell how long a mapping lives.
    NoResponsePort {
        /// Who was asked.
        server: SocketAddr,
    },
}

impl Error {
    /// For `map_err`: names what failed and with whom.
    pub(super) fn socket(doing: &'static str, with: SocketAddr) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Socket { doing, with, source }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Socket { doing, with, source } => write!(f, "cannot {doing} {with}: {source}"),
            Self::NoAnswer { server, waited } => {
                write!(f, "no STUN answer from {server} within {waited:.1?}")
            }
            Self::Refused { server, code } => write!(f, "{server} answers with the error {code}"),
            Self::NoResponsePort { server } => write!(
                f,
                "{server} cannot tell how long a mapping lives: it does not answer to another port than that \
                 which asks (RESPONSE-PORT of RFC 5780); try a punchd"
            ),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Socket { source, .. } => Some(source),
            _ => None,
        }
    }
}

/// What a server answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answer {
    /// From where it came.
    pub from: SocketAddr,
    /// The endpoint that the server saw.
    pub mapped: SocketAddr,
    /// The server's other address and port, if it has both.
    pub other: Option<SocketAddr>,
    /// From where the server says that the answer was sent.
    pub origin: Option<SocketAddr>,
}

/// A socket that asks.
#[derive(Debug)]
pub struct Stun {
    socket: UdpSocket,
    server: SocketAddr,
    patience: Duration,
    random: RandomState,
}

/// The local address to ask from, or all of this machine, of the family of the server.
pub(super) fn local(options: &Options) -> SocketAddr {
    let any: IpAddr = match options.server {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    SocketAddr::new(options.bind.unwrap_or(any), 0)
}

impl Stun {
    /// Opens a socket on a port that was not used before.
    ///
    /// # Errors
    /// If the system has none.
    pub fn open(options: &Options) -> Result<Self, Error> {
        let server = options.server;
        let local = local(options);
        let failed = Error::socket("open the UDP port", local);
        let socket = UdpSocket::bind(local).map_err(failed)?;
        Ok(Self { socket, server, patience: options.patience, random: RandomState::new() })
    }

    /// The local port.
    ///
    /// # Errors
    /// If the system does not tell.
    pub fn port(&self) -> Result<u16, Error> {
        let local = self.socket.local_addr().map_err(Error::socket("ask", self.server))?;
        Ok(local.port())
    }

    /// Asks for an answer, from another address or port if `change` says so.
    ///
    /// # Errors
    /// If there is none.
    pub fn ask(&self, server: SocketAddr, change: u32) -> Result<Answer, Error> {
        let waited = self.patience * TRIES;
        self.try_ask(server, change)?.ok_or(Error::NoAnswer { server, waited })
    }

    /// The same; no answer is none.
    ///
    /// # Errors
    /// If sending fails or the server refuses.
    pub fn try_ask(&self, server: SocketAddr, change: u32) -> Result<Option<Answer>, Error> {
        let id = self.new_id();
        let mut request = Vec::new();
        let mut writer = Writer::new(&mut request, Class::Request, BINDING, id);
        if change != 0 {
            writer.attribute(attribute::CHANGE_REQUEST, &change.to_be_bytes());
        }
        for _ in 0..TRIES {
            self.send(&request, server)?;
            let answer =
                self.receive(self.patience, |data, from| answer(data, id, server, from))?;
            if let Some(answer) = answer {
                return answer.map(Some);
            }
        }
        Ok(None)
    }

    /// Asks the server to answer to another port of this NAT, once; the answer is for whoever has
    /// that port. Gives what it will look like.
    pub(super) fn ask_for(&self, port: u16) -> Result<Id, Error> {
        let id = self.new_id();
        let mut request = Vec::new();
        let [high, low] = port.to_be_bytes();
        Writer::new(&mut request, Class::Request, BINDING, id)
            .attribute(attribute::RESPONSE_PORT, &[high, low, 0, 0]);
        self.send(&request, self.server)?;
        Ok(id)
    }

    /// Whether one of these answers comes in time.
    pub(super) fn gets(&self, ids: &[Id], within: Duration) -> Result<bool, Error> {
        let is_it = |data: &[u8], _| {
            Message::parse(data).ok().filter(|message| ids.contains(&message.id)).map(|_| ())
        };
        Ok(self.receive(within, is_it)?.is_some())
    }

    pub(super) fn knock(&self, to: SocketAddr) -> Result<(), Error> {
        self.send(KNOCK, to)
    }

    pub(super) fn was_knocked(&self, within: Duration) -> Result<bool, Error> {
        Ok(self.receive(within, |data, _| (data == KNOCK).then_some(()))?.is_some())
    }

    fn send(&self, data: &[u8], to: SocketAddr) -> Result<(), Error> {
        self.socket.send_to(data, to).map_err(Error::socket("send to", to))?;
        Ok(())
    }

    /// The first datagram that `read` makes something of.
    fn receive<T>(
        &self,
        within: Duration,
        read: impl FnMut(&[u8], SocketAddr) -> Option<T>,
    ) -> Result<Option<T>, Error> {
        let until = Instant::now() + within;
        datagrams::receive_until(&self.socket, until, read)
            .map_err(Error::socket("hear from", self.server))
    }

    fn new_id(&self) -> Id {
        let [a, b] = [1, 2].map(|n| self.random.hash_one((n, Instant::now())));
        let mut transaction = [0; 12];
        transaction[..8].copy_from_slice(&a.to_be_bytes());
        transaction[8..].copy_from_slice(&(b as u32).to_be_bytes());
        Id::new(transaction)
    }
}

fn answer(
    data: &[u8],
    id: Id,
    server: SocketAddr,
    from: SocketAddr,
) -> Option<Result<Answer, Error>> {
    let message = Message::parse(data).ok().filter(|message| message.id == id)?;
    match message.class {
        Class::Success => {
            let mapped = message.xor_address(attribute::XOR_MAPPED_ADDRESS);
            let mapped = mapped.or_else(|| message.address(attribute::MAPPED_ADDRESS))?;
            let other = message.address(attribute::OTHER_ADDRESS);
            let origin = message.address(attribute::RESPONSE_ORIGIN);
            Some(Ok(Answer { from, mapped, other, origin }))
        }
        Class::Error => {
            let code = message.error_code().unwrap_or_default();
            Some(Err(Error::Refused { server, code }))
        }
        Class::Request | Class::Indication => None,
    }
}
