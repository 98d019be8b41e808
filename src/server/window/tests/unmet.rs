//! Who was introduced to nobody: what is told of it, and what it does to the numbers.

use super::*;

impl World {
    fn join(&mut self, client: impl Into<IpAddr>, host: &str) {
        self.say(client.into(), &format!("connect\n{host}\n"));
    }

    fn udp(&mut self, from: impl Into<IpAddr>, text: &str) {
        let (now, mut out) = (self.now, Outbox::new());
        let at = SocketAddr::new(from.into(), 7000);
        self.server.on_datagram(now, Via::default(), at, text.as_bytes(), &mut out);
    }

    /// Lets time pass, so that who waits is answered.
    fn pass(&mut self, seconds: u64) {
        for _ in 0..10 * seconds {
            self.now.instant = self.now.instant + Duration::from_millis(100);
            let (now, mut out) = (self.now, Outbox::new());
            self.server.on_wakeup(now, &mut out);
        }
    }

    /// The rows of an address.
    fn rows(&mut self, address: &str) -> Vec<Value> {
        let all = self.json(&format!("/api/v1/introductions?address={address}"));
        all["introductions"].as_array().unwrap().clone()
    }
}

#[test]
fn a_client_of_gmnet_is_found_by_its_address_whatever_was_in_its_way() {
    let mut world = World::new();
    world.host([203, 0, 113, 1], "Pong", "known");
    world.say([203, 0, 113, 2].into(), "reg2\n1.2.4\nPong\nno UDP\n\n\n\n\n\n\n");
    for (n, host, reason, why) in [
        (
            3,
            "203.0.113.99",
            "not_found",
            "not found: 198.51.100.3 asked for 203.0.113.99, where no host is",
        ),
        (
            4,
            "My Game",
            "no_address",
            "198.51.100.4 asked for a host at \"My Game\", which is no IP address",
        ),
        (
            5,
            "203.0.113.2",
            "host_udp",
            "198.51.100.5:7000 could not be introduced to host 203.0.113.2 (Pong): the host's UDP packet \
             never came; is UDP blocked on its side?",
        ),
        (
            6,
            "203.0.113.1",
            "client_udp",
            "198.51.100.6 was told where host 203.0.113.1:7000 (Pong) is, but the host was not told: the \
             client's UDP packet never came; is UDP blocked on its side?",
        ),
    ] {
        let client = IpAddr::from([198, 51, 100, n]);
        for _ in 0..2 {
            if n == 5 {
                world.udp(client, "connect\n");
            }
            world.join(client, host);
            world.pass(4);
        }
        let rows = world.rows(&client.to_string());
        assert_eq!(rows.len(), 1, "{rows:#?}");
        let row = &rows[0];
        assert_eq!((&row["why"], &row["reason"]), (&why.into(), &reason.into()));
        assert_eq!((&row["way"], &row["times"]), (&"failed".into(), &2.into()));
        let told = if n == 6 { ("the client alone", "203.0.113.1:7000") } else { ("nothing", "") };
        assert_eq!((&row["told"], &row["client"]["told"]), (&told.0.into(), &told.1.into()));
    }
    assert_eq!(world.rows("203.0.113.99").len(), 1, "by the address that it asked for");
    assert_eq!(
        world.json("/api/v1/introductions?game=pong")["introductions"].as_array().unwrap().len(),
        2
    );
    let status = world.json("/api/v1/status");
    assert_eq!(status["introductions"]["failed"], 0, "these were no introductions");
    assert_eq!(status["introductions"]["share_through"], Value::Null);
    assert_eq!(world.json("/api/v1/introductions")["matrix"], Value::Array(vec![]));
}

/// Two wait for packets that cannot come: it is not the host's network that is to blame.
#[test]
fn where_no_datagram_comes_at_all_the_port_of_the_server_is_blamed() {
    let mut world = World::new();
    world.say([203, 0, 113, 2].into(), "reg2\n1.2.4\nPong\nno UDP\n\n\n\n\n\n\n");
    assert_eq!(world.json("/api/v1/status")["warnings"], Value::Array(vec![]));
    world.join([198, 51, 100, 5], "203.0.113.2");
    world.pass(4);
    let why = world.rows("198.51.100.5")[0]["why"].as_str().unwrap().to_owned();
    let closed = "no UDP packet has reached this server at all: UDP port 0 seems to be closed here, in its \
                  firewall or its provider's";
    assert!(why.ends_with(&format!("the host's UDP packet never came; {closed}")), "{why}");
    assert_eq!(world.json("/api/v1/status")["warnings"][0], closed);
    world.udp([203, 0, 113, 2], "reg\n");
    assert_eq!(world.json("/api/v1/status")["warnings"], Value::Array(vec![]));
}

/// The packet of a registered host is nobody else's.
#[test]
fn a_packet_of_somebody_known_is_no_hint() {
    let mut world = World::new();
    world.say([203, 0, 113, 2].into(), "reg2\n1.2.4\nPong\nno UDP\n\n\n\n\n\n\n");
    world.host([203, 0, 113, 7], "Pong", "known");
    world.udp([198, 51, 100, 5], "connect\n");
    world.join([198, 51, 100, 5], "203.0.113.2");
    world.pass(4);
    let why = world.rows("198.51.100.5")[0]["why"].as_str().unwrap().to_owned();
    assert!(why.ends_with("never came; is UDP blocked on its side?"), "{why}");
}

#[test]
fn who_was_told_an_inside_address_is_told_what_helps() {
    let mut world = World::new();
    world.end([203, 0, 113, 3], [127, 0, 0, 1], "Pong", Way::No(Relay::Untried));
    let why = world.rows("203.0.113.3")[0]["why"].as_str().unwrap().to_owned();
    let told =
        "the client was told 127.0.0.1, which they cannot reach; start the server with --public-ip";
    assert!(why.ends_with(told), "{why}");
    world.host([127, 0, 0, 1], "Pong", "inside");
    world.udp([203, 0, 113, 4], "connect\n");
    world.join([203, 0, 113, 4], "127.0.0.1");
    world.pass(4);
    let warned = world.json("/api/v1/status")["warnings"][0].as_str().unwrap().to_owned();
    assert!(warned.starts_with("a player from outside was told 127.0.0.1, which they"), "{warned}");
}

/// It is told and counted in each dialect.
#[test]
fn the_other_family_is_told_and_counted() {
    let mut world = World::new();
    world.host([203, 0, 113, 1], "Pong", "four");
    world.join("2001:db8::7".parse::<IpAddr>().unwrap(), "203.0.113.1");
    let rows = world.rows("2001:db8::7");
    let why = rows[0]["why"].as_str().unwrap();
    assert!(why.contains("by IPv6, the host is registered by IPv4; neither can reach"), "{why}");
    assert_eq!(rows[0]["reason"], "family");
    let refused = &world.json("/api/v1/refusals")["refusals"][0];
    assert_eq!((&refused["reason"], &refused["times"]), (&"family".into(), &1.into()));
    assert_eq!(refused["dialects"][0]["dialect"], "gmnet");
}

#[test]
fn who_looks_everywhere_pushes_out_no_introduction() {
    let mut world = World::new();
    world.end([203, 0, 113, 3], [203, 0, 113, 1], "Pong", Way::Direct(None));
    for n in 0..1000_u32 {
        world.join([198, 51, 100, 1], &IpAddr::from((n + 7).to_be_bytes()).to_string());
    }
    let all = world.json("/api/v1/introductions");
    assert_eq!(all["kept"], 1 + limits::UNMET_OF_SOURCE);
    let rows = all["introductions"].as_array().unwrap();
    assert!(rows.iter().any(|row| row["way"] == "direct"), "{rows:#?}");
}

/// Nobody is said to be told what he can have heard no more, and a host that was there is not missing.
#[test]
fn who_gives_up_or_waits_for_a_host_that_leaves_is_told_as_that() {
    let mut world = World::new();
    world.host([203, 0, 113, 1], "Pong", "known");
    let client = world.say([198, 51, 100, 6].into(), "connect\n203.0.113.1\n");
    world.pass(1);
    let (now, mut out) = (world.now, Outbox::new());
    world.server.on_fin(now, client, &mut out);
    world.pass(4);
    let row = &world.rows("198.51.100.6")[0];
    let why = "198.51.100.6 could not be introduced to host 203.0.113.1:7000 (Pong): it closed its connection \
               before its UDP packet came; is UDP blocked on its side?";
    assert_eq!((&row["why"], &row["told"]), (&why.into(), &"nothing".into()));
    let host = world.say([203, 0, 113, 2].into(), "reg2\n1.2.4\nPong\nno UDP\n\n\n\n\n\n\n");
    world.udp([198, 51, 100, 7], "connect\n");
    world.join([198, 51, 100, 7], "203.0.113.2");
    let mut out = Outbox::new();
    world.server.on_gone(now, host, &mut out);
    world.pass(4);
    let row = &world.rows("198.51.100.7")[0];
    let why =
        "198.51.100.7 could not be introduced to host 203.0.113.2: the host left while it waited";
    assert_eq!((&row["why"], &row["reason"]), (&why.into(), &"not_found".into()));
}

/// The TCP and the UDP of a player may leave by different addresses of its provider: it knocks at the host, who
/// may let it in without having been told of it.
#[test]
fn who_gets_through_though_the_host_was_not_told_is_no_failure() {
    for (seconds, rows, counted) in [(0, "direct", (1, 0)), (11, "failed", (0, 0))] {
        let mut world = World::new();
        world.host([203, 0, 113, 1], "Pong", "known");
        world.udp([198, 51, 100, 16], "connect\n");
        let client = world.say([198, 51, 100, 15].into(), "connect\n203.0.113.1\n");
        world.pass(2);
        (0..10).for_each(|_| {
            let is_told = !world.rows("198.51.100.15").is_empty();
            world.pass(u64::from(!is_told));
        });
        let why = world.rows("198.51.100.15")[0]["why"].as_str().unwrap().to_owned();
        assert!(
            why.contains("but the host was not told") && why.contains("198.51.100.16"),
            "{why}"
        );
        world.now.instant = world.now.instant + Duration::from_millis(300);
        world.pass(seconds);
        let (now, mut out) = (world.now, Outbox::new());
        world.server.on_fin(now, client, &mut out);
        let all = world.rows("198.51.100.15");
        assert_eq!((all.len(), &all[0]["way"]), (1, &rows.into()), "{all:#?}");
        let counts = world.server.shared.journal.total();
        assert_eq!((counts.direct, counts.failed), counted);
    }
}

/// That of a host may, too: who is told of it there is introduced to it.
#[test]
fn a_host_whose_packet_came_from_elsewhere_is_met_or_not() {
    for (seconds, way) in [(0, "direct"), (11, "failed")] {
        let mut world = World::new();
        world.udp([203, 0, 113, 16], "reg\n");
        world.say([203, 0, 113, 15].into(), "reg2\n1.2.4\nPong\nno UDP\n\n\n\n\n\n\n");
        world.udp([198, 51, 100, 7], "connect\n");
        let client = world.say([198, 51, 100, 7].into(), "connect\n203.0.113.15\n");
        world.pass(3);
        // Who looks in does not fall silent.
        world.rows("198.51.100.7");
        world.pass(seconds);
        let (now, mut out) = (world.now, Outbox::new());
        world.server.on_fin(now, client, &mut out);
        let all = world.rows("198.51.100.7");
        assert_eq!((all.len(), &all[0]["way"]), (1, &way.into()), "{all:#?}");
        let host = &all[0]["host"];
        assert_eq!(host["address"], "203.0.113.16:7000");
        assert_eq!(host["connected"], "203.0.113.15");
        let why = all[0]["why"].as_str().unwrap();
        assert!(why.contains(" host 203.0.113.16:7000 (connected from 203.0.113.15)"), "{why}");
        assert_eq!(world.rows("203.0.113.15"), all);
    }
}
