//! The same as [`plan`] with the relays of all nodes of a cluster: that of the client's node, that of the host's, and
//! any other that has room. Another node has to be asked, and a dialect hears of the answer
//! ([`on_relay`](crate::dialect::Dialect::on_relay)).

use std::net::SocketAddr;

use super::is_same_family;
use super::journal::Attempt;
use super::plan::{self, Wish};
use super::relay::remote::{Homes, Relayed};
use super::relay::{Refused, Shape};
use crate::dialect::Context;
use crate::refusals::Reason;

/// Whether a client and its host are to be told of a relay as soon as both are proven.
#[must_use]
pub fn is_relayed_at_once(cx: &Context<'_>, wish: Wish, pair: [SocketAddr; 2]) -> bool {
    let [client, host] = pair.map(|at| at.ip());
    let is_hopeless = || plan::is_hopeless(pair.map(|at| cx.shared.nats.kind(cx.now.instant, at)));
    cx.shared.relay.serves_anywhere(cx.now, [client, host])
        && match wish {
            Wish::IfNeeded => !is_same_family(client, host) || is_hopeless(),
            Wish::Always => true,
            Wish::Never => false,
        }
}

/// Whether a relay is the only way between a client and its host, and there is none for them.
#[must_use]
pub fn are_apart(cx: &Context<'_>, wish: Wish, pair: [SocketAddr; 2]) -> bool {
    let [client, host] = pair.map(|at| at.ip());
    let may_be_relayed =
        wish != Wish::Never && cx.shared.relay.serves_anywhere(cx.now, [client, host]);
    !is_same_family(client, host) && !may_be_relayed
}

/// Gives a client and its host, both of whose addresses are proven and who are at these nodes, a session, if they have
/// none.
pub fn relay(cx: &mut Context<'_>, wish: Wish, attempt: &Attempt, homes: Homes) -> Relayed {
    let pair = [attempt.client, attempt.host];
    if wish == Wish::Never || cx.shared.relay.between(attempt.dialect, pair).is_some() {
        return Relayed::No(None);
    }
    open(cx, Shape::Any, attempt.clone(), homes)
}

/// Gives them a session, if there is room for one of this shape.
pub fn open(cx: &mut Context<'_>, shape: Shape, attempt: Attempt, homes: Homes) -> Relayed {
    let (dialect, client) = (attempt.dialect, attempt.client.ip());
    let relayed = cx.shared.relay.open_anywhere(cx.now, shape, attempt, homes);
    if matches!(relayed, Relayed::No(Some(why)) if why != Refused::NoRelay) {
        cx.refused(dialect, Reason::Relay, client);
    }
    relayed
}
