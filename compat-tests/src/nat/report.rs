//! What was found out, and what it means.

use std::fmt;
use std::net::SocketAddr;

/// Which packets of one socket share a mapping (RFC 4787, section 4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mapping {
    /// There is no NAT.
    None,
    /// All.
    EndpointIndependent,
    /// Those to one address.
    AddressDependent,
    /// Those to one address and port.
    AddressAndPortDependent,
    /// Those to all ports of one address at least; the server has no second address to tell more.
    PortIndependent,
    /// The server has no second port either.
    Unknown,
}

impl fmt::Display for Mapping {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "none, there is no NAT",
            Self::EndpointIndependent => "endpoint-independent",
            Self::AddressDependent => "address-dependent",
            Self::AddressAndPortDependent => "address- and port-dependent",
            Self::PortIndependent => "endpoint-independent or address-dependent",
            Self::Unknown => "unknown, the server has no alternate port",
        })
    }
}

/// Which packets from outside come in by a mapping (RFC 4787, section 5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Filtering {
    /// All.
    EndpointIndependent,
    /// Those from addresses that were sent something.
    AddressDependent,
    /// Those from addresses and ports that were sent something.
    AddressAndPortDependent,
    /// Those from all ports of such an address at least; the server has no second address.
    PortIndependent,
    /// The server has no second port either, or does not answer from it.
    Unknown,
}

impl fmt::Display for Filtering {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::EndpointIndependent => "endpoint-independent",
            Self::AddressDependent => "address-dependent",
            Self::AddressAndPortDependent => "address- and port-dependent",
            Self::PortIndependent => "endpoint-independent or address-dependent",
            Self::Unknown => "unknown, the server does not answer from another port",
        })
    }
}

/// How the ports of new mappings are chosen (RFC 4787, section 4.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Allocation {
    /// The inside port is kept.
    Preserving,
    /// One after the other, this far apart.
    Sequential(i32),
    /// No rule is to be seen.
    Random,
}

impl Allocation {
    /// Farther apart than this, ports are not taken for a sequence; other traffic of the NAT
    /// takes ports in between.
    const FAR: i32 = 64;

    /// What inside and outside ports of mappings show, oldest first.
    #[must_use]
    pub fn of(ports: &[(u16, u16)]) -> Self {
        if ports.iter().all(|(inside, outside)| inside == outside) {
            return Self::Preserving;
        }
        let steps: Vec<i32> =
            ports.windows(2).map(|two| i32::from(two[1].1) - i32::from(two[0].1)).collect();
        // One step may be the jump from the last port to the first.
        let is_step = |sign: i32| move |step: &&i32| (1..=Self::FAR).contains(&(**step * sign));
        for sign in [1, -1] {
            let near: Vec<i32> = steps.iter().filter(is_step(sign)).copied().collect();
            if steps.len() >= 2 && near.len() + 1 >= steps.len() {
                // Other traffic only makes steps longer.
                let shortest = near.iter().map(|step| step.abs()).min().unwrap_or_default();
                return Self::Sequential(sign * shortest);
            }
        }
        Self::Random
    }
}

impl fmt::Display for Allocation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Preserving => f.write_str("preserving"),
            Self::Sequential(stride) => write!(f, "sequential, stride {stride}"),
            Self::Random => f.write_str("random"),
        }
    }
}

/// Everything but the lifetime of mappings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Report {
    /// The endpoint of a socket as this machine sees it.
    pub local: SocketAddr,
    /// The same as the server sees it: server-reflexive.
    pub mapped: SocketAddr,
    /// Which packets share a mapping.
    pub mapping: Mapping,
    /// Which packets come in.
    pub filtering: Filtering,
    /// How ports are chosen, if there is a NAT.
    pub allocation: Option<Allocation>,
    /// Whether those behind the NAT reach each other by their public endpoints.
    pub hairpinning: Option<bool>,
}

impl Report {
    /// What it means for hosting and joining, in one sentence.
    #[must_use]
    pub fn meaning(&self) -> &'static str {
        let is_open = matches!(self.filtering, Filtering::EndpointIndependent);
        match self.mapping {
            Mapping::None if is_open => "everybody can join your games, and you can join all",
            Mapping::None
                if matches!(self.filtering, Filtering::PortIndependent | Filtering::Unknown) =>
            {
                "there is no NAT: you can host and join with everybody who punches"
            }
            Mapping::None => {
                "there is a firewall but no NAT: you can host and join with everybody who punches"
            }
            Mapping::EndpointIndependent if is_open => {
                "you can host for everybody, also for players behind symmetric NATs, and join all \
                 hosts but those behind symmetric NATs with strict filters"
            }
            Mapping::EndpointIndependent if self.filtering == Filtering::AddressDependent => {
                "you can host and join with all players, even behind most symmetric NATs"
            }
            Mapping::EndpointIndependent => {
                "you can host and join with all players but those behind symmetric NATs"
            }
            Mapping::PortIndependent => {
                "you can most likely host and join with all players but those behind symmetric NATs"
            }
            Mapping::Unknown => "the server cannot tell what this means for hosting and joining",
            Mapping::AddressDependent | Mapping::AddressAndPortDependent => {
                if matches!(self.allocation, Some(Allocation::Sequential(_))) {
                    "your NAT is symmetric but counts its ports: you can play with those whose NAT \
                     lets all in, and with others where the next port is predicted"
                } else {
                    "your NAT is symmetric: you can join hosts without NAT or with one that lets \
                     all in, and only such players can join you"
                }
            }
        }
    }
}

/// Those whom only an open NAT, or none, can meet without a relay.
const RANDOM: &str =
    "players behind symmetric NATs with random ports, as in many mobile and company networks";

impl Report {
    /// Whether games need a relay here, and with whom: what was seen between such NATs with games
    /// that show theirs (README.md, "Who gets through to whom").
    #[must_use]
    pub fn relay(&self) -> String {
        use Filtering::{AddressAndPortDependent, Unknown};
        let counts = matches!(self.allocation, Some(Allocation::Sequential(_)));
        let mut needed = match (self.mapping, self.filtering) {
            (Mapping::Unknown, _) => {
                return "the server cannot tell whether you need one".to_owned();
            }
            (Mapping::AddressDependent | Mapping::AddressAndPortDependent, _) => {
                let with = if counts {
                    RANDOM
                } else {
                    "all players but those who have no NAT, or one that lets packets in easily"
                };
                format!("needed with {with}, and for hosting a shipped GMnet game")
            }
            (_, AddressAndPortDependent) => format!("needed with {RANDOM}"),
            (_, Unknown) => format!("perhaps needed with {RANDOM}"),
            _ => "not needed".to_owned(),
        };
        if self.hairpinning == Some(false) {
            needed += "; needed with players behind the same NAT, unless the game knows their local \
                       addresses";
        }
        needed
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "local endpoint    {}", self.local)?;
        writeln!(f, "server-reflexive  {}", self.mapped)?;
        writeln!(f, "mapping           {}", self.mapping)?;
        writeln!(f, "filtering         {}", self.filtering)?;
        if let Some(allocation) = self.allocation {
            writeln!(f, "port allocation   {allocation}")?;
        }
        if let Some(hairpinning) = self.hairpinning {
            writeln!(f, "hairpinning       {}", if hairpinning { "yes" } else { "no" })?;
        }
        writeln!(f, "In short: {}.", self.meaning())?;
        write!(f, "Relay: {}.", self.relay())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(mapping: Mapping, filtering: Filtering, allocation: Option<Allocation>) -> Report {
        let at = SocketAddr::from(([192, 0, 2, 1], 5000));
        Report { local: at, mapped: at, mapping, filtering, allocation, hairpinning: None }
    }

    #[test]
    fn who_needs_a_relay_is_told_with_whom() {
        use Filtering::{AddressAndPortDependent as Strict, AddressDependent, EndpointIndependent};
        let random = Some(Allocation::Random);
        let of = |mapping, filtering, allocation| report(mapping, filtering, allocation).relay();
        for filtering in [EndpointIndependent, AddressDependent, Filtering::PortIndependent] {
            assert_eq!(of(Mapping::EndpointIndependent, filtering, random), "not needed");
            assert_eq!(of(Mapping::None, filtering, None), "not needed");
        }
        let with_random = format!("needed with {RANDOM}");
        assert_eq!(of(Mapping::EndpointIndependent, Strict, random), with_random);
        assert_eq!(of(Mapping::PortIndependent, Strict, random), with_random);
        assert_eq!(of(Mapping::None, Strict, None), with_random);
        let counts = of(Mapping::AddressAndPortDependent, Strict, Some(Allocation::Sequential(2)));
        assert_eq!(counts, format!("{with_random}, and for hosting a shipped GMnet game"));
        let symmetric = of(Mapping::AddressDependent, Strict, random);
        assert!(symmetric.starts_with("needed with all players but those who have no NAT"));
        assert!(of(Mapping::Unknown, Strict, random).contains("cannot tell"));
    }

    #[test]
    fn who_needs_a_relay_at_home_is_told() {
        let mut home = report(Mapping::EndpointIndependent, Filtering::EndpointIndependent, None);
        home.hairpinning = Some(true);
        assert!(home.to_string().ends_with("\nRelay: not needed."), "{home}");
        home.hairpinning = Some(false);
        assert!(home.relay().contains("; needed with players behind the same NAT"), "{home}");
    }

    #[test]
    fn port_choice_is_recognized() {
        let of = |outside: [u16; 6]| {
            let inside = 50_000..;
            Allocation::of(&inside.zip(outside).collect::<Vec<_>>())
        };
        assert_eq!(of([50_000, 50_001, 50_002, 50_003, 50_004, 50_005]), Allocation::Preserving);
        assert_eq!(of([4000, 4001, 4002, 4003, 4004, 4005]), Allocation::Sequential(1));
        assert_eq!(of([4000, 4002, 4004, 4010, 4012, 4014]), Allocation::Sequential(2));
        assert_eq!(of([4000, 3998, 3996, 3994, 3992, 3990]), Allocation::Sequential(-2));
        assert_eq!(of([65_534, 65_535, 1024, 1025, 1026, 1027]), Allocation::Sequential(1));
        assert_eq!(of([4000, 4001, 9000, 9001, 7000, 7001]), Allocation::Random);
        assert_eq!(of([31_000, 4001, 61_000, 9001, 7000, 57_001]), Allocation::Random);
    }
}
