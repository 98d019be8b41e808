use std::time::Duration;

use super::*;
use crate::dialect::Name;
use crate::introductions::relay::End;
use crate::limits;

const RELAY: [u8; 4] = [198, 51, 100, 20];

fn config(ports: RangeInclusive<u16>) -> Config {
    let told = PublicIps::from(IpAddr::from(RELAY));
    Config { told, is_apart: true, ports, bounds: Bounds::default() }
}

fn sessions(size: u16) -> Sessions {
    Sessions::new(Some(config(20_000..=20_000 + size - 1)))
}

fn at(secs: u64) -> Now {
    Now { instant: Instant::from_micros(secs * 1_000_000), unix: 1_700_000_000 + secs }
}

fn player(n: u16) -> IpAddr {
    let [high, low] = n.to_be_bytes();
    IpAddr::from([203, 0, high, low])
}

fn attempt(players: [IpAddr; 2]) -> Attempt {
    let pair = players.map(|addr| SocketAddr::new(addr, 1));
    Attempt::new(Name::Gmnet, pair, Names::new("Pong", ""))
}

fn open(sessions: &mut Sessions, secs: u64, players: [u16; 2]) -> Result<Places, Refused> {
    sessions.open(at(secs), Shape::GameMaker, attempt(players.map(player)))
}

/// The sessions that the thread is told of.
fn take_new(sessions: &mut Sessions) -> Vec<Session> {
    sessions.take_orders().filter_map(Order::session).collect()
}

fn end(sessions: &mut Sessions, secs: u64, id: SessionId) -> Option<(Attempt, Way)> {
    sessions.note(at(secs), Report::Ended(id, End::Idle))
}

#[test]
fn both_are_told_ports_that_are_told_to_the_thread() {
    let mut all = sessions(4);
    let places = open(&mut all, 0, [1, 2]).unwrap();
    let [Session { id, sides: [client, host], .. }] = take_new(&mut all)[..] else {
        panic!("not one")
    };
    assert_eq!((id, client.addr, host.addr), (places.id, player(1), player(2)));
    assert_eq!(places.for_client, SocketAddr::from((RELAY, client.port)));
    assert_eq!(places.for_host, SocketAddr::from((RELAY, host.port)));
    assert_eq!(take_new(&mut all).len(), 0, "told once");
}

#[test]
fn no_address_has_two_sessions_at_one_port() {
    let mut all = sessions(16);
    let mut taken = std::collections::BTreeSet::new();
    let mut note = |addr: u16, at: SocketAddr| assert!(taken.insert((addr, at)), "{addr} {at}");
    // Some hosts are clients of others, of the same address even.
    for (client, host) in [(1, 2), (1, 3), (2, 1), (3, 3), (1, 2), (2, 3), (3, 1), (2, 2)] {
        let places = open(&mut all, 0, [client, host]).unwrap();
        note(client, places.for_client);
        note(host, places.for_host);
    }
}

/// Only GMnet's games list players by where they are.
#[test]
fn hosts_of_others_are_told_ports_again() {
    let mut all = sessions(4);
    for n in 0..9 {
        let places = all.open(at(n), Shape::Any, attempt([1, 2].map(player))).unwrap();
        end(&mut all, n, places.id);
    }
}

#[test]
fn what_two_were_told_is_known_while_they_have_a_session() {
    let mut all = sessions(16);
    let Attempt { dialect, client, host, .. } = attempt([1, 2].map(player));
    assert_eq!(all.between(dialect, [client, host]), None);
    let first = open(&mut all, 0, [1, 2]).unwrap();
    assert_eq!(all.between(dialect, [client, host]), Some(first));
    assert_eq!(all.between(Name::Rooms, [client, host]), None);
    let second = open(&mut all, 0, [1, 2]).unwrap();
    end(&mut all, 1, first.id);
    assert_eq!(all.between(dialect, [client, host]), Some(second));
    end(&mut all, 1, second.id);
    assert_eq!(all.between(dialect, [client, host]), None);
    open(&mut all, 2, [1, 2]).unwrap();
    all.fail();
    assert_eq!(all.between(dialect, [client, host]), None);
}

#[test]
fn two_players_at_one_address_are_told_two_ports() {
    let mut all = sessions(2);
    let places = open(&mut all, 0, [1, 1]).unwrap();
    assert_ne!(places.for_client, places.for_host);
    assert_eq!(open(&mut all, 0, [1, 1]), Err(Refused::NoPort(player(1))));
}

/// Who could predict them would send in the name of a player. And what comes late for the session
/// before is not taken for the next one's.
#[test]
fn ports_are_told_at_random() {
    let told = |secret| {
        let mut all = sessions(1000).with_secret(secret);
        let ports = (2..22).map(|host| {
            let places = open(&mut all, 0, [1, host]).unwrap();
            end(&mut all, 0, places.id);
            [places.for_client.port(), places.for_host.port()]
        });
        ports.collect::<Vec<_>>()
    };
    let (one, other) = (told(1 << 40), told(2 << 40));
    let distinct: std::collections::BTreeSet<_> = one.iter().chain(&other).flatten().collect();
    assert!(distinct.len() > 70, "{} of 80", distinct.len());
}

/// The game of one player there tries the ports that come after the one that it was told, another's else.
#[test]
fn ports_of_one_client_address_are_far_apart() {
    let mut all = sessions(1000);
    let mut near = 0;
    for first in 0..100 {
        let two = [2, 3].map(|host| open(&mut all, 0, [1, 4 * first + host]).unwrap());
        let [one, other] = two.map(|places| places.for_client.port());
        near += u32::from(one.abs_diff(other) < 70);
        two.into_iter().for_each(|places| _ = end(&mut all, 0, places.id));
    }
    assert!(near < 3, "{near} of 100; at random it is one of seven");
}

/// Else one socket would take the packets of all hosts, and drop what it has no room for.
#[test]
fn hosts_are_spread_over_the_ports() {
    let mut all = sessions(8);
    let ports = (0..200).map(|n| open(&mut all, 0, [1000 + n, n]).unwrap().for_host.port());
    let mut counts = std::collections::BTreeMap::<_, u32>::new();
    ports.for_each(|port| *counts.entry(port).or_default() += 1);
    assert!(counts.len() == 8 && counts.values().all(|count| (10..50).contains(count)));
}

/// However many others are told ports in between.
#[test]
fn a_host_is_not_told_a_port_twice_in_a_row() {
    let mut all = sessions(64);
    let mut before = None;
    for other in 0..4 * limits::relay::HOSTS {
        if other % 1000 == 0 {
            let places = open(&mut all, 0, [60_000, 60_001]).unwrap();
            end(&mut all, 0, places.id);
            assert_ne!(before.replace(places.for_host), Some(places.for_host), "{other}");
        }
        let places = open(&mut all, 0, [60_000, (other % 60_000) as u16]).unwrap();
        end(&mut all, 0, places.id);
    }
}

#[test]
fn a_host_is_told_a_port_again_when_it_was_told_all_others() {
    let mut all = sessions(4);
    let mut told = |secs| {
        let places = open(&mut all, secs, [1, 2]).unwrap();
        end(&mut all, secs, places.id);
        places.for_host.port()
    };
    let (once, again): (Vec<_>, Vec<_>) =
        ((0..4).map(&mut told).collect(), (4..8).map(told).collect());
    let distinct: std::collections::BTreeSet<_> = once.iter().collect();
    assert_eq!((distinct.len(), &once), (4, &again));
}

#[test]
fn who_is_refused_uses_up_no_port_of_the_host() {
    let mut all = sessions(2);
    for host in [2, 3] {
        open(&mut all, 0, [1, host]).unwrap();
    }
    let first = open(&mut all, 0, [8, 9]).unwrap();
    end(&mut all, 0, first.id);
    assert_eq!(open(&mut all, 0, [1, 9]), Err(Refused::NoPort(player(1))));
    let second = open(&mut all, 0, [8, 9]).unwrap();
    assert_ne!(second.for_host, first.for_host);
}

#[test]
fn one_client_address_does_not_take_all_sessions_of_a_host() {
    let mut all = sessions(64);
    let ids: Vec<_> = (0..limits::relay::PER_PAIR).map(|_| open(&mut all, 0, [1, 2])).collect();
    assert!(ids.iter().all(Result::is_ok));
    assert_eq!(open(&mut all, 0, [1, 2]), Err(Refused::Pair));
    assert!(open(&mut all, 0, [3, 2]).is_ok() && open(&mut all, 0, [1, 3]).is_ok());
    end(&mut all, 0, ids[0].unwrap().id);
    assert!(open(&mut all, 0, [1, 2]).is_ok());
}

#[test]
fn an_address_has_its_share_as_client_and_as_host() {
    let mut all = sessions(1000);
    let share = Bounds::default().sessions_per_address;
    let ids: Vec<_> = (0..share as u16)
        .map(|n| open(&mut all, 0, if n % 2 == 0 { [1, 100 + n] } else { [100 + n, 1] }))
        .collect::<Result<_, _>>()
        .unwrap();
    assert_eq!(open(&mut all, 0, [1, 2]), Err(Refused::Share(player(1))));
    assert_eq!(open(&mut all, 0, [2, 1]), Err(Refused::Share(player(1))));
    assert!(open(&mut all, 0, [2, 3]).is_ok(), "others are not concerned");
    end(&mut all, 0, ids[7].id);
    assert!(open(&mut all, 0, [1, 2]).is_ok());
}

/// Else a few hundred addresses of one provider would take all sessions.
#[test]
fn a_network_has_its_share() {
    let mut all = sessions(1000);
    let share = limits::relay::PER_NETWORK as u16;
    // Hosts that are alone in their networks, so that nobody there has more than others.
    let host = |n: u16| IpAddr::from([198, n.to_be_bytes()[0], n.to_be_bytes()[1], 1]);
    let mut join = |client: u16, host| {
        let opened = all.open(at(0), Shape::Any, attempt([player(client), host]));
        opened.map(|places| (places.id, take_new(&mut all).len()))
    };
    let ids: Vec<_> = (0..share).map(|n| join(n % 256, host(n)).unwrap().0).collect();
    assert_eq!(join(250, host(share)), Err(Refused::Network(player(250))));
    assert!(join(60_000, host(share)).is_ok(), "others are not concerned");
    end(&mut all, 0, ids[7]);
    assert!(open(&mut all, 0, [250, 60_000]).is_ok());
}

#[test]
fn an_ipv6_network_has_one_share() {
    let told = PublicIps::from("2001:db8::20".parse::<IpAddr>().unwrap());
    let mut all = Sessions::new(Some(Config { told, ..config(1000..=1999) }));
    let of =
        |n: u32| IpAddr::from(std::net::Ipv6Addr::from_bits(0x2001_0db8 << 96 | u128::from(n)));
    let far = |n: u32| IpAddr::from(std::net::Ipv6Addr::from_bits(u128::from(n + 1) << 64));
    let mut open = |n| all.open(at(0), Shape::Any, attempt([of(n), far(n)]));
    let share = Bounds::default().sessions_per_address;
    assert!((0..share).all(|n| open(n).is_ok()));
    assert_eq!(open(share), Err(Refused::Share(of(share))));
}

#[test]
fn there_is_an_end_to_all_of_them_and_to_a_month() {
    let mut all = sessions(64);
    // Each of the players is alone in his network.
    let pair = |n: u16| [10, 11].map(|first| IpAddr::from([first, (n >> 8) as u8, n as u8, 1]));
    for n in 0..limits::relay::SESSIONS as u16 {
        all.open(at(0), Shape::Any, attempt(pair(n))).unwrap();
    }
    assert_eq!(open(&mut all, 0, [60_000, 60_001]), Err(Refused::Full));

    let bounds = Bounds { month_bytes: Some(1000), ..Bounds::default() };
    let mut all = Sessions::new(Some(Config { bounds, ..config(20_000..=20_063) }));
    let passed = |all: &mut Sessions, secs, bytes| all.note(at(secs), Report::Passed(bytes));
    assert_eq!(passed(&mut all, 0, 999), None);
    assert!(open(&mut all, 0, [1, 2]).is_ok());
    passed(&mut all, 1, 1);
    assert_eq!(open(&mut all, 1, [1, 2]), Err(Refused::Month));
    assert!(open(&mut all, 31 * 86_400, [1, 2]).is_ok(), "another month");
}

#[test]
fn a_relay_whose_month_is_used_up_joins_no_families() {
    let bounds = Bounds { month_bytes: Some(1000), ..Bounds::default() };
    let v6: IpAddr = "2001:db8::1".parse().unwrap();
    let told =
        PublicIps { v6: Some("2001:db8::2".parse().unwrap()), ..config(20_000..=20_063).told };
    let mut all = Sessions::new(Some(Config { bounds, told, ..config(20_000..=20_063) }));
    let two = [player(1), v6];
    assert!(all.joins_families_anywhere(at(0)) && all.serves_anywhere(at(0), two));
    all.note(at(0), Report::Passed(1000));
    assert!(!all.joins_families_anywhere(at(1)) && !all.serves_anywhere(at(1), two));
    assert!(all.serves_anywhere(at(1), [player(1), player(2)]), "they are told why not");
    let later = at(31 * 86_400);
    assert!(all.joins_families_anywhere(later) && all.serves_anywhere(later, two));
}

#[test]
fn the_time_until_they_are_through_counts_from_their_introduction() {
    let mut all = sessions(16);
    let took = |all: &mut Sessions, now: Now, attempt: Attempt| {
        let id = all.open(now, Shape::Any, attempt).unwrap().id;
        let later = Now { instant: now.instant + Duration::from_millis(200), ..now };
        match all.note(later, Report::Connected(id)) {
            Some((_, Way::Relayed(took))) => took,
            other => panic!("{other:?}"),
        }
    };
    let of = |n| attempt([player(n), player(200)]);
    let pair = |n| [of(n).client, of(n).host];
    all.introduced(at(100), pair(1));
    all.introduced(at(100), [of(2).host, of(2).client]);
    assert_eq!(took(&mut all, at(115), of(1)), Duration::from_millis(15_200));
    assert_eq!(took(&mut all, at(101), of(2)), Duration::from_millis(1200));
    assert_eq!(took(&mut all, at(115), of(3)), Duration::from_millis(200), "at once");
    all.introduced(at(200), pair(4));
    assert_eq!(took(&mut all, at(300), of(4)), Duration::from_millis(200), "another time");
    (0..10_000).for_each(|_| all.introduced(at(300), pair(5)));
    assert_eq!(all.introduced.len(), limits::relay::INTRODUCED);
}

#[test]
fn families_and_a_relay_that_is_not_there() {
    let v6: IpAddr = "2001:db8::1".parse().unwrap();
    let mut off = Sessions::default();
    assert!(!off.serves([player(1), player(2)]));
    assert_eq!(open(&mut off, 0, [1, 2]), Err(Refused::NoRelay));

    let mut v4 = sessions(8);
    assert!(v4.serves([player(1), player(2)]) && !v4.serves([player(1), v6]));
    assert!(v4.open(at(0), Shape::Any, attempt([player(1), v6])).is_err());

    let told = PublicIps { v6: Some("2001:db8::20".parse().unwrap()), ..config(1..=2).told };
    let mut both = Sessions::new(Some(Config { told, ..config(20_000..=20_007) }));
    let places = both.open(at(0), Shape::Any, attempt([player(1), v6])).unwrap();
    assert!(places.for_client.is_ipv4() && places.for_host.is_ipv6());
}

#[test]
fn what_became_of_a_session_is_told_once() {
    let mut all = sessions(64);
    let through = open(&mut all, 0, [1, 2]).unwrap().id;
    let way = all.note(at(3), Report::Connected(through)).unwrap().1;
    assert_eq!(way, Way::Relayed(Duration::from_secs(3)));
    assert_eq!(end(&mut all, 9, through), None);
    assert_eq!(end(&mut all, 9, through), None, "it is over");

    let vain = open(&mut all, 0, [1, 2]).unwrap().id;
    assert_eq!(end(&mut all, 9, vain).unwrap().1, Way::No(Relay::InVain));

    let direct = open(&mut all, 0, [1, 2]).unwrap().id;
    all.welcomed(direct);
    assert_eq!(end(&mut all, 9, direct).unwrap().1, Way::Direct(None));
}

#[test]
fn nothing_is_left_of_sessions_when_the_thread_is_gone() {
    let mut all = sessions(64);
    open(&mut all, 0, [1, 2]).unwrap();
    all.fail();
    assert!(all.is_empty() && take_new(&mut all).is_empty());
    assert_eq!(open(&mut all, 0, [1, 2]), Err(Refused::NoRelay));
}

#[test]
fn sessions_of_blocked_addresses_end_and_no_others() {
    let mut all = sessions(16);
    let places: Vec<Places> =
        [[1, 2], [3, 1], [2, 3], [1, 1]].map(|pair| open(&mut all, 0, pair).unwrap()).into();
    assert_eq!(take_new(&mut all).len(), 4);
    let blocks = Blocks::read("list".as_ref(), b"203.0.0.1").unwrap();
    assert_eq!(all.end_blocked(&blocks, 1), 1);
    assert_eq!(all.end_blocked(&blocks, 64), 2);
    assert_eq!(all.end_blocked(&blocks, 64), 0, "the thread has been told");
    let closed: Vec<SessionId> = all
        .take_orders()
        .map(|order| match order {
            Order::Close(id, _) => id,
            Order::Open(_) => panic!("nobody needs one"),
        })
        .collect();
    assert_eq!(closed.len(), 3);
    assert!(!closed.contains(&places[2].id), "who is not blocked stays");
}
