//! Options that do not go together by their values, which clap does not see: each refusal in words.
//!
//! What a command refuses by itself is refused here, before it runs: so a default of a configuration
//! file that a line contradicts can be left out.
use std::path::PathBuf;

use super::{
    CaptureArgs, ClusterArgs, Command, DiagnoseArgs, DiagnoseProtocol, ExportArgs, ExportFormat,
    ExtcapArgs, FileArgs, Flow, FlowsArgs, Format, InputArgs, LiveFilterArgs, RecordArgs,
    ReplayArgs, ScopeArgs, TimeStyle, TraceArgs, ViewArgs, WriteArgs,
};

impl ViewArgs {
    /// What the output format has no use for.
    fn contradiction(&self) -> Option<String> {
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
    /// What says how packets are chosen where nothing is. `expression`: its words.
    fn contradiction(self, expression: &[String], has_interfaces: bool) -> Option<String> {
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
            "{name} says how an expression is applied, and there is none\nhint: podtrace trace {name} \
             icmp, podtrace replay {name} FILE -- icmp"
        ))
    }

    /// What would leave hops out of a recording.
    fn partial(self) -> Option<String> {
        self.only_matching.then(|| {
            "--only-matching leaves hops out, and a file without them would tell of losses that did \
             not happen\nhint: write all of them, and give --only-matching to podtrace replay"
                .into()
        })
    }
}

impl LiveFilterArgs {
    fn contradiction(&self, capture: &CaptureArgs) -> Option<String> {
        let has_interfaces = !capture.chosen().is_empty();
        let chosen = self
            .chosen
            .scope
            .contradiction(&self.expression, has_interfaces);
        chosen.or_else(|| {
            (self.wait && self.chosen.select.selector.is_none()).then(|| {
                "--wait waits for the names of selectors, and there is none\nhint: --wait --pod web"
                    .into()
            })
        })
    }
}

impl InputArgs {
    fn contradiction(&self) -> Option<String> {
        let has_interfaces = !self.chosen().is_empty();
        let filter = &self.filter;
        filter
            .chosen
            .scope
            .contradiction(&filter.expression, has_interfaces)
    }

    fn partial(&self) -> Option<String> {
        self.filter.chosen.scope.partial()
    }
}

impl WriteArgs {
    /// What is said of a file that is not written.
    fn contradiction(self, is_written: bool) -> Option<String> {
        (self.zstd && !is_written).then(|| {
            "--zstd takes --write: only what is written is compressed\nhint: --write - is standard \
             output"
                .into()
        })
    }
}

impl FileArgs {
    /// What keeps nothing, or writes nothing.
    fn contradiction(&self, is_written: bool) -> Option<String> {
        self.how.contradiction(is_written).or_else(|| {
            (self.keep_size.is_some() && self.rotate_bytes().is_none()).then(|| {
                "--keep-size takes --rotate-size: a file that does not end is never deleted\nhint: \
                 --rotate-size 100MB --keep-size 2GB"
                    .into()
            })
        })
    }
}

impl ClusterArgs {
    /// What other nodes do not do. `others`: whether each was asked for.
    fn contradiction<const N: usize>(&self, others: [(bool, &str); N]) -> Option<String> {
        let of_agents = |(_, name): &(bool, &str)| {
            format!(
                "{name} is for this node, and --agent for others\nhint: give it to podtrace on that \
                 node: ssh worker1 sudo podtrace …"
            )
        };
        let given = others.iter().find(|(is_given, _)| *is_given);
        given.filter(|_| !self.agents.is_empty()).map(of_agents)
    }
}

impl TraceArgs {
    /// What is for this node alone.
    fn local(&self) -> Option<String> {
        self.cluster.contradiction([
            (self.view.output == Format::Pcapng, "-o pcapng"),
            (self.files.write.is_some(), "--write"),
            (self.metrics.metrics.is_some(), "--metrics"),
            (self.list.list_interfaces, "--list-interfaces"),
            (self.filter.wait, "--wait"),
        ])
    }

    fn contradiction(&self) -> Option<String> {
        let (is_piped, writes) = (
            self.view.output == Format::Pcapng,
            self.files.write.is_some(),
        );
        let records = is_piped || writes;
        let twice = || {
            (is_piped && writes).then(|| {
                "-o pcapng records to standard output, and -w to a file\nhint: give one of them: \
                 podtrace record -w FILE"
                    .into()
            })
        };
        let partial = || {
            records
                .then(|| self.filter.chosen.scope.partial())
                .flatten()
        };
        self.view
            .contradiction()
            .or_else(|| self.local())
            .or_else(twice)
            .or_else(|| self.filter.contradiction(&self.capture))
            .or_else(partial)
            .or_else(|| self.files.contradiction(records))
    }
}

impl RecordArgs {
    fn contradiction(&self) -> Option<String> {
        self.filter
            .contradiction(&self.capture)
            .or_else(|| self.filter.chosen.scope.partial())
            .or_else(|| self.files.contradiction(self.files.write.is_some()))
    }
}

impl ReplayArgs {
    fn contradiction(&self) -> Option<String> {
        let is_piped = self.view.output == Format::Pcapng;
        self.view
            .contradiction()
            .or_else(|| self.keys())
            .or_else(|| self.input.contradiction())
            .or_else(|| is_piped.then(|| self.input.partial()).flatten())
    }

    /// Who would read the keys.
    fn keys(&self) -> Option<String> {
        let is_standard_input = |file: &PathBuf| file.as_os_str() == "-";
        let is_taken = self.view.screen.tui && self.input.files.iter().any(is_standard_input);
        is_taken.then(|| {
            "--tui takes its keys from standard input, so no capture can come from there\nhint: \
             write it to a file first: podtrace replay --tui FILE"
                .into()
        })
    }
}

impl ExportArgs {
    fn contradiction(&self) -> Option<String> {
        let is_pcapng = self.format == ExportFormat::Pcapng;
        let compressed = || {
            (self.how.zstd && !is_pcapng).then(|| {
                "--zstd is for pcapng; parquet is compressed anyway, others take a pipe to zstd"
                    .into()
            })
        };
        let sent = || {
            (self.to.is_some() && self.format != ExportFormat::Otlp).then(|| {
                "--to is for --format otlp: other formats are written, as with -w FILE".into()
            })
        };
        compressed()
            .or_else(sent)
            .or_else(|| self.how.contradiction(self.write.is_some()))
            .or_else(|| self.input.contradiction())
            .or_else(|| is_pcapng.then(|| self.input.partial()).flatten())
    }
}

impl DiagnoseArgs {
    fn contradiction(&self) -> Option<String> {
        let local = self.cluster.contradiction([
            (self.probe, "--probe"),
            (!self.read.is_empty(), "--read"),
            (self.wait, "--wait"),
        ]);
        if local.is_some() {
            return local;
        }
        let is_portless = self.protocol == Some(DiagnoseProtocol::Icmp) && self.port.is_some();
        is_portless.then(|| {
            "--port is for TCP and UDP: --protocol icmp has none\nhint: --port 80 alone means TCP"
                .into()
        })
    }
}

impl FlowsArgs {
    fn contradiction(&self) -> Option<String> {
        let local = self.cluster.contradiction([
            (!self.read.is_empty(), "--read"),
            (self.filter.wait, "--wait"),
        ]);
        local.or_else(|| self.filter.contradiction(&self.capture))
    }
}

impl ExtcapArgs {
    /// Only where it captures: the rest are questions, which these options do not change.
    fn contradiction(&self) -> Option<String> {
        let mut filter = self.filter.clone();
        filter.expression.extend(self.extcap_capture_filter.clone());
        let captured = || {
            filter
                .contradiction(&self.options)
                .or_else(|| filter.chosen.scope.partial())
        };
        self.capture.then(captured).flatten()
    }
}

impl Command {
    /// What does not go together, in words.
    #[must_use]
    pub fn contradiction(&self) -> Option<String> {
        match self {
            Self::Trace(args) if args.list.list_interfaces => args.local(),
            Self::Trace(args) => args.contradiction(),
            Self::Record(args) => args.contradiction(),
            Self::Replay(args) => args.contradiction(),
            Self::Stats(args) => args.input.contradiction(),
            Self::Export(args) => args.contradiction(),
            Self::Report(args) => args.input.contradiction(),
            Self::Flows(args) => args.contradiction(),
            Self::Diagnose(args) => args.contradiction(),
            Self::Extcap(args) => args.contradiction(),
            Self::Topology(_)
            | Self::Doctor(_)
            | Self::Demo(_)
            | Self::Lab(_)
            | Self::Cleanup
            | Self::Agent(_)
            | Self::Manifest(_)
            | Self::Mcp(_)
            | Self::Schema { .. }
            | Self::Completions { .. }
            | Self::Man { .. } => None,
        }
    }
}
