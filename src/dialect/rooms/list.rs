//! `rl`: the rooms, newest first, as many as one datagram can hold.

use std::io::Write;
use std::net::IpAddr;

use super::field::{self, Id};
use super::message::Reason;
use super::table::{Room, Table};

/// Last field of a page that is not the last one.
const MORE: &[u8] = b":+";

/// Writes the page that begins behind a room, or the first one, in at most that much space, for a
/// reader at this address; with those of the other family, if the relay has both.
///
/// # Errors
/// `NoRoom` if the room is gone, so that nobody knows where the page begins; `Limit` if there is
/// no space for one room.
pub(super) fn page(
    table: &Table,
    after: Option<Id>,
    (reader, of_both_families): (IpAddr, bool),
    space: usize,
    bytes: &mut Vec<u8>,
) -> Result<(), Reason> {
    let mut rooms = table.newest_after(after, reader, of_both_families).ok_or(Reason::NoRoom)?;
    bytes.extend_from_slice(b"rl");
    let Some(first) = rooms.next() else {
        bytes.push(b':');
        return Ok(());
    };
    write_entry(first, bytes);
    if bytes.len() + MORE.len() > space {
        return Err(Reason::Limit);
    }
    for room in rooms {
        let end = bytes.len();
        write_entry(room, bytes);
        if bytes.len() + MORE.len() > space {
            bytes.truncate(end);
            bytes.extend_from_slice(MORE);
            break;
        }
    }
    Ok(())
}

/// The host is a player, too.
fn write_entry(room: &Room, bytes: &mut Vec<u8>) {
    // Writing to memory does not fail.
    let _ = write!(bytes, ":{},", room.id);
    field::encode(&room.name, bytes);
    let _ = write!(bytes, ",open,{}", 1 + room.clients.len());
}
