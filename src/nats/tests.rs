use super::*;

fn at(ms: u64) -> Instant {
    Instant::from_micros(1_000_000_000 + ms * 1000)
}

fn peer(port: u16) -> SocketAddr {
    SocketAddr::from(([203, 0, 113, 7], port))
}

/// What was seen of one address, a tenth of a second apart.
fn after(seen: &[(Seen, u16)]) -> Nats {
    let mut nats = Nats::default();
    for (n, (seen, port)) in seen.iter().enumerate() {
        nats.saw(at(100 * n as u64), peer(*port), *seen);
    }
    nats
}

fn about(nats: &Nats, port: u16) -> About {
    nats.about(at(5000), peer(port))
}

use Seen::{Alternate, Main, Stun, Tcp};

#[test]
fn a_socket_with_one_port_for_both_is_behind_independent_mapping() {
    let nats = after(&[(Stun, 4000), (Alternate, 4000), (Main, 4000), (Tcp, 4001)]);
    assert_eq!(about(&nats, 4000), About { kind: Kind::Independent, ..About::default() });
    assert_eq!(about(&nats, 5000).kind, Kind::Independent, "so are its neighbours");
    assert_eq!(nats.kind(at(0), SocketAddr::from(([203, 0, 113, 8], 4000))), Kind::Unknown);
}

/// Some endpoint that is introduced.
fn other(n: u8) -> SocketAddr {
    SocketAddr::from(([203, 0, 113, 100 + n], 1))
}

fn next(nats: &mut Nats, port: u16, towards: u8) -> Vec<u16> {
    nats.next(at(5000), peer(port), other(towards), 1).to_vec()
}

#[test]
fn a_symmetric_nat_that_counts_is_foreseen() {
    let mut nats = after(&[(Stun, 4000), (Alternate, 4001), (Main, 4000), (Tcp, 4002)]);
    assert_eq!(about(&nats, 4000), About { kind: Kind::Sequential, maybe: None });
    assert_eq!(next(&mut nats, 4000, 1), [4003, 4004, 4005, 4006]);
    assert_eq!(next(&mut nats, 5000, 1), [0; 0], "this socket has shown nothing");
    let mut nats = after(&[(Stun, 4000), (Alternate, 3998), (Tcp, 50_000)]);
    assert_eq!(next(&mut nats, 4000, 1)[..2], [3996, 3994], "TCP has its own, and it counts down");
    let mut nats = after(&[(Stun, 65_532), (Alternate, 65_533)]);
    assert_eq!(next(&mut nats, 65_532, 1), [65_534, 65_535], "there are no more");
    let mut nats = after(&[(Stun, 65_534), (Alternate, 65_535)]);
    assert_eq!(about(&nats, 65_534).kind, Kind::Symmetric);
    assert_eq!(next(&mut nats, 65_534, 1), [0; 0]);
}

#[test]
fn ports_that_are_used_up_by_knocks_are_skipped() {
    let mut nats = after(&[(Stun, 4000), (Alternate, 4001)]);
    assert_eq!(nats.next(at(5000), peer(4000), other(1), 3)[0], 4002);
    assert_eq!(next(&mut nats, 4000, 2)[0], 4005, "three were for the one before");
    assert_eq!(next(&mut nats, 4000, 1)[0], 4002, "the same two get the same answer");
    nats.saw(at(5001), peer(4009), Tcp);
    assert_eq!(next(&mut nats, 4000, 3)[0], 4010, "what is seen counts more");
    assert_eq!(next(&mut nats, 4000, 2)[0], 4005, "but not for whom it was told before");
    for towards in 4..8 {
        next(&mut nats, 4000, towards);
    }
    assert_eq!(next(&mut nats, 4000, 2)[0], 4015, "few are remembered");
}

#[test]
fn random_ports_are_not_foreseen() {
    let nats = after(&[(Stun, 4000), (Alternate, 40_000), (Tcp, 4002)]);
    assert_eq!(about(&nats, 4000), About { kind: Kind::Symmetric, ..About::default() });
    let mut nats = after(&[(Stun, 4000), (Alternate, 4001), (Tcp, 4003), (Tcp, 3999)]);
    assert_eq!(next(&mut nats, 4000, 1)[0], 4002, "two of TCP, which do not count here");
}

/// Several players behind one NAT whose mapping does not depend on the destination show several
/// ports, which count up: that must not be taken for a symmetric NAT.
#[test]
fn players_behind_one_nat_are_not_taken_for_a_symmetric_one() {
    let nats = after(&[
        (Stun, 4000),
        (Stun, 4001),
        (Alternate, 4000),
        (Alternate, 4001),
        (Main, 4000),
        (Main, 4001),
        (Tcp, 4002),
        (Tcp, 4003),
    ]);
    for port in [4000, 4001] {
        assert_eq!(about(&nats, port), About { kind: Kind::Independent, ..About::default() });
    }
    let mut nats = after(&[(Main, 4000), (Main, 4001), (Main, 4002), (Tcp, 4003)]);
    for port in [4000, 4001] {
        assert_eq!(about(&nats, port), About::default());
    }
    assert!(next(&mut nats, 4002, 1).is_empty(), "it is not sure");
}

#[test]
fn requests_that_overtake_each_other_do_not_mislead_for_long() {
    let nats = after(&[(Stun, 4000), (Alternate, 4001), (Stun, 4001), (Alternate, 4000)]);
    assert_eq!(about(&nats, 4000).kind, Kind::Independent);
    assert_eq!(about(&nats, 4001).kind, Kind::Independent);
    assert_eq!(about(&nats, 9).kind, Kind::Independent);
}

#[test]
fn a_game_without_stun_gets_one_more_try_if_its_connection_follows() {
    let maybe = |seen: &[(Seen, u16)]| about(&after(seen), 4000).maybe;
    assert_eq!(maybe(&[(Main, 4000), (Tcp, 4001)]), Some(4002));
    assert_eq!(maybe(&[(Main, 4000), (Tcp, 4001), (Tcp, 4002)]), Some(4003));
    assert_eq!(maybe(&[(Main, 4000), (Tcp, 4001), (Tcp, 40_000)]), None);
    assert_eq!(maybe(&[(Main, 4000), (Tcp, 50_001)]), None);
    assert_eq!(maybe(&[(Main, 4000), (Main, 4001)]), None);
    assert_eq!(maybe(&[(Stun, 4000), (Tcp, 4001)]), None, "its alternate request was lost");
    assert_eq!(maybe(&[(Tcp, 3999), (Main, 4000)]), None);
}

#[test]
fn what_was_shown_often_is_not_given_up_for_one_contradiction() {
    let mut nats = Nats::default();
    for n in 0..3 {
        nats.saw(at(n * 10_000), peer(4000 + n as u16), Stun);
        nats.saw(at(n * 10_000), peer(4000 + n as u16), Alternate);
    }
    nats.saw(at(40_000), peer(5000), Stun);
    nats.saw(at(40_000), peer(6000), Alternate);
    assert_eq!(nats.kind(at(41_000), peer(9)), Kind::Independent);
    for n in 0..3 {
        nats.saw(at(50_000 + n), peer(7000 + n as u16), Stun);
        nats.saw(at(50_000 + n), peer(8000 + n as u16), Alternate);
    }
    assert_eq!(nats.kind(at(51_000), peer(9)), Kind::Symmetric);
}

#[test]
fn a_port_that_was_silent_for_long_may_be_somebody_else() {
    let mut nats = after(&[(Stun, 4000)]);
    nats.saw(at(130_000), peer(4000), Alternate);
    assert_eq!(nats.kind(at(130_000), peer(4000)), Kind::Unknown);
}

#[test]
fn who_has_its_own_address_has_no_nat() {
    let mut nats = Nats::default();
    nats.saw(at(0), peer(4000), Main);
    nats.saw_local(at(0), peer(4000), peer(4000));
    assert_eq!(nats.kind(at(0), peer(4000)), Kind::Open);
    nats.saw_local(at(0), SocketAddr::from(([203, 0, 113, 8], 1)), peer(4000));
    assert_eq!(nats.kind(at(0), SocketAddr::from(([203, 0, 113, 8], 1))), Kind::Unknown);
}

#[test]
fn all_this_is_bounded_and_ages() {
    let mut nats = Nats::default();
    let addr = |n: u32| SocketAddr::from((Ipv4Addr::from(n.to_be_bytes()), 4000));
    for n in 0..limits::NATS as u32 + 9 {
        nats.saw(at(0), addr(n), Stun);
        nats.saw(at(0), addr(n), Alternate);
    }
    assert_eq!(nats.by_addr.len(), limits::NATS);
    assert_eq!(nats.kind(at(0), addr(0)), Kind::Unknown);
    assert_eq!(nats.kind(at(0), addr(9)), Kind::Independent);
    assert_eq!(nats.kind(at(0) + limits::NAT_AGE, addr(9)), Kind::Unknown);
    for n in 0..1000 {
        nats.saw(at(n), peer(n as u16 + 1), Main);
    }

    let SocketAddr::V4(first) = peer(1) else { panic!() };
    let ports = &nats.by_addr[first.ip()];
    assert_eq!(ports.room(), limits::PORTS_OF_NAT, "one allocation");
    assert!(std::mem::size_of::<Nat>() <= 40, "{}", std::mem::size_of::<Nat>());
}

/// What is known of an address can be seen.
fn is_known(nats: &Nats, n: u32) -> bool {
    nats.by_addr.contains_key(&Ipv4Addr::from(n))
}

fn come(nats: &mut Nats, ms: u64, addresses: std::ops::Range<u32>) {
    for n in addresses {
        nats.saw(at(ms), SocketAddr::from((Ipv4Addr::from(n), 4000)), Main);
    }

    let turns = nats.turns.len() + nats.proven_turns.len();
    assert_eq!(turns, nats.by_addr.len(), "each has one turn");
    assert!(nats.by_addr.len() <= limits::NATS);
}

#[test]
fn who_is_heard_of_is_not_forgotten_for_strangers() {
    const MANY: u32 = limits::NATS as u32;
    let mut nats = Nats::default();
    come(&mut nats, 0, 0..MANY);
    come(&mut nats, 61_000, 3..6);
    come(&mut nats, 62_000, MANY..MANY + 20);
    assert!((3..6).all(|n| is_known(&nats, n)), "they were heard of");
    assert!((0..3).chain(6..23).all(|n| !is_known(&nats, n)));
    assert!((23..MANY + 20).all(|n| is_known(&nats, n)));
    // Where all were heard of, one has to go all the same.
    come(&mut nats, 200_000, 23..MANY + 20);
    come(&mut nats, 200_000, MANY + 20..MANY + 21);
    assert_eq!((23..MANY + 20).filter(|n| !is_known(&nats, *n)).count(), 1);
}

#[test]
fn forged_requests_push_out_nobody_who_has_proven_himself() {
    const MANY: u32 = limits::NATS as u32;
    let mut nats = Nats::default();
    let hosts = 10_000_000..10_000_000 + MANY / 2;
    for n in hosts.clone() {
        let at_home = SocketAddr::from((Ipv4Addr::from(n), 4000));
        nats.saw(at(0), at_home, Stun);
        nats.saw(at(0), at_home, Alternate);
        match n % 3 {
            0 => nats.saw(at(0), at_home, Tcp),
            1 => nats.settle(at(0), at_home),
            _ => nats.prove(at_home.ip()),
        }
    }
    // Each forged address twice, as if it was somebody's.
    for n in 0..4 * MANY {
        let ms = u64::from(n / 10);
        come(&mut nats, ms, n..n + 1);
        come(&mut nats, ms + 100, n..n + 1);
    }
    assert!(hosts.clone().all(|n| is_known(&nats, n)));
    assert_eq!(nats.by_addr.len(), limits::NATS);
    // Nor do those who have proven themselves leave no place for others.
    for n in 20_000_000..20_000_000 + 2 * MANY {
        nats.saw(at(20_000), SocketAddr::from((Ipv4Addr::from(n), 4000)), Tcp);
    }
    come(&mut nats, 20_000, 0..MANY / 4);
    assert!((0..MANY / 4).all(|n| is_known(&nats, n)));
    come(&mut nats, 40_000, 5 * MANY..6 * MANY);
    let proven = nats.by_addr.values().filter(|nat| nat.is_proven).count();
    assert_eq!(proven, limits::NATS - limits::NATS_UNPROVEN);
}

#[test]
fn who_is_not_heard_of_is_forgotten_after_an_hour() {
    let mut nats = Nats::default();
    let hour = u64::try_from(limits::NAT_AGE.as_millis()).unwrap();
    come(&mut nats, 0, 0..10);
    come(&mut nats, 120_000, 4..5);
    (0..20).for_each(|_| come(&mut nats, hour, 20..21));
    assert!((0..10).all(|n| is_known(&nats, n) == (n == 4)), "4 was heard of later");
    (0..20).for_each(|_| come(&mut nats, 2 * hour, 20..21));
    assert!(!is_known(&nats, 4) && is_known(&nats, 20));
}

#[test]
fn who_comes_back_after_an_hour_is_a_stranger() {
    let mut nats = after(&[(Stun, 4000), (Alternate, 4000)]);
    assert_eq!(about(&nats, 4000).kind, Kind::Independent);
    let later = at(5000) + limits::NAT_AGE;
    nats.saw(later, peer(4000), Main);
    assert_eq!(nats.kind(later, peer(4000)), Kind::Unknown);
}

#[test]
fn only_what_the_same_socket_can_have_shown_counts() {
    let nats = after(&[(Stun, 4000), (Stun, 4001), (Alternate, 4001)]);
    assert_eq!(about(&nats, 4000).kind, Kind::Independent, "4001 is a socket of its own");
    let nats = after(&[(Main, 4000), (Alternate, 4001)]);
    assert_eq!(about(&nats, 4000).kind, Kind::Unknown, "4000 has not asked by STUN");
    let mut nats = after(&[(Tcp, 4001), (Stun, 4000), (Alternate, 4001)]);
    assert_eq!(next(&mut nats, 4000, 1)[0], 4002, "4001 of TCP is not that of UDP");
    let mut nats = after(&[(Stun, 4000)]);
    nats.saw(at(6000), peer(4001), Alternate);
    assert_eq!(nats.kind(at(6000), peer(4000)), Kind::Unknown, "they are too far apart");
}

#[test]
fn what_a_port_shows_after_others_know_it_does_not_make_it_symmetric() {
    let forge = |nats: &mut Nats, ms| {
        nats.saw(at(ms), peer(4000), Stun);
        nats.saw(at(ms), peer(4001), Alternate);
    };
    for before in [&[(Main, 4000)][..], &[(Stun, 4000), (Alternate, 4000)], &[]] {
        let mut nats = after(before);
        let kind = about(&nats, 4000).kind;
        nats.settle(at(1000), peer(4000));
        for n in 0..=limits::PORTS_OF_NAT as u16 {
            nats.saw(at(2000), peer(6000 + n), Main);
        }
        forge(&mut nats, 2000);
        assert_eq!(
            (about(&nats, 4000).kind, next(&mut nats, 4000, 1)),
            (kind, vec![]),
            "{before:?}"
        );
        nats.settle(at(3000), peer(4000));
        assert_eq!(next(&mut nats, 4000, 1), [0; 0], "its game has come back");
        let later = at(5000) + limits::NAT_AGE;
        nats.saw(later, peer(4000), Stun);
        nats.saw(later, peer(4001), Alternate);
        assert!(nats.next(later, peer(4000), other(1), 1).is_empty(), "it was silent for an hour");
    }
    let mut nats = after(&[(Main, 5000)]);
    nats.settle(at(1000), peer(5000));
    forge(&mut nats, 2000);
    assert_eq!(next(&mut nats, 4000, 1)[0], 4002, "another socket behind that NAT");
}

#[test]
fn what_a_port_has_shown_before_others_know_it_goes_on_counting() {
    let mut nats = after(&[(Stun, 4000), (Alternate, 4001), (Main, 4000), (Tcp, 4002)]);
    nats.settle(at(1000), peer(4000));
    nats.saw(at(2000), peer(4003), Tcp);
    nats.settle(at(2000), peer(4000));
    assert_eq!(about(&nats, 4000).kind, Kind::Sequential);
    assert_eq!(next(&mut nats, 4000, 1)[0], 4004);
}

/// Whoever is told of a port can send a request in its name.
#[test]
fn what_a_port_has_shown_before_others_know_it_is_not_undone_in_its_name() {
    let mut nats = after(&[(Stun, 4000), (Alternate, 4001), (Main, 4000)]);
    nats.settle(at(1000), peer(4000));
    nats.saw(at(2000), peer(4000), Alternate);
    assert_eq!(about(&nats, 4000).kind, Kind::Sequential);
    assert_eq!(next(&mut nats, 4000, 1)[0], 4002);
}

#[test]
fn few_settled_ports_are_remembered() {
    let mut settled = Settled::default();
    let at = |addr: u32, port| std::net::SocketAddrV4::new(Ipv4Addr::from(addr), port);
    for addr in 0..limits::NATS as u32 + 1 {
        settled.settle(at(addr, 1), Kind::Symmetric);
    }
    assert_eq!(settled.get(at(0, 1)), None);
    assert_eq!(settled.get(at(1, 1)), Some(Kind::Symmetric));
    for port in 2..2 + limits::SETTLED as u16 {
        settled.settle(at(1, 2), Kind::Independent);
        settled.settle(at(1, port), Kind::Unknown);
    }
    let known = |port| settled.get(at(1, port));
    assert_eq!(known(1), None);
    assert_eq!(known(2), Some(Kind::Independent), "it was told again and again");
    assert_eq!(known(1 + limits::SETTLED as u16), Some(Kind::Unknown));
}

#[test]
fn a_knock_at_the_alternate_port_disproves_what_was_shown_in_the_name_of_a_host() {
    let mut nats = after(&[(Stun, 4000), (Alternate, 4001), (Main, 4000)]);
    nats.settle(at(1000), peer(4000));
    assert_eq!((nats.has_knocked(peer(4000)), next(&mut nats, 4000, 1)[0]), (false, 4002));
    nats.saw_knock(at(1050), peer(4001));
    assert!(!nats.has_knocked(peer(4000)), "nobody has been asked");
    nats.ask_to_knock(peer(4000));
    assert!(!nats.has_knocked(peer(4000)));
    nats.saw_knock(at(1100), peer(4000));
    assert!(nats.has_knocked(peer(4000)));
    assert_eq!(about(&nats, 4000).kind, Kind::Independent);
    // Nor is it believed again when the knock is forgotten.
    for n in 0..=limits::PORTS_OF_NAT as u16 {
        nats.saw(at(2000), peer(6000 + n), Main);
    }
    nats.saw(at(2000), peer(4000), Stun);
    nats.saw(at(2000), peer(4001), Alternate);
    assert_eq!(next(&mut nats, 4000, 1), [0; 0]);
    // A NAT that counts shows the port that it has shown there before.
    let mut nats = after(&[(Stun, 4000), (Alternate, 4001), (Main, 4000)]);
    nats.settle(at(1000), peer(4000));
    nats.ask_to_knock(peer(4000));
    nats.saw_knock(at(1100), peer(4001));
    assert!(nats.has_knocked(peer(4000)));
    assert_eq!(next(&mut nats, 4000, 1)[0], 4002);
    nats.saw_knock(at(1100), "203.0.113.77:4000".parse().unwrap());
}

/// One that counts, and whose port others are told, after this has come in its name.
fn counting(forged: &[(Seen, u16)]) -> Nats {
    let mut nats = after(&[(Stun, 4000), (Alternate, 4001), (Main, 4000), (Tcp, 4002)]);
    nats.settle(at(1000), peer(4000));
    for (n, (seen, port)) in forged.iter().enumerate() {
        nats.saw(at(2000 + n as u64), peer(*port), *seen);
    }
    nats
}

#[test]
fn what_a_port_has_shown_before_others_know_it_stays_valid_whatever_comes_from_its_address() {
    let many: Vec<_> = (0..20).map(|n| (Main, 50_000 + 100 * n)).collect();
    let cases: [&[(Seen, u16)]; 6] = [
        &[(Main, 50_000)],
        &[(Stun, 50_000), (Alternate, 60_000)],
        &[(Main, 4001)],
        &[(Main, 3999), (Main, 3000)],
        &[(Alternate, 4000)],
        &many,
    ];
    for forged in cases {
        let mut nats = counting(forged);
        assert_eq!(about(&nats, 4000).kind, Kind::Sequential, "{forged:?}");
        assert_eq!(next(&mut nats, 4000, 1)[0], 4003, "{forged:?}");
        // The NAT has gone on.
        nats.saw(at(3000), peer(4005), Tcp);
        nats.saw(at(3000), peer(50_001), Main);
        assert_eq!(next(&mut nats, 4000, 2)[0], 4006, "{forged:?}");
        assert_eq!(next(&mut nats, 4000, 3)[0], 4007, "{forged:?}");
        nats.saw(at(4000), peer(50_002), Main);
        assert_eq!(next(&mut nats, 4000, 4)[0], 4008, "those that are used up stay so: {forged:?}");
    }
}

#[test]
fn a_port_that_has_counted_and_was_silent_is_still_the_same() {
    let mut nats = counting(&[]);
    let later = at(1000) + 2 * limits::MAPPING;
    nats.saw(later, peer(4000), Main);
    assert_eq!(nats.next(later, peer(4000), other(1), 1)[0], 4003);
}

#[test]
fn what_counts_outlasts_some_that_follow() {
    let mut nats = counting(&[]);
    for n in 0..limits::PORTS_OF_NAT as u16 {
        nats.saw(at(2000), peer(4003 + n), Tcp);
        assert_eq!(next(&mut nats, 4000, n as u8)[0], 4004 + n);
    }
}

#[test]
fn a_knock_in_the_name_of_a_host_disproves_nothing_if_the_host_knocks_as_well() {
    for knocks in [[4000, 4003], [4003, 4000]] {
        let mut nats = counting(&[]);
        nats.ask_to_knock(peer(4000));
        knocks.into_iter().for_each(|port| nats.saw_knock(at(2000), peer(port)));
        assert!(nats.has_knocked(peer(4000)));
        assert_eq!(about(&nats, 4000).kind, Kind::Sequential, "{knocks:?}");
        assert_eq!(next(&mut nats, 4000, 1)[0], 4004, "{knocks:?}");
        // The next time it knocks alone, and who knocks in its name later was not asked.
        nats.ask_to_knock(peer(4000));
        nats.saw_knock(at(3000), peer(4000));
        assert_eq!(next(&mut nats, 4000, 2), [0; 0], "{knocks:?}");
        // Nor hours later.
        for late in [6000, 3000 + 100 * (1 << 16)] {
            let minutes = (4000..late).step_by(60_000);
            minutes.for_each(|millis| nats.saw(at(millis), peer(4000), Main));
            nats.saw_knock(at(late), peer(50_000));
            assert_eq!(nats.kind(at(late), peer(4000)), Kind::Independent, "{late} {knocks:?}");
            assert_eq!(nats.next(at(late), peer(4000), other(2), 1)[..], [0; 0], "{late}");
        }
    }
}
