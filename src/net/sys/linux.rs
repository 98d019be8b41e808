//! Linux.

use std::io;
use std::path::Path;
use std::sync::LazyLock;
use std::time::Duration;

use listenfd::ListenFd;
use mio::net::TcpStream;
use nix::libc;
use nix::sys::socket::getsockopt;
use nix::sys::socket::sockopt::GetStruct;
use rustix::process::{getpriority_process, setpriority_process};
use sd_notify::NotifyState;
use socket2::SockRef;

use super::Handed;
pub(crate) use super::linux_owner::owner_of_port;
pub(crate) use super::posix::*;
use crate::limits;

/// Events come in the order in which what they tell of has come.
pub(crate) const EVENTS_IN_ORDER: bool = true;

/// What shows the addresses of this machine.
pub(crate) const ADDRESSES: &str = "'ip address'";

/// What lets a program have a port below 1024 all the same.
pub(crate) fn or_permit(program: &Path) -> String {
    let program = program.display();
    format!(
        ", or give the program the right with 'setcap cap_net_bind_service=+ep {program}' as root"
    )
}

/// How to have so many files open.
pub(crate) fn how_to_raise(needed: u64) -> String {
    format!(
        "raise the limit (LimitNOFILE={needed} in the service, or 'ulimit -Hn {needed}' as root)"
    )
}

/// Sets what accepted connections inherit, besides what every system knows.
pub(crate) fn prepare_listener(listener: &SockRef<'_>, ghost: Duration) -> io::Result<()> {
    // Not the size of the buffer, in which all must fit that is under way over a long line.
    listener.set_tcp_notsent_lowat(limits::UNSENT)?;
    // What keepalive does for what was written and is not acknowledged.
    listener.set_tcp_user_timeout(Some(ghost * 5 / 6))
}

/// How much memory this process has, in bytes.
pub(crate) fn memory() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kilobytes: u64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
    kilobytes.checked_mul(1024)
}

/// Connections have what the listener has.
pub(crate) fn prepare_accepted(_: &TcpStream, _: Duration) {}

/// How long a connection that is just accepted has waited for that since its last packet, and its round
/// trip: so long before that its first packet came. Zero if it is not known: the kernel had to repeat its
/// own packet, or is hidden by an emulator.
pub(crate) fn age(stream: &TcpStream) -> (Duration, Duration) {
    if *IS_EMULATED {
        return Default::default();
    }
    let Ok(info) = getsockopt(stream, TcpInfo) else { return Default::default() };
    let number = |n: usize| u64::from(info.get(n).copied().unwrap_or(0));
    let waited = Duration::from_millis(number(LAST_ACK));
    // It is told by a clock that ticks every few milliseconds, and nobody waits when there is time.
    (if waited < TICKS { Duration::ZERO } else { waited }, Duration::from_micros(number(RTT)))
}

/// The kernel is for another processor than this program, so that qemu is between them: it knows TCP_INFO as
/// one number, and nix panics where an option is shorter than it should be.
static IS_EMULATED: LazyLock<bool> = LazyLock::new(|| {
    let is_x86 = |processor: &str| processor.starts_with("x86");
    let of_kernel = std::fs::read_to_string("/proc/sys/kernel/arch");
    of_kernel.is_ok_and(|kernel| is_x86(&kernel) != is_x86(std::env::consts::ARCH))
});

/// Two ticks of the slowest clock that kernels have.
const TICKS: Duration = Duration::from_millis(20);

/// The option TCP_INFO.
#[derive(Clone, Copy, Debug)]
struct TcpInfo;

/// Where the beginning of `struct tcp_info` (linux/tcp.h) has `tcpi_rtt`, in microseconds:
/// behind eight bytes and fifteen numbers. It has been there in every kernel that has the
/// option; what is behind it is of different length in different kernels, and not asked for.
const RTT: usize = 2 + 15;

/// The same for `tcpi_last_ack_recv`, in milliseconds.
const LAST_ACK: usize = 2 + 12;

type Beginning = [u32; RTT + 1];

nix::getsockopt_impl!(TcpInfo, libc::IPPROTO_TCP, libc::TCP_INFO, Beginning, GetStruct<Beginning>);

/// So much nicer than the others is a thread that gives way (see nice(1)): it has a quarter of a core that
/// both want, and all that they leave.
const NICER: i32 = 5;

/// Has this thread give way to others of this process where they share a core.
pub(crate) fn lower_priority() -> io::Result<()> {
    // On Linux a thread has a priority of its own.
    let nice = getpriority_process(None)?;
    Ok(setpriority_process(None, nice + NICER)?)
}

/// The sockets that systemd has opened for this process (socket activation).
pub(crate) fn handed() -> Handed {
    let mut sockets = ListenFd::from_env();
    let mut handed = Handed::default();
    for n in 0..sockets.len() {
        if let Ok(Some(tcp)) = sockets.take_tcp_listener(n) {
            handed.tcp.push(tcp);
        } else if let Ok(Some(udp)) = sockets.take_udp_socket(n) {
            handed.udp.push(udp);
        } else {
            handed.others = true;
        }
    }
    handed
}

/// Tells systemd that the server is ready. Nobody else listens, so nobody misses it.
pub(super) fn notify_ready() -> io::Result<()> {
    sd_notify::notify(&[NotifyState::Ready])
}

/// Tells systemd which process goes on. It hears that from this process alone.
pub(super) fn notify_successor(pid: i32) -> io::Result<()> {
    let pid = u32::try_from(pid).map_err(io::Error::other)?;
    sd_notify::notify(&[NotifyState::MainPid(pid)])
}

pub(super) fn firewall_hint() -> Option<String> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::bind::tests::accepted;
    use std::io::Write as _;
    use std::net::{Ipv4Addr, TcpListener};

    #[test]
    fn the_thread_gives_way_and_no_other_does() {
        let nice = || getpriority_process(None).unwrap();
        let before = nice();
        let thread = std::thread::spawn(move || {
            lower_priority().unwrap();
            nice()
        });
        assert_eq!((thread.join().unwrap(), nice()), ((before + NICER).min(19), before));
    }

    #[test]
    fn the_kernel_tells_the_round_trip_of_a_new_connection() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let _peer = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (stream, _) = listener.accept().unwrap();
        let (waited, measured) = age(&TcpStream::from_std(stream));
        assert!(measured > Duration::ZERO && measured < Duration::from_millis(500), "{measured:?}");
        assert!(waited < Duration::from_millis(500), "{waited:?}");
    }

    #[test]
    fn the_kernel_tells_how_long_a_connection_has_waited() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let begun = std::time::Instant::now();
        let _peer = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        std::thread::sleep(Duration::from_millis(120));
        let (stream, _) = listener.accept().unwrap();
        let (waited, _) = age(&TcpStream::from_std(stream));
        // The clock of the kernel ticks as it likes.
        let most = begun.elapsed() + TICKS / 2;
        assert!(waited > Duration::from_millis(90) && waited <= most, "{waited:?}");
    }

    #[test]
    fn accepted_connections_have_what_the_listener_has() {
        let (stream, _peer) = accepted();
        let socket = SockRef::from(&stream);
        assert!(stream.nodelay().unwrap() && socket.keepalive().unwrap());
        assert_eq!(socket.tcp_keepalive_time().unwrap(), limits::GHOST / 2);
        assert_eq!(socket.tcp_user_timeout().unwrap(), Some(limits::GHOST * 5 / 6));
    }

    #[test]
    fn the_kernel_keeps_little_for_who_does_not_read() {
        let (mut stream, _peer) = accepted();
        let (mut taken, bytes) = (0, vec![b'x'; 64 * 1024]);
        // What the peer's side takes is there in no time; the rest stays on this one.
        for _ in 0..1000 {
            match stream.write(&bytes) {
                Ok(length) => taken += length,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    std::thread::sleep(Duration::from_micros(100));
                }
                Err(error) => panic!("{error}"),
            }
        }
        assert!(taken < 1 << 20, "{taken} bytes are taken for one who reads nothing");
    }
}
