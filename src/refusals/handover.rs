//! How the counts move to another process: by name, as another version may know other reasons and dialects.

use std::net::IpAddr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{Count, Entry, Reason, Refusals, Whom, bits};
use crate::dialect::Name;
use crate::hash::Lasting;

#[derive(Serialize, Deserialize)]
struct Saved {
    counts: Vec<(String, Option<String>, Count)>,
    worst: Vec<(String, IpAddr, Count)>,
    /// By it everybody has the same place again, if it is the same hash here.
    hasher: Lasting,
}

impl Serialize for Refusals {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let counts = self.counts().map(|(reason, speaks, count)| {
            (reason.name().into(), speaks.map(|name| name.to_string()), count)
        });
        let worst = Reason::ALL.into_iter().flat_map(|reason| {
            let worst = self.worst(reason).into_iter();
            worst.map(move |(Whom(addr), count)| (reason.name().into(), addr, count))
        });
        let (counts, worst) = (counts.collect(), worst.collect());
        Saved { counts, worst, hasher: self.hasher.clone() }.serialize(to)
    }
}

impl<'de> Deserialize<'de> for Refusals {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let Saved { counts, worst, hasher } = Saved::deserialize(from)?;
        let mut refusals = Self { hasher, ..Self::default() };
        let reason = |name: &str| Reason::ALL.into_iter().find(|reason| reason.name() == name);
        for (name, speaks, count) in counts {
            let speaks = speaks.map(|speaks| speaks.parse::<Name>()).transpose();
            if let (Some(reason), Ok(speaks)) = (reason(&name), speaks) {
                refusals.set_count(reason, speaks, count);
            }
        }
        for (name, addr, Count { times, latest }) in worst {
            if let Some(reason) = reason(&name) {
                let times = u32::try_from(times).unwrap_or(u32::MAX);
                let whom = bits(addr);
                refusals.keep(reason, Entry { whom, latest, times, ..Entry::default() });
            }
        }
        Ok(refusals)
    }
}
