//! What `podtrace extcap` answers: sentences of a word and values in braces, one in a line
//! (Wireshark's extcap(4)).
use std::fmt::Display;

use podtrace_ebpf::config::{SNAPLEN_DEFAULT, SNAPLEN_MAX, SNAPLEN_MIN};

use crate::{
    path::Outcome,
    text::sanitize::{is_safe, sanitize},
};

/// The interface.
pub(crate) const INTERFACE: &str = "podtrace";
/// The options of the dialogue: with them, podtrace is called as with its own.
pub(crate) const OPTIONS: [Field; 13] = [
    Field {
        kind: Kind::Reloaded,
        ..Field::text(
            "--pod",
            "Pod",
            "Only packets that this pod sends or receives, or that pass its interfaces. The button lists \
             the pods of this node.",
        )
    },
    Field::text(
        "--from-pod",
        "From pod",
        "Only packets that this pod sends: default/web, web, web-*",
    ),
    Field::text(
        "--to-pod",
        "To pod",
        "Only packets that this pod receives: default/web, web, web-*",
    ),
    Field::text(
        "--namespace",
        "Namespace",
        "Only packets of pods in this Kubernetes namespace",
    ),
    Field::text(
        "--selector",
        "Labels",
        "Only packets of pods with these labels: app=web,tier=front",
    ),
    Field::text(
        "--container",
        "Container",
        "Only packets that a container of this name sends or receives",
    ),
    Field {
        kind: Kind::Choice(&Outcome::NAMES),
        ..Field::text(
            "--outcome",
            "Outcome",
            "Only packets that ended so. They come once that is known.",
        )
    },
    Field::text(
        "--interface",
        "Interface",
        "Watch only interfaces of this name, on the node and in pods: cni0, veth*, default/web/eth0",
    ),
    Field {
        kind: Kind::Bytes,
        ..Field::text(
            "--snaplen",
            "Snapshot length",
            "Capture at most this many bytes of each packet",
        )
    },
    Field {
        kind: Kind::Flag,
        ..Field::text(
            "--headers-only",
            "Headers only",
            "Of TCP and UDP, capture only the headers",
        )
    },
    Field {
        kind: Kind::File,
        ..Field::text(
            "--kubeconfig",
            "Kubeconfig",
            "Name remote pods and nodes by the Kubernetes API",
        )
    },
    Field::text(
        "--cri-socket",
        "Runtime socket",
        "Ask the container runtime at this socket for names",
    ),
    Field::text(
        "--netns",
        "Node",
        "The node in this network namespace instead of this machine",
    ),
];
/// How many pods are listed.
const PODS_MAX: usize = 1000;

/// An option of the dialogue.
pub(crate) struct Field {
    pub(crate) call: &'static str,
    display: &'static str,
    tooltip: &'static str,
    kind: Kind,
}

/// What is filled in.
enum Kind {
    Text,
    /// One of the values that a button asks for. Wireshark 4.0 has no such list that is also text.
    Reloaded,
    Choice(&'static [&'static str]),
    Bytes,
    Flag,
    File,
}

impl Field {
    const fn text(call: &'static str, display: &'static str, tooltip: &'static str) -> Self {
        Self {
            call,
            display,
            tooltip,
            kind: Kind::Text,
        }
    }

    /// The sentences that describe it.
    fn sentences(&self, number: usize) -> Vec<Sentence> {
        let arg = Sentence::new("arg")
            .with("number", number)
            .with("call", self.call)
            .with("display", self.display)
            .with("tooltip", self.tooltip);
        match self.kind {
            Kind::Text => vec![arg.with("type", "string")],
            Kind::Reloaded => {
                let arg = arg.with("type", "selector").with("reload", true);
                let arg = arg.with("placeholder", "List the pods");
                vec![arg, left_out(number)]
            }
            Kind::Choice(names) => {
                let values = names.iter().map(|name| value(number, name, name));
                let first = [arg.with("type", "selector"), left_out(number)];
                first.into_iter().chain(values).collect()
            }
            Kind::Bytes => {
                let arg = arg.with("type", "unsigned");
                let range = format!("{SNAPLEN_MIN},{SNAPLEN_MAX}");
                vec![arg.with("range", range).with("default", SNAPLEN_DEFAULT)]
            }
            Kind::Flag => vec![arg.with("type", "boolflag").with("default", false)],
            Kind::File => vec![arg.with("type", "fileselect").with("mustexist", true)],
        }
    }
}

/// The value that leaves an option out: Wireshark hands over no empty one.
fn left_out(number: usize) -> Sentence {
    value(number, "", "any").with("default", true)
}

fn value(number: usize, value: impl Display, display: impl Display) -> Sentence {
    let sentence = Sentence::new("value").with("arg", number);
    sentence.with("value", value).with("display", display)
}

/// Appends the version and the interface.
pub(crate) fn interfaces(out: &mut String) {
    version(out);
    let sentence = Sentence::new("interface").with("value", INTERFACE);
    let words = "Kubernetes node, hop by hop";
    sentence.with("display", words).end(out);
}

/// Appends the version.
pub(crate) fn version(out: &mut String) {
    let sentence = Sentence::new("extcap").with("version", env!("CARGO_PKG_VERSION"));
    sentence.with("display", "podtrace").end(out);
}

/// Appends the link layer of the interface: all packets have an Ethernet header.
pub(crate) fn link_layers(out: &mut String) {
    const EN10MB: u32 = 1;
    let sentence = Sentence::new("dlt").with("number", EN10MB);
    sentence
        .with("name", "EN10MB")
        .with("display", "Ethernet")
        .end(out);
}

/// Appends the options of the interface.
pub(crate) fn options(out: &mut String) {
    for (number, field) in OPTIONS.iter().enumerate() {
        for sentence in field.sentences(number) {
            sentence.end(out);
        }
    }
}

/// Appends the pods as values of their option.
pub(crate) fn pods(out: &mut String, pods: impl IntoIterator<Item = String>) {
    let mut pods: Vec<_> = pods.into_iter().collect();
    pods.sort_unstable();
    pods.dedup();
    let is_for_pods = |field: &Field| matches!(field.kind, Kind::Reloaded);
    let number = OPTIONS.iter().position(is_for_pods).unwrap_or_default();
    left_out(number).end(out);
    for pod in pods.iter().take(PODS_MAX) {
        value(number, pattern(pod), pod).end(out);
    }
}

/// A pattern that a name matches, without what no sentence can hold.
fn pattern(name: &str) -> String {
    let is_held = |c: char| is_safe(c) && !matches!(c, '{' | '}');
    let chars = name.chars();
    chars.map(|c| if is_held(c) { c } else { '?' }).collect()
}

/// A sentence.
struct Sentence(String);

impl Sentence {
    fn new(word: &str) -> Self {
        Self(format!("{word} "))
    }

    /// Adds a value. Sentences know no escape: braces in it become parentheses.
    fn with(mut self, key: &str, value: impl Display) -> Self {
        let value = sanitize(&value.to_string());
        let value = value.replace('{', "(").replace('}', ")");
        self.0 += &format!("{{{key}={value}}}");
        self
    }

    fn end(self, out: &mut String) {
        out.push_str(&self.0);
        out.push('\n');
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn lists() {
        let mut out = String::new();
        interfaces(&mut out);
        link_layers(&mut out);
        options(&mut out);
        insta::assert_snapshot!(out.replace(env!("CARGO_PKG_VERSION"), "VERSION"));
    }

    #[test]
    fn pods_are_values_of_their_option() {
        let mut out = String::new();
        pods(
            &mut out,
            ["default/web", "a/b{c}\n}{x=1}", "default/web"].map(str::to_owned),
        );
        assert_eq!(
            out,
            "value {arg=0}{value=}{display=any}{default=true}\n\
             value {arg=0}{value=a/b?c????x=1?}{display=a/b(c)\u{fffd})(x=1)}\n\
             value {arg=0}{value=default/web}{display=default/web}\n"
        );
    }

    proptest! {
        /// A name is one value of one sentence, and the pattern matches it.
        #[test]
        fn names_stay_in_their_value(name in any::<String>()) {
            let mut out = String::new();
            pods(&mut out, [name.clone()]);
            prop_assert_eq!(out.lines().count(), 2);
            let line = out.lines().nth(1).unwrap();
            prop_assert_eq!(line.matches('{').count(), 3);
            prop_assert_eq!(line.matches('}').count(), 3);
            let pattern = pattern(&name);
            prop_assert!(crate::text::glob::Glob::new(&pattern).matches(&name));
        }
    }
}
