//! Who comes back on another connection, and who has an ID.

use super::*;

fn login(world: &mut World, conn: ConnId, id: &str, secret: &str) -> Result<Value, String> {
    world.ask(conn, "login", json!({"id": id, "game": "chess", "secret": secret}))
}

#[test]
fn the_secret_takes_the_place_over_at_once() {
    let mut world = World::new();
    let [host, bob, eve] = world.peers(["host", "bob", "eve"]);
    let token = world.events.token_of(bob);
    let secret = world.events.secret_of(bob);
    let made = world.ask(host, "create_room", json!({"name": "r"})).unwrap();
    world.ask(bob, "join_room", json!({"room": made["room"]})).unwrap();
    // He waits for an answer, and somebody waits for his.
    world.say(bob, r#"{"type":"request","name":"a","dest":"host","request_id":"mine"}"#);
    world.say(eve, r#"{"type":"request","name":"b","dest":"bob","request_id":"hers"}"#);
    let of_bob = world.heard(host).pop().unwrap()["request_id"].clone();
    let of_eve = world.heard(bob).pop().unwrap()["request_id"].clone();
    world.heard.clear();
    let new = world.open_from(IpAddr::from([203, 0, 113, 5]));
    for wrong in ["", "x", &"0".repeat(32), &format!("{token:032x}")] {
        assert_eq!(login(&mut world, new, "bob", wrong), Err("id_taken".into()));
    }
    assert_eq!(world.shared.refusals.total(crate::refusals::Reason::IdTaken).times, 4);
    world.heard.clear();
    let back = login(&mut world, new, "bob", &secret).unwrap();
    let expected = json!({
        "id": "bob", "udp_token": format!("{token:032x}"), "secret": secret, "resumed": true,
        "room": made["room"], "host": "host", "players": ["host", "bob"],
    });
    assert_eq!(back, expected);
    assert_eq!(world.hears(bob)["data"]["code"], "resumed");
    assert!(world.closed.contains(&bob) && world.heard(host).is_empty(), "nobody has left");
    world.say(host, json!({"type": "response", "request_id": of_bob, "data": 1}).to_string());
    assert_eq!(world.hears(new)["request_id"], "mine");
    world.say(new, json!({"type": "response", "request_id": of_eve, "data": 2}).to_string());
    assert_eq!(world.hears(eve)["request_id"], "hers");
    world.say(host, r#"{"type":"pass","name":"hi","dest":"bob"}"#);
    assert_eq!(world.hears(new)["from"], "host");
    // His game socket is somewhere else now, and all of them are told.
    world.datagram("203.0.113.1:1", &format!("udp:{:032x}", world.events.token_of(host)));
    world.datagram("203.0.113.5:5", &format!("udp:{token:032x}"));
    assert_eq!(world.hears(host)["data"]["ip"], "203.0.113.5");
    assert_eq!(world.hears(new)["data"]["id"], "host");
    assert_eq!(login(&mut world, new, "bob", &secret), Err("already_logged_in".into()));
    for id in [host, new, eve] {
        world.gone(id);
    }
    world.wait(Duration::ZERO);
    assert!(world.events.is_empty());
}

#[test]
fn a_host_keeps_its_room() {
    let mut world = World::new();
    let [host, bob] = world.peers(["host", "bob"]);
    let made = world.ask(host, "create_room", json!({"name": "r", "max_players": 2})).unwrap();
    world.ask(bob, "join_room", json!({"room": made["room"]})).unwrap();
    world.ask(host, "update_room", json!({"locked": true})).unwrap();
    world.heard.clear();
    let (secret, new) = (world.events.secret_of(host), world.open());
    assert_eq!(login(&mut world, new, "host", &secret).unwrap()["host"], "host");
    assert!(world.heard(bob).is_empty());
    assert!(world.ask(new, "kick", json!({"id": "bob"})).is_ok());
    assert!(world.ask(new, "delete_room", json!({"room": made["room"]})).is_ok());
}

#[test]
fn who_is_back_or_follows_as_host_knows_all_of_its_room() {
    let mut world = World::new();
    let [host, bob] = world.peers(["host", "bob"]);
    let room = json!({
        "name": "r", "private": true, "migrate": true, "mesh": true, "data": {"map": "castle"},
    });
    let made = world.ask(host, "create_room", room).unwrap();
    world.ask(bob, "join_room", json!({"room": made["room"]})).unwrap();
    let mut back = |id: &str, conn| {
        let secret = world.events.secret_of(conn);
        let new = world.open();
        let back = login(&mut world, new, id, &secret).unwrap();
        assert_eq!((&back["data"]["map"], &back["mesh"]), (&json!("castle"), &json!(true)));
        (new, back["code"].clone())
    };
    let (host, code) = back("host", host);
    assert_eq!(code, made["code"]);
    let (bob, code) = back("bob", bob);
    assert_eq!(code, Value::Null, "only its host invites others");
    world.heard.clear();
    world.ask(host, "leave_room", json!({})).unwrap();
    let all = world.heard(bob);
    let changed = all.iter().find(|event| event["name"] == "host_changed").unwrap();
    assert_eq!(changed["data"], json!({"room": made["room"], "id": "bob", "code": made["code"]}));
}

#[test]
fn a_place_that_is_gone_is_a_new_one() {
    let mut world = World::new();
    let [bob] = world.peers(["bob"]);
    let secret = world.events.secret_of(bob);
    world.gone(bob);
    let new = world.open();
    let back = login(&mut world, new, "bob", &secret).unwrap();
    assert!(back.get("resumed").is_none() && back["secret"] != json!(secret), "{back}");
}

#[test]
fn who_says_nothing_when_its_id_is_wanted_loses_it() {
    let mut world = World::new();
    let [lost, there] = world.peers(["lost", "there"]);
    let new = world.open();
    for id in ["lost", "there"] {
        assert_eq!(login(&mut world, new, id, ""), Err("id_taken".into()));
    }
    assert_eq!(world.hears(lost)["name"], "ping");
    let ping = world.hears(there);
    world.say(there, json!({"type": "response", "request_id": ping["request_id"]}).to_string());
    world.wait(limits::WANTED_WAIT - Duration::from_millis(1));
    assert_eq!(login(&mut world, new, "lost", ""), Err("id_taken".into()));
    assert!(world.heard(lost).is_empty(), "asked once");
    world.wait(Duration::from_millis(1));
    for _ in 0..10 {
        assert_eq!(login(&mut world, new, "there", ""), Err("id_taken".into()));
    }
    assert!(world.heard(there).is_empty(), "not asked so soon again");
    assert!(login(&mut world, new, "lost", "").is_ok());
    assert_eq!(world.closed, BTreeSet::from([lost]));
}

/// Others fill what it has not read, so that its ping comes late.
#[test]
fn who_is_behind_with_reading_has_as_long_to_answer_as_everybody() {
    let mut world = World::new();
    let [slow] = world.peers(["slow"]);
    let new = world.open();
    world.events.on_unread(slow, 100_000);
    assert_eq!(login(&mut world, new, "slow", ""), Err("id_taken".into()));
    world.events.on_unread(slow, 0);
    world.wait(limits::WANTED_WAIT * 2);
    assert_eq!(login(&mut world, new, "slow", ""), Err("id_taken".into()));
    world.wait(Duration::from_secs(15));
    assert!(world.closed.contains(&slow), "it never answered");
    let another = world.open();
    assert!(login(&mut world, another, "slow", "").is_ok());
}

#[test]
fn an_id_that_was_wanted_is_free_after_twenty_seconds() {
    let mut world = World::new();
    let [lost, new] = [world.login("lost").0, world.open()];
    world.wait(Duration::from_secs(5));
    assert_eq!(login(&mut world, new, "lost", ""), Err("id_taken".into()));
    world.wait(Duration::from_secs(20));
    assert!(world.closed.contains(&lost));
    let another = world.open();
    assert!(login(&mut world, another, "lost", "").is_ok());
}

#[test]
fn the_same_id_in_two_games_is_two_peers() {
    let mut world = World::new();
    let [here, friend] = world.peers(["bob", "ann"]);
    let there = world.open();
    world.ask(there, "login", json!({"id": "bob", "game": "go"})).unwrap();
    world.say(friend, r#"{"type":"pass","name":"x","dest":"bob"}"#);
    assert_eq!((world.heard(here).len(), world.heard(there).len()), (1, 0));
    world.say(there, r#"{"type":"request","name":"x","dest":"ann","request_id":1}"#);
    assert_eq!(world.hears(there)["error"]["code"], "no_such_peer");
    let made = world.ask(here, "create_room", json!({"name": "r"})).unwrap();
    world.ask(there, "create_room", json!({"name": "r"})).unwrap();
    for (id, players) in [(there, 1), (friend, 1)] {
        let listed = world.ask(id, "list_rooms", json!({})).unwrap();
        assert_eq!(listed["rooms"].as_array().unwrap().len(), players);
    }
    world.ask(friend, "join_room", made).unwrap();
    let wrong = world.ask(there, "kick", json!({"id": "ann"}));
    assert_eq!(wrong, Err("no_such_peer".into()));
    world.gone(there);
    let again = world.open();
    let taken = world.ask(again, "login", json!({"id": "bob", "game": "chess"}));
    assert_eq!(taken, Err("id_taken".into()));
    assert!(world.ask(again, "login", json!({"id": "bob", "game": "go"})).is_ok());
}

#[test]
fn no_two_ids_look_alike() {
    let mut world = World::new();
    let [bob] = world.peers(["bob"]);
    let other = world.open();
    for id in ["bob\u{200b}", "\u{202e}bob", "b\u{ad}ob\t"] {
        let taken = world.ask(other, "login", json!({"id": id, "game": "chess"}));
        assert_eq!(taken, Err("id_taken".into()), "{id:?}");
    }
    let data = json!({"id": "al\u{2066}ice\r\n", "game": "ch\u{200d}ess"});
    assert_eq!(world.ask(other, "login", data).unwrap()["id"], "alice");
    world.say(bob, json!({"type": "pass", "name": "x", "dest": "al\u{2066}ice"}).to_string());
    assert_eq!(world.hears(other)["from"], "bob");
    world.ask(other, "create_room", json!({"name": "Ro\u{202e}om\u{7}"})).unwrap();
    let listed = world.ask(bob, "list_rooms", json!({})).unwrap();
    assert_eq!(listed["rooms"][0]["name"], "Room");
}

/// A host, and a player who has asked for its place to be kept; they are in a room.
fn keeping(world: &mut World) -> (ConnId, ConnId, String) {
    let [host] = world.peers(["host"]);
    let bob = world.open_from(IpAddr::from([203, 0, 113, 2]));
    let data = json!({"id": "bob", "game": "chess", "keep": true});
    let answer = world.ask(bob, "login", data).unwrap();
    assert_eq!(answer["keep"], 20);
    let made = world.ask(host, "create_room", json!({"name": "r"})).unwrap();
    world.ask(bob, "join_room", json!({"room": made["room"]})).unwrap();
    world.heard.clear();
    (host, bob, answer["secret"].as_str().unwrap().to_owned())
}

#[test]
fn a_place_is_kept_when_its_connection_breaks_if_that_was_asked_for() {
    let mut world = World::new();
    let (host, bob, secret) = keeping(&mut world);
    world.say(bob, r#"{"type":"request","name":"a","dest":"host","request_id":"mine"}"#);
    let of_bob = world.hears(host)["request_id"].clone();
    world.gone(bob);
    world.wait(Duration::from_secs(19));
    assert!(world.heard(host).is_empty(), "nobody hears of it");
    world.say(host, json!({"type": "response", "request_id": of_bob, "data": 1}).to_string());
    for n in 0..3 {
        world.say(
            host,
            json!({"type": "pass", "name": "chat", "data": n, "dest": "bob"}).to_string(),
        );
    }
    let third = world.login("third").0;
    let room = world.ask(host, "list_rooms", json!({})).unwrap()["rooms"][0]["room"].clone();
    world.ask(third, "join_room", json!({"room": room})).unwrap();
    let new = world.open();
    world.heard.clear();
    // The connection has another number, and its slot may be anybody's by now.
    let request = json!({"id": "bob", "game": "chess", "secret": secret});
    let login = json!({"type": "request", "name": "login", "data": request, "request_id": 5});
    world.say(new, login.to_string());
    let heard = world.heard(new);
    assert_eq!(names(&heard), ["login", "chat", "chat", "chat", "player_joined"]);
    assert_eq!(heard[0]["data"]["players"], json!(["host", "bob", "third"]));
    assert_eq!(
        (&heard[0]["data"]["keep"], &heard[0]["data"]["resumed"]),
        (&json!(20), &json!(true))
    );
    assert_eq!((&heard[1]["request_id"], &heard[3]["data"]), (&json!("mine"), &json!(1)));
    world.wait(Duration::from_secs(25));
    assert!(!world.closed.contains(&new) && world.heard(host).is_empty(), "it is back for good");
    world.say(host, r#"{"type":"pass","name":"hi","dest":"bob"}"#);
    assert_eq!(world.hears(new)["name"], "hi");
    for id in [host, third] {
        world.gone(id);
    }
    // Asked for once, it is so the next time as well; and then it is over.
    world.gone(new);
    assert!(!world.events.is_empty());
    world.wait(limits::BROKEN_WAIT);
    assert!(world.events.is_empty());
}

/// Whoever was asked something before, and whoever else is there.
#[test]
fn nobody_takes_the_place_of_who_is_away_by_what_he_says_to_it() {
    let mut world = World::new();
    let (host, bob, secret) = keeping(&mut world);
    let (stranger, _) = world.login("stranger");
    world.say(bob, r#"{"type":"request","name":"a","dest":"host","request_id":"mine"}"#);
    let of_bob = world.hears(host)["request_id"].clone();
    world.gone(bob);
    let long = "x".repeat(20_000);
    world.say(host, json!({"type": "response", "request_id": of_bob, "data": long}).to_string());
    let pass = |name: &str, data: &str| {
        json!({"type": "pass", "name": name, "data": data, "dest": "bob"}).to_string()
    };
    world.say(stranger, pass("flood", &long[..8100 - 100]));
    world.say(host, pass("chat", &long[..6000]));
    world.wait(Duration::from_secs(1));
    let new = world.open();
    world.heard.clear();
    let request = json!({"id": "bob", "game": "chess", "secret": secret});
    world.say(
        new,
        json!({"type": "request", "name": "login", "data": request, "request_id": 5}).to_string(),
    );
    let heard = world.heard(new);
    assert_eq!(names(&heard), ["login", "a", "chat"]);
    assert_eq!(
        (&heard[0]["data"]["resumed"], &heard[1]["error"]["code"]),
        (&json!(true), &json!("busy"))
    );
}

#[test]
fn who_does_not_come_back_is_gone_after_twenty_seconds() {
    let mut world = World::new();
    let (host, bob, secret) = keeping(&mut world);
    world.say(host, r#"{"type":"request","name":"a","dest":"bob","request_id":1}"#);
    world.gone(bob);
    world.wait(limits::BROKEN_WAIT - Duration::from_millis(1));
    assert!(world.heard(host).is_empty());
    world.wait(Duration::from_millis(1));
    let heard = world.heard(host);
    assert_eq!(names(&heard), ["player_left", "a"]);
    assert_eq!(heard[1]["error"]["code"], "peer_left");
    let new = world.open();
    assert!(login(&mut world, new, "bob", &secret).unwrap().get("resumed").is_none());
}

#[test]
fn who_says_goodbye_or_has_not_asked_for_it_is_gone_at_once() {
    let mut world = World::new();
    let (host, bob, _) = keeping(&mut world);
    world.act(|events, cx| events.on_fin(cx, bob));
    assert_eq!(names(&world.heard(host)), ["player_left"]);
    // Its place was needed by others.
    let mut world = World::new();
    let (host, bob, _) = keeping(&mut world);
    world.events.on_eviction(bob);
    world.gone(bob);
    assert_eq!(names(&world.heard(host)), ["player_left"]);
}

#[test]
fn an_id_whose_place_is_kept_is_free_for_who_logs_in_anew() {
    let mut world = World::new();
    let (host, bob, _) = keeping(&mut world);
    world.gone(bob);
    let new = world.open();
    assert!(login(&mut world, new, "bob", "").unwrap().get("resumed").is_none());
    assert_eq!(names(&world.heard(host)), ["player_left"]);
    world.wait(limits::BROKEN_WAIT);
    assert!(!world.closed.contains(&new));
}

#[test]
fn what_somebody_is_owed_is_bounded() {
    let mut world = World::new();
    let (host, bob, _) = keeping(&mut world);
    world.gone(bob);
    let text = "x".repeat(1000);
    let mut refused = 0;
    for n in 0..20 {
        let request =
            json!({"type": "request", "name": "a", "data": text, "dest": "bob", "request_id": n});
        world.say(host, request.to_string());
        refused +=
            usize::from(world.heard(host).iter().any(|heard| heard["error"]["code"] == "busy"));
    }
    assert_eq!(refused, 20 - limits::OWED / 1100);
    // The server's own news would make a gap, so the place is given up before.
    let mut comes_and_goes = 0;
    while !names(&world.heard(host)).contains(&"a") {
        comes_and_goes += 1;
        assert!(comes_and_goes < 200, "it is owed without end");
        let eve = world.login("eve").0;
        let room = world.ask(host, "list_rooms", json!({})).unwrap()["rooms"][0]["room"].clone();
        world.ask(eve, "join_room", json!({"room": room})).unwrap();
        world.heard.remove(&host);
        world.gone(eve);
        world.wait(Duration::from_millis(50));
    }
    assert!(world.events.names.get("chess", "bob").is_none());
}

/// Somebody at this address has a place that is kept.
fn keep(world: &mut World, n: usize, addr: IpAddr) {
    let id = world.open_from(addr);
    let data = json!({"id": format!("p{n}"), "keep": true});
    world.ask(id, "login", data).unwrap();
    world.gone(id);
}

fn is_kept(world: &World, n: usize) -> bool {
    world.events.names.get("", &format!("p{n}")).is_some()
}

#[test]
fn a_site_with_many_networks_keeps_nobody_elses_place_from_being_kept() {
    let mut world = World::new();
    let ip = |text: &str| text.parse::<IpAddr>().unwrap();
    // An address of IPv4, another site, and a neighbour within the same /48.
    for (n, addr) in ["198.51.100.1", "2001:db8:2::1", "2001:db8:1:ff00::1"].iter().enumerate() {
        keep(&mut world, n, ip(addr));
    }
    for n in 3..1000 {
        keep(&mut world, n, ip(&format!("2001:db8:1:{:x}::1", n % 512)));
    }
    assert_eq!((0..1000).filter(|n| is_kept(&world, *n)).count(), limits::BROKEN);
    assert!((0..3).all(|n| is_kept(&world, n)), "who has one outlasts who has many");
    keep(&mut world, 1000, ip("198.51.100.2"));
    assert!(is_kept(&world, 1000) && (0..3).all(|n| is_kept(&world, n)));
    world.wait(limits::BROKEN_WAIT);
    assert!(world.events.is_empty());
}

#[test]
fn nobody_keeps_the_places_of_others_from_being_kept() {
    let mut world = World::new();
    keep(&mut world, 0, [198, 51, 100, 1].into());
    for n in 1..100 {
        keep(&mut world, n, [203, 0, 113, 7].into());
    }
    assert_eq!((0..100).filter(|n| is_kept(&world, *n)).count(), 1 + limits::BROKEN_PER_ADDRESS);
    for n in 100..1000 {
        keep(&mut world, n, [203, 0, 113, (n % 100) as u8].into());
    }
    assert_eq!((0..1000).filter(|n| is_kept(&world, *n)).count(), limits::BROKEN);
    assert!(is_kept(&world, 0), "it is the only one of its address");
    world.wait(limits::BROKEN_WAIT);
    assert!(world.events.is_empty());
}

#[test]
fn who_watched_rooms_is_told_of_changes_when_it_is_back() {
    let mut world = World::new();
    let (_, bob, secret) = keeping(&mut world);
    world.ask(bob, "watch_rooms", json!({})).unwrap();
    world.gone(bob);
    for n in 0..40 {
        let addr = IpAddr::from([198, 51, 100, n]);
        let maker = world.login_from(addr, &format!("maker {n}")).0;
        let data = json!({"text": "x".repeat(900)});
        world.ask(maker, "create_room", json!({"name": "r", "data": data})).unwrap();
        world.wait(Duration::from_millis(400));
    }
    let new = world.open();
    let back = login(&mut world, new, "bob", &secret).unwrap();
    assert_eq!(back["resumed"], true, "what it was not told is not owed");
    world.heard.clear();
    world.wait(Duration::from_secs(1));
    let heard = world.hears(new);
    let told = heard["data"]["rooms"].as_array().unwrap().len();
    assert_eq!((heard["name"].as_str(), told), (Some("rooms_changed"), 40));
}
