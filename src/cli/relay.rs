//! The options of the relay.

use std::net::{IpAddr, Ipv4Addr};
use std::ops::RangeInclusive;

use clap::Args;

use super::values::{parse_connections, parse_public_ip, parse_rate, read_ip_of_one};
use crate::introductions::PublicIps;
use crate::introductions::relay::Bounds;
use crate::introductions::relay::sessions::Config;
use crate::limits;

/// The options of the relay.
#[derive(Args, Debug, PartialEq, Eq)]
pub struct RelayOptions {
    /// Relay pairs that fail; GMnet needs a second address
    #[arg(long, env = "PUNCHD_RELAY", hide_env = true, value_delimiter = ',', num_args = 0..=1)]
    #[arg(help_heading = "Relay", value_name = "IP", value_parser = parse_relay)]
    #[arg(default_missing_value = OWN)]
    pub relay: Vec<IpAddr>,

    /// Tell players this address of the relay instead
    #[arg(long, env = "PUNCHD_RELAY_PUBLIC", hide_env = true, value_delimiter = ',')]
    #[arg(help_heading = "Relay", value_name = "IP", value_parser = parse_public_ip)]
    #[arg(requires = "relay")]
    pub relay_public: Vec<IpAddr>,

    /// UDP ports of the relay
    #[arg(long, env = "PUNCHD_RELAY_PORTS", hide_env = true, value_name = "A-B")]
    #[arg(help_heading = "Relay", value_parser = parse_ports, default_value = PORTS, requires = "relay")]
    pub relay_ports: Ports,

    /// Relayed pairs of one address (IPv6: /64 network)
    #[arg(long, env = "PUNCHD_RELAY_SESSIONS", hide = true, value_name = "N")]
    #[arg(help_heading = "Relay", value_parser = parse_connections)]
    #[arg(default_value_t = Bounds::default().sessions_per_address as usize, requires = "relay")]
    pub relay_sessions: usize,

    /// Bytes a second of one relayed player
    #[arg(long, env = "PUNCHD_RELAY_BYTES", hide = true, value_name = "N")]
    #[arg(help_heading = "Relay", value_parser = parse_rate)]
    #[arg(default_value_t = Bounds::default().session_bytes, requires = "relay")]
    pub relay_bytes: u32,

    /// Packets a second of one relayed player
    #[arg(long, env = "PUNCHD_RELAY_PACKETS", hide = true, value_name = "N")]
    #[arg(help_heading = "Relay", value_parser = parse_rate)]
    #[arg(default_value_t = Bounds::default().session_packets, requires = "relay")]
    pub relay_packets: u32,

    /// Kilobytes a second that are relayed in all
    #[arg(long, env = "PUNCHD_RELAY_TOTAL", hide = true, value_name = "KB")]
    #[arg(help_heading = "Relay", value_parser = parse_rate)]
    #[arg(default_value_t = Bounds::default().total_bytes / 1000, requires = "relay")]
    pub relay_total: u32,

    /// Gigabytes a month for the relay; 0 is no limit
    #[arg(long, env = "PUNCHD_RELAY_MONTH", hide_env = true, value_name = "GB")]
    #[arg(help_heading = "Relay", value_parser = parse_gigabytes, default_value = "0", requires = "relay")]
    pub relay_month: Gigabytes,
}

/// What stands for the server's own address: `--relay` alone.
const OWN: &str = "0.0.0.0";

/// Below the ports that systems give to those who do not ask for one (Linux: from 32768 on).
const PORTS: &str = "20000-21023";

/// A range of ports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ports(pub RangeInclusive<u16>);

/// An amount of traffic, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gigabytes(pub u64);

/// Where the relay is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The addresses of this machine that its sockets have, one of a family.
    pub binds: Vec<IpAddr>,
    /// What it does.
    pub config: Config,
}

impl RelayOptions {
    /// Where the relay is, if there is to be one: `binds` are the addresses of the server, `public_ips`
    /// by what those outside know it, and `own` the addresses by which this machine reaches the Internet.
    ///
    /// # Errors
    /// If it is not known by which address players reach it, or two are of one family; in a sentence.
    pub fn place(
        &self,
        binds: &[IpAddr],
        public_ips: PublicIps,
        own: impl Iterator<Item = IpAddr>,
    ) -> Result<Option<Place>, String> {
        if self.relay.is_empty() {
            return Ok(None);
        }
        let is_own = self.relay.iter().all(IpAddr::is_unspecified);
        if !is_own && self.relay.iter().any(IpAddr::is_unspecified) {
            return Err(
                "--relay (PUNCHD_RELAY) is given with an address and without: leave one out".into(),
            );
        }
        let of = |ips: &[IpAddr], what| {
            PublicIps::try_from(ips).map_err(|second| {
                format!(
                    "{what} takes at most one address of IPv4 and one of IPv6: leave out {second} or the other \
                     one of its family"
                )
            })
        };
        let given = of(&self.relay_public, "--relay-public (PUNCHD_RELAY_PUBLIC)")?;
        let named = match is_own {
            true => PublicIps::default(),
            false => of(&self.relay, "--relay (PUNCHD_RELAY)")?,
        };
        let own: Vec<IpAddr> = own.collect();
        if let Some(same) = named.all().find(|ip| binds.contains(ip) || public_ips.contains(*ip)) {
            return Err(format!(
                "--relay {same} (PUNCHD_RELAY) is the server's own address, where GMnet's clients cannot \
                 be relayed: name a second address of this machine, or give --relay without one"
            ));
        }
        let binds = match is_own {
            true if binds.iter().any(IpAddr::is_unspecified) => {
                let known = own.iter().copied().chain(public_ips.all()).chain(given.all());
                let mut all: Vec<IpAddr> = known.map(unspecified_like).collect();
                all.sort_unstable();
                all.dedup();
                all
            }
            true => of(binds, "--bind beside --relay without an address")?.all().collect(),
            false => named.all().collect::<Vec<_>>(),
        };
        let told = binds.iter().filter_map(|bind| {
            let concrete = || Some(*bind).filter(|ip| !ip.is_unspecified());
            let public = || public_ips.like(*bind).filter(|_| is_own);
            let first = || own.iter().copied().find(|ip| ip.is_ipv4() == bind.is_ipv4());
            given.like(*bind).or_else(public).or_else(concrete).or_else(first)
        });
        let told: Vec<IpAddr> = told.collect();
        let told = of(&told, "--relay (PUNCHD_RELAY)")?;
        if told.is_empty() {
            return Err(
                "the relay has no address to send to players, as this machine has no route to the Internet: \
                 name its public address with --relay-public, or that of this server with --public-ip"
                    .into(),
            );
        }
        let config = Config {
            told,
            is_apart: !is_own,
            ports: self.relay_ports.0.clone(),
            bounds: self.bounds(),
        };
        Ok(Some(Place { binds, config }))
    }

    /// What is doubtful about the place: that players know the server itself by this address, too. `own` are the addresses
    /// by which this machine reaches the Internet.
    #[must_use]
    pub fn warning(
        place: &Place,
        binds: &[IpAddr],
        public_ips: PublicIps,
        own: impl Iterator<Item = IpAddr>,
    ) -> Option<String> {
        let Place { binds: at, config } = place;
        if !config.is_apart || !binds.iter().any(IpAddr::is_unspecified) {
            return None;
        }
        let own: Vec<IpAddr> = own.collect();
        let is_own = |told: &IpAddr| {
            // Where addresses are translated, one of this machine says little.
            let is_told_as_is = at.contains(told) && public_ips.like(*told).is_none();
            public_ips.contains(*told) || is_told_as_is && own.contains(told)
        };
        let same = config.told.all().find(is_own)?;
        Some(format!(
            "--relay: {same} seems to be the server's own address as well, where GMnet's clients cannot be \
             relayed: name a second address of this machine; or give --relay without one, for the other \
             dialects alone"
        ))
    }

    /// How many sockets it has at most.
    #[must_use]
    pub fn most_sockets(&self) -> usize {
        // At the server's own address, be it of both families.
        let families = match self.relay[..] {
            [ip] if ip.is_unspecified() => 2,
            _ => self.relay.len(),
        };
        families * self.relay_ports.0.len()
    }

    fn bounds(&self) -> Bounds {
        // For no limit, as for the other rates.
        let or_none = |n| if n == 0 { u32::MAX } else { n };
        Bounds {
            session_bytes: or_none(self.relay_bytes),
            session_packets: or_none(self.relay_packets),
            sessions_per_address: u32::try_from(self.relay_sessions).unwrap_or(u32::MAX),
            total_bytes: or_none(self.relay_total).saturating_mul(1000),
            month_bytes: Some(self.relay_month.0).filter(|bytes| *bytes > 0),
        }
    }
}

fn unspecified_like(ip: IpAddr) -> IpAddr {
    match ip {
        IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        IpAddr::V6(_) => std::net::Ipv6Addr::UNSPECIFIED.into(),
    }
}

/// An address, or what stands for the server's own.
fn parse_relay(text: &str) -> Result<IpAddr, String> {
    let own = || (text == OWN).then_some(Ipv4Addr::UNSPECIFIED.into());
    read_ip_of_one(text)
        .or_else(own)
        .ok_or_else(|| "want an address of this machine, as 203.0.113.8".into())
}

/// Gigabytes as people write them, with up to nine decimals.
fn parse_gigabytes(text: &str) -> Result<Gigabytes, String> {
    const DECIMALS: usize = 9;
    let (whole, decimals) = text.split_once('.').unwrap_or((text, "0"));
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|c| c.is_ascii_digit());
    let bytes = || {
        let whole = whole.parse::<u64>().ok().filter(|whole| *whole <= 1_000_000)?;
        let decimals = format!("{decimals:0<DECIMALS$}").parse::<u64>().ok()?;
        Some(whole * 1_000_000_000 + decimals)
    };
    let is_sound = is_number(whole) && is_number(decimals) && decimals.len() <= DECIMALS;
    let bytes = if is_sound { bytes() } else { None };
    bytes
        .map(Gigabytes)
        .ok_or_else(|| "want gigabytes from 0.000000001 to 1000000, or 0 for no limit".into())
}

fn parse_ports(text: &str) -> Result<Ports, String> {
    let ports = text.split_once('-').and_then(|(first, last)| {
        let (first, last): (u16, u16) = (first.parse().ok()?, last.parse().ok()?);
        let count = usize::from(last.checked_sub(first)?) + 1;
        (first > 0 && (2..=limits::relay::PORTS).contains(&count)).then_some(first..=last)
    });
    ports.map(Ports).ok_or_else(|| {
        format!("want the first and the last port, as {PORTS}; 2 to {} ports", limits::relay::PORTS)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(line: &[&str], public: &[&str], own: &[&str]) -> Result<Place, String> {
        let ips = |all: &[&str]| all.iter().map(|ip| ip.parse().unwrap()).collect::<Vec<IpAddr>>();
        let line = [&["punchd"], line].concat();
        let options = <crate::cli::Options as clap::Parser>::try_parse_from(line).unwrap();
        let public = PublicIps::try_from(&ips(public)[..]).unwrap();
        let any = ips(&["::"]);
        options.relay.place(&any, public, ips(own).into_iter()).map(Option::unwrap)
    }

    #[test]
    fn without_an_address_it_is_where_the_server_is_known_to_be() {
        let told = |line: &[&str], public: &[&str], own: &[&str]| {
            let place = place(&[&["--relay"], line].concat(), public, own);
            place.map(|place| place.config.told.all().map(|ip| ip.to_string()).collect::<Vec<_>>())
        };
        assert_eq!(told(&[], &[], &["192.0.2.7"]).unwrap(), ["192.0.2.7"]);
        assert_eq!(told(&[], &["203.0.113.1"], &[]).unwrap(), ["203.0.113.1"]);
        assert_eq!(told(&[], &["203.0.113.1"], &["10.0.0.5"]).unwrap(), ["203.0.113.1"]);
        assert_eq!(told(&["--relay-public", "203.0.113.2"], &[], &[]).unwrap(), ["203.0.113.2"]);
        assert_eq!(
            told(&[], &["203.0.113.1"], &["2001:db8::1"]).unwrap(),
            ["203.0.113.1", "2001:db8::1"]
        );
        let why = told(&[], &[], &[]).unwrap_err();
        assert!(why.contains("--relay-public") && why.contains("--public-ip"), "{why}");
    }

    #[test]
    fn an_address_that_is_the_servers_own_is_doubtful() {
        let warning = |line: &[&str], public: &[&str], own: &[&str]| {
            let place = place(line, public, own).unwrap();
            let ips = |all: &[&str]| all.iter().map(|ip| ip.parse().unwrap()).collect::<Vec<_>>();
            let public = PublicIps::try_from(&ips(public)[..]).unwrap();
            RelayOptions::warning(&place, &ips(&["::"]), public, ips(own).into_iter()).is_some()
        };
        let at = ["--relay", "203.0.113.1"];
        assert!(warning(&at, &[], &["203.0.113.1"]));
        assert!(!warning(&at, &[], &["203.0.113.9"]), "a second address");
        assert!(!warning(&["--relay"], &[], &["203.0.113.1"]), "that is said elsewhere");
        let behind = ["--relay", "10.0.0.5", "--relay-public"];
        let cloud = |public| [&behind[..], &[public]].concat();
        assert!(warning(&cloud("203.0.113.1"), &["203.0.113.1"], &["10.0.0.5"]));
        assert!(!warning(&cloud("203.0.113.2"), &["203.0.113.1"], &["10.0.0.5"]));
    }

    #[test]
    fn gigabytes_may_have_decimals() {
        let bytes = |text| parse_gigabytes(text).map(|gigabytes| gigabytes.0).ok();
        assert_eq!(bytes("0"), Some(0));
        assert_eq!(bytes("12"), Some(12_000_000_000));
        assert_eq!(bytes("0.5"), Some(500_000_000));
        assert_eq!(bytes("1.000000001"), Some(1_000_000_001));
        for wrong in ["", ".", "1.", ".5", "-1", "+1", "1e3", "1,5", "1000001", "0.0000000001"] {
            assert_eq!(bytes(wrong), None, "{wrong}");
        }
    }
}
