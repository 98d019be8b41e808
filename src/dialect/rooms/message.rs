//! One datagram, one message: requests are read here; what the server sends is in `answer`.

use std::borrow::Cow;
use std::fmt;
use std::io::Write;
use std::net::IpAddr;

pub use super::answer::{Answer, Reason};
use super::field::{self, Id, Key};
pub use super::options::LONGEST_NAME;
use super::options::{Allowed, Options};
use crate::lobby::code::Code;
use crate::lobby::names::clean;

/// The longest request, in bytes.
pub const LONGEST_REQUEST: usize = 512;
/// The longest answer, in bytes: fits every path through the internet.
pub const LONGEST_ANSWER: usize = 1200;

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
    /// Join any room.
    Qj,
    /// How a punch ended.
    Pc,
    /// Leave the room.
    Lr,
    /// Close the room.
    Cr,
    /// Kick a client.
    Kc,
    /// Let somebody in again.
    Li,
    /// Rename the room.
    Rn,
    /// Say something else of the room.
    Rs,
    /// Come back.
    Rc,
    /// Still here.
    Ka,
}

impl Verb {
    /// All of them, with their text.
    pub const ALL: [(Self, &str); 14] = [
        (Self::Status, "status"),
        (Self::Rh, "rh"),
        (Self::Rl, "rl"),
        (Self::Jr, "jr"),
        (Self::Qj, "qj"),
        (Self::Pc, "pc"),
        (Self::Lr, "lr"),
        (Self::Cr, "cr"),
        (Self::Kc, "kc"),
        (Self::Li, "li"),
        (Self::Rn, "rn"),
        (Self::Rs, "rs"),
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

/// The room that somebody wants to join.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// The one with this ID.
    Id(Id),
    /// The private one with this code.
    Code(Code),
}

/// What a peer wants.
#[derive(Clone, Debug)]
pub enum Request {
    /// `status`
    Status,
    /// `rh:NAME`
    Host(String, Options),
    /// `rl:AFTER`
    List(Option<Id>, Options),
    /// `jr:ROOM` or `jr:CODE`
    Join(Wanted, Options),
    /// `qj`
    JoinAny(Options),
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
    /// `li:id:CLIENT`
    LetInId(Id),
    /// `li:ip:IP`
    LetInIp(IpAddr),
    /// `rn:NAME`
    Rename(String),
    /// `rs`
    Set(Options),
    /// `rc:CLIENT:KEY`
    Return(Id, Key, Options),
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
    /// The game that it names among its options, if it does.
    #[must_use]
    pub fn game(&self) -> Option<&str> {
        let options = match self {
            Self::Host(_, options)
            | Self::List(_, options)
            | Self::Join(_, options)
            | Self::JoinAny(options) => options,
            _ => return None,
        };
        Some(options.game.as_str()).filter(|game| !game.is_empty())
    }

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
        let last = data.iter().rposition(|b| !matches!(b, 0 | b'\r' | b'\n'));
        let text = last.and_then(|last| data.get(..=last)).unwrap_or_default();
        let text = without_prefix(text);
        let mut fields = text.split(|b| *b == b':');
        let first = fields.next().unwrap_or_default();
        if matches!(first, b"er" | b"rID") {
            return Err(Bad::Answer);
        }
        let verb = Verb::read(first).ok_or(Bad::Foreign)?;
        let malformed = Bad::Malformed(verb);
        if data.len() > LONGEST_REQUEST {
            return Err(malformed);
        }
        let request = match verb {
            Verb::Rh | Verb::Rl | Verb::Jr | Verb::Qj | Verb::Rc => {
                Self::with_options(verb, fields).map(|request| (request, None))
            }
            Verb::Rs => Self::changes(text),
            _ => {
                let args = [fields.next(), fields.next(), fields.next()];
                let is_too_much = fields.next().is_some();
                if is_too_much { None } else { Self::of_keyed(verb, args) }
            }
        };
        request.ok_or(malformed)
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
            Verb::Kc | Verb::Li | Verb::Pc => ([first, second], third, None),
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
            (Verb::Pc, [Some(client), Some(b"ok")]) => Self::Punched(field::id(client)?, true),
            (Verb::Pc, [Some(client), Some(b"fail")]) => Self::Punched(field::id(client)?, false),
            (Verb::Lr, [None, _]) => Self::Leave,
            (Verb::Cr, [None, _]) => Self::Close,
            (Verb::Kc, [Some(b"id"), Some(client)]) => Self::KickId(field::id(client)?),
            (Verb::Kc, [Some(b"ip"), Some(ip)]) => Self::KickIp(field::ip(ip)?),
            (Verb::Li, [Some(b"id"), Some(client)]) => Self::LetInId(field::id(client)?),
            (Verb::Li, [Some(b"ip"), Some(ip)]) => Self::LetInIp(field::ip(ip)?),
            (Verb::Rn, [Some(text), None]) => Self::Rename(name(text)?),
            (Verb::Ka, [None, _]) => Self::KeepAlive,
            _ => return None,
        })
    }

    /// The request with these fields behind the verb, the last of which are options.
    fn with_options<'a>(verb: Verb, mut fields: impl Iterator<Item = &'a [u8]>) -> Option<Self> {
        Some(match verb {
            Verb::Rh => {
                let name = fields.next().map_or(Some(String::new()), name)?;
                Self::Host(name, Options::read(fields, Allowed::Opening)?)
            }
            Verb::Rl => {
                let first = fields.next();
                let after = first.and_then(field::id);
                let fields = first.filter(|_| after.is_none()).into_iter().chain(fields);
                Self::List(after, Options::read(fields, Allowed::Search)?)
            }
            Verb::Jr => {
                let wanted = fields.next()?;
                let by_code = || Code::read(wanted).map(Wanted::Code);
                let wanted = field::id(wanted).map(Wanted::Id).or_else(by_code)?;
                Self::Join(wanted, Options::read(fields, Allowed::Entrance)?)
            }
            Verb::Qj => Self::JoinAny(Options::read(fields, Allowed::AnyEntrance)?),
            Verb::Rc => {
                let (client, key) = (field::id(fields.next()?)?, field::key(fields.next()?)?);
                Self::Return(client, key, Options::read(fields, Allowed::Place)?)
            }
            _ => return None,
        })
    }

    /// `rs` with all its fields, and the key that it may end with.
    fn changes(text: &[u8]) -> Option<(Self, Option<Key>)> {
        let is_colon = |b: &u8| *b == b':';
        let key = text.rsplit(is_colon).next().and_then(field::key);
        let options = text.split(is_colon).count() - 1 - usize::from(key.is_some());
        let options = text.split(is_colon).skip(1).take(options);
        Some((Self::Set(Options::read(options, Allowed::Changes)?), key))
    }

    /// The first field.
    #[must_use]
    pub const fn verb(&self) -> Verb {
        match self {
            Self::Status => Verb::Status,
            Self::Host(..) => Verb::Rh,
            Self::List(..) => Verb::Rl,
            Self::Join(..) => Verb::Jr,
            Self::JoinAny(_) => Verb::Qj,
            Self::Punched(..) => Verb::Pc,
            Self::Leave => Verb::Lr,
            Self::Close => Verb::Cr,
            Self::KickId(_) | Self::KickIp(_) => Verb::Kc,
            Self::LetInId(_) | Self::LetInIp(_) => Verb::Li,
            Self::Rename(_) => Verb::Rn,
            Self::Set(_) => Verb::Rs,
            Self::Return(..) => Verb::Rc,
            Self::KeepAlive => Verb::Ka,
        }
    }

    /// Appends the request as a client sends it.
    pub fn write(&self, bytes: &mut Vec<u8>) {
        let verb = self.verb();
        // Writing to memory does not fail.
        let _ = match self {
            Self::Host(name, _) | Self::Rename(name) => {
                let written = write!(bytes, "{verb}:");
                field::encode(name, bytes);
                written
            }
            Self::List(Some(id), _) | Self::Join(Wanted::Id(id), _) => write!(bytes, "{verb}:{id}"),
            Self::Join(Wanted::Code(code), _) => write!(bytes, "{verb}:{code}"),
            Self::Punched(client, true) => write!(bytes, "{verb}:{client}:ok"),
            Self::Punched(client, false) => write!(bytes, "{verb}:{client}:fail"),
            Self::KickId(client) | Self::LetInId(client) => write!(bytes, "{verb}:id:{client}"),
            Self::KickIp(ip) | Self::LetInIp(ip) => {
                let written = write!(bytes, "{verb}:ip:");
                field::encode_ip(*ip, bytes);
                written
            }
            Self::Return(client, key, _) => write!(bytes, "{verb}:{client}:{key}"),
            Self::Status
            | Self::List(None, _)
            | Self::JoinAny(_)
            | Self::Set(_)
            | Self::Leave
            | Self::Close
            | Self::KeepAlive => {
                write!(bytes, "{verb}")
            }
        };
        if let Some(options) = self.options() {
            options.write(bytes);
        }
    }

    /// What it says behind its first fields, if it may.
    const fn options(&self) -> Option<&Options> {
        match self {
            Self::Host(_, options)
            | Self::List(_, options)
            | Self::Join(_, options)
            | Self::JoinAny(options)
            | Self::Set(options)
            | Self::Return(_, _, options) => Some(options),
            _ => None,
        }
    }
}

/// The first field for which a request cannot be read, for the log: what is before it can be. None: it can be
/// read, or too little stands behind its verb.
#[must_use]
pub fn wrong_field(data: &[u8]) -> Option<String> {
    let text = without_prefix(data.get(..LONGEST_REQUEST).unwrap_or(data));
    let ends = text.iter().enumerate().filter(|(_, byte)| **byte == b':').map(|(end, _)| end);
    let mut reads = ends
        .chain([text.len()])
        .map(|end| (end, text.get(..end).is_some_and(|text| Request::read(text).is_ok())))
        .skip_while(|(_, can_be_read)| !can_be_read);
    let (mut before, _) = reads.next()?;
    for (end, can_be_read) in reads {
        if !can_be_read {
            let field = text.get(before + 1..end)?;
            return Some(
                String::from_utf8_lossy(field).trim_end_matches(['\0', '\r', '\n']).into(),
            );
        }
        before = end;
    }
    None
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
    let is_short = name.len() <= LONGEST_NAME;
    let name = match clean(&name) {
        Cow::Borrowed(_) => name,
        Cow::Owned(clean) => clean,
    };
    (is_short && field::id(name.as_bytes()).is_none()).then_some(name)
}
