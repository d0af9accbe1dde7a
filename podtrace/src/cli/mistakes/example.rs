//! An example of each value, for errors that have none.
use clap::error::{ContextKind, ContextValue, ErrorKind};

/// Arguments as errors name them, or how that begins, and a value. The first that fits counts.
const EXAMPLES: &[(&str, &str)] = &[
    ("--agent", "ssh://worker1"),
    ("--agents-namespace", "podtrace"),
    ("--between", "default/client default/web"),
    ("--buckets <FIRST-LAST>", "0-3"),
    ("--buckets", "8"),
    ("--buffer", "16"),
    ("--clock-offset", "worker2=-1.5ms"),
    ("--consoles", "/etc/podtrace/consoles.toml"),
    ("--container", "nginx"),
    ("--count", "100"),
    ("--cpu-limit", "50"),
    ("--cri-socket", "/run/containerd/containerd.sock"),
    ("--duration", "10s"),
    ("--every", "5s"),
    ("--extcap-capture-filter", "icmp"),
    ("--extcap-interface", "podtrace"),
    ("--extcap-reload-option", "pod"),
    ("--extcap-version", "4.0"),
    ("--fifo", "/tmp/fifo"),
    ("--first", "100"),
    ("--flush", "1s"),
    ("--format", "csv"),
    ("--from-pod", "default/web"),
    ("--hop-timeout", "500ms"),
    ("--image", "registry.example.com/podtrace:0.1.0"),
    ("--interface", "cni0"),
    ("--ip", "10.244.0.0/16"),
    ("--keep-files", "10"),
    ("--keep-size", "2GB"),
    ("--keep-time", "24h"),
    ("--kubeconfig", "admin.conf"),
    ("--lake", "s3://bucket/prefix"),
    ("--last", "30s"),
    ("--limit", "100"),
    ("--listen", "/run/podtrace.sock"),
    ("--max-rate", "50k"),
    ("--max-traces", "4"),
    ("--memory-limit", "1GiB"),
    ("--metrics", "9464"),
    ("--min-latency", "10ms"),
    ("--namespace", "default"),
    ("--nats", "nats://127.0.0.1:4222"),
    ("--netns", "node1"),
    ("--node", "worker1"),
    ("--node-name", "worker1"),
    ("--nodes", "2"),
    ("--older-than", "720h"),
    ("--outcome", "not_seen_further"),
    ("--paths", "20000"),
    ("--pings", "2"),
    ("--pod", "default/web"),
    ("--pods <N>", "2"),
    ("--pods", "pods.txt"),
    ("--pool", "workers"),
    ("--port", "443"),
    ("--protocol", "tcp"),
    ("--read", "session.pcapng"),
    ("--ready-fd", "2"),
    ("--retry-for", "2m"),
    ("--rotate-size", "100MB"),
    ("--rotate-time", "1h"),
    ("--run", "incident-7"),
    ("--sample", "1/10"),
    ("--selector", "app=web"),
    ("--service", "default/web"),
    ("--since", "+10s"),
    ("--snaplen", "1500"),
    ("--speed", "0.5"),
    ("--timeout", "2m"),
    ("--tls", "/etc/podtrace/tls"),
    ("--to", "http://127.0.0.1:4317"),
    ("--to-pod", "default/web"),
    ("--top", "20"),
    ("--until", "+20s"),
    ("--vantage", "default/web/eth0"),
    ("--vxlan-port", "4789"),
    ("--write <PAGE>", "report.html"),
    ("--write", "session.pcapng"),
    ("-C", "100"),
    ("-G", "3600"),
    ("<FILE|->", "session.pcapng"),
    ("<DST>", "default/web"),
    ("<FILE|DIR>...", "session.pcapng"),
    ("<SHELL>", "bash"),
    ("<SQL>", "'SELECT * FROM paths LIMIT 10'"),
    ("<SRC>", "default/client"),
    ("<URL>", "s3://bucket/prefix"),
];
/// How an error gives an example by itself.
const GIVEN: [&str; 3] = [", as ", ", for example ", "[possible values"];

/// What to give instead, if the error is about a value and has no example.
pub(super) fn instead(error: &clap::Error) -> Option<String> {
    match error.kind() {
        ErrorKind::InvalidValue
        | ErrorKind::ValueValidation
        | ErrorKind::WrongNumberOfValues
        | ErrorKind::TooFewValues
        | ErrorKind::MissingRequiredArgument => {}
        _ => return None,
    }
    let text = error.to_string();
    if GIVEN.iter().any(|words| text.contains(words)) {
        return None;
    }
    let option = match error.get(ContextKind::InvalidArg)? {
        ContextValue::String(option) => option,
        ContextValue::Strings(options) => options.first()?,
        _ => return None,
    };
    let is_it = |(name, _): &&(&str, &str)| {
        let rest = option.strip_prefix(name);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(' '))
    };
    let (name, value) = EXAMPLES.iter().find(is_it)?;
    Some(match name.split(' ').next()? {
        place if place.starts_with('<') => format!("for example {value}"),
        name => format!("for example {name} {value}"),
    })
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory as _, Parser as _};

    use crate::cli::{Cli, mistakes::tests::error_text};

    /// Whoever leaves out what a command needs sees an example of it.
    #[test]
    fn what_is_required_has_an_example() {
        let mut needs = 0;
        for command in Cli::command().get_subcommands() {
            if !command.get_arguments().any(clap::Arg::is_required_set) {
                continue;
            }
            needs += 1;
            let text = error_text(&[command.get_name()]);
            assert!(text.contains("tip: for example "), "{text}");
        }
        assert!(needs > 5);
    }

    /// Whoever leaves a value out, or gives one that is wrong, sees an example that is right.
    #[test]
    fn each_option_has_an_example() {
        let podtrace = Cli::command();
        for command in podtrace.get_subcommands() {
            for option in command.get_opts().filter(|option| !option.is_hide_set()) {
                let names = option.get_long().map(|long| format!("--{long}"));
                let letter = option.get_short().map(|short| format!("-{short}"));
                let name = names.or(letter).unwrap();
                if !option.get_action().takes_values() || name == "--not" {
                    continue;
                }
                let line = [command.get_name(), &name];
                let text = error_text(&line);
                if text.contains("[possible values") {
                    continue;
                }
                let at = text.split_once("for example ");
                let (_, example) = at.unwrap_or_else(|| panic!("{line:?}: {text}"));
                let example = example.lines().next().unwrap();
                assert!(example.starts_with(&format!("{name} ")), "{line:?}: {text}");
                let line = ["podtrace", command.get_name()];
                let line = line.into_iter().chain(example.split(' '));
                if let Err(error) = Cli::try_parse_from(line) {
                    // Others lack the rest of the line.
                    assert!(!error.to_string().contains("invalid value"), "{error}");
                }
            }
        }
        for (line, example) in [
            ("trace --port http", "--port 443"),
            ("trace -c 0", "--count 100"),
            (
                "trace --between web",
                "--between default/client default/web",
            ),
            ("record", "--write session.pcapng"),
            ("lab --pods 0", "--pods 2"),
        ] {
            let text = error_text(&line.split(' ').collect::<Vec<_>>());
            let expected = format!("tip: for example {example}\n");
            assert!(text.contains(&expected), "{text}");
        }
        // It has one.
        let text = error_text(&["trace", "--ip", "x"]);
        assert!(!text.contains("tip"), "{text}");
    }
}
