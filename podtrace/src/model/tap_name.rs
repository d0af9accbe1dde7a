//! Names of interfaces as users give them: `cni0`, `veth*`, `default/web/eth0`, `worker1/eth0`.
use std::{fmt, str::FromStr};

use crate::text::glob::{FullName, Glob};

/// A pattern of interfaces: of their name, and of the pod or node that they belong to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TapName {
    owner: Option<FullName>,
    device: Glob,
}

impl TapName {
    /// Whether it is tcpdump's name for the usual interfaces.
    #[must_use]
    pub fn is_any(&self) -> bool {
        self.owner.is_none() && self.device.to_string() == "any"
    }

    /// Those that are asked for; none for all, which tcpdump calls `any`.
    #[must_use]
    pub fn chosen(given: &[Self]) -> &[Self] {
        match given.iter().any(Self::is_any) {
            true => &[],
            false => given,
        }
    }

    /// Whether an interface of that name may be meant.
    #[must_use]
    pub fn fits_device(&self, device: &str) -> bool {
        self.device.matches(device)
    }

    /// Whether an interface is meant. `owner`: tells the pod, `namespace/name`, or the node that
    /// it belongs to.
    #[must_use]
    pub fn fits<O: AsRef<str>>(&self, device: &str, owner: impl FnOnce() -> O) -> bool {
        let is_owner = |wanted: &FullName| wanted.matches(owner().as_ref());
        self.fits_device(device) && self.owner.as_ref().is_none_or(is_owner)
    }
}

/// The text names no interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotATap;

impl FromStr for TapName {
    type Err = NotATap;

    fn from_str(text: &str) -> Result<Self, NotATap> {
        // The name of an interface has no slash.
        let (owner, device) = match text.rsplit_once('/') {
            Some((owner, device)) => (Some(owner), device),
            None => (None, text),
        };
        if device.is_empty() {
            return Err(NotATap);
        }
        let owner = owner.map(str::parse).transpose().ok().ok_or(NotATap)?;
        Ok(Self {
            owner,
            device: Glob::new(device),
        })
    }
}

impl fmt::Display for TapName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(owner) = &self.owner {
            write!(f, "{owner}/")?;
        }
        write!(f, "{}", self.device)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn owner_may_be_a_pod_or_a_node() {
        let fits = |text: &str, device: &str, owner: &str| {
            let name: TapName = text.parse().unwrap();
            assert_eq!(name.to_string(), text);
            name.fits(device, || owner)
        };
        for text in ["eth0", "eth*", "web/eth0", "default/web/eth?", "*/web/*"] {
            assert!(fits(text, "eth0", "default/web"), "{text}");
        }
        for text in ["eth", "db/eth0", "kube-system/web/eth0", "web/lo"] {
            assert!(!fits(text, "eth0", "default/web"), "{text}");
        }
        assert!(fits("worker1/cni0", "cni0", "worker1"));
        for text in ["", "web/", "/eth0", "a/b/c/eth0"] {
            assert_eq!(text.parse::<TapName>(), Err(NotATap), "{text}");
        }
    }
}
