//! The owner gets into his window however many connections somebody else holds there.
#![cfg(target_os = "linux")]
#![expect(clippy::expect_used, reason = "a helper that fails is a test that fails")]

use std::io::{ErrorKind, Write as _};
use std::net::{IpAddr, SocketAddr, TcpStream};

use compat_tests::company::start_with_window;
use compat_tests::{http, raw};

/// Holds a connection: it has asked so often, and reads nothing of what is answered.
fn hold(window: SocketAddr, times: usize) -> TcpStream {
    let mut stream = raw::connect_narrow(window, IpAddr::from([127, 0, 0, 2]));
    stream.set_nonblocking(true).expect("not blocking");
    for _ in 0..times {
        match stream.write(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n") {
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(_) => break,
        }
    }
    stream
}

#[test]
fn whoever_holds_forty_connections_keeps_nobody_else_out() {
    let (_master, window) = start_with_window(&[]);
    // /healthz needs no token, and so is not answered that often.
    let is_healthy =
        || http::get(window, "/api/v1/status").is_ok_and(|answer| answer.status == 200);
    // Those that say nothing, and those that read nothing.
    for times in [0, 1000] {
        let held: Vec<TcpStream> = (0..40).map(|_| hold(window, times)).collect();
        for n in 0..20 {
            assert!(is_healthy(), "{times} requests each, try {n}");
        }
        drop(held);
        assert!(is_healthy());
    }
    // Who comes again for each that is closed.
    let mut held: Vec<TcpStream> = (0..40).map(|_| hold(window, 100)).collect();
    for n in 0..20 {
        held.extend((0..10).map(|_| hold(window, 100)));
        assert!(is_healthy(), "try {n}");
    }
}
