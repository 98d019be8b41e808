//! What somebody who forges addresses, or has many, can do to others.

use std::net::SocketAddr;

use super::{Place, Sent, World, peer};
use crate::dialect::rooms::Config;
use crate::limits;

/// An endpoint in the network of a victim.
fn victim(n: u16) -> SocketAddr {
    let [_, low] = n.to_be_bytes();
    SocketAddr::from(([203, 0, 113, low], 1000 + n))
}

/// How often others are told to knock in the network of the victim.
fn aimed(sent: &Sent) -> usize {
    sent.0.iter().filter(|(_, text)| text.contains(":203.0.113.")).count()
}

#[test]
fn forged_joins_aim_no_hosts_at_a_victim() {
    let mut world = World::new();
    let hosts: Vec<Place> = (1..=4).map(|n| world.host(peer(n), "a")).collect();
    let mut told = std::collections::BTreeSet::new();
    let mut note = |sent: Sent| {
        let to_hosts = sent.0.into_iter().filter(|(_, text)| text.starts_with("cj:"));
        told.extend(to_hosts.filter(|(to, _)| hosts.iter().any(|host| host.at == *to)));
    };
    for n in 0..240u16 {
        for host in &hosts {
            note(world.send(victim(n % 201), format!("jr:{}", host.room).as_bytes()));
        }
        note(world.pass(std::time::Duration::from_millis(50)));
    }
    assert_eq!(told.len(), 1);
    // In other networks hosts are not aimed at many, either.
    let sent =
        (0..100).map(|n| world.send(peer(1000 + n), format!("jr:{}", hosts[1].room).as_bytes()));
    assert_eq!(sent.filter(|sent| sent.to(hosts[1].at).len() == 1).count(), 8);
}

#[test]
fn who_proves_himself_is_told_at_once() {
    let mut world = World::new();
    let host = world.host(peer(1), "a");
    world.join_unproved(victim(1), &host);
    let sent = world.send(victim(2), format!("jr:{}", host.room).as_bytes());
    assert_eq!(sent.to(host.at), [""; 0], "one of the network is enough");
    let client = Place::of(victim(2), &sent.to(victim(2)));
    let comes = format!("cj:{}:{}:{}", client.id, client.ip(), client.at.port());
    assert_eq!(world.send(client.at, client.rc().as_bytes()).to(host.at), [comes.as_str()]);
    // The address is known now.
    let mut other = client.at;
    other.set_port(7);
    assert_eq!(world.send(other, format!("jr:{}", host.room).as_bytes()).to(host.at).len(), 1);
    // One who has nothing to show is told when he sends something later.
    let late = world.join_unproved(victim(3), &host);
    world.pass_secs(29);
    assert_eq!(world.send(late.at, b"ka").to(host.at), [""; 0]);
    world.pass_secs(1);
    assert_eq!(world.send(late.at, b"ka").to(host.at).len(), 1);
    assert_eq!(world.pass_secs(5).to(host.at).len(), 2);
}

#[test]
fn forged_rooms_aim_no_players_at_a_victim() {
    let mut world = World::new();
    let mut told = 0;
    for n in 0..20 {
        let room = world.enter(victim(n), "rh:Free gold");
        for player in 0..10 {
            let sent = world.send(peer(100 * n + player), format!("jr:{}", room.room).as_bytes());
            told += aimed(&sent);
        }
    }
    assert_eq!(told, 4);
}

#[test]
fn a_place_that_is_moved_about_aims_nobody_at_a_victim() {
    let mut world = World::new();
    let host = world.host(peer(1), "a");
    let client = world.join(peer(2), &host);
    let others: Vec<Place> = (10..30).map(|n| world.join(peer(n), &host)).collect();
    world.pass_secs(2);
    let mut told = 0;
    for n in 0..200 {
        told += aimed(&world.send(victim(n), client.rc().as_bytes()));
    }
    assert!(told <= 1, "{told}");
    world.pass_secs(60);
    let sent = world.send(victim(7), host.rc().as_bytes());
    assert_eq!(aimed(&sent), 4);
    // A true host is asked for its key when it says that it is there, and all are told then.
    let back =
        Place { key: Place::of(victim(7), &sent.to(victim(7))[..2]).key, at: victim(7), ..host };
    assert_eq!(world.answer(back.at, "ka"), "er:ka:noroom");
    let sent = world.send(back.at, back.rc().as_bytes());
    assert_eq!(aimed(&sent), others.len() + 1 - 4);
    assert_eq!(world.answer(back.at, "ka"), "ka");
}

#[test]
fn nobody_is_introduced_across_families() {
    let mut world = World::new();
    let six = |n: u16| SocketAddr::new(format!("2001:db8:{n:x}::1").parse().unwrap(), 7000);
    let (host, host6) = (world.host(peer(1), "four"), world.host(six(1), "six"));
    let (jr, jr6) = (format!("jr:{}", host.room), format!("jr:{}", host6.room));
    assert_eq!(world.send(peer(2), jr6.as_bytes()).0, [(peer(2), "er:jr:family".into())]);
    assert_eq!(world.send(six(2), jr.as_bytes()).0, [(six(2), "er:jr:family".into())]);
    assert_eq!(world.answer(peer(2), "rl"), format!("rl:{},four,open,1", host.room));
    assert_eq!(world.answer(six(2), "rl"), format!("rl:{},six,open,1", host6.room));
    assert_eq!(world.answer(six(2), &format!("rl:{}", host.room)), "rl:");
    assert_eq!(world.answer(six(3), &host.rc()), "er:rc:family", "its clients have IPv4");
    let client = world.join(six(2), &host6);
    assert_eq!(world.answer(peer(2), &client.rc()), "er:rc:family");
    assert_eq!(world.answer(client.at, "ka"), "ka");
    let why = |one, other| {
        (format!("{one} and {other} cannot meet in a room, one has IPv4 and the other IPv6"), 1)
    };
    assert_eq!(world.shared.unmet(), [why(six(2), peer(1)), why(peer(2), six(1))]);
}

#[test]
fn one_address_does_not_fill_a_room() {
    let mut world = World::new();
    let host = world.host(peer(1000), "a");
    let school = |port| SocketAddr::new(peer(7).ip(), port);
    let theirs: Vec<Place> = (1..=63).map(|port| world.join(school(port), &host)).collect();
    let first = world.join(peer(1), &host);
    for one in &theirs {
        world.answer(one.at, &format!("pc:{}:ok", one.id));
    }
    let jr = format!("jr:{}", host.room);
    assert_eq!(world.answer(school(100), &jr), "er:jr:full", "its address has most already");
    let second = world.join(peer(2), &host);
    assert_eq!(world.answer(theirs[62].at, "ka"), "er:ka:noroom", "the newest of those");
    for one in theirs[..62].iter().chain([&first, &second]) {
        assert_eq!(world.answer(one.at, "ka"), "ka");
    }
    // It goes on until all hold the same.
    let players: Vec<Place> = (100..130).map(|n| world.join(peer(n), &host)).collect();
    let left = theirs.iter().filter(|one| world.answer(one.at, "ka") == "ka").count();
    assert_eq!(left, 32);
    assert!(players.iter().all(|one| world.answer(one.at, "ka") == "ka"));
}

#[test]
fn one_ipv6_source_does_not_fill_a_room() {
    let mut world = World::new();
    let six = |text: String| SocketAddr::new(text.parse().unwrap(), 7000);
    let host = world.host(six("2001:db8::1".into()), "a");
    for n in 0..64 {
        world.join(six(format!("2001:db8:1:{n:x}::1")), &host);
    }
    world.join(six("2001:db8:2::1".into()), &host);
    let jr = format!("jr:{}", host.room);
    assert_eq!(world.answer(six("2001:db8:1:aa::1".into()), &jr), "er:jr:full");
}

#[test]
fn one_source_does_not_take_all_places() {
    let mut world = World::with(Config { peers: 40, ..Config::default() });
    let at = |port| SocketAddr::new(peer(7).ip(), port);
    let host = world.host(peer(1), "a");
    let theirs: Vec<Place> = (1..=32).map(|port| world.host(at(port), "theirs")).collect();
    let clients: Vec<Place> = (100..107).map(|port| world.join(at(port), &theirs[0])).collect();
    assert_eq!(
        world.answer(at(200), &format!("jr:{}", host.room)),
        "er:jr:busy",
        "who holds most gets no more"
    );
    for n in 10..17 {
        world.join(peer(n), &host);
    }
    assert!(clients.iter().all(|one| world.answer(one.at, "ka") == "er:ka:noroom"));
    for n in 20..30 {
        world.host(peer(n), "b");
    }
    assert_eq!(world.answer(host.at, "ka"), "ka");
    let left = theirs.iter().filter(|one| world.answer(one.at, "ka") == "ka").count();
    assert_eq!(left, 22, "rooms without anybody");
}

/// Somebody with many addresses fills the server with rooms that have clients, all of which have
/// shown their keys; the source that has most has only hosts of others. Two newcomers who have no
/// place at all get in after that, one as a client and one as a host.
fn hosts_of_each_other_keep_nobody_out(hosts: &[SocketAddr], clients: &[SocketAddr]) {
    let peers = hosts.len() + clients.len() + 2;
    let mut world = World::with(Config { peers, ..Config::default() });
    let first = world.host(peer(1), "a");
    let player = world.join(peer(2), &first);
    let theirs: Vec<Place> = hosts.iter().map(|at| world.host(*at, "theirs")).collect();
    let with = clients.iter().zip(theirs.iter().cycle());
    let clients: Vec<Place> = with.map(|(at, room)| world.join(*at, room)).collect();
    assert_eq!(world.rooms.table.len(), peers);
    let joined = world.join(peer(3), &first);
    let opened = world.host(peer(4), "new");
    for honest in [&first, &player, &joined, &opened] {
        assert_eq!(world.answer(honest.at, "ka"), "ka");
    }
    assert!(theirs.iter().all(|host| world.answer(host.at, "ka") == "ka"), "they have players");
    let gone = clients.iter().filter(|one| world.answer(one.at, "ka") == "er:ka:noroom");
    assert_eq!(gone.count(), 2);
    assert_eq!(
        world.answer(clients[clients.len() - 1].at, &format!("jr:{}", theirs[0].room)),
        "er:jr:busy",
        "who has most gets no more"
    );
}

#[test]
fn rooms_of_one_ipv6_source_with_clients_of_its_own_keep_nobody_out() {
    let six =
        |net: u16, port| SocketAddr::new(format!("2001:db8:1:{net:x}::1").parse().unwrap(), port);
    let hosts: Vec<_> = (0..8).map(|port| six(1, 4000 + port)).collect();
    let clients: Vec<_> = (1..=16).map(|n| six(0x100 * n, 4000)).collect();
    hosts_of_each_other_keep_nobody_out(&hosts, &clients);
}

#[test]
fn rooms_of_many_addresses_with_clients_of_each_other_keep_nobody_out() {
    let at = |n, port| SocketAddr::new(peer(n).ip(), port);
    let eight = |n| (0..8).map(move |port| at(n, 4000 + port));
    let hosts: Vec<_> = (100..104).flat_map(eight).collect();
    let clients: Vec<_> = (200..208).flat_map(eight).collect();
    hosts_of_each_other_keep_nobody_out(&hosts, &clients);
}

#[test]
fn who_is_kicked_often_lets_nobody_else_in_again() {
    let mut world = World::new();
    let host = world.host(peer(1000), "a");
    let bad = world.join(peer(1), &host);
    world.answer(host.at, &format!("kc:id:{}", bad.id));
    for port in 1..=130 {
        // Those who show no key, as only they come again from one address.
        let client = world.join_unproved(SocketAddr::new(peer(2).ip(), port), &host);
        world.answer(host.at, &format!("kc:id:{}", client.id));
        world.pass_secs(1);
    }
    assert_eq!(world.answer(bad.at, &format!("jr:{}", host.room)), "er:jr:kicked");
}

#[test]
fn a_forged_close_does_not_close_a_room() {
    let (mut world, host, client) = World::introduced();
    let listed = world.listed();
    for forged in ["cr", "rh:Another"] {
        world.send(host.at, forged.as_bytes());
        world.pass_secs(2);
    }
    // Its next sign of life tells the host, and it comes back by its key.
    assert_eq!(world.answer(host.at, "ka"), "er:ka:noroom");
    assert_eq!(Place::of(host.at, &world.ask(host.at, &host.rc())).room, host.room);
    assert_eq!(world.answer(host.at, "ka"), "ka");
    assert_eq!(world.listed(), listed);
    assert_eq!(world.pass_secs(60).to(client.at), [""; 0], "its clients have not heard of it");
    assert_eq!(world.answer(client.at, "ka"), "ka");
}

#[test]
fn a_forged_leave_moves_nobody() {
    for forged in ["lr", "jr:OTHER", "rh:mine"] {
        let (mut world, host, client) = World::introduced();
        let other = world.host(peer(3), "b");
        world.send(client.at, forged.replace("OTHER", &other.room).as_bytes());
        world.pass_secs(15);
        assert_eq!(world.answer(client.at, "ka"), "er:ka:noroom", "{forged}");
        let wrong = format!("rc:{}:{}", client.id, host.key);
        assert_eq!(world.answer(client.at, &wrong), "er:rc:badkey");
        let sent = world.send(client.at, client.rc().as_bytes());
        let back = Place::of(client.at, &sent.to(client.at));
        assert_eq!((&back.room, &back.id, &back.key), (&client.room, &client.id, &client.key));
        assert_eq!(sent.to(host.at), [format!("cj:{}:{}:40000", client.id, client.ip())]);
        assert_eq!(world.answer(client.at, "ka"), "ka");
        assert!(world.answer(other.at, "ka") == "ka" && world.listed().contains(",2"));
    }
}

#[test]
fn who_has_left_for_another_room_shows_the_key_of_that() {
    let (mut world, _, client) = World::introduced();
    let other = world.host(peer(3), "b");
    let moved = world.join_unproved(client.at, &other);
    assert_eq!(world.answer(client.at, "ka"), "er:ka:noroom");
    world.prove(&moved);
    assert_eq!(world.answer(client.at, "ka"), "ka");
    world.pass_secs(31);
    assert_eq!(world.answer(client.at, &client.rc()), "er:rc:noroom");
}

#[test]
fn a_host_may_close_and_open_as_often_as_it_likes() {
    let mut world = World::new();
    for _ in 0..50 {
        let host = world.host(peer(1), "a");
        world.answer(host.at, "cr");
        assert_eq!(world.listed(), "rl:");
        assert_eq!(world.answer(peer(8), &format!("jr:{}", host.room)), "er:jr:noroom");
        world.pass(limits::LATE_COPY);
    }
    world.pass_secs(31);
    assert!(world.rooms.is_empty());
}

#[test]
fn who_ends_a_request_with_its_key_is_acted_for_by_nobody_else() {
    let (mut world, host, client) = World::introduced();
    let listed = world.listed();
    let key = &host.key;
    assert_eq!(world.answer(host.at, &format!("ka:{key}")), "ka");
    let kicks = [format!("kc:ip:{}", client.ip()), format!("kc:id:{}", client.id)];
    for forged in kicks.iter().map(String::as_str).chain(["rn:OWNED", "cr"]) {
        for forged in [forged.to_string(), format!("{forged}:{}", client.key)] {
            let refused = format!("er:{}:badkey", &forged[..2]);
            assert_eq!(world.send(host.at, forged.as_bytes()).0, [(host.at, refused)]);
        }
    }
    assert_eq!(world.pass_secs(60).0, []);
    assert_eq!(world.answer(host.at, "ka"), "ka");
    assert_eq!(world.answer(client.at, "ka"), "ka");
    assert_eq!(world.listed(), listed);

    let sent = world.send(host.at, format!("rn:Mine:{key}").as_bytes());
    assert_eq!(sent.0, [(host.at, "rn:Mine".into()), (client.at, "rn:Mine".into())]);
    let sent = world.send(host.at, format!("{}:{key}", kicks[1]).as_bytes());
    let kicked = (client.at, format!("kc:{}", host.room));
    assert_eq!(sent.0, [(host.at, kicks[1].clone()), kicked]);
    assert_eq!(world.answer(host.at, &format!("{}:{key}", kicks[0])), kicks[0]);
    let last = world.join(peer(3), &host);
    let closed = format!("cr:{}", host.room);
    let sent = world.send(host.at, format!("cr:{key}").as_bytes());
    assert_eq!(sent.0, [(host.at, closed.clone()), (last.at, closed)], "nobody doubts it");
}

#[test]
fn who_has_moved_ends_requests_with_the_new_key() {
    let (mut world, host, client) = World::introduced();
    world.answer(client.at, &format!("ka:{}", client.key));
    assert_eq!(world.answer(client.at, "lr"), "er:lr:badkey");
    let back = Place::of(peer(4), &world.ask(peer(4), &client.rc()));
    assert_eq!(world.answer(back.at, &format!("lr:{}", client.key)), "er:lr:badkey");
    let sent = world.send(back.at, format!("ka:{}", back.key).as_bytes());
    assert_eq!(sent.to(back.at), ["ka"], "and it has shown its key");
    assert!(world.rooms.table.peer_at(back.at).unwrap().proved);
    let sent = world.send(back.at, format!("lr:{}", back.key).as_bytes());
    assert_eq!(sent.to(back.at), [format!("lr:{}", host.room)]);
    assert_eq!(world.answer(back.at, &back.rc()), "er:rc:noroom");
}

#[test]
fn a_forged_confirmation_hides_nobody_from_a_host() {
    let mut world = World::new();
    let host = world.host(peer(1), "a");
    let client = world.join(peer(2), &host);
    // Nobody but host and client knows its ID.
    assert_eq!(world.answer(host.at, "pc:0123456789abcdef:ok"), "er:pc:noroom");
    assert_eq!(world.pass_secs(3).to(host.at).len(), 2);
    for end in [String::new(), format!(":{}", host.key)] {
        world.answer(client.at, "lr");
        world.pass_secs(3);
        let client = world.join(peer(2), &host);
        let pc = format!("pc:{}:ok", client.id);
        assert_eq!(world.answer(host.at, &format!("{pc}{end}")), pc);
        assert_eq!(world.pass_secs(3).to(host.at), [""; 0], "its own ends the copies: {end}");
    }
}

/// Requests in the name of an address, from other ports than those of the player there.
fn forge(world: &mut World, at: SocketAddr, text: &str, times: u16) {
    for port in 1000..1000 + times {
        world.send(SocketAddr::new(at.ip(), port), text.as_bytes());
        world.pass(std::time::Duration::from_millis(10));
    }
}

#[test]
fn forged_rooms_at_an_address_keep_no_player_there_from_opening_one() {
    let mut world = World::new();
    let at = |port| SocketAddr::new(peer(1).ip(), port);
    let mut hosts = Vec::new();
    for port in 1..=32 {
        forge(&mut world, at(port), "rh:forged", 400);
        let host = world.enter(at(port), "rh:true");
        forge(&mut world, at(port), "rh:forged", 50);
        world.prove(&host);
        hosts.push(host);
    }
    assert!(hosts.iter().all(|host| world.answer(host.at, "ka") == "ka"));
    let list = world.listed();
    assert!(list.matches(",true,open,1").count() >= 20, "{list}");
    assert_eq!(world.answer(at(33), "rh"), "er:rh:limit", "all of them are true");
}

#[test]
fn forged_clients_at_an_address_keep_no_player_there_out() {
    let mut world = World::new();
    let host = world.host(peer(1), "a");
    let player = peer(2);
    forge(&mut world, player, &format!("jr:{}", host.room), 400);
    let client = world.enter(player, &format!("jr:{}", host.room));
    let comes = format!("cj:{}:{}:40000", client.id, client.ip());
    world.pass_secs(3);
    let sent = world.send(player, client.rc().as_bytes());
    assert!(sent.to(host.at).contains(&comes) || world.pass_secs(3).to(host.at).contains(&comes));
    assert_eq!(world.answer(player, "ka"), "ka");
}

#[test]
fn a_flood_of_forged_clients_keeps_nobody_out() {
    let mut world = World::new();
    let host = world.host(peer(30_000), "a");
    let jr = format!("jr:{}", host.room);
    let mut n = 0;
    let mut flood = |world: &mut World, millis: u64| {
        for _ in 0..millis {
            n += 1;
            world.send(peer(n), jr.as_bytes());
            world.pass(std::time::Duration::from_millis(1));
        }
    };
    flood(&mut world, 7_000);
    let mut players = Vec::new();
    for player in 0..10 {
        let client = world.enter(peer(40_000 + player), &jr);
        flood(&mut world, 300);
        assert_eq!(world.ask(client.at, &jr)[1], format!("rID:{}:{}", client.id, client.key));
        flood(&mut world, 300);
        let sent = world.send(client.at, client.rc().as_bytes());
        let comes = format!("cj:{}:{}:40000", client.id, client.ip());
        assert!(sent.to(host.at).contains(&comes), "{player}");
        players.push(client);
    }
    flood(&mut world, 5_000);
    assert!(players.iter().all(|client| world.answer(client.at, "ka") == "ka"));
}

#[test]
fn a_forged_room_keeps_nobody_from_joining() {
    let (mut world, host, client) = World::introduced();
    world.ask(peer(3), "rh:forged");
    let joined = world.join(peer(3), &host);
    assert_eq!(world.answer(joined.at, "ka"), "ka");
    world.ask(peer(4), "rh:forged");
    let back = Place::of(peer(4), &world.ask(peer(4), &client.rc()));
    assert_eq!(back.id, client.id);
    assert!(world.listed().ends_with(",Room,open,3"));
    let other = world.host(peer(5), "b");
    assert_eq!(world.answer(other.at, &format!("jr:{}", host.room)), "er:jr:badrequest");
}

#[test]
fn forged_rooms_do_not_bury_the_true_ones() {
    let mut world = World::new();
    let hosts: Vec<Place> = (0..3).map(|n| world.host(peer(n), "true")).collect();
    for n in 100..400 {
        world.ask(peer(n), "rh:forged");
    }
    world.prove(&hosts[0]);
    let list = world.listed();
    let order = hosts.iter().rev().map(|host| format!(":{},true,open,1", host.room));
    assert!(list.starts_with(&format!("rl{}", order.collect::<String>())), "{list}");
    // All of them are on some page, and once.
    let (mut after, mut seen) = (String::new(), Vec::new());
    loop {
        let page = world.send(peer(9), format!("{:\n<512}", format!("rl{after}")).as_bytes());
        let page = page.to(peer(9)).remove(0);
        let rooms = page.split(':').skip(1).filter(|room| *room != "+");
        seen.extend(rooms.map(|room| room[..16].to_string()));
        if !page.ends_with(":+") {
            break;
        }
        after = format!(":{}", seen.last().unwrap());
    }
    assert_eq!(seen.len(), 303);
    seen.sort();
    seen.dedup();
    assert_eq!(seen.len(), 303);
}
