//! Asks a master server for its list of hosts.

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use serde::Deserialize;

use super::control::Control;
use super::error::Error;
use super::wire::{self, Data};

/// The two words for a direction. The server has them the wrong way round, and games depend on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// Newest first; data strings from Z to A.
    Asc,
    /// Oldest first; data strings from A to Z.
    Desc,
}

/// What to ask for. The default is what GML clients send: all hosts, the oldest first.
#[derive(Clone, Debug)]
pub struct Query {
    /// Only hosts with exactly these data strings; an empty one filters nothing.
    pub filters: Data,
    /// `date` or `data1` to `data8`.
    pub sort: String,
    /// The word for the direction.
    pub direction: Direction,
    /// At most so many hosts.
    pub limit: Option<u32>,
}

impl Default for Query {
    fn default() -> Self {
        Self {
            filters: Data::default(),
            sort: "date".to_owned(),
            direction: Direction::Desc,
            limit: None,
        }
    }
}

impl Query {
    /// The request on the wire.
    #[must_use]
    pub fn request(&self) -> Vec<u8> {
        let direction = match self.direction {
            Direction::Asc => "ASC",
            Direction::Desc => "DESC",
        };
        let limit = self.limit.map(|limit| limit.to_string()).unwrap_or_default();
        let filters = self.filters.iter().map(String::as_str);
        wire::strings(std::iter::once("lobby2").chain(filters).chain([
            self.sort.as_str(),
            direction,
            &limit,
        ]))
    }
}

/// One host in the list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its address, as the master server sees it.
    pub ip: String,
    /// Its data strings.
    pub data: Data,
    /// When it registered first, in seconds since 1970.
    pub created: u64,
}

/// An answer of a master server.
#[derive(Clone, Debug)]
pub struct Lobby {
    /// The hosts, in the order of the answer.
    pub entries: Vec<Entry>,
    /// The whole answer: `f9`, JSON, a line end.
    pub raw: Vec<u8>,
    /// In how many events it came. Games read the first one only.
    pub events: usize,
}

impl Lobby {
    /// Asks, on a connection of its own from a given local address if there is one.
    ///
    /// # Errors
    /// If there is no answer in time, or one that games cannot read.
    pub fn fetch(
        master: SocketAddr,
        from: Option<IpAddr>,
        query: &Query,
        within: Duration,
    ) -> Result<Self, Error> {
        let deadline = Instant::now() + within;
        let control = Control::open(master, from)?;
        control.send(&query.request())?;
        let (mut raw, mut events) = (Vec::new(), 0);
        while raw.last() != Some(&b'\n') {
            let left = deadline.saturating_duration_since(Instant::now());
            let event = control.next(left).ok_or(Error::NoAnswer { master, waited: within })?;
            if event.bytes.is_empty() {
                return Err(control.ended(raw));
            }
            raw.extend(event.bytes);
            events += 1;
        }
        match entries(&raw) {
            Ok(entries) => Ok(Self { entries, raw, events }),
            Err(why) => Err(Error::Malformed { from: master, bytes: raw, why }),
        }
    }

    /// The JSON array as it came.
    #[must_use]
    pub fn json(&self) -> String {
        let body = self.raw.strip_prefix(&[wire::LOBBY]).unwrap_or(&self.raw);
        String::from_utf8_lossy(body).trim_end().to_owned()
    }

    /// The entry of a host.
    #[must_use]
    pub fn of(&self, ip: IpAddr) -> Option<&Entry> {
        let ip = ip.to_string();
        self.entries.iter().find(|entry| entry.ip == ip)
    }
}

/// An entry as JSON has it; all keys must be there, and no other.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Listed {
    ip: String,
    data1: String,
    data2: String,
    data3: String,
    data4: String,
    data5: String,
    data6: String,
    data7: String,
    data8: String,
    #[serde(rename = "createdTime")]
    created: u64,
}

fn entries(raw: &[u8]) -> Result<Vec<Entry>, &'static str> {
    let json = raw.strip_prefix(&[wire::LOBBY]).ok_or("a lobby begins with f9")?;
    let listed: Vec<Listed> =
        serde_json::from_slice(json).map_err(|_| "no JSON array of hosts with all ten keys")?;
    Ok(listed.into_iter().map(Entry::from).collect())
}

impl From<Listed> for Entry {
    fn from(l: Listed) -> Self {
        let data = [l.data1, l.data2, l.data3, l.data4, l.data5, l.data6, l.data7, l.data8];
        Self { ip: l.ip, data, created: l.created }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_request_is_that_of_the_gml_script() {
        let mut query = Query { limit: Some(4), ..Query::default() };
        query.filters[0] = "game".to_owned();
        let bytes = b"lobby2\n\0game\n\0\n\0\n\0\n\0\n\0\n\0\n\0\n\0date\n\0DESC\n\x004\n\0";
        assert_eq!(query.request(), bytes);
    }

    #[test]
    fn a_list_without_its_keys_is_refused() {
        assert_eq!(entries(b"\xf9[]\n").expect("empty list"), []);
        assert!(entries(b"[]\n").is_err());
        assert!(entries(b"\xf9[{\"ip\":\"192.0.2.1\"}]\n").is_err());
    }
}
