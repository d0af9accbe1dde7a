//! The file of rights: a table for whom it names, the first that fits counts.
use std::{
    fs::OpenOptions,
    io::Read as _,
    os::unix::fs::{MetadataExt as _, OpenOptionsExt as _},
    path::Path,
    time::Duration,
};

use jiff::SignedDuration;
use toml_edit::{Document, Table, Value};

use super::{Rights, Rule, Whom};
use crate::{
    filter::Expression,
    text::{
        escape::shown, glob::Glob, names::listed, sanitize::sanitize_lines,
        system_error::without_numbers,
    },
};

/// The name of a table.
const CONSOLE: &str = "console";
/// Its keys.
const KEYS: [&str; 9] = [
    "name",
    "uid",
    "user",
    "allow",
    "payload",
    "probe",
    "max-traces",
    "max-duration",
    "expression",
];
/// Upper bounds of the file.
const BYTES_MAX: u64 = 256 << 10;
const TRACES_MAX: i64 = 100;
const HINT: &str = "\nhint: [[console]], and below it name = \"alice@example.com\"";
/// Write permission of the group and of everybody.
const OTHERS_WRITE: u32 = 0o022;

/// Reads the file; an error names the line.
pub(super) fn read(path: &Path) -> Result<Vec<Rule>, String> {
    let name = shown(path);
    let failed = |error: std::io::Error| {
        format!(
            "failed to read {name}: {}",
            without_numbers(&error.to_string())
        )
    };
    let mut options = OpenOptions::new();
    // Opening a FIFO would wait for its writer.
    options.read(true).custom_flags(libc::O_NONBLOCK);
    let file = options.open(path).map_err(failed)?;
    let found = file.metadata().map_err(failed)?;
    if !found.is_file() {
        return Err(format!("{name} is no file"));
    }
    if found.mode() & OTHERS_WRITE != 0 {
        return Err(format!(
            "others can write to {name}, and it says who may trace\nhint: chmod go-w {name}"
        ));
    }
    let mut text = String::new();
    let mut part = file.take(BYTES_MAX + 1);
    part.read_to_string(&mut text).map_err(failed)?;
    if text.len() as u64 > BYTES_MAX {
        return Err(format!("{name} is larger than {} KiB", BYTES_MAX >> 10));
    }
    parse(&name, &text)
}

/// Reads the text of a file. `name`: the file's, for errors.
fn parse(name: &str, text: &str) -> Result<Vec<Rule>, String> {
    let file = File { name, text };
    let document = Document::parse(text).map_err(|error| {
        let at = error.span().map_or(0, |span| span.start);
        file.wrong(at, &sanitize_lines(error.message()))
    })?;
    let mut rules = Vec::new();
    for (title, item) in document.iter() {
        let tables = item.as_array_of_tables().filter(|_| title == CONSOLE);
        let Some(tables) = tables else {
            let at = document.key(title).and_then(toml_edit::Key::span);
            let at = at.map_or(0, |span| span.start);
            return Err(file.wrong(at, &format!("{} is no [[{CONSOLE}]]{HINT}", shown(title))));
        };
        for table in tables {
            rules.push(file.rule(table)?);
        }
    }
    match rules.is_empty() {
        true => Err(format!(
            "{name} has no [[{CONSOLE}]], and so nobody may trace{HINT}"
        )),
        false => Ok(rules),
    }
}

/// A file that is read.
struct File<'a> {
    name: &'a str,
    text: &'a str,
}

impl File<'_> {
    /// An error with its place.
    fn wrong(&self, at: usize, words: &str) -> String {
        let before = self.text.get(..at).unwrap_or(self.text);
        let line = 1 + before.bytes().filter(|byte| *byte == b'\n').count();
        format!("{}, line {line}: {words}", self.name)
    }

    fn rule(&self, table: &Table) -> Result<Rule, String> {
        let begin = table.span().map_or(0, |span| span.start);
        let mut whom = Vec::new();
        let mut is_allowed = true;
        let mut rights = Rights::default();
        for (key, item) in table.iter() {
            let at = table.key(key).and_then(toml_edit::Key::span);
            let at = at.map_or(begin, |span| span.start);
            let wrong = |words: &str| self.wrong(at, &format!("{}: {words}", shown(key)));
            let value = item
                .as_value()
                .ok_or_else(|| wrong("must be a value, not a table"))?;
            let checked = match key {
                "name" => patterns(value).map(|names| whom.push(Whom::Names(names))),
                "user" => patterns(value).map(|names| whom.push(Whom::Logins(names))),
                "uid" => uids(value).map(|uids| whom.push(Whom::Uids(uids))),
                "allow" => flag(value).map(|flag| is_allowed = flag),
                "payload" => flag(value).map(|flag| rights.payload = flag),
                "probe" => flag(value).map(|flag| rights.probe = flag),
                "max-traces" => traces(value).map(|max| rights.traces_max = Some(max)),
                "max-duration" => duration(value).map(|max| rights.duration_max = Some(max)),
                "expression" => expression(value).map(|text| rights.expression = Some(text)),
                _ => {
                    let known = listed(KEYS, Some(key));
                    Err(format!("no such key\nhint: there is {known}"))
                }
            };
            checked.map_err(|words| wrong(&words))?;
        }
        let [whom] = <[Whom; 1]>::try_from(whom).map_err(|_several| {
            self.wrong(
                begin,
                "a [[console]] takes one of name, for certificates, uid, for the Unix socket, and \
                 user, for ssh and kubectl exec",
            )
        })?;
        if !is_allowed && rights != Rights::default() {
            return Err(self.wrong(begin, "allow = false leaves nothing to say of rights"));
        }
        Ok(Rule {
            whom,
            rights: is_allowed.then_some(rights),
        })
    }
}

/// One value or several.
fn several(value: &Value) -> Vec<&Value> {
    match value.as_array() {
        Some(array) => array.iter().collect(),
        None => vec![value],
    }
}

fn patterns(value: &Value) -> Result<Vec<Glob>, String> {
    let texts = several(value).into_iter().map(Value::as_str);
    let texts: Option<Vec<_>> = texts.collect();
    let texts = texts.filter(|texts| !texts.is_empty() && !texts.contains(&""));
    let texts = texts.ok_or("must be a text in quotes, or several in brackets")?;
    Ok(texts.into_iter().map(Glob::new).collect())
}

fn uids(value: &Value) -> Result<Vec<u32>, String> {
    let uids = several(value)
        .into_iter()
        .map(|uid| u32::try_from(uid.as_integer()?).ok());
    let uids: Option<Vec<_>> = uids.collect();
    let uids = uids.filter(|uids| !uids.is_empty());
    uids.ok_or_else(|| "must be the number of a user, or several in brackets".to_owned())
}

fn flag(value: &Value) -> Result<bool, String> {
    value
        .as_bool()
        .ok_or_else(|| "must be true or false".to_owned())
}

fn traces(value: &Value) -> Result<usize, String> {
    let number = value
        .as_integer()
        .filter(|number| (1..=TRACES_MAX).contains(number));
    let number = number.and_then(|number| usize::try_from(number).ok());
    number.ok_or_else(|| format!("must be a whole number from 1 to {TRACES_MAX}"))
}

fn duration(value: &Value) -> Result<Duration, String> {
    let time = value
        .as_str()
        .and_then(|text| text.parse::<SignedDuration>().ok());
    let time = time.and_then(|time| Duration::try_from(time).ok());
    // Requests have milliseconds.
    let time = time.filter(|time| time.as_millis() > 0 && time.as_secs() < 365 * 86_400);
    time.ok_or_else(|| "must be a time in quotes, as \"10m\" or \"1h30m\"".to_owned())
}

fn expression(value: &Value) -> Result<String, String> {
    let text = value
        .as_str()
        .map(str::trim)
        .filter(|text| !text.is_empty());
    let text = text.ok_or("must be an expression in quotes, as \"net 10.244.0.0/16\"")?;
    Expression::compile(text).map_err(|error| error.to_string())?;
    let mut words = text.split(|c: char| !c.is_ascii_alphanumeric());
    if text.contains('!') || words.any(|word| word == "not") {
        return Err(
            "says what may be seen, without not: in a tunnel, the headers around a packet would \
             match it\nhint: as net 10.244.1.0/24"
                .to_owned(),
        );
    }
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests;
