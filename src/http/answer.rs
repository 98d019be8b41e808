//! What is answered: a status, headers that keep browsers from doing what nobody wants, and a body.

use std::borrow::Cow;
use std::fmt::Write as _;

use prometheus_client::encoding::prometheus_text;
use serde::Serialize;

/// How it went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// What was asked for.
    Ok,
    /// There is nothing to see, and nothing wrong.
    NoContent,
    /// It is somewhere else.
    SeeOther,
    /// That is no request.
    BadRequest,
    /// Not without the token.
    Unauthorized,
    /// There is nothing there.
    NotFound,
    /// There is nothing but to look.
    MethodNotAllowed,
    /// It took too long to ask.
    Timeout,
    /// The path is too long.
    TargetTooLong,
    /// This server has not that name.
    Misdirected,
    /// The headers are too long, or too many.
    HeadersTooLarge,
    /// Its address asks too often.
    TooManyRequests,
    /// A fault of the server.
    Internal,
    /// Not now.
    Unavailable,
}

impl Status {
    /// The number, and what it is called (RFC 9110, RFC 6585).
    #[must_use]
    pub const fn line(self) -> &'static str {
        match self {
            Self::Ok => "200 OK",
            Self::NoContent => "204 No Content",
            Self::SeeOther => "303 See Other",
            Self::BadRequest => "400 Bad Request",
            Self::Unauthorized => "401 Unauthorized",
            Self::NotFound => "404 Not Found",
            Self::MethodNotAllowed => "405 Method Not Allowed",
            Self::Timeout => "408 Request Timeout",
            Self::TargetTooLong => "414 URI Too Long",
            Self::Misdirected => "421 Misdirected Request",
            Self::TooManyRequests => "429 Too Many Requests",
            Self::HeadersTooLarge => "431 Request Header Fields Too Large",
            Self::Internal => "500 Internal Server Error",
            Self::Unavailable => "503 Service Unavailable",
        }
    }

    /// What is to be said about it to people, who may have typed what was asked for.
    const fn advice(self) -> &'static str {
        match self {
            Self::Ok | Self::NoContent | Self::SeeOther => "",
            Self::BadRequest => "this is no request of HTTP 1.1 without a body and with one Host",
            Self::Unauthorized => {
                "this needs the token of --http-token: open /?token=TOKEN once, or send \
                 Authorization: Bearer TOKEN"
            }
            Self::NotFound => "there is nothing of this name",
            Self::MethodNotAllowed => "there are GET and HEAD only",
            Self::Timeout => "the request took too long",
            Self::TargetTooLong => "what is asked for has too long a name",
            Self::Misdirected => "the name in the address is not one of this server's",
            Self::HeadersTooLarge => "the headers are too many or too long",
            Self::TooManyRequests => "your address asks too often, try again in a moment",
            Self::Internal => "the server has a fault here, which its log tells",
            Self::Unavailable => "not now, try again in a moment",
        }
    }
}

/// What stands behind the head, and what kind of text it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body {
    /// A page.
    Html(&'static str),
    /// How the page looks.
    Css(&'static str),
    /// What the page does.
    Script(&'static str),
    /// Text for people.
    Text(Cow<'static, str>),
    /// Numbers for Prometheus.
    Metrics(String),
    /// Numbers and rows for programs.
    Json(Vec<u8>),
}

impl Body {
    const fn kind(&self) -> &'static str {
        match self {
            Self::Html(_) => "text/html; charset=utf-8",
            Self::Css(_) => "text/css; charset=utf-8",
            Self::Script(_) => "text/javascript; charset=utf-8",
            Self::Text(_) => "text/plain; charset=utf-8",
            Self::Metrics(_) => prometheus_text::CONTENT_TYPE,
            Self::Json(_) => "application/json",
        }
    }

    fn bytes(&self) -> &[u8] {
        match self {
            Self::Html(text) | Self::Css(text) | Self::Script(text) => text.as_bytes(),
            Self::Text(text) => text.as_bytes(),
            Self::Metrics(text) => text.as_bytes(),
            Self::Json(bytes) => bytes,
        }
    }
}

/// Who may see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum For {
    /// The owner, in no page but ours.
    Owner,
    /// Everybody, in any page.
    Everybody,
}

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// How it went.
    pub status: Status,
    /// What there is to see.
    pub body: Body,
    /// Who may.
    pub whom: For,
    /// Who asked has presented the token.
    pub is_for_token: bool,
    /// The connection ends with it, whatever was asked for.
    pub closes: bool,
    /// Further headers.
    pub headers: Vec<(&'static str, String)>,
}

impl Answer {
    /// This body.
    #[must_use]
    pub const fn of(body: Body) -> Self {
        Self {
            status: Status::Ok,
            body,
            whom: For::Owner,
            is_for_token: false,
            closes: false,
            headers: Vec::new(),
        }
    }

    /// This, as JSON.
    #[must_use]
    pub fn json(value: &impl Serialize) -> Self {
        let bytes = serde_json::to_vec(value);
        bytes.map_or_else(
            |_| Self::error(Status::Internal),
            |mut bytes| {
                bytes.push(b'\n');
                Self::of(Body::Json(bytes))
            },
        )
    }

    /// What went wrong.
    #[must_use]
    pub fn error(status: Status) -> Self {
        Self::because(status, status.advice())
    }

    /// What went wrong, in other words.
    #[must_use]
    pub fn because(status: Status, why: &str) -> Self {
        let text = format!("{}: {why}\n", status.line());
        let mut answer = Self { status, ..Self::of(Body::Text(text.into())) };
        match status {
            Status::MethodNotAllowed => answer.headers.push(("Allow", "GET, HEAD".into())),
            Status::Unauthorized => answer.headers.push(("WWW-Authenticate", "Bearer".into())),
            Status::TooManyRequests | Status::Unavailable => {
                answer.headers.push(("Retry-After", "1".into()))
            }
            _ => {}
        }
        answer
    }

    /// What went wrong, with this advice in place of the usual one.
    #[must_use]
    pub fn saying(self, advice: &str) -> Self {
        let text = format!("{}: {advice}\n", self.status.line());
        Self { body: Body::Text(text.into()), ..self }
    }

    /// The same for them.
    #[must_use]
    pub fn to(self, whom: For) -> Self {
        Self { whom, ..self }
    }

    /// What browsers want to know before a page of another site asks with headers of its own, or not just by
    /// `GET`: that it may look, whatever it sends along (Fetch, section 3.3).
    #[must_use]
    pub fn to_preflight() -> Self {
        let mut answer = Self::of(Body::Text(Cow::Borrowed(""))).to(For::Everybody);
        answer.status = Status::NoContent;
        for (name, value) in [
            ("Allow", "GET, HEAD, OPTIONS"),
            ("Access-Control-Allow-Methods", "GET, HEAD"),
            ("Access-Control-Allow-Headers", "*"),
            ("Access-Control-Max-Age", "86400"),
        ] {
            answer.headers.push((name, value.to_owned()));
        }
        answer
    }

    /// Writes it; of one who asks for the head alone without the body. Nothing comes behind it if it `closes`.
    pub fn write(&self, unix: u64, is_head: bool, closes: bool, bytes: &mut Vec<u8>) {
        /// Scripts, styles and data come from this server; nothing in the text of the page runs.
        const OWNER: &str = "Content-Security-Policy: default-src 'none'; script-src 'self'; \
                             style-src 'self'; connect-src 'self'; img-src 'self' data:; \
                             base-uri 'none'; form-action 'none'; frame-ancestors 'none'\r\n\
                             Cross-Origin-Resource-Policy: same-origin\r\n\
                             Cross-Origin-Opener-Policy: same-origin\r\n\
                             Cache-Control: no-store\r\n";
        const EVERYBODY: &str = "Content-Security-Policy: default-src 'none'; \
                                 frame-ancestors 'none'\r\n\
                                 Cross-Origin-Resource-Policy: cross-origin\r\n\
                                 Access-Control-Allow-Origin: *\r\n";
        let body = self.body.bytes();
        let mut head = String::with_capacity(768);
        // Writing to memory does not fail.
        let _ = write!(
            head,
            "HTTP/1.1 {}\r\nDate: {}\r\nX-Content-Type-Options: nosniff\r\nX-Frame-Options: DENY\r\n\
             Referrer-Policy: no-referrer\r\n",
            self.status.line(),
            Date(unix),
        );
        // Nothing has neither a kind nor a length (RFC 9110, section 8.6).
        if self.status != Status::NoContent {
            let (kind, length) = (self.body.kind(), body.len());
            let _ = write!(head, "Content-Type: {kind}\r\nContent-Length: {length}\r\n");
        }
        head.push_str(if self.whom == For::Owner { OWNER } else { EVERYBODY });
        for (name, value) in &self.headers {
            let _ = write!(head, "{name}: {value}\r\n");
        }
        head.push_str(if closes { "Connection: close\r\n\r\n" } else { "\r\n" });
        bytes.extend_from_slice(head.as_bytes());
        if !is_head {
            bytes.extend_from_slice(body);
        }
    }
}

/// A time as HTTP has it (RFC 9110, section 5.6.7), of seconds since 1970.
struct Date(u64);

impl std::fmt::Display for Date {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        /// The first of January 1970 was one.
        const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
        /// Of years that begin in March, so that the leap day comes last.
        const MONTHS: [&str; 12] =
            ["Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec", "Jan", "Feb"];
        /// Days from the first of March of the year 0 to the first of January 1970.
        const BEFORE: u64 = 719_468;
        let Self(unix) = *self;
        let (days, second) = (unix / 86_400, unix % 86_400);
        let weekday = DAYS.get((days % 7) as usize).unwrap_or(&"Thu");
        let days = days + BEFORE;
        let (era, day) = (days / 146_097, days % 146_097);
        let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
        let day = day - (365 * year + year / 4 - year / 100);
        let month = (5 * day + 2) / 153;
        let day = day - (153 * month + 2) / 5 + 1;
        let year = 400 * era + year + u64::from(month >= 10);
        let month = MONTHS.get(month as usize).unwrap_or(&"Jan");
        let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
        write!(f, "{weekday}, {day:02} {month} {year:04} {hour:02}:{minute:02}:{second:02} GMT")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_those_of_the_calendar() {
        for (unix, date) in [
            (0, "Thu, 01 Jan 1970 00:00:00 GMT"),
            (784_111_777, "Sun, 06 Nov 1994 08:49:37 GMT"), // RFC 9110
            (1_709_210_096, "Thu, 29 Feb 2024 12:34:56 GMT"),
            (1_735_689_599, "Tue, 31 Dec 2024 23:59:59 GMT"),
            (4_107_542_400, "Mon, 01 Mar 2100 00:00:00 GMT"),
        ] {
            assert_eq!(Date(unix).to_string(), date);
        }
    }
}
