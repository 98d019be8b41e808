//! The links to other nodes: parts that come once and in order, or are all told again.

use super::message::{self, What};
use super::node::Part;
use super::{Cluster, Event, NodeId, RELAY};
use crate::clock::Instant;
use crate::limits::cluster as limits;

impl Cluster {
    pub(super) fn part(&mut self, now: Instant, (id, n): (NodeId, usize), part: Part, said: &[u8]) {
        let Some(node) = self.nodes.get_mut(n).filter(|node| node.is_there) else { return };
        if node.inn.take(now, part) {
            node.heard = now;
            for (of, bytes) in message::all(said) {
                // Another version may speak what is not known here.
                if of == RELAY {
                    self.events.push_back(Event::Relay(id, bytes.to_vec()));
                } else if let Ok(name) = of.parse() {
                    self.events.push_back(Event::Message(id, name, bytes.to_vec()));
                }
            }
        } else if let Some(link) = node.missed(now) {
            self.ask_again(n, link);
        }
    }

    /// A node has missed something on the link with this number, or has heard of none.
    pub(super) fn begin_again(&mut self, now: Instant, (id, n): (NodeId, usize), link: u64) {
        let Some(node) = self.nodes.get(n).filter(|node| node.is_there) else { return };
        if node.out.link <= link && now - node.out.began >= limits::ASK_AGAIN {
            self.begin_link(now, id, n);
        }
    }

    /// A node is to be told everything, by parts that are counted anew.
    pub(super) fn begin_link(&mut self, now: Instant, id: NodeId, n: usize) {
        self.post_said(n);
        self.links += 1;
        let link = self.links;
        if let Some(node) = self.nodes.get_mut(n) {
            node.out.begin(now, link);
            self.events.push_back(Event::Joined(id));
        }
    }

    pub(super) fn say(&mut self, now: Instant, n: usize, of: &str, bytes: &[u8]) {
        let Some(node) = self.nodes.get(n).filter(|node| node.is_there) else { return };
        if node.out.said.len() + bytes.len() > limits::PART {
            self.post_said(n);
        }
        if let Some(node) = self.nodes.get_mut(n) {
            message::add(&mut node.out.said, of, bytes);
            node.out.last = now;
        }
    }

    /// What dialects have said to a node is one part.
    pub(super) fn post_said(&mut self, n: usize) {
        if let Some(node) = self.nodes.get(n)
            && !node.out.said.is_empty()
        {
            self.post_part(node.out.last, n);
        }
    }

    pub(super) fn post_part(&mut self, now: Instant, n: usize) {
        let Some(node) = self.nodes.get_mut(n).filter(|node| node.is_there) else { return };
        node.out.last = now;
        let (Part { link, number }, said) = node.out.next();
        let (to, name) = (node.incarnation, node.name.clone());
        self.send(Some(name), What::Part { to, link, number, said: &said });
    }

    pub(super) fn ask_again(&mut self, n: usize, link: u64) {
        let Some(node) = self.nodes.get(n) else { return };
        let (to, name) = (node.incarnation, node.name.clone());
        self.send(Some(name), What::Again { to, link });
    }
}
