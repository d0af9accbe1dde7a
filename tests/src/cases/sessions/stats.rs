//! Statistics count the packets that a replay shows.

use std::collections::BTreeMap;

use serde_json::Value;

use super::record::{number, of_type, recorded, replay_json, succeeds};

type Pairs = BTreeMap<(String, String), (u64, BTreeMap<String, u64>)>;

/// The name of an end, by the first of these fields that it has.
fn name(value: &Value, fields: &[&str]) -> String {
    let mut known = fields.iter().filter_map(|field| value[*field].as_str());
    known.next().unwrap_or_default().to_owned()
}

#[test]
fn numbers_agree_with_the_replay() {
    let recorded = recorded("a.pcapng", &[]);
    let values = replay_json(&[&recorded.file]);
    let args = ["stats", "-o", "json", recorded.file.to_str().unwrap()];
    let stats: Value = serde_json::from_str(&succeeds(&args)).unwrap();
    let summary = values.last().unwrap();

    assert_eq!(stats["total"]["packets"], summary["packets"]);
    assert_eq!(stats["events"], summary["total"]);
    assert_eq!(stats["duration_ns"], summary["duration_ns"]);
    let outcomes = stats["total"]["outcomes"].as_object().unwrap();
    for (outcome, count) in summary["outcomes"].as_object().unwrap() {
        let counted = outcomes.get(outcome).and_then(Value::as_u64).unwrap_or(0);
        assert_eq!(counted, count.as_u64().unwrap(), "{outcome}");
    }

    let mut expected = Pairs::new();
    for path in of_type(&values, "path") {
        let from = name(path, &["source_pod", "source_node", "source"]);
        let to = name(
            path,
            &["destination_pod", "destination_node", "destination"],
        );
        let pair = expected.entry((from, to)).or_default();
        pair.0 += 1;
        *pair.1.entry(name(path, &["outcome"])).or_default() += 1;
    }
    let mut counted = Pairs::new();
    for row in stats["pairs"].as_array().unwrap() {
        let end = |end: &str| name(&row[end], &["name"]);
        let pair = counted.entry((end("from"), end("to"))).or_default();
        pair.0 += number(row, "packets");
        for (outcome, count) in row["outcomes"].as_object().unwrap() {
            let count = count.as_u64().unwrap();
            if count > 0 {
                *pair.1.entry(outcome.clone()).or_default() += count;
            }
        }
    }
    let ours = ("default/mypod1".to_owned(), "default/mypod3".to_owned());
    assert!(expected[&ours].0 > 10, "{expected:?}");
    for (pair, count) in &expected {
        assert_eq!(counted.get(pair), Some(count), "{pair:?}");
    }
    assert_eq!(counted.len(), expected.len());

    // Packets and bytes by tap point.
    let mut places: BTreeMap<(String, String, String), (u64, u64)> = BTreeMap::new();
    for path in of_type(&values, "path") {
        for hop in path["hops"].as_array().unwrap() {
            let key = (
                name(hop, &["pod", "node"]),
                name(hop, &["interface"]),
                name(hop, &["direction"]),
            );
            let place = places.entry(key).or_default();
            place.0 += 1;
            place.1 += number(path, "length");
        }
    }
    let rows = stats["places"].as_array().unwrap();
    assert_eq!(rows.len(), places.len(), "{rows:?}");
    for row in rows {
        let key = (
            name(row, &["pod", "node"]),
            name(row, &["interface"]),
            name(row, &["direction"]),
        );
        let volume = (number(row, "packets"), number(row, "bytes"));
        assert_eq!(places.get(&key), Some(&volume), "{row}");
    }
    let text = succeeds(&["stats", recorded.file.to_str().unwrap()]);
    assert!(text.contains("default/mypod1") && text.contains("default/mypod3"));
}
