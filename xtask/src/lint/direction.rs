//! Whether imports go in one direction: down the lines of [`super::rooms`], and never in
//! a circle.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, bail};

use super::{
    circles::{Arrows, circles},
    paths::{self, Mention},
    rooms::{Lines, line_of},
};

/// A source file: its name for display, its module and what it names.
struct File {
    name: String,
    /// Empty for the crate's root.
    module: paths::Path,
    mentions: Vec<Mention>,
}

/// Fails with every import in the directory, `below` the root, that goes up, sideways or
/// round in a circle.
pub(super) fn check(root: &Path, below: &str, lines: Lines<'_>) -> Result<()> {
    let directory = root.join(below);
    let mut files = Vec::new();
    for path in sources(&directory)? {
        let inside = path.strip_prefix(&directory)?;
        let module = module_of(inside);
        let name = Path::new(below).join(inside).display().to_string();
        let source = fs::read_to_string(&path).with_context(|| format!("read {name}"))?;
        let mentions = paths::mentions(&source, &module).with_context(|| name.clone())?;
        files.push(File {
            name,
            module,
            mentions,
        });
    }
    let arrows = wrong_arrows(&files, lines);
    let circles = circles_of(&files);
    let unknown = unknown_rooms(&files, lines);
    if arrows.is_empty() && circles.is_empty() && unknown.is_empty() {
        return Ok(());
    }
    bail!(
        "{} imports in the wrong direction, {} circles\n{}\nhint: the rooms are in xtask/src/lint/rooms.rs",
        arrows.len(),
        circles.len(),
        [arrows, circles, unknown].concat().join("\n")
    )
}

/// The Rust files of a directory and below, in order.
fn sources(directory: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let entries = fs::read_dir(directory);
    for entry in entries.with_context(|| format!("read {}", directory.display()))? {
        let path = entry?.path();
        if path.is_dir() {
            found.extend(sources(&path)?);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

/// The module that a file below `src` is. `main.rs` is a crate of its own, which sees what
/// `lib.rs` has.
fn module_of(inside: &Path) -> paths::Path {
    let path = inside.with_extension("");
    let parts = path.iter().map(|part| part.to_string_lossy().into_owned());
    parts
        .filter(|part| part != "lib" && part != "main")
        .collect()
}

/// Every import of another room that is not on a lower line.
fn wrong_arrows(files: &[File], lines: Lines<'_>) -> Vec<String> {
    let mut wrong = Vec::new();
    for file in files {
        let Some(room) = file.module.first() else {
            continue;
        };
        // A list of several names from one room is one import.
        let others: BTreeSet<_> = file
            .mentions
            .iter()
            .map(|mention| (mention.line, mention.path.first()))
            .filter(|(_, other)| *other != Some(room))
            .collect();
        for (line, other) in others {
            let rule = match other {
                Some(other) => broken_rule(room, other, lines),
                None => Some(format!("{room} must not import all rooms at once")),
            };
            wrong.extend(rule.map(|rule| format!("{}:{line}: {rule}", file.name)));
        }
    }
    wrong
}

/// Why a room must not import another one, if that is so.
fn broken_rule(room: &str, other: &str, lines: Lines<'_>) -> Option<String> {
    // A room that has no line is told once, for all that it imports.
    let own = line_of(lines, room)?;
    let why = match line_of(lines, other) {
        None => "that is no room",
        Some(others) if others < own => "it is on a higher line",
        Some(others) if others == own => "both are on one line",
        Some(_) => return None,
    };
    Some(format!("{room} must not import {other}: {why}"))
}

/// Rooms without a line, and lines' rooms that are not there.
fn unknown_rooms(files: &[File], lines: Lines<'_>) -> Vec<String> {
    let there: BTreeSet<_> = files
        .iter()
        .filter_map(|file| file.module.first())
        .collect();
    let there: BTreeSet<_> = there.into_iter().map(String::as_str).collect();
    let listed: BTreeSet<_> = lines.iter().flat_map(|line| line.iter().copied()).collect();
    let without_line = there.difference(&listed);
    let without_line = without_line.map(|room| format!("{room} is on no line of the table"));
    let gone = listed.difference(&there);
    let gone = gone.map(|room| format!("{room} is on a line of the table, and no room"));
    without_line.chain(gone).collect()
}

/// The circles of files, each with one import of each file that is in it. What a module
/// and those inside of it have with each other is their own.
fn circles_of(files: &[File]) -> Vec<String> {
    let names: BTreeMap<_, _> = files
        .iter()
        .filter(|file| !file.module.is_empty())
        .map(|file| (file.module.as_slice(), file.name.as_str()))
        .collect();
    let mut arrows = Arrows::new();
    let mut lines: BTreeMap<(&str, &str), usize> = BTreeMap::new();
    for file in files {
        for mention in &file.mentions {
            let path = &mention.path;
            let mut modules = (1..=path.len()).rev().map(|len| &path[..len]);
            let Some(module) = modules.find(|path| names.contains_key(path)) else {
                continue;
            };
            if module.starts_with(&file.module) || file.module.starts_with(module) {
                continue;
            }
            let (from, to) = (file.name.as_str(), names[module]);
            arrows.entry(from).or_default().insert(to);
            lines.entry((from, to)).or_insert(mention.line);
        }
    }
    let told = |circle: Vec<&str>| {
        let mut text = format!("a circle of {} files:", circle.len());
        for from in &circle {
            for to in &circle {
                if let Some(line) = lines.get(&(from, to)) {
                    text += &format!("\n  {from}:{line}: imports {to}");
                }
            }
        }
        text
    };
    circles(&arrows).into_iter().map(told).collect()
}

#[cfg(test)]
mod tests {
    use super::{super::rooms::LINES, *};

    /// What is said of files, given by name and text, of rooms on three lines.
    fn said(files: &[(&str, &str)]) -> String {
        let root = tempfile::tempdir().unwrap();
        let all = [
            ("lib.rs", "mod high; mod middle; mod beside; mod low;"),
            ("high.rs", ""),
            ("middle.rs", ""),
            ("beside.rs", ""),
            ("low.rs", ""),
        ];
        for (name, text) in all.iter().chain(files) {
            let path = root.path().join("src").join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        let lines: Lines<'_> = &[&["high"], &["middle", "beside"], &["low"]];
        let checked = check(root.path(), "src", lines);
        checked.map_or_else(|error| error.to_string(), |()| String::new())
    }

    #[test]
    fn imports_go_down() {
        let high = "use crate::{low::A, middle::{B, C}};";
        assert_eq!(said(&[("high.rs", high)]), "");
        let up = "//! Head.\n\nuse crate::{\n    beside::D,\n    high::A,\n};";
        let said = said(&[("middle/file.rs", up)]);
        let expected = "\
2 imports in the wrong direction, 0 circles
src/middle/file.rs:4: middle must not import beside: both are on one line
src/middle/file.rs:5: middle must not import high: it is on a higher line
";
        assert!(said.starts_with(expected), "{said}");
    }

    #[test]
    fn tests_and_paths_in_code_are_no_exception() {
        let low = "fn f() { crate::high::g() }\n#[cfg(test)]\nmod tests {\n    use super::super::middle::A;\n}";
        let said = said(&[("low.rs", low)]);
        assert!(said.contains("src/low.rs:1: low must not import high"));
        assert!(said.contains("src/low.rs:4: low must not import middle"));
    }

    #[test]
    fn what_hides_an_arrow_is_told() {
        let said = said(&[
            ("lib.rs", "pub use high::A;"),
            ("middle.rs", "use crate::A;"),
            ("low.rs", "use super::*;"),
            ("new.rs", "use crate::high::B;"),
        ]);
        assert!(said.contains("src/middle.rs:1: middle must not import A: that is no room"));
        assert!(said.contains("src/low.rs:1: low must not import all rooms at once"));
        assert!(said.contains("new is on no line of the table"));
    }

    #[test]
    fn circles_within_a_room_are_told_but_those_of_parent_and_child() {
        let files = [
            ("low.rs", "mod a; mod b;\nuse a::A;\nuse self::b::B;"),
            ("low/a.rs", "use super::{C, b::B};"),
            ("low/b.rs", "\nfn f(a: crate::low::a::A) {}"),
        ];
        let expected = "\
0 imports in the wrong direction, 1 circles
a circle of 2 files:
  src/low/a.rs:1: imports src/low/b.rs
  src/low/b.rs:2: imports src/low/a.rs
";
        let said = said(&files);
        assert!(said.starts_with(expected), "{said}");
    }

    #[test]
    fn podtrace_keeps_to_it() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        check(root, "podtrace/src", LINES).unwrap();
    }
}
