//! How a host is written for another process. There are many: what each of them has is one row, and only what few
//! have, or may be added, has a name.

use std::net::IpAddr;

use serde::{Deserialize, Serialize, Serializer};

use super::{BeforeTentative, Host, Sign};
use crate::clock::Instant;
use crate::dialect::gmnet::data::Data;
use crate::dialect::{ConnId, Via};
use crate::state::packed::{self, Fields, Row};

/// A host as it is written, with its data and with what it had before, or references to both.
#[derive(Serialize, Deserialize)]
pub(super) struct Saved<D, B> {
    #[serde(with = "packed::one")]
    row: Always,
    #[serde(with = "crate::state::ip")]
    addr: IpAddr,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    port: Option<u16>,
    #[serde(default, skip_serializing_if = "crate::state::is_default")]
    via: Via,
    #[serde(default = "none", skip_serializing_if = "Option::is_none")]
    data: Option<D>,
    #[serde(default = "none", skip_serializing_if = "Option::is_none")]
    before_tentative: Option<B>,
}

fn none<T>() -> Option<T> {
    None
}

/// What every host has.
struct Always {
    conn: ConnId,
    created: u32,
    number: u32,
    seen: Instant,
    since: Instant,
    registered: Instant,
    reg: Sign,
    listed: bool,
    settled: bool,
}

impl Row<43> for Always {
    fn pack(&self) -> [u8; 43] {
        let at = |instant: Instant| instant.micros().to_be_bytes();
        packed::row(&[
            &self.conn.slot.to_be_bytes(),
            &self.conn.generation.to_be_bytes(),
            &self.created.to_be_bytes(),
            &self.number.to_be_bytes(),
            &at(self.seen),
            &at(self.since),
            &at(self.registered),
            &[self.reg as u8, self.listed.into(), self.settled.into()],
        ])
    }

    fn unpack(row: &[u8; 43]) -> Self {
        let mut fields = Fields(row);
        let [slot, generation, created, number] =
            std::array::from_fn(|_| u32::from_be_bytes(fields.next()));
        let [seen, since, registered] =
            std::array::from_fn(|_| Instant::from_micros(u64::from_be_bytes(fields.next())));
        let [reg, listed, settled] = fields.next();
        let signs = [Sign::Nothing, Sign::Doubtful, Sign::Crossed, Sign::Certain];
        Self {
            conn: ConnId { slot, generation },
            created,
            number,
            seen,
            since,
            registered,
            reg: signs.into_iter().find(|sign| *sign as u8 == reg).unwrap_or(Sign::Nothing),
            listed: listed != 0,
            settled: settled != 0,
        }
    }
}

impl Serialize for Host {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let Self { conn, created, number, seen, since, registered, reg, listed, settled, .. } =
            *self;
        let row = Always { conn, created, number, seen, since, registered, reg, listed, settled };
        let Self { addr, port, via, data, before_tentative, .. } = self;
        let (data, before_tentative) = (data.as_ref(), before_tentative.as_ref());
        Saved { row, addr: *addr, port: *port, via: *via, data, before_tentative }.serialize(to)
    }
}

impl From<Saved<Data, BeforeTentative>> for Host {
    fn from(saved: Saved<Data, BeforeTentative>) -> Self {
        let Saved { row, addr, port, via, data, before_tentative } = saved;
        let Always { conn, created, number, seen, since, registered, reg, listed, settled } = row;
        Self {
            conn,
            addr,
            port,
            via,
            created,
            data,
            seen,
            since,
            number,
            registered,
            reg,
            before_tentative,
            listed,
            settled,
        }
    }
}
