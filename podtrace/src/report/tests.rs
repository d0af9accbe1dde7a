//! What a page holds, from paths to its JSON and its picture.
use std::{
    io,
    sync::{Arc, Mutex},
};

use serde_json::Value;

use super::*;
use crate::{
    model::{origin::Origin, start::Start, topology::RecordedTopology},
    node::topology,
    path::{LateOf, Outcome, Path, summary::Summary},
    pipeline::consumer::Consumer as _,
    rules::fixture::healthy,
    update::Update,
    verdict::tests::roads::{answer, road, world},
    world::World,
};

const HOSTILE: &str = r#"</script><img src=x onerror="alert(1)"><!--"#;

/// What was written.
#[derive(Clone, Default)]
struct Shared(Arc<Mutex<Vec<u8>>>);

impl io::Write for Shared {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Some that arrived, and one that was lost in the tunnel.
fn paths() -> Vec<Path> {
    let arrived = [road(10), answer(10)].map(|road| Path {
        outcome: Outcome::Delivered,
        ..road.path()
    });
    let mut paths = arrived.to_vec();
    paths.push(road(4).path());
    for (id, path) in (1..).zip(&mut paths) {
        path.id = id;
    }
    paths
}

/// The world in which that tunnel has no forwarding entry.
fn broken() -> World {
    let mut facts = healthy();
    facts[0].spaces[0].tables.fdb.clear();
    world(facts)
}

/// The page, and the notices of what it leaves out.
fn page(paths: &[Path], world: &World, max: usize) -> (String, Vec<String>) {
    let mut topology = topology::fixture::healthy();
    for (node, name) in topology.nodes.iter_mut().zip(["worker1", "worker2"]) {
        node.name = name.to_owned();
    }
    topology.nodes[0].tunnels[0].routes[0].vtep = None;
    topology.problems = topology::check(&topology, &[], &|_| None);
    let json = serde_json::to_value(&topology).unwrap();
    page_with(paths, world, max, json)
}

/// The same with a topology.
fn page_with(paths: &[Path], world: &World, max: usize, json: Value) -> (String, Vec<String>) {
    let shared = Shared::default();
    let mut collector = Collector::new(max, Box::new(shared.clone()));
    let start = Start {
        nodes: world.nodes.iter().map(ToString::to_string).collect(),
        source: Some("1 file".to_owned()),
        ..Start::default()
    };
    collector.on_update(&Origin::default(), &Update::Start(start), world);
    let topology = RecordedTopology {
        json,
        ..RecordedTopology::default()
    };
    let update = Update::Topology(Box::new(topology));
    collector.on_update(&Origin::default(), &update, world);
    let mut summary = Summary::default();
    for path in paths {
        summary.count(path, path.late_of);
        collector.on_path(path, world);
    }
    let notices = collector.on_end(&summary, world);
    collector.flush().unwrap();
    let bytes = shared.0.lock().unwrap().clone();
    (String::from_utf8(bytes).unwrap(), notices)
}

fn data(page: &str) -> Value {
    let (_, json) = page.split_once(r#"id="data">"#).unwrap();
    serde_json::from_str(json.split_once("</script>").unwrap().0).unwrap()
}

#[test]
fn data_is_as_the_script_reads_it() {
    let (page, notices) = page(&paths(), &broken(), 100);
    assert_eq!(notices, [""; 0]);
    let mut data = data(&page);
    data["version"] = "x".into();
    insta::assert_snapshot!(serde_json::to_string_pretty(&data).unwrap());
}

#[test]
fn picture_has_nodes_bridges_pods_and_tunnels() {
    let (page, _) = page(&paths(), &broken(), 100);
    let (_, picture) = page.split_once("id=\"picture\">").unwrap();
    let picture = picture.split_once("</svg>").unwrap().0;
    let lines = picture.replace("><", ">\n<");
    insta::assert_snapshot!(lines);
}

#[test]
fn hostile_names_are_text() {
    let mut world = broken();
    world.nodes[0] = HOSTILE.into();
    let mut point = world.tap_points.get(1).unwrap().clone();
    (point.name, point.node_name) = (HOSTILE.into(), HOSTILE.into());
    world.tap_points.set(1, point);
    let json = serde_json::json!({
        "nodes": [{
            "name": HOSTILE,
            "bridges": [{"name": HOSTILE, "addresses": [HOSTILE, 7, null]}],
            "pods": [{"name": HOSTILE, "interfaces": [{"name": HOSTILE, "host": {"name": HOSTILE}}]}],
            "tunnels": [{"name": HOSTILE, "routes": [{"vtep": HOSTILE}]}],
            "uplinks": [{"name": HOSTILE, "state": HOSTILE}],
        }],
        "problems": [{"problem": HOSTILE}],
    });
    let (page, _) = page_with(&paths(), &world, 100, json);
    assert!(!page.contains("<img"), "{page}");
    // Those of the frame alone.
    assert_eq!(page.matches("</script>").count(), 2);
    assert_eq!(page.matches("<!--").count(), 0);
    let data = data(&page);
    let places = data["places"].as_array().unwrap();
    assert!(places.iter().any(|place| place[2] == HOSTILE), "{places:?}");
}

#[test]
fn sample_is_told_and_has_the_losses() {
    let mut paths = Vec::new();
    for id in 0..100 {
        let path = if id == 50 { road(4) } else { road(10) }.path();
        let outcome = match id {
            50 => Outcome::NotSeenFurther,
            _ => Outcome::Delivered,
        };
        paths.push(Path {
            id,
            outcome,
            ..path
        });
    }
    let (page, notices) = page(&paths, &broken(), 10);
    let [notice] = &notices[..] else {
        panic!("{notices:?}");
    };
    assert!(notice.contains("10 of 100 paths: 1 of 1 lost"), "{notice}");
    let data = data(&page);
    let rows = data["paths"]["rows"].as_array().unwrap();
    assert_eq!(rows.len(), 10);
    assert!(rows.iter().any(|row| row[0] == 50));
    assert_eq!(data["summary"]["packets"], 100);
    assert_eq!(data["paths"]["counts"][2], serde_json::json!([9, 99]));
}

#[test]
fn corrected_path_is_there_once() {
    let lost = paths().remove(2);
    let late = Path {
        outcome: Outcome::Delivered,
        late_of: Some(LateOf::of(&lost)),
        ..road(10).path()
    };
    let (page, _) = page(&[lost, late], &broken(), 10);
    let data = data(&page);
    assert_eq!(data["paths"]["rows"].as_array().unwrap().len(), 1);
    assert_eq!(data["causes"], serde_json::json!([]));
    let cells = data["timeline"]["cells"].as_array().unwrap();
    assert_eq!(cells[0], serde_json::json!([0, 0, 1, 0]));
}

/// A file can hold any JSON.
#[test]
fn topology_may_be_anything() {
    let odd = serde_json::json!({"nodes": [7, {"pods": {}, "bridges": [[]]}], "problems": "x"});
    for json in [Value::Null, 7.into(), odd] {
        let (page, _) = page_with(&paths(), &broken(), 10, json);
        assert!(page.ends_with("</html>\n"));
    }
}

#[test]
fn page_without_packets_is_one() {
    let (page, _) = page(&[], &World::default(), 10);
    let data = data(&page);
    assert_eq!(data["summary"]["packets"], 0);
    assert!(page.ends_with("</html>\n"));
}
