//! PROTOCOL.md, chapter Events: its conversations are held with the server.
#![expect(clippy::expect_used, reason = "a helper that fails is a test that fails")]

use std::collections::HashMap;
use std::net::UdpSocket;
use std::time::Duration;

use compat_tests::events::{EventClient, EventError};
use compat_tests::master::Master;
use serde_json::Value;

/// Patience with a busy machine.
const WAIT: Duration = Duration::from_secs(10);

/// Fields whose value is another one in every run. Each value in the document stands for the one
/// that came first in its place.
const VARYING: [&str; 7] = ["room", "gone", "udp_token", "secret", "nonce", "ip", "port"];

/// A fenced block and the number of its first line.
struct Block {
    line: usize,
    lines: Vec<String>,
}

fn blocks() -> Vec<Block> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../PROTOCOL.md");
    let document = std::fs::read_to_string(path).expect("PROTOCOL.md");
    let mut all = Vec::new();
    let mut open: Option<Block> = None;
    for (n, line) in document.lines().enumerate() {
        match &mut open {
            None if line == "```events" => open = Some(Block { line: n + 2, lines: Vec::new() }),
            None => {}
            Some(_) if line == "```" => all.extend(open.take()),
            Some(block) => block.lines.push(line.to_owned()),
        }
    }
    assert!(open.is_none(), "a block of PROTOCOL.md has no end");
    all
}

/// A conversation that is being held.
struct Conversation {
    master: Master,
    clients: HashMap<String, EventClient>,
    sockets: HashMap<String, UdpSocket>,
    /// What the words of the document stand for.
    meanings: HashMap<String, String>,
}

impl Conversation {
    fn client(&mut self, name: &str) -> &mut EventClient {
        let addr = self.master.addr();
        // Pages of browsers come by WebSocket.
        let is_page = name.starts_with("page");
        let connect = if is_page { EventClient::connect_web } else { EventClient::connect };
        let connect = || connect(addr, None).expect("connecting");
        self.clients.entry(name.to_owned()).or_insert_with(connect)
    }

    fn socket(&mut self, name: &str) -> &UdpSocket {
        self.sockets.entry(name.to_owned()).or_insert_with(|| {
            let socket = UdpSocket::bind("127.0.0.1:0").expect("a port");
            socket.set_read_timeout(Some(WAIT)).expect("a timeout");
            socket
        })
    }

    /// A text of the document with what it stands for.
    fn meant(&self, text: &str) -> String {
        self.meanings
            .iter()
            .fold(text.to_owned(), |text, (word, meaning)| text.replace(word, meaning))
    }

    fn bind(&mut self, word: String, meaning: String) {
        let known = self.meanings.entry(word.clone()).or_insert_with(|| meaning.clone());
        assert_eq!(*known, meaning, "{word} has meant something else before");
    }

    fn carry_out(&mut self, line: &str) {
        if let Some((name, text)) = line.split_once(" udp> ") {
            let (text, to) = (self.meant(text), self.master.addr());
            self.socket(name).send_to(text.as_bytes(), to).expect("sending");
        } else if let Some((name, text)) = line.split_once(" udp< ") {
            let mut buffer = [0; 2048];
            let (length, _) = self.socket(name).recv_from(&mut buffer).expect("a datagram");
            let came = String::from_utf8_lossy(&buffer[..length]).into_owned();
            assert_eq!(text.split(':').count(), came.split(':').count(), "{came}");
            for (word, meaning) in text.split(':').zip(came.split(':')).skip(1) {
                self.bind(word.to_owned(), meaning.to_owned());
            }
        } else if let Some((name, text)) = line.split_once("> ") {
            let text = self.meant(text);
            self.client(name).send_text(&text).expect("sending");
        } else if let Some((name, text)) = line.split_once("< ") {
            let expected: Value = serde_json::from_str(text).expect("JSON in the document");
            let came = self.client(name).receive(WAIT).expect("connected").expect("an event");
            self.compare("", &expected, &came);
        } else if let Some(name) = line.strip_suffix(" is closed") {
            let end = self.client(name).receive(WAIT);
            assert!(matches!(end, Err(EventError::Closed(_))), "{end:?}");
        } else if let Some(name) = line.strip_suffix(" is cut off") {
            let client = self.clients.remove(name).expect("who is cut off has been there");
            let linger = Some(std::time::Duration::ZERO);
            socket2::SockRef::from(client.tcp()).set_linger(linger).expect("an option");
        } else if let Some(name) = line.strip_suffix(" leaves") {
            self.clients.remove(name).expect("who leaves has been there");
        } else {
            assert!(line.is_empty(), "this is no line of a conversation");
        }
    }

    fn compare(&mut self, key: &str, expected: &Value, came: &Value) {
        match (expected, came) {
            (Value::Object(expected), Value::Object(came)) => {
                assert!(expected.keys().eq(came.keys()), "{came:?}");
                for (key, value) in expected {
                    self.compare(key, value, &came[key]);
                }
            }
            (Value::Array(expected), Value::Array(came)) => {
                assert_eq!(expected.len(), came.len(), "{came:?}");
                for (expected, came) in expected.iter().zip(came) {
                    self.compare(key, expected, came);
                }
            }
            _ if key == "message" => assert!(came.is_string()),
            // What the client itself has told comes back as it was.
            _ if expected == came => {}
            // The code of a room, not that of an error.
            (Value::String(code), _)
                if key == "code" && code.len() == 6 && *code == code.to_uppercase() =>
            {
                self.bind(written(expected), written(came));
            }
            _ if VARYING.contains(&key) => self.bind(written(expected), written(came)),
            _ => assert_eq!(expected, came, "{key}"),
        }
    }
}

fn written(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

#[test]
fn the_conversations_in_protocol_md_are_what_happens() {
    let blocks = blocks();
    assert!(!blocks.is_empty(), "no conversation in PROTOCOL.md");
    for block in blocks {
        let mut conversation = Conversation {
            master: Master::start(&[]),
            clients: HashMap::new(),
            sockets: HashMap::new(),
            meanings: HashMap::new(),
        };
        for (n, line) in block.lines.iter().enumerate() {
            eprintln!("PROTOCOL.md:{}: {line}", block.line + n);
            conversation.carry_out(line);
        }
        // Nothing is left unsaid in the document.
        for (name, client) in &mut conversation.clients {
            let more = client.receive(Duration::from_millis(50));
            assert!(matches!(more, Ok(None) | Err(EventError::Closed(_))), "{name}: {more:?}");
        }
    }
}
