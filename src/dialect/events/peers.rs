//! Who is logged in, which endpoint its game socket has, and who is told of it.

use std::borrow::Cow;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use log::{debug, info};
use rand::RngExt as _;
use serde::{Deserialize, Serialize};

use super::data::{Data, Id, Label, Member as _, Objects, Whole, bad};
use super::event::{Event, Fault, Nothing};
use super::nodes::RemoteMembership;
use super::resuming::{LoggedIn, id_taken};
use super::rooms::{DISCONNECTED, Member, other_family};
use super::{Context, Events, Outbox};
use crate::clock::Instant;
use crate::dialect::{ConnId, Name, Via, hex};
use crate::introductions::candidates::{Candidates, may_share_network};
use crate::introductions::cluster_plan;
use crate::introductions::is_same_family;
use crate::introductions::plan::{self, Wish};
use crate::limits;
use crate::nats::Kind;
use crate::refusals::Reason;
use crate::state;
use crate::truncation::Quoted;
use crate::unproven::is_local;

/// Somebody who is logged in.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Peer {
    pub(super) id: Arc<str>,
    pub(super) game: Arc<str>,
    /// The room it is in.
    pub(super) room: Option<u64>,
    #[serde(with = "state::wide")]
    pub(super) token: u128,
    /// What it shows on another connection to have its place there.
    #[serde(with = "state::wide")]
    pub(super) secret: u128,
    /// Whether its place is to be kept for a while if its connection breaks.
    pub(super) keeps: bool,
    /// When it was asked last whether it is there because somebody wants its ID, and whether it has said
    /// anything since.
    pub(super) wanted: Option<(Instant, bool)>,
    /// Its game socket, as the server sees it, once it does.
    pub(super) endpoint: Option<SocketAddr>,
    /// Since when that is known.
    learned: Instant,
    /// When it told its local endpoints last.
    #[serde(default)]
    localized: Instant,
    /// Whether somebody could not be told of it yet.
    pub(super) untold: bool,
    /// Its game socket in its own network.
    pub(super) local: Vec<Local>,
    /// When it has logged in, in seconds since 1970.
    #[serde(default)]
    pub(super) since: u64,
    /// The room of another node that it is in, or asks to come into.
    #[serde(skip)]
    pub(super) remote: Option<Box<RemoteMembership>>,
    /// Of a peer of another node: the room that it is in, wherever, as it has said itself.
    #[serde(skip)]
    pub(super) elsewhere: Option<u64>,
    /// The room of another node that it has left last, and has not been in since.
    #[serde(default)]
    pub(super) left: Option<u64>,
}

impl Peer {
    /// Somebody who has just logged in.
    pub(super) fn new(
        id: Arc<str>,
        game: Arc<str>,
        (token, secret): (u128, u128),
        since: u64,
    ) -> Self {
        Self {
            id,
            game,
            room: None,
            token,
            secret,
            keeps: false,
            wanted: None,
            endpoint: None,
            learned: Instant::default(),
            localized: Instant::default(),
            untold: false,
            local: Vec::new(),
            since,
            remote: None,
            elsewhere: None,
            left: None,
        }
    }

    /// The room that it is in, of whichever node.
    pub(super) fn any_room(&self) -> Option<u64> {
        self.room.or_else(|| self.remote.as_ref().and_then(|remote| remote.room)).or(self.elsewhere)
    }
}

/// An endpoint as it is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Local {
    ip: IpAddr,
    port: u16,
}

impl Local {
    fn read(data: &Data<'_>) -> Result<Self, Fault> {
        let Whole::<1, { u16::MAX as u64 }>(port) = data.needed("port")?;
        Ok(Self { ip: data.needed("ip")?, port: port as u16 })
    }

    /// Those that others may be told of: they would knock there, whoever it is.
    pub(super) fn of_use(all: Vec<Self>) -> Vec<Self> {
        let mut local = Vec::new();
        for one in all {
            let is_of_use = is_local(one.ip.to_canonical()) && !local.contains(&one);
            if is_of_use && local.len() < limits::LOCAL_ENDPOINTS {
                local.push(one);
            }
        }
        local
    }
}

/// The pass that tells one peer about another.
#[derive(Serialize)]
pub(super) struct Introduce<'a> {
    pub(super) id: &'a str,
    pub(super) ip: IpAddr,
    pub(super) port: u16,
    pub(super) local: &'a [Local],
    pub(super) nonce: &'a str,
    /// What its NAT does, if that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) nat: Option<&'static str>,
    /// The ports that it is going to have, if its NAT counts.
    #[serde(skip_serializing_if = "<[u16]>::is_empty")]
    pub(super) predict: &'a [u16],
}

impl Events {
    /// Who is logged in on a connection.
    pub(super) fn peer(&self, id: ConnId) -> Option<&Peer> {
        self.conns.get(id)?.peer.as_deref()
    }

    pub(super) fn peer_mut(&mut self, id: ConnId) -> Option<&mut Peer> {
        self.conns.get_mut(id)?.peer.as_deref_mut()
    }

    /// By what a peer shows its game socket.
    #[cfg(test)]
    pub(super) fn token_of(&self, id: ConnId) -> u128 {
        self.peer(id).map_or(0, |peer| peer.token)
    }

    /// By what a peer has its place on another connection.
    #[cfg(test)]
    pub(super) fn secret_of(&self, id: ConnId) -> String {
        self.peer(id).map_or(String::new(), |peer| format!("{:032x}", peer.secret))
    }

    pub(super) fn login(
        &mut self,
        cx: &mut Context<'_>,
        id: ConnId,
        event: &Event<'_>,
    ) -> Result<(), Fault> {
        let data = Data::of(event)?;
        let Id(name) = data.needed("id")?;
        let game = data.optional("game")?.map_or_else(Arc::default, |Label(game)| game);
        let key: Option<Cow<'_, str>> = data.optional("key")?;
        let secret: Option<Cow<'_, str>> = data.optional("secret")?;
        let keeps: Option<bool> = data.optional("keep")?;
        if self.peer(id).is_some() {
            return Err(Fault::new("already_logged_in", "you have an ID already"));
        }
        let admission = &self.config.admission;
        if !admission.admits(key.as_deref(), &game) {
            let (asks_for_key, list) = (admission.asks_for_key(), admission.list());
            if let Some(addr) = self.conns.get(id).map(|conn| conn.addr.ip()) {
                let game = Quoted(&game);
                let reason = if asks_for_key { Reason::Key } else { Reason::Game };
                let whom = (Name::Events, addr);
                let mut note = |why| self.refused.note(cx.now.instant, whom, reason, why);
                match asks_for_key {
                    true => note(format_args!("its key is not one of {list}")),
                    false => note(format_args!(
                        "its game {game} is not one of {list}, where capitals count"
                    )),
                }
            }
            let why = match asks_for_key {
                true => "this server wants another key",
                false => "this server is for other games",
            };
            let reason = if asks_for_key { Reason::Key } else { Reason::Game };
            return Err(Fault::new("bad_key", why).because(reason));
        }
        let holder = self.names.get(&game, &name);
        let guest = holder.filter(|holder| self.guest(*holder).is_some());
        let mut before = None;
        if let Some(guest) = guest {
            before = self.peer(guest).map(|peer| (peer.secret, peer.since));
            if !self.claim_guest(guest, secret.as_deref(), cx.out) {
                return Err(id_taken());
            }
        } else if let Some(holder) = holder
            && self.claim(cx, id, event, (holder, secret.as_deref(), keeps))?
        {
            return Ok(());
        }
        let (token, secret) = (self.random.random(), self.random.random());
        // Who is back from another node is older than it was, so that its old login ends everywhere.
        let (secret, since) = before
            .map_or((secret, cx.now.unix), |(secret, since)| (secret, since.saturating_sub(1)));
        let Some(conn) = self.conns.get_mut(id) else { return Ok(()) };
        let addr = conn.addr;
        let mut peer = Peer::new(Arc::clone(&name), Arc::clone(&game), (token, secret), since);
        peer.keeps = keeps == Some(true);
        conn.peer = Some(Box::new(peer));
        self.strangers.cancel(&id);
        self.silent.arm(cx.now.instant, id);
        self.tokens.insert(token, id);
        if self.lines.says(cx.now, addr.ip()) {
            info!(
                dialect = "events", event = "registered", address:% = addr, game = &*game;
                "{addr} logged in as {name:?}, game {game:?}"
            );
        }
        self.take_name(&game, &name, id, cx.out);
        self.tell_login(cx, id);
        let login = LoggedIn::new(&name, secret, token).keeping(keeps);
        self.answer(id, event, &login, cx.out);
        Ok(())
    }

    /// Those who are logged in at this node, in the order of their connections.
    pub(super) fn own_peers(&self) -> Vec<ConnId> {
        let mut all = self.names.all();
        all.retain(|id| !self.conns.is_remote(*id));
        all
    }

    /// Ends what depends on a connection that ends, for this reason if the log has not said it before.
    pub(super) fn log_out(&mut self, id: ConnId, why: Option<&str>, out: &mut Outbox) {
        if self.peer(id).is_none() {
            return;
        }
        self.leave(id, DISCONNECTED, out);
        self.tell_gone(id, out);
        let is_own = !self.conns.is_remote(id);
        let Some(conn) = self.conns.get_mut(id) else { return };
        let addr = conn.addr;
        let Some(peer) = conn.peer.take() else { return };
        if is_own && self.lines.says_now(addr.ip()) {
            info!(
                dialect = "events", event = "gone", address:% = addr, game = &*peer.game;
                "{:?} ({addr}) is gone{}", peer.id,
                why.map_or_else(String::new, |why| format!(": {why}"))
            );
        }
        self.silent.cancel(&id);
        self.asked.cancel(&id);
        self.unheard.cancel(&id);
        self.tokens.remove(&peer.token);
        if is_own || self.names.get(&peer.game, &peer.id) == Some(id) {
            self.names.remove(&peer.game, &peer.id);
            self.pass_name_on(&peer.game, &peer.id);
        }
        self.rooms.watching.remove(&peer.game, id);
        self.successors.retain(|successor| *successor != id);
        self.gone.push_back(id);
        // Many peers of another node are gone at once, and those who wait for them are told in turns.
        if is_own {
            self.fail_waits_for_gone(out);
        }
    }

    pub(super) fn local_endpoints(
        &mut self,
        cx: &mut Context<'_>,
        id: ConnId,
        event: &Event<'_>,
    ) -> Result<(), Fault> {
        let Objects(told) = Data::of(event)?.needed("local")?;
        let read = |data: &Option<Data<'_>>| {
            Local::read(
                data.as_ref().ok_or_else(|| bad(format!("local has to be {}", Objects::what())))?,
            )
        };
        let (mut local, mut wrong) = (Vec::new(), None);
        for one in told.iter().map(read) {
            match one {
                Ok(one) => local.push(one),
                Err(fault) => wrong = wrong.or(Some(fault)),
            }
        }
        // What is wrong with one is nothing against the others.
        if let Some(fault) = wrong.filter(|_| local.is_empty()) {
            return Err(fault);
        }
        let local = Local::of_use(local);
        let Some(peer) = self.peer_mut(id) else { return Ok(()) };
        let changed = peer.local != local;
        if changed {
            if cx.now.instant - peer.localized < limits::ENDPOINT_GAP {
                return Err(Fault::new("too_many", "they change too often, tell them again later"));
            }
            (peer.local, peer.localized) = (local, cx.now.instant);
        }
        self.answer(id, event, &Nothing {}, cx.out);
        if changed {
            self.introduce_again(cx, id, true);
            self.tell_socket(cx, id, true);
        }
        Ok(())
    }

    /// A datagram with the token of a peer shows where its game socket is.
    pub(super) fn learn_endpoint(
        &mut self,
        cx: &mut Context<'_>,
        via: Via,
        from: SocketAddr,
        data: &[u8],
    ) {
        let Some(id) = token(data).and_then(|token| self.tokens.get(&token).copied()) else {
            return debug!("{from} sent a datagram with no valid token");
        };
        let Some(peer) = self.peer_mut(id) else { return };
        let changed = peer.endpoint != Some(from);
        if changed {
            let is_early = cx.now.instant - peer.learned < limits::ENDPOINT_GAP;
            // All whom it is to meet are told, so who has asked for much has to wait. It is sent again until it is
            // answered.
            if peer.endpoint.is_some() && (is_early || !self.may_ask(cx.now.instant, id)) {
                return;
            }
            let Some(peer) = self.peer_mut(id) else { return };
            if let Some(before) = peer.endpoint.replace(from) {
                cx.shared.relay.moved(Name::Events, before, from);
            }
            peer.learned = cx.now.instant;
        }
        let is_untold = self.peer_mut(id).is_some_and(|peer| std::mem::take(&mut peer.untold));
        let answer = format!("udp:{}:{}", from.ip(), from.port());
        cx.shared.credits.received(cx.now.instant, from.ip(), data.len());
        if cx.shared.credits.spend(cx.now.instant, from.ip(), answer.len()) {
            cx.out.udp(via, from, |bytes| bytes.extend_from_slice(answer.as_bytes()));
        } else {
            cx.refused(Name::Events, Reason::Unproven, from.ip());
        }
        if changed {
            self.forget_results(id);
            self.note_host_moved(id);
        }
        if changed || is_untold {
            self.introduce_soon(cx, id, changed);
        }
        self.tell_socket(cx, id, changed);
    }

    /// Whether the address of a peer has not asked for more than it may.
    fn may_ask(&mut self, now: Instant, id: ConnId) -> bool {
        let addr = self.conns.get(id).map(|conn| conn.addr.ip());
        addr.is_some_and(|addr| self.commands.allow(now, addr))
    }

    /// Tells two peers of each other, if both endpoints are known and may be told. False: not yet.
    pub(super) fn introduce(&mut self, cx: &mut Context<'_>, host: ConnId, member: Member) -> bool {
        let Member { conn: player, nonce, wish, .. } = member;
        let (Some(a), Some(b)) = (self.peer(host), self.peer(player)) else { return false };
        let (Some(at), Some(bt)) = (a.endpoint, b.endpoint) else { return false };
        if cluster_plan::are_apart(cx, wish, [bt, at]) {
            self.tell_families(cx, [(host, at), (player, bt)]);
            return true;
        }
        if self.relay_at_once(cx, host, member) {
            return true;
        }
        if !self.may_introduce(cx, (host, at), (player, bt)) {
            return false;
        }
        let (Some(a), Some(b)) = (self.peer(host), self.peer(player)) else { return false };
        let nonce = &format!("{nonce:032x}");
        let is_one_network = may_share_network(at, bt);
        let of = |id, peer: &Peer, own: SocketAddr| {
            // Who is not known to be there himself names nobody in that network.
            let share = is_one_network && self.is_at(id, own);
            let local = if share { peer.local.clone() } else { Vec::new() };
            (Arc::clone(&peer.id), own, local)
        };
        let (a, b) = (of(host, a, at), of(player, b, bt));
        for (to, (_, towards, _), (id, endpoint, local)) in [(host, &a, &b), (player, &b, &a)] {
            let is_there = self.is_at(if to == host { player } else { host }, *endpoint);
            let both = [*endpoint, *towards];
            let candidates = Candidates::of(cx, self.config.public_ips, both, is_there);
            let (ip, port) = (candidates.endpoint.ip(), candidates.endpoint.port());
            let (nat, predict) = (written(candidates.kind), &candidates.next[..]);
            let introduce = Introduce { id, ip, port, local, nonce, nat, predict };
            self.tell(to, "introduce", &introduce, cx.out);
        }
        let told = |who, whom| self.config.public_ips.told_at(who, whom);
        cx.introduced([at, bt], [told(bt, at), told(at, bt)]);
        if self.lines.says(cx.now, at.ip()) {
            let game = self.peer(host).map(|host| Arc::clone(&host.game)).unwrap_or_default();
            let from = |id, endpoint| {
                let from = self.elsewhere(id, endpoint);
                from.map_or_else(String::new, |from| format!(", connected from {from}"))
            };
            info!(
                dialect = "events", event = "introduced", client:% = b.1, host:% = a.1, game = &*game;
                "introduced {:?} ({}{}) and {:?} ({}{})",
                a.0, a.1, from(host, a.1), b.0, b.1, from(player, b.1)
            );
        }
        true
    }

    /// From where a peer is connected, if that is not where its game socket is: it may have put somebody else there.
    pub(super) fn elsewhere(&self, id: ConnId, endpoint: SocketAddr) -> Option<IpAddr> {
        let conn = self.conns.get(id).filter(|_| !self.is_at(id, endpoint))?;
        Some(conn.addr.ip())
    }

    /// Whether a peer's connection comes from the address of this endpoint: then it hears there. Anybody
    /// can send its token from elsewhere.
    pub(super) fn is_at(&self, id: ConnId, endpoint: SocketAddr) -> bool {
        self.conns.get(id).is_some_and(|conn| {
            let (one, other) = (conn.addr.ip(), endpoint.ip());
            // All loopback addresses are those of one machine.
            one == other || one.is_loopback() && other.is_loopback()
        })
    }

    /// Whether host and player may be told of each other. If not, it is tried again when they show
    /// their endpoints the next time.
    fn may_introduce(
        &mut self,
        cx: &mut Context<'_>,
        (host, at): (ConnId, SocketAddr),
        (player, bt): (ConnId, SocketAddr),
    ) -> bool {
        let may = is_same_family(at.ip(), bt.ip())
            && (self.is_at(player, bt) || cx.shared.unproven.may_tell(cx.now.instant, bt, at))
            && (self.is_at(host, at) || cx.shared.unproven.may_tell_asker(cx.now.instant, at, bt));
        if !may {
            for id in [host, player] {
                if let Some(peer) = self.peer_mut(id) {
                    peer.untold = true;
                }
            }
        }
        may
    }

    /// Tells two peers that they cannot be introduced, as they have addresses of different families.
    pub(super) fn tell_families(&mut self, cx: &mut Context<'_>, both: [(ConnId, SocketAddr); 2]) {
        let [(host, _), (player, at)] = both;
        // It is the later one who wanted to meet the other.
        cx.refused(Name::Events, Reason::Family, at.ip());
        for (id, _) in both {
            self.complain(id, &other_family(), cx.out);
        }
        self.note_families(cx, (host, player));
    }

    /// Whether both peers have shown their game sockets, and these cannot reach each other.
    pub(super) fn are_apart(
        &self,
        cx: &Context<'_>,
        wish: Wish,
        (player, host): (ConnId, ConnId),
    ) -> bool {
        let at = |id| self.peer(id)?.endpoint;
        matches!((at(player), at(host)), (Some(a), Some(b)) if cluster_plan::are_apart(cx, wish, [a, b]))
    }

    /// A peer has told how a punch ended.
    pub(super) fn punch_result(
        &mut self,
        cx: &mut Context<'_>,
        id: ConnId,
        event: &Event<'_>,
    ) -> Result<(), Fault> {
        let data = Data::of(event)?;
        let (other, ok): (Cow<'_, str>, bool) = (data.needed("id")?, data.needed("ok")?);
        self.note_punch(cx, id, &other, ok);
        Ok(())
    }

    /// Notes how a punch ended: once for two that met, even if both tell of it.
    fn note_punch(&mut self, cx: &mut Context<'_>, id: ConnId, other: &str, worked: bool) {
        let game = self.peer(id).map(|peer| Arc::clone(&peer.game)).unwrap_or_default();
        let Some(other) = self.names.get(&game, other) else { return };
        let Some((host, player)) = self.met(id, other) else { return };
        if !worked && self.relay_late(cx, host, player) {
            // They have another try.
            return self.set_result(host, player.conn, None);
        }
        if let Some(attempt) = self.attempt(host, player.conn) {
            let said = (player.result, worked);
            let result = plan::note_result(cx, attempt, said, Duration::ZERO);
            self.set_result(host, player.conn, result);
        }
    }
}

/// The kind of a NAT as it is written, if it is known.
fn written(kind: Kind) -> Option<&'static str> {
    match kind {
        Kind::Unknown => None,
        Kind::Open => Some("none"),
        Kind::Independent => Some("endpoint-independent"),
        Kind::Symmetric | Kind::Sequential => Some("symmetric"),
    }
}

/// The token in a datagram.
fn token(data: &[u8]) -> Option<u128> {
    let text = std::str::from_utf8(data).ok()?.strip_prefix("udp:")?;
    hex::read_128(text.trim_end_matches(['\r', '\n', '\0']).as_bytes())
}
