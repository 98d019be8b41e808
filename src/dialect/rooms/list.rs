//! `rl`: the rooms, a turn for each source, as many as one datagram can hold.

use std::io::Write;
use std::net::IpAddr;

use super::field::{self, Id};
use super::message::{LONGEST_ANSWER, Reason};
use super::options::write_pair;
use super::table::{Looks, Seen, Table};
use crate::lobby::data::{Data, Filter};

/// What somebody looks for.
#[derive(Debug)]
pub(super) struct Query<'a> {
    pub(super) game: &'a str,
    /// The page begins behind this room; `None` for the first one.
    pub(super) after: Option<Id>,
    pub(super) filter: &'a Filter,
    /// Whether entries have all that there is to say.
    pub(super) tells_all: bool,
    /// Who gets it.
    pub(super) reader: IpAddr,
    /// Whether rooms of the other family are wanted too, as the relay has both.
    pub(super) of_both_families: bool,
    /// How long the page may be.
    pub(super) space: usize,
    /// At how many rooms it may look, if it does not want all.
    pub(super) most_looks: usize,
}

/// Why a page ends where it does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// There is no more.
    List,
    /// There is no space for more.
    Space,
    /// So many rooms were looked at that somebody else has his turn.
    Work,
}

/// Writes a page. The last field of one that is not the last one is `+`, and if entries tell all, behind
/// that the room from which the next one goes on.
///
/// # Errors
/// `NoRoom` if the room has been gone for long, so that nobody knows where the page begins; `Limit` if there is
/// no space for one room.
pub(super) fn page(
    table: &Table,
    query: &Query<'_>,
    looked_at: &mut usize,
    bytes: &mut Vec<u8>,
) -> Result<End, Reason> {
    let rooms = table.listed_after(query.game, query.after, query.reader, query.of_both_families);
    let mut rooms = rooms.ok_or(Reason::NoRoom)?.peekable();
    let more = if query.tells_all { ":+0123456789abcdef".len() } else { ":+".len() };
    bytes.extend_from_slice(b"rl");
    let mut last = None;
    while let Some(room) = rooms.peek() {
        let end = bytes.len();
        let is_wanted = query.filter.fits(|key| room.data.get(key), room.looks.is_free());
        if is_wanted {
            write_entry(*room, query.tells_all, bytes);
        }
        let has_space = bytes.len() + more <= query.space;
        if !has_space || *looked_at >= query.most_looks {
            bytes.truncate(end);
            end_page(last.filter(|_| has_space || end > 2), query.tells_all, bytes)?;
            return Ok(if has_space { End::Work } else { End::Space });
        }
        last = Some(room.id);
        *looked_at += usize::from(!query.filter.is_all());
        rooms.next();
    }
    if bytes.len() == "rl".len() {
        bytes.push(b':');
    }
    Ok(End::List)
}

/// The page ends behind this room, but not the list.
fn end_page(last: Option<Id>, tells_all: bool, bytes: &mut Vec<u8>) -> Result<(), Reason> {
    let last = last.ok_or(Reason::Limit)?;
    bytes.extend_from_slice(b":+");
    if tells_all {
        last.write(bytes);
    }
    Ok(())
}

/// The host is a player, too.
fn write_entry(room: Seen<'_>, tells_all: bool, bytes: &mut Vec<u8>) {
    let Looks { players, size, .. } = room.looks;
    // Writing to memory does not fail.
    let _ = write!(bytes, ":{},", room.id);
    field::encode(room.name, bytes);
    let _ = write!(bytes, ",{},{players}", status(room.looks, tells_all));
    if tells_all {
        let _ = write!(bytes, ",{size}");
        for (key, value) in room.data.iter() {
            bytes.push(b',');
            write_pair(key, value, bytes);
        }
    }
}

/// Who has not asked for more knows of no room that is full, but of those whose hosts have said how many
/// may be in it.
pub(super) const fn status(looks: Looks, tells_all: bool) -> &'static str {
    if looks.is_locked {
        "locked"
    } else if looks.is_full && (tells_all || looks.has_own_size) {
        "full"
    } else if looks.has_password {
        "password"
    } else {
        "open"
    }
}

/// Whether a room with this name and this data can be listed at all: else nobody behind it would find his.
pub(super) fn fits(name: &str, data: &Data) -> bool {
    /// All else of a page with one entry.
    const REST: usize = "rl:0123456789abcdef,,password,64,64:+0123456789abcdef".len();
    let mut bytes = Vec::new();
    field::encode(name, &mut bytes);
    for (key, value) in data.iter() {
        bytes.push(b',');
        write_pair(key, value, &mut bytes);
    }
    bytes.len() + REST <= LONGEST_ANSWER
}
