//! One datagram, one message: requests are read here, answers written.

use std::fmt;
use std::io::Write;
use std::net::{IpAddr, SocketAddr};

use super::field::{self, Id, Key};
use crate::dialect::addr::push_port;
use crate::introductions::plan::Wish;

/// The longest request, in bytes.
pub const LONGEST_REQUEST: usize = 512;
/// The longest answer, in bytes: fits every path through the internet.
pub const LONGEST_ANSWER: usize = 1200;
/// The longest name of a room, in bytes of UTF-8.
pub const LONGEST_NAME: usize = 64;

/// The first field of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Verb {
    /// Is there room for more?
    Status,
    /// Host a room.
    Rh,
    /// List the rooms.
    Rl,
    /// Join a room.
    Jr,
    /// How a punch ended.
    Pc,
    /// Leave the room.
    Lr,
    /// Close the room.
    Cr,
    /// Kick a client.
    Kc,
    /// Rename the room.
    Rn,
    /// Come back.
    Rc,
    /// Still here.
    Ka,
}

impl Verb {
    /// All of them, with their text.
    pub const ALL: [(Self, &str); 11] = [
        (Self::Status, "status"),
        (Self::Rh, "rh"),
        (Self::Rl, "rl"),
        (Self::Jr, "jr"),
        (Self::Pc, "pc"),
        (Self::Lr, "lr"),
        (Self::Cr, "cr"),
        (Self::Kc, "kc"),
        (Self::Rn, "rn"),
        (Self::Rc, "rc"),
        (Self::Ka, "ka"),
    ];

    fn read(field: &[u8]) -> Option<Self> {
        Self::ALL.into_iter().find(|(_, text)| text.as_bytes() == field).map(|(verb, _)| verb)
    }
}

impl fmt::Display for Verb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text =
            Self::ALL.into_iter().find(|(verb, _)| verb == self).map_or("", |(_, text)| text);
        f.write_str(text)
    }
}

/// What a peer wants.
#[derive(Clone, Debug)]
pub enum Request {
    /// `status`
    Status,
    /// `rh:NAME`
    Host(String),
    /// `rl:AFTER`
    List(Option<Id>),
    /// `jr:ROOM`, `jr:ROOM:always` or `jr:ROOM:never`
    Join(Id, Wish),
    /// `pc:CLIENT:ok` or `pc:CLIENT:fail`
    Punched(Id, bool),
    /// `lr`
    Leave,
    /// `cr`
    Close,
    /// `kc:id:CLIENT`
    KickId(Id),
    /// `kc:ip:IP`
    KickIp(IpAddr),
    /// `rn:NAME`
    Rename(String),
    /// `rc:CLIENT:KEY`
    Return(Id, Key),
    /// `ka`
    KeepAlive,
}

/// Why a datagram is no request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bad {
    /// No text of this dialect.
    Foreign,
    /// What only a server sends: another server is there, or something that sends back whatever
    /// it gets.
    Answer,
    /// A request, but with wrong fields or too long.
    Malformed(Verb),
}

impl Request {
    /// Reads a datagram. NULs and line ends behind it do not count, nor does the prefix
    /// `k:SECRET:`, by which servers that admit only some games tell them apart.
    ///
    /// # Errors
    /// If it is no request.
    pub fn read(data: &[u8]) -> Result<Self, Bad> {
        Self::read_with_key(data).map(|(request, _)| request)
    }

    /// The same, and the key of its sender that it ends with, if it does.
    ///
    /// # Errors
    /// If it is no request.
    pub fn read_with_key(data: &[u8]) -> Result<(Self, Option<Key>), Bad> {
        let mut text = data;
        while let [rest @ .., 0 | b'\r' | b'\n'] = text {
            text = rest;
        }
        let text = without_prefix(text);
        let mut fields = text.split(|b| *b == b':');
        let first = fields.next().unwrap_or_default();
        if matches!(first, b"er" | b"rID") {
            return Err(Bad::Answer);
        }
        let verb = Verb::read(first).ok_or(Bad::Foreign)?;
        let args = [fields.next(), fields.next(), fields.next()];
        let too_much = data.len() > LONGEST_REQUEST || fields.next().is_some();
        let request = if too_much { None } else { Self::of_keyed(verb, args) };
        request.ok_or(Bad::Malformed(verb))
    }

    /// The request with these fields behind the verb, the last of which may be a key if the request is
    /// about the sender's own place.
    fn of_keyed(
        verb: Verb,
        [first, second, third]: [Option<&[u8]>; 3],
    ) -> Option<(Self, Option<Key>)> {
        let (args, key, rest) = match verb {
            Verb::Lr | Verb::Cr | Verb::Ka => ([None, None], first, second),
            Verb::Rn => ([first, None], second, third),
            Verb::Kc | Verb::Pc => ([first, second], third, None),
            _ => ([first, second], None, third),
        };
        let key = match key {
            Some(field) => Some(field::key(field)?),
            None => None,
        };
        if rest.is_some() { None } else { Some((Self::of(verb, args)?, key)) }
    }

    /// The request with these fields behind the verb.
    fn of(verb: Verb, args: [Option<&[u8]>; 2]) -> Option<Self> {
        Some(match (verb, args) {
            (Verb::Status, [None, _]) => Self::Status,
            (Verb::Rh, [None, _]) => Self::Host(String::new()),
            (Verb::Rh, [Some(text), None]) => Self::Host(name(text)?),
            (Verb::Rl, [None, _]) => Self::List(None),
            (Verb::Rl, [Some(after), None]) => Self::List(Some(field::id(after)?)),
            (Verb::Jr, [Some(room), None]) => Self::Join(field::id(room)?, Wish::default()),
            (Verb::Jr, [Some(room), Some(wish)]) => Self::Join(field::id(room)?, Wish::read(wish)?),
            (Verb::Pc, [Some(client), Some(b"ok")]) => Self::Punched(field::id(client)?, true),
            (Verb::Pc, [Some(client), Some(b"fail")]) => Self::Punched(field::id(client)?, false),
            (Verb::Lr, [None, _]) => Self::Leave,
            (Verb::Cr, [None, _]) => Self::Close,
            (Verb::Kc, [Some(b"id"), Some(client)]) => Self::KickId(field::id(client)?),
            (Verb::Kc, [Some(b"ip"), Some(ip)]) => Self::KickIp(field::ip(ip)?),
            (Verb::Rn, [Some(text), None]) => Self::Rename(name(text)?),
            (Verb::Rc, [Some(client), Some(key)]) => {
                Self::Return(field::id(client)?, field::key(key)?)
            }
            (Verb::Ka, [None, _]) => Self::KeepAlive,
            _ => return None,
        })
    }

    /// The first field.
    #[must_use]
    pub const fn verb(&self) -> Verb {
        match self {
            Self::Status => Verb::Status,
            Self::Host(_) => Verb::Rh,
            Self::List(_) => Verb::Rl,
            Self::Join(..) => Verb::Jr,
            Self::Punched(..) => Verb::Pc,
            Self::Leave => Verb::Lr,
            Self::Close => Verb::Cr,
            Self::KickId(_) | Self::KickIp(_) => Verb::Kc,
            Self::Rename(_) => Verb::Rn,
            Self::Return(..) => Verb::Rc,
            Self::KeepAlive => Verb::Ka,
        }
    }

    /// Appends the request as a client sends it.
    pub fn write(&self, bytes: &mut Vec<u8>) {
        let verb = self.verb();
        // Writing to memory does not fail.
        let _ = match self {
            Self::Host(name) | Self::Rename(name) => {
                let written = write!(bytes, "{verb}:");
                field::encode(name, bytes);
                written
            }
            Self::List(Some(id)) => write!(bytes, "{verb}:{id}"),
            Self::Join(id, wish) => {
                let written = write!(bytes, "{verb}:{id}");
                if let Some(wish) = wish.text() {
                    bytes.push(b':');
                    bytes.extend_from_slice(wish.as_bytes());
                }
                written
            }
            Self::Punched(client, true) => write!(bytes, "{verb}:{client}:ok"),
            Self::Punched(client, false) => write!(bytes, "{verb}:{client}:fail"),
            Self::KickId(client) => write!(bytes, "{verb}:id:{client}"),
            Self::KickIp(ip) => {
                let written = write!(bytes, "{verb}:ip:");
                field::encode_ip(*ip, bytes);
                written
            }
            Self::Return(client, key) => write!(bytes, "{verb}:{client}:{key}"),
            Self::Status | Self::List(None) | Self::Leave | Self::Close | Self::KeepAlive => {
                write!(bytes, "{verb}")
            }
        };
    }
}

/// The SECRET of `k:SECRET:` in front of a request, if there is one.
#[must_use]
pub fn key(data: &[u8]) -> Option<String> {
    let (secret, _) = split_key(data.strip_prefix(b"k:")?)?;
    field::decode(secret)
}

/// What is behind `k:SECRET:`, or all of it. The secret is text as well; so a datagram with the
/// cookie of STUN in it, which is none, is never a request.
fn without_prefix(text: &[u8]) -> &[u8] {
    let Some(rest) = text.strip_prefix(b"k:") else { return text };
    match split_key(rest) {
        Some((secret, request)) if std::str::from_utf8(secret).is_ok() => request,
        _ => b"",
    }
}

/// The SECRET of `SECRET:` and what is behind it.
fn split_key(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let mut parts = text.splitn(2, |b| *b == b':');
    Some((parts.next()?, parts.next()?))
}

/// A name for a room. One that looks like an ID is none: the answer `rh:ROOM` would be a request
/// to a server that somebody made it go to, and two servers would answer each other for ever.
fn name(field: &[u8]) -> Option<String> {
    let name = field::decode(field)?;
    (name.len() <= LONGEST_NAME && field::id(name.as_bytes()).is_none()).then_some(name)
}

/// Why a request is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reason {
    /// There is no such room, or the peer is in none.
    NoRoom,
    /// Only the host of the room may do that.
    NotHost,
    /// The room has no place left.
    Full,
    /// The host has kicked this peer.
    Kicked,
    /// The server is full or about to stop.
    Busy,
    /// The fields are wrong, or it makes no sense here.
    BadRequest,
    /// The key is not that of the peer.
    BadKey,
    /// The address of the peer does too much.
    Limit,
    /// One side has IPv4 and the other IPv6, so that they cannot reach each other.
    Family,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoRoom => "noroom",
            Self::NotHost => "nothost",
            Self::Full => "full",
            Self::Kicked => "kicked",
            Self::Busy => "busy",
            Self::BadRequest => "badrequest",
            Self::BadKey => "badkey",
            Self::Limit => "limit",
            Self::Family => "family",
        })
    }
}

/// What the server sends, but for pages of the list.
#[derive(Clone, Copy, Debug)]
pub enum Answer<'a> {
    /// `OK`
    Ok,
    /// `BUSY`
    Busy,
    /// `rh:ROOM`: you are the host.
    Hosting(Id),
    /// `rID:CLIENT:KEY`: who you are.
    Own(Id, Key),
    /// `jr:ROOM:CLIENT:HOSTIP:HOSTPORT`: you are in, and there is the host.
    Joined(Id, Id, SocketAddr),
    /// `cj:CLIENT:IP:PORT`: a client comes from there.
    Comes(Id, SocketAddr),
    /// `ep:CLIENT:IP:PORT`: it is there now.
    Moved(Id, SocketAddr),
    /// `pp:CLIENT:PORT,PORT,...`: its NAT counts, and it will have one of these ports.
    Predicted(Id, &'a [u16]),
    /// `pc:CLIENT:ok`: noted.
    Noted(Id),
    /// `lr:ROOM`: you have left.
    Left(Id),
    /// `cl:CLIENT`: it has left.
    Gone(Id),
    /// `cr:ROOM`: the room is closed.
    Closed(Id),
    /// `kc:ROOM`: you were kicked.
    Kicked(Id),
    /// `kc:id:CLIENT`: it is kicked.
    KickedId(Id),
    /// `kc:ip:IP`: they are kicked.
    KickedIp(IpAddr),
    /// `rn:NAME`: the name of the room.
    Named(&'a str),
    /// `ka`
    Alive,
    /// `er:VERB:REASON`
    Refused(Verb, Reason),
}

impl Answer<'_> {
    /// Appends the answer.
    pub fn write(self, bytes: &mut Vec<u8>) {
        match self {
            Self::Ok => bytes.extend_from_slice(b"OK"),
            Self::Busy => bytes.extend_from_slice(b"BUSY"),
            Self::Hosting(room) => write_with(bytes, "rh:", room),
            Self::Own(client, key) => {
                write_with(bytes, "rID:", client);
                bytes.push(b':');
                key.write(bytes);
            }
            Self::Joined(room, client, host) => {
                write_with(bytes, "jr:", room);
                write_with(bytes, ":", client);
                write_at(bytes, host);
            }
            Self::Comes(client, at) => {
                write_with(bytes, "cj:", client);
                write_at(bytes, at);
            }
            Self::Moved(client, at) => {
                write_with(bytes, "ep:", client);
                write_at(bytes, at);
            }
            Self::Predicted(client, ports) => {
                write_with(bytes, "pp:", client);
                for (n, port) in ports.iter().enumerate() {
                    bytes.push(if n == 0 { b':' } else { b',' });
                    push_port(*port, bytes);
                }
            }
            Self::Noted(client) => {
                write_with(bytes, "pc:", client);
                bytes.extend_from_slice(b":ok");
            }
            Self::Left(room) => write_with(bytes, "lr:", room),
            Self::Gone(client) => write_with(bytes, "cl:", client),
            Self::Closed(room) => write_with(bytes, "cr:", room),
            Self::Kicked(room) => write_with(bytes, "kc:", room),
            Self::KickedId(client) => write_with(bytes, "kc:id:", client),
            Self::KickedIp(ip) => {
                bytes.extend_from_slice(b"kc:ip:");
                field::encode_ip(ip, bytes);
            }
            Self::Named(name) => {
                bytes.extend_from_slice(b"rn:");
                field::encode(name, bytes);
            }
            Self::Alive => bytes.extend_from_slice(b"ka"),
            // Writing to memory does not fail.
            Self::Refused(verb, reason) => _ = write!(bytes, "er:{verb}:{reason}"),
        }
    }
}

fn write_with(bytes: &mut Vec<u8>, before: &str, id: Id) {
    bytes.extend_from_slice(before.as_bytes());
    id.write(bytes);
}

fn write_at(bytes: &mut Vec<u8>, at: SocketAddr) {
    bytes.push(b':');
    field::encode_ip(at.ip(), bytes);
    bytes.push(b':');
    push_port(at.port(), bytes);
}
