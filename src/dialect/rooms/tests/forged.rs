//! What others send in the name of a peer that has shown its key, and how it has its place again.

use proptest::prelude::*;

use super::{Place, World, peer};
use crate::dialect::rooms::Config;
use crate::dialect::rooms::message::Verb;
use crate::introductions::plan::Wish;
use crate::limits::{self, Limits};

/// Somebody forges these in the name of a victim. He has rooms of his own to lead it into, and places
/// of his own to put where it is.
struct Attacker {
    rooms: [Place; 2],
    /// A client and a host.
    own: [Place; 2],
}

impl Attacker {
    fn new(world: &mut World) -> Self {
        let rooms = [31, 32].map(|n| world.host(peer(n), "W"));
        let client = world.join(peer(33), &rooms[0]);
        let host = world.host(peer(34), "P");
        Self { rooms, own: [client, host] }
    }

    fn act(&mut self, world: &mut World, victim: &Place, n: usize) {
        let [w, v] = &self.rooms;
        let from = match n {
            13 => w.at,
            14 => v.at,
            _ => victim.at,
        };
        let forged = match n {
            0 => "lr".into(),
            1 => "cr".into(),
            2 => "rh:N".into(),
            3 => format!("jr:{}", w.room),
            4 => format!("jr:{}", v.room),
            5 => format!("jr:{}", victim.room),
            6 => "rID:x".into(),
            7 => "er:ka:noroom".into(),
            8 => "ka".into(),
            9 => "rn:x".into(),
            10 => "pc:0123456789abcdef:ok".into(),
            11 | 12 => self.own[n - 11].rc(),
            13 => format!("kc:ip:{}", victim.ip()),
            14 => "cr".into(),
            // A place of his is at an endpoint of his again.
            _ => {
                let own = &mut self.own[n % 2];
                let answers = world.ask(own.at, &own.rc());
                if answers.len() > 1 {
                    *own = Place::of(own.at, &answers[..2]);
                    world.ask(own.at, &own.rc());
                }
                return;
            }
        };
        world.send(from, forged.as_bytes());
    }
}

/// A peer that shows that it is there, and goes by what PROTOCOL.md says.
fn show_up(world: &mut World, place: &Place, ka: &str) {
    let answer = world.answer(place.at, ka);
    if answer != "ka" {
        assert_eq!(answer, "er:ka:noroom");
        come_back(world, place);
        assert_eq!(world.answer(place.at, ka), "ka");
    }
    let at = world.rooms.table.peer_at(place.at).unwrap();
    assert!(at.proved && at.id.to_string() == place.id, "it is elsewhere and has not heard of it");
}

fn come_back(world: &mut World, place: &Place) {
    let back = Place::of(place.at, &world.ask(place.at, &place.rc()));
    assert_eq!((&back.room, &back.id, &back.key), (&place.room, &place.id, &place.key));
}

/// What is forged and for how long nothing comes then, between the signs of life of the victim.
fn rounds() -> impl Strategy<Value = Vec<Vec<(usize, u64)>>> {
    let wait = prop_oneof![3 => Just(0), 2 => 1..3000_u64];
    prop::collection::vec(prop::collection::vec((0..17_usize, wait), 1..8), 1..4)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    #[test]
    fn nothing_forged_takes_a_place_away_whose_key_was_shown(
        rounds in rounds(), is_host: bool, signs: bool, asks: bool,
    ) {
        let (mut world, host, client) = World::introduced();
        let mut attacker = Attacker::new(&mut world);
        let (victim, other) = if is_host { (&host, &client) } else { (&client, &host) };
        let ka = if signs { format!("ka:{}", victim.key) } else { "ka".into() };
        prop_assert_eq!(world.answer(victim.at, &ka), "ka");
        for round in rounds {
            for (n, millis) in round {
                attacker.act(&mut world, victim, n);
                let sent = world.pass(std::time::Duration::from_millis(millis));
                let closed = format!("cr:{}", host.room);
                prop_assert!(!sent.to(client.at).contains(&closed), "its room is gone");
            }
            if !asks {
                come_back(&mut world, victim);
            }
            show_up(&mut world, victim, &ka);
            prop_assert_eq!(world.answer(other.at, "ka"), "ka");
        }
        let both = format!("{},", host.room);
        let list = world.listed();
        prop_assert!(list.contains(&both), "{}", list);
        prop_assert_eq!(&world.join(peer(8), &host).room, &host.room);
        if signs {
            let forged = if is_host { "cr" } else { "lr" };
            prop_assert_eq!(world.answer(victim.at, forged), format!("er:{forged}:badkey"));
        }
        for place in attacker.rooms.iter().chain(&attacker.own).chain([&host, &client]) {
            world.ask(place.at, "cr");
        }
        world.pass_secs(400);
        prop_assert!(world.rooms.is_empty());
    }
}

/// A host or a client that has moved, and has not shown the new key yet.
fn moved(is_host: bool) -> (World, Place, Place) {
    let (mut world, host, client) = World::introduced();
    let (old, other) = if is_host { (host, client) } else { (client, host) };
    let at = peer(5);
    let moved = Place::of(at, &world.send(at, old.rc().as_bytes()).to(at)[..2]);
    (world, moved, other)
}

#[test]
fn who_has_just_moved_does_not_lose_its_place_to_forged_requests() {
    for is_host in [true, false] {
        for n in 0..17 {
            let (mut world, moved, other) = moved(is_host);
            let mut attacker = Attacker::new(&mut world);
            attacker.act(&mut world, &moved, n);
            attacker.act(&mut world, &moved, 3);
            world.pass_secs(10);
            come_back(&mut world, &moved);
            show_up(&mut world, &moved, "ka");
            assert_eq!(world.answer(other.at, "ka"), "ka", "{is_host} {n}");
        }
    }
}

#[test]
fn what_an_address_is_kept_is_not_taken_by_forged_requests_from_there() {
    let limits = Limits { hosts_per_address: 3, connections_per_address: 3, ..Limits::default() };
    let mut world = World::with(Config { limits, ..Config::default() });
    let at = |port| std::net::SocketAddr::new(peer(1).ip(), port);
    let away = world.host(peer(2), "away");
    let host = world.host(at(1), "a");
    let client = world.join(at(2), &away);
    world.pass_secs(2);
    world.answer(host.at, "cr");
    world.answer(client.at, "lr");
    for port in 100..150 {
        world.send(at(port), b"rh:forged");
        world.send(at(port), format!("jr:{}", away.room).as_bytes());
        world.pass(std::time::Duration::from_millis(500));
    }
    show_up(&mut world, &host, "ka");
    show_up(&mut world, &client, "ka");
    // One who reads what is sent there needs a place.
    world.answer(host.at, "cr");
    let others: Vec<Place> = (3..6).map(|port| world.host(at(port), "b")).collect();
    others.iter().for_each(|other| show_up(&mut world, other, "ka"));
    assert_eq!(world.answer(host.at, &host.rc()), "er:rc:noroom");
    world.answer(client.at, "lr");
    let gone = format!("cl:{}", client.id);
    assert!(world.pass_secs(3).to(away.at).contains(&gone));
    for port in 12..15 {
        let other = world.enter(at(port), &format!("jr:{}", away.room));
        let sent = world.send(other.at, other.rc().as_bytes());
        assert!(!sent.to(away.at).contains(&gone), "it knows that already");
        show_up(&mut world, &other, "ka");
    }
    assert_eq!(world.answer(client.at, &client.rc()), "er:rc:noroom");
}

#[test]
fn forged_leaves_of_others_push_out_nothing_that_is_kept() {
    let (mut world, _, client) = World::introduced();
    let other = world.host(peer(3), "b");
    world.send(client.at, b"lr");
    for n in 0..40_000_u32 {
        let [_, a, b, c] = n.to_be_bytes();
        let at = std::net::SocketAddr::from(([20 + a, b, c, 1], 40_000));
        world.send(at, b"rh:x");
        world.send(at, b"cr");
    }
    world.send(client.at, format!("jr:{}", other.room).as_bytes());
    show_up(&mut world, &client, "ka");
}

#[test]
fn a_place_is_kept_for_a_while_and_no_longer() {
    let (mut world, host, client) = World::introduced();
    world.answer(client.at, "lr");
    world.pass(limits::PARTED - std::time::Duration::from_millis(1));
    come_back(&mut world, &client);
    world.answer(client.at, "lr");
    assert!(world.listed().ends_with(",1"), "its place is free for others");
    assert_eq!(world.answer(host.at, &format!("pc:{}:ok", client.id)), "er:pc:noroom");
    world.pass(limits::PARTED);
    assert_eq!(world.answer(client.at, &client.rc()), "er:rc:noroom");
    // Nor is it when it must not come in, or its room is gone.
    let client = world.join(peer(4), &host);
    world.answer(client.at, "lr");
    let kc = format!("kc:id:{}", client.id);
    assert_eq!(world.answer(host.at, &kc), kc);
    assert_eq!(world.answer(client.at, &client.rc()), "er:rc:noroom");
    assert_eq!(world.answer(client.at, &format!("jr:{}", host.room)), "er:jr:kicked");
    let client = world.join(peer(5), &host);
    world.answer(client.at, "lr");
    world.answer(host.at, &format!("kc:ip:{}", client.ip()));
    assert_eq!(world.answer(client.at, &client.rc()), "er:rc:kicked");
    let client = world.join(peer(6), &host);
    world.answer(client.at, "lr");
    world.answer(host.at, &format!("cr:{}", host.key));
    assert_eq!(world.answer(client.at, &client.rc()), "er:rc:noroom");
    world.pass_secs(31);
    assert!(world.rooms.is_empty());
}

#[test]
fn a_place_that_is_kept_where_another_uses_its_key_is_not_taken_back_there() {
    for is_host in [true, false] {
        let mut world = World::new();
        let (away, own) = (world.host(peer(30), "away"), world.host(peer(31), "own"));
        let at = peer(1);
        let moved = Place::of(at, &world.ask(at, &own.rc())[..2]);
        let request = if is_host { "rh:Mine".into() } else { format!("jr:{}", away.room) };
        // The place of the attacker gives way to that of the victim, and is kept.
        world.ask(at, "er:ka:noroom");
        world.pass(limits::LATE_COPY);
        let victim = Place::of(at, &world.ask(at, &request));
        world.prove(&victim);
        assert_eq!(world.answer(at, &victim.signed("ka")), "ka");
        for key in [&own, &moved] {
            assert_eq!(world.answer(at, &key.rc()), "er:rc:badrequest");
        }
        // From elsewhere it comes back, and touches nobody there.
        assert_eq!(Place::of(peer(32), &world.ask(peer(32), &moved.rc())).id, own.id);
        assert_eq!(world.answer(at, &victim.signed("ka")), "ka", "{is_host}");
        let there = world.rooms.table.peer_at(at).unwrap();
        assert_eq!(there.id.to_string(), victim.id);
    }
}

#[test]
fn who_comes_back_from_elsewhere_ends_nobody_where_it_was() {
    let (mut world, host, client) = World::introduced();
    let other = world.host(peer(30), "other");
    world.answer(client.at, "lr");
    world.pass(limits::LATE_COPY);
    // The NAT has given the port to somebody else.
    let neighbour = world.join(client.at, &other);
    world.pass_secs(2);
    let sent = world.send(peer(40), client.rc().as_bytes());
    let back = Place::of(peer(40), &sent.to(peer(40)));
    assert_eq!((&back.id, &back.room), (&client.id, &host.room));
    let comes = format!("cj:{}:{}:40000", client.id, peer(40).ip());
    assert_eq!(sent.to(host.at), [comes]);
    world.prove(&back);
    assert_eq!(world.answer(back.at, "ka"), "ka");
    assert_eq!(world.answer(neighbour.at, "ka"), "ka");
    assert_eq!(world.answer(neighbour.at, "lr"), format!("lr:{}", other.room), "not long done");
}

#[test]
fn who_comes_back_from_elsewhere_is_new_to_nobody_who_was_not_told_that_it_is_gone() {
    let (mut world, host, client) = World::introduced();
    let other = world.host(peer(30), "other");
    world.send(client.at, format!("jr:{}", other.room).as_bytes());
    assert_eq!(world.pass_secs(2).to(host.at), [""; 0]);
    let sent = world.send(peer(40), client.rc().as_bytes());
    assert_eq!(sent.to(host.at), [format!("ep:{}:{}:40000", client.id, peer(40).ip())]);
}

#[test]
fn who_comes_back_is_new_to_a_host_that_has_begun_anew_meanwhile() {
    let (mut world, host, client) = World::introduced();
    let other = world.host(peer(30), "other");
    world.send(client.at, format!("jr:{}", other.room).as_bytes());
    world.pass_secs(2);
    let anew = Place::of(peer(31), &world.ask(peer(31), &host.rc()));
    world.prove(&anew);
    world.pass_secs(2);
    let sent = world.send(peer(40), client.rc().as_bytes());
    assert_eq!(sent.to(anew.at), [format!("cj:{}:{}:40000", client.id, peer(40).ip())]);
}

#[test]
fn a_room_that_others_have_opened_for_somebody_keeps_it_from_none_of_its_own() {
    for forged in ["rh:x:max=2:password=owl", "rh:x:max=2", "rh:x:password=owl:mesh"] {
        let mut world = World::new();
        let at = peer(1);
        let others = Place::of(at, &world.ask(at, forged));
        for request in ["rh:Mine:max=8", "rh:Mine:max=8:lan=192.168.1.2%3A7"] {
            let mine = Place::of(at, &world.ask(at, request));
            assert_ne!(mine.room, others.room);
            assert_eq!(Place::of(at, &world.ask(at, request)).key, mine.key, "asked again");
        }
        if forged.contains("password") {
            assert_ne!(Place::of(at, &world.ask(at, "rh:Mine")).room, others.room);
        }
        let mine = Place::of(at, &world.ask(at, "rh:Mine:max=8"));
        world.prove(&mine);
        assert_eq!(world.answer(at, &mine.signed("ka")), "ka");
        assert!(world.listed().starts_with(&format!("rl:{},Mine,open", mine.room)));
    }
}

#[test]
fn what_the_request_for_a_room_does_not_say_others_have_not_said_for_it() {
    let all = ["locked", "max=1", "private", "game=G", "d.a=b", "mesh", "migrate", "password=owl"];
    for forged in all.into_iter().chain(["lan=192.168.1.2%3A7"]) {
        let mut world = World::new();
        let at = peer(1);
        let others = Place::of(at, &world.ask(at, &format!("rh:x:{forged}")));
        let mine = Place::of(at, &world.ask(at, "rh:Mine"));
        assert_ne!(mine.room, others.room, "{forged}");
        world.prove(&mine);
        let listed = format!("rl:{},Mine,open,1", mine.room);
        assert!(world.listed().starts_with(&listed), "{forged}");
        // Its own is its own, if it asks for that again.
        let request = format!("rh:x:{forged}");
        let [one, again] = [1, 2].map(|_| Place::of(peer(2), &world.ask(peer(2), &request)));
        assert_eq!((one.id, one.key), (again.id, again.key), "{forged}");
        assert_eq!(world.answer(peer(2), "ka"), "ka");
    }
}

#[test]
fn a_room_that_was_moved_to_who_has_none_keeps_it_from_no_room_of_its_own() {
    for signs in [true, false] {
        let mut world = World::new();
        let own = world.host(peer(31), "own:password=owl");
        if signs {
            assert_eq!(world.answer(own.at, &own.signed("ka")), "ka");
        }
        let at = peer(1);
        world.ask(at, &own.rc());
        for request in ["rh:Mine", "rh:Mine:max=4"] {
            let mine = Place::of(at, &world.ask(at, request));
            assert_ne!(mine.room, own.room);
            assert_eq!(Place::of(at, &world.ask(at, request)).key, mine.key, "asked again");
        }
        let mine = Place::of(at, &world.ask(at, "rh:Mine"));
        world.prove(&mine);
        assert_eq!(world.answer(at, &mine.signed("ka")), "ka");
        assert!(world.listed().starts_with(&format!("rl:{},Mine,open", mine.room)));
        assert_eq!(world.answer(at, &own.rc()), "er:rc:badrequest");
    }
    // One that has moved itself has its room all the same.
    let (mut world, moved, other) = moved(true);
    world.ask(moved.at, "rh:Another");
    come_back(&mut world, &moved);
    assert_eq!(world.answer(other.at, "ka"), "ka");
}

#[test]
fn who_may_not_move_ends_nobody_where_its_place_is_kept() {
    let (mut world, host, client) = World::introduced();
    let away = world.host(peer(30), "away");
    world.answer(client.at, "lr");
    world.pass(limits::LATE_COPY);
    let other = world.join(client.at, &away);
    world.pass_secs(2);
    // Somebody is where it says that it is now.
    assert_eq!(world.answer(host.at, &client.rc()), "er:rc:badrequest");
    assert_eq!(world.answer(other.at, "ka"), "ka");
    assert_eq!(world.answer(peer(30), "ka"), "ka");
    assert_eq!(world.pass_secs(2).to(away.at), [""; 0]);
}

/// Two clients of a mesh, of which one has shown its key, and a place of an attacker elsewhere.
fn meshed() -> (World, Place, [Place; 2], Place) {
    let mut world = World::new();
    let host = world.host(peer(1), "a:mesh");
    let clients = [2, 3].map(|n| world.join(peer(n), &host));
    let away = world.host(peer(30), "away");
    world.pass_secs(3);
    (world, host, clients, away)
}

#[test]
fn nobody_is_told_that_a_client_is_gone_that_may_not_have_gone_itself() {
    for n in 0..3 {
        let (mut world, host, [victim, other], away) = meshed();
        let own = world.join(peer(31), &away);
        let forged = ["rh:x".into(), format!("jr:{}", away.room), own.rc()][n].clone();
        let gone = format!("cl:{}", victim.id);
        let told = |sent: &super::Sent| {
            [&host, &other].map(|one| sent.to(one.at).iter().filter(|text| **text == gone).count())
        };
        assert_eq!(told(&world.send(victim.at, forged.as_bytes())), [0, 0], "{forged}");
        assert_eq!(told(&world.pass_secs(20)), [0, 0]);
        // It is still there.
        show_up(&mut world, &victim, "ka");
        assert_eq!(told(&world.pass_secs(40)), [0, 0]);
    }
    for n in 0..3 {
        let (mut world, host, [victim, other], away) = meshed();
        let own = world.join(peer(31), &away);
        let forged = ["rh:x".into(), format!("jr:{}", away.room), own.rc()][n].clone();
        let gone = format!("cl:{}", victim.id);
        let told = |sent: &super::Sent| {
            [&host, &other].map(|one| sent.to(one.at).iter().filter(|text| **text == gone).count())
        };
        world.send(victim.at, forged.as_bytes());
        assert_eq!(told(&world.pass(limits::PARTED - std::time::Duration::from_secs(1))), [0, 0]);
        assert_eq!(told(&world.pass_secs(5)), [3, 3], "{forged}");
    }
}

#[test]
fn who_shows_the_key_of_its_new_place_has_left_the_one_before() {
    for n in 0..3 {
        let (mut world, host, [client, other], away) = meshed();
        let own = world.join(peer(31), &away);
        let request = ["rh:x".into(), format!("jr:{}", away.room), own.rc()][n].clone();
        let place = Place::of(client.at, &world.ask(client.at, &request));
        let sent = world.send(client.at, place.rc().as_bytes());
        let gone = format!("cl:{}", client.id);
        assert!(sent.to(host.at).contains(&gone) && sent.to(other.at).contains(&gone));
        assert_eq!(world.pass_secs(3).to(host.at).len(), 2);
        assert_eq!(world.pass_secs(40).to(host.at), [""; 0], "it is said once");
    }
}

#[test]
fn who_comes_back_with_its_key_has_left_where_it_was_meanwhile() {
    let (mut world, host, [client, _], away) = meshed();
    let place = world.join(client.at, &away);
    assert!(world.pass_secs(3).to(host.at).contains(&format!("cl:{}", client.id)));
    let sent = world.send(client.at, client.rc().as_bytes());
    assert!(sent.to(away.at).contains(&format!("cl:{}", place.id)));
    assert!(sent.to(host.at).iter().any(|text| text.starts_with("cj:")), "{sent:?}");
}

/// What comes of a request that somebody sends in the name of a peer that uses its key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    /// It is refused, and nothing changes.
    BadKey,
    /// It is answered or refused as it always was, and nothing changes.
    Nothing,
}

use Outcome::{BadKey, Nothing};

/// All that may be said with a verb in the name of a host, and of its client, without the key.
fn forged_with(
    verb: Verb,
    host: &Place,
    client: &Place,
    away: &Place,
) -> [Vec<(String, Outcome)>; 2] {
    let of = |texts: &[&str], outcome| texts.iter().map(|text| ((*text).into(), outcome)).collect();
    let both = |texts: &[&str], outcome| [of(texts, outcome), of(texts, outcome)];
    let all = |texts: &[String], outcome| -> Vec<_> {
        texts.iter().map(|text| (text.clone(), outcome)).collect()
    };
    let (own, other) = (format!("jr:{}:never", host.room), format!("jr:{}", away.room));
    let wrong = "0123456789abcdef0123456789abcdef";
    match verb {
        Verb::Status => both(&["status"], Nothing),
        Verb::Ka => [
            [of(&["ka"], Nothing), all(&[format!("ka:{wrong}")], BadKey)].concat(),
            of(&["ka"], Nothing),
        ],
        Verb::Rl => both(&["rl", "rl:more:cookie"], Nothing),
        Verb::Rh => {
            let lan = "rh::lan=192.168.7.7%3A7";
            let same = of(&["rh", "rh:Room", lan, "rh:Room:max=2", "rh::password=x"], Nothing);
            [[of(&["rh:Other"], BadKey), same].concat(), of(&["rh:Other", "rh"], Nothing)]
        }
        Verb::Jr => [all(&[own.clone(), other.clone()], Nothing), all(&[own, other], Nothing)],
        Verb::Qj => both(&["qj", "qj:never"], Nothing),
        Verb::Pc => {
            let said = ["ok", "fail"].map(|how| format!("pc:{}:{how}", client.id));
            [all(&said, BadKey), all(&said, BadKey)]
        }
        Verb::Lr => both(&["lr"], BadKey),
        Verb::Cr => both(&["cr"], BadKey),
        Verb::Kc => {
            let said = [format!("kc:id:{}", client.id), format!("kc:ip:{}", client.ip())];
            [all(&said, BadKey), all(&said, BadKey)]
        }
        Verb::Li => [of(&["li:ip:192.0.2.1", "li:id:0123456789abcdef"], BadKey), Vec::new()],
        Verb::Rn => both(&["rn:Other"], BadKey),
        Verb::Rs => {
            let said = ["rs:locked", "rs:max=2", "rs:private", "rs:password=x", "rs:d.a=b", "rs"];
            [of(&said, BadKey), Vec::new()]
        }
        Verb::Rc => {
            let said = |place: &Place| format!("rc:{}:{wrong}:lan=192.168.7.7%3A7", place.id);
            // With a key of his own place.
            let of_away = all(&[away.rc()], Nothing);
            [
                [all(&[said(host)], BadKey), of_away.clone()].concat(),
                [all(&[said(client)], BadKey), of_away].concat(),
            ]
        }
    }
}

#[test]
fn nothing_changes_without_the_key_for_who_uses_it() {
    for (verb, _) in Verb::ALL {
        let (mut world, host, client) = World::introduced();
        let away = world.host(peer(7), "away");
        let [of_host, of_client] = forged_with(verb, &host, &client, &away);
        let all = of_host.into_iter().map(|one| (true, one));
        for (is_host, (text, outcome)) in all.chain(of_client.into_iter().map(|one| (false, one))) {
            let (mut world, host, client) = World::introduced();
            let away_again = world.host(peer(7), "away");
            assert_eq!(away_again.room, away.room, "the same world once more");
            for place in [&host, &client] {
                assert_eq!(world.answer(place.at, &place.signed("ka")), "ka");
            }
            let state = |world: &World| {
                let table = &world.rooms.table;
                let peers = [&host, &client].map(|place| {
                    let at = table.peer_at(place.at).unwrap();
                    assert_eq!(at.wish, Wish::IfNeeded);
                    (at.id.to_string(), at.status, at.lan.clone(), at.proved)
                });
                let room = table.peer_at(host.at).and_then(|host| table.room(host.room)).unwrap();
                format!("{peers:?} {room:?}")
            };
            let before = state(&world);
            let victim = if is_host { &host } else { &client };
            let answers = world.ask(victim.at, &text);
            let badkey = vec![format!("er:{verb}:badkey")];
            assert_eq!(answers == badkey, outcome == BadKey, "{is_host} {text}: {answers:?}");
            assert_eq!(state(&world), before, "{is_host} {text}");
            assert_eq!(
                world.pass_secs(1).to(peer(2)),
                [""; 0],
                "{is_host} {text}: it is told of nothing"
            );
            assert_eq!(world.answer(victim.at, &victim.signed("ka")), "ka");
        }
    }
}

#[test]
fn a_host_that_uses_its_key_is_as_safe_where_it_moves_to() {
    let (mut world, host, _) = World::introduced();
    world.answer(host.at, &host.signed("ka"));
    let at = peer(5);
    let moved = Place::of(at, &world.ask(at, &host.rc())[..2]);
    assert_ne!(moved.key, host.key);
    for forged in ["rn:Other", "cr", "kc:ip:192.0.2.1"] {
        let (verb, _) = forged.split_once(':').unwrap_or((forged, ""));
        assert_eq!(world.answer(at, forged), format!("er:{verb}:badkey"));
        assert_eq!(
            world.answer(at, &host.signed(forged)),
            format!("er:{verb}:badkey"),
            "the old key"
        );
    }
    assert_eq!(world.answer(at, &moved.signed("rn:Other")), "rn:Other");
}

/// `ka` without the key, and all else that a host can be made to say so.
#[test]
fn who_ends_its_signs_of_life_with_its_key_lives_by_no_others() {
    let silence = limits::ROOM_SILENCE.as_secs();
    let ka = |world: &mut World, place: &Place| {
        for _ in 0..2 {
            assert_eq!(world.answer(place.at, &place.signed("ka")), "ka");
            world.pass(limits::SIGNED_AGAIN);
        }
    };
    for request in ["ka", "rl", "status", "rh", "pc:0123456789abcdef:ok", "rs:locked", "rn:Other"] {
        let (mut world, host, client) = World::introduced();
        ka(&mut world, &host);
        for _ in 0..silence / 10 {
            world.send(host.at, request.as_bytes());
            world.answer(client.at, "ka");
            world.pass_secs(10);
        }
        assert_eq!(world.listed(), "rl:", "{request}: it is gone");
        assert_eq!(world.answer(client.at, "ka"), "er:ka:noroom");
    }
    // The same requests count of a host that has used its key once, to be safe, and of one at a new
    // endpoint; and its key does, wherever it stands.
    let (mut world, host, _) = World::introduced();
    (0..3).for_each(|_| assert_eq!(world.answer(host.at, &host.signed("ka")), "ka"));
    world.answer(host.at, &host.signed("rn:Named"));
    for _ in 0..silence / 10 {
        world.answer(host.at, "ka");
        world.pass_secs(10);
    }
    ka(&mut world, &host);
    for _ in 0..silence / 10 {
        world.ask(host.at, &host.rc());
        world.pass_secs(10);
    }
    let moved = Place::of(peer(8), &world.ask(peer(8), &host.rc()));
    world.answer(moved.at, &moved.signed("ka"));
    for _ in 0..silence / 10 {
        world.answer(moved.at, "ka");
        world.pass_secs(10);
    }
    assert!(world.listed().starts_with(&format!("rl:{},Named", host.room)));
}
