//! What no peer may bring about.

use super::*;
use crate::dialect::Shows as _;

#[test]
fn no_reply_is_longer_than_1024_bytes_and_lists_end_with_a_whole_entry() {
    let mut world = World::new();
    let name = "n".repeat(64);
    let mut ids = Vec::new();
    for n in 1..=30 {
        let id = world.client(addr(n));
        world.say(addr(n), create(&id, &name, 32));
        ids.push(id);
    }
    let lobby = world.lobby(addr(1), &ids[0], 32);
    for n in 2..=30 {
        let id = &ids[usize::from(n) - 1];
        let sent = world.say(addr(n), join(&lobby, id));
        assert_eq!(sent.len(), 4);
        let sent = world.say(addr(1), ready(&lobby, id));
        assert!(sent.iter().all(|(_, Pb(bytes))| bytes.len() <= 1024));
        // The news, and for each of the others the same and two instructions.
        assert_eq!(sent.len(), 1 + 3 * (usize::from(n) - 1));
        assert!(sent.iter().all(|(_, Pb(bytes))| Message::decode(&bytes[..]).is_ok()));
    }
    let mut seen = HashSet::new();
    for n in 0..200 {
        let sent = world.say(addr(1), pb().m(15, pb().s(1, &n.to_string())));
        let [(_, Pb(bytes))] = &sent[..] else { panic!("{sent:?}") };
        assert!((900..=1024).contains(&bytes.len()), "{}", bytes.len());
        match Message::decode(&bytes[..]).unwrap().content {
            Some(Content::LobbyListResponse(list)) => {
                seen.extend(list.lobbies.into_iter().map(|lobby| lobby.lobby_id));
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(seen.len(), 31, "who asks again sees others");
}

#[test]
fn an_address_has_room_for_64_and_forgers_make_way_for_the_real() {
    let mut world = World::new();
    let at = |port| SocketAddr::new(addr(1).ip(), port);
    // Forged: it never uses its ID.
    for port in 1..=200 {
        world.send(at(port), &super::register().0);
    }
    assert_eq!(world.natpunch.clients.len(), 64);
    for port in 1000..1064 {
        world.wait(Duration::from_millis(20));
        world.client(at(port));
    }
    assert_eq!(world.natpunch.clients.len(), 64);
    world.wait(Duration::from_millis(20));
    let sent = world.say(at(5000), super::register());
    let full = pb().m(2, pb().m(2, ep(at(5000))).s(4, "Too many clients from this address"));
    assert_eq!(sent, [(at(5000), full)]);
    world.wait(Duration::from_secs(15));
    assert_eq!(world.natpunch.clients.len(), 0);
    assert_eq!(world.natpunch.next_wakeup(), None);
}

/// One step of a peer that may be up to anything.
#[derive(Clone, Debug)]
enum Step {
    Bytes(Vec<u8>),
    /// A message of this number with these fields, in which IDs and lobbies are real ones.
    Message(u64, Vec<(u64, Word)>),
    Wait(u64),
}

#[derive(Clone, Debug)]
enum Word {
    Id(usize),
    Lobby(usize),
    Text(String),
    Number(u64),
}

fn word() -> impl Strategy<Value = Word> {
    prop_oneof![
        4 => (0usize..4).prop_map(Word::Id),
        2 => (0usize..2).prop_map(Word::Lobby),
        1 => "[a-z0-9.]{0,80}".prop_map(Word::Text),
        1 => any::<u64>().prop_map(Word::Number),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        1 => prop::collection::vec(any::<u8>(), 0..120).prop_map(Step::Bytes),
        4 => (0u64..26, prop::collection::vec((1u64..6, word()), 0..5))
            .prop_map(|(number, fields)| Step::Message(number, fields)),
        1 => (0u64..3000).prop_map(Step::Wait),
    ]
}

impl Step {
    fn bytes(&self, ids: &[String], lobbies: &[String]) -> Vec<u8> {
        match self {
            Step::Bytes(bytes) => bytes.clone(),
            Step::Wait(_) => Vec::new(),
            Step::Message(number, fields) => {
                let inner = fields.iter().fold(pb(), |inner, (field, word)| match word {
                    Word::Id(n) => inner.s(*field, &ids[*n]),
                    Word::Lobby(n) => inner.s(*field, &lobbies[*n]),
                    Word::Text(text) => inner.s(*field, text),
                    Word::Number(n) => inner.n(*field, *n),
                });
                pb().m(*number, inner).0
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// A stranger who knows all IDs, as a former friend does, changes nothing for others, and
    /// everything sent can be read.
    #[test]
    fn strangers_change_nothing(steps in prop::collection::vec(step(), 1..60)) {
        let mut world = World::new();
        let ids: Vec<String> = (1..=4).map(|n| world.client(addr(n))).collect();
        let lobbies = [world.lobby(addr(1), &ids[0], 8), world.lobby(addr(2), &ids[1], 8)];
        world.say(addr(3), join(&lobbies[0], &ids[2]));
        world.say(addr(1), ready(&lobbies[0], &ids[2]));
        let stranger = addr(99);
        for step in &steps {
            if let Step::Wait(ms) = step {
                let told = world.wait(Duration::from_millis(*ms % 1000));
                prop_assert_eq!(told, []);
                for n in 1..=4 {
                    world.say(addr(n), keep_alive(&ids[usize::from(n) - 1]));
                }
                continue;
            }
            for (to, Pb(bytes)) in world.send(stranger, &step.bytes(&ids, &lobbies)) {
                prop_assert_eq!(to, stranger);
                prop_assert!(bytes.len() <= 1024);
                prop_assert!(Message::decode(&bytes[..]).is_ok());
            }
        }
        // All is as it was.
        let sent = world.say(addr(2), pb().m(5, pb().s(1, &ids[0]).s(2, &ids[1])));
        prop_assert_eq!(&sent[0], &(addr(2), instruction(&ids[0], addr(1), addr(1))));
        let sent = world.say(addr(3), leave(&lobbies[0], &ids[2]));
        prop_assert_eq!(sent.len(), 3);
    }

    /// Whatever a forger makes up in the name of somebody who never answers, that one gets at most
    /// three times its bytes, or what it takes to learn its ID.
    #[test]
    fn no_use_to_forgers(steps in prop::collection::vec(step(), 1..80)) {
        let mut world = World::new();
        let ids: Vec<String> = (1..=4).map(|n| world.client(addr(n))).collect();
        let lobbies: Vec<String> =
            (0..2u8).map(|n| world.lobby(addr(n + 1), &ids[usize::from(n)], 8)).collect();
        let victim = addr(99);
        let (mut credit, mut told) = (0, 0);
        for step in &steps {
            let sent = match step {
                Step::Wait(ms) => world.wait(Duration::from_millis(*ms)),
                _ => {
                    let bytes = step.bytes(&ids, &lobbies);
                    let is_registration = bytes.first() == Some(&0x0a);
                    let keyed = if is_registration { KEYED + 28 } else { 0 };
                    credit += keyed.max(3 * (bytes.len() + 28));
                    world.send(victim, &bytes)
                }
            };
            let to_victim = sent.iter().filter(|(to, _)| *to == victim);
            told += to_victim.map(|(_, Pb(bytes))| bytes.len() + 28).sum::<usize>();
            prop_assert!(told <= credit, "{told} for {credit}");
        }
    }
}

#[test]
fn nobody_is_shown_what_moves_his_cursor_or_hides_letters() {
    let mut world = World::new();
    let named = "\u{1b}[2J\u{202e}Red\u{200b}\u{7} room";
    let [host, other] = [(1, "Po\u{200b}ng\u{1b}"), (2, "Pong")].map(|(n, game)| {
        let sent = world.say(addr(n), pb().m(1, pb().s(100, game)));
        let [(_, Pb(bytes))] = &sent[..] else { panic!("{sent:?}") };
        let Some(Content::RegisterResponse(response)) =
            Message::decode(&bytes[..]).unwrap().content
        else {
            panic!("{sent:?}")
        };
        world.say(addr(n), keep_alive(&response.client_id));
        response.client_id
    });
    let sent = world.say(addr(1), create(&host, named, 4));
    let [(_, Pb(bytes))] = &sent[..] else { panic!("{sent:?}") };
    let Some(Content::CreateLobbyResponse(made)) = Message::decode(&bytes[..]).unwrap().content
    else {
        panic!("{sent:?}")
    };
    assert_eq!(made.lobby_name, named, "its host gets what it has sent");
    let asked = world.say(addr(2), pb().m(15, pb().s(1, &other)));
    let [(_, Pb(bytes))] = &asked[..] else { panic!("{asked:?}") };
    let Some(Content::LobbyListResponse(list)) = Message::decode(&bytes[..]).unwrap().content
    else {
        panic!("{asked:?}")
    };
    let names: Vec<&str> = list.lobbies.iter().map(|lobby| &*lobby.lobby_name).collect();
    assert_eq!(names, ["[2JRed room"], "in the same game");
    let mut shown = Vec::new();
    world.natpunch.hosts(0, &mut |host| {
        shown.push((host.game.to_owned(), host.name.into_owned()));
        std::ops::ControlFlow::Continue(())
    });
    assert_eq!(shown, [("Pong".to_owned(), "[2JRed room".to_owned())]);
}
