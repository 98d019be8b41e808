//! The sample as it is, beside a master server as it is, on one machine.

use compat_tests::master::{Master, loopback};

use crate::meeting::client;
use crate::runner::{Game, is_here};

/// The port that the sample hosts on.
fn game_port() -> u16 {
    let create = include_str!("../../../gml-client-sample/objects/obj_demo/Create_0.gml");
    let (_, behind) = create.split_once("game_port = ").expect("the port");
    behind.split(';').next().and_then(|port| port.trim().parse().ok()).expect("a number")
}

/// All at one address and with default ports: punchd has one UDP port more than its own, for STUN.
#[test]
fn the_sample_hosts_beside_a_master_server_with_default_ports() {
    if !is_here() {
        return;
    }
    let at = loopback();
    let master = Master::start_at((at, punchd::cli::PORT).into(), &[]);
    assert_eq!(master.alternate_port(), Some(punchd::cli::PORT + 1));
    let port = game_port().to_string();
    let mut host = Game::start("host", master.addr(), at, &[("game_port", port.as_str())]);
    host.wait_for("state", "connected");
    let mut client = client(master.addr(), at, &[]);
    client.wait_for("state", "connected");
    assert_eq!(host.all("reason"), Vec::<String>::new());
}
