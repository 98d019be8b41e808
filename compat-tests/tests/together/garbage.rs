//! What is no request of anybody, from the addresses of those who have some.

use std::io::Write as _;
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use compat_tests::raw;

/// What looks like a datagram of some dialect and is none.
const DATAGRAMS: [&[u8]; 12] = [
    b"",
    b"hello",
    b"\xde\xc0\xad\xde\x0c\0\0\0\x05\0\0\0nonsense",
    b"\0\x01\0\x20\x21\x12\xa4\x42cut off her",
    b"\x01\x01\0\0\x21\x12\xa4\x42not to a serv",
    b"jr:0123456789abcdef",
    b"rc:0123456789abcdef:0123456789abcdef0123456789abcdef",
    b"er:ka:noroom",
    b"kc:ip:127.0.0.1",
    b"udp:0123456789abcdef0123456789abcdef",
    b"\x4a\x26\x0a\x2400000000-0000-4000-8000-000000000000",
    b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff",
];

/// The same on connections.
const STREAMS: [&[u8]; 8] = [
    b"",
    b"GET / HTTP/1.1\r\nHost: example.org\r\n\r\n",
    b"{]",
    b"{\"type\":\"pass\",\"name\":\"x\",\"dest\":\"nobody\"}",
    b"\x16\x03\x01\x00\x05hello",
    b"\x16\x03\x01\xff\xff",
    b"\0\0\0\0",
    b"reg2\n9.9",
];

/// Sends it until it is over.
pub(crate) fn make(server: SocketAddr, from: &[IpAddr], over: &AtomicBool) {
    let sockets: Vec<_> = from.iter().map(|at| raw::udp(*at)).collect();
    let mut open: Vec<TcpStream> = Vec::new();
    for n in 0.. {
        if over.load(Ordering::Relaxed) {
            return;
        }
        for (socket, at) in sockets.iter().zip(from) {
            socket.send_to(DATAGRAMS[n % DATAGRAMS.len()], server).expect("sending");
            let mut stream = raw::connect(server, *at);
            // The server may have closed it already.
            let _ = stream.write_all(STREAMS[n % STREAMS.len()]);
            open.push(stream);
        }
        // Some end at once, some later, and some hang on.
        if n % 3 != 0 {
            open.truncate(open.len().saturating_sub(from.len()));
        }
        if open.len() > 40 {
            open.drain(..20);
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}
