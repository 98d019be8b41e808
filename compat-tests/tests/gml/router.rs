//! What the sample makes of routers, and of runtimes that are not exact.

use std::net::{SocketAddr, UdpSocket};

use compat_tests::folder::Folder;
use compat_tests::master::{Master, loopback};

use crate::runner::{Game, WAIT, is_here};

fn ask(master: SocketAddr, other_port: u16) -> Game {
    let other_port = other_port.to_string();
    Game::start("nat", master, loopback(), &[("other_port", other_port.as_str())])
}

#[test]
fn the_sample_tells_what_the_router_does() {
    if !is_here() {
        return;
    }
    let master = Master::start(&[]);
    let other = master.alternate_port().expect("the port for STUN");
    let mut game = ask(master.addr(), other);
    let at = game.at();
    assert!(game.value("seen").starts_with(&format!("{at}:")));
    game.wait_for("kind", "easy");
    assert!(game.value("advice").contains("need a relay only"));
    assert_eq!(game.exit_code(), 0);
}

/// A server that sees another port at each of its own, as if a symmetric NAT were between.
#[test]
fn the_sample_knows_a_router_that_takes_another_port_for_each() {
    if !is_here() {
        return;
    }
    let at = loopback();
    let mut ports = Vec::new();
    for n in 0..2_u16 {
        let socket = UdpSocket::bind((at, 0)).expect("a port");
        socket.set_read_timeout(Some(WAIT)).expect("a time-out");
        ports.push(socket.local_addr().expect("its address"));
        std::thread::spawn(move || {
            let mut request = [0; 64];
            let (len, from) = socket.recv_from(&mut request).expect("a request");
            assert_eq!(&request[..8], b"\0\x01\0\0\x21\x12\xa4\x42");
            assert_eq!(len, 20);
            let port = (40_000 + n) ^ 0x2112;
            // Something else first, whose length is no multiple of four.
            let attributes = [
                &b"\x80\x22\0\x05punch\0\0\0\0\x20\0\x08\0\x01"[..],
                &port.to_be_bytes(),
                &[203 ^ 0x21, 0x12, 113 ^ 0xa4, 7 ^ 0x42],
            ]
            .concat();
            let length = u16::try_from(attributes.len()).expect("short").to_be_bytes();
            let header = [&b"\x01\x01"[..], &length, &request[4..20]].concat();
            socket.send_to(&[header, attributes].concat(), from).expect("answering");
        });
    }
    let mut game = ask(ports[0], ports[1].port());
    game.wait_for("seen", "203.0.113.7:40000");
    game.wait_for("kind", "hard");
    assert!(game.value("advice").contains("relay"));
}

#[test]
fn a_master_server_without_stun_leaves_it_unknown() {
    if !is_here() {
        return;
    }
    let master = Master::start(&["--dialects", "gmnet"]);
    let mut game = ask(master.addr(), master.addr().port());
    game.wait_for("kind", "unknown");
    assert_eq!(game.exit_code(), 0);
}

/// A driver of the sample in a runtime that leaves out the last character of addresses.
fn cut(folder: &Folder, driver: &str) -> String {
    let source = format!("{}/gml/{driver}.gml", env!("CARGO_MANIFEST_DIR"));
    let source = std::fs::read_to_string(source).expect("the driver");
    let cut =
        "var _ip = async_load[? \"ip\"];\nreturn string_copy(_ip, 1, string_length(_ip) - 1);\n";
    let file = folder.file(&format!("{driver}.gml"));
    std::fs::write(&file, format!("{source}\n#define __punch_event_ip_as_told\n{cut}"))
        .expect("writing the driver");
    file
}

#[test]
fn addresses_that_a_runtime_cuts_do_not_keep_players_apart() {
    if !is_here() {
        return;
    }
    let master = Master::start(&[]);
    let (ip, port) = (master.addr().ip().to_string(), master.addr().port().to_string());
    let (folder, at) = (Folder::new(), loopback());
    let run = |driver: &str, at, more: &[String]| {
        let settings = [format!("master_ip={ip}"), format!("master_port={port}")];
        let mut options = vec!["--driver".to_owned(), cut(&folder, driver)];
        for setting in settings.iter().chain(more) {
            options.extend(["--set".to_owned(), setting.clone()]);
        }
        Game::run(at, &options.iter().map(String::as_str).collect::<Vec<_>>())
    };
    let mut host = run("host", at, &[]);
    host.wait_for("state", "connected");
    let own = loopback();
    let mut client = run("client", own, &[format!("host_ip={at}")]);
    client.wait_for("state", "connected");
    let player = host.value("player");
    assert!(player.starts_with(&format!("{own}:")), "the whole address: {player}");
    host.wait_for("position", "3,4");
    client.wait_for("position", "1,2");
}
