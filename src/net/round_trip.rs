//! How long a peer's answer takes, as the kernel has measured it.

use std::time::Duration;

use mio::net::TcpStream;

/// The round trip of a connection that was just accepted: so long ago its first packet came. Zero
/// if it is not known: the kernel had to repeat its own packet, or tells only on Linux.
#[cfg(target_os = "linux")]
pub(super) fn round_trip(stream: &TcpStream) -> Duration {
    let info = nix::sys::socket::getsockopt(stream, linux::TcpInfo);
    let micros = info.ok().and_then(|info| info.get(linux::RTT).copied()).unwrap_or(0);
    Duration::from_micros(micros.into())
}

#[cfg(not(target_os = "linux"))]
pub(super) fn round_trip(_: &TcpStream) -> Duration {
    Duration::ZERO
}

#[cfg(target_os = "linux")]
mod linux {
    use nix::libc;
    use nix::sys::socket::sockopt::GetStruct;

    /// The option TCP_INFO.
    #[derive(Clone, Copy, Debug)]
    pub(super) struct TcpInfo;

    /// Where the beginning of `struct tcp_info` (linux/tcp.h) has `tcpi_rtt`, in microseconds:
    /// behind eight bytes and fifteen numbers. It has been there in every kernel that has the
    /// option; what is behind it is of different length in different kernels, and not asked for.
    pub(super) const RTT: usize = 2 + 15;

    type Beginning = [u32; RTT + 1];

    nix::getsockopt_impl!(
        TcpInfo,
        libc::IPPROTO_TCP,
        libc::TCP_INFO,
        Beginning,
        GetStruct<Beginning>
    );
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;
    use std::net::{Ipv4Addr, TcpListener};

    #[test]
    fn the_kernel_tells_the_round_trip_of_a_new_connection() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let _peer = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (stream, _) = listener.accept().unwrap();
        let measured = round_trip(&TcpStream::from_std(stream));
        assert!(measured > Duration::ZERO && measured < Duration::from_millis(500), "{measured:?}");
    }
}
