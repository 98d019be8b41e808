//! Which dialects besides GMnet the server speaks, and with whom.

use std::io::{ErrorKind, Write};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::time::{Duration, Instant};

use compat_tests::bounded::{Timed, line};
use compat_tests::nat::{Options, Stun};
use compat_tests::natpunch::{self, Admission, Client};
use compat_tests::shown::{quoted, sentence};
use serde_json::{Value, json};
use socket2::{Domain, Socket, Type};

use super::{Check, Outcome, Probe};
use crate::common::any_towards;

const SILENT: Outcome =
    Outcome::NotOffered("no answer: switched off (--dialects), or a firewall drops UDP");

/// How often a datagram is sent that may get lost.
const TRIES: u32 = 3;

pub(super) const CHECKS: &[Check] = &[
    Check {
        name: "rooms",
        needed: false,
        run: rooms,
        meaning: "Games that speak rooms cannot use this server.",
    },
    Check {
        name: "events",
        needed: false,
        run: events,
        meaning: "Games that speak events cannot use this server.",
    },
    Check {
        name: "natpunch",
        needed: false,
        run: natpunch,
        meaning: "Games that speak natpunch cannot use this server.",
    },
    Check {
        name: "STUN",
        needed: false,
        run: stun,
        meaning: "Players cannot find out what NAT they are behind.",
    },
];

/// A room is asked for that is not there, as this is refused without the key of the server.
fn rooms(probe: &mut Probe) -> Outcome {
    let asked = || -> std::io::Result<Option<Vec<u8>>> {
        let ip = probe.bind.unwrap_or(any_towards(probe.master));
        let socket = UdpSocket::bind((ip, 0))?;
        let prefix = probe.key.as_ref().map(|key| {
            let mut prefix = b"k:".to_vec();
            punchd::dialect::rooms::field::encode(key, &mut prefix);
            [prefix, b":".to_vec()].concat()
        });
        let request = [prefix.unwrap_or_default(), b"jr:0000000000000000".to_vec()].concat();
        let patience = (probe.wait / TRIES).max(Duration::from_millis(1));
        for _ in 0..TRIES {
            socket.send_to(&request, probe.master)?;
            if let Some(answer) = receive(&socket, probe.master, patience)? {
                return Ok(Some(answer));
            }
        }
        Ok(None)
    };
    match asked() {
        Err(error) => Outcome::Fails(error.to_string()),
        Ok(None) => SILENT,
        Ok(Some(answer)) => match answer.as_slice() {
            b"er:jr:noroom" => Outcome::Works(String::new()),
            b"er:jr:badkey" => probe.refused(),
            b"er:jr:busy" => Outcome::Works("but it is full, or about to stop".to_owned()),
            other => Outcome::Fails(format!("the answer is {}", quoted(other))),
        },
    }
}

/// The next datagram of the server, if it comes in time.
fn receive(
    socket: &UdpSocket,
    from: SocketAddr,
    within: Duration,
) -> std::io::Result<Option<Vec<u8>>> {
    use ErrorKind::{ConnectionRefused, TimedOut, WouldBlock};
    let deadline = Instant::now() + within;
    let mut buffer = [0; 2048];
    while let Some(left) = deadline.checked_duration_since(Instant::now()) {
        socket.set_read_timeout(Some(left.max(Duration::from_millis(1))))?;
        match socket.recv_from(&mut buffer) {
            Ok((len, sender)) if sender == from => {
                return Ok(Some(buffer.get(..len).unwrap_or_default().to_vec()));
            }
            Ok(_) => {}
            Err(error) if matches!(error.kind(), WouldBlock | TimedOut | ConnectionRefused) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(None)
}

fn events(probe: &mut Probe) -> Outcome {
    let answer = match log_in(probe) {
        Ok(Some(answer)) => answer,
        Ok(None) => {
            return Outcome::NotOffered("closed without an answer: switched off (--dialects)");
        }
        Err(error) if is_silence(&error) => {
            return Outcome::NotOffered("no answer: the server does not know this dialect");
        }
        Err(error) => return Outcome::Fails(error.to_string()),
    };
    // An answer to the login, or the pass `error` before the server closes.
    let code = answer["error"]["code"].as_str().or(answer["data"]["code"].as_str());
    match code {
        None if answer["data"]["id"].is_string() => Outcome::Works(String::new()),
        Some("bad_key") => probe.refused(),
        Some("tls_required") => Outcome::Works("with TLS alone (--tls-required)".to_owned()),
        _ => Outcome::Fails(format!("the answer is {}", quoted(answer.to_string().as_bytes()))),
    }
}

/// Whether nothing has come. The old server takes a login for lines that it does not know.
fn is_silence(error: &std::io::Error) -> bool {
    error.kind() == ErrorKind::TimedOut
}

/// The answer to a login; none if the server closes without one.
fn log_in(probe: &Probe) -> std::io::Result<Option<Value>> {
    let socket = Socket::new(Domain::for_address(probe.master), Type::STREAM, None)?;
    if let Some(ip) = probe.bind {
        socket.bind(&SocketAddr::new(ip, 0).into())?;
    }
    socket.connect_timeout(&probe.master.into(), probe.wait)?;
    let mut stream = Timed::new(TcpStream::from(socket), probe.wait);
    // The name of a game is looked at where there are no keys.
    let key = probe.key.as_deref();
    let data = json!({"id": probe.tag, "game": key.unwrap_or_default(), "key": key});
    let login = json!({"type": "request", "name": "login", "data": data, "request_id": 1});
    stream.write_all(format!("{login}\n").as_bytes())?;
    match line(&mut stream) {
        Ok(line) if line.is_empty() => Ok(None),
        Ok(line) => {
            let text = || Value::String(String::from_utf8_lossy(&line).into_owned());
            Ok(Some(serde_json::from_slice(&line).unwrap_or_else(|_| text())))
        }
        Err(error) if error.kind() == ErrorKind::ConnectionReset => Ok(None),
        Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
            let why = format!("no answer within {:.1?}", probe.wait);
            Err(std::io::Error::new(ErrorKind::TimedOut, why))
        }
        Err(error) => Err(error),
    }
}

fn natpunch(probe: &mut Probe) -> Outcome {
    let ip = probe.bind.unwrap_or(any_towards(probe.master));
    // The name of a game is looked at where there are no keys.
    let key = probe.key.clone().unwrap_or_default();
    let admission = Admission { game: key.clone(), key };
    match Client::register_for(probe.master, ip, probe.wait, &admission) {
        Ok(client) => Outcome::Works(format!("sees this machine at {}", client.public())),
        Err(natpunch::Error::NoAnswer { .. }) => SILENT,
        Err(natpunch::Error::Refused(why)) => Outcome::Refused(sentence(&why)),
        Err(error) => Outcome::Fails(error.to_string()),
    }
}

fn stun(probe: &mut Probe) -> Outcome {
    let patience = (probe.wait / TRIES).max(Duration::from_millis(1));
    let options = Options { patience, ..Options::new(probe.master) };
    let ask = |server| Stun::open(&options).and_then(|stun| stun.try_ask(server, 0));
    let alternate = SocketAddr::new(probe.master.ip(), options.alternate_port);
    match ask(probe.master) {
        Ok(None) => SILENT,
        Err(error) => Outcome::Fails(error.to_string()),
        Ok(Some(_)) => match ask(alternate) {
            Ok(Some(_)) => Outcome::Works(format!("also at port {}", alternate.port())),
            _ => Outcome::Fails(format!(
                "no answer from UDP port {}, so nobody can show what his NAT does",
                alternate.port()
            )),
        },
    }
}
