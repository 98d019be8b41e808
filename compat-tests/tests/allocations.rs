//! What the server allocates in its steady state: nothing, for what happens often. Counted, not
//! timed, so that a busy machine changes nothing.

use allocation_counter::measure;
use compat_tests::bench::notes::Notes;
use compat_tests::bench::players::{game, games, usual};
use compat_tests::bench::questions::lobby_request;
use compat_tests::bench::world::{World, registration};
use compat_tests::gmnet::Data;
use punchd::introductions::journal::{Relay, Way};

const HOSTS: usize = 2000;
const TIMES: u64 = 1000;

#[test]
fn an_introduction_allocates_nothing() {
    let mut world = World::new(HOSTS, usual).unwrap();
    // Tables and queues grow until everybody has been there once.
    for _ in 0..3 * 4096 {
        world.introduce().unwrap();
    }
    let counted = measure(|| (0..TIMES).for_each(|_| world.introduce().unwrap()));
    assert_eq!(counted.count_total, 0, "allocations of {TIMES} introductions");
}

/// What the owner is shown of it is kept in what there is already, but for names of more than 32 bytes.
#[test]
fn the_note_how_an_introduction_ended_allocates_nothing() {
    let mut notes = Notes::new(100);
    for way in [Way::Direct(None), Way::No(Relay::Untried)] {
        // The journal grows until it is full.
        (0..1000).for_each(|_| notes.next(way));
        let counted = measure(|| (0..TIMES).for_each(|_| notes.next(way)));
        assert_eq!(counted.count_total, 0, "allocations of {TIMES} notes of {way:?}");
    }
}

#[test]
fn the_lobby_of_a_game_allocates_nothing() {
    let mut world = World::new(HOSTS, games(HOSTS / 20)).unwrap();
    let request = lobby_request(&game(3), Some(20));
    for _ in 0..10 {
        assert!(world.ask(&request, <[u8]>::len) > 1000);
    }
    let counted = measure(|| (0..TIMES).for_each(|_| _ = world.ask(&request, <[u8]>::len)));
    assert_eq!(counted.count_total, 0, "allocations of {TIMES} replies");
}

/// A host that comes back keeps its strings in one allocation; the others are the name of its game
/// and the list of that game's hosts, which it is alone in.
#[test]
fn a_registration_allocates_little() {
    let mut world = World::new(HOSTS, games(HOSTS / 20)).unwrap();
    let request = registration(&usual(1));
    let mut again = |times: u64| {
        for _ in 0..times {
            let conn = world.register(HOSTS, &request);
            world.leave(conn);
        }
    };
    again(10);
    let counted = measure(|| again(TIMES));
    // Tables that grow may do it now and then.
    let most = 3 * TIMES + TIMES / 100;
    assert!(counted.count_total <= most, "{} for {TIMES} registrations", counted.count_total);
}

/// What the server keeps of a host, all tables included, without its kernel's socket and the 24
/// bytes that the event loop has for it. Tables double, so it depends on how full they are; what of
/// them has not been used yet counts here, and takes no memory of the machine.
#[test]
fn a_host_takes_little_memory() {
    let size = |hosts| {
        let mut world = None;
        let counted = measure(|| world = Some(World::unchecked(hosts, |_| Data::default())));
        counted.bytes_current as usize - world.map_or(0, |world| world.own_size())
    };
    let none = size(0);
    for hosts in [1000, 10_000, 100_000] {
        let bytes = (size(hosts) - none) / hosts;
        println!("{hosts} hosts: {bytes} bytes each");
        assert!(bytes <= 800, "{bytes} bytes for each of {hosts} hosts");
    }
}
