//! Rooms in which all are introduced to each other, and players of one network.

use super::{Place, Sent, World, peer};
use crate::limits;

fn comes(who: &Place) -> String {
    format!("cj:{}:{}:{}", who.id, who.ip(), who.at.port())
}

/// A mesh with clients who have shown their keys, nothing under way.
fn mesh(clients: u16) -> (World, Place, Vec<Place>) {
    let mut world = World::new();
    let host = world.host(peer(1), "Room:mesh");
    let places = (0..clients).map(|n| world.join(peer(10 + n), &host)).collect();
    world.pass_secs(2);
    (world, host, places)
}

#[test]
fn all_are_introduced_to_each_other() {
    let (mut world, host, clients) = mesh(2);
    let new = world.join_unproved(peer(30), &host);
    assert_eq!(world.pass_secs(2).to(clients[0].at), [""; 0], "not before it has shown its key");
    let sent = world.send(new.at, new.rc().as_bytes());
    for client in &clients {
        assert_eq!(sent.to(client.at), [comes(&new)]);
        assert!(sent.to(new.at).contains(&comes(client)));
    }
    let pc = format!("pc:{}:ok", new.id);
    assert_eq!(world.answer(clients[0].at, &pc), pc);
    assert_eq!(world.pass_secs(2).to(clients[0].at), [""; 0], "it has heard of it");
    let (mut world, host, client) = World::introduced();
    let other = world.join(peer(3), &host);
    let told = |sent: &Sent, at| sent.to(at).iter().any(|text| text.starts_with("cj"));
    assert!(!told(&world.pass_secs(2), client.at) && !told(&world.pass_secs(2), other.at));
}

/// Whoever may be forged is no target for all the others.
#[test]
fn nobody_is_introduced_to_who_has_shown_no_key() {
    let (mut world, host, clients) = mesh(1);
    let forged = world.join_unproved(peer(30), &host);
    let new = world.enter(peer(31), &format!("jr:{}", host.room));
    let mut told = world.send(new.at, new.rc().as_bytes());
    told.0.extend(world.pass_secs(3).0);
    assert!(told.to(new.at).contains(&comes(&clients[0])));
    for at in [new.at, clients[0].at] {
        assert!(!told.to(at).iter().any(|text| text.contains(&forged.id)), "{told:?}");
    }
    assert!(!told.to(forged.at).contains(&comes(&new)));
}

#[test]
fn all_are_told_who_is_gone() {
    let (mut world, host, clients) = mesh(3);
    let sent = world.send(clients[0].at, clients[0].signed("lr").as_bytes());
    let gone = format!("cl:{}", clients[0].id);
    for at in [host.at, clients[1].at, clients[2].at] {
        assert_eq!(sent.to(at), [gone.as_str()]);
    }
    world.pass_secs(2);
    let sent = world.send(host.at, format!("kc:id:{}", clients[1].id).as_bytes());
    assert_eq!(sent.to(clients[2].at), [format!("cl:{}", clients[1].id)]);
}

#[test]
fn all_are_told_where_somebody_has_moved() {
    let (mut world, host, clients) = mesh(2);
    let back = Place::of(peer(40), &world.ask(peer(40), &clients[0].rc()));
    let sent = world.send(back.at, back.rc().as_bytes());
    let moved = format!("ep:{}:{}:40000", back.id, back.ip());
    assert_eq!(sent.to(clients[1].at), [moved.as_str()]);
    assert!(sent.to(back.at).contains(&comes(&clients[1])));
    world.pass_secs(2);
    // Who was led out of the room by somebody else is introduced again.
    world.answer(back.at, "lr");
    world.pass_secs(2);
    let sent = world.send(back.at, back.rc().as_bytes());
    assert_eq!([sent.to(host.at), sent.to(clients[1].at)], [[comes(&back)], [comes(&back)]]);
}

/// It would take the one who has moved for its host.
#[test]
fn nobody_is_told_that_somebody_has_moved_whom_it_does_not_know() {
    let (mut world, host, clients) = mesh(3);
    let moves = |world: &mut World, n, who: &Place| {
        let moved = Place::of(peer(n), &world.ask(peer(n), &who.rc()));
        world.pass_secs(2);
        moved
    };
    let tells = |world: &mut World, of: &Place| {
        let sent = world.send(of.at, of.rc().as_bytes());
        world.pass_secs(2);
        sent
    };
    let ep = |of: &Place| format!("ep:{}:{}:40000", of.id, of.ip());
    // Somebody comes meanwhile, and moves as well before it hears of anybody.
    let moved = moves(&mut world, 40, &clients[0]);
    let other = moves(&mut world, 42, &clients[1]);
    let new = world.join(peer(30), &host);
    world.pass_secs(2);
    let new = moves(&mut world, 43, &new);
    let sent = tells(&mut world, &moved);
    assert_eq!(sent.to(clients[2].at), [ep(&moved)]);
    let sent = tells(&mut world, &new);
    assert_eq!(sent.to(clients[2].at), [ep(&new)]);
    assert_eq!(sent.to(moved.at), [comes(&new)]);
    assert!(sent.to(new.at).contains(&comes(&moved)));
    let sent = tells(&mut world, &other);
    assert_eq!(sent.to(new.at), [comes(&other)]);
    assert_eq!(sent.to(moved.at), [ep(&other)]);
    // One is put out by somebody else, and comes back from elsewhere.
    world.answer(clients[2].at, "lr");
    world.pass_secs(2);
    let back = moves(&mut world, 41, &clients[2]);
    let sent = tells(&mut world, &back);
    for knew_it in [&new, &moved] {
        assert_eq!(sent.to(knew_it.at), [comes(&back)]);
    }
}

#[test]
fn a_mesh_has_no_more_players_than_may_knock_at_each_other() {
    let mut world = World::new();
    let host = world.host(peer(1), "Room:mesh");
    for n in 1..limits::MESH_PLAYERS {
        world.join(peer(10 + n as u16), &host);
    }
    assert_eq!(world.answer(peer(999), &format!("jr:{}", host.room)), "er:jr:full");
    let more = limits::MESH_PLAYERS + 1;
    assert_eq!(world.answer(peer(2), &format!("rh:a:mesh:max={more}")), "er:rh:badrequest");
    let set = host.signed(&format!("rs:max={more}"));
    assert_eq!(world.answer(host.at, &set), "er:rs:badrequest");
}

#[test]
fn a_mesh_that_migrates_knows_its_new_host() {
    let mut world = World::new();
    let host = world.host(peer(1), "Room:mesh:migrate");
    let clients = [2, 3, 4].map(|n| world.join(peer(n), &host));
    world.pass_secs(2);
    let sent = world.send(host.at, host.signed("lr").as_bytes());
    let successor = &clients[0];
    for client in &clients[1..] {
        assert_eq!(sent.to(client.at), [format!("nh:{}:{}:40000", successor.id, successor.ip())]);
    }
    world.pass_secs(2);
    let new = world.join(peer(5), &host);
    let told = world.pass_secs(2);
    assert!(
        told.to(successor.at).contains(&comes(&new))
            && told.to(clients[2].at).contains(&comes(&new))
    );
}

/// Endpoints of one network are for those who come from one address, and only private ones.
#[test]
fn players_on_one_lan_hear_of_each_other_there() {
    let mut world = World::new();
    let at = |port| std::net::SocketAddr::new(peer(1).ip(), port);
    let lan = ":lan=192.168.1.5%3A40001:lan=8.8.8.8%3A53:lan=%5Bfd00%3A%3A5%5D%3A40001";
    let host = world.host(at(1), &format!("Room{lan}"));
    let join = format!("jr:{}:lan=192.168.1.6%3A40002", host.room);
    let near = world.enter(at(2), &join);
    let mut told = world.send(near.at, near.rc().as_bytes());
    told.0.extend(world.pass_secs(2).0);
    let host_there = format!("la:{}:192.168.1.5:40001:fd00%3A%3A5:40001", host.id);
    assert!(told.to(near.at).contains(&host_there), "{told:?}");
    let near_there = format!("la:{}:192.168.1.6:40002", near.id);
    assert!(told.to(host.at).contains(&near_there), "{told:?}");

    // Others are told nothing of it, nor of them.
    let far = world.enter(peer(2), &join);
    let mut told = world.send(far.at, far.rc().as_bytes());
    told.0.extend(world.pass_secs(2).0);
    assert!(!told.0.iter().any(|(_, text)| text.starts_with("la")), "{told:?}");

    // Who comes back in another network says so.
    let rc = format!("{}:lan=10.0.0.6%3A40002", near.rc());
    let back = Place::of(at(3), &world.ask(at(3), &rc));
    world.prove(&back);
    let told = world.pass_secs(2);
    assert!(told.to(host.at).contains(&format!("la:{}:10.0.0.6:40002", near.id)), "{told:?}");
}

#[test]
fn a_lan_is_no_way_to_make_others_knock_at_strangers() {
    let mut world = World::new();
    let at = |port| std::net::SocketAddr::new(peer(1).ip(), port);
    let lan: String =
        ["203.0.113.1:53", "0.0.0.0:7", "127.0.0.1:7", "192.168.1.1:0", "224.0.0.1:1"]
            .map(|at| format!(":lan={}", at.replace(':', "%3A")))
            .concat();
    let host = world.host(at(1), &format!("Room{lan}"));
    let near = world.enter(at(2), &format!("jr:{}{lan}", host.room));
    let mut told = world.send(near.at, near.rc().as_bytes());
    told.0.extend(world.pass_secs(2).0);
    assert!(!told.0.iter().any(|(_, text)| text.starts_with("la")), "{told:?}");
    assert_eq!(world.answer(peer(9), "rh:a:lan=192.168.1.1"), "er:rh:badrequest", "no port");
}
