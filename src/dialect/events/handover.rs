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
            random: _,
            strangers,
            silent,
            asked,
            unheard,
            unfinished,
            broken,
            overdue,
            handshakes: _,
            turns,
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
                let is_away = conns.is_away(id);
                if is_away && self.names.get(&peer.game, &peer.id).is_some() {
                    self.nodes.hide(id);
                    continue;
                }
                self.names.insert(Arc::clone(&peer.game), Arc::clone(&peer.id), id);
                if !is_away {
                    self.tokens.insert(peer.token, id);
                }
            }
        }
        (self.conns, self.unfinished) = (conns, unfinished);
        self.rooms.go_on(rooms);
        self.routes.go_on(routes);
        self.strangers.go_on(strangers);
        self.silent.go_on(silent);
        self.asked.go_on(asked);
        self.unheard.go_on(unheard);
        self.broken.go_on(broken);
        self.turns.go_on(turns);
        self.throttled.go_on(throttled);
        self.commands.go_on(commands);
        self.passes.go_on(passes);
        self.lines.go_on(lines);
        (self.gone, self.successors, self.overdue) = (gone, successors, overdue);
        (self.foreign, self.much, self.refused, self.relays) = (foreign, much, refused, relays);
    }
}
