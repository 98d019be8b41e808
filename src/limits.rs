//! Every bound that this server sets to what a peer may do, and every wait, with its reason.
//!
//! Those that owners may want to change are in [`Limits`], with an option each; the rest are
//! constants. [`worst_case`] adds up what they come to in memory.

use std::time::Duration;

pub mod relay;

/// The bounds that have an option.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Connections in all. A machine of 512 MB carries the default, and most systems allow as
    /// many open files.
    pub connections: usize,
    /// Connections of one address (IPv6: one /64). A carrier NAT has many players behind it, and
    /// each uses two connections for a moment.
    pub connections_per_address: usize,
    /// Registered hosts of one address. A school or a LAN party has one address.
    pub hosts_per_address: usize,
    /// Commands a second of one address, with ten seconds' worth at once; 0 is no limit. Thirty
    /// players who refresh their lobby every second use a sixth of it.
    pub commands_per_second: u32,
    /// Datagrams a second of one address, with two seconds' worth at once, and as many events to
    /// other peers; 0 is no limit. More are dropped only when more come than there is time for:
    /// they cost little, and their true sender may be somebody else.
    pub datagrams_per_second: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 16 * 1024,
            connections_per_address: 256,
            hosts_per_address: 32,
            commands_per_second: 200,
            datagrams_per_second: 2000,
        }
    }
}

impl Limits {
    /// Bytes of commands that are not finished, of all connections together; the same number of
    /// bytes is for events that are not finished, for the data strings of all hosts (half of it for
    /// what each may have, half for those with more), and for what peers asked for and do not read. A usual host has less than 200 bytes of data strings, so this is generous on average and
    /// keeps a few from taking everything.
    #[must_use]
    pub const fn total(&self) -> usize {
        const EACH: usize = 1024;
        const LEAST: usize = 16 << 20;
        let total = self.connections.saturating_mul(EACH);
        if total > LEAST { total } else { LEAST }
    }

    /// Bytes that one peer may have asked for and not read: half of what all may. So the lobby of
    /// as many hosts as there may be is within it: a usual host has less than 200 bytes there, and
    /// this is 512 for each connection.
    #[must_use]
    pub const fn unread(&self) -> usize {
        self.total() / 2
    }

    /// Longest lobby in bytes: hosts that would come after it are left out. A usual host has less
    /// than 200 bytes there, and this is 256 for each connection.
    #[must_use]
    pub const fn lobby(&self) -> usize {
        self.unread() / 2
    }
}

/// Longest line of a GMnet command in bytes, its line end and NULs included. Games put long
/// texts into data strings; lines of 16 KiB have to work, the old server had no limit.
pub const LINE: usize = 16 * 1024 + 64;

/// Longest GMnet command with all its lines, in bytes. So this bounds the data strings of a host,
/// whose lengths are kept in 16 bits.
pub const COMMAND: usize = u16::MAX as usize;

/// Bytes that the data strings of every host may have together, as the lobby writes them (`<` has six
/// there). A usual host has less than 200; all that there may be take half of [`Limits::total`].
pub const HOST_STRINGS: usize = 512;

/// Bytes that they may have beyond that, as long as there is room: 8 KiB in all. The old server had
/// no limit, but a game reads no more than 64 KiB of a lobby.
pub const MORE_STRINGS: usize = 8 * 1024 - HOST_STRINGS;

/// Bytes beyond [`HOST_STRINGS`] of all hosts of one address (IPv6: one /64): as much as one host may
/// have, and the same again while it comes back by a new connection. With 32 hosts that is 38 KiB of
/// lobby, so that one address cannot fill what a game reads.
pub const STRINGS_PER_ADDRESS: usize = 2 * MORE_STRINGS;

/// Bytes a GMnet peer may send ahead while it waits for the answer to a `connect`, or for its next
/// turn. Real clients send nothing at all then.
pub const AHEAD: usize = 64 * 1024;

/// A peer that has not read anything of what it asked for in this time reads no more.
pub const UNREAD_TIME: Duration = Duration::from_secs(30);

/// Once a command has begun, its next byte must come within this time. That of the old server.
pub const STALLED_COMMAND: Duration = Duration::from_secs(1);

/// A whole command must come within this time, however it trickles. A game on a poor line sends
/// its twelve lines at once.
pub const COMMAND_TIME: Duration = Duration::from_secs(30);

/// A lobby of this many bytes costs about as much as any other command; a longer one counts as
/// several.
pub const CHEAP_REPLY: usize = 4096;

/// What others wait for at most at a time, in the unit of work: what it takes to write a byte of a
/// lobby, a nanosecond or less. With what the kernel does for it this is a millisecond; a few such
/// pieces can be done in one turn of the event loop.
pub const TURN_WORK: usize = 512 << 10;

/// A connection may use so many parts of [`TURN_WORK`] as this at a time; what it sent ahead waits
/// for the next turn.
pub const SLICES: usize = 4;

/// However many customers have sent something, all have had a part within so many turns of full
/// work, about a millisecond each: the more they are, the less each may have done at a time.
pub const ROUND: usize = 4;

/// Work for any command and for the system call that answers it.
pub const COMMAND_WORK: usize = 8 << 10;

/// Work to look at a host: it is seldom in a cache of the processor.
pub const HOST_WORK: usize = 64;

/// Lists of hosts that are kept in an order that lobbies are asked for in.
pub const SORTED_LISTS: usize = 8;

/// Hosts in all those lists together. Each takes up to 64 bytes.
pub const SORTED_HOSTS: usize = 128 * 1024;

/// Such a list may make room for another when so many sorted lobbies were asked for and none needed
/// it. So who asks for many orders in turn has few lists made.
pub const SORTED_UNUSED: u64 = 64;

/// Memory for lobbies that are kept as they were sent, for the next who ask the same: four of ten
/// thousand hosts, or those of three thousand games with twenty hosts.
pub const LOBBY_REPLIES: usize = 8 << 20;

/// How long a command of an address that has sent too many waits before it is tried again.
pub const THROTTLE: Duration = Duration::from_millis(100);

/// A connection that is neither a host's nor waiting for an answer may do nothing for this long.
/// A GML client needs it for a second or two, and does not mind when it is closed later.
pub const IDLE: Duration = Duration::from_secs(60);

/// When there is no room for a new connection, an idle one of a network that has no more is closed
/// for it, but only if it has been idle for this long: it may be about to speak. A GML client does
/// so a game step after it is connected, so half a round trip later the server has heard it.
pub const IDLE_WHEN_FULL: Duration = Duration::from_millis(500);

/// Of an address (IPv6: /64) with more connections than this even hosts give way, if it has most of
/// all, there is room for nobody, and who wants some has fewer. Else five hundred addresses that
/// register as many hosts as each may would keep out everybody else.
pub const HOUSEHOLD: u32 = 8;

/// With more connections than this of `connections` that there may be, a network has so large a
/// part that even its hosts give way, if nothing else does, to those of others. Eight of them can
/// take everything, and nobody whose hosts are a game's has so many.
#[must_use]
pub const fn large_share(connections: usize) -> usize {
    connections / 8
}

/// How long a `connect` waits for a UDP packet that is late. At least two seconds are promised;
/// a GML client sends the packet only once and waits for the answer without a timeout, so that
/// waiting longer helps nobody.
pub const INTRODUCTION_WAIT: Duration = Duration::from_millis(2500);

/// How long a `connect` waits for a host that was registered a moment ago. A GML host that
/// changes its data strings closes its connection and comes back one game step later; a client
/// that asks in between must not be told that it is gone.
pub const HOST_RETURN: Duration = Duration::from_millis(500);

/// How far apart a UDP `reg` and the registration on TCP may be to belong together. A GML host
/// sends both at once, but its TCP connect may take up to four seconds.
pub const REG_WINDOW: Duration = Duration::from_secs(10);

/// How long after a connection the UDP packet may come that was sent right before it: on its way
/// it may have been overtaken.
pub const OVERTAKEN: Duration = Duration::from_millis(100);

/// The longest round trip by which the beginning of a connection is dated back. The kernel measures
/// none once it has had to repeat its answer, which it does after a second.
pub const ROUND_TRIP: Duration = Duration::from_secs(1);

/// How far the UDP packet of a peer and its SYN, sent right behind, may drift apart on the way. Of
/// two packets whose distances differ by less, nobody can tell which is the right one.
pub const DRIFT: Duration = Duration::from_millis(20);

/// A packet that came so near to a SYN, and no other as near as [`DRIFT`], is the right one, unless
/// the right one was lost.
pub const SURE: Duration = Duration::from_millis(5);

/// Ports that a host is told for one client if it may be any of them: it knocks at each 60 times a
/// second. With five players a second behind one address there are seldom two.
pub const LIKELY_PORTS: usize = 3;

/// So many unknown ports that show themselves as hosts of one address within [`BELONGS`] are
/// forged: a LAN party does not begin all its games in the same second.
pub const FORGED_REGS: usize = 6;

/// Ports of an address that may have been a host's, remembered in case that it shows one again.
pub const MAYBE_PORTS: usize = 8;

/// A UDP packet that came so near to a connection belongs to it, even if another host of that
/// address, who might have come back by this connection, has shown its port at about that time.
pub const BELONGS: Duration = Duration::from_secs(1);

/// How long the port of a UDP `connect` is remembered. NATs may forget a mapping after 30 s
/// (RFC 4787 asks for two minutes, many keep less), so an older port helps nobody.
pub const CONNECT_PORT: Duration = Duration::from_secs(30);

/// UDP ports remembered for one address and purpose. A peer's packet comes a round trip before its
/// connection, and must not be forgotten meanwhile because somebody forges others: 1,500 a second
/// are 450 in 300 ms.
pub const PORTS_PER_ADDRESS: usize = 512;

/// UDP ports remembered in all. A flood from forged addresses, as fast as a machine can take it
/// (some 300,000 a second), needs half a second to push a port out, and the TCP request that
/// belongs to it comes one round trip later.
pub const PORTS: usize = 128 * 1024;

/// Introductions of one client address (IPv6: one /64) that wait. Thirty players behind one
/// carrier NAT fit. The next ends the wait of the one that waits longest.
pub const WAITING_PER_CLIENT: usize = 64;

/// Introductions that wait for the hosts of one address: all of them are looked at when one of
/// those hosts registers or shows its port. The next ends the wait of one of the client address
/// that has most, so that no address can end it for the others.
pub const WAITING_PER_HOST: usize = 256;

/// Client addresses (IPv6: /64 networks) of which is remembered what they looked for: as many
/// players as look at lobbies within some minutes on a busy server. They take 2 MB at most.
pub const LOOKS: usize = 4 * 1024;

/// Games and hosts that are remembered for each of them; several players may have one address.
pub const LOOKS_PER_CLIENT: usize = 4;

/// How long that counts: a player looks at a lobby, chooses, and joins; and joins again if the
/// game was interrupted.
pub const LOOK: Duration = Duration::from_secs(300);

/// UDP packets and connections that are remembered to see that those of one peer come from
/// different addresses: they come within a second, and few peers have that.
pub const STRAYS: usize = 256;

/// Default time in which hosts come back after a restart of the server: those made with the sample
/// need up to ten seconds. Those of GMnet PUNCH need minutes, for which nobody would wait.
pub const START_WAIT: Duration = Duration::from_secs(10);

/// Notifications that a host has not been sent yet because of the notify gap. With the usual gap
/// the last of them leaves six seconds later, when its client still knocks. They take turns by
/// client address; the next gives way, or one of the address that has most.
pub const NOTICES_PER_HOST: usize = 128;

/// Client addresses of which is known how often a host was told of them while it is owed notifications.
/// At twenty a second they are more only after a minute.
pub const TOLD_PER_HOST: usize = 1024;

/// Such notifications of all hosts. The next gives way, or one of the host that is owed most.
pub const NOTICES: usize = 64 * 1024;

/// Hosts that left a moment ago ([`HOST_RETURN`]) and are still owed notifications. The one that left
/// first gives way.
pub const OWED_TO_LEFT: usize = 64;

/// Default gap between two notifications on one host connection: a GML host looks once a step,
/// and a game that runs at 30 steps a second may be a step late.
pub const NOTIFY_GAP: Duration = Duration::from_millis(50);

/// When the server stops, all notifications leave within this time, whatever the gap: too close
/// together is better than never.
pub const LAST_NOTICES: Duration = Duration::from_millis(600);

/// A host that is asked for its port knocks for so long: that of GMnet's scripts.
pub const KNOCKING: Duration = Duration::from_secs(15);

/// Who asks for a host that has to be asked for its port waits so long for its knock. A host 250 ms
/// away is heard by then.
pub const KNOCK_WAIT: Duration = Duration::from_millis(300);

/// A knock from the port that a host had without doubt counts for so many from another. So who forges
/// knocks while it has that port has to send eight to sixteen times as many as the host, some 480 a second.
/// If it has another one by now, or never showed one, half as many as it sends (30 a second) keep that from
/// being found, and twice as many (120) are believed; the forgotten port takes a sixteenth to an eighth.
pub const SURE_KNOCK: u32 = 8;

/// Within this time after the answer no client is let in: it knocks in its next step, 1/60 s, and the host
/// lets it in in one of its own.
pub const WELCOME: Duration = Duration::from_millis(10);

/// A client that closes its connection later than this may as well have given up, so nothing is said: games
/// that get through do so 0.2 to 0.3 s after they were told.
pub const LATE_WELCOME: Duration = Duration::from_secs(2);

/// A client that has not got through after this time has not: GMnet's scripts give up after 5 to 10 s.
pub const ATTEMPT: Duration = Duration::from_secs(10);

/// Who has waited for [`INTRODUCTION_WAIT`] when a host without a port comes waits so much longer, once:
/// the host is asked, and has its time to answer.
pub const LATE_HOST: Duration = OVERTAKEN.saturating_add(KNOCK_WAIT);

/// Hosts that knock at this server at one time, 60 times a second each: 15,000 datagrams a second,
/// where 100,000 knocks took half a processor. A customer who has asked for some of them has a
/// part of it only.
pub const KNOCKING_HOSTS: usize = 256;

/// So many knocks from one port are needed to take it for a host's that it had not before.
pub const KNOCKS: u32 = 3;

/// Ports that are told apart among the knocks from one address: a host's stands out among a thousand
/// forged ones a second.
pub const KNOCKING_PORTS: usize = 64;

/// A host whose port was heard of within this time is where it was: NATs in use keep a mapping for
/// 30 s at least, if only for what comes from inside.
pub const FRESH_PORT: Duration = Duration::from_secs(25);

/// A host that was asked for its port and did not knock is asked again after this time, or when it
/// registers.
pub const ASK_AGAIN: Duration = Duration::from_secs(300);

/// Default time between two datagrams that keep the NAT mapping of a host alive: less than the
/// shortest that NATs in use keep one (30 s).
pub const KEEPALIVE: Duration = Duration::from_secs(20);

/// Default time in which a host that vanished without a word leaves the lobby.
pub const GHOST: Duration = Duration::from_secs(60);

/// How long a host is left out of the lobby when another one of the same game registers from its
/// address. Mostly that is the same player coming back, and the end of the old connection is
/// under way; only if both stay are they two hosts.
pub const SHADOW: Duration = Duration::from_secs(1);

/// Longest event in bytes.
pub const OBJECT: usize = 64 * 1024;

/// Levels that an event may have. People write five; a parser that recurses takes this many.
pub const NESTING: usize = 64;

/// Longest name of an event in bytes. It is a word in a game's source.
pub const NAME: usize = 128;

/// Longest `pass_id` or `request_id` in bytes as it is written. UUIDs take 38.
pub const ID_OF_EVENT: usize = 128;

/// Longest ID of a peer, name of a game, name of a room, and key, in bytes.
pub const LABEL: usize = 64;

/// Confirmations and answers that one peer may wait for.
pub const WAITING_PER_PEER: usize = 256;

/// Confirmations and answers that are waited for in all: as many as one address can have
/// with all the connections that are usual for one. Each takes some 500 bytes.
pub const WAITING_PEERS: usize = 64 * 1024;

/// Those who wait for a peer that has left are told, so many at a time: a tenth of a millisecond.
pub const FAILED_AT_ONCE: usize = 256;

/// Peers who are told of something cost as much as a command: as many as this.
pub const TOLD_PER_COMMAND: usize = 8;

/// How long an answer of a peer may take.
pub const ANSWER_WAIT: Duration = Duration::from_secs(30);

/// How long a new connection may take until it has logged in, TLS handshake included. Programs
/// need a second; a person who types into a terminal can make it too.
pub const LOGIN_WAIT: Duration = Duration::from_secs(30);

/// How many commands the beginning of a TLS connection counts for: signing with an RSA key of 2048
/// bits takes a quarter of a millisecond and everybody waits for it, be it for one who goes on or
/// for one who hangs up and begins another.
pub const HANDSHAKE: u32 = 10;

/// TLS handshakes under way: those of all who come back after a restart, at the few milliseconds
/// that each takes and with round trips of a third of a second. Where there is no room, who has most
/// gives way, and among those who have as many the one that has waited longest: with 500 new ones a
/// second, after four seconds.
pub const TLS_HANDSHAKES: u64 = 2048;

/// A handshake gives way to one of somebody who has as many only if nothing became of it for so long.
/// A real one needs a round trip. So a flood that fills all places in less time keeps some out, but
/// does not cut off those who are in.
pub const TLS_STEP: Duration = Duration::from_millis(500);

/// Handshakes that are signed in one turn of the loop: each takes a third of a millisecond, or one
/// with an RSA key of 2,048 bits.
pub const TLS_PER_TURN: usize = 2;

/// Bytes that a peer may send until its handshake is done. Real ones send less than 4 KiB, with
/// key shares that withstand quantum computers.
pub const TLS_HANDSHAKE: usize = 16 * 1024;

/// Memory that rustls takes for a connection, whatever comes, in bytes: keys, secrets and what it has
/// to know. During the handshake it is more than after it.
pub const TLS_STATE: usize = 8 * 1024;

/// Longest TLS record with its head (RFC 5246, section 6.2.3; that of RFC 8446 is shorter), and so
/// the most that is kept of a peer until the rest comes.
pub const TLS_RECORD: usize = 16 * 1024 + 2048 + 5;

/// Work for any TLS record beyond its bytes, in the unit of [`TURN_WORK`]: rustls takes about a
/// microsecond.
pub const TLS_RECORD_WORK: usize = 1000;

/// Work for a TLS record without anything in it, beyond that: it may bring new keys, which take rustls
/// five to nine microseconds.
pub const TLS_KEYS_WORK: usize = 9000;

/// TLS records without anything in them that a peer may send beyond those with something. New keys
/// are due every few million records, and an empty one before each other was seen when TLS was young.
pub const TLS_EMPTY: usize = 64;

/// After so much silence a peer is asked whether it is still there. Home routers forget a silent
/// TCP connection after five minutes or more.
pub const SILENCE: Duration = Duration::from_secs(60);

/// How long it may take to answer that.
pub const PING_WAIT: Duration = Duration::from_secs(15);

/// Pairs of key and value that the host of a room says of it.
pub const ROOM_DATA: usize = 16;

/// Length of such a pair with its `=`, in bytes of UTF-8: all of a room fit into one datagram.
pub const ROOM_DATA_BYTES: usize = 64;

/// Pairs that who looks for rooms may want: each costs a look at each room.
pub const FILTERS: usize = 8;

/// Longest password of a room, in bytes of UTF-8.
pub const ROOM_PASSWORD: usize = 64;

/// Wrong passwords of a room, or wrong codes of rooms, that an address may give at once; of passwords as many again
/// where it shows a key with each, as the others may be forged.
pub const GUESSES: u32 = 10;

/// After this time an address may give another one: less than three thousand a day. Of 64 million codes an
/// address finds one of 10,000 private rooms within days, and a certain one not in a lifetime.
pub const GUESS: Duration = Duration::from_secs(30);

/// When somebody wants the ID of a peer, that is asked whether it is there, and has so long to say anything.
/// Whose network has changed comes back in that time; who is there answers within one or two round trips,
/// even if a packet is lost.
pub const WANTED_WAIT: Duration = Duration::from_millis(3500);

/// A peer is asked that no more often than this, however many want its ID.
pub const WANTED_GAP: Duration = Duration::from_secs(10);

/// Bytes of decrypted and undecrypted events of a connection that sends more than it may and has to wait:
/// so much is read before its peer has to wait as well.
pub const THROTTLED: usize = 256 * 1024;

/// So many rooms at which somebody has the server look count as a command.
pub const ROOMS_PER_COMMAND: usize = 512;

/// Longest own data of a room of events, in bytes as its host writes them.
pub const OWN_DATA: usize = 1024;

/// Members of such data that rooms are looked for by; others are told alone. Eight bytes each.
pub const OWN_MARKS: usize = 32;

/// Changes of rooms of one game that are kept until all who watch have been told: more than happen in a
/// second with 16,384 connections that all do something.
pub const ROOM_CHANGES: usize = 16 * 1024;

/// How often who watches is told of changes.
pub const ROOM_CHANGES_GAP: Duration = Duration::from_secs(1);

/// Players in a room, and in one that is made without saying how many: with each join everyone
/// in it is told.
pub const ROOM_PLAYERS: usize = 64;

/// Rooms in one answer: fits what most networks carry in a few packets.
pub const ROOMS_AT_ONCE: usize = 64;

/// Addresses in its own network that a peer may name. A machine has a few.
pub const LOCAL_ENDPOINTS: usize = 8;

/// How often the endpoint of a peer may change: with it everyone in its room is told.
pub const ENDPOINT_GAP: Duration = Duration::from_secs(1);

/// When a peer has so many bytes to read, others can send it no more: it must not lose its
/// connection (see [`Limits::unread`]) by what they send. Each address may fill no more than half
/// of what is left of it: a single one 170 KiB, more than two events of the longest.
pub const UNREAD_BY_OTHERS: usize = 512 * 1024;

/// The same for those who are in no room with it: what its room and the server have to say must not
/// come behind seconds of what strangers say. At 125 kB/s this is a quarter of a second.
pub const UNREAD_BY_STRANGERS: usize = 32 * 1024;

/// Bytes that the kernel takes of a connection beyond what is under way to its peer. Left alone it
/// takes up to 4 MB for one who reads slowly: then no bound of ours for what is unread holds, and
/// what is said last comes seconds later.
pub const UNSENT: u32 = 32 * 1024;

/// A natpunch client that has been silent for this long is forgotten. The original waits for 5 s, or for
/// up to 15 as it looks every ten; its clients say that they are there every second or two, and a phone
/// that changes its network is silent for longer than 5.
pub const NATPUNCH_SILENCE: Duration = Duration::from_secs(15);

/// A natpunch client that was silent gets its ID back for so long: a player who has closed the lid of a
/// laptop for a moment.
pub const NATPUNCH_GONE: Duration = Duration::from_secs(600);

/// Clients of which that is remembered: seven a second.
pub const NATPUNCH_GONE_CLIENTS: usize = 4 * 1024;

/// Two natpunch clients are told of each other at their own request no more often than this: each time
/// they begin to knock anew.
pub const NATPUNCH_AGAIN: Duration = Duration::from_millis(250);

/// Pairs of which that is remembered: one for each client that there may be. So many in a quarter of a
/// second are more than a server full of players has.
pub const NATPUNCH_PAIRS: usize = 16 * 1024;

/// Longest name of a game, and longest key, that a natpunch client may show, in bytes: as long as the
/// name of a lobby.
pub const NATPUNCH_GAME: usize = 64;

/// A natpunch client may appear at another port of its address when its old one has been silent
/// for this long: longer than the time between two signs of life, so that as long as the true one
/// lives nobody can take its place, and short enough that it is believed before it is forgotten.
pub const NATPUNCH_MOVE: Duration = Duration::from_millis(2500);

/// For so long the new port must have said who it is, and no other port meanwhile: at least twice.
pub const NATPUNCH_CLAIM: Duration = Duration::from_secs(1);

/// A natpunch client that has been at another port for so long is there for good: it is not taken
/// back by one who forges that it speaks from where it was.
pub const NATPUNCH_SETTLED: Duration = Duration::from_secs(30);

/// How long a natpunch client has to meet the host of the lobby that it wants to join. That of
/// the original.
pub const NATPUNCH_JOIN: Duration = Duration::from_secs(10);

/// Longest natpunch datagram, both ways: clients have buffers of this size, and never receive
/// anything again after a longer one.
pub const NATPUNCH_DATAGRAM: usize = 1024;

/// Clients of natpunch in all, and so of its memory.
pub const NATPUNCH_CLIENTS: usize = 16 * 1024;

/// Clients of natpunch that have one address (IPv6: one /64). A school or a LAN party.
pub const NATPUNCH_CLIENTS_PER_ADDRESS: usize = 64;

/// Lobbies of natpunch in all: one for every fourth client.
pub const NATPUNCH_LOBBIES: usize = 4 * 1024;

/// Lobbies that clients of one address (IPv6: one /64) have made.
pub const NATPUNCH_LOBBIES_PER_ADDRESS: usize = 64;

/// Lobbies that one natpunch client can be in at a time. Games need one.
pub const NATPUNCH_LOBBIES_PER_CLIENT: usize = 4;

/// Members of one natpunch lobby, whatever its host asks for: everybody is introduced to
/// everybody, so the work grows with the square.
pub const NATPUNCH_MEMBERS: usize = 32;

/// Longest name of a natpunch lobby in bytes: a list of lobbies has to fit into one datagram.
pub const NATPUNCH_NAME: usize = 64;

/// For so long an unproven endpoint counts as told. Who is told of one sends ten datagrams a
/// second there for fifteen seconds, so this is five a second at any network in the long run.
pub const UNPROVEN: Duration = Duration::from_secs(30);

/// Unproven endpoints that one peer may be told of in that time: in whatever networks they are, it
/// sends no more than 80 datagrams a second because of them.
pub const UNPROVEN_PER_PEER: u32 = 8;

/// Peers that may be told of an unproven endpoint in that time if they ask for it: the first players
/// of a room whose host has not shown its key, perhaps because that datagram was lost.
pub const UNPROVEN_ASKERS: u32 = 4;

/// Networks of which an unproven endpoint was told in that time, in all. Each takes a peer to be
/// told, so that forged addresses alone do not fill it.
pub const UNPROVEN_NETWORKS: usize = 16 * 1024;

/// Default time after which a silent peer of a room is taken to be gone.
pub const ROOM_SILENCE: Duration = Duration::from_secs(300);

/// A host of a room that was told something [`NOTICE_COPIES`] times and has said nothing meanwhile is taken
/// to be gone after this time more of silence. Clients show that they are there every ten or twenty seconds.
pub const ROOM_DOUBT: Duration = Duration::from_secs(60);

/// Hosts and clients of rooms in all. They take no descriptor, and less than 3 KB each.
pub const ROOM_PEERS: usize = 32 * 1024;

/// Clients of one room. More players than any game without a server of its own has, and few
/// enough that telling all of them something is a small thing.
pub const CLIENTS_PER_ROOM: usize = 64;

/// Players of a room in which all are introduced to each other, the host among them: with each newcomer
/// everybody in it is told, and begins to knock.
pub const MESH_PLAYERS: usize = 32;

/// Addresses in its own network that a peer of a room may name; they have to fit into a request.
pub const ROOM_LAN_ENDPOINTS: usize = 4;

/// Rooms at which one request looks that wants certain ones: some 50 microseconds. Where there are more
/// it is told where to go on.
pub const ROOMS_LOOKED_AT: usize = 512;

/// Rooms that one request for any room tries to get into.
pub const ROOMS_TRIED: usize = 8;

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

/// New places in rooms a second for one address, with ten seconds' worth at once: each costs the
/// host of the room a few datagrams. As many again for those who show a key, as forged requests may
/// have taken the others.
pub const PLACES_PER_SECOND: u32 = 20;

/// A peer of a room that has not proved in this time that it is there, with whom no punch is known
/// to have worked, gives its place to another who needs it. The proof takes one round trip, or a
/// second or two if datagrams get lost.
pub const UNPROVED_PLACE: Duration = Duration::from_secs(3);

/// Places in rooms that were offered to those who may be forged, and are theirs when they show the
/// key. A flood of 10,000 forged requests a second needs more than a second to push one out, and the
/// key comes one round trip later.
pub const OFFERS: usize = 16 * 1024;

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

/// Notifications about rooms that are going to be sent again.
pub const ROOM_NOTICES: usize = 64 * 1024;

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

/// Addresses of which it is remembered how much they did lately, or may still be sent. Of four
/// thousand that are busy at once, one in ten thousand is forgotten too early. There are some ten
/// such tables, with 16 or 24 bytes for each address. A power of two.
pub const SOURCES: usize = 16 * 1024;

/// Addresses whose NATs are remembered: ten thousand players and as many strangers. A flood from
/// forged addresses makes the server forget them all, and punch as if it had never known.
pub const NATS: usize = 32 * 1024;

/// How long an address that nothing came from is remembered. Providers give an address to another
/// customer once a day or less, and a host may be silent for long before somebody joins it.
pub const NAT_AGE: Duration = Duration::from_secs(3600);

/// Ports of one address that are remembered in the order in which they appeared. A game shows
/// four at most (UDP, STUN, two TCP connections), so a second player may begin meanwhile.
pub const PORTS_OF_NAT: usize = 8;

/// Pairs of one address for which it is remembered which ports were foretold: who joins asks again
/// within seconds if a datagram was lost, and few join one host in the same seconds.
pub const FORETOLD: usize = 4;

/// Ports of one address for which it is remembered what they had shown of their NAT before others
/// were told of them: as many games as most NATs have at a time. Only peers that are really there have
/// any, and most have one: half a megabyte for [`NATS`] of them, and thirteen if all had so many.
pub const SETTLED: usize = 16;

/// A port that was silent for so long may belong to another socket when it shows again: RFC 4787
/// lets NATs forget a mapping after two minutes.
pub const MAPPING: Duration = Duration::from_secs(120);

/// The two STUN requests of a socket, to the main and to the alternate port, come within this
/// time: sent at once, or the second repeated for some seconds as RFC 8489 says.
pub const STUN_PAIR: Duration = Duration::from_secs(5);

/// How long a dialect rests that a panic has ended. Who can cause it again and again costs no more
/// than two lines of the log a second; hosts do not come back sooner anyway.
pub const REST_AFTER_PANIC: Duration = Duration::from_secs(1);

/// An upper bound of the memory that this process takes whatever arrives, in bytes; what the
/// kernel needs for its sockets is not in it. It may be more than 32 bits can address.
#[must_use]
pub const fn worst_case(limits: &Limits) -> u64 {
    /// The program, its buffers, the tables for [`SOURCES`], lines for the log, and what the
    /// allocator keeps.
    const BASE: u64 = 24 << 20;
    /// Everything that is kept of a connection, be it a host's: states, table entries, index
    /// entries, timers, small allocations; tables may be half empty.
    const CONNECTION: u64 = 2048;
    /// Everything that is kept of a remembered port when it is the only one of its address: 210 bytes,
    /// and fragments.
    const PORT: u64 = 320;
    /// Everything that is kept of a notification.
    const NOTICE: u64 = 128;
    /// Everything that is kept of a peer that waits for another.
    const WAITING: u64 = 512;
    /// Everything that is kept of a natpunch client: its entries in six tables, and the lists of a game that it
    /// is alone in (2,682 bytes were counted).
    const CLIENT: u64 = 2688;
    /// Everything that is kept of one that was silent.
    const GONE: u64 = 384;
    /// Everything that is kept of a room of events, with what every room may have of own data and of those
    /// who were kicked; or the part of one connection in a mesh of 64.
    const EVENTS_ROOM: u64 = 1536;
    /// Everything that is kept of a natpunch lobby with all its members.
    const LOBBY: u64 = 1536;
    /// Everything that is kept of a peer of a room, of one that has left, and of half an offer, with
    /// its notifications.
    const ROOM_PEER: u64 = 2048;
    /// Everything that is kept of two natpunch clients that were told of each other.
    const PAIR: u64 = 96;
    /// What every host may say of its room, and whom it has kicked, beyond that, with notices and half offers.
    const ROOM: u64 = 1536;
    /// Everything that is kept of an address and its ports.
    const NAT: u64 = 640;
    /// Everything that is kept of a host that knocks at the server, and of the twenty that did so before
    /// it within [`ASK_AGAIN`].
    const KNOCKING_HOST: u64 = 4096;
    /// Everything that is kept of a host in a sorted list.
    const SORTED: u64 = 64;
    /// Buffers grow by doubling, and fragments remain.
    const SLACK: u64 = 2;
    /// What rustls keeps of a peer after the handshake. With all else of a connection it is 5 KiB.
    const TLS: u64 = 3072;
    let fixed = BASE
        + TLS_HANDSHAKES * TLS_STATE as u64
        + PORTS as u64 * PORT
        + NOTICES as u64 * NOTICE
        + WAITING_PEERS as u64 * WAITING
        + NATPUNCH_CLIENTS as u64 * CLIENT
        + NATPUNCH_GONE_CLIENTS as u64 * GONE
        + NATPUNCH_LOBBIES as u64 * LOBBY
        + NATPUNCH_PAIRS as u64 * PAIR
        + ROOM_PEERS as u64 * ROOM_PEER
        + ROOM_PEERS as u64 * ROOM
        + 2 * ROOM_EXTRAS as u64
        + OFFERED_EXTRAS as u64
        + NATS as u64 * NAT
        + KNOCKING_HOSTS as u64 * KNOCKING_HOST
        + LOBBY_REPLIES as u64
        + SORTED_HOSTS as u64 * SORTED;
    let connections = (limits.connections as u64).saturating_mul(CONNECTION + TLS + EVENTS_ROOM);
    // A connection is a GMnet host's or that of somebody in a room of events, and TLS with a room takes more
    // than the data strings that every host may have.
    let strings = (limits.connections as u64).saturating_mul(SLACK * HOST_STRINGS as u64);
    let totals = (limits.total() as u64).saturating_mul(SLACK * 4).saturating_sub(strings);
    fixed.saturating_add(connections).saturating_add(totals)
}

/// Introductions that came to nothing of which the latest are kept for the owner.
pub const FAILURES: usize = 10;

/// Lines a second that peers may cause in the log, in the long run, with a minute's worth at once:
/// some 200 MB a day at the very most.
pub const LOG_LINES: u32 = 20;

/// Lines a second of details, which are logged only if somebody looks for something, with a minute's
/// worth at once.
pub const LOG_DETAILS: u32 = 200;

/// How long after the first line that is left out the log says how many were.
pub const LOG_LEFT_OUT: Duration = Duration::from_secs(5);

/// Bytes of lines that wait to be written to one place of the log; more are lost.
pub const LOG_WAITING: usize = 1 << 20;

/// How long the end of the process waits for what is not written to the log yet.
pub const LOG_FLUSH: Duration = Duration::from_millis(200);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_case_is_told_for_any_number_of_connections() {
        let of = |connections| worst_case(&Limits { connections, ..Limits::default() });
        // On machines with 32 bits as well, where this is more than they have.
        assert!(of(1_000_000) > u64::from(u32::MAX), "{}", of(1_000_000));
        assert_eq!(of(usize::MAX), u64::MAX);
    }

    #[test]
    fn the_largest_lobby_may_wait_to_be_read() {
        /// A host with data strings of 40 bytes, in JSON.
        const HOST: usize = 220;
        for connections in [1, 1000, 16 * 1024, 100_000, 1_000_000] {
            let limits = Limits { connections, ..Limits::default() };
            assert!(limits.lobby() >= connections * HOST, "{connections} hosts");
        }
    }
}
