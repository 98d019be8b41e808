//! How it goes, in numbers.

use std::time::Duration;

use serde::Serialize;

use super::nodes::Cluster;
use super::rounded;
use crate::clock::Now;
use crate::cluster::ALONE;
use crate::dialect::events::tls::Acceptor;
use crate::dialect::{Bound, Census, Name, Shows as _};
use crate::introductions::journal::Counts;
use crate::introductions::relay::Refused;
use crate::limits;
use crate::net::certificate::End;
use crate::server::Server;
use crate::server::window::samples::{EVERY, Sample};
use crate::server::window::{View, begin, uptime};

/// How it goes.
#[derive(Debug, Serialize)]
pub(in crate::server::window) struct Status<'a> {
    name: &'static str,
    version: &'static str,
    build: &'static str,
    time: u64,
    uptime: u64,
    hosts: usize,
    clients: usize,
    connections: usize,
    /// What seems to be wrong.
    warnings: Vec<String>,
    memory: Option<u64>,
    cpu: Option<f64>,
    introductions: Introduced,
    relay: Option<Relayed>,
    cluster: Option<Cluster<'a>>,
    tls: Option<Tls>,
    dialects: Vec<Spoken>,
    limits: Vec<Limit>,
    options: Vec<Setting<'a>>,
    curves: Curves,
}

/// How introductions end.
#[derive(Debug, Serialize)]
struct Introduced {
    per_minute: f64,
    share_through: Option<f64>,
    direct: u64,
    relayed: u64,
    failed: u64,
}

/// The relay.
#[derive(Debug, Serialize)]
struct Relayed {
    sessions: usize,
    bytes_per_second: u64,
    bytes: u64,
}

/// The certificate.
#[derive(Debug, Serialize)]
struct Tls {
    certificate_end: Option<u64>,
}

#[derive(Debug, Serialize)]
struct Spoken {
    name: String,
    speaks: bool,
    hosts: usize,
    clients: usize,
}

#[derive(Debug, Serialize)]
pub(in crate::server::window) struct Limit {
    pub(in crate::server::window) what: &'static str,
    pub(in crate::server::window) used: usize,
    pub(in crate::server::window) most: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    option: Option<&'static str>,
}

#[derive(Debug, Serialize)]
struct Setting<'a> {
    option: &'a str,
    value: &'a str,
}

/// The last hour, the oldest first.
#[derive(Debug, Serialize)]
struct Curves {
    every: u64,
    until: u64,
    hosts: Vec<usize>,
    clients: Vec<usize>,
    connections: Vec<usize>,
    introductions: Vec<u64>,
    share_through: Vec<Option<f64>>,
    relayed: Vec<usize>,
    relayed_bytes_per_second: Vec<u64>,
    memory: Vec<Option<u64>>,
    cpu: Vec<Option<f64>>,
}

/// Without NATS.
const CUT_OFF: &str = "no NATS server answers (--cluster): this node serves its own players alone";

impl Server {
    /// Whether there has been no way to other nodes for a while, if this is a node.
    fn is_cut_off(&self, now: Now) -> bool {
        /// At its start it takes a moment.
        const PATIENCE: Duration = Duration::from_secs(5);
        let since = self.cluster.as_ref().and_then(|cluster| cluster.cut_since());
        since.is_some_and(|since| now.instant - since.max(begin()) >= PATIENCE)
    }

    /// What is wrong where another process has the name of this node.
    fn double(&self, now: Now) -> Option<String> {
        let cluster = self.cluster.as_ref().filter(|cluster| cluster.has_double(now.instant))?;
        let (name, _) = cluster.own();
        Some(format!(
            "another node calls itself {name} as well: they hide each other's hosts; give each a --node of its own"
        ))
    }

    /// What seems to be wrong, a sentence each. `end` is that of the certificate.
    pub(in crate::server::window) fn warnings(&self, now: Now, end: Option<End>) -> Vec<String> {
        let mut all = self.shared.diagnostics.sentences(now.instant);
        all.extend(self.gateway.warning());
        let is_used_up = self.shared.relay.is_used_up(now);
        all.extend(is_used_up.then(|| format!("the relay: {}", Refused::Month)));
        all.extend(self.is_cut_off(now).then(|| CUT_OFF.to_owned()));
        let is_alone = self.cluster.as_ref().is_some_and(|cluster| cluster.is_alone(now.instant));
        all.extend(is_alone.then(|| format!("{ALONE} (--cluster)")));
        all.extend(self.double(now));
        all.extend(self.cluster.iter().flat_map(|cluster| cluster.untold(now.instant)));
        all.extend(end.and_then(|end| end.warning(&"the certificate (--tls-cert)", now.unix)));
        all
    }
}

impl View {
    /// When the certificate ends, if there is one and that can be read.
    pub(in crate::server::window) fn certificate_end(&self) -> Option<End> {
        let certificate = self.config.tls.as_ref().and_then(Acceptor::certificate)?;
        End::of(&certificate)
    }

    pub(in crate::server::window) fn status<'a>(
        &'a self,
        now: Now,
        server: &'a Server,
    ) -> Status<'a> {
        let Census { hosts, clients } = server.census();
        let usage = self.noted.map(|(_, usage)| usage);
        let relay = &server.shared.relay;
        let relayed = |relayed: f64| Relayed {
            sessions: relay.len(),
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "bytes")]
            bytes_per_second: relayed as u64,
            bytes: relay.passed(),
        };
        let end = self.config.tls.as_ref().map(|_| self.certificate_end());
        let options = self.config.options.iter().map(|(option, value)| Setting { option, value });
        Status {
            name: "punchd",
            version: env!("CARGO_PKG_VERSION"),
            build: self.config.build,
            time: now.unix,
            uptime: uptime(now).as_secs(),
            hosts,
            clients,
            connections: server.connections.len(),
            warnings: server.warnings(now, end.flatten()),
            memory: usage.and_then(|usage| usage.memory),
            cpu: self.cpu.map(|cpu| rounded(cpu, 1e4)),
            introductions: self.introduced(server),
            relay: relay.is_there().then(|| relayed(self.relayed)),
            cluster: server.cluster.as_deref().map(|cluster| Cluster::of(now, cluster)),
            tls: end.map(|end| Tls { certificate_end: end.map(|end| end.unix) }),
            dialects: spoken(server),
            limits: all_limits(server),
            options: options.collect(),
            curves: self.curves(),
        }
    }

    /// Those of the last hour, and all since the start.
    fn introduced(&self, server: &Server) -> Introduced {
        let Counts { direct, relayed, failed, .. } = server.shared.journal.total();
        let (first, last) = (self.samples.first(), self.samples.last());
        let through = direct + relayed - first.through;
        let minute = self.samples.between(ended).last().copied().unwrap_or_default();
        let now = direct + relayed + failed - last.through - last.failed;
        #[expect(clippy::cast_precision_loss, reason = "few")]
        let per_minute = minute.max(now) as f64;
        let share_through = share(through, failed - first.failed);
        Introduced { per_minute, share_through, direct, relayed, failed }
    }

    fn curves(&self) -> Curves {
        let samples = &self.samples;
        let seconds = EVERY.as_secs();
        let cpu = |before: &Sample, after: &Sample| {
            let used = after.cpu?.saturating_sub(before.cpu?);
            Some(rounded(used.as_secs_f64() / EVERY.as_secs_f64(), 1e4))
        };
        Curves {
            every: seconds,
            until: samples.unix(),
            hosts: samples.each(|sample| sample.hosts),
            clients: samples.each(|sample| sample.clients),
            connections: samples.each(|sample| sample.connections),
            introductions: samples.between(ended),
            share_through: samples.between(|before, after| {
                share(after.through - before.through, after.failed - before.failed)
            }),
            relayed: samples.each(|sample| sample.relayed),
            relayed_bytes_per_second: samples
                .between(|before, after| (after.passed - before.passed) / seconds),
            memory: samples.each(|sample| sample.memory),
            cpu: samples.between(cpu),
        }
    }
}

/// How many introductions ended between two samples.
fn ended(before: &Sample, after: &Sample) -> u64 {
    after.through + after.failed - before.through - before.failed
}

/// Of all that is left, which part got through.
#[expect(clippy::cast_precision_loss, reason = "for people")]
fn share(through: u64, failed: u64) -> Option<f64> {
    let all = through + failed;
    (all > 0).then(|| rounded(through as f64 / all as f64, 1e4))
}

fn spoken(server: &Server) -> Vec<Spoken> {
    let all = Name::ALL.into_iter().filter_map(|name| Some((name, server.dialects.get(name)?)));
    let told = all.map(|(name, dialect)| {
        let Census { hosts, clients } = dialect.census();
        Spoken { name: name.to_string(), speaks: dialect.speaks(), hosts, clients }
    });
    told.collect()
}

/// What there may be so much of and no more.
pub(in crate::server::window) fn all_limits(server: &Server) -> Vec<Limit> {
    let mut all = vec![
        Limit {
            what: "connections",
            used: server.connections.len(),
            most: server.limits.connections,
            option: Some("--max-connections"),
        },
        Limit {
            what: "addresses whose NATs are known",
            used: server.shared.nats.len(),
            most: limits::NATS,
            option: None,
        },
    ];
    if server.shared.relay.is_there() {
        let (used, most) = (server.shared.relay.len(), limits::relay::SESSIONS);
        all.push(Limit { what: "relayed pairs", used, most, option: None });
    }
    if server.cluster.is_some() {
        let (used, most) = (server.shared.relay.far(), limits::cluster::RELAYED);
        all.push(Limit { what: "pairs that other nodes relay", used, most, option: None });
    }
    for dialect in server.dialects.all() {
        dialect.bounds(&mut |Bound { what, used, most, option }| {
            all.push(Limit { what, used, most, option });
        });
    }
    all
}
