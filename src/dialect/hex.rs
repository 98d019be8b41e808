//! Random numbers as text: hex digits, always all of them.

/// Reads 16 digits.
pub(super) fn read_64(text: &[u8]) -> Option<u64> {
    let text: &[u8; 16] = text.try_into().ok()?;
    let (mut number, mut all) = (0, 0);
    for digit in text {
        let value = value(*digit);
        all |= value;
        number = number << 4 | u64::from(value);
    }
    (all < 16).then_some(number)
}

/// Reads 32 digits.
pub(super) fn read_128(text: &[u8]) -> Option<u128> {
    let (high, low) = text.split_at_checked(16)?;
    Some(u128::from(read_64(high)?) << 64 | u128::from(read_64(low)?))
}

/// What a digit stands for; more than 15 if it is none.
#[expect(clippy::indexing_slicing, reason = "there is one for each byte")]
fn value(digit: u8) -> u8 {
    VALUES[usize::from(digit)]
}

/// Appends the digits of a number, which is given by its bytes, the highest first.
#[expect(clippy::indexing_slicing, reason = "there are two for each byte")]
pub(super) fn push<const N: usize>(number: [u8; N], bytes: &mut Vec<u8>) {
    let digits = number.map(|byte| DIGITS[usize::from(byte)]);
    bytes.extend_from_slice(digits.as_flattened());
}

/// The digits of a number as a text.
pub(super) fn of_128(number: u128) -> String {
    let mut digits = Vec::with_capacity(32);
    push(number.to_be_bytes(), &mut digits);
    String::from_utf8(digits).unwrap_or_default()
}

/// The two digits of each byte.
#[expect(clippy::indexing_slicing, reason = "the compiler computes it, and would stop")]
static DIGITS: [[u8; 2]; 256] = {
    let mut digits = [[0; 2]; 256];
    let mut n = 0;
    while n < 256 {
        digits[n] = [b"0123456789abcdef"[n >> 4], b"0123456789abcdef"[n & 15]];
        n += 1;
    }
    digits
};

/// What each byte stands for as a digit; 255 for what is none.
#[expect(clippy::indexing_slicing, reason = "the compiler computes it, and would stop")]
static VALUES: [u8; 256] = {
    let mut values = [255; 256];
    let mut n = 0;
    while n < 16 {
        values[b"0123456789abcdef"[n] as usize] = n as u8;
        values[b"0123456789ABCDEF"[n] as usize] = n as u8;
        n += 1;
    }
    values
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_all_their_digits() {
        let mut bytes = Vec::new();
        push(0x00ff_u64.to_be_bytes(), &mut bytes);
        push((0x0123_4567_89ab_cdef_u128 << 64 | 1).to_be_bytes(), &mut bytes);
        assert_eq!(bytes, b"00000000000000ff0123456789abcdef0000000000000001");
        assert_eq!(of_128(0xff << 120), "ff000000000000000000000000000000");
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
