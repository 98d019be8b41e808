//! What kept two from each other who were introduced and did not get through, in words: no more than is known.

use std::fmt;
use std::net::IpAddr;

use super::is_inside;
use super::journal::{Attempt, Ended, Relay};
use crate::nats::Kind;

/// What helps where addresses are told that mean nothing outside.
const PUBLIC_IP: &str = "start the server with --public-ip";

/// What helps where two routers do not let each other in.
const HELP: &str =
    "; a relay on this server would help, or forwarding the game's UDP port to the host";

/// What helps two behind one router.
const HELP_AT_HOME: &str =
    "; a relay on this server would help, or joining by the address in their own network";

const GAVE_WAY: &str = "they were relayed, but a player with fewer relayed pairs needed the place";

const RELAYED_IN_VAIN: &str = "one of them has sent nothing to the relay, so UDP is blocked there, \
                               a firewall of the relay blocks its ports, or the game has ended";

/// Where nothing is known to be in the way.
const NOTHING_KNOWN: &str = "UDP is blocked on one side, the host did not let it in (it is full, or lets \
                             nobody in), or the game has ended";

/// Writes why, and what helps.
pub(super) fn write(ended: &Ended, relay: Relay, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let Ended { attempt, kinds, silent, .. } = ended;
    if let Some((who, at)) = attempt.misled() {
        return write!(f, "{who} was told {at}, which they cannot reach; {PUBLIC_IP}");
    }
    if *silent > 0 {
        return write!(f, "nothing has come from the host for {silent} s: it is gone");
    }
    match relay {
        Relay::InVain => in_vain(attempt, f),
        Relay::GaveWay => f.write_str(GAVE_WAY),
        Relay::Untried => {
            let help = reason(attempt, *kinds, f)?;
            f.write_str(help.unwrap_or_default())
        }
        Relay::Refused(why) => {
            reason(attempt, *kinds, f)?;
            write!(f, "; the relay would help, but {why}")
        }
    }
}

/// The relay was not used by both. Who is known by TCP alone has not got a single datagram through to this server
/// either.
fn in_vain(attempt: &Attempt, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let lacks = |port: u16| port == 0;
    let whose = match (lacks(attempt.client.port()), lacks(attempt.host.port())) {
        (false, false) => return f.write_str(RELAYED_IN_VAIN),
        (true, true) => "the UDP packets of neither",
        (true, false) => "the client's UDP packet never",
        (false, true) => "the host's UDP packet never",
    };
    write!(f, "{whose} came, so UDP is most likely blocked there, to the relay as well")
}

/// What is in the way of the two, as far as that is known. Returns what helps, if that is more than finding out
/// what it is.
fn reason(
    attempt: &Attempt,
    kinds: [Kind; 2],
    f: &mut fmt::Formatter<'_>,
) -> Result<Option<&'static str>, fmt::Error> {
    let [host, client] = kinds;
    // Without a router on one side no router is in the way of the other.
    if kinds.contains(&Kind::Open) {
        f.write_str(NOTHING_KNOWN)?;
        return Ok(None);
    }
    if let Some(router) = shared(attempt) {
        if is_inside(router) {
            write!(
                f,
                "both are seen at {router}: something in front of this server replaces the addresses of \
                 players, unless both are on that machine"
            )?;
            return Ok(None);
        }
        write!(
            f,
            "both are behind the same router, {router}, which most likely does not let them reach each \
             other by its public address (hairpinning)"
        )?;
        return Ok(Some(HELP_AT_HOME));
    }
    let is_unknown = host == Kind::Unknown || client == Kind::Unknown;
    f.write_str(match (host.is_symmetric(), client.is_symmetric()) {
        (true, true) => "both routers give each destination another port",
        (true, false) => {
            "the host's router gives each destination another port, and the client's side lets in packets \
             only from endpoints that the client has sent to"
        }
        (false, true) => {
            "the client's router gives each destination another port, and the host's side lets in packets \
             only from endpoints that the host has sent to, or the host did not let the client in"
        }
        (false, false) if is_unknown => {
            "a router gives each destination another port, UDP is blocked, or the host did not let it in; \
             punch nat, run on both sides, shows which"
        }
        (false, false) => {
            f.write_str(NOTHING_KNOWN)?;
            return Ok(None);
        }
    })?;
    Ok(Some(HELP))
}

/// The address that both have, if that may be one of a router. There are none of IPv6.
fn shared(attempt: &Attempt) -> Option<IpAddr> {
    let [client, host] = [attempt.client, attempt.host].map(|at| at.ip());
    (client == host && client.is_ipv4() && !client.is_loopback()).then_some(client)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dialect::Name;
    use crate::introductions::journal::{Connected, EndpointsTold, Names, Way};

    fn why(client: &str, host: &str, kinds: [Kind; 2], relay: Relay) -> String {
        let attempt = Attempt {
            dialect: Name::Rooms,
            client: client.parse().unwrap(),
            host: host.parse().unwrap(),
            names: Names::default(),
            told: EndpointsTold::default(),
            connected: Connected::default(),
            is_proven: true,
        };
        let ended =
            Ended { unix: 0, attempt, kinds, way: Way::No(relay), silent: 0, is_counted: true };
        let text = ended.to_string();
        text.split_once(&format!(
            "host {}: ",
            crate::introductions::journal::Shown(ended.attempt.host)
        ))
        .unwrap()
        .1
        .to_owned()
    }

    #[test]
    fn no_router_is_blamed_that_may_not_be_there() {
        use Kind::{Independent, Open, Symmetric, Unknown};
        let [one, two] = ["203.0.113.7:1", "198.51.100.3:2"];
        for (kinds, has, has_not) in [
            ([Open, Symmetric], "UDP is blocked on one side, the host did not let it in", "router"),
            ([Symmetric, Open], "UDP is blocked on one side", "router"),
            ([Independent; 2], "the host did not let it in (it is full", "router"),
            ([Independent, Symmetric], "the client's router gives", "the host's router"),
            ([Symmetric, Independent], "the host's router gives", "the client's router"),
            ([Unknown; 2], "or the host did not let it in; punch nat", "the host's router"),
        ] {
            let why = why(one, two, kinds, Relay::Untried);
            assert!(why.contains(has) && !why.contains(has_not), "{kinds:?}: {why}");
        }
    }

    #[test]
    fn two_behind_one_router_are_told_so_whatever_is_known_of_it() {
        let one = "203.0.113.7:1";
        for kinds in [[Kind::Unknown; 2], [Kind::Independent; 2], [Kind::Symmetric; 2]] {
            let why = why(one, "203.0.113.7:2", kinds, Relay::Untried);
            assert!(why.contains("both are behind the same router, 203.0.113.7"), "{why}");
            assert!(why.contains("(hairpinning); a relay") && !why.contains("forwards"), "{why}");
        }
        let replaced = why("192.168.9.1:1", "192.168.9.1:2", [Kind::Unknown; 2], Relay::Untried);
        assert!(replaced.contains("replaces the addresses of players"), "{replaced}");
        for (one, other) in [("127.0.0.1:1", "127.0.0.1:2"), ("[2001:db8::1]:1", "[2001:db8::1]:2")]
        {
            let why = why(one, other, [Kind::Unknown; 2], Relay::Untried);
            assert!(!why.contains("same router") && !why.contains("replaces"), "{why}");
        }
    }

    #[test]
    fn whose_datagram_never_came_is_told_with_a_relay_as_well() {
        let of = |client, host| why(client, host, [Kind::Unknown; 2], Relay::InVain);
        let [one, two] = ["203.0.113.7:1", "198.51.100.3:2"];
        assert!(of(one, two).starts_with("one of them has sent nothing to the relay"));
        assert!(of(one, "198.51.100.3:0").starts_with("the host's UDP packet never came"));
        assert!(of("203.0.113.7:0", two).starts_with("the client's UDP packet never came"));
    }
}
