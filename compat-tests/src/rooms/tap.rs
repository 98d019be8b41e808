//! One UDP socket for three: what the master server sends and the knocks are taken out of the
//! stream before ENet sees it.

use std::collections::VecDeque;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

use rusty_enet::{MTU_MAX, PacketReceived, Socket, SocketOptions};

use crate::datagrams::is_passing;

/// What peers knock with; any datagram would do.
pub(super) const KNOCK: &[u8] = b"knock knock";

/// So many datagrams that are not for ENet are looked at in one go, and wait to be taken.
const MOST_AT_ONCE: usize = 64;

/// What an answer to STUN begins with.
const ANSWER: &[u8] = &[1, 1, 0];

#[derive(Debug)]
pub(super) struct Tap {
    socket: UdpSocket,
    master: SocketAddr,
    /// What the master server has sent.
    pub(super) messages: VecDeque<Vec<u8>>,
    /// Whether the master server has answered from its alternate port.
    pub(super) shown: bool,
    /// Who has knocked.
    pub(super) knocks: VecDeque<SocketAddr>,
    /// How many packets for ENet are lost.
    pub(super) lose: usize,
}

impl Tap {
    pub(super) fn new(bind: SocketAddr, master: SocketAddr) -> io::Result<Self> {
        let socket = UdpSocket::bind(bind)?;
        Ok(Self {
            socket,
            master,
            messages: VecDeque::new(),
            shown: false,
            knocks: VecDeque::new(),
            lose: 0,
        })
    }

    pub(super) fn local(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    pub(super) fn send_to(&self, to: SocketAddr, data: &[u8]) {
        // What cannot be sent is lost, as any datagram may be.
        let _ = self.socket.send_to(data, to);
    }

    pub(super) fn ask_master(&self, data: &[u8]) {
        self.send_to(self.master, data);
    }

    /// Goes on with another master server; with another socket if this one does not lead there.
    pub(super) fn move_to(&mut self, master: SocketAddr) -> io::Result<()> {
        self.messages.clear();
        self.master = master;
        if master.is_ipv4() == self.local()?.is_ipv4() {
            return Ok(());
        }
        let any: IpAddr = match master {
            SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
            SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
        };
        self.socket = UdpSocket::bind((any, 0))?;
        self.socket.set_nonblocking(true)
    }

    /// Goes on with another socket, so from another endpoint.
    pub(super) fn rebind(&mut self) -> io::Result<()> {
        let mut bind = self.local()?;
        bind.set_port(0);
        self.socket = UdpSocket::bind(bind)?;
        self.socket.set_nonblocking(true)
    }
}

impl Socket for Tap {
    type Address = SocketAddr;
    type Error = io::Error;

    fn init(&mut self, _: SocketOptions) -> io::Result<()> {
        self.socket.set_nonblocking(true)
    }

    fn send(&mut self, to: SocketAddr, data: &[u8]) -> io::Result<usize> {
        self.send_to(to, data);
        Ok(data.len())
    }

    fn receive(
        &mut self,
        buffer: &mut [u8; MTU_MAX],
    ) -> io::Result<Option<(SocketAddr, PacketReceived)>> {
        for _ in 0..MOST_AT_ONCE {
            let (len, from) = match self.socket.recv_from(buffer) {
                Ok(received) => received,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
                Err(error) if is_passing(&error) => continue,
                Err(error) => return Err(error),
            };
            if from == self.master {
                if self.messages.len() >= MOST_AT_ONCE {
                    continue;
                }
                self.messages.push_back(buffer[..len].to_vec());
            } else if from.ip() == self.master.ip() && buffer.starts_with(ANSWER) {
                self.shown = true;
            } else if &buffer[..len] == KNOCK {
                if self.knocks.len() >= MOST_AT_ONCE {
                    continue;
                }
                self.knocks.push_back(from);
            } else if self.lose > 0 {
                self.lose -= 1;
            } else {
                return Ok(Some((from, PacketReceived::Complete(len))));
            }
        }
        Ok(None)
    }
}
