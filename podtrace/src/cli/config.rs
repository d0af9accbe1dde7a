//! Defaults from configuration files: a table for each command and one for all, in which the
//! keys are the long names of options.
mod file;
mod line;
mod origin;
mod pairs;

use std::error::Error as _;

use clap::{
    Arg, ArgAction, Command, CommandFactory as _,
    error::{ContextKind, ErrorKind},
};
use toml_edit::{Array, Document, Item, Key, TableLike, Value};

use super::Cli;
use crate::text::names::listed;
pub(super) use line::with_defaults;
pub(super) use origin::origin;

/// The table for all commands.
const ALL: &str = "all";
/// Options that are no defaults.
const NEVER: [&str; 3] = ["help", "version", "no-config"];
/// The option that negates the next one on a command line.
const NOT: &str = "not";
/// How often an option may be repeated that counts.
const COUNT_MAX: i64 = 10;

/// An option that a file sets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Setting {
    /// The command; none for all that have the option.
    command: Option<String>,
    /// The option's long name.
    key: String,
    /// The option as on a command line, as often as it is given.
    words: Vec<String>,
    /// The file, the line, the table and the key, for errors.
    place: String,
}

impl Setting {
    fn is_for(&self, command: &Command) -> bool {
        let name = self.command.as_deref();
        name.is_none_or(|name| name == command.get_name()) && option(command, &self.key).is_some()
    }
}

/// The option of a command with this long name.
fn option<'a>(command: &'a Command, key: &str) -> Option<&'a Arg> {
    let is_named = |arg: &&Arg| {
        let aliases = arg.get_all_aliases().unwrap_or_default();
        arg.get_long() == Some(key) || aliases.contains(&key)
    };
    let mut options = command.get_arguments();
    options.find(|arg| is_named(arg) && !NEVER.contains(&key))
}

/// The settings of a file. `name`: the file's, for errors.
fn settings(name: &str, text: &str) -> Result<Vec<Setting>, String> {
    let podtrace = Cli::command();
    let file = File {
        name,
        text,
        podtrace: &podtrace,
    };
    let document = Document::parse(text).map_err(|error| {
        let at = error.span().map_or(0, |span| span.start);
        file.wrong(at, error.message())
    })?;
    let mut settings = Vec::new();
    for (title, item) in document.iter() {
        let at = begin(document.key(title));
        let Some(table) = item.as_table_like() else {
            let known = podtrace.get_subcommands().map(Command::get_name);
            let tables = listed(known, Some(title));
            return Err(file.wrong(
                at,
                &format!(
                    "{title} stands in no table\nhint: options stand behind [all] or the name of a \
                     command in brackets: {tables}"
                ),
            ));
        };
        settings.extend(file.table(title, at, table)?);
    }
    Ok(settings)
}

fn begin(key: Option<&Key>) -> usize {
    key.and_then(Key::span).map_or(0, |span| span.start)
}

/// A file that is read.
struct File<'a> {
    name: &'a str,
    text: &'a str,
    podtrace: &'a Command,
}

impl File<'_> {
    /// An error with its place.
    fn wrong(&self, at: usize, words: &str) -> String {
        format!("{}: {words}", self.line(at))
    }

    fn line(&self, at: usize) -> String {
        let before = self.text.get(..at).unwrap_or(self.text);
        let line = 1 + before.bytes().filter(|byte| *byte == b'\n').count();
        format!("{}, line {line}", self.name)
    }

    /// The settings of a table.
    fn table(&self, title: &str, at: usize, table: &dyn TableLike) -> Result<Vec<Setting>, String> {
        let all: Vec<_> = self.podtrace.get_subcommands().collect();
        let commands: Vec<_> = all
            .iter()
            .filter(|command| title == ALL || command.get_name() == title)
            .collect();
        if commands.is_empty() {
            let names = all.iter().map(|command| command.get_name()).chain([ALL]);
            let names = listed(names, Some(title));
            return Err(self.wrong(at, &format!("no command {title}\nhint: there is {names}")));
        }
        let mut settings = Vec::new();
        for (key, item) in table.iter() {
            let at = begin(table.key(key));
            let found = commands.iter().find_map(|command| option(command, key));
            let Some(found) = found else {
                let options = commands.iter().flat_map(|command| command.get_arguments());
                let names = options.filter_map(Arg::get_long);
                let names = listed(names.filter(|name| !NEVER.contains(name)), Some(key));
                return Err(self.wrong(
                    at,
                    &format!("[{title}] has no option {key}\nhint: there is {names}"),
                ));
            };
            let wrong = |words: &str| self.wrong(at, &format!("[{title}] {key}: {words}"));
            if key == NOT {
                return Err(wrong(
                    "negates the option behind it, and the options of a file stand in no order\n\
                     hint: on the command line: --not --pod 'kube-system/*', or an expression with \
                     not in it",
                ));
            }
            let words = words(found, key, item).map_err(|error| wrong(&error))?;
            for command in &commands {
                if option(command, key).is_some() {
                    check(command.get_name(), &words).map_err(|error| wrong(&error))?;
                }
            }
            settings.push(Setting {
                command: (title != ALL).then(|| title.to_owned()),
                key: key.to_owned(),
                words,
                place: format!("{}: [{title}] {key}", self.line(at)),
            });
        }
        self.check_pairs(at, title, &commands, &settings)?;
        if title != ALL {
            let words: Vec<_> = settings.iter().flat_map(|one| one.words.clone()).collect();
            let line = ["podtrace", title]
                .map(str::to_owned)
                .into_iter()
                .chain(words);
            if let Err(error) = Cli::command().try_get_matches_from(line)
                && error.kind() == ErrorKind::ArgumentConflict
            {
                let text = error.to_string();
                let text = text.lines().next().unwrap_or_default();
                let text = text.strip_prefix("error: ").unwrap_or(text);
                return Err(self.wrong(at, &format!("[{title}] contradicts itself: {text}")));
            }
        }
        Ok(settings)
    }
}

/// An option and its values as on a command line.
fn words(option: &Arg, key: &str, item: &Item) -> Result<Vec<String>, String> {
    let value = item.as_value().ok_or("must be a value, not a table")?;
    let flag = format!("--{key}");
    match option.get_action() {
        ArgAction::SetTrue => match value.as_bool() {
            Some(is_set) => Ok(is_set.then_some(flag).into_iter().collect()),
            None => Err("must be true or false".into()),
        },
        ArgAction::Count => match value.as_integer() {
            Some(count @ 0..=COUNT_MAX) => Ok((0..count).map(|_| flag.clone()).collect()),
            _ if value.as_bool() == Some(true) => Ok(vec![flag]),
            _ if value.as_bool() == Some(false) => Ok(Vec::new()),
            _ => Err(format!("must be true, false or a number up to {COUNT_MAX}")),
        },
        ArgAction::Append if count(option) > 1 => several(count(option), &flag, key, value),
        action => {
            let values: Vec<&Value> = match value.as_array() {
                Some(array) if matches!(action, ArgAction::Append) => array.iter().collect(),
                Some(_) => return Err("takes one value, not several".into()),
                None => vec![value],
            };
            let words = values.into_iter().map(|value| match value {
                Value::String(text) => Ok(format!("{flag}={}", text.value())),
                Value::Integer(number) => Ok(format!("{flag}={}", number.value())),
                Value::Float(number) => Ok(format!("{flag}={}", number.value())),
                _ => Err(format!(
                    "must be a text in quotes or a number: {key} = \"…\""
                )),
            });
            words.collect()
        }
    }
}

/// How many values an option takes at once.
fn count(option: &Arg) -> usize {
    option.get_num_args().map_or(1, |range| range.max_values())
}

/// The words of an option that takes `count` values at once: an array of them, or of such arrays.
fn several(count: usize, flag: &str, key: &str, value: &Value) -> Result<Vec<String>, String> {
    let form = || {
        let texts = vec!["\"…\""; count].join(", ");
        format!("takes {count} values: {key} = [{texts}], or a list of such lists")
    };
    let array = value.as_array().ok_or_else(form)?;
    let of_one = |array: &Array| -> Result<Vec<String>, String> {
        let texts = array.iter().map(|value| value.as_str().map(str::to_owned));
        let texts: Option<Vec<_>> = texts.collect();
        // A value is no option.
        let is_value = |text: &String| !text.starts_with('-');
        let texts = texts.filter(|texts| texts.len() == count && texts.iter().all(is_value));
        let flag = std::iter::once(flag.to_owned());
        Ok(flag.chain(texts.ok_or_else(form)?).collect())
    };
    if array.iter().all(Value::is_str) {
        return of_one(array);
    }
    let each = array.iter().map(|one| match one.as_array() {
        Some(array) => of_one(array),
        None => Err(form()),
    });
    Ok(each.collect::<Result<Vec<_>, _>>()?.concat())
}

/// Whether a command takes an option with these values.
fn check(command: &str, words: &[String]) -> Result<(), String> {
    let line = ["podtrace", command].map(str::to_owned).into_iter();
    let Err(error) = Cli::command().try_get_matches_from(line.chain(words.iter().cloned())) else {
        return Ok(());
    };
    match error.kind() {
        ErrorKind::ValueValidation | ErrorKind::InvalidValue => {}
        // Others depend on the rest of the line.
        _ => return Ok(()),
    }
    let given = error.get(ContextKind::InvalidValue);
    let given = given.map_or_else(String::new, |given| format!("{given} is wrong: "));
    let why = match (error.source(), error.get(ContextKind::ValidValue)) {
        (Some(source), _) => source.to_string(),
        (None, Some(values)) => format!("must be one of {values}"),
        (None, None) => "must not be empty".to_owned(),
    };
    Err(format!("{given}{why}"))
}

#[cfg(test)]
mod tests;
