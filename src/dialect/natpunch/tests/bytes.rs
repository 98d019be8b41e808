//! Every message, byte by byte.

use super::*;

#[test]
fn register() {
    let mut world = World::new();
    let id = world.client(addr(1));
    // Once more, from the same endpoint: the same ID.
    let local: SocketAddr = "192.168.1.7:5000".parse().unwrap();
    let answers = world.say(addr(1), pb().m(1, pb().m(1, ep(local))));
    let expected = pb().m(2, pb().n(1, 1).m(2, ep(addr(1))).s(3, &id));
    assert_eq!(answers, [(addr(1), expected)]);
    assert_ne!(world.client(addr(2)), id);
}

#[test]
fn connect() {
    let mut world = World::new();
    let (one, two) = (world.client(addr(1)), world.client(addr(2)));
    let local: SocketAddr = "192.168.1.7:5000".parse().unwrap();
    let request = pb().m(5, pb().s(1, &two).s(2, &one).m(3, ep(local)).n(4, 300));
    let told = |id: &str, public, local| {
        pb().m(6, pb().n(1, 1).s(2, id).n(5, 300).m(6, ep(public)).m(7, ep(local)))
    };
    let expected =
        [(addr(1), told(&two, addr(2), addr(2))), (addr(2), told(&one, addr(1), addr(1)))];
    assert_eq!(world.say(addr(1), request.clone()), expected);
    // It has to come from where the ID was registered.
    assert_eq!(world.say(addr(3), request.clone()), []);
    assert_eq!(world.say(addr(2), request), []);
}

#[test]
fn an_endpoint_that_cannot_be_is_none() {
    for local in [
        pb().s(1, "0.0.0.0").n(2, 5000),
        pb().s(1, "::").n(2, 5000),
        pb().s(1, "192.168.1.7"),
        pb().s(1, "192.168.1.7").n(2, 70_000),
        pb().s(1, "router").n(2, 5000),
        pb(),
    ] {
        let mut world = World::new();
        let (one, two) = (world.client(addr(1)), world.client(addr(2)));
        let request = pb().m(5, pb().s(1, &two).s(2, &one).m(3, local));
        let answers = world.say(addr(1), request);
        assert_eq!(answers[1], (addr(2), instruction(&one, addr(1), addr(1))));
    }
}

#[test]
fn create_and_list() {
    let mut world = World::new();
    let id = world.client(addr(1));
    let answers = world.say(addr(1), create(&id, "My game", 8));
    let [(to, Pb(bytes))] = &answers[..] else { panic!("{answers:?}") };
    // The lobby's ID is the only thing that is not known: 36 letters behind tag and length.
    let lobby = String::from_utf8(bytes[6..42].to_vec()).unwrap();
    let expected =
        pb().m(12, pb().n(1, 1).s(2, &lobby).s(3, "My game").s(4, "Lobby created successfully"));
    assert_eq!((*to, Pb(bytes.clone())), (addr(1), expected));

    let list = |info| {
        pb().m(16, pb().n(1, 1).s(2, "req-1").m(3, info).s(4, "Lobby list retrieved successfully"))
    };
    let outside = list(pb().s(1, &lobby).s(2, "My game").n(4, 1).n(5, 8));
    let question = pb().m(15, pb().s(1, "req-1"));
    let empty = pb().m(16, pb().n(1, 1).s(2, "req-1").s(4, "Lobby list retrieved successfully"));
    let short = question.clone();
    assert_eq!(world.say(addr(9), short), [(addr(9), empty)], "not paid for");
    let padded = question.clone().s(99, &"p".repeat(100));
    assert_eq!(world.say(addr(9), padded), [(addr(9), outside.clone())]);
    world.client(addr(8));
    assert_eq!(world.say(addr(8), question.clone()), [(addr(8), outside)], "not in it");
    let member = pb().s(1, &id).m(2, ep(addr(1)));
    let inside = list(pb().s(1, &lobby).s(2, "My game").s(3, &id).n(4, 1).n(5, 8).m(6, member));
    assert_eq!(world.say(addr(1), question), [(addr(1), inside)]);
}

#[test]
fn the_request_for_a_list_shows_the_id_that_is_in_it() {
    let mut world = World::new();
    for n in 1..=30 {
        let id = world.client(addr(n));
        world.lobby(addr(n), &id, 4);
    }
    let register = |world: &mut World, n: u8| {
        let Pb(answer) = &world.say(addr(n), super::register())[0].1;
        match Message::decode(&answer[..]).unwrap().content {
            Some(Content::RegisterResponse(response)) => response.client_id,
            other => panic!("{other:?}"),
        }
    };
    let list = |world: &mut World, n: u8, request_id: &str| {
        world.say(addr(n), pb().m(15, pb().s(1, request_id)))[0].1.0.len()
    };
    let [own, other] = [91, 92].map(|n| register(&mut world, n));
    // As the newest client writes it, in whose program a text is written as if it were a number.
    let request_id = |id: &str| format!("req_%!d(string={id})");
    assert!(list(&mut world, 91, &request_id(&other)) < 400, "that of somebody else shows nothing");
    assert!(list(&mut world, 91, &request_id(&own)) > 900);
    assert!(list(&mut world, 92, &other) > 900, "or as it is");
}

#[test]
fn who_sends_back_the_cookie_gets_its_list_without_padding() {
    let mut world = World::new();
    let question = |cookie: &str| pb().m(15, pb().s(1, "1").s(100, cookie));
    let answer = |cookie: &str| {
        let text = "Lobby list retrieved successfully";
        pb().m(16, pb().n(1, 1).s(2, "1").s(4, text).s(100, cookie))
    };
    assert_eq!(world.say(addr(99), question("?")), [(addr(99), answer(""))], "that is all");
    for n in 1..=30 {
        let id = world.client(addr(n));
        world.lobby(addr(n), &id, 4);
    }
    let cookie = |world: &mut World, at, shown: &str| -> String {
        let sent = world.say(at, question(shown));
        let [(to, Pb(bytes))] = &sent[..] else { panic!("{sent:?}") };
        let own = String::from_utf8(bytes[bytes.len() - 16..].to_vec()).unwrap();
        assert_eq!((*to, Pb(bytes.clone())), (at, answer(&own)));
        own
    };
    let first = cookie(&mut world, addr(99), "?");
    let sent = world.say(addr(99), question(&first));
    assert!((900..=1024).contains(&sent[0].1.0.len()), "{sent:?}");
    // Clients of the original get what they always got.
    let old = world.say(addr(99), pb().m(15, pb().s(1, "1")));
    assert_eq!(old, [(addr(99), answer(""))]);
    assert_ne!(cookie(&mut world, addr(98), &first), first, "somebody else");
    // Those who live say so meanwhile, or there is no long list any more.
    for _ in 0..25 {
        world.wait(Duration::from_secs(5));
        for n in 1..=30 {
            let id = world.natpunch.clients.at(addr(n)).unwrap().to_string();
            world.say(addr(n), keep_alive(&id));
        }
    }
    assert_ne!(cookie(&mut world, addr(99), &first), first, "two minutes ago");
    let id = world.client(addr(97));
    let sent = world.say(addr(97), pb().m(15, pb().s(1, &id).s(100, "?")));
    assert!(sent[0].1.0.len() > 900, "it has shown its ID: {sent:?}");
}

#[test]
fn clients_are_listed_for_clients_unless_they_use_lobbies() {
    let mut world = World::new();
    let question = pb().m(3, pb());
    assert_eq!(question.0, [0x1a, 0x00]);
    let stranger = world.say(addr(9), question.clone());
    assert_eq!(stranger, [(addr(9), error("Client not registered"))]);
    let ids: Vec<String> = (1..=3).map(|n| world.client(addr(n))).collect();
    // Who has not shown its ID may be forged.
    world.say(addr(4), super::register());
    let list = |clients: &[usize]| {
        let one = |n: usize| pb().s(1, &ids[n - 1]).m(2, ep(addr(n as u8)));
        pb().m(4, clients.iter().fold(pb().n(1, 1), |list, n| list.m(3, one(*n))))
    };
    for _ in 0..60 {
        let told = &world.say(addr(1), question.clone())[0].1;
        let any = [[1, 2, 3], [1, 3, 2], [2, 1, 3], [2, 3, 1], [3, 1, 2], [3, 2, 1]];
        assert!(any.iter().any(|n| *told == list(n)), "{told:?}");
    }
    let asked = world.say(addr(1), pb().m(3, pb().s(1, "mine")));
    assert!(asked[0].1.0.windows(6).any(|part| part == b"\x12\x04mine"), "{asked:?}");
    let lobby = world.lobby(addr(1), &ids[0], 3);
    assert_eq!(world.say(addr(3), pb().m(15, pb().s(1, &ids[2]))).len(), 1);
    assert_eq!(world.say(addr(2), question.clone()), [(addr(2), list(&[2]))]);
    world.say(addr(2), join(&lobby, &ids[1]));
    assert_eq!(world.say(addr(2), question), [(addr(2), list(&[]))]);
}

#[test]
fn join_and_leave() {
    let mut world = World::new();
    let ids: Vec<String> = (1..=3).map(|n| world.client(addr(n))).collect();
    let lobby = world.lobby(addr(1), &ids[0], 3);
    let info = |n: &[u8], host: usize| {
        let base = pb().s(1, &lobby).s(2, "Game").s(3, &ids[host]).n(4, n.len() as u64).n(5, 3);
        n.iter()
            .fold(base, |info, n| info.m(6, pb().s(1, &ids[usize::from(n - 1)]).m(2, ep(addr(*n)))))
    };
    let update = |info, kind: &str| pb().m(17, pb().s(1, &lobby).m(2, info).s(3, kind));
    let [trying, success] = joining(&lobby, [(&ids[0], addr(1)), (&ids[1], addr(2))]);
    let told = |n: u8| instruction(&ids[usize::from(n - 1)], addr(n), addr(n));

    assert_eq!(
        world.say(addr(2), join(&lobby, &ids[1])),
        [
            (addr(2), trying.clone()),
            (addr(2), success.clone()),
            (addr(2), told(1)),
            (addr(1), told(2))
        ]
    );
    assert_eq!(
        world.say(addr(2), join(&lobby, &ids[1])),
        [(addr(2), trying), (addr(2), success.clone())],
        "both have been told of each other just now"
    );
    assert_eq!(
        world.say(addr(1), ready(&lobby, &ids[1])),
        [
            (addr(2), update(info(&[1, 2], 0), "player_joined")),
            (addr(1), update(info(&[1, 2], 0), "player_joined")),
            (addr(2), told(1)),
            (addr(1), told(2)),
        ]
    );
    let again = [success, update(info(&[1, 2], 0), "player_joined")];
    assert_eq!(world.say(addr(2), join(&lobby, &ids[1])), both(addr(2), again), "lost?");
    world.say(addr(3), join(&lobby, &ids[2]));
    let joined = world.say(addr(1), ready(&lobby, &ids[2]));
    assert_eq!(
        joined[..3],
        [
            (addr(3), update(info(&[1, 2, 3], 0), "player_joined")),
            (addr(1), update(info(&[1, 2, 3], 0), "player_joined")),
            (addr(2), update(info(&[1, 2, 3], 0), "player_joined")),
        ]
    );
    assert_eq!(
        joined[3..],
        [(addr(3), told(1)), (addr(1), told(3)), (addr(3), told(2)), (addr(2), told(3)),]
    );
    // The host leaves; the longest-standing member is host.
    let left = pb().m(22, pb().s(1, &ids[0]));
    let news = update(info(&[2, 3], 1), "player_left");
    assert_eq!(
        world.say(addr(1), leave(&lobby, &ids[0])),
        [
            (addr(2), left.clone()),
            (addr(2), news.clone()),
            (addr(3), left),
            (addr(3), news),
            (addr(1), pb().m(21, pb().n(1, 1).s(2, "Successfully left lobby"))),
        ]
    );
}

#[test]
fn what_is_for_others_is_not_answered() {
    let mut world = World::new();
    let id = world.client(addr(1));
    // Servers' and peers' messages, numbers that are free, and none at all.
    for field in [2, 4, 6, 7, 8, 10, 12, 14, 16, 17, 18, 19, 21, 22, 24, 25, 100] {
        assert_eq!(world.say(addr(1), pb().m(field, pb().s(1, &id))), [], "{field}");
    }
    assert_eq!(world.say(addr(1), pb()), []);
}
