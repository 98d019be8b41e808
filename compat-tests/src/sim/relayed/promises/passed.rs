//! What comes to the ports of the pool, and what leaves from there.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};

use punchd::clock::Instant;
use punchd::introductions::relay::forwarding::Dropped;
use punchd::introductions::relay::{Bounds, End, Report, Session, SessionId};
use punchd::limits::relay as limits;

use super::super::meddlers::MEDDLED;
use super::meter::Meter;
use super::{Kept, Promise, broken};

/// The relay looks so often which sessions are over.
const CHECK: std::time::Duration = std::time::Duration::from_secs(5);

/// One of the two players of a session.
#[derive(Debug)]
struct Leg {
    addr: IpAddr,
    pool_port: u16,
    /// When anything came last from its address.
    heard: Option<Instant>,
    /// The ports that it came from.
    ports: BTreeSet<u16>,
    /// What came and has not been passed on; how often.
    waiting: BTreeMap<Vec<u8>, u32>,
    bytes: Meter,
    packets: Meter,
    has_passed: bool,
    /// The port that something came from last, and how much in a row.
    last: u16,
    run: u32,
    /// What came before the other one had sent anything and is short enough to be held.
    held: usize,
    /// When the player has sent last, if it has sent often and from one port since they were connected.
    steady: Option<Instant>,
}

impl Leg {
    /// A packet of the right shape has come from this port.
    fn hear(&mut self, now: Instant, port: u16, data: &[u8], is_first_side: bool) {
        let is_player = data.get(12) != Some(&MEDDLED);
        let is_same = self.last == port;
        if is_player {
            let is_steady = |at: &Instant| is_same && now - *at < limits::MOVED;
            self.steady = self.steady.filter(is_steady).map(|_| now);
        }
        // Who forges is not believed meanwhile.
        if is_player || self.steady.is_none_or(|at| now - at >= limits::MOVED) {
            self.run = if is_same { self.run + 1 } else { 1 };
            self.last = port;
        }
        self.heard = Some(now);
        self.ports.insert(port);
        *self.waiting.entry(known_by(data)).or_default() += 1;
        self.held += usize::from(is_first_side && data.len() <= limits::HELD_BYTES);
    }
}

#[derive(Debug)]
struct Allocation {
    began: Instant,
    sides: [Leg; 2],
    bytes: u64,
    is_connected: bool,
}

/// The sessions of the relay's thread, as they must be.
#[derive(Debug)]
pub(in super::super) struct Passed {
    bounds: Bounds,
    live: BTreeMap<SessionId, Allocation>,
    by_sender: BTreeMap<(u16, IpAddr), (SessionId, usize)>,
    /// Sessions that the thread was told to end and has not reported yet.
    closed: BTreeSet<SessionId>,
    total: Meter,
    /// Bytes that were passed on, and those that are known to have been.
    sent: u64,
    told: u64,
}

/// What a packet is known by: all of it, unless it is very long.
fn known_by(data: &[u8]) -> Vec<u8> {
    let mut key = data[..data.len().min(1500)].to_vec();
    key.extend(data.len().to_le_bytes());
    key
}

impl Passed {
    pub(in super::super) fn new(bounds: Bounds) -> Self {
        Self {
            bounds,
            live: BTreeMap::new(),
            by_sender: BTreeMap::new(),
            closed: BTreeSet::new(),
            total: Meter::new(bounds.total_bytes),
            sent: 0,
            told: 0,
        }
    }

    /// The thread takes a session.
    pub(in super::super) fn open(&mut self, now: Instant, session: Session) -> Kept {
        let leg = |side: punchd::introductions::relay::Side| Leg {
            addr: side.addr,
            pool_port: side.port,
            heard: None,
            ports: BTreeSet::new(),
            waiting: BTreeMap::new(),
            bytes: Meter::new(self.bounds.session_bytes),
            packets: Meter::new(self.bounds.session_packets),
            has_passed: false,
            last: 0,
            run: 0,
            held: 0,
            steady: None,
        };
        let sides = session.sides.map(leg);
        for (n, side) in sides.iter().enumerate() {
            let sender = (side.pool_port, side.addr);
            if let Some((other, _)) = self.by_sender.insert(sender, (session.id, n)) {
                let what = format!("{sender:?} is of {other:?} and of {:?}", session.id);
                return broken(Promise::OwnPorts, what);
            }
        }
        let allocation = Allocation { began: now, sides, bytes: 0, is_connected: false };
        self.live.insert(session.id, allocation);
        Ok(())
    }

    /// A datagram comes to a port of the pool. Whose it is, if it is that of a player, and how many must be
    /// sent to him that were held for him.
    pub(in super::super) fn arrives(
        &mut self,
        now: Instant,
        port: u16,
        from: SocketAddr,
        data: &[u8],
    ) -> Option<(SessionId, usize)> {
        let (id, n) = *self.by_sender.get(&(port, from.ip()))?;
        let [one, other] = &mut self.live.get_mut(&id)?.sides;
        let (own, other) = if n == 0 { (one, other) } else { (other, one) };
        let mut held = 0;
        if data.starts_with(b"\xde\xc0\xad\xde") {
            if own.heard.is_none() {
                held = other.held.min(limits::HELD);
            }
            own.hear(now, from.port(), data, other.heard.is_none());
        }
        Some((id, held))
    }

    /// A datagram leaves.
    pub(in super::super) fn leaves(
        &mut self,
        now: Instant,
        port: u16,
        to: SocketAddr,
        data: &[u8],
    ) -> Kept {
        let to_nobody = |why: &str| broken(Promise::NoOpenRelay, format!("{port} to {to}: {why}"));
        let Some((id, n)) = self.by_sender.get(&(port, to.ip())).copied() else {
            return to_nobody("that address has no session there");
        };
        let Some(allocation) = self.live.get_mut(&id) else { return to_nobody("it is over") };
        let [own, other] = &mut allocation.sides;
        let (whom, sender) = if n == 0 { (own, other) } else { (other, own) };
        if !whom.ports.contains(&to.port()) {
            return to_nobody("nothing came from that port");
        }
        if whom.heard.is_none_or(|heard| now - heard >= limits::CONSENT) {
            return to_nobody("it has not sent anything for long");
        }
        if whom.steady.is_some_and(|at| now - at < limits::MOVED) && to.port() != whom.last {
            let what = format!("{id:?}: {to} is taken for a player who is at {}", whom.last);
            return broken(Promise::GetsThrough, what);
        }
        match sender.waiting.get_mut(&known_by(data)) {
            Some(count) if *count > 0 => *count -= 1,
            _ => return to_nobody("the other one has not sent that, or not so often"),
        }
        sender.has_passed = true;
        let kept = [
            (sender.bytes.add(now, data.len()), "bytes of a session"),
            (sender.packets.add(now, 1), "packets of a session"),
            (self.total.add(now, data.len()), "bytes of all"),
        ];
        if let Some((_, what)) = kept.into_iter().find(|(is_kept, _)| !is_kept) {
            return broken(Promise::Bounds, format!("more {what} than may be: {id:?} to {to}"));
        }
        allocation.bytes += data.len() as u64;
        self.sent += data.len() as u64;
        Ok(())
    }

    /// Something that came for a session was dropped: a bound was reached indeed.
    pub(in super::super) fn dropped(
        &mut self,
        now: Instant,
        id: SessionId,
        (data, dropped): (&[u8], Dropped),
    ) -> Kept {
        // The second half is for those who have not had their share; whose that is has tests of its own.
        let total = self.total.is_half_full(now, data.len().max(limits::HELD_BYTES));
        let Some(allocation) = self.live.get_mut(&id) else { return Ok(()) };
        let longest = data.len().max(limits::HELD_BYTES);
        let is_full =
            |leg: &mut Leg| leg.bytes.is_full(now, longest) || leg.packets.is_full(now, 1);
        let session = allocation.sides.iter_mut().any(is_full);
        if (dropped.over_session > 0 && !session) || (dropped.over_total > 0 && !total) {
            return broken(Promise::Bounds, format!("{id:?}: dropped below the bounds"));
        }
        Ok(())
    }

    /// The thread reports something.
    pub(in super::super) fn reports(&mut self, now: Instant, report: Report) -> Kept {
        match report {
            Report::Passed(bytes) => {
                self.told += bytes;
                Ok(())
            }
            Report::Connected(id) => {
                let Some(allocation) = self.live.get_mut(&id) else {
                    return broken(Promise::CountedOnce, format!("{id:?} connected, but over"));
                };
                let is_again = std::mem::replace(&mut allocation.is_connected, true);
                if is_again || !allocation.sides.iter().all(|side| side.has_passed) {
                    return broken(Promise::CountedOnce, format!("{id:?} is not connected now"));
                }
                // Who sprays ports sends one packet from each.
                if allocation.sides.iter().any(|side| side.run < 2) {
                    let what = format!("{id:?}: one who sprays ports is taken for a player");
                    return broken(Promise::GetsThrough, what);
                }
                for side in &mut allocation.sides {
                    side.steady = side.heard;
                }
                Ok(())
            }
            Report::Ended(id, end) => {
                if end == End::GaveWay && self.closed.remove(&id) {
                    return Ok(());
                }
                let Some(allocation) = self.forget(id) else {
                    return broken(Promise::Ends, format!("{id:?} ended twice"));
                };
                let age = now - allocation.began;
                let mut sides = allocation.sides.iter();
                let is_right = match end {
                    End::Unanswered => {
                        age >= limits::UNANSWERED && sides.any(|side| side.heard.is_none())
                    }
                    // What comes from another port than before does not always count.
                    End::Idle => sides.any(|side| {
                        let silent = now - side.heard.unwrap_or(allocation.began);
                        silent >= limits::IDLE || side.ports.len() > 1 && age >= limits::IDLE
                    }),
                    End::GaveWay => false,
                    End::UsedUp => age >= limits::AGE || allocation.bytes >= limits::SESSION_BYTES,
                };
                if !is_right {
                    return broken(Promise::Ends, format!("{id:?} after {age:?}: {end:?}"));
                }
                Ok(())
            }
        }
    }

    fn forget(&mut self, id: SessionId) -> Option<Allocation> {
        let allocation = self.live.remove(&id)?;
        for side in &allocation.sides {
            self.by_sender.remove(&(side.pool_port, side.addr));
        }
        Some(allocation)
    }

    /// The thread is told that a session is over, if it is not yet.
    pub(in super::super) fn close(&mut self, id: SessionId) {
        if self.forget(id).is_some() {
            self.closed.insert(id);
        }
    }

    /// No session is there that should be over.
    pub(in super::super) fn check(&self, now: Instant) -> Kept {
        for (id, allocation) in &self.live {
            let age = now - allocation.began;
            let silent = |side: &Leg| now - side.heard.unwrap_or(allocation.began);
            let longest = allocation.sides.iter().map(silent).max().unwrap_or_default();
            let is_unanswered = allocation.sides.iter().any(|side| side.heard.is_none());
            // What it passes on in the time between two looks is bounded.
            let more = 2 * 7 * u64::from(self.bounds.session_bytes);
            if (is_unanswered && age > limits::UNANSWERED + CHECK)
                || longest > limits::IDLE + CHECK
                || age > limits::AGE + CHECK
                || allocation.bytes > limits::SESSION_BYTES.saturating_add(more)
            {
                let bytes = allocation.bytes;
                let what = format!("{id:?} is {age:?} old, {longest:?} silent, {bytes} bytes");
                return broken(Promise::Ends, what);
            }
        }
        Ok(())
    }

    /// Nothing is left.
    pub(in super::super) fn check_end(&self) -> Kept {
        if !self.live.is_empty() || !self.closed.is_empty() || self.sent != self.told {
            let (left, sent, told) = (self.live.len(), self.sent, self.told);
            return broken(Promise::Ends, format!("{left} are left; {sent} bytes, {told} told"));
        }
        Ok(())
    }
}
