//! Those who send to the relay what nobody has asked for: strangers, from addresses that no player has, and
//! forgers, in the name of players. A forger knows the addresses of players and the ports of the pool, but
//! not from which of its ports a player sends.

use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;

use super::network::{Event, Network};
use super::plan::Forger;

/// What no player sends.
pub(super) const MEDDLED: u8 = 0xEE;

/// One of them.
#[derive(Debug)]
pub(super) struct Meddler {
    /// In whose name it sends; none: in no player's.
    pub(super) name: Option<IpAddr>,
    /// The pool's port that comes next.
    next: u16,
    /// The port that it says it has.
    port: u16,
}

impl Meddler {
    pub(super) fn new(name: Option<IpAddr>, net: &mut Network) -> Self {
        let ports = net.plan.relay.ports.clone();
        let next = net.rng.within(u64::from(*ports.start())..u64::from(*ports.end()) + 1) as u16;
        let port = net.rng.within(1..65_536) as u16;
        Self { name, next, port }
    }

    /// Sends to the next port of the pool, and a little later again.
    pub(super) fn act(&mut self, me: usize, net: &mut Network) {
        let ports = net.plan.relay.ports.clone();
        let from = self.name.unwrap_or_else(|| stranger(net));
        if let Some(relay) = net.plan.relay_at(from) {
            if self.name.is_none() || net.plan.forger == Forger::Sprays {
                self.port = net.rng.within(1..65_536) as u16;
            }
            let data = if net.rng.permille(800) {
                net.packet(MEDDLED, 9 + net.rng.clone().index(300))
            } else {
                Rc::from([MEDDLED; 40].as_slice())
            };
            let (from, to) = (SocketAddr::new(from, self.port), SocketAddr::new(relay, self.next));
            net.carry(from, to, &data);
            self.next = if self.next == *ports.end() { *ports.start() } else { self.next + 1 };
        }
        let pause = net.rng.millis(net.plan.meddling.clone());
        net.after(pause, Event::Meddle(me));
    }
}

fn stranger(net: &mut Network) -> IpAddr {
    let low = net.rng.number() as u16;
    if net.rng.permille(500) {
        let [a, b] = low.to_be_bytes();
        IpAddr::from([198, 18, a, b])
    } else {
        IpAddr::from([0x2001, 0xDB8, 0xAAAA, 0, 0, 0, 0, low])
    }
}
