//! Registration: a host says what it is on TCP and shows its port by UDP, in any order, and comes
//! back by new connections while its old ones may still seem to live.

use std::net::{IpAddr, SocketAddr};

use log::{info, warn};
use smallvec::SmallVec;

use super::Gmnet;
use super::command::{Command, Go};
use super::data::Data;
use super::host::Host;
use super::hosts::Shown;
use super::names::{Left, Named, log_refused_version, log_registered};
use super::slot::HostKey;
use super::{datagram, version};
use crate::clock::{Instant, Now};
use crate::dialect::{ConnId, Context, Name, Via};
use crate::limits;
use crate::refusals::Reason;
use crate::truncation::Quoted;

/// Datagrams that keep mappings alive, sent before others have their turn.
const KEEPALIVES_AT_ONCE: usize = 64;

impl Gmnet {
    /// A host says what it is.
    pub(super) fn reg2(&mut self, cx: &mut Context<'_>, id: ConnId, command: &Command) -> Go {
        let version = command.param(0);
        if let Err(refused) = version::check(version) {
            if let Some(addr) = self.conns.get(id).map(|conn| conn.addr) {
                cx.refused(Name::Gmnet, Reason::Version, addr);
                if self.lines.says(cx.now, addr) {
                    log_refused_version(addr, version, refused);
                }
            }
            self.close(cx, id, Left::Refused);
            return Go::Stop;
        }
        let (text, ends) = command.joined(1);
        self.register(cx, id, Some(Data::joined(text, ends)))
    }

    /// Makes a connection the control connection of a host, or gives the host new data.
    pub(super) fn register(
        &mut self,
        cx: &mut Context<'_>,
        id: ConnId,
        mut data: Option<Data>,
    ) -> Go {
        let Some(conn) = self.conns.get(id) else { return Go::Stop };
        if conn.finished {
            // Who hangs up while registering is no host.
            return Go::On;
        }
        let (addr, known, opened) = (conn.addr, conn.host, conn.times.opened);
        let game = data.as_ref().map_or("", |data| data.get(0));
        if (known.is_none() || data.is_some()) && !self.config.admission.admits_game(game) {
            let (game, lists) = (Quoted(game), self.config.admission.lists_of_games());
            let why = format_args!("its game {game} is not one of {lists} (case-sensitive)");
            let is_game = self.config.admission.names_games();
            let reason = if is_game { Reason::Game } else { Reason::Key };
            self.refused.note(cx.now.instant, (Name::Gmnet, addr), reason, why);
            cx.refused(Name::Gmnet, reason, addr);
            self.close(cx, id, Left::Refused);
            return Go::Stop;
        }
        let limits = &self.config.limits;
        let host = known.and_then(|key| self.hosts.get(key));
        let (own, sure) = (host.and_then(Host::own_port), host.and_then(Host::sure_port));
        let reg = match known {
            Some(_) => self.ports.claim_newer_reg(cx.now.instant, addr, own, game),
            None => {
                let hosts = &self.hosts;
                let is_same_game = |port: Option<u16>| {
                    let is_there = |host: &Host| port.is_none() || host.port == port;
                    hosts.at(addr).any(|(_, host)| host.game() == game && is_there(host))
                };
                self.ports.claim_reg(cx.now.instant, addr, opened, game, is_same_game)
            }
        };
        let room = match known {
            Some(_) => Ok(None),
            None => self.hosts.make_room(cx.now.instant, limits, addr, game, reg),
        };
        let replaced = match room {
            Ok(key) => key.and_then(|key| self.hosts.get(key)).map(|host| host.conn),
            Err(full) => {
                cx.refused(Name::Gmnet, Reason::HostsOfAddress, addr);
                if self.lines.says(cx.now, addr) {
                    warn!(
                        dialect = "gmnet", event = "refused", host:% = addr, game = game,
                        reason = Reason::HostsOfAddress.name(); "host {addr} refused: {full}"
                    );
                }
                self.close(cx, id, Left::Refused);
                return Go::Stop;
            }
        };
        let is_contested = reg.is_some_and(|reg| reg.is_contested);
        let of_host = reg.filter(|reg| known.is_none() && reg.is_of_host).map(|reg| reg.port);
        let sure = sure.or(of_host);
        let most = self.hosts.room_for_strings(limits, addr, known);
        let emptied = data.as_mut().map(|data| data.fit(most)).unwrap_or_default();
        if !emptied.is_empty() {
            cx.refused(Name::Gmnet, Reason::Data, addr);
        }
        // GMnet's scripts send the same again a few seconds after they have registered.
        let before = known.and_then(|key| self.hosts.get(key));
        let is_news = before.is_none_or(|host| data.is_some() && host.data != data);
        let key = match known {
            Some(key) => {
                self.hosts.renew(cx.now, key, data, reg);
                key
            }
            None => {
                let key = self.hosts.add(cx.now, id, addr, data, reg);
                self.keepalives.add(cx.now.instant, key);
                key
            }
        };
        if let Some(conn) = self.conns.get_mut(id) {
            conn.host = Some(key);
        }
        if self.hosts.get(key).is_some_and(|host| host.port.is_none()) {
            self.unpaired_regs.lacks(cx.now.instant, id, addr);
        }
        if is_news
            && self.lines.says(cx.now, addr)
            && let Some(host) = self.hosts.get(key)
        {
            log_registered(host, known.is_some(), &emptied);
        }
        if let Some(replaced) = replaced {
            self.close(cx, replaced, Left::Replaced);
        }
        self.take_notices_up(cx, key);
        let is_crossed = known.is_none() && self.note_crossed(cx, key, opened);
        self.ask_if_in_doubt(cx, key, sure, is_contested || is_crossed);
        self.retry_for_host(cx, addr);
        Go::On
    }

    /// Hosts of one address whose connections came at the same moment as this one's may have each
    /// other's ports: all of them are asked. Whether there are any.
    fn note_crossed(&mut self, cx: &Context<'_>, key: HostKey, opened: Instant) -> bool {
        let Some((addr, port)) = self.hosts.get(key).map(|host| (host.addr, host.port)) else {
            return false;
        };
        let is_near = |host: &Host| {
            let other = self.conns.get(host.conn).map(|conn| conn.times.opened);
            other.is_some_and(|other| (opened - other).max(other - opened) <= limits::DRIFT)
        };
        let has_another = |host: &Host| host.port.is_some() && host.port != port;
        let near = self
            .hosts
            .at(addr)
            .filter(|(other, host)| *other != key && has_another(host) && is_near(host));
        let near: SmallVec<[(HostKey, ConnId); 2]> =
            near.map(|(key, host)| (key, host.conn)).collect();
        for (other, conn) in &near {
            self.hosts.note_crossed(*other);
            self.port_probes.soon.arm_with(cx.now.instant, *conn, None);
        }
        if !near.is_empty() {
            self.hosts.note_crossed(key);
        }
        !near.is_empty()
    }

    /// Takes a host from the table.
    pub(super) fn end_registration(&mut self, now: Now, key: HostKey, left: Left) {
        let Some(host) = self.hosts.remove(now.instant, key) else { return };
        // What a neighbour still uses is not free for the next that registers.
        let is_free = self.hosts.find(host.addr, host.port).is_none();
        let port = host.port_left().filter(|_| is_free);
        self.ports.release_reg(now.instant, host.addr, host.game(), port);
        if self.lines.says(now, host.addr) {
            info!(
                dialect = "gmnet", event = "gone", host:% = host.at(), game = host.game();
                "host {} is gone: {left}", Named(&host)
            );
        }
    }

    /// A host shows its port.
    pub(super) fn learn_reg(&mut self, cx: &mut Context<'_>, via: Via, addr: IpAddr, port: u16) {
        let since = match self.hosts.show(cx.now.instant, addr, port) {
            Shown::Known => return self.ports.learn_reg_copy(cx.came(), via, addr, port),
            Shown::Again(since) => {
                self.ports.learn_reg_again(cx.came(), via, addr, port);
                Some(since)
            }
            Shown::New => {
                self.ports.learn_reg(cx.came(), via, addr, port);
                self.unpaired_regs.came(cx.now.instant, SocketAddr::new(addr, port));
                None
            }
        };
        let may_be_of = |game: &str| self.ports.may_be_of(addr, port, game);
        let assigned =
            self.hosts.assign_tentatively(cx.now.instant, via, addr, port, since, may_be_of);
        let Some(key) = assigned else { return };
        self.ports.mark_tentative(addr, port);
        if self.lines.says(cx.now, addr)
            && let Some(host) = self.hosts.get(key)
        {
            info!("host {} has its UDP port now", Named(host));
        }
        self.take_notices_up(cx, key);
        self.ask_if_in_doubt(cx, key, None, true);
        self.retry_for_host(cx, addr);
    }

    /// Sends the next hosts in line a datagram that GMnet scripts ignore, so that their NATs keep
    /// the mapping of the port that clients are told. A few at a time: others have their turn in
    /// between.
    pub(super) fn keep_alive(&mut self, cx: &mut Context<'_>) {
        for _ in 0..KEEPALIVES_AT_ONCE {
            let since = |key| self.hosts.get(key).map(|host| host.since);
            let Some(key) = self.keepalives.take(cx.now.instant, since) else { break };
            let Some(host) = self.hosts.get(key) else { continue };
            if let Some(port) = host.port {
                let to = SocketAddr::new(host.addr, port);
                cx.out.udp(host.via, to, |bytes| bytes.extend_from_slice(&datagram::KEEPALIVE));
            }
        }
    }
}
