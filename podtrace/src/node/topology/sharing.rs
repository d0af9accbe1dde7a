//! The namespaces that the containers of a pod share.
use std::fmt;

use crate::{
    field::object,
    node::processes::{Namespaces, NsKind},
};

object! {
    /// The kinds of namespace by how a pod's containers use them; a kind unknown for one of the
    /// containers is in none of the lists.
    pub Sharing as "sharing" (Clone, Debug, Default, PartialEq, Eq) {
        /// how many containers were compared, including the sandbox
        compared: usize,
        /// all containers share one, which is the pod's
        shared: Vec<NsKind>,
        /// each container has its own
        separate: Vec<NsKind>,
        /// some containers share one, others do not
        partly: Vec<NsKind>,
        /// all containers are in the node's
        node: Vec<NsKind>,
    }
}

impl Sharing {
    /// Compares the namespaces of a pod's containers with each other and with
    /// the node's own; none without a container.
    #[must_use]
    pub fn of(containers: &[Namespaces], node: &Namespaces) -> Option<Self> {
        if containers.is_empty() {
            return None;
        }
        let mut sharing = Self {
            compared: containers.len(),
            ..Self::default()
        };
        for kind in NsKind::ALL {
            let inodes: Option<Vec<u64>> = containers.iter().map(|ns| ns.get(kind)).collect();
            let Some(mut inodes) = inodes else {
                continue;
            };
            inodes.sort_unstable();
            inodes.dedup();
            let list = match inodes.as_slice() {
                [one] if node.get(kind) == Some(*one) => &mut sharing.node,
                [_] if containers.len() > 1 => &mut sharing.shared,
                several if several.len() == containers.len() => &mut sharing.separate,
                _ => &mut sharing.partly,
            };
            list.push(kind);
        }
        Some(sharing)
    }
}

/// `net, ipc, uts shared; pid, mnt separate; user the node's`
impl fmt::Display for Sharing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let separate = if self.compared == 1 {
            "its own"
        } else {
            "separate"
        };
        let lists = [
            (&self.shared, "shared"),
            (&self.separate, separate),
            (&self.partly, "shared by some"),
            (&self.node, "the node's"),
        ];
        let mut between = "";
        for (kinds, how) in lists {
            if !kinds.is_empty() {
                let names: Vec<_> = kinds.iter().map(|kind| kind.as_str()).collect();
                write!(f, "{between}{} {how}", names.join(", "))?;
                between = "; ";
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ns(inodes: [(NsKind, u64); 3]) -> Namespaces {
        inodes.into_iter().collect()
    }

    #[track_caller]
    fn check(containers: &[Namespaces], expected: &str) {
        let node = ns([(NsKind::Net, 1), (NsKind::Pid, 2), (NsKind::User, 3)]);
        let sharing = Sharing::of(containers, &node).unwrap();
        assert_eq!(sharing.to_string(), expected);
    }

    #[test]
    fn two_containers_of_a_pod() {
        let one = ns([(NsKind::Net, 10), (NsKind::Pid, 11), (NsKind::User, 3)]);
        let two = ns([(NsKind::Net, 10), (NsKind::Pid, 12), (NsKind::User, 3)]);
        check(&[one, two], "net shared; pid separate; user the node's");
        check(&[one], "net, pid its own; user the node's");
    }

    #[test]
    fn kinds_shared_by_two_of_three_are_shared_by_some() {
        let with_pid = |pid| ns([(NsKind::Net, 1), (NsKind::Pid, pid), (NsKind::User, 3)]);
        let expected = "pid shared by some; net, user the node's";
        check(&[with_pid(7), with_pid(7), with_pid(8)], expected);
    }

    #[test]
    fn unknown_kinds_are_left_out() {
        let known = ns([(NsKind::Net, 10), (NsKind::Pid, 11), (NsKind::User, 3)]);
        let partly: Namespaces = [(NsKind::Net, 10)].into_iter().collect();
        check(&[known, partly], "net shared");
        assert_eq!(Sharing::of(&[], &known), None);
    }
}
