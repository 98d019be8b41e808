//! What the log says of the options when the server starts: whom it serves and how, and which options do
//! nothing beside the others.

use std::collections::HashSet;
use std::net::IpAddr;

use super::cluster;
use super::relay::{Place, RelayOptions};
use super::values::Spoken;
use super::{Millis, Options};
use crate::dialect::Name;
use crate::limits::{self, Limits};
use crate::net::certificate::End;

/// Whether an option is given, and its name.
type Given = (bool, &'static str);

/// More games would make the line too long to read.
const NAMED: usize = 5;

impl Options {
    /// Whom the server serves and how, in short. `end` is when its certificate ends, as far as that is known.
    #[must_use]
    pub fn serves(&self, end: Option<End>) -> String {
        let mut all = Vec::new();
        if !self.public_ip.is_empty() {
            let told: Vec<_> = self.public_ip.iter().map(IpAddr::to_string).collect();
            all.push(format!("told as {}", told.join(" and ")));
        }
        let games = distinct(&self.games);
        let named: Vec<_> = games.iter().map(|game| format!("{game:?}")).collect();
        match games.len() {
            0 => {}
            1..=NAMED => all.push(format!("only for the games {}", named.join(", "))),
            many => all.push(format!("only for {many} games")),
        }
        match distinct(&self.keys).len() {
            0 => {}
            1 => all.push("1 key".into()),
            keys => all.push(format!("{keys} keys")),
        }
        let speaks = Name::ALL.into_iter().filter(|name| self.speaks(*name));
        let speaks = speaks.map(|name| name.to_string()).collect::<Vec<_>>().join(", ");
        let is_all = Name::ALL.into_iter().all(|name| self.speaks(name));
        all.push(match (is_all, self.is_relay_alone()) {
            (true, _) => format!("speaks {speaks}"),
            (_, true) => "speaks no dialect, a relay for other nodes alone".to_owned(),
            (false, false) => format!("only {speaks}"),
        });
        if self.tls_cert.is_some() {
            let how = if self.tls_required { "TLS required" } else { "with TLS" };
            let end = end.map(|end| format!(", certificate until {end}")).unwrap_or_default();
            all.push(format!("{how}{end}"));
        }
        if let Some(node) = self.cluster.node.as_ref().filter(|_| !self.cluster.cluster.is_empty())
        {
            all.push(format!("node {node} of cluster {}", self.cluster.cluster_name));
        }
        let others = [
            (!self.relay.relay.is_empty(), "with a relay"),
            (self.owner.blocks().is_ok_and(|blocks| !blocks.is_empty()), "some are blocked"),
            (self.disable_lobby && !self.testing, "no lobby"),
            (self.http.public_lobby, "lobby for web sites"),
            (self.testing, "testing"),
        ];
        all.extend(others.iter().filter(|(is_so, _)| *is_so).map(|(_, what)| (*what).to_owned()));
        all.iter().fold(String::new(), |text, one| text + "; " + one)
    }

    /// Whether there are keys or games, without which nobody is admitted.
    #[must_use]
    pub fn admits_only_some(&self) -> bool {
        !self.keys.is_empty() || !self.games.is_empty()
    }

    /// Whether a dialect is spoken.
    #[must_use]
    pub fn speaks(&self, name: Name) -> bool {
        self.dialects.contains(&Spoken(Some(name)))
    }

    /// Whether this is a relay for other nodes and nothing else.
    #[must_use]
    pub fn is_relay_alone(&self) -> bool {
        !Name::ALL.into_iter().any(|name| self.speaks(name))
    }

    /// Where the relay is, if there is to be one. Where nobody speaks GMnet no client of GMnet takes what comes from
    /// there for its server's.
    ///
    /// # Errors
    /// As [`RelayOptions::place`].
    pub fn relay_place(
        &self,
        binds: &[IpAddr],
        own: impl Iterator<Item = IpAddr>,
    ) -> Result<Option<Place>, String> {
        let mut place = self.relay.place(binds, self.public_ips(), own)?;
        if let Some(place) = place.as_mut().filter(|_| !self.speaks(Name::Gmnet)) {
            place.config.is_apart = true;
        }
        Ok(place)
    }

    /// What is doubtful about that place.
    #[must_use]
    pub fn relay_warning(
        &self,
        place: &Place,
        binds: &[IpAddr],
        own: impl Iterator<Item = IpAddr>,
    ) -> Option<String> {
        let warning = RelayOptions::warning(place, binds, self.public_ips(), own);
        warning.filter(|_| self.speaks(Name::Gmnet))
    }

    /// Why there would be nothing to do, or what is contradictory about the dialects.
    pub(super) fn serves_nothing(&self) -> Option<&'static str> {
        if !self.dialects.contains(&Spoken(None)) {
            return None;
        }
        if self.dialects.len() > 1 {
            return Some("--dialects (PUNCHD_DIALECTS) names dialects and none: leave one out");
        }
        let has_both = !self.relay.relay.is_empty() && !self.cluster.cluster.is_empty();
        (!has_both).then_some(
            "--dialects none (PUNCHD_DIALECTS) leaves nothing to serve: with --relay and --cluster this would be a \
             relay for other nodes",
        )
    }

    /// Which options have no effect beside the others, a sentence for each.
    #[must_use]
    pub fn without_effect(&self) -> Vec<String> {
        let mut all = Vec::new();
        // So it was in the old server, and its command lines have both.
        if self.disable_lobby && self.testing {
            let why = "--disable-lobby has no effect with --testing: the lobby is answered";
            all.push(why.into());
        }
        if self.http.http.0.is_none() && self.http.http_token.is_some() {
            all.push("--http-token has no effect with --http off: there is no window".into());
        }
        if self.disable_lobby && !self.testing && self.http.public_lobby {
            let why = "--public-lobby has no effect with --disable-lobby for hosts of GMnet: their list is empty";
            all.push(why.into());
        }
        if self.disable_lobby && !self.testing && self.lobby_ports {
            all.push("--lobby-ports has no effect with --disable-lobby: there is no lobby".into());
        }
        if self.cluster.cluster.is_empty() && self.cluster.node.is_some() {
            all.push("--node has no effect without --cluster: this server is alone".into());
        }
        if self.cluster.cluster.is_empty() && self.cluster.cluster_name != cluster::NAME {
            all.push("--cluster-name has no effect without --cluster: this server is alone".into());
        }
        if self.cluster.cluster.is_empty() && self.cluster.cluster_creds.is_some() {
            all.push(
                "--cluster-creds has no effect without --cluster: this server is alone".into(),
            );
        }
        if !self.name.is_empty() && !self.testing && self.speaks(Name::Gmnet) {
            all.push("--name has no effect without --testing: nobody is told the name".into());
        }
        let limits = Limits::default();
        let needs: [(&[Name], &[Given]); 6] = [
            (
                &[Name::Gmnet],
                &[
                    (self.disable_lobby && !self.testing, "--disable-lobby"),
                    (self.lobby_ports, "--lobby-ports"),
                    (self.keepalive != limits::KEEPALIVE.as_secs(), "--keepalive"),
                    (self.notify_gap != Millis(limits::NOTIFY_GAP), "--notify-gap"),
                    (self.start_wait != limits::START_WAIT.as_secs(), "--start-wait"),
                    (self.testing, "--testing"),
                    (!self.name.is_empty(), "--name"),
                ],
            ),
            (
                &[Name::Events],
                &[(self.tls_cert.is_some(), "--tls-cert"), (self.tls_required, "--tls-required")],
            ),
            (
                &[Name::Rooms],
                &[(self.room_timeout != limits::ROOM_SILENCE.as_secs(), "--room-timeout")],
            ),
            (
                &[Name::Gmnet, Name::Rooms, Name::Events],
                &[(self.http.public_lobby, "--public-lobby")],
            ),
            (
                &[Name::Stun],
                &[(self.alt_port.is_some(), "--alt-port"), (self.alt_addr.is_some(), "--alt-addr")],
            ),
            (
                &[Name::Gmnet, Name::Rooms, Name::Events, Name::Natpunch],
                &[
                    (!self.keys.is_empty() || self.owner.key_file.is_some(), "--key"),
                    (!self.games.is_empty() || self.owner.games_file.is_some(), "--games"),
                    (!self.relay.relay.is_empty(), "--relay"),
                    (!self.public_ip.is_empty(), "--public-ip"),
                    (self.max_hosts != limits.hosts_per_address, "--max-hosts"),
                    (self.max_commands != limits.commands_per_second, "--max-commands"),
                ],
            ),
        ];
        for (names, options) in needs {
            // It is for other nodes.
            let is_idle = |option| option != "--relay" || !self.is_relay_alone();
            if names.iter().any(|name| self.speaks(*name)) {
                continue;
            }
            let needed: Vec<_> = names.iter().map(Name::to_string).collect();
            let needed = needed.join(", ");
            let idle = options.iter().filter(|(is_given, of)| *is_given && is_idle(*of));
            all.extend(idle.map(|(_, option)| {
                format!("{option} has no effect, as --dialects leaves out {needed}")
            }));
        }
        let decides = std::env::var("RUST_LOG").is_ok_and(|filters| !filters.is_empty());
        if decides && (self.quiet || self.verbose) {
            let option = if self.quiet { "--quiet" } else { "--verbose" };
            all.push(format!("{option} has no effect, as RUST_LOG is set"));
        }
        all
    }
}

/// What is in a list, each once.
fn distinct(list: &[String]) -> Vec<&String> {
    let mut seen = HashSet::new();
    list.iter().filter(|text| seen.insert(*text)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::{Duration, Instant};

    #[test]
    fn a_long_list_is_read_in_no_time() {
        let list: Vec<_> = (0..100_000).map(|n| (n % 90_000).to_string()).collect();
        let began = Instant::now();
        assert_eq!(distinct(&list).len(), 90_000);
        assert!(began.elapsed() < Duration::from_secs(5), "each is compared with all");
    }
}
