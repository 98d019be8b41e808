//! The request that opens a WebSocket, and what is answered.

use std::fmt::Write as _;

use ring::digest;

use crate::limits;

/// What became of the request.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::dialect::events) enum Asked {
    /// Not all of it has come.
    Partial,
    /// It is one, and this is the answer; it had so many bytes.
    Opens(String, usize),
    /// It is none, and this is the answer.
    Not(String),
}

/// What every server puts behind the key (RFC 6455, section 1.3).
const GUID: &str = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// The only version that there is.
const VERSION: &str = "13";

/// Reads the request that these bytes begin with.
pub(in crate::dialect::events) fn read(bytes: &[u8]) -> Asked {
    let mut headers = [httparse::EMPTY_HEADER; limits::HTTP_HEADERS];
    let mut request = httparse::Request::new(&mut headers);
    let head = bytes.get(..limits::HTTP_HEAD).unwrap_or(bytes);
    match request.parse(head) {
        Ok(httparse::Status::Complete(length)) => match answer(&request) {
            Ok(answer) => Asked::Opens(answer, length),
            Err(answer) => Asked::Not(answer),
        },
        Ok(httparse::Status::Partial) if bytes.len() < limits::HTTP_HEAD => Asked::Partial,
        Ok(httparse::Status::Partial) | Err(httparse::Error::TooManyHeaders) => {
            Asked::Not(refusal("431 Request Header Fields Too Large", "the headers are too long"))
        }
        Err(_) => Asked::Not(refusal("400 Bad Request", "this is no request of HTTP")),
    }
}

fn answer(request: &httparse::Request<'_, '_>) -> Result<String, String> {
    let bad = |why| Err(refusal("400 Bad Request", why));
    let path = request.path.unwrap_or_default();
    if path.split('?').next() != Some("/events") {
        return Err(refusal("404 Not Found", "there is /events only"));
    }
    if request.method != Some("GET") || request.version != Some(1) {
        return bad("a WebSocket is opened by GET and HTTP/1.1");
    }
    let all = |name: &'static str| {
        let of_name = request.headers.iter().filter(move |h| h.name.eq_ignore_ascii_case(name));
        of_name.map(|header| std::str::from_utf8(header.value).unwrap_or_default().trim())
    };
    let only = |name: &'static str| {
        let mut all = all(name);
        all.next().filter(|_| all.next().is_none())
    };
    // What is between here and there may not agree on which one counts (RFC 9112, section 3.2).
    if only("host").is_none() {
        return bad("there has to be one Host");
    }
    // It would be read as frames.
    if all("transfer-encoding").next().is_some() || all("content-length").any(|n| n != "0") {
        return bad("the request has no body");
    }
    let has = |name: &'static str, word: &str| {
        all(name).flat_map(|value| value.split(',')).any(|w| w.trim().eq_ignore_ascii_case(word))
    };
    if !has("upgrade", "websocket") || !has("connection", "upgrade") {
        return Err(upgrade(
            "events are told by WebSocket here: new WebSocket(\"ws://HOST/events\")",
        ));
    }
    if only("sec-websocket-version") != Some(VERSION) {
        return Err(upgrade("there is version 13 of WebSocket only"));
    }
    match only("sec-websocket-key").filter(|key| is_key(key)) {
        Some(key) => Ok(format!(
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Accept: {}\r\n\r\n",
            accept(key)
        )),
        None => bad("there has to be one Sec-WebSocket-Key, of 16 bytes in base64"),
    }
}

/// Sixteen bytes in base64.
fn is_key(key: &str) -> bool {
    let is_digit = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/');
    key.strip_suffix("==").is_some_and(|digits| digits.len() == 22 && digits.bytes().all(is_digit))
}

/// Shows that the request was understood.
fn accept(key: &str) -> String {
    let both = [key, GUID].concat();
    base64(digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, both.as_bytes()).as_ref())
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let byte = |n: usize| u32::from(chunk.get(n).copied().unwrap_or(0));
        let all = byte(0) << 16 | byte(1) << 8 | byte(2);
        for n in 0..4 {
            let digit = DIGITS.get((all >> (18 - 6 * n) & 63) as usize).copied().unwrap_or(b'=');
            text.push(if n > chunk.len() { '=' } else { digit.into() });
        }
    }
    text
}

/// An answer of HTTP behind which the connection ends.
pub(in crate::dialect::events) fn refusal(status: &str, why: &str) -> String {
    end(status, "", why)
}

fn upgrade(why: &str) -> String {
    end("426 Upgrade Required", "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n", why)
}

fn end(status: &str, headers: &str, why: &str) -> String {
    let mut text = String::new();
    let why = format!("{}\n", why.trim_end());
    // Writing to memory does not fail.
    let _ = write!(
        text,
        "HTTP/1.1 {status}\r\n{headers}Content-Type: text/plain; charset=utf-8\r\n\
         Content-Length: {}\r\nX-Content-Type-Options: nosniff\r\nConnection: close\r\n\r\n{why}",
        why.len()
    );
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "GET /events HTTP/1.1\r\nHost: a\r\nUpgrade: WebSocket\r\n\
                        Connection: keep-alive, Upgrade\r\nSec-WebSocket-Version: 13\r\n\
                        Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nOrigin: https://b\r\n\r\n";

    #[test]
    fn the_answer_is_that_of_the_rfc() {
        let Asked::Opens(answer, length) = read(format!("{GOOD}more").as_bytes()) else { panic!() };
        assert_eq!(length, GOOD.len());
        assert!(answer.starts_with("HTTP/1.1 101 "));
        // RFC 6455, section 1.3.
        assert!(answer.contains("\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"));
        for end in 0..GOOD.len() {
            assert_eq!(read(&GOOD.as_bytes()[..end]), Asked::Partial);
        }
    }

    #[test]
    fn what_opens_none_is_told_why() {
        let long = "x".repeat(limits::HTTP_HEAD);
        for (from, to, status) in [
            ("/events", "/eventsx", "404"),
            ("Upgrade: WebSocket\r\n", "", "426"),
            ("Connection: keep-alive, Upgrade\r\n", "", "426"),
            ("Version: 13", "Version: 8", "426"),
            ("GET", "POST", "400"),
            ("HTTP/1.1", "HTTP/1.0", "400"),
            ("ub25jZQ==", "ub25jZQ=", "400"),
            ("Host: a", "Host: a\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", "400"),
            ("Host: a", "Host\x01: a", "400"),
            ("Host: a\r\n", "", "400"),
            ("Host: a", "Host: a\r\nhost: b", "400"),
            ("Host: a", "Host: a\r\nContent-Length: 5", "400"),
            ("Host: a", "Host: a\r\nTransfer-Encoding: chunked", "400"),
            ("Host: a", "Host: a\r\nSec-WebSocket-Version: 8", "426"),
            ("Host: a", &long, "431"),
        ] {
            let Asked::Not(answer) = read(GOOD.replace(from, to).as_bytes()) else {
                panic!("{from} {to}")
            };
            assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{to:.40}: {answer}");
            let (_, length) = answer.split_once("Content-Length: ").unwrap();
            let length: usize = length.split('\r').next().unwrap().parse().unwrap();
            assert_eq!(answer.split_once("\r\n\r\n").unwrap().1.len(), length);
        }
    }

    #[test]
    fn base64_is_that_of_rfc_4648() {
        for (bytes, text) in
            [("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foobar", "Zm9vYmFy")]
        {
            assert_eq!(base64(bytes.as_bytes()), text);
        }
    }
}
