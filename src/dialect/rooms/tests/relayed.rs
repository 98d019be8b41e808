//! Who is told of the relay, and when.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::*;
use crate::introductions::PublicIps;
use crate::introductions::relay::{Bounds, End, Report, Session};
use crate::nats::Seen;

const V4: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 20);
const V6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0xffff, 0, 0, 0, 0, 0x20);

fn relaying_at(told: PublicIps, bounds: Bounds) -> World {
    World { shared: Shared::relaying(told, bounds), ..World::new() }
}

fn relaying() -> World {
    relaying_at(IpAddr::from(V4).into(), Bounds::default())
}

fn six(n: u16) -> SocketAddr {
    SocketAddr::new(format!("2001:db8:{n:x}::1").parse().unwrap(), 7000)
}

impl World {
    /// A room with its host and a client, both of whom have shown their keys; nobody is told anything
    /// more.
    fn met(mut self) -> (Self, Place, Place) {
        let host = self.host(peer(1), "Room");
        let client = self.join(peer(2), &host);
        self.pass_secs(2);
        assert_eq!(self.shared.sessions(), []);
        (self, host, client)
    }

    /// These are behind NATs that give each player another port, at random.
    fn random(&mut self, peers: &[SocketAddr]) {
        let at = self.now().instant;
        for peer in peers {
            self.shared.nats.saw(at, *peer, Seen::Stun);
            let other = SocketAddr::new(peer.ip(), peer.port() + 77);
            self.shared.nats.saw(at, other, Seen::Alternate);
        }
    }
}

fn fail(client: &Place) -> Vec<u8> {
    format!("pc:{}:fail", client.id).into_bytes()
}

fn ep(of: &Place, port: u16) -> String {
    format!("ep:{}:{V4}:{port}", of.id)
}

#[test]
fn who_says_that_it_failed_is_relayed_with_the_other() {
    for of_host in [false, true] {
        let (mut world, host, client) = relaying().met();
        let from = if of_host { host.at } else { client.at };
        let sent = world.send(from, &fail(&client));
        let Session { id, sides: [one, other], .. } = world.shared.session();
        assert_eq!([one.addr, other.addr], [client.at.ip(), host.at.ip()]);
        let noted = (from, format!("pc:{}:ok", client.id));
        let to_host = (host.at, ep(&client, other.port));
        let to_client = (client.at, ep(&host, one.port));
        let want = [to_host.clone(), to_client.clone(), noted];
        assert_eq!(sent.0, want);
        let again = world.pass_secs(5);
        assert_eq!(again.0, [&want[..2], &want[..2]].concat(), "datagrams get lost");
        world.shared.report(world.now(), Report::Connected(id));
        world.answer(host.at, &format!("pc:{}:ok", client.id));
        world.shared.report(world.now(), Report::Ended(id, End::Idle));
        assert_eq!(world.shared.counted(), "0 1 0");
    }
}

/// Two of a mesh are relayed whichever of them says so, and each is told of its own side.
#[test]
fn clients_of_a_mesh_are_relayed_with_each_other() {
    for from in [0, 1] {
        let mut world = relaying();
        let host = world.host(peer(1), "Room:mesh");
        let clients = [2, 3].map(|n| world.join(peer(n), &host));
        world.pass_secs(2);
        let (own, other) = (&clients[from], &clients[1 - from]);
        let sent = world.send(own.at, &fail(other));
        let Session { sides, .. } = world.shared.session();
        for (who, whom) in [(own, other), (other, own)] {
            let side = sides.iter().find(|side| side.addr == whom.at.ip()).unwrap();
            assert!(sent.to(whom.at).contains(&ep(who, side.port)), "{sent:?}");
        }
        assert!(sent.to(own.at).contains(&format!("pc:{}:ok", other.id)));
        world.send(other.at, &fail(own));
        assert_eq!(world.shared.sessions(), [], "one is enough");
        assert!(sent.to(host.at).is_empty());
    }
    let mut world = relaying();
    let host = world.host(peer(1), "Room:mesh");
    let never = world.enter(peer(2), &format!("jr:{}:never", host.room));
    world.prove(&never);
    let client = world.join(peer(3), &host);
    for (at, other) in [(never.at, &client), (client.at, &never)] {
        world.send(at, &fail(other));
    }
    assert_eq!(world.shared.sessions(), [], "one of them wants none");
}

#[test]
fn without_a_relay_nothing_is_different() {
    let (mut world, host, client) = World::new().met();
    for from in [host.at, client.at] {
        let sent = world.send(from, &fail(&client));
        assert_eq!(sent.0, [(from, format!("pc:{}:ok", client.id))]);
    }
    assert_eq!(world.pass_secs(5).0, []);
    assert_eq!(world.shared.counted(), "0 0 1");
    world.random(&[peer(3), peer(4)]);
    let host = world.host(peer(3), "Hard");
    let answers = world.ask(peer(4), &format!("jr:{}:always", host.room));
    assert_eq!(
        answers[0],
        format!("jr:{}:{}:{}:40000", host.room, Place::of(peer(4), &answers).id, host.ip())
    );
    assert_eq!(world.shared.sessions(), []);
}

#[test]
fn who_has_shown_no_key_is_given_no_session() {
    let mut world = relaying();
    let host = world.host(peer(1), "Room");
    let client = world.join_unproved(peer(2), &host);
    for from in [host.at, client.at] {
        world.send(from, &fail(&client));
    }
    assert_eq!(world.shared.sessions(), [], "the client may be forged");
    let late_host = world.enter(peer(3), "rh:Late");
    let late = world.join(peer(4), &late_host);
    for from in [late_host.at, late.at] {
        world.send(from, &fail(&late));
    }
    assert_eq!(world.shared.sessions(), [], "the host may be forged");
    world.send(peer(9), &fail(&client));
    assert_eq!(world.shared.sessions(), [], "a stranger");

    // They have failed, and are there after all.
    let sent = world.send(client.at, client.rc().as_bytes());
    let [one, _] = world.shared.session().sides;
    let answer = format!("jr:{}:{}:{V4}:{}", client.room, client.id, one.port);
    assert!(sent.to(client.at).contains(&answer), "{sent:?}");
    let sent = world.send(late_host.at, late_host.rc().as_bytes());
    let [one, _] = world.shared.session().sides;
    assert_eq!(sent.to(late.at), [ep(&late_host, one.port)]);
}

#[test]
fn a_flood_of_failures_is_given_one_session_at_a_time() {
    let (mut world, host, client) = relaying().met();
    let flood = |world: &mut World| {
        for _ in 0..100 {
            for from in [host.at, client.at] {
                world.send(from, &fail(&client));
            }
            world.ask(client.at, &format!("jr:{}", host.room));
        }
        world.shared.session()
    };
    let first = flood(&mut world);
    world.shared.report(world.now(), Report::Ended(first.id, End::Unanswered));
    assert_eq!(world.shared.counted(), "0 0 1", "that it failed was told to nobody else before");
    let second = flood(&mut world);
    assert_ne!(first.id, second.id);
    // Who leaves and comes back has it still.
    world.answer(client.at, "lr");
    world.pass_secs(2);
    let client = world.join(client.at, &host);
    world.send(client.at, &fail(&client));
    assert_eq!(world.shared.sessions(), []);
}

#[test]
fn two_nats_that_do_not_work_together_are_relayed_at_once() {
    let mut world = relaying();
    world.random(&[peer(1), peer(2)]);
    let host = world.host(peer(1), "Room");
    let client = world.join_unproved(peer(2), &host);
    assert_eq!(world.shared.sessions(), [], "not before it has shown its key");
    let sent = world.send(client.at, client.rc().as_bytes());
    let [one, other] = world.shared.session().sides;
    let joined = format!("jr:{}:{}:{V4}:{}", host.room, client.id, one.port);
    let to_client = sent.to(client.at);
    assert_eq!(to_client[0], ep(&host, one.port));
    assert_eq!(to_client[1], joined);
    let comes = format!("cj:{}:{V4}:{}", client.id, other.port);
    assert!(world.pass_secs(2).to(host.at).iter().all(|told| *told == comes));
    let again = world.send(client.at, format!("jr:{}", host.room).as_bytes());
    assert_eq!(again.to(client.at)[0], joined, "a request that comes twice has the same answer");
    assert_eq!(again.to(host.at), [comes]);
    assert_eq!(world.shared.sessions(), []);

    // One of them keeps its port.
    let client = world.join(peer(3), &host);
    assert_eq!(world.shared.sessions(), [], "{client:?}");
}

#[test]
fn a_client_may_ask_for_the_relay_or_refuse_it() {
    let mut world = relaying();
    let host = world.host(peer(1), "Room");
    let always = world.enter(peer(2), &format!("jr:{}:always", host.room));
    world.ask(always.at, &always.rc());
    world.shared.session();
    world.random(&[peer(1), peer(3)]);
    let never = world.enter(peer(3), &format!("jr:{}:never", host.room));
    world.prove(&never);
    let sent = world.send(never.at, &fail(&never));
    assert_eq!(sent.0, [(never.at, format!("pc:{}:ok", never.id))]);
    assert_eq!(world.shared.sessions(), []);
    assert!(world.shared.journal.lines()[1].ends_with(" 0         0       1"));
    // It thinks better of it.
    let again = world.ask(never.at, &format!("jr:{}:always", host.room));
    let [one, _] = world.shared.session().sides;
    let joined = format!("jr:{}:{}:{V4}:{}", host.room, never.id, one.port);
    assert!(again.contains(&joined), "{again:?}");
    for wrong in ["", "maybe", "Always", "never:never"] {
        assert_eq!(world.answer(peer(4), &format!("jr:{}:{wrong}", host.room)), "er:jr:badrequest");
    }
}

/// Somebody sends these from the endpoint of a client that has shown its key.
#[test]
fn nobody_else_says_what_a_client_wants_of_the_relay() {
    let jr = |host: &Place, wish: &str| format!("jr:{}{wish}", host.room);
    let mut world = relaying();
    let host = world.host(peer(1), "Room");
    for (n, forged) in (2..).zip([":never", "", ":never"]) {
        let wish = if forged.is_empty() { ":always" } else { "" };
        let client = world.enter(peer(n), &jr(&host, wish));
        world.prove(&client);
        if wish.is_empty() {
            assert_eq!(world.shared.sessions(), []);
        } else {
            world.shared.session();
        }
        world.send(client.at, jr(&host, forged).as_bytes());
        world.send(client.at, &fail(&client));
        if wish.is_empty() {
            world.shared.session();
        }
        let wanted = world.rooms.table.peer_at(client.at).unwrap().wish;
        assert_eq!(wanted.text(), wish.strip_prefix(':'));
    }

    // Towards the relay it is as it always was.
    let client = world.enter(peer(5), &jr(&host, ":never"));
    world.prove(&client);
    for (said, wanted) in [("", None), (":always", Some("always"))] {
        world.send(client.at, jr(&host, said).as_bytes());
        assert_eq!(world.rooms.table.peer_at(client.at).unwrap().wish.text(), wanted);
    }

    // They have met: nobody moves them to the relay.
    let (mut world, host, client) = relaying().met();
    for who in [&host, &client] {
        world.answer(who.at, &format!("pc:{}:ok", client.id));
    }
    let sent = world.send(client.at, jr(&host, ":always").as_bytes());
    assert_eq!(world.shared.sessions(), []);
    assert!(sent.to(client.at)[0].ends_with(&format!(":{}:40000", host.ip())), "{sent:?}");
    world.send(client.at, client.rc().as_bytes());
    world.send(client.at, client.signed("ka").as_bytes());
    assert_eq!(world.shared.sessions(), []);
}

#[test]
fn ipv4_meets_ipv6_at_the_relay() {
    let told = PublicIps { v4: Some(V4), v6: Some(V6) };
    let mut world = relaying_at(told, Bounds::default());
    let host = world.host(six(1), "six");
    world.pass_secs(2);
    assert_eq!(world.answer(peer(2), "rl"), format!("rl:{},six,open,1", host.room));
    let jr = format!("jr:{}", host.room);
    let sent = world.send(peer(2), jr.as_bytes());
    let client = Place::of(peer(2), &sent.to(peer(2)));
    assert_eq!(sent.to(peer(2))[0], format!("{jr}:{}:{V4}:9", client.id), "nobody is there");
    assert_eq!(sent.to(host.at), [""; 0]);
    assert_eq!(world.answer(client.at, "ka"), "ka");
    assert_eq!(world.pass_secs(2).0, []);
    let sent = world.send(client.at, client.rc().as_bytes());
    let [one, other] = world.shared.session().sides;
    assert_eq!([one.addr, other.addr], [client.at.ip(), host.at.ip()]);
    assert!(sent.to(client.at).contains(&format!("{jr}:{}:{V4}:{}", client.id, one.port)));
    let at_host = format!("{V6}").replace(':', "%3A");
    assert_eq!(sent.to(host.at), [format!("cj:{}:{at_host}:{}", client.id, other.port)]);
    assert_eq!(world.answer(peer(3), &format!("{jr}:never")), "er:jr:family");
}

#[test]
fn a_client_may_come_back_from_the_other_family_where_the_relay_has_both() {
    let told = PublicIps { v4: Some(V4), v6: Some(V6) };
    let (mut world, host, client) = relaying_at(told, Bounds::default()).met();
    let sent = world.send(six(2), client.rc().as_bytes());
    let moved = Place::of(six(2), &sent.to(six(2)));
    let sent = world.send(six(2), moved.rc().as_bytes());
    let [one, other] = world.shared.session().sides;
    assert_eq!([one.addr, other.addr], [six(2).ip(), host.at.ip()]);
    assert!(sent.to(host.at)[0].ends_with(&format!("{V4}:{}", other.port)), "{sent:?}");
    assert!(sent.to(six(2)).iter().any(|text| text.ends_with(&format!(":{}", one.port))));
    assert_eq!(world.answer(six(3), &host.rc()), "er:rc:family", "its clients have IPv4");
}

/// A host knows them by no other.
#[test]
fn who_kicks_the_address_of_the_relay_kicks_those_who_are_relayed() {
    let (mut world, host, client) = relaying().met();
    let direct = world.join(peer(3), &host);
    world.send(client.at, &fail(&client));
    world.shared.session();
    let sent = world.send(host.at, format!("kc:ip:{V4}").as_bytes());
    assert_eq!(sent.to(client.at), [format!("kc:{}", host.room)]);
    assert_eq!(sent.to(direct.at), [""; 0]);
    assert_eq!(world.answer(client.at, &format!("jr:{}", host.room)), "er:jr:kicked");
    assert!(world.send(peer(2 + 7), format!("jr:{}", host.room).as_bytes()).to(peer(9)).len() > 1);
}

#[test]
fn a_relay_whose_month_is_used_up_helps_no_one_of_two_families() {
    let told = PublicIps { v4: Some(V4), v6: Some(V6) };
    let bounds = Bounds { month_bytes: Some(1000), ..Bounds::default() };
    let mut world = relaying_at(told, bounds);
    let host = world.host(six(1), "six");
    world.pass_secs(2);
    assert_ne!(world.answer(peer(2), "rl"), "rl:");
    let now = world.now();
    world.shared.report(now, Report::Passed(1000));
    assert_eq!(world.answer(peer(3), "rl"), "rl:");
    assert_eq!(world.answer(peer(3), &format!("jr:{}", host.room)), "er:jr:family");
}

#[test]
fn a_relay_of_one_family_helps_no_one_of_them() {
    let mut world = relaying();
    let host = world.host(six(1), "six");
    assert_eq!(world.answer(peer(2), &format!("jr:{}", host.room)), "er:jr:family");
    assert_eq!(world.answer(peer(2), "rl"), "rl:");
}

#[test]
fn pages_of_both_families_leave_no_room_out() {
    let told = PublicIps { v4: Some(V4), v6: Some(V6) };
    let mut world = relaying_at(told, Bounds::default());
    let mut made: Vec<String> = Vec::new();
    for n in 10..50 {
        let at = if n % 3 == 0 { six(n) } else { peer(n) };
        let room = world.host(at, &"x".repeat(40)).room;
        made.insert(0, room);
        world.pass_secs(2);
    }
    for reader in [peer(1), six(1)] {
        let mut listed = Vec::new();
        let mut after = String::new();
        loop {
            let page = format!("rl{after}");
            let page = [page.as_bytes(), &[0; 400]].concat();
            let answer = world.send(reader, &page).to(reader).remove(0);
            let fields: Vec<&str> = answer.split(':').skip(1).collect();
            let rooms = fields.iter().filter(|field| **field != "+");
            listed.extend(rooms.map(|room| room.split(',').next().unwrap().to_owned()));
            if fields.last() != Some(&"+") {
                break;
            }
            after = format!(":{}", listed.last().unwrap());
            world.pass_secs(11);
        }
        assert_eq!(listed, made);
    }
}

#[test]
fn who_gets_through_directly_after_all_is_counted_so() {
    let (mut world, host, client) = relaying().met();
    world.send(client.at, &fail(&client));
    let id = world.shared.session().id;
    world.answer(host.at, &format!("pc:{}:ok", client.id));
    assert_eq!(world.shared.counted(), "0 0 0", "not known yet");
    world.shared.report(world.now(), Report::Ended(id, End::Unanswered));
    assert_eq!(world.shared.counted(), "1 0 0");
}

/// A host that was killed says nothing any more: that is why, and not the routers.
#[test]
fn a_host_that_is_silent_is_said_to_be_gone() {
    let mut world = World::new();
    let host = world.host(peer(1), "Mine");
    world.pass_secs(15);
    let early = world.join(peer(2), &host);
    world.send(early.at, &fail(&early));
    world.pass_secs(15);
    let late = world.join(peer(3), &host);
    world.send(late.at, &fail(&late));
    let mut whys = world.shared.journal.latest().map(ToString::to_string);
    let [late, early] = [whys.next().unwrap(), whys.next().unwrap()];
    assert!(
        late.ends_with("(\"Mine\"): nothing has come from the host for 30 s: it is gone"),
        "{late}"
    );
    assert!(!early.contains("nothing has come"), "{early}");
}

#[test]
fn where_the_relay_has_no_place_it_has_failed() {
    let bounds = Bounds { sessions_per_address: 0, ..Bounds::default() };
    let (mut world, _, client) = relaying_at(IpAddr::from(V4).into(), bounds).met();
    for _ in 0..3 {
        let sent = world.send(client.at, &fail(&client));
        assert_eq!(sent.0, [(client.at, format!("pc:{}:ok", client.id))]);
    }
    assert_eq!(world.shared.counted(), "0 0 1", "said once");
}

/// Its NAT has given it another port, or it is a host whose NAT has.
#[test]
fn who_is_relayed_is_told_of_the_relay_at_another_port_as_well() {
    for is_host in [false, true] {
        let (mut world, host, client) = relaying().met();
        world.send(client.at, &fail(&client));
        let Session { sides: [one, other], .. } = world.shared.session();
        world.pass_secs(2);
        let before = if is_host { &host } else { &client };
        let at = SocketAddr::new(before.at.ip(), 41_000);
        let mut sent = world.send(at, before.rc().as_bytes()).0;
        let own = sent.iter().filter(|(to, _)| *to == at).map(|(_, text)| text.clone());
        let moved = Place::of(at, &own.take(2).collect::<Vec<_>>());
        sent.extend(world.send(at, moved.rc().as_bytes()).0);
        sent.extend(world.pass_secs(2).0);
        let is_direct = |text: &String| text.ends_with(":40000") || text.ends_with(":41000");
        assert!(!sent.iter().any(|(_, text)| is_direct(text)), "{sent:?}");
        assert!(sent.iter().any(|(_, text)| text.contains("192.0.2.20:")), "{sent:?}");
        let ports = [one, other].map(|side| format!(":{}", side.port));
        let is_right = |text: &String| ports.iter().any(|port| text.ends_with(port));
        assert!(
            sent.iter().filter(|(_, text)| text.contains("192.0.2.20")).all(|(_, t)| is_right(t))
        );
        assert_eq!(world.shared.sessions(), [], "the same session");
    }
}

#[test]
fn who_moves_is_told_where_it_is_itself_again() {
    let (mut world, host, client) = relaying().met();
    world.send(client.at, &fail(&client));
    world.shared.session();
    world.pass_secs(2);
    let sent = world.send(peer(7), client.rc().as_bytes());
    assert_eq!(sent.to(host.at), [format!("ep:{}:{}:40000", client.id, peer(7).ip())]);
    assert!(sent.to(peer(7))[0].ends_with(&format!("{}:40000", host.ip())));
    let moved = Place::of(peer(7), &sent.to(peer(7)));
    world.prove(&moved);
    world.send(moved.at, &fail(&moved));
    assert_eq!(world.shared.session().sides[0].addr, peer(7).ip());
}

/// Somebody says in the name of one of two who play that it fails.
#[test]
fn two_who_have_reached_each_other_are_relayed_if_both_want_it_or_one_with_its_key() {
    for of_mesh in [false, true] {
        for signed in [false, true] {
            let mut world = relaying();
            let host = world.host(peer(1), if of_mesh { "Room:mesh" } else { "Room" });
            let client = world.join(peer(2), &host);
            let two = world.join(peer(3), &host);
            let (one, two, of_one, of_two) = match of_mesh {
                false => (&host, &client, &client, &client),
                true => (&client, &two, &two, &client),
            };
            world.pass_secs(2);
            for (at, id) in [(one.at, &of_one.id), (two.at, &of_two.id)] {
                assert_eq!(world.answer(at, &format!("pc:{id}:ok")), format!("pc:{id}:ok"));
            }
            let (fail_one, noted) = (fail(of_one), format!("pc:{}:ok", of_one.id));
            for _ in 0..3 {
                assert_eq!(world.send(one.at, &fail_one).0, [(one.at, noted.clone())]);
            }
            // Nor by coming again.
            world.ask(client.at, &client.rc());
            world.ask(client.at, &format!("jr:{}", host.room));
            assert_eq!(world.shared.sessions(), []);
            if signed {
                let fail = String::from_utf8(fail_one).unwrap();
                assert!(world.ask(one.at, &one.signed(&fail)).contains(&noted));
            } else {
                world.send(two.at, &fail(of_two));
            }
            world.shared.session();
        }
    }
}

#[test]
fn who_ends_its_requests_with_its_key_says_so_how_a_punch_ended() {
    let (mut world, host, client) = relaying().met();
    assert_eq!(world.answer(host.at, &host.signed("ka")), "ka");
    for end in ["ok", "fail"] {
        let pc = format!("pc:{}:{end}", client.id);
        assert_eq!(world.answer(host.at, &pc), "er:pc:badkey");
    }
    assert_eq!(world.shared.sessions(), []);
    world.ask(host.at, &host.signed(&format!("pc:{}:fail", client.id)));
    world.shared.session();
}
