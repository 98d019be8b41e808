//! Rooms, as the master server lists them.

use compat_tests::rooms::Player;
use punchd::dialect::rooms::field;
use punchd::dialect::rooms::message::Wanted;
use punchd::dialect::rooms::options::Options;
use punchd::lobby::code::Code;

use super::refusals::explain;
use crate::common::{printable, say};

pub(super) fn list(player: &mut Player, options: &Options) -> Result<(), String> {
    let rooms = player.list_with(options).map_err(explain)?;
    if rooms.is_empty() {
        say("no rooms");
    }
    for room in rooms {
        let players = match room.size {
            Some(size) => format!("{:>2}/{size:<2}", room.players),
            None => format!("{:>2}", room.players),
        };
        let mut line = format!("{}  {players}  {}", room.room, printable(&room.name));
        if room.status != "open" {
            line += &format!("  {}", printable(&room.status));
        }
        for (key, value) in &room.data {
            line += &format!("  {}", printable(&format!("{key}={value}")));
        }
        say(line);
    }
    Ok(())
}

/// The room that a user means: by ID, the newest one of that name, or by its code; and its name, if
/// that is known.
pub(super) fn find(
    player: &mut Player,
    room: &str,
    game: &str,
) -> Result<(Wanted, Option<String>), String> {
    if let Some(id) = field::id(room.as_bytes()) {
        return Ok((Wanted::Id(id), None));
    }
    let options = Options { game: game.into(), ..Options::default() };
    let rooms = player.list_with(&options).map_err(explain)?;
    let found = rooms.iter().find(|entry| entry.name == room);
    let found = found.map(|entry| (Wanted::Id(entry.room), Some(entry.name.clone())));
    let found =
        found.or_else(|| Code::read(room.as_bytes()).map(|code| (Wanted::Code(code), None)));
    found.ok_or_else(|| {
        let room = printable(room);
        format!(
            "there is no room \"{room}\"\n`punch rooms list` has those of --game, which is case-sensitive."
        )
    })
}
