//! There is no master server: the sample says so, goes on, and never stands still.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use compat_tests::gmnet::{Host, HostConfig};
use compat_tests::master::{Master, loopback};
use socket2::{Domain, Socket, Type};

use crate::meeting::client;
use crate::runner::{Game, WAIT, is_here};

/// A port on which nobody ever answers, not even with a refusal: its queue is full, so what comes
/// is dropped. A blocking `connect` would stand still for seconds here.
fn silent() -> (SocketAddr, Socket, Vec<Socket>) {
    let listener = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    listener.bind(&SocketAddr::new(loopback(), 0).into()).expect("binding");
    listener.listen(0).expect("listening");
    let at = listener.local_addr().expect("bound").as_socket().expect("IPv4");
    let mut waiting = Vec::new();
    for _ in 0..8 {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
        let full = socket.connect_timeout(&at.into(), Duration::from_millis(300)).is_err();
        waiting.push(socket);
        if full {
            return (at, listener, waiting);
        }
    }
    panic!("the queue of {at} does not fill");
}

/// A game that stood still for a second would say one step or two for it; a busy machine takes a
/// step now and then, but not most of them, and not in every second.
fn does_not_freeze(game: &mut Game, seconds: usize) {
    let counted: Vec<u32> =
        (0..seconds).map(|_| game.value("steps_per_second").parse().expect("a number")).collect();
    assert!(counted.iter().all(|steps| *steps >= 10), "{counted:?}");
    assert!(counted.iter().any(|steps| (55..=65).contains(steps)), "{counted:?}");
}

#[test]
fn without_a_master_server_games_say_so_and_do_not_freeze() {
    if !is_here() {
        return;
    }
    let (silent, _listener, _waiting) = silent();
    let refusing = TcpListener::bind((loopback(), 0)).expect("a port").local_addr().expect("bound");
    TcpStream::connect(refusing).expect_err("nobody listens there any more");
    // All at once, as each takes its time.
    let mut clients = [silent, refusing].map(|master| (master, client(master, loopback(), &[])));
    let mut host = Game::start("host", silent, loopback(), &[]);
    let mut lobby = Game::start("lobby", silent, loopback(), &[("every", "1")]);
    let away = |master: SocketAddr| format!("The master server at {master} does not answer;");
    for (master, game) in &mut clients {
        does_not_freeze(game, 7);
        let reason = game.all("reason").pop().unwrap_or_default();
        assert!(reason.starts_with(&away(*master)), "{reason:?}");
        assert_eq!(game.all("state"), ["asking"]);
    }
    for game in [&mut host, &mut lobby] {
        does_not_freeze(game, 7);
        let reason = game.all("reason").pop().unwrap_or_default();
        assert!(reason.starts_with(&away(silent)), "{reason:?}");
    }
    assert_eq!(host.all("state"), ["asking"]);
    lobby.wait_for("state", "failed");
    lobby.wait_for("state", "asking");
    for (master, game) in &mut clients {
        game.wait_for("state", "failed");
        let reason = game.value("reason");
        assert!(reason.starts_with(&away(*master)), "{reason}");
    }
}

#[test]
fn a_client_that_knows_the_port_joins_without_a_master_server() {
    if !is_here() {
        return;
    }
    let master = Master::start(&[]);
    let config = HostConfig::new(master.addr()).on(loopback()).with_data(&["direct"]);
    let host = Host::registered(config, WAIT).expect("registering");
    let at = host.local();
    let away = master.addr();
    drop(master);
    let _running = host.spawn();
    let mut game = client(away, at.ip(), &[("direct_port", &at.port().to_string())]);
    game.wait_for("state", "connected");
    game.wait_for("data", "direct|||||||");
}

#[test]
fn a_client_of_a_host_that_is_not_there_says_so() {
    if !is_here() {
        return;
    }
    let master = Master::start(&[]);
    let nobody = loopback();
    let mut game = client(master.addr(), nobody, &[]);
    game.wait_for("state", "failed");
    assert!(game.value("reason").contains(&format!("No game is hosted at {nobody}")));
}
