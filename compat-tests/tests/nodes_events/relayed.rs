//! Members of a room who do not reach each other are relayed by the node of the one, of the other, or by any.

use compat_tests::unplugged_nodes::{full, relay};
use punchd::introductions::relay::{Bounds, Order, sessions};
use punchd::server::Config;
use serde_json::json;

use super::World;

/// A node with a relay, if it has any.
fn relaying(n: usize, bounds: Option<Bounds>) -> Config {
    let relay = bounds.map(|bounds| sessions::Config { is_apart: false, ..relay(n, bounds) });
    Config { relay, ..Config::default() }
}

#[test]
fn who_fails_is_relayed_by_his_node_by_that_of_the_host_or_by_any() {
    let some = Some(Bounds::default());
    let full = Some(full());
    for (of_host, of_player, other, want) in [
        (None, None, some, Some(3)),
        (some, some, some, Some(2)),
        (some, full, some, Some(1)),
        (full, full, some, Some(3)),
        (None, None, full, None),
    ] {
        let nodes = [of_host, of_player, other].into_iter().enumerate();
        let mut world = World::with(nodes.map(|(n, relay)| relaying(n, relay)).collect());
        let (amy, bob) = (world.login(0, "amy"), world.login(1, "bob"));
        let room = world.room(&amy, json!({"name": "r"}));
        world.ask(&bob, "join_room", json!({"room": room})).unwrap();
        world.socket(&amy, 2000);
        world.socket(&bob, 3000);
        assert_eq!((world.hears(&amy, "introduce")["port"].clone()), 3000);
        assert_eq!((world.hears(&bob, "introduce")["port"].clone()), 2000);
        let result = json!({"type": "confirm_pass", "name": "punch_result", "pass_id": 4,
                            "data": {"id": "amy", "ok": false}});
        world.say(&bob, &result);
        world.pass(20);
        let mut introduced = |peer| {
            let heard = world.heard(peer);
            let event = heard.iter().find(|event| event["name"] == "introduce")?;
            Some(event["data"]["ip"].as_str()?.to_owned())
        };
        let want = want.map(|n: u8| format!("192.0.2.{n}"));
        assert_eq!((introduced(&amy), introduced(&bob)), (want.clone(), want.clone()));
        let journal = world.servers[0].as_ref().unwrap().journal();
        assert_eq!(journal.total().failed, u64::from(want.is_none()));
    }
}

#[test]
fn a_process_that_takes_over_knows_who_is_relayed_and_who_waits_for_it() {
    let all = [0, 1, 2].into_iter().flat_map(|n| [0, 1, 2].map(|when| (n, when)));
    for (n, when) in all {
        let nodes = [None, None, Some(Bounds::default())].into_iter().enumerate();
        let mut world = World::with(nodes.map(|(n, relay)| relaying(n, relay)).collect());
        let (amy, bob) = (world.login(0, "amy"), world.login(1, "bob"));
        let room = world.room(&amy, json!({"name": "r"}));
        world.ask(&bob, "join_room", json!({"room": room})).unwrap();
        world.socket(&amy, 2000);
        world.socket(&bob, 3000);
        assert_eq!((world.hears(&amy, "introduce")["port"].clone()), 3000);
        assert_eq!((world.hears(&bob, "introduce")["port"].clone()), 2000);
        if when == 0 {
            world.take_over(n);
        }
        // The room is at the first node.
        world.net.cuts.extend((when == 1).then_some((2, 0)));
        let result = json!({"type": "confirm_pass", "name": "punch_result", "pass_id": 4,
                            "data": {"id": "amy", "ok": false}});
        world.say(&bob, &result);
        world.pass(20);
        if when == 1 {
            world.take_over(n);
            world.net.cuts.clear();
        }
        world.pass(600);
        for peer in [&amy, &bob] {
            let heard = world.heard(peer);
            let introduced = heard.iter().filter(|event| event["name"] == "introduce");
            let ips: Vec<_> = introduced.map(|event| event["data"]["ip"].clone()).collect();
            assert_eq!(ips, ["192.0.2.3"], "{n} {when}: {heard:?}");
        }
        if when == 2 {
            world.take_over(n);
        }
        world.pass(3000);
        let mut orders = Vec::new();
        world.act(2, |server, _, _| orders.extend(server.new_sessions()));
        assert!(matches!(orders[..], [Order::Open(_)]), "{n} {when}: {orders:?}");
        assert_eq!(world.servers[0].as_ref().unwrap().relay().far(), 1, "{n} {when}");
    }
}
