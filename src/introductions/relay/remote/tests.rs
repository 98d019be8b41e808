use std::time::Duration;

use super::*;
use crate::clock::Now;
use crate::introductions::journal::Names;
use crate::introductions::relay::sessions::{Config, Sessions};
use crate::introductions::relay::{Bounds, End, Order, Report};

mod handover;

/// Nodes which know of each other, and what is under way between them.
struct World {
    nodes: Vec<Sessions>,
    now: Now,
    /// Messages to these are lost.
    deaf: Vec<usize>,
}

fn node(n: usize) -> NodeId {
    serde_json::from_str(&n.to_string()).unwrap()
}

fn at(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

/// Node `n` has its relay at 192.0.2.n, of which the bounds are told, if any.
fn sessions(n: usize, bounds: Option<Bounds>) -> Sessions {
    let told = IpAddr::from([192, 0, 2, n as u8]).into();
    let config = |bounds| Config { told, is_apart: true, ports: 20_000..=20_063, bounds };
    Sessions::new(bounds.map(config))
}

fn some() -> Option<Bounds> {
    Some(Bounds::default())
}

/// One that says that it has room and has none.
fn full() -> Option<Bounds> {
    Some(Bounds { sessions_per_address: 0, ..Bounds::default() })
}

fn attempt(client: &str) -> Attempt {
    Attempt::new(Name::Rooms, [at(client), at("203.0.113.1:2000")], Names::default())
}

impl World {
    /// The last of them does nothing else.
    fn of(bounds: &[Option<Bounds>]) -> Self {
        let nodes = bounds.iter().enumerate().map(|(n, bounds)| sessions(n, *bounds)).collect();
        let now = Now { instant: Instant::from_micros(1_000_000), unix: 1_700_000_000 };
        let mut world = Self { nodes, now, deaf: Vec::new() };
        let told: Vec<_> = world.nodes.iter_mut().map(|node| node.about(now)).collect();
        let last = told.len() - 1;
        for n in 0..=last {
            let relays = told.iter().enumerate().filter(|(of, _)| *of != n);
            let relays = relays.filter_map(|(of, about)| {
                let about = (*about)?;
                let (told, is_apart, has_room) = (about.told(), about.is_apart, about.has_room());
                let (node, is_alone, sessions) = (node(of), of == last, about.sessions);
                Some(Relaying { node, told, is_apart, has_room, is_alone, sessions })
            });
            world.nodes[n].elsewhere().set_nodes(relays);
            (0..=last).filter(|of| *of != n).for_each(|of| world.nodes[n].on_node_joined(node(of)));
        }
        world.settle();
        world
    }

    fn settle(&mut self) {
        for _ in 0..10 {
            for from in 0..self.nodes.len() {
                for (to, bytes) in self.nodes[from].elsewhere().take_outbound() {
                    let to = (0..self.nodes.len()).find(|n| node(*n) == to).unwrap();
                    if !self.deaf.contains(&to) && !self.deaf.contains(&from) {
                        self.nodes[to].on_node_message(self.now, node(from), &bytes).unwrap();
                    }
                }
            }
        }
    }

    fn wait(&mut self, millis: u64) {
        self.now.instant = self.now.instant + Duration::from_millis(millis);
        let now = self.now;
        self.nodes.iter_mut().for_each(|node| node.on_wakeup(now));
        self.settle();
    }

    /// Node 0 wants its client and a host of these nodes relayed. Whose relay it is, if any, in the end.
    fn relay(&mut self, client: &str, nodes: [Option<NodeId>; 2]) -> (bool, Option<usize>) {
        let attempt = attempt(client);
        let homes = Homes { nodes, ..Homes::default() };
        let relayed = self.nodes[0].open_anywhere(self.now, Shape::Any, attempt.clone(), homes);
        self.settle();
        let asked = relayed == Relayed::Asked;
        if asked {
            let news = self.nodes[0].elsewhere().next_news();
            assert_eq!(
                news.as_ref().map(|news| news.is_given),
                news.map(|_| self.at(client).is_some())
            );
        }
        (asked, self.at(client))
    }

    /// At which relay a client is.
    fn at(&self, client: &str) -> Option<usize> {
        let Attempt { dialect, client, host, .. } = attempt(client);
        let places = self.nodes[0].between(dialect, [client, host])?;
        let IpAddr::V4(ip) = places.for_client.ip() else { panic!("{places:?}") };
        assert_eq!(places.for_host.ip(), ip);
        Some(ip.octets()[3].into())
    }

    /// Another process goes on from what that of a node knew, which may have been another node.
    fn take_over(&mut self, n: usize, bounds: Option<Bounds>, is_same: bool) {
        let (saved, last) = (state::write(&self.nodes[n]).unwrap(), self.nodes.len() - 1);
        let relays = self.nodes[n].elsewhere.nodes.clone();
        self.nodes[n] = sessions(n, bounds);
        self.nodes[n].restore(state::read(&saved).unwrap());
        self.nodes[n].go_on_elsewhere(self.now.instant, is_same);
        self.nodes[n].elsewhere().set_nodes(relays.into_iter());
        (0..=last).filter(|of| *of != n).for_each(|of| self.nodes[n].on_node_joined(node(of)));
        self.settle();
    }

    /// What the relay's thread of a node is told.
    fn orders(&mut self, n: usize) -> Vec<Order> {
        self.nodes[n].take_orders().collect()
    }
}

#[test]
fn the_relay_of_the_client_comes_first_then_that_of_the_host_then_any() {
    let (client, own, other) = ("198.51.100.1:3000", [None, Some(node(1))], [Some(node(1)), None]);
    for (bounds, homes, want) in [
        ([some(), some(), some()], own, (false, Some(0))),
        ([some(), some(), some()], other, (true, Some(1))),
        ([None, some(), some()], own, (true, Some(1))),
        ([some(), None, some()], other, (false, Some(0))),
        ([None, None, some()], own, (true, Some(2))),
        ([full(), full(), some()], own, (true, Some(2))),
        ([full(), some(), some()], other, (true, Some(1))),
        ([full(), full(), full()], own, (true, None)),
        ([None, None, None], own, (false, None)),
        // One that is known to be used up is not asked.
        (
            [None, Some(Bounds { month_bytes: Some(0), ..Bounds::default() }), None],
            own,
            (false, None),
        ),
    ] {
        let mut world = World::of(&bounds);
        assert_eq!(world.relay(client, homes), want, "{bounds:?} {homes:?}");
        let relays: Vec<usize> = world.nodes.iter().map(|node| node.len()).collect();
        let want: Vec<usize> = (0..3).map(|n| usize::from(want.1 == Some(n))).collect();
        assert_eq!(relays, want);
        assert_eq!(world.nodes[0].far(), want[1] + want[2], "nothing is kept of who said no");
    }
}

#[test]
fn the_relay_tells_what_becomes_of_a_session_and_it_is_forgotten() {
    let mut world = World::of(&[None, None, some()]);
    assert_eq!(world.relay("198.51.100.1:3000", [None, None]), (true, Some(2)));
    let [Order::Open(session)] = world.orders(2)[..] else { panic!("one session") };
    let sides = session.sides.map(|side| side.addr.to_string());
    assert_eq!((sides, session.shape), (["198.51.100.1".into(), "203.0.113.1".into()], Shape::Any));
    assert!(
        world.nodes[2]
            .between(Name::Rooms, [at("198.51.100.1:3000"), at("203.0.113.1:2000")])
            .is_none()
    );
    world.wait(2000);
    let now = world.now;
    assert_eq!(world.nodes[2].note(now, Report::Connected(session.id)), None, "no journal there");
    world.settle();
    let [(attempt, Way::Relayed(took))] = &world.nodes[0].elsewhere().take_ended()[..] else {
        panic!("it is through")
    };
    assert_eq!((attempt.client, *took), (at("198.51.100.1:3000"), Duration::from_secs(2)));
    // A client that moves is found again.
    world.nodes[0].moved(Name::Rooms, at("198.51.100.1:3000"), at("198.51.100.1:3001"));
    assert_eq!((world.at("198.51.100.1:3000"), world.at("198.51.100.1:3001")), (None, Some(2)));
    world.nodes[2].note(now, Report::Ended(session.id, End::Idle));
    world.settle();
    assert_eq!(
        (world.at("198.51.100.1:3001"), world.nodes[0].far(), world.nodes[2].len()),
        (None, 0, 0)
    );
    assert!(world.nodes[0].elsewhere().take_ended().is_empty(), "that it was through is known");
    // One that nobody used.
    assert_eq!(world.relay("198.51.100.2:3000", [None, None]), (true, Some(2)));
    let [Order::Open(session)] = world.orders(2)[..] else { panic!("one session") };
    world.nodes[2].note(now, Report::Ended(session.id, End::Unanswered));
    world.settle();
    let ended = world.nodes[0].elsewhere().take_ended();
    assert!(matches!(ended[..], [(_, Way::No(_))]), "{ended:?}");
}

#[test]
fn without_an_answer_another_is_asked_and_in_the_end_nobody() {
    let mut world = World::of(&[None, some(), some()]);
    world.deaf = vec![2];
    assert_eq!(world.relay("198.51.100.1:3000", [None, None]), (true, None));
    world.wait(699);
    assert_eq!((world.at("198.51.100.1:3000"), world.nodes[0].far()), (None, 1));
    world.wait(1);
    assert_eq!(world.at("198.51.100.1:3000"), Some(1), "the next");
    assert!(world.nodes[0].elsewhere().next_news().is_some_and(|news| news.is_given));
    world.deaf = vec![1, 2];
    assert_eq!(world.relay("198.51.100.2:3000", [None, None]), (true, None));
    (0..2).for_each(|_| world.wait(700));
    assert!(world.nodes[0].elsewhere().next_news().is_some_and(|news| !news.is_given));
    assert_eq!(world.nodes[0].far(), 1, "the one before");
    // Not again for a while.
    assert_eq!(world.relay("198.51.100.2:3000", [None, None]), (false, None));
    world.deaf = Vec::new();
    world.wait(10_000);
    assert_eq!(world.relay("198.51.100.2:3000", [None, None]), (true, Some(2)));
}

#[test]
fn what_is_answered_too_late_or_lost_leaves_nothing_behind() {
    let mut world = World::of(&[None, None, some()]);
    let homes = Homes::default();
    let asked =
        world.nodes[0].open_anywhere(world.now, Shape::Any, attempt("198.51.100.1:3000"), homes);
    assert_eq!(asked, Relayed::Asked);
    let question = world.nodes[0].elsewhere().take_outbound();
    let now = world.now;
    world.nodes[2].on_node_message(now, node(0), &question[0].1).unwrap();
    let answer = world.nodes[2].elsewhere().take_outbound();
    // Asked twice it answers the same.
    world.nodes[2].on_node_message(now, node(0), &question[0].1).unwrap();
    assert_eq!(world.nodes[2].elsewhere().take_outbound(), answer);
    assert_eq!(world.orders(2).len(), 1);
    world.deaf = vec![2];
    world.wait(700);
    world.deaf = Vec::new();
    world.nodes[0].on_node_message(now, node(2), &answer[0].1).unwrap();
    world.settle();
    assert!(world.nodes[0].elsewhere().next_news().is_some_and(|news| !news.is_given));
    assert_eq!((world.nodes[0].far(), world.at("198.51.100.1:3000")), (0, None));
    assert!(matches!(world.orders(2)[..], [Order::Close(..)]));
    // What was said is lost, and both tell what they have.
    assert_eq!(world.relay("198.51.100.3:3000", [None, None]), (true, Some(2)));
    assert_eq!(world.relay("198.51.100.4:3000", [None, None]), (true, Some(2)));
    let orders = world.orders(2);
    let [Order::Open(one), Order::Open(_)] = orders[..] else { panic!("{orders:?}") };
    world.nodes[2].note(now, Report::Ended(one.id, End::Idle));
    world.nodes[2].elsewhere().take_outbound();
    world.nodes[2].on_node_joined(node(0));
    world.settle();
    assert_eq!((world.at("198.51.100.3:3000"), world.at("198.51.100.4:3000")), (None, Some(2)));
    world.nodes[0] = sessions(0, None);
    world.nodes[0].on_node_joined(node(2));
    world.settle();
    assert!(matches!(world.orders(2)[..], [Order::Close(..)]), "nobody knows of it");
}

#[test]
fn a_node_that_dies_takes_along_what_carries_nothing() {
    let mut world = World::of(&[None, some(), some()]);
    for client in ["198.51.100.1:3000", "198.51.100.2:3000"] {
        assert_eq!(world.relay(client, [None, None]), (true, Some(2)));
    }
    let orders = world.orders(2);
    let [Order::Open(one), Order::Open(other)] = orders[..] else { panic!("{orders:?}") };
    let now = world.now;
    world.nodes[2].note(now, Report::Connected(one.id));
    world.settle();
    world.nodes[2].on_node_gone(now, node(0));
    let orders = world.orders(2);
    assert!(matches!(orders[..], [Order::Close(id, _)] if id == other.id), "{orders:?}");
    world.nodes[2].note(now, Report::Ended(one.id, End::Idle));
    assert_eq!(world.nodes[2].elsewhere().take_outbound(), [], "nobody is told");
    // The relay dies: what it has is gone, and what it was asked is asked elsewhere.
    world.deaf = vec![2];
    assert_eq!(world.relay("198.51.100.3:3000", [None, None]), (true, None));
    world.nodes[0].on_node_gone(now, node(2));
    world.settle();
    assert_eq!((world.at("198.51.100.1:3000"), world.at("198.51.100.3:3000")), (None, Some(1)));
}

#[test]
fn one_address_and_one_node_have_no_more_than_they_may() {
    let mut world = World::of(&[None, None, some()]);
    let asked = (0..100).filter(|n| {
        let (asked, _) = world.relay(&format!("198.51.100.1:{}", 3000 + n), [None, None]);
        asked
    });
    let at_once = (bounds::RELAY_ASKS * bounds::RELAY_ASKS_SECONDS) as usize;
    assert!((at_once..at_once + 5).contains(&asked.count()), "as many as come at once");
    world.deaf = vec![2];
    for n in 0..2 * bounds::WAITING_FOR_RELAY {
        let client = format!("198.18.{}.{}:3000", n / 256, n % 256);
        world.relay(&client, [None, None]);
    }
    assert!(world.nodes[0].far() <= bounds::WAITING_FOR_RELAY + at_once + 5);
    world.wait(700);
    assert!(world.nodes[0].far() <= at_once + 5, "{}", world.nodes[0].far());
}

mod properties {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// A node that says anything ends nothing that another has, and takes nothing from it.
        #[test]
        fn whatever_a_node_says_others_keep_what_they_have(
            all in prop::collection::vec((0..9_u8, 0..4_u64, any::<[u8; 4]>(), any::<u16>()), 1..60),
        ) {
            let mut world = World::of(&[None, some(), some()]);
            prop_assert_eq!(world.relay("198.51.100.1:3000", [None, None]), (true, Some(2)));
            let now = world.now;
            for (kind, id, ip, port) in all {
                let place = SocketAddr::from((ip, port));
                let message = match kind {
                    0 => Message::Yes { id, for_client: place, for_host: place },
                    1 => Message::No { id },
                    2 => Message::Through { id },
                    3 => Message::Ended { id, end: End::Idle },
                    4 => Message::Close { id },
                    5 => Message::Have { all: vec![id] },
                    6 => Message::Serve { all: vec![id] },
                    7 => Message::Ask { id, shape: Shape::Any, client: place, host: place },
                    _ => Message::Have { all: vec![id; 5000] },
                };
                let mut bytes = state::write(&message).unwrap();
                if kind == 8 {
                    bytes.truncate(usize::from(port) % bytes.len());
                }
                for to in [0, 2] {
                    let _ = world.nodes[to].on_node_message(now, node(1), &bytes);
                }
            }
            world.settle();
            prop_assert_eq!(world.at("198.51.100.1:3000"), Some(2));
            let closed = world.orders(2).into_iter().filter(|order| matches!(order, Order::Close(..)));
            let addrs = closed.filter(|order| matches!(order, Order::Close(_, side) if side.addr == IpAddr::from([198, 51, 100, 1])));
            prop_assert_eq!(addrs.count(), 0);
        }
    }
}
