use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;

use super::*;

/// It says what a NATS server says at first, and takes nothing any more.
#[test]
fn a_server_that_takes_nothing_does_not_hold_up_the_end() {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let url = format!("nats://{}", listener.local_addr().unwrap());
    let server = std::thread::spawn(move || {
        let (stream, _) = listener.accept().unwrap();
        (&stream).write_all(b"INFO {\"max_payload\":1048576}\r\n").unwrap();
        let mut lines = BufReader::new(&stream).lines();
        lines.find(|line| line.as_ref().unwrap() == "PING").unwrap().unwrap();
        (&stream).write_all(b"PONG\r\n").unwrap();
        drop(lines);
        // Nobody takes the next connection, either.
        (listener, stream)
    });
    let poll = mio::Poll::new().unwrap();
    let main = Arc::new(Waker::new(poll.registry(), mio::Token(0)).unwrap());
    let place = Place { servers: &[url], cluster: "c", node: "n", credentials: None };
    let connection = Connection::start(place, main, std::time::Instant::now()).unwrap();
    let _server = server.join().unwrap();
    let deadline = Instant::now() + Duration::from_secs(20);
    while !connection.is_connected() {
        assert!(Instant::now() < deadline, "not connected");
        std::thread::yield_now();
    }
    // More than all buffers on the way have room for.
    for _ in 0..4 * WAITING {
        connection.send(Outbound { to: None, bytes: vec![0; 16 * 1024] });
        std::thread::sleep(Duration::from_micros(200));
    }
    let (ended, end) = sync_channel(1);
    std::thread::spawn(move || {
        drop(connection);
        let _ = ended.send(());
    });
    end.recv_timeout(Duration::from_secs(20)).expect("the thread ends");
}
