//! Checks that imports go in one direction: down the lines of [`super::rooms`], and never in a
//! circle.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, bail};

use super::{
    circles::{Arrows, circles},
    paths::{self, Name},
    rooms::{Lines, line_of},
    scopes::Scopes,
};

/// The root of the crate, which declares the rooms.
const ROOT: &str = "lib.rs";
/// The name of that root in `main.rs`, which is another crate.
const CRATE: &str = "podtrace";

/// A source file: its name for display, its module and its dependencies.
struct File {
    name: String,
    module: paths::Path,
    needs: Vec<Need>,
}

/// A dependency of a file.
struct Need {
    line: usize,
    /// The path in the source; none for a name that is in scope.
    path: Option<paths::Path>,
    /// The modules that it refers to.
    modules: BTreeSet<paths::Path>,
}

/// Fails with every import in the directory, `below` the root, that goes up, sideways or
/// round in a circle.
pub(super) fn check(root: &Path, below: &str, lines: Lines<'_>) -> Result<()> {
    let (files, hidden) = files(&root.join(below), below)?;
    let arrows = wrong_arrows(&files, lines);
    let circles = circles_of(&files);
    let unknown = unknown_rooms(&files, lines);
    if [&arrows, &circles, &hidden, &unknown]
        .iter()
        .all(|found| found.is_empty())
    {
        return Ok(());
    }
    bail!(
        "{} imports in the wrong direction, {} circles\n{}\nhint: the rooms are in xtask/src/lint/rooms.rs",
        arrows.len(),
        circles.len(),
        [arrows, circles, hidden, unknown].concat().join("\n")
    )
}

/// Reads the files of a directory; also returns the code that hides dependencies in them.
fn files(directory: &Path, below: &str) -> Result<(Vec<File>, Vec<String>)> {
    let mut read = Vec::new();
    let mut hidden = Vec::new();
    let mut scopes = Scopes::default();
    for path in sources(directory)? {
        let inside = path.strip_prefix(directory)?;
        let name = Path::new(below).join(inside).display().to_string();
        let text = fs::read_to_string(&path).with_context(|| format!("read {name}"))?;
        if inside == Path::new(ROOT) {
            let item = paths::first_item(&text).with_context(|| name.clone())?;
            hidden.extend(item.map(|line| {
                format!("{name}:{line}: the root declares rooms, and holds nothing else")
            }));
            continue;
        }
        let module = module_of(inside);
        let source = paths::read(&text, &module).with_context(|| name.clone())?;
        let forbidden = source.forbidden.iter();
        hidden.extend(forbidden.map(|(line, why)| format!("{name}:{line}: {why}")));
        scopes.add(module.clone(), source.modules, source.imports);
        read.push((name, module, source.mentions));
    }
    let files = read.into_iter().map(|(name, module, mentions)| {
        let is_main = module == ["main"];
        let needs = mentions.into_iter().map(|mention| {
            let name = match mention.name {
                Name::Relative(path) if is_main && path[0] == CRATE => {
                    Name::Absolute(path[1..].to_vec())
                }
                name => name,
            };
            Need {
                line: mention.line,
                modules: scopes.resolve(&mention.module, &name),
                path: match name {
                    Name::Absolute(path) => Some(path),
                    Name::Relative(_) => None,
                },
            }
        });
        File {
            needs: needs.collect(),
            name,
            module,
        }
    });
    Ok((files.collect(), hidden))
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

/// The module of a file below `src`.
fn module_of(inside: &Path) -> paths::Path {
    let path = inside.with_extension("");
    let parts = path.iter().map(|part| part.to_string_lossy().into_owned());
    let mut module: paths::Path = parts.collect();
    if module.len() > 1 && module.last().is_some_and(|last| last == "mod") {
        module.pop();
    }
    module
}

/// Every import of another room that is not on a lower line, once for each line.
fn wrong_arrows(files: &[File], lines: Lines<'_>) -> Vec<String> {
    let mut wrong = Vec::new();
    for file in files {
        let room = &file.module[0];
        let mut others = BTreeSet::new();
        for need in &file.needs {
            if let Some(path) = &need.path {
                others.insert((need.line, path.first()));
            }
        }
        // What is in scope was imported, so it is reported already unless it came with other names.
        let named: BTreeSet<_> = others.iter().map(|(_, other)| *other).collect();
        for need in &file.needs {
            let by_other_names = need.modules.iter().filter_map(|module| module.first());
            let by_other_names = by_other_names.filter(|other| !named.contains(&Some(*other)));
            others.extend(by_other_names.map(|other| (need.line, Some(other))));
        }
        for (line, other) in others {
            let rule = match other {
                Some(other) if other == room => None,
                Some(other) => broken_rule(room, other, lines),
                None => Some(format!("{room} must not import all rooms at once")),
            };
            wrong.extend(rule.map(|rule| format!("{}:{line}: {rule}", file.name)));
        }
    }
    wrong
}

/// The reason why a room must not import another one, if there is one.
fn broken_rule(room: &str, other: &str, lines: Lines<'_>) -> Option<String> {
    // A room without a line is reported once, not for each import.
    let own = line_of(lines, room)?;
    let why = match line_of(lines, other) {
        None => "that is no room",
        Some(others) if others < own => "it is on a higher line",
        Some(others) if others == own => "both are on one line",
        Some(_) => return None,
    };
    Some(format!("{room} must not import {other}: {why}"))
}

/// Rooms without a line, and rooms of lines that do not exist.
fn unknown_rooms(files: &[File], lines: Lines<'_>) -> Vec<String> {
    let there: BTreeSet<_> = files
        .iter()
        .filter_map(|file| file.module.first())
        .collect();
    let there: BTreeSet<_> = there.into_iter().map(String::as_str).collect();
    let listed: BTreeSet<_> = lines.iter().flat_map(|line| line.iter().copied()).collect();
    let without_line = there.difference(&listed);
    let without_line = without_line.map(|room| format!("{room} is on no line of the table"));
    let removed = listed.difference(&there);
    let removed = removed.map(|room| format!("{room} is on a line of the table, and no room"));
    without_line.chain(removed).collect()
}

/// The circles of files, each with one import of each of its files. Imports between a module
/// and the modules inside it are ignored.
fn circles_of(files: &[File]) -> Vec<String> {
    let names: BTreeMap<_, _> = files
        .iter()
        .map(|file| (file.module.as_slice(), file.name.as_str()))
        .collect();
    let mut arrows = Arrows::new();
    let mut lines: BTreeMap<(&str, &str), usize> = BTreeMap::new();
    for file in files {
        for need in &file.needs {
            for path in &need.modules {
                let mut modules = (1..=path.len()).rev().map(|len| &path[..len]);
                let Some(module) = modules.find(|path| names.contains_key(path)) else {
                    continue;
                };
                if module.starts_with(&file.module) || file.module.starts_with(module) {
                    continue;
                }
                let (from, to) = (file.name.as_str(), names[module]);
                arrows.entry(from).or_default().insert(to);
                let line = lines.entry((from, to)).or_insert(need.line);
                *line = need.line.min(*line);
            }
        }
    }
    let describe = |circle: Vec<&str>| {
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
    circles(&arrows).into_iter().map(describe).collect()
}

#[cfg(test)]
mod tests;
