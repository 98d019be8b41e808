//! Who is in a room and cannot be introduced, as the datagram of one of the two never came: the owner is told,
//! and who waits for the other.

use std::sync::Arc;

use super::{Context, Events};
use crate::diagnostics::closed;
use crate::dialect::events::event::Fault;
use crate::dialect::events::pages::Form;
use crate::dialect::events::peers::Peer;
use crate::dialect::{ConnId, Name};
use crate::introductions::journal::Names;
use crate::introductions::unmet::{Asked, Cause, about};

/// Whose datagram never came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Lacks {
    Host,
    Player,
    Both,
}

impl Events {
    /// Somebody has been in a room for as long as it takes to show a game socket. Games that send no
    /// datagrams at all want nothing of that.
    pub(in crate::dialect::events) fn tell_unheard(&mut self, cx: &mut Context<'_>, id: ConnId) {
        let Ok((game, number)) = self.room_of(id) else { return };
        let Some(room) = self.rooms.get(&game, number) else { return };
        let pairs = room.members.iter().filter_map(|seat| room.pair(id, seat.conn));
        // Those who came later have their own time.
        let waits = pairs.filter(|(_, member)| member.conn == id && !member.introduced);
        let waits: Vec<ConnId> = waits.map(|(first, _)| first).collect();
        for first in waits {
            if let Some(lacks) = self.lacks(first, id) {
                self.note_unheard(cx, (first, id), lacks);
            }
        }
    }

    /// Whose datagram is missing, if one of the two has sent one, or has said where its game socket is. A page
    /// has none.
    fn lacks(&self, host: ConnId, player: ConnId) -> Option<Lacks> {
        let is_page = |id| self.conns.get(id).is_none_or(|conn| matches!(conn.form, Form::Web(_)));
        if is_page(host) || is_page(player) {
            return None;
        }
        let (host, player) = (self.peer(host)?, self.peer(player)?);
        let wants = |peer: &Peer| !peer.local.is_empty();
        match (host.endpoint, player.endpoint) {
            (None, Some(_)) => Some(Lacks::Host),
            (Some(_), None) => Some(Lacks::Player),
            (None, None) if wants(host) || wants(player) => Some(Lacks::Both),
            _ => None,
        }
    }

    fn note_unheard(
        &mut self,
        cx: &mut Context<'_>,
        (host, player): (ConnId, ConnId),
        lacks: Lacks,
    ) {
        let (Some(at), Some(client)) = (self.place_of(host), self.place_of(player)) else { return };
        let id_of = |id| self.peer(id).map(|peer| Arc::clone(&peer.id)).unwrap_or_default();
        let (host_id, own) = (id_of(host), id_of(player));
        let port = self.config.port;
        let is_closed = cx.shared.diagnostics.udp_lacks(1 + u32::from(lacks == Lacks::Both), port);
        let why = match lacks {
            _ if is_closed => closed(port),
            Lacks::Both => "is UDP blocked on their sides?".into(),
            Lacks::Host | Lacks::Player => "is UDP blocked on its side?".into(),
        };
        let game = self.game_of(player);
        let room = self.peer(host).and_then(|peer| self.room_name(&game, peer.room?));
        let (cause, whose) = match lacks {
            Lacks::Host => (Cause::HostUdp, format!("the UDP packet of {host_id:?}")),
            Lacks::Player => (Cause::ClientUdp, format!("the UDP packet of {own:?}")),
            Lacks::Both => (Cause::HostUdp, "the UDP packet of either".into()),
        };
        let asked = Asked {
            dialect: Name::Events,
            client,
            host: Some(at),
            names: Names::new(&game, room.unwrap_or_default()),
            told: None,
            is_proven: true,
            cause,
            about: about((&*own, &*host_id)),
        };
        let level = self.lines.level(cx.now, client.ip(), true);
        let why = format_args!(
            "{own:?} ({client}) could not be introduced to {host_id:?} ({at}): {whose} never came; {why}"
        );
        cx.not_introduced(level, asked, why);
        // Who lacks the answer to its own datagrams knows.
        let (waits, other) = match lacks {
            Lacks::Host => (player, host_id),
            Lacks::Player => (host, own),
            Lacks::Both => return,
        };
        let why = format!("nothing has come by UDP from {other:?}: it may be blocked there");
        self.complain(waits, &Fault::new("no_udp", why), cx.out);
    }
}
