//! What is lost when a process ends, and goes on in the next one.

use super::*;

#[test]
fn another_process_goes_on_with_what_was_given_and_what_was_asked() {
    let mut world = World::of(&[None, None, some()]);
    let clients = ["198.51.100.1:3000", "198.51.100.2:3000", "198.51.100.3:3000"];
    assert_eq!(world.relay(clients[0], [None, None]), (true, Some(2)));
    // The answer is lost.
    let (now, homes) = (world.now, Homes::default());
    world.nodes[0].open_anywhere(now, Shape::Any, attempt(clients[1]), homes);
    let [(_, question)] = &world.nodes[0].elsewhere().take_outbound()[..] else { panic!("asked") };
    world.nodes[2].on_node_message(now, node(0), question).unwrap();
    world.nodes[2].elsewhere().take_outbound();
    // It has not waited for it as long as the process before.
    world.now.instant = now.instant + bounds::RELAY_ANSWER;
    world.deaf = vec![2];
    world.take_over(0, None, true);
    world.wait(0);
    world.deaf = Vec::new();
    world.nodes[2].on_node_joined(node(0));
    world.settle();
    assert!(world.nodes[0].elsewhere().next_news().is_some_and(|news| news.is_given));
    assert_eq!(clients.map(|client| world.at(client)), [Some(2), Some(2), None]);
    // Nor is the next one taken for one of before.
    assert_eq!(world.relay(clients[2], [None, None]), (true, Some(2)));
    world.take_over(2, some(), true);
    assert_eq!(clients.map(|client| world.at(client)), [Some(2); 3]);
    let orders = world.orders(2);
    let [Order::Open(one), Order::Open(_), Order::Open(_)] = orders[..] else {
        panic!("{orders:?}")
    };
    let now = world.now;
    world.nodes[2].note(now, Report::Ended(one.id, End::Idle));
    world.settle();
    assert_eq!(clients.map(|client| world.at(client)), [None, Some(2), Some(2)]);
    // Without a relay there are none.
    world.take_over(2, None, true);
    assert_eq!(world.nodes[0].far(), 0);
}

#[test]
fn what_another_process_goes_on_with_is_forgotten_in_time_and_what_another_node_had_at_once() {
    let mut world = World::of(&[None, None, some()]);
    assert_eq!(world.relay("198.51.100.1:3000", [None, None]), (true, Some(2)));
    world.take_over(0, None, true);
    assert_eq!(world.nodes[0].far(), 1);
    world.now.instant = world.now.instant + limits::AGE + limits::IDLE;
    world.wait(0);
    assert_eq!(world.nodes[0].far(), 0);
    assert_eq!(world.relay("198.51.100.2:3000", [None, None]), (true, Some(2)));
    assert!(matches!(world.orders(2)[..], [Order::Open(_), Order::Open(_)]));
    world.take_over(0, None, false);
    assert_eq!(world.nodes[0].far(), 0);
    assert!(world.orders(2).iter().all(|order| matches!(order, Order::Close(..))));
}

#[test]
fn an_answer_that_is_lost_comes_again_with_the_next_link() {
    for joins in [[2, 0], [0, 2]] {
        let mut world = World::of(&[None, None, some()]);
        let (now, client) = (world.now, "198.51.100.1:3000");
        world.nodes[0].open_anywhere(now, Shape::Any, attempt(client), Homes::default());
        let [(_, question)] = &world.nodes[0].elsewhere().take_outbound()[..] else {
            panic!("asked")
        };
        world.nodes[2].on_node_message(now, node(0), question).unwrap();
        let [(_, answer)] = &world.nodes[2].elsewhere().take_outbound()[..] else {
            panic!("served")
        };
        // Whoever of the two begins it.
        world.nodes[joins[0]].on_node_joined(node(joins[1]));
        world.settle();
        let places = world.nodes[0].between(Name::Rooms, [at(client), at("203.0.113.1:2000")]);
        assert!(places.is_some(), "{joins:?}");
        world.nodes[0].on_node_message(now, node(2), answer).unwrap();
        assert!(matches!(world.orders(2)[..], [Order::Open(_)]), "it is the same session");
    }
}
