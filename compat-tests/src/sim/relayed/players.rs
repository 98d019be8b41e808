//! Who is in the network of a seed, and behind what.

use std::net::IpAddr;
use std::time::Duration;

use super::super::nat::{Inside, Nat};
use super::client::Client;
use super::host::Host;
use super::meddlers::Meddler;
use super::network::{Event, Network, Timer};
use super::plan::Forger;

/// Somebody who plays.
#[derive(Debug)]
pub(super) enum Player {
    Host(Host),
    Client(Client),
}

/// Everybody in the network of a seed.
#[derive(Debug, Default)]
pub(super) struct Everybody {
    pub(super) players: Vec<Player>,
    pub(super) meddlers: Vec<Meddler>,
    /// NATs that do not work together with their like, behind each of which is one player.
    pub(super) hard: Vec<IpAddr>,
}

impl Everybody {
    /// Makes them, and has them come when they will.
    pub(super) fn new(net: &mut Network) -> Self {
        let mut all = Self::default();
        let (hosts, clients) = (net.plan.hosts, net.plan.clients);
        for _ in 0..hosts {
            let nat = all.nat(net, true);
            all.host(net, nat);
        }
        let carrier = all.nat(net, false);
        for _ in 0..clients {
            let host = net.rng.index(hosts);
            let nat = match net.rng.index(10) {
                _ if net.plan.is_lasting() => all.nat(net, true),
                0..4 => carrier,
                // With a host, but that of another.
                4 if hosts > 1 => {
                    let nat = (host + 1) % hosts;
                    let addr = net.nats[nat].addr();
                    all.hard.retain(|hard| *hard != addr);
                    nat
                }
                _ => all.nat(net, true),
            };
            all.client(net, nat, host);
        }
        all.grabbers(net);
        all.meddlers(net);
        all
    }

    /// A few who come first and take all sessions that a host may have, again and again, and play by them.
    fn grabbers(&mut self, net: &mut Network) {
        /// Of one address: one more than it may have with the same host.
        const EACH: usize = 5;
        if net.plan.is_lasting() || !net.rng.permille(200) {
            return;
        }
        let host = net.rng.index(net.plan.hosts);
        for _ in 0..2 + net.rng.index(3) {
            let nat = self.nat(net, true);
            for _ in 0..EACH {
                self.client(net, nat, host);
                if let Some(Player::Client(client)) = self.players.last_mut() {
                    client.grabs();
                }
            }
        }
    }

    fn nat(&mut self, net: &mut Network, is_alone: bool) -> usize {
        let n = net.nats.len();
        let is_v4 = !is_alone || net.plan.is_lasting() || net.rng.permille(750);
        let addr = match is_v4 {
            true => IpAddr::from([203, 0, 113, 1 + n as u8]),
            false => IpAddr::from([0x2001, 0xDB8, n as u16, 0, 0, 0, 0, 1]),
        };
        let is_hard = net.plan.is_lasting() || net.rng.permille(400);
        let behaviour = net.plan.behaviour(is_hard, &mut net.rng);
        if is_hard && is_alone && is_v4 {
            self.hard.push(addr);
        }
        let nat = Nat::new(addr, behaviour, &mut net.rng);
        net.nats.push(nat);
        n
    }

    fn host(&mut self, net: &mut Network, nat: usize) {
        let me = Inside { peer: self.players.len(), port: 40_000 };
        let host = Host::new(me, nat, net);
        self.players.push(Player::Host(host));
        let start = net.rng.millis(0..3000);
        net.after(start, Event::Wake(me.peer, Timer::Start));
        if net.plan.is_lasting() {
            return;
        }
        let lasts = net.plan.lasts.as_millis() as u64;
        for (share, timer) in [(500, Timer::Commit), (300, Timer::Commit), (300, Timer::Leave)] {
            let at = start + net.rng.millis(1000..lasts);
            if net.rng.permille(share) {
                net.after(at, Event::Wake(me.peer, timer));
            }
        }
        let at = net.rng.millis(1000..lasts);
        if net.rng.permille(150) {
            net.after(at, Event::Forget(nat));
        }
    }

    fn client(&mut self, net: &mut Network, nat: usize, host: usize) {
        let me =
            Inside { peer: self.players.len(), port: 50_000 + 100 * self.players.len() as u16 };
        let Some(Player::Host(target)) = self.players.get(host) else { return };
        let addr = net.nats[target.nat].addr();
        let client = Client::new(me, nat, addr, net);
        self.players.push(Player::Client(client));
        let lasts = net.plan.lasts.as_millis() as u64;
        let latest = if net.plan.is_lasting() { 6000 } else { lasts / 2 };
        let start = net.rng.millis(4000..latest);
        net.after(start, Event::Wake(me.peer, Timer::Start));
        let at = net.rng.millis(5000..lasts);
        if !net.plan.is_lasting() && net.rng.permille(300) {
            net.after(at, Event::Forget(nat));
        }
    }

    fn meddlers(&mut self, net: &mut Network) {
        let forged = if net.plan.forger == Forger::Nobody { 0 } else { 2 };
        let names = (0..forged).map(|_| Some(net.nats[net.rng.index(net.nats.len())].addr()));
        let names: Vec<_> = names.chain([None]).collect();
        for (n, name) in names.into_iter().enumerate() {
            self.meddlers.push(Meddler::new(name, net));
            net.after(Duration::from_secs(5), Event::Meddle(n));
        }
    }
}
