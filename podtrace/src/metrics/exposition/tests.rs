use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;
use crate::{metrics::hops::Workload, model::tap_point::Role};

/// A metric of a page: its type, and its samples by name and labels.
#[derive(Debug, Default)]
pub(in crate::metrics) struct Family {
    kind: String,
    samples: BTreeMap<(String, Vec<(String, String)>), f64>,
}

/// Reads a page as strictly as the format is described.
pub(in crate::metrics) fn parse(page: &str) -> BTreeMap<String, Family> {
    assert!(page.ends_with('\n'));
    let mut families: BTreeMap<String, Family> = BTreeMap::new();
    let mut current = (String::new(), String::new());
    for line in page.lines() {
        if let Some(help) = line.strip_prefix("# HELP ") {
            let (name, words) = help.split_once(' ').unwrap();
            assert!(is_name(name) && !words.is_empty(), "{line}");
            current = (name.to_owned(), String::new());
        } else if let Some(kind) = line.strip_prefix("# TYPE ") {
            let (name, kind) = kind.split_once(' ').unwrap();
            assert_eq!(name, current.0);
            current.1 = kind.to_owned();
            let family = Family {
                kind: kind.to_owned(),
                ..Family::default()
            };
            assert!(
                families.insert(name.to_owned(), family).is_none(),
                "{name} twice"
            );
        } else {
            let (series, value) = sample(line);
            let suffix = series.0.strip_prefix(&current.0).unwrap();
            match current.1.as_str() {
                "histogram" => assert!(["_bucket", "_sum", "_count"].contains(&suffix), "{line}"),
                _ => assert_eq!(suffix, "", "{line}"),
            }
            let family = families.get_mut(&current.0).unwrap();
            assert!(
                family.samples.insert(series, value).is_none(),
                "{line} twice"
            );
        }
    }
    families
        .iter()
        .for_each(|(name, family)| check(name, family));
    families
}

fn is_name(name: &str) -> bool {
    let is_inside = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    name.starts_with("podtrace_") && name.chars().all(is_inside)
}

/// One sample: name, labels and value.
fn sample(line: &str) -> ((String, Vec<(String, String)>), f64) {
    let (series, value) = line.rsplit_once(' ').unwrap();
    let value = value.parse().unwrap();
    let Some((name, rest)) = series.split_once('{') else {
        assert!(is_name(series), "{line}");
        return ((series.to_owned(), Vec::new()), value);
    };
    assert!(is_name(name), "{line}");
    let (mut labels, mut rest) = (Vec::new(), rest);
    while rest != "}" {
        let (label, quoted) = rest.split_once("=\"").unwrap();
        let (mut text, mut chars) = (String::new(), quoted.char_indices());
        let end = loop {
            match chars.next().unwrap() {
                (at, '"') => break at,
                (_, '\\') => text.push(match chars.next().unwrap().1 {
                    'n' => '\n',
                    c @ ('"' | '\\') => c,
                    c => panic!("\\{c} in {line}"),
                }),
                (_, c) => text.push(c),
            }
        };
        labels.push((label.trim_start_matches(',').to_owned(), text));
        rest = &quoted[end + 1..];
    }
    let names: BTreeSet<_> = labels.iter().map(|(label, _)| label).collect();
    assert_eq!(names.len(), labels.len(), "{line}");
    ((name.to_owned(), labels), value)
}

fn check(name: &str, family: &Family) {
    match family.kind.as_str() {
        "counter" => assert!(name.ends_with("_total"), "{name}"),
        "gauge" => assert!(!name.ends_with("_total"), "{name}"),
        "histogram" => check_histogram(name, family),
        other => panic!("{other}"),
    }
    assert!(family.samples.values().all(|value| *value >= 0.0), "{name}");
}

fn check_histogram(name: &str, family: &Family) {
    assert!(name.ends_with("_seconds"), "{name}");
    let mut buckets: BTreeMap<_, Vec<(f64, f64)>> = BTreeMap::new();
    for ((sample, labels), value) in &family.samples {
        if sample.ends_with("_bucket") {
            let (bounds, rest): (Vec<_>, Vec<_>) =
                labels.iter().cloned().partition(|(label, _)| label == "le");
            let bound = bounds[0].1.parse().unwrap();
            buckets.entry(rest).or_default().push((bound, *value));
        }
    }
    for (labels, mut buckets) in buckets {
        buckets.sort_by(|one, other| one.partial_cmp(other).unwrap());
        let rising = buckets.windows(2).all(|pair| pair[0].1 <= pair[1].1);
        let (last, all) = buckets.pop().unwrap();
        let count = family.samples[&(format!("{name}_count"), labels.clone())];
        assert!(rising && last.is_infinite() && all == count, "{labels:?}");
        assert!(
            family
                .samples
                .contains_key(&(format!("{name}_sum"), labels))
        );
    }
}

fn counts() -> Counts {
    let mut counts = Counts::default();
    counts.paths[0] = 7;
    counts.caused.insert((4, "no_route"), 2);
    counts.taps.seen = 30;
    counts.taps.emitted = 29;
    counts.taps.lost_ring = 1;
    counts
        .hops
        .add(Workload::NONE, Role::Uplink, Role::Bridge, 3_000);
    let web = counts.hops.workload("shop", "web");
    counts.hops.add(web, Role::Pod, Role::Veth, 1_200_000);
    counts
}

#[test]
fn page_is_as_documented() {
    let progress = Progress {
        events: 29,
        bytes: 4096,
        files: 2,
        ..Progress::default()
    };
    let page = text(&counts(), Some(&progress));
    parse(&page);
    insta::assert_snapshot!(page);
}

#[test]
fn metrics_are_all_explained() {
    let page = text(&counts(), Some(&Progress::default()));
    let docs = include_str!("../../../docs/metrics.md");
    for name in parse(&page).keys() {
        assert!(docs.contains(&format!("| `{name}` |")), "{name}");
    }
}

/// Whatever the dashboard asks for is there.
#[test]
fn dashboard_asks_for_what_there_is() {
    let page = text(&counts(), Some(&Progress::default()));
    let families = parse(&page);
    let samples = families.values().flat_map(|family| family.samples.keys());
    let names: BTreeSet<_> = samples.map(|(name, _)| name.as_str()).collect();
    let dashboard = include_str!("../../../deploy/dashboard.json");
    let dashboard: serde_json::Value = serde_json::from_str(dashboard).unwrap();
    let panels = dashboard["panels"].as_array().unwrap();
    let targets = panels
        .iter()
        .flat_map(|panel| panel["targets"].as_array().unwrap());
    let mut asked = BTreeSet::new();
    for expression in targets.map(|target| target["expr"].as_str().unwrap()) {
        let words = expression.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
        asked.extend(words.filter(|word| word.starts_with("podtrace_")));
    }
    assert!(asked.len() > 8, "{asked:?}");
    assert!(asked.is_subset(&names), "{asked:?}");
}

proptest! {
    /// Names of workloads may be anything.
    #[test]
    fn any_name_is_a_label(namespace in ".*", workload in "[a\\\\\"\n},=]*", ns in any::<u64>()) {
        let mut counts = Counts::default();
        let number = counts.hops.workload(&namespace, &workload);
        counts.hops.add(number, Role::Pod, Role::Pod, ns);
        // Lines end at LF alone.
        prop_assume!(!namespace.contains('\r'));
        let families = parse(&text(&counts, None));
        let latency = &families["podtrace_hop_latency_seconds"];
        let (_, labels) = latency.samples.keys().next().unwrap();
        prop_assert_eq!(&labels[0].1, &namespace);
        prop_assert_eq!(&labels[1].1, &workload);
    }

    #[test]
    fn seconds_have_all_digits(ns in any::<u64>()) {
        let text = Seconds(ns).to_string();
        let (whole, rest) = text.split_once('.').unwrap_or((&text, ""));
        let digits = format!("{whole}{rest:0<9}");
        prop_assert_eq!(digits.parse::<u128>().unwrap(), u128::from(ns));
    }
}
