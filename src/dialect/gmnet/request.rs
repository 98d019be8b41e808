//! What a client asks for, and what can be said to it.

use std::net::{IpAddr, SocketAddr};

use serde::{Deserialize, Serialize};

use super::slot::HostKey;
use crate::dialect::ConnId;
use crate::limits;
use crate::lobby::names::clean;

/// What a client wants.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) struct Request {
    pub(super) conn: ConnId,
    pub(super) client: IpAddr,
    pub(super) host: IpAddr,
    /// If the client asked for one of several hosts of an address.
    pub(super) port: Option<u16>,
    /// Whether that host was there when it was asked for.
    #[serde(default)]
    pub(super) was_there: bool,
}

/// What can be said to a request.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) enum Outcome {
    /// Nothing yet.
    Wait,
    /// There is no such host.
    NotFound,
    /// The host is there, but one speaks IPv4 with the server and the other IPv6: neither has a
    /// socket for what it would be told.
    OtherFamily(HostKey),
    /// The host is there, but where is not known. The client's port may be known.
    HostWithoutPort(HostKey, Option<u16>),
    /// The same, but a packet came from a neighbouring address that can only be the host's.
    Elsewhere(HostKey, SocketAddr, Option<u16>),
    /// The host's port, and the client's if it is known.
    Found(HostKey, u16, Option<u16>),
}

/// The host a client asks for: an address, or one of several at an address by its UDP port. As
/// strict as the old server, which compared texts: no names, no leading zeros. But white space
/// around it and what nobody sees, which people paste with it, means nothing.
pub(super) fn parse_target(text: &str) -> Option<(IpAddr, Option<u16>)> {
    if text.len() > limits::TARGET {
        return None;
    }
    let text = clean(text);
    let text = text.trim();
    if let Ok(addr) = text.parse::<IpAddr>() {
        return Some((addr.to_canonical(), None));
    }
    let target = text.parse::<SocketAddr>().ok()?;
    Some((target.ip().to_canonical(), Some(target.port())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_room_for_spaces_but_not_for_many() {
        let with_spaces = |length| format!("{:>length$}", "203.0.113.7:4000");
        let found = parse_target(&with_spaces(limits::TARGET));
        assert_eq!(found, Some(([203, 0, 113, 7].into(), Some(4000))));
        assert_eq!(parse_target(&with_spaces(limits::TARGET + 1)), None);
    }
}
