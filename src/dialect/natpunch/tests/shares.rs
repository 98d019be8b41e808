//! What one address takes must not be missing for others, and nobody takes a client's place.

use super::*;
use std::net::{IpAddr, Ipv6Addr};

/// A port of an address of many clients.
fn crowd(n: u16, port: u16) -> SocketAddr {
    let [high, low] = n.to_be_bytes();
    SocketAddr::from(([198, 18, high, low], port))
}

fn update(sent: &[(SocketAddr, Pb)], kind: &str) -> usize {
    let is = |Pb(bytes): &Pb| match Message::decode(&bytes[..]).unwrap().content {
        Some(Content::LobbyUpdate(update)) => update.update_type == kind,
        _ => false,
    };
    sent.iter().filter(|(_, message)| is(message)).count()
}

#[test]
fn sixteen_addresses_do_not_take_all_lobbies() {
    let mut world = World::new();
    // An honest one comes first, with a lobby of its own and a member.
    let [host, member] = [addr(1), addr(2)].map(|at| (at, world.client(at)));
    let first = world.lobby(host.0, &host.1, 4);
    world.say(member.0, join(&first, &member.1));
    world.say(host.0, ready(&first, &member.1));
    let mut open = 0;
    for n in 0..200u16 {
        for port in 0..16 {
            let at = crowd(n, 4000 + port);
            let id = world.client(at);
            for most in 4..8 {
                let sent = world.say(at, create(&id, "mine", most));
                open += sent
                    .iter()
                    .filter(|(to, m)| *to == at && *m != error("Too many lobbies"))
                    .count();
            }
        }
        assert!(world.natpunch.lobbies.len() <= limits::NATPUNCH_LOBBIES);
    }
    assert!(open > limits::NATPUNCH_LOBBIES, "{open}");
    assert_eq!(world.natpunch.lobbies.len(), limits::NATPUNCH_LOBBIES);
    // One who has none yet gets a lobby, and who gives way is told.
    let late = world.client(addr(3));
    let sent = world.say(addr(3), create(&late, "late", 4));
    assert_eq!((sent.len(), update(&sent, "lobby_closed")), (2, 1));
    // One who has as many as anybody gets none.
    let at = crowd(0, 5000);
    let more = world.client(at);
    let sent: Vec<_> = (4..8).flat_map(|most| world.say(at, create(&more, "more", most))).collect();
    assert!(sent.contains(&(at, error("Too many lobbies"))));
    // The lobby with members is as it was.
    assert_eq!(world.say(addr(2), leave(&first, &member.1)).len(), 3);
}

#[test]
fn an_address_that_joins_and_leaves_all_the_time_is_refused() {
    let mut world = World::new();
    let host = (addr(1), world.client(addr(1)));
    let lobby = world.lobby(host.0, &host.1, 32);
    for n in 2..32 {
        let id = world.client(addr(n));
        world.say(addr(n), join(&lobby, &id));
        world.say(host.0, ready(&lobby, &id));
    }
    let at = crowd(0, 4000);
    let id = world.client(at);
    let mut told = 0;
    for _ in 0..2000 {
        let all = [join(&lobby, &id), leave(&lobby, &id)];
        let sent: Vec<_> = all.into_iter().flat_map(|said| world.say(at, said)).collect();
        told += usize::from(!sent.contains(&(at, error(super::super::TOO_MANY_JOINS))));
    }
    let most = limits::NATPUNCH_JOINS * limits::NATPUNCH_JOINS_SECONDS + 1;
    assert_eq!(told, most as usize);
    // Others come in, and that one as well a moment later.
    let other = (addr(40), world.client(addr(40)));
    let sent = world.say(other.0, join(&lobby, &other.1));
    assert!(!sent.iter().any(|(_, said)| *said == error(super::super::TOO_MANY_JOINS)));
    world.wait(Duration::from_secs(1));
    let sent = world.say(at, join(&lobby, &id));
    assert!(!sent.iter().any(|(_, said)| *said == error(super::super::TOO_MANY_JOINS)));
}

#[test]
fn a_site_with_many_networks_joins_no_more_often_than_four() {
    let mut world = World::new();
    let at = |site: u16, net: u16| {
        SocketAddr::from((Ipv6Addr::new(0x2001, 0xdb8, site, net, 0, 0, 0, 1), 4000))
    };
    let host = world.client(at(1, 0));
    let lobby = world.lobby(at(1, 0), &host, 32);
    // Those of one /56, and then of others.
    for (nets, times) in [(0..8, 2), (8..24, 2)] {
        let mut told = 0;
        for net in nets.map(|net| if net < 8 { net } else { net << 8 }) {
            let (at, id) = (at(2, net), world.client(at(2, net)));
            for _ in 0..300 {
                let all = [join(&lobby, &id), leave(&lobby, &id)];
                let sent: Vec<_> = all.into_iter().flat_map(|said| world.say(at, said)).collect();
                told += u32::from(!sent.contains(&(at, error(super::super::TOO_MANY_JOINS))));
            }
        }
        let most = times * limits::NATPUNCH_JOINS * limits::NATPUNCH_JOINS_SECONDS;
        assert!((most..=most + 1).contains(&told), "{told}");
    }
    let id = world.client(at(3, 0));
    let sent = world.say(at(3, 0), join(&lobby, &id));
    assert!(!sent.iter().any(|(_, said)| *said == error(super::super::TOO_MANY_JOINS)));
}

#[test]
fn those_who_fall_silent_together_are_told_of_in_turns() {
    let mut world = World::new();
    let all: Vec<_> =
        (0..64).map(|n| crowd(1, 4000 + n)).map(|at| (at, world.client(at))).collect();
    for group in all.chunks(limits::NATPUNCH_MEMBERS) {
        let [(host, host_id), members @ ..] = group else { panic!() };
        for _ in 0..limits::NATPUNCH_LOBBIES_PER_CLIENT {
            let lobby = world.lobby(*host, host_id, 32);
            for (at, id) in members {
                world.say(*at, join(&lobby, id));
                world.say(*host, ready(&lobby, id));
            }
        }
    }
    world.wait(Duration::from_secs(1));
    all.iter().for_each(|(at, id)| drop(world.say(*at, keep_alive(id))));
    world.now.instant = world.now.instant + limits::NATPUNCH_SILENCE;
    let is_due =
        |world: &World| world.natpunch.next_wakeup().is_some_and(|at| at <= world.now.instant);
    let of_one = 2 * limits::NATPUNCH_MEMBERS * limits::NATPUNCH_LOBBIES_PER_CLIENT;
    let mut told = 0;
    while is_due(&world) {
        world.act(Natpunch::on_wakeup);
        let sent = std::mem::take(&mut world.sent).len();
        assert!(sent <= limits::NATPUNCH_TOLD_AT_ONCE + of_one, "{sent} in one turn");
        told += sent;
    }
    assert!(told > 6000, "{told}");
    assert_eq!(world.natpunch.clients.len(), 0);
}

#[test]
fn one_address_has_64_lobbies() {
    let mut world = World::new();
    let made: usize = (0..20)
        .map(|n| {
            let at = crowd(1, 4000 + n);
            let id = world.client(at);
            let sent: Vec<_> =
                (4..8).flat_map(|most| world.say(at, create(&id, "x", most))).collect();
            sent.iter().filter(|(_, message)| *message != error("Too many lobbies")).count()
        })
        .sum();
    assert_eq!(made, limits::NATPUNCH_LOBBIES_PER_ADDRESS);
}

#[test]
fn who_gets_no_lobby_closes_none() {
    let mut world = World::new();
    let four = |world: &mut World, at| {
        let id = world.client(at);
        (4..8).for_each(|most| drop(world.lobby(at, &id, most)));
    };
    // A site with more than one address may have.
    (0..25)
        .for_each(|n| four(&mut world, (Ipv6Addr::new(0x2001, 0xdb8, 7, n, 0, 0, 0, 1), 1).into()));
    for n in 0..64 {
        for port in 0..16 {
            if world.natpunch.lobbies.len() < limits::NATPUNCH_LOBBIES {
                four(&mut world, crowd(n, 4000 + port));
            }
        }
    }
    assert_eq!(world.natpunch.lobbies.len(), limits::NATPUNCH_LOBBIES);
    let at = crowd(0, 5000);
    let id = world.client(at);
    assert_eq!(world.say(at, create(&id, "more", 4)), [(at, error("Too many lobbies"))]);
    assert_eq!(world.natpunch.lobbies.len(), limits::NATPUNCH_LOBBIES);
}

#[test]
fn many_addresses_do_not_take_all_places_of_clients() {
    let mut world = World::new();
    let host = world.client(addr(1));
    let lobby = world.lobby(addr(1), &host, 4);
    for n in 0..260 {
        (0..64).for_each(|port| drop(world.client(crowd(n, 4000 + port))));
        // Meanwhile they live.
        world.say(addr(1), keep_alive(&host));
    }
    assert_eq!(world.natpunch.clients.len(), limits::NATPUNCH_CLIENTS);
    let late = world.client(addr(2));
    assert_eq!(world.say(addr(2), join(&lobby, &late)).len(), 4);
    assert_eq!(world.natpunch.clients.len(), limits::NATPUNCH_CLIENTS);
}

#[test]
fn one_address_does_not_fill_a_lobby() {
    let mut world = World::new();
    let host = world.client(addr(1));
    let lobby = world.lobby(addr(1), &host, 4);
    let pending: Vec<_> =
        (0..3).map(|n| (crowd(1, 4000 + n), world.client(crowd(1, 4000 + n)))).collect();
    pending.iter().for_each(|(at, id)| assert_eq!(world.say(*at, join(&lobby, id)).len(), 4));
    let [two, three] = [addr(2), addr(3)].map(|at| (at, world.client(at)));
    let sent = world.say(two.0, join(&lobby, &two.1));
    assert_eq!(sent.len(), 4, "one of the three gives way, and hears so when it knocks no more");
    let full = [(three.0, error("Lobby is full"))];
    // Now that one has two places, and gives no more way to others of its address.
    assert_eq!(
        world.say(pending[2].0, join(&lobby, &pending[2].1)),
        [(pending[2].0, error("Lobby is full"))]
    );
    // Members stay, whatever their address has.
    world.say(addr(1), ready(&lobby, &pending[0].1));
    world.say(addr(1), ready(&lobby, &pending[1].1));
    world.say(addr(1), ready(&lobby, &two.1));
    assert_eq!(world.say(three.0, join(&lobby, &three.1)), full);
}

#[test]
fn one_ipv6_source_does_not_fill_a_lobby() {
    let mut world = World::new();
    let six = |text: &str| SocketAddr::new(text.parse().unwrap(), 4000);
    let host = world.client(six("2001:db8::1"));
    let lobby = world.lobby(six("2001:db8::1"), &host, 8);
    let theirs: Vec<_> = (0..10)
        .map(|n| six(&format!("2001:db8:999:{n:x}00::1")))
        .map(|at| (at, world.client(at)))
        .collect();
    theirs.iter().for_each(|(at, id)| drop(world.say(*at, join(&lobby, id))));
    let later: Vec<_> = (1..=5)
        .map(|n| six(&format!("2001:db8:{n}::1")))
        .map(|at| (at, world.client(at)))
        .collect();
    for (at, id) in &later {
        let sent = world.say(*at, join(&lobby, id));
        assert_eq!(sent.len(), 4, "one of the network gives way");
        // Those who ask again and again do not get it back.
        for (at, id) in &theirs {
            world.say(*at, join(&lobby, id));
        }
        assert_eq!(world.say(*at, join(&lobby, id)).len(), 2, "still there");
    }
    let full = |at| [(at, error("Lobby is full"))];
    let last = six("2001:db8:999:ff00::1");
    let id = world.client(last);
    assert_eq!(world.say(last, join(&lobby, &id)), full(last));
}

/// Fills the server with lobbies that have members from other addresses. Somebody who has none opens
/// one after that, in place of the newest.
fn lobbies_of_each_other_keep_nobody_out(address: impl Fn(u16) -> IpAddr) {
    let mut world = World::new();
    // They have had the time to join as many.
    world.natpunch.joined = Rates::new(0, 1);
    let [host, member] = [addr(1), addr(2)].map(|at| (at, world.client(at)));
    let first = world.lobby(host.0, &host.1, 4);
    world.say(member.0, join(&first, &member.1));
    world.say(host.0, ready(&first, &member.1));
    // A household whose lobbies nobody has joined yet.
    let lone = world.client(addr(4));
    let waiting: Vec<_> = (4..8).map(|most| world.lobby(addr(4), &lone, most)).collect();
    for n in 0..limits::NATPUNCH_LOBBIES as u16 / 4 {
        let [host, member] = [n / 16, 100 + n / 16]
            .map(|of| SocketAddr::new(address(of), 4000 + n % 16))
            .map(|at| (at, world.client(at)));
        for _ in 0..4 {
            if world.natpunch.lobbies.len() < limits::NATPUNCH_LOBBIES {
                let lobby = world.lobby(host.0, &host.1, 4);
                world.say(member.0, join(&lobby, &member.1));
                world.say(host.0, ready(&lobby, &member.1));
            }
        }
    }
    assert_eq!(world.natpunch.lobbies.len(), limits::NATPUNCH_LOBBIES);
    let late = world.client(addr(3));
    let sent = world.say(addr(3), create(&late, "late", 4));
    assert_eq!((sent.len(), update(&sent, "lobby_closed")), (3, 2), "{sent:?}");
    let more = SocketAddr::new(address(0), 5000);
    let id = world.client(more);
    assert_eq!(world.say(more, create(&id, "more", 4)), [(more, error("Too many lobbies"))]);
    // The lobby with members is as it was, and those of the household are.
    assert_eq!(world.say(addr(2), leave(&first, &member.1)).len(), 3);
    for lobby in waiting {
        let left = world.say(addr(4), leave(&lobby, &lone));
        assert_ne!(left, [(addr(4), error("Lobby not found"))]);
    }
}

#[test]
fn lobbies_of_one_ipv6_source_with_members_of_its_own_keep_nobody_out() {
    lobbies_of_each_other_keep_nobody_out(|n| format!("2001:db8:1:{n:x}::1").parse().unwrap());
}

#[test]
fn lobbies_of_many_addresses_with_members_of_each_other_keep_nobody_out() {
    lobbies_of_each_other_keep_nobody_out(|n| crowd(n, 0).ip());
}

#[test]
fn members_of_lobbies_of_many_addresses_keep_nobody_out() {
    let mut world = World::new();
    let [host, member] = [addr(1), addr(2)].map(|at| (at, world.client(at)));
    let first = world.lobby(host.0, &host.1, 4);
    world.say(member.0, join(&first, &member.1));
    world.say(host.0, ready(&first, &member.1));
    for n in 0..512 {
        let crowd = |n: u16| crowd(n % 256, 4000 + n / 256);
        let host = crowd(n);
        let host_id = world.client(host);
        let lobby = world.lobby(host, &host_id, 32);
        for other in 1..32 {
            let at = crowd((n + 1) % 256 + 256 * (2 * other + n / 256));
            if world.natpunch.clients.len() < limits::NATPUNCH_CLIENTS {
                let id = world.client(at);
                world.say(at, join(&lobby, &id));
                world.say(host, ready(&lobby, &id));
            }
        }
    }
    assert_eq!(world.natpunch.clients.len(), limits::NATPUNCH_CLIENTS);
    let late = world.client(addr(3));
    assert_ne!(late, "");
    assert_eq!(world.say(addr(3), join(&first, &late)).len(), 4);
    assert_eq!(world.natpunch.clients.len(), limits::NATPUNCH_CLIENTS);
    // This address had no more than 62.
    assert_ne!(world.client(crowd(0, 6000)), "");
    assert_eq!(world.client(crowd(0, 6001)), "", "who would have most gets no more");
    assert_eq!(world.say(addr(2), leave(&first, &member.1)).len(), 3);
}

/// In how many of 200 lists each lobby is.
fn seen(world: &mut World, reader: SocketAddr) -> HashMap<String, usize> {
    let mut seen = HashMap::new();
    world.client(reader);
    for _ in 0..200 {
        let sent = world.say(reader, pb().m(15, pb().s(1, "q")));
        let Content::LobbyListResponse(list) =
            Message::decode(&sent[0].1.0[..]).unwrap().content.unwrap()
        else {
            panic!("{sent:?}")
        };
        let ids: HashSet<_> = list.lobbies.into_iter().map(|info| info.lobby_id).collect();
        assert!(ids.len() >= 6, "a datagram is not left empty: {ids:?}");
        ids.into_iter().for_each(|id| *seen.entry(id).or_default() += 1);
    }
    seen
}

#[test]
fn who_has_many_lobbies_hides_nobody_elses_from_lists() {
    let mut world = World::new();
    let host = world.client(addr(1));
    let honest = world.lobby(addr(1), &host, 4);
    for (n, port) in (0..16u16).flat_map(|n| (0..16).map(move |port| (n, port))) {
        let id = world.client(crowd(n, 4000 + port));
        (4..8).for_each(|most| drop(world.lobby(crowd(n, 4000 + port), &id, most)));
    }
    let seen = seen(&mut world, addr(2));
    assert!(seen[&honest] > 40, "{}", seen[&honest]);
    let others = seen.len() - 1;
    assert!(others > 500, "nor their own: {others}");
}

#[test]
fn who_has_a_large_network_hides_nobody_elses_lobbies_from_lists() {
    let six = |text: String| SocketAddr::new(text.parse().unwrap(), 4000);
    let mut world = World::new();
    let mut open = |at: SocketAddr, lobbies: u64| -> Vec<String> {
        let id = world.client(at);
        (0..lobbies).map(|n| world.lobby(at, &id, 4 + n)).collect()
    };
    let honest = open(six("2001:db8:1::1".into()), 1);
    let neighbour = open(six("2001:db8:2:ffff::1".into()), 1);
    (0..16).for_each(|n| drop(open(six(format!("2001:db8:2:{n:x}::1")), 4)));
    let seen = seen(&mut world, six("2001:db8:3::1".into()));
    assert_eq!(seen[&honest[0]], 200, "there are two sources");
    let share = 200 * 5 / 17;
    assert!(seen[&neighbour[0]] > share / 2, "one network of 17 of its source: {seen:?}");
}

/// A client in a lobby with another, and the port that somebody pretends to be it at.
fn victim(world: &mut World) -> (String, String, SocketAddr) {
    let ids = [addr(1), addr(2)].map(|at| world.client(at));
    let lobby = world.lobby(addr(1), &ids[0], 4);
    world.say(addr(2), join(&lobby, &ids[1]));
    world.say(addr(1), ready(&lobby, &ids[1]));
    let [victim, other] = ids;
    (victim, other, SocketAddr::new(addr(1).ip(), 6666))
}

#[test]
fn who_lives_is_not_moved_and_who_was_drowned_is_back_at_once() {
    let mut world = World::new();
    let (id, other, forger) = victim(&mut world);
    let tick = Duration::from_millis(100);
    for n in 0..100 {
        world.wait(tick);
        assert_eq!(world.say(forger, keep_alive(&id)), []);
        if n % 20 == 0 {
            world.say(addr(1), keep_alive(&id));
        }
        world.say(addr(2), keep_alive(&other));
    }
    // Its own are lost for a while: the forger gets in.
    let mut told = Vec::new();
    for _ in 0..40 {
        world.wait(tick);
        told.extend(world.say(forger, keep_alive(&id)));
        world.say(addr(2), keep_alive(&other));
    }
    assert!(told.contains(&(addr(2), instruction(&id, forger, forger))));
    // Nobody can stand in its way at the endpoint that it had.
    world.say(addr(1), register());
    let told = world.say(addr(1), keep_alive(&id));
    assert!(told.contains(&(addr(2), instruction(&id, addr(1), addr(1)))), "{told:?}");
    assert_eq!(world.say(forger, keep_alive(&id)), []);
    // And it is still who it was.
    assert_eq!(world.say(addr(1), create(&id, "Game", 2)).len(), 1);
}

#[test]
fn two_who_say_they_are_one_are_not_believed() {
    let mut world = World::new();
    let (id, _, forger) = victim(&mut world);
    let moved = SocketAddr::new(addr(1).ip(), 7777);
    for _ in 0..48 {
        world.wait(Duration::from_millis(100));
        let told = [forger, moved].map(|at| world.say(at, keep_alive(&id)));
        assert!(told.iter().flatten().all(|(to, _)| ![forger, moved].contains(to)), "{told:?}");
    }
}

#[test]
fn a_client_whose_nat_gives_it_another_port_moves_before_it_is_forgotten() {
    for every in [1000, 2000] {
        let mut world = World::new();
        let (id, other, moved) = victim(&mut world);
        let mut told = Vec::new();
        for n in 1..50 {
            world.wait(Duration::from_millis(100));
            if n % (every / 100) == 0 {
                told.extend(world.say(moved, keep_alive(&id)));
            }
            world.say(addr(2), keep_alive(&other));
        }
        assert!(told.contains(&(addr(2), instruction(&id, moved, moved))), "every {every} ms");
        // Nobody can take it back for ever by forging where it was.
        for _ in 0..31 {
            world.wait(Duration::from_secs(1));
            world.say(moved, keep_alive(&id));
            world.say(addr(2), keep_alive(&other));
        }
        assert_eq!(world.say(addr(1), keep_alive(&id)), []);
    }
}

#[test]
fn a_local_endpoint_is_never_that_of_a_stranger() {
    let at = |text: &str| text.parse::<SocketAddr>().unwrap();
    for (claimed, told) in [
        (at("192.168.1.7:9"), addr(2)),
        (SocketAddr::new(addr(2).ip(), 9), addr(2)),
        (at("127.0.0.1:9"), addr(2)),
        (at("198.51.100.9:9"), addr(2)),
        (at("[2001:db8::1]:9"), addr(2)),
    ] {
        let mut world = World::new();
        let one = world.client(addr(1));
        world.say(addr(2), pb().m(1, pb().m(1, ep(claimed))));
        let other = world.client(addr(2));
        let sent = world.say(addr(1), pb().m(5, pb().s(1, &other).s(2, &one)));
        assert_eq!(sent[0], (addr(1), instruction(&other, addr(2), told)), "{claimed}");
    }
}

/// Elsewhere 192.168.1.7 is nobody, or somebody else.
#[test]
fn those_behind_one_address_are_told_of_their_network() {
    let local: SocketAddr = "192.168.1.7:9".parse().unwrap();
    let at = |ip: [u8; 4], port| SocketAddr::from((ip, port));
    let (public, inside) = ([203, 0, 113, 1], [10, 0, 0, 1]);
    for (of, asks, is_told) in [
        (at(public, 1000), at(public, 2000), true),
        (at(inside, 1000), at([10, 0, 0, 2], 2000), true),
        (at(public, 1000), at([203, 0, 113, 2], 2000), false),
        (at(inside, 1000), at(public, 2000), false),
    ] {
        let mut world = World::new();
        let one = world.client(asks);
        world.say(of, pb().m(1, pb().m(1, ep(local))));
        let other = world.client(of);
        let sent = world.say(asks, pb().m(5, pb().s(1, &other).s(2, &one)));
        let told = if is_told { local } else { of };
        assert_eq!(sent[0], (asks, instruction(&other, of, told)), "{of} {asks}");
    }
}

/// Else a player could have all those that share a carrier's address knock at a stranger, or at another
/// subscriber of that carrier, or at themselves.
#[test]
fn only_private_endpoints_are_told_in_a_network() {
    let at = |text: &str| text.parse::<SocketAddr>().unwrap();
    for (public, claimed, is_told) in [
        ("203.0.113.1", "192.168.1.7:9", true),
        ("203.0.113.1", "169.254.1.7:9", true),
        ("203.0.113.1", "203.0.113.1:9", false),
        ("203.0.113.1", "8.8.8.8:53", false),
        ("203.0.113.1", "127.0.0.1:53", false),
        ("203.0.113.1", "[::1]:53", false),
        ("127.0.0.1", "127.0.0.1:9", true),
        ("2001:db8:1::1", "[fd00::7]:9", true),
        ("2001:db8:1::1", "[2001:db8:1::7]:9", false),
    ] {
        let of = |port| SocketAddr::new(public.parse().unwrap(), port);
        for later in [false, true] {
            let mut world = World::new();
            let one = world.client(of(1000));
            let claim = pb().m(1, ep(at(claimed)));
            if !later {
                world.say(of(2000), pb().m(1, claim));
            }
            let other = world.client(of(2000));
            let mut request = pb().s(1, &one).s(2, &other);
            if later {
                request = request.m(3, ep(at(claimed)));
            }
            let sent = world.say(of(2000), pb().m(5, request));
            let told = if is_told { at(claimed) } else { of(2000) };
            let Some((_, instructed)) = sent.iter().find(|(to, _)| *to == of(1000)) else {
                panic!()
            };
            assert_eq!(
                instructed.0[instructed.0.len() - ep(told).0.len()..],
                ep(told).0,
                "{claimed}"
            );
        }
    }
}
