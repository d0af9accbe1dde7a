//! The ends of a conversation, with the names of pods and nodes.
use std::{
    fmt::{self, Display},
    net::IpAddr,
    sync::Arc,
};

use crate::path::ends::{End, Who};

/// One end of a conversation.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Party {
    /// `namespace/pod`, or the name of a node; none if the owner of the address is not known.
    pub name: Option<Arc<str>>,
    /// Whether that is a pod.
    pub is_pod: bool,
    /// Its address.
    pub address: IpAddr,
    /// Its port, of TCP and UDP.
    pub port: Option<u16>,
}

impl Party {
    /// An end without a name.
    pub(super) fn new((address, port): (IpAddr, Option<u16>)) -> Self {
        Self {
            name: None,
            is_pod: false,
            address,
            port,
        }
    }

    /// Takes over the name that a path shows.
    pub(super) fn name(&mut self, end: &End) {
        let (name, is_pod) = match &end.who {
            Who::Pod(name) => (name, true),
            Who::Node(name) => (name, false),
            Who::On(_) | Who::Unknown => return,
        };
        self.name = Some(Arc::clone(name));
        self.is_pod = is_pod;
    }

    /// The name alone, or the address.
    #[must_use]
    pub fn who(&self) -> String {
        let name = self.name.as_deref();
        name.map_or_else(|| self.address.to_string(), ToOwned::to_owned)
    }
}

/// `default/web (10.244.1.3:80)`, or the address alone
impl Display for Party {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(name) = &self.name {
            write!(f, "{name} (")?;
        }
        match (self.address, self.port) {
            (IpAddr::V6(address), Some(port)) => write!(f, "[{address}]:{port}")?,
            (address, Some(port)) => write!(f, "{address}:{port}")?,
            (address, None) => write!(f, "{address}")?,
        }
        match self.name {
            Some(_) => f.write_str(")"),
            None => Ok(()),
        }
    }
}
