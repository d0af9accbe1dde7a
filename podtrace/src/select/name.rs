//! Names and addresses that terms ask for.
use std::{fmt, net::IpAddr, str::FromStr};

use crate::{packet::covers, text::glob::Glob};

/// The name of a pod or Service, with or without its namespace; both may be patterns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FullName {
    namespace: Option<Glob>,
    name: Glob,
}

impl FullName {
    /// Whether `namespace/name` fits. A name that has no namespace fits a pattern without one.
    #[must_use]
    pub fn matches(&self, full: &str) -> bool {
        match (&self.namespace, full.split_once('/')) {
            (Some(namespace), Some((of, name))) => {
                namespace.matches(of) && self.name.matches(name)
            }
            (Some(_), None) => false,
            (None, split) => self.name.matches(split.map_or(full, |(_, name)| name)),
        }
    }

    /// Whether it has a namespace.
    pub(super) fn has_namespace(&self) -> bool {
        self.namespace.is_some()
    }
}

/// The text has more than one slash, or nothing beside one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotAName;

impl FromStr for FullName {
    type Err = NotAName;

    fn from_str(text: &str) -> Result<Self, NotAName> {
        let (namespace, name) = match text.split_once('/') {
            Some((namespace, name)) => (Some(namespace), name),
            None => (None, text),
        };
        if name.is_empty() || name.contains('/') || namespace == Some("") {
            return Err(NotAName);
        }
        Ok(Self {
            namespace: namespace.map(Glob::new),
            name: Glob::new(name),
        })
    }
}

impl fmt::Display for FullName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(namespace) = &self.namespace {
            write!(f, "{namespace}/")?;
        }
        write!(f, "{}", self.name)
    }
}

/// A range of addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cidr {
    first: IpAddr,
    len: u8,
}

impl Cidr {
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

/// An end of a packet's path: a pod or an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Peer {
    /// A pod.
    Pod(FullName),
    /// An address.
    Address(Cidr),
}

impl FromStr for Peer {
    type Err = NotAName;

    fn from_str(text: &str) -> Result<Self, NotAName> {
        match text.parse() {
            Ok(range) => Ok(Self::Address(range)),
            Err(NoRange) => text.parse().map(Self::Pod),
        }
    }
}
