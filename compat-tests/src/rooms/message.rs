//! What the master server sends, as a client reads it.

use std::net::SocketAddr;

use punchd::dialect::rooms::field::{self, Id, Key};
use punchd::lobby::code::Code;

/// A message of the master server.
#[derive(Clone, Debug)]
pub enum Message {
    /// `OK`
    Ok,
    /// `BUSY`
    Busy,
    /// `rh:ROOM` or `rh:ROOM:CODE`
    Hosting(Id, Option<Code>),
    /// `rs:ROOM` or `rs:ROOM:CODE`
    Set(Id, Option<Code>),
    /// `rID:CLIENT:KEY`
    Own(Id, Key),
    /// `rl:...`, and whether there are more.
    List(Vec<Entry>, More),
    /// `jr:ROOM:CLIENT:HOSTIP:HOSTPORT`
    Joined(Id, Id, SocketAddr),
    /// `cj:CLIENT:IP:PORT`
    Comes(Id, SocketAddr),
    /// `ep:CLIENT:IP:PORT`
    Moved(Id, SocketAddr),
    /// `pp:CLIENT:PORT,PORT,...`
    Predicted(Id, Vec<u16>),
    /// `la:CLIENT:IP:PORT:...`
    Local(Id, Vec<SocketAddr>),
    /// `nh:CLIENT`
    Promoted(Id),
    /// `nh:CLIENT:IP:PORT`
    NewHost(Id, SocketAddr),
    /// `li:id:CLIENT` or `li:ip:IP`
    LetsIn,
    /// `pc:CLIENT:ok`
    Noted(Id),
    /// `lr:ROOM`
    Left(Id),
    /// `cl:CLIENT`
    Gone(Id),
    /// `cr:ROOM`
    Closed(Id),
    /// `kc:ROOM`
    Kicked(Id),
    /// `kc:id:CLIENT` or `kc:ip:IP`
    Kicks,
    /// `rn:NAME`
    Named(String),
    /// `ka`
    Alive,
    /// `er:VERB:REASON`
    Refused(String, String),
}

/// Whether a page is followed by another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum More {
    /// It is the last one.
    None,
    /// One that goes on behind its last room.
    AfterLast,
    /// One that goes on behind this room.
    After(Id),
}

/// A room in the list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// What to join it by.
    pub room: Id,
    /// What its host calls it.
    pub name: String,
    /// `open`, `password`, `full` or `locked`
    pub status: String,
    /// How many are in it, the host counted.
    pub players: u32,
    /// How many may be in it, if that was asked for.
    pub size: Option<u32>,
    /// What its host says of it, if that was asked for.
    pub data: Vec<(String, String)>,
}

impl Message {
    /// Reads a datagram; `None` if it is no message of the dialect.
    #[must_use]
    pub fn read(data: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(data).ok()?;
        let fields: Vec<&str> = text.split(':').collect();
        let id = |text: &str| field::id(text.as_bytes());
        Some(match fields[..] {
            ["OK"] => Self::Ok,
            ["BUSY"] => Self::Busy,
            ["rh", room] => Self::Hosting(id(room)?, None),
            ["rh", room, code] => Self::Hosting(id(room)?, Some(Code::read(code.as_bytes())?)),
            ["rs", room] => Self::Set(id(room)?, None),
            ["rs", room, code] => Self::Set(id(room)?, Some(Code::read(code.as_bytes())?)),
            ["rID", client, key] => Self::Own(id(client)?, field::key(key.as_bytes())?),
            ["rl", ""] => Self::List(Vec::new(), More::None),
            ["rl", ref entries @ .., "+"] => Self::List(read_entries(entries)?, More::AfterLast),
            ["rl", ref entries @ .., last] if last.starts_with('+') => {
                let after = id(last.strip_prefix('+')?)?;
                Self::List(read_entries(entries)?, More::After(after))
            }
            ["rl", ref entries @ ..] => Self::List(read_entries(entries)?, More::None),
            ["jr", room, client, ip, port] => {
                Self::Joined(id(room)?, id(client)?, endpoint(ip, port)?)
            }
            ["cj", client, ip, port] => Self::Comes(id(client)?, endpoint(ip, port)?),
            ["ep", client, ip, port] => Self::Moved(id(client)?, endpoint(ip, port)?),
            ["pp", client, ports] => {
                let ports = ports.split(',').map(|port| port.parse().ok());
                Self::Predicted(id(client)?, ports.collect::<Option<_>>()?)
            }
            ["la", client, ref all @ ..] => {
                let all = all.chunks(2).map(|at| match at {
                    [ip, port] => endpoint(ip, port),
                    _ => None,
                });
                Self::Local(id(client)?, all.collect::<Option<_>>()?)
            }
            ["nh", client] => Self::Promoted(id(client)?),
            ["nh", client, ip, port] => Self::NewHost(id(client)?, endpoint(ip, port)?),
            ["li", "id" | "ip", _] => Self::LetsIn,
            ["pc", client, "ok"] => Self::Noted(id(client)?),
            ["lr", room] => Self::Left(id(room)?),
            ["cl", client] => Self::Gone(id(client)?),
            ["cr", room] => Self::Closed(id(room)?),
            ["kc", room] => Self::Kicked(id(room)?),
            ["kc", "id" | "ip", _] => Self::Kicks,
            ["rn", name] => Self::Named(field::decode(name.as_bytes())?),
            ["ka"] => Self::Alive,
            ["er", verb, reason] => Self::Refused(verb.into(), reason.into()),
            _ => return None,
        })
    }
}

fn endpoint(ip: &str, port: &str) -> Option<SocketAddr> {
    Some(SocketAddr::new(field::ip(ip.as_bytes())?, port.parse().ok()?))
}

fn read_entries(entries: &[&str]) -> Option<Vec<Entry>> {
    entries.iter().map(|entry| read_entry(entry)).collect()
}

fn read_entry(entry: &str) -> Option<Entry> {
    let parts: Vec<&str> = entry.split(',').collect();
    let (room, name, status, players, size, data) = match parts[..] {
        [room, name, status, players] => (room, name, status, players, None, &[][..]),
        [room, name, status, players, size, ref data @ ..] => {
            (room, name, status, players, Some(size.parse().ok()?), data)
        }
        _ => return None,
    };
    let pair = |pair: &&str| {
        let (key, value) = pair.split_once('=')?;
        Some((field::decode(key.as_bytes())?, field::decode(value.as_bytes())?))
    };
    Some(Entry {
        size,
        data: data.iter().map(pair).collect::<Option<_>>()?,
        room: field::id(room.as_bytes())?,
        name: field::decode(name.as_bytes())?,
        status: status.into(),
        players: players.parse().ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use punchd::dialect::rooms::message::{Answer, Reason, Verb};

    fn read(answer: Answer<'_>) -> Message {
        let mut bytes = Vec::new();
        answer.write(&mut bytes);
        Message::read(&bytes).expect("the server's own message")
    }

    proptest! {
        #[test]
        fn what_the_server_writes_is_read(
            a: u64, b: u64, key: u128, name in "\\PC{0,20}[:,%\n]{0,3}",
            ip: std::net::IpAddr, port: u16,
        ) {
            let code = Code::read(b"BCDFGH").expect("a code");
            let (a, b, at) = (Id(a), Id(b), SocketAddr::new(ip.to_canonical(), port));
            let read = |answer| format!("{:?}", read(answer));
            let same = |answer, message: Message| (read(answer), format!("{message:?}"));
            let pairs = [
                same(Answer::Ok, Message::Ok),
                same(Answer::Busy, Message::Busy),
                same(Answer::Hosting(a, None), Message::Hosting(a, None)),
                same(Answer::Hosting(a, Some(code)), Message::Hosting(a, Some(code))),
                same(Answer::Set(a, None), Message::Set(a, None)),
                same(Answer::Set(a, Some(code)), Message::Set(a, Some(code))),
                same(Answer::Promoted(a), Message::Promoted(a)),
                same(Answer::NewHost(a, at), Message::NewHost(a, at)),
                same(Answer::Local(a, &[at, at]), Message::Local(a, vec![at, at])),
                same(Answer::LetInId(a), Message::LetsIn),
                same(Answer::LetInIp(ip), Message::LetsIn),
                same(Answer::Joined(a, b, at), Message::Joined(a, b, at)),
                same(Answer::Comes(a, at), Message::Comes(a, at)),
                same(Answer::Moved(a, at), Message::Moved(a, at)),
                same(Answer::Predicted(a, &[port, 7]), Message::Predicted(a, vec![port, 7])),
                same(Answer::Noted(a), Message::Noted(a)),
                same(Answer::Left(a), Message::Left(a)),
                same(Answer::Gone(a), Message::Gone(a)),
                same(Answer::Closed(a), Message::Closed(a)),
                same(Answer::Kicked(a), Message::Kicked(a)),
                same(Answer::KickedId(a), Message::Kicks),
                same(Answer::KickedIp(ip), Message::Kicks),
                same(Answer::Named(&name), Message::Named(name.clone())),
                same(Answer::Alive, Message::Alive),
                same(
                    Answer::Refused(Verb::Rc, Reason::BadKey),
                    Message::Refused("rc".into(), "badkey".into()),
                ),
            ];
            for (read, meant) in pairs {
                prop_assert_eq!(read, meant);
            }
            let mut own = Vec::new();
            Answer::Own(a, Key(key)).write(&mut own);
            let own = Message::read(&own);
            prop_assert!(matches!(own, Some(Message::Own(id, k)) if id == a && k.0 == key));
        }

        #[test]
        fn any_bytes_are_read_or_not(data in prop::collection::vec(any::<u8>(), 0..80)) {
            let _ = Message::read(&data);
        }
    }
}
