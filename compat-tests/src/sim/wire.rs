//! What GML peers say, byte for byte, and what the master server says to them.

/// A datagram as `network_send_udp` makes it: GameMaker's header in front.
#[must_use]
pub fn datagram(payload: &[u8]) -> Vec<u8> {
    let mut data = b"\xde\xc0\xad\xde\x0c\0\0\0".to_vec();
    data.extend((payload.len() as u32).to_le_bytes());
    data.extend(payload);
    data
}

/// Registers a host: one send, a NUL behind every line.
#[must_use]
pub fn reg2(version: &str, data: &[String; 8]) -> Vec<u8> {
    let mut bytes = format!("reg2\n\0{version}\n\0");
    for string in data {
        bytes.push_str(string);
        bytes.push_str("\n\0");
    }
    bytes.into_bytes()
}

/// Asks for a host: one string, so one NUL.
#[must_use]
pub fn connect(host: &str) -> Vec<u8> {
    format!("connect\n{host}\n\0").into_bytes()
}

/// Asks for all hosts.
#[must_use]
pub fn lobby2() -> Vec<u8> {
    let mut bytes = b"lobby2\n\0".to_vec();
    for _ in 0..8 {
        bytes.extend(b"\n\0");
    }
    bytes.extend(b"date\n\0DESC\n\0\n\0");
    bytes
}

/// One write of the master server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message<'a> {
    /// Where the other side is: address and port, as text.
    Introduction(&'a str, &'a str),
    /// There is no such host.
    NotFound,
    /// The list of hosts, as JSON.
    Lobby(&'a str),
    /// Something that is answered to testers.
    Other,
}

/// Reads one write; `None` if it is not exactly one message.
#[must_use]
pub fn parse(bytes: &[u8]) -> Option<Message<'_>> {
    let (&first, rest) = bytes.split_first()?;
    match first {
        0xFF => {
            let text = std::str::from_utf8(rest).ok()?.strip_suffix('\0')?;
            let (addr, port) = text.split_once('\0')?;
            (!port.contains('\0')).then_some(Message::Introduction(addr, port))
        }
        0xFE => rest.is_empty().then_some(Message::NotFound),
        0xF9 => {
            let json = std::str::from_utf8(rest).ok()?.strip_suffix('\n')?;
            (!json.contains('\n')).then_some(Message::Lobby(json))
        }
        0xF6..=0xF8 => Some(Message::Other),
        _ => None,
    }
}
