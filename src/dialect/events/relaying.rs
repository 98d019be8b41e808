//! The relay for a host and a player who do not reach each other: they are introduced once more, with the
//! relay's endpoints. Only those whose connections come from where their game sockets are.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use log::info;

use super::introducing::Introduce;
use super::rooms::Member;
use super::{Context, Events};
use crate::dialect::{ConnId, Name};
use crate::introductions::journal::{Attempt, Connected, EndpointsTold, Names};
use crate::introductions::relay::remote::{Homes, Relayed};
use crate::introductions::relay::sessions::Places;
use crate::introductions::{cluster_plan, is_same_family, plan};

impl Events {
    /// Introduces a host and a player at the relay, if they have a session or nothing else helps. False:
    /// they are told nothing.
    pub(super) fn relay_at_once(
        &mut self,
        cx: &mut Context<'_>,
        host: ConnId,
        player: Member,
    ) -> bool {
        let Some(attempt) = self.attempt(host, player.conn) else { return false };
        let pair = [attempt.client, attempt.host];
        let places = match cx.shared.relay.between(Name::Events, pair) {
            None if cluster_plan::is_relayed_at_once(cx, player.wish, pair) => {
                match self.open_session(cx, host, player, &attempt) {
                    Relayed::At(places) => Some(places),
                    // Meanwhile they may try it directly.
                    Relayed::Asked => {
                        self.relays.add(&attempt, (host, player.conn, false));
                        None
                    }
                    Relayed::No(_) => None,
                }
            }
            before => before,
        };
        places.is_some_and(|places| {
            self.tell_of_relay(cx, [host, player.conn], player.nonce, places);
            true
        })
    }

    /// Introduces them there, as one of them has said that it does not reach the other. False: they are
    /// told nothing.
    pub(super) fn relay_late(
        &mut self,
        cx: &mut Context<'_>,
        host: ConnId,
        player: Member,
    ) -> bool {
        let Some(attempt) = self.attempt(host, player.conn) else { return false };
        match self.open_session(cx, host, player, &attempt) {
            Relayed::At(places) => {
                self.tell_of_relay(cx, [host, player.conn], player.nonce, places);
                true
            }
            Relayed::Asked => {
                self.relays.add(&attempt, (host, player.conn, true));
                true
            }
            Relayed::No(_) => false,
        }
    }

    /// The relay of another node was asked for two who are to meet.
    pub(super) fn handle_relay(&mut self, cx: &mut Context<'_>, attempt: &Attempt, is_given: bool) {
        let Some((host, player, has_failed)) = self.relays.take(attempt) else { return };
        let met = self.met(host, player).filter(|(first, _)| *first == host);
        let Some((_, player)) = met else { return };
        let is_at = |id, at| self.peer(id).is_some_and(|peer| peer.endpoint == Some(at));
        if !is_at(host, attempt.host) || !is_at(player.conn, attempt.client) {
            return;
        }
        let pair = [attempt.client, attempt.host];
        if let Some(places) = cx.shared.relay.between(Name::Events, pair).filter(|_| is_given) {
            self.note_relayed(cx, attempt);
            return self.tell_of_relay(cx, [host, player.conn], player.nonce, places);
        }
        if !is_same_family(attempt.client.ip(), attempt.host.ip()) {
            self.tell_families(cx, [(host, attempt.host), (player.conn, attempt.client)]);
        } else if has_failed {
            let said = (player.result, false);
            let result = plan::note_result(cx, attempt.clone(), said, Duration::ZERO);
            self.set_result(host, player.conn, result);
        }
    }

    /// Gives a host and a player a session, if both are proven and have none.
    fn open_session(
        &mut self,
        cx: &mut Context<'_>,
        host: ConnId,
        player: Member,
        attempt: &Attempt,
    ) -> Relayed {
        if !self.is_at(host, attempt.host) || !self.is_at(player.conn, attempt.client) {
            return Relayed::No(None);
        }
        let nodes = [player.conn, host].map(|id| self.guest(id).and_then(|guest| guest.node));
        let homes = Homes { nodes, public_ips: self.config.public_ips, ..Homes::default() };
        let relayed = cluster_plan::relay(cx, player.wish, attempt, homes);
        if matches!(relayed, Relayed::At(_)) {
            self.note_relayed(cx, attempt);
        }
        relayed
    }

    /// Two have a session.
    fn note_relayed(&mut self, cx: &Context<'_>, attempt: &Attempt) {
        if self.lines.says(cx.now, attempt.client.ip()) {
            let Attempt { client, host, names, .. } = attempt;
            info!(
                dialect = "events", event = "relayed", client:% = client, host:% = host,
                game = names.game(), room = names.room();
                "{client} and host {host}{names} were told of the relay"
            );
        }
    }

    /// Tells both where the other one is at the relay, which has no NAT and no network of its own.
    fn tell_of_relay(
        &mut self,
        cx: &mut Context<'_>,
        both: [ConnId; 2],
        nonce: u128,
        places: Places,
    ) {
        let nonce = &format!("{nonce:032x}");
        let [Some(host), Some(player)] =
            both.map(|id| self.peer(id).map(|peer| Arc::clone(&peer.id)))
        else {
            return;
        };
        let [to_host, to_player] = both;
        let told: [(ConnId, &str, SocketAddr); 2] =
            [(to_host, &player, places.for_host), (to_player, &host, places.for_client)];
        for (to, id, at) in told {
            let (ip, port) = (at.ip(), at.port());
            let introduce = Introduce { id, ip, port, local: &[], nonce, nat: None, predict: &[] };
            self.tell(to, "introduce", &introduce, cx.out);
        }
    }

    /// How the journal knows a host and a player, if the game sockets of both are known.
    pub(super) fn attempt(&self, host: ConnId, player: ConnId) -> Option<Attempt> {
        let ids = [player, host];
        let (host, player) = (self.peer(host)?, self.peer(player)?);
        let (at, player) = (host.endpoint?, player.endpoint?);
        let [player_id, host_id] = ids;
        let connected = [self.elsewhere(player_id, player), self.elsewhere(host_id, at)];
        let room = host.room.and_then(|room| self.room_name(&host.game, room));
        let names = Names::new(&host.game, room.unwrap_or(&host.id));
        let told = |who, whom| self.config.public_ips.told_at(who, whom);
        Some(Attempt {
            dialect: Name::Events,
            client: player,
            host: at,
            names,
            told: EndpointsTold::new([player, at], [told(at, player), told(player, at)]),
            connected: Connected::new(connected),
            is_proven: true,
        })
    }
}
