//! Who may come into a room.

use super::*;

/// A room with its host, who hears nothing of all this.
fn room(world: &mut World, data: Value) -> (ConnId, Value) {
    let (host, _) = world.login("host");
    let mut all = json!({"name": "r"});
    all.as_object_mut().unwrap().extend(data.as_object().unwrap().clone());
    let made = world.ask(host, "create_room", all).unwrap();
    (host, made)
}

/// Somebody at another address.
fn from(world: &mut World, n: u8, id: &str) -> ConnId {
    world.login_from(IpAddr::from([203, 0, 113, n]), id).0
}

fn refused(code: &str) -> Result<Value, String> {
    Err(code.to_owned())
}

#[test]
fn a_password_is_asked_for_and_guessing_is_limited() {
    let mut world = World::new();
    let (host, made) = room(&mut world, json!({"password": "sesame"}));
    let (eve, bob) = (from(&mut world, 1, "eve"), from(&mut world, 2, "bob"));
    let listed = world.ask(bob, "list_rooms", json!({})).unwrap();
    assert_eq!(listed["rooms"][0]["password"], true);
    let join = |word: &str| json!({"room": made["room"], "password": word});
    assert_eq!(world.ask(bob, "join_room", json!({"room": made["room"]})), refused("bad_key"));
    assert!(world.ask(bob, "join_room", join("sesame")).is_ok());
    world.ask(bob, "leave_room", json!({})).unwrap();
    for _ in 0..limits::GUESSES {
        assert_eq!(world.ask(eve, "join_room", join("open")), refused("bad_key"));
    }
    assert_eq!(world.ask(eve, "join_room", join("sesame")), refused("too_many"));
    let whys = world.shared.unmet().into_iter().map(|(why, times)| {
        (why.rsplit_once(": ").map(|(_, reason)| reason.to_owned()).unwrap_or(why), times)
    });
    let wanted = [
        ("its address has guessed wrong too often".into(), 1),
        ("the room has another password".into(), limits::GUESSES as u64),
        ("the room has a password, and none was sent".into(), 1),
    ];
    assert_eq!(whys.collect::<Vec<_>>(), wanted);
    assert_eq!(world.shared.counted(), "0 0 0");
    assert!(world.ask(bob, "join_room", join("sesame")).is_ok(), "others are not hindered");
    world.ask(bob, "leave_room", json!({})).unwrap();
    world.ask(host, "update_room", json!({"password": ""})).unwrap();
    assert!(world.ask(bob, "join_room", json!({"room": made["room"]})).is_ok());
    let long = "x".repeat(limits::ROOM_PASSWORD + 1);
    let long = world.ask(host, "update_room", json!({"password": long}));
    assert_eq!(long, refused("bad_request"));
}

#[test]
fn a_private_room_is_not_listed_and_has_a_code() {
    let mut world = World::new();
    let (_, made) = room(&mut world, json!({"private": true}));
    let code = made["code"].as_str().unwrap().to_owned();
    let (bob, eve) = (from(&mut world, 1, "bob"), from(&mut world, 2, "eve"));
    let none = json!({"rooms": [], "more": false});
    assert_eq!(world.ask(bob, "list_rooms", json!({})), Ok(none.clone()));
    assert_eq!(world.ask(bob, "list_rooms", json!({"sort": "newest"})), Ok(none));
    assert_eq!(world.ask(bob, "quick_join", json!({})), refused("no_such_room"));
    let typed = json!({"code": format!(" {} ", code.to_lowercase())});
    assert_eq!(world.ask(bob, "join_room", typed.clone()).unwrap()["room"], made["room"]);
    let by_id = from(&mut world, 3, "by id");
    assert!(world.ask(by_id, "join_room", json!({"room": made["room"]})).is_ok());
    let elsewhere = world.open();
    world.ask(elsewhere, "login", json!({"id": "x", "game": "go"})).unwrap();
    assert_eq!(world.ask(elsewhere, "join_room", typed.clone()), refused("no_such_room"));
    for _ in 0..limits::GUESSES {
        assert_eq!(world.ask(eve, "join_room", json!({"code": "BBBBBB"})), refused("no_such_room"));
    }
    assert_eq!(world.ask(eve, "join_room", typed.clone()), refused("too_many"));
    world.wait(limits::GUESS);
    world.ask(eve, "ping", json!({})).unwrap();
    assert!(world.ask(eve, "join_room", typed).is_ok());
    assert_eq!(world.ask(bob, "join_room", json!({"code": 7})), refused("bad_request"));
    let other = from(&mut world, 4, "other");
    for wanted in [json!({"room": "My room"}), json!({"code": "CCCCCC"}), json!({"code": "DDDDDD"})]
    {
        assert_eq!(world.ask(other, "join_room", wanted), refused("no_such_room"));
    }
    let rows: Vec<_> = world.shared.unmet().into_iter().take(3).map(|(why, _)| why).collect();
    let into = |what| {
        format!("\"other\" (203.0.113.4:1006) was not let into {what}: there is no such room")
    };
    let wanted = ["a private room", "a private room", "room \"My room\", which is no ID"].map(into);
    assert_eq!(rows, wanted, "each has its own row, and no code is told");
}

#[test]
fn a_locked_room_lets_nobody_new_in() {
    let mut world = World::new();
    let (host, made) = room(&mut world, json!({"locked": true}));
    let bob = from(&mut world, 1, "bob");
    assert_eq!(world.ask(bob, "join_room", made.clone()), refused("locked"));
    assert_eq!(world.ask(bob, "list_rooms", json!({})).unwrap()["rooms"][0]["locked"], true);
    let free = world.ask(bob, "list_rooms", json!({"free": true})).unwrap();
    assert_eq!(free["rooms"], json!([]));
    assert_eq!(world.ask(bob, "quick_join", json!({})), refused("no_such_room"));
    assert_eq!(world.ask(host, "update_room", json!({"locked": false})), Ok(json!({})));
    let why = "\"bob\" (203.0.113.1:1002) was not let into room \"r\": the room is locked";
    assert_eq!(world.shared.unmet(), [(why.into(), 1)], "and no quick_join is there");
    assert!(world.ask(bob, "join_room", made.clone()).is_ok());
    assert_eq!(world.ask(bob, "update_room", json!({"locked": true})), refused("not_host"));
    world.ask(host, "update_room", json!({"locked": 1.0})).unwrap();
    // Who is in comes back.
    let (secret, back) = (world.events.secret_of(bob), world.open());
    let data = json!({"id": "bob", "game": "chess", "secret": secret});
    assert_eq!(world.ask(back, "login", data).unwrap()["room"], made["room"]);
}

/// As long as its host has not said how many may come: in a game for four a school may have all places.
#[test]
fn a_room_that_is_full_of_one_address_has_a_place_for_others() {
    let mut world = World::new();
    let (host, made) = room(&mut world, json!({}));
    let crowd: Vec<ConnId> = (1..64).map(|n| from(&mut world, 1, &format!("p{n}"))).collect();
    for id in &crowd {
        world.wait(Duration::from_millis(100));
        world.ask(*id, "join_room", made.clone()).unwrap();
    }
    let late = from(&mut world, 1, "late");
    assert_eq!(world.ask(late, "join_room", made.clone()), refused("full"), "it has enough");
    let bob = from(&mut world, 2, "bob");
    crowd.iter().chain([&host]).for_each(|id| _ = world.heard(*id));
    let joined = world.ask(bob, "join_room", made.clone()).unwrap();
    assert_eq!(joined["players"].as_array().unwrap().len(), 64);
    let data = json!({"room": made["room"], "id": "p63", "reason": "gave_way"});
    assert_eq!(world.hears(crowd[62])["data"], data, "who came last");
    let told = world.heard(host);
    assert_eq!(names(&told), ["player_left", "player_joined"]);
    assert_eq!((&told[0]["data"], &told[1]["data"]["id"]), (&data, &json!("bob")));
    assert_eq!(world.ask(crowd[62], "join_room", made.clone()), refused("full"));
    world.ask(host, "update_room", json!({"max_players": 63})).unwrap();
    let ann = from(&mut world, 3, "ann");
    assert_eq!(world.ask(ann, "join_room", made), refused("full"), "these are a game's places");
}

#[test]
fn a_host_may_change_how_many_there_may_be() {
    let mut world = World::new();
    let (host, made) = room(&mut world, json!({"max_players": 1}));
    let (bob, ann) = (from(&mut world, 1, "bob"), from(&mut world, 2, "ann"));
    assert_eq!(world.ask(bob, "join_room", made.clone()), refused("full"));
    world.ask(host, "update_room", json!({"max_players": 3})).unwrap();
    assert!(world.ask(bob, "join_room", made.clone()).is_ok());
    world.heard.clear();
    world.ask(host, "update_room", json!({"max_players": 1})).unwrap();
    let told = world.hears(bob);
    assert_eq!(told["name"], "room_updated");
    assert_eq!(told["data"], json!({"room": made["room"], "max_players": 1}));
    assert_eq!(world.ask(ann, "join_room", made), refused("full"));
    assert!(world.ask(bob, "leave_room", json!({})).is_ok(), "who was in stayed");
    assert_eq!(world.ask(host, "update_room", json!({"max_players": 65})), refused("bad_request"));
}

#[test]
fn who_was_kicked_stays_out_until_let_in() {
    let mut world = World::new();
    let (host, made) = room(&mut world, json!({}));
    let eve = from(&mut world, 1, "eve");
    world.ask(eve, "join_room", made.clone()).unwrap();
    world.ask(host, "kick", json!({"id": "eve"})).unwrap();
    assert_eq!(world.ask(eve, "join_room", made.clone()), refused("kicked"));
    assert_eq!(world.ask(eve, "quick_join", json!({})), refused("no_such_room"));
    let disguised = from(&mut world, 1, "somebody else");
    assert_eq!(world.ask(disguised, "join_room", made.clone()), refused("kicked"), "same address");
    let third = from(&mut world, 1, "a third");
    assert_eq!(world.ask(third, "join_room", made.clone()), refused("kicked"), "same address");
    let row = |port: u16, id: &str, whom: &str| {
        let why = format!(
            "{id:?} (203.0.113.1:{port}) was not let into room \"r\": its host has kicked {whom}"
        );
        (why, 1)
    };
    let near = "somebody of its address";
    let rows =
        [row(1004, "a third", near), row(1003, "somebody else", near), row(1002, "eve", "it")];
    assert_eq!(world.shared.unmet(), rows);
    world.gone(third);
    world.gone(eve);
    let moved = from(&mut world, 2, "eve");
    assert_eq!(world.ask(moved, "join_room", made.clone()), refused("kicked"), "same ID");
    let bob = from(&mut world, 3, "bob");
    assert!(world.ask(bob, "join_room", made.clone()).is_ok());
    assert_eq!(world.ask(bob, "let_in", json!({"id": "eve"})), refused("not_host"));
    assert_eq!(world.ask(host, "let_in", json!({"id": "eve"})), Ok(json!({})));
    for id in [moved, disguised] {
        assert!(world.ask(id, "join_room", made.clone()).is_ok());
    }
    // Of IPv6 it is a network.
    let six = |n: u64| format!("2001:db8::{n}").parse().unwrap();
    let (mallory, _) = world.login_from(six(1), "mallory");
    world.ask(mallory, "join_room", made.clone()).unwrap();
    world.ask(host, "kick", json!({"id": "mallory"})).unwrap();
    let (other, _) = world.login_from(six(2), "other");
    assert_eq!(world.ask(other, "join_room", made.clone()), refused("kicked"));
    // Who shares the address of the host shares it with others as well.
    let [near, friend] = world.peers(["near", "friend"]);
    world.ask(near, "join_room", made.clone()).unwrap();
    world.ask(host, "kick", json!({"id": "near"})).unwrap();
    assert_eq!(world.ask(near, "join_room", made.clone()), refused("kicked"));
    assert!(world.ask(friend, "join_room", made.clone()).is_ok());
    // It ends with the room.
    world.ask(host, "delete_room", made).unwrap();
    let made = world.ask(host, "create_room", json!({"name": "r"})).unwrap();
    assert!(world.ask(other, "join_room", made).is_ok());
}
