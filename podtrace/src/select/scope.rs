//! What a selector asks for in advance: pods, whose interfaces are the first to be attached to,
//! and protocols, by which the kernel passes over other packets.
use std::collections::BTreeMap;

use super::{FullName, Peer, Selector, Term};

impl Selector {
    /// Whether each packet that it asks for touches a pod that it describes.
    #[must_use]
    pub fn is_for_pods(&self) -> bool {
        self.pods().next().is_some()
    }

    /// Whether it describes this pod, `namespace/name`. `labels`: as far as they are known.
    #[must_use]
    pub fn is_for_pod(&self, pod: &str, labels: Option<&BTreeMap<String, String>>) -> bool {
        let is_it = |name: &FullName| name.matches(pod);
        self.pods().any(|term| match term {
            Term::Pod(name) | Term::FromPod(name) | Term::ToPod(name) => is_it(name),
            Term::Between(one, other) => one.is_called(pod) || other.is_called(pod),
            Term::Touches(peer) => peer.is_called(pod),
            Term::Namespace(wanted) => pod
                .split_once('/')
                .is_some_and(|(namespace, _)| wanted.matches(namespace)),
            Term::Labels(wanted) => labels.is_some_and(|labels| wanted.match_all(labels)),
            _ => false,
        })
    }

    /// The protocols of which each packet that it asks for has one, as libpcap names them; none
    /// if it may have another.
    #[must_use]
    pub fn protocols(&self) -> Option<Vec<&'static str>> {
        self.groups
            .iter()
            .filter(|group| !group.is_negated)
            .find_map(|group| {
                let names = group.terms.iter().map(|term| match term {
                    Term::Protocol(protocol) => protocol.in_kernel(),
                    _ => None,
                });
                Some(names.collect::<Option<Vec<_>>>()?.concat())
            })
    }

    /// The terms that describe pods and are not negated.
    fn pods(&self) -> impl Iterator<Item = &Term> {
        let is_of_pods = |term: &Term| match term {
            Term::Pod(_)
            | Term::FromPod(_)
            | Term::ToPod(_)
            | Term::Namespace(_)
            | Term::Labels(_) => true,
            Term::Between(one, other) => [one, other]
                .into_iter()
                .any(|peer| matches!(peer, Peer::Pod(_))),
            // A Service has other pods behind it, but those of the pair come first.
            Term::Touches(_) => true,
            _ => false,
        };
        self.groups
            .iter()
            .filter(move |group| !group.is_negated && group.terms.iter().all(is_of_pods))
            .flat_map(|group| &group.terms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::select::protocol::Protocol;

    #[test]
    fn pods_are_those_of_terms_that_have_to_be_met() {
        let pod = |text: &str| Term::Pod(text.parse().unwrap());
        let between = |a: &str, b: &str| Term::Between(a.parse().unwrap(), b.parse().unwrap());
        for (terms, wanted, others) in [
            (
                vec![(false, pod("web"))],
                &["a/web", "b/web"][..],
                &["a/db"][..],
            ),
            (vec![(true, pod("web"))], &[], &[]),
            (vec![(false, Term::Port(80))], &[], &[]),
            (
                vec![
                    (false, pod("web")),
                    (true, pod("web")),
                    (false, between("db", "10.0.0.1")),
                ],
                &["a/web", "a/db"],
                &["a/x"],
            ),
            // One of the two is enough, and says nothing of pods.
            (
                vec![
                    (false, between("a", "b")),
                    (false, between("10.0.0.1", "10.0.0.2")),
                ],
                &[],
                &[],
            ),
        ] {
            let selector = Selector::new(terms.clone()).unwrap();
            assert_eq!(selector.is_for_pods(), !wanted.is_empty(), "{terms:?}");
            for name in wanted {
                assert!(selector.is_for_pod(name, None), "{terms:?} {name}");
            }
            for name in others {
                assert!(!selector.is_for_pod(name, None), "{terms:?} {name}");
            }
        }
        let labels = Term::Labels("app=web".parse().unwrap());
        let selector = Selector::new([(false, labels)]).unwrap();
        let known = [("app".to_owned(), "web".to_owned())].into();
        assert!(selector.is_for_pod("a/x", Some(&known)) && !selector.is_for_pod("a/x", None));
    }

    #[test]
    fn protocols_are_those_that_a_packet_needs() {
        let protocol = |text: &str| Term::Protocol(text.parse::<Protocol>().unwrap());
        for (terms, expected) in [
            (vec![(false, protocol("tcp"))], Some(vec!["tcp"])),
            (
                vec![
                    (false, protocol("icmp")),
                    (false, protocol("udp")),
                    (false, Term::Port(53)),
                ],
                Some(vec!["icmp", "icmp6", "udp"]),
            ),
            // ARP passes anyway.
            (vec![(false, protocol("arp"))], Some(vec![])),
            (
                vec![(false, protocol("tcp")), (false, protocol("47"))],
                None,
            ),
            (vec![(true, protocol("tcp"))], None),
            (vec![(false, Term::Port(53))], None),
        ] {
            let selector = Selector::new(terms.clone()).unwrap();
            assert_eq!(selector.protocols(), expected, "{terms:?}");
        }
    }
}
