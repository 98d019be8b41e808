//! Every error, with its text.

use super::*;

#[test]
fn nobody_is_introduced_across_families() {
    let mut world = World::new();
    let (host, guest) = ("[2001:db8::1]:4000".parse().unwrap(), addr(2));
    let (host_id, guest_id) = (world.client(host), world.client(guest));
    let lobby = world.lobby(host, &host_id, 8);
    let why = |whom: &str| error(&format!("No way to {whom}: it has IPv6, you have IPv4"));
    let connect = pb().m(5, pb().s(1, &host_id).s(2, &guest_id));
    let refused = why(&format!("client {host_id}"));
    assert_eq!(world.say(guest, connect), [(guest, refused)]);
    let refused = why("the host of the lobby");
    assert_eq!(world.say(guest, join(&lobby, &guest_id)), [(guest, refused)]);
    let list = |world: &mut World, at| {
        let [(_, Pb(bytes))] = &world.say(at, pb().m(15, pb()))[..] else { panic!() };
        match Message::decode(&bytes[..]).unwrap().content {
            Some(Content::LobbyListResponse(list)) => list.lobbies.len(),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!((list(&mut world, host), list(&mut world, guest)), (1, 0));
}

const NOBODY: &str = "01234567-89ab-4def-8123-456789abcdef";

#[test]
fn who_is_not_registered_hears_so() {
    let mut world = World::new();
    let id = world.client(addr(1));
    let lobby = world.lobby(addr(1), &id, 8);
    for who in [NOBODY, "", "x", &id] {
        for request in [create(who, "Game", 8), join(&lobby, who), leave(&lobby, who)] {
            let answers = world.say(addr(2), request.clone());
            assert_eq!(answers, [(addr(2), error("Client not registered"))], "{request:?}");
        }
    }
}

#[test]
fn who_asks_for_nobody_hears_so() {
    let mut world = World::new();
    let id = world.client(addr(1));
    for whom in [NOBODY, "someone"] {
        let request = pb().m(5, pb().s(1, whom).s(2, &id));
        let expected = error(&format!("Destination client {whom} not found"));
        assert_eq!(world.say(addr(1), request), [(addr(1), expected)]);
    }
    // A source that is not known hears nothing.
    assert_eq!(world.say(addr(1), pb().m(5, pb().s(1, &id).s(2, NOBODY))), []);
}

#[test]
fn lobbies_that_are_not_or_are_full() {
    let mut world = World::new();
    let ids: Vec<String> = (1..=4).map(|n| world.client(addr(n))).collect();
    let lobby = world.lobby(addr(1), &ids[0], 2);
    for (request, text) in [
        (join(NOBODY, &ids[1]), "Lobby not found"),
        (leave(NOBODY, &ids[1]), "Lobby not found"),
        (leave(&lobby, &ids[1]), "Client not in lobby"),
    ] {
        assert_eq!(world.say(addr(2), request), [(addr(2), error(text))]);
    }
    // The place is taken as soon as somebody is about to meet the host.
    assert_eq!(world.say(addr(2), join(&lobby, &ids[1])).len(), 4);
    let not_found = |n| (format!("natpunch: {} refused: Lobby not found: {NOBODY}", addr(n)), 1);
    assert_eq!(world.shared.unmet(), [not_found(2)]);
    let full = [(addr(3), error("Lobby is full"))];
    assert_eq!(world.say(addr(3), join(&lobby, &ids[2])), full);
    world.say(addr(1), ready(&lobby, &ids[1]));
    assert_eq!(world.say(addr(3), join(&lobby, &ids[2])), full);
    // Who leaves makes room.
    world.say(addr(2), leave(&lobby, &ids[1]));
    assert_eq!(world.say(addr(3), join(&lobby, &ids[2])).len(), 4);
    world.say(addr(3), leave(&lobby, &ids[2]));
    assert_eq!(world.say(addr(4), join(&lobby, &ids[3])).len(), 4);
}

/// It is for the log; the answer is as long as ever.
#[test]
fn an_id_that_is_made_up_fills_no_line() {
    let mut world = World::new();
    let id = world.client(addr(1));
    let long = "\u{2028}".repeat(200);
    let answer = world.say(addr(1), pb().m(5, pb().s(1, &long).s(2, &id).n(4, 1)));
    assert_eq!(answer.len(), 1);
    let unmet = world.shared.unmet();
    let [(why, _)] = &unmet[..] else { panic!("{unmet:?}") };
    assert!(why.escape_debug().count() <= 220, "{why:?}");
}

#[test]
fn who_does_not_meet_the_host_in_time_hears_so() {
    let mut world = World::new();
    let ids: Vec<String> = (1..=3).map(|n| world.client(addr(n))).collect();
    let lobby = world.lobby(addr(1), &ids[0], 2);
    world.say(addr(2), join(&lobby, &ids[1]));
    for _ in 0..10 {
        assert_eq!(world.wait(Duration::from_secs(1)), []);
        (1..=3)
            .for_each(|n| assert_eq!(world.say(addr(n), keep_alive(&ids[usize::from(n) - 1])), []));
    }
    assert_eq!(world.wait(Duration::from_millis(999)), []);
    assert_eq!(world.wait(Duration::from_millis(1)), both(addr(2), failed()));
    // Too late; and the place is free again.
    assert_eq!(world.say(addr(1), ready(&lobby, &ids[1])), []);
    assert_eq!(world.say(addr(3), join(&lobby, &ids[2])).len(), 4);
}

/// Nothing shows that the link of a host is down but that nothing comes from it.
#[test]
fn who_joins_a_host_that_has_vanished_is_counted() {
    for (seconds_before, program) in [(0, false), (9, false), (20, false), (0, true), (20, true)] {
        let mut world = World::new();
        let ids = [1, 2].map(|n| world.client(addr(n)));
        let lobby = world.lobby(addr(1), &ids[0], 4);
        if program {
            world.say(addr(2), pb().m(15, pb().s(1, "req_1234567890123456789")));
        }
        let stay = |world: &mut World, seconds: u32| {
            for _ in 0..seconds {
                world.wait(Duration::from_secs(1));
                world.say(addr(2), keep_alive(&ids[1]));
            }
        };
        stay(&mut world, seconds_before);
        let joined = world.say(addr(2), join(&lobby, &ids[1])).len();
        stay(&mut world, 60);
        println!("{seconds_before} {program} {joined}: {}", world.shared.counted());
        let is_known = joined > 1;
        let wanted = if is_known { "0 0 1" } else { "0 0 0" };
        assert_eq!(world.shared.counted(), wanted, "{seconds_before} {program}");
    }
}

#[test]
fn who_asks_for_several_has_a_row_for_each() {
    let mut world = World::new();
    let id = world.client(addr(1));
    for whom in ["ann", "bob", "ann"] {
        world.say(addr(1), pb().m(5, pb().s(1, whom).s(2, &id)));
    }
    let why = |whom| format!("natpunch: {} refused: Destination client {whom} not found", addr(1));
    assert_eq!(world.shared.unmet(), [(why("ann"), 2), (why("bob"), 1)]);
}

#[test]
fn bounds_are_told() {
    let mut world = World::new();
    let id = world.client(addr(1));
    let answers = world.say(addr(1), create(&id, &"x".repeat(65), 8));
    assert_eq!(answers, [(addr(1), error("Lobby name is too long"))]);
    for n in 0..limits::NATPUNCH_LOBBIES_PER_CLIENT {
        world.lobby(addr(1), &id, 8 + n as u64);
    }
    let answers = world.say(addr(1), create(&id, "One more", 8));
    assert_eq!(answers, [(addr(1), error("Too many lobbies"))]);
}

#[test]
fn a_server_for_other_games_says_so() {
    let admission = Admission::of(vec!["sesame".into()], Vec::new());
    let mut world = World::new();
    let random = StdRng::from_seed([7; 32]);
    world.natpunch = Natpunch::new(Config { admission, ..Config::default() }, random);
    let refusal = pb().m(2, pb().m(2, ep(addr(1))).s(4, "This server is for other games"));
    assert_eq!(world.say(addr(1), register()), [(addr(1), refusal)]);
    assert_eq!(world.say(addr(1), pb().m(15, pb().s(1, "list"))), []);
}
