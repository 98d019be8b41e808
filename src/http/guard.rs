//! Who may look into the owner's window: who is on this machine, or who has the token; and no page of
//! another site that gives its name the address of this server (DNS rebinding).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

use super::answer::{Answer, Body, Status};
use super::request::Request;

/// What the owner gives with `--http-token`.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(String);

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Token(..)")
    }
}

impl FromStr for Token {
    type Err = String;

    /// # Errors
    /// If it is too short to be secret, or has what neither a path nor a cookie can have.
    fn from_str(text: &str) -> Result<Self, String> {
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
        if (16..=256).contains(&text.len()) && text.bytes().all(is_plain) {
            Ok(Self(text.to_owned()))
        } else {
            Err("want 16 to 256 letters, digits or any of - . _ ~ that nobody guesses, as \
                 openssl rand -hex 16 makes them"
                .into())
        }
    }
}

impl Token {
    /// Whether it is this one. That takes as long for a text that is nearly right as for any other of its
    /// length.
    #[must_use]
    pub fn is(&self, text: &str) -> bool {
        let pairs = self.0.bytes().zip(text.bytes());
        self.0.len() == text.len() && pairs.fold(0, |sum, (a, b)| sum | (a ^ b)) == 0
    }
}

/// Under this name browsers keep the token.
const COOKIE: &str = "punchd";

/// What has to be so before anything is told.
#[derive(Clone, Debug)]
pub struct Guard {
    /// Where the window is.
    pub at: SocketAddr,
    /// What has to be presented, if anything.
    pub token: Option<Token>,
}

impl Guard {
    /// What is answered to a request that may not see what it asks for; nothing to any other.
    #[must_use]
    pub fn refuses(&self, request: &Request<'_>) -> Option<Answer> {
        let Some(token) = &self.token else {
            // HTTP/1.0 may leave it out; then nothing tells that the name was none of another site.
            let Some(host) = request.host else { return Some(Answer::error(Status::BadRequest)) };
            return (!self.is_own(host)).then(|| self.misdirected());
        };
        // Who has it is no page of somebody else, whatever name he asks for: a browser sends the cookie to
        // the name alone that it has it from.
        if let Some(shown) = request.asked("token") {
            return Some(if token.is(&shown) { welcome(request.path, &shown) } else { wrong() });
        }
        let shown = [request.bearer, request.cookie(COOKIE)];
        if shown.iter().flatten().any(|shown| token.is(shown)) {
            return None;
        }
        let has_shown = shown.iter().any(Option::is_some);
        Some(if has_shown { wrong() } else { Answer::error(Status::Unauthorized) })
    }

    /// Who asks by another name is told by which it is.
    fn misdirected(&self) -> Answer {
        let port = self.at.port();
        Answer::error(Status::Misdirected).saying(&format!(
            "the name in the address is not one of this server's: open http://localhost:{port}/ on its machine, \
             or on yours after ssh -L {port}:127.0.0.1:{port} you@SERVER; by another name it is shown only if it \
             is started with --http-token"
        ))
    }

    /// Whether somebody shows what he takes for the token.
    #[must_use]
    pub fn is_shown_one(&self, request: &Request<'_>) -> bool {
        let shown = [request.bearer, request.cookie(COOKIE)];
        request.asked("token").is_some() || shown.iter().any(Option::is_some)
    }

    /// Whether a server is known by this name that is on the own machine, or reached by its address: any
    /// address is no name that somebody else can give it.
    fn is_own(&self, host: &str) -> bool {
        match Named::of(host) {
            Some(Named::Address(ip)) => {
                ip.is_loopback() || ip == self.at.ip() || self.at.ip().is_unspecified()
            }
            Some(Named::Name(name)) => {
                let name = name.to_ascii_lowercase();
                name == "localhost" || name.ends_with(".localhost")
            }
            None => false,
        }
    }
}

/// By what a server is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Named<'a> {
    /// A name of DNS, without the dot that it may end with.
    Name(&'a str),
    Address(IpAddr),
}

impl<'a> Named<'a> {
    /// Reads a `Host`: a name, an IPv4 address, or an IPv6 address in brackets, and a port behind it or none (RFC 9110,
    /// section 7.2). Names that URLs may have and DNS has not are none: `a/.localhost` is no name that ends so.
    fn of(host: &'a str) -> Option<Self> {
        if let Some(rest) = host.strip_prefix('[') {
            let (v6, port) = rest.split_once(']')?;
            let v6: Ipv6Addr = v6.parse().ok()?;
            let is_good = port.is_empty() || port.strip_prefix(':').is_some_and(is_port);
            return is_good.then_some(Self::Address(v6.into()));
        }
        let (name, port) = host.split_once(':').map_or((host, None), |(a, b)| (a, Some(b)));
        if !port.is_none_or(is_port) {
            return None;
        }
        if let Ok(v4) = name.parse::<Ipv4Addr>() {
            return Some(Self::Address(v4.into()));
        }
        let name = name.strip_suffix('.').unwrap_or(name);
        let is_good = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
        let is_label = |label: &str| !label.is_empty() && label.bytes().all(is_good);
        name.split('.').all(is_label).then_some(Self::Name(name))
    }
}

fn is_port(text: &str) -> bool {
    // Not "+80", which the library would take.
    text.bytes().all(|byte| byte.is_ascii_digit()) && text.parse::<u16>().is_ok()
}

/// What was shown is not the token, which may have been changed.
fn wrong() -> Answer {
    Answer::error(Status::Unauthorized).saying(
        "this is not the token that the server was started with (--http-token, PUNCHD_HTTP_TOKEN): \
         compare them (both are case-sensitive), and open /?token=TOKEN with the right one",
    )
}

/// The browser keeps the token from now on, and it is no longer in what it shows.
fn welcome(path: &str, token: &str) -> Answer {
    let to = if path.starts_with("//") { "/" } else { path };
    Answer {
        status: Status::SeeOther,
        headers: vec![
            ("Location", to.to_owned()),
            ("Set-Cookie", format!("{COOKIE}={token}; Path=/; HttpOnly; SameSite=Strict")),
        ],
        ..Answer::of(Body::Text("the token is right\n".into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::request::{Parsed, parse};

    fn refused(guard: &Guard, path: &str, headers: &str) -> Option<Answer> {
        let text = format!("GET {path} HTTP/1.1\r\n{headers}\r\n\r\n");
        match parse(text.as_bytes()) {
            Parsed::Whole(request, _) => guard.refuses(&request),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn other_names_are_refused_so_that_no_other_site_looks_in() {
        let at = |at: &str| Guard { at: at.parse().unwrap(), token: None };
        let hosts = [
            ("localhost", true),
            ("LOCALHOST.:8080", true),
            ("a.localhost", true),
            ("127.0.0.1:6580", true),
            ("127.1.2.3", true),
            ("[::1]:6580", true),
            ("203.0.113.1", false),
            ("evil.example", false),
            ("localhost.evil.example", false),
            ("127.0.0.1.evil.example", false),
            ("evil.example:6580", false),
            ("", false),
            ("localhost:80@evil.example", false),
            ("evil.example/.localhost", false),
            ("evil.example#.localhost", false),
            ("evil.example?.localhost", false),
            ("evil.example\\.localhost", false),
            ("x y.localhost", false),
            ("x@localhost", false),
            ("x,.localhost", false),
            ("\u{e4}.localhost", false),
            (".localhost", false),
            ("a..localhost", false),
            ("localhost..", false),
            ("localhost:", false),
            ("localhost:+80", false),
            ("localhost:80:80", false),
            ("localhost:65536", false),
            ("127.0.0.1:80 ", true),
            ("127.0.0.1:8o", false),
            ("127.0.0.1@evil.example", false),
            ("::1", false),
            ("[::1]", true),
            ("[::1", false),
            ("[::1]6580", false),
            ("[::1].evil.example", false),
            ("[::1]:", false),
            ("[127.0.0.1]", false),
            ("[localhost]", false),
            ("my_pc-1.localhost.:1", true),
        ];
        for (host, is_own) in hosts {
            let refused = refused(&at("127.0.0.1:6580"), "/", &format!("Host: {host}"));
            assert_eq!(refused.is_none(), is_own, "{host}");
            assert!(refused.is_none_or(|answer| answer.status == Status::Misdirected));
        }
        let away = refused(&at("127.0.0.1:7580"), "/", "Host: punchd.example").unwrap();
        let text = format!("{:?}", away.body);
        assert!(text.contains("http://localhost:7580/") && !text.contains("6580"), "{text}");
        assert!(text.contains("ssh -L 7580:127.0.0.1:7580 "), "{text}");
        assert!(refused(&at("203.0.113.1:6580"), "/", "Host: 203.0.113.1").is_none());
        assert!(refused(&at("0.0.0.0:6580"), "/", "Host: 203.0.113.1").is_none());
        assert!(refused(&at("0.0.0.0:6580"), "/", "Host: evil.example").is_some());
    }

    #[test]
    fn who_says_no_name_sees_nothing_but_with_a_token() {
        let asks = |token: Option<Token>, headers: &str| {
            let guard = Guard { at: "127.0.0.1:6580".parse().unwrap(), token };
            let text = format!("GET / HTTP/1.0\r\n{headers}\r\n");
            match parse(text.as_bytes()) {
                Parsed::Whole(request, _) => guard.refuses(&request).map(|answer| answer.status),
                other => panic!("{other:?}"),
            }
        };
        assert_eq!(asks(None, ""), Some(Status::BadRequest));
        assert_eq!(asks(None, "Host: evil.example\r\n"), Some(Status::Misdirected));
        assert_eq!(asks(None, "Host: localhost\r\n"), None);
        let token: Token = "0123456789abcdef".parse().unwrap();
        let shown = "Authorization: Bearer 0123456789abcdef\r\n";
        assert_eq!(asks(Some(token), shown), None);
    }

    #[test]
    fn with_a_token_only_who_has_it_looks_in() {
        let token: Token = "0123456789abcdef".parse().unwrap();
        let guard = Guard { at: "203.0.113.1:6580".parse().unwrap(), token: Some(token) };
        let status = |path: &str, headers: &str| {
            refused(&guard, path, &format!("Host: x\r\n{headers}")).map(|answer| answer.status)
        };
        assert_eq!(status("/", "A: b"), Some(Status::Unauthorized));
        assert_eq!(
            status("/", "Authorization: Bearer 0123456789abcdeF"),
            Some(Status::Unauthorized)
        );
        assert_eq!(status("/", "Authorization: Bearer 0123456789abcdef"), None);
        assert_eq!(status("/", "Cookie: x=y; punchd=0123456789abcdef"), None);
        assert_eq!(status("/", "Cookie: punchd=0123456789abcde"), Some(Status::Unauthorized));
        assert_eq!(status("/?token=no", "A: b"), Some(Status::Unauthorized));
        let text = |path: &str, headers: &str| {
            let answer = refused(&guard, path, &format!("Host: x\r\n{headers}")).unwrap();
            format!("{:?}", answer.body)
        };
        assert!(text("/", "A: b").contains("needs the token of --http-token"));
        for wrong in [text("/?token=no", "A: b"), text("/", "Authorization: Bearer no")] {
            assert!(
                wrong.contains("is not the token") && wrong.contains("case-sensitive"),
                "{wrong}"
            );
        }
        let welcome = refused(&guard, "/?token=0123456789abcdef", "Host: x").unwrap();
        assert_eq!(welcome.status, Status::SeeOther);
        assert_eq!(welcome.headers[0], ("Location", "/".to_owned()));
        assert!(welcome.headers[1].1.starts_with("punchd=0123456789abcdef; Path=/; HttpOnly"));
        // A browser would take this for another site.
        let away = refused(&guard, "//evil.example/?token=0123456789abcdef", "Host: x").unwrap();
        assert_eq!(away.headers[0], ("Location", "/".to_owned()));
    }

    #[test]
    fn a_token_is_secret_and_fits_where_it_is_written() {
        let wrong = ["", "short", "0123456789 abcdef", "0123456789abcdef;", "ä123456789abcdef"];
        assert!(wrong.iter().all(|text| text.parse::<Token>().is_err()));
        let token: Token = "abcDEF-._~0123456789".parse().unwrap();
        assert_eq!(format!("{token:?}"), "Token(..)");
    }
}
