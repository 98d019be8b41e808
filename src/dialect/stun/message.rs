//! STUN messages (RFC 8489, section 5): reading them, which never fails but by saying so, and
//! writing them.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// The magic cookie (RFC 8489, section 5).
pub const COOKIE: [u8; 4] = [0x21, 0x12, 0xA4, 0x42];

/// Length of the header (RFC 8489, section 5).
pub const HEADER: usize = 20;

/// The Binding method (RFC 8489, section 18.2).
pub const BINDING: u16 = 0x001;

/// What FINGERPRINT's checksum is combined with (RFC 8489, section 14.7): "STUN".
const FINGERPRINT_XOR: u32 = 0x5354_554E;

/// Attribute types. Those below 0x8000 have to be understood by who receives them.
pub mod attribute {
    /// RFC 8489, section 14.1.
    pub const MAPPED_ADDRESS: u16 = 0x0001;
    /// RFC 5780, section 7.2.
    pub const CHANGE_REQUEST: u16 = 0x0003;
    /// RFC 3489, section 11.2.5: where an answer comes from, for clients of that time.
    pub const SOURCE_ADDRESS: u16 = 0x0004;
    /// RFC 3489, section 11.2.3: OTHER-ADDRESS for clients of that time.
    pub const CHANGED_ADDRESS: u16 = 0x0005;
    /// RFC 8489, section 14.3.
    pub const USERNAME: u16 = 0x0006;
    /// RFC 8489, section 14.5.
    pub const MESSAGE_INTEGRITY: u16 = 0x0008;
    /// RFC 8489, section 14.8.
    pub const ERROR_CODE: u16 = 0x0009;
    /// RFC 8489, section 14.13.
    pub const UNKNOWN_ATTRIBUTES: u16 = 0x000A;
    /// RFC 8489, section 14.9.
    pub const REALM: u16 = 0x0014;
    /// RFC 8489, section 14.10.
    pub const NONCE: u16 = 0x0015;
    /// RFC 8489, section 14.6.
    pub const MESSAGE_INTEGRITY_SHA256: u16 = 0x001C;
    /// RFC 8489, section 14.12.
    pub const PASSWORD_ALGORITHM: u16 = 0x001D;
    /// RFC 8489, section 14.4.
    pub const USERHASH: u16 = 0x001E;
    /// RFC 8489, section 14.2.
    pub const XOR_MAPPED_ADDRESS: u16 = 0x0020;
    /// RFC 5780, section 7.6.
    pub const PADDING: u16 = 0x0026;
    /// RFC 5780, section 7.5.
    pub const RESPONSE_PORT: u16 = 0x0027;
    /// RFC 8489, section 14.14.
    pub const SOFTWARE: u16 = 0x8022;
    /// RFC 8489, section 14.7.
    pub const FINGERPRINT: u16 = 0x8028;
    /// RFC 5780, section 7.3.
    pub const RESPONSE_ORIGIN: u16 = 0x802B;
    /// RFC 5780, section 7.4.
    pub const OTHER_ADDRESS: u16 = 0x802C;
}

/// In a CHANGE-REQUEST (RFC 5780, section 7.2): answer from the other address.
pub const CHANGE_IP: u32 = 0b100;
/// In a CHANGE-REQUEST (RFC 5780, section 7.2): answer from the other port.
pub const CHANGE_PORT: u32 = 0b010;

/// What kind of message it is (RFC 8489, section 5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// Wants an answer.
    Request,
    /// Wants none.
    Indication,
    /// The answer that all is well.
    Success,
    /// The answer that something is not.
    Error,
}

/// What an answer has in common with its request: the transaction ID, and before it the magic
/// cookie or, from clients of RFC 3489, four more random bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Id(pub [u8; 16]);

impl Id {
    /// That of a client of RFC 8489.
    #[must_use]
    pub fn new(transaction: [u8; 12]) -> Self {
        let mut id = [0; 16];
        id[..4].copy_from_slice(&COOKIE);
        id[4..].copy_from_slice(&transaction);
        Self(id)
    }

    /// Whether its client speaks RFC 3489, which had no cookie.
    #[must_use]
    pub fn is_classic(&self) -> bool {
        self.0[..4] != COOKIE
    }
}

/// Why a datagram is no STUN message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ParseError {
    /// Shorter than a header.
    Short,
    /// Its first two bits are not zero.
    NotStun,
    /// Its length is not the one it claims.
    Length,
    /// An attribute reaches over the end.
    Attribute,
    /// The checksum is wrong, or not the last attribute.
    Fingerprint,
}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Short => "shorter than a STUN header",
            Self::NotStun => "its first two bits are not zero",
            Self::Length => "its length is not the one it claims",
            Self::Attribute => "an attribute reaches over the end",
            Self::Fingerprint => "its FINGERPRINT is wrong",
        })
    }
}

impl std::error::Error for ParseError {}

/// A well-formed message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Message<'a> {
    /// What kind it is.
    pub class: Class,
    /// What it is about.
    pub method: u16,
    /// Which request it is or belongs to.
    pub id: Id,
    attributes: &'a [u8],
}

impl<'a> Message<'a> {
    /// Reads a datagram.
    ///
    /// # Errors
    /// If it is not exactly one well-formed message.
    pub fn parse(data: &'a [u8]) -> Result<Self, ParseError> {
        let (kind, rest) = data.split_first_chunk().ok_or(ParseError::Short)?;
        let (length, rest) = rest.split_first_chunk().ok_or(ParseError::Short)?;
        let (id, attributes) = rest.split_first_chunk().ok_or(ParseError::Short)?;
        let (kind, length) = (u16::from_be_bytes(*kind), u16::from_be_bytes(*length));
        if kind & 0xC000 != 0 {
            return Err(ParseError::NotStun);
        }
        if usize::from(length) != attributes.len() || length % 4 != 0 {
            return Err(ParseError::Length);
        }
        let class = match kind & 0x0110 {
            0x0000 => Class::Request,
            0x0010 => Class::Indication,
            0x0100 => Class::Success,
            _ => Class::Error,
        };
        let method = kind & 0x000F | kind >> 1 & 0x0070 | kind >> 2 & 0x0F80;
        let message = Self { class, method, id: Id(*id), attributes };
        message.check(data)?;
        Ok(message)
    }

    /// Checks what later is taken for granted.
    fn check(&self, data: &[u8]) -> Result<(), ParseError> {
        let mut attributes = self.attributes();
        while let Some((kind, value)) = attributes.next() {
            if kind == attribute::FINGERPRINT {
                let (before, _) = data.split_last_chunk::<8>().ok_or(ParseError::Fingerprint)?;
                let sum = crc32fast::hash(before) ^ FINGERPRINT_XOR;
                if !attributes.rest.is_empty() || value != sum.to_be_bytes() {
                    return Err(ParseError::Fingerprint);
                }
            }
        }
        if attributes.rest.is_empty() { Ok(()) } else { Err(ParseError::Attribute) }
    }

    /// All attributes, in order.
    #[must_use]
    pub fn attributes(&self) -> Attributes<'a> {
        Attributes { rest: self.attributes }
    }

    /// The first attribute of a type.
    #[must_use]
    pub fn get(&self, kind: u16) -> Option<&'a [u8]> {
        self.attributes().find(|(found, _)| *found == kind).map(|(_, value)| value)
    }

    /// An attribute that is a number of four bytes.
    #[must_use]
    pub fn number(&self, kind: u16) -> Option<u32> {
        self.get(kind)?.try_into().ok().map(u32::from_be_bytes)
    }

    /// An address attribute, such as MAPPED-ADDRESS.
    #[must_use]
    pub fn address(&self, kind: u16) -> Option<SocketAddr> {
        let (port, octets) = self.raw_address(kind)?;
        Some(SocketAddr::new(ip(octets)?, port))
    }

    /// An address attribute that NATs which rewrite payloads do not recognize.
    #[must_use]
    pub fn xor_address(&self, kind: u16) -> Option<SocketAddr> {
        let (port, octets) = self.raw_address(kind)?;
        let mut plain = [0; 16];
        for (plain, (octet, mask)) in plain.iter_mut().zip(octets.iter().zip(mask(&self.id))) {
            *plain = octet ^ mask;
        }
        Some(SocketAddr::new(ip(plain.get(..octets.len())?)?, port ^ PORT_MASK))
    }

    fn raw_address(&self, kind: u16) -> Option<(u16, &'a [u8])> {
        let [_, family, high, low, octets @ ..] = self.get(kind)? else { return None };
        match (*family, octets.len()) {
            (FAMILY_IPV4, 4) | (FAMILY_IPV6, 16) => {
                Some((u16::from_be_bytes([*high, *low]), octets))
            }
            _ => None,
        }
    }

    /// The number in an ERROR-CODE.
    #[must_use]
    pub fn error_code(&self) -> Option<u16> {
        let value = self.get(attribute::ERROR_CODE)?;
        let (class, number) = (value.get(2)?, value.get(3)?);
        Some(u16::from(class & 7) * 100 + u16::from(*number))
    }
}

/// Goes through the attributes of a message.
#[derive(Clone, Debug)]
pub struct Attributes<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for Attributes<'a> {
    type Item = (u16, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let (kind, rest) = self.rest.split_first_chunk()?;
        let (length, rest) = rest.split_first_chunk()?;
        let length = usize::from(u16::from_be_bytes(*length));
        let value = rest.get(..length)?;
        self.rest = rest.get(length.next_multiple_of(4)..)?;
        Some((u16::from_be_bytes(*kind), value))
    }
}

/// RFC 8489, section 14.1.
const FAMILY_IPV4: u8 = 1;
/// RFC 8489, section 14.1.
const FAMILY_IPV6: u8 = 2;

/// The first half of the cookie (RFC 8489, section 14.2).
const PORT_MASK: u16 = u16::from_be_bytes([COOKIE[0], COOKIE[1]]);

/// What an address in XOR-MAPPED-ADDRESS is combined with: the cookie, then the transaction.
fn mask(id: &Id) -> [u8; 16] {
    let mut mask = id.0;
    mask[..4].copy_from_slice(&COOKIE);
    mask
}

fn ip(octets: &[u8]) -> Option<IpAddr> {
    match octets.len() {
        4 => <[u8; 4]>::try_from(octets).ok().map(|o| Ipv4Addr::from(o).into()),
        _ => <[u8; 16]>::try_from(octets).ok().map(|o| Ipv6Addr::from(o).into()),
    }
}

/// Writes one message at the end of a buffer.
#[derive(Debug)]
pub struct Writer<'a> {
    out: &'a mut Vec<u8>,
    start: usize,
    id: Id,
}

impl<'a> Writer<'a> {
    /// Writes the header.
    pub fn new(out: &'a mut Vec<u8>, class: Class, method: u16, id: Id) -> Self {
        let start = out.len();
        let class = match class {
            Class::Request => 0x0000,
            Class::Indication => 0x0010,
            Class::Success => 0x0100,
            Class::Error => 0x0110,
        };
        let kind = class | method & 0x000F | (method & 0x0070) << 1 | (method & 0x0F80) << 2;
        out.extend_from_slice(&kind.to_be_bytes());
        out.extend_from_slice(&[0, 0]);
        out.extend_from_slice(&id.0);
        Self { out, start, id }
    }

    /// Writes an attribute, with its padding.
    pub fn attribute(&mut self, kind: u16, value: &[u8]) -> &mut Self {
        self.out.extend_from_slice(&kind.to_be_bytes());
        self.out.extend_from_slice(&(value.len() as u16).to_be_bytes());
        self.out.extend_from_slice(value);
        let padding = value.len().next_multiple_of(4) - value.len();
        self.out.extend(std::iter::repeat_n(0, padding));
        self.set_length(0);
        self
    }

    /// Writes an address attribute.
    pub fn address(&mut self, kind: u16, addr: SocketAddr) -> &mut Self {
        self.masked_address(kind, addr.port(), addr.ip(), [0; 16])
    }

    /// Writes an address attribute that NATs which rewrite payloads do not recognize.
    pub fn xor_address(&mut self, kind: u16, addr: SocketAddr) -> &mut Self {
        self.masked_address(kind, addr.port() ^ PORT_MASK, addr.ip(), mask(&self.id))
    }

    fn masked_address(&mut self, kind: u16, port: u16, ip: IpAddr, mask: [u8; 16]) -> &mut Self {
        let mut value = [0; 20];
        value[2..4].copy_from_slice(&port.to_be_bytes());
        match ip {
            IpAddr::V4(v4) => {
                value[1] = FAMILY_IPV4;
                value[4..8].copy_from_slice(&v4.octets());
            }
            IpAddr::V6(v6) => {
                value[1] = FAMILY_IPV6;
                value[4..].copy_from_slice(&v6.octets());
            }
        }
        for (octet, mask) in value[4..].iter_mut().zip(mask) {
            *octet ^= mask;
        }
        self.attribute(kind, if ip.is_ipv4() { &value[..8] } else { &value })
    }

    /// Writes an ERROR-CODE (RFC 8489, section 14.8).
    pub fn error_code(&mut self, code: u16, reason: &str) -> &mut Self {
        let mut value = vec![0, 0, (code / 100) as u8, (code % 100) as u8];
        value.extend_from_slice(reason.as_bytes());
        self.attribute(attribute::ERROR_CODE, &value)
    }

    /// Writes a FINGERPRINT, which has to be the last attribute.
    pub fn fingerprint(&mut self) -> &mut Self {
        // The length in the header already counts this attribute.
        self.set_length(8);
        let sum = crc32fast::hash(self.out.get(self.start..).unwrap_or_default());
        self.attribute(attribute::FINGERPRINT, &(sum ^ FINGERPRINT_XOR).to_be_bytes())
    }

    fn set_length(&mut self, more: usize) {
        let length = self.out.len() - self.start - HEADER + more;
        if let Some(place) = self.out.get_mut(self.start + 2..self.start + 4) {
            place.copy_from_slice(&(length as u16).to_be_bytes());
        }
    }
}

#[cfg(test)]
mod tests;
