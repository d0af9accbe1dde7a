//! Connections to rtnetlink that no name breaks.
//!
//! The kernel takes any bytes as the name of an interface; a message whose name is not UTF-8
//! does not decode, and its interface would not be there. So such names are escaped in the
//! kernel's answers before they are decoded.
use std::{
    borrow::Cow,
    io,
    task::{Context, Poll, ready},
};

use bytes::{BufMut, BytesMut};
use futures_util::Stream;
use rtnetlink::{
    Handle, MulticastGroup, new_connection_with_socket, new_multicast_connection_with_socket,
    packet_core::NetlinkMessage,
    packet_route::RouteNetlinkMessage,
    proto::Connection,
    sys::{AsyncSocket, Socket, SocketAddr, TokioSocket},
};

use crate::text::escape::escape_bytes;

/// A connection, to be driven by a task.
pub(crate) type Escaping = Connection<RouteNetlinkMessage, EscapingSocket>;
/// A message, and who sent it.
type Received = (NetlinkMessage<RouteNetlinkMessage>, SocketAddr);

/// Connects in the calling thread's namespace.
///
/// # Errors
/// When the kernel refuses a socket.
pub(crate) fn connect() -> io::Result<(Escaping, Handle)> {
    let (connection, handle, _) = new_connection_with_socket()?;
    Ok((connection, handle))
}

/// The same to listen to these groups.
///
/// # Errors
/// When the kernel refuses a socket.
pub(crate) fn listen(
    groups: &[MulticastGroup],
) -> io::Result<(
    Escaping,
    Handle,
    impl Stream<Item = Received> + Unpin + Send + use<>,
)> {
    new_multicast_connection_with_socket(groups)
}

/// The kernel's answer to a request, as other system calls give it.
pub(crate) fn answer(error: rtnetlink::Error) -> io::Error {
    match error {
        rtnetlink::Error::NetlinkError(answer) => answer.to_io(),
        rtnetlink::Error::RequestFailed => io::ErrorKind::BrokenPipe.into(),
        _ => io::Error::other("netlink gives an answer that is not one to the question"),
    }
}

/// A socket that escapes names in the messages that it receives.
pub(crate) struct EscapingSocket(TokioSocket);

/// The largest datagram that the kernel sends in a dump.
const DATAGRAM_MAX: usize = 64 << 10;

impl AsyncSocket for EscapingSocket {
    fn socket_ref(&self) -> &Socket {
        self.0.socket_ref()
    }

    fn socket_mut(&mut self) -> &mut Socket {
        self.0.socket_mut()
    }

    fn new(protocol: isize) -> io::Result<Self> {
        TokioSocket::new(protocol).map(Self)
    }

    fn poll_send(&self, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.0.poll_send(context, bytes)
    }

    fn poll_send_to(
        &self,
        context: &mut Context<'_>,
        bytes: &[u8],
        to: &SocketAddr,
    ) -> Poll<io::Result<usize>> {
        self.0.poll_send_to(context, bytes, to)
    }

    fn poll_recv<B: BufMut>(
        &self,
        context: &mut Context<'_>,
        buffer: &mut B,
    ) -> Poll<io::Result<()>> {
        self.poll_recv_from(context, buffer).map_ok(|_| ())
    }

    fn poll_recv_from<B: BufMut>(
        &self,
        context: &mut Context<'_>,
        buffer: &mut B,
    ) -> Poll<io::Result<SocketAddr>> {
        let mut datagram = BytesMut::with_capacity(DATAGRAM_MAX);
        let from = ready!(self.0.poll_recv_from(context, &mut datagram))?;
        buffer.put_slice(&escaped(&datagram));
        Poll::Ready(Ok(from))
    }

    fn poll_recv_from_full(
        &self,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<(Vec<u8>, SocketAddr)>> {
        let (datagram, from) = ready!(self.0.poll_recv_from_full(context))?;
        let datagram = match escaped(&datagram) {
            Cow::Owned(escaped) => escaped,
            Cow::Borrowed(_) => datagram,
        };
        Poll::Ready(Ok((datagram, from)))
    }
}

/// Length of `struct nlmsghdr`, and of the headers behind it (linux/rtnetlink.h).
const MESSAGE_HEADER: usize = 16;
const LINK_HEADER: usize = 16;
const ADDRESS_HEADER: usize = 8;
/// Length of `struct nlattr`, and what attributes and messages are aligned to.
const ATTRIBUTE_HEADER: usize = 4;
const ALIGN: usize = 4;
/// `NLA_TYPE_MASK`.
const KIND_MASK: u16 = 0x3fff;
/// Types of messages: `RTM_NEWLINK`, `RTM_DELLINK`, `RTM_NEWADDR`, `RTM_DELADDR`.
const LINKS: [u16; 2] = [16, 17];
const ADDRESSES: [u16; 2] = [20, 21];
/// Names among a link's attributes: `IFLA_IFNAME`, `IFLA_IFALIAS`, `IFLA_PHYS_PORT_NAME`,
/// `IFLA_ALT_IFNAME`.
const LINK_NAMES: &[u16] = &[3, 20, 38, 53];
/// `IFLA_PROP_LIST`, which holds alternative names.
const LINK_NESTED: &[u16] = &[52];
/// `IFA_LABEL`, which begins with the interface's name.
const ADDRESS_NAMES: &[u16] = &[3];

/// A datagram with all names escaped; one that is malformed stays as it is from there on.
fn escaped(datagram: &[u8]) -> Cow<'_, [u8]> {
    let mut out: Option<Vec<u8>> = None;
    let mut at = 0;
    while let Some(length) = message_length(&datagram[at..]) {
        let end = (at + length.next_multiple_of(ALIGN)).min(datagram.len());
        match escaped_message(&datagram[at..at + length]) {
            Some(message) => out
                .get_or_insert_with(|| datagram[..at].to_vec())
                .extend(message),
            None => {
                if let Some(out) = &mut out {
                    out.extend_from_slice(&datagram[at..end]);
                }
            }
        }
        at = end;
    }
    match out {
        Some(mut out) => {
            out.extend_from_slice(&datagram[at..]);
            out.into()
        }
        None => datagram.into(),
    }
}

/// The length of the message at the beginning, header included, if it is whole.
fn message_length(datagram: &[u8]) -> Option<usize> {
    let length = u32::from_ne_bytes(*datagram.first_chunk()?) as usize;
    (MESSAGE_HEADER..=datagram.len())
        .contains(&length)
        .then_some(length)
}

/// The message with its names escaped, if any has to be.
fn escaped_message(message: &[u8]) -> Option<Vec<u8>> {
    let kind = u16::from_ne_bytes([*message.get(4)?, *message.get(5)?]);
    let (header, names, nested) = if LINKS.contains(&kind) {
        (LINK_HEADER, LINK_NAMES, LINK_NESTED)
    } else if ADDRESSES.contains(&kind) {
        (ADDRESS_HEADER, ADDRESS_NAMES, [].as_slice())
    } else {
        return None;
    };
    let (head, attributes) = message.split_at_checked(MESSAGE_HEADER + header)?;
    let attributes = escaped_attributes(attributes, names, nested)?;
    let mut escaped = [head, &attributes].concat();
    let length = u32::try_from(escaped.len()).ok()?;
    escaped[..4].copy_from_slice(&length.to_ne_bytes());
    Some(escaped)
}

/// The attributes with names escaped, if any has to be.
fn escaped_attributes(attributes: &[u8], names: &[u16], nested: &[u16]) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(attributes.len());
    let mut is_changed = false;
    let mut rest = attributes;
    while let Some((kind, value)) = attribute(rest) {
        let bare = kind & KIND_MASK;
        let changed = if names.contains(&bare) {
            escaped_name(value)
        } else if nested.contains(&bare) {
            escaped_attributes(value, names, nested)
        } else {
            None
        };
        is_changed |= changed.is_some();
        put(&mut out, kind, changed.as_deref().unwrap_or(value))?;
        let length = (ATTRIBUTE_HEADER + value.len()).next_multiple_of(ALIGN);
        rest = rest.get(length..).unwrap_or_default();
    }
    is_changed.then_some(out)
}

/// The kind and the value of the first attribute.
fn attribute(attributes: &[u8]) -> Option<(u16, &[u8])> {
    let [length, kind] = attributes
        .first_chunk::<ATTRIBUTE_HEADER>()
        .map(|[a, b, c, d]| [u16::from_ne_bytes([*a, *b]), u16::from_ne_bytes([*c, *d])])?;
    Some((kind, attributes.get(ATTRIBUTE_HEADER..length.into())?))
}

/// Appends an attribute; none if it is too long for one.
fn put(out: &mut Vec<u8>, kind: u16, value: &[u8]) -> Option<()> {
    let length = u16::try_from(ATTRIBUTE_HEADER + value.len()).ok()?;
    out.extend(length.to_ne_bytes());
    out.extend(kind.to_ne_bytes());
    out.extend(value);
    out.resize(out.len().next_multiple_of(ALIGN), 0);
    Some(())
}

/// A name with its closing zero, if it has to be escaped.
fn escaped_name(value: &[u8]) -> Option<Vec<u8>> {
    let name = value.strip_suffix(b"\0").unwrap_or(value);
    match escape_bytes(name) {
        Cow::Owned(escaped) => Some([escaped.as_bytes(), b"\0"].concat()),
        Cow::Borrowed(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroI32;

    use proptest::prelude::*;
    use rtnetlink::{
        packet_core::{ErrorMessage, NetlinkHeader, NetlinkMessage, NetlinkPayload},
        packet_route::link::{LinkAttribute, LinkMessage},
    };

    use super::*;

    /// A message of the kernel about a link with this name and alternative name.
    fn message(name: &[u8], other: &[u8]) -> Vec<u8> {
        let mut attributes = Vec::new();
        let mut others = Vec::new();
        put(&mut others, 53, other).unwrap();
        put(&mut attributes, 4, &1500_u32.to_ne_bytes()).unwrap();
        put(&mut attributes, 3, name).unwrap();
        put(&mut attributes, 52 | 0x8000, &others).unwrap();
        put(&mut attributes, 5, &7_u32.to_ne_bytes()).unwrap();
        let mut message = vec![0; MESSAGE_HEADER + LINK_HEADER];
        message[4] = 16;
        message.extend(attributes);
        let length = u32::try_from(message.len()).unwrap();
        message[..4].copy_from_slice(&length.to_ne_bytes());
        message
    }

    fn links(datagram: &[u8]) -> Vec<LinkMessage> {
        let mut links = Vec::new();
        let mut rest = datagram;
        while let Some(length) = message_length(rest) {
            let read = NetlinkMessage::<RouteNetlinkMessage>::deserialize(&rest[..length]);
            if let NetlinkPayload::InnerMessage(RouteNetlinkMessage::NewLink(link)) =
                read.unwrap().payload
            {
                links.push(link);
            }
            rest = &rest[length..];
        }
        links
    }

    #[test]
    fn interface_whose_name_is_no_text_is_there_with_all_it_has() {
        let datagram = [
            message(b"eth0\0", b"lan\0"),
            message(b"veth\xff\xfe\0", b"\xc3\0"),
            message(b"cni0\0", b"br\xff\0"),
        ]
        .concat();
        let links = links(&escaped(&datagram));
        let names: Vec<_> = links
            .iter()
            .map(|link| {
                assert!(link.attributes.contains(&LinkAttribute::Mtu(1500)));
                assert!(link.attributes.contains(&LinkAttribute::Link(7)));
                link.attributes
                    .iter()
                    .find_map(|attribute| match attribute {
                        LinkAttribute::IfName(name) => Some(name.clone()),
                        _ => None,
                    })
            })
            .collect();
        let expected = ["eth0", "veth\\xff\\xfe", "cni0"];
        assert_eq!(names, expected.map(|name| Some(name.to_owned())));
    }

    #[test]
    fn refusal_is_that_of_the_system() {
        let mut message = ErrorMessage::default();
        message.code = NonZeroI32::new(-libc::ENODEV);
        let error = answer(rtnetlink::Error::NetlinkError(message));
        assert_eq!(error.raw_os_error(), Some(libc::ENODEV));
        let other = answer(rtnetlink::Error::UnexpectedMessage(NetlinkMessage::new(
            NetlinkHeader::default(),
            NetlinkPayload::Noop,
        )));
        assert!(!other.to_string().contains("Noop"), "{other}");
    }

    #[test]
    fn datagram_without_such_a_name_is_not_copied() {
        let datagram = message(b"eth0\0", b"lan\0");
        assert!(matches!(escaped(&datagram), Cow::Borrowed(_)));
    }

    proptest! {
        #[test]
        fn any_datagram_is_read(datagram in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = escaped(&datagram);
        }

        #[test]
        fn any_name_is_read(name in prop::collection::vec(1_u8.., 1..16)) {
            let named = [name.as_slice(), b"\0"].concat();
            prop_assert_eq!(links(&escaped(&message(&named, &named))).len(), 1);
        }
    }
}
