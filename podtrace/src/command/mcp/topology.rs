//! The tool `topology`.
use anyhow::bail;
use serde_json::{Value, json};

use super::{
    answer::{Answer, BODY_MAX},
    play::Request,
};
use crate::{
    command::topology::recorded::{find, time},
    text::{escape::escape, glob::Glob, names::listed_by},
};

/// What may be asked for.
pub(super) const PARTS: [&str; 4] = ["all", "problems", "pods", "network"];

/// The lists of a node's pods.
const PODS: [&str; 3] = ["pods", "host_network_pods", "unnamed"];

/// Answers with the network as it was recorded.
pub(super) fn answer(request: &Request) -> anyhow::Result<String> {
    let mut notices = request.notices();
    let found = find(&request.files, &request.stop, |words| notices.add(words))?;
    // The last topology may be in what was not read.
    if request.stop.is_set() {
        return Err(request.too_late());
    }
    let given = &request.given;
    let asked = Asked {
        part: given.text("part").unwrap_or(PARTS[0]),
        node: given.text("node"),
        pod: given.text("pod"),
    };
    let mut problems = 0;
    let mut documents = Vec::new();
    let mut names = Names::default();
    for topology in found {
        let as_of = time(&topology)?;
        let mut document = topology.json;
        names.add(&document);
        if asked.only(&mut document) {
            problems += list(&document, "problems").count();
            documents.push(json!({"as_of": as_of, "topology": document}));
        }
    }
    if documents.is_empty() {
        bail!(names.missing(&asked));
    }
    let mut answer = Answer::new();
    answer.field("problems", &problems)?;
    let bounds = (given.limit(), BODY_MAX);
    let hint = "ask for one node, one pod or a part; limit is that of each list";
    answer.document("topologies", &documents.into(), bounds, hint)?;
    answer.finish(notices)
}

/// What is asked for.
struct Asked<'a> {
    part: &'a str,
    node: Option<&'a str>,
    pod: Option<&'a str>,
}

impl Asked<'_> {
    /// Leaves that in a document; false if nothing of it is there.
    fn only(&self, document: &mut Value) -> bool {
        if let Some(node) = self.node {
            for (list, name) in [("nodes", "name"), ("problems", "node")] {
                keep(document.get_mut(list), |one| fits(node, text(one, name)));
            }
        }
        let nodes = document.get_mut("nodes").and_then(Value::as_array_mut);
        let (mut has_node, mut has_pod) = (false, false);
        for node in nodes.into_iter().flatten() {
            has_node = true;
            for list in PODS {
                let list = node.get_mut(list);
                has_pod |= match self.pod {
                    Some(pod) => keep(list, |one| fits(pod, text(one, "name"))),
                    None => true,
                };
            }
            if let Some(fields) = node.as_object_mut() {
                let is_of_pods = |name: &str| PODS.contains(&name);
                match self.part {
                    "pods" => fields.retain(|name, _| name == "name" || is_of_pods(name)),
                    "network" => fields.retain(|name, _| !is_of_pods(name)),
                    _ => {}
                }
            }
        }
        if let ("problems", Some(fields)) = (self.part, document.as_object_mut()) {
            fields.retain(|name, _| name == "problems");
        }
        (has_node || self.node.is_none()) && (has_pod || self.pod.is_none())
    }
}

/// The names in all documents.
#[derive(Default)]
struct Names {
    nodes: Vec<String>,
    pods: Vec<String>,
}

impl Names {
    fn add(&mut self, document: &Value) {
        for node in list(document, "nodes") {
            self.nodes.push(text(node, "name").to_owned());
            let pods = PODS.iter().flat_map(|pods| list(node, pods));
            self.pods
                .extend(pods.map(|pod| text(pod, "name").to_owned()));
        }
    }

    /// Says what is not there.
    fn missing(&self, asked: &Asked<'_>) -> String {
        let is_there = |node: &&str| self.nodes.iter().any(|name| fits(node, name));
        let missing = asked.node.filter(|node| !is_there(node));
        let (kind, missing, known) = match missing {
            Some(node) => ("node", node, &self.nodes),
            None => ("pod", asked.pod.unwrap_or_default(), &self.pods),
        };
        let known = known.iter().map(String::as_str);
        format!(
            "no {kind} {} in the recorded topologies\nhint: there is {}",
            escape(missing),
            listed_by(known, |name| {
                strsim::damerau_levenshtein(missing, compared(missing, name))
            })
        )
    }
}

/// Keeps what fits of a list; returns whether something does.
fn keep(list: Option<&mut Value>, fits: impl Fn(&Value) -> bool) -> bool {
    let Some(list) = list.and_then(Value::as_array_mut) else {
        return false;
    };
    list.retain(fits);
    !list.is_empty()
}

/// Whether a pattern fits a name, or what is behind its namespace.
fn fits(pattern: &str, name: &str) -> bool {
    Glob::new(pattern).matches(compared(pattern, name))
}

/// What a pattern is compared with: without a namespace, if it has none.
fn compared<'a>(pattern: &str, name: &'a str) -> &'a str {
    match name.rsplit_once('/') {
        Some((_, short)) if !pattern.contains('/') => short,
        _ => name,
    }
}

fn text<'a>(value: &'a Value, field: &str) -> &'a str {
    value.get(field).and_then(Value::as_str).unwrap_or_default()
}

fn list<'a>(value: &'a Value, field: &str) -> impl Iterator<Item = &'a Value> {
    let values = value.get(field).and_then(Value::as_array);
    values.into_iter().flatten()
}
