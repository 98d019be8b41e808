//! STUN over real sockets: raw requests, clients that others wrote, and `punch nat` behind every
//! kind of NAT.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails so")]

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use compat_tests::master::{Master, binary};
use compat_tests::nat::{Error, Filtering, Lifetime, Mapping, Options, discover, lifetime};
use compat_tests::natlab;
use compat_tests::skipped;
use punchd::dialect::stun::message::{BINDING, Class, Message, Writer, attribute};

const PATIENCE: Duration = Duration::from_secs(5);

/// Nothing is expected: this long is waited for it.
const SILENCE: Duration = Duration::from_millis(300);

/// A Binding request by hand: RFC 8489, section 5.
const REQUEST: [u8; 20] = *b"\x00\x01\x00\x00\x21\x12\xA4\x42transaction!";

/// The second address of this machine, in all of these tests.
const ALTERNATE: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);

fn start() -> Master {
    Master::start(&["--alt-port", "0", "--alt-addr", "127.0.0.2"])
}

/// The port that the system picked.
fn alternate_port(master: &Master) -> u16 {
    master.alternate_port().unwrap()
}

fn socket() -> UdpSocket {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket
}

fn receive(socket: &UdpSocket) -> (SocketAddr, Vec<u8>) {
    let mut buffer = [0; 2048];
    let (length, from) = socket.recv_from(&mut buffer).unwrap();
    (from, buffer[..length].to_vec())
}

/// An address attribute of an IPv4 endpoint, not masked.
fn attribute(kind: [u8; 2], addr: SocketAddr) -> Vec<u8> {
    let SocketAddr::V4(addr) = addr else { panic!("{addr}") };
    [&kind[..], &[0, 8, 0, 1], &addr.port().to_be_bytes(), &addr.ip().octets()].concat()
}

#[test]
fn a_request_is_answered_byte_by_byte() {
    let master = start();
    let socket = socket();
    socket.send_to(&REQUEST, master.addr()).unwrap();
    let (from, answer) = receive(&socket);
    assert_eq!(from, master.addr());
    let mut mapped = attribute([0x00, 0x20], socket.local_addr().unwrap());
    for (byte, mask) in mapped[6..].iter_mut().zip([0x21, 0x12, 0x21, 0x12, 0xA4, 0x42]) {
        *byte ^= mask;
    }
    let other = SocketAddr::from((ALTERNATE, alternate_port(&master)));
    let expected = [
        b"\x01\x01\x00\x24\x21\x12\xA4\x42transaction!".to_vec(),
        mapped,
        attribute([0x80, 0x2B], master.addr()),
        attribute([0x80, 0x2C], other),
    ];
    assert_eq!(answer, expected.concat());
}

#[test]
fn answers_leave_from_where_they_are_wanted() {
    let master = start();
    let other = alternate_port(&master);
    let here = master.addr();
    for (flags, ip, port) in [
        (0, Ipv4Addr::LOCALHOST, here.port()),
        (2, Ipv4Addr::LOCALHOST, other),
        (4, ALTERNATE, here.port()),
        (6, ALTERNATE, other),
    ] {
        let socket = socket();
        let mut request = REQUEST.to_vec();
        request[3] = 8;
        request.extend_from_slice(&[0, 3, 0, 4, 0, 0, 0, flags]);
        socket.send_to(&request, here).unwrap();
        assert_eq!(receive(&socket).0, SocketAddr::from((ip, port)), "{flags}");
    }
    // Whichever of the machine's addresses is asked answers itself: a connected socket hears
    // nobody else.
    for ip in [[127, 0, 0, 2], [127, 0, 7, 7]] {
        for port in [here.port(), other] {
            let socket = socket();
            socket.connect(SocketAddr::from((ip, port))).unwrap();
            socket.send(&REQUEST).unwrap();
            assert_eq!(receive(&socket).1[..2], [1, 1]);
        }
    }
}

#[test]
fn what_is_malformed_or_no_request_is_not_answered() {
    let master = start();
    let socket = socket();
    let mut indication = REQUEST;
    indication[1] = 0x11;
    let mut long = REQUEST;
    long[3] = 4;
    for datagram in
        [&indication[..], &long, &REQUEST[..19], &[REQUEST.as_slice(), b"rest"].concat()]
    {
        socket.send_to(datagram, master.addr()).unwrap();
    }
    // Other dialects are not spoken at the alternate port.
    let other = SocketAddr::from((Ipv4Addr::LOCALHOST, alternate_port(&master)));
    socket.send_to(&[0x0A, 0x00], other).unwrap();
    socket.set_read_timeout(Some(SILENCE)).unwrap();
    assert!(socket.recv_from(&mut [0; 100]).is_err());
    // The same socket gets an answer when it asks.
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket.send_to(&REQUEST, master.addr()).unwrap();
    assert_eq!(receive(&socket).1[..2], [1, 1]);
}

#[test]
fn without_a_second_address_there_is_the_port() {
    let master = Master::start(&["--alt-port", "0"]);
    let mut options = Options::new(master.addr());
    options.alternate_port = alternate_port(&master);
    let report = discover(&options).unwrap();
    assert_eq!((report.mapping, report.filtering), (Mapping::None, Filtering::PortIndependent));
    assert_eq!(report.local, report.mapped);
}

#[test]
fn a_taken_alternate_port_is_said_and_done_without() {
    let taken = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let master = Master::start(&["--alt-port", &port, "--bind", "127.0.0.1"]);
    assert!(master.log().contains("STUN has no alternate socket"), "{}", master.log());
    let socket = socket();
    socket.send_to(&REQUEST, master.addr()).unwrap();
    assert_eq!(receive(&socket).1[..2], [1, 1]);
}

#[test]
fn a_mapping_without_nat_lives_on() {
    let master = start();
    let options = Options::new(master.addr());
    let mut waits = Vec::new();
    let longest = Duration::from_millis(600);
    let found = lifetime(&options, longest, |wait, lives| waits.push((wait, lives))).unwrap();
    assert_eq!(found, Lifetime { alive: longest, dead: None });
    assert!(waits.len() == 30 && waits.iter().all(|(_, lives)| *lives), "{waits:?}");
}

/// A server of few words: it sees everybody behind a NAT, may name another address, and does nothing else that it is
/// asked for.
fn plain(other: Option<Ipv4Addr>) -> Options {
    let [one, next] = [(); 2].map(|()| UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap());
    let [server, alternate] = [&one, &next].map(|socket| socket.local_addr().unwrap());
    let other = other.map(|ip| SocketAddr::from((ip, alternate.port())));
    for socket in [one, next] {
        std::thread::spawn(move || {
            let mut buffer = [0; 2048];
            while let Ok((length, from)) = socket.recv_from(&mut buffer) {
                let Ok(request) = Message::parse(&buffer[..length]) else { continue };
                let mut answer = Vec::new();
                let mut writer = Writer::new(&mut answer, Class::Success, BINDING, request.id);
                let mapped = SocketAddr::from((BEHIND, from.port()));
                writer.xor_address(attribute::XOR_MAPPED_ADDRESS, mapped);
                if let Some(other) = other {
                    writer.address(attribute::OTHER_ADDRESS, other);
                }
                let _ = socket.send_to(&answer, from);
            }
        });
    }
    let patience = Duration::from_millis(100);
    Options { patience, alternate_port: alternate.port(), ..Options::new(server) }
}

/// The public address of everybody.
const BEHIND: Ipv4Addr = Ipv4Addr::new(127, 7, 7, 7);

#[test]
fn an_other_address_that_does_not_answer_is_done_without() {
    let report = discover(&plain(Some(Ipv4Addr::new(127, 7, 7, 8)))).unwrap();
    assert_eq!(report.mapping, Mapping::PortIndependent);
    let report = discover(&plain(None)).unwrap();
    assert_eq!(report.mapping, Mapping::PortIndependent);
}

#[test]
fn an_answer_from_where_it_was_asked_shows_nothing_of_the_filter() {
    for other in [None, Some(Ipv4Addr::LOCALHOST)] {
        let report = discover(&plain(other)).unwrap();
        assert_eq!(report.filtering, Filtering::Unknown, "{other:?}");
    }
}

#[test]
fn a_server_that_answers_to_who_asks_alone_cannot_tell_the_lifetime() {
    let options = plain(None);
    let error = lifetime(&options, PATIENCE, |_, _| {}).unwrap_err();
    assert!(matches!(error, Error::NoResponsePort { .. }), "{error}");
    let mut nat = Command::new(env!("CARGO_BIN_EXE_punch"));
    let server = options.server.to_string();
    nat.args(["nat", &server, "--patience", "0.1", "--lifetime", "5"]);
    let output = nat.output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("cannot tell how long a mapping lives"), "{said}");
}

/// What a program that others wrote says, if it is installed.
fn said(program: &str, arguments: &[&str]) -> Option<String> {
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = match command.spawn() {
        Ok(child) => child,
        Err(error) => {
            skipped::note(&format!("{program}: {error}"));
            return None;
        }
    };
    // These programs wait for ever when an answer does not come.
    let deadline = Instant::now() + Duration::from_secs(30);
    while child.try_wait().unwrap().is_none() {
        if Instant::now() >= deadline {
            let _ = child.kill();
            panic!("{program} waits for an answer");
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    let output = child.wait_with_output().unwrap();
    Some(String::from_utf8_lossy(&output.stdout).into_owned())
}

#[test]
fn stun_client_of_rfc_3489_understands() {
    let master = start();
    let server = master.addr().to_string();
    let Some(said) = said("stun", &[&server]) else { return };
    assert!(said.contains("Primary: Open"), "{said}");
}

#[test]
fn turnutils_stunclient_understands() {
    let master = start();
    let (port, other) = (master.addr().port().to_string(), alternate_port(&master));
    let Some(said) = said("turnutils_stunclient", &["-p", &port, "127.0.0.1"]) else { return };
    assert!(said.contains("UDP reflexive addr: 127.0.0.1:"), "{said}");
    assert!(said.contains(&format!("Other addr: : 127.0.0.2:{other}")), "{said}");
    assert!(said.contains(&format!("Response origin: : 127.0.0.2:{other}")), "{said}");
}

#[test]
fn turnutils_natdiscovery_understands() {
    let master = start();
    let port = master.addr().port().to_string();
    let arguments = ["-m", "-f", "-p", &port, "127.0.0.1"];
    let Some(said) = said("turnutils_natdiscovery", &arguments) else { return };
    assert!(said.contains("NAT with Endpoint Independent Mapping!"), "{said}");
    assert!(said.contains("NAT with Endpoint Independent Filtering!"), "{said}");
}

/// Sites of natlab, and what `punch nat` has to say of each.
const SITES: [(&str, &[&str]); 9] = [
    ("open", &["none, there is no NAT", "endpoint-independent"]),
    ("full-cone", &["endpoint-independent", "endpoint-independent", "random", "no"]),
    ("full-cone:hairpin=on", &["endpoint-independent", "endpoint-independent", "random", "yes"]),
    ("restricted-cone", &["endpoint-independent", "address-dependent", "random", "no"]),
    (
        "port-restricted:preserve=on",
        &["endpoint-independent", "address- and port-dependent", "preserving", "no"],
    ),
    ("symmetric", &["address- and port-dependent", "address- and port-dependent", "random", "no"]),
    (
        "symmetric-seq:stride=2",
        &[
            "address- and port-dependent",
            "address- and port-dependent",
            "sequential, stride 2",
            "no",
        ],
    ),
    (
        "symmetric:mapping=address",
        &["address-dependent", "address- and port-dependent", "random", "no"],
    ),
    ("cgnat", &["endpoint-independent", "address- and port-dependent", "random", "yes"]),
];

#[test]
fn punch_nat_is_right_behind_every_nat() {
    let server = format!("server: {} --port 3478 --alt-addr $NATLAB_SERVER2", binary().display());
    let punch = env!("CARGO_BIN_EXE_punch");
    let mut arguments = vec!["run".to_owned()];
    let mut option = |name: &str, value: String| arguments.extend([name.to_owned(), value]);
    option("--time-limit", "100".into());
    for (n, (kind, _)) in SITES.iter().enumerate() {
        option("--site", format!("s{n}={kind}"));
    }
    option("--site", "brief=port-restricted:timeout=3".into());
    option("--service", server);
    option("--ready", "server: udp/3479".into());
    for n in 0..SITES.len() {
        option("--exec", format!("s{n}: {punch} nat $NATLAB_SERVER1:3478"));
    }
    let brief = format!("brief: {punch} nat --lifetime 6 $NATLAB_SERVER1:3478");
    option("--exec", brief);
    let Some(text) = natlab::succeeds(&arguments) else { return };
    let said = |site: &str, what: &str| {
        let mut of_site = text.lines().filter_map(|line| line.strip_prefix(&format!("[{site}] ")));
        let value = of_site.find_map(|line| line.strip_prefix(what));
        value.map(|value| value.trim().to_owned())
    };
    for (n, (kind, expected)) in SITES.iter().enumerate() {
        let site = format!("s{n}");
        let what = ["mapping ", "filtering ", "port allocation ", "hairpinning "];
        let all: Vec<String> = what.iter().filter_map(|what| said(&site, what)).collect();
        assert_eq!(all, *expected, "{kind}:\n{text}");
        assert!(said(&site, "In short:").is_some(), "{text}");
    }
    let lifetime = said("brief", "mapping lifetime").unwrap();
    let numbers: Vec<f64> =
        lifetime.split(' ').filter_map(|word| word.strip_suffix('s')?.parse().ok()).collect();
    // The NAT forgets after three seconds; a busy machine may be late to ask.
    assert!(
        matches!(numbers[..], [alive, dead] if (2.0..=3.0).contains(&alive) && dead <= 4.0),
        "{lifetime}"
    );
}
