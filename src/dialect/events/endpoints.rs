//! Where the game socket of a peer is: as the server sees it, and in the network of the peer.

use std::net::{IpAddr, SocketAddr};

use log::debug;
use serde::{Deserialize, Serialize};

use super::data::{Data, Member as _, Objects, Whole, bad};
use super::event::{Event, Fault, Nothing};
use super::{Context, Events};
use crate::clock::Instant;
use crate::dialect::{ConnId, Name, Via, hex};
use crate::limits;
use crate::refusals::Reason;
use crate::unproven::is_local;

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

impl Events {
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
}

/// The token in a datagram.
fn token(data: &[u8]) -> Option<u128> {
    let text = std::str::from_utf8(data).ok()?.strip_prefix("udp:")?;
    hex::read_128(text.trim_end_matches(['\r', '\n', '\0']).as_bytes())
}
