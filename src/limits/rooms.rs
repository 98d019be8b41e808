//! The bounds of rooms.

use std::time::Duration;

/// Default time after which a silent peer of a room is taken to be gone.
pub const ROOM_SILENCE: Duration = Duration::from_secs(300);

/// A host of a room that was told something [`NOTICE_COPIES`] times and has said nothing meanwhile is taken
/// to be gone after this time more of silence. Clients show that they are there every ten or twenty seconds.
///
/// An ICMP error does not shorten that. Each client that joins knows what its host is told, so it can forge one;
/// the wait could be no shorter than the time in which a living host shows itself twice even if a datagram of it is
/// lost, which is little less than this. And the system would have to be asked for these errors (`IP_RECVERR`):
/// then each makes the next send of the socket fail, whomever that is for, and takes space of what has come. So
/// who provokes errors would take away the answers of others.
pub const ROOM_DOUBT: Duration = Duration::from_secs(60);

/// Hosts and clients of rooms in all. They take no descriptor, and less than 3 KB each.
pub const ROOM_PEERS: usize = 32 * 1024;

/// A peer of a room that has ended two `ka` with its key so far apart does so with all of them: it sends one
/// every ten seconds or more, and the same one again, where the answer is lost, within one or two.
pub const SIGNED_AGAIN: Duration = Duration::from_secs(5);

/// Clients of one room. More players than any game without a server of its own has, and few
/// enough that telling all of them something is a small thing.
pub const CLIENTS_PER_ROOM: usize = 64;

/// Players of a room in which all are introduced to each other, the host among them: with each newcomer
/// everybody in it is told, and begins to knock.
pub const MESH_PLAYERS: usize = 32;

/// Addresses in its own network that a peer of a room may name; they have to fit into a request.
pub const ROOM_LAN_ENDPOINTS: usize = 4;

/// Rooms at which one request looks that wants certain ones: some 35 microseconds. Where there are more
/// it is told where to go on.
pub const ROOMS_LOOKED_AT: usize = 512;

/// The same while others ask for more than there is time for.
pub const ROOMS_LOOKED_AT_LEAST: usize = 32;

/// Rooms at which requests look in ten milliseconds whose senders may be forged: 5,000 of them a second, a sixth of
/// the time of a core.
pub const LOOKS_OF_ALL: usize = 50 * ROOMS_LOOKED_AT;

/// Rooms a second at which requests of one address (IPv6: a /64) look that has shown itself, and for how many
/// seconds it may save them: forty at once, then four each second.
pub const LOOKS_OF_NETWORK: (u32, u32) = (4 * ROOMS_LOOKED_AT as u32, 10);

/// Rooms that one request for any room tries to get into.
pub const ROOMS_TRIED: usize = 8;

/// A peer of a room that has not proved in this time that it is there, with whom no punch is known
/// to have worked, gives its place to another who needs it. The proof takes one round trip, or a
/// second or two if datagrams get lost.
pub const UNPROVED_PLACE: Duration = Duration::from_secs(3);

/// A peer that has moved has so long to show the key that it was told at its new endpoint before its place may go to
/// another who needs it: it does so one round trip later, or by the next `ka` that it ends with its key, of which one
/// may be lost. It must have been for as long where it had shown its key: else one address would keep places at any
/// number of others, where they count as theirs.
pub const MOVED_PLACE: Duration = Duration::from_secs(30);

/// Places in rooms that were offered to those who may be forged, and are theirs when they show the
/// key. A flood of 10,000 forged requests a second needs more than a second to push one out, and the
/// key comes one round trip later.
pub const OFFERS: usize = 16 * 1024;

/// Of these one endpoint has so many at most, as all are looked through for what it asks for. Others may ask in its
/// name: a flood needs as many different requests within a round trip to push out what it has asked for itself.
pub const OFFERS_OF_ENDPOINT: usize = 64;

/// For so long such a place is offered: until datagrams that got lost have been sent again.
pub const OFFER: Duration = Duration::from_secs(30);

/// How often a notification about a room is sent, and how far apart: with one datagram in five
/// lost, all of them get lost once in a hundred times, and a request sent again helps then.
pub const NOTICE_COPIES: u8 = 3;

/// See [`NOTICE_COPIES`].
pub const NOTICE_GAP: Duration = Duration::from_millis(500);

/// How often that is tried while there is no credit for it (see [`amplification`](crate::amplification)):
/// for thirty seconds, as peers that show no key send `ka` every ten or twenty, which brings some.
pub const NOTICE_TRIES: u8 = 60;

/// Datagrams that tell in one turn of those who fell silent, and of rooms and places whose time is over: 3 µs each, as
/// most are noted to be sent again. Others wait for a millisecond, and for what a full room more takes.
pub const ROOM_TOLD_AT_ONCE: usize = 256;

/// Notifications about rooms that are going to be sent again.
pub const ROOM_NOTICES: usize = 64 * 1024;

/// How many of these the peers of one source have when half of them are taken: a full room in which everybody is told
/// of everybody makes 2,000.
pub const ROOM_NOTICES_OF_SOURCE: u32 = 4096;

/// A datagram that comes once more so soon is a copy that the network has kept back: a UDP `reg`
/// of a host, which sends another only when it registers again, or a request that led into a room
/// that was left since. Clients of rooms send again after half a second.
pub const LATE_COPY: Duration = Duration::from_secs(1);

/// Rooms that were closed of which it is remembered where they stood in lists, for those who are reading:
/// as many of those whose hosts have shown their keys, and as many others. Who reads asks for the next page
/// one round trip later; here 2,000 rooms may end in that time.
pub const CLOSED_ROOMS: usize = 2048;

/// How long it is remembered that a peer has left a room, for those who ask again and for those
/// in whose name somebody else has said so: they say that they are there every ten or twenty
/// seconds.
pub const PARTED: Duration = Duration::from_secs(30);

/// A host that has been silent for longer is said to be gone, where somebody does not get through to it: it says every
/// ten seconds that it is there, and one of these datagrams may be lost.
pub const ROOM_SILENT_HOST: Duration = Duration::from_secs(21);
