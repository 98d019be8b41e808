//! Addresses and ports as texts in replies. There is one in every introduction and ten thousand
//! in a large lobby, so they are written without the machinery of `std::fmt`.

use std::io::Write as _;
use std::net::IpAddr;

/// Appends an address.
pub(super) fn push_addr(addr: IpAddr, bytes: &mut Vec<u8>) {
    let IpAddr::V4(v4) = addr else {
        // Writing to a Vec cannot fail.
        let _ = write!(bytes, "{addr}");
        return;
    };
    let mut text = [0; 16];
    let mut end = 0;
    for octet in v4.octets() {
        let (digits, length) = self::octet(octet);
        if let Some(place) = text.get_mut(end..).and_then(|rest| rest.first_chunk_mut()) {
            *place = digits;
        }
        end += usize::from(length);
    }
    // Without the last dot.
    bytes.extend_from_slice(text.get(..end - 1).unwrap_or_default());
}

/// An octet with a dot behind it, in the first bytes of so many.
#[expect(clippy::indexing_slicing, reason = "there is one for each octet")]
pub(super) fn octet(octet: u8) -> ([u8; 4], u8) {
    OCTETS[usize::from(octet)]
}

/// Appends a port.
pub(super) fn push_port(port: u16, bytes: &mut Vec<u8>) {
    bytes.extend_from_slice(itoa::Buffer::new().format(port).as_bytes());
}

/// Each octet with a dot behind it, and how long that is.
#[expect(clippy::indexing_slicing, reason = "the compiler computes it, and would stop")]
static OCTETS: [([u8; 4], u8); 256] = {
    let mut octets = [([0; 4], 0); 256];
    let mut n = 0;
    while n < 256 {
        let (hundreds, tens, ones) =
            (b'0' + (n / 100) as u8, b'0' + (n / 10 % 10) as u8, b'0' + (n % 10) as u8);
        octets[n] = match n {
            0..10 => ([ones, b'.', 0, 0], 2),
            10..100 => ([tens, ones, b'.', 0], 3),
            _ => ([hundreds, tens, ones, b'.'], 4),
        };
        n += 1;
    }
    octets
};

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn addresses_are_those_of_the_standard_library(addr: IpAddr) {
            let mut bytes = Vec::new();
            push_addr(addr, &mut bytes);
            prop_assert_eq!(String::from_utf8_lossy(&bytes), addr.to_string());
        }
    }
}
