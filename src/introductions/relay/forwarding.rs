//! What becomes of the packets of players who are relayed. No I/O, no clock.
//!
//! A player is known by its address, and by the port of the pool that it sends to; from which of its own
//! ports it sends shows the first packet. Nobody but the two players of a session ever gets a packet out
//! of it.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU16;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Bounds, End, Order, Report, Session, SessionId, Shape, Side};
use crate::clock::Instant;
use crate::limits::relay as limits;

mod allocations;
mod bucket;
mod handover;
mod shares;
#[cfg(test)]
mod tests;

use allocations::Allocations;
use bucket::{Bucket, Rate};
use shares::Shares;

/// How often it is looked which sessions are over, and what was passed on is told.
const CHECK: Duration = Duration::from_secs(5);

/// GameMaker puts this in front of every packet of its own protocol.
const HEADER: [u8; 4] = [0xDE, 0xC0, 0xAD, 0xDE];

/// The sessions, and what they may do.
#[derive(Debug, Serialize, Deserialize)]
pub struct Forwarding {
    sessions: Allocations,
    #[serde(skip)]
    session_bytes: Rate,
    #[serde(skip)]
    session_packets: Rate,
    #[serde(skip)]
    total_bytes: Rate,
    total: Bucket,
    /// When it is to be looked next; none while there are no sessions.
    check: Option<Instant>,
    reports: Vec<Report>,
    /// Bytes that were passed on and are to be told.
    passed: u64,
    dropped: Dropped,
}

/// Packets of players that were not passed on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dropped {
    /// A session had passed on as much as it may in a second.
    pub over_session: u64,
    /// All together had.
    pub over_total: u64,
    /// They were none of a game of GameMaker, in a session for those.
    pub of_other_shape: u64,
    /// The other player had sent nothing for a while.
    pub to_silent: u64,
    /// They came from another port of the player's address than packets before them.
    pub from_other_port: u64,
}

impl fmt::Display for Dropped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { over_session, over_total, of_other_shape, to_silent, from_other_port } = self;
        let reasons = [
            (over_session, "over the bound of one player (--relay-bytes, --relay-packets)"),
            (over_total, "over that of all together (--relay-total)"),
            (of_other_shape, "not of a game of GameMaker"),
            (to_silent, "to players who send nothing any more"),
            (from_other_port, "from another port than the player has used before"),
        ];
        let mut separator = "";
        for (count, why) in reasons.into_iter().filter(|(count, _)| **count > 0) {
            write!(f, "{separator}{count} {why}")?;
            separator = ", ";
        }
        Ok(())
    }
}

impl Dropped {
    /// These as well.
    pub fn add(&mut self, more: Self) {
        self.over_session += more.over_session;
        self.over_total += more.over_total;
        self.of_other_shape += more.of_other_shape;
        self.to_silent += more.to_silent;
        self.from_other_port += more.from_other_port;
    }

    /// Whether there were none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// A session.
#[derive(Debug, Serialize, Deserialize)]
struct Allocation {
    id: SessionId,
    shape: Shape,
    sides: [Leg; 2],
    began: Instant,
    bytes: u64,
    /// The first packets of the side that is there first, until the other one is: a game counts what it
    /// has sent, and takes the first answer for the end of that.
    #[expect(clippy::box_collection, reason = "most sessions hold nothing, and there are many")]
    held: Option<Box<Vec<Box<[u8]>>>>,
    /// Packets have gone both ways: ports are not learned any more.
    is_connected: bool,
}

/// One player.
#[derive(Debug, Serialize, Deserialize)]
struct Leg {
    addr: IpAddr,
    /// The port of the pool that it sends to, and gets packets from.
    pool_port: u16,
    /// The port that it sends from, once it has.
    port: Option<NonZeroU16>,
    /// When its last packet came, or the session began.
    heard: Instant,
    has_passed: bool,
    /// How many packets have come from there without one from another port in between.
    run: u8,
    /// The port that the last packet came from that was dropped for it, and how many in a row: a player
    /// whose NAT gives it another port sends from there while the one before is still waited for. While it is
    /// doubtful which is its port, the other one from which most come, as [`Self::is_outvoted`] counts.
    other_port: u16,
    other_run: u8,
    /// How many packets from third ports have come.
    #[serde(default)]
    third: u8,
    /// How many seconds after the session began it was found where it is, or has been since.
    #[serde(default)]
    learned: u16,
    bytes: Bucket,
    packets: Bucket,
    /// The place of what its network has of the bytes of all, if each has as much. Another process finds it
    /// itself; those before 0.3.0 read one of each player.
    #[serde(skip_deserializing, serialize_with = "handover::full_share")]
    share: u16,
}

impl Leg {
    /// Whether it is at the port that it sends from: who sprays ports sends one packet from each.
    fn is_settled(&self) -> bool {
        self.run >= 2
    }

    /// A packet came from another port than before: whether it is the player's. Others behind a carrier's address
    /// spray ports, and have not been asked. But its NAT may have forgotten the one before.
    fn is_found_at(&mut self, port: u16, now: Instant, began: Instant, is_connected: bool) -> bool {
        let is_silent = now - self.heard >= limits::MOVED;
        if is_connected && !is_silent {
            let learned = began + Duration::from_secs(self.learned.into());
            if now - learned < limits::YOUNG {
                return self.is_outvoted(port);
            }
            if self.is_settled() {
                let in_a_row = self.other_port == port;
                self.other_run = if in_a_row { self.other_run.saturating_add(1) } else { 1 };
                self.other_port = port;
                return false;
            }
        }
        let run = if self.other_port == port { self.other_run } else { 0 };
        (self.port, self.run, self.other_port, self.other_run) = (NonZeroU16::new(port), run, 0, 0);
        // No session lasts longer.
        self.learned = u16::try_from((now - began).as_secs()).unwrap_or(u16::MAX);
        true
    }

    /// A packet came from another port while that is doubtful: whether more have come from there than
    /// from the port that is believed. Then they change places; the packet itself is still to be counted. One
    /// from a third port takes one from the count of the other (Boyer and Moore's majority vote), so who
    /// sprays ports moves nothing, and does not make a player begin again.
    fn is_outvoted(&mut self, port: u16) -> bool {
        if self.other_port != port {
            if self.other_run > 0 {
                // A player that is looked for is not hidden by ports that send one packet each.
                self.third = self.third.wrapping_add(1);
                let counts = self.learned == 0 || self.third.is_multiple_of(limits::THIRD);
                self.other_run -= u8::from(counts);
                return false;
            }
            self.other_port = port;
        }
        if self.other_run < self.run || self.run == u8::MAX {
            self.other_run = self.other_run.saturating_add(1);
            return false;
        }
        self.other_port = self.port.map_or(0, NonZeroU16::get);
        self.port = NonZeroU16::new(port);
        std::mem::swap(&mut self.run, &mut self.other_run);
        true
    }

    /// Whether a packet of it has been passed on, and it is at that port.
    fn is_there(&self) -> bool {
        self.has_passed && self.is_settled()
    }

    fn endpoint(&self) -> Option<SocketAddr> {
        self.port.map(|port| SocketAddr::new(self.addr, port.get()))
    }
}

impl Forwarding {
    /// No sessions yet.
    #[must_use]
    pub fn new(bounds: Bounds) -> Self {
        Self {
            sessions: Allocations::default(),
            session_bytes: Rate::per_second(bounds.session_bytes),
            session_packets: Rate::per_second(bounds.session_packets),
            total_bytes: Rate::per_second(bounds.total_bytes),
            total: Bucket::default(),
            check: None,
            reports: Vec::new(),
            passed: 0,
            dropped: Dropped::default(),
        }
    }

    /// Does what the other half wants done.
    pub fn obey(&mut self, now: Instant, order: Order) {
        match order {
            Order::Open(session) => self.open(now, session),
            Order::Close(id, side) => self.close(id, side),
        }
    }

    /// A session gives way to another one.
    fn close(&mut self, id: SessionId, side: Side) {
        let Some(sender) = self.sessions.sender(side.port, side.addr) else { return };
        if self.sessions.get(sender.at).is_some_and(|allocation| allocation.id == id) {
            self.sessions.remove(sender.at);
            self.reports.push(Report::Ended(id, End::GaveWay));
        }
    }

    /// From now on packets of these two are passed on.
    pub fn open(&mut self, now: Instant, session: Session) {
        let Session { id, sides, shape } = session;
        let sides = sides.map(|side| Leg {
            addr: side.addr,
            pool_port: side.port,
            port: None,
            heard: now,
            has_passed: false,
            run: 0,
            other_port: 0,
            other_run: 0,
            third: 0,
            learned: 0,
            bytes: Bucket::default(),
            packets: Bucket::default(),
            share: 0,
        });
        let (bytes, held, is_connected) = (0, None, false);
        let allocation = Allocation { id, shape, sides, began: now, bytes, held, is_connected };
        self.sessions.insert(allocation);
        self.check.get_or_insert(now + CHECK);
    }

    /// A datagram came to a port of the pool. What is to be sent goes to `send`: from which port of the
    /// pool, where, and what.
    pub fn on_datagram(
        &mut self,
        now: Instant,
        pool_port: u16,
        from: SocketAddr,
        data: &[u8],
        send: &mut impl FnMut(u16, SocketAddr, &[u8]),
    ) {
        // It is forged, and would take the port of the player away.
        if from.port() == 0 {
            return;
        }
        let Some(sender) = self.sessions.sender(pool_port, from.ip()) else { return };
        let Some((allocation, shares)) = self.sessions.get_mut(sender.at) else { return };
        let Allocation { shape, sides, began, held, is_connected, .. } = allocation;
        let [one, other] = sides;
        let (own, other) = if sender.is_second { (other, one) } else { (one, other) };
        if *shape == Shape::GameMaker && !data.starts_with(&HEADER) {
            self.dropped.of_other_shape += 1;
            return;
        }
        if own.port.map(NonZeroU16::get) != Some(from.port())
            && !own.is_found_at(from.port(), now, *began, *is_connected)
        {
            self.dropped.from_other_port += 1;
            return;
        }
        (own.run, own.heard) = (own.run.saturating_add(1), now);
        let Some(to) = other.endpoint() else {
            let held = held.get_or_insert_default();
            if held.len() < limits::HELD && data.len() <= limits::HELD_BYTES {
                held.push(data.into());
            }
            return;
        };
        let mut budget = Budget {
            now,
            rates: [
                self.session_bytes,
                self.session_packets,
                self.total_bytes,
                shares.of(self.total_bytes),
            ],
            total: &mut self.total,
            shares,
            dropped: &mut self.dropped,
        };
        let mut bytes = 0;
        for held in held.take().into_iter().flat_map(|held| *held) {
            if budget.allows(other, held.len()) {
                bytes += held.len();
                send(own.pool_port, from, &held);
            }
        }
        // Who is not there any more is not to be flooded.
        if now - other.heard >= limits::CONSENT {
            budget.dropped.to_silent += 1;
        } else if budget.allows(own, data.len()) {
            bytes += data.len();
            send(other.pool_port, to, data);
        }
        allocation.bytes += bytes as u64;
        self.passed += bytes as u64;
        if !allocation.is_connected && allocation.sides.iter().all(Leg::is_there) {
            allocation.is_connected = true;
            self.reports.push(Report::Connected(allocation.id));
        }
    }

    /// The time that [`Self::next_wakeup`] asked for has come (or not yet: then nothing is to be done).
    pub fn on_wakeup(&mut self, now: Instant) {
        if self.check.is_none_or(|at| now < at) {
            return;
        }
        let over: Vec<_> =
            self.sessions.iter().filter_map(|(at, p)| Some((at, p.end(now)?))).collect();
        for (at, end) in over {
            if let Some(allocation) = self.sessions.remove(at) {
                self.reports.push(Report::Ended(allocation.id, end));
            }
        }
        let passed = std::mem::take(&mut self.passed);
        if passed > 0 {
            self.reports.push(Report::Passed(passed));
        }
        self.check = (!self.sessions.is_empty()).then_some(now + CHECK);
    }

    /// When something has to be done even if nothing arrives.
    #[must_use]
    pub fn next_wakeup(&self) -> Option<Instant> {
        self.check
    }

    /// What is to be told to the other half.
    pub fn take_reports(&mut self) -> impl Iterator<Item = Report> {
        self.reports.drain(..)
    }

    /// What was dropped since that was asked last.
    pub fn take_dropped(&mut self) -> Dropped {
        std::mem::take(&mut self.dropped)
    }
}

impl Allocation {
    /// Why it is over, if it is.
    fn end(&self, now: Instant) -> Option<End> {
        let age = now - self.began;
        if self.sides.iter().any(|side| side.port.is_none()) && age >= limits::UNANSWERED {
            return Some(End::Unanswered);
        }
        if self.sides.iter().any(|side| now - side.heard >= limits::IDLE) {
            return Some(End::Idle);
        }
        let is_used_up = age >= limits::AGE || self.bytes >= limits::SESSION_BYTES;
        is_used_up.then_some(End::UsedUp)
    }
}

/// What may be passed on at a moment.
struct Budget<'a> {
    now: Instant,
    /// Bytes and packets a second of a side, and bytes a second of all and of each network.
    rates: [Rate; 4],
    total: &'a mut Bucket,
    shares: &'a mut Shares,
    dropped: &'a mut Dropped,
}

impl Budget<'_> {
    /// Whether a packet of this length of a side may be passed on; then it counts.
    fn allows(&mut self, side: &mut Leg, length: usize) -> bool {
        let [bytes, packets, total, share] = self.rates;
        if !side.packets.has(packets, self.now, 1) || !side.bytes.has(bytes, self.now, length) {
            self.dropped.over_session += 1;
            return false;
        }
        // The second half is for those who have not had their share of it.
        let is_left = self.total.has(total, self.now, length)
            && (self.total.has_plenty(total, self.now, length)
                || self.shares.has(side.share, share, self.now, length));
        if !is_left {
            self.dropped.over_total += 1;
            return false;
        }
        side.packets.take(packets, self.now, 1);
        side.bytes.take(bytes, self.now, length);
        self.total.take(total, self.now, length);
        self.shares.take_most(side.share, share, self.now, length);
        side.has_passed = true;
        true
    }
}
