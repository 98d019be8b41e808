//! Who is told of the relay, and when.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::*;
use crate::introductions::relay::{Bounds, End, Report, Session};
use crate::nats::Seen;

const V4: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 20);
const V6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0xffff, 0, 0, 0, 0, 0x20);
const SECOND: Duration = Duration::from_secs(1);

fn relaying_at(told: PublicIps, bounds: Bounds) -> World {
    World { shared: Shared::relaying(told, bounds), ..World::new() }
}

fn relaying() -> World {
    relaying_at(IpAddr::from(V4).into(), Bounds::default())
}

fn six(n: u16) -> SocketAddr {
    SocketAddr::new(format!("2001:db8:{n:x}::1").parse().unwrap(), 7000)
}

/// An instruction with an endpoint of the relay.
fn relayed(id: &str, attempt: u64, ip: impl Into<IpAddr>, port: u16) -> Pb {
    let at = SocketAddr::new(ip.into(), port);
    pb().m(6, pb().n(1, 1).s(2, id).n(5, attempt).m(6, ep(at)).m(7, ep(at)))
}

/// A lobby whose host somebody wants to meet.
struct Joining {
    world: World,
    lobby: String,
    host: (SocketAddr, String),
    joiner: (SocketAddr, String),
    /// What the joiner and the host were told.
    told: Vec<(SocketAddr, Pb)>,
}

impl Joining {
    fn new(world: World) -> Self {
        Self::of(world, addr(1), addr(2))
    }

    fn of(mut world: World, host: SocketAddr, joiner: SocketAddr) -> Self {
        let host = (host, world.client(host));
        let lobby = world.lobby(host.0, &host.1, 8);
        let joiner = (joiner, world.client(joiner));
        let told = world.say(joiner.0, join(&lobby, &joiner.1));
        Self { world, lobby, host, joiner, told }
    }

    /// Time goes by, and both are there.
    fn wait(&mut self, seconds: u32) -> Vec<(SocketAddr, Pb)> {
        let mut told = Vec::new();
        for _ in 0..seconds {
            for (at, id) in [&self.host, &self.joiner] {
                told.extend(self.world.say(*at, keep_alive(id)));
            }
            told.extend(self.world.wait(SECOND));
        }
        told
    }

    /// What both are told of a session.
    fn at_relay(&self, session: &Session) -> [(SocketAddr, Pb); 2] {
        let [one, other] = session.sides;
        assert_eq!([one.addr, other.addr], [self.joiner.0.ip(), self.host.0.ip()]);
        [
            (self.joiner.0, relayed(&self.host.1, 1, V4, one.port)),
            (self.host.0, relayed(&self.joiner.1, 1, V4, other.port)),
        ]
    }
}

impl World {
    /// These are behind NATs that give each player another port, at random.
    fn random(&mut self, peers: &[SocketAddr]) {
        for peer in peers {
            self.shared.nats.saw(self.now.instant, *peer, Seen::Stun);
            let other = SocketAddr::new(peer.ip(), peer.port() + 77);
            self.shared.nats.saw(self.now.instant, other, Seen::Alternate);
        }
    }
}

#[test]
fn who_has_not_met_the_host_in_time_is_relayed_and_has_as_long_again() {
    let mut all = Joining::new(relaying());
    assert_eq!(all.wait(10), []);
    let told = all.wait(1);
    let session = all.world.shared.session();
    assert_eq!(told, all.at_relay(&session));
    assert_eq!(all.world.shared.counted(), "0 0 0", "it is not at its end");
    assert_eq!(all.wait(10), []);
    all.world.shared.report(all.world.now, Report::Connected(session.id));
    let told = all.world.say(all.host.0, ready(&all.lobby, &all.joiner.1));
    assert_eq!(told[0].0, all.joiner.0);
    assert_eq!(all.wait(20), []);
    all.world.shared.report(all.world.now, Report::Ended(session.id, End::Idle));
    assert_eq!(all.world.shared.counted(), "0 1 0");
    assert_eq!(all.world.shared.sessions(), []);
}

/// Its NAT has given it another port.
#[test]
fn who_is_relayed_is_told_of_the_relay_at_another_port_as_well() {
    let mut all = Joining::new(relaying());
    all.wait(11);
    let session = all.world.shared.session();
    let id = all.joiner.1.clone();
    all.joiner.0 = SocketAddr::new(all.joiner.0.ip(), 41_000);
    let mut told = Vec::new();
    for _ in 0..4 {
        told.extend(all.world.say(all.joiner.0, keep_alive(&id)));
        told.extend(all.world.say(all.host.0, keep_alive(&all.host.1)));
        told.extend(all.world.wait(SECOND));
    }
    assert_eq!(told, all.at_relay(&session));
    assert_eq!(all.world.shared.sessions(), [], "the same session");
}

#[test]
fn who_has_not_met_it_there_either_has_failed() {
    let mut all = Joining::new(relaying());
    all.wait(11);
    let session = all.world.shared.session();
    assert_eq!(all.wait(10), []);
    assert_eq!(all.wait(1), both(all.joiner.0, failed()));
    all.world.shared.report(all.world.now, Report::Ended(session.id, End::Unanswered));
    assert_eq!(all.world.shared.counted(), "0 0 1", "once");
}

#[test]
fn without_a_relay_nothing_is_different() {
    let mut world = World::new();
    world.random(&[addr(1), addr(2)]);
    let mut all = Joining::new(world);
    let told = |of: &(SocketAddr, String)| {
        pb().m(6, pb().n(1, 1).s(2, &of.1).n(4, 4).m(6, ep(of.0)).m(7, ep(of.0)))
    };
    let want = [(all.joiner.0, told(&all.host)), (all.host.0, told(&all.joiner))];
    assert_eq!(all.told[2..], want);
    assert_eq!(all.wait(10), []);
    assert_eq!(all.wait(1), both(all.joiner.0, failed()));
    assert_eq!(all.world.shared.counted(), "0 0 1");
}

/// Its registration may be forged.
#[test]
fn who_has_never_used_its_id_is_given_no_session() {
    let told = PublicIps { v4: Some(V4), v6: Some(V6) };
    for mute in [addr(3), six(3)] {
        let mut world = relaying_at(told, Bounds::default());
        world.random(&[addr(1), addr(3)]);
        let id = world.client(addr(1));
        let answers = world.say(mute, register());
        let Some(Content::RegisterResponse(response)) =
            Message::decode(&answers[0].1.0[..]).unwrap().content
        else {
            panic!("{answers:?}")
        };
        let told = world.say(addr(1), pb().m(5, pb().s(1, &response.client_id).s(2, &id)));
        let mute_id = &response.client_id;
        let why = format!("No way to client {mute_id}: it has IPv6, you have IPv4");
        assert_eq!(told == [(addr(1), error(&why))], mute.is_ipv6(), "{told:?}");
        world.say(mute, pb().m(5, pb().s(1, &id).s(2, "who knows")));
        assert_eq!(world.shared.sessions(), []);
        // Now it has.
        world.wait(limits::NATPUNCH_AGAIN);
        world.say(mute, keep_alive(&response.client_id));
        world.say(addr(1), pb().m(5, pb().s(1, &response.client_id).s(2, &id)));
        world.shared.session();
    }
}

#[test]
fn who_joins_over_and_over_is_given_one_session_at_a_time() {
    let mut all = Joining::new(relaying());
    all.wait(11);
    let first = all.world.shared.session();
    let want = all.at_relay(&first);
    for _ in 0..20 {
        all.world.wait(limits::NATPUNCH_AGAIN);
        for (at, id) in [&all.host, &all.joiner] {
            all.world.say(*at, keep_alive(id));
        }
        let told = all.world.say(all.joiner.0, join(&all.lobby, &all.joiner.1));
        assert_eq!(told[2..], want, "where it is now");
    }
    all.wait(11);
    for _ in 0..5 {
        all.world.say(all.joiner.0, leave(&all.lobby, &all.joiner.1));
        all.world.say(all.joiner.0, join(&all.lobby, &all.joiner.1));
        assert!(all.wait(11).ends_with(&both(all.joiner.0, failed())));
    }
    assert_eq!(all.world.shared.sessions(), []);
    all.world.shared.report(all.world.now, Report::Ended(first.id, End::Unanswered));
    all.world.say(all.joiner.0, join(&all.lobby, &all.joiner.1));
    all.wait(11);
    assert_ne!(all.world.shared.session().id, first.id);
}

fn ask(own: &str, other: &str) -> Pb {
    pb().m(5, pb().s(1, other).s(2, own))
}

/// Nobody tells the server how a punch by ID ended.
#[test]
fn who_asks_for_a_client_again_after_some_seconds_has_not_met_it() {
    let mut world = relaying();
    let ids = [addr(1), addr(2)].map(|at| world.client(at));
    let direct = world.say(addr(1), ask(&ids[0], &ids[1]));
    assert_eq!(direct.len(), 2);
    for _ in 0..4 {
        world.wait(SECOND);
        assert_eq!(world.say(addr(1), ask(&ids[0], &ids[1])), direct, "packets are lost");
    }
    world.wait(SECOND);
    // Be it the other one that asks.
    let told = world.say(addr(2), ask(&ids[1], &ids[0]));
    let [one, other] = world.shared.session().sides;
    assert_eq!([one.addr, other.addr], [addr(2).ip(), addr(1).ip()]);
    let want = [
        (addr(2), relayed(&ids[0], 1, V4, one.port)),
        (addr(1), relayed(&ids[1], 1, V4, other.port)),
    ];
    assert_eq!(told, want);
    world.wait(SECOND);
    world.say(addr(1), ask(&ids[0], &ids[1]));
    assert_eq!(world.shared.sessions(), [], "they have one");
}

#[test]
fn what_was_tried_long_ago_is_tried_again() {
    let mut world = relaying();
    let ids = [addr(1), addr(2)].map(|at| world.client(at));
    let direct = world.say(addr(1), ask(&ids[0], &ids[1]));
    for _ in 0..limits::relay::FAILED.as_secs() {
        world.wait(SECOND);
        for (at, id) in [addr(1), addr(2)].iter().zip(&ids) {
            world.say(*at, keep_alive(id));
        }
    }
    assert_eq!(world.say(addr(1), ask(&ids[0], &ids[1])), direct);
    assert_eq!(world.shared.sessions(), []);
}

#[test]
fn who_has_met_the_host_is_not_relayed_for_asking_again() {
    let mut all = Joining::new(relaying());
    all.world.say(all.host.0, ready(&all.lobby, &all.joiner.1));
    all.wait(11);
    assert_eq!(all.world.say(all.joiner.0, ask(&all.joiner.1, &all.host.1)).len(), 2);
    all.wait(1);
    all.world.say(all.joiner.0, leave(&all.lobby, &all.joiner.1));
    all.world.say(all.joiner.0, join(&all.lobby, &all.joiner.1));
    assert_eq!(all.world.shared.sessions(), []);
}

/// It has not waited for ten seconds.
#[test]
fn who_gave_up_and_joins_again_is_relayed_at_once() {
    let mut all = Joining::new(relaying());
    all.wait(6);
    all.world.say(all.joiner.0, leave(&all.lobby, &all.joiner.1));
    let told = all.world.say(all.joiner.0, join(&all.lobby, &all.joiner.1));
    let session = all.world.shared.session();
    assert_eq!(told[2..], all.at_relay(&session));
}

/// No host says of two members whether they have met.
#[test]
fn members_who_ask_for_each_other_are_relayed() {
    let mut all = Joining::new(relaying());
    all.world.say(all.host.0, ready(&all.lobby, &all.joiner.1));
    let other = (addr(3), all.world.client(addr(3)));
    all.world.say(other.0, join(&all.lobby, &other.1));
    all.world.say(all.host.0, ready(&all.lobby, &other.1));
    all.wait(6);
    all.world.say(other.0, keep_alive(&other.1));
    all.world.say(all.joiner.0, ask(&all.joiner.1, &other.1));
    assert_eq!(all.world.shared.sessions().len(), 1);
}

#[test]
fn two_nats_that_do_not_work_together_are_relayed_at_once() {
    let mut world = relaying();
    world.random(&[addr(1), addr(2)]);
    let mut all = Joining::new(world);
    let session = all.world.shared.session();
    assert_eq!(all.told[2..], all.at_relay(&session));
    assert_eq!(all.wait(10), []);
    assert_eq!(all.wait(1), both(all.joiner.0, failed()), "there is nothing else to try");
    // One of them keeps its port.
    let easy = all.world.client(addr(3));
    let told = all.world.say(addr(3), join(&all.lobby, &easy));
    assert_eq!(told[3], (all.host.0, instruction(&easy, addr(3), addr(3))));
    // Two who meet by their IDs, whoever asks.
    all.wait(1);
    let told =
        all.world.say(addr(1), pb().m(5, pb().s(1, &all.joiner.1).s(2, &all.host.1).n(4, 3)));
    let [one, other] = session.sides;
    let want = [
        (all.host.0, relayed(&all.joiner.1, 4, V4, other.port)),
        (all.joiner.0, relayed(&all.host.1, 4, V4, one.port)),
    ];
    assert_eq!(told, want);
    assert_eq!(all.world.shared.sessions(), []);
    all.world.shared.report(all.world.now, Report::Connected(session.id));
    let ended = all.world.shared.journal.latest().next().unwrap();
    assert_eq!(ended.attempt.names.room(), "Game", "the owner is told of the lobby");
}

#[test]
fn ipv4_meets_ipv6_at_the_relay() {
    let told = PublicIps { v4: Some(V4), v6: Some(V6) };
    let mut all = Joining::of(relaying_at(told, Bounds::default()), six(1), addr(2));
    let [one, other] = all.world.shared.session().sides;
    let want = [
        (all.joiner.0, relayed(&all.host.1, 1, V4, one.port)),
        (all.host.0, relayed(&all.joiner.1, 1, V6, other.port)),
    ];
    assert_eq!(all.told[2..], want);
    // Both are in lists of both.
    let own = all.world.client(addr(3));
    all.world.lobby(addr(3), &own, 8);
    for reader in [addr(4), six(4)] {
        let list = all.world.say(reader, pb().m(15, pb().s(1, &"x".repeat(200))));
        let Some(Content::LobbyListResponse(list)) =
            Message::decode(&list[0].1.0[..]).unwrap().content
        else {
            panic!("{list:?}")
        };
        assert_eq!(list.lobbies.len(), 2, "{reader}");
    }
}

#[test]
fn whoever_asks_first_two_have_one_session() {
    let told = PublicIps { v4: Some(V4), v6: Some(V6) };
    let mut world = relaying_at(told, Bounds::default());
    let ids = [six(1), addr(2)].map(|at| world.client(at));
    let lobby = world.lobby(six(1), &ids[0], 8);
    world.say(six(1), pb().m(5, pb().s(1, &ids[1]).s(2, &ids[0])));
    let [of_six, of_four] = world.shared.session().sides;
    world.wait(limits::NATPUNCH_AGAIN);
    let told = world.say(addr(2), join(&lobby, &ids[1]));
    let want = [
        (addr(2), relayed(&ids[0], 1, V4, of_four.port)),
        (six(1), relayed(&ids[1], 1, V6, of_six.port)),
    ];
    assert_eq!(told[2..], want);
    let (host, joiner) = ((six(1), ids[0].clone()), (addr(2), ids[1].clone()));
    let mut all = Joining { world, lobby, host, joiner, told };
    assert_eq!(all.wait(11), both(addr(2), failed()));
    assert_eq!(all.world.shared.sessions(), []);
}

#[test]
fn long_lists_have_lobbies_of_both_families() {
    let told = PublicIps { v4: Some(V4), v6: Some(V6) };
    let mut world = relaying_at(told, Bounds::default());
    let mut four = HashSet::new();
    for n in 10..60 {
        let id = world.client(addr(n));
        four.insert(world.lobby(addr(n), &id, 8));
        let id = world.client(six(n.into()));
        world.lobby(six(n.into()), &id, 8);
    }
    for reader in [addr(4), six(4)] {
        world.client(reader);
        let list = world.say(reader, pb().m(15, pb().s(1, "x")));
        let Some(Content::LobbyListResponse(list)) =
            Message::decode(&list[0].1.0[..]).unwrap().content
        else {
            panic!("{list:?}")
        };
        let of_four = list.lobbies.iter().filter(|lobby| four.contains(&lobby.lobby_id)).count();
        let of_six = list.lobbies.len() - of_four;
        assert!(of_four.abs_diff(of_six) <= 1 && of_four > 2, "{of_four} {of_six}");
    }
}

#[test]
fn a_relay_whose_month_is_used_up_helps_no_one_of_two_families() {
    let told = PublicIps { v4: Some(V4), v6: Some(V6) };
    let bounds = Bounds { month_bytes: Some(1000), ..Bounds::default() };
    let mut world = relaying_at(told, bounds);
    let host = world.client(six(1));
    let lobby = world.lobby(six(1), &host, 8);
    let joiner = world.client(addr(2));
    world.shared.report(world.now, Report::Passed(1000));
    let told = world.say(addr(2), join(&lobby, &joiner));
    let why = error("No way to the host of the lobby: it has IPv6, you have IPv4");
    assert_eq!(told, [(addr(2), why)]);
}

#[test]
fn a_relay_of_one_family_helps_no_one_of_them() {
    let mut world = relaying();
    let host = world.client(six(1));
    let lobby = world.lobby(six(1), &host, 8);
    let joiner = world.client(addr(2));
    let why = |whom: &str| error(&format!("No way to {whom}: it has IPv6, you have IPv4"));
    let told = world.say(addr(2), join(&lobby, &joiner));
    assert_eq!(told, [(addr(2), why("the host of the lobby"))]);
    let told = world.say(addr(2), pb().m(5, pb().s(1, &host).s(2, &joiner)));
    assert_eq!(told, [(addr(2), why(&format!("client {host}")))]);
}

#[test]
fn who_gets_through_directly_after_all_is_counted_so() {
    let mut all = Joining::new(relaying());
    all.wait(11);
    let id = all.world.shared.session().id;
    all.world.say(all.host.0, ready(&all.lobby, &all.joiner.1));
    assert_eq!(all.world.shared.counted(), "0 0 0", "not known yet");
    all.world.shared.report(all.world.now, Report::Ended(id, End::Unanswered));
    assert_eq!(all.world.shared.counted(), "1 0 0");
}

#[test]
fn where_the_relay_has_no_place_it_has_failed() {
    let bounds = Bounds { sessions_per_address: 0, ..Bounds::default() };
    let mut all = Joining::new(relaying_at(IpAddr::from(V4).into(), bounds));
    assert_eq!(all.wait(11), both(all.joiner.0, failed()));
    assert_eq!(all.world.shared.counted(), "0 0 1");
}
