//! Clients of natpunch: their lobbies are opened and joined at the next server.

use super::{is_back, output, start, two};

#[test]
fn a_lobby_of_natpunch_is_opened_at_the_next() {
    let (one, other, both) = two();
    let host = start(&["natpunch", "--master", &both, "create", "My lobby", "4"]);
    host.lines_to("created");
    is_back(&host, || one.crash(), "created");
    let (out, said) = output(&["natpunch", "--master", &other.addr().to_string(), "list"]);
    assert!(out.status.success() && said.contains("My lobby"), "{said}");
}
