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
    for (n, octet) in v4.octets().into_iter().enumerate() {
        if n > 0 {
            bytes.push(b'.');
        }
        push_number(octet.into(), bytes);
    }
}

/// Appends a number.
pub(super) fn push_number(mut number: u64, bytes: &mut Vec<u8>) {
    // As many as the largest has.
    let mut digits = [0; 20];
    let mut start = digits.len();
    while start > 0 {
        start -= 1;
        digits[start] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            break;
        }
    }
    bytes.extend_from_slice(&digits[start..]);
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
