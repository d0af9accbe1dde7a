//! The documentation, compared with the code: the tables of fields in `docs/json.md`, and
//! every command line of podtrace.
//!
//! `PODTRACE_WRITE_DOCS=1 cargo test -p podtrace docs` writes the tables anew.
use std::{env, fs, path::Path};

use clap::{CommandFactory as _, Parser as _};

use crate::{cli::Cli, export::schema_text, projection::docs::objects_text};

fn crate_folder() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

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
    let file = crate_folder().join("docs/json.md");
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

/// Parses what a line of a shell runs of podtrace; returns how many commands that is.
fn parse(line: &str) -> usize {
    let line = line.split(" #").next().unwrap_or_default();
    let commands = line.split(['|', ';', '>']).map(|command| {
        let command = command.trim();
        command.strip_prefix("sudo ").unwrap_or(command)
    });
    let ours = commands.filter(|command| command.starts_with("podtrace "));
    let parsed = ours.map(|command| {
        if let Err(error) = Cli::try_parse_from(command.split_whitespace()) {
            panic!("`{command}` is no command line: {error}");
        }
    });
    parsed.count()
}

/// The lines of a page that are for a shell: indented ones, and those behind a prompt.
fn shell_lines(page: &str) -> impl Iterator<Item = &str> {
    page.lines().filter_map(|line| {
        line.strip_prefix("    ")
            .or_else(|| line.strip_prefix("$ "))
    })
}

#[test]
fn command_lines_of_the_docs_are_podtraces() {
    let docs = fs::read_dir(crate_folder().join("docs")).unwrap();
    let docs = docs.map(|entry| entry.unwrap().path());
    let mut count = 0;
    for page in docs.chain([crate_folder().join("../README.md")]) {
        let text = fs::read_to_string(page).unwrap();
        count += shell_lines(&text).map(parse).sum::<usize>();
    }
    assert!(count > 30, "{count} command lines were found");
}

#[test]
fn examples_of_the_help_are_podtraces() {
    let mut count = 0;
    for command in Cli::command().get_subcommands() {
        let examples = command.get_after_help().map(ToString::to_string);
        for line in examples.unwrap_or_default().lines() {
            // What an example does stands behind it, two spaces apart.
            let example = line.trim_start().split("  ").next();
            count += example.map_or(0, parse);
        }
    }
    assert!(count > 20, "{count} examples were found");
}
