//! PROTOCOL.md, chapters natpunch, STUN and NATs: their datagrams are exchanged with a server
//! without sockets, since that one can have peers behind NATs.
#![expect(clippy::expect_used, clippy::panic, reason = "a helper that fails is a test that fails")]

use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;

use punchd::clock::{Instant, Now};
use punchd::dialect::{Outbox, Output, Via, stun};
use punchd::server::{Config, Server};

const MAIN: u16 = 6510;
const ALTERNATE: u16 = 6511;

/// Bytes as they are written: in hex, or as text with words in braces.
enum Token {
    Byte(u8),
    Text(String),
    /// A word that is different each time, and its length.
    Word(String, usize),
}

/// Reads `0a 24 "text" {NAME 36}`.
fn tokens(line: &str) -> Vec<Token> {
    let mut all = Vec::new();
    let mut rest = line.trim();
    while !rest.is_empty() {
        let (token, end) = if let Some(text) = rest.strip_prefix('"') {
            let end = text.find('"').expect("the end of a text");
            (Token::Text(text[..end].into()), end + 2)
        } else if let Some(word) = rest.strip_prefix('{') {
            let end = word.find('}').expect("the end of a word");
            let (name, length) = word[..end].split_once(' ').expect("a word and its length");
            (Token::Word(name.into(), length.parse().expect("a length")), end + 2)
        } else {
            (Token::Byte(u8::from_str_radix(&rest[..2], 16).expect("hex")), 2)
        };
        all.push(token);
        rest = rest[end..].trim_start();
    }
    all
}

struct Exchange {
    server: Server,
    micros: u64,
    words: HashMap<String, Vec<u8>>,
    /// What was sent and not talked about yet: from which port, to whom.
    sent: VecDeque<(u16, SocketAddr, Vec<u8>)>,
}

impl Exchange {
    fn new() -> Self {
        let at = |port| SocketAddr::from(([198, 51, 100, 10], port));
        let stun = stun::Config {
            sockets: vec![at(MAIN), at(ALTERNATE)],
            alternate_port: Some(ALTERNATE),
            alternate_addr: None,
        };
        let config = Config { stun, alternates_from: Some(1), ..Config::default() };
        let (words, sent) = (HashMap::new(), VecDeque::new());
        Self { server: Server::new(config), micros: 1_000_000, words, sent }
    }

    fn say(&mut self, from: SocketAddr, to: u16, tokens: &[Token]) {
        let mut data = Vec::new();
        for token in tokens {
            match token {
                Token::Byte(byte) => data.push(*byte),
                Token::Text(text) => data.extend_from_slice(text.as_bytes()),
                Token::Word(name, _) => {
                    data.extend_from_slice(self.words.get(name).expect("a word that was told"));
                }
            }
        }
        self.micros += 10_000;
        let now = Now { instant: Instant::from_micros(self.micros), unix: 1_700_000_000 };
        let via = Via { socket: (to == ALTERNATE).into(), local: None };
        let mut out = Outbox::new();
        self.server.on_datagram(now, via, from, &data, &mut out);
        for output in out.outputs() {
            if let Output::Udp(via, to, bytes) = output {
                self.sent.push_back((MAIN + u16::from(via.socket), to, bytes.to_vec()));
            }
        }
    }

    fn hear(&mut self, line: usize, to: SocketAddr, from: u16, tokens: &[Token]) {
        let sent = self.sent.pop_front();
        let (port, whom, data) = sent.unwrap_or_else(|| panic!("line {line}: nothing was sent"));
        assert_eq!((whom, port), (to, from), "line {line}: {}", data.escape_ascii());
        let mut rest = &data[..];
        for token in tokens {
            let wanted = match token {
                Token::Byte(byte) => vec![*byte],
                Token::Text(text) => text.as_bytes().to_vec(),
                Token::Word(name, length) => {
                    let word = rest.get(..*length).unwrap_or_default().to_vec();
                    self.words.entry(name.clone()).or_insert(word).clone()
                }
            };
            let found = rest.strip_prefix(&wanted[..]);
            rest = found.unwrap_or_else(|| {
                panic!("line {line}: want {} before {}", wanted.escape_ascii(), rest.escape_ascii())
            });
        }
        assert!(rest.is_empty(), "line {line}: there is more: {}", rest.escape_ascii());
    }
}

/// The messages of the blocks marked `datagrams`: the number of the first line, and all lines.
fn blocks(document: &str) -> Vec<Vec<(usize, String)>> {
    let mut all: Vec<Vec<(usize, String)>> = Vec::new();
    let mut open = false;
    for (n, line) in document.lines().enumerate() {
        match line {
            "```datagrams" => {
                open = true;
                all.push(Vec::new());
            }
            "```" => open = false,
            _ if !open || line.is_empty() || line.starts_with('#') => {}
            _ => {
                let block = all.last_mut().expect("a block");
                match (line.strip_prefix(' '), block.last_mut()) {
                    (Some(more), Some((_, message))) => message.push_str(more),
                    _ => block.push((n + 1, line.into())),
                }
            }
        }
    }
    all
}

#[test]
fn the_datagrams_in_protocol_md_are_what_is_sent() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../PROTOCOL.md");
    let document = std::fs::read_to_string(path).expect("PROTOCOL.md");
    let blocks = blocks(&document);
    assert!(blocks.len() >= 3, "STUN, natpunch and prediction");
    for block in blocks {
        let mut exchange = Exchange::new();
        for (line, message) in block {
            let mut parts = message.splitn(4, ' ');
            let mut part = || parts.next().unwrap_or_else(|| panic!("line {line}: too short"));
            let peer: SocketAddr = part().parse().expect("an endpoint");
            let direction = part().to_owned();
            let port: u16 = part().parse().expect("a port of the server");
            let tokens = tokens(part());
            match direction.as_str() {
                ">" => {
                    assert!(exchange.sent.is_empty(), "line {line}: {:?} was sent", exchange.sent);
                    exchange.say(peer, port, &tokens);
                }
                "<" => exchange.hear(line, peer, port, &tokens),
                other => panic!("line {line}: {other}"),
            }
        }
        assert!(exchange.sent.is_empty(), "{:?} was sent and is not told", exchange.sent);
    }
}
