//! What a lobby of a new game needs, over real sockets: rooms that outlive their hosts, meshes, codes.

use compat_tests::master::Master;
use compat_tests::rooms::{Error, Event, Message, Player};
use punchd::dialect::rooms::field::Id;
use punchd::dialect::rooms::message::{Request, Wanted};
use punchd::dialect::rooms::options::Options;

use super::{player, start, wait_for};

/// A host and clients in its room, all of them connected with the host.
fn room(master: &Master, options: Options, clients: usize) -> (Player, Vec<Player>) {
    let mut host = player(master);
    let room = host.host_with("Lobby", options).expect("a room").room;
    let mut all = Vec::new();
    for _ in 0..clients {
        let mut client = player(master);
        client.join(room).expect("a place");
        let mut both = 0;
        wait_for(&mut [&mut host, &mut client], |_, event| {
            both += usize::from(matches!(event, Event::Connected(_)));
            (both == 2).then_some(())
        });
        all.push(client);
    }
    (host, all)
}

#[test]
fn all_of_a_mesh_are_connected_with_each_other() {
    let Some(master) = Master::of_rooms() else { return };
    let mut players = [(); 4].map(|()| player(&master));
    let [host, clients @ ..] = &mut players;
    let options = Options { is_mesh: true, ..Options::default() };
    let room = host.host_with("Mesh", options).expect("a room").room;
    for client in clients {
        client.join(room).expect("a place");
    }
    let mut connected = 0;
    wait_for(&mut players.iter_mut().collect::<Vec<_>>(), |_, event| {
        assert!(!matches!(event, Event::Failed(_)));
        connected += usize::from(matches!(event, Event::Connected(_)));
        (connected == 4 * 3).then_some(())
    });
}

#[test]
fn a_room_goes_on_without_its_host() {
    let Some(master) = Master::of_rooms() else { return };
    let options = Options { migrates: true, ..Options::default() };
    let (mut host, mut clients) = room(&master, options, 2);
    host.leave().expect("left");
    let [heir, other] = &mut clients[..] else { panic!("two clients") };
    let ids = [&*heir, other].map(|player| player.place().expect("a place").id);
    let (mut promoted, mut met) = (false, 0);
    wait_for(&mut [heir, other], |n, event| {
        match event {
            Event::Told(Message::Promoted(id)) => promoted = n == 0 && *id == ids[0],
            Event::Told(Message::NewHost(id, _)) => assert!(n == 1 && *id == ids[0]),
            Event::Connected(_) => met += 1,
            _ => {}
        }
        (promoted && met == 2).then_some(())
    });
    heir.rename("Mine").expect("it is host");
    let listed = other.list().expect("a list");
    assert!(listed.iter().any(|entry| entry.name == "Mine" && entry.players == 2), "{listed:?}");
    let mut late = player(&master);
    late.join(heir.place().expect("a place").room).expect("a place");
    wait_for(&mut [heir, &mut late], |n, event| {
        (n == 1 && matches!(event, Event::Connected(_))).then_some(())
    });
}

/// They do not punch again: the connections that they have go on.
#[test]
fn a_mesh_goes_on_without_its_host() {
    let Some(master) = Master::of_rooms() else { return };
    let mut players = [(); 4].map(|()| player(&master));
    let [host, clients @ ..] = &mut players;
    let options = Options { migrates: true, is_mesh: true, ..Options::default() };
    let room = host.host_with("Mesh", options).expect("a room").room;
    for client in clients {
        client.join(room).expect("a place");
    }
    let mut connected = 0;
    wait_for(&mut players.iter_mut().collect::<Vec<_>>(), |_, event| {
        connected += usize::from(matches!(event, Event::Connected(_)));
        (connected == 4 * 3).then_some(())
    });
    let [host, clients @ ..] = &mut players;
    host.leave().expect("left");
    let heir = clients[0].place().expect("a place").id;
    let (mut told, mut comes) = (0, 0);
    wait_for(&mut clients.iter_mut().collect::<Vec<_>>(), |n, event| {
        match event {
            Event::Told(Message::Promoted(id)) => assert!(n == 0 && *id == heir),
            Event::Told(Message::NewHost(id, _)) => {
                assert!(n > 0 && *id == heir);
                told |= n;
            }
            Event::Told(Message::Comes(..)) if n == 0 => comes += 1,
            Event::Connected(_) | Event::Disconnected(_) | Event::Failed(_) => {
                panic!("{n}: {event:?}")
            }
            _ => {}
        }
        // The second and the third client, and the heir of both.
        (told == 3 && comes >= 2).then_some(())
    });
    let [heir, one, two] = clients;
    let ids = [&*one, two].map(|player| player.place().expect("a place").id);
    assert!(one.has_host() && two.has_host());
    one.say(room, "to the host");
    two.say(ids[0], "to a client");
    heir.say(ids[1], "to a client");
    let mut heard = Vec::new();
    wait_for(&mut [heir, one, two], |n, event| {
        if let Event::Said(from, text) = event {
            heard.push((n, *from, text.clone()));
        }
        assert!(!matches!(event, Event::Connected(_) | Event::Disconnected(_)), "{n}: {event:?}");
        (heard.len() == 3).then_some(())
    });
    heard.sort_by_key(|(n, ..)| *n);
    let to_client = "to a client".to_string();
    let expected =
        [(0, ids[0], "to the host".into()), (1, ids[1], to_client.clone()), (2, room, to_client)];
    assert_eq!(heard, expected);
}

#[test]
fn a_host_kicks_without_the_master_server() {
    let master = Master::start(&[]);
    let (mut host, mut clients) = room(&master, Options::default(), 1);
    let [client] = &mut clients[..] else { panic!("one client") };
    let id = client.place().expect("a place").id;
    drop(master);
    let began = std::time::Instant::now();
    host.kick(&Request::KickId(id));
    assert!(began.elapsed() < std::time::Duration::from_millis(100), "it waits for nobody");
    wait_for(&mut [&mut host, client], |n, event| {
        (n == 1 && matches!(event, Event::Kicked)).then_some(())
    });
}

#[test]
fn two_games_with_rooms_of_one_name_never_see_each_other() {
    let Some(master) = Master::of_rooms() else { return };
    let of = |game: &str| Options { game: game.into(), ..Options::default() };
    let mut hosts = [player(&master), player(&master)];
    let games = ["Rooms of Pong", "Rooms of Tetris"];
    let rooms: Vec<Id> = hosts
        .iter_mut()
        .zip(games)
        .map(|(host, game)| host.host_with("Arena", of(game)).expect("a room").room)
        .collect();
    let mut client = player(&master);
    for (game, room) in games.into_iter().zip(&rooms) {
        let listed = client.list_with(&of(game)).expect("a list");
        assert_eq!(listed.iter().map(|entry| entry.room).collect::<Vec<_>>(), [*room]);
    }
    let wrong = client.join_with(Wanted::Id(rooms[0]), of(games[1]));
    assert!(matches!(wrong, Err(Error::Refused { reason, .. }) if reason == "noroom"));
    assert_eq!(client.join_any(of(games[1])).expect("a place").room, rooms[1]);
}

#[test]
fn a_chat_behind_a_code_and_a_password() {
    let Some(master) = Master::of_rooms() else { return };
    let game = ["--game", "Owls"];
    let open = ["--private", "--password", "owl", "--max", "3", "--data", "map=wood"];
    let mut host = start(&master, &[&["host", "Night"], &game[..], &open[..]].concat());
    let code = host.line_with("its code is ");
    let code = code.rsplit(' ').next().expect("a code").to_string();
    let list = || start(&master, &[&["list"], &game[..]].concat());
    list().line_with("no rooms");
    let mut wrong = start(&master, &[&["join", &code], &game[..]].concat());
    assert_eq!(wrong.wait().code(), Some(1));
    let right = [&["join", &code, "--password", "owl"], &game[..]].concat();
    let mut client = start(&master, &right);
    client.line_with("connected with host");
    host.types("/data map=cave");
    host.types("/lock");
    host.line_with("nobody new comes in");
    let mut late = start(&master, &right);
    assert_eq!(late.wait().code(), Some(1), "locked");
    host.types("/unlock");

    // Who looks for any room finds those that lists have.
    let other = ["host", "Day", "--data", "map=cave", "--migrate"];
    let mut other = start(&master, &[&other[..], &game[..]].concat());
    let room = other.line_with("room ");
    let listed = list().line_with("Day");
    assert!(listed.ends_with("Day  map=cave"), "{listed}");
    let any = [&["any", "--data", "map=cave"], &game[..]].concat();
    let mut heir = start(&master, &any);
    let found = heir.line_with("in room ");
    assert_eq!(room.split(' ').nth(1), found.split([' ', ',']).nth(2));
    heir.line_with("connected with host");
    other.types("/leave");
    assert!(other.wait().success());
    heir.line_with("this player is the host now");
    heir.types("/close");
    assert!(heir.wait().success());
    host.types("/close");
    assert!(client.wait().success());
}
