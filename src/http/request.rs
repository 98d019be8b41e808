//! What is asked for: a request line with its headers.

use std::borrow::Cow;

use super::answer::Status;
use crate::limits;

/// What is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// To look.
    Get,
    /// The head of the answer alone.
    Head,
    /// What may be wanted. Browsers ask so before some requests of pages of other sites.
    Options,
}

/// A request. All that matters of it here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Request<'a> {
    /// What is wanted.
    pub method: Method,
    /// What is asked for, without what is behind a `?`.
    pub path: &'a str,
    /// What is behind the `?`.
    pub query: &'a str,
    /// By which name, or address, the server is asked; with the port if that was written.
    pub host: Option<&'a str>,
    /// What is behind `Authorization: Bearer`.
    pub bearer: Option<&'a str>,
    /// What the server has left in the browser.
    pub cookies: Option<&'a str>,
    /// Whether the connection is to end with the answer.
    pub closes: bool,
}

/// What has come of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parsed<'a> {
    /// Not all of it.
    Partial,
    /// A request of so many bytes.
    Whole(Request<'a>, usize),
    /// No request, or one that nothing is done for. What follows it means nothing.
    Bad(Status),
}

/// Reads the request that these bytes begin with.
#[must_use]
pub fn parse(bytes: &[u8]) -> Parsed<'_> {
    let mut headers = [httparse::EMPTY_HEADER; limits::HTTP_HEADERS];
    let mut request = httparse::Request::new(&mut headers);
    let head = bytes.get(..limits::HTTP_HEAD).unwrap_or(bytes);
    let length = match request.parse(head) {
        Ok(httparse::Status::Complete(length)) => length,
        Ok(httparse::Status::Partial) if is_too_long(bytes) => return Parsed::Bad(too_long(bytes)),
        Ok(httparse::Status::Partial) => return Parsed::Partial,
        Err(httparse::Error::TooManyHeaders) => return Parsed::Bad(Status::HeadersTooLarge),
        Err(_) => return Parsed::Bad(Status::BadRequest),
    };
    match read(&request) {
        Ok(request) => Parsed::Whole(request, length),
        Err(status) => Parsed::Bad(status),
    }
}

/// Whether nothing that is to come makes this a request within the bounds.
fn is_too_long(bytes: &[u8]) -> bool {
    bytes.len() >= limits::HTTP_HEAD || is_target_too_long(bytes)
}

fn is_target_too_long(bytes: &[u8]) -> bool {
    /// `HEAD ` before it, and ` HTTP/1.1` behind it.
    const LINE: usize = limits::HTTP_TARGET + 16;
    bytes.len() > LINE && !bytes.iter().take(LINE).any(|byte| *byte == b'\n')
}

fn too_long(bytes: &[u8]) -> Status {
    if is_target_too_long(bytes) { Status::TargetTooLong } else { Status::HeadersTooLarge }
}

fn read<'a>(request: &httparse::Request<'_, 'a>) -> Result<Request<'a>, Status> {
    let method = match request.method {
        Some("GET") => Method::Get,
        Some("HEAD") => Method::Head,
        Some("OPTIONS") => Method::Options,
        _ => return Err(Status::MethodNotAllowed),
    };
    let target = request.path.unwrap_or_default();
    if target.len() > limits::HTTP_TARGET {
        return Err(Status::TargetTooLong);
    }
    // Nothing is asked of a proxy.
    if !target.starts_with('/') {
        return Err(Status::BadRequest);
    }
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let is_old = request.version == Some(0);
    let mut read =
        Request { method, path, query, host: None, bearer: None, cookies: None, closes: is_old };
    let mut hosts = 0;
    for header in request.headers.iter() {
        let is = |name: &str| header.name.eq_ignore_ascii_case(name);
        let text = || std::str::from_utf8(header.value).map_err(|_| Status::BadRequest);
        if is("host") {
            hosts += 1;
            read.host = Some(text()?.trim());
        } else if is("connection") {
            let mut words = text()?.split(',').map(str::trim);
            read.closes |= words.any(|word| word.eq_ignore_ascii_case("close"));
        } else if is("transfer-encoding") || is("content-length") && text()?.trim() != "0" {
            return Err(Status::BadRequest);
        } else if is("authorization") {
            let (scheme, shown) = text()?.trim().split_once(' ').unwrap_or_default();
            read.bearer = scheme.eq_ignore_ascii_case("bearer").then(|| shown.trim());
        } else if is("cookie") {
            read.cookies = Some(text()?);
        }
    }
    // A server that answers all the same may be asked for two things at once.
    if hosts > 1 || hosts == 0 && !is_old {
        return Err(Status::BadRequest);
    }
    Ok(read)
}

impl<'a> Request<'a> {
    /// What the query says of something; nothing if it says nothing, or nothing that can be read.
    #[must_use]
    pub fn asked(&self, name: &str) -> Option<Cow<'a, str>> {
        let mut pairs =
            self.query.split('&').map(|pair| pair.split_once('=').unwrap_or((pair, "")));
        pairs.find(|(key, _)| *key == name).and_then(|(_, value)| decode(value))
    }

    /// The same of a number; one that is too large is as large as can be.
    #[must_use]
    pub fn asked_number(&self, name: &str) -> Option<usize> {
        let text = self.asked(name)?;
        is_number(&text).then(|| text.parse().unwrap_or(usize::MAX))
    }

    /// Whether the query asks for nothing but this, each once and so that it can be read.
    ///
    /// # Errors
    /// What is wrong with it, for who has typed it.
    pub fn check(&self, texts: &[&str], numbers: &[&str]) -> Result<(), String> {
        let mut seen: Vec<&str> = Vec::new();
        for pair in self.query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            if !texts.contains(&name) && !numbers.contains(&name) {
                let all = [texts, numbers].concat().join(", ");
                let others = if all.is_empty() { all } else { format!(", but these: {all}") };
                return Err(format!("there is no parameter {name:?}{others}"));
            }
            if seen.contains(&name) {
                return Err(format!("{name} is there twice"));
            }
            seen.push(name);
            let Some(value) = decode(value) else {
                return Err(format!(
                    "{name} is not UTF-8, or has a % without two digits behind it"
                ));
            };
            // A form that was not filled in sends it empty.
            if numbers.contains(&name) && !value.is_empty() && !is_number(&value) {
                return Err(format!("{name} has to be a whole number"));
            }
        }
        Ok(())
    }

    /// What the server has left in the browser under this name.
    #[must_use]
    pub fn cookie(&self, name: &str) -> Option<&'a str> {
        let mut all = self.cookies?.split(';').filter_map(|cookie| cookie.trim().split_once('='));
        all.find(|(key, _)| *key == name).map(|(_, value)| value)
    }
}

/// A text as it stands in a query (`application/x-www-form-urlencoded`).
fn decode(text: &str) -> Option<Cow<'_, str>> {
    if !text.contains(['%', '+']) {
        return Some(Cow::Borrowed(text));
    }
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => {
                let mut digit = || char::from(rest.next()?).to_digit(16);
                u8::try_from(16 * digit()? + digit()?).ok()?
            }
            other => other,
        });
    }
    String::from_utf8(bytes).ok().map(Cow::Owned)
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn whole(text: &str) -> Request<'_> {
        match parse(text.as_bytes()) {
            Parsed::Whole(request, length) => {
                assert_eq!(length, text.len());
                request
            }
            other => panic!("{text:?}: {other:?}"),
        }
    }

    #[test]
    fn requests_are_read() {
        let request = whole(
            "HEAD /a/b?game=Tiny+%C3%A4&x=1&empty HTTP/1.1\r\nHOST: localhost:8080\r\n\
             Authorization: Bearer secret\r\nCookie: a=b; punchd=token\r\nConnection: foo, Close\r\n\r\n",
        );
        assert!(request.method == Method::Head && request.closes);
        assert_eq!((request.path, request.host), ("/a/b", Some("localhost:8080")));
        assert_eq!(request.asked("game").as_deref(), Some("Tiny ä"));
        assert_eq!((request.asked_number("x"), request.asked_number("game")), (Some(1), None));
        assert_eq!((request.asked("empty").as_deref(), request.asked("no")), (Some(""), None));
        assert_eq!((request.bearer, request.cookie("punchd")), (Some("secret"), Some("token")));
        let old = whole("GET / HTTP/1.0\r\n\r\n");
        assert!(old.closes && old.host.is_none());
        assert!(!whole("GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n").closes);
    }

    #[test]
    fn a_query_is_checked() {
        let check = |query: &str| {
            let text = format!("GET /?{query} HTTP/1.1\r\nHost: a\r\n\r\n");
            whole(&text).check(&["game", "key"], &["limit"])
        };
        for good in ["", "&", "game=a&limit=5&key", "limit=", "limit=99999999999999999999999"] {
            assert_eq!(check(good), Ok(()), "{good}");
        }
        for (bad, why) in [
            ("gane=a", "there is no parameter \"gane\", but these: game, key, limit"),
            ("game=a&limit=1&game=a", "game is there twice"),
            ("game=%ff", "game is not UTF-8, or has a % without two digits behind it"),
            ("key=%4", "key is not UTF-8, or has a % without two digits behind it"),
            ("limit=-1", "limit has to be a whole number"),
            ("limit=+1", "limit has to be a whole number"),
            ("limit=all", "limit has to be a whole number"),
        ] {
            assert_eq!(check(bad), Err(why.to_owned()), "{bad}");
        }
        let huge = whole("GET /?limit=99999999999999999999999 HTTP/1.0\r\n\r\n");
        assert_eq!(huge.asked_number("limit"), Some(usize::MAX));
    }

    #[test]
    fn what_is_no_request_is_told_why() {
        let long = "x".repeat(limits::HTTP_TARGET);
        let many = "A: b\r\n".repeat(limits::HTTP_HEADERS + 1);
        let large = format!("A: {}", "b".repeat(limits::HTTP_HEAD));
        let cases = [
            ("GET / HTTP/1.1\r\n\r\n".into(), Status::BadRequest),
            ("GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n".into(), Status::BadRequest),
            ("GET http://a/ HTTP/1.1\r\nHost: a\r\n\r\n".into(), Status::BadRequest),
            ("GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n".into(), Status::BadRequest),
            (
                "GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n".into(),
                Status::BadRequest,
            ),
            ("GET / HTTP/2.0\r\n\r\n".into(), Status::BadRequest),
            ("reg2\n".into(), Status::BadRequest),
            ("POST / HTTP/1.1\r\nHost: a\r\n\r\n".into(), Status::MethodNotAllowed),
            (format!("GET /{long} HTTP/1.1\r\nHost: a\r\n\r\n"), Status::TargetTooLong),
            (format!("GET /{long}{long}"), Status::TargetTooLong),
            (format!("GET / HTTP/1.1\r\n{many}\r\n"), Status::HeadersTooLarge),
            (format!("GET / HTTP/1.1\r\n{large}"), Status::HeadersTooLarge),
        ];
        for (text, status) in cases {
            assert_eq!(parse(text.as_bytes()), Parsed::Bad(status), "{text:.80}");
        }
        for text in ["", "G", "GET /", "GET / HTTP/1.1\r\nHost: a\r\n"] {
            assert_eq!(parse(text.as_bytes()), Parsed::Partial, "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_read(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let line = [b"GET /?", &bytes[..], b" HTTP/1.1\r\nHost: "].concat();
            for bytes in [&bytes[..], &line, &[&line[..], &bytes, b"\r\n\r\n"].concat()] {
                if let Parsed::Whole(request, length) = parse(bytes) {
                    prop_assert!(length <= bytes.len());
                    let _ = (request.asked("a"), request.cookie("b"));
                }
            }
        }
    }
}
