//! No byte of one peer reaches another: each is told what it would be told alone, wherever others are
//! refused.

use compat_tests::fuzz::neighbours::{Act, NATPUNCH_REQUESTS, PHRASES, check, phrase_of, run};
use punchd::limits;

/// What the innocent ones send after a peer was refused, more than a command has lines.
fn innocent() -> impl Iterator<Item = Act> {
    let asked = [(1, 3), (2, 5), (3, 8), (2, 0), (1, 6), (3, 9), (1, 3), (2, 7), (3, 10), (2, 4)];
    asked.into_iter().map(|(peer, phrase)| Act::Send(peer, phrase_of(peer, phrase, 0, 0), 700))
}

#[test]
fn whoever_is_refused_at_whatever_byte_leaves_nothing_to_others() {
    for phrase in 0..PHRASES {
        for at in 0..phrase_of(0, phrase, 0, 0).len() {
            for length in [limits::LINE + 1, limits::OBJECT + 1] {
                let refused = Act::Send(0, phrase_of(0, phrase, at, length), 16 * 1024);
                check(&std::iter::once(refused).chain(innocent()).collect::<Vec<_>>());
            }
        }
    }
}

/// A command of more bytes than one may have, in lines that are not too long each.
#[test]
fn a_command_that_is_too_long_in_all_leaves_nothing_to_others() {
    for lines in 3..9 {
        let line = [vec![b'x'; limits::LINE - 1], b"\n".to_vec()].concat();
        for word in ["reg2\n1.2.4\n", "lobby2\n"] {
            let bytes = [word.as_bytes(), &line.repeat(lines)].concat();
            check(
                &std::iter::once(Act::Send(0, bytes, 4096)).chain(innocent()).collect::<Vec<_>>(),
            );
        }
    }
}

/// Lobbies of natpunch beside each other, and requests that are too long among them.
#[test]
fn what_one_client_of_natpunch_sends_is_told_to_no_other() {
    for request in 0..NATPUNCH_REQUESTS {
        for length in [0, 7, limits::NATPUNCH_DATAGRAM] {
            let sane = [0, 2, 1, 3, 4, 2].into_iter().flat_map(|request| {
                [1, 2].into_iter().map(move |peer| Act::Natpunch(peer, request, 0))
            });
            let between = || [0, 2].map(|request| Act::Natpunch(0, request, 0));
            let odd = Act::Natpunch(0, request, length);
            let acts = sane.flat_map(|act| between().into_iter().chain([act, odd.clone()]));
            check(&acts.collect::<Vec<_>>());
        }
    }
}

#[test]
fn each_is_told_what_it_would_be_told_alone() {
    use proptest::prelude::*;
    let config = ProptestConfig { cases: 256, failure_persistence: None, ..Default::default() };
    proptest!(config, |(data in prop::collection::vec(any::<u8>(), 0..400))| run(&data));
}
