//! Who is introduced at the relay, and when.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::*;
use crate::introductions::PublicIps;
use crate::introductions::relay::{Bounds, End, Report, Session};
use crate::nats::Seen;

const V4: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 20);
const V6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0xffff, 0, 0, 0, 0, 0x20);
const HOST: &str = "203.0.113.1:4001";
const PLAYER: &str = "203.0.113.2:4002";

fn relaying_at(told: PublicIps, bounds: Bounds) -> World {
    World { shared: Shared::relaying(told, bounds), ..World::new() }
}

fn relaying() -> World {
    relaying_at(IpAddr::from(V4).into(), Bounds::default())
}

fn addr(at: &str) -> SocketAddr {
    at.parse().unwrap()
}

/// Where somebody is introduced to be.
fn told(heard: &[Value]) -> Vec<String> {
    let introduced = heard.iter().filter(|event| event["name"] == "introduce");
    let at = |data: &Value| {
        format!(
            "{} {}:{}",
            data["id"].as_str().unwrap(),
            data["ip"].as_str().unwrap(),
            data["port"]
        )
    };
    introduced.map(|event| at(&event["data"])).collect()
}

impl World {
    /// Logs in from where the game socket is, and shows it.
    fn there(&mut self, name: &str, at: &str) -> ConnId {
        let (conn, token) = self.login_from(addr(at).ip(), name);
        self.datagram(at, &format!("udp:{token}"));
        conn
    }

    fn room(&mut self, host: ConnId) -> Value {
        self.ask(host, "create_room", json!({"name": "Lobby"})).unwrap()["room"].clone()
    }

    /// Joins a room and hears everything that comes of it.
    fn joins(&mut self, player: ConnId, data: &Value) -> Vec<Value> {
        let join = json!({"type": "request", "name": "join_room", "request_id": 1, "data": data});
        self.heard.clear();
        self.say(player, join.to_string());
        self.heard(player)
    }

    /// A host and a player who have been introduced to each other.
    fn met(mut self) -> (Self, ConnId, ConnId) {
        let host = self.there("host", HOST);
        let player = self.there("player", PLAYER);
        let room = self.room(host);
        let heard = self.joins(player, &json!({"room": room}));
        assert_eq!(told(&heard), [format!("host {HOST}")]);
        self.heard.clear();
        (self, host, player)
    }

    fn result(&mut self, from: ConnId, of: &str, ok: bool) {
        let data = json!({"id": of, "ok": ok});
        self.say(from, json!({"type": "pass", "name": "punch_result", "data": data}).to_string());
    }

    /// These are behind NATs that give each player another port, at random.
    fn random(&mut self, peers: &[&str]) {
        for peer in peers.iter().map(|peer| addr(peer)) {
            self.shared.nats.saw(self.now.instant, peer, Seen::Stun);
            let other = SocketAddr::new(peer.ip(), peer.port() + 77);
            self.shared.nats.saw(self.now.instant, other, Seen::Alternate);
        }
    }
}

#[test]
fn who_says_that_it_failed_is_introduced_with_the_other_at_the_relay() {
    for of_host in [false, true] {
        let (mut world, host, player) = relaying().met();
        let lan = json!({"local": [{"ip": "192.168.1.1", "port": 80}]});
        for id in [host, player] {
            world.ask(id, "local_endpoints", lan.clone()).unwrap();
        }
        let nonce = world.heard(host)[0]["data"]["nonce"].clone();
        world.heard.clear();
        if of_host {
            world.result(host, "player", false);
        } else {
            world.result(player, "host", false);
        }
        let Session { id, sides: [one, other], .. } = world.shared.session();
        assert_eq!([one.addr, other.addr], [addr(PLAYER).ip(), addr(HOST).ip()]);
        let introduce = |id: &str, port: u16| {
            json!({"type": "pass", "name": "introduce",
                   "data": {"id": id, "ip": V4, "port": port, "local": [], "nonce": nonce}})
        };
        assert_eq!(world.hears(host), introduce("player", other.port));
        assert_eq!(world.hears(player), introduce("host", one.port));
        world.shared.report(world.now, Report::Connected(id));
        world.result(player, "host", true);
        world.shared.report(world.now, Report::Ended(id, End::Idle));
        assert_eq!(world.shared.counted(), "0 1 0");
    }
}

/// Its NAT has given it another port.
#[test]
fn who_is_relayed_is_told_of_the_relay_at_another_port_as_well() {
    let (mut world, host, player) = relaying().met();
    world.result(player, "host", false);
    let Session { sides: [one, other], .. } = world.shared.session();
    for (id, at) in [(player, PLAYER), (host, HOST)] {
        world.now.instant = world.now.instant + Duration::from_secs(30);
        world.heard.clear();
        let token = world.events.token_of(id);
        let at = SocketAddr::new(addr(at).ip(), 41_000).to_string();
        world.datagram(&at, &format!("udp:{token:032x}"));
        let [to_host, to_player] = [host, player].map(|id| told(&world.heard(id)));
        assert_eq!(to_host, [format!("player {V4}:{}", other.port)]);
        assert_eq!(to_player, [format!("host {V4}:{}", one.port)]);
    }
    assert_eq!(world.shared.sessions(), [], "the same session");
}

#[test]
fn without_a_relay_nothing_is_different() {
    let (mut world, host, player) = World::new().met();
    world.result(host, "player", false);
    world.result(player, "host", false);
    assert!(world.heard.is_empty());
    assert_eq!(world.shared.counted(), "0 0 1");
    world.random(&["203.0.113.3:4003", "203.0.113.4:4004"]);
    let host = world.there("hard", "203.0.113.3:4003");
    let player = world.there("late", "203.0.113.4:4004");
    let room = world.room(host);
    let heard = world.joins(player, &json!({"room": room, "relay": "always"}));
    assert_eq!(told(&heard), ["hard 203.0.113.3:4003"]);
}

/// A token can be sent in the name of any address.
#[test]
fn whose_connection_comes_from_elsewhere_is_given_no_session() {
    for elsewhere in [HOST, PLAYER] {
        let mut world = relaying();
        let [host, player] = [("host", HOST), ("player", PLAYER)].map(|(name, at)| {
            let from = if at == elsewhere { "192.0.2.1:1" } else { at };
            let (conn, token) = world.login_from(addr(from).ip(), name);
            world.datagram(at, &format!("udp:{token}"));
            conn
        });
        let room = world.room(host);
        // The test world has connections from there, which are not theirs.
        let heard = world.joins(player, &json!({"room": room, "relay": "always"}));
        assert_eq!(told(&heard), [format!("host {HOST}")]);
        world.heard.clear();
        world.result(host, "player", false);
        world.result(player, "host", false);
        assert!(world.heard.is_empty());
        assert_eq!(world.shared.sessions(), []);
        assert_eq!(world.shared.counted(), "0 0 1");
    }
}

#[test]
fn only_the_two_who_were_to_meet_can_say_that_they_failed() {
    let (mut world, host, player) = relaying().met();
    let stranger = world.there("stranger", "203.0.113.3:4003");
    world.heard.clear();
    for of in ["host", "player", "nobody"] {
        world.result(stranger, of, false);
    }
    world.result(host, "stranger", false);
    let other = world.there("other", "203.0.113.4:4004");
    let room = world.ask(stranger, "create_room", json!({"name": "x"})).unwrap();
    world.ask(other, "join_room", json!({"room": room["room"]})).unwrap();
    world.result(other, "host", false);
    world.result(player, "stranger", false);
    assert_eq!(world.shared.sessions(), []);
}

#[test]
fn a_flood_of_failures_is_given_one_session_at_a_time() {
    let (mut world, host, player) = relaying().met();
    let flood = |world: &mut World| {
        for n in 0..50 {
            world.result(host, "player", false);
            world.result(player, "host", n == 30);
            world.result(player, "host", false);
        }
        world.shared.session()
    };
    let first = flood(&mut world);
    assert_eq!(world.shared.counted(), "0 0 0", "it is not known yet");
    world.shared.report(world.now, Report::Ended(first.id, End::Unanswered));
    let second = flood(&mut world);
    assert_ne!(first.id, second.id);
    // Who leaves and comes back has it still.
    let listed = world.ask(player, "list_rooms", json!({})).unwrap();
    let room = listed["rooms"][0]["room"].clone();
    world.ask(player, "leave_room", json!({})).unwrap();
    let heard = world.joins(player, &json!({"room": room}));
    assert_eq!(told(&heard), [format!("host {V4}:{}", second.sides[0].port)]);
    world.result(player, "host", false);
    assert_eq!(world.shared.sessions(), []);
}

#[test]
fn two_nats_that_do_not_work_together_are_relayed_at_once() {
    let mut world = relaying();
    world.random(&[HOST, PLAYER]);
    let host = world.there("host", HOST);
    let room = world.room(host);
    let (player, token) = world.login_from(addr(PLAYER).ip(), "player");
    assert_eq!(told(&world.joins(player, &json!({"room": room}))), [""; 0]);
    world.datagram(PLAYER, &format!("udp:{token}"));
    let [one, other] = world.shared.session().sides;
    assert_eq!(told(&world.heard(player)), [format!("host {V4}:{}", one.port)]);
    assert_eq!(told(&world.heard(host)), [format!("player {V4}:{}", other.port)]);
    // One of them keeps its port.
    let easy = world.there("easy", "203.0.113.3:4003");
    let heard = world.joins(easy, &json!({"room": room}));
    assert_eq!(told(&heard), [format!("host {HOST}")]);
    // It has another port now.
    world.wait(limits::ENDPOINT_GAP);
    world.heard.clear();
    world.datagram("203.0.113.2:5000", &format!("udp:{token}"));
    assert_eq!(world.shared.sessions(), [], "the same session");
    assert_eq!(told(&world.heard(player)), [format!("host {V4}:{}", one.port)]);
}

#[test]
fn a_player_may_ask_for_the_relay_or_refuse_it() {
    let mut world = relaying();
    let host = world.there("host", HOST);
    let player = world.there("player", PLAYER);
    let room = world.room(host);
    let heard = world.joins(player, &json!({"room": room, "relay": "always"}));
    let [one, _] = world.shared.session().sides;
    assert_eq!(told(&heard), [format!("host {V4}:{}", one.port)]);
    let other = "203.0.113.3:4003";
    world.random(&[HOST, other]);
    let never = world.there("never", other);
    let heard = world.joins(never, &json!({"room": room, "relay": "never"}));
    assert_eq!(told(&heard), [format!("host {HOST}")]);
    world.result(never, "host", false);
    assert_eq!(world.shared.sessions(), []);
    assert!(world.shared.counted().ends_with(" 1"), "{}", world.shared.counted());
    let last = world.there("last", "203.0.113.4:4004");
    for wrong in [json!("maybe"), json!(""), json!(true), json!({})] {
        let data = json!({"room": room, "relay": wrong});
        assert_eq!(world.ask(last, "join_room", data), Err("bad_request".into()));
    }
    assert!(world.ask(last, "join_room", json!({"room": room, "relay": null})).is_ok());
}

#[test]
fn ipv4_meets_ipv6_at_the_relay() {
    let told_at = PublicIps { v4: Some(V4), v6: Some(V6) };
    let mut world = relaying_at(told_at, Bounds::default());
    let host = world.there("host", "[2001:db8::1]:4001");
    let room = world.room(host);
    let player = world.there("player", PLAYER);
    let listed = world.ask(player, "list_rooms", json!({})).unwrap();
    assert_eq!(listed["rooms"][0].get("other_family"), None);
    let never = json!({"room": room, "relay": "never"});
    assert_eq!(world.ask(player, "join_room", never), Err("family".into()));
    let heard = world.joins(player, &json!({"room": room}));
    let [one, other] = world.shared.session().sides;
    assert_eq!([one.addr, other.addr], [addr(PLAYER).ip(), addr("[2001:db8::1]:1").ip()]);
    assert_eq!(told(&heard), [format!("host {V4}:{}", one.port)]);
    assert_eq!(told(&world.heard(host)), [format!("player {V6}:{}", other.port)]);
    // One who cannot be relayed is told nothing that he cannot reach.
    let (far, token) = world.login_from(IpAddr::from([192, 0, 2, 1]), "far");
    world.datagram("203.0.113.3:4003", &format!("udp:{token}"));
    let heard = world.joins(far, &json!({"room": room}));
    assert_eq!(names(&heard), ["join_room", "self_joined"]);
    assert_eq!(names(&world.heard(host)), ["player_joined"]);
    assert_eq!(world.shared.sessions(), []);
    // Until he can: his socket is where his connection comes from.
    world.wait(limits::ENDPOINT_GAP);
    world.datagram("192.0.2.1:4003", &format!("udp:{token}"));
    world.shared.session();
}

#[test]
fn a_relay_whose_month_is_used_up_helps_no_one_of_two_families() {
    let told_at = PublicIps { v4: Some(V4), v6: Some(V6) };
    let bounds = Bounds { month_bytes: Some(1000), ..Bounds::default() };
    let mut world = relaying_at(told_at, bounds);
    let host = world.there("host", "[2001:db8::1]:4001");
    let room = world.room(host);
    let player = world.there("player", PLAYER);
    world.shared.report(world.now, Report::Passed(1000));
    assert_eq!(world.ask(player, "join_room", json!({"room": room})), Err("family".into()));
    let listed = world.ask(player, "list_rooms", json!({})).unwrap();
    assert_eq!(listed["rooms"][0]["other_family"], true);
}

#[test]
fn a_relay_of_one_family_helps_no_one_of_them() {
    let mut world = relaying();
    let host = world.there("host", "[2001:db8::1]:4001");
    let room = world.room(host);
    let player = world.there("player", PLAYER);
    assert_eq!(world.ask(player, "join_room", json!({"room": room})), Err("family".into()));
    let listed = world.ask(player, "list_rooms", json!({})).unwrap();
    assert_eq!(listed["rooms"][0]["other_family"], true);
}

#[test]
fn who_gets_through_directly_after_all_is_counted_so() {
    let (mut world, host, player) = relaying().met();
    for n in 0..2 {
        world.result(host, "player", false);
        let id = world.shared.session().id;
        world.result(player, "host", true);
        assert_eq!(world.shared.journal.latest().len(), n, "not known yet");
        world.shared.report(world.now, Report::Ended(id, End::Unanswered));
        assert_eq!(world.shared.journal.latest().len(), n + 1);
        assert_eq!(world.shared.counted(), "1 0 0", "the same two, a moment later");
    }
}

#[test]
fn where_the_relay_has_no_place_it_has_failed() {
    let bounds = Bounds { sessions_per_address: 0, ..Bounds::default() };
    let (mut world, host, player) = relaying_at(IpAddr::from(V4).into(), bounds).met();
    for _ in 0..3 {
        world.result(host, "player", false);
        world.result(player, "host", false);
    }
    assert!(world.heard.is_empty());
    assert_eq!(world.shared.counted(), "0 0 1");
}
