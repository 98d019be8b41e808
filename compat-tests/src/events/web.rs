//! Events by WebSocket, as a page of a browser sends them.

use std::fmt;
use std::io::{self, ErrorKind, Read, Write};
use std::net::SocketAddr;

use tungstenite::protocol::{Role, WebSocketConfig, WebSocketContext};
use tungstenite::{Error, Message};

/// What the server has to show that it has understood. Others draw it anew each time, as a proxy might
/// remember the answer; there is none here.
const KEY: &str = "cHVuY2ggYW5kIGV2ZW50cw==";

/// By that it shows it (RFC 6455, section 1.3).
const ACCEPT: &str = "vZBxDFs5NWYq3k/UmLUclI5FHOg=";

/// Bytes that the head of the answer has at most.
const HEAD: usize = 8 * 1024;

/// Bytes of the longest message. The server has none so long.
const MESSAGE: usize = 1 << 20;

/// The frames on a connection.
pub(crate) struct Web(WebSocketContext);

impl fmt::Debug for Web {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Web(..)")
    }
}

impl Web {
    /// Asks for a WebSocket at this path.
    pub(crate) fn open(
        stream: &mut (impl Read + Write),
        server: SocketAddr,
        path: &str,
    ) -> io::Result<Self> {
        write!(
            stream,
            "GET {path} HTTP/1.1\r\nHost: {server}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {KEY}\r\n\r\n"
        )?;
        stream.flush()?;
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            if head.len() > HEAD || stream.read(&mut byte)? == 0 {
                return Err(ErrorKind::UnexpectedEof.into());
            }
            head.extend(byte);
        }
        let head = String::from_utf8_lossy(&head);
        let is_right = head.starts_with("HTTP/1.1 101 ")
            && head.lines().any(|line| {
                let header = line.split_once(": ");
                header.is_some_and(|(name, value)| {
                    name.eq_ignore_ascii_case("sec-websocket-accept") && value == ACCEPT
                })
            });
        if !is_right {
            let line = crate::shown::quoted(head.lines().next().unwrap_or_default().as_bytes());
            // What a server answers that wants TLS.
            let hint = if head.starts_with("HTTP/1.1 403 ") {
                "; if it takes events with TLS alone (--tls-required), add --tls"
            } else {
                ""
            };
            return Err(io::Error::other(format!("it speaks no WebSocket: {line}{hint}")));
        }
        let config = WebSocketConfig::default()
            .read_buffer_size(16 * 1024)
            .write_buffer_size(0)
            .max_message_size(Some(MESSAGE));
        Ok(Self(WebSocketContext::new(Role::Client, Some(config))))
    }

    /// Sends a message.
    pub(crate) fn send(&mut self, stream: &mut (impl Read + Write), text: &str) -> io::Result<()> {
        let sent = self.0.write(stream, Message::text(text));
        sent.and_then(|()| self.0.flush(stream)).map_err(plain)
    }

    /// Appends the next message, as a line. Zero: there will be none.
    pub(crate) fn receive(
        &mut self,
        stream: &mut (impl Read + Write),
        to: &mut Vec<u8>,
    ) -> io::Result<usize> {
        loop {
            match self.0.read(stream) {
                Ok(message @ (Message::Text(_) | Message::Binary(_))) => {
                    let bytes = message.into_data();
                    to.extend_from_slice(&bytes);
                    to.push(b'\n');
                    return Ok(bytes.len() + 1);
                }
                // Pings are answered by the next read.
                Ok(_) => {}
                Err(Error::ConnectionClosed | Error::AlreadyClosed) => return Ok(0),
                Err(error) => return Err(plain(error)),
            }
        }
    }
}

/// What it would be without frames.
fn plain(error: Error) -> io::Error {
    match error {
        Error::Io(error) => error,
        // It has ended without a goodbye.
        Error::Protocol(_) | Error::ConnectionClosed => ErrorKind::UnexpectedEof.into(),
        other => io::Error::other(other.to_string()),
    }
}
