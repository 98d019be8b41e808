//! What was to end at some moment ends then, and not so long after the last process has come.

use super::{events, lobbies, rooms, tls, waiting};

/// One test, as each of these does nothing but wait, up to half a minute.
#[test]
fn what_was_to_end_ends_then() {
    let all: [fn(); 5] = [
        events::an_answer_is_waited_for_no_longer_than_before,
        lobbies::who_does_not_meet_the_host_is_told_in_time,
        rooms::a_silent_host_of_a_room_is_gone_in_time,
        tls::who_does_not_come_back_is_gone_when_the_time_is_over,
        waiting::hosts_are_waited_for_after_the_start_alone,
    ];
    std::thread::scope(|scope| {
        all.map(|waits| scope.spawn(waits)).map(|thread| thread.join().unwrap())
    });
}
