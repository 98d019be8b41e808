//! Which UDP packet belongs to which connection, if several players share an address: nothing but
//! the time tells. With networks that take as long as real ones.

use std::net::SocketAddr;
use std::time::Duration;

use compat_tests::sim::rng::Rng;
use compat_tests::sim::wire;
use compat_tests::unplugged::Unplugged;

/// What arrives at the server.
#[derive(Clone, Copy, Debug)]
enum Arrival {
    Datagram,
    /// The last packet of the handshake, with the first request, so long after the first.
    Connection(Duration),
}

fn endpoint(addr: [u8; 4], port: u16) -> SocketAddr {
    (addr, port).into()
}

/// Players of one address join one after another. Tells of how many the host is told the right
/// port at their own request, and of how many in all.
fn joins(seed: u64, round_trip: u64, per_second: u64) -> (u64, u64) {
    const PLAYERS: u16 = 50;
    let mut rng = Rng::new(seed);
    let mut server = Unplugged::new(&["--notify-gap=0"]);
    let host = endpoint([203, 0, 113, 1], 4000);
    server.datagram(host, &wire::datagram(b"reg\n\0"));
    let host_conn = server.open_and_send(host, &wire::reg2("1.2.4", &Default::default()));

    let mut arrivals = Vec::new();
    let mut starts = 1_000_000;
    for player in 0..PLAYERS {
        // Some are nearer than others, and no two packets take equally long.
        let way = round_trip * rng.within(700..1000) / 2;
        let mut jitter = || rng.within(0..2000);
        let (datagram, syn) = (starts + way + jitter(), starts + way + jitter());
        let opened = syn + 2 * way + jitter();
        arrivals.push((datagram, player, Arrival::Datagram));
        let measured = Duration::from_micros(opened - syn);
        arrivals.push((opened, player, Arrival::Connection(measured)));
        starts += rng.within(0..2_000_000 / per_second);
    }
    arrivals.sort_by_key(|(at, player, _)| (*at, *player));

    let (mut time, mut right) = (0, 0);
    let mut asking = Vec::new();
    for (at, player, arrival) in arrivals {
        server.pass(Duration::from_micros(at - time));
        time = at;
        let from = endpoint([203, 0, 113, 2], 20_000 + player);
        match arrival {
            Arrival::Datagram => server.datagram(from, &wire::datagram(b"connect\n\0")),
            Arrival::Connection(measured) => {
                let conn = server.open_after(measured, endpoint([203, 0, 113, 2], 50_000));
                server.send(conn, &wire::connect("203.0.113.1"));
                asking.push((conn, from.port()));
            }
        }
        let told = server.heard(host_conn).concat();
        asking.retain(|(conn, port)| {
            let is_answered = !server.heard(*conn).is_empty();
            if is_answered {
                right += u64::from(told.ends_with(format!("\0{port}\0").as_bytes()));
                server.end(*conn);
            }
            !is_answered
        });
    }
    (right, PLAYERS.into())
}

#[test]
fn players_behind_one_address_are_told_apart_at_any_round_trip() {
    for round_trip in [0, 50, 150, 300] {
        for per_second in [1, 5, 20] {
            let seeds = (0..40).map(|seed| joins(seed, round_trip, per_second));
            let (right, all) = seeds.fold((0, 0), |sum, more| (sum.0 + more.0, sum.1 + more.1));
            let share = 100.0 * right as f64 / all as f64;
            println!("{round_trip} ms, {per_second} joins a second: {share:.1} % right of {all}");
            assert!(per_second > 5 || share >= 99.0, "{round_trip} ms, {per_second} a second");
        }
    }
}
