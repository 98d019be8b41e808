//! Random numbers as text: hex digits, always all of them.

/// Reads 16 digits.
pub(super) fn read_64(text: &[u8]) -> Option<u64> {
    u64::from_str_radix(digits(text, 16)?, 16).ok()
}

/// Reads 32 digits.
pub(super) fn read_128(text: &[u8]) -> Option<u128> {
    u128::from_str_radix(digits(text, 32)?, 16).ok()
}

/// The text, if it has that many hex digits and nothing else.
fn digits(text: &[u8], count: usize) -> Option<&str> {
    let is_hex = text.len() == count && text.iter().all(u8::is_ascii_hexdigit);
    if is_hex { std::str::from_utf8(text).ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_digits_have_to_be_there_and_nothing_else() {
        assert_eq!(read_64(b"00000000000000fF"), Some(255));
        assert_eq!(read_128(b"000000000000000000000000000000fF"), Some(255));
        for broken in [&b""[..], b"ff", b"+00000000000000f", b"000000000000000g"] {
            assert_eq!((read_64(broken), read_128(broken)), (None, None), "{broken:?}");
            assert_eq!(read_128(&[broken, broken].concat()), None, "{broken:?}");
        }
    }
}
