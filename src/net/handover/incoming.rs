//! The parts of the state, which are read while the running process writes those behind them.

use std::io;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::{Builder, Scope};

use super::channel::Channel;
use super::message::{Message, Packet};
use crate::state::{Part, Parts};

/// More bytes than most parts have, for which room is made before they come.
const ROOM: usize = 4 << 20;

/// A part, or none if those were all.
type Next = io::Result<Option<Part>>;

/// What has come of them so far. A thread takes them from the other process, as few of them find room in the socket.
pub(super) struct IncomingState {
    next: Receiver<Next>,
    here: Vec<Part>,
    ended: Option<io::Result<()>>,
}

impl IncomingState {
    /// Those that come next.
    ///
    /// # Errors
    /// If the system has no thread left.
    pub(super) fn new<'scope>(
        scope: &'scope Scope<'scope, '_>,
        from: &'scope mut Channel,
    ) -> io::Result<Self> {
        let (to, next) = channel();
        let receive = move || receive_all(from, &to);
        Builder::new().name("state".into()).spawn_scoped(scope, receive)?;
        Ok(Self { next, here: Vec::new(), ended: None })
    }

    /// Waits for the next one. False: there is none.
    fn wait(&mut self) -> bool {
        if self.ended.is_some() {
            return false;
        }
        match self.next.recv() {
            Ok(Ok(Some(part))) => self.here.push(part),
            Ok(Ok(None)) => self.ended = Some(Ok(())),
            Ok(Err(error)) => self.ended = Some(Err(error)),
            // The thread is gone without a word.
            Err(_) => self.ended = Some(Err(io::ErrorKind::Other.into())),
        }
        self.ended.is_none()
    }

    /// Waits for all that nobody has asked for.
    ///
    /// # Errors
    /// If not all came.
    pub(super) fn end(mut self) -> io::Result<()> {
        while self.wait() {}
        self.ended.unwrap_or(Ok(()))
    }
}

impl Parts for IncomingState {
    fn part(&mut self, name: &str) -> Option<&Part> {
        while !self.here.iter().any(|part| part.name == name) {
            if !self.wait() {
                return None;
            }
        }
        self.here.iter().find(|part| part.name == name)
    }

    fn is_cut(&self) -> bool {
        matches!(self.ended, Some(Err(_)))
    }
}

/// Passes all parts on, as soon as each is there.
fn receive_all(from: &mut Channel, to: &Sender<Next>) {
    loop {
        let next = receive(from);
        let is_last = !matches!(next, Ok(Some(_)));
        if to.send(next).is_err() || is_last {
            return;
        }
    }
}

fn receive(from: &mut Channel) -> Next {
    let invalid = || io::Error::from(io::ErrorKind::InvalidData);
    let (name, version, length) = match from.hear()? {
        Message::Part { name, version, length } => (name, version, length),
        Message::Whole => return Ok(None),
        _ => return Err(invalid()),
    };
    let mut bytes = Vec::with_capacity(length.min(ROOM));
    while bytes.len() < length {
        let (Packet::Bytes(more), _) = from.receive()? else { return Err(invalid()) };
        if more.is_empty() || more.len() > length - bytes.len() {
            return Err(invalid());
        }
        bytes.extend_from_slice(more);
    }
    Ok(Some(Part { name, version, bytes }))
}
