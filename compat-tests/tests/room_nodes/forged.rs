//! What comes by another node from the endpoint of a player, and may be somebody else's.

use punchd::admission::Admission;
use punchd::dialect::rooms;

use super::*;

#[test]
fn two_forged_requests_take_no_place_of_who_uses_his_key() {
    // The place is at its own node, or at a third one.
    for at in [0, 2] {
        let mut world = World::of(3);
        let one = world.get_in(at, peer(1), "rh:one");
        let two = world.get_in(1, peer(2), "rh:two");
        let client = world.get_in(0, peer(3), &format!("jr:{}", one.room));
        let signs = format!("ka:{}", client.key);
        assert_eq!(world.answer(0, client.at, &signs), "ka");
        // At the node of the other room first, where nothing is known of it.
        let forged = format!("jr:{}", two.room);
        let made = world.enter(1, client.at, &forged);
        world.ask(0, client.at, &forged);
        world.pass(20);
        world.told(0, client.at);
        assert_eq!(world.answer(0, client.at, &signs), "ka");
        let told = world.told(at, one.at);
        assert!(!told.contains(&format!("cl:{}", client.id)), "{told:?}");
        // If it was the client itself, it goes there with the key.
        world.prove(&Place { node: 0, ..made.clone() });
        assert_eq!(world.answer(0, client.at, &format!("ka:{}", made.key)), "ka");
        world.pass(40_000);
        assert!(world.told(at, one.at).contains(&format!("cl:{}", client.id)));
    }
}

#[test]
fn a_forged_request_by_another_node_leads_no_notices_there() {
    let mut world = World::of(3);
    let host = world.get_in(1, peer(1), "rh:one");
    let client = world.get_in(0, peer(2), &format!("jr:{}", host.room));
    for place in [&host, &client] {
        world.told(place.node, place.at);
        for forged in [format!("jr:{}", host.room), "ka".into(), "lr:0123456789abcdef".into()] {
            world.ask(2, place.at, &forged);
        }
    }
    let other = world.get_in(1, peer(3), &format!("jr:{}", host.room));
    assert!(world.told(1, host.at).contains(&format!("cj:{}:198.51.3.7:40000", other.id)));
    world.ask(1, host.at, "rn:uno");
    world.pass(2000);
    assert_eq!(world.told(0, client.at), ["rn:uno"; 3]);
    // Who has come there is asked for his key, and shows it.
    assert_eq!(world.answer(2, client.at, "ka"), "er:ka:noroom");
    world.prove(&Place { node: 2, ..client.clone() });
    assert_eq!(world.answer(2, client.at, "ka"), "ka");
    world.told(2, client.at);
    world.ask(1, host.at, "rn:eins");
    assert_eq!(world.told(2, client.at), ["rn:eins"]);
}

#[test]
fn no_address_takes_the_way_of_others_to_another_node() {
    let mut world = World::of(2);
    let host = world.get_in(1, peer(1), "rh:one");
    let join = format!("jr:{}", host.room);
    let passed = |world: &mut World, from: &dyn Fn(u16) -> SocketAddr| {
        let before = world.messages;
        (0..20_000).for_each(|n| world.datagram(0, from(n), join.as_bytes()));
        // Each is answered, or not.
        world.messages - before
    };
    let flood = passed(&mut world, &|n| SocketAddr::new(peer(2).ip(), 1024 + n));
    assert!((1000..5000).contains(&flood), "{flood}");
    let client = world.get_in(0, peer(3), &join);
    assert_eq!(client.room, host.room);
    // Many addresses have what all have together.
    let flood = passed(&mut world, &|n| SocketAddr::from(([203, 0, (n >> 8) as u8, n as u8], 9)));
    assert!((7000..30_000).contains(&flood), "{flood}");
}

/// As many endpoints as are remembered that may be forged, and more.
fn flood(world: &mut World, n: usize, room: &str) {
    let join = format!("jr:{room}");
    for part in 0..5 {
        for i in 0..8000_u32 {
            let [_, a, b, c] = (part * 8000 + i).to_be_bytes();
            world.datagram(n, SocketAddr::from(([203, a, b, c], 9)), join.as_bytes());
        }
        world.pass(1000);
    }
}

#[test]
fn forged_requests_push_out_nothing_that_a_player_can_take_back() {
    for forged in ["rh:x", "lr"] {
        let mut world = World::of(2);
        let host = world.get_in(1, peer(1), "rh:one");
        let client = world.get_in(0, peer(2), &format!("jr:{}", host.room));
        world.ask(0, client.at, forged);
        world.pass(20);
        flood(&mut world, 0, &host.room);
        world.told(0, client.at);
        assert_eq!(world.answer(0, client.at, "ka"), "er:ka:noroom", "{forged}");
        world.prove(&client);
        assert_eq!(world.answer(0, client.at, "ka"), "ka", "{forged}");
    }
}

#[test]
fn nobody_moves_a_place_to_who_uses_his_key_at_another_node() {
    for is_kept in [true, false] {
        let mut world = World::of(3);
        let [away, one] = [(0, "away"), (1, "one")]
            .map(|(n, name)| world.get_in(n, peer(10 + n as u8), &format!("rh:{name}")));
        let client = world.get_in(0, peer(2), &format!("jr:{}", one.room));
        let signs = format!("ka:{}", client.key);
        // The attacker has a place of his own, at this node or at a third one.
        let own = world.get_in(0, peer(9), &format!("jr:{}", away.room));
        if is_kept {
            world.ask(0, own.at, "lr");
        }
        assert_eq!(world.answer(0, client.at, &signs), "ka");
        let moves = format!("rc:{}:{}", own.id, own.key);
        assert_eq!(world.answer(0, client.at, &moves), "er:rc:badrequest");
        assert_eq!(world.answer(0, client.at, &signs), "ka");
        let told = world.told(1, one.at);
        assert!(!told.contains(&format!("cl:{}", client.id)), "{told:?}");
    }
}

#[test]
fn nobody_is_said_to_be_kicked_out_of_a_room_that_others_have_led_him_into() {
    let mut world = World::of(2);
    let host = world.get_in(1, peer(1), "rh:one");
    let evil = world.get_in(0, peer(8), "rh:evil");
    let client = world.get_in(0, peer(2), &format!("jr:{}", host.room));
    world.ask(0, client.at, &format!("jr:{}", evil.room));
    world.pass(20);
    world.ask(0, evil.at, &format!("kc:ip:{}", client.at.ip()));
    world.told(0, client.at);
    assert_eq!(world.answer(0, client.at, "ka"), "er:ka:noroom");
    world.prove(&client);
    assert_eq!(world.answer(0, client.at, "ka"), "ka");
}

#[test]
fn who_is_kicked_is_told_so_each_time_that_he_asks() {
    let mut world = World::of(2);
    let host = world.get_in(1, peer(1), "rh:one");
    let client = world.get_in(0, peer(2), &format!("jr:{}", host.room));
    world.ask(1, host.at, &format!("kc:id:{}", client.id));
    world.pass(20);
    for _ in 0..3 {
        world.told(0, client.at);
        assert_eq!(world.answer(0, client.at, "ka"), "er:ka:kicked");
    }
}

#[test]
fn an_offer_of_another_node_is_taken_whatever_else_was_asked_for_since() {
    for has_place in [false, true] {
        let mut world = World::of(4);
        let [one, two, own] = [1, 2, 3].map(|n| world.get_in(n, peer(10 + n as u8), "rh:a"));
        let at = peer(2);
        if has_place {
            let client = world.get_in(0, at, &format!("jr:{}", own.room));
            assert_eq!(world.answer(0, at, &format!("ka:{}", client.key)), "ka");
        }
        let offered = world.enter(0, at, &format!("jr:{}", one.room));
        world.ask(0, at, &format!("jr:{}", two.room));
        world.pass(20);
        world.told(0, at);
        world.prove(&offered);
        assert_eq!(world.answer(0, at, &format!("ka:{}", offered.key)), "ka", "{has_place}");
    }
}

#[test]
fn what_one_part_of_a_network_asks_is_not_at_the_cost_of_the_others() {
    let mut world = World::of(2);
    let host = world.get_in(1, peer(1), "rh:one");
    let join = format!("jr:{}", host.room);
    let at = |subnet: u16, port: u16| {
        SocketAddr::from((std::net::Ipv6Addr::new(0x2001, 0xdb8, 1, subnet, 0, 0, 0, 1), port))
    };
    (0..20_000).for_each(|n| world.datagram(0, at(0, 1024 + n), join.as_bytes()));
    let before = world.messages;
    world.datagram(0, at(0x100, 7), join.as_bytes());
    assert!(world.messages > before, "it is passed on");
}

/// A room of an attacker of which the first node has heard from himself, and what moves it to somebody else.
fn room_to_be_moved(world: &mut World) -> String {
    let evil = world.get_in(2, peer(9), "rh:evil");
    world.ask(0, evil.at, &format!("jr:{}", evil.room));
    world.prove(&Place { node: 0, ..evil.clone() });
    format!("rc:{}:{}", evil.id, evil.key)
}

#[test]
fn nobody_moves_a_room_to_who_is_the_host_of_one_at_another_node() {
    let mut world = World::of(3);
    let host = world.get_in(0, peer(1), "rh:own");
    let moves = room_to_be_moved(&mut world);
    assert_eq!(world.answer(0, host.at, &moves), "er:rc:badrequest");
    assert_eq!(world.answer(0, host.at, "ka"), "ka");
    world.pass(40_000);
    assert!(world.listed(0, "").contains(&"own".into()));
    assert_eq!(world.answer(0, host.at, &format!("ka:{}", host.key)), "ka");
}

#[test]
fn a_room_that_others_move_to_a_client_takes_nothing_of_what_he_sends() {
    let mut world = World::of(3);
    let host = world.get_in(0, peer(1), "rh:own");
    let client = world.get_in(0, peer(2), &format!("jr:{}", host.room));
    let moves = room_to_be_moved(&mut world);
    world.ask(0, client.at, &moves);
    world.pass(20);
    world.told(0, client.at);
    assert_eq!(world.answer(0, client.at, "ka"), "er:ka:noroom");
    world.prove(&client);
    assert_eq!(world.answer(0, client.at, "ka"), "ka");
    world.pass(40_000);
    world.told(0, client.at);
    assert_eq!(world.answer(0, client.at, &format!("ka:{}", client.key)), "ka");
}

#[test]
fn a_place_that_others_have_moved_to_a_player_bars_nobody_the_way_back_by_its_use_of_a_key() {
    // The node of his place, and that of the attacker's.
    for (his, evil) in [(0, 2), (1, 2), (1, 0)] {
        let mut world = World::of(3);
        let host = world.get_in(his, peer(1), "rh:one");
        let away = world.get_in(evil, peer(8), "rh:evil");
        let player = world.get_in(0, peer(2), &format!("jr:{}", host.room));
        let own = world.get_in(0, peer(9), &format!("jr:{}", away.room));
        assert_eq!(world.answer(0, own.at, &format!("ka:{}", own.key)), "ka");
        world.ask(0, player.at, &format!("rc:{}:{}", own.id, own.key));
        world.pass(20);
        world.told(0, player.at);
        assert_eq!(world.answer(0, player.at, "ka"), "er:ka:noroom", "{his} {evil}");
        world.prove(&player);
        assert_eq!(world.answer(0, player.at, &format!("ka:{}", player.key)), "ka");
    }
}

#[test]
fn who_is_let_in_with_a_key_of_the_server_comes_back_through_a_flood_as_well() {
    let admission = Admission::of(vec!["sesame".into()], Vec::new());
    let rooms = rooms::Config { admission, ..rooms::Config::default() };
    let mut world = World::with(vec![Config { rooms, ..Config::default() }; 2]);
    let ask = |world: &mut World, n, at, text: &str| world.ask(n, at, &format!("k:sesame:{text}"));
    let field = |told: &[String], begin: &str, n: usize| {
        let line = told.iter().find(|line| line.starts_with(begin)).unwrap();
        line.split(':').nth(n).unwrap().to_owned()
    };
    let host = ask(&mut world, 1, peer(1), "rh:one");
    world.pass(20);
    let join = format!("jr:{}", field(&host, "rh:", 1));
    let told = ask(&mut world, 0, peer(2), &join);
    let back = format!("rc:{}:{}", field(&told, "rID:", 1), field(&told, "rID:", 2));
    assert_eq!(ask(&mut world, 0, peer(2), &back).len(), 2);
    // Somebody else leads it away, and takes what its address may ask of other nodes.
    ask(&mut world, 0, peer(2), "rh:x");
    let flood = format!("k:sesame:{join}");
    for n in 0..20_000 {
        world.datagram(0, SocketAddr::new(peer(2).ip(), 1024 + n), flood.as_bytes());
    }
    assert_eq!(ask(&mut world, 0, peer(2), "ka"), ["er:ka:noroom"]);
    assert_eq!(ask(&mut world, 0, peer(2), &back).len(), 2);
    assert_eq!(ask(&mut world, 0, peer(2), "ka"), ["ka"]);
}
