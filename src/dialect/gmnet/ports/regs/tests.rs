use super::super::tests::{ADDR, VIA, at};
use super::*;

/// A host with this port has left that had shown it last then, when it registered.
fn left(port: u16, seen: Instant) -> Option<LeftPort> {
    Some(LeftPort { port, via: VIA, seen, is_announced: false })
}

#[test]
fn under_a_flood_of_forged_ports_the_one_that_was_known_before_is_right() {
    for seen in [99, 60] {
        let mut ports = Ports::default();
        for n in 0..40 {
            let instant = Instant::from_micros(99_000_000 + n * 50_000);
            ports.learn_reg(Now { instant, unix: 0 }, VIA, ADDR, 5000 + n as u16);
        }
        ports.release_reg(at(99).instant, ADDR, left(1000, at(seen).instant));
        let shown = Instant::from_micros(99_990_000);
        ports.learn_reg(Now { instant: shown, unix: 0 }, VIA, ADDR, 1000);
        let claimed = ports.claim_reg(at(101).instant, ADDR, at(100).instant);
        assert_eq!(claimed.map(|c| c.port), Some(1000));
    }
}

#[test]
fn a_host_that_got_a_forged_port_gets_its_own_when_it_shows_that_again() {
    let mut ports = Ports::default();
    let mut register = |second: u64, forged: u16| {
        for n in 0..20u16 {
            let instant = Instant::from_micros(second * 1_000_000 + u64::from(n) * 50_000);
            ports.learn_reg(Now { instant, unix: 0 }, VIA, ADDR, forged + n);
        }
        // One of the forged ones comes nearer than its own.
        let opened = Instant::from_micros(second * 1_000_000 + 500_000);
        let shown = Instant::from_micros(opened.micros() - 3_000);
        ports.learn_reg(Now { instant: shown, unix: 0 }, VIA, ADDR, 1000);
        ports.claim_reg(at(second + 1).instant, ADDR, opened).map(|c| c.port)
    };
    assert_eq!(register(100, 5000), Some(5010));
    assert_eq!(register(110, 6000), Some(1000));
}

#[test]
fn of_packets_that_came_at_another_time_than_the_connection_the_newest_is_taken() {
    let mut ports = Ports::default();
    ports.learn_reg(at(10), VIA, ADDR, 1000);
    ports.release_reg(at(13).instant, ADDR, left(2000, at(12).instant));
    ports.learn_reg(at(15), VIA, ADDR, 3000);
    let mut claim = || ports.claim_reg(at(16).instant, ADDR, at(8).instant).map(|c| c.port);
    assert_eq!([claim(), claim(), claim()], [Some(3000), Some(2000), Some(1000)]);
}

#[test]
fn a_registration_takes_the_newest_packet_before_the_port_of_a_host_that_left() {
    let mut ports = Ports::default();
    ports.learn_reg(at(0), VIA, ADDR, 1000);
    ports.release_reg(at(1).instant, ADDR, left(2000, at(0).instant));
    let now = at(2).instant;
    let claimed = ports.claim_reg(now, ADDR, now);
    assert_eq!(claimed.map(|c| (c.port, c.unix)), Some((1000, Some(1_700_000_000))));
    let claimed = ports.claim_reg(now, ADDR, now);
    assert_eq!(claimed.map(|c| (c.port, c.unix)), Some((2000, None)));
    assert_eq!(ports.claim_reg(now, ADDR, now), None);
}

#[test]
fn the_first_of_repeated_packets_dates_the_registration() {
    let mut ports = Ports::default();
    ports.learn_reg(at(0), VIA, ADDR, 1000);
    ports.learn_reg(at(3), VIA, ADDR, 1000);
    let claimed = ports.claim_reg(at(4).instant, ADDR, at(4).instant);
    assert_eq!(claimed.and_then(|c| c.unix), Some(1_700_000_000));
}

#[test]
fn a_known_port_that_came_with_the_connection_goes_before_an_unknown_one_long_before() {
    let ms = |ms: u64| Now { instant: Instant::from_micros(5_000_000 + ms * 1000), unix: 0 };
    for (forged, shown, expected) in [(0, 500, 1000), (490, 500, 2000), (505, 500, 2000)] {
        let mut ports = Ports::default();
        let learn = |ports: &mut Ports, time| {
            if time == shown {
                ports.learn_reg_again(ms(time), VIA, ADDR, 1000);
            } else {
                ports.learn_reg(ms(time), VIA, ADDR, 2000);
            }
        };
        learn(&mut ports, shown.min(forged));
        learn(&mut ports, shown.max(forged));
        let claimed = ports.claim_reg(ms(600).instant, ADDR, ms(501).instant);
        assert_eq!(claimed.map(|c| c.port), Some(expected), "{forged}");
    }
}

#[test]
fn the_port_of_a_host_that_left_is_provisional_unless_it_was_shown_for_the_new_connection() {
    for (seen, is_announced, is_provisional) in
        [(99, true, false), (99, false, true), (97, true, true), (97, false, true)]
    {
        let mut ports = Ports::default();
        let host = LeftPort { port: 1000, via: VIA, seen: at(seen).instant, is_announced };
        ports.release_reg(at(99).instant, ADDR, Some(host));
        let claimed = ports.claim_reg(at(101).instant, ADDR, at(100).instant);
        let claimed = claimed.map(|c| (c.port, c.is_provisional));
        assert_eq!(claimed, Some((1000, is_provisional)), "{seen} {is_announced}");
    }
    let mut ports = Ports::default();
    ports.learn_reg(at(97), VIA, ADDR, 1000);
    let claimed = ports.claim_reg(at(101).instant, ADDR, at(100).instant);
    assert_eq!(claimed.map(|c| c.is_provisional), Some(false), "a packet is a packet");
}
