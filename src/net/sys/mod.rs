//! What differs between systems: one file each for [Linux](linux.rs), other Unixes and Windows, with
//! the same names in all, and what several of them share beside these. Everything outside compiles
//! for all of them alike.

#[cfg(target_os = "linux")]
mod linux_owner;
#[cfg(not(target_os = "linux"))]
mod not_linux;
#[cfg(unix)]
mod posix;
#[cfg(target_os = "linux")]
#[path = "linux_udp.rs"]
pub(super) mod udp;
#[cfg(not(target_os = "linux"))]
#[path = "portable_udp.rs"]
pub(super) mod udp;

#[cfg(windows)]
mod windows_service;

#[cfg_attr(target_os = "linux", path = "linux.rs")]
#[cfg_attr(all(unix, not(target_os = "linux")), path = "unix.rs")]
#[cfg_attr(windows, path = "windows.rs")]
mod system;

pub(crate) use system::*;

use std::net::{TcpListener, UdpSocket};

/// Does the work of this process, as what the system has started it as. Returns whether that went well.
pub fn run(work: fn() -> bool) -> bool {
    system::run_as_wanted(work)
}

/// Tells the service manager that the server is ready, where there is one that wants to know.
pub fn tell_ready() {
    if let Err(error) = system::notify_ready() {
        log::warn!("cannot tell the service manager: {error}");
    }
}

/// Tells the service manager that another process goes on, where there is one that wants to know.
#[cfg(target_os = "linux")]
pub(super) fn tell_successor(pid: i32) {
    if let Err(error) = system::notify_successor(pid) {
        log::warn!("cannot tell the service manager: {error}");
    }
}

/// What the owner has to know about this system at the start, for the log.
#[must_use]
pub fn hint() -> Option<String> {
    system::firewall_hint()
}

/// What the owner can ask of a running server by a signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Request {
    /// Open the log file anew, read the certificate again.
    Reload,
    /// Tell in the log how punches ended.
    Tell,
    /// Start the process that takes the place of this one.
    Succeed,
}

/// Sockets that a service manager has opened for this process.
#[derive(Debug, Default)]
pub(crate) struct Handed {
    /// The listeners.
    pub(crate) tcp: Vec<TcpListener>,
    /// The UDP sockets.
    pub(crate) udp: Vec<UdpSocket>,
    /// There is one that is neither.
    pub(crate) others: bool,
}
