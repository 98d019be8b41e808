use super::*;
use crate::clock::Instant;
use std::time::Duration;

/// Two nodes or more, and what is under way between them.
struct World {
    nodes: Vec<Cluster>,
    now: Instant,
    /// What dialects of each node have heard.
    heard: Vec<Vec<String>>,
}

fn config(n: usize, incarnation: u64) -> Config {
    let name = ["a", "b", "c"][n].to_owned();
    Config { name, incarnation }
}

impl World {
    fn new(nodes: usize) -> Self {
        let nodes: Vec<_> = (0..nodes).map(|n| Cluster::new(config(n, 7))).collect();
        let heard = nodes.iter().map(|_| Vec::new()).collect();
        Self { nodes, now: Instant::from_micros(1_000_000), heard }
    }

    fn wait(&mut self, millis: u64) {
        self.now = self.now + Duration::from_millis(millis);
        let now = self.now;
        self.nodes.iter_mut().for_each(|node| node.on_wakeup(now));
    }

    /// What node `n` has to send.
    fn posts(&mut self, n: usize) -> Vec<Outbound> {
        self.nodes[n].take_outbound()
    }

    fn give(&mut self, to: usize, posts: &[Outbound]) {
        for post in posts {
            if post.to.as_ref().is_none_or(|name| **name == *self.nodes[to].config.name) {
                self.nodes[to].on_message(self.now, &post.bytes);
            }
        }
        self.hear(to);
    }

    fn hear(&mut self, n: usize) {
        while let Some(event) = self.nodes[n].next_event() {
            let names = self.nodes[n].names().clone();
            self.heard[n].push(match event {
                Event::Joined(id) => {
                    let now = self.now;
                    self.nodes[n].post(now, Name::Rooms, Whom::Node(id), b"all");
                    format!("+{}", names.of(id))
                }
                Event::Message(id, of, bytes) => {
                    format!("{} {of} {}", names.of(id), String::from_utf8_lossy(&bytes))
                }
                Event::Relay(id, bytes) => {
                    format!("{} relay {}", names.of(id), String::from_utf8_lossy(&bytes))
                }
                Event::Gone(id) => format!("-{}", names.of(id)),
            });
        }
    }

    /// All that is under way arrives, and what comes of it.
    fn settle(&mut self) {
        for _ in 0..20 {
            for from in 0..self.nodes.len() {
                let posts = self.posts(from);
                (0..self.nodes.len()).filter(|to| *to != from).for_each(|to| self.give(to, &posts));
            }
        }
        (0..self.nodes.len()).for_each(|n| self.hear(n));
    }

    fn heard(&mut self, n: usize) -> Vec<String> {
        std::mem::take(&mut self.heard[n])
    }

    fn say(&mut self, from: usize, text: &str) {
        let now = self.now;
        self.nodes[from].post(now, Name::Gmnet, Whom::All, text.as_bytes());
    }

    /// Two that know each other.
    fn met() -> Self {
        let mut world = Self::new(2);
        world.wait(0);
        world.settle();
        assert_eq!(world.heard(0), ["+b", "b rooms all"]);
        assert_eq!(world.heard(1), ["+a", "a rooms all"]);
        world
    }
}

#[test]
fn nodes_find_each_other_and_hear_all_once_in_order() {
    let mut world = World::met();
    // What is said in one turn is one message.
    ["one", "two"].iter().for_each(|text| world.say(0, text));
    let mut posts = world.posts(0);
    assert_eq!(posts.len(), 1);
    world.say(0, "three");
    posts.extend(world.posts(0));
    world.give(1, &posts);
    assert_eq!(world.heard(1), ["a gmnet one", "a gmnet two", "a gmnet three"]);
    // Repeated, and late.
    world.give(1, &posts);
    world.give(1, &posts[..1]);
    assert_eq!(world.heard(1), Vec::<String>::new());
    for _ in 0..20 {
        world.wait(500);
        world.settle();
    }
    assert_eq!((world.heard(0), world.heard(1)), (vec![], vec![]), "nobody is lost");
}

#[test]
fn what_is_lost_is_noticed_and_everything_told_again() {
    // Whichever is lost: one in between, the last, all.
    for lost in [vec![0], vec![2], vec![0, 1, 2]] {
        let mut world = World::met();
        world.wait(500);
        world.settle();
        let mut posts = Vec::new();
        for text in ["one", "two", "three"] {
            world.say(0, text);
            posts.extend(world.posts(0));
        }
        let came: Vec<Outbound> = posts
            .iter()
            .enumerate()
            .filter(|(n, _)| !lost.contains(n))
            .map(|(_, post)| post.clone())
            .collect();
        world.give(1, &came);
        let before = (0..3).take_while(|n| !lost.contains(n)).count();
        assert_eq!(world.heard(1).len(), before, "{lost:?}: nothing after what is lost");
        for _ in 0..3 {
            world.wait(500);
            world.settle();
        }
        assert_eq!(world.heard(1), ["a rooms all"], "{lost:?}");
        assert_eq!(world.heard(0), ["+b"], "{lost:?}: it has told everything once");
        world.give(1, &posts);
        assert_eq!(world.heard(1), Vec::<String>::new(), "{lost:?}: too late");
        world.say(0, "four");
        world.settle();
        assert_eq!(world.heard(1), ["a gmnet four"], "{lost:?}");
    }
}

#[test]
fn who_is_not_heard_of_is_gone_and_comes_back() {
    let mut world = World::met();
    let mut late = Vec::new();
    for n in 0..8 {
        world.wait(500);
        late.extend(world.posts(0));
        world.posts(1);
        (0..2).for_each(|n| world.hear(n));
        let is_gone = !world.heard(1).is_empty();
        assert_eq!(is_gone, n == 5, "{n}: in three seconds, and once");
    }
    assert_eq!(world.heard(0), ["-b"]);
    // A partition heals: each tells everything once.
    world.wait(500);
    world.settle();
    world.wait(500);
    world.settle();
    let (a, b) = (world.heard(0), world.heard(1));
    assert_eq!(a.iter().filter(|what| *what == "b rooms all").count(), 1, "{a:?}");
    assert_eq!(b.iter().filter(|what| *what == "a rooms all").count(), 1, "{b:?}");
    // What was under way all the time does no harm.
    world.give(1, &late);
    world.say(0, "one");
    world.settle();
    assert_eq!(world.heard(1), ["a gmnet one"]);
}

#[test]
fn the_owner_is_told_of_a_node_of_which_only_half_is_heard() {
    let mut world = World::met();
    let warned = |world: &World, n: usize| world.nodes[n].untold(world.now).count();
    let mut first = None;
    for n in 1..=40 {
        world.wait(500);
        // What is for all arrives, what is for node 0 does not.
        let (from_0, mut from_1) = (world.posts(0), world.posts(1));
        world.give(1, &from_0);
        from_1.retain(|post| post.to.is_none());
        world.give(0, &from_1);
        if warned(&world, 0) > 0 {
            first.get_or_insert(n);
        }
        assert_eq!(warned(&world, 1), 0, "node 1 hears all");
    }
    assert!((20..30).contains(&first.unwrap()), "{first:?} half seconds");
    for _ in 0..4 {
        world.wait(500);
        world.settle();
    }
    assert_eq!(warned(&world, 0), 0, "it is heard again");
}

#[test]
fn what_comes_late_from_the_dead_does_not_bring_them_back() {
    let mut world = World::met();
    world.wait(500);
    world.say(0, "one");
    let last = world.posts(0);
    for n in 0..8 {
        world.wait(500);
        // Repeated all the time.
        let posts = if n < 2 { &last[..] } else { &[] };
        world.give(1, posts);
    }
    assert_eq!(world.heard(1), ["a gmnet one", "-a"]);
    world.give(1, &last);
    world.wait(500);
    world.hear(1);
    assert_eq!(world.heard(1), Vec::<String>::new());
    // One that leaves is gone at once.
    let mut world = World::met();
    world.wait(500);
    let late = world.posts(0);
    world.nodes[0].say_bye();
    let bye = world.posts(0);
    world.give(1, &bye);
    world.give(1, &late);
    assert_eq!(world.heard(1), ["-a"]);
}

#[test]
fn a_restart_is_no_end_and_what_was_for_the_process_before_is_dropped() {
    let mut world = World::met();
    world.say(0, "to the one before");
    world.say(1, "of the one before");
    let (to_before, of_before) = (world.posts(0), world.posts(1));
    world.nodes[1] = Cluster::new(config(1, 8));
    world.wait(500);
    world.settle();
    let heard = world.heard(0);
    assert!(heard.contains(&"b rooms all".into()) && !heard.contains(&"-b".into()), "{heard:?}");
    assert_eq!(world.heard(1), ["+a", "a rooms all"]);
    world.give(1, &to_before);
    world.give(0, &of_before);
    assert_eq!((world.heard(0), world.heard(1)), (vec![], vec![]));
}

#[test]
fn a_node_that_begins_all_the_time_is_told_everything_some_times_a_second() {
    let mut world = World::met();
    let hello = |incarnation, n| {
        let what = What::Hello { n, about: b"" };
        message::write(&Message { from: "b", incarnation, what }).unwrap()
    };
    for incarnation in 8..1000 {
        world.nodes[0].on_message(world.now, &hello(incarnation, 1));
    }
    world.hear(0);
    let begun = world.heard(0).len();
    assert!((2..20).contains(&begun), "{begun}");
    // It is heard a little later all the same.
    world.wait(250);
    world.nodes[0].on_message(world.now, &hello(1000, 2));
    world.hear(0);
    assert_eq!(world.heard(0), ["+b"]);
}

#[test]
fn there_are_no_more_nodes_than_there_may_be() {
    let mut one = Cluster::new(config(0, 1));
    let mut now = Instant::from_micros(1_000_000);
    for n in 0..2 * limits::NODES {
        let name = format!("n{n}");
        let message =
            Message { from: &name, incarnation: 1, what: What::Hello { n: 1, about: b"" } };
        one.on_message(now, &message::write(&message).unwrap());
    }
    assert_eq!((one.there().count(), one.nodes.len()), (limits::NODES, limits::NODES));
    now = now + 2 * crate::limits::cluster::GONE;
    one.on_wakeup(now);
    let message =
        Message { from: "another", incarnation: 1, what: What::Hello { n: 1, about: b"" } };
    one.on_message(now, &message::write(&message).unwrap());
    assert_eq!(one.there().collect::<Vec<_>>(), ["another"], "in the place of one that is gone");
}

#[test]
fn a_node_that_floods_is_not_heard() {
    let mut world = World::met();
    let text = "x".repeat(100_000);
    for _ in 0..1000 {
        world.say(0, &text);
    }
    let posts = world.posts(0);
    world.give(1, &posts);
    let heard = world.heard(1).len();
    let most = (2 * limits::NODE_BYTES as usize - limits::BEGIN_BYTES) / text.len();
    assert!((most - 20..=most + 5).contains(&heard), "{heard}: two seconds' worth");
}

#[test]
fn a_node_that_floods_is_still_there() {
    let mut world = World::met();
    let text = "x".repeat(100_000);
    for _ in 0..10 {
        world.wait(500);
        let beats = world.posts(0);
        (0..600).for_each(|_| world.say(0, &text));
        let posts = world.posts(0);
        world.give(1, &posts);
        world.give(1, &beats);
        assert_eq!(world.nodes[1].nodes[0].heard, world.now);
    }
}

mod properties {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn whatever_comes_is_taken_or_dropped(
            all in prop::collection::vec((prop::collection::vec(any::<u8>(), 0..60), any::<bool>(), 0..9usize, any::<u8>()), 1..30),
        ) {
            let mut world = World::met();
            world.say(0, "one");
            let posts = world.posts(0);
            for (mut bytes, is_near, at, with) in all {
                if is_near && let Some(post) = posts.first() {
                    bytes = post.bytes.clone();
                    let n = at * bytes.len() / 9;
                    bytes[n] = with;
                }
                world.nodes[1].on_message(world.now, &bytes);
                world.hear(1);
            }
            world.wait(500);
            world.settle();
        }
    }
}

#[test]
fn nodes_know_the_numbers_of_each_other_and_from_the_first_moment_on() {
    let mut world = World::new(2);
    let about = |uptime| About { uptime, ..About::default() };
    let now = world.now;
    world.nodes[0].tell_about(now, about(1));
    world.wait(0);
    world.settle();
    let uptime = |world: &World| {
        let others: Vec<_> = world.nodes[1].others().collect();
        let [other] = others[..] else { panic!("{others:?}") };
        (other.name.to_owned(), other.about.map(|about| about.uptime))
    };
    assert_eq!(uptime(&world), ("a".into(), Some(1)));
    for n in 2..6 {
        let now = world.now + Duration::from_millis(500);
        assert_eq!(world.nodes[0].wants_about(now), n == 5, "{n}: each two seconds");
        if n == 5 {
            world.nodes[0].tell_about(now, about(n));
        }
        world.wait(500);
        world.settle();
        assert_eq!(uptime(&world).1, Some(if n == 5 { 5 } else { 1 }));
    }
    // What is old, and what is nonsense.
    for (n, bytes) in [(3, about(9).write()), (1000, vec![1; 40])] {
        let message = Message { from: "a", incarnation: 7, what: What::Hello { n, about: &bytes } };
        let now = world.now;
        world.nodes[1].on_message(now, &message::write(&message).unwrap());
        assert_eq!(uptime(&world).1, Some(5));
    }
    // Another process.
    let what = What::Hello { n: 1, about: b"" };
    let message = Message { from: "a", incarnation: 8, what };
    world.nodes[1].on_message(world.now, &message::write(&message).unwrap());
    assert_eq!(uptime(&world).1, None);
}

#[test]
fn another_process_knows_at_once_what_others_have_told_of_themselves() {
    let mut nodes = [0, 1].map(|n| Cluster::new(config(n, 7)));
    let now = Instant::from_micros(1_000_000);
    let about = About { connections: 3, relay: Some(Relay::default()), ..About::default() };
    nodes[1].tell_about(now, about.clone());
    nodes[1].on_wakeup(now);
    for post in nodes[1].take_outbound() {
        nodes[0].on_message(now, &post.bytes);
    }
    let bytes = crate::state::write(&nodes[0].known()).unwrap();
    let mut next = Cluster::new(config(0, 8));
    assert!(next.restore(now, crate::state::read(&bytes).unwrap()));
    assert_eq!(next.others().map(|other| other.about).collect::<Vec<_>>(), [Some(&about)]);
    let mut other = Cluster::new(config(2, 8));
    assert!(!other.restore(now, crate::state::read(&bytes).unwrap()));
    assert_eq!(other.others().count(), 0, "it has another name");
}

#[test]
fn a_dead_node_is_not_kept_for_longer_by_one_process_after_another() {
    let mut nodes = [0, 1].map(|n| Cluster::new(config(n, 7)));
    let mut now = Instant::from_micros(1_000_000);
    nodes[1].on_wakeup(now);
    for post in nodes[1].take_outbound() {
        nodes[0].on_message(now, &post.bytes);
    }
    let died = now;
    for n in 0.. {
        now = now + Duration::from_millis(250);
        nodes[0].on_wakeup(now);
        if nodes[0].others().count() == 0 {
            break;
        }
        assert!(now - died < Duration::from_secs(5), "it is still there");
        if n % 6 == 5 {
            let bytes = crate::state::write(&nodes[0].known()).unwrap();
            nodes[0] = Cluster::new(config(0, 8));
            assert!(nodes[0].restore(now, crate::state::read(&bytes).unwrap()));
        }
    }
    assert!(now - died >= limits::GONE, "it could have been heard");
}
