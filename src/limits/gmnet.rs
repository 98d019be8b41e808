//! The bounds of GMnet PUNCH: commands, lobbies, ports, introductions and notices.

use std::time::Duration;

/// Longest line of a GMnet command in bytes, its line end and NULs included. Games put long
/// texts into data strings; lines of 16 KiB have to work, the old server had no limit.
pub const LINE: usize = 16 * 1024 + 64;

/// Longest GMnet command with all its lines, in bytes. So this bounds the data strings of a host,
/// whose lengths are kept in 16 bits.
pub const COMMAND: usize = u16::MAX as usize;

/// Bytes that the data strings of every host may have together, as the lobby writes them (`<` has six
/// there). A usual host has less than 200; all that there may be take half of [`Limits::total`](super::Limits::total).
pub const HOST_STRINGS: usize = 512;

/// Bytes that they may have beyond that, as long as there is room: 8 KiB in all. The old server had
/// no limit, but a game reads no more than 64 KiB of a lobby.
pub const MORE_STRINGS: usize = 8 * 1024 - HOST_STRINGS;

/// Bytes beyond [`HOST_STRINGS`] of all hosts of one address (IPv6: one /64): as much as one host may
/// have, and the same again while it comes back by a new connection. With 32 hosts that is 38 KiB of
/// lobby, so that one address cannot fill what a game reads.
pub const STRINGS_PER_ADDRESS: usize = 2 * MORE_STRINGS;

/// Bytes of the address of a host that a client asks for, with spaces around it. It is kept as it was written while
/// the client waits, and 47 are enough for any address with a port.
pub const TARGET: usize = 128;

/// Once a command has begun, its next byte must come within this time. That of the old server.
pub const STALLED_COMMAND: Duration = Duration::from_secs(1);

/// A whole command must come within this time, however it trickles. A game on a poor line sends
/// its twelve lines at once.
pub const COMMAND_TIME: Duration = Duration::from_secs(30);

/// A lobby of this many bytes costs about as much as any other command; a longer one counts as
/// several.
pub const CHEAP_REPLY: usize = 4096;

/// Work for any command and for the system call that answers it.
pub const COMMAND_WORK: usize = 8 << 10;

/// Work to look at a host: it is seldom in a cache of the processor.
pub const HOST_WORK: usize = 64;

/// Lists of hosts that are kept in an order that lobbies are asked for in.
pub const SORTED_LISTS: usize = 8;

/// Hosts in all those lists together, unless one alone has more. Each takes up to 64 bytes.
pub const SORTED_HOSTS: usize = 128 * 1024;

/// Hosts that are sorted in one go, where no list is kept: a millisecond.
pub const SORTED_AT_ONCE: usize = 1024;

/// Such a list may make room for another when so many sorted lobbies were asked for and none needed
/// it. So who asks for many orders in turn has few lists made. A long one is made nevertheless, a piece at a time: for
/// that one gives way that was made so many requests ago.
pub const SORTED_UNUSED: u64 = 64;

/// Memory for lobbies that are kept as they were sent, for the next who ask the same: four of ten
/// thousand hosts, or those of three thousand games with twenty hosts.
pub const LOBBY_REPLIES: usize = 8 << 20;

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

/// Of a client with more of them that is seen when all datagrams have been read whether its UDP packet ends their wait,
/// as it may have sent very many.
pub const RETRIED_AT_ONCE: usize = 4;

/// Introductions that wait for the hosts of one address: all of them are looked at when one of
/// those hosts registers or shows its port. The next ends the wait of one of the client address
/// that has most, so that no address can end it for the others.
pub const WAITING_PER_HOST: usize = 256;

/// Client addresses (IPv6: /64 networks) of which is remembered what they looked for: as many
/// players as look at lobbies within some minutes on a busy server. They take 2 MB at most.
pub const LOOKS: usize = 4 * 1024;

/// How many of them may be in one /48 of IPv6, which may be one player's: as many neighbours as play at a time.
pub const LOOKS_PER_SITE: usize = 64;

/// Games and hosts that are remembered for each of them; several players may have one address.
pub const LOOKS_PER_CLIENT: usize = 4;

/// How long that counts: a player looks at a lobby, chooses, and joins; and joins again if the
/// game was interrupted.
pub const LOOK: Duration = Duration::from_secs(300);

/// UDP packets and connections that are remembered to see that those of one peer come from
/// different addresses: they come within a second, and few peers have that.
pub const UNPAIRED: usize = 256;

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

/// A host whose connection is lost so soon after it was told of a client may not have read that: a round trip, and a
/// step of its game.
pub const UNREAD: Duration = Duration::from_secs(1);

/// The same of one that has closed its connection: a round trip. A game that was told reads that, is joined and
/// tells the lobby of it no sooner.
pub const UNREAD_AT_END: Duration = Duration::from_millis(80);

/// Notices of which that is kept, the newest: 64 bytes each.
pub const UNREAD_NOTICES: usize = 4096;

/// Hosts that left a moment ago ([`HOST_RETURN`]) and are still owed notifications. The one that left
/// first gives way.
pub const OWED_TO_LEFT: usize = 256;

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
/// the host is asked, and has its time to answer. The same if the node of the host is gone: the host may come to another.
pub const LATE_HOST: Duration = OVERTAKEN.saturating_add(KNOCK_WAIT);

/// Hosts that knock at this server at one time, 60 times a second each: 15,000 datagrams a second,
/// where 100,000 knocks took half a processor. A source that has asked for some of them has a
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
