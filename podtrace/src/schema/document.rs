//! JSON Schema (draft 2020-12).
use serde_json::{Map, Value, json};

use super::{Described, diagnosis, flows, lines, statistics, topology};
use crate::field::{Field, Kind as ValueKind, Type};

/// How many of the objects of JSON lines are lines: the first ones.
const LINES: usize = 7;

/// What a schema describes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// One line of trace, replay and export.
    Lines,
    /// The document of stats.
    Statistics,
    /// The document of topology.
    Topology,
    /// One line of flows.
    Flows,
    /// The document of diagnose.
    Diagnosis,
}

/// The schema, as a JSON document. Other fields than those it names are allowed: new ones may
/// come.
#[must_use]
pub fn document(kind: Kind) -> Value {
    let (title, objects) = match kind {
        Kind::Lines => ("a line of podtrace trace, replay or export", lines()),
        Kind::Statistics => (
            "podtrace stats -o json",
            statistics().into_iter().chain(lines()).collect(),
        ),
        Kind::Topology => ("podtrace topology -o json", topology()),
        Kind::Flows => ("a line of podtrace flows -o json", flows()),
        Kind::Diagnosis => ("podtrace diagnose -o json", diagnosis()),
    };
    let mut schema = Map::new();
    schema.insert(
        "$schema".into(),
        json!("https://json-schema.org/draft/2020-12/schema"),
    );
    schema.insert("title".into(), json!(title));
    match (kind, objects.first()) {
        (Kind::Lines, _) => {
            let line = |object: &Described| json!({"$ref": reference(object.name)});
            let lines: Vec<_> = objects.iter().take(LINES).map(line).collect();
            schema.insert("oneOf".into(), json!(lines));
        }
        (_, Some(first)) => {
            schema.insert("$ref".into(), json!(reference(first.name)));
        }
        (_, None) => {}
    }
    let definitions = objects.iter().enumerate().map(|(number, object)| {
        let is_line = kind == Kind::Lines && number < LINES;
        (slug(object.name), definition(object, is_line))
    });
    schema.insert("$defs".into(), Value::Object(definitions.collect()));
    Value::Object(schema)
}

/// `is_line`: whether its `type` says its name.
fn definition(object: &Described, is_line: bool) -> Value {
    let mut properties = Map::new();
    let mut required = Vec::new();
    if is_line {
        properties.insert("type".into(), json!({"const": object.name}));
        required.push("type");
    }
    for field in &object.fields {
        properties.insert(field.name.into(), property(field));
        if field.required {
            required.push(field.name);
        }
    }
    json!({
        "type": "object",
        "description": object.doc.trim(),
        "properties": properties,
        "required": required,
    })
}

fn property(field: &Field) -> Value {
    let mut property = match field.type_ {
        Type::Value(kind) => json!({"type": value_type(kind)}),
        Type::Object(name) => json!({"$ref": reference(name)}),
        Type::Texts => json!({"type": "array", "items": {"type": "string"}}),
        Type::Objects(name) => json!({"type": "array", "items": {"$ref": reference(name)}}),
        Type::Numbers => {
            json!({"type": "object", "additionalProperties": {"type": "integer"}})
        }
    };
    if let Some(map) = property.as_object_mut() {
        map.insert("description".into(), json!(field.doc.trim()));
    }
    property
}

fn value_type(kind: ValueKind) -> &'static str {
    match kind {
        ValueKind::Long | ValueKind::Int | ValueKind::Time => "integer",
        ValueKind::Flag => "boolean",
        ValueKind::Text => "string",
    }
}

fn reference(name: &str) -> String {
    format!("#/$defs/{}", slug(name))
}

/// A name without spaces.
fn slug(name: &str) -> String {
    name.replace(' ', "-")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each reference leads to a definition.
    fn check_references(value: &Value, definitions: &Map<String, Value>) {
        match value {
            Value::Object(map) => {
                if let Some(Value::String(to)) = map.get("$ref") {
                    let name = to.strip_prefix("#/$defs/").unwrap();
                    assert!(definitions.contains_key(name), "{to}");
                }
                map.values()
                    .for_each(|value| check_references(value, definitions));
            }
            Value::Array(list) => list
                .iter()
                .for_each(|value| check_references(value, definitions)),
            _ => {}
        }
    }

    #[test]
    fn references_lead_to_definitions() {
        for kind in [
            Kind::Lines,
            Kind::Statistics,
            Kind::Topology,
            Kind::Flows,
            Kind::Diagnosis,
        ] {
            let schema = document(kind);
            check_references(&schema, schema["$defs"].as_object().unwrap());
        }
    }

    #[test]
    fn lines_are_distinguished_by_type() {
        let schema = document(Kind::Lines);
        let lines = schema["oneOf"].as_array().unwrap();
        let names = lines.iter().map(|line| line["$ref"].as_str().unwrap());
        let names: Vec<_> = names.collect();
        assert_eq!(
            names,
            [
                "start", "event", "path", "loss", "notice", "finding", "summary"
            ]
            .map(|name| format!("#/$defs/{name}"))
        );
        let path = &schema["$defs"]["path"];
        assert_eq!(path["properties"]["type"]["const"], "path");
        assert_eq!(path["properties"]["tcp_flags"]["type"], "string");
        let required = path["required"].as_array().unwrap();
        assert!(required.contains(&json!("protocol")) && !required.contains(&json!("tcp_flags")));
    }
}
