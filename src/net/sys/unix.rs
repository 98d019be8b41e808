//! Unixes other than Linux: macOS and the BSDs.

use std::path::Path;

pub(crate) use super::not_linux::*;
pub(crate) use super::posix::*;

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

pub(super) fn firewall_hint() -> Option<String> {
    None
}
