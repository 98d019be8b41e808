//! Who is logged in, and how.

use std::borrow::Cow;
use std::net::SocketAddr;
use std::sync::Arc;

use log::info;
use rand::RngExt as _;
use serde::{Deserialize, Serialize};

use super::data::{Data, Id, Label};
use super::endpoints::Local;
use super::event::{Event, Fault};
use super::nodes::RemoteMembership;
use super::resuming::{LoggedIn, id_taken};
use super::rooms::DISCONNECTED;
use super::{Context, Events, Outbox};
use crate::clock::Instant;
use crate::dialect::{ConnId, Name};
use crate::refusals::Reason;
use crate::state;
use crate::truncation::Quoted;

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
    pub(super) learned: Instant,
    /// When it told its local endpoints last.
    #[serde(default)]
    pub(super) localized: Instant,
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
                    false => {
                        note(format_args!("its game {game} is not one of {list} (case-sensitive)"))
                    }
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
}
