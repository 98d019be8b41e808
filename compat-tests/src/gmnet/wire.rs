//! GMnet PUNCH on the wire: the bytes that GameMaker games send and expect, and nothing else.
//!
//! Written apart from the server's own code on purpose: a mistake made in one is seen by the other.

use std::net::{IpAddr, SocketAddr};

/// Port of a master server unless told otherwise, TCP and UDP.
pub const DEFAULT_PORT: u16 = 6510;
/// The version that GMnet PUNCH clients name in `reg2`.
pub const CLIENT_VERSION: &str = "1.2.4";
/// Magic at the beginning of each datagram of GameMaker's `network_send_udp`.
pub const MAGIC: [u8; 4] = [0xde, 0xc0, 0xad, 0xde];
/// Length of GameMaker's header: magic, its own length, length of the payload.
pub const HEADER_LEN: usize = 12;
/// The largest datagram that a peer reads.
pub const MAX_DATAGRAM: usize = 2048;

/// Introduction, server to client and to host (-1).
pub const MASTER: u8 = 0xff;
/// There is no such host, server to client (-2).
pub const NOT_FOUND: u8 = 0xfe;
/// A knock, client and host to each other (-3).
pub const KNOCK: u8 = 0xfd;
/// The host has made the client a player (-4).
pub const WELCOME: u8 = 0xfc;
/// The client asks for the host's data strings (-5).
pub const DATA_REQUEST: u8 = 0xfb;
/// The host's eight data strings (-6).
pub const DATA: u8 = 0xfa;
/// The list of hosts, server to anybody (-7).
pub const LOBBY: u8 = 0xf9;
/// Answer to `istesting` (-8).
pub const TESTING: u8 = 0xf8;
/// Answer to `testinginfos` (-9).
pub const TESTING_INFOS: u8 = 0xf7;
/// Answer to `version` (-10).
pub const VERSION: u8 = 0xf6;

/// What hosts send now and then to see whether their control connection still works.
pub const PING: &[u8] = b"ping\n\0";
/// Asks for the server's version; its answer shows that all before it has been carried out.
pub const ASK_VERSION: &[u8] = b"version\n";

/// The eight data strings of a host.
pub type Data = [String; 8];

/// Which of the two forms of the protocol a peer speaks to the master server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Protocol {
    /// That of shipped games: UDP with GameMaker's header, `reg2`, NULs behind strings.
    #[default]
    Modern,
    /// The published older description: bare UDP words, `reg`, no NULs, no data strings.
    Older,
}

/// One introduction: whom to knock at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Introduction {
    /// The other side as the master server sees it.
    pub endpoint: SocketAddr,
    /// Whether the port had a NUL behind it, as it should.
    pub terminated: bool,
    /// How many bytes of the event it took; games never read those behind it.
    pub len: usize,
}

/// A payload as GameMaker sends it by UDP: with the 12-byte header.
#[must_use]
pub fn datagram(payload: &[u8]) -> Vec<u8> {
    let len = u32::try_from(payload.len()).unwrap_or(u32::MAX);
    let mut bytes = Vec::with_capacity(HEADER_LEN + payload.len());
    bytes.extend(MAGIC);
    bytes.extend(12_u32.to_le_bytes());
    bytes.extend(len.to_le_bytes());
    bytes.extend(payload);
    bytes
}

/// What is behind the header of a datagram, if it has one.
#[must_use]
pub fn payload(datagram: &[u8]) -> Option<&[u8]> {
    let (header, payload) = datagram.split_at_checked(HEADER_LEN)?;
    header.starts_with(&MAGIC).then_some(payload)
}

/// What a master server tells a host of which it wants to know the port: of a client that is the
/// server itself. It may do so at any time, and who only looks for clients passes over it.
#[must_use]
pub fn port_notice(master: SocketAddr) -> Vec<u8> {
    let mut bytes = vec![MASTER];
    bytes.extend(format!("{}\0{}\0", master.ip(), master.port()).into_bytes());
    bytes
}

/// The UDP packet that tells the master server the port of a host.
#[must_use]
pub fn udp_register(protocol: Protocol) -> Vec<u8> {
    match protocol {
        Protocol::Modern => datagram(b"reg\n\0"),
        Protocol::Older => b"reg\n".to_vec(),
    }
}

/// The UDP packet that tells the master server the port of a client.
#[must_use]
pub fn udp_connect(protocol: Protocol) -> Vec<u8> {
    match protocol {
        Protocol::Modern => datagram(b"connect\n\0"),
        Protocol::Older => b"connect\n".to_vec(),
    }
}

/// The TCP request with which a host registers. The older form has no version and no data.
#[must_use]
pub fn register(protocol: Protocol, version: &str, data: &Data) -> Vec<u8> {
    if protocol == Protocol::Older {
        return b"reg\n".to_vec();
    }
    let lines = ["reg2", version].into_iter().chain(data.iter().map(String::as_str));
    strings(lines)
}

/// The TCP request with which a client asks to be introduced to a host: one string, so one NUL.
#[must_use]
pub fn connect(protocol: Protocol, host: IpAddr) -> Vec<u8> {
    connect_at(protocol, host, None)
}

/// The same for the host with this port, if there is one.
pub fn connect_at(protocol: Protocol, host: IpAddr, port: Option<u16>) -> Vec<u8> {
    let end = if protocol == Protocol::Older { "" } else { "\0" };
    let host = port.map_or(host.to_string(), |port| SocketAddr::new(host, port).to_string());
    format!("connect\n{host}\n{end}").into_bytes()
}

/// A TCP request of several lines, each with the NUL that `buffer_string` puts behind it.
pub fn strings<'a>(lines: impl IntoIterator<Item = &'a str>) -> Vec<u8> {
    lines.into_iter().flat_map(|line| [line, "\n\0"]).collect::<String>().into_bytes()
}

/// The introduction at the beginning of an event; an error says what is wrong with the bytes.
///
/// # Errors
/// If it is no introduction that a game could use.
pub fn introduction(event: &[u8]) -> Result<Introduction, &'static str> {
    let body = event.strip_prefix(&[MASTER]).ok_or("not an introduction")?;
    let ip_end = find_nul(body).ok_or("no NUL behind the address")?;
    let (ip, port) = (body.get(..ip_end), body.get(ip_end + 1..).unwrap_or_default());
    let port_end = find_nul(port);
    let digits = port.get(..port_end.unwrap_or(port.len())).unwrap_or_default();
    let ip: IpAddr = text(ip.unwrap_or_default()).ok_or("the address is no IP address")?;
    let number: u16 = text(digits).ok_or("the port is no number")?;
    let end_len = usize::from(port_end.is_some());
    Ok(Introduction {
        endpoint: SocketAddr::new(ip, number),
        terminated: port_end.is_some(),
        len: 1 + ip_end + 1 + digits.len() + end_len,
    })
}

/// The payload with which a host answers a data request.
#[must_use]
pub fn data_reply(data: &Data) -> Vec<u8> {
    let mut bytes = vec![DATA];
    for string in data {
        bytes.extend(string.as_bytes());
        bytes.push(0);
    }
    bytes
}

/// The eight data strings of a data reply, if it has exactly eight with a NUL behind each.
#[must_use]
pub fn data_strings(payload: &[u8]) -> Option<Data> {
    let all = payload.strip_prefix(&[DATA])?.strip_suffix(&[0])?;
    let strings: Vec<String> = all
        .split(|byte| *byte == 0)
        .map(|string| String::from_utf8_lossy(string).into_owned())
        .collect();
    strings.try_into().ok()
}

fn find_nul(bytes: &[u8]) -> Option<usize> {
    bytes.iter().position(|byte| *byte == 0)
}

fn text<T: std::str::FromStr>(bytes: &[u8]) -> Option<T> {
    std::str::from_utf8(bytes).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_those_of_the_gml_scripts() {
        let data: Data = std::array::from_fn(|n| format!("d{}", n + 1));
        let request = register(Protocol::Modern, CLIENT_VERSION, &data);
        assert_eq!(
            request,
            b"reg2\n\x001.2.4\n\0d1\n\0d2\n\0d3\n\0d4\n\0d5\n\0d6\n\0d7\n\0d8\n\0".as_slice()
        );
        let host = IpAddr::from([127, 0, 0, 9]);
        assert_eq!(connect(Protocol::Modern, host), b"connect\n127.0.0.9\n\0");
        assert_eq!(connect(Protocol::Older, host), b"connect\n127.0.0.9\n");
        assert_eq!(
            udp_register(Protocol::Modern),
            b"\xde\xc0\xad\xde\x0c\0\0\0\x05\0\0\0reg\n\0".as_slice()
        );
        assert_eq!(payload(&udp_connect(Protocol::Modern)), Some(b"connect\n\0".as_slice()));
        assert_eq!(payload(&udp_connect(Protocol::Older)), None);
    }

    #[test]
    fn introductions_are_read_as_games_read_them() {
        let whole = introduction(b"\xff198.51.100.7\x0050123\x00rest").expect("valid");
        assert_eq!(whole.endpoint, SocketAddr::from(([198, 51, 100, 7], 50123)));
        assert!(whole.terminated);
        assert_eq!(whole.len, 20);
        let bare = introduction(b"\xff198.51.100.7\x0050123").expect("valid without the last NUL");
        assert!(!bare.terminated);
        assert_eq!(bare.len, 19);
        for bad in [
            b"\xff".as_slice(),
            b"\xfe",
            b"",
            b"\xff198.51.100.7",
            b"\xff198.51.100.7\0",
            b"\xff198.51.100.7\x0050123\xff198.51.100.8\x0050124",
        ] {
            assert!(introduction(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn data_goes_there_and_back() {
        let data: Data = std::array::from_fn(|n| "x".repeat(n));
        assert_eq!(data_strings(&data_reply(&data)), Some(data));
        assert_eq!(data_strings(b"\xfaone\0two\0"), None);
        assert_eq!(data_strings(b"\xfa"), None);
    }
}
