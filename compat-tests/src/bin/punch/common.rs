//! What the subcommands share.

use std::fmt::Display;
use std::io::Write;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use compat_tests::gmnet::wire::DEFAULT_PORT;

/// The master server when none is named.
pub(crate) const LOCAL_MASTER: &str = "127.0.0.1:6510";

/// Prints a line. A reader that has gone away is no reason to fail.
pub(crate) fn say(line: impl Display) {
    let _ = writeln!(std::io::stdout(), "{line}");
}

/// Finds a master server by name or address, IPv4 first, as games know no other.
pub(crate) fn resolve(name: &str) -> Result<SocketAddr, String> {
    match name.to_socket_addrs() {
        Ok(found) => choose(found),
        // No port in it: the usual one.
        Err(_) => resolve_at(name, DEFAULT_PORT)
            .map_err(|error| format!("want HOST or HOST:PORT, such as {LOCAL_MASTER}: {error}")),
    }
}

/// The same where the port is named apart. An IPv6 address may have its brackets.
pub(crate) fn resolve_at(name: &str, port: u16) -> Result<SocketAddr, String> {
    let bare = name.strip_prefix('[').and_then(|name| name.strip_suffix(']'));
    choose((bare.unwrap_or(name), port).to_socket_addrs().map_err(|error| error.to_string())?)
}

fn choose(found: impl Iterator<Item = SocketAddr>) -> Result<SocketAddr, String> {
    let found: Vec<SocketAddr> = found.collect();
    let first = found.iter().find(|addr| addr.is_ipv4()).or(found.first());
    first.copied().ok_or_else(|| "that name has no address".to_owned())
}

/// The address to bind to for a way to `server`, if none is wanted: any of its kind.
pub(crate) fn any_towards(server: SocketAddr) -> IpAddr {
    match server {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    }
}

/// A number of seconds, such as `5` or `0.5`.
pub(crate) fn seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text.parse().map_err(|_| "want a number of seconds".to_owned())?;
    Duration::try_from_secs_f64(seconds).map_err(|error| error.to_string())
}

/// A text that others sent, safe to print.
pub(crate) fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '?' } else { c }).collect()
}

/// Says whether Ctrl-C or SIGTERM has come.
pub(crate) fn interrupted() -> Result<impl Fn() -> bool, String> {
    let flag = Arc::new(AtomicBool::new(false));
    let set = Arc::clone(&flag);
    ctrlc::set_handler(move || set.store(true, Ordering::Relaxed))
        .map_err(|error| format!("cannot wait for Ctrl-C: {error}"))?;
    Ok(move || flag.load(Ordering::Relaxed))
}
