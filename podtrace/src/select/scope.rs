//! The pods that a selector asks for: their interfaces are the first to be attached to.
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
            Term::Between(one, other) => [one, other].into_iter().any(|peer| match peer {
                Peer::Pod(name) => is_it(name),
                Peer::Address(_) => false,
            }),
            Term::Namespace(wanted) => pod
                .split_once('/')
                .is_some_and(|(namespace, _)| wanted.matches(namespace)),
            Term::Labels(wanted) => labels.is_some_and(|labels| wanted.match_all(labels)),
            _ => false,
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
}
