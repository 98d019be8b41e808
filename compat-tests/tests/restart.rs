//! Restarts behind sockets that stay open, as systemd's socket units have it: nobody is refused.
#![expect(clippy::expect_used, reason = "a helper that fails is a test that fails")]

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::os::unix::net::UnixDatagram;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use compat_tests::activated::{activated, activated_by_udp, sockets};
use compat_tests::gmnet::wire::{self, Protocol};
use compat_tests::gmnet::{Client, ClientConfig, Control, GameSocket, Host, HostConfig};
use compat_tests::master::{self, Master, loopback};
use compat_tests::raw;

const WAIT: Duration = Duration::from_secs(10);

/// Asks again and again, each time on a new connection, until it shall stop. How often there was
/// an answer; a connection that is refused fails the test.
fn ask_all_the_time(addr: SocketAddr, stop: &AtomicBool, answers: &AtomicUsize) {
    let at = loopback();
    while !stop.load(Ordering::Relaxed) {
        let stream = raw::connect(addr, at);
        // A server that stops may say goodbye instead of answering; a client tries again then.
        if raw::asks(&stream, wire::ASK_VERSION, b'\n', WAIT) {
            answers.fetch_add(1, Ordering::Relaxed);
        }
    }
}

fn wait_for_more(answers: &AtomicUsize) {
    let (before, deadline) = (answers.load(Ordering::Relaxed), Instant::now() + WAIT);
    while answers.load(Ordering::Relaxed) < before + 20 {
        assert!(Instant::now() < deadline, "no answers");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn nobody_is_refused_while_the_server_is_restarted() {
    let (tcp, udp) = sockets();
    let addr = tcp.local_addr().expect("its address");
    let (stop, answers) = (AtomicBool::new(false), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        let _stops = StopAtEnd(&stop);
        let mut server = Master::watch(activated(&tcp, Some(&udp)));
        assert_eq!(server.addr().port(), addr.port());
        let asking: Vec<_> =
            (0..3).map(|_| scope.spawn(|| ask_all_the_time(addr, &stop, &answers))).collect();
        for _ in 0..2 {
            wait_for_more(&answers);
            let _ = server.stop();
            server = Master::watch(activated(&tcp, Some(&udp)));
        }
        wait_for_more(&answers);
        // The last server answers the last questions.
        stop.store(true, Ordering::Relaxed);
        asking.into_iter().for_each(|thread| thread.join().expect("nobody was refused"));
    });
}

/// A service manager may have made more room than the server may ask for.
#[test]
fn a_socket_that_was_handed_over_keeps_its_large_buffer() {
    use nix::sys::socket::{setsockopt, sockopt};
    let (tcp, udp) = sockets();
    if setsockopt(&udp, sockopt::RcvBufForce, &(16 << 20)).is_err() {
        return compat_tests::skipped::note("only root can make buffers that large");
    }
    let size = || socket2::SockRef::from(&udp).recv_buffer_size().expect("its size");
    let before = size();
    let _server = Master::watch(activated(&tcp, Some(&udp)));
    assert_eq!(size(), before);
    // One that is small is made larger.
    let (tcp, udp) = sockets();
    let size = || socket2::SockRef::from(&udp).recv_buffer_size().expect("its size");
    socket2::SockRef::from(&udp).set_recv_buffer_size(8 << 10).expect("a small one");
    let before = size();
    let _server = Master::watch(activated(&tcp, Some(&udp)));
    assert!(size() > 4 * before, "{} of {before}", size());
}

#[test]
fn options_that_sockets_handed_over_make_void_are_named() {
    let (tcp, udp) = sockets();
    let mut command = activated(&tcp, Some(&udp));
    command.env("PUNCHD_PORT", "7").env("PUNCHD_BIND", "127.0.0.9");
    let server = Master::watch(command);
    assert_eq!(server.addr().port(), tcp.local_addr().expect("its address").port());
    let log = server.stop();
    assert!(log.contains("WARN  ignored: --port, --bind; "), "{log}");
    assert!(log.contains(".socket unit"), "what to do: {log}");
    let log = Master::watch(activated(&tcp, Some(&udp))).stop();
    assert!(!log.contains("ignored"), "nothing was given: {log}");
}

/// Also ends the threads when the test fails.
struct StopAtEnd<'a>(&'a AtomicBool);

impl Drop for StopAtEnd<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Asks for a host that is not there. Tells whether the answer is that it waits for it, and gets it
/// when it registers.
fn waits_for_a_host(addr: SocketAddr) -> bool {
    let (client, at) = (loopback(), loopback());
    let game = GameSocket::open(addr, Some(client), 0).expect("a socket");
    game.send_raw(addr, &wire::udp_connect(Protocol::Modern));
    let control = Control::open(addr, Some(client)).expect("connecting");
    control.send(&wire::connect(Protocol::Modern, at)).expect("asking");
    if let Some(event) = control.next(Duration::from_millis(700)) {
        assert_eq!(event.bytes, [wire::NOT_FOUND]);
        return false;
    }
    let hosting = GameSocket::open(addr, Some(at), 0).expect("a socket");
    hosting.send_raw(addr, &wire::udp_register(Protocol::Modern));
    let host = Control::open(addr, Some(at)).expect("connecting");
    let request = wire::register(Protocol::Modern, wire::CLIENT_VERSION, &Default::default());
    host.send(&request).expect("registering");
    for (told, of) in [(&control, hosting.local()), (&host, game.local())] {
        let heard = told.answer(WAIT).expect("an introduction").bytes;
        assert_eq!(wire::introduction(&heard).expect("valid").endpoint, of);
    }
    true
}

#[test]
fn after_a_restart_who_joins_waits_for_the_host_to_come_back() {
    let master = Master::start(&[]);
    let addr = master.addr();
    assert!(!waits_for_a_host(addr), "nobody can come back at the first start");
    let host = Host::registered(HostConfig::new(addr).on(loopback()), WAIT).expect("registering");
    let _ = master.stop();
    let master = Master::start_at(addr, &[]);
    drop(host);
    assert!(waits_for_a_host(addr), "connections of the server before linger on the port");
    let _ = master.stop();
    let _master = Master::start_at(addr, &["--start-wait", "0"]);
    assert!(!waits_for_a_host(addr), "if that is not wanted");
}

#[test]
fn behind_sockets_that_stay_open_who_joins_waits_as_well() {
    let (tcp, udp) = sockets();
    let addr = tcp.local_addr().expect("its address");
    let _master = Master::watch(activated(&tcp, Some(&udp)));
    assert!(waits_for_a_host(addr));
}

#[test]
fn a_host_that_does_not_come_back_is_waited_for_no_longer_than_that() {
    let (tcp, udp) = sockets();
    let addr = tcp.local_addr().expect("its address");
    let mut command = activated(&tcp, Some(&udp));
    command.env("PUNCHD_START_WAIT", "1");
    let _master = Master::watch(command);
    let client = ClientConfig::new(addr, loopback()).on(loopback());
    assert_eq!(Client::look_up(client).expect("an answer"), None);
}

#[test]
fn the_service_manager_is_told_when_the_server_is_ready() {
    let directory = std::env::temp_dir().join(format!("punchd-notify-{}", std::process::id()));
    std::fs::create_dir_all(&directory).expect("a directory");
    let path = directory.join("socket");
    let socket = UnixDatagram::bind(&path).expect("a socket");
    let mut command = Command::new(master::binary());
    command.args(["--port", "0"]).env("NOTIFY_SOCKET", &path);
    let master = Master::spawn(command);
    socket.set_read_timeout(Some(WAIT)).expect("a timeout");
    let mut buffer = [0; 256];
    let length = socket.recv(&mut buffer).expect("a message");
    let message = String::from_utf8_lossy(&buffer[..length]).into_owned();
    assert!(message.lines().any(|line| line == "READY=1"), "{message}");
    assert!(raw::asks(&raw::connect(master.addr(), loopback()), wire::ASK_VERSION, b'\n', WAIT));
    std::fs::remove_dir_all(directory).expect("tidying up");
}

#[test]
fn a_tcp_socket_alone_is_refused_in_plain_words() {
    let (tcp, _) = sockets();
    let output = activated(&tcp, None).output().expect("running the server");
    let log = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{log}");
    assert!(log.contains("was handed over without a UDP one"), "{log}");
    assert!(log.contains("ListenDatagram="), "it says what to do: {log}");
}

#[test]
fn a_udp_socket_alone_is_refused_in_plain_words() {
    let (_, udp) = sockets();
    // Were it ignored, the server would open sockets of its own and run: one line tells which.
    let mut command = activated_by_udp(&udp);
    command.env("PUNCHD_PORT", "0").stderr(Stdio::piped());
    let mut server = command.spawn().expect("starting the server");
    let mut log = String::new();
    let said = server.stderr.take().expect("stderr is piped");
    BufReader::new(said).read_line(&mut log).expect("a line");
    if log.contains("listening") {
        server.kill().expect("ending it");
    }
    assert_eq!(server.wait().expect("its end").code(), Some(1), "{log}");
    assert!(log.contains("was handed over without a TCP one"), "{log}");
    assert!(log.contains("ListenStream="), "it says what to do: {log}");
}
