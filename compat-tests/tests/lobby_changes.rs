//! Lobbies are kept as they were sent; nobody may ever notice. Hosts come, change and leave, and
//! after each step every lobby is what it has to be, the second time as well.
#![expect(clippy::unwrap_used, reason = "a helper that fails is a test that fails")]

use std::net::SocketAddr;
use std::time::Duration;

use compat_tests::gmnet::Query;
use compat_tests::gmnet::wire::{self, Data, Protocol};
use compat_tests::unplugged::Unplugged;
use proptest::prelude::*;
use punchd::dialect::ConnId;

const GAMES: [&str; 2] = ["Pong", "Worms"];
const NAMES: [&str; 3] = ["Ann", "Bob", "Cid"];

fn host(n: usize) -> SocketAddr {
    SocketAddr::from(([203, 0, 113, n as u8 + 1], 4000))
}

fn data(game: &str, name: &str) -> Data {
    let mut data = Data::default();
    (data[0], data[1]) = (game.to_owned(), name.to_owned());
    data
}

/// The addresses and names in a lobby of this game, if one is meant, and of hosts of this name.
fn lobby(server: &mut Unplugged, viewer: ConnId, game: &str, name: &str) -> Vec<(String, String)> {
    let request = Query { filters: data(game, name), ..Query::default() }.request();
    // What was asked for before was asked for in another turn.
    server.pass(Duration::from_micros(1));
    server.send(viewer, &request);
    let reply = server.heard(viewer).concat();
    let entries: Vec<serde_json::Value> = serde_json::from_slice(&reply[1..]).unwrap();
    let text = |entry: &serde_json::Value, key: &str| entry[key].as_str().unwrap().to_owned();
    let mut told: Vec<_> = entries.iter().map(|e| (text(e, "ip"), text(e, "data2"))).collect();
    told.sort();
    told
}

proptest! {
    #[test]
    fn a_lobby_is_as_the_hosts_are(
        // Which host, and what it says, or that it leaves.
        steps in prop::collection::vec(
            (0..4usize, prop::option::of((0..GAMES.len(), 0..NAMES.len()))), 1..30),
    ) {
        let mut server = Unplugged::new(&["--max-commands", "0"]);
        let viewer = server.open(SocketAddr::from(([198, 51, 100, 1], 1)));
        let mut hosts: [Option<(ConnId, &str, &str)>; 4] = [None; 4];
        for (n, says) in steps {
            match (says, hosts[n]) {
                (Some((game, name)), known) => {
                    let (game, name) = (GAMES[game], NAMES[name]);
                    let conn = known.map_or_else(
                        || {
                            server.datagram(host(n), &wire::udp_register(Protocol::Modern));
                            server.open(host(n))
                        },
                        |(conn, ..)| conn,
                    );
                    let reg = (Protocol::Modern, wire::CLIENT_VERSION, data(game, name));
                    server.send(conn, &wire::register(reg.0, reg.1, &reg.2));
                    hosts[n] = Some((conn, game, name));
                }
                (None, Some((conn, ..))) => {
                    server.end(conn);
                    hosts[n] = None;
                }
                (None, None) => {}
            }
            for (game, name) in [("", ""), ("", "Ann"), ("Pong", ""), ("Worms", ""), ("Worms", "Bob")] {
                let fits = |wanted: &str, is: &str| wanted.is_empty() || wanted == is;
                let there = hosts.iter().enumerate().filter_map(|(n, h)| Some((n, (*h)?)));
                let fit = there.filter(|(_, (_, g, n))| fits(game, g) && fits(name, n));
                let expected: Vec<_> =
                    fit.map(|(n, (_, _, name))| (host(n).ip().to_string(), name.to_owned())).collect();
                for _ in 0..2 {
                    let told = lobby(&mut server, viewer, game, name);
                    prop_assert_eq!(&told, &expected, "lobby of {:?}, {:?}", game, name);
                }
            }
        }
    }
}
