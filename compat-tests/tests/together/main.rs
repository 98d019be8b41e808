//! All dialects at once on one port, with garbage between them, from the same addresses: each
//! peer gets exactly what it gets when it is alone with the server.
#![expect(clippy::expect_used, clippy::panic, reason = "a helper that fails is a test that fails")]

mod garbage;
mod scenes;
mod stage;

use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use compat_tests::events::Tls;
use compat_tests::folder::Folder;
use compat_tests::master::{Master, loopback};
use stage::Stage;

/// How often each is played, every time from another address.
const ROUNDS: usize = 4;

/// A play.
type Scene = fn(&mut Stage);

/// Who plays: the same sockets alone and together, so that they are told the same.
struct Cast {
    name: &'static str,
    play: Scene,
    stages: Vec<Stage>,
}

fn cast(server: SocketAddr, addresses: &[IpAddr], tls: &Tls) -> Vec<Cast> {
    let scenes: [(&str, Scene); 6] = [
        ("gmnet", scenes::gmnet),
        ("rooms", scenes::rooms),
        ("natpunch", scenes::natpunch),
        ("stun", scenes::stun),
        ("plain", scenes::events),
        ("tls", scenes::events),
    ];
    let stages = |name| {
        let tls = (name == "tls").then(|| tls.clone());
        let stage =
            |(n, at): (usize, &IpAddr)| Stage::new(server, *at, format!("{name} {n}"), tls.clone());
        addresses.iter().enumerate().map(stage).collect()
    };
    scenes.map(|(name, play)| Cast { name, play, stages: stages(name) }).into()
}

impl Cast {
    /// Plays all rounds; what was heard in each.
    fn perform(&mut self) -> Vec<Vec<String>> {
        let play = |stage: &mut Stage| {
            (self.play)(stage);
            stage.take_heard()
        };
        self.stages.iter_mut().map(play).collect()
    }
}

#[test]
fn each_gets_what_it_gets_alone() {
    let folder = Folder::new();
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
    let (certificate, key) = (folder.file("certificate"), folder.file("key"));
    fs::write(&certificate, made.cert.pem()).expect("writing");
    fs::write(&key, made.signing_key.serialize_pem()).expect("writing");
    let tls = Tls::trusting(Path::new(&certificate), "localhost").expect("a certificate");
    let options = ["--tls-cert", &certificate, "--tls-key", &key];

    let server = SocketAddr::new(loopback(), 7000);
    let addresses = [(); ROUNDS].map(|()| loopback());
    let mut all = cast(server, &addresses, &tls);
    let alone: Vec<_> = all
        .iter_mut()
        .map(|cast| {
            let _master = Master::start_at(server, &options);
            cast.perform()
        })
        .collect();

    let master = Master::start_at(server, &options);
    let over = AtomicBool::new(false);
    let together: Vec<_> = std::thread::scope(|scope| {
        let noise = scope.spawn(|| garbage::make(server, &addresses, &over));
        let casts: Vec<_> = all.iter_mut().map(|cast| scope.spawn(|| cast.perform())).collect();
        let heard = casts.into_iter().map(std::thread::ScopedJoinHandle::join).collect();
        over.store(true, Ordering::Relaxed);
        noise.join().expect("the garbage");
        heard
    });
    for ((cast, alone), together) in all.iter().zip(alone).zip(together) {
        let together = together.unwrap_or_else(|_| panic!("{} failed among others", cast.name));
        assert!(alone.iter().all(|round| round.len() >= 4), "{} heard {alone:#?}", cast.name);
        for (alone, together) in alone.iter().flatten().zip(together.iter().flatten()) {
            assert_eq!(together, alone, "{} hears something else among others", cast.name);
        }
        let lengths = |all: &[Vec<String>]| all.iter().map(Vec::len).collect::<Vec<_>>();
        assert_eq!(lengths(&together), lengths(&alone), "{} hears more or less", cast.name);
    }
    drop(master);
}
