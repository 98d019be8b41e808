//! Who fails is relayed by his node, by that of the room, or by any.

use compat_tests::unplugged_nodes::{full, relay};
use punchd::introductions::relay::{Bounds, Order, sessions};

use super::*;

/// A node with a relay, if it has any; the last does nothing else.
fn relaying(n: usize, bounds: Option<Bounds>) -> Config {
    let relay = bounds.map(|bounds| sessions::Config { is_apart: false, ..relay(n, bounds) });
    let mut config = Config { relay, ..Config::default() };
    if n == 2 {
        config.dialects.clear();
    }
    config
}

#[test]
fn who_fails_is_relayed_by_his_node_by_that_of_the_room_or_by_any() {
    let some = Some(Bounds::default());
    let full = Some(full());
    for (of_client, of_room, alone, want) in [
        (None, None, some, Some(3)),
        (some, some, some, Some(1)),
        (full, some, some, Some(2)),
        (None, some, some, Some(2)),
        (full, full, some, Some(3)),
        (None, None, full, None),
    ] {
        let relays = [of_client, of_room, alone].into_iter().enumerate();
        let mut world = World::with(relays.map(|(n, bounds)| relaying(n, bounds)).collect());
        let host = world.get_in(1, peer(1), "rh:one");
        let client = world.get_in(0, peer(2), &format!("jr:{}", host.room));
        world.told(1, host.at);
        world.told(0, client.at);
        let failed = format!("pc:{}:fail", client.id);
        let told = world.ask(0, client.at, &failed);
        // The host was told of the client a moment ago, and is told the next thing half a second later.
        world.pass(700);
        let of_host = world.told(1, host.at);
        let all = [&told[..], &[String::from("|")], &of_host[..]].concat();
        let [for_client, for_host] =
            [([told, world.told(0, client.at)].concat(), &host.id), (of_host, &client.id)].map(
                |(told, other)| {
                    let line = told.iter().find(|line| line.contains(&format!("{other}:192.0.2.")));
                    line.map(|line| line.rsplit(':').nth(1).unwrap().to_owned())
                },
            );
        let want = want.map(|n| format!("192.0.2.{n}"));
        assert_eq!((&for_client, &for_host), (&want, &want), "{all:?}");
        // How it ended is known as without a relay.
        let journal = world.servers[1].as_ref().unwrap().journal();
        assert_eq!(journal.total().failed, u64::from(want.is_none()));
        if let Some(want) = want {
            // It is the same for who asks again.
            let told = world.ask(0, client.at, &format!("jr:{}", host.room)).concat();
            assert!(told.contains(&want), "{told}");
        }
    }
}

#[test]
fn a_process_that_takes_over_knows_who_is_relayed_and_who_waits_for_it() {
    for (n, when) in [0, 1, 2].into_iter().flat_map(|n| [0, 1, 2].map(|when| (n, when))) {
        let relays = [None, None, Some(Bounds::default())].into_iter().enumerate();
        let mut world = World::with(relays.map(|(n, bounds)| relaying(n, bounds)).collect());
        let host = world.get_in(1, peer(1), "rh:one");
        let client = world.get_in(0, peer(2), &format!("jr:{}", host.room));
        world.pass(700);
        world.told(1, host.at);
        world.told(0, client.at);
        if when == 0 {
            world.take_over(n);
        }
        // The room is at the second node.
        world.net.cuts.extend((when == 1).then_some((2, 1)));
        let mut told = world.ask(0, client.at, &format!("pc:{}:fail", client.id));
        if when == 1 {
            world.take_over(n);
            world.net.cuts.clear();
        }
        world.pass(700);
        told.extend(world.told(0, client.at));
        let of_host = world.told(1, host.at);
        for (told, other) in [(told, &host.id), (of_host, &client.id)] {
            let at_relay = format!("{other}:192.0.2.3");
            assert!(told.iter().any(|line| line.contains(&at_relay)), "{n} {when}: {told:?}");
        }
        if when == 2 {
            world.take_over(n);
        }
        world.pass(3000);
        // It is the same session for who asks again.
        world.told(0, client.at);
        let told = world.ask(0, client.at, &format!("jr:{}", host.room)).concat();
        assert!(told.contains("192.0.2.3"), "{n} {when}: {told}");
        let mut orders = Vec::new();
        world.act(2, |server, _, _| orders.extend(server.new_sessions()));
        assert!(matches!(orders[..], [Order::Open(_)]), "{n} {when}: {orders:?}");
    }
}
