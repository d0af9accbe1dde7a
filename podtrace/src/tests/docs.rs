//! The tables of fields in `docs/json.md`, compared with the code.
//!
//! `PODTRACE_WRITE_DOCS=1 cargo test -p podtrace docs` writes them anew.
use std::{env, fs, path::Path};

use crate::{export::schema_text, projection::docs::objects_text};

/// Puts a table between the marks of its name.
fn replace(text: &str, name: &str, table: &str) -> String {
    let begin = format!("<!-- {name}, written by a test -->\n");
    let end = format!("<!-- end of {name} -->\n");
    let (before, rest) = text.split_once(&begin).unwrap();
    let (_, behind) = rest.split_once(&end).unwrap();
    format!("{before}{begin}\n{}\n\n{end}{behind}", table.trim())
}

#[test]
fn docs_have_the_fields_of_the_projection() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/json.md");
    let written = fs::read_to_string(&file).unwrap();
    let current = replace(&written, "objects", &objects_text());
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
