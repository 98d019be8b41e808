//! What a node says is parsed like what anybody says, and takes nothing of anybody else's.

use compat_tests::unplugged_nodes::Impostor;
use punchd::dialect::{Name, Via};
use punchd::server::Server;
use serde::{Serialize, Serializer};

use super::*;

/// The same messages as nodes send, with what an evil one would say.
#[derive(Serialize)]
enum Evil {
    #[serde(rename = "b")]
    Begin { losses: u64 },
    #[serde(rename = "t")]
    Told { all: Vec<Entry> },
    #[serde(rename = "g")]
    Gone { all: Vec<[u64; 2]> },
    #[serde(rename = "e")]
    End,
    #[serde(rename = "s")]
    Send { i: [u64; 2], d: Bytes },
    #[serde(rename = "a")]
    Answer { pair: [[u64; 2]; 2], attempt: u32, said: &'static str },
    #[serde(rename = "i")]
    Introduce { pair: [[u64; 2]; 2], attempt: u32, failed: bool },
    #[serde(rename = "l")]
    Lead { at: SocketAddr, is_client: bool },
    #[serde(rename = "w")]
    SendBy { a: SocketAddr, v: Via, d: Bytes },
    #[serde(rename = "q")]
    Request { c: EvilClient, d: Bytes },
}

#[derive(Clone, Serialize)]
struct EvilClient {
    i: [u64; 2],
    a: SocketAddr,
    g: String,
    l: bool,
    p: &'static str,
}

#[derive(Serialize)]
enum Entry {
    #[serde(rename = "c")]
    Client(EvilClient),
    #[serde(rename = "l")]
    Lobby {
        i: [u64; 2],
        n: String,
        g: String,
        x: u32,
        m: Vec<[u64; 2]>,
        w: Vec<[u64; 2]>,
        a: Bytes,
    },
}

struct Bytes(Vec<u8>);

impl Serialize for Bytes {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_bytes(&self.0)
    }
}

fn bits(id: &str) -> [u64; 2] {
    let all = u128::from_str_radix(&id.replace('-', ""), 16).unwrap();
    [(all >> 64) as u64, all as u64]
}

fn client(id: [u64; 2], at: SocketAddr) -> EvilClient {
    EvilClient { i: id, a: at, g: String::new(), l: true, p: "Unknown" }
}

fn lobby(id: [u64; 2], members: Vec<[u64; 2]>) -> Entry {
    let (n, g, a) = ("evil".into(), String::new(), Bytes(vec![6, 6, 6, 6]));
    Entry::Lobby { i: id, n, g, x: 9, m: members, w: vec![], a }
}

/// In place of the last node somebody who says what he likes to all others.
struct Node(Impostor);

impl Node {
    fn new(world: &mut World) -> Self {
        let mut node = Self(Impostor::new(world, 2));
        (0..3).for_each(|_| node.say(world, &[]));
        node
    }

    fn say(&mut self, world: &mut World, texts: &[Vec<u8>]) {
        self.0.say(world, Name::Natpunch, texts);
        world.pass(100);
        self.0.hear(world);
    }

    fn tell(&mut self, world: &mut World, all: &[Evil]) {
        let texts: Vec<Vec<u8>> =
            all.iter().map(|evil| minicbor_serde::to_vec(evil).unwrap()).collect();
        self.say(world, &texts);
    }
}

#[test]
fn noise_changes_nothing() {
    let mut world = World::of(3);
    let host = world.client(1, at(1));
    world.create(&host, "one", 4);
    let viewer = world.client(0, at(2));
    let mut evil = Node::new(&mut world);
    for n in 0..200u32 {
        let noise = (0..n % 97).map(|i| (i * 31 + n * 7) as u8).collect();
        evil.say(&mut world, &[noise, b"\xa1\x61q\xa2\x61c".to_vec(), b"\xa1\x61t\x80".to_vec()]);
    }
    assert_eq!(world.listed(&viewer), ["one"]);
    assert_eq!(world.told(&host), []);
}

#[test]
fn a_node_takes_nothing_of_what_another_one_has() {
    let mut world = World::of(3);
    let host = world.client(1, at(1));
    let lobby_id = world.create(&host, "one", 4);
    let guest = world.client(0, at(2));
    world.join(&guest, &lobby_id, &host);
    world.skip(&[&host, &guest]);
    let mut evil = Node::new(&mut world);
    let [h, g, l] = [&host.id, &guest.id, &lobby_id].map(|id| bits(id));
    let place = "203.0.113.66:666".parse().unwrap();
    let connect = bytes(Content::DebugMessage(Default::default()));
    let join = Content::LeaveLobbyRequest(LeaveLobbyRequest {
        lobby_id: lobby_id.clone(),
        client_id: guest.id.clone(),
    });
    let leave = bytes(join);
    let begin = || Evil::Begin { losses: 1 };
    for losses in 0..3 {
        evil.tell(
            &mut world,
            &[
                Evil::Begin { losses },
                Evil::Told { all: [h, g, l].map(|id| Entry::Client(client(id, place))).into() },
                Evil::Told { all: vec![lobby(l, vec![h]), lobby(h, vec![g]), lobby(g, vec![l])] },
                // Clients of others are in lobbies without number, which they have not asked for.
                Evil::Told { all: (0..50).map(|n| lobby([7, n], vec![h, g])).collect() },
                Evil::End,
            ],
        );
        let before = world.messages;
        evil.tell(
            &mut world,
            &[
                begin(),
                Evil::Gone { all: vec![h, g, l] },
                Evil::Request { c: client(g, guest.at), d: Bytes(leave.clone()) },
                Evil::Request { c: client([1, 1], guest.at), d: Bytes(leave.clone()) },
                Evil::Answer { pair: [h, g], attempt: 1, said: "No" },
                Evil::Introduce { pair: [g, h], attempt: 1, failed: true },
                Evil::Introduce { pair: [[1, 1], h], attempt: 1, failed: true },
                Evil::Lead { at: guest.at, is_client: true },
                Evil::Lead { at: place, is_client: true },
                Evil::Send { i: h, d: Bytes(vec![1, 2, 3]) },
                Evil::Send { i: [9, 9], d: Bytes(connect.clone()) },
                Evil::SendBy { a: place, v: Via::default(), d: Bytes(connect.clone()) },
            ],
        );
        assert!(world.messages - before < 30, "nothing comes of it again and again");
        world.pass(300);
    }
    assert!(!world.said().iter().any(|(_, to, _)| *to == place), "{:?}", world.said);
    let mut told = [&host, &guest].map(|client| world.told(client)).concat();
    told.retain(|content| !matches!(content, Content::ConnectionInstruction(_)));
    assert_eq!(told, []);
    for viewer in [&host, &guest] {
        let all = world.lobbies(viewer);
        let one = all.iter().find(|lobby| lobby.lobby_id == lobby_id).unwrap();
        assert_eq!((one.current_players, &*one.lobby_name), (2, "one"));
    }
    // They may still have as many lobbies as anybody.
    (0..3).for_each(|_| _ = world.create(&host, "more", 4));
    world.told(&guest);
    world.connect(&guest, &host.id, 1);
    world.pass(300);
    assert!(instructed(&world.told(&guest)).iter().all(|told| told.1 == host.at.to_string()));
    // A new client at the place that it has claimed is this node's.
    let new = world.client(0, place);
    world.create(&new, "new", 4);
    // What it has told itself goes with it.
    world.pass(4000);
    let listed = world.listed(&new);
    assert!(!listed.contains(&"evil".to_owned()), "{listed:?}");
}

/// Of two nodes that tell of one client or lobby the first is believed, and when it is gone the other.
#[test]
fn what_a_mad_node_claims_stays_where_it_is() {
    for is_first in [false, true] {
        let mut world = World::of(3);
        let host = world.client(1, at(1));
        let lobby = world.create(&host, "one", 4);
        if is_first {
            // Node 0 does not know of them yet.
            world.net.cuts.insert((1, 0));
            world.restart(0);
        }
        let mut mad = Impostor::new(&mut world, 2);
        assert!(mad.claim_all(&mut world, Name::Natpunch) >= 2);
        world.net.cuts.clear();
        // From then on nothing is heard of it.
        world.pass(14_000);
        let guest = world.client(0, at(2));
        assert_eq!(world.listed(&guest), ["one"], "claimed first: {is_first}");
        world.join(&guest, &lobby, &host);
    }
}

/// What is gone is looked for once in a turn.
#[test]
fn a_node_that_says_all_the_time_that_it_has_told_everything_costs_no_more_than_one_that_says_it_once()
 {
    const CLIENTS: u64 = 1000;
    let mut world = World::of(3);
    let mut evil = Node::new(&mut world);
    let all = (0..CLIENTS).map(|n| Entry::Client(client([7, n], at(1)))).collect();
    evil.tell(&mut world, &[Evil::Begin { losses: 0 }, Evil::Told { all }, Evil::End]);
    let pairs = (0..200).flat_map(|_| [Evil::Begin { losses: 0 }, Evil::End]);
    let texts: Vec<Vec<u8>> = pairs.map(|evil| minicbor_serde::to_vec(&evil).unwrap()).collect();
    evil.0.say(&mut world, Name::Natpunch, &texts);
    let mut turns = 0;
    while world.servers[0].as_ref().and_then(Server::next_wakeup).is_some_and(|at| at <= world.now)
    {
        world.act(0, |server, now, out| server.on_wakeup(now, out));
        turns += 1;
    }
    assert!((1..100).contains(&turns), "{turns}");
}

#[test]
fn a_node_that_begins_again_and_again_is_asked_once_more_once_in_a_turn() {
    const BEGINS: usize = 100;
    let mut world = World::of(3);
    let guest = world.client(0, at(2));
    let mut evil = Node::new(&mut world);
    let all = vec![Entry::Client(client([7, 1], at(1)))];
    evil.tell(&mut world, &[Evil::Begin { losses: 0 }, Evil::Told { all }, Evil::End]);
    let before = world.messages;
    world.connect(&guest, "00000000-0000-0007-0000-000000000001", 1);
    assert!(world.messages > before, "it is asked");
    world.pass(100);
    let before = world.bytes;
    let begins: Vec<Evil> = (0..BEGINS).map(|_| Evil::Begin { losses: 0 }).collect();
    evil.tell(&mut world, &begins);
    // What it says itself is half of that.
    let bytes = world.bytes - before;
    assert!(bytes < 100 * BEGINS, "{bytes} bytes");
}
