//! WebSocket (RFC 6455): how events come from pages of browsers, which have no bare TCP. A request of HTTP
//! opens it, then come frames, of which each message is an event. The heads of frames are read and written by
//! `tungstenite`; its own buffers are left out, so that all that is kept of a peer is counted.

use std::io::Cursor;

use serde::{Deserialize, Serialize};
use tungstenite::protocol::frame::FrameHeader;
use tungstenite::protocol::frame::coding::{CloseCode, Control, Data, OpCode};

use crate::limits;

mod opening;

pub(super) use opening::{Asked, read as read_opening, refusal};

/// Bytes of the shortest head of a frame that a client may send, and of the longest.
const HEAD: std::ops::RangeInclusive<usize> = 6..=14;

/// Bytes that a ping or a close may carry (RFC 6455, section 5.5).
const CONTROL: u64 = 125;

/// The frames of a client.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Frames {
    /// A head that is not complete.
    #[serde(with = "crate::state::bytes")]
    head: Vec<u8>,
    /// The frame of which something is missing, and how many bytes of it have come.
    #[serde(with = "begun")]
    frame: Option<(FrameHeader, usize, usize)>,
    /// What the frame of a ping or a close carries.
    #[serde(with = "crate::state::bytes")]
    control: Vec<u8>,
    /// The message so far, which may be of several frames.
    #[serde(with = "crate::state::bytes")]
    message: Vec<u8>,
    /// There are frames of it to come.
    is_begun: bool,
    /// A close was sent, or was received: there is nothing more to say.
    is_closed: bool,
}

/// A frame of which something is missing, its head as on the wire.
mod begun {
    use std::io::Cursor;

    use serde::de::Error as _;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};
    use tungstenite::protocol::frame::FrameHeader;

    type Begun = Option<(FrameHeader, usize, usize)>;

    pub(super) fn serialize<S: Serializer>(begun: &Begun, to: S) -> Result<S::Ok, S::Error> {
        let begun = begun.as_ref().map(|(header, some, other)| {
            let mut head = Vec::new();
            // Writing to a Vec cannot fail.
            let _ = header.format(0, &mut head);
            (head, some, other)
        });
        begun.serialize(to)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Begun, D::Error> {
        let Some((head, some, other)) = Option::<(Vec<u8>, usize, usize)>::deserialize(from)?
        else {
            return Ok(None);
        };
        match FrameHeader::parse(&mut Cursor::new(head)) {
            Ok(Some((header, _))) => Ok(Some((header, some, other))),
            _ => Err(D::Error::custom("this is no head of a frame")),
        }
    }
}

/// What a frame has brought.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// A whole message.
    Message(Vec<u8>),
    /// A part of one, or an answer to a ping that was not sent: nothing is to be done.
    Nothing,
    /// A ping with this in it.
    Ping(Vec<u8>),
    /// The peer says goodbye, with this.
    Close(Vec<u8>),
}

/// Why a connection cannot go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum WebError {
    /// A client has to mask what it sends (section 5.3).
    Unmasked,
    /// Anything else that is no frame, or not now.
    Malformed,
    /// A message is longer than [`limits::OBJECT`].
    TooLong,
}

impl WebError {
    /// What the client is told by the close.
    pub(super) const fn code(self) -> CloseCode {
        match self {
            Self::Unmasked | Self::Malformed => CloseCode::Protocol,
            Self::TooLong => CloseCode::Size,
        }
    }
}

impl Frames {
    /// Bytes that are kept until more come.
    pub(super) fn held(&self) -> usize {
        self.head.len() + self.control.len() + self.message.len()
    }

    /// Takes the next frame off these bytes; nothing if it is not complete with them.
    pub(super) fn next(&mut self, bytes: &mut &[u8]) -> Result<Option<Part>, WebError> {
        let (header, length, had) = match self.frame.take() {
            Some(frame) => frame,
            None => match self.read_head(bytes)? {
                Some((header, length)) => (header, length, 0),
                None => return Ok(None),
            },
        };
        let (now, rest) = bytes.split_at(bytes.len().min(length - had));
        *bytes = rest;
        let to = match header.opcode {
            OpCode::Control(_) => &mut self.control,
            OpCode::Data(_) => &mut self.message,
        };
        let mask = header.mask.unwrap_or_default();
        let masks = mask.iter().cycle().skip(had % mask.len());
        to.extend(now.iter().zip(masks).map(|(byte, mask)| byte ^ mask));
        let has = had + now.len();
        if has < length {
            self.frame = Some((header, length, has));
            return Ok(None);
        }
        Ok(Some(self.end(&header)))
    }

    /// Takes the head of the next frame off these bytes, if it is complete.
    fn read_head(&mut self, bytes: &mut &[u8]) -> Result<Option<(FrameHeader, usize)>, WebError> {
        while let [first, rest @ ..] = *bytes {
            self.head.push(*first);
            *bytes = rest;
            if self.head.get(1).is_some_and(|second| second & 0x80 == 0) {
                return Err(WebError::Unmasked);
            }
            if !HEAD.contains(&self.head.len()) {
                continue;
            }
            let parsed = FrameHeader::parse(&mut Cursor::new(&self.head));
            if let Some((header, length)) = parsed.map_err(|_| WebError::Malformed)? {
                self.head = Vec::new();
                self.check(&header, length)?;
                let length = usize::try_from(length).map_err(|_| WebError::TooLong)?;
                return Ok(Some((header, length)));
            }
        }
        Ok(None)
    }

    /// Whether a frame may come now.
    fn check(&self, header: &FrameHeader, length: u64) -> Result<(), WebError> {
        let is_wrong = match header.opcode {
            OpCode::Control(_) => !header.is_final || length > CONTROL,
            OpCode::Data(Data::Continue) => !self.is_begun,
            OpCode::Data(_) => self.is_begun,
        };
        // Nothing was agreed on that would give them a meaning.
        if is_wrong || header.rsv1 || header.rsv2 || header.rsv3 {
            return Err(WebError::Malformed);
        }
        let is_data = matches!(header.opcode, OpCode::Data(_));
        if is_data && length > (limits::OBJECT - self.message.len()) as u64 {
            return Err(WebError::TooLong);
        }
        Ok(())
    }

    /// All of a frame has come.
    fn end(&mut self, header: &FrameHeader) -> Part {
        match header.opcode {
            OpCode::Control(Control::Ping) => Part::Ping(std::mem::take(&mut self.control)),
            OpCode::Control(Control::Close) => Part::Close(std::mem::take(&mut self.control)),
            OpCode::Control(_) => {
                self.control = Vec::new();
                Part::Nothing
            }
            OpCode::Data(_) => {
                self.is_begun = !header.is_final;
                if self.is_begun {
                    Part::Nothing
                } else {
                    Part::Message(std::mem::take(&mut self.message))
                }
            }
        }
    }

    /// Appends events, a message each.
    pub(super) fn write(&self, events: &[u8], out: &mut Vec<u8>) {
        if self.is_closed {
            return;
        }
        // Each ends with the only LF in it. What the server gathers may be longer and deeper than what peers may send.
        for event in events.split(|byte| *byte == b'\n').filter(|event| !event.is_empty()) {
            write_frame(OpCode::Data(Data::Text), None, event, out);
        }
    }

    /// Appends the answer to a ping.
    pub(super) fn write_pong(&self, said: &[u8], out: &mut Vec<u8>) {
        if !self.is_closed {
            write_frame(OpCode::Control(Control::Pong), None, said, out);
        }
    }

    /// Appends a goodbye, or the answer to one, and says nothing more.
    pub(super) fn close(&mut self, code: CloseCode, out: &mut Vec<u8>) {
        if !std::mem::replace(&mut self.is_closed, true) {
            let code = u16::from(code).to_be_bytes();
            write_frame(OpCode::Control(Control::Close), None, &code, out);
        }
    }
}

/// The code that a peer has closed with, as it is sent back; normal if there is none, and what breaks the protocol
/// if it is none that may be sent (section 7.4).
pub(super) fn code_of(said: &[u8]) -> CloseCode {
    match said {
        [] => CloseCode::Normal,
        [high, low, ..] => Some(CloseCode::from(u16::from_be_bytes([*high, *low])))
            .filter(|code| code.is_allowed())
            .unwrap_or(CloseCode::Protocol),
        [_] => CloseCode::Protocol,
    }
}

/// A message as a client would send it, so that it can be read once more.
pub(super) fn as_sent(message: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(message.len() + HEAD.end());
    write_frame(OpCode::Data(Data::Text), Some([0; 4]), message, &mut bytes);
    bytes
}

fn write_frame(opcode: OpCode, mask: Option<[u8; 4]>, payload: &[u8], out: &mut Vec<u8>) {
    let header = FrameHeader { opcode, mask, ..FrameHeader::default() };
    // Writing to memory does not fail.
    let _ = header.format(payload.len() as u64, out);
    out.extend_from_slice(payload);
}
