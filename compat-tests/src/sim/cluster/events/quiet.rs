//! What has to be so when nothing new has happened for a while.

use std::collections::{BTreeMap, BTreeSet};

use super::super::plan::NODES;
use super::super::stage::Stage;
use super::Cast;

impl Cast {
    /// Nothing is left of the past: all nodes know the same peers and rooms, and all in a room the same members, to whom
    /// they are introduced.
    pub(super) fn check_quiet(&mut self, stage: &Stage) -> Result<(), String> {
        let mut ids = BTreeSet::new();
        let mut rooms: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        let mut at = [0; NODES];
        for peer in self.peers.iter().filter(|peer| peer.since.is_some()) {
            if !ids.insert(&peer.id) {
                return Err(format!("two have the ID {}: {:#?}", peer.id, self.peers));
            }
            if let Some(at) = at.get_mut(peer.node) {
                *at += 1;
            }
            if let Some(room) = &peer.room {
                rooms.entry(&room.room).or_default().push(&peer.id);
            }
        }
        let mut pairs = 0;
        let missed: Vec<bool> =
            (0..self.peers.len()).map(|n| self.may_have_missed(stage, n)).collect();
        let has_missed = |id: &str| {
            let mut all = self.peers.iter().zip(&missed);
            all.any(|(peer, missed)| peer.id == id && peer.since.is_some() && *missed)
        };
        for peer in self.peers.iter().filter(|peer| peer.since.is_some()) {
            let Some(room) = peer.room.as_ref().filter(|_| !has_missed(&peer.id)) else { continue };
            let members: BTreeSet<&str> = room.members.iter().map(|id| &**id).collect();
            let expected = rooms.get(&*room.room).map_or(&[][..], |all| all);
            if members != expected.iter().copied().collect() || members.len() != expected.len() {
                return Err(format!("{} takes {members:?} for {expected:?} in {room:?}", peer.id));
            }
            for id in room.members.iter().filter(|id| **id != peer.id && !has_missed(id)) {
                pairs += u64::from(self.check_pair(peer, id)?);
            }
        }
        let all: usize = at.iter().sum();
        for (n, here) in at.into_iter().enumerate() {
            let kept: BTreeMap<_, _> = stage.nodes.kept(n).into_iter().collect();
            // Each node has somebody who looks at its lists.
            let all = all + NODES;
            let expected = [
                ("events: connections", all),
                ("events: IDs", all),
                ("events: tokens", here + 1),
                ("events: guests", all - here - 1),
                ("events: guests without an ID", 0),
                ("events: rooms", rooms.len()),
                ("events: those who wait", 0),
            ];
            for (what, expected) in expected {
                let there = kept.get(what).copied().unwrap_or(0);
                if there != expected {
                    return Err(format!(
                        "node {n} has {there} for {what:?}, not {expected}: {:#?}",
                        self.peers
                    ));
                }
            }
        }
        self.summary.pairs += pairs / 2;
        Ok(())
    }

    /// Whether two in one room have been introduced: a host and another one, or any two in a mesh.
    fn check_pair(&self, peer: &super::Peer, other: &str) -> Result<bool, String> {
        let other = self.peers.iter().find(|one| one.id == other && one.since.is_some());
        let Some(((other, own_room), room)) =
            other.zip(peer.room.as_ref()).zip(other.and_then(|other| other.room.as_ref()))
        else {
            return Ok(false);
        };
        let made = self.rooms.get(&room.room);
        let is_mesh = made.is_some_and(|made| made.is_mesh);
        if !is_mesh && !peer.is_host() && !other.is_host() {
            return Ok(false);
        }
        let told = own_room.introduced.get(&other.id).and_then(|all| all.last());
        let told_other = room.introduced.get(&peer.id).and_then(|all| all.last());
        match (told, told_other) {
            (Some((at, nonce)), Some((own, same)))
                if nonce == same && *at == other.at[1] && *own == peer.at[1] =>
            {
                Ok(true)
            }
            _ => {
                Err(format!("{} and {} have not met: {told:?}, {told_other:?}", peer.id, other.id))
            }
        }
    }
}
