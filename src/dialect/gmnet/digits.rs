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
    let mut text = [0; 16];
    let mut end = 0;
    for octet in v4.octets() {
        let (digits, length) = OCTETS[usize::from(octet)];
        text[end..end + 4].copy_from_slice(&digits);
        end += usize::from(length);
    }
    // Without the last dot.
    bytes.extend_from_slice(&text[..end - 1]);
}

/// Each octet with a dot behind it, and how long that is.
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

/// Appends a number.
pub(super) fn push_number(number: u64, bytes: &mut Vec<u8>) {
    let (digits, start) = digits(number);
    bytes.extend_from_slice(&digits[start..]);
}

/// The digits of a number, and where they start.
fn digits(mut number: u64) -> ([u8; LONGEST], usize) {
    let mut digits = [0; LONGEST];
    let mut start = LONGEST;
    while start > 0 {
        start -= 1;
        digits[start] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            break;
        }
    }
    (digits, start)
}

/// Digits of the largest number.
const LONGEST: usize = 20;

/// Numbers of which each is near the one before, as the times in a lobby that is sorted by time:
/// mostly only the last three digits are written anew.
#[derive(Debug, Default)]
pub(super) struct Near {
    /// All but the last three digits, and the same as text.
    thousands: u64,
    digits: [u8; LONGEST],
    start: usize,
}

impl Near {
    /// Appends a number.
    pub(super) fn push(&mut self, number: u64, bytes: &mut Vec<u8>) {
        let (thousands, rest) = (number / 1000, (number % 1000) as u16);
        if thousands == 0 {
            return push_number(number, bytes);
        }
        if thousands != self.thousands {
            self.thousands = thousands;
            (self.digits, self.start) = digits(thousands);
        }
        bytes.extend_from_slice(&self.digits[self.start..]);
        let digit = |n: u16| b'0' + (n % 10) as u8;
        bytes.extend_from_slice(&[digit(rest / 100), digit(rest / 10), digit(rest)]);
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
        fn near_numbers_as_well(
            numbers in prop::collection::vec((any::<u64>(), 0..64u32, 0..2000u64), 1..20),
        ) {
            let mut near = Near::default();
            for (number, shift, more) in numbers {
                let number: u64 = number >> shift;
                for number in [number, number.saturating_add(more)] {
                    let mut bytes = Vec::new();
                    near.push(number, &mut bytes);
                    prop_assert_eq!(String::from_utf8_lossy(&bytes), number.to_string());
                }
            }
        }

        #[test]
        fn addresses_are_those_of_the_standard_library(addr: IpAddr) {
            let mut bytes = Vec::new();
            push_addr(addr, &mut bytes);
            prop_assert_eq!(String::from_utf8_lossy(&bytes), addr.to_string());
        }
    }
}
