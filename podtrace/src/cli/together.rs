//! Options that do not go together by their values, which clap does not see.
use super::{
    CaptureArgs, ChosenArgs, Cli, Command, FileArgs, Flow, Format, InputArgs, LiveFilterArgs,
    ScopeArgs, TimeStyle, ViewArgs,
};

impl ViewArgs {
    /// What the output format has no use for, in words.
    #[must_use]
    pub fn contradiction(&self) -> Option<String> {
        if !matches!(self.output, Format::Json | Format::Pcapng) {
            return None;
        }
        let given = [
            (self.habits.time_letters > 0, "-t"),
            (self.time != TimeStyle::Local, "--time"),
            (self.quiet_hops, "--quiet-hops"),
        ];
        let given = given.into_iter().find(|(is_given, _)| *is_given);
        let flag = self.habits.of_text().or(given.map(|(_, flag)| flag))?;
        Some(format!(
            "{flag} is for text, as with -o text or -o events: -o json and -o pcapng lack nothing"
        ))
    }
}

impl ScopeArgs {
    /// What says how packets are chosen where nothing is, in words. `expression`: its words.
    #[must_use]
    pub fn contradiction(&self, expression: &[String], has_interfaces: bool) -> Option<String> {
        let direction = match self.direction {
            Some(Flow::In) => Some("in"),
            Some(Flow::Out) => Some("out"),
            Some(Flow::Inout) | None => None,
        };
        if let Some(direction) = direction {
            return (!has_interfaces && !self.only_matching).then(|| {
                format!(
                    "--direction {direction} takes --interface: a packet comes in at one interface \
                     and goes out at the next\nhint: -i cni0 -Q {direction}, or with \
                     --only-matching the hops of that direction"
                )
            });
        }
        if expression.iter().any(|word| !word.trim().is_empty()) {
            return None;
        }
        let needless = [
            (self.outer, "--outer"),
            (self.inner, "--inner"),
            (self.only_matching, "--only-matching"),
        ];
        let (_, name) = needless.into_iter().find(|(is_given, _)| *is_given)?;
        Some(format!(
            "{name} says how an expression is applied, and there is none"
        ))
    }
}

impl FileArgs {
    /// What keeps nothing, in words.
    #[must_use]
    pub fn contradiction(&self) -> Option<&'static str> {
        (self.keep_size.is_some() && self.rotate_bytes().is_none())
            .then_some("--keep-size takes --rotate-size: a file that does not end is never deleted")
    }
}

impl Cli {
    /// Whether the options go together: what a command refuses by itself, defaults must not ask for.
    pub(super) fn goes_together(&self) -> bool {
        match &self.command {
            Command::Trace(args) => {
                let is_piped = args.view.output == Format::Pcapng;
                let writes = args.files.write.is_some();
                let records = is_piped || writes;
                args.view.contradiction().is_none()
                    && live(&args.filter, &args.capture)
                    && args.files.contradiction().is_none()
                    && !(is_piped && writes)
                    && !(records && args.filter.chosen.scope.only_matching)
            }
            Command::Record(args) => {
                live(&args.filter, &args.capture)
                    && args.files.contradiction().is_none()
                    && !args.filter.chosen.scope.only_matching
            }
            Command::Replay(args) => {
                let is_piped = args.view.output == Format::Pcapng;
                args.view.contradiction().is_none()
                    && of_files(&args.input)
                    && !(is_piped && args.input.filter.chosen.scope.only_matching)
            }
            Command::Stats(args) => of_files(&args.input),
            Command::Export(args) => of_files(&args.input),
            Command::Report(args) => of_files(&args.input),
            Command::Flows(args) => live(&args.filter, &args.capture),
            _ => true,
        }
    }
}

fn live(filter: &LiveFilterArgs, capture: &CaptureArgs) -> bool {
    goes_with(
        &filter.chosen,
        &filter.expression,
        !capture.chosen().is_empty(),
    )
}

fn of_files(input: &InputArgs) -> bool {
    let InputArgs { filter, .. } = input;
    goes_with(
        &filter.chosen,
        &filter.expression,
        !input.chosen().is_empty(),
    )
}

fn goes_with(chosen: &ChosenArgs, expression: &[String], has_interfaces: bool) -> bool {
    let scope = chosen.scope;
    scope.contradiction(expression, has_interfaces).is_none()
}
