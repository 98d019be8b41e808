//! No use for attackers: random conversations in which some addresses are forged. A victim never
//! sends anything itself, so it never shows a key that was told to it; the attackers know all that
//! they are told themselves.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use proptest::prelude::*;

use super::{Sent, World};
use crate::amplification::KEYED;

const HEADERS: usize = 28;

/// What may be sent for a request: three times its bytes, or what an ID and a key take.
fn paid(request: &[u8]) -> usize {
    let keyed = if request.starts_with(b"rh") || request.starts_with(b"jr") {
        KEYED + 2 * HEADERS
    } else {
        0
    };
    keyed.max(3 * (request.len() + HEADERS))
}

/// What an attacker does next.
#[derive(Clone, Debug)]
struct Step {
    wait: u64,
    /// Whose address the datagram has: attackers have four endpoints of their own, victims three.
    from: usize,
    what: usize,
    /// Which of the rooms, clients and keys that the attackers know.
    pick: usize,
    padding: usize,
}

fn endpoint(n: usize) -> SocketAddr {
    let n = u8::try_from(n).unwrap();
    // The last two victims are one address.
    let host = if n == 6 { 5 } else { n };
    SocketAddr::from(([203, 0, 113, host], 1000 + u16::from(n)))
}

fn is_victim(addr: SocketAddr) -> bool {
    (endpoint(4).ip()..=endpoint(6).ip()).contains(&addr.ip())
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = (0u64..1500, 0usize..7, 0usize..16, any::<usize>(), 0usize..300).prop_map(
        |(wait, from, what, pick, padding)| {
            let padding = padding.saturating_sub(200);
            Step { wait: wait.saturating_sub(700), from, what, pick, padding }
        },
    );
    prop::collection::vec(step, 1..250)
}

/// Rooms, clients, and clients with their keys, as told to attackers.
#[derive(Default)]
struct Known {
    rooms: Vec<String>,
    clients: Vec<String>,
    keys: Vec<(String, String)>,
}

impl Known {
    fn learn(&mut self, text: &str) {
        let fields: Vec<&str> = text.split(':').collect();
        match fields[..] {
            ["rh", room] => self.rooms.push(room.into()),
            ["rID", client, key] => self.keys.push((client.into(), key.into())),
            ["jr", _, client, ..] | ["cj" | "ep", client, ..] => self.clients.push(client.into()),
            ["rl", ref entries @ ..] => {
                let ids = entries.iter().filter_map(|entry| entry.split(',').next());
                self.rooms.extend(ids.filter(|id| id.len() == 16).map(Into::into));
            }
            _ => {}
        }
    }

    fn request(&self, step: &Step) -> String {
        let none = "0123456789abcdef".to_string();
        let room = self.rooms.get(step.pick % self.rooms.len().max(1)).unwrap_or(&none);
        let client = self.clients.get(step.pick % self.clients.len().max(1)).unwrap_or(&none);
        let nothing = (none.clone(), "0".repeat(32));
        let (own, key) = self.keys.get(step.pick % self.keys.len().max(1)).unwrap_or(&nothing);
        match step.what {
            0 | 1 => format!("rh:{}", "n".repeat(step.pick % 60)),
            2..=5 => format!("jr:{room}"),
            6 => "rl".into(),
            7 => format!("rl:{room}"),
            8 | 9 => format!("rc:{own}:{key}"),
            10 | 11 => format!("pc:{client}:ok"),
            12 => format!("kc:id:{client}"),
            13 => format!("rn:{}", step.pick % 7),
            14 => ["ka", "lr", "cr", "status"][step.pick % 4].into(),
            _ => "garbage".into(),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]
    #[test]
    fn victims_get_at_most_three_times_what_was_sent_in_their_name(steps in steps()) {
        let mut world = World::new();
        let mut known = Known::default();
        // Of each victim: what was paid for in its name, and bytes to it, with headers.
        let mut bytes: HashMap<IpAddr, [usize; 2]> = HashMap::new();
        let note = |sent: Sent, known: &mut Known, bytes: &mut HashMap<IpAddr, [usize; 2]>| {
            for (to, text) in sent.0 {
                if is_victim(to) {
                    bytes.entry(to.ip()).or_default()[1] += text.len() + HEADERS;
                } else {
                    known.learn(&text);
                }
            }
            bytes.values().all(|[paid, sent]| sent <= paid)
        };
        for step in steps {
            // In small pieces, so that what timers send has its true time.
            for _ in 0..step.wait / 50 {
                let sent = world.pass(Duration::from_millis(50));
                prop_assert!(note(sent, &mut known, &mut bytes), "{bytes:?}");
            }
            let from = endpoint(step.from);
            let data = known.request(&step) + &"\n".repeat(step.padding);
            if is_victim(from) {
                bytes.entry(from.ip()).or_default()[0] += paid(data.as_bytes());
            }
            let sent = world.send(from, data.as_bytes());
            prop_assert!(note(sent, &mut known, &mut bytes), "{bytes:?}");
        }
        prop_assert!(note(world.pass_secs(3), &mut known, &mut bytes), "{bytes:?}");
    }
}

/// The trap: a room in the name of a victim, joined by many, confirmed in its name.
#[test]
fn clients_do_not_rain_on_a_victim() {
    let mut world = World::new();
    let victim = endpoint(4);
    let room = world.ask(victim, "rh")[0].replace("rh:", "jr:");
    let (mut credit, mut told) = (paid(b"rh"), 0);
    for n in 0..200 {
        let sent = world.send(super::peer(n), room.as_bytes());
        told += sent.to(victim).iter().map(|text| text.len() + HEADERS).sum::<usize>();
        let joined = sent.to(super::peer(n))[0].clone();
        let confirm = format!("pc:{}:ok", joined.split(':').nth(2).unwrap_or_default());
        if joined.starts_with("jr") && n % 10 == 0 {
            credit += paid(confirm.as_bytes());
            let sent = world.send(victim, confirm.as_bytes());
            told += sent.to(victim).iter().map(|text| text.len() + HEADERS).sum::<usize>();
        }
    }
    assert!(told <= credit, "{told} bytes for {credit}");
    // A host that shows its key is told of everyone.
    let host = world.host(super::peer(300), "true");
    for n in 400..464 {
        world.join(super::peer(n), &host);
    }
    assert_eq!(world.pass_secs(1).to(host.at).len(), 2 * 64);
}

#[test]
fn forged_requests_for_lists_leave_enough_for_a_place() {
    let mut world = World::new();
    for n in 0..30 {
        world.host(super::peer(n), "a");
    }
    let host = world.host(super::peer(100), "b");
    for (n, request) in [(1, "rh:Mine".into()), (2, format!("jr:{}", host.room))] {
        let at = |port| SocketAddr::from(([203, 0, 113, n], port));
        for _ in 0..200 {
            world.send(at(2000), b"rl");
            world.pass(Duration::from_millis(20));
        }
        let place = super::Place::of(at(40_000), &world.ask(at(40_000), &request));
        world.send(at(2000), b"rl");
        assert_eq!(world.ask(at(40_000), &request).len(), 2, "asked again");
        world.send(at(2000), b"rl");
        world.prove(&place);
    }
}
