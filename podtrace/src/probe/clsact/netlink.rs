//! Requests of traffic control to the kernel; each call waits for the answer.
use std::io;

use rtnetlink::{
    packet_core::{
        NLM_F_ACK, NLM_F_CREATE, NLM_F_DUMP, NLM_F_DUMP_INTR, NLM_F_ECHO, NLM_F_EXCL,
        NLM_F_REQUEST, NetlinkBuffer, NetlinkMessage, NlasIterator,
    },
    packet_route::{RouteNetlinkMessage, tc::TcMessage},
    sys::{Socket, SocketAddr, protocols::NETLINK_ROUTE},
};

/// Types of messages that are not requests, linux/netlink.h.
const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
/// `NLMSGERR_ATTR_MSG`: the kernel's message.
const ERROR_TEXT: u16 = 1;
/// The offset of the attributes: they follow the error number and the header of the request.
const ERROR_ATTRIBUTES: usize = 20;
/// How often a dump is requested again: it is incomplete if something changed meanwhile.
const DUMPS_MAX: usize = 8;

/// A connection in the network namespace of the thread that opened it.
pub(super) struct Netlink {
    socket: Socket,
    sequence: u32,
}

/// A parsed answer.
enum Answer {
    /// A part of a dump, or the requested object, without the header.
    Part(Vec<u8>),
    Done,
}

impl Netlink {
    /// # Errors
    /// When the kernel refuses a socket.
    pub(super) fn open() -> io::Result<Self> {
        let mut socket = Socket::new(NETLINK_ROUTE)?;
        socket.bind_auto()?;
        socket.connect(&SocketAddr::new(0, 0))?;
        // Asks for messages with errors, without a copy of the request.
        socket.set_ext_ack(true)?;
        socket.set_cap_ack(true)?;
        Ok(Self {
            socket,
            sequence: 0,
        })
    }

    /// Adds an object.
    ///
    /// # Errors
    /// When the kernel refuses; EEXIST if the object exists.
    pub(super) fn create(&mut self, message: RouteNetlinkMessage) -> io::Result<()> {
        self.change(message, NLM_F_CREATE | NLM_F_EXCL)
    }

    /// Adds objects in order by one system call, which SIGKILL cannot interrupt half-way;
    /// returns the answer to each.
    ///
    /// # Errors
    /// When the kernel does not answer.
    pub(super) fn create_all<const N: usize>(
        &mut self,
        messages: [RouteNetlinkMessage; N],
    ) -> io::Result<[io::Result<()>; N]> {
        let mut all = Vec::new();
        let flags = NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL;
        let sequences = messages.map(|message| {
            all.extend(self.encode(message, flags));
            all.resize(all.len().next_multiple_of(4), 0);
            self.sequence
        });
        self.socket.send(&all, 0)?;
        Ok(sequences.map(|sequence| self.parts(sequence).map(|_| ())))
    }

    /// Removes an object.
    ///
    /// # Errors
    /// When the kernel refuses; ENOENT or EINVAL if there is no such object.
    pub(super) fn remove(&mut self, message: RouteNetlinkMessage) -> io::Result<()> {
        self.change(message, 0)
    }

    /// Lists all objects of a kind, without their headers.
    ///
    /// # Errors
    /// When the kernel refuses, or the objects change faster than they can be listed.
    pub(super) fn dump(
        &mut self,
        message: impl Fn(TcMessage) -> RouteNetlinkMessage,
        question: &TcMessage,
    ) -> io::Result<Vec<Vec<u8>>> {
        for _ in 0..DUMPS_MAX {
            self.send(message(question.clone()), NLM_F_DUMP)?;
            if let Some(parts) = self.parts(self.sequence)? {
                return Ok(parts);
            }
        }
        Err(io::Error::other("a list was never whole: it kept changing"))
    }

    /// Requests one object.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub(super) fn get(&mut self, message: RouteNetlinkMessage) -> io::Result<Option<Vec<u8>>> {
        // Without an echo, the kernel sends the object only to those who listen to changes.
        self.send(message, NLM_F_ACK | NLM_F_ECHO)?;
        Ok(self
            .parts(self.sequence)?
            .and_then(|parts| parts.into_iter().next()))
    }

    fn change(&mut self, message: RouteNetlinkMessage, flags: u16) -> io::Result<()> {
        self.send(message, NLM_F_ACK | flags)?;
        self.parts(self.sequence).map(|_| ())
    }

    fn send(&mut self, message: RouteNetlinkMessage, flags: u16) -> io::Result<()> {
        let bytes = self.encode(message, flags);
        self.socket.send(&bytes, 0).map(|_| ())
    }

    fn encode(&mut self, message: RouteNetlinkMessage, flags: u16) -> Vec<u8> {
        self.sequence += 1;
        let mut message = NetlinkMessage::from(message);
        message.header.flags = NLM_F_REQUEST | flags;
        message.header.sequence_number = self.sequence;
        message.finalize();
        let mut bytes = vec![0; message.buffer_len()];
        message.serialize(&mut bytes);
        bytes
    }

    /// The answer to the request of that number; none if it is incomplete.
    fn parts(&mut self, sequence: u32) -> io::Result<Option<Vec<Vec<u8>>>> {
        let mut parts = Vec::new();
        let mut is_whole = true;
        loop {
            let (datagram, _) = self.socket.recv_from_full()?;
            let mut rest = &datagram[..];
            while !rest.is_empty() {
                let message = NetlinkBuffer::new_checked(rest).map_err(io::Error::other)?;
                if message.sequence_number() == sequence {
                    is_whole &= message.flags() & NLM_F_DUMP_INTR == 0;
                    match answer(&message)? {
                        Answer::Part(part) => parts.push(part),
                        Answer::Done => return Ok(is_whole.then_some(parts)),
                    }
                }
                let len = (message.length() as usize).next_multiple_of(4);
                rest = rest.get(len..).unwrap_or_default();
            }
        }
    }
}

fn answer(message: &NetlinkBuffer<&[u8]>) -> io::Result<Answer> {
    let payload = message.payload();
    match message.message_type() {
        NLMSG_ERROR | NLMSG_DONE => match payload.first_chunk().copied().map(i32::from_ne_bytes) {
            Some(0) | None => Ok(Answer::Done),
            Some(code) => Err(refusal(-code, payload)),
        },
        _ => Ok(Answer::Part(payload.to_vec())),
    }
}

/// The kernel's answer, with its message if there is one.
fn refusal(code: i32, payload: &[u8]) -> io::Error {
    let error = io::Error::from_raw_os_error(code);
    let attributes = payload.get(ERROR_ATTRIBUTES..).unwrap_or_default();
    let text = NlasIterator::new(attributes)
        .filter_map(Result::ok)
        .find(|attribute| attribute.kind() == ERROR_TEXT)
        .and_then(|attribute| String::from_utf8(attribute.value().to_vec()).ok());
    match text {
        Some(text) => Refused::of(error, text.trim_end_matches('\0')),
        None => error,
    }
}

/// An error with the kernel's message.
#[derive(Debug, thiserror::Error)]
#[error("{text}")]
struct Refused {
    text: String,
    source: io::Error,
}

impl Refused {
    fn of(source: io::Error, text: &str) -> io::Error {
        let text = text.to_owned();
        io::Error::new(source.kind(), Self { text, source })
    }
}

/// The error number of a failed request, in either form.
pub(super) fn code(error: &io::Error) -> Option<i32> {
    let refused = error.get_ref().and_then(|inner| inner.downcast_ref());
    let source = refused.map_or(error, |refused: &Refused| &refused.source);
    source.raw_os_error()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusal_keeps_number_and_words() {
        let mut payload = vec![0; ERROR_ATTRIBUTES];
        payload.extend([8, 0, 1, 0]);
        payload.extend(b"no\0\0");
        let error = refusal(libc::EEXIST, &payload);
        assert_eq!(error.to_string(), "no");
        assert_eq!(code(&error), Some(libc::EEXIST));
        let error = refusal(libc::ENOENT, &payload[..ERROR_ATTRIBUTES]);
        assert_eq!(code(&error), Some(libc::ENOENT));
        assert_eq!(code(&refusal(libc::EPERM, &[])), Some(libc::EPERM));
    }
}
