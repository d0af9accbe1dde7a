//! Options that do not go together by their values, which clap does not see: each refusal in words.
//!
//! What a command refuses by itself is refused here, before it runs: so a default of a configuration
//! file that a line contradicts can be left out.
use std::path::PathBuf;

use crate::agent::Address;

use super::{
    AgentArgs, CaptureArgs, ClusterArgs, Command, DiagnoseArgs, DiagnoseProtocol, ExportArgs,
    ExportFormat, ExtcapArgs, FileArgs, Flow, FlowsArgs, Format, InputArgs, LiveFilterArgs, Place,
    RecordArgs, ReplayArgs, ScopeArgs, TimeStyle, TraceArgs, ViewArgs, WriteArgs,
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
        let is_tls = |address: &Address| matches!(address, Address::Tls { .. });
        if let Some(address) = self.agents.iter().find(|address| is_tls(address))
            && self.tls.is_none()
        {
            return Some(format!(
                "{address} takes --tls FOLDER, with tls.crt, tls.key and ca.crt: both sides show \
                 certificates"
            ));
        }
        let elsewhere = self.elsewhere()?;
        let of_agents = |(_, name): &(bool, &str)| {
            format!(
                "{name} is for this node, and {elsewhere} for others\nhint: give it to podtrace on \
                 that node: ssh worker1 sudo podtrace …"
            )
        };
        let given = others.iter().find(|(is_given, _)| *is_given);
        given.map(of_agents)
    }
}

impl AgentArgs {
    /// What would let anybody in.
    fn contradiction(&self) -> Option<String> {
        let port = self.listen.iter().find_map(|place| match place {
            Place::Port(port) => Some(port),
            Place::Path(_) => None,
        });
        match (port, &self.tls) {
            (Some(port), None) => Some(format!(
                "tcp://{port} takes --tls FOLDER, with tls.crt, tls.key and ca.crt: without TLS, \
                 anyone who reaches the port would see the node's packets, and nobody would know who\n\
                 hint: --listen PATH is for this machine alone"
            )),
            (None, Some(_)) => {
                Some("--tls is for a port\nhint: --listen tcp://0.0.0.0:9465".into())
            }
            _ => None,
        }
    }
}

impl TraceArgs {
    /// What is for this node alone.
    fn local(&self) -> Option<String> {
        if let Some(elsewhere) = self.cluster.elsewhere()
            && self.files.write.is_some()
        {
            return Some(format!(
                "--write records this node, and {elsewhere} shows others\nhint: podtrace record \
                 {elsewhere} … --write DIR records them, podtrace replay DIR shows them"
            ));
        }
        self.cluster.contradiction([
            (self.view.output == Format::Pcapng, "-o pcapng"),
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
    /// What is for this node alone, or for who reads the packets.
    fn local(&self) -> Option<String> {
        let local = self.cluster.contradiction([
            (self.metrics.metrics.is_some(), "--metrics"),
            (self.filter.wait, "--wait"),
        ]);
        let Some(elsewhere) = self.cluster.elsewhere().filter(|_| local.is_none()) else {
            return local;
        };
        let (files, chosen, capture) = (&self.files, &self.filter.chosen, &self.capture);
        let read = [
            (chosen.select.selector.is_some(), "a selector"),
            (chosen.scope.outer, "--outer"),
            (chosen.scope.inner, "--inner"),
            (chosen.scope.direction.is_some(), "--direction"),
            (chosen.scope.only_matching, "--only-matching"),
            (chosen.control.no_control, "--no-control"),
            (capture.count.is_some(), "--count"),
            (capture.strict, "--strict"),
        ];
        let of_reader = |(_, name): &(bool, &str)| {
            format!(
                "{name} takes who reads the packets, and record {elsewhere} keeps what comes as it is\n\
                 hint: give it to podtrace replay, or to podtrace trace {elsewhere}"
            )
        };
        let kept = [
            (files.is_stdout(), "--write -"),
            (files.rotate_bytes().is_some(), "--rotate-size"),
            (files.rotate_after().is_some(), "--rotate-time"),
            (files.keep_files.is_some(), "--keep-files"),
            (files.keep_size.is_some(), "--keep-size"),
            (files.keep_time.is_some(), "--keep-time"),
        ];
        let of_files = |(_, name): &(bool, &str)| {
            format!(
                "{name} is for this node: record {elsewhere} makes one file for each node\nhint: \
                 --duration bounds it; podtrace manifest has a recorder for each node, which \
                 deletes what is old"
            )
        };
        let is_given = |(is_given, _): &&(bool, &str)| *is_given;
        let read = read.iter().find(is_given).map(of_reader);
        read.or_else(|| kept.iter().find(is_given).map(of_files))
    }

    fn contradiction(&self) -> Option<String> {
        self.local()
            .or_else(|| self.filter.contradiction(&self.capture))
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
        let of_lake = || {
            let is_other = self.into.lake.is_some() && self.format != ExportFormat::Parquet;
            is_other.then(|| "a lake has Parquet, and no other format: leave --format out".into())
        };
        compressed()
            .or_else(sent)
            .or_else(of_lake)
            .or_else(|| self.how.contradiction(self.write.is_some()))
            .or_else(|| self.input.contradiction())
            .or_else(|| is_pcapng.then(|| self.input.partial()).flatten())
    }
}

impl DiagnoseArgs {
    fn contradiction(&self) -> Option<String> {
        let local = self
            .cluster
            .contradiction([(!self.read.is_empty(), "--read"), (self.wait, "--wait")]);
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
            Self::Agent(args) => args.contradiction(),
            Self::Mcp(args) => args.contradiction(),
            Self::Topology(_)
            | Self::Query(_)
            | Self::Lake(_)
            | Self::Doctor(_)
            | Self::Demo(_)
            | Self::Lab(_)
            | Self::Cleanup
            | Self::Manifest(_)
            | Self::Publish(_)
            | Self::Join(_)
            | Self::Schema { .. }
            | Self::Completions { .. }
            | Self::Man { .. } => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use crate::cli::Cli;

    fn contradiction(line: &str) -> Option<String> {
        let words = line.split(' ');
        let cli = Cli::try_parse_from(words).unwrap_or_else(|error| panic!("{line}: {error}"));
        cli.command.contradiction()
    }

    #[test]
    fn what_agents_do_not_do_is_refused_in_words() {
        let record = "podtrace record --agent unix:a -w dir/";
        for fine in [
            "",
            " icmp",
            " --zstd --force --duration 1s -i cni0",
            " --payload",
        ] {
            assert_eq!(contradiction(&format!("{record}{fine}")), None);
        }
        for (options, words) in [
            ("--count 5", "podtrace replay"),
            ("--strict", "podtrace replay"),
            ("--pod web", "podtrace replay"),
            ("--no-control", "podtrace replay"),
            ("--outer icmp", "podtrace replay"),
            ("--keep-files 3", "podtrace manifest"),
            ("--rotate-size 1MB", "podtrace manifest"),
            ("-G 60", "podtrace manifest"),
            ("--metrics 9464", "for this node"),
        ] {
            let said = contradiction(&format!("{record} {options}")).unwrap_or_default();
            let name = options.split(' ').next().unwrap_or_default();
            let is_named = said.contains(name) || ["--pod", "-G"].contains(&name);
            assert!(is_named && said.contains(words), "{options}: {said}");
        }
        let said = contradiction("podtrace record --agent unix:a -w -").unwrap_or_default();
        assert!(said.contains("--write -"), "{said}");
        let said = contradiction("podtrace trace --agent unix:a -w x").unwrap_or_default();
        assert!(said.contains("podtrace record --agent"), "{said}");
    }
}
