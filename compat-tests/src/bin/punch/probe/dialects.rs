//! Which dialects besides GMnet the server speaks, and with whom.

use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream, UdpSocket};
use std::time::{Duration, Instant};

use compat_tests::bounded::{Timed, line};
use compat_tests::datagrams::receive_until;
use compat_tests::gmnet::wire::DEFAULT_PORT;
use compat_tests::natpunch::{self, Admission, Client};
use compat_tests::shown::{quoted, sentence};
use serde_json::{Value, json};
use socket2::{Domain, Socket, Type};

use super::report::{Check, Outcome};
use super::{Probe, Tcp, certificate, stun};
use crate::common::any_towards;

/// How often a datagram is sent that may get lost.
const TRIES: u32 = 3;

/// How long is waited for datagrams where no connection comes about: most likely nobody is there.
const NOBODY_THERE: Duration = Duration::from_secs(1);

const REPORT: &str = "Look into the server's log (start it with --verbose); if it is a current punchd, report \
                      this with the output of `punch probe --json`.";

/// Where the server does not speak GMnet.
pub(super) const GMNET: Check = Check {
    id: "gmnet",
    name: "GMnet",
    run: |_| Outcome::after_a_failure(),
    meaning: "",
    to_do: "",
};

/// Where it cannot be told apart which dialects are spoken.
pub(super) const SERVER: Check = Check {
    id: "server",
    name: "the server",
    run: |_| Outcome::after_a_failure(),
    meaning: "",
    to_do: "",
};

/// The server at this port closes every connection without a word, and answers no datagram.
pub(super) fn shut_out(port: u16) -> Outcome {
    Outcome::FailsSo {
        detail: "every connection is closed at once, and no datagram is answered".to_owned(),
        meaning: "Nobody who comes from this address can use the server.",
        to_do: format!(
            "A relay for other nodes alone (--dialects none) does so, and then all is well. If it speaks neither \
             GMnet nor events (--dialects), open {port}/udp in the machine's firewall and in the provider's. Else \
             this address may be in the server's --block, or have as many connections there as it may have: try \
             from another address. The owner's window shows what is refused to whom."
        ),
    }
}

/// Something else listens at that port.
pub(super) fn web(said: &str) -> Outcome {
    Outcome::FailsSo {
        detail: format!("a web server answers: {said}"),
        meaning: "Games cannot use this port.",
        to_do: format!(
            "Is this the port of the owner's window (--http, 6580)? Games connect to --port, \
             {DEFAULT_PORT} unless it is changed."
        ),
    }
}

/// Where nothing at all comes back over UDP.
pub(super) const UDP: Check = Check {
    id: "udp",
    name: "UDP",
    run: |_| Outcome::after_a_failure(),
    meaning: "Most likely UDP is blocked: hosts are registered without a port, and nobody connects.",
    to_do: "Open the same port for UDP, in the server's firewall and in its provider's; if others get \
            through, the network here lets no UDP out: try from another one. To be sure, name a game or \
            key that the server admits, with --game or --key.",
};

pub(super) const CHECKS: &[Check] = &[
    Check {
        id: "rooms",
        name: "rooms",
        run: rooms,
        meaning: "Games that speak rooms cannot use this server.",
        to_do: REPORT,
    },
    Check {
        id: "events",
        name: "events",
        run: events,
        meaning: "Games that speak events cannot use this server.",
        to_do: REPORT,
    },
    Check {
        id: "events_tls",
        name: "events with TLS",
        run: certificate::tls,
        meaning: "Clients of events cannot connect with TLS.",
        to_do: REPORT,
    },
    Check {
        id: "natpunch",
        name: "natpunch",
        run: natpunch,
        meaning: "Games that speak natpunch cannot use this server.",
        to_do: REPORT,
    },
    Check {
        id: "stun",
        name: "STUN",
        run: stun::main_port,
        meaning: "Players cannot find out their public address.",
        to_do: REPORT,
    },
    Check {
        id: "stun_alternate",
        name: "STUN, alternate port",
        run: stun::alternate_port,
        meaning: "Players cannot find out what NAT they are behind.",
        to_do: REPORT,
    },
];

impl Probe {
    /// How long to wait for a datagram.
    pub(super) fn patience(&self) -> Duration {
        if self.tcp == Tcp::Blocked { self.wait.min(NOBODY_THERE) } else { self.wait }
    }

    /// The server has told where it sees this machine's datagrams.
    pub(super) fn seen_by_udp(&mut self, ip: IpAddr) {
        self.seen_by_udp = Some(ip);
        self.seen.get_or_insert(ip);
    }

    /// Finds out whether datagrams arrive, and where the server sees that they come from.
    pub(super) fn ask_by_udp(&mut self) -> Option<IpAddr> {
        for ask in [stun::main_port, natpunch, rooms] {
            if self.seen_by_udp.is_none() {
                ask(self);
            }
        }
        self.seen_by_udp
    }
}

/// What it means that a dialect over UDP does not answer, by what else does.
pub(super) fn silence(probe: &Probe) -> Outcome {
    match probe.udp {
        // GMnet shows by TCP that datagrams arrive; none has come back.
        Some("GMnet") => Outcome::NotOffered(
            "not answered, though UDP arrives: either --dialects leaves it out or its answers are blocked".to_owned(),
        ),
        Some(who) => Outcome::NotOffered(format!(
            "not spoken: {who} answers at the same UDP port, so --dialects leaves it out"
        )),
        None if probe.tcp == Tcp::Blocked => {
            Outcome::Skipped("no answer, and no connection either".to_owned())
        }
        None if probe.is_not_introduced => {
            Outcome::Skipped("no answer: UDP does not arrive, see UDP and connect".to_owned())
        }
        None => Outcome::NotOffered(
            "not answered: either --dialects leaves it out or UDP is blocked".to_owned(),
        ),
    }
}

/// Whether silence over UDP is more likely a fault than a choice: all of it is silent, and GMnet, which
/// needs UDP as well, is spoken but has not let this program try.
pub(super) fn is_udp_in_doubt(probe: &Probe) -> bool {
    probe.udp.is_none() && probe.is_refused && probe.tcp == Tcp::Open
}

/// A room is asked for that is not there, as this is refused without the key of the server. With each
/// of what there is to show, as rooms has one place for a game and a key.
fn rooms(probe: &mut Probe) -> Outcome {
    let shown = probe.shown();
    let mut answer = ask_for_room(probe, shown.first().copied());
    let is_refused = matches!(&answer, Ok(Some(answer)) if answer == b"er:jr:badkey");
    if let Some(game) = shown.get(1).filter(|_| is_refused) {
        answer = ask_for_room(probe, Some(game));
    }
    let answer = match answer {
        Err(error) => return Outcome::Fails(error.to_string()),
        Ok(None) => return Outcome::Silent,
        Ok(Some(answer)) => answer,
    };
    probe.udp = Some("rooms");
    match answer.as_slice() {
        b"er:jr:noroom" => Outcome::Works(String::new()),
        b"er:jr:badkey" => probe.refused(),
        b"er:jr:busy" => Outcome::Works("but it is full, or about to stop".to_owned()),
        other => Outcome::Fails(format!("the answer is {}", quoted(other))),
    }
}

fn ask_for_room(probe: &Probe, shown: Option<&str>) -> std::io::Result<Option<Vec<u8>>> {
    let ip = probe.bind.unwrap_or(any_towards(probe.master));
    let socket = UdpSocket::bind((ip, 0))?;
    let prefix = shown.map(|shown| {
        let mut prefix = b"k:".to_vec();
        punchd::dialect::rooms::field::encode(shown, &mut prefix);
        [prefix, b":".to_vec()].concat()
    });
    let request = [prefix.unwrap_or_default(), b"jr:0000000000000000".to_vec()].concat();
    let patience = (probe.patience() / TRIES).max(Duration::from_millis(1));
    for _ in 0..TRIES {
        socket.send_to(&request, probe.master)?;
        let answer = receive_until(&socket, Instant::now() + patience, |data, from| {
            (from == probe.master).then(|| data.to_vec())
        })?;
        if answer.is_some() {
            return Ok(answer);
        }
    }
    Ok(None)
}

fn events(probe: &mut Probe) -> Outcome {
    if probe.tcp == Tcp::Blocked {
        return Outcome::Skipped("it needs TCP, which does not connect".to_owned());
    }
    let answer = match connect(probe).and_then(|stream| ask_login(probe, stream)) {
        Ok(Some(answer)) => answer,
        Ok(None) => {
            return Outcome::NotOffered(
                "closed without an answer: --dialects leaves it out".to_owned(),
            );
        }
        Err(error) if is_silence(&error) => {
            return Outcome::NotOffered(
                "no answer to a connection: the server does not know this dialect".to_owned(),
            );
        }
        Err(error) => return Outcome::Fails(error.to_string()),
    };
    // An answer to the login, or the pass `error` before the server closes.
    let code = answer["error"]["code"].as_str().or(answer["data"]["code"].as_str());
    probe.events = Some(code == Some("tls_required"));
    match code {
        None if answer["data"]["id"].is_string() => Outcome::Works(String::new()),
        Some("bad_key") => probe.refused(),
        Some("tls_required") => Outcome::Works("with TLS alone (--tls-required)".to_owned()),
        _ => {
            probe.events = None;
            Outcome::Fails(format!("the answer is {}", quoted(answer.to_string().as_bytes())))
        }
    }
}

/// Whether nothing has come. The old server takes a login for lines that it does not know.
fn is_silence(error: &std::io::Error) -> bool {
    error.kind() == ErrorKind::TimedOut
}

/// A connection that ends when the time is over.
pub(super) fn connect(probe: &Probe) -> std::io::Result<Timed> {
    let socket = Socket::new(Domain::for_address(probe.master), Type::STREAM, None)?;
    if let Some(ip) = probe.bind {
        socket.bind(&SocketAddr::new(ip, 0).into())?;
    }
    let within = probe.wait.max(Duration::from_millis(1));
    socket.connect_timeout(&probe.master.into(), within)?;
    Ok(Timed::new(TcpStream::from(socket), probe.wait))
}

/// The answer to a login; none if the server closes without one.
pub(super) fn ask_login(
    probe: &Probe,
    mut stream: impl Read + Write,
) -> std::io::Result<Option<Value>> {
    let data = json!({"id": probe.tag, "game": probe.name(), "key": probe.key});
    let login = json!({"type": "request", "name": "login", "data": data, "request_id": 1});
    stream.write_all(format!("{login}\n").as_bytes())?;
    stream.flush()?;
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
    let key = probe.key.clone().unwrap_or_default();
    let admission = Admission { game: probe.name().to_owned(), key };
    let outcome = match Client::register_for(probe.master, ip, probe.patience(), &admission) {
        Ok(client) => {
            probe.seen_by_udp(client.public().ip());
            Outcome::Works(format!("sees this machine at {}", client.public()))
        }
        Err(natpunch::Error::NoAnswer { .. }) => return Outcome::Silent,
        // Its sentence says no more than ours: that the server is for other games.
        Err(natpunch::Error::Refused(why)) if why.contains("other games") => probe.refused(),
        Err(natpunch::Error::Refused(why)) => {
            Outcome::Fails(format!("refused: {}", sentence(&why)))
        }
        Err(error) => Outcome::Fails(error.to_string()),
    };
    if outcome.is_spoken() {
        probe.udp = Some("natpunch");
    }
    outcome
}
