//! Clients of natpunch: they are registered at the next server, and their lobbies are opened and joined there.

use std::net::{Ipv6Addr, SocketAddr};
use std::process::Stdio;
use std::time::{Duration, Instant};

use compat_tests::master::{Master, loopback};
use compat_tests::running::Running;

use super::{BACK, WAIT, command, hush, is_back, output, start, two, wake};

#[test]
fn a_lobby_of_natpunch_is_opened_at_the_next() {
    let (one, other, both) = two();
    let host = start(&["natpunch", "--master", &both, "create", "My lobby", "4"]);
    host.lines_to("created");
    is_back(&host, || one.crash(), "created");
    lists(&other.addr().to_string(), "1/4 My lobby");
}

/// The server has this lobby, once.
#[track_caller]
fn lists(master: &str, lobby: &str) {
    let (out, said) = output(&["natpunch", "--master", master, "list"]);
    let is_there = said.lines().filter(|line| line.ends_with(lobby)).count();
    assert!(out.status.success() && is_there == 1, "{said}");
}

/// At the prompt, where nothing is typed meanwhile.
fn at_a_prompt(masters: &str) -> Running {
    let mut natpunch = command(&["natpunch", "--master", masters]);
    natpunch.stdin(Stdio::piped());
    let natpunch = Running::start(natpunch, WAIT);
    natpunch.lines_to("registered");
    natpunch
}

#[test]
fn one_that_was_opened_by_hand_is_too() {
    for dies in [true, false] {
        let (one, other, both) = two();
        let mut host = at_a_prompt(&both);
        host.types("create L 4");
        host.lines_to("created");
        let mut one = Some(one);
        let end = || match dies {
            true => one.take().expect("the first").crash(),
            false => one.iter().for_each(hush),
        };
        is_back(&host, end, "created");
        lists(&other.addr().to_string(), "1/4 L");
        one.iter().for_each(wake);
    }
}

/// The third comes when the first server is gone.
#[test]
fn who_waits_in_a_lobby_for_others_is_in_it_again_and_meets_them() {
    let (one, other, both) = two();
    let mut all = ["--master", &both, "--stay", "20"].to_vec();
    let host = start(&[&["natpunch"], &all[..], &["create", "L", "4", "3"]].concat());
    host.lines_to("created");
    let member = start(&[&["natpunch"], &all[..], &["join", "L", "3"]].concat());
    member.lines_to("joined");
    is_back(&host, || one.crash(), "created");
    let said = member.lines_to("joined");
    assert!(!said.iter().any(|line| line.starts_with("met ")), "{said:?}");
    let at = other.addr().to_string();
    all[1] = &at;
    let third = start(&[&["natpunch"], &all[..], &["join", "L", "3"]].concat());
    for player in [&host, &member, &third] {
        player.lines_to("met 2 of 2");
    }
}

/// Its server goes between what it tells of the lobby and what it is asked then.
#[test]
fn who_is_about_to_join_asks_the_next_for_the_lobby_that_is_there() {
    let (one, other, both) = two();
    let at = other.addr().to_string();
    let host = start(&["natpunch", "--master", &at, "create", "L", "4"]);
    host.lines_to("created");
    // As it was told at the first, where the host is gone.
    let mut gone = at_a_prompt(&one.addr().to_string());
    gone.types("create L 4");
    gone.lines_to("created");
    gone.crashes();
    let member = start(&["natpunch", "--master", &both, "--stay", "20", "join", "L"]);
    member.lines_to("joining");
    one.crash();
    member.lines_to("joined");
    member.lines_to("met 1 of 1");
}

#[test]
fn the_next_may_be_one_of_the_other_family() {
    let (one, other, _) = two();
    let at = SocketAddr::from((Ipv6Addr::LOCALHOST, other.addr().port())).to_string();
    let both = format!("{},{at}", one.addr());
    let host = start(&["natpunch", "--master", &both, "create", "L", "4"]);
    host.lines_to("created");
    is_back(&host, || one.crash(), "created");
    lists(&at, "1/4 L");
}

/// It may be the only one that it knows.
#[test]
fn who_is_forgotten_registers_again() {
    let addr = SocketAddr::from((loopback(), 6510));
    let one = Master::start_at(addr, &[]);
    let at = addr.to_string();
    let mut host = at_a_prompt(&at);
    host.types("create L 4");
    host.lines_to("created");
    let member = start(&["natpunch", "--master", &at, "join", "L", "3"]);
    member.lines_to("joined");
    one.crash();
    let _again = Master::start_at(addr, &[]);
    let said = [host.lines_to("created"), member.lines_to("joined")].concat();
    let refusals = said.iter().filter(|line| line.contains("not registered")).count();
    assert!(refusals < 8, "{said:?}");
}

/// Others do not see that it looks now and then whether its server is there.
#[test]
fn who_uses_no_lobbies_stays_in_the_list_of_clients() {
    let (one, _other, both) = two();
    let mut client = at_a_prompt(&both);
    client.types("who");
    let we_are = client.line_with("we are ");
    let id = we_are.split(' ').nth(2).expect("its ID");
    let begun = Instant::now();
    let at = one.addr().to_string();
    while begun.elapsed() < BACK {
        let (out, said) = output(&["natpunch", "--master", &at, "clients"]);
        let is_listed = said.lines().any(|line| line.starts_with(id));
        assert!(out.status.success() && is_listed, "{said}");
        std::thread::sleep(Duration::from_millis(500));
    }
    let said = client.lines_so_far();
    assert!(said.is_empty(), "{said:?}");
}
