//! Who is told of changes of the list as they happen: of all of a second together.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::listing::{Filter, Listed};
use super::{Context, Events, written};
use crate::clock::Instant;
use crate::dialect::ConnId;
use crate::dialect::events::Outbox;
use crate::dialect::events::data::Data;
use crate::dialect::events::event::{Event, Fault, Nothing};
use crate::limits;

/// The games whose lists are watched.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(in crate::dialect::events) struct Watching {
    games: HashMap<Arc<str>, Watched>,
    /// Games with changes, by when they are told.
    due: BTreeSet<(Instant, Arc<str>)>,
    /// Who is to be told now.
    waiting: VecDeque<(Arc<str>, ConnId)>,
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct Watched {
    watchers: BTreeMap<ConnId, Watcher>,
    /// Rooms that have changed, by when that was the last time; and the other way round.
    changes: BTreeMap<u64, u64>,
    last_of: HashMap<u64, u64>,
    /// Changes so far.
    count: u64,
    /// When changes may be told again.
    next: Instant,
}

#[derive(Debug, Serialize, Deserialize)]
struct Watcher {
    filter: Filter,
    /// The changes that it has been told.
    seen: u64,
}

impl Watched {
    fn note_change(&mut self, room: u64) {
        self.count += 1;
        if let Some(before) = self.last_of.insert(room, self.count) {
            self.changes.remove(&before);
        }
        self.changes.insert(self.count, room);
        if self.changes.len() > limits::ROOM_CHANGES {
            self.forget_first();
        }
    }

    fn forget_first(&mut self) {
        if let Some((_, room)) = self.changes.pop_first() {
            self.last_of.remove(&room);
        }
    }

    /// Forgets what all have been told.
    fn forget_old(&mut self) {
        let seen = self.watchers.values().map(|watcher| watcher.seen).min().unwrap_or(u64::MAX);
        while self.changes.first_key_value().is_some_and(|(at, _)| *at <= seen) {
            self.forget_first();
        }
    }
}

impl Watching {
    /// A room has come, gone, or changed.
    pub(super) fn note_change(&mut self, game: &str, room: u64) {
        let Some((game, watched)) = self.games.get_key_value(game) else { return };
        self.due.insert((watched.next, Arc::clone(game)));
        if let Some(watched) = self.games.get_mut(&*Arc::clone(game)) {
            watched.note_change(room);
        }
    }

    fn add(&mut self, game: Arc<str>, conn: ConnId, filter: Filter) {
        let watched = self.games.entry(game).or_default();
        watched.watchers.insert(conn, Watcher { filter, seen: watched.count });
    }

    /// Somebody does not watch any more, if it did.
    pub(in crate::dialect::events) fn remove(&mut self, game: &Arc<str>, conn: ConnId) {
        let Some(watched) = self.games.get_mut(game) else { return };
        watched.watchers.remove(&conn);
        if watched.watchers.is_empty() {
            self.due.remove(&(watched.next, Arc::clone(game)));
            self.games.remove(game);
        }
    }

    pub(super) fn replace(&mut self, game: &str, old: ConnId, new: ConnId) {
        let Some(watched) = self.games.get_mut(game) else { return };
        if let Some(watcher) = watched.watchers.remove(&old) {
            watched.watchers.insert(new, watcher);
        }
    }

    /// When somebody is to be told next.
    pub(in crate::dialect::events) fn next_wakeup(&self) -> Option<Instant> {
        let waits = (!self.waiting.is_empty()).then(Instant::default);
        waits.or_else(|| self.due.first().map(|(at, _)| *at))
    }

    /// The next who is to be told, and since which change.
    fn take_due(&mut self, now: Instant) -> Option<(Arc<str>, ConnId)> {
        while self.due.first().is_some_and(|(at, _)| *at <= now)
            && let Some((_, game)) = self.due.pop_first()
        {
            let Some(watched) = self.games.get_mut(&game) else { continue };
            watched.next = now + limits::ROOM_CHANGES_GAP;
            watched.forget_old();
            let all = watched.watchers.keys().map(|conn| (Arc::clone(&game), *conn));
            self.waiting.extend(all);
        }
        self.waiting.pop_front()
    }

    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.games.is_empty() && self.due.is_empty()
    }
}

impl Events {
    /// Somebody wants to hear of changes, and gets the list as it is now.
    pub(in crate::dialect::events) fn watch_rooms(
        &mut self,
        cx: &mut Context<'_>,
        id: ConnId,
        event: &Event<'_>,
    ) -> Result<(), Fault> {
        let filter = Filter::read(&Data::of(event)?)?;
        self.list_rooms(cx, id, event)?;
        let game = self.game_of(id);
        self.rooms.watching.add(game, id, filter);
        Ok(())
    }

    pub(in crate::dialect::events) fn unwatch_rooms(
        &mut self,
        id: ConnId,
        event: &Event<'_>,
        out: &mut Outbox,
    ) {
        let game = self.game_of(id);
        self.rooms.watching.remove(&game, id);
        self.answer(id, event, &Nothing {}, out);
    }

    /// Tells those of changes who watch, as far as this turn goes.
    pub(in crate::dialect::events) fn tell_watchers(&mut self, cx: &mut Context<'_>) {
        self.work_queue.begin(cx.now.instant);
        while let Some((game, id)) = self.rooms.watching.take_due(cx.now.instant) {
            let size = cx.out.size();
            self.tell_changes(cx, &game, id);
            self.work_queue.spend(limits::COMMAND_WORK + cx.out.size() - size);
            if self.work_queue.is_spent() {
                return;
            }
        }
    }

    fn tell_changes(&mut self, cx: &mut Context<'_>, game: &Arc<str>, id: ConnId) {
        #[derive(Serialize)]
        struct Changes<'a> {
            gone: Vec<String>,
            rooms: Vec<Listed<'a>>,
        }
        let is_reading = self.conns.get(id).is_some_and(|conn| conn.unread.is_empty())
            && !self.conns.is_broken(id);
        let Some(watched) = self.rooms.watching.games.get(game) else { return };
        let Some(watcher) = watched.watchers.get(&id) else { return };
        let (next, last) = (watched.next, watched.count);
        let mut seen = watcher.seen;
        let mut changes = Changes { gone: Vec::new(), rooms: Vec::new() };
        // Who does not read what was said before is told later of all that has happened by then.
        let most = if is_reading { limits::ROOMS_AT_ONCE } else { 0 };
        for (at, number) in watched.changes.range(seen + 1..).take(most) {
            seen = *at;
            match self.rooms.get(game, *number) {
                Some(room) if watcher.filter.fits(room) => {
                    changes.rooms.push(self.listed(cx, id, *number, room));
                }
                _ => changes.gone.push(written(*number)),
            }
        }
        let is_all = watched.changes.range(seen + 1..).next().is_none();
        let has_news = !changes.rooms.is_empty() || !changes.gone.is_empty();
        let told = serde_json::value::to_raw_value(&changes).unwrap_or_default();
        if has_news {
            self.tell(id, "rooms_changed", &told, cx.out);
        }
        let watching = &mut self.rooms.watching;
        let watched = watching.games.get_mut(game);
        if let Some(watcher) = watched.and_then(|watched| watched.watchers.get_mut(&id)) {
            watcher.seen = if is_all { last } else { seen };
        }
        if !is_all {
            watching.due.insert((next, Arc::clone(game)));
        }
    }
}
