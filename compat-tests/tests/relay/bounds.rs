//! Each bound of the relay is reached at the real server: it and the other sessions live on, and the log
//! says what it was.

use super::*;
use compat_tests::company::start_with_window;
use compat_tests::http::get;

/// A client that has been told of the relay, or has not.
fn is_relayed(client: &mut Game, relay: IpAddr) -> bool {
    client.control.set_read_timeout(Some(Duration::from_millis(2500))).unwrap();
    let notice = [b"\xff", relay.to_string().as_bytes(), b"\0"].concat();
    let mut told = Vec::new();
    let mut buffer = [0; 256];
    while let Ok(length @ 1..) = client.control.read(&mut buffer) {
        told.extend_from_slice(&buffer[..length]);
        if told.windows(notice.len()).any(|bytes| bytes == notice) {
            return true;
        }
    }
    false
}

/// Where one finds the other at the relay. The second try of two is relayed at once.
fn at_relay(game: &mut Game, relay: IpAddr) -> SocketAddr {
    loop {
        let at = game.told();
        if at.ip() == relay {
            return at;
        }
    }
}

/// Two who play, and get what the other one says.
fn plays(host: &Game, client: &Game, [for_client, for_host]: [SocketAddr; 2]) {
    client.says(for_client, b"first");
    host.says(for_host, b"hello");
    client.hears(for_client, b"hello");
    host.hears(for_host, b"first");
    // Who tries ports sends one packet from each.
    client.says(for_client, b"more");
    host.hears(for_host, b"more");
    host.says(for_host, b"more");
    client.hears(for_client, b"more");
}

#[test]
fn a_few_addresses_do_not_keep_others_from_a_host() {
    let relay = loopback();
    let (ip, options) =
        (relay.to_string(), ["--relay-ports", "20000-20063", "--relay-sessions", "6"]);
    let master = Master::start(&[&["--relay", &ip], &options[..]].concat());
    let mut host = Game::host(&master);
    // Three for each of two addresses, all of which the host lets in.
    let greedy = [loopback(), loopback()];
    let mut theirs = Vec::new();
    for ip in greedy.into_iter().cycle().take(6) {
        let mut client = Game::client_at(ip, &master, &host);
        let for_client = at_relay(&mut client, relay);
        theirs.push((for_client, at_relay(&mut host, relay), client));
    }
    for (for_client, for_host, client) in &theirs {
        plays(&host, client, [*for_client, *for_host]);
        let at = client.at();
        master.wait_for_log(&format!("{at} got through to host {} (Pong) relayed", host.at()));
    }
    let mut honest = Game::client(&master, &host);
    let places = [at_relay(&mut honest, relay), at_relay(&mut host, relay)];
    plays(&host, &honest, places);
    master.wait_for_log("is no longer relayed to the host at");
    // Five of them play on, and none of them takes the sixth back.
    let mut left = 0;
    for (for_client, for_host, client) in &theirs {
        host.says(*for_host, b"still here");
        client.socket.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
        let mut buffer = [0; 64];
        let heard = client.socket.recv_from(&mut buffer);
        left += usize::from(heard.is_ok_and(|(_, from)| from == *for_client));
    }
    assert_eq!(left, 5);
    let mut again = Game::client_at(greedy[0], &master, &host);
    let mut other = Game::client_at(greedy[1], &master, &host);
    // At most one each: what the other one of them has more.
    let _ = (is_relayed(&mut again, relay), is_relayed(&mut other, relay));
    honest.says(places[0], b"still here");
    host.hears(places[1], b"still here");
}

#[test]
fn all_that_is_passed_on_in_a_second_is_bounded() {
    let relay = loopback().to_string();
    let bounds = ["--relay-total", "20", "--relay-bytes", "0", "--relay-packets", "0"];
    let master = Master::start(
        &[&["--relay", &relay, "--relay-ports", "20000-20031"], &bounds[..]].concat(),
    );
    let (host, client, for_client, for_host) = relayed(&master);
    let (other_host, other_client, other_for_client, other_for_host) = relayed(&master);
    plays(&host, &client, [for_client, for_host]);
    plays(&other_host, &other_client, [other_for_client, other_for_host]);
    for _ in 0..200 {
        client.says(for_client, &[7; 1000]);
    }
    master.wait_for_log("over that of all together (--relay-total)");
    // It is over when so much time has passed.
    let deadline = std::time::Instant::now() + PATIENCE;
    other_host.socket.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
    let mut buffer = [0; 64];
    loop {
        other_client.says(other_for_client, b"still here");
        if other_host.socket.recv_from(&mut buffer).is_ok() {
            break;
        }
        assert!(std::time::Instant::now() < deadline, "the others get nothing through any more");
    }
    assert!(!master.stop().contains("ERROR"));
}

#[test]
fn what_is_passed_on_in_a_month_is_bounded() {
    let relay = loopback();
    let ip = relay.to_string();
    let bounds = ["--relay-month", "0.002", "--relay-bytes", "0", "--relay-packets", "0"];
    let options = ["--relay", &ip, "--relay-ports", "20000-20031", "--relay-total", "0"];
    let (master, window) = start_with_window(&[&options[..], &bounds[..]].concat());
    let warnings = || get(window, "/api/v1/status").unwrap().json()["warnings"].to_string();
    assert_eq!(warnings(), "[]");
    let (host, client, for_client, for_host) = relayed(&master);
    plays(&host, &client, [for_client, for_host]);
    let data = wire::datagram(&[7; 2000]);
    let mut passed = 0;
    let mut buffer = [0; 2048];
    host.socket.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
    while passed < 2_010_000 {
        // As many as there is room for in a socket.
        (0..32).for_each(|_| _ = client.socket.send_to(&data, for_client).unwrap());
        for _ in 0..32 {
            let Ok((length, _)) = host.socket.recv_from(&mut buffer) else { break };
            passed += length;
        }
    }
    // The event loop is told every 5 s. Nobody need have asked in vain.
    let used_up = "relay: the relay has used up its monthly traffic";
    master.wait_for_log(used_up);
    assert!(warnings().contains(used_up), "{}", warnings());
    let deadline = std::time::Instant::now() + PATIENCE;
    loop {
        let next = Game::host(&master);
        if !is_relayed(&mut Game::client(&master, &next), relay) {
            break;
        }
        assert!(std::time::Instant::now() < deadline, "there is always one more");
    }
    master.wait_for_log(": the relay has used up its monthly traffic");
    // Those who play go on.
    host.socket.set_read_timeout(Some(PATIENCE)).unwrap();
    while host.socket.set_nonblocking(true).is_ok() && host.socket.recv_from(&mut buffer).is_ok() {}
    host.socket.set_nonblocking(false).unwrap();
    client.says(for_client, b"still here");
    host.hears(for_host, b"still here");
    assert!(!master.stop().contains("ERROR"));
}
