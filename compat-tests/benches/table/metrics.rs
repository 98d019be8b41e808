//! What introductions have of the metrics: the same with the owner's window, for which they are counted,
//! and without.

use compat_tests::bench::Failure;
use compat_tests::bench::players::{Kind, Work, usual};
use compat_tests::bench::sockets::address;

use crate::report::Reach;
use crate::{Bench, Table, sides};

/// Kinds of peers, for their addresses.
const HOST: u8 = 3;
/// So many that none is asked for again before its notify gap is over.
const HOSTS: usize = 2400;

pub(crate) fn metrics(bench: &mut Bench) -> Result<(), Failure> {
    let table = |window: &str| {
        let mut table = Table::master(bench.punchd(&["--http", window])?, 500)?;
        table.players.register((0..HOSTS).map(|n| address(HOST, n)), usual)?;
        Ok::<_, Failure>(table)
    };
    let (mut with, mut without) = (table("127.0.0.1:0")?, table("off")?);
    let work = Work { kind: Kind::Fresh, count: 10_000, at_once: 64, rate: None };
    let round = |table: &mut Table| table.cpu(work.count, |players| players.introduce(&work));
    let rounds = bench.alternate(|| round(&mut with), || round(&mut without))?;
    let cpu = sides(rounds.iter().map(|((a, _), (b, _))| (*a, *b)));
    let name = "metrics: introductions with the window: CPU";
    bench.report.compare(name, Reach::Within(1.02), "us", &cpu, "without");
    Ok(())
}
