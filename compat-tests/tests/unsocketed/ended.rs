//! How introductions ended, as the server sees it.

use punchd::dialect::Dialect as _;

use super::story::{CLIENT, HOST, Story, at};

const NOTHING: &str = "no introduction has ended yet, as far as is known";

/// The last line of the table that the owner is told.
fn counted(story: &Story) -> String {
    let lines = story.shared.journal.lines();
    let words: Vec<&str> = lines
        .iter()
        .rfind(|line| !line.starts_with("lately: "))
        .into_iter()
        .flat_map(|line| line.split_whitespace())
        .collect();
    words.join(" ")
}

#[test]
fn who_closes_its_connection_in_time_has_got_through() {
    let mut story = Story::new();
    story.host(HOST, 4000, "Pong", "Ann");
    for (n, (millis, expected)) in (1..).zip([
        (9, NOTHING),
        (10, "gmnet unknown unknown 1 0 0"),
        (2000, "gmnet unknown unknown 2 0 0"),
        (2001, "gmnet unknown unknown 2 0 0"),
        (9999, "gmnet unknown unknown 2 0 0"),
        (10_000, "gmnet unknown unknown 2 0 1"),
    ]) {
        // Of another address each time: the same two count once in a minute.
        let client = story.join(&format!("198.51.100.{n}"), 5000, HOST);
        story.tells(client, at(HOST, 4000));
        story.wait(millis);
        story.fin(client);
        story.lost(client);
        assert_eq!(counted(&story), expected, "closed after {millis} ms");
        story.told.clear();
    }
}

#[test]
fn who_was_not_introduced_has_not_failed() {
    let mut story = Story::new();
    // Nobody is there, and then somebody who does not know of the client.
    story.join(CLIENT, 5000, HOST);
    let host = story.host(HOST, 4000, "Pong", "Ann");
    let silent = story.open("203.0.113.77");
    story.send(silent, format!("connect\n{HOST}\n\0").as_bytes());
    story.wait(20_000);
    assert_eq!(counted(&story), NOTHING);
    // Nor has who waits for one that leaves.
    story.join(CLIENT, 5001, HOST);
    story.fin(host);
    story.wait(20_000);
    assert_eq!(counted(&story), NOTHING);
}

#[test]
fn whose_connection_the_server_closes_has_not_got_through() {
    let mut story = Story::new();
    story.host(HOST, 4000, "Pong", "Ann");
    let client = story.join(CLIENT, 5000, HOST);
    story.wait(300);
    story.act(|gmnet, _| gmnet.on_eviction(client));
    story.lost(client);
    story.wait(20_000);
    assert_eq!(counted(&story), NOTHING);
}

#[test]
fn who_asks_for_another_host_has_not_got_through_to_the_first() {
    let mut story = Story::new();
    story.host(HOST, 4000, "Pong", "Ann");
    let client = story.join(CLIENT, 5000, HOST);
    story.wait(100);
    story.send(client, b"connect\n203.0.113.99\n\0");
    story.wait(300);
    story.fin(client);
    story.wait(20_000);
    assert_eq!(counted(&story), NOTHING);
}

#[test]
fn many_that_end_at_once_do_not_take_one_turn() {
    let mut story = Story::new();
    story.host(HOST, 4000, "Pong", "Ann");
    for n in 0..100 {
        story.join(&format!("198.51.100.{n}"), 5000, HOST);
    }
    story.time += 60_000;
    story.act(|gmnet, cx| gmnet.on_wakeup(cx));
    assert_eq!(counted(&story), "gmnet unknown unknown 0 0 64");
    story.wait(0);
    assert_eq!(counted(&story), "gmnet unknown unknown 0 0 100");
}
