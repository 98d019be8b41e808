//! The bounds that rooms and events share: what a room says of itself, and who is kept out.

use std::time::Duration;

/// Pairs of key and value that the host of a room says of it.
pub const ROOM_DATA: usize = 16;

/// Length of such a pair with its `=`, in bytes of UTF-8: all of a room fit into one datagram.
pub const ROOM_DATA_BYTES: usize = 64;

/// Pairs that who looks for rooms may want: each costs a look at each room.
pub const FILTERS: usize = 8;

/// Longest password of a room, in bytes of UTF-8.
pub const ROOM_PASSWORD: usize = 64;

/// Wrong passwords of a room, or wrong codes of rooms, that an address (IPv6: a /64) may give at once; a /56
/// may give twice as many, a /48 four times. Of passwords as many again where it shows a key with each, as the
/// others may be forged.
pub const GUESSES: u32 = 10;

/// After this time an address may give another one: less than three thousand a day. Of 64 million codes an
/// address finds one of 10,000 private rooms within days, and a certain one not in a lifetime.
pub const GUESS: Duration = Duration::from_secs(30);

/// Those who guess when no more can be remembered are divided by the hash of their /24 or /48 into so many
/// parts. Together with those who are remembered they have less than 5,000 wrong guesses a second, so whoever
/// wants nobody new to have any by forging guesses has to send as many. Eight bytes each.
pub const GUESSERS_IN_CROWD: usize = 32 * 1024;

/// Each of these parts has as many guesses as so many addresses.
pub const GUESSES_OF_CROWD: u32 = 4;

/// Those who were kicked and are kept out of one room.
pub const KICKED_PER_ROOM: usize = 64;

/// Those of every room whatever others have: a game with more has a host with much patience.
pub const ROOM_KICKED: usize = 8;

/// Bytes of own data that every room may have, whatever others have. A usual one has a map, a mode and a
/// version.
pub const ROOM_OWN_DATA: usize = 256;

/// Bytes beyond [`ROOM_OWN_DATA`] and [`ROOM_KICKED`] of all rooms of a dialect: some four thousand rooms
/// with as much as one may have.
pub const ROOM_EXTRAS: usize = 3 << 20;

/// Such bytes of the rooms that one address (IPv6: one /64) has opened: all of its 32 have as much data as
/// there may be, and one many who were kicked.
pub const ROOM_EXTRAS_PER_ADDRESS: usize = 32 << 10;

/// Such bytes of rooms that are offered: they wait for a round trip, and who was offered first gives way.
pub const OFFERED_EXTRAS: usize = 2 << 20;

/// New places in rooms a second for one address (IPv6: a /64; a /56 has twice as many, a /48 four times), with ten
/// seconds' worth at once: each costs the host of the room a few datagrams. As many again for those who show a key, as
/// forged requests may have taken the others.
pub const PLACES_PER_SECOND: u32 = 20;

/// A cookie that shows whose endpoint it is lives for so long at least, and for twice as long at most: enough
/// for a list of many pages, and short enough that who has an address now is not taken for who had it before.
pub const COOKIE: Duration = Duration::from_secs(60);
