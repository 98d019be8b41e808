//! Pairs of this node that a relay of another one is asked to forward for.

use std::net::SocketAddr;

use smallvec::SmallVec;

use super::message::Message;
use super::{Candidates, Entry, Homes, News, Pair, RemoteRelays, pair_of, plain};
use crate::clock::{Instant, Now};
use crate::cluster::NodeId;
use crate::dialect::Name;
use crate::introductions::is_same_family;
use crate::introductions::journal::{Attempt, EndpointsTold, Relay, Way};
use crate::introductions::relay::sessions::{Places, Sessions};
use crate::introductions::relay::{End, Refused, Shape};
use crate::limits::cluster as bounds;

/// Whether two are relayed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Relayed {
    /// They are to be told this.
    At(Places),
    /// Another node is asked: their dialect will hear of it.
    Asked,
    /// They are not, and why this node's relay has no room for them if it has one.
    No(Option<Refused>),
}

impl Sessions {
    /// Gives two players, both of whose addresses are proven, a session at the relay of the client's node, of the
    /// host's, or of any other that has room, in this order.
    pub fn open_anywhere(
        &mut self,
        now: Now,
        shape: Shape,
        attempt: Attempt,
        homes: Homes,
    ) -> Relayed {
        let pair = pair_of(&attempt);
        if self.elsewhere.is_asked(&pair) {
            return Relayed::Asked;
        }
        let mut left = self.candidates(&attempt, shape, homes);
        let is_crowded = self.elsewhere.waits.len() >= bounds::WAITING_FOR_RELAY
            || self.elsewhere.all.len() >= bounds::RELAYED;
        // Only what costs nobody else anything.
        if is_crowded
            || self.elsewhere.refused.is_armed(&pair)
            || left.iter().any(Option::is_some)
                && !self.elsewhere.rates.allow(now.instant, attempt.client.ip())
        {
            left.retain(|node| node.is_none());
        }
        self.go_on_asking(now, shape, attempt, homes, left)
    }

    /// Whether a client of GMnet and its host may be given a session, wherever: unless all who were asked just now had no room
    /// for them.
    #[must_use]
    pub fn may_serve_apart(&self, pair: [SocketAddr; 2]) -> bool {
        let players = pair.map(|at| at.ip());
        let refused = (Name::Gmnet, pair.map(plain));
        self.serves_apart(players)
            || self.elsewhere.serves_apart(players) && !self.elsewhere.refused.is_armed(&refused)
    }

    /// Whether a dialect will hear what has become of a question for these two, that another process may have asked.
    #[must_use]
    pub fn has_asked(&self, dialect: Name, pair: [SocketAddr; 2]) -> bool {
        self.elsewhere.has_asked(&(dialect, pair.map(plain)))
    }

    /// Asks those who are left for a session, one after the other. It is known at once what this node says.
    fn go_on_asking(
        &mut self,
        now: Now,
        shape: Shape,
        attempt: Attempt,
        homes: Homes,
        mut left: Candidates,
    ) -> Relayed {
        let mut why = None;
        while !left.is_empty() {
            let Some(node) = left.remove(0) else {
                match self.open(now, shape, attempt.clone()) {
                    Ok(places) => return Relayed::At(places),
                    // They try again and again.
                    Err(Refused::Pair) => return Relayed::No(Some(Refused::Pair)),
                    Err(refused) => why = Some(refused),
                }
                continue;
            };
            let began = self.when_introduced(now, [attempt.client, attempt.host]);
            let (places, is_through, is_welcome) = (None, false, false);
            let entry =
                Entry { attempt, shape, homes, node, left, began, places, is_through, is_welcome };
            self.elsewhere.ask(now.instant, entry);
            return Relayed::Asked;
        }
        Relayed::No(why)
    }

    /// Whose relays come into question, the best first.
    fn candidates(&self, attempt: &Attempt, shape: Shape, homes: Homes) -> Candidates {
        let players = [attempt.client.ip(), attempt.host.ip()];
        let apart = shape == Shape::GameMaker;
        let own = if apart { self.serves_apart(players) } else { self.serves(players) };
        let has_room = |node: &NodeId| {
            let mut known = self.elsewhere.nodes.iter().filter(|relay| relay.node == *node);
            known.any(|relay| relay.has_room && relay.serves(players, apart))
        };
        let mut others: SmallVec<[_; 16]> = self.elsewhere.nodes.iter().collect();
        others.sort_unstable_by_key(|relay| (!relay.is_alone, relay.sessions, relay.node));
        let others = others.into_iter().map(|relay| Some(relay.node));
        let mut all = Candidates::new();
        for node in homes.nodes.into_iter().chain([None]).chain(others) {
            let is_good = node.map_or(own, |node| has_room(&node));
            if is_good && !all.contains(&node) && all.len() < bounds::RELAYS {
                all.push(node);
            }
        }
        all
    }

    /// The time has come that [`RemoteRelays::next_wakeup`] tells.
    pub fn on_wakeup(&mut self, now: Now) {
        while self.elsewhere.refused.take_due(now.instant).is_some() {}
        while let Some(number) = self.elsewhere.waits.pop_due(now.instant) {
            if let Some(entry) = self.elsewhere.remove(number) {
                // The answer may come late.
                self.elsewhere.posts.push((entry.node, Message::Close { id: number }));
                self.ask_next(now, entry);
            }
        }
        while let Some(number) = self.elsewhere.given.pop_due(now.instant) {
            self.elsewhere.end(number, End::UsedUp);
        }
    }

    /// One that was asked does not forward for a pair: another may.
    pub(super) fn ask_next(&mut self, now: Now, entry: Entry) {
        let Entry { attempt, shape, homes, left, .. } = entry;
        let is_given = match self.go_on_asking(now, shape, attempt.clone(), homes, left) {
            Relayed::Asked => return,
            Relayed::At(_) => true,
            Relayed::No(_) => {
                let refused = &mut self.elsewhere.refused;
                if refused.len() >= bounds::RELAYED {
                    refused.take();
                }
                refused.arm(now.instant, pair_of(&attempt));
                false
            }
        };
        self.elsewhere.news.push_back(News { attempt, is_given });
    }

    /// A relay answers.
    pub(super) fn handle_answer(
        &mut self,
        now: Now,
        node: NodeId,
        id: u64,
        places: Option<[SocketAddr; 2]>,
    ) {
        let known = self.elsewhere.all.get(&id).filter(|entry| entry.node == node);
        let Some(entry) = known else {
            if places.is_some() {
                self.elsewhere.posts.push((node, Message::Close { id }));
            }
            return;
        };
        if entry.places.is_some() {
            return;
        }
        let players = [entry.attempt.client.ip(), entry.attempt.host.ip()];
        let is_sound = |places: &[SocketAddr; 2]| {
            places.iter().zip(players).all(|(at, player)| is_same_family(at.ip(), player))
        };
        match places.filter(is_sound) {
            Some(places) => self.elsewhere.give(now.instant, id, places),
            None => {
                if let Some(entry) = self.elsewhere.remove(id) {
                    self.ask_next(now, entry);
                }
            }
        }
    }
}

impl RemoteRelays {
    fn ask(&mut self, now: Instant, entry: Entry) {
        self.count += 1;
        let number = self.count;
        self.posts.push((entry.node, self.question(number, &entry)));
        self.by_pair.insert(pair_of(&entry.attempt), number);
        self.waits.arm(now, number);
        self.all.insert(number, entry);
    }

    /// Whether another node is asked for a session of a pair, and has not answered yet.
    pub(in crate::introductions::relay) fn is_asked(&self, pair: &Pair) -> bool {
        let entry = self.by_pair.get(pair).and_then(|number| self.all.get(number));
        entry.is_some_and(|entry| entry.places.is_none())
    }

    /// Whether another node is asked for a session of a pair, or what it has said has still to be heard.
    pub(in crate::introductions::relay) fn has_asked(&self, pair: &Pair) -> bool {
        let is_news = || self.news.iter().any(|news| pair_of(&news.attempt) == *pair);
        self.by_pair.contains_key(pair) || is_news()
    }

    fn question(&self, id: u64, entry: &Entry) -> Message {
        let Entry { attempt, shape, homes, node, .. } = entry;
        let relay = self.nodes.iter().find(|relay| relay.node == *node).map(|relay| relay.told);
        let [of_client, of_host] = homes.nodes;
        // As the relay sees who is in its network, or in that of this node.
        let at_home = homes.host_at_home.filter(|_| of_host == Some(*node));
        let host = at_home.map(|ip| SocketAddr::new(ip, attempt.host.port()));
        let both = [(attempt.client, of_client), (host.unwrap_or(attempt.host), of_host)];
        let [client, host] = both.map(|(at, home)| {
            let whom = relay.and_then(|relay| relay.like(at.ip()));
            let at = plain(at);
            match whom.filter(|_| home.is_none()) {
                Some(whom) => SocketAddr::new(homes.public_ips.told(at.ip(), whom), at.port()),
                None => at,
            }
        });
        Message::Ask { id, shape: *shape, client, host }
    }

    fn give(&mut self, now: Instant, number: u64, places: [SocketAddr; 2]) {
        let Some(entry) = self.all.get_mut(&number) else { return };
        entry.places = Some(places);
        let [client, host] = [entry.attempt.client, entry.attempt.host];
        entry.attempt.told = EndpointsTold::new([client, host], places);
        let attempt = entry.attempt.clone();
        self.waits.cancel(&number);
        self.given.arm(now, number);
        self.news.push_back(News { attempt, is_given: true });
    }

    /// Forgets a pair.
    pub(super) fn remove(&mut self, number: u64) -> Option<Entry> {
        self.waits.cancel(&number);
        self.given.cancel(&number);
        let entry = self.all.remove(&number)?;
        let pair = pair_of(&entry.attempt);
        if self.by_pair.get(&pair) == Some(&number) {
            self.by_pair.remove(&pair);
        }
        Some(entry)
    }

    /// Packets of a pair have gone both ways.
    pub(super) fn through(&mut self, now: Instant, node: NodeId, number: u64) {
        let Some(entry) = self.all.get_mut(&number) else { return };
        if entry.node == node && entry.places.is_some() && !entry.is_through {
            entry.is_through = true;
            self.ended.push((entry.attempt.clone(), Way::Relayed(now - entry.began)));
        }
    }

    /// A session that was given is over.
    pub(super) fn end(&mut self, number: u64, end: End) {
        let Some(entry) = self.remove(number) else { return };
        let way = match (entry.is_welcome, end) {
            (true, _) => Way::Direct(None),
            (false, End::GaveWay) => Way::No(Relay::GaveWay),
            (false, _) => Way::No(Relay::InVain),
        };
        if !entry.is_through && entry.places.is_some() {
            self.ended.push((entry.attempt, way));
        }
    }

    /// Whether a node has given the session with this number.
    pub(super) fn is_at(&self, node: NodeId, number: u64) -> bool {
        let entry = self.all.get(&number);
        entry.is_some_and(|entry| entry.node == node && entry.places.is_some())
    }

    /// The numbers of those that have a session at this node, or ask it for one.
    pub(super) fn at_node(&self, node: NodeId, is_given: bool) -> Vec<u64> {
        let theirs = self
            .all
            .iter()
            .filter(|(_, entry)| entry.node == node && entry.places.is_some() == is_given);
        let mut all: Vec<u64> = theirs.map(|(number, _)| *number).collect();
        all.sort_unstable();
        all
    }

    /// Asks a node once more what may be lost.
    pub(super) fn ask_again(&mut self, node: NodeId, numbers: &[u64]) {
        for number in numbers {
            let Some(entry) = self.all.get(number) else { continue };
            let question = self.question(*number, entry);
            self.posts.push((node, question));
        }
    }
}
