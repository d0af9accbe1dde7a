use super::*;
use crate::{
    node::topology::{check, fixture::healthy},
    output::width::Width,
    text::wrap::width_of,
};

/// The healthy network with one error and one warning.
fn broken() -> Topology {
    let mut topology = healthy();
    let node = &mut topology.nodes[0];
    node.tunnels[0].routes[0].vtep = None;
    node.bridges[0].interface.mtu = 1500;
    topology.problems = check(&topology, &[], &|_| None);
    topology
}

fn text(topology: &Topology, color: bool) -> String {
    let mut out = String::new();
    text::write(&mut out, topology, color, Width::Any);
    out
}

#[test]
fn healthy_tree() {
    insta::assert_snapshot!(text(&healthy(), false));
}

#[test]
fn problems_are_marked_and_listed() {
    let text = text(&broken(), false);
    insta::assert_snapshot!(text);
    assert!(text.lines().all(|line| line.trim_end() == line));
}

#[test]
fn tree_fits_the_terminal() {
    for width in [60, 80, 120, 200] {
        let mut out = String::new();
        text::write(&mut out, &broken(), false, Width::Columns(width));
        assert!(out.lines().all(|line| width_of(line) <= width), "{out}");
        insta::assert_snapshot!(format!("tree_fits_{width}"), out);
    }
}

#[test]
fn colours_change_no_text() {
    let colored = text(&broken(), true);
    assert!(colored.contains("\x1b["));
    let mut plain = String::new();
    for (number, part) in colored.split("\x1b[").enumerate() {
        let text = part.split_once('m').map_or(part, |(_, text)| text);
        plain += if number == 0 { part } else { text };
    }
    assert_eq!(plain, text(&broken(), false));
}

#[test]
fn graph() {
    let mut out = String::new();
    dot::write(&mut out, &broken());
    insta::assert_snapshot!(out);
}

fn svg(documents: &[&serde_json::Value], when: Option<&str>) -> String {
    let mut out = String::new();
    picture::document::write(&mut out, documents.iter().copied(), when);
    out
}

#[test]
fn drawing() {
    let json = serde_json::to_value(broken()).unwrap();
    insta::assert_snapshot!(svg(&[&json], Some("2026-11-28T20:18:40Z")));
}

/// No name leaves the text that it is in: what a reader of XML finds is what is drawn.
#[test]
fn drawing_is_well_formed_whatever_names_are() {
    const HOSTILE: &str = "</text></svg><script>alert(1)</script>]]>&x;\"'\0\u{1b}\u{fffe}";
    let hostile = serde_json::json!({
        "nodes": [{
            "name": HOSTILE,
            "bridges": [{"name": HOSTILE, "addresses": [HOSTILE, 7, null]}],
            "pods": [{"name": HOSTILE, "interfaces": [{"name": HOSTILE, "host": {"name": HOSTILE}}]}],
            "tunnels": [{"name": HOSTILE, "routes": [{"vtep": HOSTILE}]}],
            "uplinks": [{"name": HOSTILE, "state": HOSTILE}],
        }],
        "problems": [{"problem": HOSTILE, "node": HOSTILE}],
    });
    let odd = serde_json::json!({"nodes": [7, {"pods": {}, "bridges": [[]]}], "problems": "x"});
    for json in [hostile, odd, serde_json::Value::Null] {
        let text = svg(&[&json], Some(HOSTILE));
        let document = text.split_once('\n').unwrap().1;
        let mut open = Vec::new();
        for part in document.split('<').skip(1) {
            let (tag, text) = part.split_once('>').unwrap();
            assert_eq!(tag.matches('"').count() % 2, 0, "{tag}");
            assert!(
                !text.contains('>') && !tag.contains('&') || tag.contains("&lt;"),
                "{part}"
            );
            match tag.strip_prefix('/') {
                Some(name) => assert_eq!(open.pop(), Some(name)),
                None if tag.ends_with('/') => {}
                None => open.push(tag.split(' ').next().unwrap()),
            }
        }
        assert_eq!(open, [""; 0]);
        assert!(!text.contains("<script"), "{text}");
        assert!(!text.contains(['\0', '\u{1b}', '\u{fffe}']), "{text}");
    }
}

#[test]
fn document() {
    let mut topology = broken();
    topology.nodes.truncate(1);
    topology.nodes[0].pods.truncate(1);
    topology.nodes[0].host_network_pods.clear();
    insta::assert_snapshot!(json(&topology).unwrap());
}

#[test]
fn text_and_document_agree_on_what_was_checked() {
    let document: serde_json::Value = serde_json::from_str(&json(&healthy()).unwrap()).unwrap();
    let text = text(&healthy(), false);
    for (key, words) in [
        ("looked_at", "looked at"),
        ("not_looked_at", "not looked at"),
    ] {
        let things = document[key].as_array().unwrap().iter();
        let things: Vec<_> = things.map(|thing| thing.as_str().unwrap()).collect();
        let line = format!("\n{words}: {}\n", things.join(", "));
        assert!(text.contains(&line), "{line}{text}");
    }
}
