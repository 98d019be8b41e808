//! How a new process takes the place of the running one: it gets all sockets and all that is known of peers over
//! a socket of the system, and nobody notices.
//!
//! The running process listens at a name that only processes of its user are heard at. Whoever connects is told
//! which sockets there are, and gets them at once: two processes may have a socket, and only one reads it. The new
//! one makes itself ready meanwhile, and gets all connections as well. Then the running one stops reading, so that
//! all that comes waits in the kernel, and tells what has changed with the connections and what it knows; the new one says that it has all, is told to go on, and says that it does.
//! Until then the running one can go on as if nothing had been, whatever becomes of the other.
//!
//! | running | new | with |
//! | --- | --- | --- |
//! | [`Welcome`](message::Message::Welcome) | | |
//! | [`Sockets`](message::Message::Sockets), several | | their descriptors |
//! | | [`Ready`](message::Message::Ready) | |
//! | connections, several | | their descriptors |
//! | [`Connected`](message::Message::Connected) | | |
//! | | [`HaveConnections`](message::Message::HaveConnections) | |
//! | [`Frozen`](message::Message::Frozen) | | |
//! | connections that have ended, changed or come since | | descriptors of the new ones |
//! | [`Connected`](message::Message::Connected), and what connections have not read | | |
//! | [`Part`](message::Message::Part) and its bytes, several | | |
//! | [`Whole`](message::Message::Whole) | | |
//! | | [`HaveAll`](message::Message::HaveAll) | |
//! | [`Go`](message::Message::Go) | | |
//! | | [`Serving`](message::Message::Serving) | |
//!
//! Nothing of this is written to a disk.

#[cfg(target_os = "linux")]
mod channel;
#[cfg(target_os = "linux")]
mod incoming;
#[cfg(target_os = "linux")]
mod listener;
#[cfg(target_os = "linux")]
mod message;
#[cfg(not(target_os = "linux"))]
mod none;
#[cfg(target_os = "linux")]
mod offer;
#[cfg(target_os = "linux")]
mod receiver;
#[cfg(target_os = "linux")]
mod sender;
#[cfg(target_os = "linux")]
mod successor;

#[cfg(target_os = "linux")]
pub(in crate::net) use self::message::Moved;
#[cfg(target_os = "linux")]
pub use self::{listener::HandoverListener, offer::Offer, successor::Successor};
#[cfg(not(target_os = "linux"))]
pub use none::{HandoverListener, Offer, Successor};

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

/// Why the option and the signal do nothing on other systems.
pub const NOT_YET: &str = "a new process can take over from a running punchd only on Linux so far: restart it instead, \
                           and hosts register again";

/// Whose place is to be taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum From {
    /// Nobody's.
    #[default]
    Nobody,
    /// That of the process which is where this one is to be.
    Here,
    /// That of the process which is there.
    At(SocketAddr),
}

impl FromStr for From {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "1" | "true" | "yes" => Ok(Self::Here),
            "0" | "false" | "no" | "" => Ok(Self::Nobody),
            at => at.parse().map(Self::At).map_err(|_| {
                "want the address and the port of the running punchd, as 127.0.0.1:6510, or nothing where \
                 it has those of --bind and --port"
                    .into()
            }),
        }
    }
}

impl fmt::Display for From {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nobody => f.write_str("no"),
            Self::Here => f.write_str("yes"),
            Self::At(at) => at.fmt(f),
        }
    }
}

impl From {
    /// Where the running process may be: the first address it listens on tells it apart from others with its port.
    #[must_use]
    pub fn places(self, binds: &[IpAddr], port: u16) -> Vec<SocketAddr> {
        match (self, binds) {
            (Self::Nobody, _) => Vec::new(),
            // One at all addresses is at that one as well.
            (Self::At(at), _) => [at].into_iter().chain(everywhere(at.port())).collect(),
            (Self::Here, [first, ..]) => vec![SocketAddr::new(*first, port)],
            (Self::Here, []) => everywhere(port).collect(),
        }
    }
}

/// This port at all addresses, of both families or of IPv4.
fn everywhere(port: u16) -> impl Iterator<Item = SocketAddr> {
    let all: [IpAddr; 2] =
        [std::net::Ipv6Addr::UNSPECIFIED.into(), std::net::Ipv4Addr::UNSPECIFIED.into()];
    all.into_iter().map(move |ip| SocketAddr::new(ip, port))
}

/// What came of taking the place of another process.
#[derive(Clone, Copy, Debug)]
pub struct Taken {
    /// Which process that was, as it calls itself.
    pub pid: u32,
    /// Connections that go on.
    pub connections: usize,
    /// Sockets that go on, without these.
    pub sockets: usize,
    /// For how long nobody was served so far.
    pub pause: std::time::Duration,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whose_place_is_taken_is_told_by_an_address_or_by_what_is_to_be_bound() {
        let from = |text: &str| text.parse::<From>();
        assert_eq!(from("yes"), Ok(From::Here));
        assert_eq!((from(""), from("0")), (Ok(From::Nobody), Ok(From::Nobody)));
        let at = SocketAddr::from(([127, 0, 0, 1], 6510));
        assert_eq!(from("127.0.0.1:6510"), Ok(From::At(at)));
        assert!(from("6510").unwrap_err().contains("127.0.0.1:6510"));
        for one in [From::Nobody, From::Here, From::At(at)] {
            assert_eq!(from(&one.to_string()), Ok(one));
        }
        let ip = at.ip();
        assert_eq!(From::Here.places(&[ip], 6510), [at]);
        let all = From::Here.places(&[], 6510);
        assert_eq!(From::At(at).places(&[], 7000), [&[at], &all[..]].concat());
        assert!(all.iter().all(|at| at.ip().is_unspecified() && at.port() == 6510), "{all:?}");
        assert!(From::Nobody.places(&[ip], 6510).is_empty());
    }
}
