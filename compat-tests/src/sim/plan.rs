//! What a seed stands for: the weather, the places, the peers, and when they do what.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use punchd::introductions::is_inside;

use super::nat::Inside;
use super::nat::{Behaviour, Nat};
use super::network::{Event, MASTER, Network, Site, Weather};
use super::peers::{self, Client, Foreign, Host, Mischief, Peer, Rogue, Tongue, Viewer};
use super::rng::Rng;

/// How long the peers are at it.
pub const DURATION: Duration = Duration::from_secs(60);

/// A network with peers in it that are about to start.
#[derive(Debug)]
pub struct Plan {
    /// The network.
    pub network: Network,
    /// The peers, by number.
    pub peers: Vec<Box<dyn Peer>>,
}

impl Plan {
    fn add(&mut self, site: usize, peer: Box<dyn Peer>, start: Duration) -> usize {
        let number = self.peers.len();
        self.peers.push(peer);
        self.network.homes.push(site);
        self.later(number, start, 0);
        number
    }

    fn later(&mut self, peer: usize, time: Duration, timer: u32) {
        self.network.at(self.network.now + time, Event::Wake(peer, timer));
    }

    fn rng(&mut self) -> &mut Rng {
        &mut self.network.rng
    }

    fn any_site(&mut self) -> usize {
        let sites = self.network.sites.len();
        self.rng().index(sites)
    }

    fn any_addr(&mut self) -> IpAddr {
        let site = self.any_site();
        let nowhere = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 99));
        let known = self.network.sites.get(site).map(|site| site.addr);
        let known = known.filter(|_| !self.network.rng.permille(100)).unwrap_or(nowhere);
        // Who is outside knows no other, and who is inside may have it from a friend.
        if is_inside(known) && self.network.rng.permille(800) { MASTER.ip() } else { known }
    }
}

/// The plan of a seed; some peers may be in the server's own network.
#[must_use]
pub fn plan(seed: u64, has_inside: bool) -> Plan {
    let mut rng = Rng::new(seed);
    let weather = Weather::any(&mut rng);
    let mut plan = Plan { network: Network::new(weather, rng), peers: Vec::new() };
    add_sites(&mut plan);
    if has_inside {
        for n in 0..1 + plan.rng().index(2) as u8 {
            let addr = IpAddr::V4(Ipv4Addr::new(192, 168, 7, 2 + n));
            plan.network.sites.push(Site { addr, nat: None });
        }
    }
    let busy = plan.rng().pick([20, 60]);
    for _ in 0..1 + plan.rng().index(4) {
        add_host(&mut plan);
    }
    for _ in 0..1 + plan.rng().index(8) {
        add_client(&mut plan, busy);
    }
    for _ in 0..plan.rng().index(3) {
        let (site, start) = (plan.any_site(), plan.rng().millis(0..busy * 1000));
        plan.add(site, Box::new(Viewer::default()), start);
    }
    if plan.rng().permille(600) {
        for _ in 0..1 + plan.rng().index(3) {
            add_rogue(&mut plan);
        }
    }
    if plan.rng().permille(500) {
        for _ in 0..1 + plan.rng().index(4) {
            add_foreign(&mut plan);
        }
    }
    plan
}

fn add_sites(plan: &mut Plan) {
    for n in 0..1 + plan.rng().index(5) as u8 {
        let addr = IpAddr::V4(Ipv4Addr::new(203, 0, 113, 1 + n));
        let rng = &mut plan.network.rng;
        let nat = if rng.permille(800) {
            let behaviour = Behaviour::any(rng);
            Some(Nat::new(addr, behaviour, rng))
        } else {
            None
        };
        plan.network.sites.push(Site { addr, nat });
    }
}

/// The port of a peer's game: without a NAT, no two peers of a place can have the same. They are
/// far apart, as systems choose them at random; only those of some NATs count up.
fn own_port(plan: &Plan) -> u16 {
    20_000 + 300 * plan.peers.len() as u16
}

fn add_host(plan: &mut Plan) {
    let port = own_port(plan);
    let game = plan.rng().pick(["Pong", "Pong", "Snake", "<INV>"]);
    let ping = plan.rng().pick([5, 20, 180]);
    let mut host = Host::new(port, game, Duration::from_secs(ping));
    host.is_old = plan.rng().permille(50);
    let (site, start) = (plan.any_site(), plan.rng().millis(0..5000));
    let number = plan.add(site, Box::new(host), start);
    for _ in 0..plan.rng().pick([0, 0, 1, 3]) {
        let time = plan.rng().millis(1000..60_000);
        plan.later(number, time, peers::COMMIT);
    }
    if plan.rng().permille(400) {
        let time = plan.rng().millis(5000..60_000);
        let how = plan.rng().pick([peers::LEAVE, peers::CRASH]);
        plan.later(number, time, how);
    }
}

fn add_client(plan: &mut Plan, busy: u64) {
    use peers::Manner::{Again, HalfClosed, Impatient, Once, Twice};
    let port = own_port(plan);
    let target = plan.any_addr();
    let manner = plan.rng().pick([Once, Once, Once, Again, Twice, HalfClosed, Impatient]);
    let mut client = Client::new(port, target, manner);
    client.is_mute = plan.rng().permille(100);
    let (site, start) = (plan.any_site(), plan.rng().millis(0..busy * 1000));
    plan.add(site, Box::new(client), start);
}

fn add_rogue(plan: &mut Plan) {
    let target = plan.any_addr();
    let mischief = plan.rng().pick([
        Mischief::Garbage,
        Mischief::HalfCommands,
        Mischief::OpenAndClose,
        Mischief::Flood,
        Mischief::Forge(target),
        Mischief::Register,
        Mischief::Chatter(target),
    ]);
    let left = 1 + plan.rng().index(8) as u32;
    let (site, start) = (plan.any_site(), plan.rng().millis(0..40_000));
    plan.add(site, Box::new(Rogue { mischief, left }), start);
}

/// Somebody with a socket of his own, or that of a game.
fn add_foreign(plan: &mut Plan) {
    let (me, port) = (plan.peers.len(), own_port(plan));
    let tongue = plan.rng().pick(Tongue::ALL);
    let left = 1 + plan.rng().index(12) as u32;
    let own = Inside { peer: me, port };
    let other = plan.rng().index(me.max(1));
    let from = match plan.peers.get(other).and_then(|peer| peer.port()) {
        Some(port) if plan.network.rng.permille(400) => Inside { peer: other, port },
        _ => own,
    };
    let (site, start) = (plan.any_site(), plan.rng().millis(0..40_000));
    plan.add(site, Box::new(Foreign::new(tongue, from, left)), start);
}
