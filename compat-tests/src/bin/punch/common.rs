//! What the subcommands share.

use std::fmt::Display;
use std::io::{BufRead as _, Read as _, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::Duration;

use crate::probe::Server;
use compat_tests::gmnet::wire::DEFAULT_PORT;
use compat_tests::shown;
pub(crate) use compat_tests::shown::printable;

/// The master server when none is named.
pub(crate) const LOCAL_MASTER: &str = "127.0.0.1:6510";

/// The longest time that can be asked for: a year of 365 days.
const LONGEST: f64 = 365.0 * 24.0 * 60.0 * 60.0;

/// The longest line that somebody types, and how many may wait.
const TYPED: u64 = 64 * 1024;
const TYPED_AHEAD: usize = 64;

/// Prints a line, or a text of several of our own. Whatever is in it, nothing moves the cursor. A
/// reader that has gone away is no reason to fail.
pub(crate) fn say(line: impl Display) {
    let _ = writeln!(std::io::stdout(), "{}", shown::lines(&line.to_string()));
}

/// Prints why the program fails, in the same way.
pub(crate) fn complain(why: &str) {
    let _ = writeln!(std::io::stderr(), "punch: {}", shown::lines(why));
}

/// The lines of the standard input, read elsewhere so that nobody waits for them. Who types faster
/// than they are carried out has to wait; a line without an end is cut into several.
pub(crate) fn typed() -> Receiver<String> {
    let (sink, lines) = sync_channel(TYPED_AHEAD);
    std::thread::spawn(move || {
        let mut input = std::io::stdin().lock();
        loop {
            let mut line = Vec::new();
            match (&mut input).take(TYPED).read_until(b'\n', &mut line) {
                Ok(0) | Err(_) => return,
                Ok(_) => {}
            }
            let text = String::from_utf8_lossy(&line);
            let text = text.strip_suffix('\n').unwrap_or(&text);
            if sink.send(text.strip_suffix('\r').unwrap_or(text).to_owned()).is_err() {
                return;
            }
        }
    });
    lines
}

/// By which way somebody got through to `at`: where the other was said to be first, which is the relay
/// where the server knows that nothing else helps, or by what was told later.
pub(crate) fn through(at: SocketAddr, is_first: bool) -> String {
    let which = if is_first { "first" } else { "second" };
    format!("through at the {which} address, {at}")
}

/// Finds a master server by name or address, IPv4 first, as games know no other.
pub(crate) fn resolve(name: &str) -> Result<SocketAddr, String> {
    choose(resolve_all(name)?)
}

/// A server as it is named, if that can be the name of one.
pub(crate) fn spelled(name: &str) -> Result<String, String> {
    let want = format!("want HOST or HOST:PORT, such as {LOCAL_MASTER}");
    let name = name.trim();
    if name.is_empty() {
        return Err(want);
    }
    if let Some((scheme, _)) = name.split_once("://") {
        return Err(format!("leave out {scheme}://, {want}"));
    }
    // Else it is an IPv6 address.
    let port = match name.rsplit_once(':') {
        Some((host, port)) if !host.contains(':') || host.ends_with(']') => port,
        _ => return Ok(name.to_owned()),
    };
    match port.parse() {
        Ok(1..=u16::MAX) => Ok(name.to_owned()),
        _ => Err(format!("{port:?} is no port, want 1 to 65535")),
    }
}

/// The same with all addresses that it has.
pub(crate) fn resolve_all(name: &str) -> Result<Vec<SocketAddr>, String> {
    let name = &*spelled(name)?;
    let found = match name.to_socket_addrs() {
        Ok(found) => found.collect(),
        // No port in it: the usual one.
        Err(first) => resolve_all_at(name, DEFAULT_PORT).map_err(|error| match has_port(name) {
            true => first.to_string(),
            false => format!("want HOST or HOST:PORT, such as {LOCAL_MASTER}: {error}"),
        })?,
    };
    v4_first(found)
}

/// Whether it is written as a name and a port.
fn has_port(name: &str) -> bool {
    let parts = name.rsplit_once(':');
    parts.is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok())
}

/// The same with an address of each family.
pub(crate) fn resolve_each(name: &str) -> Result<Server, String> {
    let of_each = |found: Vec<SocketAddr>| -> Vec<SocketAddr> {
        let of = |is_v4| found.iter().copied().find(move |addr| addr.is_ipv4() == is_v4);
        [of(true), of(false)].into_iter().flatten().collect()
    };
    // Also says what is wrong with the name.
    let port = resolve(name)?.port();
    let bare = |host: &str| host.trim_start_matches('[').trim_end_matches(']').to_owned();
    let (host, addrs) = match name.to_socket_addrs() {
        Ok(found) => (name.rsplit_once(':').map_or(name, |(host, _)| host), found.collect()),
        Err(_) => {
            let found = (bare(name), port).to_socket_addrs().map_err(|error| error.to_string())?;
            (name, found.collect())
        }
    };
    Ok(Server { text: name.to_owned(), host: bare(host), addrs: of_each(addrs) })
}

/// The same where the port is named apart. An IPv6 address may have its brackets.
pub(crate) fn resolve_at(name: &str, port: u16) -> Result<SocketAddr, String> {
    choose(v4_first(resolve_all_at(name, port)?)?)
}

fn resolve_all_at(name: &str, port: u16) -> Result<Vec<SocketAddr>, String> {
    let bare = name.strip_prefix('[').and_then(|name| name.strip_suffix(']'));
    let found = (bare.unwrap_or(name), port).to_socket_addrs();
    found.map(Iterator::collect).map_err(|error| error.to_string())
}

fn v4_first(mut found: Vec<SocketAddr>) -> Result<Vec<SocketAddr>, String> {
    // Those of one kind stay in the order in which the system wants them to be tried.
    found.sort_by_key(SocketAddr::is_ipv6);
    match found.is_empty() {
        true => Err("that name has no address".to_owned()),
        false => Ok(found),
    }
}

fn choose(found: Vec<SocketAddr>) -> Result<SocketAddr, String> {
    found.first().copied().ok_or_else(|| "that name has no address".to_owned())
}

/// The address to bind to for a way to `server`, if none is wanted: any of its kind.
pub(crate) fn any_towards(server: SocketAddr) -> IpAddr {
    match server {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    }
}

/// A local address. What the standard parser says is no help to anybody.
pub(crate) fn local_ip(text: &str) -> Result<IpAddr, String> {
    text.parse().map_err(|_| "want an IP address of this machine, as 192.168.1.20".to_owned())
}

/// A port.
pub(crate) fn port(text: &str) -> Result<u16, String> {
    text.parse().map_err(|_| "want a port from 1 to 65535, or 0 for any".to_owned())
}

/// A number of something.
pub(crate) fn count<N: std::str::FromStr>(text: &str) -> Result<N, String> {
    text.parse().map_err(|_| "want a whole number".to_owned())
}

/// A number of something, in these bounds.
pub(crate) fn number<const LEAST: u64, const MOST: u64>(text: &str) -> Result<u64, String> {
    let number = text.parse().ok().filter(|number| (LEAST..=MOST).contains(number));
    number.ok_or_else(|| format!("want a number from {LEAST} to {MOST}"))
}

/// A number of seconds, such as `5` or `0.5`.
pub(crate) fn seconds(text: &str) -> Result<Duration, String> {
    let seconds = text.parse().ok().filter(|seconds| (0.0..=LONGEST).contains(seconds));
    let duration = seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    duration.ok_or_else(|| format!("want a number of seconds, from 0 to {LONGEST} (a year)"))
}

/// Says whether Ctrl-C or SIGTERM has come.
pub(crate) fn interrupted() -> Result<impl Fn() -> bool, String> {
    let flag = Arc::new(AtomicBool::new(false));
    let set = Arc::clone(&flag);
    ctrlc::set_handler(move || set.store(true, Ordering::Relaxed))
        .map_err(|error| format!("cannot wait for Ctrl-C: {error}"))?;
    Ok(move || flag.load(Ordering::Relaxed))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_has_its_name_and_an_address_of_each_family() {
        let of = |text: &str| resolve_each(text).map(|server| (server.host, server.addrs));
        for (text, host, addr) in [
            ("127.0.0.1", "127.0.0.1", "127.0.0.1:6510"),
            ("127.0.0.1:7", "127.0.0.1", "127.0.0.1:7"),
            ("[::1]:7", "::1", "[::1]:7"),
            ("[::1]", "::1", "[::1]:6510"),
            ("::1", "::1", "[::1]:6510"),
        ] {
            let addr: SocketAddr = addr.parse().unwrap();
            assert_eq!(of(text), Ok((host.to_owned(), vec![addr])), "{text}");
        }
        let (host, addrs) = of("localhost:7").unwrap();
        assert_eq!((host.as_str(), addrs.iter().all(|addr| addr.port() == 7)), ("localhost", true));
        assert!(addrs.iter().filter(|addr| addr.is_ipv4()).count() <= 1 && addrs.len() <= 2);
        assert!(of("").is_err() && of("no such name").is_err());
    }

    #[test]
    fn what_cannot_be_a_server_is_said_before_it_is_looked_up() {
        for right in ["localhost", " a.example:1 ", "::1", "[::1]", "[::1]:65535", "fe80::1%lo"] {
            assert_eq!(spelled(right).as_deref(), Ok(right.trim()));
        }
        for wrong in ["a:0", "a:65536", "a:", "a:b", "127.0.0.1:-1", "[::1]:x"] {
            assert!(
                spelled(wrong).is_err_and(|why| why.ends_with(" is no port, want 1 to 65535")),
                "{wrong}"
            );
        }
        assert!(spelled("http://a:1").is_err_and(|why| why.starts_with("leave out http://")));
        assert!(spelled(" ").is_err_and(|why| why.starts_with("want HOST")));
    }

    #[test]
    fn seconds_have_an_end() {
        for (text, millis) in [("0", 0), ("0.5", 500), ("1e3", 1_000_000)] {
            assert_eq!(seconds(text), Ok(Duration::from_millis(millis)), "{text}");
        }
        assert_eq!(seconds("31536000"), Ok(Duration::from_secs(365 * 86_400)));
        let wrong = ["31536001", "1e18", "1e19", "9223372036854775807", "1e400", "inf", "nan"];
        for text in wrong.iter().chain(&["-1", "", " 1", "0x10", "a"]) {
            let error = seconds(text).expect_err(text);
            assert_eq!(error, "want a number of seconds, from 0 to 31536000 (a year)");
        }
    }
}
