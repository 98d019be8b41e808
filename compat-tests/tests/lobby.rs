//! The list of hosts: what it shows, and what filters, sorting and the limit do to it.
#![expect(clippy::expect_used, reason = "a helper that fails is a test that fails")]

use std::time::Duration;

use compat_tests::gmnet::{Client, ClientConfig, Direction, Host, HostConfig, Lobby, Query};
use compat_tests::master::{Master, loopback};

const WAIT: Duration = Duration::from_secs(10);

/// Hosts of one test, told from all others on a shared server by their eighth data string.
struct Scene {
    master: Master,
    tag: String,
}

impl Scene {
    fn new() -> Self {
        Self { master: Master::any(), tag: format!("tag {}", loopback()) }
    }

    fn host(&self, data: &[&str]) -> Host {
        let mut config = HostConfig::new(self.master.addr()).on(loopback()).with_data(data);
        config.data[7].clone_from(&self.tag);
        Host::registered(config, WAIT).expect("registering")
    }

    fn query(&self) -> Query {
        let mut query = Query::default();
        query.filters[7].clone_from(&self.tag);
        query
    }

    fn fetch(&self, query: &Query) -> Lobby {
        let lobby = Lobby::fetch(self.master.addr(), Some(loopback()), query, WAIT).expect("lobby");
        assert_eq!(lobby.events, 1, "games read the first event only");
        lobby
    }

    /// The second data strings of the hosts in the list.
    fn names(&self, query: &Query) -> Vec<String> {
        self.fetch(query).entries.into_iter().map(|entry| entry.data[1].clone()).collect()
    }
}

#[test]
fn a_host_is_listed_with_all_that_it_says() {
    let scene = Scene::new();
    assert_eq!(scene.fetch(&scene.query()).raw, b"\xf9[]\n");
    let before = now();
    let host = scene.host(&["My Game", "<b>\"ö\"\\", "", "4", "5", "6", "7"]);
    let lobby = scene.fetch(&scene.query());
    let [entry] = lobby.entries.as_slice() else { panic!("{:?}", lobby.entries) };
    assert_eq!(entry.ip, host.local().ip().to_string());
    assert_eq!(entry.data, host.config().data);
    assert!((before..=now()).contains(&entry.created), "{} at {before}", entry.created);
    // What is special to HTML is escaped, as Gson does it.
    assert!(lobby.json().contains(r#""data2":"\u003cb\u003e\"ö\"\\""#), "{}", lobby.json());
}

#[test]
fn filters_are_exact_and_all_have_to_match() {
    let scene = Scene::new();
    let _hosts = [
        scene.host(&["chess", "a", "red"]),
        scene.host(&["chess", "b", "blue"]),
        scene.host(&["Chess", "c", "red"]),
        scene.host(&["chess 2", "d", "red"]),
    ];
    let names = |filters: [&str; 3]| {
        let mut query = Query { sort: "data2".to_owned(), ..scene.query() };
        for (filter, wanted) in query.filters.iter_mut().zip(filters) {
            wanted.clone_into(filter);
        }
        scene.names(&query)
    };
    assert_eq!(names(["", "", ""]), ["a", "b", "c", "d"]);
    assert_eq!(names(["chess", "", ""]), ["a", "b"]);
    assert_eq!(names(["", "", "red"]), ["a", "c", "d"]);
    assert_eq!(names(["chess", "", "red"]), ["a"]);
    assert!(names(["ches", "", ""]).is_empty());
}

#[test]
fn directions_are_the_wrong_way_round_and_the_limit_comes_last() {
    let scene = Scene::new();
    let _hosts = ["10", "b", "", "a", "9"].map(|name| scene.host(&["sorted", name]));
    let names = |sort: &str, direction, limit| {
        let sort = sort.to_owned();
        scene.names(&Query { sort, direction, limit, ..scene.query() })
    };
    assert_eq!(names("data2", Direction::Desc, None), ["", "10", "9", "a", "b"]);
    assert_eq!(names("data2", Direction::Asc, None), ["b", "a", "9", "10", ""]);
    assert_eq!(names("data2", Direction::Asc, Some(2)), ["b", "a"]);
    assert_eq!(names("data2", Direction::Asc, Some(99)).len(), 5);
    assert!(names("data2", Direction::Asc, Some(0)).is_empty());
}

#[test]
fn a_hidden_host_is_not_listed_and_can_be_joined() {
    let scene = Scene::new();
    let hidden = scene.host(&["<INV>", "hidden"]);
    assert!(scene.names(&scene.query()).is_empty());
    let at = hidden.local().ip();
    let _running = hidden.spawn();
    let config = ClientConfig::new(scene.master.addr(), at).on(loopback());
    let client = Client::join(config).expect("joining a hidden host");
    client.echo(b"hello", WAIT).expect("echo");
}

#[test]
fn two_hundred_hosts_come_in_one_answer() {
    let scene = Scene::new();
    let hosts: Vec<Host> = (0..200).map(|n| scene.host(&["crowd", &n.to_string()])).collect();
    let lobby = Lobby::fetch(scene.master.addr(), Some(loopback()), &scene.query(), WAIT);
    let mut listed: Vec<String> =
        lobby.expect("lobby").entries.into_iter().map(|entry| entry.ip).collect();
    let mut wanted: Vec<String> = hosts.iter().map(|host| host.local().ip().to_string()).collect();
    listed.sort();
    wanted.sort();
    assert_eq!(listed, wanted);
}

fn now() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.expect("a clock after 1970").as_secs()
}
