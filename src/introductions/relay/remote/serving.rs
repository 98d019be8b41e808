//! Pairs of other nodes that the relay of this one forwards for.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use super::message::Message;
use crate::clock::Now;
use crate::cluster::NodeId;
use crate::dialect::Name;
use crate::introductions::journal::{Attempt, Names};
use crate::introductions::relay::sessions::{Places, Sessions};
use crate::introductions::relay::{End, SessionId, Shape};
use crate::limits::cluster as bounds;
use crate::state::{self, NotUnderstood};

impl Sessions {
    /// Another node is there, or has missed something.
    pub fn on_node_joined(&mut self, node: NodeId) {
        // Of an open question it may not be known yet that it was answered: then the answer stays what it is.
        let given = self.elsewhere.at_node(node, true);
        let open = self.elsewhere.at_node(node, false);
        let all = given.into_iter().chain(open.iter().copied()).collect();
        self.elsewhere.posts.push((node, Message::Have { all }));
        self.elsewhere.ask_again(node, &open);
        let served = self.served_for(node);
        let all = served.iter().map(|(number, _)| *number).collect();
        self.elsewhere.posts.push((node, Message::Serve { all }));
        for (id, session) in served {
            if self.is_through(session) {
                self.elsewhere.posts.push((node, Message::Through { id }));
            }
        }
    }

    /// Another node is gone: what it has asked for and carries nothing yet is of no use, and what was asked of it is
    /// asked elsewhere.
    pub fn on_node_gone(&mut self, now: Now, node: NodeId) {
        for (number, session) in self.served_for(node) {
            self.forget_served((node, number), session);
        }
        for number in self.elsewhere.at_node(node, true) {
            self.elsewhere.end(number, End::Idle);
        }
        self.elsewhere.nodes.retain(|relay| relay.node != node);
        for number in self.elsewhere.at_node(node, false) {
            if let Some(entry) = self.elsewhere.remove(number) {
                self.ask_next(now, entry);
            }
        }
    }

    /// Another node has said something of relays.
    ///
    /// # Errors
    /// If it is nothing that a node says.
    pub fn on_node_message(
        &mut self,
        now: Now,
        node: NodeId,
        bytes: &[u8],
    ) -> Result<(), NotUnderstood> {
        let message = state::read::<Message>(bytes)?;
        if !message.is_valid() {
            return Err(NotUnderstood::new("it is out of bounds"));
        }
        match message {
            Message::Ask { id, shape, client, host } => {
                let answer = match self.serve(now, (node, id), shape, [client, host]) {
                    Some(Places { for_client, for_host, .. }) => {
                        Message::Yes { id, for_client, for_host }
                    }
                    None => Message::No { id },
                };
                self.elsewhere.posts.push((node, answer));
            }
            Message::Yes { id, for_client, for_host } => {
                self.handle_answer(now, node, id, Some([for_client, for_host]));
            }
            Message::No { id } => self.handle_answer(now, node, id, None),
            Message::Through { id } => self.elsewhere.through(now.instant, node, id),
            Message::Ended { id, end } => {
                if self.elsewhere.is_at(node, id) {
                    self.elsewhere.end(id, end);
                }
            }
            Message::Close { id } => {
                if let Some(session) = self.elsewhere.asked.get(&(node, id)).copied() {
                    self.forget_served((node, id), session);
                }
            }
            Message::Have { all } => {
                let all: BTreeSet<u64> = all.into_iter().collect();
                for (number, session) in self.served_for(node) {
                    if !all.contains(&number) {
                        self.forget_served((node, number), session);
                    }
                }
            }
            Message::Serve { all } => {
                let all: BTreeSet<u64> = all.into_iter().collect();
                for number in self.elsewhere.at_node(node, true) {
                    if !all.contains(&number) {
                        self.elsewhere.end(number, End::Idle);
                    }
                }
                // That it is served was said before, and is lost.
                let mut open = self.elsewhere.at_node(node, false);
                open.retain(|number| all.contains(number));
                self.elsewhere.ask_again(node, &open);
            }
        }
        Ok(())
    }

    /// Forwards between two players of other nodes, if there is room.
    fn serve(
        &mut self,
        now: Now,
        asked: (NodeId, u64),
        shape: Shape,
        pair: [SocketAddr; 2],
    ) -> Option<Places> {
        if let Some(session) = self.elsewhere.asked.get(&asked) {
            return self.places(*session);
        }
        let addrs = pair.map(|at| at.ip());
        let (node, _) = asked;
        if shape == Shape::GameMaker && !self.serves_apart(addrs)
            || self.served_for(node).len() >= bounds::RELAYED
        {
            return None;
        }
        // Its node has the journal, and its dialect the names.
        let dialect = if shape == Shape::GameMaker { Name::Gmnet } else { Name::Rooms };
        let attempt = Attempt::new(dialect, pair, Names::default());
        let places = self.open(now, shape, attempt).ok()?;
        self.set_foreign(places.id);
        self.elsewhere.served.insert(places.id, asked);
        self.elsewhere.asked.insert(asked, places.id);
        Some(places)
    }

    fn served_for(&self, node: NodeId) -> Vec<(u64, SessionId)> {
        let all = self.elsewhere.asked.range((node, 0)..=(node, u64::MAX));
        all.map(|((_, id), session)| (*id, *session)).collect()
    }

    /// Nobody wants to hear of a session any more. It ends if it carries nothing.
    fn forget_served(&mut self, asked: (NodeId, u64), session: SessionId) {
        self.elsewhere.asked.remove(&asked);
        self.elsewhere.served.remove(&session);
        if !self.is_through(session) {
            self.close_foreign(session);
        }
    }

    /// What is told of a session that another node has asked for goes there.
    pub(in crate::introductions::relay) fn tell_through(&mut self, session: SessionId) {
        if let Some((node, id)) = self.elsewhere.served.get(&session).copied() {
            self.elsewhere.posts.push((node, Message::Through { id }));
        }
    }

    /// The same when it is over.
    pub(in crate::introductions::relay) fn tell_end(&mut self, session: SessionId, end: End) {
        if let Some((node, id)) = self.elsewhere.served.remove(&session) {
            self.elsewhere.asked.remove(&(node, id));
            self.elsewhere.posts.push((node, Message::Ended { id, end }));
        }
    }

    /// All of them are.
    pub(in crate::introductions::relay) fn tell_ends(&mut self) {
        let mut all: Vec<SessionId> = self.elsewhere.served.keys().copied().collect();
        all.sort_unstable();
        all.into_iter().for_each(|session| self.tell_end(session, End::Idle));
    }
}
