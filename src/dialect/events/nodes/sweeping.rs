//! Guests and rooms of other nodes that are gone, and those whose rooms these were: a few are looked at in a turn.

use super::{Guest, Leaving};
use crate::cluster::NodeId;
use crate::dialect::ConnId;
use crate::dialect::events::{Events, Outbox};
use crate::limits::{self, cluster as bounds};

impl Events {
    /// Has all looked at that such a node has told of, and who is in one of its rooms: some are gone.
    pub(super) fn sweep_later(&mut self, node: NodeId) {
        self.nodes.leaving.note(node);
        self.nodes.homeless.note(node);
    }

    /// Guests and rooms that such nodes have told of and that are gone have their turn.
    pub(super) fn find_gone(&mut self, is_one: impl Fn(Option<NodeId>) -> bool) {
        let is_gone = |node, round| is_one(node) && self.nodes.is_gone(node, round);
        let guests = self.nodes.guests.values().copied();
        let guests =
            guests.filter(|id| self.guest(*id).is_some_and(|of| is_gone(of.node, of.round)));
        let mut guests: Vec<ConnId> = guests.collect();
        guests.sort_unstable();
        let rooms = self.rooms.told_in(is_gone);
        self.nodes.leaving.add(guests.into_iter().map(Leaving::Guest));
        self.nodes.leaving.add(rooms.into_iter().map(|(game, id)| Leaving::Room(game, id)));
    }

    /// The rooms of such nodes are gone, but for those that peers were told of in this round: who was in one is in none,
    /// and is told so when it is its turn.
    pub(super) fn find_homeless(&mut self, is_one: impl Fn(NodeId) -> bool) {
        for id in self.own_peers() {
            if let Some((token, node, _)) = self.lost_room(id)
                && is_one(node)
            {
                self.nodes.homeless.add([(token, node)]);
            }
        }
    }

    /// Ends a few of what is gone with its node, until enough have been told of it.
    pub(super) fn sweep(&mut self, out: &mut Outbox) {
        if let Some(of) = self.nodes.homeless.begin() {
            self.find_homeless(|node| of.contains(&node));
        }
        if let Some(of) = self.nodes.leaving.begin() {
            self.find_gone(|node| node.is_some_and(|node| of.contains(&node)));
        }
        let most = out.len() + limits::TOLD_AT_ONCE;
        for _ in 0..bounds::PART_ENTRIES {
            if out.len() >= most {
                return;
            }
            if let Some((token, node)) = self.nodes.homeless.pop() {
                self.bring_home(token, node, out);
                continue;
            }
            match self.nodes.leaving.pop() {
                None => return,
                Some(Leaving::Guest(id)) => {
                    let is_gone = |guest: Guest| self.nodes.is_gone(guest.node, guest.round);
                    if self.guest(id).is_some_and(is_gone) {
                        self.drop_guest(id, out);
                    }
                }
                Some(Leaving::Room(game, number)) => {
                    let told = self.rooms.told_by(&game, number);
                    if let Some((node, round)) = told
                        && self.nodes.is_gone(node, round)
                    {
                        self.drop_room(&game, number, node);
                    }
                }
            }
        }
    }
}
