//! Counts what comes from each address and what goes there, for tests of the promise that an address which has
//! proven nothing gets at most three times the bytes that it sent.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};

use prost::Message as _;
use punchd::amplification::{DATAGRAM, KEYED};
use punchd::dialect::natpunch::message::{Content, Message};

/// What an unproven address may get for each byte of its own (RFC 9000, section 8.1).
const FACTOR: usize = 3;

/// The datagrams that bring an ID and a key: two of rooms, one of natpunch.
const KEYED_DATAGRAMS: usize = 2;

/// The accounts of all addresses.
#[derive(Debug, Default)]
pub struct Ledger(BTreeMap<IpAddr, Account>);

/// An address. Bytes count with the headers of IP and UDP.
#[derive(Debug, Default)]
struct Account {
    /// It has proven that it gets what is sent to it.
    is_proven: bool,
    /// Bytes that it may still be sent.
    left: usize,
    /// What proves that: keys and IDs that were sent there.
    proofs: BTreeSet<Vec<u8>>,
    /// What proves it for one answer.
    cookies: BTreeSet<Vec<u8>>,
}

impl Ledger {
    /// A TCP connection came from there, so its address is not forged.
    pub fn connected(&mut self, addr: IpAddr) {
        self.0.entry(addr).or_default().is_proven = true;
    }

    /// A datagram came from there.
    pub fn received(&mut self, from: SocketAddr, data: &[u8]) {
        let account = self.0.entry(from.ip()).or_default();
        let shows = |word: &Vec<u8>| data.windows(word.len()).any(|part| part == word);
        account.is_proven |= account.proofs.iter().any(shows);
        let headers = headers(from.ip());
        let mut allowed = FACTOR * (data.len() + headers);
        if brings_key(data) {
            allowed = allowed.max(KEYED + KEYED_DATAGRAMS * headers);
        }
        if account.cookies.iter().any(shows) {
            allowed = allowed.max(DATAGRAM + headers);
        }
        account.left += allowed;
    }

    /// A datagram goes there.
    ///
    /// # Errors
    /// If that is more than an unproven address may get.
    pub fn sent(&mut self, to: SocketAddr, data: &[u8]) -> Result<(), String> {
        let account = self.0.entry(to.ip()).or_default();
        let cost = data.len() + headers(to.ip());
        match account.left.checked_sub(cost) {
            Some(left) => account.left = left,
            None if account.is_proven => account.left = 0,
            None => {
                return Err(format!("{cost} bytes went to {to}, which may have {}", account.left));
            }
        }
        let text = std::str::from_utf8(data).unwrap_or_default();
        let of_rooms = text.strip_prefix("rID:").and_then(|own| own.split(':').next_back());
        account.proofs.extend(of_rooms.map(Into::into));
        account.cookies.extend(text.strip_prefix("er:rl:cookie:").map(Into::into));
        match Message::decode(data).ok().and_then(|message| message.content) {
            Some(Content::RegisterResponse(told)) if !told.client_id.is_empty() => {
                account.proofs.insert(told.client_id.into());
            }
            Some(Content::LobbyListResponse(told)) => {
                account
                    .cookies
                    .extend(Some(told.cookie).filter(|cookie| !cookie.is_empty()).map(Into::into));
            }
            _ => {}
        }
        Ok(())
    }
}

/// Whether it is a request that is answered with an ID and a key, or may be one.
fn brings_key(data: &[u8]) -> bool {
    let is_of_rooms = [&b"rh"[..], b"jr", b"qj", b"k:"].iter().any(|verb| data.starts_with(verb));
    is_of_rooms
        || Message::decode(data)
            .is_ok_and(|message| matches!(message.content, Some(Content::RegisterRequest(_))))
}

fn headers(addr: IpAddr) -> usize {
    8 + if addr.is_ipv4() { 20 } else { 40 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_times_its_bytes_and_no_more() {
        let at: SocketAddr = "203.0.113.7:9".parse().unwrap();
        let mut ledger = Ledger::default();
        assert!(ledger.sent(at, b"").is_err(), "nothing came from there");
        ledger.received(at, b"ka");
        assert!(ledger.sent(at, &[0; 3 * 30 - 28]).is_ok());
        assert!(ledger.sent(at, b"").is_err());
        ledger.received(at, b"rh");
        assert!(ledger.sent(at, b"rID:0123456789abcdef:0123456789abcdef0123456789abcdef").is_ok());
        assert!(ledger.sent(at, &[0; 300]).is_err());
        ledger.received(at, b"rc:0123456789abcdef:0123456789abcdef0123456789abcdef");
        assert!(ledger.sent(at, &[0; 300]).is_ok(), "it has shown its key");
    }

    #[test]
    fn a_cookie_is_good_for_one_answer() {
        let at: SocketAddr = "203.0.113.7:9".parse().unwrap();
        let mut ledger = Ledger::default();
        ledger.received(at, b"rl:cookie");
        assert!(ledger.sent(at, b"er:rl:cookie:0123456789abcdef").is_ok());
        ledger.received(at, b"rl:cookie=0123456789abcdef");
        assert!(ledger.sent(at, &[0; 1200]).is_ok());
        assert!(ledger.sent(at, &[0; 1200]).is_err());
    }
}
