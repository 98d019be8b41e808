//! What a dialect is called with.

use super::Outbox;
use crate::amplification::Credits;
use crate::clock::Now;
use crate::introductions::journal::Journal;
use crate::introductions::relay::sessions::Sessions;
use crate::nats::Nats;
use crate::unproven::Unproven;

/// One call of a dialect: when it is, where what is to be done goes, and what all dialects share.
#[derive(Debug)]
pub struct Context<'a> {
    /// What time it is; of a connection that begins to speak: when it was opened.
    pub now: Now,
    /// What the dialect wants done.
    pub out: &'a mut Outbox,
    /// What belongs to no dialect alone.
    pub shared: &'a mut Shared,
}

/// The tables of the whole server, which has them and lends them for each call.
#[derive(Debug, Default)]
pub struct Shared {
    /// What is known of the NATs that peers are behind.
    pub nats: Nats,
    /// Of whom peers may be told.
    pub unproven: Unproven,
    /// What each address may still be sent by UDP.
    pub credits: Credits,
    /// How introductions ended.
    pub journal: Journal,
    /// Who is relayed.
    pub relay: Sessions,
}
