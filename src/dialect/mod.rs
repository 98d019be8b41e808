//! What every wire protocol is to the rest of the server: a state machine without sockets or
//! clock. Input and time go in through [`Dialect`]; what to send and what to close comes out in
//! the [`Outbox`]; [`Dialect::next_wakeup`] says when it wants to be called although nothing
//! came in.

use std::net::{IpAddr, SocketAddr};

use serde::{Deserialize, Serialize};

use crate::blocks::Blocks;
use crate::clock::Instant;
use crate::cluster::NodeId;
use crate::introductions::journal::Attempt;
use crate::state::{NotUnderstood, Saved, Saving};

mod addr;
mod by_family;
pub mod conns;
mod context;
pub mod events;
mod forgeable;
pub mod gmnet;
mod hex;
#[cfg(test)]
mod lossy;
pub mod natpunch;
mod outbox;
mod replication;
pub mod rooms;
mod rounds;
mod route;
mod shown;
mod sniff;
pub mod stun;
pub(crate) mod supervised;
mod sweep;
mod untold;
mod work_queue;

pub use context::{Context, Shared};
pub use outbox::{Outbox, Output};
pub use shown::{Asked, Bound, Census, Keeping, Showing, Shown, Shows};
pub use sniff::{Misframed, Name, Preamble, Stream, of_datagram, of_stream, of_stream_or_http};

/// A TCP connection, for as long as it lives: the number is used again for later connections,
/// the generation is not. So what is known about an ended connection can never touch a newer one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(from = "(u32, u32)", into = "(u32, u32)")]
pub struct ConnId {
    /// Which slot of the connection table; small and dense.
    pub slot: u32,
    /// Counts the connections of the whole server.
    pub generation: u32,
}

impl From<(u32, u32)> for ConnId {
    fn from((slot, generation): (u32, u32)) -> Self {
        Self { slot, generation }
    }
}

impl From<ConnId> for (u32, u32) {
    fn from(id: ConnId) -> Self {
        (id.slot, id.generation)
    }
}

/// Where a datagram came in, so that an answer can go out the same way on a machine with several
/// addresses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Via {
    /// Which of the server's UDP sockets.
    pub socket: u8,
    /// The server's own address that the datagram was sent to, where the system tells.
    pub local: Option<IpAddr>,
}

/// When a connection is read again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reads {
    /// As soon as something comes.
    Now,
    /// Soon: what waits has its turn in one of the next of the loop, and a wakeup is asked for at once.
    NextTurn,
    /// After a rest: its peer sends more than it may, and what waits has its turn in a while.
    Later,
}

/// A wire protocol. Addresses are canonical: an IPv4 peer on an IPv6 socket has an IPv4 address.
///
/// For each connection come, in this order: one `on_open`, any number of `on_bytes`, at most one
/// `on_fin`, and one `on_gone` unless the dialect closed the connection before. A dialect of UDP
/// alone leaves all that out.
pub trait Dialect: Shows + std::fmt::Debug {
    /// A peer has connected by TCP, and its first bytes say that it speaks this dialect. `now` is
    /// when it connected.
    fn on_open(&mut self, cx: &mut Context<'_>, conn: ConnId, _peer: SocketAddr) {
        cx.out.close(conn);
    }

    /// When the datagram came that a peer of this address has sent as it began to connect, if there is no
    /// doubt: it has come since then, and nothing else of this address.
    fn began_with(&self, _since: Instant, _addr: IpAddr) -> Option<Instant> {
        None
    }

    /// Bytes arrived, cut as it pleased the network.
    fn on_bytes(&mut self, _cx: &mut Context<'_>, _conn: ConnId, _bytes: &[u8]) {}

    /// The peer will send nothing more, but may still read. The dialect closes the connection
    /// when it has said what it owes.
    fn on_fin(&mut self, _cx: &mut Context<'_>, _conn: ConnId) {}

    /// The connection is gone, nothing can be sent on it any more.
    fn on_gone(&mut self, _cx: &mut Context<'_>, _conn: ConnId) {}

    /// The server is about to close a connection because it needs the place; `on_gone` follows.
    fn on_eviction(&mut self, _conn: ConnId) {}

    /// The owner has blocked the address of a connection, which ends.
    fn on_blocked(&mut self, cx: &mut Context<'_>, conn: ConnId) {
        self.on_eviction(conn);
        self.on_gone(cx, conn);
    }

    /// Of how many sources connections have something to read, told before they are served: the
    /// more they are, the less is to be done for one at a time.
    fn note_ready(&mut self, _sources: usize) {}

    /// When more is to be read from a connection: not now if enough of what came on it waits.
    fn reads(&self, _conn: ConnId) -> Reads {
        Reads::Now
    }

    /// How many bytes that were written to a connection wait for its peer to read; told whenever
    /// that changes from or to some.
    fn on_unread(&mut self, _conn: ConnId, _bytes: usize) {}

    /// A datagram arrived whose first bytes say that it is of this dialect.
    fn on_datagram(&mut self, cx: &mut Context<'_>, via: Via, peer: SocketAddr, data: &[u8]);

    /// Whether this endpoint has shown that it is a peer's: its datagrams are not dropped for those
    /// that others send in the name of its address.
    fn knows(&self, _endpoint: SocketAddr) -> bool {
        false
    }

    /// The time that `next_wakeup` asked for has come (or not yet: then nothing is to be done).
    fn on_wakeup(&mut self, _cx: &mut Context<'_>) {}

    /// When something has to be done even if nothing arrives.
    fn next_wakeup(&self) -> Option<Instant> {
        None
    }

    /// Ends what peers have whose addresses are blocked, but for connections, which are closed before; of
    /// at most so many. Returns how many these were.
    fn end_blocked(&mut self, _cx: &mut Context<'_>, _blocks: &Blocks, _most: usize) -> usize {
        0
    }

    /// The server is about to stop: answer now what would otherwise have been waited for.
    fn on_shutdown(&mut self, _cx: &mut Context<'_>) {}

    /// Another process has taken over. Those whose connections end hear a goodbye and nothing else: what they wait for
    /// comes from there.
    fn on_handed_over(&mut self, _cx: &mut Context<'_>) {}

    /// Whether a peer is still owed something that a timer will send.
    fn owes(&self) -> bool {
        false
    }

    /// Whether anybody would miss this connection.
    fn use_of(&self, _conn: ConnId) -> Use {
        Use::Idle(Instant::default())
    }

    /// Whether a connection can go on in another process: it is not encrypted.
    fn moves(&self, _conn: ConnId) -> bool {
        true
    }

    /// A connection is about to be gone, as this process could not get it from the one before. Its peer is to find its
    /// place again if it comes back.
    fn on_left_behind(&mut self, _conn: ConnId) {}

    /// Another node of the cluster is there, or has missed something: it is to be told everything. What is put into
    /// the outbox for it from now on comes in order, each once, until this is called again or it is gone.
    fn on_node_joined(&mut self, _cx: &mut Context<'_>, _node: NodeId) {}

    /// This dialect of another node has said something.
    fn on_node_message(&mut self, _cx: &mut Context<'_>, _node: NodeId, _bytes: &[u8]) {}

    /// Another node is gone, and all its peers with it.
    fn on_node_gone(&mut self, _cx: &mut Context<'_>, _node: NodeId) {}

    /// The relay of another node was asked for two of this dialect, by
    /// [`cluster_plan`](crate::introductions::cluster_plan). They have a session now, or have none: then what is to be
    /// done is what would be without any relay.
    fn on_relay(&mut self, _cx: &mut Context<'_>, _attempt: &Attempt, _is_given: bool) {}

    /// Writes what another process needs to go on.
    fn save(&self, _to: &mut Saving<'_>) {}

    /// Goes on from what another process knew; the dialect is new. If it is not understood, whatever part of
    /// it has been taken over counts for nothing: the dialect is made anew.
    ///
    /// # Errors
    ///
    /// It is not understood.
    fn load(&mut self, _cx: &mut Context<'_>, _from: &mut Saved<'_>) -> Result<(), NotUnderstood> {
        Err(NotUnderstood::new("nothing is known of this dialect"))
    }
}

/// What a connection is good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Use {
    /// As long as it lives it stands for something, such as a registered host.
    Lasting,
    /// It waits for an answer.
    Waiting,
    /// For nothing, since this moment.
    Idle(Instant),
}
