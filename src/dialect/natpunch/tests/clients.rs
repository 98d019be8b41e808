//! Who a client is: it comes back, lives by whatever it sends, and belongs to a game.

use super::*;
use crate::dialect::Shows as _;

const SECOND: Duration = Duration::from_secs(1);

fn question() -> Pb {
    pb().m(15, pb().s(1, "q"))
}

/// Registers for a game, with a key.
fn of(game: &str, key: &str) -> Pb {
    pb().m(1, pb().s(100, game).s(101, key))
}

impl World {
    fn admitting(admission: Admission) -> Self {
        let random = StdRng::from_seed([7; 32]);
        let natpunch = Natpunch::new(Config { admission, ..Config::default() }, random);
        Self { natpunch, ..Self::new() }
    }

    /// Registers with such a request and shows the ID; none if that is refused.
    fn enters(&mut self, at: SocketAddr, request: Pb) -> Option<String> {
        let answers = self.say(at, request);
        let [(_, Pb(bytes))] = &answers[..] else { panic!("{answers:?}") };
        let content = Message::decode(&bytes[..]).unwrap().content;
        let Some(Content::RegisterResponse(response)) = content else { panic!("{content:?}") };
        assert_eq!(response.success, !response.client_id.is_empty());
        response.success.then(|| {
            assert_eq!(self.say(at, keep_alive(&response.client_id)), []);
            response.client_id
        })
    }
}

#[test]
fn who_comes_back_from_its_address_has_its_id_again() {
    let mut world = World::new();
    let [id, other] = [1, 2].map(|n| world.client(addr(n)));
    world.wait(SECOND * 60);
    assert_eq!(world.natpunch.clients.len(), 0);
    // From elsewhere it is somebody else.
    let unknown = error("Client not registered");
    assert_eq!(world.say(addr(3), keep_alive(&id)), [(addr(3), unknown.clone())]);
    let moved = SocketAddr::new(addr(1).ip(), 7777);
    assert_eq!(world.say(moved, keep_alive(&id)), []);
    // Whoever has a place at its endpoint without an ID of its own gives way.
    world.say(addr(2), register());
    world.lobby(addr(2), &other, 4);
    let told = world.say(moved, pb().m(5, pb().s(1, &other).s(2, &id)));
    assert_eq!(told[0], (moved, instruction(&other, addr(2), addr(2))));
    // Where it was before is believed, as long as the new one is young.
    assert_eq!(world.say(addr(1), keep_alive(&id)), []);
    assert_eq!(world.say(addr(1), create(&id, "Game", 4)).len(), 1);
    // After ten minutes nobody knows it.
    world.wait(SECOND * (16 + 600));
    assert_eq!(world.say(addr(1), keep_alive(&id)), [(addr(1), unknown)]);
}

#[test]
fn who_comes_back_is_told_that_it_is_in_no_lobby_any_more() {
    let mut world = World::new();
    let [host, alone] = [1, 2].map(|n| world.client(addr(n)));
    let lobby = world.lobby(addr(1), &host, 4);
    world.wait(SECOND * 16);
    assert_eq!(world.natpunch.lobbies.len(), 0, "{lobby}");
    let told = world.say(addr(1), keep_alive(&host));
    let [(to, Pb(bytes))] = &told[..] else { panic!("{told:?}") };
    let content = Message::decode(&bytes[..]).unwrap().content;
    assert!(
        *to == addr(1) && matches!(content, Some(Content::LeaveLobbyResponse(_))),
        "{content:?}"
    );
    assert_eq!(world.say(addr(1), keep_alive(&host)), [], "once");
    assert_eq!(world.say(addr(2), keep_alive(&alone)), []);
}

#[test]
fn who_has_never_shown_its_id_does_not_come_back() {
    let mut world = World::new();
    world.say(addr(1), register());
    world.wait(SECOND * 16);
    assert!(world.natpunch.clients.is_back(world.now.instant, NOBODY, addr(1)).is_none());
    assert_eq!(world.natpunch.next_wakeup(), None);
}

const NOBODY: &str = "01234567-89ab-4def-8123-456789abcdef";

#[test]
fn a_keepalive_that_is_not_known_is_told() {
    let mut world = World::new();
    for id in [NOBODY, "", "x"] {
        let told = world.say(addr(1), keep_alive(id));
        assert_eq!(told, [(addr(1), error("Client not registered"))], "{id}");
    }
    // One that is known but lives elsewhere is not.
    let id = world.client(addr(2));
    assert_eq!(world.say(addr(1), keep_alive(&id)), []);
}

#[test]
fn any_message_is_a_sign_of_life() {
    let mut world = World::new();
    let id = world.client(addr(1));
    for message in [question(), pb().m(3, pb()), pb().m(10, pb()), pb().m(23, pb()), register()] {
        world.wait(SECOND * 14);
        assert_eq!(world.natpunch.clients.len(), 1, "before {message:?}");
        world.say(addr(1), message);
    }
    world.wait(SECOND * 14);
    assert_eq!(world.natpunch.clients.len(), 1);
    assert_eq!(world.say(addr(1), create(&id, "Game", 4)).len(), 1);
    world.wait(SECOND * 15);
    assert_eq!(world.natpunch.clients.len(), 0);
}

/// What is forged for the old endpoint does not keep a client from its new one.
#[test]
fn a_sign_of_life_without_an_id_says_nothing_against_a_move() {
    let mut world = World::new();
    let id = world.client(addr(1));
    let moved = SocketAddr::new(addr(1).ip(), 7777);
    for _ in 0..50 {
        world.wait(SECOND / 10);
        world.say(addr(1), question());
        world.say(moved, keep_alive(&id));
    }
    assert_eq!(world.say(moved, create(&id, "Game", 4)).len(), 1, "it is there now");
}

/// The newest client lists lobbies before its first KeepAlive, and asks with its ID.
#[test]
fn a_list_that_is_asked_for_with_an_id_proves_it() {
    let mut world = World::new();
    for n in 1..=8 {
        let id = world.client(addr(n));
        world.lobby(addr(n), &id, 4);
    }
    for n in 0..8 {
        let at = SocketAddr::from(([203, 0, 113, 99], 5000 + n));
        let told = world.say(at, register());
        let content = Message::decode(&told[0].1.0[..]).unwrap().content;
        let Some(Content::RegisterResponse(response)) = content else { panic!("{content:?}") };
        let told = world.say(at, pb().m(15, pb().s(1, &response.client_id)));
        match Message::decode(&told[0].1.0[..]).unwrap().content {
            Some(Content::LobbyListResponse(list)) => assert_eq!(list.lobbies.len(), 8),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn two_are_told_of_each_other_four_times_a_second_at_most() {
    let mut world = World::new();
    let ids = [1, 2, 3].map(|n| world.client(addr(n)));
    let lobby = world.lobby(addr(1), &ids[0], 4);
    let connect = |from: usize, to: usize| pb().m(5, pb().s(1, &ids[to]).s(2, &ids[from]));
    let mut told = 0;
    for n in 0..100 {
        let (from, to) = if n % 2 == 0 { (0, 1) } else { (1, 0) };
        told += world.say(addr(from as u8 + 1), connect(from, to)).len();
        told += world.say(addr(2), join(&lobby, &ids[1])).len() - 2;
        world.say(addr(2), leave(&lobby, &ids[1]));
        world.wait(Duration::from_millis(10));
    }
    assert_eq!(told, 2 * 4, "in one second");
    assert_eq!(world.say(addr(1), connect(0, 2)).len(), 2, "another pair");
    world.wait(Duration::from_millis(249));
    assert_eq!(world.say(addr(3), connect(2, 0)), []);
    world.wait(Duration::from_millis(1));
    assert_eq!(world.say(addr(3), connect(2, 0)).len(), 2);
}

#[test]
fn games_and_keys_admit_their_clients_alone() {
    let list = |keys: &[&str], games: &[&str]| {
        let owned = |list: &[&str]| list.iter().map(|text| (*text).to_owned()).collect();
        Admission::of(owned(keys), owned(games))
    };
    for (admission, good, bad) in [
        (list(&[], &["Pong"]), of("Pong", ""), of("Chess", "Pong")),
        (list(&["sesame"], &[]), of("", "sesame"), of("sesame", "Sesame")),
        (list(&["sesame"], &["Pong"]), of("Chess", "sesame"), of("Pong", "")),
        (list(&[], &[]), of("", ""), of(&"x".repeat(65), "")),
        (list(&[], &[]), of("", ""), of("", &"x".repeat(65))),
    ] {
        let is_open = admission.is_open();
        let mut world = World::admitting(admission);
        assert_eq!(world.enters(addr(1), bad.clone()), None, "{bad:?}");
        let id = world.enters(addr(1), good.clone()).unwrap();
        assert_eq!(world.enters(addr(1), bad), None);
        let lobby = world.lobby(addr(1), &id, 4);
        let other = world.enters(addr(2), good).unwrap();
        assert_eq!(world.say(addr(2), join(&lobby, &other)).len(), 4);
        // Who is not admitted hears nothing.
        assert_eq!(world.say(addr(3), question()).is_empty(), !is_open);
        // Who has moved is.
        let moved = SocketAddr::new(addr(1).ip(), 7777);
        for _ in 0..50 {
            world.wait(SECOND / 10);
            world.say(addr(2), keep_alive(&other));
            world.say(moved, keep_alive(&id));
        }
        assert_eq!(world.say(moved, pb().m(15, pb().s(1, &id))).len(), 1);
    }
}

#[test]
fn two_games_never_see_each_other() {
    let mut world = World::new();
    let lobbies = ["", "Pong", "Chess"].map(|game| {
        let n = game.len() as u8 * 10 + 1;
        let [host, guest] = [0, 1].map(|more| world.enters(addr(n + more), of(game, "")).unwrap());
        let lobby = world.lobby(addr(n), &host, 4);
        (n, host, guest, lobby)
    });
    let mut games = Vec::new();
    world.natpunch.games(&mut |game, lobbies| games.push((game.to_owned(), lobbies)));
    games.sort();
    assert_eq!(games, ["", "Chess", "Pong"].map(|game| (game.to_owned(), 1)), "as the owner sees");
    for (n, _, guest, own) in &lobbies {
        let at = addr(n + 1);
        assert_eq!(
            world.say(at, pb().m(3, pb())),
            [(at, {
                let client = pb().s(1, guest).m(2, ep(at));
                pb().m(4, pb().n(1, 1).m(3, client))
            })]
        );
        for (_, host, _, lobby) in &lobbies {
            let is_own = lobby == own;
            let told = world.say(at, pb().m(15, pb().s(1, "x")));
            let text = String::from_utf8_lossy(&told[0].1.0).into_owned();
            assert_eq!(text.contains(&**lobby), is_own, "{text}");
            let told = world.say(at, pb().m(5, pb().s(1, host).s(2, guest)));
            let missing = error(&format!("Destination client {host} not found"));
            assert_eq!(told == [(at, missing)], !is_own);
            let told = world.say(at, join(lobby, guest));
            assert_eq!(told == [(at, error("Lobby not found"))], !is_own);
            let told = world.say(at, leave(lobby, guest));
            assert_eq!(told == [(at, error("Lobby not found"))], !is_own);
        }
    }
    let seen = world.say(addr(99), pb().m(15, pb().s(1, "x")).s(99, &"p".repeat(300)));
    let text = String::from_utf8_lossy(&seen[0].1.0).into_owned();
    let told = lobbies.each_ref().map(|(_, _, _, lobby)| text.contains(&**lobby));
    assert_eq!(told, [true, false, false], "who names no game");
}

/// With the ID and the endpoint of a host its lobby could be left in its name.
#[test]
fn outsiders_are_told_of_no_host() {
    let mut world = World::new();
    let ids = [1, 2, 3].map(|n| world.client(addr(n)));
    let lobby = world.lobby(addr(1), &ids[0], 4);
    world.say(addr(2), join(&lobby, &ids[1]));
    world.say(addr(1), ready(&lobby, &ids[1]));
    let mut told = Vec::new();
    for at in [3, 99] {
        told.extend(world.say(addr(at), question().s(99, &"p".repeat(300))));
        told.extend(world.say(addr(at), pb().m(3, pb()).s(99, &"p".repeat(300))));
    }
    let joining = world.say(addr(3), join(&lobby, &ids[2]));
    let text = |told: &[(SocketAddr, Pb)]| {
        told.iter().map(|(_, Pb(bytes))| bytes.escape_ascii().to_string()).collect::<String>()
    };
    let (told, joining) = (text(&told), text(&joining[..3]));
    for n in [0, 1] {
        let at = addr(n as u8 + 1).ip().to_string();
        assert!(!told.contains(&ids[n]) && !told.contains(&format!("{at}\\x10")), "{told}");
    }
    assert!(!joining.contains(&ids[1]), "the host is enough: {joining}");
}

/// Somebody sends these in the name of a client that has shown its ID, which he knows.
#[test]
fn a_registration_without_the_id_changes_nothing_of_who_has_shown_it() {
    let local = |text: &str| text.parse::<SocketAddr>().unwrap();
    let [own, forged] = [local("192.168.1.5:7"), local("192.168.66.66:66")];
    let claim = |at| pb().m(1, pb().m(1, ep(at)));
    let [victim, other] = [1000, 2000].map(|port| SocketAddr::from(([203, 0, 113, 1], port)));
    let mut world = World::new();
    world.say(victim, claim(own));
    let id = world.client(victim);
    let asker = world.client(other);
    let told = |world: &mut World| {
        let sent = world.say(other, pb().m(5, pb().s(1, &id).s(2, &asker)));
        let to_asker = sent.into_iter().find(|(to, _)| *to == other).unwrap().1;
        world.wait(SECOND);
        to_asker
    };
    let before = told(&mut world);
    assert_eq!(before, instruction(&id, victim, own));
    let open = victim;
    for at in [forged, open, local("127.0.0.1:1")] {
        let heard = world.natpunch.clients.get(id.parse().unwrap()).unwrap().heard;
        world.wait(Duration::from_millis(10));
        let answers = world.say(victim, claim(at));
        assert_eq!(answers.len(), 1, "it is answered as it always was");
        assert_eq!(told(&mut world), before, "{at}");
        let client = world.natpunch.clients.get(id.parse().unwrap()).unwrap();
        assert_eq!(client.heard, heard, "it says nothing against one that has moved");
    }
    // It says so itself.
    world.say(victim, pb().m(5, pb().s(1, &asker).s(2, &id).m(3, ep(forged))));
    world.wait(SECOND);
    assert_eq!(told(&mut world), instruction(&id, victim, forged));
}
