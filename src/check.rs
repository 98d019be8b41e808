//! `punchd --check`: whether the server would start with these options and files, what it would do, and what
//! of that its owner may not want. The ports need not be free, and nothing is changed.

use std::net::{IpAddr, SocketAddr};

use crate::cli::{Options, PORT};
use crate::dialect::Name;
use crate::introductions::is_inside;
use crate::limits;
use crate::logging;
use crate::net::bind::{self, Bound};
use crate::net::files::FilesError;
use crate::reloads::Reloads;

/// What was found.
#[derive(Debug, Default)]
pub struct Report {
    /// What the server would do, a sentence each.
    serves: Vec<String>,
    /// What the owner may not want.
    doubts: Vec<String>,
    /// Why it would not start.
    faults: Vec<String>,
}

impl Report {
    /// Whether the server would start.
    #[must_use]
    pub fn is_good(&self) -> bool {
        self.faults.is_empty()
    }

    /// The report, a line each: what it would do, what is doubtful, what is wrong, and the sum of it.
    pub fn lines(&self) -> impl Iterator<Item = String> {
        let sum = match (self.faults.len(), self.doubts.len()) {
            (0, 0) => "all is well".to_owned(),
            (0, doubts) => format!("it would start; {doubts} doubtful"),
            (faults, doubts) => format!("it would not start: {faults} wrong, {doubts} doubtful"),
        };
        let of = |what: &'static str, lines: &[String]| {
            lines.iter().map(|line| format!("{what}: {line}")).collect::<Vec<_>>()
        };
        let serves = of("would serve", &self.serves).into_iter();
        let rest = of("doubtful", &self.doubts).into_iter().chain(of("wrong", &self.faults));
        serves.chain(rest).chain([sum])
    }

    fn take<T, E: ToString>(&mut self, what: Result<T, E>) -> Option<T> {
        what.map_err(|why| self.faults.push(why.to_string())).ok()
    }
}

/// Looks at the options and the files that they name. `connections` tells how many of them there may be;
/// `now` is in seconds since 1970.
pub fn check(
    options: &mut Options,
    now: u64,
    connections: impl Fn(&Options) -> Result<usize, FilesError>,
) -> Report {
    let mut report = Report::default();
    report.take(options.read_files());
    let reloads = report.take(Reloads::new(options));
    let end = reloads.as_ref().and_then(Reloads::end);
    let has_unknown_end = reloads.as_ref().is_some_and(|reloads| reloads.acceptor().is_some());
    if has_unknown_end && end.is_none() {
        report.doubts.push("it cannot be read when the certificate ends".into());
    }
    report.doubts.extend(reloads.and_then(|reloads| reloads.doubt(now)));
    let blocks = report.take(options.owner.blocks());
    if let Some(log) = &options.log {
        report.take(logging::check(log));
    }
    // Any free port will do to see whether the machine has these addresses.
    let sockets = report.take(bind::bind(&options.bind, 0, limits::GHOST)).unwrap_or_default();
    let most = report.take(connections(options));
    let port = match options.port.unwrap_or(PORT) {
        0 => "a free port".to_owned(),
        port => format!("port {port}"),
    };
    let addrs: Vec<String> = sockets.iter().map(|bound| bound.addr.ip().to_string()).collect();
    let most = most.map(|most| format!(", up to {most} connections")).unwrap_or_default();
    let how = options.serves(end);
    let addrs = addrs.join(", ");
    report.serves.push(format!("on {port} (TCP and UDP, address {addrs}){most}{how}"));
    if let Some(blocks) = blocks.filter(|blocks| !blocks.is_empty()) {
        let many = blocks.len();
        report.serves.push(format!("all but {many} blocked addresses and networks (--block)"));
        if blocks.has(IpAddr::from([127, 0, 0, 1])) {
            report.doubts.push("--block names this machine itself (127.0.0.1)".into());
        }
    }
    look_at_window(options, &mut report);
    if options.http.public_lobby {
        report.serves.push("the lobby for web sites (--public-lobby)".into());
    }
    look_at_relay(options, &sockets, &mut report);
    report.doubts.extend(options.without_effect());
    look_at_addresses(options, &mut report);
    if options.dialects.contains(&Name::Natpunch) && options.admits_only_some() {
        report.doubts.push(
            "clients of the original natpunch cannot show a key or a game, so they are refused \
             (--key, --games)"
                .into(),
        );
    }
    report
}

fn look_at_window(options: &Options, report: &mut Report) {
    let Some(at) = report.take(options.http.window()).flatten() else { return };
    report.serves.push(format!("the owner, at http://{at}/"));
    if !at.ip().is_loopback() {
        report.doubts.push(format!(
            "the token of the owner goes to http://{at}/ as it is: a web server with TLS in front, or ssh, \
             keeps it secret (--http)"
        ));
    }
}

fn look_at_relay(options: &Options, sockets: &[Bound], report: &mut Report) {
    let binds: Vec<IpAddr> =
        sockets.iter().map(|bound| bound.addr).map(|addr: SocketAddr| addr.ip()).collect();
    let place = options.relay.place(&binds, options.public_ips(), bind::own_addresses());
    let Some(place) = report.take(place).flatten() else { return };
    report.serves.push(place.config.to_string());
    for ip in place.config.told.all().filter(|ip| is_inside(*ip)) {
        report.doubts.push(format!(
            "the relay is told as {ip}, where only players in this network reach it (--relay-public)"
        ));
    }
}

fn look_at_addresses(options: &Options, report: &mut Report) {
    for ip in options.public_ip.iter().filter(|ip| is_inside(**ip)) {
        report.doubts.push(format!(
            "--public-ip {ip} is an address of a local network, where only players in this network get to"
        ));
    }
    let is_loopback = !options.bind.is_empty() && options.bind.iter().all(IpAddr::is_loopback);
    if is_loopback {
        report.doubts.push("only this machine can reach it (--bind)".into());
    }
}
