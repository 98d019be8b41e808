//! HTTP in the hands of a fuzzer: the owner's window, into which nobody looks without the token, and the lobby
//! for web sites.
#![expect(clippy::expect_used, reason = "a broken promise is a panic")]

use std::net::{IpAddr, SocketAddr};

use punchd::clock::{Instant, Now};
use punchd::dialect::{ConnId, Outbox, Output};
use punchd::http::Guard;
use punchd::server::{Config, Server, window};

use super::world::Script;

/// The token of the window, which no phrase has.
const TOKEN: &str = "fuzzers-do-not-guess-this";

/// Whole lines, which random bytes would hardly ever hit upon.
const PHRASES: [&[u8]; 32] = [
    b"GET / HTTP/1.1\r\n",
    b"GET /healthz HTTP/1.1\r\n",
    b"GET /metrics HTTP/1.1\r\n",
    b"GET /window.js HTTP/1.1\r\n",
    b"GET /api/v1/status HTTP/1.1\r\n",
    b"GET /api/v1/hosts?dialect=gmnet&from=1&limit=2 HTTP/1.1\r\n",
    b"GET /api/v1/introductions?game=%41+&address=::1&limit= HTTP/1.1\r\n",
    b"GET /api/v1/refusals HTTP/1.1\r\n",
    b"HEAD /api/v1/status HTTP/1.1\r\n",
    b"GET /lobby HTTP/1.1\r\n",
    b"GET /lobby?game=g&key=k&limit=99999999999999999999 HTTP/1.1\r\n",
    b"HEAD /lobby?limit=0 HTTP/1.0\r\n",
    b"OPTIONS /lobby HTTP/1.1\r\n",
    b"POST /lobby HTTP/1.1\r\n",
    b"GET /?token=wrong HTTP/1.1\r\n",
    b"GET //evil/?token=%66uzzers HTTP/1.1\r\n",
    b"Host: localhost\r\n",
    b"Host: evil.example:80\r\n",
    b"Host: [::1]:6580\r\n",
    b"Authorization: Bearer wrong\r\n",
    b"Authorization: bearer\r\n",
    b"Cookie: a=b; punchd=wrong; c\r\n",
    b"Connection: keep-alive, close\r\n",
    b"Content-Length: 0\r\n",
    b"Content-Length: 1\r\n",
    b"Transfer-Encoding: chunked\r\n",
    b"\r\n",
    b"\n",
    b"GET /lobby HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET /api/v1/hosts HTTP/1.1\r\nHost: localhost\r\n\r\nGET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
    b"GET /events HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
      Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n",
    b"reg2\n1.2.4\n<b>\n\"\n\n\n\n\n\n\n",
];

/// Those who look into the window, before those who come to the port of the games.
const LOOKERS: u32 = 3;
const CONNS: u32 = 6;

struct World {
    server: Server,
    out: Outbox,
    micros: u64,
    generation: u32,
    /// Each connection with what it was told.
    open: [Option<(ConnId, Vec<u8>)>; CONNS as usize],
    has_token: bool,
}

/// Has the bytes of an input happen to both.
pub(super) fn run(data: &[u8]) {
    let mut script = Script(data);
    let mut world = World::new(script.number() % 2 == 1);
    while let Some(op) = script.byte() {
        world.step(op, &mut script);
    }
    for n in 0..CONNS {
        world.leave(n, false);
    }
}

impl World {
    fn new(has_token: bool) -> Self {
        let mut server = Server::new(Config { public_lobby: true, ..Config::default() });
        let at = SocketAddr::from(([127, 0, 0, 1], 6580));
        let token = has_token.then(|| TOKEN.parse().expect("a token"));
        let guard = Guard { at, token };
        let options = vec![("--name".to_owned(), "<b>".to_owned())];
        server.open_window(window::Config { guard, build: "fuzzed", tls: None, options });
        let open = std::array::from_fn(|_| None);
        Self { server, out: Outbox::new(), micros: 20_000_000, generation: 0, open, has_token }
    }

    fn now(&self) -> Now {
        Now { instant: Instant::from_micros(self.micros), unix: 1_700_000_000 }
    }

    fn step(&mut self, op: u8, script: &mut Script<'_>) {
        let n = u32::from(op / 8) % CONNS;
        match op % 8 {
            0 => {
                let length = usize::from(script.number());
                self.bytes(n, script.take(length));
            }
            1..=3 => {
                let phrase = PHRASES[usize::from(script.number()) % PHRASES.len()];
                self.bytes(n, phrase);
            }
            4 => self.leave(n, true),
            5 => {
                let unread = usize::from(script.number());
                if let Some((id, _)) = &self.open[n as usize] {
                    self.server.on_unread(*id, unread);
                }
            }
            6 => self.bytes(n, &[b'a'; 1000].repeat(usize::from(script.number() % 9))),
            _ => self.sleep(u64::from(script.number()) * 200_000),
        }
    }

    /// Somebody sends something, for which he comes first if he is not there.
    fn bytes(&mut self, n: u32, bytes: &[u8]) {
        let now = self.now();
        let id = match &self.open[n as usize] {
            Some((id, _)) => *id,
            None => {
                self.generation += 1;
                let id = ConnId { slot: n, generation: self.generation };
                self.open[n as usize] = Some((id, Vec::new()));
                let addr = IpAddr::from([127, 0, 0, n as u8]);
                if n < LOOKERS {
                    self.server.on_look(now, id, addr);
                } else {
                    let peer = SocketAddr::new(addr, 9);
                    self.server.on_accept(now, || now.instant, id, peer, &mut self.out);
                }
                self.deliver();
                id
            }
        };
        self.server.on_bytes(now, id, bytes, &mut self.out);
        self.deliver();
    }

    fn leave(&mut self, n: u32, politely: bool) {
        let Some((id, _)) = &self.open[n as usize] else { return };
        let id = *id;
        if politely {
            self.server.on_fin(self.now(), id, &mut self.out);
            return self.deliver();
        }
        self.server.on_gone(self.now(), id, &mut self.out);
        self.deliver();
        if let Some((_, told)) = self.open[n as usize].take() {
            self.check(n, &told);
        }
    }

    fn sleep(&mut self, micros: u64) {
        let until = self.micros + micros;
        let mut wakes = 0;
        while let Some(at) = self.server.next_wakeup().filter(|at| at.micros() <= until) {
            self.micros = self.micros.max(at.micros());
            let before = self.out.len();
            self.server.on_wakeup(self.now(), &mut self.out);
            assert_eq!(before, 0);
            self.deliver();
            wakes += 1;
            assert!(wakes < 10_000, "the server does not let itself sleep");
        }
        self.micros = until;
    }

    fn deliver(&mut self) {
        let mut out = std::mem::take(&mut self.out);
        for output in out.outputs() {
            let (Output::Tcp(id, _) | Output::Close(id)) = output else { continue };
            let place = &mut self.open[id.slot as usize];
            let (open, told) = place.as_mut().expect("it is open");
            assert_eq!(*open, id, "it is that one");
            match output {
                Output::Tcp(_, bytes) => told.extend_from_slice(bytes),
                _ => {
                    let told = std::mem::take(told);
                    *place = None;
                    self.check(id.slot, &told);
                }
            }
        }
        out.clear();
        self.out = out;
    }

    /// Whether what somebody was told are answers of HTTP, and nothing that is for others.
    fn check(&self, n: u32, told: &[u8]) {
        const START: &[u8] = b"HTTP/1.1 ";
        let mut rest = told;
        while n < LOOKERS && !rest.is_empty() {
            assert!(rest.starts_with(START), "an answer: {}", rest.escape_ascii());
            let end = rest.windows(4).position(|four| four == b"\r\n\r\n").expect("a head") + 4;
            let (head, behind) = rest.split_at(end);
            let head = std::str::from_utf8(head).expect("text");
            let lines: Vec<_> = head.trim_end().split("\r\n").collect();
            let of = |name: &str| lines.iter().find_map(|line| line.strip_prefix(name));
            let length: usize =
                of("Content-Length: ").expect("a length").parse().expect("a number");
            // Who has asked for the head alone gets no more.
            let is_head = behind.is_empty() || behind.starts_with(START);
            let (body, behind) = behind.split_at(if is_head { 0 } else { length });
            let may_be = !self.has_token || body == b"ok\n" || is_head;
            assert!(may_be || !head.starts_with("HTTP/1.1 200"), "without a token: {head}");
            assert!(of("Access-Control-Allow-Origin").is_none(), "for the owner alone: {head}");
            if of("Content-Type: ") == Some("application/json") && !is_head {
                serde_json::from_slice::<serde_json::Value>(body).expect("JSON");
            }
            rest = behind;
        }
    }
}
