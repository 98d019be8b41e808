//! Players of rooms at several nodes.

use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use compat_tests::master::{Master, loopback};
use compat_tests::rooms::{Event, Message, Player, STEP};
use punchd::dialect::rooms::field::Id;

use super::{GHOST, Nodes, WAIT};

pub(super) fn player(node: &Master) -> Player {
    Player::new(node.addr(), SocketAddr::new(loopback(), 0), WAIT).expect("a player")
}

/// The names of the rooms that a node lists, in order of letters: their order there depends on which of two rooms of one
/// source came to that node first.
fn rooms(node: &Master) -> Vec<String> {
    let socket = UdpSocket::bind((loopback(), 0)).expect("a socket");
    socket.set_read_timeout(Some(Duration::from_millis(500))).expect("a timeout");
    let mut page = [0; 1500];
    for _ in 0..20 {
        socket.send_to(format!("{:\n<512}", "rl").as_bytes(), node.addr()).expect("sending");
        let Ok(length) = socket.recv(&mut page) else { continue };
        let page = String::from_utf8_lossy(&page[..length]).into_owned();
        let names = page.split(':').filter_map(|entry| entry.split(',').nth(1));
        let mut names: Vec<String> = names.map(Into::into).collect();
        names.sort();
        return names;
    }
    panic!("no list; its log:\n{}", node.log());
}

pub(super) fn wait_for_rooms(node: &Master, want: &[&str], within: Duration) -> Duration {
    let start = Instant::now();
    loop {
        let rooms = rooms(node);
        if rooms == want {
            break;
        }
        assert!(start.elapsed() < within, "{rooms:?}, not {want:?}; its log:\n{}", node.log());
        std::thread::sleep(Duration::from_millis(20));
    }
    start.elapsed()
}

/// Both live until they are connected.
fn meet(host: &mut Player, client: &mut Player) {
    let end = Instant::now() + WAIT;
    let id = client.place().expect("a place").id;
    while !client.has_host() || !host.connected().any(|other| other == id) {
        assert!(Instant::now() < end, "they do not meet");
        host.step().expect("a step");
        client.step().expect("a step");
        std::thread::sleep(STEP);
    }
}

/// Players, and what has happened to each.
#[derive(Default)]
pub(super) struct Players {
    pub(super) all: Vec<Player>,
    heard: Vec<Vec<Event>>,
}

impl Players {
    pub(super) fn add(&mut self, node: &Master) -> usize {
        self.all.push(player(node));
        self.heard.push(Vec::new());
        self.all.len() - 1
    }

    pub(super) fn host(&mut self, node: &Master, name: &str) -> (usize, Id) {
        let host = self.add(node);
        (host, self.all[host].host(name).expect("a room").room)
    }

    /// A player comes to a node, joins the room of a host and meets him.
    pub(super) fn join(&mut self, node: &Master, (host, room): (usize, Id)) -> usize {
        let guest = self.add(node);
        let id = self.all[guest].join(room).expect("a place").id;
        let end = Instant::now() + WAIT;
        while !self.all[guest].has_host() || !self.are_connected(host, &[id]) {
            assert!(Instant::now() < end, "they do not meet");
            self.step();
            std::thread::sleep(STEP);
        }
        guest
    }

    fn are_connected(&self, host: usize, guests: &[Id]) -> bool {
        guests.iter().all(|guest| self.all[host].connected().any(|id| id == *guest))
    }

    fn step(&mut self) {
        for (player, heard) in self.all.iter_mut().zip(&mut self.heard) {
            heard.extend(player.step().expect("a step"));
        }
    }

    pub(super) fn list(&mut self, node: &Master) -> Vec<String> {
        self.step();
        rooms(node)
    }

    pub(super) fn id(&self, player: usize) -> Id {
        self.all[player].place().expect("a place").id
    }

    /// A host was told once of each of these, has met him once, and has lost nobody.
    pub(super) fn has_met(&self, host: usize, guests: &[usize]) {
        let guests: Vec<Id> = guests.iter().map(|guest| self.id(*guest)).collect();
        let (mut told, mut met) = (Vec::new(), Vec::new());
        for event in &self.heard[host] {
            match event {
                Event::Told(Message::Comes(id, _)) => told.push(*id),
                Event::Connected(id) => met.push(*id),
                // The answers to what it has asked.
                Event::Told(
                    Message::Hosting(..)
                    | Message::Own(..)
                    | Message::Alive
                    | Message::Noted(_)
                    | Message::Ok,
                ) => {}
                other => panic!("{other:?}"),
            }
        }
        // Who asks again before he is answered is told of again, but not when the next one has come.
        told.dedup();
        assert_eq!((&told, &met), (&guests, &guests));
        assert!(self.are_connected(host, &guests));
    }
}

#[test]
fn a_room_at_one_node_is_joined_from_all_and_gone_when_that_is_killed() {
    let Some(mut nodes) = Nodes::three(3) else { return };
    let mut host = player(&nodes.all[0]);
    let room = host.host("one").expect("a room").room;
    let mut other = player(&nodes.all[1]);
    other.host("two").expect("a room");
    nodes.all.iter().for_each(|node| _ = wait_for_rooms(node, &["one", "two"], WAIT));
    let mut clients = Vec::new();
    for node in &nodes.all {
        let mut client = player(node);
        client.join(room).expect("a place");
        meet(&mut host, &mut client);
        clients.push(client);
    }
    // One leaves and finds any room, be it where it may.
    let mut last = clients.pop().expect("the last");
    last.leave().expect("leaving");
    let options = punchd::dialect::rooms::options::Options::default();
    assert_ne!(last.join_any(options).expect("a place").room, room);
    meet(&mut other, &mut last);
    nodes.all.remove(0).crash();
    for node in &nodes.all {
        let took = wait_for_rooms(node, &["two"], GHOST);
        println!("gone from the list of a node after {took:?}");
    }
    // Who has lost his room is told so, and can have another at once.
    let client = clients.last_mut().expect("the client of the second node");
    client.come_back().expect_err("no room");
    client.host("three").expect("a room");
    nodes.all.iter().for_each(|node| _ = wait_for_rooms(node, &["three", "two"], WAIT));
}
