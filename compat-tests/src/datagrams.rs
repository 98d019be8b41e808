//! Reading datagrams until a time, over what systems say in the place of one.

use std::io::{self, ErrorKind};
use std::net::{SocketAddr, UdpSocket};
use std::time::Instant;

/// What Windows says of a datagram that is longer than the buffer, and of one that had been too long on its way.
const OF_WINDOWS: [i32; 2] = [10040, 10052];

/// Longer ones than any protocol here has.
const LONGEST: usize = 2048;

/// More than systems keep for who does not read; there may be more without end.
const MOST_WAITING: usize = 4096;

/// Whether nothing is wrong with the socket: nothing has come yet, or an earlier packet found nobody, which Windows
/// tells also of a socket that talks to many.
#[must_use]
pub fn is_passing(error: &io::Error) -> bool {
    use ErrorKind::{ConnectionRefused, ConnectionReset, Interrupted, TimedOut, WouldBlock};
    let is_of_windows = || error.raw_os_error().is_some_and(|code| OF_WINDOWS.contains(&code));
    matches!(
        error.kind(),
        WouldBlock | TimedOut | Interrupted | ConnectionRefused | ConnectionReset
    ) || cfg!(windows) && is_of_windows()
}

/// The first datagram until then that `read` makes something of.
///
/// # Errors
/// If the socket is broken.
pub fn receive_until<T>(
    socket: &UdpSocket,
    until: Instant,
    mut read: impl FnMut(&[u8], SocketAddr) -> Option<T>,
) -> io::Result<Option<T>> {
    let mut buffer = [0; LONGEST];
    loop {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(None);
        }
        socket.set_read_timeout(Some(left))?;
        match socket.recv_from(&mut buffer) {
            Ok((length, from)) => {
                if let Some(found) = read(buffer.get(..length).unwrap_or_default(), from) {
                    return Ok(Some(found));
                }
            }
            Err(error) if is_passing(&error) => {}
            Err(error) => return Err(error),
        }
    }
}

/// The same for who sends something again after that time: a socket that is broken gives no reason to do so sooner.
pub fn receive_paced<T>(
    socket: &UdpSocket,
    until: Instant,
    read: impl FnMut(&[u8], SocketAddr) -> Option<T>,
) -> Option<T> {
    receive_until(socket, until, read).unwrap_or_else(|_| {
        std::thread::sleep(until.saturating_duration_since(Instant::now()));
        None
    })
}

/// The same of what has come already, however long ago.
pub fn receive_waiting<T>(
    socket: &UdpSocket,
    mut read: impl FnMut(&[u8], SocketAddr) -> Option<T>,
) -> Option<T> {
    let mut buffer = [0; LONGEST];
    socket.set_nonblocking(true).ok()?;
    let mut found = None;
    for _ in 0..MOST_WAITING {
        match socket.recv_from(&mut buffer) {
            Ok((length, from)) => found = read(buffer.get(..length).unwrap_or_default(), from),
            Err(error) if error.kind() != ErrorKind::WouldBlock && is_passing(&error) => {}
            Err(_) => break,
        }
        if found.is_some() {
            break;
        }
    }
    let _ = socket.set_nonblocking(false);
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_not_there_and_what_is_too_long_break_no_socket() {
        use ErrorKind::{ConnectionRefused, ConnectionReset, Interrupted, TimedOut, WouldBlock};
        for kind in [WouldBlock, TimedOut, Interrupted, ConnectionRefused, ConnectionReset] {
            assert!(is_passing(&kind.into()), "{kind}");
        }
        for code in OF_WINDOWS {
            let error = io::Error::from_raw_os_error(code);
            assert_eq!(is_passing(&error), cfg!(windows), "{error}");
        }
        assert!(!is_passing(&ErrorKind::PermissionDenied.into()));
    }
}
