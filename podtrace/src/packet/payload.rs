//! What a packet's payload says, where it is read.
use super::{
    DecodeOptions, Packet, Transport,
    decode::UDP_LEN,
    dns::{self, Dns},
    quote::Quote,
};

/// The content of a payload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Payload {
    /// The packet that an ICMP error quotes.
    Quote(Quote),
    /// A message of DNS.
    Dns(Dns),
}

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
            _ => return None,
        };
        Some(Box::new(content))
    }

    /// The quoted packet, if it is one.
    #[must_use]
    pub fn quote(&self) -> Option<&Quote> {
        match self {
            Self::Quote(quote) => Some(quote),
            Self::Dns(_) => None,
        }
    }

    /// The message, if it is one of DNS.
    #[must_use]
    pub fn dns(&self) -> Option<&Dns> {
        match self {
            Self::Dns(dns) => Some(dns),
            Self::Quote(_) => None,
        }
    }

    /// Its size in memory, in bytes.
    pub(crate) fn bytes(&self) -> usize {
        size_of_val(self) + self.dns().map_or(0, Dns::heap_bytes)
    }
}
