//! Who does not get through is relayed by the client's node, by that of the host, or by any.

use compat_tests::unplugged_nodes::{full, relay};
use punchd::dialect::Via;
use punchd::introductions::PublicIps;
use punchd::introductions::relay::{Bounds, Order, sessions};

use super::*;

/// Nodes with relays at 192.0.2.n+1, if they have any; the last does nothing else.
fn world(relays: [Option<Bounds>; 3]) -> World {
    let config = |(n, bounds): (usize, Option<Bounds>)| {
        let relay = bounds.map(|bounds| relay(n, bounds));
        let alternates_from = Some(1);
        let mut config = Config { relay, alternates_from, ..Config::default() };
        if n == 2 {
            config.dialects.clear();
        }
        config
    };
    World::with(relays.into_iter().enumerate().map(config).collect())
}

/// The address at which a client was told last that the other is.
fn last_told(world: &mut World, client: &Client) -> Option<String> {
    let told = instructed(&world.told(client));
    told.last().map(|(_, at, ..)| at.rsplit_once(':').unwrap().0.to_owned())
}

/// How many introductions all nodes together know to have worked directly, and to have failed.
fn counted(world: &World) -> (u64, u64) {
    let all = world.servers.iter().flatten().map(|node| node.journal().total());
    all.fold((0, 0), |(direct, failed), of| (direct + of.direct, failed + of.failed))
}

/// A client behind a NAT that gives it a port at random for each whom it sends to, as it has shown before.
fn behind_symmetric(world: &mut World, n: usize, from: SocketAddr) -> Client {
    let request = [&b"\0\x01\0\0\x21\x12\xa4\x42"[..], &[7; 12]].concat();
    for (socket, port) in [(0, from.port()), (1, 51_234)] {
        let via = Via { socket, ..Via::default() };
        let from = SocketAddr::new(from.ip(), port);
        world.act(n, |server, now, out| server.on_datagram(now, via, from, &request, out));
    }
    world.sent.clear();
    world.client(n, from)
}

/// A relay of each node, and which of them forwards for a client of the first and a host of the second.
fn cases() -> [([Option<Bounds>; 3], Option<usize>); 9] {
    let (some, full) = (Some(Bounds::default()), Some(full()));
    [
        ([some, None, None], Some(0)),
        ([None, some, None], Some(1)),
        ([None, None, some], Some(2)),
        ([some, some, some], Some(0)),
        ([full, some, some], Some(1)),
        ([None, some, some], Some(1)),
        ([full, full, some], Some(2)),
        ([None, None, full], None),
        ([None, None, None], None),
    ]
}

/// The same cases with the client at this node, and the host at the other one or at the same.
fn cases_at(
    client: usize,
    host: usize,
) -> impl Iterator<Item = ([Option<Bounds>; 3], Option<usize>)> {
    let swapped = move |n: usize| if client == 1 && n < 2 { 1 - n } else { n };
    cases().into_iter().filter_map(move |(relays, want)| {
        // At one node there is no relay of the other's to be preferred.
        let is_clear = client != host || relays[1].is_none();
        is_clear.then(|| ([0, 1, 2].map(|n| relays[swapped(n)]), want.map(swapped)))
    })
}

#[test]
fn who_does_not_get_through_is_relayed_by_any_node() {
    // The node of the lower ID sees to the relay: here it is that of the client, and that of the host.
    for (client, host) in [(0, 1), (1, 0), (0, 0)] {
        for (relays, want) in cases_at(client, host) {
            let mut world = world(relays);
            let [one, other] = [world.client(client, at(1)), world.client(host, at(2))];
            world.connect(&one, &other.id, 1);
            assert_eq!(instructed(&world.told(&one))[0].1, other.at.to_string());
            assert_eq!(instructed(&world.told(&other))[0].1, one.at.to_string());
            world.pass(6000);
            world.connect(&one, &other.id, 2);
            world.pass(20);
            let relay = want.map(|n| format!("192.0.2.{}", n + 1));
            for (client, peer) in [(&one, &other), (&other, &one)] {
                let told = instructed(&world.told(client));
                let [(_, public, _, attempt)] = &told[..] else { panic!("{relays:?}: {told:?}") };
                let ip = relay.clone().unwrap_or_else(|| peer.at.ip().to_string());
                assert!(public.starts_with(&format!("{ip}:")), "{relays:?}: {public}");
                assert_eq!(*attempt, if want.is_some() { 3 } else { 2 });
            }
            let expected = [0, 1, 2].map(|n| usize::from(want == Some(n)));
            assert_eq!(world.relayed(), expected, "{relays:?}");
            // The other one wants it again: the same session.
            for n in 0..2 {
                world.pass(6000);
                world.connect([&other, &one][n], [&one.id, &other.id][n], 3);
                world.pass(20);
                for (client, peer) in [(&one, &other), (&other, &one)] {
                    let ip = relay.clone().unwrap_or_else(|| peer.at.ip().to_string());
                    assert_eq!(last_told(&mut world, client), Some(ip), "{relays:?}");
                }
                assert_eq!(world.relayed(), expected, "{relays:?}");
            }
        }
    }
}

#[test]
fn who_does_not_reach_the_host_of_a_lobby_has_as_long_again_at_a_relay() {
    for (at_node, host_at) in [(0, 1), (1, 0)] {
        for (relays, want) in cases_at(at_node, host_at) {
            let mut world = world(relays);
            let host = world.client(host_at, at(1));
            let lobby = world.create(&host, "one", 4);
            let client = world.client(at_node, at(2));
            world.ask_to_join(&client, &lobby);
            world.skip(&[&client, &host]);
            world.pass(11_500);
            let Some(want) = want else {
                // As long as there may be a relay: nobody has room.
                let is_one = relays.iter().any(Option::is_some);
                world.pass(if is_one { 11_500 } else { 0 });
                let told = world.told(&client);
                assert_eq!(errors(&told), ["Failed to establish connection with lobby host"]);
                assert!(instructed(&told).iter().all(|told| told.1 == host.at.to_string()));
                assert_eq!(counted(&world), (0, 1), "{relays:?}");
                continue;
            };
            let relay = format!("192.0.2.{}:", want + 1);
            for one in [&client, &host] {
                let told = world.told(one);
                assert!(instructed(&told)[0].1.starts_with(&relay), "{relays:?}: {told:?}");
                assert_eq!(errors(&told), Vec::<String>::new());
            }
            world.pass(11_500);
            let told = world.told(&client);
            assert_eq!(errors(&told), ["Failed to establish connection with lobby host"]);
            // Who meets it there is in.
            world.pass(1000);
            world.ask_to_join(&client, &lobby);
            world.pass(20);
            let told = instructed(&world.told(&client));
            assert!(told[0].1.starts_with(&relay), "{relays:?}: {told:?}");
            world.ready(&host, &lobby, &client);
            assert_eq!(world.lobbies(&client)[0].current_players, 2);
            // What the relay passes on counts.
            assert_eq!(counted(&world), (0, 0), "{relays:?}");
        }
    }
}

#[test]
fn two_whose_nats_lead_nowhere_are_relayed_at_once() {
    for (at_node, host_at) in [(0, 1), (1, 0)] {
        for (relays, want) in cases_at(at_node, host_at) {
            let mut world = world(relays);
            let one = behind_symmetric(&mut world, at_node, at(1));
            let other = behind_symmetric(&mut world, host_at, at(2));
            world.connect(&one, &other.id, 1);
            world.pass(20);
            for (client, peer) in [(&one, &other), (&other, &one)] {
                let told = instructed(&world.told(client));
                let [(_, public, ..)] = &told[..] else { panic!("{relays:?}: {told:?}") };
                let relay = want.map(|n| format!("192.0.2.{}:", n + 1));
                let at = relay.unwrap_or_else(|| format!("{}:", peer.at.ip()));
                assert!(public.starts_with(&at), "{relays:?}: {public}");
            }
        }
    }
}

#[test]
fn if_the_node_that_is_asked_dies_another_relays_or_none() {
    let some = Some(Bounds::default());
    for (client, host) in [(0, 1), (1, 0), (0, 0)] {
        for first in [None, some] {
            // Who is a relay alone is asked before others at which neither is.
            let (relays, dies, left) = match first {
                None => ([None, None, some], 2, None),
                Some(_) if client == host => ([None, some, some], 2, Some(1)),
                Some(_) => continue,
            };
            let mut world = world(relays);
            let [one, other] = [world.client(client, at(1)), world.client(host, at(2))];
            world.connect(&one, &other.id, 1);
            world.pass(6000);
            world.skip(&[&one, &other]);
            world.kill(dies);
            world.connect(&one, &other.id, 2);
            world.pass(20);
            assert_eq!((world.told(&one), world.told(&other)), (vec![], vec![]));
            // It is not known to be dead yet.
            world.pass(800);
            for (client, peer) in [(&one, &other), (&other, &one)] {
                let relay = left.map(|n: usize| format!("192.0.2.{}", n + 1));
                let want = relay.unwrap_or_else(|| peer.at.ip().to_string());
                assert_eq!(last_told(&mut world, client), Some(want), "{client:?}");
            }
        }
    }
}

#[test]
fn ipv4_and_ipv6_meet_where_a_node_has_a_relay_for_both() {
    let both = || {
        let told =
            PublicIps { v4: Some([192, 0, 2, 1].into()), v6: Some("2001:db8::1".parse().unwrap()) };
        let ports = 20_000..=20_063;
        let relay = sessions::Config { told, is_apart: true, ports, bounds: Bounds::default() };
        Config { relay: Some(relay), ..Config::default() }
    };
    for at_node in [0, 1] {
        for relay in [None, Some(0), Some(1), Some(2)] {
            let config = |n| if relay == Some(n) { both() } else { Config::default() };
            let mut world = World::with((0..3).map(config).collect());
            let six = world.client(at_node, "[2001:db8:5::7]:4000".parse().unwrap());
            let four = world.client(1 - at_node, at(1));
            world.create(&four, "one", 4);
            assert_eq!(world.listed(&six).len(), usize::from(relay.is_some()), "{relay:?}");
            world.connect(&six, &four.id, 1);
            world.pass(20);
            let told = world.told(&six);
            if relay.is_none() {
                assert!(errors(&told)[0].starts_with("No way to client"), "{told:?}");
                continue;
            }
            assert!(instructed(&told)[0].1.starts_with("2001:db8::1:"), "{relay:?}: {told:?}");
            let told = world.told(&four);
            assert!(instructed(&told)[0].1.starts_with("192.0.2.1:"), "{relay:?}: {told:?}");
        }
    }
}

#[test]
fn a_process_that_takes_over_knows_who_is_relayed_and_who_waits_for_it() {
    for (client, host) in [(0, 1), (1, 0), (0, 0)] {
        for (n, when) in [0, 1, 2].into_iter().flat_map(|n| [0, 1, 2].map(|when| (n, when))) {
            let case = format!("{client} {host}: {n} {when}");
            let mut world = world([None, None, Some(Bounds::default())]);
            let [one, other] = [world.client(client, at(1)), world.client(host, at(2))];
            world.connect(&one, &other.id, 1);
            world.pass(6000);
            world.skip(&[&one, &other]);
            if when == 0 {
                world.take_over(n);
            }
            world.net.cuts.extend([(2, 0), (2, 1)].into_iter().filter(|_| when == 1));
            world.connect(&one, &other.id, 2);
            world.pass(20);
            if when == 1 {
                world.take_over(n);
                world.net.cuts.clear();
            }
            world.pass(600);
            for client in [&one, &other] {
                assert_eq!(last_told(&mut world, client).as_deref(), Some("192.0.2.3"), "{case}");
            }
            if when == 2 {
                world.take_over(n);
            }
            world.pass(6000);
            // It is the same session for who wants it again.
            world.connect(&other, &one.id, 3);
            world.pass(100);
            for client in [&one, &other] {
                assert_eq!(last_told(&mut world, client).as_deref(), Some("192.0.2.3"), "{case}");
            }
            let mut orders = Vec::new();
            world.act(2, |server, _, _| orders.extend(server.new_sessions()));
            assert!(matches!(orders[..], [Order::Open(_)]), "{case}: {orders:?}");
        }
    }
}
