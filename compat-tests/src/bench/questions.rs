//! Questions on kept connections whose answers are known: the lobby, again and again.

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};

use super::Failure;
use super::sockets::{self, address, wait_for};

/// All answers of a round must be there within this time.
const PATIENCE: Duration = Duration::from_secs(60);
/// The kind of peers, for their addresses.
const ASKER: u8 = 2;

/// A question and what has to be answered.
#[derive(Clone, Debug)]
pub struct Question {
    /// The bytes to send: forms of the same question, which are used in turn.
    pub requests: Vec<Vec<u8>>,
    /// The bytes that must come back; of the bare loop only their number counts.
    pub answer: Vec<u8>,
}

/// The lobby's hosts of one game; all games for an empty name. None for no limit.
#[must_use]
pub fn lobby_request(game: &str, limit: Option<usize>) -> Vec<u8> {
    lobby_request_by(game, "date", limit)
}

/// The same with another word for what the list is sorted by. What is no data string is the date.
#[must_use]
pub fn lobby_request_by(game: &str, sort: &str, limit: Option<usize>) -> Vec<u8> {
    let limit = limit.map(|n| n.to_string()).unwrap_or_default();
    let lines = ["lobby2", game, "", "", "", "", "", "", "", sort, "DESC", &limit];
    crate::gmnet::wire::strings(lines)
}

/// Asks a question once, and waits for an answer that ends with a line feed.
///
/// # Errors
/// If there is none.
pub fn ask(server: SocketAddr, request: &[u8]) -> Result<Vec<u8>, Failure> {
    let stream = sockets::tcp(address(ASKER, 1 << 19), server);
    let mut stream = stream.map_err(Failure::system("connect to the server"))?;
    stream.write_all(request).map_err(Failure::system("ask the server"))?;
    let mut answer = Vec::new();
    let mut chunk = vec![0; 64 * 1024];
    while answer.last() != Some(&b'\n') {
        let length = stream.read(&mut chunk).map_err(Failure::system("read an answer"))?;
        if length == 0 {
            return Err(Failure::Wrong("the server closed the connection".into()));
        }
        answer.extend_from_slice(&chunk[..length]);
    }
    Ok(answer)
}

/// The hosts' addresses in an answer to `lobby2`.
///
/// # Errors
/// If it is no lobby.
pub fn hosts_in(answer: &[u8]) -> Result<Vec<String>, Failure> {
    let json = answer.strip_prefix(&[crate::gmnet::wire::LOBBY]).unwrap_or_default();
    let hosts: Vec<serde_json::Value> =
        serde_json::from_slice(json).map_err(|error| Failure::Wrong(error.to_string()))?;
    let ip = |host: &serde_json::Value| host.get("ip")?.as_str().map(str::to_owned);
    Ok(hosts.iter().filter_map(ip).collect())
}

/// Those who ask, each on a connection of its own.
#[derive(Debug)]
pub struct Askers {
    poll: Poll,
    askers: Vec<Asker>,
    /// Those who wait for nothing, who was answered last at the end.
    free: VecDeque<usize>,
    is_checked: bool,
}

#[derive(Debug)]
struct Asker {
    stream: TcpStream,
    question: Question,
    /// How often it has asked.
    asked: usize,
    /// How much of the answer has come.
    read: usize,
}

impl Askers {
    /// Connects as many as there are questions. Without `is_checked` any bytes are an answer.
    ///
    /// # Errors
    /// If the server does not take so many.
    pub fn new(
        server: SocketAddr,
        questions: Vec<Question>,
        is_checked: bool,
    ) -> Result<Self, Failure> {
        let poll = Poll::new().map_err(Failure::system("wait for events"))?;
        let mut askers = Vec::with_capacity(questions.len());
        for (n, question) in questions.into_iter().enumerate() {
            let stream = sockets::tcp(address(ASKER, n), server).and_then(|stream| {
                stream.set_nonblocking(true)?;
                let mut stream = TcpStream::from_std(stream);
                poll.registry().register(&mut stream, Token(n), Interest::READABLE)?;
                Ok(stream)
            });
            let stream = stream.map_err(Failure::system("connect to the server"))?;
            askers.push(Asker { stream, question, asked: 0, read: 0 });
        }
        let free = (0..askers.len()).collect();
        Ok(Self { poll, askers, free, is_checked })
    }

    /// Asks `count` questions in all, `at_once` at a time. Returns how long it took.
    ///
    /// # Errors
    /// If an answer is wrong or missing.
    pub fn run(&mut self, count: usize, at_once: usize) -> Result<Duration, Failure> {
        let mut events = Events::with_capacity(1024);
        let mut chunk = vec![0; 256 * 1024];
        let begin = Instant::now();
        let (mut started, mut done) = (0, 0);
        while done < count {
            while started < count && started - done < at_once.min(self.askers.len()) {
                let Some(n) = self.free.pop_front() else { break };
                self.askers[n].ask().map_err(Failure::system("ask the server"))?;
                started += 1;
            }
            wait_for(&mut self.poll, &mut events, Duration::from_millis(100))?;
            for event in &events {
                let Token(n) = event.token();
                if self.askers[n].read(&mut chunk, self.is_checked)? {
                    self.free.push_back(n);
                    done += 1;
                }
            }
            if begin.elapsed() > PATIENCE {
                let missing = count - done;
                return Err(Failure::Late(format!("{missing} of {count} answers are missing")));
            }
        }
        Ok(begin.elapsed())
    }
}

impl Asker {
    fn ask(&mut self) -> io::Result<()> {
        self.read = 0;
        self.asked += 1;
        let requests = &self.question.requests;
        self.stream.write_all(&requests[self.asked % requests.len()])
    }

    /// Reads what there is; true when the answer is complete.
    fn read(&mut self, chunk: &mut [u8], is_checked: bool) -> Result<bool, Failure> {
        loop {
            let length = match self.stream.read(chunk) {
                Ok(length) => length,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(error) => return Err(Failure::system("read an answer")(error)),
            };
            let rest = self.question.answer.get(self.read..).unwrap_or_default();
            let expected = rest.get(..length);
            if length == 0 || expected.is_none() {
                return Err(Failure::Wrong("an answer was too short or too long".into()));
            }
            if is_checked && expected != chunk.get(..length) {
                return Err(Failure::Wrong("an answer is not that of before".into()));
            }
            self.read += length;
            if self.read == self.question.answer.len() {
                return Ok(true);
            }
            if length < chunk.len() {
                return Ok(false);
            }
        }
    }
}
