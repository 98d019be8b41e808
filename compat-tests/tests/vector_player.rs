//! The player must see every kind of wrong answer. The server here does what a peer tells it to:
//! `write TEXT`, `wait MILLISECONDS`, `now`, `fin`, `rst`, `ends`, with `;` between them.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use compat_tests::vector::{Fault, Vector, play};
use socket2::SockRef;

/// A server that obeys; its threads end with the test.
fn puppet() -> SocketAddr {
    let (tcp, udp) = loop {
        let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
        if let Ok(udp) = UdpSocket::bind(tcp.local_addr().unwrap()) {
            break (tcp, udp);
        }
    };
    let addr = tcp.local_addr().unwrap();
    let ends = Arc::new(Mutex::new(String::new()));
    thread::spawn(move || {
        for stream in tcp.incoming() {
            let ends = Arc::clone(&ends);
            thread::spawn(move || obey(stream.unwrap(), &ends));
        }
    });
    thread::spawn(move || {
        let mut buffer = [0; 2048];
        while let Ok((length, from)) = udp.recv_from(&mut buffer) {
            let _ = udp.send_to(&buffer[..length], from);
        }
    });
    addr
}

/// Does what comes in on a connection; notes how the peer ended it and says `bye` then.
fn obey(mut stream: TcpStream, ends: &Mutex<String>) {
    stream.set_nodelay(true).unwrap();
    let mut buffer = [0; 2048];
    loop {
        match stream.read(&mut buffer) {
            Ok(0) => {
                ends.lock().unwrap().push_str("fin,");
                let _ = stream.write_all(b"bye");
                return;
            }
            Ok(length) => {
                for command in buffer[..length].split(|byte| *byte == b';') {
                    if !carry_out(&mut stream, command, ends) {
                        return;
                    }
                }
            }
            Err(e) => {
                assert_eq!(e.kind(), ErrorKind::ConnectionReset);
                return ends.lock().unwrap().push_str("rst,");
            }
        }
    }
}

fn carry_out(stream: &mut TcpStream, command: &[u8], ends: &Mutex<String>) -> bool {
    if let Some(bytes) = command.strip_prefix(b"write ") {
        stream.write_all(bytes).unwrap();
    } else if let Some(time) = command.strip_prefix(b"wait ") {
        let time = std::str::from_utf8(time).unwrap().parse().unwrap();
        thread::sleep(Duration::from_millis(time));
    } else if command == b"now" {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        write!(stream, "{}", now.as_secs()).unwrap();
    } else if command == b"ends" {
        stream.write_all(ends.lock().unwrap().as_bytes()).unwrap();
    } else {
        if command == b"rst" {
            SockRef::from(&*stream).set_linger(Some(Duration::ZERO)).unwrap();
        }
        return false;
    }
    true
}

fn played(steps: &str) -> Result<(), String> {
    let text = format!("title: t\nwhy: w\n\na tcp 127.0.0.2\n{steps}\n");
    let vector = Vector::parse(&text).unwrap();
    play(&vector, puppet(), |_| {}).map_err(|failure| failure.to_string())
}

#[track_caller]
fn passes(steps: &str) {
    assert_eq!(played(steps), Ok(()), "{steps}");
}

#[track_caller]
fn fails(steps: &str, with: &str) {
    let failure = played(steps).unwrap_err();
    assert!(failure.contains(with), "{steps}\nfailed with\n{failure}\ninstead of\n{with}");
}

/// A host of a lobby reply, in the bytes of a vector.
fn host(ip: &str, data1: &str) -> String {
    let rest: String = (2..=8).map(|n| format!(r#","data{n}":"""#)).collect();
    format!(r#"{{"ip":"{ip}","data1":"{data1}"{rest},"createdTime":1700000000}}"#)
}

#[test]
fn other_bytes_fail() {
    passes("a> write abc\na< abc");
    passes("a> write abc;wait 30;write def\na< ab\na< cdef");
    fails(
        "a> write abd\na< abc",
        "line 6: a< abc\nexpected  abc\nreceived  abd\n            ^ byte 2",
    );
    fails("a> write ab\na< [within 100ms] abc", "received  ab\n            ^ byte 2");
    fails("a> wait 0\na< [within 100ms] abc", "received  nothing");
    fails("a> write ab;fin\na< abc", "received  ab, then closed by the server");
    fails("a> write ab\\xff\na< ab\\0", "expected  ab\\x00\nreceived  ab\\xff");
}

#[test]
fn alternatives_are_the_only_ones() {
    passes("a> write b\na< a\n  or b");
    fails("a> write c\na< a\n  or b", "expected  a\n      or  b\nreceived  c");
    passes("a> fin\na< [or closed] a");
    passes("a> write a\na< [or closed] a");
    fails("a> write b;fin\na< [or closed] a", "received  b");
    fails("a> wait 0\na< [or closed, within 100ms] a", "received  nothing");
}

#[test]
fn times_are_checked() {
    passes("mark m\na> now\na< {epoch:m}");
    passes("a> now\na< {epoch}");
    fails("a> write 1700000000\na< {epoch}", "received  1700000000");
    fails("a> write 17000x\na< {epoch}", "byte 5");
    fails("mark m\nsleep 2100ms\na> now\na< {epoch:m}", "expected  <");
}

#[test]
fn a_gap_is_checked() {
    passes("a> [settle 0ms] write a;wait 80;write b\na< a\na< [gap 35ms] b");
    fails(
        "a> [settle 0ms] write a;wait 5;write b\na< a\na< [gap 35ms] b",
        "after the message before",
    );
    // They may even have been read in one go.
    fails("a> write a;write b\na< a\na< [gap 35ms] b", "should be 35ms at least");
}

#[test]
fn segments_are_counted() {
    passes("a> write ab\na< [one segment] ab\na> write cd\na< [one segment] cd");
    fails("a> write a;write b\na< [one segment] ab", "arrived in 2 TCP segments");
    fails("a> write \\xf9[];write \\n\na lobby [one segment]", "arrived in 2 TCP segments");
}

#[test]
fn noise_is_no_silence() {
    passes("a silent 50ms");
    fails("a> write x\na silent 50ms", "expected  nothing\nreceived  x");
    fails("a> [settle 0ms] wait 60;write x\na silent 400ms", "received  x");
    fails("a> fin\na silent 50ms", "received  closed by the server");
    fails("a> rst\na silent 50ms", "received  reset by the server");
}

#[test]
fn closing_is_awaited() {
    passes("a> fin\na closed");
    passes("a> rst\na closed");
    passes("a> write x;fin\na< x\na closed");
    fails("a> wait 0\na closed [within 100ms]", "did not close the connection in time");
    fails("a> write x;fin\na closed", "expected  nothing\nreceived  x");
}

#[test]
fn what_is_left_at_the_end_fails() {
    fails("a> write ab\na< a", "after the last step\nexpected  nothing\nreceived  b");
    fails("a> fin", "received  closed by the server");
    fails("a> rst", "received  reset by the server");
    fails("a udp\na udp> gm x", "received  \\xde\\xc0\\xad\\xde");
    passes("a> write ab;fin\na ignore");
    passes("a> write ab\na close");
}

#[test]
fn datagrams_have_the_header() {
    passes("a udp\na udp> gm hi\na udp< \\xde\\xc0\\xad\\xde\\x0c\\0\\0\\0\\x02\\0\\0\\0hi");
    passes("a udp\na udp> {port:a}\na udp< {port:a}");
    passes("a udp\na udp>\na udp> x\na udp< x");
}

#[test]
fn the_server_sees_how_a_peer_closes() {
    passes("a close fin\nb tcp 127.0.0.3\nb> ends\nb< fin,");
    passes("a close rst\nb tcp 127.0.0.3\nb> ends\nb< rst,");
    passes("a close half\na< bye\na closed\nb tcp 127.0.0.3\nb> ends\nb< fin,");
    // Whatever lies there unread does not turn a FIN into a RST.
    passes("a> write x\na close\nb tcp 127.0.0.3\nb> ends\nb< fin,");
}

#[test]
fn pieces_are_sent_one_by_one() {
    passes("a> [pause 30ms] write a|write b\na< [within 1s] ab");
    fails("a> [pause 30ms] write a|write b\na< [one segment] ab", "2 TCP segments");
    // One byte at a time is no command, so the puppet hangs up.
    passes("a> [bytewise 5ms] now\na closed");
}

#[test]
fn lobby_replies_have_to_be_exact() {
    let (one, two) = (host("1.1.1.1", "x"), host("2.2.2.2", "y"));
    let lobby = |json: &str, rows: &str| format!("a> write \\xf9{json}\\n\na lobby{rows}");
    passes(&lobby("[]", ""));
    fails(&lobby("[]", "\n  1.1.1.1"), "expected\n    1.1.1.1\nreceived");
    fails("a> write [\na lobby", "expected  a lobby reply, \\xf9 JSON \\n\nreceived  [");
    fails("a> write \\xf9[]\na lobby [within 100ms]", "received  \\xf9[]");
    fails("a> fin\na lobby", "received  nothing, then closed by the server");
    fails(&lobby("{}", ""), "expected  a list of hosts\nreceived  {}");
    fails(&lobby("[ ]", ""), "in other bytes\nexpected  []\nreceived  [ ]");
    let html = host("1.1.1.1", "<");
    fails(&lobby(&format!("[{html}]"), "\n  1.1.1.1 \"<\""), "in other bytes");
    let other_order =
        one.replacen(r#""ip":"1.1.1.1","data1":"x""#, r#""data1":"x","ip":"1.1.1.1""#, 1);
    fails(&lobby(&format!("[{other_order}]"), "\n  1.1.1.1 x"), "in other bytes");
    let more = one.replacen('{', r#"{"port":1,"#, 1);
    fails(&lobby(&format!("[{more}]"), "\n  1.1.1.1 x"), "unknown field");
    fails(&lobby(&format!("[{one}]"), "\n  1.1.1.1 x"), "createdTime of 1.1.1.1");
    for rows in ["", "\n  1.1.1.1 x", "\n  2.2.2.2 y\n  1.1.1.1 x", "\n  1.1.1.1 x\n  2.2.2.2 z"] {
        let failure = played(&lobby(&format!("[{one},{two}]"), rows)).unwrap_err();
        assert!(failure.contains("expected") || failure.contains("createdTime"), "{failure}");
    }
}

#[test]
fn nobody_there_fails() {
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let vector = Vector::parse("title: t\nwhy: w\n\na tcp 127.0.0.2").unwrap();
    let failure = play(&vector, nobody, |_| {}).unwrap_err();
    assert!(matches!(failure.fault, Fault::Open(_)), "{failure}");
}
