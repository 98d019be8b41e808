//! Who reads slowly.

use std::io::{Read, Write};
use std::net::TcpStream;

use compat_tests::gmnet::Query;
use compat_tests::gmnet::wire::Data;
use compat_tests::line_of_masters::Masters;
use compat_tests::master::loopback;
use compat_tests::raw;

use super::fixtures::{Host, WAIT, answers};

/// What a peer has not read moves with its connection.
#[test]
fn who_reads_slowly_gets_all_that_he_asked_for() {
    let mut masters = Masters::start(&["--max-commands", "0"]);
    let master = masters.addr();
    let text = "x".repeat(8000);
    let data: Data = std::array::from_fn(|n| if n < 7 { text.clone() } else { String::new() });
    let _hosts: Vec<Host> = (0..12).map(|_| Host::new(master, &data)).collect();
    let request = Query::default().request();
    let mut usual = raw::connect(master, loopback());
    usual.write_all(&request).unwrap();
    let expected = line(&mut usual);
    assert!(expected.len() > 90_000, "{}", expected.len());
    let mut slow = raw::connect_narrow(master, loopback());
    // More than the system takes for him, and less than the server keeps.
    (0..30).for_each(|_| slow.write_all(&request).unwrap());
    assert!(answers(&raw::connect(master, loopback())), "the server has heard that");
    for _ in 0..6 {
        masters.succeed();
        (0..5).for_each(|_| assert!(line(&mut slow) == expected, "an answer is not whole"));
    }
    let log = masters.end();
    assert!(!log.contains("is lost"), "{log}");
}

fn line(stream: &mut TcpStream) -> Vec<u8> {
    stream.set_read_timeout(Some(WAIT)).unwrap();
    let (mut bytes, mut byte) = (Vec::new(), [0; 1024]);
    // Never more than is asked for: what follows is for the next time.
    while bytes.last() != Some(&b'\n') {
        let length = stream.peek(&mut byte).unwrap();
        assert!(length > 0, "the end after {} bytes", bytes.len());
        let end = byte[..length].iter().position(|byte| *byte == b'\n');
        let take = end.map_or(length, |end| end + 1);
        stream.read_exact(&mut byte[..take]).unwrap();
        bytes.extend_from_slice(&byte[..take]);
    }
    bytes
}
