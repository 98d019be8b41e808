//! PROTOCOL.md, chapter Rooms: its conversations are held with the server.
#![expect(clippy::expect_used, reason = "a helper that fails is a test that fails")]

use std::collections::HashMap;
use std::net::UdpSocket;
use std::time::{Duration, Instant};

use compat_tests::master::{Master, loopback};

const WAIT: Duration = Duration::from_secs(10);

/// Everyone in the conversation, and what the words in braces stand for.
struct Conversation {
    master: Master,
    peers: HashMap<String, Peer>,
    words: HashMap<String, String>,
}

struct Peer {
    socket: UdpSocket,
    /// What has come and was not talked about yet.
    inbox: Vec<String>,
}

impl Conversation {
    /// Who is mentioned first gets a socket, and words for its address. `host/2` is at the address of `host`.
    fn peer(&mut self, name: &str) -> &mut Peer {
        let neighbour = name.split_once('/').and_then(|(other, _)| self.peers.get(other));
        let at = neighbour.map(|peer| peer.socket.local_addr().expect("its address").ip());
        let words = &mut self.words;
        self.peers.entry(name.into()).or_insert_with(|| {
            let socket = UdpSocket::bind((at.unwrap_or_else(loopback), 0)).expect("a socket");
            let at = socket.local_addr().expect("its address");
            words.insert(name.to_uppercase() + "IP", at.ip().to_string());
            words.insert(name.to_uppercase() + "PORT", at.port().to_string());
            Peer { socket, inbox: Vec::new() }
        })
    }

    fn say(&mut self, name: &str, text: &str) {
        let text = self.words.iter().fold(text.to_string(), |text, (word, meaning)| {
            text.replace(&format!("{{{word}}}"), meaning)
        });
        assert!(!text.contains('{'), "nobody has said what that is: {text}");
        let to = self.master.addr();
        self.peer(name).socket.send_to(text.as_bytes(), to).expect("sending");
    }

    /// Waits for a message of this form.
    fn hear(&mut self, name: &str, form: &str) {
        let deadline = Instant::now() + WAIT;
        let mut words = self.words.clone();
        let peer = self.peer(name);
        loop {
            let found = peer.inbox.iter().position(|text| matches(form, text, &mut words));
            if let Some(found) = found {
                peer.inbox.remove(found);
                self.words = words;
                return;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "{name} does not get {form}, but {:?}", peer.inbox);
            peer.socket.set_read_timeout(Some(left)).expect("a timeout");
            let mut data = [0; 1500];
            if let Ok((len, _)) = peer.socket.recv_from(&mut data) {
                peer.inbox.push(String::from_utf8(data[..len].to_vec()).expect("UTF-8"));
            }
        }
    }
}

/// Whether a text has this form. A word in braces that has no meaning yet gets it here.
fn matches(form: &str, text: &str, words: &mut HashMap<String, String>) -> bool {
    let split = |text: &str| text.split([':', ',']).map(str::to_string).collect::<Vec<_>>();
    let (forms, fields) = (split(form), split(text));
    let mut learned = words.clone();
    let all = forms.len() == fields.len()
        && forms.iter().zip(&fields).all(|(form, field)| {
            match form.strip_prefix('{').and_then(|form| form.strip_suffix('}')) {
                None => form == field,
                Some(word) => learned.entry(word.into()).or_insert(field.clone()) == field,
            }
        });
    if all {
        *words = learned;
    }
    all
}

/// The blocks of the document, and the numbers of their first lines.
fn blocks(document: &str) -> Vec<(usize, Vec<&str>)> {
    let mut all = Vec::new();
    let mut open = None;
    for (n, line) in document.lines().enumerate() {
        match &mut open {
            None if line == "```rooms" => open = Some((n + 2, Vec::new())),
            None => {}
            Some(_) if line == "```" => all.extend(open.take()),
            Some((_, lines)) => lines.push(line),
        }
    }
    assert!(open.is_none(), "a block of PROTOCOL.md has no end");
    all
}

#[test]
fn the_conversations_in_protocol_md_are_what_happens() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../PROTOCOL.md");
    let document = std::fs::read_to_string(path).expect("PROTOCOL.md");
    let blocks = blocks(&document);
    assert!(!blocks.is_empty(), "no conversation in PROTOCOL.md");
    for (first, lines) in blocks {
        let master = Master::start(&[]);
        let mut talk = Conversation { master, peers: HashMap::new(), words: HashMap::new() };
        let spoken = lines.iter().enumerate().map(|(n, line)| (first + n, line));
        let spoken = spoken.filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
        // So that the words for its address mean something before it has said anything.
        for (name, _) in spoken.clone().filter_map(|(_, line)| line.split_once(['<', '>'])) {
            talk.peer(name);
        }
        for (n, line) in spoken {
            eprintln!("PROTOCOL.md:{n}: {line}");
            match (line.split_once("> "), line.split_once("< ")) {
                (Some((name, text)), None) => talk.say(name, text),
                (None, Some((name, form))) => talk.hear(name, form),
                _ => panic!("want NAME> TEXT or NAME< TEXT"),
            }
        }
    }
}

#[test]
fn forms_are_compared_field_by_field() {
    let mut words = HashMap::new();
    assert!(matches("rl:{A},x:{B},y", "rl:1,x:2,y", &mut words));
    assert_eq!((words["A"].as_str(), words["B"].as_str()), ("1", "2"));
    assert!(!matches("rl:{A},x", "rl:2,x", &mut words));
    assert!(!matches("rl:{C}", "rl:2,x", &mut words));
    assert!(!matches("rl:{C}:z", "rl:2:x", &mut words));
    assert!(!words.contains_key("C"));
}
