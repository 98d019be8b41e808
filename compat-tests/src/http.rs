//! A client of HTTP/1.1, for what the server shows to its owner and to web sites.

use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// How long an answer may take, on a busy machine.
const WITHIN: Duration = Duration::from_secs(20);

/// What was answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    /// The number that tells how it went.
    pub status: u16,
    /// The lines between it and the body.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: String,
}

impl Response {
    /// A header, whatever the case of its letters.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut all = self.headers.iter();
        all.find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    /// The body as JSON; null if it is none.
    #[must_use]
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap_or_default()
    }
}

/// Asks for something on a connection of its own, which ends with the answer.
///
/// # Errors
/// If there is no answer, or it is none of HTTP.
pub fn get(server: SocketAddr, target: &str) -> io::Result<Response> {
    get_with(server, target, &[("Host", "localhost")])
}

/// The same with these headers.
///
/// # Errors
/// The same.
pub fn get_with(
    server: SocketAddr,
    target: &str,
    headers: &[(&str, &str)],
) -> io::Result<Response> {
    let mut stream = TcpStream::connect_timeout(&server, WITHIN)?;
    stream.set_read_timeout(Some(WITHIN))?;
    let headers: String =
        headers.iter().map(|(key, value)| format!("{key}: {value}\r\n")).collect();
    write!(stream, "GET {target} HTTP/1.1\r\n{headers}Connection: close\r\n\r\n")?;
    let mut stream = BufReader::new(stream);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") && stream.read_line(&mut head)? > 0 {}
    let answer = read(&head);
    let mut answer =
        answer.ok_or_else(|| io::Error::other(format!("no answer of HTTP: {head:?}")))?;
    // Some servers do not close the connection, though they are asked to.
    let length = answer.header("Content-Length").and_then(|length| length.parse().ok());
    stream.take(length.unwrap_or(u64::MAX)).read_to_string(&mut answer.body)?;
    Ok(answer)
}

/// An answer without its body.
fn read(head: &str) -> Option<Response> {
    let mut lines = head.trim_end().split("\r\n");
    let status = lines.next()?.strip_prefix("HTTP/1.1 ")?.get(..3)?.parse().ok()?;
    let headers = lines
        .map(|line| {
            line.split_once(':').map(|(key, value)| (key.to_owned(), value.trim().to_owned()))
        })
        .collect::<Option<Vec<_>>>()?;
    Some(Response { status, headers, body: String::new() })
}
