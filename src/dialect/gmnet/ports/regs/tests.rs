use super::super::tests::{ADDR, VIA, at};
use super::*;

const GAME: &str = "game";

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
        ports.release_reg(at(99).instant, ADDR, GAME, left(1000, at(seen).instant));
        let shown = Instant::from_micros(99_990_000);
        ports.learn_reg(Now { instant: shown, unix: 0 }, VIA, ADDR, 1000);
        let claimed = ports.claim_reg(at(101).instant, ADDR, at(100).instant, GAME, |_| true);
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
        ports.claim_reg(at(second + 1).instant, ADDR, opened, GAME, |_| true).map(|c| c.port)
    };
    assert_eq!(register(100, 5000), Some(5010));
    assert_eq!(register(110, 6000), Some(1000));
}

#[test]
fn of_packets_that_came_at_another_time_than_the_connection_the_newest_is_taken() {
    let mut ports = Ports::default();
    ports.learn_reg(at(10), VIA, ADDR, 1000);
    ports.release_reg(at(13).instant, ADDR, GAME, left(2000, at(12).instant));
    ports.learn_reg(at(15), VIA, ADDR, 3000);
    let mut claim =
        || ports.claim_reg(at(16).instant, ADDR, at(8).instant, GAME, |_| true).map(|c| c.port);
    assert_eq!([claim(), claim(), claim()], [Some(3000), Some(2000), Some(1000)]);
}

#[test]
fn a_registration_takes_the_newest_packet_before_the_port_of_a_host_that_left() {
    let mut ports = Ports::default();
    ports.learn_reg(at(0), VIA, ADDR, 1000);
    ports.release_reg(at(1).instant, ADDR, GAME, left(2000, at(0).instant));
    let now = at(2).instant;
    let claimed = ports.claim_reg(now, ADDR, now, GAME, |_| true);
    assert_eq!(claimed.map(|c| (c.port, c.unix)), Some((1000, Some(1_700_000_000))));
    let claimed = ports.claim_reg(now, ADDR, now, GAME, |_| true);
    assert_eq!(claimed.map(|c| (c.port, c.unix)), Some((2000, None)));
    assert_eq!(ports.claim_reg(now, ADDR, now, GAME, |_| true), None);
}

#[test]
fn the_first_of_repeated_packets_dates_the_registration() {
    let mut ports = Ports::default();
    ports.learn_reg(at(0), VIA, ADDR, 1000);
    ports.learn_reg(at(3), VIA, ADDR, 1000);
    let claimed = ports.claim_reg(at(4).instant, ADDR, at(4).instant, GAME, |_| true);
    assert_eq!(claimed.and_then(|c| c.unix), Some(1_700_000_000));
}

/// Whose port is taken when a packet from the port of a host that is still registered, 1000, and one
/// from an unknown port, 2000, came so many milliseconds before a connection. The first may be a
/// copy.
fn known_or_unknown(known: i64, unknown: i64, is_copy: bool) -> Option<u16> {
    of_games(known, unknown, is_copy, true)
}

/// The same where the host at the known port is of the game that registers, or of another.
fn of_games(known: i64, unknown: i64, is_copy: bool, is_same_game: bool) -> Option<u16> {
    let ms =
        |ms: i64| Now { instant: Instant::from_micros((9_000_000 + 1000 * ms) as u64), unix: 0 };
    let mut packets = [(-known, true), (-unknown, false)];
    packets.sort_unstable();
    let mut ports = Ports::default();
    for (time, is_known) in packets {
        let now = ms(time);
        match (is_known, is_copy) {
            (true, true) => ports.learn_reg_copy(now, VIA, ADDR, 1000),
            (true, false) => ports.learn_reg_again(now, VIA, ADDR, 1000),
            (false, _) => ports.learn_reg(now, VIA, ADDR, 2000),
        }
    }
    ports.claim_reg(ms(200).instant, ADDR, ms(0).instant, GAME, |_| is_same_game).map(|c| c.port)
}

#[test]
fn a_known_port_goes_before_an_unknown_one_that_did_not_come_nearer_to_the_connection() {
    let drift = limits::DRIFT.as_millis() as i64;
    for is_copy in [false, true] {
        for unknown in [500, drift + 1, 11, 2, 0, -4, -50, -140] {
            assert_eq!(known_or_unknown(1, unknown, is_copy), Some(1000), "{unknown} {is_copy}");
        }
        for known in [drift + 2, 90, 500, 5000] {
            // A neighbour who comes at about that time.
            assert_eq!(known_or_unknown(known, 1, is_copy), Some(2000), "{known} {is_copy}");
            assert_eq!(known_or_unknown(known, -1, is_copy), Some(2000), "{known} {is_copy}");
        }
        assert_eq!(known_or_unknown(drift + 1, 1, is_copy), Some(1000), "{is_copy}");
        assert_eq!(of_games(1, 2, is_copy, false), Some(2000), "a neighbour with another game");
    }
    // None came with the connection: the newest.
    assert_eq!(known_or_unknown(3000, 1500, false), Some(2000));
    assert_eq!(known_or_unknown(1500, 3000, false), Some(1000));
    assert_eq!(known_or_unknown(1500, 3000, true), Some(2000), "a copy says nothing later");
}

#[test]
fn a_copy_alone_is_nobodys_packet() {
    let mut ports = Ports::default();
    ports.learn_reg_copy(at(100), VIA, ADDR, 1000);
    assert_eq!(ports.claim_reg(at(100).instant, ADDR, at(100).instant, GAME, |_| true), None);
    ports.release_reg(at(100).instant, ADDR, GAME, left(2000, at(99).instant));
    let claimed = ports.claim_reg(at(100).instant, ADDR, at(100).instant, GAME, |_| true);
    assert_eq!(claimed.map(|c| c.port), Some(2000));
}

#[test]
fn the_port_of_a_host_that_left_is_provisional_unless_it_was_shown_for_the_new_connection() {
    for (seen, is_announced, is_provisional) in
        [(99, true, false), (99, false, true), (97, true, true), (97, false, true)]
    {
        let mut ports = Ports::default();
        let host = LeftPort { port: 1000, via: VIA, seen: at(seen).instant, is_announced };
        ports.release_reg(at(99).instant, ADDR, GAME, Some(host));
        let claimed = ports.claim_reg(at(101).instant, ADDR, at(100).instant, GAME, |_| true);
        let claimed = claimed.map(|c| (c.port, c.is_provisional));
        assert_eq!(claimed, Some((1000, is_provisional)), "{seen} {is_announced}");
    }
    let mut ports = Ports::default();
    ports.learn_reg(at(97), VIA, ADDR, 1000);
    let claimed = ports.claim_reg(at(101).instant, ADDR, at(100).instant, GAME, |_| true);
    assert_eq!(claimed.map(|c| c.is_provisional), Some(false), "a packet is a packet");
}

/// The port that a host with port 1000 has after it registers once more, so many milliseconds after
/// its own port was shown last, and another was.
fn registers_again(own: u64, other: u64) -> u16 {
    let before = |ms: u64| Instant::from_micros(100_000_000 - 1000 * ms);
    let mut ports = Ports::default();
    ports.learn_reg(Now { instant: before(other), unix: 0 }, VIA, ADDR, 2000);
    let own = OwnPort { port: 1000, seen: before(own) };
    ports.claim_newer_reg(before(0), ADDR, Some(own), GAME).map_or(1000, |c| c.port)
}

#[test]
fn who_registers_again_is_at_the_port_that_was_shown_last() {
    let window = limits::REG_WINDOW.as_millis() as u64;
    assert_eq!(registers_again(2001, 30), 2000, "it moves");
    assert_eq!(registers_again(window + 2, window), 2000);
    assert_eq!(registers_again(window + 3, window + 1), 1000, "too long ago");
    assert_eq!(registers_again(30, 6500), 1000, "shown after it");
    assert_eq!(registers_again(31, 30), 2000, "it moves, having shown both");
}

/// Which port a connection gets if the port of a host that has just left, 1000, is shown so many
/// milliseconds before it, and 2000 two milliseconds before it, in some way.
fn back_or(back: u64, other: impl Fn(&mut Ports, Now), is_left_after: bool) -> Option<u16> {
    let before = |ms: u64| Now { instant: Instant::from_micros(100_000_000 - 1000 * ms), unix: 0 };
    let mut ports = Ports::default();
    let shown = before(back);
    if is_left_after {
        // As a game does that changes its data.
        let host = LeftPort { port: 1000, via: VIA, seen: shown.instant, is_announced: true };
        ports.release_reg(before(back - 1).instant, ADDR, GAME, Some(host));
    } else {
        ports.release_reg(before(back + 10).instant, ADDR, GAME, left(1000, at(60).instant));
        ports.learn_reg(shown, VIA, ADDR, 1000);
    }
    other(&mut ports, before(2));
    ports.claim_reg(at(101).instant, ADDR, before(0).instant, GAME, |_| true).map(|c| c.port)
}

#[test]
fn whose_old_connection_has_ended_goes_before_whose_still_stands() {
    let again = |ports: &mut Ports, now| ports.learn_reg_again(now, VIA, ADDR, 2000);
    let copy = |ports: &mut Ports, now| ports.learn_reg_copy(now, VIA, ADDR, 2000);
    let unknown = |ports: &mut Ports, now| ports.learn_reg(now, VIA, ADDR, 2000);
    for is_left_after in [false, true] {
        for back in [5, 190, 900] {
            assert_eq!(back_or(back, again, is_left_after), Some(1000), "{back} {is_left_after}");
            assert_eq!(back_or(back, copy, is_left_after), Some(1000), "{back} {is_left_after}");
        }
        assert_eq!(back_or(1500, again, is_left_after), Some(2000), "{is_left_after}");
        assert_eq!(back_or(10, unknown, is_left_after), Some(2000), "it shows another port");
    }
}

#[test]
fn a_neighbour_with_another_game_does_not_come_back_by_this_connection() {
    let before = |ms: u64| Now { instant: Instant::from_micros(100_000_000 - 1000 * ms), unix: 0 };
    for (game, port) in [("other", 2000), (GAME, 1000)] {
        let mut ports = Ports::default();
        ports.release_reg(before(300).instant, ADDR, game, left(1000, before(700).instant));
        ports.learn_reg_again(before(2), VIA, ADDR, 2000);
        let claimed = ports.claim_reg(at(101).instant, ADDR, before(0).instant, GAME, |_| true);
        assert_eq!(claimed.map(|c| c.port), Some(port), "{game} has left");
    }
}

#[test]
fn two_games_that_change_their_data_at_once_keep_their_ports() {
    let before = |ms: u64| Now { instant: Instant::from_micros(100_000_000 - 1000 * ms), unix: 0 };
    for first in ["one", "two"] {
        let mut ports = Ports::default();
        for (game, port) in [("one", 1001), ("two", 1002)] {
            ports.release_reg(before(20).instant, ADDR, game, left(port, before(3000).instant));
            ports.learn_reg(before(1), VIA, ADDR, port);
        }
        let second = if first == "one" { "two" } else { "one" };
        let claimed = [first, second].map(|game| {
            let claimed =
                ports.claim_reg(at(101).instant, ADDR, before(0).instant, game, |_| false);
            (game, claimed.map(|c| c.port))
        });
        assert!(claimed.contains(&("one", Some(1001))), "{claimed:?}");
        assert!(claimed.contains(&("two", Some(1002))), "{claimed:?}");
    }
}
