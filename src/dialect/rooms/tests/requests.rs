//! Every request, and every reason to refuse it.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};

use super::{Place, World, peer};
use crate::dialect::rooms::Config;
use crate::dialect::{Dialect, Name};
use crate::limits::{self, Limits};

const NOBODY: &str = "0123456789abcdef";

#[test]
fn status_is_ok_until_it_is_busy() {
    let mut world = World::with(Config { peers: 2, ..Config::default() });
    assert_eq!(world.answer(peer(9), "status"), "OK");
    let host = world.host(peer(1), "a");
    let client = world.join(peer(2), &host);
    assert_eq!(world.answer(peer(9), "status"), "BUSY");
    assert_eq!(world.answer(peer(9), "rh"), "er:rh:busy");
    assert_eq!(world.answer(peer(9), &format!("jr:{}", host.room)), "er:jr:busy");
    world.answer(client.at, "lr");
    assert_eq!(world.answer(peer(9), "status"), "BUSY", "the place is kept");
    world.pass(limits::PARTED);
    assert_eq!(world.answer(peer(9), "status"), "OK");
    let client = world.join(peer(2), &host);
    world.answer(client.at, &format!("lr:{}", client.key));
    assert_eq!(world.answer(peer(9), "status"), "OK");
}

#[test]
fn a_server_that_stops_is_busy_and_sends_what_it_owes() {
    let mut world = World::new();
    let host = world.host(peer(1), "a");
    let client = world.join(peer(2), &host);
    let owed = world.act(|rooms, cx| rooms.on_shutdown(cx)).to(host.at);
    assert_eq!(owed, [format!("cj:{}:{}:40000", client.id, client.ip())]);
    assert!(!world.rooms.owes());
    assert_eq!(world.answer(peer(9), "status"), "BUSY");
    assert_eq!(world.answer(peer(9), "rh"), "er:rh:busy");
    assert_eq!(world.answer(peer(9), &format!("jr:{}", host.room)), "er:jr:busy");
}

#[test]
fn a_room_is_hosted_once_however_often_it_is_asked_for() {
    let mut world = World::new();
    world.pass_secs(11);
    let answers = world.ask(peer(1), "rh:My%20room");
    let host = Place::of(peer(1), &answers);
    assert_eq!(answers[0], format!("rh:{}", host.room));
    assert_eq!((host.room.len(), host.id.len(), host.key.len()), (16, 16, 32));
    assert_eq!(world.ask(peer(1), "rh:My%20room"), answers);
    assert_eq!(world.ask(peer(1), "rh:Another"), answers, "one endpoint, one room");
    let listed = world.listed();
    assert_eq!(listed, format!("rl:{},Another,open,1", host.room), "started anew at this port");
    assert_eq!(world.ask(peer(1), "rh"), answers);
    world.pass_secs(2);
    world.answer(peer(1), "rn:Third");
    assert_eq!(world.ask(peer(1), "rh:Another"), answers);
    let listed = world.listed();
    assert_eq!(listed, format!("rl:{},Third,open,1", host.room), "a late copy of the first");
    world.answer(peer(1), &format!("ka:{}", host.key));
    world.pass_secs(2);
    assert_eq!(world.answer(peer(1), "rh:Forged"), "er:rh:badkey", "it signs what it says");
    assert_eq!(world.ask(peer(1), "rh:Third"), answers);
    assert_eq!(world.ask(peer(1), "rh"), answers);
    assert!(world.listed().contains("Third"));
}

/// Else the host would believe that it has the room that it has asked for.
#[test]
fn a_host_that_asks_for_a_room_unlike_its_own_is_refused() {
    let mut world = World::new();
    let all =
        "rh:a:game=G:max=4:password=p:private:locked:migrate:mesh:d.map=x:lan=192.168.1.9%3A7";
    world.host(peer(1), all.strip_prefix("rh:").unwrap());
    let answers = world.ask(peer(1), all);
    let same = ["rh", "rh:a", all, "rh:a:max=4:d.other=", "rh:a:d.map=x:game=G:mesh"];
    for request in same {
        assert_eq!(world.ask(peer(1), request), answers, "{request}");
    }
    let other = ["game=H", "max=5", "password=q", "password=", "d.map=y", "d.map=", "d.new=1"];
    for option in other.into_iter().chain(["lan=192.168.1.8%3A7"]) {
        assert_eq!(
            world.answer(peer(1), &format!("rh:b:{option}")),
            "er:rh:badrequest",
            "{option}"
        );
    }
    world.host(peer(2), "plain");
    let plain = world.ask(peer(2), "rh:plain");
    for option in ["game=G", "max=4", "password=p", "private", "locked", "migrate", "mesh", "d.a=1"]
    {
        assert_eq!(
            world.answer(peer(2), &format!("rh:b:{option}")),
            "er:rh:badrequest",
            "{option}"
        );
    }
    assert_eq!(world.ask(peer(2), "rh:plain:password="), plain);
    assert!(world.listed().contains("plain"), "what is refused changes nothing");
}

#[test]
fn ids_and_keys_differ_and_come_from_the_seed() {
    let places = |seed| {
        let mut world = World::seeded(seed, Config::default());
        let places = (1..20).map(|n| world.enter(peer(n), "rh"));
        places.flat_map(|place| [place.room, place.id, place.key]).collect::<Vec<_>>()
    };
    assert_eq!(places(1), places(1));
    let all: BTreeSet<String> = places(1).into_iter().chain(places(2)).collect();
    assert_eq!(all.len(), 2 * 3 * 19);
}

#[test]
fn the_list_has_the_newest_first_and_goes_on() {
    let mut world = World::new();
    assert_eq!(world.answer(peer(999), "rl"), "rl:");
    let rooms: Vec<String> =
        (0..100).map(|n| world.host(peer(n), &format!("Room {n}%2C")).room).collect();
    let (mut after, mut listed, mut pages) = (String::new(), Vec::new(), 0);
    loop {
        // Padded, so that there is credit for a full page.
        let request = format!("rl{after}{}", "\0".repeat(480));
        let page = world.answer(peer(999), &request);
        assert!(page.len() <= 1200);
        pages += 1;
        let entries = page.strip_prefix("rl:").unwrap();
        let (entries, more) =
            entries.strip_suffix(":+").map_or((entries, false), |entries| (entries, true));
        listed.extend(entries.split(':').map(str::to_string));
        if !more {
            break;
        }
        assert!(page.len() > 1150, "a full page: {}", page.len());
        after = format!(":{}", &listed.last().unwrap()[..16]);
    }
    let expected: Vec<String> =
        (0..100).rev().map(|n| format!("{},Room {n}%2C,open,1", rooms[n])).collect();
    assert_eq!(listed, expected);
    assert_eq!(pages, 3);
    assert_eq!(world.answer(peer(999), &format!("rl:{NOBODY}")), "er:rl:noroom");
}

#[test]
fn pages_are_as_long_as_the_request_has_paid_for() {
    let mut world = World::new();
    let name = "%2C".repeat(64);
    let rooms: Vec<Place> = (0..30).map(|n| world.host(peer(n), &name)).collect();
    world.pass_secs(11);
    assert_eq!(world.answer(peer(999), "rl"), "er:rl:limit");
    let request = format!("rl:{}", rooms[20].room);
    assert_eq!(world.answer(peer(999), &request), "er:rl:limit");
    let padded = format!("{request}{}", "\n".repeat(400));
    assert!(world.answer(peer(999), &padded).len() > 1000);
    // Short names: some rooms for each, to the byte.
    let mut world = World::new();
    let rooms: Vec<Place> = (0..30).map(|n| world.host(peer(n), "name")).collect();
    let page = |world: &mut World, request: &str| world.answer(peer(999), request).len();
    let entry = ":,name,open,1".len() + 16;
    assert_eq!(page(&mut world, "rl"), 2 + 2 * entry + 2);
    assert_eq!(page(&mut world, &format!("rl:{}", rooms[20].room)), 2 + 3 * entry + 2);
}

#[test]
fn joining_introduces_both_sides() {
    let mut world = World::new();
    let host = world.host(peer(1), "a");
    let request = format!("jr:{}", host.room);
    world.pass_secs(11);
    let sent = world.send(peer(2), request.as_bytes());
    let client = Place::of(peer(2), &sent.to(peer(2)));
    assert_eq!(sent.to(peer(2))[0], format!("jr:{}:{}:{}:40000", host.room, client.id, host.ip()));
    assert_eq!(sent.to(host.at), [format!("cj:{}:{}:40000", client.id, client.ip())]);
    assert_eq!(world.ask(peer(2), &request), sent.to(peer(2)), "asked again");
    assert!(world.listed().ends_with(",open,2"));
}

#[test]
fn ipv6_addresses_are_encoded() {
    let mut world = World::new();
    let host = world.host("[2001:db8::1]:7000".parse().unwrap(), "a");
    let at = "[2001:db8::2]:7001".parse().unwrap();
    let client = world.join(at, &host);
    let answers = world.ask(at, &format!("jr:{}", host.room));
    assert!(answers[0].ends_with(":2001%3Adb8%3A%3A1:7000"), "{answers:?}");
    world.answer(host.at, "kc:ip:2001%3Adb8%3A%3A2");
    assert_eq!(world.answer(client.at, "ka"), "er:ka:kicked");
}

#[test]
fn joining_is_refused_with_a_reason() {
    let mut world = World::new();
    let host = world.host(peer(1), "a");
    assert_eq!(world.answer(peer(2), &format!("jr:{NOBODY}")), "er:jr:noroom");
    assert_eq!(world.answer(host.at, &format!("jr:{}", host.room)), "er:jr:badrequest");
    assert_eq!(world.answer(peer(2), "jr:x"), "er:jr:badrequest");
}

#[test]
fn who_joins_another_room_leaves_the_first() {
    let (mut world, host, client) = World::introduced();
    let other = world.host(peer(3), "b");
    let sent = world.send(client.at, format!("jr:{}", other.room).as_bytes());
    assert_eq!(sent.to(host.at), [""; 0], "it may be somebody else who has sent that");
    let gone = format!("cl:{}", client.id);
    let client = Place::of(client.at, &sent.to(client.at));
    assert_eq!(client.room, other.room);
    assert_eq!(world.send(client.at, client.rc().as_bytes()).to(host.at), [gone]);
    let third = world.enter(client.at, "rh:c");
    let sent = world.send(client.at, third.rc().as_bytes());
    assert_eq!(sent.to(other.at).len(), 0, "the notification before is not half a second old");
    assert_eq!(world.pass_secs(1).to(other.at)[0], format!("cl:{}", client.id));
    let listed = world.listed();
    assert_eq!(listed.matches(",1").count(), 3, "{listed}");
}

#[test]
fn either_side_says_how_the_punch_ended() {
    let (mut world, host, client) = World::introduced();
    let (ok, fail) = (format!("pc:{}:ok", client.id), format!("pc:{}:fail", client.id));
    assert_eq!(world.answer(client.at, &fail), ok);
    assert_eq!(world.answer(host.at, &ok), ok);
    assert_eq!(world.answer(peer(9), &ok), "er:pc:noroom");
    assert_eq!(world.answer(host.at, &format!("pc:{NOBODY}:ok")), "er:pc:noroom");
    assert_eq!(world.answer(host.at, &format!("pc:{}:ok", host.id)), "er:pc:noroom");
    let other = world.join(peer(3), &host);
    assert_eq!(world.answer(other.at, &ok), "er:pc:noroom", "no business of other clients");
    let elsewhere = world.host(peer(4), "b");
    assert_eq!(world.answer(elsewhere.at, &ok), "er:pc:noroom");
}

#[test]
fn leaving_is_told_to_the_host() {
    let (mut world, host, client) = World::introduced();
    let sent = world.send(client.at, b"lr");
    assert_eq!(sent.to(client.at), [format!("lr:{}", host.room)]);
    assert_eq!(sent.to(host.at), [format!("cl:{}", client.id)]);
    let again = world.send(client.at, b"lr");
    assert_eq!(again.0, [(client.at, format!("lr:{}", host.room))], "asked again");
    assert_eq!(world.answer(peer(9), "lr"), "er:lr:noroom");
    assert_eq!(world.answer(host.at, "lr"), "er:lr:badrequest");
    world.pass_secs(31);
    assert_eq!(world.answer(client.at, "lr"), "er:lr:noroom", "long ago");
}

#[test]
fn closing_is_told_to_all() {
    let (mut world, host, client) = World::introduced();
    assert_eq!(world.answer(client.at, "cr"), "er:cr:nothost");
    assert_eq!(world.answer(peer(9), "cr"), "er:cr:noroom");
    let closed = format!("cr:{}", host.room);
    assert_eq!(world.send(host.at, b"cr").0, [(host.at, closed.clone())]);
    assert_eq!(world.answer(host.at, "cr"), closed, "asked again");
    assert_eq!(world.listed(), "rl:");
    assert_eq!(world.answer(peer(9), &format!("jr:{}", host.room)), "er:jr:noroom");
    assert_eq!(world.pass_secs(29).0, [], "it may be somebody else who has sent that");
    assert_eq!(world.answer(client.at, "ka"), "ka");
    assert_eq!(world.pass_secs(1).to(client.at)[0], closed);
    assert_eq!(world.answer(client.at, "ka"), "er:ka:noroom");
    // Who has never shown a key could not come back.
    let bare = world.enter(peer(3), "rh:bare");
    let client = world.join(peer(4), &bare);
    world.pass_secs(2);
    assert_eq!(world.send(bare.at, b"cr").to(client.at), [format!("cr:{}", bare.room)]);
    world.pass_secs(2);
    assert_ne!(world.host(host.at, "a").room, host.room);
}

#[test]
fn who_is_kicked_stays_out() {
    let (mut world, host, client) = World::introduced();
    let kick = format!("kc:id:{}", client.id);
    assert_eq!(world.answer(client.at, &kick), "er:kc:nothost");
    assert_eq!(world.answer(peer(9), &kick), "er:kc:noroom");
    assert_eq!(world.answer(host.at, &format!("kc:id:{}", host.id)), "er:kc:badrequest");
    let sent = world.send(host.at, kick.as_bytes());
    assert_eq!(sent.to(host.at), [kick.as_str()]);
    assert_eq!(sent.to(client.at), [format!("kc:{}", host.room)]);
    assert_eq!(world.answer(host.at, &kick), kick, "asked again");
    for late in [0, 2, 60, 500] {
        world.pass_secs(late / 2);
        world.answer(host.at, "ka");
        world.pass_secs(late / 2);
        world.answer(host.at, "ka");
        assert_eq!(world.answer(client.at, &format!("jr:{}", host.room)), "er:jr:kicked");
    }
    assert_eq!(world.answer(client.at, &client.rc()), "er:rc:noroom");
    let other = world.host(peer(3), "b");
    world.join(client.at, &other);
}

#[test]
fn an_address_is_kicked_with_all_its_clients() {
    let mut world = World::new();
    let host = world.host(peer(1), "a");
    let [mut one, mut two] = [peer(2); 2];
    one.set_port(1);
    two.set_port(2);
    let [one, two] = [one, two].map(|at| world.join(at, &host));
    let other = world.join(peer(3), &host);
    let kick = format!("kc:ip:{}", one.ip());
    let sent = world.send(host.at, kick.as_bytes());
    assert_eq!(sent.to(host.at), [kick.as_str()]);
    for client in [&one, &two] {
        assert_eq!(sent.to(client.at), [format!("kc:{}", host.room)]);
    }
    assert!(sent.to(other.at).is_empty());
    assert_eq!(world.answer(peer(2), &format!("jr:{}", host.room)), "er:jr:kicked");
    // It cannot come in with a place that it was given elsewhere, either.
    let moved = Place { at: peer(2), ..other };
    assert_eq!(world.answer(peer(2), &moved.rc()), "er:rc:kicked");
}

/// The host knows those in the network of the server by another address than the server does.
#[test]
fn an_address_is_kicked_as_the_host_knows_it() {
    let public: IpAddr = [198, 51, 100, 7].into();
    let config = Config { public_ips: public.into(), ..Config::default() };
    for kick in [format!("kc:ip:{public}"), "kc:ip:192.168.1.5".to_owned()] {
        let mut world = World::with(config.clone());
        let host = world.host(peer(1), "a");
        let inside = SocketAddr::from(([192, 168, 1, 5], 40_000));
        world.join(inside, &host);
        let sent = world.send(host.at, kick.as_bytes());
        assert_eq!(sent.to(inside), [format!("kc:{}", host.room)], "{kick}");
        let other_port = SocketAddr::new(inside.ip(), 40_001);
        assert_eq!(world.answer(other_port, &format!("jr:{}", host.room)), "er:jr:kicked");
        world.join(peer(3), &host);
    }
}

#[test]
fn renaming_is_told_to_the_clients() {
    let (mut world, host, client) = World::introduced();
    assert_eq!(world.answer(client.at, "rn:New"), "er:rn:nothost");
    assert_eq!(world.answer(peer(9), "rn:New"), "er:rn:noroom");
    let sent = world.send(host.at, b"rn:New%3A");
    assert_eq!(sent.to(host.at), ["rn:New%3A"]);
    assert_eq!(sent.to(client.at), ["rn:New%3A"]);
    let again = world.send(host.at, b"rn:New%3A");
    assert_eq!(again.0, [(host.at, "rn:New%3A".to_string())], "asked again");
    assert!(world.listed().contains(",New%3A,open,2"));
}

#[test]
fn keep_alive_is_answered_to_those_in_a_room() {
    let (mut world, host, client) = World::introduced();
    assert_eq!(world.answer(host.at, "ka"), "ka");
    assert_eq!(world.answer(client.at, "k:secret:ka\n"), "ka");
    assert_eq!(world.answer(peer(9), "ka"), "er:ka:noroom");
}

#[test]
fn an_address_may_not_have_everything() {
    let limits = Limits { hosts_per_address: 3, connections_per_address: 4, ..Limits::default() };
    let mut world = World::with(Config { limits, ..Config::default() });
    let at = |port| std::net::SocketAddr::new(peer(1).ip(), port);
    let hosts: Vec<Place> = (1..=3).map(|n| world.host(at(n), "a")).collect();
    assert_eq!(world.answer(at(4), "rh"), "er:rh:limit");
    let clients: Vec<Place> = (11..=14).map(|n| world.join(at(n), &hosts[0])).collect();
    let request = format!("jr:{}", hosts[0].room);
    assert_eq!(world.answer(at(15), &request), "er:jr:limit");
    world.answer(clients[0].at, "lr");
    world.join(at(15), &hosts[0]);
}

#[test]
fn other_text_is_dropped() {
    let mut world = World::new();
    for text in ["hello", "", "OK", "rH", "er:ka:noroom", "rID:1:2"] {
        assert_eq!(world.send(peer(1), text.as_bytes()).0, [], "{text}");
    }
    let mut nowhere = peer(1);
    nowhere.set_port(0);
    assert_eq!(world.send(nowhere, b"rh").0, []);
    assert!(world.rooms.is_empty());
}

#[test]
fn nothing_is_left_when_everybody_has_gone() {
    let (mut world, host, client) = World::introduced();
    world.answer(client.at, "lr");
    world.answer(host.at, "cr");
    assert!(!world.rooms.is_empty());
    world.pass_secs(31);
    assert!(world.rooms.is_empty(), "{:?}", world.rooms);
    // Where the room stood in lists.
    world.pass_secs(30);
    assert_eq!(world.rooms.next_wakeup(), None);
}

#[test]
fn what_the_server_refuses_itself_is_counted_by_its_reason() {
    use crate::refusals::Reason;
    let limits = Limits { hosts_per_address: 1, ..Limits::default() };
    let mut world = World::with(Config { limits, ..Config::default() });
    world.host(peer(1), "a");
    let neighbour = SocketAddr::new(peer(1).ip(), 40_001);
    assert_eq!(world.answer(neighbour, "rh:b"), "er:rh:limit");
    assert_eq!(world.answer(neighbour, "jr:x"), "er:jr:badrequest");
    // That is between players.
    assert_eq!(world.answer(neighbour, &format!("jr:{NOBODY}")), "er:jr:noroom");
    // A host that may be forged is told of one player of each network.
    world.enter(peer(2), "rh:c");
    let forged = world.rooms.table.peer_at(peer(2)).unwrap().room.to_string();
    let joins = (100..160).map(|n| {
        let answers = world.ask(SocketAddr::from(([203, 0, 113, n], 1)), &format!("jr:{forged}"));
        answers.concat()
    });
    let joins: Vec<String> = joins.collect();
    let busy = joins.iter().filter(|answer| *answer == "er:jr:busy").count() as u64;
    assert!(busy > 50, "{joins:?}");
    let times = |reason| world.shared.refusals.count(reason, Some(Name::Rooms)).times;
    assert_eq!(times(Reason::HostsOfAddress), 1);
    assert_eq!(times(Reason::Malformed), 1);
    assert_eq!(times(Reason::Unproven), busy);
    assert_eq!(world.shared.refusals.counts().count(), 3);
    let mut full = World::with(Config { peers: 1, ..Config::default() });
    full.host(peer(1), "a");
    assert_eq!(full.answer(peer(9), "rh"), "er:rh:busy");
    assert_eq!(full.shared.refusals.count(Reason::Places, Some(Name::Rooms)).times, 1);
}
