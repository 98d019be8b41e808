use super::*;

fn conn(slot: u32) -> ConnId {
    ConnId { slot, generation: 1 }
}

const VIA: Via = Via { socket: 0, local: None };

fn after(millis: u64) -> Instant {
    Instant::from_micros(millis * 1000)
}

#[test]
fn nothing_is_kept_of_who_does_not_knock_any_more() {
    let mut probes = PortProbes::at(Vec::new());
    let (begin, addr) = (Instant::default(), IpAddr::from([203, 0, 113, 1]));
    for slot in [0, 0, 1, 2] {
        probes.ask(begin, conn(slot), addr, addr, None);
        probes.came(begin, SocketAddr::new(addr, 1000));
    }
    assert_eq!(probes.next_wakeup(), Some(begin + limits::KNOCK_WAIT));
    probes.soon.arm_with(begin, conn(0), None);
    probes.forget(conn(0));
    assert!(!probes.is_being_asked(conn(0)) && !probes.is_awaited(conn(0)));
    assert_eq!(probes.shares.of(addr), [2; 3]);
    assert_eq!(probes.came(begin, SocketAddr::new(addr, 1000)), Some(conn(2)));
    probes.forget(conn(2));
    assert_eq!(probes.came(begin, SocketAddr::new(addr, 1000)), None, "nobody is asked");
    while probes.awaited.pop().is_some() {}
    assert_eq!(probes.next_wakeup(), Some(begin + limits::KNOCKING));
    probes.expire(begin + limits::KNOCKING);
    assert!(probes.shares.is_empty() && probes.knocking.is_empty());
    assert!(probes.from.is_empty());
    assert_eq!(probes.known.len(), 1, "it is not asked again at once");
    assert_eq!(probes.next_wakeup(), Some(begin + limits::ASK_AGAIN));
    probes.expire(begin + limits::ASK_AGAIN);
    assert!(probes.known.is_empty());
    // What came before it was forgotten is forgotten as well.
    probes.ask(begin, conn(3), addr, addr, None);
    probes.forget(conn(3));
    assert_eq!(probes.next_wakeup(), Some(begin + limits::KNOCKING));
    // The one that is asked last knocks last.
    probes.ask(begin, conn(4), addr, addr, None);
    while probes.awaited.pop().is_some() {}
    probes.ask(begin + limits::KNOCK_WAIT, conn(5), addr, addr, None);
    while probes.awaited.pop().is_some() {}
    assert_eq!(probes.next_wakeup(), Some(begin + limits::KNOCKING));
}

#[test]
fn a_host_is_asked_at_the_address_that_it_uses_else_at_one_that_others_use() {
    let [any, own] = ["[::]:6510", "198.51.100.1:6510"].map(|at| at.parse().unwrap());
    let mut probes = PortProbes::at(vec![any, own]);
    let host = IpAddr::from([203, 0, 113, 1]);
    let used = |n| Via { socket: 0, local: Some(IpAddr::from([198, 51, 100, n])) };
    assert_eq!(probes.endpoint(None, host), Some(own));
    assert_eq!(probes.endpoint(None, IpAddr::from([127, 0, 0, 1])), None);
    probes.note_way(used(7), host);
    // A way that does not say to which address.
    for via in [None, Some(Via::default())] {
        assert_eq!(probes.endpoint(via, host), "198.51.100.7:6510".parse().ok());
    }
    assert_eq!(probes.endpoint(Some(used(8)), host), "198.51.100.8:6510".parse().ok());
    // Not at one that cannot be told, or not to it.
    let of = |at: &str, host: &str| {
        PortProbes::at(vec![at.parse().unwrap()]).endpoint(None, host.parse().unwrap())
    };
    assert_eq!(of("0.0.0.0:6510", "203.0.113.1"), None);
    assert_eq!(of("198.51.100.1:6510", "2001:db8::1"), None);
    // Knocks that are looked at in the end tell the way as well.
    probes.ask(Instant::default(), conn(1), host, host, None);
    (0..3).for_each(|_| _ = probes.note(Instant::default(), conn(1), used(9), 4000));
    assert_eq!(probes.most(conn(1)), Some((4000, used(9))));
}

#[test]
fn a_host_on_the_machine_itself_does_not_show_how_others_know_it() {
    let mut probes = PortProbes::at(vec!["[::]:6510".parse().unwrap()]);
    let [local, lan, outside] =
        ["127.0.0.1", "192.168.0.9", "203.0.113.1"].map(|ip| ip.parse().unwrap());
    let to = |ip: &str| Via { socket: 0, local: Some(ip.parse().unwrap()) };
    let at = |ip: &str| format!("{ip}:6510").parse().ok();
    probes.note_way(to("127.0.0.1"), local);
    assert_eq!(probes.seen_outside(None, outside), None);
    assert_eq!(probes.endpoint(None, local), at("127.0.0.1"));
    probes.note_way(to("198.51.100.1"), outside);
    probes.note_way(to("127.0.0.1"), local);
    assert_eq!(probes.endpoint(None, outside), at("198.51.100.1"));
    assert_eq!(probes.endpoint(None, local), at("127.0.0.1"));
    assert_eq!(probes.endpoint(None, lan), at("198.51.100.1"), "not at itself");
    probes.note_way(to("192.168.0.1"), lan);
    assert_eq!(probes.endpoint(None, lan), at("192.168.0.1"));
    assert_eq!(probes.endpoint(None, outside), at("198.51.100.1"));
}

#[test]
fn a_port_that_knocks_steadily_stands_out_among_a_thousand() {
    let mut asked = nothing_heard();
    // A third of a second: 20 steps of the game, and as many forged knocks as come in that time,
    // two from each port.
    for step in 0..20 {
        for n in 0..17 {
            asked.note(1000 + (step * 17 + n) / 2);
            assert!(asked.ports.len() <= 64);
        }
        // It begins when there are as many others as can be told apart.
        (step >= 8).then(|| asked.note(500));
    }
    assert_eq!(asked.most(), Some(500));
}

#[test]
fn a_port_is_a_hosts_if_it_knocks_three_times_and_twice_as_often_as_any_other() {
    for (own, other, is_found) in
        [(2, 0, false), (3, 0, true), (3, 1, true), (5, 3, false), (6, 3, true), (7, 4, false)]
    {
        let mut asked = nothing_heard();
        (0..other).for_each(|_| asked.note(666));
        (0..own).for_each(|_| asked.note(500));
        assert_eq!(asked.most(), is_found.then_some(500), "{own} to {other}");
    }
}

/// What came from a port within a second before the question is not of who is asked.
#[test]
fn what_has_knocked_within_a_second_before_is_anothers() {
    let addr = IpAddr::from([203, 0, 113, 1]);
    for (millis, is_found) in [(1000, false), (1001, true)] {
        let mut probes = PortProbes::at(Vec::new());
        probes.ask(after(0), conn(1), addr, addr, None);
        probes.came(after(0), SocketAddr::new(addr, 4000));
        let asks = after(millis);
        probes.ask(asks, conn(2), addr, addr, None);
        // What knocks after that may be its own, even if it is asked once more.
        probes.came(asks, SocketAddr::new(addr, 5000));
        probes.ask(asks, conn(2), addr, addr, None);
        let late = asks + limits::KNOCK_WAIT;
        let mut hears = |port, times| {
            let mut heard = (0..times).filter_map(|_| probes.note(late, conn(2), VIA, port));
            heard.any(|found| found == (port, false))
        };
        assert_eq!(hears(4000, 3), is_found, "{millis} ms");
        assert!(hears(5000, 7), "{millis} ms");
    }
}

#[test]
fn of_the_ports_of_an_address_those_that_knocked_last_are_kept() {
    let mut from = From::default();
    (0..64).for_each(|n| from.note(after(1 + u64::from(n)), 1000 + n));
    from.note(after(100), 1000);
    from.note(after(101), 2000);
    let has = |port| from.ports.iter().any(|(known, _)| *known == port);
    assert_eq!(from.ports.len(), 64);
    assert!(has(1000) && !has(1001) && has(1002) && has(2000));
}

#[test]
fn neighbours_are_asked_twice_the_wait_apart() {
    let (addr, mut probes) = (IpAddr::from([203, 0, 113, 1]), PortProbes::at(Vec::new()));
    probes.ask(after(0), conn(1), addr, addr, None);
    assert_eq!(probes.may_ask(after(599), addr, addr), Err(Refused::Later));
    assert_eq!(probes.may_ask(after(600), addr, addr), Ok(()));
}

#[test]
fn as_many_are_asked_as_can_be_heard() {
    let (mut probes, late) = (PortProbes::at(Vec::new()), IpAddr::from([203, 0, 113, 1]));
    for n in 0..=255 {
        assert_eq!(probes.may_ask(after(0), late, late), Ok(()), "{n}");
        let addr = IpAddr::from([10, n, 0, 1]);
        probes.ask(after(0), conn(n.into()), addr, addr, None);
    }
    assert_eq!(probes.may_ask(after(599), late, late), Err(Refused::TooMany));
    // Those that do not knock give way, not those that do.
    for n in 0..255 {
        probes.note(after(100), conn(n), VIA, 1000);
    }
    assert_eq!(probes.may_ask(after(600), late, late), Ok(()));
    assert_eq!((probes.knocking.len(), probes.is_knocking(conn(255))), (255, false));
    probes.ask(after(600), conn(300), late, late, None);
    assert_eq!(probes.may_ask(after(600), [10, 0, 0, 9].into(), late), Err(Refused::TooMany));
}

#[test]
fn a_port_counts_after_300_ms_and_then_as_long_as_it_knocks_within_a_second() {
    let addr = IpAddr::from([203, 0, 113, 1]);
    let mut probes = PortProbes::at(Vec::new());
    probes.ask(after(0), conn(1), addr, addr, None);
    let mut hear = |millis, port| {
        let found = probes.note(after(millis), conn(1), VIA, port);
        if let Some((port, _)) = found {
            probes.found(after(millis), conn(1), port);
        }
        found
    };
    for millis in [0, 100, 299] {
        assert_eq!(hear(millis, 4000), None, "who forges may be nearer");
    }
    assert_eq!(hear(300, 4000), Some((4000, false)));
    (0..20).for_each(|_| assert_eq!(hear(1300, 666), None));
    assert_eq!(hear(1301, 666), Some((666, false)));
    assert_eq!(probes.asked(conn(1)), Some(Some(after(15_000))));
}

fn nothing_heard() -> Asked {
    Asked {
        addr: IpAddr::from([203, 0, 113, 1]),
        by: IpAddr::from([203, 0, 113, 1]),
        at: Instant::default(),
        sure: None,
        ports: SmallVec::new(),
        others: SmallVec::new(),
        via: Via::default(),
        own: None,
    }
}
