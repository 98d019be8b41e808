//! Random numbers as text: hex digits, always all of them.

/// Reads 16 digits.
pub(super) fn read_64(text: &[u8]) -> Option<u64> {
    let text: &[u8; 16] = text.try_into().ok()?;
    text.iter().try_fold(0, |number, digit| Some(number << 4 | u64::from(value(*digit)?)))
}

/// Reads 32 digits.
pub(super) fn read_128(text: &[u8]) -> Option<u128> {
    let (high, low) = text.split_at_checked(16)?;
    Some(u128::from(read_64(high)?) << 64 | u128::from(read_64(low)?))
}

fn value(digit: u8) -> Option<u32> {
    char::from(digit).to_digit(16)
}

/// Appends the digits of a number, which is given by its bytes, the highest first.
#[expect(clippy::indexing_slicing, reason = "four bits are below sixteen")]
pub(super) fn push<const N: usize>(number: [u8; N], bytes: &mut Vec<u8>) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |value: u8| DIGITS[usize::from(value & 15)];
    bytes.extend(number.into_iter().flat_map(|byte| [digit(byte >> 4), digit(byte)]));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_all_their_digits() {
        let mut bytes = Vec::new();
        push(0x00ff_u64.to_be_bytes(), &mut bytes);
        push((0x0123_4567_89ab_cdef_u128 << 64 | 1).to_be_bytes(), &mut bytes);
        assert_eq!(bytes, b"00000000000000ff0123456789abcdef0000000000000001");
    }

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
