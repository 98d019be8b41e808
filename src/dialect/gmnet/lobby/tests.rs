use super::super::sorted::SHORT;
use super::*;
use crate::clock::Instant;
use crate::dialect::gmnet::data::Data;
use crate::introductions::PublicIps;
use proptest::prelude::*;

/// Registers a host at an address of its own.
fn add(hosts: &mut Hosts, n: usize, game: &str, text: &str) -> HostKey {
    let [.., high, low] = (n as u32).to_be_bytes();
    add_of(hosts, [100, 64, high, low].into(), n, [game, text])
}

fn add_at(hosts: &mut Hosts, addr: IpAddr, n: usize, text: &str) {
    add_of(hosts, addr, n, ["g", text]);
}

fn add_of(hosts: &mut Hosts, addr: IpAddr, n: usize, [game, text]: [&str; 2]) -> HostKey {
    let strings = [game, text, "", "", "", "", "", ""];
    let conn = ConnId { slot: n as u32, generation: 0 };
    // As games have it, several are created in the same second.
    let now = Now { unix: n as u64 / 3, ..Now::default() };
    hosts.add(now, conn, addr, Some(Data::new(strings)), None)
}

/// The numbers of the hosts that a request gets, and what it took.
fn answer(hosts: &Hosts, query: &Query<'_>) -> (Vec<u32>, usize) {
    let mut numbers = Vec::new();
    let work = query.select(hosts, [203, 0, 113, 1].into(), |(_, host)| {
        numbers.push(host.number);
        ControlFlow::Continue(())
    });
    (numbers, work)
}

/// What the old server did: it sorted all, and took the first.
fn stable_sort(hosts: &Hosts, query: &Query<'_>) -> Vec<u32> {
    let Some(listed) = hosts.index().of(query.filters[0]) else { return Vec::new() };
    let mut all: Vec<&Host> =
        listed.entries.iter().filter_map(|entry| hosts.get(entry.key)).collect();
    let text = |host: &Host| host.data.as_ref().map_or("", |data| data.get(1)).to_owned();
    all.sort_by(|a, b| {
        let order = utf16_order(&text(a), &text(b));
        if query.descending { order.reverse() } else { order }
    });
    all.into_iter().take(query.limit).map(|host| host.number).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn sorted_lobbies_are_those_of_a_stable_sort(
        texts in prop::collection::vec("[ab\u{e000}\u{1f600}]{0,3}", SHORT - 5..SHORT + 60),
        changes in prop::collection::vec((any::<prop::sample::Index>(), 0..40usize), 0..20),
        game in prop::sample::select(vec!["", "g"]),
        descending in any::<bool>(),
        limit in 0..200usize,
    ) {
        let mut hosts = Hosts::new(PublicIps::default());
        let mut keys: Vec<HostKey> =
            texts.iter().enumerate().map(|(n, text)| add(&mut hosts, n, "g", text)).collect();
        add(&mut hosts, 1000, "another", "a");
        let mut filters = [""; 8];
        filters[0] = game;
        let query = Query { filters, sort: Some(1), descending, limit };
        prop_assert_eq!(answer(&hosts, &query).0, stable_sort(&hosts, &query));
        // Hosts come and go while the list is being made, and when it is.
        for (n, (which, steps)) in changes.into_iter().enumerate() {
            for _ in 0..steps {
                hosts.prepare(query.order().unwrap(), 1);
            }
            let gone = which.index(keys.len());
            hosts.remove(Instant::default(), keys.swap_remove(gone));
            keys.push(add(&mut hosts, 2000 + n, "g", &texts[gone % texts.len()]));
            prop_assert_eq!(answer(&hosts, &query).0, stable_sort(&hosts, &query));
        }
        prop_assert!(hosts.prepare(query.order().unwrap(), usize::MAX).1);
        prop_assert_eq!(answer(&hosts, &query).0, stable_sort(&hosts, &query));
    }
}

#[test]
fn a_sorted_lobby_of_a_few_does_not_look_at_all() {
    const HOSTS: usize = 3000;
    let mut hosts = Hosts::new(PublicIps::default());
    (0..HOSTS).for_each(|n| _ = add(&mut hosts, n, "g", &(n * 7919 % 1000).to_string()));
    let query = Query { filters: [""; 8], sort: Some(1), descending: true, limit: 20 };
    let (_, without) = answer(&hosts, &query);
    assert!(without >= HOSTS * limits::HOST_WORK, "{without}");
    assert!(hosts.prepare(query.order().unwrap(), usize::MAX).1);
    let (found, with) = answer(&hosts, &query);
    assert_eq!((found.len(), with), (20, 20 * limits::HOST_WORK));
}

#[test]
fn work_counts_hosts_that_do_not_match_and_the_bytes_that_are_compared() {
    let mut hosts = Hosts::new(PublicIps::default());
    let long = "x".repeat(4096);
    (0..50).for_each(|n| _ = add(&mut hosts, n, "g", &long));
    let mut filters = [""; 8];
    filters[0] = "g";
    filters[1] = "not there";
    let query = Query { filters, sort: None, descending: false, limit: 20 };
    let (found, short) = answer(&hosts, &query);
    assert!(found.is_empty() && short >= 50 * limits::HOST_WORK);
    let other = "x".repeat(4095) + "y";
    let query = Query { filters: [query.filters[0], &other, "", "", "", "", "", ""], ..query };
    assert!(answer(&hosts, &query).1 >= short + 50 * other.len() / 8);
}

#[test]
fn sorted_lists_are_few_and_go_when_they_are_not_used() {
    let mut hosts = Hosts::new(PublicIps::default());
    let texts = |n: usize| (n % 10).to_string();
    (0..2 * SHORT).for_each(|n| _ = add(&mut hosts, n, "g", &texts(n)));
    let ask = |hosts: &mut Hosts, by, descending| {
        hosts.prepare(Order { game: "g", by, descending }, usize::MAX);
        hosts.index.sorted.len()
    };
    for by in 0..8 {
        for descending in [false, true] {
            assert!(ask(&mut hosts, by, descending) <= limits::SORTED_LISTS);
        }
    }
    for _ in 0..limits::SORTED_UNUSED {
        ask(&mut hosts, 0, false);
    }
    assert_eq!(ask(&mut hosts, 7, true), limits::SORTED_LISTS, "another has made room");
    let order = Order { game: "g", by: 7, descending: true };
    assert!(hosts.index.sorted.get(order).is_some());
    for n in 0..4 * SHORT {
        let key = add(&mut hosts, 5000 + n, "g", "x");
        hosts.remove(Instant::default(), key);
    }
    assert_eq!(hosts.index.sorted.len(), 0, "nobody asks any more");
}

/// So many hosts of one game, each at an address of its own.
fn many(count: u32) -> Hosts {
    let mut hosts = Hosts::new(PublicIps::default());
    for n in 0..count {
        add_at(&mut hosts, (0x0B00_0000 + n).to_be_bytes().into(), n as usize, "x");
    }
    hosts
}

/// Asks for these in turn until each was made once, while hosts come. Returns how often that took.
fn until_all_are_made(hosts: &mut Hosts, orders: &[Order<'_>]) -> usize {
    const PIECE: usize = 1 << 20;
    let mut made = vec![false; orders.len()];
    for n in 0..10_000 {
        let (work, is_made) = hosts.prepare(orders[n % orders.len()], PIECE);
        assert!(work < 2 * PIECE, "all in one turn");
        let is_kept = hosts.index.sorted.get(orders[n % orders.len()]).is_some();
        made[n % orders.len()] |= is_made && is_kept;
        if made.iter().all(|made| *made) {
            return n;
        }
        if n % 20 == 0 {
            add_at(hosts, (0x0C00_0000 + n as u32).to_be_bytes().into(), n, "x");
        }
    }
    panic!("{made:?}");
}

fn order(by: usize, descending: bool) -> Order<'static> {
    Order { game: "g", by, descending }
}

#[test]
fn long_lists_for_which_there_is_no_room_together_are_all_made() {
    let mut hosts = many(125_000);
    until_all_are_made(&mut hosts, &[order(0, false), order(1, true)]);
    // One that is longer than all may be together is made a piece at a time as well.
    let mut hosts = many(limits::SORTED_HOSTS as u32 + 1000);
    until_all_are_made(&mut hosts, &[order(1, false)]);
}

#[test]
fn a_long_list_in_use_is_not_made_anew_all_the_time() {
    let mut hosts = many(2000);
    let used = order(0, false);
    let others: Vec<_> = (1..8).flat_map(|by| [order(by, false), order(by, true)]).collect();
    until_all_are_made(&mut hosts, &[used]);
    let mut made = 0;
    for n in 0..2000 {
        hosts.prepare(others[n % others.len()], 1 << 20);
        if n % 16 == 0 {
            made += usize::from(hosts.prepare(used, usize::MAX).0 > 0);
        }
    }
    assert!(made <= 2000 / limits::SORTED_UNUSED as usize, "{made} times");
}

#[test]
fn a_lobby_that_would_be_too_long_leaves_out_the_last_hosts() {
    let mut hosts = Hosts::new(PublicIps::default());
    let long = "<".repeat(4096);
    (0..1000).for_each(|n| _ = add(&mut hosts, n, "g", &long));
    let query = Query { filters: [""; 8], sort: None, descending: false, limit: usize::MAX };
    let (config, mut reply) = (Config::default(), Vec::new());
    let made = query.reply(&hosts, &config, ([203, 0, 113, 1].into(), None), &mut reply);
    let most = config.limits.lobby();
    assert!(reply.len() <= most + 4 && reply.len() > most - 30_000, "{}", reply.len());
    assert!(made.hosts < 1000 && reply.ends_with(b"}]\n"));
    assert_eq!(String::from_utf8_lossy(&reply).matches("\"ip\"").count(), made.hosts);
}
