//! Addresses and numbers as texts in replies. There is one in every introduction and ten thousand
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
    let mut text = Text::default();
    for (n, octet) in v4.octets().into_iter().rev().enumerate() {
        if n > 0 {
            text.put(b'.');
        }
        text.put_number(octet.into());
    }
    bytes.extend_from_slice(text.get());
}

/// Appends a number.
pub(super) fn push_number(number: u64, bytes: &mut Vec<u8>) {
    let mut text = Text::default();
    text.put_number(number);
    bytes.extend_from_slice(text.get());
}

/// A text that grows at its front, as digits come out last first.
struct Text {
    bytes: [u8; Self::LONGEST],
    start: usize,
}

impl Default for Text {
    fn default() -> Self {
        Self { bytes: [0; Self::LONGEST], start: Self::LONGEST }
    }
}

impl Text {
    /// That of the largest number.
    const LONGEST: usize = 20;

    fn put(&mut self, byte: u8) {
        if let Some(start) = self.start.checked_sub(1) {
            self.bytes[start] = byte;
            self.start = start;
        }
    }

    fn put_number(&mut self, mut number: u64) {
        while number >= 10 {
            self.put(b'0' + (number % 10) as u8);
            number /= 10;
        }
        self.put(b'0' + number as u8);
    }

    fn get(&self) -> &[u8] {
        &self.bytes[self.start..]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn numbers_are_those_of_the_standard_library(number: u64, shift in 0..64) {
            let number = number >> shift;
            let mut bytes = Vec::new();
            push_number(number, &mut bytes);
            prop_assert_eq!(String::from_utf8_lossy(&bytes), number.to_string());
        }

        #[test]
        fn addresses_are_those_of_the_standard_library(addr: IpAddr) {
            let mut bytes = Vec::new();
            push_addr(addr, &mut bytes);
            prop_assert_eq!(String::from_utf8_lossy(&bytes), addr.to_string());
        }
    }
}
