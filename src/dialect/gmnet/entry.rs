//! A host in the lobby, as the bytes of JSON that the old server wrote. Most of what the server
//! computes for a lobby is done here.

use std::io::Write;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use super::data::Data;
use super::escape::write_escaped;
use super::host::Host;
use crate::dialect::addr::{octet, push_addr};

/// Writes hosts, each as the old server's JSON writer had it, byte for byte.
#[derive(Debug, Default)]
pub(super) struct Writer(Line);

impl Writer {
    /// Appends a host that is told by this address, and by this port if it is to be told at all.
    pub(super) fn write(
        &mut self,
        host: &Host,
        addr: IpAddr,
        port: Option<u16>,
        json: &mut Vec<u8>,
    ) {
        let usual = match (addr, port, &host.data) {
            (IpAddr::V4(addr), None, Some(data)) if !data.needs_escapes => {
                self.0.host(addr, data, host.created)
            }
            _ => None,
        };
        match usual {
            Some(host) => json.extend_from_slice(host),
            None => write_any(host, addr, port, json),
        }
    }
}

/// Memory for a host with usual strings. Pieces of a few bytes are put there without the calls that
/// it takes to make a list longer.
#[derive(Debug)]
struct Line([u8; 512]);

impl Default for Line {
    fn default() -> Self {
        Self([0; 512])
    }
}

impl Line {
    /// A whole host; none if there is no room for it.
    fn host(&mut self, addr: Ipv4Addr, data: &Data, created: u32) -> Option<&[u8]> {
        let mut end = self.put(0, b"{\"ip\":\"")?;
        for (text, length) in addr.octets().map(octet) {
            self.put(end, &text)?;
            end += usize::from(length);
        }
        // Without the last dot.
        end -= 1;
        for (name, text) in NAMES.iter().zip(data.bytes()) {
            end = self.put(end, name)?;
            end = self.put_text(end, text)?;
        }
        end = self.put(end, CREATED)?;
        end = self.put_text(end, itoa::Buffer::new().format(created).as_bytes())?;
        end = self.put(end, b"}")?;
        self.0.get(..end)
    }

    /// Writes a piece; where it ends.
    fn put<const N: usize>(&mut self, at: usize, piece: &[u8; N]) -> Option<usize> {
        *self.0.get_mut(at..)?.first_chunk_mut()? = *piece;
        Some(at + N)
    }

    /// Writes a text; where it ends. Up to sixteen bytes are two pieces that overlap.
    fn put_text(&mut self, at: usize, text: &[u8]) -> Option<usize> {
        match text.len() {
            0 => Some(at),
            1 => self.put::<1>(at, text.first_chunk()?),
            2..=4 => self.put_ends::<2>(at, text),
            5..=8 => self.put_ends::<4>(at, text),
            9..=16 => self.put_ends::<8>(at, text),
            length => {
                let end = at + length;
                self.0.get_mut(at..end)?.copy_from_slice(text);
                Some(end)
            }
        }
    }

    /// Writes the first and the last bytes of a text, which are all of it.
    fn put_ends<const N: usize>(&mut self, at: usize, text: &[u8]) -> Option<usize> {
        self.put::<N>(at, text.first_chunk()?)?;
        self.put::<N>(at + text.len() - N, text.last_chunk()?)
    }
}

/// What is before each string.
const NAMES: [&[u8; 11]; 8] = [
    b"\",\"data1\":\"",
    b"\",\"data2\":\"",
    b"\",\"data3\":\"",
    b"\",\"data4\":\"",
    b"\",\"data5\":\"",
    b"\",\"data6\":\"",
    b"\",\"data7\":\"",
    b"\",\"data8\":\"",
];

/// What is behind the last.
const CREATED: &[u8; 16] = b"\",\"createdTime\":";

/// Any host.
fn write_any(host: &Host, addr: IpAddr, port: Option<u16>, json: &mut Vec<u8>) {
    json.extend_from_slice(b"{\"ip\":\"");
    match port {
        None => push_addr(addr, json),
        // Writing to a Vec cannot fail.
        Some(port) => _ = write!(json, "{}", SocketAddr::new(addr, port)),
    }
    for (n, name) in NAMES.iter().enumerate() {
        json.extend_from_slice(*name);
        match &host.data {
            Some(data) if data.needs_escapes => write_escaped(data.get(n), json),
            Some(data) => json.extend_from_slice(data.get(n).as_bytes()),
            None => {}
        }
    }
    json.extend_from_slice(CREATED);
    json.extend_from_slice(itoa::Buffer::new().format(host.created).as_bytes());
    json.push(b'}');
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Now;
    use crate::dialect::ConnId;
    use crate::dialect::gmnet::hosts::Hosts;
    use crate::introductions::PublicIps;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_usual_host_is_written_as_any_other(
            strings in prop::array::uniform8("(.{0,18}|[a-z]{0,80})"),
            addr: [u8; 4],
            unix in 0..u64::from(u32::MAX),
        ) {
            let mut hosts = Hosts::new(PublicIps::default());
            let strings: [&str; 8] = std::array::from_fn(|n| strings[n].as_str());
            let (conn, now) = (ConnId { slot: 0, generation: 0 }, Now { unix, ..Now::default() });
            let key = hosts.add(now, conn, addr.into(), Some(Data::new(strings)), None);
            let host = hosts.get(key).unwrap();
            let (mut writer, mut line, mut any) = (Writer::default(), Vec::new(), Vec::new());
            for _ in 0..2 {
                writer.write(host, addr.into(), None, &mut line);
                write_any(host, addr.into(), None, &mut any);
            }
            prop_assert_eq!(String::from_utf8_lossy(&line), String::from_utf8_lossy(&any));
        }
    }
}
