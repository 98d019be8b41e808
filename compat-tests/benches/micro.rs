//! What single steps cost, without sockets. Times of one run are to be compared with each other;
//! on a shared machine those of different days are not.
#![forbid(unsafe_code)]
#![expect(clippy::expect_used, reason = "a benchmark of what is wrong must fail")]

use std::hint::black_box;
use std::net::Ipv4Addr;

use compat_tests::bench::players::{game, games, usual};
use compat_tests::bench::questions::{lobby_request, lobby_request_by};
use compat_tests::bench::world::{World, registration};
use compat_tests::gmnet::wire::{self, Protocol};
use divan::Bencher;
use punchd::dialect::gmnet::command::{Go, Reader, Spare};
use punchd::dialect::gmnet::{datagram, text};

fn main() {
    divan::main();
}

/// The lines of a request become a command.
fn read(bencher: Bencher<'_, '_>, request: &[u8]) {
    let mut spare = Spare::default();
    bencher.bench_local(|| {
        Reader::default().read(black_box(request), &mut spare, |command| {
            black_box(command);
            Go::On
        })
    });
}

#[divan::bench]
fn read_reg2(bencher: Bencher<'_, '_>) {
    read(bencher, &wire::register(Protocol::Modern, wire::CLIENT_VERSION, &usual(1)));
}

#[divan::bench]
fn read_connect(bencher: Bencher<'_, '_>) {
    read(bencher, &wire::connect(Protocol::Modern, Ipv4Addr::new(203, 0, 113, 7).into()));
}

#[divan::bench]
fn read_datagram() -> Option<datagram::Datagram> {
    datagram::parse(black_box(b"\xde\xc0\xad\xde\x0c\0\0\0\x09\0\0\0connect\n\0"))
}

#[divan::bench(args = ["printable ASCII", "\0NUL before it", "\0Caf\u{e9} \u{1f600}", "broken \u{fffd}"])]
fn clean(bencher: Bencher<'_, '_>, line: &str) {
    let mut line = line.as_bytes().to_vec();
    if line.starts_with(b"broken") {
        line.push(0xff);
    }
    let mut cleaned = String::new();
    bencher.bench_local(|| {
        cleaned.clear();
        text::clean_into(black_box(&line), &mut cleaned);
        cleaned.len()
    });
}

#[divan::bench(args = [100, 10_000, 100_000])]
fn introduce_among(bencher: Bencher<'_, '_>, hosts: usize) {
    let mut world = World::new(hosts, usual).expect("all hosts register");
    bencher.bench_local(|| world.introduce().expect("both are told"));
}

#[divan::bench(args = [100, 10_000, 100_000])]
fn register_and_leave_among(bencher: Bencher<'_, '_>, hosts: usize) {
    let mut world = World::new(hosts, usual).expect("all hosts register");
    let request = registration(&usual(1));
    bencher.bench_local(|| {
        let conn = world.register(hosts, &request);
        world.leave(conn);
    });
}

/// The lobby of twenty hosts of one game, to which one has come just before and has left.
#[divan::bench(args = [100, 10_000, 100_000])]
fn changed_lobby_of_one_game_among(bencher: Bencher<'_, '_>, hosts: usize) {
    let data = games(hosts / 20);
    let mut world = World::new(hosts, &data).expect("all hosts register");
    let (request, register) = (lobby_request(&game(3), Some(20)), registration(&data(3)));
    bencher.bench_local(|| {
        let conn = world.register(hosts, &register);
        world.leave(conn);
        world.ask(&request, <[u8]>::len)
    });
}

/// The lobby of all hosts, to which one has come just before and has left.
#[divan::bench(args = [100, 10_000])]
fn changed_lobby_of_everything(bencher: Bencher<'_, '_>, hosts: usize) {
    let mut world = World::new(hosts, usual).expect("all hosts register");
    let (request, register) = (lobby_request("", None), registration(&usual(1)));
    bencher.bench_local(|| {
        let conn = world.register(hosts, &register);
        world.leave(conn);
        world.ask(&request, <[u8]>::len)
    });
}

/// Twenty of all hosts sorted by a string, where one has come just before and has left.
#[divan::bench(args = [100, 10_000, 100_000])]
fn changed_sorted_lobby_of_twenty_among(bencher: Bencher<'_, '_>, hosts: usize) {
    let mut world = World::new(hosts, usual).expect("all hosts register");
    let (request, register) =
        (lobby_request_by("", "data2", Some(20)), registration(&usual(hosts)));
    while world.ask(&request, <[u8]>::len) == 0 {}
    bencher.bench_local(|| {
        let conn = world.register(hosts, &register);
        world.leave(conn);
        world.ask(&request, <[u8]>::len)
    });
}

/// All hosts are looked at and none matches.
#[divan::bench(args = [100, 10_000])]
fn changed_lobby_that_nobody_matches_among(bencher: Bencher<'_, '_>, hosts: usize) {
    let mut world = World::new(hosts, usual).expect("all hosts register");
    let register = registration(&usual(1));
    let request = wire::strings(["lobby2", "", "no such room", "", "", "", "", "", "", "", "", ""]);
    bencher.bench_local(|| {
        let conn = world.register(hosts, &register);
        world.leave(conn);
        world.ask(&request, <[u8]>::len)
    });
}

/// Twenty hosts of one game.
#[divan::bench(args = [100, 10_000, 100_000])]
fn lobby_of_one_game_among(bencher: Bencher<'_, '_>, hosts: usize) {
    let mut world = World::new(hosts, games(hosts / 20)).expect("all hosts register");
    let request = lobby_request(&game(3), Some(20));
    bencher.bench_local(|| world.ask(&request, <[u8]>::len));
}

#[divan::bench(args = [100, 10_000])]
fn lobby_of_everything(bencher: Bencher<'_, '_>, hosts: usize) {
    let mut world = World::new(hosts, usual).expect("all hosts register");
    let request = lobby_request("", None);
    bencher.bench_local(|| world.ask(&request, <[u8]>::len));
}
