//! When a certificate ends. That is all that this server has to know of what is in one, so the few lines
//! below take the place of a parser with ten dependencies. They read DER (X.690) as far as RFC 5280 has it
//! in front of that time, and nothing that a peer sends.

use std::fmt;

const INTEGER: u8 = 0x02;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
const SEQUENCE: u8 = 0x30;
const VERSION: u8 = 0xa0;

/// Seconds of a day.
const DAY: u64 = 24 * 60 * 60;

/// For so many days before its end a certificate is told to end. Those of Let's Encrypt are renewed 30 days
/// before it, so something is wrong then.
const SOON: u64 = 14;

/// The last moment at which a certificate is valid.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct End {
    /// Seconds since 1970.
    pub unix: u64,
    year: u64,
    month: u64,
    day: u64,
}

impl End {
    /// That of a certificate in DER; none if it cannot be read.
    #[must_use]
    pub fn of(certificate: &[u8]) -> Option<Self> {
        let (whole, _) = take(certificate, SEQUENCE)?;
        let (mut rest, _) = take(whole, SEQUENCE)?;
        if let Some((_, behind)) = take(rest, VERSION) {
            rest = behind;
        }
        // Serial number, algorithm, issuer.
        for tag in [INTEGER, SEQUENCE, SEQUENCE] {
            rest = take(rest, tag)?.1;
        }
        let (validity, _) = take(rest, SEQUENCE)?;
        let (_, end) = take(validity, UTC_TIME).or_else(|| take(validity, GENERALIZED_TIME))?;
        match take(end, UTC_TIME) {
            Some((time, _)) => {
                let (year, rest) = number(time, 2)?;
                // RFC 5280, section 4.1.2.5.1.
                Self::at(if year < 50 { 2000 + year } else { 1900 + year }, rest)
            }
            None => {
                let (year, rest) = number(take(end, GENERALIZED_TIME)?.0, 4)?;
                Self::at(year, rest)
            }
        }
    }

    /// What is wrong with this end of `whose` certificate, if anything is. `now` is in seconds since 1970.
    #[must_use]
    pub fn warning(self, whose: &dyn fmt::Display, now: u64) -> Option<String> {
        match self.unix.checked_sub(now).map(|left| left / DAY) {
            None => Some(format!("{whose} has expired, on {self}: games refuse it; renew it")),
            Some(days) if days >= SOON => None,
            Some(days) => {
                let when = match days {
                    0 => "within a day".to_owned(),
                    1 => "in a day".to_owned(),
                    days => format!("in {days} days"),
                };
                Some(format!(
                    "{whose} expires {when}, on {self}: renew it, and check why it was not renewed automatically"
                ))
            }
        }
    }

    /// `MMDDhhmmssZ` of this year.
    fn at(year: u64, text: &[u8]) -> Option<Self> {
        let (month, rest) = number(text, 2)?;
        let (day, rest) = number(rest, 2)?;
        let (hour, rest) = number(rest, 2)?;
        let (minute, rest) = number(rest, 2)?;
        let (second, rest) = number(rest, 2)?;
        let is_time = (1..=12).contains(&month) && (1..=31).contains(&day) && hour < 24;
        if rest != b"Z" || !is_time || minute >= 60 || second > 60 || year < 1970 {
            return None;
        }
        // Years that begin in March have the leap day at their end.
        let (y, m) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
        let days = 365 * y + y / 4 - y / 100 + y / 400 + (153 * m + 2) / 5 + day;
        // From 1 March of the year 0 to 1970.
        let days = days.checked_sub(719_469)?;
        let unix = ((days * 24 + hour) * 60 + minute) * 60 + second;
        Some(Self { unix, year, month, day })
    }
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04}-{:02}-{:02}", self.year, self.month, self.day)
    }
}

/// What is in the element with this tag that comes first, and what comes behind it.
fn take(bytes: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (_, rest) = bytes.split_first().filter(|(first, _)| **first == tag)?;
    let (length, rest) = rest.split_first()?;
    let (length, rest) = match usize::from(*length) {
        short @ 0..0x80 => (short, rest),
        // The length of the length.
        long => {
            let (bytes, rest) = rest.split_at_checked(long & 0x7f).filter(|(b, _)| b.len() <= 4)?;
            (bytes.iter().fold(0, |length, byte| length << 8 | usize::from(*byte)), rest)
        }
    };
    rest.split_at_checked(length)
}

/// The number that these digits are, and what comes behind them.
fn number(text: &[u8], digits: usize) -> Option<(u64, &[u8])> {
    let (number, rest) = text.split_at_checked(digits)?;
    let digit = |byte: &u8| byte.is_ascii_digit().then(|| u64::from(byte - b'0'));
    let value = number.iter().try_fold(0, |value, byte| Some(value * 10 + digit(byte)?))?;
    Some((value, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn certificate(year: i32, month: u8, day: u8) -> Vec<u8> {
        let mut params = rcgen::CertificateParams::new(["localhost".to_owned()]).unwrap();
        params.not_after = rcgen::date_time_ymd(year, month, day);
        let key = rcgen::KeyPair::generate().unwrap();
        params.self_signed(&key).unwrap().der().to_vec()
    }

    #[test]
    fn the_end_of_a_certificate_is_found() {
        for (date, unix) in [
            ((2026, 11, 27), 1_795_737_600),
            ((2049, 12, 31), 2_524_521_600),
            ((2050, 1, 1), 2_524_608_000),
            ((2000, 2, 29), 951_782_400),
            ((2100, 3, 1), 4_107_542_400),
            ((1999, 12, 31), 946_598_400),
        ] {
            let (year, month, day) = date;
            let end = End::of(&certificate(year, month, day)).unwrap();
            assert_eq!(end.unix, unix, "{date:?}");
            assert_eq!(end.to_string(), format!("{year}-{month:02}-{day:02}"));
        }
    }

    #[test]
    fn what_is_cut_or_changed_has_no_end_and_hurts_nobody() {
        let whole = certificate(2030, 1, 1);
        for length in 0..whole.len() {
            assert_eq!(End::of(&whole[..length]), None, "{length}");
        }
        for at in 0..whole.len().min(200) {
            for bit in 0..8 {
                let mut changed = whole.clone();
                changed[at] ^= 1 << bit;
                let _ = End::of(&changed);
            }
        }
        for odd in
            [&b"\x30\x80"[..], b"\x30\xff", b"\x30\x84\xff\xff\xff\xff", b"\x30\x85\0\0\0\0\0"]
        {
            assert_eq!(End::of(odd), None);
        }
    }
}
