//! Interfaces, and the pods and nodes that they are in, by name.
use std::{
    fmt::{self, Display},
    sync::Arc,
};

/// An interface by name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The node.
    pub node: Arc<str>,
    /// The pod, if it is in one.
    pub pod: Option<Arc<str>>,
    /// The interface.
    pub interface: Arc<str>,
    /// The path that opens the pod's namespace on its node, if it is known.
    pub path: Option<Arc<str>>,
}

/// A pod or a node by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Owner {
    /// Its name.
    pub name: Arc<str>,
    /// Whether it is a pod.
    pub is_pod: bool,
    /// The path that opens the pod's namespace on its node, if it is known.
    pub path: Option<Arc<str>>,
}

impl Owner {
    /// Whoever has a namespace of which nothing is known.
    pub(crate) fn unnamed(netns: u64) -> Self {
        Self {
            name: format!("netns:{netns}").into(),
            ..Self::default()
        }
    }
}

impl Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

impl Place {
    /// The pod, or the node of what is in none, as somebody to be told to do something.
    #[must_use]
    pub fn owned_by(&self) -> Owner {
        Owner {
            name: Arc::clone(self.pod.as_ref().unwrap_or(&self.node)),
            is_pod: self.pod.is_some(),
            path: self.path.clone(),
        }
    }

    /// The pod, or the node of what is in none.
    #[must_use]
    pub fn owner(&self) -> &str {
        self.pod.as_deref().unwrap_or(&self.node)
    }
}

/// `cni0 of worker1`, `eth0 of default/web`
impl Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {}", self.interface, self.owner())
    }
}
