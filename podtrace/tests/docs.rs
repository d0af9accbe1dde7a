//! The commands in the README and in `docs/` print what is written there.
//!
//! Each line of a `console` block that begins with `$ ` runs in `tests/docs`, where the
//! recordings are; what follows it is what it prints.
//! `PODTRACE_WRITE_DOCS=1 cargo test -p podtrace --test docs` writes it anew. All command
//! lines are parsed, also those that do not run here, and so are the examples of `--help`.
#![expect(
    clippy::disallowed_methods,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use clap::{CommandFactory as _, Parser as _};
use podtrace::cli::Cli;
use serde_json::Value;

fn crate_folder() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn pages() -> Vec<PathBuf> {
    let docs = fs::read_dir(crate_folder().join("docs")).unwrap();
    let docs = docs.map(|entry| entry.unwrap().path());
    let mut pages: Vec<_> = docs.filter(|path| path.extension().is_some()).collect();
    pages.push(crate_folder().join("../README.md"));
    pages
}

/// Where the recordings are in a clone.
const RECORDINGS: &str = "podtrace/tests/docs";

/// Copies the recordings, so that no command leaves a file among them: to where they are in a
/// clone, and to the top.
fn recordings() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let as_cloned = folder.path().join(RECORDINGS);
    fs::create_dir_all(&as_cloned).unwrap();
    for entry in fs::read_dir(crate_folder().join("..").join(RECORDINGS)).unwrap() {
        let entry = entry.unwrap();
        for target in [folder.path(), &as_cloned] {
            fs::copy(entry.path(), target.join(entry.file_name())).unwrap();
        }
    }
    folder
}

/// What a command line prints, with podtrace in the PATH.
fn output_of(line: &str, folder: &Path) -> String {
    let output = run(line, folder);
    String::from_utf8([output.stdout, output.stderr].concat()).unwrap()
}

fn run(line: &str, folder: &Path) -> Output {
    let podtrace = Path::new(env!("CARGO_BIN_EXE_podtrace"));
    let path = [podtrace.parent().unwrap().to_owned()];
    let others = env::var_os("PATH").unwrap();
    let path = path.into_iter().chain(env::split_paths(&others));
    Command::new("sh")
        .args(["-c", line])
        .env("PATH", env::join_paths(path).unwrap())
        .env("TZ", "UTC")
        .current_dir(folder)
        .output()
        .unwrap()
}

/// The page with what its commands print.
fn refreshed(page: &str, folder: &Path) -> String {
    let mut out = String::new();
    let (mut is_block, mut is_console) = (false, false);
    for line in page.lines() {
        let is_fence = line.starts_with("```");
        let command = line.strip_prefix("$ ").filter(|_| is_console);
        if is_fence || !is_console || command.is_some() {
            out += line;
            out.push('\n');
        }
        if is_fence {
            is_console = !is_block && line == "```console";
            is_block = !is_block;
        }
        if let Some(command) = command {
            out += &output_of(command, folder);
        }
    }
    out
}

#[test]
fn commands_print_what_the_docs_say() {
    let folder = recordings();
    for page in pages() {
        let written = fs::read_to_string(&page).unwrap();
        let current = refreshed(&written, folder.path());
        if env::var_os("PODTRACE_WRITE_DOCS").is_some() {
            fs::write(&page, current).unwrap();
            continue;
        }
        let differing = written.lines().zip(current.lines());
        let first = differing.into_iter().find(|(was, is)| was != is);
        assert!(
            written == current,
            "{} is out of date, PODTRACE_WRITE_DOCS=1 writes it anew: {first:#?}",
            page.display()
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
        if let Err(error) = Cli::try_parse_from(words(command)) {
            panic!("`{command}` is no command line: {error}");
        }
    });
    parsed.count()
}

/// The words of a command, of which single quotes hold some together.
fn words(command: &str) -> Vec<String> {
    let mut words = Vec::new();
    for (number, part) in command.split('\'').enumerate() {
        match number % 2 {
            0 => words.extend(part.split_whitespace().map(str::to_owned)),
            _ => words.push(part.to_owned()),
        }
    }
    words
}

/// The lines of a page that are for a shell: indented ones, and those behind a prompt.
fn shell_lines(page: &str) -> impl Iterator<Item = &str> {
    page.lines().filter_map(|line| {
        line.strip_prefix("    ")
            .or_else(|| line.strip_prefix("$ "))
    })
}

/// What the README has a newcomer type works in a clone, in order. What needs root is left
/// out: it traces the machine.
#[test]
fn commands_of_the_readme_work_in_a_clone() {
    let folder = recordings();
    for entry in fs::read_dir(folder.path()).unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() {
            fs::remove_file(path).unwrap();
        }
    }
    let readme = fs::read_to_string(crate_folder().join("../README.md")).unwrap();
    let mut count = 0;
    for line in shell_lines(&readme).filter(|line| line.starts_with("podtrace ")) {
        let output = run(line, folder.path());
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{line}: {error}");
        assert!(!output.stdout.is_empty(), "{line}: {error}");
        count += 1;
    }
    assert!(count > 4, "{count} command lines were found");
}

#[test]
fn command_lines_of_the_docs_are_podtraces() {
    let mut count = 0;
    for page in pages() {
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

/// What is written as JSON is as `podtrace schema` describes it.
#[test]
fn json_follows_its_schema() {
    let folder = recordings();
    let text = |line: &str| {
        let output = run(line, folder.path());
        assert!(output.status.success(), "{line}");
        String::from_utf8(output.stdout).unwrap()
    };
    for (schema, command) in [
        ("lines", "podtrace replay -o json *.pcapng"),
        ("stats", "podtrace stats -o json *.pcapng"),
        ("topology", "podtrace topology -o json *.pcapng"),
        ("flows", "podtrace flows -o json -r ."),
    ] {
        let schema: Value =
            serde_json::from_str(&text(&format!("podtrace schema {schema}"))).unwrap();
        let documents = text(command);
        let documents = serde_json::Deserializer::from_str(&documents).into_iter();
        let mut valid = 0;
        for document in documents {
            let document: Value = document.unwrap();
            let fault = fault(&document, &schema, &schema);
            assert_eq!(fault, None, "{document}");
            valid += 1;
        }
        assert!(valid > 0, "{command}");
        let wrong = serde_json::json!({"type": "path", "packet": "one"});
        assert!(fault(&wrong, &schema, &schema).is_some());
    }
}

/// Where a value does not follow a schema, by the keywords that podtrace's schemas have; other
/// keywords are a fault of the schema.
fn fault(value: &Value, schema: &Value, document: &Value) -> Option<String> {
    let keywords = schema.as_object().unwrap().iter();
    let mut faults = keywords.filter_map(|(keyword, rule)| match keyword.as_str() {
        "$schema" | "title" | "description" | "$defs" => None,
        "$ref" => {
            let name = rule.as_str().unwrap().strip_prefix("#/$defs/").unwrap();
            fault(value, &document["$defs"][name], document)
        }
        "oneOf" => {
            let fits = |rule: &&Value| fault(value, rule, document).is_none();
            let number = rule.as_array().unwrap().iter().filter(fits).count();
            (number != 1).then(|| format!("{number} fit"))
        }
        "const" => (value != rule).then(|| format!("{value}")),
        "type" => {
            let is_so = match rule.as_str().unwrap() {
                "object" => value.is_object(),
                "array" => value.is_array(),
                "string" => value.is_string(),
                "boolean" => value.is_boolean(),
                "integer" => value.is_i64() || value.is_u64(),
                other => panic!("{other}"),
            };
            (!is_so).then(|| format!("{value} is no {rule}"))
        }
        "items" => {
            let items = value.as_array().into_iter().flatten();
            { items }.find_map(|item| fault(item, rule, document))
        }
        "required" => {
            let names = rule.as_array().unwrap().iter();
            let is_missing = |name: &&Value| value.get(name.as_str().unwrap()).is_none();
            { names }.find(is_missing).map(|name| format!("no {name}"))
        }
        "properties" => {
            let rules = rule.as_object().unwrap().iter();
            { rules }.find_map(|(name, rule)| fault(value.get(name)?, rule, document))
        }
        "additionalProperties" => {
            let values = value.as_object().into_iter().flatten();
            { values }.find_map(|(_, value)| fault(value, rule, document))
        }
        other => panic!("{other}"),
    });
    faults.next()
}
