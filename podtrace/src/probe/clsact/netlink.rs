//! Requests of traffic control to the kernel, answered before they return.
use std::io;

use rtnetlink::{
    packet_core::{
        NLM_F_ACK, NLM_F_CREATE, NLM_F_DUMP, NLM_F_DUMP_INTR, NLM_F_ECHO, NLM_F_EXCL,
        NLM_F_REQUEST, NetlinkBuffer, NetlinkMessage, NlasIterator,
    },
    packet_route::{RouteNetlinkMessage, tc::TcMessage},
    sys::{Socket, SocketAddr, protocols::NETLINK_ROUTE},
};

/// Types of messages that are no requests, linux/netlink.h.
const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
/// `NLMSGERR_ATTR_MSG`: the kernel's own words.
const ERROR_TEXT: u16 = 1;
/// Where attributes begin behind an error's number and the header it is about.
const ERROR_ATTRIBUTES: usize = 20;
/// A dump during which something changed is not whole: so often it is asked for again.
const DUMPS_MAX: usize = 8;

/// A connection in the network namespace of the thread that opened it.
pub(super) struct Netlink {
    socket: Socket,
    sequence: u32,
}

/// What an answer is.
enum Answer {
    /// A part of a dump, or what was asked for, without the header.
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
        // Errors in words, without the request that they are about.
        socket.set_ext_ack(true)?;
        socket.set_cap_ack(true)?;
        Ok(Self {
            socket,
            sequence: 0,
        })
    }

    /// Makes what is not there yet.
    ///
    /// # Errors
    /// When the kernel refuses; EEXIST when it is there.
    pub(super) fn create(&mut self, message: RouteNetlinkMessage) -> io::Result<()> {
        self.change(message, NLM_F_CREATE | NLM_F_EXCL)
    }

    /// Makes things one after the other in one call of the kernel, which SIGKILL does not
    /// cut in two; the answer to each.
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

    /// Removes something.
    ///
    /// # Errors
    /// When the kernel refuses; ENOENT or EINVAL when it is not there.
    pub(super) fn remove(&mut self, message: RouteNetlinkMessage) -> io::Result<()> {
        self.change(message, 0)
    }

    /// What there is of a kind, each without its header.
    ///
    /// # Errors
    /// When the kernel refuses, or things change faster than they can be listed.
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

    /// Asks for one thing.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub(super) fn get(&mut self, message: RouteNetlinkMessage) -> io::Result<Option<Vec<u8>>> {
        // Without an echo the kernel tells only who listens to changes.
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

    /// The answer to the request of that number; none if it is not whole.
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

/// The kernel's answer, in its own words if it has any.
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

/// An error with the kernel's words about it.
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

/// The error number of a request that failed, however it is told.
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
