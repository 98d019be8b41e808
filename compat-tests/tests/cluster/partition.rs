//! A partition: the NATS server of one node is cut off from those of the two others. Each half serves its own players,
//! and they are one again after it, with nothing missing and nothing twice.

use super::*;

mod events;
mod natpunch;
mod rooms;

/// The node that is cut off; "one" is there.
const FAR: usize = 2;

/// Who hosts "two" comes to one of the others while it is.
const NEAR: usize = 0;

/// The third.
const OTHER: usize = 1;

const BEFORE: Lists<'_> = [&["one"], &["one"], &["one"]];
const CUT: Lists<'_> = [&[], &[], &["one"]];
const APART: Lists<'_> = [&["two"], &["two"], &["one"]];
const AFTER: Lists<'_> = [&["one", "two"], &["one", "two"], &["one", "two"]];

#[test]
fn halves_have_their_own_hosts_and_are_one_again() {
    hosts(Notices::Soon);
}

#[test]
fn halves_have_their_own_hosts_and_are_one_again_also_if_nats_has_not_noticed() {
    hosts(Notices::Late);
}

fn hosts(notices: Notices) {
    let Some(nodes) = Nodes::on_lines(notices) else { return };
    let list = |n: usize| names(&nodes.all[n]);
    let one = nodes.host(FAR, "one");
    let at_one = one.local().ip();
    let one = one.spawn();
    turn(list, CUT, BEFORE, WAIT);
    join(&nodes.all[NEAR], at_one);

    nodes.nats.cut_off(FAR);
    std::thread::scope(|scope| {
        // Who asks before it is noticed hears that there is no such host, and the host hears nothing, not later either.
        let from_near = ClientConfig::new(nodes.all[NEAR].addr(), at_one).on(loopback());
        let asks = scope.spawn(|| Client::look_up(from_near));
        turn(list, BEFORE, CUT, GHOST);
        assert_eq!(asks.join().expect("a client").expect("an answer"), None);
    });
    join(&nodes.all[FAR], at_one);
    let two = nodes.host(NEAR, "two");
    let at_two = two.local().ip();
    let two = two.spawn();
    turn(list, CUT, APART, WAIT);
    join(&nodes.all[OTHER], at_two);

    nodes.nats.mend();
    turn(list, APART, AFTER, WAIT);
    stays(list, AFTER);
    for node in &nodes.all {
        join(node, at_one);
        join(node, at_two);
    }
    for (host, clients) in [(one, 5), (two, 4)] {
        let mut host = host.stop().expect("its steps");
        // A client may knock before the host is told of it.
        host.run_until(WAIT, |host| host.told().len() >= clients).expect("its steps");
        assert!(host.has_master(), "it was not closed");
        let mut told: Vec<SocketAddr> = host.told().iter().map(|told| told.client).collect();
        told.sort();
        let mut players = host.players();
        players.sort();
        assert_eq!((told.len(), told), (clients, players), "each is told of once");
    }
}
