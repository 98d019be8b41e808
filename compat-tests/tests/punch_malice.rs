//! `punch` against servers that mean no good: it ends in time, needs little memory, and what they say
//! does nothing to a terminal.
#![expect(clippy::expect_used, reason = "a helper that fails is a test that fails")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use compat_tests::master::loopback;
use prost::Message as _;
use punchd::dialect::natpunch::message::{
    ConnectionInstruction, Content, CreateLobbyResponse, Endpoint, JoinLobbyResponse, LobbyInfo,
    LobbyListResponse, Message, RegisterResponse,
};
use punchd::dialect::rooms::field;
use serde_json::{Value, json};

/// What a terminal obeys: colours, a title, a line end, other directions of writing.
const BAD: &str = "a\u{1b}[31m\u{7}\r\u{9b}2J\u{202e}\u{2066}\u{2028}\u{2029}b";

/// More virtual memory than this `punch` does not get; without a bound it would take all in a second.
const KILOBYTES: u32 = 1_000_000;

/// How `punch` ended, what it said, and after how long.
struct Ended {
    code: Option<i32>,
    said: String,
    took: Duration,
}

fn punch(args: &[&str]) -> Ended {
    let limited = format!("ulimit -v {KILOBYTES}; exec \"$0\" \"$@\"");
    let mut command = Command::new("sh");
    command.args(["-c", &limited, env!("CARGO_BIN_EXE_punch")]).args(args).stdin(Stdio::null());
    let began = Instant::now();
    let output = command.output().expect("running punch");
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8(said).expect("UTF-8");
    Ended { code: output.status.code(), said, took: began.elapsed() }
}

/// Runs `punch`, which has to fail with a sentence, soon and without many words.
fn fails(args: &[&str], within: Duration) -> String {
    let Ended { code, said, took } = punch(args);
    let start: String = said.chars().take(2000).collect();
    assert_eq!(code, Some(1), "{args:?}: {start}");
    assert!(said.lines().any(|line| line.starts_with("punch: ")), "{args:?}: {start}");
    assert!(said.len() < 300_000, "{args:?}: {} bytes, {start}", said.len());
    assert!(said.lines().all(|line| line.len() < 1000), "{args:?}: {start}");
    assert!(took < within, "{args:?}: {took:?}");
    said
}

fn is_seen(said: &str) -> bool {
    said.chars().all(|c| c == '\n' || c >= ' ')
        && !said.contains(['\u{7f}', '\u{9b}', '\u{202e}', '\u{2066}', '\u{2028}', '\u{2029}'])
}

/// A TCP server, and nobody at its UDP port.
fn serve(talk: impl Fn(TcpStream) + Clone + Send + 'static) -> String {
    let listener = TcpListener::bind((loopback(), 0)).expect("a port");
    let addr = listener.local_addr().expect("its address");
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let talk = talk.clone();
            thread::spawn(move || talk(stream));
        }
    });
    addr.to_string()
}

/// Says the same for ever, and reads what it gets.
fn floods(bytes: &'static [u8]) -> String {
    serve(move |mut stream| {
        let mut reads = stream.try_clone().expect("a socket");
        thread::spawn(move || while reads.read(&mut [0; 4096]).is_ok_and(|length| length > 0) {});
        let many = bytes.repeat(2000);
        while stream.write_all(&many).is_ok() {}
    })
}

/// Says a byte of it now and then.
fn trickles(bytes: &'static [u8]) -> String {
    serve(move |mut stream| {
        for byte in bytes.iter().cycle() {
            if stream.write_all(&[*byte]).is_err() {
                return;
            }
            thread::sleep(Duration::from_millis(50));
        }
    })
}

/// Answers every request of the events with this, and does not answer by UDP.
fn answers(answer: fn(&str, u64) -> Value) -> String {
    serve(move |stream| answer_all(stream, answer))
}

fn answer_all(mut stream: TcpStream, answer: fn(&str, u64) -> Value) {
    let lines = BufReader::new(stream.try_clone().expect("a socket")).lines();
    for (n, line) in (0..).zip(lines.map_while(Result::ok)) {
        let request: Value = serde_json::from_str(&line).expect("JSON");
        let Some(name) = request["name"].as_str().filter(|_| request["type"] == "request") else {
            continue;
        };
        let answer = json!({
            "type": "response", "name": name, "request_id": request["request_id"],
            "data": answer(name, n),
        });
        if stream.write_all(format!("{answer}\n").as_bytes()).is_err() {
            return;
        }
    }
}

/// A UDP server.
fn answers_udp(answer: impl Fn(&[u8]) -> Vec<Vec<u8>> + Send + 'static) -> String {
    let socket = UdpSocket::bind((loopback(), 0)).expect("a port");
    let addr: SocketAddr = socket.local_addr().expect("its address");
    thread::spawn(move || {
        let mut buffer = [0; 2048];
        while let Ok((length, from)) = socket.recv_from(&mut buffer) {
            for datagram in answer(&buffer[..length]) {
                socket.send_to(&datagram, from).expect("sending");
            }
        }
    });
    addr.to_string()
}

/// A server that answers by TCP as events have it, and by UDP, once it is asked, sends this without
/// pause to everybody who has asked.
fn floods_by_udp(datagrams: &'static [&'static [u8]]) -> String {
    let server = answers(|_, _| json!({"id": "a", "udp_token": "0"}));
    let socket = UdpSocket::bind(&server).expect("the same port");
    socket.set_read_timeout(Some(Duration::from_micros(1))).expect("a timeout");
    thread::spawn(move || {
        let mut asked: Vec<SocketAddr> = Vec::new();
        let mut buffer = [0; 2048];
        loop {
            match socket.recv_from(&mut buffer) {
                Ok((_, from)) if !asked.contains(&from) => asked.push(from),
                _ => {}
            }
            for to in &asked {
                // Who has ended gets nothing more; the next one does.
                datagrams.iter().for_each(|datagram| _ = socket.send_to(datagram, to));
            }
        }
    });
    server
}

const FLOODS: [&[u8]; 6] = [
    b"\n",
    b"\xf9[",
    b"\xff1",
    b"{\"a\":",
    b"{\"type\":\"request\",\"name\":\"ping\",\"request_id\":1,\"data\":{}}\n",
    b"\x16\x03\x03\x00\x05AAAAA",
];

#[test]
fn a_flood_ends_a_host_and_a_lobby() {
    for flood in FLOODS {
        let server = floods(flood);
        let within = Duration::from_secs(12);
        let host = ["host", "--bind", "127.0.0.1", "--for", "3", "--master", &server];
        fails(&host, within);
        fails(&["lobby", "--master", &server], within);
        fails(&["lobby", "--json", "--master", &server], within);
        fails(&["join", "--bind", "127.0.0.1", "--master", &server, "127.0.0.9"], within);
    }
}

#[test]
fn a_flood_ends_a_peer_of_events() {
    for flood in FLOODS {
        let server = floods(flood);
        let events = ["events", "--id", "a", "--do", "rooms", "--master", &server];
        fails(&events, Duration::from_secs(25));
    }
}

#[test]
fn a_flood_ends_a_probe() {
    for flood in FLOODS {
        let server = floods(flood);
        let probe = ["probe", &server, "--bind", "127.0.0.1", "--wait", "0.3"];
        fails(&probe, Duration::from_secs(45));
    }
}

#[test]
fn a_flood_of_datagrams_ends_all() {
    let floods: [&[&[u8]]; 3] = [
        &[b"junk", b"\xde\xc0\xad\xde\x0c\0\0\0\x01\0\0\0x"],
        &[b"cj:0123456789abcdef:127.0.0.1:9", b"pp:0123456789abcdef:1,2,3", b"rl:x", b"\x0a\0"],
        &[b"rh:0123456789abcdef", b"rID:0123456789abcdef:0123456789abcdef0123456789abcdef"],
    ];
    for flood in floods {
        let server = floods_by_udp(flood);
        let commands: [&[&str]; 7] = [
            &["host", "--bind", "127.0.0.1", "--for", "2", "--master", &server],
            &["join", "127.0.0.9", "--bind", "127.0.0.1", "--timeout", "2", "--master", &server],
            &["rooms", "host", "x", "--for", "2", "--timeout", "2", "--master", &server],
            &["rooms", "list", "--timeout", "2", "--master", &server],
            &["natpunch", "--timeout", "2", "--master", &server, "list"],
            &["nat", &server],
            &["events", "--id", "a", "--do", "wait 1", "--master", &server],
        ];
        // At the same time, as each of them waits for most of its own.
        thread::scope(|scope| {
            for args in commands {
                scope.spawn(move || {
                    let Ended { code, said, took } = punch(args);
                    assert!(matches!(code, Some(0 | 1)), "{args:?}: {code:?} {said}");
                    assert!(took < Duration::from_secs(30), "{args:?}: {took:?}");
                    assert!(said.len() < 300_000, "{args:?}: {} bytes", said.len());
                });
            }
        });
    }
}

#[test]
fn a_trickle_ends_a_probe() {
    let server = trickles(b"\xf9[{\"ip\":\"1\"}]   ");
    let probe = ["probe", &server, "--bind", "127.0.0.1", "--wait", "0.3"];
    fails(&probe, Duration::from_secs(45));
}

#[test]
fn a_list_without_end_ends() {
    let server = answers(|name, n| match name {
        "login" => json!({"id": "a", "udp_token": "0"}),
        "list_rooms" => {
            let room = json!({"room": n.to_string(), "name": BAD, "host": "h", "players": 1,
                              "max_players": 2});
            json!({"more": true, "rooms": [room]})
        }
        _ => json!({}),
    });
    let events = ["events", "--id", "a", "--do", "rooms", "--master", &server];
    let said = fails(&events, Duration::from_secs(35));
    // Whichever bound is reached first, which depends on how fast the machine is.
    let ends = ["had not come to its end within 20.0s", "sends without end, as none would"];
    assert!(ends.iter().any(|end| said.contains(end)), "{said}");
}

/// It shows its game socket at another place all the time.
#[test]
fn who_is_elsewhere_all_the_time_is_not_knocked_at_for_ever() {
    let server = serve(|mut stream| {
        let own = stream.try_clone().expect("a socket");
        thread::spawn(move || {
            for port in 20_000..20_180 {
                let data =
                    json!({"id": "b", "ip": "127.0.0.1", "port": port, "local": [], "nonce": "n"});
                let introduce = json!({"type": "pass", "name": "introduce", "data": data});
                if stream.write_all(format!("{introduce}\n").as_bytes()).is_err() {
                    return;
                }
                thread::sleep(Duration::from_millis(500));
            }
        });
        answer_all(own, |_, _| json!({"id": "a", "udp_token": "0"}));
    });
    let said = fails(
        &["events", "--id", "a", "--master", &server, "--do", "help"],
        Duration::from_secs(60),
    );
    assert!(said.contains("b cannot be reached"), "{said}");
}

#[test]
fn a_list_of_rooms_without_end_ends() {
    use std::sync::atomic::{AtomicU64, Ordering};
    let pages = AtomicU64::new(1);
    let server = answers_udp(move |request| match request.starts_with(b"rl") {
        true => {
            let id = pages.fetch_add(1, Ordering::Relaxed);
            vec![format!("rl:{id:016x},name,open,1:+").into_bytes()]
        }
        false => Vec::new(),
    });
    let said =
        fails(&["rooms", "list", "--timeout", "1", "--master", &server], Duration::from_secs(10));
    assert!(said.contains("had not come to its end within 1.0s"), "{said}");
}

#[test]
fn files_without_end_are_errors() {
    let files: [&[&str]; 4] = [
        &["host", "--script"],
        &["join", "127.0.0.1", "--script"],
        &["replay"],
        &["events", "--id", "a", "--tls", "--ca"],
    ];
    for args in files {
        let Ended { code, said, took } = punch(&[args, &["/dev/zero"]].concat());
        assert_eq!(code, Some(1), "{args:?}: {said}");
        assert!(said.contains("the file is longer than"), "{args:?}: {said}");
        assert!(took < Duration::from_secs(10), "{args:?}: {took:?}");
    }
}

#[test]
fn seconds_have_a_bound_everywhere() {
    let nobody = "127.0.0.1:9";
    let wrong = "want a number of seconds, from 0 to 31536000 (a year)";
    for time in ["1e18", "1e19", "9223372036854775807", "nan"] {
        let commands: [&[&str]; 14] = [
            &["host", "--master", nobody, "--for", time],
            &["join", "127.0.0.1", "--master", nobody, "--timeout", time],
            &["probe", nobody, "--wait", time],
            &["nat", nobody, "--patience", time],
            &["nat", nobody, "--lifetime", time],
            &["natpunch", "--master", nobody, "--timeout", time, "list"],
            &["natpunch", "--master", nobody, "--stay", time, "list"],
            &["rooms", "host", "x", "--master", nobody, "--timeout", time],
            &["rooms", "host", "x", "--master", nobody, "--for", time],
            &["rooms", "list", "--master", nobody, "--timeout", time],
            &["rooms", "join", "x", "--master", nobody, "--timeout", time],
            &["rooms", "join", "x", "--master", nobody, "--for", time],
            &["join", "127.0.0.1", "--master", nobody, "--timeout", time, "--game"],
            &["host", "--own-master", "--master", nobody, "--for", time],
        ];
        for args in commands {
            let Ended { code, said, .. } = punch(args);
            assert_eq!(code, Some(2), "{args:?}: {said}");
            assert!(said.contains(wrong), "{args:?}: {said}");
        }
    }
    let server = answers(|_, _| json!({"id": "a", "udp_token": "0"}));
    let Ended { code, said, .. } =
        punch(&["events", "--id", "a", "--master", &server, "--do", "wait 1e19"]);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains(wrong), "{said}");
}

#[test]
fn no_lobby_moves_the_cursor() {
    let server = serve(|mut stream| {
        let _ = stream.read(&mut [0; 1000]);
        let keys = ["ip", "data1", "data2", "data3", "data4", "data5", "data6", "data7", "data8"];
        let mut host: Value = keys.iter().map(|key| ((*key).to_owned(), json!(BAD))).collect();
        host["createdTime"] = json!(1);
        let _ = stream.write_all(&[b"\xf9", json!([host]).to_string().as_bytes(), b"\n"].concat());
        let _ = stream.read(&mut [0; 1000]);
    });
    let table = punch(&["lobby", "--master", &server]);
    assert_eq!(table.code, Some(0), "{}", table.said);
    assert!(is_seen(&table.said) && table.said.lines().count() == 2, "{}", table.said);
    let listed = punch(&["lobby", "--json", "--master", &server]).said;
    assert!(is_seen(&listed), "{listed}");
    let read: Value = serde_json::from_str(&listed).expect("JSON");
    assert_eq!(read[0]["data1"], BAD);
}

#[test]
fn no_event_moves_the_cursor() {
    let server = answers(|name, _| match name {
        "login" => json!({"id": BAD, "udp_token": BAD}),
        "list_rooms" => {
            let room = json!({"room": BAD, "name": BAD, "host": BAD, "players": 1,
                              "max_players": 2});
            json!({"more": false, "rooms": [room]})
        }
        "create_room" => json!({"room": BAD}),
        _ => json!({"room": BAD, "host": BAD, "players": [BAD]}),
    });
    let commands = ["rooms", "create x", "join y", "who", "request - z"];
    let commands = commands.iter().flat_map(|command| ["--do", *command]);
    let args: Vec<&str> =
        ["events", "--id", "a", "--master", &server].into_iter().chain(commands).collect();
    let Ended { code, said, .. } = punch(&args);
    assert_eq!(code, Some(0), "{said}");
    assert!(is_seen(&said), "{said}");
    assert_eq!(said.lines().count(), 7, "one line each: {said}");
}

#[test]
fn no_room_moves_the_cursor() {
    let server = answers_udp(|request| {
        let text = String::from_utf8_lossy(request);
        match text.get(..2) {
            Some("rl") => {
                let mut page = b"rl:0123456789abcdef,".to_vec();
                field::encode(BAD, &mut page);
                vec![[page, b",open,1".to_vec()].concat()]
            }
            Some(verb) => vec![format!("er:{verb}:{BAD}").into_bytes()],
            None => Vec::new(),
        }
    });
    let list = punch(&["rooms", "list", "--master", &server, "--timeout", "2"]);
    assert!(list.said.contains("0123456789abcdef   1  a?[31m"), "{}", list.said);
    assert!(is_seen(&list.said), "{}", list.said);
    for args in [["rooms", "host", "x"], ["rooms", "join", "0123456789abcdef"]] {
        let said = fails(&[&args[..], &["--master", &server]].concat(), Duration::from_secs(10));
        assert!(said.contains("refuses") && is_seen(&said), "{said}");
        assert_eq!(said.lines().count(), 2, "a reason has no lines: {said}");
    }
}

#[test]
fn no_natpunch_server_moves_the_cursor() {
    let at = || Some(Endpoint { ip_address: "127.0.0.1".into(), port: 9 });
    let server = answers_udp(move |request| {
        let content = Message::decode(request).ok().and_then(|message| message.content);
        let bad = || BAD.to_owned();
        let answers = match content {
            Some(Content::RegisterRequest(_)) => {
                vec![Content::RegisterResponse(RegisterResponse {
                    success: true,
                    public_endpoint: at(),
                    client_id: bad(),
                    ..Default::default()
                })]
            }
            Some(Content::LobbyListRequest(_)) => {
                let info = LobbyInfo { lobby_id: bad(), lobby_name: bad(), ..Default::default() };
                vec![Content::LobbyListResponse(LobbyListResponse {
                    lobbies: vec![info],
                    ..Default::default()
                })]
            }
            Some(Content::CreateLobbyRequest(_)) => vec![
                Content::ConnectionInstruction(ConnectionInstruction {
                    client_id: bad(),
                    public_endpoint: at(),
                    ..Default::default()
                }),
                Content::JoinLobbyResponse(JoinLobbyResponse {
                    lobby_id: bad(),
                    ..Default::default()
                }),
                Content::CreateLobbyResponse(CreateLobbyResponse {
                    lobby_id: bad(),
                    ..Default::default()
                }),
            ],
            _ => Vec::new(),
        };
        let bytes = |content| Message { content: Some(content) }.encode_to_vec();
        answers.into_iter().map(bytes).collect()
    });
    for command in [&["list"][..], &["lobbies"], &["create", "x", "2", "1"]] {
        let args = [&["natpunch", "--timeout", "3", "--master", &server], command].concat();
        let Ended { code, said, .. } = punch(&args);
        assert_eq!(code, Some(0), "{said}");
        assert!(is_seen(&said) && said.contains("a?[31m"), "{said}");
        let lines = if command[0] == "create" { 5 } else { 2 };
        assert_eq!(said.lines().count(), lines, "{said}");
    }
}
