//! The simulation: thousands of schedules in which the server keeps its promises, and proof that
//! the checks see it when it does not.
#![expect(clippy::panic, reason = "a helper that fails is a test that fails")]

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use compat_tests::sim::nat::{Allocation, Behaviour, Dependence, Inside, Nat};
use compat_tests::sim::promises::Promise;
use compat_tests::sim::restarts::{Restarting, Restarts};
use compat_tests::sim::rng::Rng;
use compat_tests::sim::{self, Serves, Summary};
use punchd::clock::{Instant, Now};
use punchd::dialect::{ConnId, Name, Outbox, Output, Use, Via};
use punchd::server::{Config, Server};

/// Takes about ten seconds of one core without optimization.
const SEEDS: u64 = 2000;

#[test]
fn promises_are_kept_in_thousands_of_schedules() {
    let halves: Vec<_> = [0, SEEDS / 2]
        .map(|first| std::thread::spawn(move || run(first..first + SEEDS / 2)))
        .into_iter()
        .map(|half| half.join().unwrap())
        .collect();
    let mut total = Summary::default();
    halves.iter().for_each(|half| total.add(half));
    println!("{total:?}");
    assert_eq!(total.schedules, SEEDS);
    assert!(total.introductions > SEEDS && total.notifications > SEEDS, "{total:?}");
    assert!(total.joined > SEEDS / 4, "{total:?}");
    assert!(total.to_others > SEEDS, "{total:?}");
}

fn run(seeds: std::ops::Range<u64>) -> Summary {
    let mut total = Summary::default();
    for seed in seeds {
        match sim::run(seed) {
            Ok(summary) => total.add(&summary),
            Err(failure) => panic!("{failure}\nsee it with: punch sim --seed {seed}"),
        }
    }
    total
}

#[test]
fn the_same_seed_gives_the_same_trace() {
    let mut traces = BTreeSet::new();
    for seed in 0..100 {
        let (first, second) = (sim::run(seed).unwrap(), sim::run(seed).unwrap());
        assert_eq!(first, second, "seed {seed}");
        traces.insert(first.trace);
        let (traced, trace) = sim::run_traced(seed);
        assert_eq!(traced.unwrap(), first, "looking changes nothing");
        assert_eq!(trace.hash(), first.trace);
        assert!(!trace.lines().is_empty());
    }
    assert_eq!(traces.len(), 100, "other seeds, other schedules");
}

/// Its peers are told the very same at the very same time, except of what is drawn at random, which is nothing in GMnet.
#[test]
fn nobody_notices_a_server_that_goes_on_elsewhere_at_every_moment() {
    for seed in 0..20 {
        let gmnet = sim::config(seed);
        let config = Config { gmnet, dialects: vec![Name::Gmnet], ..Config::default() };
        let restarting = Restarting::new(Restarts::always(config.clone()));
        let (usual, _) = sim::run_server(seed, Server::new(config), false);
        let (moving, _) = sim::run_server(seed, restarting, false);
        assert_eq!(usual.unwrap(), moving.unwrap(), "seed {seed}");
    }
}

/// Defects of a server, each of which breaks a promise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Defect {
    None,
    PortZero,
    WrongPort,
    PortOfAnother,
    NoNotFound,
    NotFoundTwice,
    NeverFound,
    EmptyLobby,
    DeafToEnds,
    NoNotices,
    NoticeAgainLater,
    NoticesTooSoon,
    NoticesGlued,
    WriteAfterClose,
    AnswerUdp,
    CloseHosts,
    NeverClose,
    NeverSleep,
    AlwaysOwe,
    MixesUp,
    Amplifies,
}

/// The server with a defect.
#[derive(Debug)]
struct Broken {
    defect: Defect,
    inner: Server,
    own: Outbox,
    /// The last notification, and when it was sent.
    notice: Option<(Instant, ConnId, Vec<u8>)>,
    /// The first client that a host was told of.
    first: Option<(String, u16)>,
}

impl Broken {
    fn new(seed: u64, defect: Defect) -> Self {
        let mut config = sim::config(seed);
        if defect == Defect::NoticesTooSoon {
            config.notify_gap = Duration::from_millis(1);
        }
        let inner = sim::server(config);
        Self { defect, inner, own: Outbox::new(), notice: None, first: None }
    }

    /// Hands on what the dialect wants done, spoiled.
    fn pass(&mut self, now: Now, out: &mut Outbox) {
        let own = std::mem::take(&mut self.own);
        for output in own.outputs() {
            match output {
                Output::Tcp(conn, bytes) => {
                    if let Some(bytes) = self.spoil(now, conn, bytes, out) {
                        out.tcp(conn, |b| b.extend(bytes));
                    }
                }
                Output::Close(_) if self.defect == Defect::NeverClose => {}
                Output::Close(conn) => {
                    out.close(conn);
                    if self.defect == Defect::WriteAfterClose {
                        out.tcp(conn, |b| b.push(0xFE));
                    }
                }
                Output::Udp(via, to, bytes) => {
                    let times = if self.defect == Defect::Amplifies { 4 } else { 1 };
                    (0..times).for_each(|_| out.udp(via, to, |b| b.extend_from_slice(bytes)));
                }
            }
        }
    }

    fn spoil(&mut self, now: Now, conn: ConnId, bytes: &[u8], out: &mut Outbox) -> Option<Vec<u8>> {
        let is_host = self.inner.use_of(conn) == Use::Lasting;
        let usual = Some(bytes.to_vec());
        if let Some((addr, port)) = introduction(bytes) {
            return match self.defect {
                Defect::PortZero => introduce(&addr, 0),
                Defect::WrongPort => introduce(&addr, port ^ 1),
                Defect::NeverFound if !is_host => Some(vec![0xFE]),
                _ if !is_host => usual,
                Defect::NoNotices => None,
                Defect::NoticesGlued => Some(bytes.repeat(2)),
                Defect::NoticeAgainLater => {
                    self.notice = Some((now.instant, conn, bytes.to_vec()));
                    usual
                }
                Defect::PortOfAnother => match self.first.get_or_insert((addr.clone(), port)) {
                    (first, port) if *first == addr => introduce(&addr, *port),
                    _ => usual,
                },
                Defect::CloseHosts => {
                    out.close(conn);
                    None
                }
                _ => usual,
            };
        }
        match (self.defect, bytes) {
            (Defect::NoNotFound, b"\xfe") => None,
            (Defect::NotFoundTwice, b"\xfe") => {
                out.tcp(conn, |b| b.push(0xFE));
                usual
            }
            (Defect::EmptyLobby, [0xF9, ..]) => Some(b"\xf9[]\n".to_vec()),
            _ => usual,
        }
    }
}

/// Address and port of an introduction.
fn introduction(bytes: &[u8]) -> Option<(String, u16)> {
    let text = std::str::from_utf8(bytes.strip_prefix(b"\xff")?).ok()?;
    let (addr, port) = text.split_once('\0')?;
    Some((addr.to_owned(), port.trim_end_matches('\0').parse().ok()?))
}

fn introduce(addr: &str, port: u16) -> Option<Vec<u8>> {
    Some([b"\xff", format!("{addr}\0{port}\0").as_bytes()].concat())
}

impl Serves for Broken {
    fn on_accept(
        &mut self,
        now: Now,
        began: Instant,
        conn: ConnId,
        peer: SocketAddr,
        out: &mut Outbox,
    ) {
        self.inner.on_accept(now, || began, conn, peer, &mut self.own);
        self.pass(now, out);
    }

    fn on_bytes(&mut self, now: Now, conn: ConnId, bytes: &[u8], out: &mut Outbox) {
        self.inner.on_bytes(now, conn, bytes, &mut self.own);
        self.pass(now, out);
    }

    fn on_fin(&mut self, now: Now, conn: ConnId, out: &mut Outbox) {
        self.inner.on_fin(now, conn, &mut self.own);
        self.pass(now, out);
    }

    fn on_gone(&mut self, now: Now, conn: ConnId, out: &mut Outbox) {
        if self.defect != Defect::DeafToEnds {
            self.inner.on_gone(now, conn, &mut self.own);
        }
        self.pass(now, out);
    }

    fn on_datagram(&mut self, now: Now, via: Via, peer: SocketAddr, data: &[u8], out: &mut Outbox) {
        self.inner.on_datagram(now, via, peer, data, &mut self.own);
        if self.defect == Defect::MixesUp && !data.starts_with(b"\xde\xc0\xad\xde") {
            self.inner.on_datagram(now, via, peer, b"reg\n", &mut self.own);
        }
        self.pass(now, out);
        if self.defect == Defect::AnswerUdp {
            out.udp(via, peer, |b| b.push(0xFE));
        }
    }

    fn on_wakeup(&mut self, now: Now, out: &mut Outbox) {
        self.inner.on_wakeup(now, &mut self.own);
        self.pass(now, out);
        let gap = Config::default().gmnet.notify_gap;
        if let Some((_, conn, bytes)) = self.notice.take_if(|(at, ..)| now.instant - *at >= gap)
            && self.inner.use_of(conn) == Use::Lasting
        {
            out.tcp(conn, |b| b.extend(bytes));
        }
    }

    fn next_wakeup(&self) -> Option<Instant> {
        let past = Instant::from_micros(0);
        self.inner.next_wakeup().map(|at| if self.defect == Defect::NeverSleep { past } else { at })
    }

    fn on_shutdown(&mut self, now: Now, out: &mut Outbox) {
        self.inner.on_shutdown(now, &mut self.own);
        self.pass(now, out);
    }

    fn owes(&self) -> bool {
        self.defect == Defect::AlwaysOwe || self.inner.owes()
    }
}

/// The promises that a defect is seen to break in some hundred schedules, up to this one.
fn seen(defect: Defect, wanted: Option<Promise>) -> BTreeSet<Promise> {
    let mut seen = BTreeSet::new();
    for seed in 0..200 {
        let result = sim::run_server(seed, Broken::new(seed, defect), false).0;
        seen.extend(result.err().map(|failure| failure.violation.promise));
        if wanted.is_some_and(|wanted| seen.contains(&wanted)) {
            break;
        }
    }
    seen
}

#[test]
fn what_is_meant_for_another_dialect_is_seen_to_disturb() {
    assert!(seen(Defect::MixesUp, Some(Promise::ShownPorts)).contains(&Promise::ShownPorts));
}

#[test]
fn every_check_sees_the_defect_that_it_is_there_for() {
    assert_eq!(seen(Defect::None, None), BTreeSet::new(), "the wrapper itself breaks nothing");
    let expected = [
        (Defect::PortZero, Promise::NoPortZero),
        (Defect::WrongPort, Promise::ShownPorts),
        (Defect::PortOfAnother, Promise::OwnPort),
        (Defect::NoNotFound, Promise::InTime),
        (Defect::NotFoundTwice, Promise::OneAnswer),
        (Defect::NeverFound, Promise::Found),
        (Defect::EmptyLobby, Promise::Listed),
        (Defect::DeafToEnds, Promise::NoGhosts),
        (Defect::NoNotices, Promise::Told),
        (Defect::NoticeAgainLater, Promise::ToldOnce),
        (Defect::NoticesTooSoon, Promise::NotifyGap),
        (Defect::NoticesGlued, Promise::OnePiece),
        (Defect::WriteAfterClose, Promise::OpenOnly),
        (Defect::AnswerUdp, Promise::WantedUdp),
        (Defect::Amplifies, Promise::NoAmplification),
        (Defect::CloseHosts, Promise::KeepsOpen),
        (Defect::NeverClose, Promise::Closes),
        (Defect::NeverSleep, Promise::Sleeps),
        (Defect::AlwaysOwe, Promise::Drains),
    ];
    let mut checked = BTreeSet::new();
    for (defect, promise) in expected {
        let seen = seen(defect, Some(promise));
        assert!(seen.contains(&promise), "{defect:?} was seen as {seen:?}");
        checked.insert(promise);
    }
    assert_eq!(checked.len(), expected.len(), "each promise has its own defect");
}

const NAT: IpAddr = IpAddr::V4(Ipv4Addr::new(203, 0, 113, 1));
const GAME: Inside = Inside { peer: 1, port: 5000 };

fn nat(mapping: Dependence, filtering: Dependence, allocation: Allocation) -> (Nat, Rng) {
    let mut rng = Rng::new(7);
    let timeout = Duration::from_secs(30);
    let behaviour = Behaviour { mapping, filtering, allocation, timeout };
    (Nat::new(NAT, behaviour, &mut rng), rng)
}

fn remote(host: u8, port: u16) -> SocketAddr {
    SocketAddr::from(([192, 0, 2, host], port))
}

fn at(seconds: u64) -> Instant {
    Instant::from_micros(seconds * 1_000_000)
}

#[test]
fn mappings_depend_on_what_they_are_said_to() {
    use Dependence::{AddressAndPortDependent, AddressDependent, EndpointIndependent};
    for (mapping, same_addr, other_addr) in [
        (EndpointIndependent, true, true),
        (AddressDependent, true, false),
        (AddressAndPortDependent, false, false),
    ] {
        for allocation in [Allocation::Random, Allocation::Sequential] {
            let (mut nat, mut rng) = nat(mapping, EndpointIndependent, allocation);
            let mut port = |to| nat.outbound(at(1), GAME, to, &mut rng);
            let first = port(remote(1, 1));
            assert_eq!(first.ip(), NAT);
            assert_eq!(port(remote(1, 1)), first, "{mapping:?}: a mapping is kept");
            assert_eq!(port(remote(1, 2)) == first, same_addr, "{mapping:?}");
            assert_eq!(port(remote(2, 1)) == first, other_addr, "{mapping:?}");
        }
    }
}

#[test]
fn filters_depend_on_what_they_are_said_to() {
    use Dependence::{AddressAndPortDependent, AddressDependent, EndpointIndependent};
    for (filtering, same_addr, other_addr) in [
        (EndpointIndependent, true, true),
        (AddressDependent, true, false),
        (AddressAndPortDependent, false, false),
    ] {
        let (mut nat, mut rng) = nat(EndpointIndependent, filtering, Allocation::Random);
        let outside = nat.outbound(at(1), GAME, remote(1, 1), &mut rng).port();
        assert_eq!(nat.inbound(at(1), outside, remote(1, 1)), Some(GAME));
        assert_eq!(nat.inbound(at(1), outside, remote(1, 2)).is_some(), same_addr);
        assert_eq!(nat.inbound(at(1), outside, remote(2, 1)).is_some(), other_addr);
        assert_eq!(nat.inbound(at(1), outside ^ 1, remote(1, 1)), None, "nobody has that port");
    }
}

#[test]
fn ports_are_allocated_as_said_and_mappings_time_out() {
    let independent = Dependence::EndpointIndependent;
    let (mut nat, mut rng) = nat(independent, independent, Allocation::Sequential);
    let mut port = |second, peer| {
        nat.outbound(at(second), Inside { peer, port: 1 }, remote(1, 1), &mut rng).port()
    };
    let first = port(0, 1);
    assert_eq!(port(0, 2), first + 1);
    assert_eq!(port(0, 3), first + 2);
    assert_eq!(port(29, 1), first, "it lives");
    assert_eq!(port(58, 1), first, "as long as it is used");
    assert_eq!(port(88, 1), first + 3, "and is forgotten then");
    assert_eq!(nat.inbound(at(200), first + 3, remote(1, 1)), None);
}
