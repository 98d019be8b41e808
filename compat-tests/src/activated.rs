//! Servers whose sockets somebody else has opened, as systemd's socket units do it.

use std::net::{Ipv4Addr, TcpListener, UdpSocket};
use std::os::fd::OwnedFd;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::master;

const WAIT: Duration = Duration::from_secs(10);

/// What a service manager does: the sockets are descriptors 3 and up, and the environment says
/// so. The shell gets them as its standard input and output, as only those can be handed over
/// without unsafe code. So [`watch`](master::Master::watch) it: its log goes to its standard error.
///
/// # Panics
/// If the sockets cannot be copied.
#[must_use]
#[expect(clippy::expect_used, reason = "a fixture fails its test")]
pub fn activated(tcp: &TcpListener, udp: Option<&UdpSocket>) -> Command {
    let tcp = OwnedFd::from(tcp.try_clone().expect("a copy"));
    let mut command = Command::new("bash");
    let (script, sockets) = match udp {
        Some(_) => ("exec \"$0\" 3<&0 4>&1 0</dev/null 1>&2", "2"),
        None => ("exec \"$0\" 3<&0 0</dev/null 1>&2", "1"),
    };
    command.arg("-c").arg(format!("export LISTEN_PID=$$; {script}")).arg(master::binary());
    command.env("LISTEN_FDS", sockets).stdin(Stdio::from(tcp));
    command.stdout(match udp {
        Some(udp) => Stdio::from(OwnedFd::from(udp.try_clone().expect("a copy"))),
        None => Stdio::null(),
    });
    command
}

/// The same with a UDP socket alone.
///
/// # Panics
/// If the socket cannot be copied.
#[must_use]
#[expect(clippy::expect_used, reason = "a fixture fails its test")]
pub fn activated_by_udp(udp: &UdpSocket) -> Command {
    let mut command = Command::new("bash");
    let script = "export LISTEN_PID=$$; exec \"$0\" 3<&0 0</dev/null 1>&2";
    command.arg("-c").arg(script).arg(master::binary()).env("LISTEN_FDS", "1");
    let udp = OwnedFd::from(udp.try_clone().expect("a copy"));
    command.stdin(Stdio::from(udp)).stdout(Stdio::null());
    command
}

/// A TCP and a UDP socket on one port.
///
/// # Panics
/// If the system gives none.
#[must_use]
#[expect(clippy::expect_used, reason = "a fixture fails its test")]
pub fn sockets() -> (TcpListener, UdpSocket) {
    let deadline = Instant::now() + WAIT;
    loop {
        let tcp = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        match UdpSocket::bind(tcp.local_addr().expect("its address")) {
            Ok(udp) => return (tcp, udp),
            Err(error) => assert!(Instant::now() < deadline, "{error}"),
        }
    }
}
