//! Rooms and messages through the server, as a game without UDP has them.

use compat_tests::master::{Master, loopback};

use crate::runner::{Game, is_here, place};

fn play(master: std::net::SocketAddr, set: &[(&str, &str)]) -> Game {
    Game::start("events", master, loopback(), set)
}

#[test]
fn two_games_talk_through_a_room_and_come_back_after_a_restart() {
    if !is_here() {
        return;
    }
    let at = place();
    let master = Master::start_at(at, &[]);
    let mut ann = play(at, &[("player", "ann"), ("guest", "ben")]);
    ann.wait_for("state", "connected");
    let mut ben = play(at, &[("player", "ben")]);
    ben.wait_for("joined", "Sample room");
    ann.wait_for("passed", "hello ben a|b é");
    ann.wait_for("asked", "colour ben");
    ben.wait_for("answered", "red");
    let mut impostor = play(at, &[("player", "ann")]);
    impostor.wait_for("state", "failed");
    impostor.wait_for("reason", "The master server refused the login: somebody else has that ID.");
    drop(master);
    ann.wait_for("state", "asking");
    ann.wait_until("reason", " that the server is away", |said| said.contains("does not answer"));
    let _master = Master::start_at(at, &[]);
    ann.wait_for("state", "connected");
    ben.wait_for("state", "connected");
}
