//! The tables of fields in `docs/json.md`, compared with the code.
//!
//! `PODTRACE_WRITE_DOCS=1 cargo test -p podtrace docs` writes them anew.
use std::{collections::BTreeSet, env, fmt::Write as _, fs, path::Path};

use serde_json::{Value, json};

#[cfg(feature = "tui")]
use crate::tui::picture;
use crate::{
    diagnosis::fixture as found,
    export::schema_text,
    field::{Kind, Type},
    model::{left_out, tap::TapCount},
    node::topology as tree,
    projection::session,
    schema::{Described, diagnosis, flows, lines, statistics, topology},
    stats,
};

/// A table of fields for each object.
fn tables(objects: &[Described]) -> String {
    let mut out = String::new();
    for Described { name, doc, fields } in objects {
        let doc = doc.trim();
        let head = "| field | type | | meaning |\n|---|---|---|---|";
        writeln!(out, "### {name}\n\n{doc}\n\n{head}").unwrap();
        for field in fields {
            let presence = if field.required { "always" } else { "" };
            let (name, type_, doc) = (field.name, type_text(field.type_), field.doc.trim());
            writeln!(out, "| `{name}` | {type_} | {presence} | {doc} |").unwrap();
        }
        out.push('\n');
    }
    out
}

fn type_text(type_: Type) -> String {
    let link = |name: &str| {
        let anchor = name.to_lowercase().replace(' ', "-");
        format!("[{name}](#{anchor})")
    };
    match type_ {
        Type::Value(Kind::Long | Kind::Int | Kind::Time) => "number".to_owned(),
        Type::Value(Kind::Flag) => "true or false".to_owned(),
        Type::Value(Kind::Text) => "text".to_owned(),
        Type::Object(name) => link(name),
        Type::Texts => "list of texts".to_owned(),
        Type::Objects(name) => format!("list of {}", link(name)),
        Type::Numbers => "object of numbers".to_owned(),
    }
}

/// Puts a table between the marks of its name.
fn replace(text: &str, name: &str, table: &str) -> String {
    let begin = format!("<!-- {name}, written by a test -->\n");
    let end = format!("<!-- end of {name} -->\n");
    let (before, rest) = text.split_once(&begin).unwrap();
    let (_, behind) = rest.split_once(&end).unwrap();
    format!("{before}{begin}\n{}\n\n{end}{behind}", table.trim())
}

/// The objects of a diagnosis that no line has.
fn diagnosis_alone() -> Vec<Described> {
    let of_lines: BTreeSet<_> = lines().iter().map(|object| object.name).collect();
    let mut alone = diagnosis();
    alone.retain(|object| !of_lines.contains(object.name));
    alone
}

#[test]
fn docs_have_the_fields_of_the_code() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/json.md");
    let written = fs::read_to_string(&file).unwrap();
    let current = replace(&written, "objects", &tables(&lines()));
    let current = replace(&current, "statistics", &tables(&statistics()));
    let current = replace(&current, "topology", &tables(&topology()));
    // The objects behind the first two are those of the statistics.
    let own: Vec<_> = flows().into_iter().take(2).collect();
    let current = replace(&current, "flows", &tables(&own));
    let current = replace(&current, "diagnosis", &tables(&diagnosis_alone()));
    let current = replace(&current, "columns", &schema_text());
    if env::var_os("PODTRACE_WRITE_DOCS").is_some() {
        fs::write(&file, current).unwrap();
    } else {
        assert!(
            written == current,
            "docs/json.md is out of date: PODTRACE_WRITE_DOCS=1 writes it anew"
        );
    }
}

/// The picture of the screen is what is drawn.
#[cfg(feature = "tui")]
#[test]
fn usage_shows_the_screen() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/usage.md");
    let written = fs::read_to_string(&file).unwrap();
    let block = format!("```\n{}\n```", picture(80, 24));
    let current = replace(&written, "screen", &block);
    if env::var_os("PODTRACE_WRITE_DOCS").is_some() {
        fs::write(&file, current).unwrap();
    } else {
        assert!(
            written == current,
            "docs/usage.md is out of date: PODTRACE_WRITE_DOCS=1 writes it anew"
        );
    }
}

/// The page has one anchor for each, and each link leads to one.
#[test]
fn objects_are_described_once_each() {
    let all: Vec<_> = [lines(), statistics(), diagnosis_alone(), topology()]
        .into_iter()
        .flatten()
        .collect();
    let names: BTreeSet<_> = all.iter().map(|object| object.name).collect();
    assert_eq!(names.len(), all.len());
    for field in all.iter().flat_map(|object| &object.fields) {
        if let Type::Object(name) | Type::Objects(name) = field.type_ {
            assert!(names.contains(name), "{}: {name}", field.name);
        }
    }
}

/// Fails where an object has a field that its description lacks, or lacks one that is
/// always there.
fn check(value: &Value, name: &str, objects: &[Described]) {
    let object = objects.iter().find(|object| object.name == name).unwrap();
    let map = value.as_object().unwrap();
    let known: BTreeSet<_> = object.fields.iter().map(|field| field.name).collect();
    for key in map.keys() {
        assert!(known.contains(key.as_str()), "{name} has {key}");
    }
    for field in &object.fields {
        let Some(value) = map.get(field.name) else {
            assert!(!field.required, "{name} has no {}", field.name);
            continue;
        };
        let fits = match field.type_ {
            Type::Value(Kind::Long | Kind::Int | Kind::Time) => value.is_number(),
            Type::Value(Kind::Flag) => value.is_boolean(),
            Type::Value(Kind::Text) => value.is_string(),
            Type::Texts => value.as_array().unwrap().iter().all(Value::is_string),
            Type::Numbers => value.as_object().unwrap().values().all(Value::is_number),
            Type::Object(name) => {
                check(value, name, objects);
                true
            }
            Type::Objects(name) => {
                let all = value.as_array().unwrap();
                all.iter().for_each(|value| check(value, name, objects));
                true
            }
        };
        assert!(fits, "{name}.{}: {value}", field.name);
    }
}

#[test]
fn documents_are_as_described() {
    let shown = tree::fixture::healthy();
    check(&json!(shown), "topology", &topology());
    for (_, report) in found::reports() {
        check(&json!(report), "diagnosis", &diagnosis());
    }
    let objects: Vec<_> = statistics().into_iter().chain(lines()).collect();
    let mut report = stats::tests::report();
    report.other_pairs = Some(report.total.clone());
    report.other_segments = report.total.way;
    report.other_places = Some(report.total.volume);
    let mut left_out = left_out::LeftOut::default();
    left_out.add(left_out::Reason::LinkType(9), 2);
    report.left_out = left_out.counts();
    check(&json!(report), "statistics", &objects);
}

/// Statistics and the summary show the same counts, by types of their own.
#[test]
fn counts_are_one_object() {
    for unrecorded in [0, 6] {
        let count = TapCount {
            seen: 1,
            emitted: 2,
            filtered: 3,
            lost_ring: 4,
            undecodable: 5,
            unrecorded,
        };
        assert_eq!(json!(count), json!(session::CountObject::from(count)));
    }
}
