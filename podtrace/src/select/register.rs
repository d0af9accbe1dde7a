//! The names that there are, to tell a mistaken one from one that has no packets.
use std::collections::{BTreeMap, BTreeSet};

use super::{FullName, Peer, Selector, Term, labels::Labels};
use crate::{
    identity::kubernetes::ClusterUpdate,
    model::{pod::Pod, snapshot::Snapshot},
    text::{
        escape::escape,
        glob::Glob,
        names::{list, listed_by},
        sanitize::sanitize,
    },
    update::Update,
};

/// Upper bound of the names of a kind that are kept to be shown.
const NAMES_MAX: usize = 10_000;

/// What a name is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Pod,
    Namespace,
    Labels,
    Container,
    Service,
    Node,
    /// A pod, a Service or a node.
    Peer,
}

/// A name that is asked for.
#[derive(Clone, Debug)]
enum Wanted {
    Full(FullName),
    Plain(Glob),
    Labels(Labels),
}

/// Something to be found.
#[derive(Clone, Debug)]
struct Sought {
    kind: Kind,
    wanted: Wanted,
    /// As it was given.
    text: String,
    /// The option that has it, if one has.
    flag: Option<&'static str>,
}

/// The names that a selector asks for and that nothing has been found to have.
#[derive(Clone, Debug)]
pub struct Register {
    sought: Vec<Sought>,
    known: BTreeMap<Kind, BTreeSet<String>>,
}

impl Register {
    /// Nothing is known yet.
    #[must_use]
    pub fn new(selector: &Selector) -> Self {
        Self {
            sought: selector.terms().flat_map(sought).collect(),
            known: BTreeMap::new(),
        }
    }

    /// Whether each name was found.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.sought.is_empty()
    }

    /// Whether what was not found may be a pod.
    #[must_use]
    pub fn seeks_pod(&self) -> bool {
        let mut kinds = self.sought.iter().map(|sought| sought.kind);
        kinds.any(|kind| kind.covers(Kind::Pod))
    }

    /// The names that were not found, by what they would be: `pod web`.
    #[must_use]
    pub fn missing(&self) -> Option<String> {
        let words = self.sought.iter().map(|sought| {
            let text = escape(&sought.text);
            format!("{} {text}", sought.kind.as_str())
        });
        let words = once_each(words);
        (!words.is_empty()).then(|| list(&words))
    }

    /// The options that have these names, before what is said of them: `--pod web: `. Empty if the
    /// names stand alone.
    #[must_use]
    pub fn options(&self) -> String {
        let of = |sought: &Sought| Some(format!("{} {}", sought.flag?, sought.text));
        let options = once_each(self.sought.iter().filter_map(of));
        match options.is_empty() {
            true => String::new(),
            false => format!("{}: ", list(&options)),
        }
    }

    /// The names of its kind that there are, those like the first missing one first.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        let first = self.sought.first()?;
        let Some(known) = self.known.get(&first.kind) else {
            return Some(match first.kind {
                Kind::Labels => "no pod with labels is known".to_owned(),
                kind => format!("no {} is known", kind.as_str()),
            });
        };
        let is_part = matches!(&first.wanted, Wanted::Full(name) if !name.has_namespace());
        let distance = |name: &str| {
            let name = match name.split_once('/') {
                Some((_, name)) if is_part => name,
                _ => name,
            };
            strsim::damerau_levenshtein(&first.text, name)
        };
        let names = listed_by(known.iter().map(String::as_str), distance);
        Some(format!("there is {names}"))
    }

    /// Takes over the names of an update.
    pub fn learn(&mut self, update: &Update) {
        match update {
            Update::Pods { pods, .. } => pods.iter().for_each(|pod| self.learn_pod(pod)),
            Update::Snapshot(snapshot) => self.learn_snapshot(snapshot),
            Update::TapPoint { point, .. } => self.learn_name(Kind::Node, &point.node_name),
            Update::Cluster { update, .. } => match update {
                ClusterUpdate::Pod(pod) => {
                    self.learn_full(&format!("{}/{}", pod.namespace, pod.name))
                }
                ClusterUpdate::Node(node) => self.learn_name(Kind::Node, &node.name),
                ClusterUpdate::Service(service) => {
                    let name = format!("{}/{}", service.namespace, service.name);
                    self.learn_name(Kind::Service, &name);
                }
                _ => {}
            },
            _ => {}
        }
    }

    /// Takes over the names of pods that were given in a table.
    pub fn learn_snapshot(&mut self, snapshot: &Snapshot) {
        let given = snapshot
            .namespaces
            .iter()
            .filter_map(|space| space.given.as_ref());
        given.for_each(|name| self.learn_full(name));
    }

    /// Takes over the name of a node.
    pub fn learn_node(&mut self, name: &str) {
        self.learn_name(Kind::Node, name);
    }

    fn learn_pod(&mut self, pod: &Pod) {
        self.learn_full(&pod.full_name());
        for container in &pod.containers {
            self.learn_name(Kind::Container, &container.name);
        }
        // The runtime's own are no labels of the pod object.
        let own = |key: &String| key.starts_with("io.kubernetes.");
        for (key, value) in pod.labels.iter().filter(|(key, _)| !own(key)) {
            self.keep(Kind::Labels, &format!("{key}={value}"));
        }
        self.sought.retain(|sought| match &sought.wanted {
            Wanted::Labels(wanted) => !wanted.match_all(&pod.labels),
            _ => true,
        });
    }

    /// Takes over a pod's name with its namespace.
    fn learn_full(&mut self, name: &str) {
        self.learn_name(Kind::Pod, name);
        if let Some((namespace, _)) = name.split_once('/') {
            self.learn_name(Kind::Namespace, namespace);
        }
    }

    fn learn_name(&mut self, kind: Kind, name: &str) {
        let name = sanitize(name);
        self.keep(kind, &name);
        self.sought.retain(|sought| {
            let fits = match &sought.wanted {
                Wanted::Full(wanted) => wanted.matches(&name),
                Wanted::Plain(wanted) => wanted.matches(&name),
                Wanted::Labels(_) => false,
            };
            !sought.kind.covers(kind) || !fits
        });
    }

    fn keep(&mut self, kind: Kind, name: &str) {
        let of_peers = kind.is_peer().then_some(Kind::Peer);
        for kind in [Some(kind), of_peers].into_iter().flatten() {
            let is_sought = self.sought.iter().any(|sought| sought.kind == kind);
            if !is_sought {
                continue;
            }
            let known = self.known.entry(kind).or_default();
            if known.len() < NAMES_MAX && !known.contains(name) {
                known.insert(name.to_owned());
            }
        }
    }
}

impl Kind {
    /// Whether what is of another kind is what is sought.
    fn covers(self, other: Self) -> bool {
        self == other || self == Self::Peer && other.is_peer()
    }

    /// Whether what is of this kind is a peer.
    fn is_peer(self) -> bool {
        matches!(self, Self::Pod | Self::Service | Self::Node)
    }

    fn as_str(self) -> &'static str {
        match self {
            Self::Pod => "pod",
            Self::Namespace => "namespace",
            Self::Labels => "pod with the labels",
            Self::Container => "container",
            Self::Service => "Service",
            Self::Node => "node",
            Self::Peer => "pod, Service or node",
        }
    }
}

/// The words in order, without repetition: one name may be sought twice.
fn once_each(words: impl Iterator<Item = String>) -> Vec<String> {
    let mut each = Vec::new();
    for word in words {
        if !each.contains(&word) {
            each.push(word);
        }
    }
    each
}

/// What has to be found for a term.
fn sought(term: &Term) -> Vec<Sought> {
    let one = |kind, flag, text: String, wanted| Sought {
        kind,
        wanted,
        text,
        flag,
    };
    let full =
        |kind, flag, name: &FullName| one(kind, flag, name.to_string(), Wanted::Full(name.clone()));
    let plain =
        |kind, flag, name: &Glob| one(kind, flag, name.to_string(), Wanted::Plain(name.clone()));
    let of_peer = |flag, peer: &Peer| match peer {
        Peer::Pod(name) => Some(full(Kind::Pod, flag, name)),
        Peer::Named(name) => Some(full(Kind::Peer, flag, name)),
        Peer::Address(_) => None,
    };
    let flag = term.flag();
    match term {
        Term::Pod(name) | Term::FromPod(name) | Term::ToPod(name) => {
            vec![full(Kind::Pod, flag, name)]
        }
        Term::Between(one, other) => {
            let peers = [one, other].into_iter();
            peers.filter_map(|peer| of_peer(flag, peer)).collect()
        }
        Term::Touches(peer) => of_peer(flag, peer).into_iter().collect(),
        Term::Namespace(name) => vec![plain(Kind::Namespace, flag, name)],
        Term::Labels(labels) => {
            let wanted = Wanted::Labels(labels.clone());
            vec![one(Kind::Labels, flag, labels.to_string(), wanted)]
        }
        Term::Container(name) => vec![plain(Kind::Container, flag, name)],
        Term::Service(name) => vec![full(Kind::Service, flag, name)],
        Term::Node(name) => vec![plain(Kind::Node, flag, name)],
        Term::Ip(_)
        | Term::Port(_)
        | Term::Protocol(_)
        | Term::Outcome(_)
        | Term::MinLatency(_) => Vec::new(),
    }
}
