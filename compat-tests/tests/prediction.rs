//! GMnet games behind simulated NATs of every kind meet at least as often as they would if each
//! were told the port that the server has seen, and behind NATs that count, if they show the
//! server what they do, always.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use compat_tests::sim::nat::{Allocation, Behaviour, Dependence, Inside, Nat};
use compat_tests::sim::rng::Rng;
use compat_tests::sim::wire;
use punchd::clock::{Instant, Now};
use punchd::dialect::{ConnId, Outbox, Output, Via, stun};
use punchd::server::{Config, Server};

const SERVER: [u8; 4] = [198, 51, 100, 10];
const MAIN: u16 = 6510;
const ALTERNATE: u16 = 6511;

/// The game socket of whoever is behind a NAT, and its connection to the server.
const GAME: Inside = Inside { peer: 0, port: 4000 };
const CONTROL: Inside = Inside { peer: 0, port: 50_000 };

const DEPENDENCES: [Dependence; 3] = [
    Dependence::EndpointIndependent,
    Dependence::AddressDependent,
    Dependence::AddressAndPortDependent,
];

/// A player behind a NAT.
struct Player {
    addr: IpAddr,
    nat: Nat,
    conn: ConnId,
    /// Its port as the server sees it.
    seen: u16,
    /// Where to knock, as told.
    told: Vec<SocketAddr>,
}

/// What players do before they ask.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Game {
    /// It asks the server by STUN as well.
    ShowsItsNat,
    /// It was shipped long ago.
    Shipped,
}

struct World {
    server: Server,
    rng: Rng,
    time: u64,
    /// Whether NATs take the ports of TCP from the same sequence.
    tcp_counts: bool,
}

impl World {
    fn new(seed: u64) -> Self {
        let at = |port| SocketAddr::from((SERVER, port));
        let stun = stun::Config { sockets: vec![at(MAIN), at(ALTERNATE)], ..Default::default() };
        let mut config = Config { stun, alternates_from: Some(1), ..Config::default() };
        (config.gmnet.sockets, config.gmnet.alternate_port) = (vec![at(MAIN)], Some(ALTERNATE));
        let mut rng = Rng::new(seed);
        let tcp_counts = rng.pick([true, false]);
        Self { server: Server::new(config), rng, time: 1_000_000, tcp_counts }
    }

    fn now(&mut self) -> Now {
        self.time += 1000;
        Now { instant: Instant::from_micros(self.time), unix: 1 }
    }

    /// Somebody gets a NAT of its own, shows its port to the server and connects.
    fn player(&mut self, n: u8, behaviour: Behaviour, game: Game, word: &str) -> Player {
        let addr = IpAddr::from([203, 0, 113, n]);
        let nat = Nat::new(addr, behaviour, &mut self.rng);
        let conn = ConnId { slot: n.into(), generation: n.into() };
        let mut player = Player { addr, nat, conn, seen: 0, told: Vec::new() };
        if game == Game::ShowsItsNat {
            let request = [&[0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42][..], &[7; 12]].concat();
            self.datagram(&mut player, MAIN, &request);
            self.datagram(&mut player, ALTERNATE, &request);
        }
        player.seen = self.datagram(&mut player, MAIN, &wire::datagram(word.as_bytes()));
        let now = self.now();
        let server = SocketAddr::from((SERVER, MAIN));
        let from = match self.tcp_counts {
            true => player.nat.outbound(now.instant, CONTROL, server, &mut self.rng),
            false => SocketAddr::new(addr, self.rng.within(1024..65_536) as u16),
        };
        self.server.on_accept(now, || now.instant, conn, from, &mut Outbox::new());
        player
    }

    /// Sends from the game socket to the server; tells the port that it came from.
    fn datagram(&mut self, player: &mut Player, port: u16, data: &[u8]) -> u16 {
        let now = self.now();
        let server = SocketAddr::from((SERVER, port));
        let from = player.nat.outbound(now.instant, GAME, server, &mut self.rng);
        let via = Via { socket: (port == ALTERNATE).into(), local: None };
        self.server.on_datagram(now, via, from, data, &mut Outbox::new());
        from.port()
    }

    fn say(&mut self, conn: ConnId, bytes: &[u8], players: &mut [Player; 2]) {
        let now = self.now();
        let mut out = Outbox::new();
        self.server.on_bytes(now, conn, bytes, &mut out);
        tell(&out, players);
    }

    /// The host knocks at all that it is told, so also at the server, where it is asked to.
    fn knock_at_server(&mut self, host: &mut Player) {
        let asked = |at: &SocketAddr| at.ip() == IpAddr::from(SERVER);
        let (asked, told): (Vec<_>, _) = host.told.drain(..).partition(asked);
        host.told = told;
        for at in asked {
            self.datagram(host, at.port(), &wire::datagram(b"\xfd"));
        }
    }

    /// Both have been told, whatever the gap between two messages.
    fn settle(&mut self, players: &mut [Player; 2]) {
        for _ in 0..10 {
            self.time += 50_000;
            let mut out = Outbox::new();
            let now = self.now();
            self.server.on_wakeup(now, &mut out);
            tell(&out, players);
        }
    }

    /// Both knock for a while, as games do: the host at all it was told of, the client at the
    /// last and at the ports behind it. Whether the client is welcomed.
    fn meet(&mut self, [host, client]: &mut [Player; 2]) -> bool {
        let Some(first) = client.told.last().copied() else { return false };
        for extra in [0, 0, 0, 1, 2] {
            let now = self.now().instant;
            for to in host.told.clone() {
                host.nat.outbound(now, GAME, to, &mut self.rng);
            }
            let Some(port) = first.port().checked_add(extra) else { continue };
            let to = SocketAddr::new(first.ip(), port);
            let from = client.nat.outbound(now, GAME, to, &mut self.rng);
            if host.nat.inbound(now, to.port(), from) != Some(GAME) {
                continue;
            }
            let welcome = host.nat.outbound(now, GAME, from, &mut self.rng);
            if client.nat.inbound(now, from.port(), welcome) == Some(GAME) {
                return true;
            }
        }
        false
    }
}

/// Takes what the server writes to players: 0xFF, address, NUL, port, NUL.
fn tell(out: &Outbox, players: &mut [Player; 2]) {
    for output in out.outputs() {
        let Output::Tcp(conn, bytes) = output else { continue };
        let text = String::from_utf8_lossy(&bytes[1..]);
        let mut parts = text.split('\0');
        let endpoint = (|| {
            let addr: IpAddr = parts.next()?.parse().ok()?;
            Some(SocketAddr::new(addr, parts.next()?.parse().ok()?))
        })();
        if let (Some(player), Some(endpoint)) =
            (players.iter_mut().find(|player| player.conn == conn), endpoint)
        {
            player.told.push(endpoint);
        }
    }
}

/// Whether a host and a client meet; `seen`: each is told the port that the server has seen.
fn meets(seed: u64, kinds: [Behaviour; 2], game: Game, seen: bool) -> bool {
    let mut world = World::new(seed);
    let host = world.player(1, kinds[0], game, "reg\n\0");
    let client = world.player(2, kinds[1], game, "connect\n\0");
    let (host_addr, conns) = (host.addr.to_string(), [host.conn, client.conn]);
    let mut players = [host, client];
    world.say(conns[0], &wire::reg2("1.2.4", &Default::default()), &mut players);
    world.settle(&mut players);
    world.knock_at_server(&mut players[0]);
    world.say(conns[1], &wire::connect(&host_addr), &mut players);
    world.settle(&mut players);
    assert!(players.iter().all(|player| !player.told.is_empty()), "both are told");
    if seen {
        let [host, client] = &mut players;
        host.told = vec![SocketAddr::new(client.addr, client.seen)];
        client.told = vec![SocketAddr::new(host.addr, host.seen)];
    }
    world.meet(&mut players)
}

fn behaviours() -> Vec<Behaviour> {
    let timeout = Duration::from_secs(60);
    let mut all = Vec::new();
    for mapping in DEPENDENCES {
        for filtering in DEPENDENCES {
            for allocation in [Allocation::Random, Allocation::Sequential] {
                all.push(Behaviour { mapping, filtering, allocation, timeout });
            }
        }
    }
    all
}

#[test]
fn nobody_meets_less_often_for_what_the_server_knows() {
    for game in [Game::ShowsItsNat, Game::Shipped] {
        for host in behaviours() {
            for client in behaviours() {
                for seed in 0..2 {
                    let kinds = [host, client];
                    let before = meets(seed, kinds, game, true);
                    // What is random may differ, as it takes luck; the rest may not.
                    let luck = kinds.iter().any(|kind| {
                        kind.mapping != Dependence::EndpointIndependent
                            && kind.allocation == Allocation::Random
                    });
                    assert!(
                        !before || luck || meets(seed, kinds, game, false),
                        "{game:?}, seed {seed}: {kinds:?}"
                    );
                }
            }
        }
    }
}

fn strict(mapping: Dependence) -> Behaviour {
    Behaviour {
        mapping,
        filtering: Dependence::AddressAndPortDependent,
        allocation: Allocation::Sequential,
        timeout: Duration::from_secs(60),
    }
}

#[test]
fn ports_that_count_are_met() {
    let independent = strict(Dependence::EndpointIndependent);
    let counts = strict(Dependence::AddressAndPortDependent);
    for seed in 0..100 {
        for kinds in [[independent, counts], [counts, independent], [counts, counts]] {
            assert!(meets(seed, kinds, Game::ShowsItsNat, false), "seed {seed}: {kinds:?}");
        }
        // Without prediction it takes a client that tries the next ports.
        assert!(!meets(seed, [independent, counts], Game::ShowsItsNat, true));
    }
}

/// A shipped game shows one port only. If its connection takes the next port, the host tries the
/// one after that as well.
#[test]
fn hosts_try_the_next_port_of_a_shipped_game() {
    let kinds = [Dependence::EndpointIndependent, Dependence::AddressAndPortDependent].map(strict);
    for seed in 0..20 {
        let tcp_counts = World::new(seed).tcp_counts;
        assert_eq!(meets(seed, kinds, Game::Shipped, false), tcp_counts, "seed {seed}");
        assert!(!meets(seed, kinds, Game::Shipped, true));
    }
}

/// Who was introduced to a host once knows its port, and can send in its name.
#[test]
fn what_is_forged_for_a_shipped_host_does_not_move_its_port() {
    let request = [&[0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42][..], &[7; 12]].concat();
    let mut world = World::new(1);
    let kind = strict(Dependence::EndpointIndependent);
    let host = world.player(1, kind, Game::Shipped, "reg\n\0");
    let client = world.player(2, kind, Game::Shipped, "connect\n\0");
    let (addr, seen, conns) = (host.addr, host.seen, [host.conn, client.conn]);
    let mut players = [host, client];
    world.say(conns[0], &wire::reg2("1.2.4", &Default::default()), &mut players);
    // First all that is known of the host from what it sent is pushed out.
    let others = (0..8).map(|n| (0, seen ^ 0x4000 ^ n));
    for (socket, port) in others.chain([(0, seen), (1, seen + 1)]) {
        let (now, via) = (world.now(), Via { socket, local: None });
        let from = SocketAddr::new(addr, port);
        world.server.on_datagram(now, via, from, &request, &mut Outbox::new());
    }
    world.say(conns[1], &wire::connect(&addr.to_string()), &mut players);
    world.settle(&mut players);
    assert_eq!(players[1].told, [SocketAddr::new(addr, seen)]);
    assert!(world.meet(&mut players));
}
