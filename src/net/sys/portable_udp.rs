//! UDP sockets on other systems than Linux: one datagram at a time, with the address of this machine
//! that it came to or leaves from as far as `quinn-udp` gets to it there.

use std::io::{self, IoSliceMut};
use std::net::{IpAddr, SocketAddr};

use log::{debug, warn};
use mio::net::UdpSocket;
use quinn_udp::{RecvMeta, Transmit, UdpSocketState};
use smallvec::SmallVec;

use super::system::MAPS_OWN_IPV4;
use crate::net::udp::{BATCH, Received, Room};

/// Datagrams that are received at once.
pub(in crate::net) const RECEIVED: usize = 1;

/// Room for a datagram of which no more than so many bytes are wanted: all that there can be, as Windows
/// has an error for one that is longer than its room.
pub(in crate::net) const fn room(_: usize) -> usize {
    1 << 16
}

/// A UDP socket.
#[derive(Debug)]
pub(in crate::net) struct Socket {
    socket: UdpSocket,
    is_ipv6: bool,
    /// What tells addresses of this machine, if the socket has them all.
    state: Option<UdpSocketState>,
}

/// Datagrams that leave one socket from one address of the machine, at most [`BATCH`].
#[derive(Default)]
pub(in crate::net) struct Batch<'a>(SmallVec<[(SocketAddr, &'a [u8]); BATCH]>);

impl<'a> Batch<'a> {
    pub(in crate::net) fn len(&self) -> usize {
        self.0.len()
    }

    pub(in crate::net) fn push(&mut self, socket: &Socket, to: SocketAddr, data: &'a [u8]) {
        self.0.push((socket.destination(to), data));
    }

    pub(in crate::net) fn clear(&mut self) {
        self.0.clear();
    }
}

impl Socket {
    pub(in crate::net) fn new(socket: UdpSocket) -> Self {
        let addr = socket.local_addr();
        let is_ipv6 = addr.as_ref().is_ok_and(SocketAddr::is_ipv6);
        let has_all = addr.is_ok_and(|addr| addr.ip().is_unspecified());
        let state = has_all.then(|| UdpSocketState::new((&socket).into())).and_then(|state| {
            let why = "the system does not tell to which address a datagram was sent";
            state.map_err(|error| warn!("{why}: {error}")).ok()
        });
        Self { socket, is_ipv6, state }
    }

    /// The next datagram.
    pub(in crate::net) fn receive(
        &mut self,
        [room]: &mut [Room; RECEIVED],
        received: &mut Vec<Received>,
    ) -> io::Result<()> {
        let Some(state) = &self.state else {
            let (length, peer) = self.socket.recv_from(room)?;
            received.push(Received { length, peer, local: None, came: None });
            return Ok(());
        };
        let mut meta = [RecvMeta::default()];
        let mut parts = [IoSliceMut::new(room)];
        let socket = &self.socket;
        socket.try_io(|| state.recv(socket.into(), &mut parts, &mut meta))?;
        let [RecvMeta { len: length, addr: peer, dst_ip, .. }] = meta;
        let local = dst_ip.map(|ip| ip.to_canonical());
        received.push(Received { length, peer, local, came: None });
        Ok(())
    }

    /// How this socket calls a destination.
    fn destination(&self, to: SocketAddr) -> SocketAddr {
        match to.ip() {
            IpAddr::V4(ip) if self.is_ipv6 => (ip.to_ipv6_mapped(), to.port()).into(),
            _ => to,
        }
    }

    /// Sends a batch from this address of the machine, if the socket has several.
    pub(in crate::net) fn send(&mut self, batch: &Batch<'_>, local: Option<IpAddr>) {
        let socket = &self.socket;
        let src_ip = local.map(|ip| match ip {
            IpAddr::V4(ip) if self.is_ipv6 && MAPS_OWN_IPV4 => ip.to_ipv6_mapped().into(),
            ip => ip,
        });
        for &(destination, contents) in &batch.0 {
            let sent = match &self.state {
                Some(state) => socket.try_io(|| {
                    let transmit =
                        Transmit { destination, ecn: None, contents, segment_size: None, src_ip };
                    state.try_send(socket.into(), &transmit)
                }),
                None => socket.send_to(contents, destination).map(drop),
            };
            if let Err(error) = sent {
                debug!("UDP to {destination}: {error}");
            }
        }
    }
}
