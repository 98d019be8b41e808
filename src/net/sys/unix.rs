//! Unixes other than Linux: macOS and the BSDs.

use std::io;
use std::path::Path;
use std::time::Duration;

use mio::net::TcpStream;
use socket2::SockRef;

use super::Handed;
pub(crate) use super::posix::*;
use crate::net::bind::set_keepalive;

/// kqueue tells of sockets in any order.
pub(crate) const EVENTS_IN_ORDER: bool = false;

/// An IPv6 socket calls IPv4 addresses of this machine by what stands for them in IPv6.
pub(super) const MAPS_OWN_IPV4: bool = true;

/// What shows the addresses of this machine.
pub(crate) const ADDRESSES: &str = "'ifconfig'";

/// Nothing lets a program have a port below 1024 that root has not started.
pub(crate) fn or_permit(_: &Path) -> String {
    String::new()
}

/// How to have so many files open.
pub(crate) fn how_to_raise(needed: u64) -> String {
    format!("raise the limit ('ulimit -Hn {needed}' as root)")
}

/// Sets what accepted connections inherit, besides what every system knows.
pub(crate) fn prepare_listener(_: &SockRef<'_>, _: Duration) -> io::Result<()> {
    Ok(())
}

/// Connections may not have what the listener has.
pub(crate) fn prepare_accepted(stream: &TcpStream, ghost: Duration) {
    // It is lost by now if these fail, or has to do without them.
    let _ = stream.set_nodelay(true);
    set_keepalive(&SockRef::from(stream), ghost);
}

/// Threads have no priority of their own here that is worth it.
pub(crate) fn give_way() -> io::Result<()> {
    Ok(())
}

/// How long a connection has waited and its round trip are not known here.
pub(crate) fn age(_: &TcpStream) -> (Duration, Duration) {
    Default::default()
}

/// Not known here.
pub(crate) fn owner_of_port(_: u16, _: bool) -> Option<&'static str> {
    None
}

/// There is no socket activation.
pub(crate) fn handed() -> Handed {
    Handed::default()
}

pub(super) fn notify_ready() -> io::Result<()> {
    Ok(())
}

pub(super) fn firewall_hint() -> Option<String> {
    None
}
