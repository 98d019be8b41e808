//! What to do when the system refuses something: each failure names its own cause, so that nobody
//! looks for a fault of this machine at the master server, or in a NAT.

use std::io::{Error, ErrorKind};

use compat_tests::shown::quoted;

/// What to do about a call that failed, by what it was to do: the words that errors of peers have for
/// it, as "connect to".
pub(crate) fn advice(doing: &str, error: &Error) -> &'static str {
    use ErrorKind as Kind;
    let is_local = ["open the UDP port", "use the local address", "register with"].contains(&doing);
    match (error.kind(), is_local) {
        (Kind::AddrInUse, _) => {
            "Another program on this machine has that port: give another one with --port, or 0 for \
             any that is free."
        }
        (Kind::AddrNotAvailable, true) => {
            "This machine has no such address: give one of its own with --bind, or leave --bind out."
        }
        (Kind::PermissionDenied, true) => {
            "This user may not have that port: give one from 1024 on."
        }
        (Kind::PermissionDenied, false) => "A firewall of this machine forbids that.",
        (Kind::NetworkUnreachable | Kind::HostUnreachable, _) => {
            "This machine has no route to that address: is it online? For an IPv6 address its network \
             needs IPv6."
        }
        // What Linux says of a way from a loopback address to the Internet.
        (Kind::InvalidInput | Kind::AddrNotAvailable, false) => {
            "There is no way from the local address to that one: leave --bind out, or give an address \
             of the network that leads there."
        }
        (Kind::ConnectionRefused, _) => {
            "The machine is there, but nothing listens on that port: is the master server running, and \
             is the port right?"
        }
        (Kind::TimedOut | Kind::WouldBlock, _) => {
            "Nothing answers there: is the address right? If it is, a firewall drops the packets; the \
             server's machine, and its provider, have to let TCP and UDP through to that port."
        }
        (Kind::ConnectionReset | Kind::BrokenPipe | Kind::ConnectionAborted, _) => {
            "The other side ended the connection: `punch probe` checks what the server can do."
        }
        (_, true) => "Something is wrong with this machine's network.",
        (_, false) => "Is the address right, and is this machine online?",
    }
}

/// Whether a web server says this, as the owner's window does.
pub(crate) fn is_web(answer: &[u8]) -> bool {
    answer.starts_with(b"HTTP/")
}

/// The first line of what a server says, for people.
pub(crate) fn first_line(answer: &[u8]) -> String {
    let line = answer.split(|byte| b"\r\n".contains(byte)).next().unwrap_or_default();
    quoted(line)
}

/// What to do about an error of a GMnet peer, if the system has refused something.
pub(crate) fn of_gmnet(error: &compat_tests::gmnet::Error) -> Option<&'static str> {
    match error {
        compat_tests::gmnet::Error::Socket { doing, source, .. } => Some(advice(doing, source)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each failure of this machine, of the way and of the server, and a word that no other has.
    #[test]
    fn every_failure_names_its_own_cause() {
        let table = [
            ("open the UDP port", ErrorKind::AddrInUse, "Another program on this machine"),
            ("open the UDP port", ErrorKind::AddrNotAvailable, "no such address"),
            ("open the UDP port", ErrorKind::PermissionDenied, "from 1024 on"),
            ("use the local address", ErrorKind::AddrNotAvailable, "no such address"),
            ("register with", ErrorKind::AddrNotAvailable, "no such address"),
            ("connect to", ErrorKind::ConnectionRefused, "nothing listens on that port"),
            ("connect to", ErrorKind::TimedOut, "a firewall drops"),
            ("connect to", ErrorKind::NetworkUnreachable, "is it online?"),
            ("connect to", ErrorKind::HostUnreachable, "is it online?"),
            ("connect to", ErrorKind::InvalidInput, "leave --bind out"),
            ("connect to", ErrorKind::PermissionDenied, "firewall of this machine"),
            ("send to", ErrorKind::NetworkUnreachable, "is it online?"),
            ("send to", ErrorKind::BrokenPipe, "ended the connection"),
            ("receive from", ErrorKind::ConnectionReset, "ended the connection"),
            ("hear from", ErrorKind::Other, "Is the address right"),
        ];
        for (doing, kind, words) in table {
            let said = advice(doing, &Error::from(kind));
            assert!(said.contains(words), "{doing}, {kind}: {said}");
            let is_of_master = said.contains("master server") || said.contains("server's machine");
            let is_theirs = [ErrorKind::ConnectionRefused, ErrorKind::TimedOut].contains(&kind);
            assert_eq!(is_of_master, is_theirs, "{doing}, {kind}: {said}");
        }
    }
}
