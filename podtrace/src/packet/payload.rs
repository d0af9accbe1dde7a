//! What a packet's payload says, where it is read.
use super::{
    DecodeOptions, Packet, Transport,
    decode::UDP_LEN,
    dns::{self, Dns},
    http::Http,
    quote::Quote,
};

/// The content of a payload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Payload {
    /// The packet that an ICMP error quotes.
    Quote(Quote),
    /// A message of DNS.
    Dns(Dns),
    /// The first line of a message of HTTP.
    Http(Http),
}

/// Where a TCP header has its own length, in units of four bytes in the high bits.
const TCP_LEN: usize = 12;

impl Payload {
    /// The content of a packet's payload, if it is of a kind that is read. `frame`: the bytes
    /// from which the packet was decoded; `transport`: where its transport header begins.
    #[inline]
    pub(super) fn of(
        packet: &Packet,
        frame: &[u8],
        transport: usize,
        options: &DecodeOptions,
    ) -> Option<Box<Self>> {
        let content = match packet.transport {
            Transport::Icmp { .. } => {
                Self::Quote(Quote::read(packet, frame.get(transport..)?, options)?)
            }
            Transport::Udp {
                source,
                destination,
                ..
            } if dns::is_dns(source, destination) => {
                Self::Dns(Dns::read(frame.get(transport + UDP_LEN..)?)?)
            }
            Transport::Tcp {
                source,
                destination,
                payload: length @ 1..,
                ..
            } => {
                let header = usize::from(frame.get(transport + TCP_LEN)? >> 4) * 4;
                let content = frame.get(transport + header..)?;
                // Ethernet may pad it.
                let length = content.len().min(length as usize);
                let content = content.get(..length)?;
                if dns::is_dns(source, destination) {
                    Self::Dns(Dns::read_segment(content)?)
                } else {
                    Self::Http(Http::read(content)?)
                }
            }
            _ => return None,
        };
        Some(Box::new(content))
    }

    /// The quoted packet, if it is one.
    #[must_use]
    pub fn quote(&self) -> Option<&Quote> {
        match self {
            Self::Quote(quote) => Some(quote),
            Self::Dns(_) | Self::Http(_) => None,
        }
    }

    /// The message, if it is one of DNS.
    #[must_use]
    pub fn dns(&self) -> Option<&Dns> {
        match self {
            Self::Dns(dns) => Some(dns),
            Self::Quote(_) | Self::Http(_) => None,
        }
    }

    /// The first line, if it is one of HTTP.
    #[must_use]
    pub fn http(&self) -> Option<&Http> {
        match self {
            Self::Http(http) => Some(http),
            Self::Quote(_) | Self::Dns(_) => None,
        }
    }

    /// Its size in memory, in bytes.
    pub(crate) fn bytes(&self) -> usize {
        let own = match self {
            Self::Quote(_) => 0,
            Self::Dns(dns) => dns.heap_bytes(),
            Self::Http(http) => http.heap_bytes(),
        };
        size_of_val(self) + own
    }
}
