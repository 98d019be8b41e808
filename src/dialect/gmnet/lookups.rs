//! What clients looked for and whom they met last: it tells which of several hosts of an address
//! a client means that asks for the address alone. Who registers there later, be it to take
//! over the players of a neighbour, is not it.

use std::net::{IpAddr, SocketAddr};

use hashlink::LinkedHashMap;
use hashlink::linked_hash_map::Entry;
use serde::{Deserialize, Serialize};

use super::host::Host;
use super::slot::HostKey;
use crate::clock::Instant;
use crate::hash::{Keyed, Lasting, Map};
use crate::limits;
use crate::prefixes::{network, widest};

/// What is remembered of each client address (IPv6: /64), that of the one that did something
/// longest ago in front.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Lookups {
    #[serde(with = "crate::state::linked")]
    by_client: LinkedHashMap<IpAddr, ClientLookups, Keyed>,
    /// Those of each /48 of IPv6 that may be one site's, the oldest first.
    #[serde(skip)]
    by_site: Map<IpAddr, Vec<IpAddr>>,
    /// For the names of games, which are remembered as hashes.
    hasher: Lasting,
}

/// Several of each, as several players may have one address; the latest in front.
#[derive(Debug, Default, Serialize, Deserialize)]
struct ClientLookups {
    /// Games whose hosts were asked for in the lobby.
    games: [Option<(u64, Instant)>; limits::LOOKS_PER_CLIENT],
    /// Hosts that they were introduced to.
    met: [Option<(SocketAddr, Instant)>; limits::LOOKS_PER_CLIENT],
}

impl Lookups {
    /// A client asks for the hosts of this game in the lobby.
    pub(super) fn looked(&mut self, now: Instant, client: IpAddr, game: &str) {
        if !game.is_empty() {
            let game = self.name(game);
            note(&mut self.of(client).games, game, now);
        }
    }

    /// A client is introduced to a host.
    pub(super) fn met(&mut self, now: Instant, client: IpAddr, host: SocketAddr) {
        note(&mut self.of(client).met, host, now);
    }

    /// Which of the hosts of one address, the oldest first, a client means. None if it looked for
    /// none of their games: then the newest counts, as games expect.
    pub(super) fn meant<'h>(
        &self,
        now: Instant,
        client: IpAddr,
        hosts: impl DoubleEndedIterator<Item = (HostKey, &'h Host)> + Clone,
    ) -> Option<HostKey> {
        let look = self.by_client.get(&network(client))?;
        let is_recent = |at: Instant| now - at <= limits::LOOK;
        let runs = |host: &Host, game: u64| self.name(host.game()) == game;
        let games = look.games.iter().flatten().filter(|(_, at)| is_recent(*at));
        let sought = games.copied().find(|(game, _)| hosts.clone().any(|(_, h)| runs(h, *game)));
        let (game, looked) = sought?;
        let fits = |host: &Host| runs(host, game);
        let mut fitting = hosts.rev().filter(|(_, host)| fits(host));

        let mut met = look.met.iter().flatten().filter(|(_, at)| is_recent(*at));
        let again = met.find_map(|(endpoint, _)| {
            let is_it = |(_, host): &(HostKey, &Host)| {
                host.addr == endpoint.ip() && host.port == Some(endpoint.port())
            };
            fitting.clone().find(is_it)
        });
        if let Some((key, _)) = again {
            return Some(key);
        }
        // One that was listed then has been replaced if a later one has its port.
        let mut known = fitting.clone().filter(|(_, host)| host.port.is_some());
        let was_listed = known.clone().find(|(_, host)| host.since <= looked);
        let same = |port| known.clone().find(|(_, host)| host.port == port);
        let best = was_listed.and_then(|(_, host)| same(host.port)).or_else(|| known.next());
        best.or_else(|| fitting.next()).map(|(key, _)| key)
    }

    /// Goes on with what another process remembered.
    pub(super) fn restore(&mut self, saved: Self) {
        *self = saved;
        let clients: Vec<IpAddr> = self.by_client.keys().copied().collect();
        clients.into_iter().for_each(|client| self.note_site(client));
        if !self.hasher.is_same() {
            self.by_client.iter_mut().for_each(|(_, look)| look.games = Default::default());
        }
    }

    /// A game as it is remembered. Names may be long, and all of an address are compared.
    fn name(&self, game: &str) -> u64 {
        const BEGINNING: usize = 128;
        let name = game.as_bytes();
        self.hasher.hash_one(name.get(..BEGINNING).unwrap_or(name))
    }

    fn of(&mut self, client: IpAddr) -> &mut ClientLookups {
        let client = network(client);
        if !self.by_client.contains_key(&client) {
            if self.by_client.len() > limits::LOOKS
                && let Some((first, _)) = self.by_client.pop_front()
            {
                self.leave_site(first);
            }
            self.note_site(client);
        }
        match self.by_client.entry(client) {
            Entry::Occupied(mut known) => {
                known.to_back();
                known.into_mut()
            }
            Entry::Vacant(new) => new.insert(ClientLookups::default()),
        }
    }

    /// One more of its /48, of which the oldest is forgotten if it has too many.
    fn note_site(&mut self, client: IpAddr) {
        if client.is_ipv4() {
            return;
        }
        let of_site = self.by_site.entry(widest(client)).or_default();
        if of_site.len() >= limits::LOOKS_PER_SITE {
            self.by_client.remove(&of_site.remove(0));
        }
        of_site.push(client);
    }

    fn leave_site(&mut self, client: IpAddr) {
        let site = widest(client);
        if let Some(of_site) = self.by_site.get_mut(&site) {
            of_site.retain(|other| *other != client);
            if of_site.is_empty() {
                self.by_site.remove(&site);
            }
        }
    }
}

/// Moves something to the front; the last one goes if it is new.
fn note<T: PartialEq>(list: &mut [Option<(T, Instant)>], what: T, now: Instant) {
    let is_it =
        |entry: &Option<(T, Instant)>| entry.as_ref().is_none_or(|(other, _)| *other == what);
    let end = list.iter().position(is_it).map_or(list.len(), |n| n + 1);
    if let Some(moved) = list.get_mut(..end) {
        moved.rotate_right(1);
    }
    if let Some(first) = list.first_mut() {
        *first = Some((what, now));
    }
}
