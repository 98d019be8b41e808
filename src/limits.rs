//! Every bound that this server sets to what a peer may do, and every wait, with its reason.

use std::time::Duration;

/// Longest line of a GMnet command in bytes, its line end and NULs included. Games put long
/// texts into data strings; lines of 16 KiB have to work, the old server had no limit.
pub const LINE: usize = 16 * 1024 + 64;

/// Bytes a GMnet peer may send ahead while it waits for the answer to a `connect`. Real clients
/// send nothing at all then.
pub const AHEAD: usize = 64 * 1024;

/// Once a command has begun, its next byte must come within this time. That of the old server.
pub const STALLED_COMMAND: Duration = Duration::from_secs(1);

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

/// How long the port of a UDP `connect` is remembered. NATs may forget a mapping after 30 s
/// (RFC 4787 asks for two minutes, many keep less), so an older port helps nobody.
pub const CONNECT_PORT: Duration = Duration::from_secs(30);

/// UDP ports remembered for one address and purpose. Thirty players behind one carrier NAT fit.
pub const PORTS_PER_ADDRESS: usize = 64;

/// Introductions that wait because of one address, be it the client's or the host's.
pub const WAITING_PER_ADDRESS: usize = 64;

/// Notifications that a host has not been sent yet because of the notify gap. With the usual gap
/// the last of them leaves six seconds later, when its client still knocks.
pub const NOTICES_PER_HOST: usize = 128;

/// Default gap between two notifications on one host connection: a GML host looks once a step,
/// and a game that runs at 30 steps a second may be a step late.
pub const NOTIFY_GAP: Duration = Duration::from_millis(50);

/// How long a host is left out of the lobby when another one of the same game registers from its
/// address. Mostly that is the same player coming back, and the end of the old connection is
/// under way; only if both stay are they two hosts.
pub const SHADOW: Duration = Duration::from_secs(1);
