//! The socket between the two processes: whole packets, with descriptors, until a moment.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use nix::sys::socket::{getsockopt, sockopt};
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};
use rustix::process::Signal;
use socket2::{Domain, SockAddr, Socket, Type};

use super::message::{Message, Packet, read};
use crate::limits::handover::{DESCRIPTORS, PACKET};

/// How long to wait until the kernel is asked once more to move descriptors, of which too many are under way.
const AGAIN: Duration = Duration::from_millis(1);

/// The name of the process that is there. It is one of the network that the process is in and of no file, and is
/// gone with the last process that has it.
fn name(at: SocketAddr) -> io::Result<SockAddr> {
    SockAddr::unix(format!("\0punchd/{at}"))
}

fn socket() -> io::Result<Socket> {
    Socket::new(Domain::UNIX, Type::SEQPACKET, None)
}

/// Listens where the next process will ask.
pub(super) fn listen(at: SocketAddr) -> io::Result<Socket> {
    /// One is served at a time.
    const BACKLOG: i32 = 4;
    let socket = socket()?;
    socket.set_nonblocking(true)?;
    socket.bind(&name(at)?)?;
    socket.listen(BACKLOG)?;
    Ok(socket)
}

/// Who is at the other end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Peer {
    /// 0 if it is in a container of its own.
    pub(super) pid: i32,
    pub(super) uid: u32,
}

impl Peer {
    /// Who has connected.
    pub(super) fn of(socket: &Socket) -> io::Result<Self> {
        let credentials = getsockopt(socket, sockopt::PeerCredentials)?;
        Ok(Self { pid: credentials.pid(), uid: credentials.uid() })
    }

    /// Whether it is of the same user as this process. Root as well: whoever has a name first may be somebody
    /// else, and nobody is to hand connections to root.
    pub(super) fn is_own(self) -> bool {
        self.uid == rustix::process::geteuid().as_raw()
    }

    /// Ends it, if that is possible. As long as its end of the socket is open its number is no other's.
    pub(super) fn kill(self) -> bool {
        let pid = rustix::process::Pid::from_raw(self.pid);
        pid.is_some_and(|pid| rustix::process::kill_process(pid, Signal::KILL).is_ok())
    }
}

/// One end.
#[derive(Debug)]
pub(super) struct Channel {
    socket: Socket,
    until: Instant,
    buffer: Vec<u8>,
}

impl Channel {
    pub(super) fn new(socket: Socket, until: Instant) -> io::Result<Self> {
        socket.set_nonblocking(false)?;
        Ok(Self { socket, until, buffer: vec![0; PACKET] })
    }

    /// Connects to the process that is there. None: there is none.
    pub(super) fn connect(at: SocketAddr, until: Instant) -> io::Result<Option<Self>> {
        let socket = socket()?;
        match socket.connect(&name(at)?) {
            Ok(()) => Self::new(socket, until).map(Some),
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => Ok(None),
            Err(error) => Err(error),
        }
    }

    pub(super) fn peer(&self) -> io::Result<Peer> {
        Peer::of(&self.socket)
    }

    /// Nothing is waited for after this moment.
    pub(super) fn wait_until(&mut self, until: Instant) {
        self.until = until;
    }

    fn left(&self) -> io::Result<Duration> {
        let left = self.until.saturating_duration_since(Instant::now());
        // For the system less than a microsecond is for ever.
        let some = left.max(Duration::from_millis(1));
        if left.is_zero() { Err(io::ErrorKind::TimedOut.into()) } else { Ok(some) }
    }

    pub(super) fn say(&self, message: Message) -> io::Result<()> {
        self.send(&Packet::Message(message), &[])
    }

    pub(super) fn send(&self, packet: &Packet<'_>, with: &[BorrowedFd<'_>]) -> io::Result<()> {
        let bytes = packet.write().ok_or(io::ErrorKind::InvalidData)?;
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS))];
        loop {
            self.socket.set_write_timeout(Some(self.left()?))?;
            let mut control = SendAncillaryBuffer::new(&mut space);
            if !with.is_empty() && !control.push(SendAncillaryMessage::ScmRights(with)) {
                return Err(io::ErrorKind::InvalidInput.into());
            }
            match sendmsg(&self.socket, &[IoSlice::new(&bytes)], &mut control, SendFlags::NOSIGNAL)
            {
                Ok(_) => return Ok(()),
                Err(rustix::io::Errno::INTR) => {}
                Err(rustix::io::Errno::TOOMANYREFS) => std::thread::sleep(AGAIN),
                Err(rustix::io::Errno::AGAIN) => return Err(io::ErrorKind::TimedOut.into()),
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// The next packet, and the descriptors that came with it.
    ///
    /// # Errors
    /// If the other process is gone, takes too long or says something that is not understood, or there are no
    /// descriptors left.
    pub(super) fn receive(&mut self) -> io::Result<(Packet<'_>, Vec<OwnedFd>)> {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS))];
        let (length, with) = loop {
            let left = self.left()?;
            self.socket.set_read_timeout(Some(left))?;
            let mut control = RecvAncillaryBuffer::new(&mut space);
            let mut parts = [IoSliceMut::new(&mut self.buffer)];
            match recvmsg(&self.socket, &mut parts, &mut control, RecvFlags::CMSG_CLOEXEC) {
                Ok(got) if got.flags.contains(ReturnFlags::CTRUNC) => {
                    return Err(io::Error::other("it may not have as many open files"));
                }
                Ok(got) if got.flags.contains(ReturnFlags::TRUNC) => {
                    return Err(io::ErrorKind::InvalidData.into());
                }
                Ok(got) if got.bytes == 0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(got) => {
                    let rights = control.drain().filter_map(|message| match message {
                        RecvAncillaryMessage::ScmRights(rights) => Some(rights),
                        _ => None,
                    });
                    break (got.bytes, rights.flatten().collect());
                }
                Err(rustix::io::Errno::INTR) => {}
                Err(rustix::io::Errno::AGAIN) => return Err(io::ErrorKind::TimedOut.into()),
                Err(error) => return Err(error.into()),
            }
        };
        let packet = self.buffer.get(..length).and_then(read);
        Ok((packet.ok_or(io::ErrorKind::InvalidData)?, with))
    }

    /// The next message, which has no descriptors.
    pub(super) fn hear(&mut self) -> io::Result<Message> {
        match self.receive()?.0 {
            Packet::Message(message) => Ok(message),
            Packet::Connections(_) | Packet::Gone(_) | Packet::Bytes(_) => {
                Err(io::ErrorKind::InvalidData.into())
            }
        }
    }
}

impl AsFd for Channel {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// What went wrong between the two, in words that go on behind "the other process".
pub(super) fn why(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::TimedOut => "does not answer in time".into(),
        io::ErrorKind::UnexpectedEof
        | io::ErrorKind::BrokenPipe
        | io::ErrorKind::ConnectionReset => "has ended".into(),
        io::ErrorKind::InvalidData => "says something that is not understood".into(),
        _ => format!("cannot be talked to: {error}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair() -> (Channel, Channel) {
        let (one, other) = Socket::pair(Domain::UNIX, Type::SEQPACKET, None).unwrap();
        let until = Instant::now() + Duration::from_secs(20);
        (Channel::new(one, until).unwrap(), Channel::new(other, until).unwrap())
    }

    #[test]
    fn descriptors_go_from_one_end_to_the_other() {
        let (one, mut other) = pair();
        let (sent, mut back) = std::os::unix::net::UnixStream::pair().unwrap();
        one.send(&Packet::Bytes(b"x"), &[sent.as_fd(); DESCRIPTORS]).unwrap();
        drop(sent);
        let (packet, mut with) = other.receive().unwrap();
        assert_eq!((packet, with.len()), (Packet::Bytes(b"x"), DESCRIPTORS));
        let mut got = std::os::unix::net::UnixStream::from(with.swap_remove(0));
        io::Write::write_all(&mut got, b"y").unwrap();
        let mut read = [0];
        io::Read::read_exact(&mut back, &mut read).unwrap();
        assert_eq!(&read, b"y");
    }

    #[test]
    fn it_is_told_what_is_wrong_with_the_other_end() {
        let (mut one, other) = pair();
        assert!(one.peer().unwrap().is_own());
        drop(other);
        assert_eq!(why(&one.hear().unwrap_err()), "has ended");
        assert_eq!(why(&one.say(Message::Go).unwrap_err()), "has ended");
        let (mut one, other) = pair();
        sendmsg(&other, &[IoSlice::new(b"?")], &mut Default::default(), SendFlags::empty())
            .unwrap();
        assert_eq!(why(&one.hear().unwrap_err()), "says something that is not understood");
        one.wait_until(Instant::now() + Duration::from_millis(5));
        assert_eq!(why(&one.hear().unwrap_err()), "does not answer in time");
    }

    #[test]
    fn a_name_is_there_once_and_gone_with_its_socket() {
        let at =
            SocketAddr::from(([127, 1, 2, 3], u16::try_from(std::process::id() % 65_536).unwrap()));
        let until = Instant::now() + Duration::from_secs(20);
        assert!(Channel::connect(at, until).unwrap().is_none());
        let held = listen(at).unwrap();
        assert_eq!(listen(at).unwrap_err().kind(), io::ErrorKind::AddrInUse);
        assert!(Channel::connect(at, until).unwrap().is_some());
        drop(held);
        assert!(Channel::connect(at, until).unwrap().is_none());
    }
}
