//! What the server says to hosts and clients.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use punchd::clock::Instant;
use punchd::dialect::ConnId;
use punchd::introductions::relay::Session;
use punchd::limits;

use super::super::super::wire::Message;
use super::super::client::endpoint;
use super::super::plan::is_relay;
use super::Kept;
use super::given::{AT_ONCE, DIRECT, Direct, Given, HOST_FIRST, Pair, RELAYED, told};

impl Given {
    /// A host is told something.
    pub(super) fn tells_host(
        &mut self,
        now: Instant,
        id: ConnId,
        said: Option<Message<'_>>,
    ) -> Kept {
        /// Its connection ends within a second, it is back within half of one, and is told of others first.
        const AGAIN: Duration = Duration::from_secs(5);
        let Some(Message::Introduction(addr, port)) = said else { return Ok(()) };
        let Some(at) = endpoint(addr, port).filter(|at| is_relay(at.ip())) else { return Ok(()) };
        // One that came back is told what it was owed before.
        let addr = self.addr_of(id);
        let mut owed = self.owed.iter();
        let of_it = owed.find(|(_, owed)| owed.at == at && Some(owed.addr) == addr);
        let of_it = of_it.map(|(session, _)| *session);
        let Some(host) = addr else { return told(format!("{id:?} is closed")) };
        self.unread.retain(|(.., told, _)| now - *told < AGAIN);
        let is_same = |(of, told, _, conn): &(IpAddr, SocketAddr, Instant, ConnId)| {
            (*of, *told) == (host, at) && *conn != id
        };
        let is_again = self.unread.iter().any(is_same);
        self.unread.push((host, at, now, id));
        let Some(session) = of_it else {
            if is_again {
                return Ok(());
            }
            return told(format!("the host {id:?} is told of {at}, where nobody is for it"));
        };
        self.owed.remove(&session);
        // There may be another one, of which it was not told as it came back.
        let same = self.owed.values_mut().filter(|owed| owed.at == at && Some(owed.addr) == addr);
        same.for_each(|owed| owed.is_known = true);
        Ok(())
    }

    /// A client is told something. Its session, if that was of the relay.
    pub(super) fn tells_client<'a>(
        &mut self,
        (now, month): (Instant, u64),
        id: ConnId,
        said: Option<Message<'_>>,
        new: impl Iterator<Item = &'a Session>,
    ) -> Kept<Option<Pair>> {
        let Some(conn) = self.conns.get_mut(&id) else { return told(format!("{id:?} is closed")) };
        let said = match said {
            Some(Message::Introduction(addr, port)) => endpoint(addr, port),
            Some(Message::NotFound) => None,
            _ => return told(format!("{id:?}: this is no answer")),
        };
        let at = said.filter(|at| is_relay(at.ip()));
        // A second notice answers nothing.
        if at.is_none() || conn.direct.is_none() {
            conn.asked = conn.asks.pop_front().or(conn.asked);
        }
        let (client, asked, direct) = (conn.addr, conn.asked, conn.direct.take());
        let is_its = |session: &&Session| {
            let [side, host] = session.sides;
            let is_meant = asked == Some(host.addr) || asked.is_some_and(is_relay);
            let relay = self.config.told.like(client).map(|ip| SocketAddr::new(ip, side.port));
            side.addr == client && is_meant && relay == at
        };
        if let Some(at) = at {
            let mut new = new;
            let Some(session) = new.find(is_its) else {
                return told(format!("{client} is told of {at}, but has no session there"));
            };
            let (session_id, host) = (session.id, session.sides[1]);
            let registered = self.owed.get(&session_id).map(|owed| owed.host);
            let registered = registered.or_else(|| self.host_at(host.addr));
            let relay = self.config.told.like(host.addr);
            let Some((registered, relay)) = registered.zip(relay) else {
                return told(format!("{} is no host", host.addr));
            };
            let at_host = SocketAddr::new(relay, host.port);
            self.counts[RELAYED] += 1;
            self.counts[AT_ONCE] += u64::from(direct.is_none());
            self.hopeless.fails(now, client, registered);
            self.ended.relayed(now, (id, host.addr), session_id);
            let pair = Pair { id: session_id, conns: [id, registered], at: [at, at_host] };
            return Ok(Some(pair));
        }
        self.ended.drop(id);
        // Who asks for a host at the relay is told where it is itself, if it is not relayed.
        let asked = said.filter(|_| asked.is_some_and(is_relay)).map(|at| at.ip()).or(asked);
        let host = asked.and_then(|asked| Some((asked, self.host_at(asked)?)));
        let Some((addr, host)) = host else { return Ok(None) };
        let has_room = self.taken.has_room(month, [client, addr]);
        if has_room && self.hopeless.is(now, client, (addr, host)) {
            return told(format!("{client} is told {said:?} of {addr}, not of the relay at once"));
        }
        if said.is_none() {
            return Ok(None);
        }
        self.hopeless.is_told(client);
        self.counts[DIRECT] += 1;
        self.ended.told(now, (id, addr), has_room);
        if let Some(conn) = self.conns.get_mut(&id) {
            conn.direct = Some(Direct { at: now, host: addr, has_room });
        }
        Ok(None)
    }

    /// The host is told first, unless it has just been told of others, or is to be.
    pub(super) fn check_order(&mut self, now: Instant, pair: &Pair, written: &[ConnId]) -> Kept {
        let [_, host] = pair.conns;
        if self.owed.get(&pair.id).is_none_or(|owed| owed.is_known) {
            self.counts[HOST_FIRST] += 1;
            return Ok(());
        }
        let quiet = self.conns.get(&host).map(|conn| now - conn.written);
        let must_wait =
            written.contains(&host) || quiet.is_some_and(|quiet| quiet <= 2 * limits::NOTIFY_GAP);
        if must_wait { Ok(()) } else { told(format!("{:?}: the client is told first", pair.id)) }
    }
}
