//! Pairs of peers, one of which passes events to the other, each on a TCP connection of its own.

use std::io::{self, Read, Write};
use std::time::{Duration, Instant};

use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};

use super::Failure;
use super::players::Server;
use super::sockets::{self, address, wait_for};

/// All events of a round must be there within this time.
const PATIENCE: Duration = Duration::from_secs(60);
/// The kind of peers, for their addresses.
const PEER: u8 = 10;

/// Pairs that are logged in.
#[derive(Debug)]
pub struct Pairs {
    is_checked: bool,
    poll: Poll,
    pairs: Vec<Pair>,
}

#[derive(Debug)]
struct Pair {
    sender: std::net::TcpStream,
    receiver: TcpStream,
    /// How many events were sent and how many arrived, ever.
    sent: usize,
    received: usize,
    /// What has come of the next event.
    begun: Vec<u8>,
}

impl Pairs {
    /// Logs pairs in.
    ///
    /// # Errors
    /// If the machine or the server does not take so many.
    pub fn new(server: Server, pairs: usize) -> Result<Self, Failure> {
        let poll = Poll::new().map_err(Failure::system("make a poll"))?;
        let is_checked = matches!(server, Server::Master(_));
        let mut all = Vec::with_capacity(pairs);
        for n in 0..pairs {
            let sender = log_in(server, n, 'a')?;
            let receiver = log_in(server, n, 'b')?;
            receiver.set_nonblocking(true).map_err(Failure::system("open a connection"))?;
            let mut receiver = TcpStream::from_std(receiver);
            let watched = poll.registry().register(&mut receiver, Token(n), Interest::READABLE);
            watched.map_err(Failure::system("wait for a connection's events"))?;
            all.push(Pair { sender, receiver, sent: 0, received: 0, begun: Vec::new() });
        }
        Ok(Self { is_checked, poll, pairs: all })
    }

    /// Each pair passes `count` events, of which at most `at_once` are on their way, a write for
    /// each. Returns how long it took.
    ///
    /// # Errors
    /// If one of them does not arrive as it should.
    pub fn pass(&mut self, count: usize, at_once: usize) -> Result<Duration, Failure> {
        let mut events = Events::with_capacity(1024);
        let mut chunk = vec![0; 64 * 1024];
        let begin = Instant::now();
        for (n, pair) in self.pairs.iter_mut().enumerate() {
            pair.send(n, count.min(at_once)).map_err(Failure::system("pass an event"))?;
        }
        let mut left = count * self.pairs.len();
        while left > 0 {
            wait_for(&mut self.poll, &mut events, Duration::from_millis(100))?;
            for event in &events {
                let Token(n) = event.token();
                let pair = &mut self.pairs[n];
                let arrived = pair.receive(n, &mut chunk, self.is_checked)?;
                left -= arrived;
                // All of a round began at the same number.
                let rest = (count - pair.sent % count) % count;
                pair.send(n, arrived.min(rest)).map_err(Failure::system("pass an event"))?;
            }
            if begin.elapsed() > PATIENCE {
                return Err(Failure::Late(format!("{left} events are missing")));
            }
        }
        Ok(begin.elapsed())
    }
}

impl Pair {
    fn send(&mut self, n: usize, count: usize) -> io::Result<()> {
        for _ in 0..count {
            let head = format!("{{\"type\":\"pass\",\"dest\":\"b{n}\",");
            self.sender.write_all(&[head.as_bytes(), &body(self.sent), b"}\n"].concat())?;
            self.sent += 1;
        }
        Ok(())
    }

    /// Reads what there is; how many events are complete.
    fn receive(&mut self, n: usize, chunk: &mut [u8], is_checked: bool) -> Result<usize, Failure> {
        let before = self.received;
        loop {
            let length = match self.receiver.read(chunk) {
                Ok(0) => return Err(Failure::Wrong("the server closed a connection".into())),
                Ok(length) => length,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(Failure::system("read an event")(error)),
            };
            for part in chunk[..length].split_inclusive(|b| *b == b'\n') {
                self.begun.extend_from_slice(part);
                if part.ends_with(b"\n") {
                    self.check(n, is_checked)?;
                    self.begun.clear();
                    self.received += 1;
                }
            }
            if length < chunk.len() {
                break;
            }
        }
        Ok(self.received - before)
    }

    /// Each event must arrive byte by byte as it was sent but for who it is for and from.
    fn check(&self, n: usize, is_checked: bool) -> Result<(), Failure> {
        let (head, tail) = if is_checked {
            ("{\"type\":\"pass\",".to_owned(), format!(",\"from\":\"a{n}\"}}\n"))
        } else {
            (format!("{{\"type\":\"pass\",\"dest\":\"b{n}\","), "}\n".to_owned())
        };
        let body = body(self.received);
        let rest = self.begun.strip_prefix(head.as_bytes());
        let middle = rest.and_then(|rest| rest.strip_suffix(tail.as_bytes()));
        if middle == Some(&body) {
            return Ok(());
        }
        let wrong = self.begun.escape_ascii();
        Err(Failure::Wrong(format!("\"{wrong}\" for event {} of peer a{n}", self.received)))
    }
}

/// What a game says of a player that moves; no two of a pair are the same.
fn body(number: usize) -> Vec<u8> {
    format!(
        "\"name\":\"move\",\"data\":{{\"number\":{number},\"x\":{}.25,\"y\":-311.5,\
         \"state\":\"running\",\"items\":[3,14,15]}}",
        number % 640
    )
    .into_bytes()
}

/// A connection that is known as `a0`, `b0`, and so on.
fn log_in(server: Server, n: usize, side: char) -> Result<std::net::TcpStream, Failure> {
    let at = address(PEER, 2 * n + usize::from(side == 'b'));
    let stream = sockets::tcp(at, server.addr());
    let mut stream = stream.map_err(Failure::system("connect to the server"))?;
    let id = format!("\"id\":\"{side}{n}\"");
    let request = match server {
        Server::Master(_) => format!(
            "{{\"type\":\"request\",\"name\":\"login\",\"request_id\":1,\"data\":{{{id}}}}}\n"
        ),
        Server::Bare(_) => "pair\n".to_owned(),
    };
    stream.write_all(request.as_bytes()).map_err(Failure::system("log in"))?;
    let mut answer = Vec::new();
    while !answer.ends_with(b"\n") {
        let mut chunk = [0; 1024];
        let length = stream.read(&mut chunk).map_err(Failure::system("log in"))?;
        answer.extend_from_slice(&chunk[..length]);
        if length == 0 {
            break;
        }
    }
    let answer = String::from_utf8_lossy(&answer);
    let is_in = answer.contains("\"udp_token\"") && answer.contains(&id);
    if matches!(server, Server::Master(_)) && !is_in {
        return Err(Failure::Wrong(format!("\"{answer}\" for an answer to login")));
    }
    Ok(stream)
}
