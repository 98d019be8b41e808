//! What kind of NAT is in front of this machine, in the terms of RFC 4787, found out by asking a
//! STUN server as RFC 5780 says.
//!
//! A server with a second address can tell everything; with only a second port, some kinds look
//! the same, and [`Mapping`] and [`Filtering`] have a value for that.

mod lifetime;
mod report;
mod stun;

use std::hash::{BuildHasher, RandomState};
use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

pub use lifetime::{Lifetime, lifetime};
pub use report::{Allocation, Filtering, Mapping, Report};
pub use stun::{Answer, Error, Stun};

/// How to ask.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// The server.
    pub server: SocketAddr,
    /// Its alternate port, for servers that have only one address and cannot tell it.
    pub alternate_port: u16,
    /// How long to wait for an answer before asking again.
    pub patience: Duration,
    /// The local address to ask from; none: any.
    pub bind: Option<IpAddr>,
}

impl Options {
    /// The usual: the alternate port is the next one.
    #[must_use]
    pub fn new(server: SocketAddr) -> Self {
        let alternate_port = server.port().wrapping_add(1);
        Self { server, alternate_port, patience: Duration::from_millis(500), bind: None }
    }
}

/// How many sockets show how ports are chosen.
const SAMPLES: usize = 6;

/// Lets a master server see what the NAT in front of a socket does: asks it by STUN, at its port
/// and at the next, which is its alternate port unless it was told otherwise. The answers do not
/// matter, only that both see from which port the socket comes.
pub fn show(master: SocketAddr, send: impl Fn(SocketAddr, &[u8])) {
    let random = RandomState::new();
    for port in [Some(master.port()), master.port().checked_add(1)].into_iter().flatten() {
        // A Binding request without attributes (RFC 8489, section 5).
        let mut request = [0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42].to_vec();
        request.extend(random.hash_one(port).to_be_bytes());
        request.extend(random.hash_one("rest").to_be_bytes().iter().take(4));
        send(SocketAddr::new(master.ip(), port), &request);
    }
}

/// Finds out everything but the lifetime of mappings.
///
/// # Errors
/// If the server does not answer at all, or sockets fail.
pub fn discover(options: &Options) -> Result<Report, Error> {
    let server = options.server;
    let stun = Stun::open(options)?;
    let first = stun.ask(server, 0)?;
    let local = local_endpoint(&stun, options)?;
    let nat = first.mapped != local;
    // One that is named and does not answer, as behind a firewall, is as good as none.
    let elsewhere = first.other.map(|other| SocketAddr::new(other.ip(), server.port()));
    let elsewhere = elsewhere.and_then(|at| tries(&stun, at));
    let mapping =
        if nat { mapping(&stun, &first, elsewhere.as_ref(), options) } else { Mapping::None };
    Ok(Report {
        local,
        mapped: first.mapped,
        mapping,
        filtering: filtering(options, elsewhere.is_some())?,
        allocation: if nat { Some(allocation(options)?) } else { None },
        hairpinning: if nat { Some(hairpinning(options)?) } else { None },
    })
}

/// The endpoint that this machine itself gives the socket when it talks to the server.
fn local_endpoint(stun: &Stun, options: &Options) -> Result<SocketAddr, Error> {
    let (server, any) = (options.server, stun::local(options));
    let route = || -> io::Result<IpAddr> {
        let socket = UdpSocket::bind(any)?;
        socket.connect(server)?;
        Ok(socket.local_addr()?.ip())
    };
    let ip = route().map_err(Error::socket("find the way to", server))?;
    Ok(SocketAddr::new(ip, stun.port()?))
}

/// What an address of the server says that need not be reached.
fn tries(stun: &Stun, at: SocketAddr) -> Option<Answer> {
    stun.try_ask(at, 0).ok().flatten()
}

/// RFC 5780, section 4.3. With the answer from the server's other address, if there is one.
fn mapping(stun: &Stun, first: &Answer, elsewhere: Option<&Answer>, options: &Options) -> Mapping {
    let port = first.other.map_or(options.alternate_port, |other| other.port());
    let is_same = |answer: &Answer| answer.mapped == first.mapped;
    match elsewhere.map(is_same) {
        Some(true) => Mapping::EndpointIndependent,
        known => match (tries(stun, SocketAddr::new(options.server.ip(), port)), known) {
            (None, _) => Mapping::Unknown,
            (Some(answer), None) if is_same(&answer) => Mapping::PortIndependent,
            (Some(answer), Some(_)) if is_same(&answer) => Mapping::AddressDependent,
            (Some(_), _) => Mapping::AddressAndPortDependent,
        },
    }
}

/// RFC 5780, section 4.4. The socket must be one that has never sent anything elsewhere. A server that answers from
/// where it was asked does not do what it was asked for.
fn filtering(options: &Options, mut has_other_address: bool) -> Result<Filtering, Error> {
    use punchd::dialect::stun::message::{CHANGE_IP, CHANGE_PORT};
    let stun = Stun::open(options)?;
    stun.ask(options.server, 0)?;
    if has_other_address {
        match stun.try_ask(options.server, CHANGE_IP | CHANGE_PORT) {
            Ok(Some(answer)) if answer.from.ip() != options.server.ip() => {
                return Ok(Filtering::EndpointIndependent);
            }
            Ok(Some(_)) | Err(Error::Refused { .. }) => has_other_address = false,
            Ok(None) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(match (stun.try_ask(options.server, CHANGE_PORT), has_other_address) {
        (Ok(Some(answer)), _) if answer.from.port() == options.server.port() => Filtering::Unknown,
        (Ok(Some(_)), true) => Filtering::AddressDependent,
        (Ok(Some(_)), false) => Filtering::PortIndependent,
        (Ok(None), _) => Filtering::AddressAndPortDependent,
        // The server cannot do it.
        (Err(Error::Refused { .. }), _) => Filtering::Unknown,
        (Err(error), _) => return Err(error),
    })
}

/// How ports are chosen for one new socket after the other.
fn allocation(options: &Options) -> Result<Allocation, Error> {
    let mut sockets = Vec::new();
    let mut ports = Vec::new();
    for _ in 0..SAMPLES {
        let stun = Stun::open(options)?;
        ports.push((stun.port()?, stun.ask(options.server, 0)?.mapped.port()));
        // Kept open, so that no port is used twice.
        sockets.push(stun);
    }
    Ok(Allocation::of(&ports))
}

/// Whether two sockets behind the NAT reach each other by their public endpoints (RFC 4787,
/// section 6). Both send, so that filters let the packets in where that is possible at all.
fn hairpinning(options: &Options) -> Result<bool, Error> {
    let (one, other) = (Stun::open(options)?, Stun::open(options)?);
    let to_one = one.ask(options.server, 0)?.mapped;
    let to_other = other.ask(options.server, 0)?.mapped;
    let deadline = Instant::now() + options.patience * 2;
    while Instant::now() < deadline {
        one.knock(to_other)?;
        other.knock(to_one)?;
        let step = options.patience / 5;
        if one.was_knocked(step)? || other.was_knocked(step)? {
            return Ok(true);
        }
    }
    Ok(false)
}
