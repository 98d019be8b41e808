//! What the server sends, but for pages of the list.

use std::fmt;
use std::io::Write;
use std::net::{IpAddr, SocketAddr};

use super::field::{self, Id, Key};
use super::message::Verb;
use super::options::write_endpoints;
use crate::cookies::Cookie;
use crate::dialect::addr::push_port;
use crate::lobby::code::Code;

/// Why a request is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reason {
    /// There is no such room, or the peer is in none.
    NoRoom,
    /// Only the host of the room may do that.
    NotHost,
    /// The room has no place left.
    Full,
    /// Its host lets nobody new in.
    Locked,
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
            Self::Locked => "locked",
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
    /// `rh:ROOM`, `rh:ROOM:CODE` if it is private: you are the host.
    Hosting(Id, Option<Code>),
    /// `rs:ROOM` or `rs:ROOM:CODE`: so it is.
    Set(Id, Option<Code>),
    /// `nh:CLIENT`: you are the host now.
    Promoted(Id),
    /// `nh:CLIENT:IP:PORT`: the host is that one now.
    NewHost(Id, SocketAddr),
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
    /// `la:CLIENT:IP:PORT:...`: in its own network, which may be yours, it is there.
    Local(Id, &'a [SocketAddr]),
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
    /// `li:id:CLIENT`: it may come in again.
    LetInId(Id),
    /// `li:ip:IP`: they may come in again.
    LetInIp(IpAddr),
    /// `rn:NAME`: the name of the room.
    Named(&'a str),
    /// `ka`
    Alive,
    /// `er:rl:cookie:COOKIE`: ask once more, with this.
    Cookie(Cookie),
    /// `er:VERB:REASON`
    Refused(Verb, Reason),
}

impl Answer<'_> {
    /// The ID in an answer that says who somebody is, as it is written.
    pub fn own_id(text: &[u8]) -> Option<Id> {
        let id = text.strip_prefix(b"rID:")?.split(|byte| *byte == b':').next()?;
        u64::from_str_radix(std::str::from_utf8(id).ok()?, 16).ok().map(Id)
    }

    /// Appends the answer.
    pub fn write(self, bytes: &mut Vec<u8>) {
        match self {
            Self::Ok => bytes.extend_from_slice(b"OK"),
            Self::Busy => bytes.extend_from_slice(b"BUSY"),
            Self::Hosting(room, code) => write_room(bytes, "rh:", room, code),
            Self::Set(room, code) => write_room(bytes, "rs:", room, code),
            Self::Promoted(host) => write_with(bytes, "nh:", host),
            Self::NewHost(host, at) => {
                write_with(bytes, "nh:", host);
                write_endpoints(&[at], bytes);
            }
            Self::Local(client, all) => {
                write_with(bytes, "la:", client);
                write_endpoints(all, bytes);
            }
            Self::Own(client, key) => {
                write_with(bytes, "rID:", client);
                bytes.push(b':');
                key.write(bytes);
            }
            Self::Joined(room, client, host) => {
                write_with(bytes, "jr:", room);
                write_with(bytes, ":", client);
                write_endpoints(&[host], bytes);
            }
            Self::Comes(client, at) => {
                write_with(bytes, "cj:", client);
                write_endpoints(&[at], bytes);
            }
            Self::Moved(client, at) => {
                write_with(bytes, "ep:", client);
                write_endpoints(&[at], bytes);
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
            Self::LetInId(client) => write_with(bytes, "li:id:", client),
            Self::LetInIp(ip) => {
                bytes.extend_from_slice(b"li:ip:");
                field::encode_ip(ip, bytes);
            }
            Self::Named(name) => {
                bytes.extend_from_slice(b"rn:");
                field::encode(name, bytes);
            }
            Self::Alive => bytes.extend_from_slice(b"ka"),
            // Writing to memory does not fail.
            Self::Cookie(cookie) => _ = write!(bytes, "er:{}:cookie:{cookie}", Verb::Rl),
            Self::Refused(verb, reason) => _ = write!(bytes, "er:{verb}:{reason}"),
        }
    }
}

fn write_with(bytes: &mut Vec<u8>, before: &str, id: Id) {
    bytes.extend_from_slice(before.as_bytes());
    id.write(bytes);
}

fn write_room(bytes: &mut Vec<u8>, before: &str, room: Id, code: Option<Code>) {
    write_with(bytes, before, room);
    if let Some(code) = code {
        bytes.push(b':');
        bytes.extend_from_slice(code.text().as_bytes());
    }
}
