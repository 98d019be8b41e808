//! Whether those who were told of the relay get through there, and go on getting what the other sends.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use punchd::clock::Instant;
use punchd::introductions::relay::SessionId;

use super::{Kept, Promise, broken};

/// Less than a game knocks: it has knocked where it was told to at the beginning and in the end.
const THROUGH: Duration = Duration::from_secs(13);

/// Two who play have nothing from each other for so long at most: a NAT has forgotten a mapping, or
/// somebody else was taken for a player, and then some packets are lost.
const SILENT: Duration = Duration::from_secs(8);

/// Two who were told of the relay.
#[derive(Debug)]
struct Flow {
    /// Numbers of the client and the host.
    players: [usize; 2],
    /// Where they were told to send to.
    at: [SocketAddr; 2],
    told: Instant,
    /// When each has got something last.
    got: [Option<Instant>; 2],
}

#[derive(Debug, Default)]
pub(in super::super) struct Flows {
    flows: BTreeMap<SessionId, Flow>,
    by_player: BTreeMap<(usize, SocketAddr), SessionId>,
    /// Sessions of which that was promised to the end, and kept.
    pub(in super::super) promised: u64,
}

impl Flows {
    /// Both are told of the relay, or will be in a moment.
    pub(in super::super) fn open(
        &mut self,
        told: Instant,
        id: SessionId,
        (players, at): ([usize; 2], [SocketAddr; 2]),
    ) {
        // A game welcomes nobody where it lists somebody else.
        let [_, host] = players;
        let [_, of_host] = at;
        let is_listed = self.by_player.contains_key(&(host, of_host));
        for (player, at) in players.into_iter().zip(at) {
            self.by_player.insert((player, at), id);
        }
        // What it was told before it need not follow.
        self.excuse(|flow| flow.players[0] == players[0]);
        if is_listed {
            return;
        }
        self.flows.insert(id, Flow { players, at, told, got: [None; 2] });
    }

    /// Something has come through the relay to a player.
    pub(in super::super) fn got(&mut self, now: Instant, player: usize, from: SocketAddr) {
        let Some(id) = self.by_player.get(&(player, from)) else { return };
        let Some(flow) = self.flows.get_mut(id) else { return };
        let side = usize::from(flow.players[0] != player || flow.at[0] != from);
        flow.got[side] = Some(now);
    }

    /// Nothing is promised to this player any more, as it does not do its part.
    pub(in super::super) fn excuse_player(&mut self, player: usize) {
        self.excuse(|flow| flow.players.contains(&player));
    }

    /// Nothing is promised of this session any more: a bound was reached.
    pub(in super::super) fn excuse_session(&mut self, id: SessionId) {
        self.flows.remove(&id);
    }

    fn excuse(&mut self, is_excused: impl Fn(&Flow) -> bool) {
        let promised = &mut self.promised;
        self.flows.retain(|_, flow| {
            let is_kept = flow.got.iter().all(Option::is_some);
            *promised += u64::from(is_excused(flow) && is_kept);
            !is_excused(flow)
        });
    }

    /// Looks whether all get what they were promised, where they send so often; `aims_at` is asked where a
    /// client sends to, and whether it was let in there.
    pub(in super::super) fn check(
        &self,
        (now, every): (Instant, Duration),
        aims_at: impl Fn(usize) -> Option<(SocketAddr, bool)>,
    ) -> Kept {
        for (id, flow) in &self.flows {
            let [client, _] = flow.players;
            // It was let in elsewhere, before it heard of the relay or after all, or was told something
            // else since then.
            let aims_at = aims_at(client).filter(|(at, _)| *at == flow.at[0]);
            let Some((_, plays)) = aims_at else { continue };
            let is_through = flow.got.iter().all(Option::is_some);
            if now - flow.told > THROUGH && !is_through {
                let (told, got) = (flow.told, flow.got);
                let what = format!("{id:?} of players {:?}: told {told:?}, {got:?}", flow.players);
                return broken(Promise::GetsThrough, what);
            }
            let is_silent =
                |got: &Option<Instant>| got.is_none_or(|at| now - at > SILENT + 2 * every);
            if is_through && plays && flow.got.iter().any(is_silent) {
                let what = format!("{id:?} of players {:?}: silent, {:?}", flow.players, flow.got);
                return broken(Promise::GetsThrough, what);
            }
        }
        Ok(())
    }
}
