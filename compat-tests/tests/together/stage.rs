//! Where one plays: sockets, and what was heard on them, with what is random in it taken out.

use std::collections::HashSet;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use compat_tests::events::{EventClient, Tls};
use serde_json::Value;

/// Patience with a busy machine.
pub(crate) const WAIT: Duration = Duration::from_secs(20);

/// How long nothing is expected.
const QUIET: Duration = Duration::from_millis(100);

pub(crate) struct Stage {
    pub(crate) server: SocketAddr,
    /// Where the sockets are.
    pub(crate) at: IpAddr,
    /// Nobody else's.
    pub(crate) name: String,
    pub(crate) tls: Option<Tls>,
    udp: [UdpSocket; 2],
    heard: Vec<String>,
    /// What has come already: rooms says many things three times.
    copies: HashSet<(usize, Vec<u8>)>,
    /// What the server has made up, in the order in which it was heard.
    words: Vec<Vec<u8>>,
}

impl Stage {
    pub(crate) fn new(server: SocketAddr, at: IpAddr, name: String, tls: Option<Tls>) -> Self {
        let udp = [(); 2].map(|()| UdpSocket::bind((at, 0)).expect("a socket"));
        let (heard, copies, words) = (Vec::new(), HashSet::new(), Vec::new());
        Self { server, at, name, tls, udp, heard, copies, words }
    }

    /// What was heard; then all is forgotten, but for what may still be under way.
    pub(crate) fn take_heard(&mut self) -> Vec<String> {
        self.words.clear();
        std::mem::take(&mut self.heard)
    }

    pub(crate) fn send(&self, n: usize, data: &[u8]) {
        self.udp[n].send_to(data, self.server).expect("sending");
    }

    /// The next datagram that begins so. Nothing may come before it, except copies.
    pub(crate) fn hear(&mut self, n: usize, start: &[u8]) -> Vec<u8> {
        let deadline = Instant::now() + WAIT;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let Some(data) = self.receive(n, left) else {
                panic!("{}: no {} after {:#?}", self.name, start.escape_ascii(), self.heard)
            };
            let is_new = self.copies.insert((n, data.clone()));
            if data.starts_with(start) {
                self.note(&format!("udp {n}"), &data);
                return data;
            }
            assert!(!is_new, "{}: {} came unexpected", self.name, data.escape_ascii());
        }
    }

    /// Sends a request and hears what begins so.
    pub(crate) fn ask(&mut self, n: usize, request: &[u8], start: &[u8]) -> Vec<u8> {
        self.send(n, request);
        self.hear(n, start)
    }

    /// Nothing more comes, except copies.
    pub(crate) fn hear_nothing_more(&self) {
        for n in 0..self.udp.len() {
            while let Some(data) = self.receive(n, QUIET) {
                let is_copy = self.copies.contains(&(n, data.clone()));
                assert!(is_copy, "{}: {} came after all", self.name, data.escape_ascii());
            }
        }
    }

    fn receive(&self, n: usize, within: Duration) -> Option<Vec<u8>> {
        let deadline = Instant::now() + within;
        let mut buffer = [0; 2048];
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return None;
            }
            self.udp[n].set_read_timeout(Some(left)).expect("a timeout");
            let Ok((length, from)) = self.udp[n].recv_from(&mut buffer) else { continue };
            assert_eq!(from, self.server, "{}", self.name);
            return Some(buffer[..length].to_vec());
        }
    }

    /// The next event.
    pub(crate) fn hear_event(&mut self, who: &str, client: &mut EventClient) -> Value {
        let event = client.receive(WAIT).expect("connected").expect("an event");
        let mut shown = event.clone();
        // The server numbers what it passes on from peer to peer, all over the server.
        for key in ["pass_id", "request_id"] {
            if let Some(id @ Value::String(_)) = shown.get_mut(key) {
                *id = "number".into();
            }
        }
        self.note(who, shown.to_string().as_bytes());
        event
    }

    /// Writes down what was heard.
    pub(crate) fn note(&mut self, who: &str, data: &[u8]) {
        let mut text = String::new();
        let is_digit = |byte: &u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f' | b'-');
        let mut rest = data;
        while let Some(first) = rest.first() {
            let run = rest.iter().take_while(|byte| is_digit(byte)).count();
            // Behind a UUID may stand a byte that happens to be a digit.
            let run = if run > 36 && rest[8] == b'-' { 36 } else { run };
            let (taken, after) = rest.split_at(run.max(1));
            rest = after;
            if matches!(run, 16 | 32 | 36) {
                let known = self.words.iter().position(|word| word == taken);
                let n = known.unwrap_or_else(|| {
                    self.words.push(taken.to_vec());
                    self.words.len() - 1
                });
                text += &format!("<word {n}>");
            } else if run > 0 {
                text += &taken.escape_ascii().to_string();
            } else {
                text += &first.escape_ascii().to_string();
            }
        }
        self.heard.push(format!("{who}: {text}"));
    }
}
