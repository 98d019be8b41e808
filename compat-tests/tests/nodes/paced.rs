//! A node says no more than others take of it, however much comes and goes there.

use std::time::Duration;

use super::*;

/// Hosts of a mass: what they say of themselves in a second is several times what a node takes.
const MASS: u16 = 500;

#[test]
fn a_mass_of_hosts_that_come_and_go_takes_nobody_else_from_the_lobby_of_other_nodes() {
    let mut world = World::two();
    world.udp(0, at("203.0.113.1:2000"), b"reg");
    let host = world.host(0, ip("203.0.113.1"));
    world.pass(5);
    let mut data = <[String; 8]>::default();
    data.iter_mut().skip(1).for_each(|text| *text = "x".repeat(4000));
    data[0] = "mass".into();
    let mass = wire::reg2("1.2.4", &data);
    for round in 0..100 {
        let addrs = (0..MASS).map(|n| IpAddr::from([10, round, (n >> 8) as u8, n as u8]));
        let conns: Vec<ConnId> = addrs.map(|addr| world.tcp(0, addr, &mass)).collect();
        for step in 0..5 {
            world.pass(5);
            let seen = world.lobby_of(1, "game");
            assert_eq!(seen, ["203.0.113.1"], "in step {step} of round {round}");
        }
        let client =
            world.join(1, SocketAddr::new([198, 51, 100, round].into(), 3000), "203.0.113.1");
        assert_eq!(world.told(client), ["203.0.113.1:2000"], "in round {round}");
        // One that is new is seen by the other node before all of the mass.
        let new = world.host(0, IpAddr::from([203, 0, 113, 10 + round]));
        world.pass(60);
        assert_eq!(world.lobby_of(1, "game").len(), 2, "in round {round}");
        world.end(0, new);
        conns.into_iter().for_each(|conn| world.end(0, conn));
        world.pass(5);
        assert_eq!(world.lobby_of(1, "mass"), Vec::<String>::new(), "those that are gone");
        world.pass(5);
        world.told(host);
    }
    // All have the same at last.
    world.pass(10_000);
    (0..2).for_each(|n| assert_eq!(world.lobby(n, "198.51.100.9"), ["203.0.113.1"]));
    assert!(world.bytes < 40_000_000, "{} bytes in 20 s", world.bytes);
}

#[test]
fn a_mass_of_questions_that_have_waited_long_enough_keeps_nobody_waiting() {
    let mut world = World::two();
    (0..200).for_each(|n| _ = world.host(1, IpAddr::from([203, 0, 113, n])));
    world.pass(50);
    let clients: Vec<ConnId> = (0..200)
        .map(|n| {
            let client = SocketAddr::from(([198, 51, 100, n], 3000));
            world.join(0, client, &format!("203.0.113.{n}"))
        })
        .collect();
    // The ports of their hosts have not come.
    world.pass(2499);
    world.now = world.now + Duration::from_millis(1);
    world.act(1, |server, now, out| server.on_wakeup(now, out));
    let answered =
        |world: &mut World| clients.iter().map(|client| world.told(*client).len()).sum::<usize>();
    let first = answered(&mut world);
    assert!((1..=64).contains(&first), "{first} in one turn");
    world.pass(5);
    assert_eq!(first + answered(&mut world), 200);
}
