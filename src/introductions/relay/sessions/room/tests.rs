use std::collections::BTreeSet;
use std::net::SocketAddr;

use crate::clock::Now;
use crate::dialect::Name;
use crate::introductions::PublicIps;
use crate::introductions::journal::{Attempt, Names, Relay, Way};
use crate::introductions::relay::sessions::{Config, Places};
use crate::introductions::relay::{Bounds, End, Order, Report, Shape};

use super::*;

const HOST: [u8; 4] = [203, 0, 113, 1];
const SHARE: u16 = 32;

/// A relay of both families with plenty of ports.
struct World {
    all: Sessions,
    closed: BTreeSet<SessionId>,
}

impl World {
    fn new() -> Self {
        let v6 = Some("2001:db8:ffff::20".parse().unwrap());
        let told = PublicIps { v6, ..IpAddr::from([198, 51, 100, 20]).into() };
        let bounds = Bounds { sessions_per_address: SHARE.into(), ..Bounds::default() };
        let config = Config { told, is_apart: true, ports: 20_000..=20_999, bounds };
        Self { all: Sessions::new(Some(config)), closed: BTreeSet::new() }
    }

    fn open(
        &mut self,
        client: impl Into<IpAddr>,
        host: impl Into<IpAddr>,
    ) -> Result<Places, Refused> {
        let [client, host] = [client.into(), host.into()].map(|ip| SocketAddr::new(ip, 4000));
        let attempt = Attempt::new(Name::Gmnet, [client, host], Names::new("Pong", ""));
        let opened = self.all.open(Now::default(), Shape::Any, attempt);
        for order in self.all.take_orders() {
            if let Order::Close(id, _) = order {
                self.closed.insert(id);
            }
        }
        opened
    }

    /// A session in which packets go both ways.
    fn plays(&mut self, client: impl Into<IpAddr>, host: impl Into<IpAddr>) -> SessionId {
        let id = self.open(client, host).unwrap().id;
        self.all.note(Now::default(), Report::Connected(id));
        id
    }

    /// The sessions that have given way since that was asked last.
    fn gave_way(&mut self) -> Vec<SessionId> {
        std::mem::take(&mut self.closed).into_iter().collect()
    }
}

/// One of a network of its own.
fn alone(n: u16) -> IpAddr {
    let [high, low] = n.to_be_bytes();
    IpAddr::from([198, high, low, 7])
}

/// One of many in a network.
fn among(n: u16) -> IpAddr {
    IpAddr::from([192, 0, 2, n as u8])
}

fn v6(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// As an attacker did: four sessions for each of eight addresses are all that a host may have.
#[test]
fn some_addresses_do_not_take_all_sessions_of_a_host() {
    let mut world = World::new();
    let theirs: Vec<_> = (0..SHARE).map(|n| world.plays(alone(n % 8), HOST)).collect();
    let honest: Vec<_> = (100..108).map(|n| world.plays(alone(n), HOST)).collect();
    let gave_way = world.gave_way();
    assert!(gave_way.len() == 8 && gave_way.iter().all(|id| theirs.contains(id)), "{gave_way:?}");
    // They come again and again, and take them from nobody but each other.
    for n in 0..100 {
        let _ = world.open(alone(n % 8), HOST);
    }
    assert!(world.gave_way().iter().all(|id| !honest.contains(id)));
    assert!(world.open(alone(200), HOST).is_ok());
}

#[test]
fn nor_does_a_network_of_addresses() {
    let mut world = World::new();
    (0..SHARE).for_each(|n| _ = world.plays(among(n), HOST));
    assert!(world.open(alone(1), HOST).is_ok());
    assert_eq!(world.gave_way().len(), 1);
    let refused = Err(Refused::Share(HOST.into()));
    assert!(world.open(among(77), HOST).is_err(), "of that network nobody has more");

    let mut world = World::new();
    (0..SHARE).for_each(|n| _ = world.plays(v6(&format!("2001:db8:1:{n:x}::1")), HOST));
    assert_eq!(world.open(v6("2001:db8:1:ff::1"), HOST), refused);
    assert!(world.open(v6("2001:db8:2::1"), HOST).is_ok(), "another /48");
    assert_eq!(world.gave_way().len(), 1);
}

/// And in one network the address that has more of them.
#[test]
fn nor_an_address_among_its_neighbours() {
    let mut world = World::new();
    (0..SHARE).for_each(|n| _ = world.plays(among(n % 8), HOST));
    assert!(world.open(among(50), HOST).is_ok());
    assert_eq!(world.gave_way().len(), 1);
}

#[test]
fn who_has_one_keeps_it_and_is_not_refused_for_his_host() {
    let mut world = World::new();
    (0..SHARE).for_each(|n| _ = world.plays(alone(n), HOST));
    assert_eq!(world.open(alone(100), HOST), Err(Refused::Share(HOST.into())));
    // A host with a full house has each of its players once.
    assert_eq!(world.gave_way(), []);
}

#[test]
fn of_one_holder_the_newest_goes_and_what_plays_goes_last() {
    let mut world = World::new();
    let one = world.plays(among(1), HOST);
    let vain = world.open(among(1), HOST).unwrap().id;
    let two = world.plays(among(1), HOST);
    (0..SHARE - 3).for_each(|n| _ = world.plays(alone(n), HOST));
    for (n, want) in (100..).zip([vain, two]) {
        assert!(world.open(alone(n), HOST).is_ok());
        assert_eq!(world.gave_way(), [want]);
    }
    assert!(world.open(alone(102), HOST).is_err(), "{one:?} is the only one");
}

/// The same at an address of many clients, where one of them hosts games himself.
#[test]
fn hosts_of_one_network_do_not_take_all_sessions_of_a_client_address() {
    let (mut world, client) = (World::new(), HOST);
    (0..SHARE).for_each(|n| _ = world.plays(client, among(n % 8)));
    assert!(world.open(client, alone(1)).is_ok());
    assert_eq!(world.gave_way().len(), 1);
}

/// A host of a network that has all it may have gets its first player, from those of whom both sides hold
/// more.
#[test]
fn in_a_network_an_address_that_holds_most_gives_way() {
    let mut world = World::new();
    let share = limits::PER_NETWORK as u16;
    // A full house, whose players have one session each.
    let house: BTreeSet<_> = (0..SHARE).map(|n| world.plays(alone(1000 + n), among(0))).collect();
    let theirs = share - SHARE;
    (0..theirs).for_each(|n| _ = world.plays(among(1 + n / 32), alone(n / 4 % 100)));
    for n in 0..5 {
        assert!(world.open(alone(2000 + n), among(200)).is_ok());
        let gave_way = world.gave_way();
        assert!(gave_way.len() == 1 && house.is_disjoint(&gave_way.into_iter().collect()));
    }
    // Of who holds as much himself each has one session more or less.
    (1..16).for_each(|n| _ = world.open(among(n), alone(3000)));
    assert!(house.is_disjoint(&world.gave_way().into_iter().collect()));
    assert!(world.all.held(around(among(0)), &[]) <= limits::PER_NETWORK as usize);
}

#[test]
fn of_all_sessions_those_give_way_of_which_both_sides_hold_most() {
    let mut world = World::new();
    let most = limits::SESSIONS as u16;
    // Who takes them has eight networks for clients, and as many for hosts.
    let theirs = |n: u16| {
        let of = |first, n: u16| IpAddr::from([first, 0, (n % 8) as u8, (n / 8 % 16) as u8]);
        [of(100, n / 4), of(101, n / 4 + n / 512)]
    };
    let honest: BTreeSet<_> =
        (0..64).map(|n| world.plays(alone(n / 16), alone(1000 + n))).collect();
    for n in 0..most - 64 {
        let [client, host] = theirs(n);
        world.plays(client, host);
    }
    for n in 0..20 {
        assert!(world.open(alone(2000 + n), alone(3000)).is_ok());
        let gave_way: BTreeSet<_> = world.gave_way().into_iter().collect();
        assert!(gave_way.len() == 1 && honest.is_disjoint(&gave_way), "{gave_way:?}");
    }
    let [client, host] = theirs(5);
    assert!(world.open(client, host).is_err());
    assert_eq!(world.all.all.count(), limits::SESSIONS);
}

#[test]
fn nobody_gives_way_to_who_is_refused_all_the_same() {
    let mut world = World::new();
    (0..4).for_each(|_| _ = world.plays(alone(9), HOST));
    (0..SHARE - 4).for_each(|n| _ = world.plays(alone(n % 7), HOST));
    // Its own address has all that it may have, with hosts of as many networks.
    (0..SHARE).for_each(|n| _ = world.plays(among(1), alone(100 + n)));
    assert_eq!(world.open(among(1), HOST), Err(Refused::Share(among(1))));
    assert_eq!(world.open(alone(9), HOST), Err(Refused::Pair));
    assert_eq!(world.gave_way(), []);
}

#[test]
fn what_gave_way_is_told_when_the_thread_has_done_it_and_its_ports_are_free_at_once() {
    let mut world = World::new();
    world.all.config.as_mut().unwrap().ports = 20_000..=20_003;
    let first = world.open(among(1), HOST).unwrap();
    let _second = world.open(among(1), HOST).unwrap();
    let third = world.open(among(1), HOST).unwrap();
    world.open(alone(1), HOST).unwrap();
    let new = world.open(alone(2), HOST).unwrap();
    assert_eq!((world.gave_way(), new.for_host.port()), (vec![third.id], third.for_host.port()));
    let end = |world: &mut World, id, end| world.all.note(Now::default(), Report::Ended(id, end));
    let (_, way) = end(&mut world, third.id, End::GaveWay).unwrap();
    assert_eq!(way, Way::No(Relay::GaveWay));
    assert_eq!(end(&mut world, third.id, End::GaveWay), None);
    let at = [alone(2), HOST.into()].map(|ip| SocketAddr::new(ip, 4000));
    assert_eq!(world.all.between(Name::Gmnet, at), Some(new), "its ports are another's now");
    end(&mut world, first.id, End::Unanswered).unwrap();
    assert_eq!(world.all.len(), 3);
}
