//! RFC 5769's test vectors, and what no attacker may bring about.

use super::*;
use proptest::prelude::*;

/// RFC 5769, section 2.1: a request with long-known ICE attributes.
const REQUEST: &str = "
    00 01 00 58 21 12 a4 42 b7 e7 a7 01 bc 34 d6 86 fa 87 df ae
    80 22 00 10 53 54 55 4e 20 74 65 73 74 20 63 6c 69 65 6e 74
    00 24 00 04 6e 00 01 ff
    80 29 00 08 93 2f f9 b1 51 26 3b 36
    00 06 00 09 65 76 74 6a 3a 68 36 76 59 20 20 20
    00 08 00 14 9a ea a7 0c bf d8 cb 56 78 1e f2 b5 b2 d3 f2 49 c1 b5 71 a2
    80 28 00 04 e5 7a 3b cf";

/// RFC 5769, section 2.2: an answer with an IPv4 address.
const IPV4_RESPONSE: &str = "
    01 01 00 3c 21 12 a4 42 b7 e7 a7 01 bc 34 d6 86 fa 87 df ae
    80 22 00 0b 74 65 73 74 20 76 65 63 74 6f 72 20
    00 20 00 08 00 01 a1 47 e1 12 a6 43
    00 08 00 14 2b 91 f5 99 fd 9e 90 c3 8c 74 89 f9 2a f9 ba 53 f0 6b e7 d7
    80 28 00 04 c0 7d 4c 96";

/// RFC 5769, section 2.3: an answer with an IPv6 address.
const IPV6_RESPONSE: &str = "
    01 01 00 48 21 12 a4 42 b7 e7 a7 01 bc 34 d6 86 fa 87 df ae
    80 22 00 0b 74 65 73 74 20 76 65 63 74 6f 72 20
    00 20 00 14 00 02 a1 47 01 13 a9 fa a5 d3 f1 79 bc 25 f4 b5 be d2 b9 d9
    00 08 00 14 a3 82 95 4e 4b e6 7b f1 17 84 c9 7c 82 92 c2 75 bf e3 ed 41
    80 28 00 04 c8 fb 0b 4c";

/// RFC 5769, section 2.4: a request with long-term authentication, without FINGERPRINT.
const LONG_TERM: &str = "
    00 01 00 60 21 12 a4 42 78 ad 34 33 c6 ad 72 c0 29 da 41 2e
    00 06 00 12 e3 83 9e e3 83 88 e3 83 aa e3 83 83 e3 82 af e3 82 b9 00 00
    00 15 00 1c 66 2f 2f 34 39 39 6b 39 35 34 64 36 4f 4c 33 34 6f 4c 39 46 53 54 76 79 36 34 73 41
    00 14 00 0b 65 78 61 6d 70 6c 65 2e 6f 72 67 00
    00 08 00 14 f6 70 24 65 6d d6 4a 3e 02 b8 e0 71 2e 85 c9 a2 8c a8 96 66";

fn bytes(hex: &str) -> Vec<u8> {
    hex.split_whitespace().map(|byte| u8::from_str_radix(byte, 16).unwrap()).collect()
}

#[test]
fn the_requests_of_rfc_5769_are_read() {
    let data = bytes(REQUEST);
    let message = Message::parse(&data).unwrap();
    assert_eq!((message.class, message.method), (Class::Request, BINDING));
    assert!(!message.id.is_classic());
    assert_eq!(message.get(attribute::SOFTWARE), Some(&b"STUN test client"[..]));
    assert_eq!(message.get(attribute::USERNAME), Some(&b"evtj:h6vY"[..]));
    assert_eq!(message.number(0x0024), Some(0x6E00_01FF));
    let kinds: Vec<u16> = message.attributes().map(|(kind, _)| kind).collect();
    assert_eq!(kinds, [0x8022, 0x0024, 0x8029, 0x0006, 0x0008, 0x8028]);

    let data = bytes(LONG_TERM);
    let message = Message::parse(&data).unwrap();
    assert_eq!(message.get(attribute::REALM), Some(&b"example.org"[..]));
    assert_eq!(message.get(attribute::USERNAME).unwrap().len(), 18);
}

#[test]
fn the_answers_of_rfc_5769_are_read() {
    let data = bytes(IPV4_RESPONSE);
    let message = Message::parse(&data).unwrap();
    assert_eq!(message.class, Class::Success);
    let mapped = message.xor_address(attribute::XOR_MAPPED_ADDRESS);
    assert_eq!(mapped, Some("192.0.2.1:32853".parse().unwrap()));

    let data = bytes(IPV6_RESPONSE);
    let mapped = Message::parse(&data).unwrap().xor_address(attribute::XOR_MAPPED_ADDRESS);
    let told = "[2001:db8:1234:5678:11:2233:4455:6677]:32853".parse().unwrap();
    assert_eq!(mapped, Some(told));
}

/// The padding of RFC 5769 is made of spaces, ours of zeros; so what is compared is written from
/// the vectors' own attributes where there is no padding, and the checksum where there is.
#[test]
fn the_answers_of_rfc_5769_are_written() {
    for (vector, addr) in [
        (IPV4_RESPONSE, "192.0.2.1:32853"),
        (IPV6_RESPONSE, "[2001:db8:1234:5678:11:2233:4455:6677]:32853"),
    ] {
        let data = bytes(vector);
        let message = Message::parse(&data).unwrap();
        let mut out = b"before".to_vec();
        let mut writer = Writer::new(&mut out, Class::Success, BINDING, message.id);
        writer.attribute(attribute::SOFTWARE, b"test vector ");
        writer.xor_address(attribute::XOR_MAPPED_ADDRESS, addr.parse().unwrap());
        let integrity = message.get(attribute::MESSAGE_INTEGRITY).unwrap();
        writer.attribute(attribute::MESSAGE_INTEGRITY, integrity);
        let mut written = out.split_off(6);
        // The vector counts its eleven letters; ours had the space that pads them.
        assert_eq!(written[23], 12);
        written[23] = 11;
        assert_eq!(written[20..], data[20..data.len() - 8]);
        // The header counts the checksum, which covers everything before it.
        written[3] += 8;
        written.extend_from_slice(&data[data.len() - 8..]);
        assert!(Message::parse(&written).is_ok());
        assert_eq!(written, data);
    }
}

#[test]
fn a_fingerprint_is_written_as_it_is_read() {
    let mut out = Vec::new();
    let id = Id::new(*b"transaction!");
    Writer::new(&mut out, Class::Request, BINDING, id).attribute(0x8022, b"abc").fingerprint();
    assert!(Message::parse(&out).is_ok());
    // The type of the checksum itself is left alone: without it nothing is checked.
    let kind = out.len() - 8..out.len() - 6;
    for n in (0..out.len()).filter(|n| !kind.contains(n)) {
        let mut wrong = out.clone();
        wrong[n] ^= 0x01;
        assert!(Message::parse(&wrong).is_err(), "byte {n}");
    }
}

#[test]
fn what_is_cut_or_too_long_is_refused() {
    let data = bytes(REQUEST);
    for length in 0..data.len() {
        assert!(Message::parse(&data[..length]).is_err(), "{length}");
    }
    let mut longer = data.clone();
    longer.extend_from_slice(&[0; 4]);
    assert_eq!(Message::parse(&longer), Err(ParseError::Length));
    let mut other = data.clone();
    other[0] |= 0x80;
    assert_eq!(Message::parse(&other), Err(ParseError::NotStun));
    let mut other = data;
    other[22..24].copy_from_slice(&[0xFF, 0xFF]);
    assert_eq!(Message::parse(&other), Err(ParseError::Attribute));
}

#[test]
fn methods_and_classes_are_interleaved_as_in_the_rfc() {
    for class in [Class::Request, Class::Indication, Class::Success, Class::Error] {
        for method in [0, 1, 3, 0x0F, 0x70, 0xF80, 0xFFF] {
            let mut out = Vec::new();
            Writer::new(&mut out, class, method, Id::new([7; 12]));
            let message = Message::parse(&out).unwrap();
            assert_eq!((message.class, message.method), (class, method));
        }
    }
}

proptest! {
    #[test]
    fn no_bytes_make_the_parser_panic(mut data in prop::collection::vec(any::<u8>(), 0..200), fix: bool) {
        if fix && data.len() >= HEADER {
            let length = (data.len() - HEADER) as u16;
            data[0] &= 0x3F;
            data[2..4].copy_from_slice(&length.to_be_bytes());
        }
        if let Ok(message) = Message::parse(&data) {
            for (kind, _) in message.attributes() {
                let _ = (message.address(kind), message.xor_address(kind), message.number(kind));
            }
            let _ = message.error_code();
        }
    }

    #[test]
    fn attributes_come_back(all in prop::collection::vec((0u16..0x8000, prop::collection::vec(any::<u8>(), 0..40)), 0..8)) {
        let mut out = Vec::new();
        let mut writer = Writer::new(&mut out, Class::Request, BINDING, Id::new([9; 12]));
        for (kind, value) in &all {
            writer.attribute(*kind, value);
        }
        let message = Message::parse(&out).unwrap();
        let read: Vec<(u16, Vec<u8>)> =
            message.attributes().map(|(kind, value)| (kind, value.to_vec())).collect();
        prop_assert_eq!(read, all);
    }
}
