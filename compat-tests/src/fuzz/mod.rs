//! What the fuzz targets do with their bytes. It lives here so that plain `cargo test` can replay
//! the corpus; the targets themselves are in `compat-tests/fuzz`.
//!
//! Every function takes any bytes and must come back; a broken promise is a panic.

use std::net::SocketAddr;

use prost::Message as _;
use punchd::clock::{Instant, Now};
use punchd::dialect::events::event::Event;
use punchd::dialect::events::framing::{self, FrameError, Framer};
use punchd::dialect::gmnet::command::{Command, Go, Reader, Spare};
use punchd::dialect::gmnet::{datagram, lobby, text, version};
use punchd::dialect::natpunch::message::{Content, Message};
use punchd::dialect::rooms::message::{LONGEST_REQUEST, Request};
use punchd::dialect::stun::{self, Stun};
use punchd::dialect::{Context, Dialect as _, Name, Outbox, Output, Shared, Via, of_datagram};
use punchd::server::{Config, Server};

mod looks;
pub mod neighbours;
mod phrases;
mod world;

/// Some time.
const NOW: Now = Now { instant: Instant::from_micros(1_000_000), unix: 1 };

/// A function that takes any bytes.
pub type Target = fn(&[u8]);

/// All of them, by the name of their corpus.
pub const TARGETS: &[(&str, Target)] = &[
    ("gmnet_stream", gmnet_stream),
    ("gmnet_datagram", gmnet_datagram),
    ("events_stream", events_stream),
    ("rooms_datagram", rooms_datagram),
    ("natpunch_datagram", natpunch_datagram),
    ("stun_datagram", stun_datagram),
    ("server", server),
    ("http", http),
    ("neighbours", neighbours::run),
];

/// A stream of GMnet commands, cut where the first bytes say, must read as the same commands as
/// the uncut one.
pub fn gmnet_stream(data: &[u8]) {
    let (stream, chunks) = cut(data);
    let whole = read(&[stream]);
    assert_eq!(read(&chunks), whole, "the commands depend on how the stream was cut");
    for command in &whole.0 {
        let _ = version::check(command.param(0));
        let _ = lobby::Query::new(command);
    }
}

/// The stream that comes after the first bytes, whole and in the pieces whose lengths these are.
fn cut(data: &[u8]) -> (&[u8], Vec<&[u8]>) {
    let (cuts, stream) = data.split_at(data.len().min(4));
    let mut chunks = Vec::new();
    let mut rest = stream;
    for cut in cuts {
        let (chunk, tail) = rest.split_at(usize::from(*cut).min(rest.len()));
        chunks.push(chunk);
        rest = tail;
    }
    chunks.push(rest);
    (stream, chunks)
}

/// All commands of a stream, and whether it was read to its end.
fn read(chunks: &[&[u8]]) -> (Vec<Command>, bool) {
    let mut reader = Reader::default();
    let mut spare = Spare::default();
    let mut all = Vec::new();
    for chunk in chunks {
        let keep = |command: &Command| {
            all.push(command.clone());
            Go::On
        };
        if reader.read(chunk, &mut spare, keep).is_err() {
            return (all, false);
        }
    }
    (all, true)
}

/// A stream of JSON events, cut where the first bytes say, must read as the same objects as the
/// uncut one; what is an event must still be one, and one line, when it is passed on.
pub fn events_stream(data: &[u8]) {
    let (stream, chunks) = cut(data);
    let whole = frame(&[stream]);
    assert_eq!(frame(&chunks), whole, "the objects depend on how the stream was cut");
    for object in &whole.0 {
        let Ok(event) = Event::parse(object) else { continue };
        let mut line = Vec::new();
        event.write_on(&mut line, "\"1\"", "sender");
        assert_eq!(line.iter().position(|byte| *byte == b'\n'), Some(line.len() - 1));
        let again = Event::parse(&line);
        assert!(again.is_ok_and(|again| again.kind == event.kind && again.name == event.name));
    }
}

/// All objects of a stream, and whether it was read to its end.
fn frame(chunks: &[&[u8]]) -> (Vec<Vec<u8>>, Result<(), FrameError>) {
    let mut framer = Framer::default();
    let mut all = Vec::new();
    for chunk in chunks {
        let read = framer.read(chunk, |object| {
            all.push(object.to_vec());
            framing::Go::On
        });
        if let Err(error) = read {
            return (all, Err(error));
        }
    }
    (all, Ok(()))
}

/// A datagram, and the cleaning of any bytes.
pub fn gmnet_datagram(data: &[u8]) {
    let _ = datagram::parse(data);
    let mut once = String::new();
    text::clean_into(data, &mut once);
    let mut twice = String::new();
    text::clean_into(once.as_bytes(), &mut twice);
    assert_eq!(once, twice, "cleaned text had something to clean");
    assert!(!once.chars().any(char::is_control));
}

/// A message of natpunch must come back from being written, and whatever a server sends for it is
/// no longer than clients bear, can be read, and tells both endpoints of whom it introduces.
pub fn natpunch_datagram(data: &[u8]) {
    if let Ok(message) = Message::decode(data) {
        assert_eq!(Message::decode(&message.encode_to_vec()[..]).as_ref(), Ok(&message));
    }
    let dialects = vec![Name::Natpunch];
    let mut dialect = Server::new(Config { dialects, ..Config::default() });
    let mut out = Outbox::new();
    let from = SocketAddr::from(([203, 0, 113, 7], 4000));
    for datagram in [&b"\x0a\0"[..], data, data] {
        dialect.on_datagram(NOW, Via::default(), from, datagram, &mut out);
    }
    for output in out.outputs() {
        let Output::Udp(_, _, bytes) = output else { continue };
        assert!(bytes.len() <= 1024, "longer than a client bears");
        let told = Message::decode(bytes).ok().and_then(|message| message.content);
        assert!(told.is_some(), "no message of natpunch");
        if let Some(Content::ConnectionInstruction(told)) = told {
            assert!(told.public_endpoint.is_some() && told.local_endpoint.is_some());
        }
    }
}

/// A STUN request is answered with STUN, with its transaction ID, and with no more than three
/// times its bytes, headers of IP and UDP included.
pub fn stun_datagram(data: &[u8]) {
    /// Of IPv4 and UDP.
    const HEADERS: usize = 28;
    let sockets = [6510, 6511].map(|port| SocketAddr::from(([198, 51, 100, 10], port))).to_vec();
    let config = stun::Config { sockets, alternate_port: Some(6511), alternate_addr: None };
    let mut dialect = Stun::new(config);
    let mut out = Outbox::new();
    let from = SocketAddr::from(([203, 0, 113, 7], 4000));
    let cx = &mut Context { now: NOW, out: &mut out, shared: &mut Shared::default() };
    dialect.on_datagram(cx, Via::default(), from, data);
    assert!(out.len() <= 1, "one question, one answer");
    for output in out.outputs() {
        let Output::Udp(_, _, bytes) = output else { continue };
        assert!(bytes.len() + HEADERS <= 3 * (data.len() + HEADERS), "of use to forgers");
        assert_eq!(bytes.get(4..20), data.get(4..20), "another transaction");
        assert!(stun::message::Message::parse(bytes).is_ok());
    }
}

/// Bytes of a byte that is encoded.
const ENCODED: usize = 3;

/// A request about rooms must be the same one after it was written again, and be taken for one.
pub fn rooms_datagram(data: &[u8]) {
    let Ok(request) = Request::read(data) else { return };
    assert_eq!(of_datagram(data), Name::Rooms);
    let written = |request: &Request| {
        let mut bytes = Vec::new();
        request.write(&mut bytes);
        bytes
    };
    let bytes = written(&request);
    assert!(std::str::from_utf8(&bytes).is_ok());
    assert_eq!(of_datagram(&bytes), Name::Rooms);
    // What was not encoded before is longer now, and may be too long by that.
    assert!(bytes.len() <= LONGEST_REQUEST * ENCODED);
    if bytes.len() > LONGEST_REQUEST {
        return;
    }
    let again = Request::read(&bytes);
    assert!(again.is_ok_and(|again| again.verb() == request.verb() && written(&again) == bytes));
}

/// The owner's window and the lobby for web sites: bytes become requests, cut and slow as they may be.
pub fn http(data: &[u8]) {
    looks::run(data);
}

/// The whole server: bytes become connections, chunks, datagrams, closes and steps of the clock.
pub fn server(data: &[u8]) {
    world::run(data);
}
