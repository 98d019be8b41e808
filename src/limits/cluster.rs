//! The bounds between the nodes of a cluster, which have no option.

use std::time::Duration;

/// How often a node says that it is there. Six of these are in [`GONE`], so that it takes several lost
/// messages until a node that lives is thought to be gone.
pub const HEARTBEAT: Duration = Duration::from_millis(500);

/// A node of which nothing is heard for so long is gone, and its hosts with it: with a heartbeat more that is
/// well within the five seconds in which a lobby has to be right again.
pub const GONE: Duration = Duration::from_secs(3);

/// After so long without another node the owner is told: one that is restarted is back sooner.
pub const ALONE: Duration = Duration::from_secs(10);

/// How often it tells its numbers with that: owners look each few seconds.
pub const ABOUT_EVERY: Duration = Duration::from_secs(2);

/// Bytes of these. There are some 200.
pub const ABOUT: usize = 1024;

/// A link on which nothing was missing for so long has told all that a usual node has.
pub const WHOLE: Duration = Duration::from_secs(1);

/// How often a node that has missed something asks for everything, and how often one that is asked begins
/// anew: everything of a node takes longer than a message does, so it is not sent for each message that is lost.
pub const ASK_AGAIN: Duration = Duration::from_millis(500);

/// The same of one that was not believed, as another has told of what it has. Who takes its word back all the time is
/// broken, and must not have all others tell everything all the time.
pub const ASK_UNHEARD: Duration = Duration::from_secs(5);

/// Sessions at relays of other nodes that a node has at one time, and that it gives to one of them: half of what a relay
/// has in all.
pub const RELAYED: usize = super::relay::SESSIONS / 2;

/// Relays that are asked for one pair, one after the other: that of the client's node, of the host's, and two more.
pub const RELAYS: usize = 4;

/// How long the relay of another node may take to answer. A game gives up after 5 s, and was told of the direct way
/// 1 s before.
pub const RELAY_ANSWER: Duration = Duration::from_millis(700);

/// How long nobody is asked again for a pair for which nobody had room.
pub const RELAY_REFUSED: Duration = Duration::from_secs(10);

/// Pairs of one address a second for which other nodes are asked, in the long run.
pub const RELAY_ASKS: u32 = 4;

/// So many seconds' worth of them at once: the pairs that an address may have by default. Many players may be behind
/// one, and a game begins for all of them at once.
pub const RELAY_ASKS_SECONDS: u32 = 8;

/// Clients of one address that wait for one answer, beside the first: as many pairs as one address may ask for at once.
pub const RELAY_SHARERS: usize = (RELAY_ASKS * RELAY_ASKS_SECONDS) as usize;

/// Questions that are open at one time.
pub const WAITING_FOR_RELAY: usize = 512;

/// Other nodes. Each is told of each change by a message of its own, so a cluster has few: a change costs as
/// many messages as there are others.
pub const NODES: usize = 15;

/// Longest name of a node, and of a cluster. Both are part of NATS subjects.
pub const NAME: usize = 32;

/// Entries of one node. It may have as many hosts as connections, of which a machine that is worth it has
/// some ten thousand.
pub const ENTRIES: usize = 128 * 1024;

/// Bytes of strings of all entries of a node: 512 for each of as many as there may be, while a usual host has less
/// than 200.
pub const STRINGS: usize = 64 << 20;

/// Longest message, well below the 1 MiB that NATS allows. What a host says of itself has 64 KiB at most.
pub const MESSAGE: usize = 256 * 1024;

/// Entries are told together until they have so many bytes.
pub const PART: usize = 32 * 1024;

/// How often a node that is told everything gets a part: 3 MB/s, which neither stops the event loop nor fills the
/// line, as long as [`NEWS_BYTES`] allows it. 50,000 usual hosts take a second, each 25,000 more another one.
pub const PART_EVERY: Duration = Duration::from_millis(10);

/// Entries that are looked at for one part.
pub const PART_ENTRIES: usize = 256;

/// Longest name of the game of a room, with what has admitted it in front.
pub const ROOM_GAME: usize = 1024;

/// Peers of a node who are in rooms of others, or have asked for one lately; as many again who have not shown a key. As
/// many as there may be peers of rooms.
pub const LEADS: usize = super::ROOM_PEERS;

/// Requests a second that a node passes on for those who have not shown a key: some 3 MB/s, so that no flood of
/// these takes what [`NODE_BYTES`] leaves for all else.
pub const PASSED: u32 = 8000;

/// The same of one address (IPv6: one /64, and of a /48 four times that), in the long run: it takes forty addresses to
/// fill [`PASSED`]. Who joins takes two or three before his key is shown, so behind a carrier NAT some seventy players
/// a second get in.
pub const PASSED_OF_SOURCE: u32 = 200;

/// So many seconds' worth of them at once: a school begins a game, or a few hundred behind one NAT are back at the
/// same moment as a node has died.
pub const PASSED_OF_SOURCE_SECONDS: u32 = 5;

/// Bytes of what peers of events say to those of another node, or answer, that cost as much as one event between peers of
/// one node: an address that may send 2000 of these a second has a quarter of what [`NEWS_BYTES`] leaves for all of a
/// node, and has to wait for more.
pub const PASSED_BYTES: usize = 256;

/// Bytes a second of what one address (IPv6: one /64, and of a /48 four times that) says to peers of another node that go
/// before what others say: a game that is played through the server says a few kB. It takes 250 addresses to fill what
/// all may say.
pub const PASSED_LITTLE: u32 = 8000;

/// So many seconds' worth of them at once: one event of the longest.
pub const PASSED_LITTLE_SECONDS: u32 = 8;

/// Bytes of a request that is passed on to the node of a room which cost as much as another command. What a room needs
/// to be told seldom takes as many.
pub const ASKED_BYTES: usize = 1024;

/// Bytes a second that are taken from a node, with two seconds' worth at once; what is more is lost, and asked for
/// again. Two thirds of it are for news, see [`NEWS_BYTES`].
pub const NODE_BYTES: u32 = 24_000_000;

/// As so many bytes counts that a node begins anew, for which it is told everything: sixteen times at once, then eight
/// times a second.
pub const BEGIN_BYTES: usize = NODE_BYTES as usize / 8;

/// Bytes a second that the entries of one dialect may take which have changed, and again as many those that one node is
/// told of first, each with two seconds' worth at once; what is more waits. Four dialects have entries, so all of
/// them take two thirds of [`NODE_BYTES`]. What peers of events say to those of another node may take as many as the news
/// of one dialect, and is refused beyond. Those that have ended, questions and what else is passed on do not wait. A usual
/// host takes 80 bytes, so 100,000 are told within some two seconds, as players expect whose node has died.
pub const NEWS_BYTES: u32 = NODE_BYTES / 12;

/// Requests of all nodes together that wait for a host at one time.
pub const WAITING: usize = 4096;

/// Answers that are remembered for a while, in case the question comes again since the answer was lost.
pub const ANSWERS: usize = 4096;

/// Questions of which nobody hears any more that are given up in one turn of the event loop: each may have a host told
/// of a client.
pub const ANSWERED_AT_ONCE: usize = super::CLOSED_AT_ONCE;

/// How long a client waits for the answer of another node beyond what a client on that node waits for. An answer is
/// remembered for more than twice that, as the question may come again.
pub const ANSWER_WAIT: Duration = Duration::from_secs(4);

/// So long all nodes together that are asked for one introduction of GMnet are waited for, if a host goes from one to the
/// next: with the time that UDP packets are waited for it is less than eight seconds.
pub const ANSWERS_WAIT: Duration = Duration::from_secs(5);

/// How long peers and rooms of other nodes that the process before has known are waited for until their nodes tell of
/// them again: a node that is there does so within a second or two.
pub const CLAIM: Duration = Duration::from_secs(5);

/// How often the node of a room is told again, at most, where a member of another node has its game socket.
pub const SOCKET_EVERY: Duration = Duration::from_secs(1);
