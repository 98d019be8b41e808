//! Reading with an end, whatever the other side does: how much may come, until when, and how much
//! is in a file.

use std::fs::File;
use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::time::{Duration, Instant};

/// So much a master server may send at once: more than four lists of all hosts that it has room for.
const AT_ONCE: u64 = 16 << 20;

/// And so much more a second.
const A_SECOND: u64 = 1 << 20;

/// The longest line of JSON events, of which a server lets much less in.
pub const LINE: usize = 1 << 20;

/// What came on a connection, as far as a server has a reason to send that much.
#[derive(Debug)]
pub struct Budget {
    since: Instant,
    used: u64,
}

impl Budget {
    /// Of a connection that begins.
    #[must_use]
    pub fn new(now: Instant) -> Self {
        Self { since: now, used: 0 }
    }

    /// Whether these bytes may come as well.
    pub fn takes(&mut self, now: Instant, bytes: usize) -> bool {
        self.used = self.used.saturating_add(bytes as u64);
        let seconds = now.saturating_duration_since(self.since).as_secs();
        self.used <= AT_ONCE.saturating_add(A_SECOND.saturating_mul(seconds))
    }
}

/// A TCP connection on which nothing takes longer than until a deadline, however often a byte comes
/// or goes meanwhile.
#[derive(Debug)]
pub struct Timed {
    tcp: TcpStream,
    deadline: Instant,
}

impl Timed {
    /// The deadline is so far off.
    #[must_use]
    pub fn new(tcp: TcpStream, within: Duration) -> Self {
        Self { tcp, deadline: Instant::now() + within }
    }

    /// Sets another deadline. One that is over leaves time for a look at what is there.
    pub fn set(&mut self, deadline: Instant) {
        self.deadline = deadline.max(Instant::now() + Duration::from_millis(1));
    }

    /// The connection.
    #[must_use]
    pub fn tcp(&self) -> &TcpStream {
        &self.tcp
    }

    fn left(&self) -> io::Result<Duration> {
        let left = self.deadline.saturating_duration_since(Instant::now());
        // Zero would mean to wait for ever.
        if left.is_zero() { Err(ErrorKind::TimedOut.into()) } else { Ok(left) }
    }
}

impl Read for Timed {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.tcp.set_read_timeout(Some(self.left()?))?;
        self.tcp.read(buffer)
    }
}

impl Write for Timed {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.tcp.set_write_timeout(Some(self.left()?))?;
        self.tcp.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The first line, or what there is before the end. A line that is longer is an error.
///
/// # Errors
/// If it is longer than [`LINE`], or reading fails.
pub fn line(reader: impl Read) -> io::Result<Vec<u8>> {
    let mut reader = io::BufReader::new(reader.take(LINE as u64 + 1));
    let mut line = Vec::new();
    io::BufRead::read_until(&mut reader, b'\n', &mut line)?;
    if line.len() > LINE { Err(too_long("the line", LINE)) } else { Ok(line) }
}

/// All that is in a file, which may be one without an end.
///
/// # Errors
/// If there is more than this in it, or reading fails.
pub fn file(path: &Path, most: usize) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(most as u64 + 1).read_to_end(&mut bytes)?;
    if bytes.len() > most { Err(too_long("the file", most)) } else { Ok(bytes) }
}

/// The same, of text.
///
/// # Errors
/// Those of [`file`], and if it is not UTF-8.
pub fn text_file(path: &Path, most: usize) -> io::Result<String> {
    let text = String::from_utf8(file(path, most)?);
    text.map_err(|_| io::Error::new(ErrorKind::InvalidData, "it is not UTF-8"))
}

fn too_long(what: &str, most: usize) -> io::Error {
    let why = format!("{what} is longer than {} KiB", most >> 10);
    io::Error::new(ErrorKind::InvalidData, why)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    #[test]
    fn a_server_may_send_lists_but_not_without_end() {
        let now = Instant::now();
        let mut budget = Budget::new(now);
        assert!((0..4).all(|_| budget.takes(now, 4 << 20)));
        assert!(!budget.takes(now, 1));
        assert!(budget.takes(now + Duration::from_secs(1), 1 << 19));
    }

    #[test]
    fn bytes_that_trickle_do_not_move_the_deadline() {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
        let tcp = TcpStream::connect(listener.local_addr().expect("its address"));
        let mut peer = listener.accept().expect("a connection").0;
        let trickles = std::thread::spawn(move || {
            let deadline = Instant::now() + Duration::from_secs(10);
            while Instant::now() < deadline && peer.write_all(b"a").is_ok() {
                std::thread::sleep(Duration::from_millis(20));
            }
        });
        let began = Instant::now();
        let mut timed = Timed::new(tcp.expect("connecting"), Duration::from_millis(300));
        let error = line(&mut timed).expect_err("no line end");
        assert!(matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut), "{error}");
        assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
        drop(timed);
        trickles.join().expect("the peer");
    }

    #[test]
    fn files_and_lines_without_end_are_errors() {
        let error = file(Path::new("/dev/zero"), 1 << 20).expect_err("no end");
        assert_eq!(error.to_string(), "the file is longer than 1024 KiB");
        let error = line(io::repeat(b'a')).expect_err("no end");
        assert_eq!(error.to_string(), "the line is longer than 1024 KiB");
        assert_eq!(line(&b"one\ntwo\n"[..]).expect("a line"), b"one\n");
        assert_eq!(line(&b"one"[..]).expect("the rest"), b"one");
    }
}
