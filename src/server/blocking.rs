//! Addresses that the owner blocks: nothing of them is heard, and what they have ends.

use std::net::IpAddr;

use log::{debug, info};

use super::Server;
use crate::blocks::Blocks;
use crate::clock::Now;
use crate::connection_table::Conn;
use crate::dialect::{ConnId, Name, Outbox};
use crate::limits;
use crate::refusals::Reason;

/// What is blocked, and what of it has not ended yet.
#[derive(Debug, Default)]
pub(super) struct Blocking {
    blocks: Blocks,
    /// Somebody may be there who is blocked.
    is_amid: bool,
    /// So much has ended since the list is known.
    pub(super) ended: usize,
}

impl Blocking {
    pub(super) fn new(blocks: Blocks) -> Self {
        Self { blocks, is_amid: false, ended: 0 }
    }

    /// Others may be there now, and some of them blocked.
    pub(super) fn begin(&mut self) {
        self.is_amid = !self.blocks.is_empty();
    }

    pub(super) fn is_amid(&self) -> bool {
        self.is_amid
    }
}

impl Server {
    /// The owner blocks these from now on, and nobody else. What they have ends soon, a part of it at a time.
    pub fn block(&mut self, blocks: Blocks) {
        let is_amid = !blocks.is_empty();
        self.blocking = Blocking { blocks, is_amid, ended: 0 };
    }

    /// Whether nothing is to be heard of this address. If so it is counted: somebody is there.
    pub fn is_blocked(&mut self, now: Now, addr: IpAddr) -> bool {
        let is_blocked = self.blocking.blocks.has(addr);
        if is_blocked {
            self.refused(now, Reason::Blocked, addr);
        }
        is_blocked
    }

    /// Ends some of what those have who are blocked.
    pub(super) fn end_blocked(&mut self, now: Now, out: &mut Outbox) {
        if !self.blocking.is_amid {
            return;
        }
        let blocks = std::mem::take(&mut self.blocking.blocks);
        let most = limits::BLOCKED_AT_ONCE;
        let mut ended = self.window.as_mut().map_or(0, |window| window.shut_out(&blocks, out));
        let conns = self.connections.iter().filter(|(_, conn)| blocks.has(conn.peer().ip()));
        let conns = conns.map(|(id, _)| id).take(most.saturating_sub(ended));
        let conns: Vec<ConnId> = conns.collect();
        ended += conns.len();
        for id in conns {
            if let Some(peer) = self.connections.get(id).map(Conn::peer) {
                debug!("{peer} closed: its address is blocked");
            }
            self.with_dialect_of(now, id, out, |dialect, cx| dialect.on_blocked(cx, id));
            self.forget(id);
            out.close(id);
        }
        for name in Name::ALL {
            let left = most.saturating_sub(ended);
            self.with(now, name, out, |dialect, cx| {
                ended += dialect.end_blocked(cx, &blocks, left);
            });
        }
        ended += self.shared.relay.end_blocked(&blocks, most.saturating_sub(ended));
        self.blocking.blocks = blocks;
        self.blocking.ended += ended;
        if ended < most {
            self.blocking.is_amid = false;
            if self.blocking.ended > 0 {
                let ended = self.blocking.ended;
                match ended {
                    1 => info!("1 connection, player or relayed pair ended: it is blocked"),
                    _ => info!(
                        "{ended} connections, players and relayed pairs ended: they are blocked"
                    ),
                }
            }
        }
    }
}
