//! A hundred lobbies of natpunch, in some of which somebody is just about to meet the host.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use compat_tests::line_of_masters::Masters;
use compat_tests::master::loopback;
use compat_tests::natpunch::{Client, Event};

use super::fixtures::WAIT;

const LOBBIES: usize = 100;

/// Of how many parts each is used by a thread of its own.
const PARTS: usize = 20;

/// How long a client waits before it looks after others.
const STEP: Duration = Duration::from_millis(1);

fn register(master: SocketAddr) -> Client {
    Client::register(master, loopback()).unwrap()
}

/// Lets these clients do what they do until this has happened to the one with this number.
#[track_caller]
fn until<T>(clients: &mut [&mut Client], mut wanted: impl FnMut(usize, Event) -> Option<T>) -> T {
    let deadline = Instant::now() + WAIT;
    loop {
        for (n, client) in clients.iter_mut().enumerate() {
            let event = client.step(STEP).unwrap();
            if let Some(found) = event.and_then(|event| wanted(n, event)) {
                return found;
            }
        }
        assert!(Instant::now() < deadline, "it does not happen");
    }
}

/// A lobby with a host, a guest, and perhaps somebody whom the host has not met yet.
struct Lobby {
    id: String,
    host: Client,
    guest: Client,
    coming: Option<Client>,
    /// Who was that before.
    inside: Vec<Client>,
}

impl Lobby {
    fn open(master: SocketAddr, n: usize) -> Self {
        let mut host = register(master);
        host.create(&format!("Lobby {n}"), 8).unwrap();
        let id = until(&mut [&mut host], |_, event| match event {
            Event::Created { lobby } => Some(lobby),
            _ => None,
        });
        let guest = register(master);
        let mut lobby = Self { id, host, guest, coming: None, inside: Vec::new() };
        lobby.guest.join(&lobby.id).unwrap();
        lobby.meets(None);
        lobby
    }

    /// Somebody wants to meet the host, who does not know of it yet.
    fn begin_to_join(&mut self, master: SocketAddr) {
        let mut coming = register(master);
        coming.join(&self.id).unwrap();
        until(&mut [&mut coming], |_, event| {
            matches!(event, Event::Introduced { .. }).then_some(())
        });
        self.coming = Some(coming);
    }

    /// And they meet. Who else is in the lobby says meanwhile that it is there.
    fn end_to_join(&mut self) {
        if let Some(mut coming) = self.coming.take() {
            self.meets(Some(&mut coming));
            self.inside.push(coming);
        }
    }

    /// The host meets who has just asked for it: the guest, or this one.
    fn meets(&mut self, new: Option<&mut Client>) {
        let (lobby, joined) = (self.id.clone(), std::cell::Cell::new([false; 2]));
        let id = new.as_ref().map_or(self.guest.id(), |new| new.id()).to_owned();
        let new = new.unwrap_or(&mut self.guest);
        until(&mut [&mut self.host, new], |n, event| {
            let [mut host, mut own] = joined.get();
            match event {
                Event::Update { kind, info } if n == 0 && kind == "player_joined" => {
                    host |= info.members.iter().any(|member| member.client_id == id);
                }
                Event::Joined { lobby: of, .. } if n == 1 => own |= of == lobby,
                _ => {}
            }
            joined.set([host, own]);
            (host && own).then_some(())
        });
    }

    /// So that nobody is taken for gone.
    fn is_alive(&mut self) {
        let clients = [&mut self.host, &mut self.guest].into_iter().chain(&mut self.coming);
        clients.chain(&mut self.inside).for_each(|client| _ = client.step(Duration::ZERO).unwrap());
    }

    /// All that lobbies promise.
    fn goes_on(mut self, master: SocketAddr) {
        let mut new = register(master);
        new.join(&self.id).unwrap();
        let members = until(&mut [&mut self.host, &mut new], |_, event| match event {
            Event::Joined { members, .. } => Some(members.len()),
            _ => None,
        });
        assert_eq!(members, 3 + self.inside.len(), "with all from before");
        // Two who know each other's IDs from before meet.
        let guest = self.guest.id().to_owned();
        new.connect(&guest, 1).unwrap();
        until(&mut [&mut new, &mut self.guest], |n, event| {
            matches!(event, Event::Connected { peer, .. } if n == 0 && peer == guest).then_some(())
        });
        self.guest.leave(&self.id).unwrap();
        until(&mut [&mut self.host, &mut self.guest], |n, event| {
            matches!(event, Event::PeerLeft { peer } if n == 0 && peer == guest).then_some(())
        });
    }
}

/// Does this with all of them at once, as two who meet wait for each other most of the time.
fn at_once<T: Send, R: Send>(all: Vec<T>, act: impl Fn(T) -> R + Sync) -> Vec<R> {
    std::thread::scope(|scope| {
        let act = &act;
        let threads: Vec<_> = all.into_iter().map(|one| scope.spawn(move || act(one))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    })
}

#[test]
fn lobbies_go_on_in_the_middle_of_a_join() {
    let mut masters = Masters::start(&[]);
    let master = masters.addr();
    let open =
        |part: usize| (0..LOBBIES / PARTS).map(|n| Lobby::open(master, n * PARTS + part)).collect();
    let mut parts: Vec<Vec<Lobby>> = at_once((0..PARTS).collect(), open);
    for half in 0..2 {
        for part in &mut parts[half * PARTS / 4..][..PARTS / 4] {
            part.iter_mut().for_each(|lobby| lobby.begin_to_join(master));
        }
        masters.succeed();
        parts = at_once(parts, |mut part| {
            part.iter_mut().for_each(Lobby::end_to_join);
            part.iter_mut().for_each(Lobby::is_alive);
            part
        });
    }
    let mut viewer = register(master);
    viewer.list().unwrap();
    let listed = until(&mut [&mut viewer], |_, event| match event {
        Event::Lobbies(lobbies) => Some(lobbies),
        _ => None,
    });
    // As many as one datagram has.
    assert!(listed.len() > 10, "{listed:?}");
    let is_one = |id: &str| parts.iter().flatten().any(|lobby| lobby.id == id);
    assert!(listed.iter().all(|listed| is_one(&listed.lobby_id)));
    at_once(parts, |part| part.into_iter().for_each(|lobby| lobby.goes_on(master)));
    let log = masters.end();
    assert!(!log.contains("is lost"), "{log}");
}

/// Who does not meet the host has as long for it as without another process.
pub(crate) fn who_does_not_meet_the_host_is_told_in_time() {
    /// What the server gives: see `NATPUNCH_JOIN`.
    const WITHIN: Duration = punchd::limits::NATPUNCH_JOIN;
    let mut masters = Masters::start(&[]);
    let mut host = register(masters.addr());
    host.create("Lobby", 4).unwrap();
    let lobby = until(&mut [&mut host], |_, event| match event {
        Event::Created { lobby } => Some(lobby),
        _ => None,
    });
    // From here on the host does not answer.
    let mut coming = register(masters.addr());
    let begun = Instant::now();
    coming.join(&lobby).unwrap();
    let mut pauses = [WITHIN / 3, WITHIN * 2 / 3].into_iter().peekable();
    let ended = loop {
        if let Some(Event::Refused(_)) = coming.step(Duration::from_millis(100)).unwrap() {
            break begun.elapsed();
        }
        assert!(begun.elapsed() < WITHIN + WAIT, "it is never told");
        if pauses.next_if(|pause| begun.elapsed() > *pause).is_some() {
            masters.succeed();
        }
    };
    assert_eq!(pauses.next(), None, "told after {ended:?}");
    let after_the_last = WITHIN * 5 / 3;
    assert!(ended > WITHIN - Duration::from_secs(1) && ended < after_the_last, "{ended:?}");
}
