//! Who is told of changes of the list as they happen: of all of a second together.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

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
    /// Changes that are kept of all games.
    #[serde(skip)]
    kept: usize,
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct Watched {
    watchers: BTreeMap<ConnId, Watcher>,
    /// Rooms that have changed, by when that was the last time, and those that have ended; and the other way round.
    changes: BTreeMap<u64, u64>,
    #[serde(default)]
    ended: BTreeMap<u64, u64>,
    last_of: HashMap<u64, u64>,
    /// The last changes, and the last ends, of which some have not been told and are not known any more.
    #[serde(default)]
    lost: Places,
    /// Changes so far.
    count: u64,
    /// When changes may be told again.
    next: Instant,
}

/// A place among all changes, and one among all ends.
type Places = (u64, u64);

#[derive(Debug, Serialize, Deserialize)]
struct Watcher {
    filter: Filter,
    /// The changes that it has been told.
    seen: u64,
    /// The rooms that have ended of which it has been told.
    #[serde(default)]
    seen_ended: u64,
}

impl Watched {
    fn note_change(&mut self, room: u64, is_ended: bool) {
        self.count += 1;
        if let Some(before) = self.last_of.insert(room, self.count) {
            self.changes.remove(&before);
            self.ended.remove(&before);
        }
        let all = if is_ended { &mut self.ended } else { &mut self.changes };
        all.insert(self.count, room);
    }

    fn len(&self) -> usize {
        self.last_of.len()
    }

    /// Keeps so many changes at most. Who has not been told of the others is told that there were some.
    fn lose(&mut self, most: usize) {
        while self.len() > most {
            let (all, lost) = match self.ended.len() > self.changes.len() {
                true => (&mut self.ended, &mut self.lost.1),
                false => (&mut self.changes, &mut self.lost.0),
            };
            let Some((at, room)) = all.pop_first() else { return };
            *lost = at;
            self.last_of.remove(&room);
        }
    }

    /// Forgets what all have been told. Returns how much that was.
    fn forget_old(&mut self) -> usize {
        let before = self.len();
        let (watchers, last_of) = (&self.watchers, &mut self.last_of);
        let mut forget = |all: &mut BTreeMap<u64, u64>, seen: fn(&Watcher) -> u64| {
            let seen = watchers.values().map(seen).min().unwrap_or(u64::MAX);
            while let Some(first) = all.first_entry().filter(|first| *first.key() <= seen) {
                last_of.remove(&first.remove());
            }
        };
        forget(&mut self.changes, |watcher| watcher.seen);
        forget(&mut self.ended, |watcher| watcher.seen_ended);
        before - self.len()
    }
}

impl Watching {
    /// Goes on with those of another process.
    pub(super) fn restore(&mut self, saved: Self) {
        *self = saved;
        self.kept = self.games.values().map(Watched::len).sum();
    }

    /// How many changes are kept.
    pub(in crate::dialect::events) const fn kept(&self) -> usize {
        self.kept
    }

    /// A room has come or changed, or has ended.
    pub(super) fn note_change(&mut self, game: &str, room: u64, is_ended: bool) {
        let Some((game, watched)) = self.games.get_key_value(game) else { return };
        let game = Arc::clone(game);
        self.due.insert((watched.next, Arc::clone(&game)));
        if let Some(watched) = self.games.get_mut(&game) {
            let before = watched.len();
            watched.note_change(room, is_ended);
            self.kept += watched.len() - before;
        }
        if self.kept > limits::ROOM_CHANGES {
            self.lose();
        }
    }

    /// Games with most changes give way: none keeps more than half of what the first of them has.
    fn lose(&mut self) {
        let most = self.games.values().map(Watched::len).max().unwrap_or_default() / 2;
        self.games.values_mut().for_each(|watched| watched.lose(most));
        self.kept = self.games.values().map(Watched::len).sum();
    }

    fn add(&mut self, game: Arc<str>, conn: ConnId, filter: Filter) {
        let watched = self.games.entry(game).or_default();
        let seen = watched.count;
        watched.watchers.insert(conn, Watcher { filter, seen, seen_ended: seen });
    }

    /// Somebody does not watch any more, if it did.
    pub(in crate::dialect::events) fn remove(&mut self, game: &Arc<str>, conn: ConnId) {
        let Some(watched) = self.games.get_mut(game) else { return };
        watched.watchers.remove(&conn);
        if watched.watchers.is_empty() {
            self.kept -= watched.len();
            self.due.remove(&(watched.next, Arc::clone(game)));
            self.games.remove(game);
        }
    }

    pub(super) fn replace(&mut self, game: &str, old: ConnId, new: ConnId) {
        let Some(watched) = self.games.get_mut(game) else { return };
        if let Some(watcher) = watched.watchers.remove(&old) {
            watched.watchers.insert(new, watcher);
            let waiting = self.waiting.iter_mut().filter(|(_, conn)| *conn == old);
            waiting.for_each(|(_, conn)| *conn = new);
        }
    }

    /// When somebody is to be told next.
    pub(in crate::dialect::events) fn next_wakeup(&self) -> Option<Instant> {
        let waits = (!self.waiting.is_empty()).then(Instant::default);
        waits.or_else(|| self.due.first().map(|(at, _)| *at))
    }

    /// The next who is to be told, and since which change.
    fn take_due(&mut self, now: Instant) -> Option<(Arc<str>, ConnId)> {
        // The next game waits until all have been told who watch this one, so that nobody waits twice.
        while self.waiting.is_empty()
            && self.due.first().is_some_and(|(at, _)| *at <= now)
            && let Some((_, game)) = self.due.pop_first()
        {
            let Some(watched) = self.games.get_mut(&game) else { continue };
            watched.next = now + limits::ROOM_CHANGES_GAP;
            self.kept -= watched.forget_old();
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
        let Some((told, seen)) = self.changes_for(cx, game, id) else { return };
        if let Some(told) = told {
            self.tell(id, "rooms_changed", &told, cx.out);
        }
        let watching = &mut self.rooms.watching;
        let Some(watched) = watching.games.get_mut(game) else { return };
        if let Some(watcher) = watched.watchers.get_mut(&id) {
            (watcher.seen, watcher.seen_ended) = seen;
        }
        if seen != (watched.count, watched.count) {
            watching.due.insert((watched.next, Arc::clone(game)));
        }
    }

    /// What somebody who watches is to be told now, if that is anything, and which changes and ends it knows then.
    fn changes_for(
        &self,
        cx: &Context<'_>,
        game: &str,
        id: ConnId,
    ) -> Option<(Option<Box<RawValue>>, Places)> {
        let watched = self.rooms.watching.games.get(game)?;
        let Watcher { filter, seen, seen_ended } = watched.watchers.get(&id)?;
        let (seen, seen_ended) = (*seen, *seen_ended);
        let is_reading = self.conns.get(id).is_some_and(|conn| conn.unread.is_empty())
            && !self.conns.is_broken(id);
        if !is_reading {
            // It is told later of all that has happened by then.
            return Some((None, (seen, seen_ended)));
        }
        let missed = seen < watched.lost.0 || seen_ended < watched.lost.1;
        let mut changes = Changes { gone: Vec::new(), missed, rooms: Vec::new() };
        let mut last = (seen.max(watched.lost.0), seen_ended.max(watched.lost.1));
        // Those that have ended do not wait for those that have changed.
        for (at, number) in watched.ended.range(last.1 + 1..).take(limits::ROOMS_GONE_AT_ONCE) {
            last.1 = *at;
            changes.gone.push(written(*number));
        }
        for (at, number) in watched.changes.range(last.0 + 1..) {
            let is_full = changes.rooms.len() >= limits::ROOMS_AT_ONCE;
            if is_full || changes.gone.len() >= limits::ROOMS_GONE_AT_ONCE {
                break;
            }
            last.0 = *at;
            match self.rooms.get(game, *number) {
                Some(room) if filter.fits(room) => {
                    changes.rooms.push(self.listed(cx, id, *number, room));
                }
                _ => changes.gone.push(written(*number)),
            }
        }
        let is_all = |all: &BTreeMap<u64, u64>, at: u64| all.range(at + 1..).next().is_none();
        let seen = (
            if is_all(&watched.changes, last.0) { watched.count } else { last.0 },
            if is_all(&watched.ended, last.1) { watched.count } else { last.1 },
        );
        let has_news = missed || !changes.rooms.is_empty() || !changes.gone.is_empty();
        let told = has_news.then(|| serde_json::value::to_raw_value(&changes).unwrap_or_default());
        Some((told, seen))
    }
}

/// What has changed.
#[derive(Serialize)]
struct Changes<'a> {
    gone: Vec<String>,
    /// More has, which is not known any more.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    missed: bool,
    rooms: Vec<Listed<'a>>,
}
