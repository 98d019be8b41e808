//! Checks in which a host and its clients meet; this process plays all of them.

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use compat_tests::gmnet::{
    Control, Data, Error, GAP, GameSocket, Host, HostConfig, Lobby, Protocol, Query,
};
use compat_tests::gmnet::{Told, wire};

use punchd::introductions::is_inside;

use super::Probe;
use super::report::Outcome;

/// The gap that keeps two messages apart in games of 30 steps a second, less some jitter.
const APART: Duration = Duration::from_millis(40);

/// How often the list is looked at until the host is in it.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// How often messages may come too close because of the way here and not of the server.
const TRIES: usize = 3;

/// GMnet has one place for a game and a key, and what is there all can read: so a key comes last.
pub(super) fn register(probe: &mut Probe) -> Outcome {
    probe.data1 = probe.game.clone();
    let mut outcome = try_to_register(probe);
    if probe.is_refused && probe.key.is_some() {
        (probe.data1, probe.is_refused) = (probe.key.clone(), false);
        outcome = try_to_register(probe);
    }
    probe.is_admitted = probe.data1.is_some() && probe.registered.is_some();
    outcome.unwrap_or_else(|| Outcome::Fails(format!("not in the list after {TRIES} tries")))
}

/// None if it is not refused, and does not come into the list.
fn try_to_register(probe: &mut Probe) -> Option<Outcome> {
    for attempt in 1..=TRIES {
        // The one before must not be taken for this one.
        probe.registered = None;
        let host = match start(probe, Protocol::Modern) {
            Ok(host) => host,
            // What it makes of a version that is right: it is for other games.
            Err(Error::MasterClosed { after, .. }) if after.is_empty() => {
                probe.is_refused = true;
                return Some(probe.refused());
            }
            Err(error) => return Some(Outcome::Fails(error.to_string())),
        };
        if !probe.lobby {
            // The list shows the address that the server sees, else a dialect over UDP; without a NAT it is our own.
            return Some(match host.master_side() {
                Ok(local) => {
                    let ip = probe.ask_by_udp().unwrap_or(local.ip());
                    probe.registered = Some((host, ip));
                    Outcome::Works("not refused; the list that would show it is off".to_owned())
                }
                Err(error) => Outcome::Fails(error.to_string()),
            });
        }
        match listed(probe) {
            Ok(Some(ip)) => {
                probe.registered = Some((host, ip));
                probe.seen = Some(ip);
                let again =
                    if attempt > 1 { format!(", at try {attempt} (D12)") } else { String::new() };
                return Some(Outcome::Works(format!("listed with the address {ip}{again}")));
            }
            Ok(None) => {}
            Err(error) => return Some(Outcome::Fails(error.to_string())),
        }
    }
    None
}

/// The old server now and then reads the connection before the datagram, and tells port 0 then (D2, D3): a
/// player tries again as well.
pub(super) fn introduction(probe: &mut Probe) -> Outcome {
    let within = probe.look_up();
    // Back only if it works: what comes after would fail in the same way, after the same wait.
    let Some((mut host, ip)) = probe.registered.take() else { return Outcome::after_a_failure() };
    let mut found = Why::Other(String::new());
    for attempt in 1..=TRIES {
        let meeting = meet((&mut host, ip), &mut probe.met, 1, Protocol::Modern, within);
        let is_port_zero = meeting.as_ref().is_ok_and(|meeting| meeting.is_port_zero());
        let judged = meeting
            .map_err(|error| match error {
                Error::NoAnswer { .. } => Why::NoUdp(error.to_string()),
                error => Why::Other(error.to_string()),
            })
            .and_then(|meeting| judge(&meeting, &host, ip));
        match judged {
            Ok(works) => {
                probe.udp = Some("GMnet");
                probe.registered = Some((host, ip));
                let again = if attempt > 1 {
                    format!(", at try {attempt} (D2, D3)")
                } else {
                    String::new()
                };
                return Outcome::Works(works + &again);
            }
            Err(why) => found = why,
        }
        if !is_port_zero {
            break;
        }
    }
    not_introduced(probe, found, ip)
}

/// Why a host and a client were not introduced.
enum Why {
    /// What happens where no datagram arrives.
    NoUdp(String),
    /// The client was told where somebody is, who is not this host; so datagrams of that one arrive.
    Misled(String),
    Other(String),
}

impl std::fmt::Display for Why {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::NoUdp(why) => write!(f, "UDP packets do not arrive: {why}"),
            Self::Misled(why) | Self::Other(why) => f.write_str(why),
        }
    }
}

/// What that means. The server puts a player's datagrams and its connection together by their address.
fn not_introduced(probe: &mut Probe, why: Why, ip: IpAddr) -> Outcome {
    let (what, is_misled) = match why {
        Why::Other(what) => {
            probe.is_not_introduced = true;
            return Outcome::Fails(what);
        }
        Why::NoUdp(what) => (what, false),
        Why::Misled(what) => (what, true),
    };
    let seen = probe.ask_by_udp();
    if (is_misled || probe.udp.is_some()) && has_others(probe, ip) {
        return Outcome::FailsSo {
            detail: format!("{what}, while another host has the same address"),
            meaning: "This says nothing about the server: the client may have been led to that host.",
            to_do:
                "Try again without that host (or other probe), or with --bind from another address."
                    .to_owned(),
        };
    }
    match (probe.udp, seen) {
        (_, Some(seen)) if seen != ip => Outcome::FailsSo {
            detail: format!(
                "the server sees this machine's TCP at {ip}, and its UDP at {seen}: {what}"
            ),
            meaning: "This says nothing about the server: who is in such a network is not introduced.",
            to_do: "Try from another network, or with --bind from an address that has one way out."
                .to_owned(),
        },
        (udp, _) if !is_misled && !probe.lobby && (udp.is_some() || is_inside(ip)) => {
            Outcome::NotOffered(format!(
                "nobody tells by which address the server knows this host, as the list is off: it is not {ip}"
            ))
        }
        (udp, _) if is_misled || udp.is_some() => {
            let arrives =
                udp.map_or(String::new(), |who| format!(", though {who} shows that UDP arrives"));
            Outcome::FailsSo {
                detail: what + &arrives,
                meaning: "Players are told wrong ports, or none, and do not connect.",
                to_do: format!(
                    "If another host or probe ran at this address just now, try again ten seconds after its end. {}",
                    super::gmnet::ANOTHER
                ),
            }
        }
        _ => {
            probe.is_not_introduced = true;
            Outcome::Fails(Why::NoUdp(what).to_string())
        }
    }
}

pub(super) fn terminated(probe: &mut Probe) -> Outcome {
    match probe.registered.as_ref().and_then(|(host, _)| host.told().last()) {
        None => Outcome::after_a_failure(),
        Some(told) if told.terminated => Outcome::Works("has its NUL".to_owned()),
        Some(_) => Outcome::Fails("lacks the NUL behind the port (D1)".to_owned()),
    }
}

pub(super) fn two_at_once(probe: &mut Probe) -> Outcome {
    let within = probe.look_up();
    let Some((host, ip)) = &mut probe.registered else { return Outcome::after_a_failure() };
    let mut found = String::new();
    for _ in 0..TRIES {
        match meet((host, *ip), &mut probe.met, 2, Protocol::Modern, within) {
            Ok(meeting) => match apart(&meeting) {
                Ok(gap) => return Outcome::Works(format!("told {gap:.0?} apart")),
                Err(why) => {
                    let is_old = host.told().last().is_some_and(|told| !told.terminated);
                    let is_named = why.contains("(D");
                    found = if is_old && !is_named { format!("{why} (D20)") } else { why };
                }
            },
            // Two messages in one, and nothing between them.
            Err(error @ Error::Malformed { .. }) => found = format!("{error} (D1, D20)"),
            Err(error) => found = error.to_string(),
        }
    }
    Outcome::Fails(found)
}

/// A bare UDP word ends the UDP thread of some old servers, so it is sent only to a server that
/// has understood the TCP word before.
pub(super) fn older(probe: &mut Probe) -> Outcome {
    let ip = probe.registered.as_ref().map(|(_, ip)| *ip);
    probe.part();
    let Some(ip) = ip else { return Outcome::after_a_failure() };
    if probe.data1.is_some() {
        return Outcome::NotOffered(
            "its hosts have no data strings, so they cannot show a game or key".to_owned(),
        );
    }
    let outcome = match older_host(probe, ip) {
        Ok(true) => match bare_words(probe, ip) {
            Err(why) if has_others(probe, ip) => {
                Outcome::NotOffered(format!("another host has the same address: {why}"))
            }
            outcome => outcome.into(),
        },
        Ok(false) => Outcome::Fails("a host that says reg is not found (D25)".to_owned()),
        Err(error) => Outcome::Fails(error.to_string()),
    };
    // Some old servers keep what UDP alone has registered, until the end of a proper registration.
    drop(start(probe, Protocol::Modern));
    probe.part();
    outcome
}

/// Whether a host that says the older `reg` over TCP is found, with the UDP packets of modern peers.
fn older_host(probe: &mut Probe, ip: IpAddr) -> Result<bool, Error> {
    let udp = GameSocket::open(probe.master, probe.bind, 0)?;
    udp.send_raw(probe.master, &wire::udp_register(Protocol::Modern));
    let control = Control::open(probe.master, probe.bind)?;
    control.send(b"reg\n")?;
    // Its answer comes after `reg` has been carried out.
    control.send(wire::ASK_VERSION)?;
    control.answer(probe.wait)?;
    let client = Asking::start(probe.master, probe.bind, Protocol::Modern)?;
    client.send(ip, Protocol::Modern)?;
    let answer = client.control.answer(probe.look_up());
    probe.met.push(client);
    match answer {
        Ok(event) => Ok(event.bytes.first() == Some(&wire::MASTER)),
        // Some servers do not answer at all when only UDP has registered.
        Err(Error::NoAnswer { .. } | Error::MasterClosed { .. }) => Ok(false),
        Err(error) => Err(error),
    }
}

fn bare_words(probe: &mut Probe, ip: IpAddr) -> Result<String, String> {
    let mut host = start(probe, Protocol::Older).map_err(|error| error.to_string())?;
    let within = probe.look_up();
    let meeting = meet((&mut host, ip), &mut probe.met, 1, Protocol::Older, within);
    let meeting = meeting.map_err(|error| error.to_string())?;
    judge(&meeting, &host, ip).map_err(|why| why.to_string())
}

impl Probe {
    /// What its host says in the field in which games have their names.
    fn shown_game(&self) -> &str {
        self.data1.as_deref().unwrap_or_else(|| self.name())
    }

    /// The host leaves, and then those who were introduced to it.
    fn part(&mut self) {
        self.registered = None;
        if !self.met.is_empty()
            && let Ok(control) = Control::open(self.master, self.bind)
            && control.send(wire::ASK_VERSION).is_ok()
        {
            // What came before it has been carried out then.
            let _ = control.answer(self.wait);
        }
        self.met.clear();
    }
}

/// A client that has shown the server its UDP port and has its connection open.
pub(super) struct Asking {
    udp: GameSocket,
    control: Control,
}

impl Asking {
    fn start(master: SocketAddr, bind: Option<IpAddr>, protocol: Protocol) -> Result<Self, Error> {
        let udp = GameSocket::open(master, bind, 0)?;
        udp.send_raw(master, &wire::udp_connect(protocol));
        Ok(Self { udp, control: Control::open(master, bind)? })
    }

    /// Asks; a step behind the UDP packet at least, as games do.
    fn send(&self, host: IpAddr, protocol: Protocol) -> Result<(), Error> {
        self.control.send(&wire::connect(protocol, host))
    }
}

/// What everybody was told.
struct Meeting {
    /// What the clients were told, in the order of their requests.
    clients: Vec<Option<SocketAddr>>,
    /// The UDP ports of the clients.
    ports: Vec<u16>,
    /// What the host was told.
    host: Vec<Told>,
}

impl Meeting {
    /// Whether a side was told port 0.
    fn is_port_zero(&self) -> bool {
        let clients = self.clients.iter().flatten().map(SocketAddr::port);
        clients.chain(self.host.iter().map(|told| told.client.port())).any(|port| port == 0)
    }
}

/// Lets clients ask for the host at the same moment. They stay until it has left.
fn meet(
    (host, ip): (&mut Host, IpAddr),
    met: &mut Vec<Asking>,
    clients: usize,
    protocol: Protocol,
    within: Duration,
) -> Result<Meeting, Error> {
    let before = host.told().len();
    let HostConfig { master, bind, .. } = *host.config();
    let asking: Vec<Asking> =
        (0..clients).map(|_| Asking::start(master, bind, protocol)).collect::<Result<_, _>>()?;
    std::thread::sleep(GAP);
    for client in &asking {
        client.send(ip, protocol)?;
    }
    let told = asking
        .iter()
        .map(|client| {
            let event = client.control.answer(within)?;
            Ok(wire::introduction(&event.bytes).ok().map(|told| told.endpoint))
        })
        .collect::<Result<Vec<_>, Error>>()?;
    let ports = asking.iter().map(|client| client.udp.local().port()).collect();
    met.extend(asking);
    host.run_until(Duration::from_secs(2), |host| host.told().len() >= before + clients)?;
    Ok(Meeting {
        clients: told,
        ports,
        host: host.told().get(before..).unwrap_or_default().to_vec(),
    })
}

/// Whether everybody was told the truth, as far as it can be known behind a NAT.
fn judge(meeting: &Meeting, host: &Host, ip: IpAddr) -> Result<String, Why> {
    let client = meeting
        .clients
        .first()
        .copied()
        .flatten()
        .ok_or_else(|| Why::NoUdp("the host is registered, and not found".to_owned()))?;
    let port_zero = || Why::NoUdp("told port 0".to_owned());
    if client.port() == 0 {
        return Err(port_zero());
    }
    let nothing = || Why::Misled(format!("the client is told {client}, and the host nothing"));
    let told = meeting.host.first().ok_or_else(nothing)?;
    if told.client.port() == 0 {
        return Err(port_zero());
    }
    let nat = host.master_side().is_ok_and(|local| local.ip() != ip);
    let right = client == SocketAddr::new(ip, host.local().port())
        && Some(&told.client.port()) == meeting.ports.first();
    match (right, nat) {
        (true, _) => Ok("both sides are told the right port".to_owned()),
        (false, true) => Ok(format!("told {client} and {}: a NAT is between", told.client)),
        (false, false) => {
            let own = SocketAddr::new(ip, host.local().port());
            let (whose, told) =
                if client == own { ("client", told.client) } else { ("host", client) };
            Err(Why::Misled(format!(
                "the server tells {told} for the {whose}, which has another port"
            )))
        }
    }
}

/// The time between the two messages to the host, if games can read both.
fn apart(meeting: &Meeting) -> Result<Duration, String> {
    let [first, second] = meeting.host.as_slice() else {
        return Err(format!("the host is told {} times of two clients", meeting.host.len()));
    };
    if first.client.port() == 0 || second.client.port() == 0 {
        return Err("the host is told port 0 for one of them (D5)".to_owned());
    }
    let gap = second.at.saturating_duration_since(first.at);
    if second.lost || gap < APART {
        return Err(format!("the host is told of both within {gap:.1?} (D20)"));
    }
    Ok(gap)
}

fn start(probe: &Probe, protocol: Protocol) -> Result<Host, Error> {
    let config = HostConfig { bind: probe.bind, gap: GAP, ..HostConfig::new(probe.master) };
    let data = [probe.shown_game(), "", "", "", "", "", "", &probe.tag];
    let mut host = Host::start(config.with_data(&data).speaking(protocol))?;
    match host.confirm(probe.wait) {
        // A server that does not tell its version may still do all that games need.
        Ok(()) | Err(Error::NoAnswer { .. }) => Ok(host),
        Err(error) => Err(error),
    }
}

/// Whether there is another host with this address: a client can be led to that, as it asks for the address alone.
fn has_others(probe: &Probe, ip: IpAddr) -> bool {
    let lobby = Lobby::fetch(probe.master, probe.bind, &Query::default(), probe.wait);
    // Those without a game may be what an old server keeps of this program's own.
    let is_other = |data: &Data| {
        data.last() != Some(&probe.tag) && data.first().is_some_and(|game| !game.is_empty())
    };
    lobby.is_ok_and(|lobby| {
        let mut all = lobby.entries.iter();
        all.any(|entry| entry.ip.parse() == Ok(ip) && is_other(&entry.data))
    })
}

/// The address of the registered host as the list shows it.
fn listed(probe: &Probe) -> Result<Option<IpAddr>, Error> {
    let mut query = Query::default();
    // Of several hosts of an address a client is led to one whose game it has looked for last: so with the game.
    query.filters[0] = probe.shown_game().to_owned();
    query.filters[7].clone_from(&probe.tag);
    let deadline = Instant::now() + probe.wait;
    loop {
        let lobby = Lobby::fetch(probe.master, probe.bind, &query, probe.wait)?;
        let found = lobby.entries.first().and_then(|entry| entry.ip.parse().ok());
        if found.is_some() || Instant::now() >= deadline {
            return Ok(found);
        }
        // Each look is a connection; the server does not need a flood of them.
        std::thread::sleep(LOOK_EVERY);
    }
}
