//! Time, moves, succession, and lobbies in which everybody meets everybody.

use super::message::ClientInfo;
use super::*;

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn who_is_silent_for_fifteen_seconds_is_forgotten() {
    let mut world = World::new();
    let ids: Vec<String> = (1..=2).map(|n| world.client(addr(n))).collect();
    let lobby = world.lobby(addr(1), &ids[0], 8);
    world.say(addr(2), join(&lobby, &ids[1]));
    world.say(addr(1), ready(&lobby, &ids[1]));
    for _ in 0..14 {
        assert_eq!(world.wait(SECOND), []);
        world.say(addr(2), keep_alive(&ids[1]));
    }
    assert_eq!(world.wait(SECOND - Duration::from_millis(1)), []);
    let told = world.wait(Duration::from_millis(1));
    assert_eq!(told[0], (addr(2), pb().m(22, pb().s(1, &ids[0]))));
    assert_eq!(told.len(), 2, "and the news of the lobby: {told:?}");
    // It is somebody new when it comes back, and its successor is host.
    assert_ne!(world.client(addr(1)), ids[0]);
    let third = world.client(addr(3));
    let told = world.say(addr(3), join(&lobby, &third));
    assert_eq!(told[2], (addr(3), instruction(&ids[1], addr(2), addr(2))));
    // An empty lobby is gone.
    world.say(addr(2), leave(&lobby, &ids[1]));
    let answers = world.say(addr(3), join(&lobby, &third));
    assert_eq!(answers, [(addr(3), error("Lobby not found"))]);
}

#[test]
fn a_moved_endpoint_is_believed_when_the_old_one_is_quiet() {
    let mut world = World::new();
    let ids: Vec<String> = (1..=2).map(|n| world.client(addr(n))).collect();
    let lobby = world.lobby(addr(1), &ids[0], 8);
    world.say(addr(2), join(&lobby, &ids[1]));
    world.say(addr(1), ready(&lobby, &ids[1]));
    let moved = SocketAddr::new(addr(1).ip(), 9999);
    world.wait(SECOND * 2);
    assert_eq!(world.say(moved, keep_alive(&ids[0])), [], "the old one may still be there");
    world.say(addr(2), keep_alive(&ids[1]));
    world.wait(SECOND);
    assert_eq!(world.say(addr(3), keep_alive(&ids[0])), [], "another address is somebody else");
    let told = world.say(moved, keep_alive(&ids[0]));
    assert_eq!(told[0], (moved, instruction(&ids[1], addr(2), addr(2))));
    assert_eq!(told[1], (addr(2), instruction(&ids[0], moved, moved)));
    assert_eq!(told.len(), 2);
    // It lives on from there, and the old endpoint is nobody.
    world.say(addr(2), keep_alive(&ids[1]));
    assert_eq!(world.wait(SECOND * 4), []);
    let answers = world.say(addr(1), create(&ids[0], "Game", 2));
    assert_eq!(answers, [(addr(1), error("Client not registered"))]);
}

#[test]
fn who_asks_again_as_the_answer_was_lost_gets_the_same_lobby() {
    let mut world = World::new();
    let ids = [1, 2].map(|n| world.client(addr(n)));
    let lobby = world.lobby(addr(1), &ids[0], 4);
    assert_eq!(world.lobby(addr(1), &ids[0], 4), lobby);
    let larger = world.lobby(addr(1), &ids[0], 5);
    assert_ne!(larger, lobby);
    assert_ne!(world.lobby(addr(2), &ids[1], 4), lobby, "that of another client");
    assert_eq!(world.lobby(addr(1), &ids[0], 4), lobby);
    // Somebody has found it in a list before its host knew of it.
    world.say(addr(2), join(&lobby, &ids[1]));
    assert_eq!(world.lobby(addr(1), &ids[0], 4), lobby);
    // Who lets others in knows it, and wants one more.
    world.say(addr(1), ready(&lobby, &ids[1]));
    let second = world.lobby(addr(1), &ids[0], 4);
    assert_ne!(second, lobby);
    assert_eq!(world.lobby(addr(1), &ids[0], 4), second);
    // There are as many as a client may have.
    world.lobby(addr(1), &ids[0], 6);
    assert_eq!(
        world.say(addr(1), create(&ids[0], "Game", 7)),
        [(addr(1), error("Too many lobbies"))]
    );
    assert_eq!(world.lobby(addr(1), &ids[0], 6).len(), lobby.len());
    // He is a member there, and not its host.
    world.say(addr(1), leave(&lobby, &ids[0]));
    assert_ne!(world.lobby(addr(1), &ids[0], 4), lobby);
}

#[test]
fn who_waits_to_be_let_in_opens_a_lobby_of_its_own() {
    let mut world = World::new();
    let ids = [1, 2].map(|n| world.client(addr(n)));
    let lobby = world.lobby(addr(1), &ids[0], 4);
    world.say(addr(2), join(&lobby, &ids[1]));
    let own = world.lobby(addr(2), &ids[1], 4);
    assert_ne!(own, lobby);
    assert_eq!(world.lobby(addr(2), &ids[1], 4), own);
    assert_eq!(world.lobby(addr(1), &ids[0], 4), lobby);
}

#[test]
fn only_the_host_lets_in_and_only_who_asked() {
    let mut world = World::new();
    let ids: Vec<String> = (1..=3).map(|n| world.client(addr(n))).collect();
    let lobby = world.lobby(addr(1), &ids[0], 8);
    assert_eq!(world.say(addr(1), ready(&lobby, &ids[1])), []);
    world.say(addr(2), join(&lobby, &ids[1]));
    assert_eq!(world.say(addr(2), ready(&lobby, &ids[1])), []);
    assert_eq!(world.say(addr(3), ready(&lobby, &ids[1])), []);
    assert_ne!(world.say(addr(1), ready(&lobby, &ids[1])), []);
    // A member that asks again has missed the answer.
    let again = world.say(addr(2), join(&lobby, &ids[1]));
    let [(to, Pb(bytes)), _] = &again[..] else { panic!("{again:?}") };
    // Field 24, a message.
    assert!(*to == addr(2) && bytes.starts_with(&[0xC2, 0x01]), "{again:?}");
}

#[test]
fn a_new_host_meets_those_who_are_joining() {
    let mut world = World::new();
    let ids: Vec<String> = (1..=3).map(|n| world.client(addr(n))).collect();
    let lobby = world.lobby(addr(1), &ids[0], 8);
    world.say(addr(2), join(&lobby, &ids[1]));
    world.say(addr(1), ready(&lobby, &ids[1]));
    world.say(addr(3), join(&lobby, &ids[2]));
    let told = world.say(addr(1), leave(&lobby, &ids[0]));
    assert!(told.contains(&(addr(3), instruction(&ids[1], addr(2), addr(2)))), "{told:?}");
    assert!(told.contains(&(addr(2), instruction(&ids[2], addr(3), addr(3)))), "{told:?}");
    assert!(!world.say(addr(2), ready(&lobby, &ids[2])).is_empty());
}

#[test]
fn who_joins_a_lobby_that_closes_hears_so() {
    let mut world = World::new();
    let ids: Vec<String> = (1..=2).map(|n| world.client(addr(n))).collect();
    let lobby = world.lobby(addr(1), &ids[0], 8);
    world.say(addr(2), join(&lobby, &ids[1]));
    let told = world.say(addr(1), leave(&lobby, &ids[0]));
    let info = pb().s(1, &lobby).s(2, "Game").n(5, 8);
    let closed = pb().m(17, pb().s(1, &lobby).m(2, info).s(3, "lobby_closed"));
    let [_, left] = failed();
    assert_eq!(told, [(addr(2), closed), (addr(1), left)]);
    // It knocks for ten seconds yet, and the original crashes if it hears before that it has left.
    let alive = |world: &mut World, seconds: u32| {
        let mut told = Vec::new();
        for _ in 0..seconds {
            told.extend(world.wait(Duration::from_secs(1)));
            world.say(addr(2), keep_alive(&ids[1]));
        }
        told
    };
    assert_eq!(alive(&mut world, 10), []);
    assert_eq!(alive(&mut world, 1), both(addr(2), failed()));
    // Its other lobbies are not affected, and it may open one.
    world.lobby(addr(2), &ids[1], 2);
}

#[test]
fn who_has_joined_another_lobby_by_then_stays_in_it() {
    let mut world = World::new();
    let ids: Vec<String> = (1..=3).map(|n| world.client(addr(n))).collect();
    let lobbies = [1, 3].map(|n| world.lobby(addr(n), &ids[usize::from(n) - 1], 8));
    world.say(addr(2), join(&lobbies[0], &ids[1]));
    world.say(addr(1), leave(&lobbies[0], &ids[0]));
    world.say(addr(2), join(&lobbies[1], &ids[1]));
    world.say(addr(3), ready(&lobbies[1], &ids[1]));
    for _ in 0..20 {
        world.say(addr(2), keep_alive(&ids[1]));
        world.say(addr(3), keep_alive(&ids[2]));
        assert_eq!(world.wait(Duration::from_secs(1)), []);
    }
}

/// A player of the simulated network: it does what the existing client does.
struct Player {
    at: SocketAddr,
    id: String,
    /// Whom it has been told to knock at, by ID.
    told: HashMap<String, SocketAddr>,
    lobby: Option<String>,
}

/// Delivers everything until nothing is under way. Datagrams of the server reach a player with
/// the given chance in a hundred; a host confirms whom it was told of.
fn deliver(
    world: &mut World,
    players: &mut [Player],
    mut queue: Vec<(SocketAddr, Pb)>,
    lobby: &str,
    lost: &mut impl FnMut() -> bool,
) {
    while !queue.is_empty() {
        let (to, Pb(bytes)) = queue.remove(0);
        if lost() {
            continue;
        }
        let n = players.iter().position(|player| player.at == to).unwrap();
        let content = Message::decode(&bytes[..]).unwrap().content.unwrap();
        match content {
            Content::ConnectionInstruction(told) => {
                let public = told.public_endpoint.unwrap();
                assert!(told.local_endpoint.is_some());
                let there = SocketAddr::new(public.ip_address.parse().unwrap(), public.port as u16);
                players[n].told.insert(told.client_id.clone(), there);
                if n == 0 {
                    // The punch of host and joiner works as soon as both know.
                    queue.extend(world.say(to, ready(lobby, &told.client_id)));
                }
            }
            // The success alone says only that the host will be met.
            Content::LobbyUpdate(update) => {
                let members = update.lobby_info.unwrap_or_default().members;
                if members.iter().any(|member| member.client_id == players[n].id) {
                    players[n].lobby = Some(lobby.into());
                }
            }
            Content::Error(error) => panic!("{error:?}"),
            _ => {}
        }
    }
}

#[test]
fn in_a_lobby_of_eight_everybody_is_told_of_everybody() {
    for loss in [0, 10, 30] {
        let mut world = World::new();
        let mut players: Vec<Player> = (1..=8)
            .map(|n| {
                let id = world.client(addr(n));
                Player { at: addr(n), id, told: HashMap::new(), lobby: None }
            })
            .collect();
        let host = players[0].id.clone();
        let lobby = world.lobby(addr(1), &host, 8);
        players[0].lobby = Some(lobby.clone());
        let mut state = 12345u32 + loss;
        let mut lost = || {
            state = state.wrapping_mul(1_103_515_245).wrapping_add(12345);
            (state >> 16) % 100 < loss
        };
        for _ in 0..60 {
            for n in 0..8 {
                let (at, id) = (players[n].at, players[n].id.clone());
                let mut sent = world.say(at, keep_alive(&id));
                if players[n].lobby.is_none() {
                    sent.extend(world.say(at, join(&lobby, &id)));
                }
                // Whom it knows to be there and has not been told of, it asks for.
                for other in players.iter().map(|player| player.id.clone()).collect::<Vec<_>>() {
                    let missing = players[n].lobby.is_some()
                        && other != id
                        && !players[n].told.contains_key(&other);
                    if missing && loss > 0 {
                        sent.extend(world.say(at, pb().m(5, pb().s(1, &other).s(2, &id))));
                    }
                }
                deliver(&mut world, &mut players, sent, &lobby, &mut lost);
            }
            let sent = world.wait(Duration::from_millis(500));
            deliver(&mut world, &mut players, sent, &lobby, &mut lost);
        }
        for one in &players {
            assert!(one.lobby.is_some(), "{loss} % lost");
            for other in players.iter().filter(|other| other.at != one.at) {
                assert_eq!(one.told.get(&other.id), Some(&other.at), "{loss} % lost");
            }
        }
    }
}

/// What real clients know of the lobby that they are in. The newest takes it from JoinLobbySuccess and
/// throws away instructions before that; those of August 2025 take it from JoinLobbyResponse. Both know the
/// peers that they were told of there, and of no lobby after LeaveLobbyResponse.
#[derive(Default)]
struct Real {
    newest: Option<HashSet<String>>,
    august: Option<HashSet<String>>,
}

impl Real {
    fn hear(&mut self, at: SocketAddr, sent: &[(SocketAddr, Pb)]) {
        for (_, Pb(bytes)) in sent.iter().filter(|(to, _)| *to == at) {
            let ids = |members: Vec<ClientInfo>| {
                members
                    .into_iter()
                    .map(|member| {
                        // Read without a look whether it is there.
                        assert!(member.public_endpoint.is_some());
                        member.client_id
                    })
                    .collect()
            };
            match Message::decode(&bytes[..]).unwrap().content.unwrap() {
                Content::JoinLobbyResponse(told) => self.august = Some(ids(told.lobby_members)),
                Content::JoinLobbySuccess(told) => self.newest = Some(ids(told.lobby_members)),
                Content::LeaveLobbyResponse(told) if told.success => *self = Self::default(),
                Content::LobbyUpdate(update) => {
                    let members: HashSet<String> = ids(update.lobby_info.unwrap().members);
                    self.newest.as_mut().unwrap().extend(members.iter().cloned());
                    self.august.as_mut().unwrap().extend(members);
                }
                Content::ConnectionInstruction(told) => {
                    for known in [&self.newest, &self.august] {
                        assert!(known.as_ref().unwrap().contains(&told.client_id), "{told:?}");
                    }
                }
                _ => {}
            }
        }
    }
}

#[test]
fn real_clients_know_whom_they_are_told_to_meet() {
    let mut world = World::new();
    let ids: Vec<String> = (1..=3).map(|n| world.client(addr(n))).collect();
    let lobby = world.lobby(addr(1), &ids[0], 4);
    let (mut second, mut third) = (Real::default(), Real::default());
    let mut told = world.say(addr(2), join(&lobby, &ids[1]));
    told.extend(world.say(addr(1), ready(&lobby, &ids[1])));
    second.hear(addr(2), &told);
    // The next one does not meet the host, and tries again.
    let mut told = world.say(addr(3), join(&lobby, &ids[2]));
    for _ in 0..11 {
        (1..=3).for_each(|n| drop(world.say(addr(n), keep_alive(&ids[usize::from(n) - 1]))));
        told.extend(world.wait(SECOND));
    }
    second.hear(addr(2), &told);
    third.hear(addr(3), &told);
    assert!(third.newest.is_none() && third.august.is_none(), "it is in no lobby");
    let mut told = world.say(addr(3), join(&lobby, &ids[2]));
    told.extend(world.say(addr(1), ready(&lobby, &ids[2])));
    told.extend(world.say(addr(1), leave(&lobby, &ids[0])));
    second.hear(addr(2), &told);
    third.hear(addr(3), &told);
    assert!(third.newest.is_some_and(|known| known.contains(&ids[1])));
}

/// Who was told of whom in these.
fn introductions(sent: &[(SocketAddr, Pb)]) -> Vec<(SocketAddr, String)> {
    let content = |bytes: &[u8]| Message::decode(bytes).unwrap().content.unwrap();
    let told = sent.iter().filter_map(|(to, Pb(bytes))| match content(bytes) {
        Content::ConnectionInstruction(told) => Some((*to, told.client_id)),
        _ => None,
    });
    told.collect()
}

#[test]
fn who_joins_again_at_once_is_introduced_when_the_quarter_of_a_second_is_over() {
    let mut world = World::new();
    let ids: Vec<String> = (1..=3).map(|n| world.client(addr(n))).collect();
    let lobby = world.lobby(addr(1), &ids[0], 8);
    world.say(addr(3), join(&lobby, &ids[2]));
    world.say(addr(1), ready(&lobby, &ids[2]));
    world.wait(SECOND);
    let meet = |a: usize, b: usize| {
        vec![(addr(b as u8), ids[a - 1].clone()), (addr(a as u8), ids[b - 1].clone())]
    };
    let enter = |world: &mut World| {
        let mut sent = world.say(addr(2), join(&lobby, &ids[1]));
        sent.extend(world.say(addr(1), ready(&lobby, &ids[1])));
        introductions(&sent)
    };
    let first = enter(&mut world);
    // The host once as one joins, once as it has met it, and the other member.
    assert_eq!(first.len(), 6, "{first:?}");
    world.wait(Duration::from_millis(100));
    world.say(addr(2), leave(&lobby, &ids[1]));
    assert_eq!(introductions(&world.say(addr(2), join(&lobby, &ids[1]))), []);
    // Once more is the same request, and nothing is told twice for it.
    assert_eq!(introductions(&world.say(addr(2), join(&lobby, &ids[1]))), []);
    assert_eq!(introductions(&world.wait(Duration::from_millis(149))), []);
    assert_eq!(introductions(&world.wait(Duration::from_millis(1))), meet(1, 2));
    assert_eq!(introductions(&world.wait(SECOND)), []);
    // The other members as well, for whom it was so long ago that they are told at once this time.
    let told = introductions(&world.say(addr(1), ready(&lobby, &ids[1])));
    assert_eq!(told, [meet(1, 2), meet(3, 2)].concat());
    world.say(addr(2), leave(&lobby, &ids[1]));
    assert_eq!(enter(&mut world), meet(1, 2), "it has met the host: that is told again at once");
    assert_eq!(introductions(&world.wait(Duration::from_millis(250))), meet(3, 2));
    // Who has left again meanwhile need not meet anybody.
    world.say(addr(2), leave(&lobby, &ids[1]));
    assert_eq!(introductions(&world.say(addr(2), join(&lobby, &ids[1]))), meet(1, 2));
    world.say(addr(2), leave(&lobby, &ids[1]));
    assert_eq!(introductions(&world.say(addr(2), join(&lobby, &ids[1]))), []);
    world.say(addr(2), leave(&lobby, &ids[1]));
    assert_eq!(introductions(&world.wait(SECOND)), []);
}
