//! Numbers for Prometheus. Whatever peers do, there are the same series: each label has few values, which
//! are all there from the start.

mod nodes;
mod table;

use super::super::answers::{Answers, BUCKETS, Times};
use super::api::all_limits;
use super::{Server, View, uptime};
use crate::clock::Now;
use crate::dialect::{Census, Name, Shows as _};
use crate::http::{Answer, Body, Status};
use crate::introductions::journal::Counts;
use crate::nats::Kind;
use crate::refusals::Reason;
use table::{Family, Table, Value};

/// All metrics.
pub(super) fn metrics(view: &View, now: Now, server: &Server, answers: &Answers) -> Answer {
    let mut all = about_server(view, now, server);
    all.extend(by_dialect(server, answers));
    all.extend(introductions(server));
    all.push(refusals(server));
    all.extend(limits(server));
    all.extend(relay(server));
    all.extend(server.cluster.iter().flat_map(|cluster| nodes::nodes(now, cluster)));
    match Table(all).encode() {
        Ok(text) => Answer::of(Body::Metrics(text)),
        Err(_) => Answer::error(Status::Internal),
    }
}

/// The process, and the server as a whole.
fn about_server(view: &View, now: Now, server: &Server) -> Vec<Family> {
    let end = view.certificate_end();
    let usage = view.noted.map(|(_, usage)| usage);
    let started = *view.started.get_or_init(|| now.unix.saturating_sub(uptime(now).as_secs()));
    let version = env!("CARGO_PKG_VERSION").to_owned();
    let labels = vec![("version", version), ("build", view.config.build.to_owned())];
    let mut all = vec![
        Family::info("punchd_build", "Which punchd this is").with(labels, Value::Info),
        Family::gauge("punchd_healthy", "Whether all is well (1), as /healthz tells")
            .with([], Value::Count(server.ailment().is_none().into())),
        Family::gauge("punchd_warnings", "Warnings that the window shows and the log has told")
            .with([], Value::Count(server.warnings(now, end).len() as u64)),
        Family::gauge("punchd_connections", "TCP connections that are open")
            .with([], Value::Count(server.connections.len() as u64)),
        Family::gauge("process_start_time_seconds", "When the process was started, since 1970")
            .with([], Value::Count(started)),
    ];
    if let Some(end) = end {
        let name = "punchd_certificate_end_seconds";
        let family = Family::gauge(name, "When the certificate ends, since 1970");
        all.push(family.with([], Value::Count(end.unix)));
    }
    if let Some(cpu) = usage.and_then(|usage| usage.cpu) {
        let family = Family::counter("process_cpu_seconds", "Time of a CPU that was used");
        all.push(family.with([], Value::Number(cpu.as_secs_f64())));
    }
    if let Some(memory) = usage.and_then(|usage| usage.memory) {
        let family = Family::gauge("process_resident_memory_bytes", "Memory that is used");
        all.push(family.with([], Value::Count(memory)));
    }
    all
}

/// Who is there, and how long they wait.
fn by_dialect(server: &Server, answers: &Answers) -> [Family; 4] {
    let mut up = Family::gauge("punchd_dialect_up", "Whether a dialect is spoken (1)");
    let mut hosts = Family::gauge("punchd_hosts", "Hosts, rooms or lobbies that can be joined");
    let mut clients = Family::gauge("punchd_clients", "Others who are connected or logged in");
    let mut times = Family::histogram(
        "punchd_answer_seconds",
        "Time from when something came to when its answer was handed to the kernel, of what is answered at once",
    );
    for name in Name::ALL {
        let label = || [("dialect", name.to_string())];
        let dialect = server.dialects.get(name);
        let is_up = dialect.is_some_and(|dialect| dialect.speaks());
        let census = dialect.map(|dialect| dialect.census()).unwrap_or_default();
        let Census { hosts: of_hosts, clients: of_clients } = census;
        up.add(label(), Value::Count(is_up.into()));
        hosts.add(label(), Value::Count(of_hosts as u64));
        clients.add(label(), Value::Count(of_clients as u64));
        times.add(label(), histogram(answers.of(name)));
    }
    [up, hosts, clients, times]
}

#[expect(clippy::cast_precision_loss, reason = "microseconds of some years")]
fn histogram(times: Times) -> Value {
    let bounds = BUCKETS.iter().map(|micros| *micros as f64 / 1e6).chain([f64::INFINITY]);
    Value::Histogram { sum: times.sum as f64 / 1e6, buckets: bounds.zip(times.buckets).collect() }
}

/// How they ended, by dialect and by what the two sides are behind.
fn introductions(server: &Server) -> [Family; 3] {
    let mut by_dialect =
        Family::counter("punchd_introductions", "Introductions that have ended, by their way");
    let mut by_nat = Family::counter(
        "punchd_nat_introductions",
        "The same by what the two sides are behind, in the order of the alphabet",
    );
    let mut late = Family::counter(
        "punchd_introductions_late",
        "Those that have ended as failed and got through after all, which are counted as both",
    );
    let journal = &server.shared.journal;
    // Nobody is introduced by STUN.
    for name in Name::ALL.into_iter().filter(|name| *name != Name::Stun) {
        let of_name = journal.matrix().filter(|(dialect, ..)| *dialect == name);
        let sum = of_name.fold(Counts::default(), |sum, (.., counts)| sum.and(counts));
        late.add([("dialect", name.to_string())], Value::Count(sum.late));
        for (way, count) in sum.by_way() {
            let labels = [("dialect", name.to_string()), ("way", way.to_owned())];
            by_dialect.add(labels, Value::Count(count));
        }
    }
    for (n, one) in Kind::ALL.into_iter().enumerate() {
        for other in Kind::ALL.into_iter().skip(n) {
            let of_pair = journal.matrix().filter(|(_, pair, _)| *pair == [one, other]);
            let sum = of_pair.fold(Counts::default(), |sum, (.., counts)| sum.and(counts));
            let mut names = [one.name(), other.name()];
            names.sort_unstable();
            let [one, other] = names.map(str::to_owned);
            for (way, count) in sum.by_way() {
                let labels =
                    [("nat", one.clone()), ("other_nat", other.clone()), ("way", way.to_owned())];
                by_nat.add(labels, Value::Count(count));
            }
        }
    }
    [by_dialect, by_nat, late]
}

/// What was refused.
fn refusals(server: &Server) -> Family {
    let mut family = Family::counter("punchd_refusals", "What was refused, by reason");
    for reason in Reason::ALL {
        for speaks in Name::ALL.into_iter().map(Some).chain([None]) {
            let dialect = speaks.map_or("unknown".to_owned(), |name| name.to_string());
            let labels = [("dialect", dialect), ("reason", reason.name().to_owned())];
            let count = server.shared.refusals.count(reason, speaks);
            family.add(labels, Value::Count(count.times));
        }
    }
    family
}

/// What there may be so much of and no more.
fn limits(server: &Server) -> [Family; 2] {
    let mut used = Family::gauge("punchd_limit_used", "How much there is of what has a bound");
    let mut most = Family::gauge("punchd_limit_max", "How much of it there may be");
    for limit in all_limits(server) {
        let label = || [("limit", limit.what.to_owned())];
        used.add(label(), Value::Count(limit.used as u64));
        most.add(label(), Value::Count(limit.most as u64));
    }
    [used, most]
}

/// The relay; zeros if there is none.
fn relay(server: &Server) -> [Family; 2] {
    let relay = &server.shared.relay;
    [
        Family::gauge("punchd_relay_sessions", "Pairs of players that are relayed now")
            .with([], Value::Count(relay.len() as u64)),
        Family::counter("punchd_relay_bytes", "Bytes that the relay has passed on")
            .with([], Value::Count(relay.passed())),
    ]
}
