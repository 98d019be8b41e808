use super::message::Id;
use super::message::ParseError;
use super::*;
use crate::clock::Now;
use crate::dialect::{Output, Shared};
use proptest::prelude::*;

const MAIN: &str = "192.0.2.1:3478";
const OTHER: &str = "192.0.2.2:3479";
const PEER: &str = "203.0.113.7:40000";
const ID: Id = Id([0x21, 0x12, 0xA4, 0x42, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]);
const CLASSIC: Id = Id([9; 16]);

fn addr(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

/// Both addresses with both ports, each a socket of its own.
fn full() -> Stun {
    let sockets = [MAIN, "192.0.2.2:3478", "192.0.2.1:3479", OTHER].map(addr).to_vec();
    let alternate_addr = Some(addr(OTHER).ip());
    Stun::new(Config { sockets, alternate_port: Some(3479), alternate_addr })
}

fn only_port() -> Stun {
    let sockets = ["[::]:3478", "[::]:3479"].map(addr).to_vec();
    Stun::new(Config { sockets, alternate_port: Some(3479), alternate_addr: None })
}

fn request(id: Id, attributes: &[(u16, &[u8])]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut writer = Writer::new(&mut bytes, Class::Request, message::BINDING, id);
    for (kind, value) in attributes {
        writer.attribute(*kind, value);
    }
    bytes
}

fn ask(stun: &mut Stun, via: Via, data: &[u8]) -> Vec<(Via, SocketAddr, Vec<u8>)> {
    let mut out = Outbox::new();
    stun.on_datagram(
        &mut Context { now: Now::default(), out: &mut out, shared: &mut Shared::default() },
        via,
        addr(PEER),
        data,
    );
    let answers = out.outputs().map(|output| match output {
        Output::Udp(via, to, bytes) => (via, to, bytes.to_vec()),
        other => panic!("{other:?}"),
    });
    answers.collect()
}

/// The only answer: from where, to where, and what.
fn one(stun: &mut Stun, via: Via, data: &[u8]) -> (Via, SocketAddr, Vec<u8>) {
    let mut answers = ask(stun, via, data);
    assert_eq!(answers.len(), 1);
    answers.remove(0)
}

fn via(socket: u8) -> Via {
    Via { socket, local: None }
}

#[test]
fn a_client_learns_its_endpoint() {
    let (from, to, bytes) = one(&mut full(), via(0), &request(ID, &[]));
    assert_eq!((from.socket, to), (0, addr(PEER)));
    // All bytes by hand, from the figures of RFC 8489 and RFC 5780.
    let expected = [
        &[0x01, 0x01, 0x00, 36][..],
        &ID.0,
        &[0x00, 0x20, 0, 8, 0, 1, 0x9C ^ 0x21, 0x40 ^ 0x12],
        &[203 ^ 0x21, 0x12, 113 ^ 0xA4, 7 ^ 0x42],
        &[0x80, 0x2B, 0, 8, 0, 1, 0x0D, 0x96, 192, 0, 2, 1],
        &[0x80, 0x2C, 0, 8, 0, 1, 0x0D, 0x97, 192, 0, 2, 2],
    ];
    assert_eq!(bytes, expected.concat());
}

#[test]
fn a_classic_client_is_answered_in_its_terms() {
    let (_, _, bytes) = one(&mut full(), via(0), &request(CLASSIC, &[]));
    let expected = [
        &[0x01, 0x01, 0x00, 36][..],
        &CLASSIC.0,
        &[0x00, 0x01, 0, 8, 0, 1, 0x9C, 0x40, 203, 0, 113, 7],
        &[0x00, 0x04, 0, 8, 0, 1, 0x0D, 0x96, 192, 0, 2, 1],
        &[0x00, 0x05, 0, 8, 0, 1, 0x0D, 0x97, 192, 0, 2, 2],
    ];
    assert_eq!(bytes, expected.concat());
}

#[test]
fn the_answer_comes_from_where_it_is_wanted() {
    for (change, socket, origin) in [
        (0, 0, MAIN),
        (message::CHANGE_PORT, 2, "192.0.2.1:3479"),
        (message::CHANGE_IP, 1, "192.0.2.2:3478"),
        (message::CHANGE_IP | message::CHANGE_PORT, 3, OTHER),
    ] {
        let data = request(ID, &[(attribute::CHANGE_REQUEST, &change.to_be_bytes())]);
        let (from, to, bytes) = one(&mut full(), via(0), &data);
        assert_eq!((from.socket, to), (socket, addr(PEER)), "{change}");
        let answer = Message::parse(&bytes).unwrap();
        assert_eq!(answer.address(attribute::RESPONSE_ORIGIN), Some(addr(origin)));
        assert_eq!(answer.address(attribute::OTHER_ADDRESS), Some(addr(OTHER)));
    }
    // The other way round.
    let both = (message::CHANGE_IP | message::CHANGE_PORT).to_be_bytes();
    let data = request(ID, &[(attribute::CHANGE_REQUEST, &both)]);
    let (from, _, bytes) = one(&mut full(), via(3), &data);
    assert_eq!(from.socket, 0);
    let answer = Message::parse(&bytes).unwrap();
    assert_eq!(answer.address(attribute::OTHER_ADDRESS), Some(addr(MAIN)));
}

#[test]
fn sockets_of_all_addresses_answer_from_the_one_that_was_asked() {
    let local = Some(addr(MAIN).ip());
    let asked = Via { socket: 0, local };
    let (from, _, bytes) = one(&mut only_port(), asked, &request(ID, &[]));
    assert_eq!(from, asked);
    let answer = Message::parse(&bytes).unwrap();
    assert_eq!(answer.address(attribute::RESPONSE_ORIGIN), Some(addr(MAIN)));
    // RFC 5780, section 7.4: not without a second address.
    assert_eq!(answer.get(attribute::OTHER_ADDRESS), None);

    let change = message::CHANGE_PORT.to_be_bytes();
    let data = request(ID, &[(attribute::CHANGE_REQUEST, &change)]);
    let (from, ..) = one(&mut only_port(), asked, &data);
    assert_eq!(from, Via { socket: 1, local });
    let (from, ..) = one(&mut only_port(), Via { socket: 1, local }, &data);
    assert_eq!(from, asked);
}

#[test]
fn what_cannot_be_changed_is_an_unknown_attribute() {
    let change = message::CHANGE_IP.to_be_bytes();
    let data = request(ID, &[(attribute::CHANGE_REQUEST, &change)]);
    for stun in [&mut only_port(), &mut Stun::new(Config::default())] {
        let (from, _, bytes) = one(stun, via(0), &data);
        assert_eq!(from.socket, 0);
        let answer = Message::parse(&bytes).unwrap();
        assert_eq!((answer.class, answer.error_code()), (Class::Error, Some(420)));
        assert_eq!(answer.get(attribute::UNKNOWN_ATTRIBUTES), Some(&[0, 3][..]));
    }
}

#[test]
fn attributes_that_must_be_understood_and_are_not_are_listed() {
    let data = request(ID, &[(0x0024, &[0; 4]), (0x8029, &[0; 8]), (0x7777, b"x"), (0x24, b"")]);
    let (_, _, bytes) = one(&mut full(), via(0), &data);
    let expected = [
        &[0x01, 0x11, 0x00, 36][..],
        &ID.0,
        &[0x00, 0x09, 0, 21, 0, 0, 4, 20],
        b"Unknown Attribute\0\0\0",
        &[0x00, 0x0A, 0, 4, 0x00, 0x24, 0x77, 0x77],
    ];
    assert_eq!(bytes, expected.concat());
}

#[test]
fn impossible_values_are_bad_requests() {
    for attributes in [
        &[(attribute::CHANGE_REQUEST, &[0; 3][..])][..],
        &[(attribute::RESPONSE_PORT, &[1][..])],
        &[(attribute::RESPONSE_PORT, &[0, 0, 0, 0][..])],
        &[(attribute::RESPONSE_PORT, &[9, 9, 0, 0][..]), (attribute::PADDING, &[0; 8][..])],
    ] {
        let (_, to, bytes) = one(&mut full(), via(0), &request(ID, attributes));
        assert_eq!(to, addr(PEER));
        assert_eq!(Message::parse(&bytes).unwrap().error_code(), Some(400));
    }
}

#[test]
fn padding_comes_back_and_the_response_port_is_used() {
    let (_, _, bytes) = one(&mut full(), via(0), &request(ID, &[(attribute::PADDING, &[7; 500])]));
    let padding = Message::parse(&bytes).unwrap().get(attribute::PADDING).map(<[u8]>::len);
    assert_eq!(padding, Some(500));
    let data = request(ID, &[(attribute::RESPONSE_PORT, &[0x12, 0x34, 0, 0])]);
    let (_, to, _) = one(&mut full(), via(0), &data);
    assert_eq!(to, SocketAddr::new(addr(PEER).ip(), 0x1234));
}

#[test]
fn a_request_with_fingerprint_is_answered_with_one() {
    let mut data = Vec::new();
    Writer::new(&mut data, Class::Request, message::BINDING, ID).fingerprint();
    let (_, _, bytes) = one(&mut full(), via(0), &data);
    assert!(Message::parse(&bytes).unwrap().get(attribute::FINGERPRINT).is_some());
    let last = data.len() - 1;
    data[last] ^= 1;
    assert_eq!(Message::parse(&data), Err(ParseError::Fingerprint));
    assert!(ask(&mut full(), via(0), &data).is_empty());
}

#[test]
fn who_asks_nothing_gets_nothing() {
    for (class, method) in [
        (Class::Indication, message::BINDING),
        (Class::Success, message::BINDING),
        (Class::Error, message::BINDING),
        (Class::Request, 0x003),
    ] {
        let mut data = Vec::new();
        Writer::new(&mut data, class, method, ID);
        assert!(ask(&mut full(), via(0), &data).is_empty(), "{class:?} {method}");
    }
    let data = request(ID, &[]);
    for length in 0..data.len() {
        assert!(ask(&mut full(), via(0), &data[..length]).is_empty());
    }
}

#[test]
fn classic_requests_are_told_from_the_rest() {
    assert!(is_classic_request(&request(CLASSIC, &[(3, &[0; 4])])));
    assert!(!is_classic_request(&request(CLASSIC, &[])[..19]));
    assert!(!is_classic_request(b"\x0a\x0a\x0a\x08\x0a\x04asdfasdfasdfasdfasdf"));
    assert!(!is_classic_request(b""));
}

proptest! {
    /// However a request is made up, it is answered at most once, with at most three times its
    /// bytes, the headers of IP and UDP counted; IPv4 has the shorter headers.
    #[test]
    fn nobody_gets_more_than_three_times_what_came(
        classic: bool, fingerprint: bool, socket in 0u8..4,
        attributes in prop::collection::vec(
            (prop_oneof![
                Just(attribute::CHANGE_REQUEST), Just(attribute::PADDING),
                Just(attribute::RESPONSE_PORT), any::<u16>(),
            ], prop::collection::vec(any::<u8>(), 0..12)), 0..30),
        ipv6: bool,
    ) {
        let peer = if ipv6 { addr("[2001:db8::7]:40000") } else { addr(PEER) };
        let mut data = Vec::new();
        let id = if classic { CLASSIC } else { ID };
        let mut writer = Writer::new(&mut data, Class::Request, message::BINDING, id);
        for (kind, value) in &attributes {
            writer.attribute(*kind, value);
        }
        if fingerprint {
            writer.fingerprint();
        }
        let mut out = Outbox::new();
        full().on_datagram(&mut Context { now: Now::default(), out: &mut out, shared: &mut Shared::default() }, via(socket), peer, &data);
        let sizes: Vec<usize> = out.outputs().map(|output| match output {
            Output::Udp(_, _, bytes) => bytes.len() + 28,
            other => panic!("{other:?}"),
        }).collect();
        prop_assert!(sizes.len() <= 1);
        prop_assert!(sizes.iter().all(|sent| *sent <= 3 * (data.len() + 28)));
    }
}
