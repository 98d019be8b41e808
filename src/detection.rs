//! Connections that begin with what is of no dialect: white space and other things that tell nothing yet,
//! and the headers that engines write before a text unless they are told not to.

use std::borrow::Cow;
use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use log::info;
use serde::{Deserialize, Serialize};

use crate::clock::Instant;
use crate::dialect::{ConnId, Stream, of_stream_or_http};
use crate::hash::Map;
use crate::prefixes::network;
use crate::timers::Timers;

/// Addresses of which the log has said that they begin in a way that nobody understands. The one of which
/// that is longest ago gives way.
const TOLD: usize = 1024;

/// After this time it is said again.
const AGAIN: Duration = Duration::from_secs(3600);

/// What has come on connections of which nobody knows yet what they speak, and who was told of in the log.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Detection {
    begun: Map<ConnId, Vec<u8>>,
    told: Timers<IpAddr>,
}

impl Default for Detection {
    fn default() -> Self {
        Self { begun: Map::default(), told: Timers::new(AGAIN) }
    }
}

impl Detection {
    /// Goes on with what has come in another process.
    pub(crate) fn restore(&mut self, saved: Self) {
        self.begun = saved.begun;
        self.told.restore(saved.told);
    }

    /// What a connection speaks whose dialect is not known yet, and all that has come on it with these bytes.
    /// They are kept if they tell nothing: no more than a line of blanks.
    pub(crate) fn read<'a>(&mut self, id: ConnId, bytes: &'a [u8]) -> (Stream, Cow<'a, [u8]>) {
        // Nearly always it is the first that comes, and tells.
        let begun = if self.begun.is_empty() { None } else { self.begun.remove(&id) };
        let all = match begun {
            None => Cow::Borrowed(bytes),
            Some(begun) => Cow::Owned([&begun, bytes].concat()),
        };
        let told = of_stream_or_http(&all);
        if told == Stream::Untold {
            self.begun.insert(id, all.clone().into_owned());
        }
        (told, all)
    }

    /// Says in the log what is wrong with how a peer begins, once for its address.
    pub(crate) fn log_once(&mut self, now: Instant, addr: IpAddr, what: impl fmt::Display) {
        while self.told.pop_due(now).is_some() {}
        let network = network(addr);
        if self.told.is_armed(&network) {
            return;
        }
        if self.told.len() >= TOLD {
            self.told.pop();
        }
        self.told.arm(now, network);
        info!(event = "refused", address:% = addr; "{addr} is not understood: {what}");
    }

    /// A connection is gone.
    pub(crate) fn forget(&mut self, id: ConnId) {
        if !self.begun.is_empty() {
            self.begun.remove(&id);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Now;
    use crate::dialect::{Name, Outbox, Output, Preamble};
    use crate::server::{Config, Server};
    use std::net::SocketAddr;

    /// What a server answers to these pieces, and whether it closes the connection.
    fn answered(pieces: &[&[u8]]) -> (String, bool) {
        let mut server = Server::new(Config::default());
        let now = Now { instant: Instant::from_micros(1_000_000), unix: 0 };
        let (id, peer) = (ConnId { slot: 0, generation: 1 }, SocketAddr::from(([192, 0, 2, 1], 9)));
        let (mut said, mut closed) = (Vec::new(), false);
        let mut out = Outbox::new();
        server.on_accept(now, || now.instant, id, peer, &mut out);
        for piece in pieces {
            server.on_bytes(now, id, piece, &mut out);
        }
        for output in out.outputs() {
            match output {
                Output::Tcp(_, bytes) => said.extend_from_slice(bytes),
                Output::Close(_) => closed = true,
                Output::Udp(..) => {}
            }
        }
        (String::from_utf8_lossy(&said).into_owned(), closed)
    }

    #[test]
    fn what_stands_before_an_event_does_not_matter_or_is_said_to_be_wrong() {
        let event = br#"{"type":"request","name":"login","data":{"id":"a"},"request_id":1}"#;
        for blank in [&b"\xef\xbb\xbf"[..], b"\n", b" ", b"\0\0\r\n\xef\xbb\xbf"] {
            let all = [blank, event].concat();
            let mut ways = vec![vec![&all[..]], all.chunks(1).collect()];
            ways.push(vec![blank, event]);
            for pieces in ways {
                let (said, closed) = answered(&pieces);
                assert!(said.contains("udp_token") && !closed, "{}: {said}", blank.escape_ascii());
            }
        }
        let length = (event.len() as u32).to_le_bytes();
        let packet = b"\xde\xc0\xad\xde\x0c\0\0\0\x40\0\0\0";
        for (header, word) in [(&length[..], "put_data"), (packet, "network_send_raw")] {
            for pieces in [vec![&[header, event].concat()[..]], vec![header, event]] {
                let (said, closed) = answered(&pieces);
                assert!(said.contains(r#""code":"bad_json""#) && said.contains(word), "{said}");
                assert!(closed);
            }
        }
    }

    #[test]
    fn other_commands_are_heard_however_they_begin() {
        for pieces in [&[&b"\n\0version\n"[..]][..], &[b"\n", b"\0", b"version\n"], &[b"version\n"]]
        {
            assert!(answered(pieces).0.contains("1.2.5"), "{pieces:?}");
        }
        // Nobody can know what such a thing says.
        let packet = [&b"\xde\xc0\xad\xde\x0c\0\0\0\x09\0\0\0"[..], b"version\n\0"].concat();
        assert_eq!(answered(&[&packet]), (String::new(), false));
    }

    #[test]
    fn an_address_is_told_of_once_and_what_is_kept_is_bounded() {
        let mut detection = Detection::default();
        let at = |s: u64| Instant::from_micros(1_000_000 * (s + 1));
        for n in 0..2000_u32 {
            detection.log_once(at(0), IpAddr::from(n.to_be_bytes()), Preamble::Length);
        }
        assert_eq!(detection.told.len(), TOLD);
        detection.log_once(at(1), IpAddr::from([192, 0, 2, 1]), Preamble::Length);
        detection.log_once(at(3600), IpAddr::from([192, 0, 2, 1]), Preamble::Length);
        assert_eq!(detection.told.len(), 1, "the others are forgotten");
        let id = ConnId { slot: 0, generation: 1 };
        for _ in 0..64 {
            assert_eq!(detection.read(id, b"\0").0, Stream::Untold);
        }
        assert_eq!(detection.read(id, b"\0"), (Stream::Of(Name::Gmnet), Cow::Owned(vec![0; 65])));
        assert!(detection.begun.is_empty());
        detection.read(id, b"\0");
        detection.forget(id);
        assert!(detection.begun.is_empty());
    }
}
