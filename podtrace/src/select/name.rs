//! Pods and addresses that terms ask for.
use std::{net::IpAddr, str::FromStr};

pub use crate::text::glob::FullName;
use crate::{packet::covers, text::glob::NotAName};

/// A range of addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cidr {
    first: IpAddr,
    len: u8,
}

impl Cidr {
    /// The address, if it is a single one.
    #[must_use]
    pub fn single(&self) -> Option<IpAddr> {
        let most = if self.first.is_ipv4() { 32 } else { 128 };
        (self.len == most).then_some(self.first)
    }

    /// Whether an address is in it.
    #[must_use]
    pub fn covers(&self, address: IpAddr) -> bool {
        covers(self.first, self.len, address)
    }
}

/// The text is no address, with or without the length of a prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoRange;

impl FromStr for Cidr {
    type Err = NoRange;

    fn from_str(text: &str) -> Result<Self, NoRange> {
        let (address, len) = match text.split_once('/') {
            Some((address, len)) => (address, Some(len)),
            None => (text, None),
        };
        let first: IpAddr = address.parse().ok().ok_or(NoRange)?;
        let most = if first.is_ipv4() { 32 } else { 128 };
        let len = match len {
            Some(len) => len.parse().ok().filter(|len| *len <= most),
            None => Some(most),
        };
        Ok(Self {
            first,
            len: len.ok_or(NoRange)?,
        })
    }
}

/// An end of a packet's path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Peer {
    /// A pod.
    Pod(FullName),
    /// A pod, a Service or a node.
    Named(FullName),
    /// An address.
    Address(Cidr),
}

impl FromStr for Peer {
    type Err = NotAName;

    fn from_str(text: &str) -> Result<Self, NotAName> {
        match text.parse() {
            Ok(range) => Ok(Self::Address(range)),
            Err(NoRange) => match text.split_once('/') {
                // A range that is wrong would be a pod's name, with its namespace.
                Some((address, _)) if address.parse::<IpAddr>().is_ok() => Err(NotAName),
                _ => text.parse().map(Self::Pod),
            },
        }
    }
}
