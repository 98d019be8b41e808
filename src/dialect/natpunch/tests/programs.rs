//! The programs of the original that are out there, told apart by what they send.

use super::*;

/// As the program of August 2025 asks for lobbies, and as the newest does.
fn list(request_id: &str) -> Pb {
    pb().m(15, pb().s(1, request_id))
}

fn of_august() -> Pb {
    list("req_1754179200123456789")
}

fn newest(id: &str) -> Pb {
    list(&format!("req_%!d(string={id})"))
}

/// Which messages somebody is sent while two wait for the end of a join, by their numbers, and whether the
/// joiner is a member then.
fn end_of_join(world: &mut World, ids: &[String; 2], lobby: &str) -> (Vec<u8>, bool) {
    world.say(addr(2), join(lobby, &ids[1]));
    let mut told = Vec::new();
    for _ in 0..12 {
        for n in 1..=2 {
            world.say(addr(n), keep_alive(&ids[usize::from(n) - 1]));
        }
        told.extend(world.wait(Duration::from_secs(1)));
    }
    let joiner = ids[1].parse().unwrap();
    let members = &world.natpunch.lobbies.get(lobby.parse().unwrap()).unwrap().members;
    let is_member = members.contains(&joiner);
    let to_joiner = told.iter().filter(|(to, _)| *to == addr(2));
    (to_joiner.map(|(_, message)| number(message)).collect(), is_member)
}

/// The number of the field that a message is.
fn number(Pb(bytes): &Pb) -> u8 {
    let high = if bytes[0] & 0x80 == 0 { 0 } else { u32::from(bytes[1]) << 7 };
    u8::try_from((u32::from(bytes[0] & 0x7f) | high) >> 3).unwrap()
}

#[test]
fn the_program_of_august_is_a_member_though_its_host_says_nothing() {
    // Who asks how, and whether the joiner is a member without a word of the host.
    let cases: [(Option<bool>, Option<bool>, bool); 6] = [
        (None, Some(true), true),
        (Some(true), Some(true), true),
        (Some(false), Some(true), false),
        (None, Some(false), false),
        (Some(true), Some(false), false),
        (None, None, false),
    ];
    for (host, joiner, is_in) in cases {
        let mut world = World::new();
        let ids = [1, 2].map(|n| world.client(addr(n)));
        for (n, asks) in [(1, host), (2, joiner)] {
            let id = &ids[usize::from(n) - 1];
            if let Some(is_of_august) = asks {
                world.say(addr(n), if is_of_august { of_august() } else { newest(id) });
            }
        }
        let lobby = world.lobby(addr(1), &ids[0], 4);
        let (told, is_member) = end_of_join(&mut world, &ids, &lobby);
        assert_eq!(is_member, is_in, "{host:?} {joiner:?}");
        // It is told the members, and of the host once more; else that it has not met the host, and has left.
        assert_eq!(told, if is_in { [14, 6] } else { [8, 21] }, "{host:?} {joiner:?}");
    }
}

#[test]
fn nobody_is_taken_for_the_program_of_august_that_has_shown_a_newer_one() {
    let mut world = World::new();
    let ids = [1, 2].map(|n| world.client(addr(n)));
    world.say(addr(2), newest(&ids[1]));
    let lobby = world.lobby(addr(1), &ids[0], 4);
    // Somebody sends these in their names.
    (1..=2).for_each(|n| _ = world.say(addr(n), of_august()));
    assert_eq!(end_of_join(&mut world, &ids, &lobby), (vec![8, 21], false));

    // A host that has met somebody says so of the next one as well.
    let mut world = World::new();
    let ids = [1, 2].map(|n| world.client(addr(n)));
    world.say(addr(2), of_august());
    let lobby = world.lobby(addr(1), &ids[0], 4);
    let other = world.client(addr(3));
    world.say(addr(3), join(&lobby, &other));
    world.say(addr(1), ready(&lobby, &other));
    assert_eq!(end_of_join(&mut world, &ids, &lobby), (vec![8, 21], false));
}

/// It writes into a map that a LobbyUpdate has not made.
#[test]
fn the_program_of_august_never_gets_a_lobby_update() {
    let mut world = World::new();
    let ids = [1, 2, 3].map(|n| world.client(addr(n)));
    let lobby = world.lobby(addr(1), &ids[0], 4);
    world.say(addr(2), of_august());
    let to = |sent: Vec<(SocketAddr, Pb)>, n: u8| -> Vec<u8> {
        sent.iter().filter(|(to, _)| *to == addr(n)).map(|(_, message)| number(message)).collect()
    };
    world.say(addr(2), join(&lobby, &ids[1]));
    assert_eq!(to(world.say(addr(1), ready(&lobby, &ids[1])), 2), [14, 6]);
    // Somebody else comes and goes, in its place a LobbyUpdate for each.
    world.say(addr(3), join(&lobby, &ids[2]));
    let sent = world.say(addr(1), ready(&lobby, &ids[2]));
    assert_eq!((to(sent.clone(), 2), to(sent, 3)), (vec![14, 6], vec![17, 6, 6]));
    let sent = world.say(addr(3), leave(&lobby, &ids[2]));
    assert_eq!((to(sent.clone(), 2), to(sent, 1)), (vec![22, 14], vec![22, 17]));
}

#[test]
fn other_words_than_those_of_august_say_nothing_of_the_program() {
    for text in [
        "",
        "req_",
        "req_1",
        "req_17541792001234567890",
        "req_175417920012345678x",
        "1754179200123456789",
    ] {
        assert!(!is_of_august(text), "{text}");
    }
    assert!(is_of_august("req_1754179200123456789"));
}

/// It is told that it has left where the newest is told that the lobby is closed, and crashes if it knocks then.
#[test]
fn the_program_of_august_hears_of_a_closed_lobby_when_it_knocks_no_more() {
    let mut world = World::new();
    let ids = [1, 2].map(|n| world.client(addr(n)));
    world.say(addr(2), of_august());
    let lobby = world.lobby(addr(1), &ids[0], 8);
    world.say(addr(2), join(&lobby, &ids[1]));
    let told = world.say(addr(1), leave(&lobby, &ids[0]));
    assert!(told.iter().all(|(to, _)| *to == addr(1)), "{told:?}");
    let mut told = Vec::new();
    for second in 1..=11 {
        world.say(addr(2), keep_alive(&ids[1]));
        told = world.wait(Duration::from_secs(1));
        assert!(told.is_empty() || second == 11, "{second}: {told:?}");
    }
    assert_eq!(told, both(addr(2), failed()));
}
