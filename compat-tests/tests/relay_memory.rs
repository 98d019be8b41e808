//! What the relay keeps, on both threads. Counted, so that a busy machine changes nothing.

use std::net::{IpAddr, SocketAddr};

use allocation_counter::{AllocationInfo, measure};
use punchd::clock::{Instant, Now};
use punchd::dialect::Name;
use punchd::introductions::PublicIps;
use punchd::introductions::journal::{Attempt, Names};
use punchd::introductions::relay::forwarding::Forwarding;
use punchd::introductions::relay::sessions::{Config, Sessions};
use punchd::introductions::relay::{Bounds, Order, Session, Shape};
use punchd::limits::relay as limits;

/// In front of the packets of a game of GameMaker.
const HEADER: [u8; 4] = [0xDE, 0xC0, 0xAD, 0xDE];

fn player(n: usize) -> IpAddr {
    IpAddr::from((0x0B00_0000 + n as u32).to_be_bytes())
}

fn sessions() -> Sessions {
    let told = PublicIps::from(IpAddr::from([198, 51, 100, 20]));
    let ports = 20_000..=20_000 + limits::PORTS as u16 - 1;
    Sessions::new(Some(Config { told, is_apart: true, ports, bounds: Bounds::default() }))
}

/// Gives so many sessions out, each with the usual name of a game.
fn open(sessions: &mut Sessions, many: usize) -> Vec<Session> {
    for n in 0..many {
        let [client, host] = [2 * n, 2 * n + 1].map(player);
        let [client_at, host_at] = [client, host].map(|ip| SocketAddr::new(ip, 5000));
        let names = Names::new("Space Race", "");
        let attempt = Attempt::new(Name::Gmnet, [client_at, host_at], names);
        assert!(sessions.open(Now::default(), Shape::GameMaker, attempt).is_ok());
    }
    sessions.take_orders().filter_map(Order::session).collect()
}

fn kept(counted: &AllocationInfo) -> usize {
    usize::try_from(counted.bytes_current).unwrap_or_default()
}

#[test]
fn sessions_that_hold_all_they_may_stay_below_the_bound() {
    let (mut main, mut thread) = (sessions(), Forwarding::new(Bounds::default()));
    let counted = measure(|| {
        let opened = open(&mut main, limits::SESSIONS);
        for session in opened {
            thread.open(Instant::default(), session);
            for side in session.sides.iter().take(1) {
                for _ in 0..2 * limits::HELD {
                    let from = SocketAddr::new(side.addr, 5000);
                    let mut held = [0; limits::HELD_BYTES];
                    held[..HEADER.len()].copy_from_slice(&HEADER);
                    let mut send = |_, _, _: &[u8]| unreachable!("the other side is not there");
                    thread.on_datagram(Instant::default(), side.port, from, &held, &mut send);
                }
            }
        }
    });
    let most = usize::try_from(limits::WORST_CASE).expect("a bound for this machine");
    assert!(kept(&counted) < most, "{} of {most}", kept(&counted));
    drop((main, thread));
}

/// Half way between two sizes that tables double at.
#[test]
fn a_session_takes_little_memory() {
    const MANY: usize = limits::SESSIONS / 2 + limits::SESSIONS / 4;
    let (mut main, mut opened) = (sessions(), Vec::new());
    let there = measure(|| opened = open(&mut main, MANY));
    let there = kept(&there) - std::mem::size_of::<Session>() * opened.capacity();
    let mut thread = Forwarding::new(Bounds::default());
    let here = kept(&measure(|| {
        opened.drain(..).for_each(|session| thread.open(Instant::default(), session));
    }));
    let [there, here] = [there, here].map(|bytes| bytes / MANY);
    println!("bytes of a session: {there} beside the event loop, {here} in the relay's thread");
    assert!(there + here < 320, "{there} and {here}");
    drop(thread);
}
