//! What other nodes are told of the hosts of this one.

use super::super::Gmnet;
use super::super::data::Data;
use super::message::{Entry, Message};
use super::{Nodes, tell};
use crate::cluster::{NodeId, Whom};
use crate::dialect::Context;
use crate::dialect::replication::SOMETHING;
use crate::limits::cluster as bounds;

/// About how long a host is in a message.
fn length(entry: &Entry<&Data>) -> usize {
    const BESIDE: usize = 80;
    BESIDE + entry.strings()
}

impl Gmnet {
    /// Tells all nodes what has changed about hosts, as far as a turn goes and they may be told: first which are gone.
    pub(super) fn tell_changes(&mut self, cx: &mut Context<'_>) {
        self.tell_gone(cx);
        self.note_changes();
        let (now, mut part, mut size) = (cx.now.instant, Vec::new(), 0);
        let told = |all| Message::Hosts { now: now.micros(), all };
        for _ in 0..bounds::PART_ENTRIES {
            let Some((conn, addr)) = self.nodes.untold.pop(now) else { break };
            let host = self.hosts.at(addr).find(|(_, host)| host.conn == conn);
            let Some(entry) = host.map(|(_, host)| Entry::of(host)) else { continue };
            let hash = self.nodes.hash(&entry);
            if self.nodes.told.insert(conn, hash) == Some(hash) {
                continue;
            }
            self.nodes.untold.spend(now, length(&entry));
            size += length(&entry);
            part.push(entry);
            if size >= bounds::PART {
                size = 0;
                tell(cx, Whom::All, &told(std::mem::take(&mut part)));
            }
        }
        if !part.is_empty() {
            tell(cx, Whom::All, &told(part));
        }
    }

    /// Tells all nodes which hosts are gone. That is little, does not wait, and takes nothing of what
    /// may be said of others.
    fn tell_gone(&mut self, cx: &mut Context<'_>) {
        let Some(news) = &mut self.hosts.news else { return };
        let mut gone = std::mem::take(&mut news.gone);
        let Nodes { untold, told, there, .. } = &mut self.nodes;
        let is_beginning = there.values().any(Option::is_some);
        // Of those that came and went meanwhile nobody knows, unless one who has not been told all yet.
        gone.retain(|conn| {
            let has_waited = untold.remove(conn);
            told.remove(conn).is_some() || !has_waited || is_beginning
        });
        for some in gone.chunks(bounds::PART_ENTRIES) {
            tell(cx, Whom::All, &Message::<&Data>::Gone { all: some.into() });
        }
    }

    /// Hosts that are new or have changed have to wait for their turn.
    fn note_changes(&mut self) {
        let Some(news) = &mut self.hosts.news else { return };
        let rest = news.at.len().saturating_sub(bounds::PART_ENTRIES);
        let mut changed = news.at.split_off(rest);
        changed.sort_unstable();
        changed.dedup();
        for (_, host) in changed.into_iter().flat_map(|addr| self.hosts.at(addr)) {
            let entry = Entry::of(host);
            if self.nodes.told.get(&host.conn) != Some(&self.nodes.hash(&entry)) {
                self.nodes.untold.add(host.conn, host.addr, length(&entry));
            }
        }
    }

    /// Tells a node of some more of the hosts that it has not been told of.
    pub(super) fn tell_part(&mut self, cx: &mut Context<'_>, node: NodeId) {
        let Some(Some(from)) = self.nodes.there.get(&node).copied() else { return };
        let now = cx.now.instant;
        let Nodes { paces, untold, told, parts, .. } = &mut self.nodes;
        let pace = paces.entry(node).or_default();
        if !pace.is_open(now) {
            return parts.arm(now, node);
        }
        let (hosts, mut next) = self.hosts.some_from(from, bounds::PART_ENTRIES);
        let mut part = Vec::new();
        let mut size = 0;
        for (at, host) in hosts {
            if size >= bounds::PART {
                next = Some(at);
                break;
            }
            // This node knows more of it than others.
            match untold.has(&host.conn) {
                true => _ = told.insert(host.conn, SOMETHING),
                false => _ = told.entry(host.conn).or_insert(SOMETHING),
            }
            let entry = Entry::of(host);
            size += length(&entry);
            part.push(entry);
        }
        pace.spend(now, size);
        if !part.is_empty() {
            tell(cx, Whom::Node(node), &Message::Hosts { now: now.micros(), all: part });
        }
        self.nodes.there.insert(node, next);
        match next {
            Some(_) => self.nodes.parts.arm(now, node),
            None => tell(cx, Whom::Node(node), &Message::<&Data>::End),
        }
    }
}
