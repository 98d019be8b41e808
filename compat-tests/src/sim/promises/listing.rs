//! What the lobby shows: every live host, and nobody else.

use std::net::{IpAddr, SocketAddr};

use punchd::clock::Instant;
use punchd::limits;
use serde::Deserialize;

use super::super::world::OBSERVER;
use super::{Book, Connection, Kept, Promise, Registered, SLACK, broken};

/// A host in the lobby.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
pub struct Listed {
    ip: String,
    data1: String,
    data2: String,
    data3: String,
}

impl Listed {
    /// Whether this is that host, which is known at this address.
    fn is(&self, addr: IpAddr, connection: &Connection) -> bool {
        let ports = || connection.host.iter().flat_map(|host| &host.ports);
        let is_named = self.ip == addr.to_string()
            || ports().any(|port| self.ip == SocketAddr::new(addr, *port).to_string());
        let data = connection.host.as_ref().and_then(|host| host.data.as_ref());
        let ours = [&self.data1, &self.data2, &self.data3];
        is_named && data.is_some_and(|data| data.iter().zip(ours).all(|(a, b)| a == b))
    }
}

/// Data string 1 of a host that does not want to be listed.
const INVISIBLE: &str = "<INV>";

impl Book {
    /// This is what the lobby shows now.
    ///
    /// # Errors
    /// If it should show something else.
    pub fn check_lobby(&self, now: Instant, lobby: &[Listed]) -> Kept {
        for (id, connection) in &self.connections {
            let Some(host) = connection.host.as_ref().filter(|_| connection.is_live_host()) else {
                continue;
            };
            let wants = host.data.as_ref().is_some_and(|data| data[0] != INVISIBLE);
            let is_listed =
                lobby.iter().any(|listed| listed.is(self.listed_at(connection), connection));
            if wants && !is_listed && !self.may_be_hidden(now, connection, host) {
                let what = format!("host {id:?} of {} is not listed", connection.addr);
                return broken(Promise::Listed, what);
            }
        }
        self.check_no_ghosts(lobby)
    }

    /// Who looks is outside.
    fn listed_at(&self, connection: &Connection) -> IpAddr {
        self.named(connection.addr, OBSERVER.ip())
    }

    fn check_no_ghosts(&self, lobby: &[Listed]) -> Kept {
        for listed in lobby {
            // A host that came back looks the same as the connection it has lost, and until the
            // server hears of that loss it has both.
            let hosts = self.connections.values();
            let hosts = hosts
                .filter(|connection| listed.is(self.listed_at(connection), connection))
                .count();
            let times = lobby.iter().filter(|other| *other == listed).count();
            if times > hosts {
                let what = format!("{listed:?} is listed {times} times for {hosts} hosts");
                return broken(Promise::NoGhosts, what);
            }
        }
        Ok(())
    }

    /// Whether a newer host of the same address may hide it: for good if they may be one game,
    /// for a moment if they run the same game.
    fn may_be_hidden(&self, now: Instant, connection: &Connection, host: &Registered) -> bool {
        let hides = |newer: &Registered| {
            let game = |host: &Registered| host.data.as_ref().map(|data| data[0].clone());
            let is_new = now - newer.since < limits::SHADOW + SLACK;
            let is_newer = newer.since >= host.since && !std::ptr::eq(newer, host);
            let same_game = game(newer).unwrap_or_default() == game(host).unwrap_or_default();
            is_newer && (!self.are_told_apart(connection.addr) || (is_new && same_game))
        };
        self.hosts_at(connection.addr).any(|(_, _, newer)| hides(newer))
    }
}
