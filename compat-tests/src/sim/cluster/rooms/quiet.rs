//! What has to be so when nothing new has happened for a while.

use std::collections::BTreeMap;

use super::super::plan::NODES;
use super::super::stage::Stage;
use super::Cast;

impl Cast {
    /// Nothing is left of the past: who takes himself for a member is one, and nobody else is.
    pub(super) fn check_quiet(&mut self, stage: &Stage) -> Result<(), String> {
        if self.is_unsure {
            return Ok(());
        }
        let (mut members, mut forwarding): (BTreeMap<usize, _>, BTreeMap<usize, _>) =
            Default::default();
        let mut rooms: BTreeMap<usize, usize> = BTreeMap::new();
        for (n, player) in self.players.iter().enumerate() {
            let Some(place) = &player.place else { continue };
            let Some(room) = self.book.rooms.get(&place.room) else { continue };
            *members.entry(room.node).or_default() += 1;
            *rooms.entry(room.node).or_default() += usize::from(place.is_host);
            if room.node != player.node {
                // By its endpoint and by its ID.
                *forwarding.entry(player.node).or_default() += 2;
                self.summary.members_elsewhere += 1;
            }
            let Some(host) = self.host_of(&place.room) else {
                return Err(format!("player {n} is in {place:?}, which has no host"));
            };
            if !place.is_host && !self.has_met_host(n, place) {
                let host = self.players.get(host);
                return Err(format!("player {n} and its host have not met: {player:?}, {host:?}"));
            }
        }
        for n in 0..NODES {
            let kept: BTreeMap<_, _> = stage.nodes.kept(n).into_iter().collect();
            let expected = [
                ("rooms: peers", members.get(&n)),
                ("rooms: rooms", rooms.get(&n)),
                ("rooms: forwarding", forwarding.get(&n)),
            ];
            for (what, expected) in expected {
                let (expected, there) = (expected.copied().unwrap_or(0), kept.get(what).copied());
                if there.unwrap_or(0) != expected {
                    let players = &self.players;
                    return Err(format!(
                        "node {n} has {there:?} for {what:?}, not {expected}: {players:#?}"
                    ));
                }
            }
        }
        Ok(())
    }
}
