//! The relay: what a packet costs that it passes on and how many there are a second, against the bare
//! loop; the memory of a session; and what introductions have of it, and of the journal.

use std::net::{Ipv4Addr, UdpSocket};
use std::time::{Duration, Instant};

use compat_tests::bench::Failure;
use compat_tests::bench::flood::sink;
use compat_tests::bench::notes::Notes;
use compat_tests::bench::players::{Kind, Work, usual};
use compat_tests::bench::process::Process;
use compat_tests::bench::relayed::{self, Introduced, Relayed, relay_address};
use compat_tests::bench::sockets::{self, address};
use compat_tests::bench::stats::Rounds;
use compat_tests::bench::traffic::Traffic;
use punchd::introductions::journal::{self, Way};

use crate::others::one_round;
use crate::report::Reach;
use crate::{Bench, OTHER_FILES, Table, sides};

/// Kinds of peers, for their addresses.
const HOST: u8 = 3;
/// So many that none is asked for again before its notify gap is over.
const HOSTS: usize = 2400;

/// Pairs that play at the same time, at a port of the pool each.
const PAIRS: usize = 32;
/// What they send in all is as much as there is at once in the sockets.
const UNBOUNDED: [&str; 8] = [
    "--relay-bytes",
    "0",
    "--relay-packets",
    "0",
    "--relay-total",
    "0",
    "--relay-ports",
    "20000-20063",
];

/// A relay, and who plays by it.
struct Relay {
    server: Process,
    pairs: Relayed,
}

impl Relay {
    /// That of a master server.
    fn ours(bench: &Bench) -> Result<Self, Failure> {
        let at = relay_address(0);
        let mut server = with_relay(bench, at)?;
        let pairs = Relayed::new(server.addr(), at, PAIRS)?;
        server.watch("relay")?;
        Ok(Self { server, pairs })
    }

    fn bare(bench: &Bench) -> Result<Self, Failure> {
        let at = relay_address(1);
        let server = bench.bare_relay(at)?;
        let pairs = Relayed::bare(server.addr(), at, PAIRS)?;
        Ok(Self { server, pairs })
    }

    /// Packets a second of a core when all were sent before the relay begins, so that the load cannot be
    /// the bottleneck.
    fn pent_up(&mut self) -> Result<f64, Failure> {
        // So many fit into the sockets.
        const EACH: usize = 100;
        const TIMES: usize = 10;
        let mut used = Duration::ZERO;
        for _ in 0..TIMES {
            let before = self.server.cpu_at_rest()?;
            self.server.pause(true)?;
            let server = &self.server;
            self.pairs.pass_pent_up(EACH, || {
                server.pause(false)?;
                used += server.cpu_at_rest()? - before;
                Ok(())
            })?;
        }
        Ok((2 * PAIRS * EACH * TIMES) as f64 / used.as_secs_f64())
    }
}

fn with_relay(bench: &Bench, at: Ipv4Addr) -> Result<Process, Failure> {
    bench.punchd(&[&["--relay", &at.to_string()], &UNBOUNDED[..]].concat())
}

/// What a packet costs.
pub(crate) fn packets(bench: &mut Bench) -> Result<(), Failure> {
    let (mut ours, mut bare) = (Relay::ours(bench)?, Relay::bare(bench)?);
    // Of players, and at full load.
    let slow = relayed::Work { count: 20_000, at_once: 512, rate: Some(20_000.0) };
    let fast = relayed::Work { count: 100_000, rate: None, ..slow };
    for work in [slow, fast] {
        let round = |relay: &mut Relay| {
            let Relay { server, pairs } = relay;
            one_round(server, work.count, || pairs.pass(&work))
        };
        let rounds = bench.alternate(|| round(&mut ours), || round(&mut bare))?;
        let cpu = sides(rounds.iter().map(|((a, _), (b, _))| (*a, *b)));
        let report = &mut bench.report;
        let name = work.rate.map_or("at full load".into(), |rate| format!("{rate:.0}/s"));
        let what = format!("relayed packet of {PAIRS} pairs, {name}: CPU");
        report.compare(&what, Reach::Within(1.1), "us", &cpu, "bare loop");
        if work.rate.is_none() {
            let rate = sides(rounds.iter().map(|((_, a), (_, b))| (*a, *b)));
            let what = format!("relayed packet of {PAIRS} pairs, {name}: rate");
            report.compare(&what, Reach::Above(0.9), "/s", &rate, "bare loop");
        }
    }
    let rounds = bench.alternate(|| ours.pent_up(), || bare.pent_up())?;
    let what = format!("relayed packet of {PAIRS} pairs: rate of a core, pent up");
    bench.report.compare(&what, Reach::Above(0.9), "/s", &sides(rounds), "bare loop");
    Ok(())
}

/// Bytes that a session takes, beside what the connections of the two players take.
pub(crate) fn memory(bench: &mut Bench) -> Result<(), Failure> {
    // Half way between two sizes that tables double at.
    let pairs = 3072.min((bench.crowd + OTHER_FILES) / 5);
    let rounds: Result<Rounds, Failure> = (0..3)
        .map(|_| {
            let at = relay_address(2);
            let server = with_relay(bench, at)?;
            let before = server.memory()?;
            let relayed = Relayed::new(server.addr(), at, pairs)?;
            let with = server.memory()?.saturating_sub(before);
            drop((relayed, server));
            let server = bench.punchd(&[])?;
            let before = server.memory()?;
            let _introduced = Introduced::new(server.addr(), pairs)?;
            let without = server.memory()?.saturating_sub(before);
            Ok((with as f64 - without as f64) / pairs as f64)
        })
        .collect();
    let what = format!("memory of an idle session of the relay, of {pairs}");
    bench.report.tell(&what, Reach::AtMost(300.0), "bytes", &rounds?);
    Ok(())
}

/// Introductions beside packets that go to the relay, to a socket of nobody, or to the bare loop on the core
/// of the server: those who send them take the same share of the players' core. Each client has a new
/// connection: one that it keeps for a second shows that it did not get through, and it is relayed itself.
struct Beside {
    table: Table,
    pairs: Relayed,
    nobody: Vec<UdpSocket>,
    /// It takes what is sent there.
    _sink: UdpSocket,
    bare: Relay,
}

/// Where the packets go.
#[derive(Clone, Copy)]
enum To {
    Relay,
    Nobody,
    Bare,
}

/// What came of introductions meanwhile.
struct Felt {
    /// Microseconds for each.
    cpu: f64,
    /// How many a second.
    rate: f64,
    /// Microseconds to half of the answers.
    answer: f64,
    /// Packets sent meanwhile, a second.
    sent: f64,
}

impl Beside {
    fn new(bench: &Bench) -> Result<Self, Failure> {
        const CLIENTS: usize = 500;
        let (at, bare) = (relay_address(3), Relay::bare(bench)?);
        let server = with_relay(bench, at)?;
        let pairs = Relayed::new(server.addr(), at, PAIRS)?;
        let mut table = Table::master(server, CLIENTS)?;
        table.players.register((0..HOSTS).map(|n| address(HOST, n)), usual)?;
        let (_sink, to) = sink()?;
        let nobody = (0..2 * PAIRS).map(|_| sockets::udp(Ipv4Addr::LOCALHOST, to.into()));
        let nobody: std::io::Result<_> = nobody.collect();
        let nobody = nobody.map_err(Failure::system("open a UDP socket"))?;
        Ok(Self { table, pairs, nobody, _sink, bare })
    }

    fn round(&mut self, to: To, rate: Option<f64>, work: &Work) -> Result<Felt, Failure> {
        let sockets = match to {
            To::Relay => self.pairs.sockets()?,
            To::Nobody => relayed::same(self.nobody.iter())?,
            To::Bare => self.bare.pairs.sockets()?,
        };
        let traffic = Traffic::start(sockets, rate);
        let (cpu, (sent, mut done)) = self.table.cpu(work.count, |players| {
            let (before, done) = (traffic.sent(), players.introduce(work)?);
            Ok(((traffic.sent() - before) as f64 / done.took.as_secs_f64(), done))
        })?;
        let rate = work.count as f64 / done.took.as_secs_f64();
        Ok(Felt { cpu, rate, answer: done.latencies.quantile(0.5), sent })
    }

    fn rounds(
        &mut self,
        count: usize,
        rate: Option<f64>,
        work: &Work,
    ) -> Result<Vec<[Felt; 3]>, Failure> {
        let mut all = Vec::new();
        for _ in 0..=count {
            let ours = self.round(To::Relay, rate, work)?;
            let nobody = self.round(To::Nobody, rate, work)?;
            all.push([ours, nobody, self.round(To::Bare, rate, work)?]);
        }
        // The first is thrown away, as everywhere.
        Ok(all.split_off(1))
    }
}

/// Introductions while the relay has much to do.
pub(crate) fn introductions(bench: &mut Bench) -> Result<(), Failure> {
    let (nobody, bare) = ("packets to nobody", "packets to the bare loop on its core");
    let mut beside = Beside::new(bench)?;
    let work = Work { kind: Kind::Fresh, count: 10_000, at_once: 64, rate: None };
    let rounds = beside.rounds(bench.rounds, None, &work)?;
    let report = &mut bench.report;
    let name = "introductions while the relay is at full load";
    let cpu = sides(rounds.iter().map(|[a, b, _]| (a.cpu, b.cpu)));
    report.compare(&format!("{name}: CPU"), Reach::Within(1.05), "us", &cpu, nobody);
    let rate = sides(rounds.iter().map(|[a, b, _]| (a.rate, b.rate)));
    report.compare(&format!("{name}: rate"), Reach::Above(0.95), "/s", &rate, nobody);
    let rate = sides(rounds.iter().map(|[a, _, b]| (a.rate, b.rate)));
    report.compare(&format!("{name}: rate"), Reach::Above(0.95), "/s", &rate, bare);
    let sent = sides(rounds.iter().map(|[a, b, _]| (a.sent, b.sent)));
    report.compare("the same: packets sent", Reach::Any, "/s", &sent, nobody);
    let work = Work { count: 3000, rate: Some(3000.0), ..work };
    let rounds = beside.rounds(bench.rounds, Some(20_000.0), &work)?;
    let name = "time to the answer at 3000/s while the relay passes on 20000/s: 50 %";
    let took = sides(rounds.iter().map(|[a, b, _]| (a.answer, b.answer)));
    bench.report.compare(name, Reach::Within(1.05), "us", &took, nobody);
    let took = sides(rounds.iter().map(|[a, _, b]| (a.answer, b.answer)));
    bench.report.compare(name, Reach::Within(1.05), "us", &took, bare);
    Ok(())
}

/// What it costs to note how an introduction ended, as a share of what the introduction did.
pub(crate) fn journal(bench: &mut Bench) -> Result<(), Failure> {
    const COUNT: usize = 100_000;
    let mut table = Table::master(bench.punchd(&[])?, 500)?;
    table.players.register((0..HOSTS).map(|n| address(HOST, n)), usual)?;
    let work = Work { kind: Kind::Fresh, count: 10_000, at_once: 64, rate: None };
    table.cpu(work.count, |players| players.introduce(&work))?;
    for (what, way) in [
        ("directly", Way::Direct(Some(Duration::from_millis(250)))),
        ("not at all", Way::No(journal::Relay::Untried)),
    ] {
        let mut shares = Rounds::default();
        for _ in 0..bench.rounds {
            let (cpu, _) = table.cpu(work.count, |players| players.introduce(&work))?;
            shares.add(note(COUNT, way) / cpu * 100.0);
        }
        let what = format!("journal: an introduction got through {what}");
        bench.report.tell(&what, Reach::AtMost(2.0), "% of its CPU", &shares);
    }
    Ok(())
}

/// Microseconds for each of so many notes.
fn note(count: usize, way: Way) -> f64 {
    let mut notes = Notes::new(10_000);
    let begin = Instant::now();
    (0..count).for_each(|_| notes.next(way));
    begin.elapsed().as_secs_f64() * 1e6 / count as f64
}
