//! Who in a room is told of whom.

use super::{Context, Events, Link, Member, Room};
use crate::dialect::ConnId;
use crate::limits;

impl Events {
    /// The endpoint of a peer has changed, or who it is to meet: that is news to all of those. Unless it is
    /// `news`, only those are told who could not be told before.
    pub(in crate::dialect::events) fn introduce_again(
        &mut self,
        cx: &mut Context<'_>,
        id: ConnId,
        news: bool,
    ) {
        let Ok((game, number)) = self.room_of(id) else { return };
        let Some(room) = self.rooms.get(&game, number) else { return };
        let pairs = room.members.iter().filter_map(|seat| room.pair(id, seat.conn));
        let pairs: Vec<(ConnId, Member)> =
            pairs.filter(|(_, member)| news || !member.introduced).collect();
        self.charge(cx.now, id, 2 * pairs.len());
        for (first, member) in pairs {
            let introduced = self.introduce(cx, first, member);
            let room = self.rooms.get_mut(&game, number);
            if let Some(link) = room.and_then(|room| room.link_mut(first, member.conn)) {
                link.introduced = introduced;
            }
        }
    }

    /// The same at once where few are to be told, else later: datagrams of many come at the same moment.
    pub(in crate::dialect::events) fn introduce_soon(
        &mut self,
        cx: &mut Context<'_>,
        id: ConnId,
        news: bool,
    ) {
        let room = self.room_of(id).ok().and_then(|(game, number)| self.rooms.get(&game, number));
        let to_tell = room.map_or(0, |room| {
            let pairs = room.members.iter().filter_map(|seat| room.pair(id, seat.conn));
            pairs.filter(|(_, member)| news || !member.introduced).count()
        });
        if to_tell <= limits::INTRODUCED_AT_ONCE {
            self.introduce_again(cx, id, news);
        } else {
            self.introduce_later(id, news);
        }
    }

    /// The same when it is the turn of those who are told later.
    pub(super) fn introduce_later(&mut self, id: ConnId, news: bool) {
        if news {
            self.forget_introductions(id);
        }
        if !self.successors.contains(&id) {
            self.successors.push_back(id);
        }
    }

    /// All whom somebody is to meet are to be told of it anew.
    pub(in crate::dialect::events) fn forget_introductions(&mut self, id: ConnId) {
        self.each_link(id, |link| link.introduced = false);
    }

    /// Introduces those who have become hosts since, or have moved, as far as a turn goes.
    pub(in crate::dialect::events) fn introduce_successors(&mut self, cx: &mut Context<'_>) {
        let most = cx.out.len() + limits::TOLD_AT_ONCE;
        while cx.out.len() < most
            && let Some(host) = self.successors.pop_front()
        {
            self.introduce_again(cx, host, false);
        }
    }

    /// Which of the two came first, mostly the host, and the other; none if they are not to meet.
    pub(in crate::dialect::events) fn met(
        &self,
        one: ConnId,
        other: ConnId,
    ) -> Option<(ConnId, Member)> {
        let (game, number) = self.room_of(one).ok()?;
        self.rooms.get(&game, number)?.pair(one, other)
    }

    /// Keeps how the punch of two ended.
    pub(in crate::dialect::events) fn set_result(
        &mut self,
        one: ConnId,
        other: ConnId,
        result: Option<bool>,
    ) {
        let Ok((game, number)) = self.room_of(one) else { return };
        let room = self.rooms.get_mut(&game, number);
        if let Some(link) = room.and_then(|room| room.link_mut(one, other)) {
            link.result = result;
        }
    }

    /// Somebody's game socket is elsewhere: it punches anew with all whom it is to meet.
    pub(in crate::dialect::events) fn forget_results(&mut self, id: ConnId) {
        self.each_link(id, |link| link.result = None);
    }

    /// What is known of somebody and all whom it is to meet.
    fn each_link(&mut self, id: ConnId, change: impl Fn(&mut Link)) {
        let Ok((game, number)) = self.room_of(id) else { return };
        let Some(room) = self.rooms.get_mut(&game, number) else { return };
        for other in room.others(id) {
            room.link_mut(id, other).into_iter().for_each(&change);
        }
    }

    /// Those who have come into a room are to meet the others, or the host: all pairs that are missing.
    pub(super) fn link(random: &mut rand::rngs::StdRng, room: &mut Room) {
        let all: Vec<ConnId> = room.members.iter().map(|seat| seat.conn).collect();
        let firsts = if room.is_mesh { all.len() } else { 1 };
        let ways = all
            .iter()
            .enumerate()
            .take(firsts)
            .flat_map(|(n, first)| all.iter().skip(n + 1).map(|other| (*first, *other)));
        room.links.add(ways, random);
    }
}
