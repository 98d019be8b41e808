//! How the dialect goes on from what another process knew.

use std::sync::Arc;

use super::Events;

impl Events {
    /// Goes on from that. What options decide stays as it is here; what follows from the rest is made anew.
    pub(super) fn continue_from(&mut self, saved: Self) {
        let Self {
            config: _,
            conns,
            names: _,
            tokens: _,
            rooms,
            routes,
            gone,
            successors,
            are_introductions_noted,
            random: _,
            strangers,
            silent,
            asked,
            unheard,
            unfinished,
            broken,
            overdue,
            handshakes: _,
            work_queue,
            throttled,
            commands,
            passes,
            lines,
            relays,
            foreign,
            much,
            refused,
            nodes: _,
        } = saved;
        for (id, conn) in conns.iter() {
            if let Some(peer) = &conn.peer {
                // Those of other nodes come last, and one whose ID is taken is hidden.
                let is_remote = conns.is_remote(id);
                if is_remote && self.names.get(&peer.game, &peer.id).is_some() {
                    self.nodes.hide(peer, id);
                    continue;
                }
                self.names.insert(Arc::clone(&peer.game), Arc::clone(&peer.id), id);
                if !is_remote {
                    self.tokens.insert(peer.token, id);
                }
            }
        }
        (self.conns, self.unfinished) = (conns, unfinished);
        self.rooms.restore(rooms);
        self.routes.restore(routes);
        self.strangers.restore(strangers);
        self.silent.restore(silent);
        self.asked.restore(asked);
        self.unheard.restore(unheard);
        self.broken.restore(broken);
        self.work_queue.restore(work_queue);
        self.throttled.restore(throttled);
        self.commands.restore(commands);
        self.passes.restore(passes);
        self.lines.restore(lines);
        if !are_introductions_noted {
            successors.iter().for_each(|id| self.forget_introductions(*id));
        }
        (self.gone, self.successors, self.overdue) = (gone, successors, overdue);
        (self.foreign, self.much, self.refused, self.relays) = (foreign, much, refused, relays);
    }
}
