//! `punchd --check`: whether the server would start with these options and files, what it would do, and what
//! of that its owner may not want. Ports are opened for a moment; those of a server that runs need not be
//! free. Nothing is changed.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::cli::{Options, PORT, unknown_variables};
use crate::dialect::Name;
use crate::introductions::is_inside;
use crate::logging;
use crate::net::files::FilesError;
use crate::reloads::Reloads;

mod ports;

/// What was found.
#[derive(Debug, Default)]
pub struct Report {
    /// What the server would do, a sentence each.
    serves: Vec<String>,
    /// What the owner may not want.
    warnings: Vec<String>,
    /// What it would have to do without, though it is asked for.
    unavailable: Vec<String>,
    /// Why it would not start.
    faults: Vec<String>,
}

impl Report {
    /// Whether the server would start and do what it is asked for.
    #[must_use]
    pub fn is_good(&self) -> bool {
        self.faults.is_empty() && self.unavailable.is_empty()
    }

    /// The report, a line each: what it would do, what is doubtful, what is wrong, and the sum of it.
    pub fn lines(&self) -> impl Iterator<Item = String> {
        let (faults, unavailable, warnings) =
            (self.faults.len(), self.unavailable.len(), self.warnings.len());
        let sum = match (faults, unavailable, warnings) {
            (0, 0, 0) => "all is well".to_owned(),
            (0, 0, _) => format!("it would start; {warnings} doubtful"),
            (0, ..) => {
                format!(
                    "it would start without some of that: {unavailable} wrong, {warnings} doubtful"
                )
            }
            _ => format!("it would not start: {} wrong, {warnings} doubtful", faults + unavailable),
        };
        let of = |what: &'static str, lines: &[String]| {
            lines.iter().map(|line| format!("{what}: {line}")).collect::<Vec<_>>()
        };
        let serves = of("would serve", &self.serves).into_iter();
        let wrong = [&self.unavailable[..], &self.faults].concat();
        let rest = of("doubtful", &self.warnings).into_iter().chain(of("wrong", &wrong));
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
    for why in options.read_files().err().into_iter().flatten() {
        report.faults.push(why.to_string());
    }
    let reloads = report.take(Reloads::new(options));
    let end = reloads.as_ref().and_then(Reloads::end);
    let has_unknown_end = reloads.as_ref().is_some_and(|reloads| reloads.acceptor().is_some());
    if has_unknown_end && end.is_none() {
        report.warnings.push("the end date of the certificate cannot be read".into());
    }
    report.warnings.extend(reloads.and_then(|reloads| reloads.warning(now)));
    let blocks = report.take(options.owner.blocks());
    if let Some(log) = &options.log {
        report.take(logging::check(log));
    }
    let tried = ports::try_games(options, &mut report);
    let most = report.take(connections(options));
    let port = match options.port.unwrap_or(PORT) {
        0 => "a free port".to_owned(),
        port => format!("port {port}"),
    };
    let addrs: Vec<String> = tried.addrs.iter().map(|addr| addr.ip().to_string()).collect();
    let most = most.map(|most| format!(", up to {most} connections")).unwrap_or_default();
    let how = options.serves(end);
    // If there is none, it has been said why.
    if !addrs.is_empty() {
        let addrs = addrs.join(", ");
        report.serves.push(format!("on {port} (TCP and UDP, address {addrs}){most}{how}"));
    }
    if let Some(blocks) = blocks.filter(|blocks| !blocks.is_empty()) {
        let many = blocks.len();
        let what = if many == 1 { "address or network" } else { "addresses and networks" };
        report.serves.push(format!("all but {many} blocked {what} (--block)"));
        let all = blocks.families();
        report
            .warnings
            .extend(all.map(|family| format!("--block names all addresses of {family}")));
        let itself: [IpAddr; 2] = [Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()];
        for ip in itself.into_iter().filter(|ip| blocks.has(*ip)) {
            report.warnings.push(format!("--block names this machine itself ({ip})"));
        }
    }
    ports::try_window(options, &tried, &mut report);
    if options.http.public_lobby {
        report.serves.push("the lobby for web sites (--public-lobby)".into());
    }
    let udp = ports::try_stun(options, &tried, &mut report);
    ports::try_relay(options, &tried, &udp, &mut report);
    report.warnings.extend(options.without_effect());
    report.warnings.extend(options.lists().warnings());
    report.warnings.extend(unknown_variables());
    look_at_addresses(options, &mut report);
    if options.speaks(Name::Natpunch) && options.admits_only_some() {
        report.warnings.push(
            "clients of the original natpunch cannot show a key or a game, so they are refused \
             (--key, --games)"
                .into(),
        );
    }
    report
}

fn look_at_addresses(options: &Options, report: &mut Report) {
    for ip in options.public_ip.iter().filter(|ip| is_inside(**ip)) {
        report.warnings.push(format!(
            "--public-ip {ip} is an address of a local network, which only players in this network can reach"
        ));
    }
    let is_loopback = !options.bind.is_empty() && options.bind.iter().all(IpAddr::is_loopback);
    if is_loopback {
        report.warnings.push("only this machine can reach it (--bind)".into());
    }
}
