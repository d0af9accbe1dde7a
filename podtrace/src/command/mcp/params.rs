//! The parameters of the tools: their JSON schema, and the command line that they stand for.
mod known;

use std::ffi::OsString;

use anyhow::{anyhow, bail};
use serde_json::{Map, Value, json};

use crate::{
    cli::{self, Command, DiagnoseArgs, InputArgs},
    text::{escape::escape, names::listed},
};
use known::EXPRESSION;
#[cfg(feature = "cluster")]
pub(super) use known::SQL;
pub(super) use known::{ENDS, LIMIT, PROBE, SECONDS, SELECTORS};

/// Rows of an answer by default.
const ROWS: usize = 100;
/// Seconds that nodes are recorded for an answer by default.
const RECORDED: u64 = 5;
/// Upper bound of the bytes of a text.
const TEXT_MAX: usize = 4096;

/// A parameter of a tool.
pub(super) struct Param {
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    pub(super) about: &'static str,
    /// Whether a call without it is wrong.
    pub(super) is_required: bool,
}

/// What a parameter takes.
pub(super) enum Kind {
    /// A text.
    Text,
    /// Two texts.
    Pair,
    /// A whole number.
    Number { min: u64, max: u64 },
    /// One of these.
    Choice(&'static [&'static str]),
    /// Yes or no.
    Flag,
}

impl Param {
    const fn new(name: &'static str, kind: Kind, about: &'static str) -> Self {
        Self {
            name,
            kind,
            about,
            is_required: false,
        }
    }

    const fn required(self) -> Self {
        Self {
            is_required: true,
            ..self
        }
    }

    fn schema(&self) -> Value {
        let mut schema = match self.kind {
            Kind::Text => json!({"type": "string"}),
            Kind::Pair => json!({
                "type": "array", "items": {"type": "string"}, "minItems": 2, "maxItems": 2
            }),
            Kind::Number { min, max } => {
                json!({"type": "integer", "minimum": min, "maximum": max})
            }
            Kind::Choice(names) => json!({"type": "string", "enum": names}),
            Kind::Flag => json!({"type": "boolean"}),
        };
        schema["description"] = self.about.into();
        schema
    }
}

/// The JSON schema of parameters.
pub(super) fn schema(params: &[&Param]) -> Map<String, Value> {
    let properties = params
        .iter()
        .map(|param| (param.name.to_owned(), param.schema()));
    let mut schema = Map::new();
    schema.insert("type".into(), "object".into());
    schema.insert("properties".into(), Value::Object(properties.collect()));
    let required = params.iter().filter(|param| param.is_required);
    let required: Vec<_> = required.map(|param| param.name).collect();
    if !required.is_empty() {
        schema.insert("required".into(), required.into());
    }
    schema.insert("additionalProperties".into(), false.into());
    schema
}

/// The arguments of a call, each as its parameter wants it.
#[derive(Debug, Default)]
pub(super) struct Given(Vec<(&'static str, Vec<String>)>);

impl Given {
    /// Takes the arguments over.
    pub(super) fn new(params: &[&Param], arguments: &Map<String, Value>) -> anyhow::Result<Self> {
        let mut given = Vec::new();
        for (name, value) in arguments {
            let Some(param) = params.iter().find(|param| param.name == name) else {
                let known = params.iter().map(|param| param.name);
                bail!(
                    "there is no parameter {}\nhint: there is {}",
                    escape(name),
                    listed(known, Some(name))
                );
            };
            if !value.is_null() {
                given.push((param.name, values(param, value)?));
            }
        }
        let is_missing = |param: &&&Param| {
            let is_given = given.iter().any(|(name, _)| *name == param.name);
            param.is_required && !is_given
        };
        if let Some(missing) = params.iter().find(is_missing) {
            bail!("{} is missing: {}", missing.name, missing.about);
        }
        Ok(Self(given))
    }

    /// The value of a parameter.
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        let values = self.0.iter().find(|(given, _)| *given == name);
        values?.1.first().map(String::as_str)
    }

    /// How many rows are asked for.
    pub(super) fn limit(&self) -> usize {
        let limit = self.text(LIMIT.name).and_then(|limit| limit.parse().ok());
        limit.unwrap_or(ROWS)
    }

    /// How long nodes are recorded.
    pub(super) fn seconds(&self) -> u64 {
        let seconds = self.text(SECONDS.name);
        let seconds = seconds.and_then(|seconds| seconds.parse().ok());
        seconds.unwrap_or(RECORDED)
    }

    /// Whether packets are to be sent.
    pub(super) fn probes(&self) -> bool {
        self.text(PROBE.name) == Some("true")
    }

    /// The two ends of a diagnosis, and its packets, as words of a command line.
    pub(super) fn ends(&self) -> Vec<String> {
        let [source, destination, rest @ ..] = &ENDS;
        let ends = [source, destination];
        let ends = ends.map(|end| self.text(end.name).unwrap_or_default().to_owned());
        self.options(rest).chain(ends).collect()
    }

    /// The options of a command line that stand for parameters of these names.
    fn options<'a>(&'a self, params: &'a [Param]) -> impl Iterator<Item = String> + 'a {
        let options = self.0.iter().filter(|(name, _)| {
            let is_it = |param: &Param| param.name == *name;
            params.iter().any(is_it) && *name != EXPRESSION.name
        });
        options.flat_map(|(name, values)| {
            let option = format!("--{}", name.replace('_', "-"));
            // A value that is in one word with its option is no option itself.
            match &values[..] {
                [value] => vec![format!("{option}={value}")],
                values => [&[option], values].concat(),
            }
        })
    }

    /// What `podtrace replay` is asked for with these.
    pub(super) fn input(&self) -> anyhow::Result<InputArgs> {
        let mut line: Vec<_> = ["podtrace", "replay", FILE].map(OsString::from).into();
        line.extend(self.options(&SELECTORS).map(OsString::from));
        if let Some(expression) = self.text(EXPRESSION.name) {
            line.extend(["--", expression].map(OsString::from));
        }
        match parse(&line)? {
            Command::Replay(args) => Ok(args.input),
            _ => bail!("not a replay"),
        }
    }

    /// What `podtrace diagnose` is asked for with these.
    pub(super) fn diagnosis(&self) -> anyhow::Result<DiagnoseArgs> {
        let line = ["podtrace", "diagnose", "-o", "json", "-r", FILE].map(OsString::from);
        let ends = self.ends().into_iter().map(OsString::from);
        let line: Vec<_> = line.into_iter().chain(ends).collect();
        match parse(&line)? {
            Command::Diagnose(args) => Ok(*args),
            _ => bail!("not a diagnosis"),
        }
    }
}

/// Stands for the files, which no call may choose.
const FILE: &str = "./recordings";

/// The values of an argument. None begins with a dash where it would be a word of its own.
fn values(param: &Param, value: &Value) -> anyhow::Result<Vec<String>> {
    let name = param.name;
    let is_word = matches!(param.kind, Kind::Pair) || param.is_required;
    let text = |value: &Value| match value {
        Value::String(text) if text.len() > TEXT_MAX => {
            Err(anyhow!("{name} is longer than {TEXT_MAX} bytes"))
        }
        Value::String(text) if text.contains('\0') => Err(anyhow!("{name} has a null byte in it")),
        Value::String(text) if is_word && text.starts_with('-') => {
            Err(anyhow!("{name} must not begin with -: {}", param.about))
        }
        Value::String(text) => Ok(text.clone()),
        Value::Number(number) => Ok(number.to_string()),
        _ => Err(anyhow!("{name} must be a text")),
    };
    match (&param.kind, value) {
        (Kind::Pair, Value::Array(pair)) if pair.len() == 2 => pair.iter().map(text).collect(),
        (Kind::Pair, _) => bail!("{name} must be a list of two texts"),
        (Kind::Number { min, max }, value) => {
            let number = match value {
                Value::String(text) => text.parse().ok(),
                value => value.as_u64(),
            };
            let number = number.filter(|number| (*min..=*max).contains(number));
            let number = number
                .ok_or_else(|| anyhow!("{name} must be a whole number from {min} to {max}"))?;
            Ok(vec![number.to_string()])
        }
        (Kind::Choice(names), value) => {
            let given = value.as_str().unwrap_or_default();
            if !names.contains(&given) {
                bail!("{name} must be one of {}", names.join(", "));
            }
            Ok(vec![given.to_owned()])
        }
        (Kind::Text, value) => Ok(vec![text(value)?]),
        (Kind::Flag, Value::Bool(is_set)) => Ok(vec![is_set.to_string()]),
        (Kind::Flag, _) => bail!("{name} must be true or false"),
    }
}

/// Reads a line as the command line is read, with the same words for what is wrong.
pub(super) fn parse(line: &[OsString]) -> anyhow::Result<Command> {
    let cli = cli::read(line).map_err(|error| anyhow!(in_words(&error.to_string())))?;
    match cli.command.contradiction() {
        Some(words) => bail!(words),
        None => Ok(cli.command),
    }
}

/// An error of the command line without what only helps there.
fn in_words(error: &str) -> String {
    let error = error.strip_prefix("error: ").unwrap_or(error);
    let lines = error.lines().map(str::trim);
    let lines = lines.take_while(|line| !line.starts_with("Usage:"));
    let lines = lines.filter(|line| !line.is_empty() && !line.starts_with("For more information"));
    let lines: Vec<_> = lines
        .map(|line| match line.strip_prefix("tip: ") {
            Some(tip) => format!("hint: {tip}"),
            None => line.to_owned(),
        })
        .collect();
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn given(params: &[&Param], arguments: Value) -> anyhow::Result<Given> {
        Given::new(params, arguments.as_object().unwrap())
    }

    fn selectors() -> Vec<&'static Param> {
        SELECTORS.iter().chain([&LIMIT]).collect()
    }

    /// Each parameter is an option of the command, and its value is only that.
    #[test]
    fn arguments_are_values_of_options() {
        let arguments = json!({
            "expression": "--help", "pod": "default/web", "from_pod": "a-*", "to_pod": "b",
            "between": ["c", "10.0.0.0/8"], "namespace": "-n", "selector": "app=web",
            "container": "--help", "service": "s", "ip": "fd00::/8", "port": 80,
            "protocol": "tcp", "node": "--version", "interface": "cni0", "outcome": "dropped",
            "min_latency": "1ms", "since": "+1s", "until": "+2s", "limit": 7
        });
        let given = given(&selectors(), arguments).unwrap();
        let input = given.input().unwrap();
        assert_eq!(given.limit(), 7);
        assert_eq!(input.filter.expression, ["--help"]);
        assert!(input.since.is_some() && input.until.is_some());
        assert_eq!(input.interfaces.len(), 1);
        let selector = input.filter.chosen.select.selector;
        let words = format!("{selector:?}");
        for value in ["--version", "--help", "-n", "Dropped", "1000000"] {
            assert!(
                words.to_lowercase().contains(&value.to_lowercase()),
                "{value}: {words}"
            );
        }
        assert_eq!(input.files, [std::path::PathBuf::from(FILE)]);
    }

    #[test]
    fn ends_are_no_options() {
        let params: Vec<_> = ENDS.iter().collect();
        let fine =
            json!({"source": "a", "destination": "fd00::1", "port": "53", "protocol": "udp"});
        let args = given(&params, fine).unwrap().diagnosis().unwrap();
        assert_eq!((args.port, args.read.len()), (Some(53), 1));
        for (arguments, words) in [
            (json!({"source": "a"}), "destination is missing"),
            (
                json!({"source": "--probe", "destination": "b"}),
                "must not begin with -",
            ),
            (
                json!({"source": "a", "destination": "b", "port": 0}),
                "from 1 to 65535",
            ),
            (
                json!({"source": "a", "destination": "b", "protocol": "sctp"}),
                "icmp, tcp, udp",
            ),
            (json!({"source": "a*", "destination": "b"}), "is a pattern"),
            (json!({"source": "a", "destination": []}), "must be a text"),
        ] {
            let error = given(&params, arguments).and_then(|given| given.diagnosis());
            let error = error.unwrap_err().to_string();
            assert!(error.contains(words), "{error}");
        }
    }

    #[test]
    fn mistakes_are_told_as_on_the_command_line() {
        for (arguments, words) in [
            (
                json!({"pods": "a"}),
                "no parameter pods\nhint: there is pod",
            ),
            (json!({"limit": 1001}), "from 1 to 1000"),
            (json!({"limit": -1}), "from 1 to 1000"),
            (json!({"between": ["a"]}), "a list of two texts"),
            (json!({"between": ["-a", "b"]}), "must not begin with -"),
            (json!({"pod": "a/b/c"}), "must be a pod, as default/web"),
            (json!({"pod": "a\0"}), "null byte"),
            (json!({"pod": "x".repeat(5000)}), "longer than 4096 bytes"),
            (json!({"outcome": "lost"}), "must be one of delivered"),
            (json!({"since": "noon"}), "must be "),
            (json!({"min_latency": "x\u{1b}"}), "x\\x1b"),
        ] {
            let error = given(&selectors(), arguments).and_then(|given| given.input());
            let error = error.unwrap_err().to_string();
            assert!(error.contains(words), "{words}: {error}");
            assert!(
                !error.contains("Usage") && !error.contains("--help"),
                "{error}"
            );
        }
    }
}
