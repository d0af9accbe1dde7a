//! The tool `topology`.
use serde_json::{Value, json};

use super::{
    answer::{Answer, BODY_MAX, Notices, fit},
    play::Request,
};
use crate::{
    command::topology::recorded::{find, time},
    text::glob::Glob,
};

/// What may be asked for.
pub(super) const PARTS: [&str; 4] = ["all", "problems", "pods", "network"];

/// The lists of a node's pods.
const PODS: [&str; 3] = ["pods", "host_network_pods", "unnamed"];

/// Answers with the network as it was recorded.
pub(super) fn answer(request: &Request) -> anyhow::Result<String> {
    let mut notices = Notices::default();
    let found = find(&request.files, &request.stop, |words| notices.add(words))?;
    // The last topology may be in what was not read.
    if request.stop.is_set() {
        return Err(request.too_late());
    }
    let given = &request.given;
    let part = given.text("part").unwrap_or(PARTS[0]);
    let (node, pod) = (given.text("node"), given.text("pod"));
    let mut problems = 0;
    let mut documents = Vec::new();
    for topology in found {
        let as_of = time(&topology)?;
        let mut document = topology.json;
        only(&mut document, part, node, pod);
        problems += list(&document, "problems").map_or(0, Vec::len);
        documents.push(json!({"as_of": as_of, "topology": document}));
    }
    let mut answer = Answer::new();
    answer.field("problems", &problems)?;
    let (text, left_out) = fit(&documents.into(), given.limit(), BODY_MAX)?;
    answer.raw("topologies", &text);
    if !left_out.is_empty() {
        answer.field("left_out", &left_out)?;
        answer.field(
            "hint",
            &"ask for one node, one pod, or a part; limit is for each list",
        )?;
    }
    answer.finish(notices)
}

/// Leaves in a document what is asked for.
fn only(document: &mut Value, part: &str, node: Option<&str>, pod: Option<&str>) {
    let Some(fields) = document.as_object_mut() else {
        return;
    };
    if part == "problems" {
        fields.retain(|name, _| name == "problems");
    }
    if let Some(node) = node {
        keep(fields.get_mut("nodes"), "name", &|name| fits(node, name));
        keep(fields.get_mut("problems"), "node", &|name| fits(node, name));
    }
    let nodes = fields.get_mut("nodes").and_then(Value::as_array_mut);
    for node in nodes.into_iter().flatten().filter_map(Value::as_object_mut) {
        match part {
            "pods" => node.retain(|name, _| name == "name" || PODS.contains(&name.as_str())),
            "network" => node.retain(|name, _| !PODS.contains(&name.as_str())),
            _ => {}
        }
        if let Some(pod) = pod {
            for list in PODS {
                keep(node.get_mut(list), "name", &|name| fits(pod, name));
            }
        }
    }
}

/// Keeps the objects of a list whose field fits.
fn keep(list: Option<&mut Value>, field: &str, fits: &dyn Fn(&str) -> bool) {
    if let Some(list) = list.and_then(Value::as_array_mut) {
        list.retain(|one| one.get(field).and_then(Value::as_str).is_some_and(fits));
    }
}

/// Whether a pattern fits a name, or what is behind its namespace.
fn fits(pattern: &str, name: &str) -> bool {
    let short = name.rsplit_once('/').map_or(name, |(_, short)| short);
    let name = if pattern.contains('/') { name } else { short };
    Glob::new(pattern).matches(name)
}

fn list<'a>(document: &'a Value, name: &str) -> Option<&'a Vec<Value>> {
    document.get(name).and_then(Value::as_array)
}
