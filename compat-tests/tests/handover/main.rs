//! What one process leaves to the next: it is read by all later versions, and garbage does no harm.
//!
//! The states in `compat-tests/states` were written by this and by earlier versions. If a field is added, it has a
//! default, and a new state is made beside the others:
//!
//! ```text
//! PUNCHD_NEW_STATE=NAME cargo test -p compat-tests --test handover
//! ```
//!
//! If what there was cannot be read any more, the version of its part goes up in `src/server/handover.rs`, and the
//! states that have the one before go.
#![expect(clippy::unwrap_used, reason = "a helper that fails is a test that fails")]

mod scene;
mod shape;

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use compat_tests::sim::rng::Rng;
use punchd::clock::{Instant, Now};
use punchd::dialect::{ConnId, Name, Outbox, Via};
use punchd::server::{Config, NotUnderstood, Part, Server, State};
use scene::{Scene, config, peer};

/// All parts of a state, in their version.
const PARTS: [&str; 18] = [
    "connections",
    "nats",
    "unproven",
    "credits",
    "journal",
    "refusals",
    "relay",
    "datagrams",
    "endpoints",
    "gateway",
    "gmnet",
    "gmnet.connections",
    "gmnet.hosts",
    "gmnet.ports",
    "stun",
    "rooms",
    "events",
    "natpunch",
];
const VERSION: u16 = 1;

fn states() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("states")
}

fn load(config: Config, now: Now, state: &State) -> Result<(Server, Vec<ConnId>), NotUnderstood> {
    let (mut server, mut out) = (Server::new(config), Outbox::new());
    let lost = server.load(now, &mut state.clone(), &mut out)?;
    Ok((server, lost))
}

/// The same state, with other bytes in one part, or in another version of it.
fn with_part(state: &State, name: &str, version: u16, bytes: &[u8]) -> State {
    let other = Part { name: name.into(), version, bytes: bytes.into() };
    let part = |part: &Part| if part.name == name { other.clone() } else { part.clone() };
    state.parts().iter().map(part).collect()
}

/// What is in a part.
fn bytes_of<'a>(state: &'a State, name: &str) -> &'a [u8] {
    let part = state.parts().iter().find(|part| part.name == name).unwrap();
    assert_eq!(part.version, VERSION, "{name}");
    &part.bytes
}

fn shape_of(state: &State) -> BTreeSet<String> {
    let parts = state.parts().iter().filter(|part| part.version == VERSION);
    parts.flat_map(|part| shape::shape(&part.name, &part.bytes)).collect()
}

#[test]
fn states_of_all_versions_are_read_and_a_change_of_the_format_is_seen() {
    let scene = Scene::new();
    let bytes = scene.server.save().encode();
    if let Ok(name) = std::env::var("PUNCHD_NEW_STATE") {
        fs::write(states().join(format!("{name}.state")), &bytes).unwrap();
    }
    let now = shape_of(&State::decode(&bytes).unwrap());
    let mut differ = Vec::new();
    let mut is_newest_there = false;
    for file in fs::read_dir(states()).unwrap() {
        let path = file.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "state") {
            continue;
        }
        let state = State::decode(&fs::read(&path).unwrap()).unwrap();
        let (server, lost) = load(config(), scene.now(), &state).unwrap();
        assert_eq!(lost, [], "{path:?}");
        assert!(scene.conns.iter().filter(|id| server.has(**id)).count() > 10, "{path:?}");
        let then = shape_of(&state);
        let diff: Vec<_> = now.symmetric_difference(&then).cloned().collect();
        is_newest_there |= diff.is_empty();
        differ.push((path, diff));
    }
    assert!(
        is_newest_there,
        "what is saved looks otherwise than before: make a new state, as told at the top of this file. {differ:#?}"
    );
}

#[test]
fn who_was_there_goes_on_and_who_looks_at_the_lobby_does_not() {
    let scene = Scene::new();
    let (mut server, lost) = load(config(), scene.now(), &scene.server.save()).unwrap();
    assert_eq!(lost, []);
    let (stay, go): (Vec<_>, Vec<_>) = scene.conns.iter().partition(|id| server.has(**id));
    assert!(stay.iter().all(|id| scene.server.moves(*id)));
    let browser = scene.conns.last().unwrap();
    assert!(go.contains(browser) && scene.server.has(*browser) && !scene.server.moves(*browser));
    assert_eq!(stay.len(), scene.conns.iter().filter(|id| scene.server.moves(**id)).count());
    let mut out = Outbox::new();
    server.on_wakeup(scene.now(), &mut out);
    assert_eq!(server.save().encode().len(), {
        let (again, _) = load(config(), scene.now(), &server.save()).unwrap();
        again.save().encode().len()
    });
}

#[test]
fn a_part_that_is_not_understood_goes_and_the_rest_stays() {
    let scene = Scene::new();
    let state = scene.server.save();
    let (all, _) = load(config(), scene.now(), &state).unwrap();
    let there = |server: &Server| scene.conns.iter().filter(|id| server.has(**id)).count();
    let mut gone = 0;
    for part in &PARTS[1..] {
        let bytes = bytes_of(&state, part);
        let of_other_version = with_part(&state, part, VERSION + 1, bytes);
        let broken = with_part(&state, part, VERSION, b"\xc1");
        for other in [of_other_version, broken] {
            let (server, lost) = load(config(), scene.now(), &other).unwrap();
            assert_eq!(there(&server) + lost.len(), there(&all), "{part}");
            assert_eq!(lost.is_empty(), !part.starts_with("gmnet") && *part != "events", "{part}");
            gone += lost.len();
        }
    }
    assert!(gone > 20, "{gone}");
    let fewer = Config { dialects: vec![Name::Events], ..config() };
    let (server, lost) = load(fewer, scene.now(), &state).unwrap();
    assert!(!lost.is_empty() && there(&server) > 2);
    let nobody = with_part(&state, "connections", VERSION + 1, b"");
    assert!(load(config(), scene.now(), &nobody).is_err());
}

#[test]
fn lower_limits_and_other_options_break_nothing() {
    let scene = Scene::new();
    let mut small = Config { relay: None, alternates_from: None, public_lobby: false, ..config() };
    small.limits.connections = 1;
    small.limits.connections_per_address = 1;
    small.gmnet.notify_gap = Duration::from_millis(1);
    small.gmnet.keepalive = Duration::ZERO;
    small.gmnet.sockets = Vec::new();
    small.gmnet.limits = small.limits;
    small.rooms.peers = 1;
    let (mut server, lost) = load(small, scene.now(), &scene.server.save()).unwrap();
    assert_eq!(lost, []);
    lives_on(&mut server, &scene);
}

/// How often something has panicked, be it where that is contained.
static PANICS: AtomicUsize = AtomicUsize::new(0);

/// What may still happen to a server.
fn lives_on(server: &mut Server, scene: &Scene) {
    let mut out = Outbox::new();
    let mut micros = scene.now().instant.micros();
    for step in 0..12_u64 {
        micros += [1_000, 100_000, 3_000_000, 60_000_000][step as usize % 4];
        let now = Now { instant: Instant::from_micros(micros), unix: 1_700_000_100 + step };
        server.on_wakeup(now, &mut out);
        let n = step as u8;
        server.on_datagram(now, Via::default(), peer(n, 40_000), b"reg\n", &mut out);
        server.on_datagram(now, Via::default(), peer(20 + n, 42_000), b"ka", &mut out);
        for id in scene.conns.iter().filter(|id| id.slot as u64 % 12 == step) {
            server.on_bytes(now, *id, b"version\n", &mut out);
            server.on_gone(now, *id, &mut out);
        }
        let id = ConnId { slot: 100 + step as u32, generation: 1000 + step as u32 };
        server.on_accept(now, || now.instant, id, peer(n, 50_001), &mut out);
        let _ = server.eviction_candidate(now, peer(n, 1).ip());
        let _ = server.next_wakeup();
        out.clear();
    }
}

#[test]
fn whatever_is_written_does_no_harm() {
    let scene = Scene::new();
    let (now, state) = (scene.now(), scene.server.save());
    let whole = state.encode();
    for end in 0..whole.len() {
        assert!(State::decode(&whole[..end]).is_err(), "{end}");
    }
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| _ = PANICS.fetch_add(1, Ordering::Relaxed)));
    let mut rng = Rng::new(7);
    let mut read = 0;
    for part in PARTS {
        let bytes = bytes_of(&state, part);
        for end in 0..bytes.len() {
            let (mut server, mut out) = (Server::new(config()), Outbox::new());
            // Only the part that is looked at, and who is connected.
            let needed = state.parts().iter().filter(|other| {
                let of_same =
                    part.split('.').next().is_some_and(|name| other.name.starts_with(name));
                of_same || other.name == PARTS[0]
            });
            let needed: State = needed.cloned().collect();
            let mut cut = with_part(&needed, part, VERSION, &bytes[..end]);
            let _ = server.load(now, &mut cut, &mut out);
        }
        for _ in 0..400 {
            let mut wrong = bytes.to_vec();
            for _ in 0..=rng.index(3) {
                let at = rng.index(wrong.len());
                wrong[at] = match rng.index(3) {
                    0 => wrong[at] ^ 1 << rng.index(8),
                    1 => rng.pick([0, 0x7F, 0xC0, 0xCC, 0xCD, 0xCE, 0xCF, 0xDD, 0xDF, 0xFF]),
                    _ => rng.number() as u8,
                };
            }
            let state = with_part(&state, part, VERSION, &wrong);
            if let Ok((mut server, _)) = load(config(), now, &state) {
                read += 1;
                lives_on(&mut server, &scene);
            }
        }
    }
    std::panic::set_hook(usual);
    assert!(read > 1000, "{read}");
    // What a dialect makes of nonsense ends with it at the worst, but nothing is known of that.
    println!(
        "{read} states with wrong bytes were read, {} panics contained",
        PANICS.load(Ordering::Relaxed)
    );
}
