//! Selectors: options that ask for packets by pod, address, outcome and more.
use clap::{Arg, ArgAction, ArgMatches, Args, Command, Error, FromArgMatches, error::ErrorKind};

use crate::{
    cli::parse::{duration, port},
    clock::nanos,
    order::Order as _,
    path::Outcome,
    select::{FullName, Peer, Selector, Term, protocol},
    text::glob::Glob,
};

const HEADING: &str = "Selectors";
const NOT: &str = "not";
const BETWEEN: &str = "between";

/// The terms of a command line.
#[derive(Clone, Debug, Default)]
pub struct SelectArgs {
    /// All of them; none if none is given.
    pub selector: Option<Selector>,
}

/// An option that takes one value.
struct Flag {
    name: &'static str,
    short: Option<char>,
    value: &'static str,
    help: &'static str,
    parse: fn(&str) -> Result<Term, String>,
}

const FLAGS: [Flag; 13] = [
    Flag {
        name: "pod",
        short: None,
        value: "[NS/]NAME",
        help: "Only packets that this pod sends or receives, or that pass its interfaces: \
               default/web, web, 'web-*', 'kube-system/*'. The same selector twice means one or \
               the other, different selectors mean both; a packet is shown with all its hops",
        parse: |text| name(text).map(Term::Pod),
    },
    Flag {
        name: "from-pod",
        short: None,
        value: "[NS/]NAME",
        help: "Only packets that this pod sends",
        parse: |text| name(text).map(Term::FromPod),
    },
    Flag {
        name: "to-pod",
        short: None,
        value: "[NS/]NAME",
        help: "Only packets that this pod receives",
        parse: |text| name(text).map(Term::ToPod),
    },
    Flag {
        name: "namespace",
        short: Some('N'),
        value: "NS",
        help: "Only packets of pods in this Kubernetes namespace, in either direction",
        parse: |text| {
            glob(text, "must be a namespace, as default or 'kube-*'").map(Term::Namespace)
        },
    },
    Flag {
        name: "selector",
        short: Some('l'),
        value: "LABELS",
        help: "Only packets of pods with these labels, as kubectl has them: app=web, \
               'app in (web, db),!canary'",
        parse: |text| {
            let labels = text.parse().ok().map(Term::Labels);
            labels.ok_or_else(|| {
                "must be labels as app=web, app!=web, 'app in (web, db)', app or '!app', with \
                 commas for and"
                    .into()
            })
        },
    },
    Flag {
        name: "container",
        short: None,
        value: "NAME",
        help: "Only packets that a container of this name sends or receives",
        parse: |text| glob(text, "must be a container, as nginx or 'istio-*'").map(Term::Container),
    },
    Flag {
        name: "service",
        short: None,
        value: "[NS/]NAME",
        help: "Only packets for this Service, or answers from it, as far as they show its address \
               (needs the Kubernetes API)",
        parse: |text| {
            let name = text.parse().ok().map(Term::Service);
            name.ok_or_else(|| "must be a Service, as default/web, web or 'shop/*'".into())
        },
    },
    Flag {
        name: "ip",
        short: None,
        value: "CIDR",
        help: "Only packets from or to these addresses, before or behind address translation: \
               10.244.1.2, 10.244.0.0/16, fd00::/8",
        parse: |text| {
            let range = text.parse().ok().map(Term::Ip);
            range.ok_or_else(|| {
                "must be an address or a range, as 10.244.1.2, 10.244.0.0/16 or fd00::/8".into()
            })
        },
    },
    Flag {
        name: "port",
        short: None,
        value: "N",
        help: "Only packets from or to this port of TCP or UDP, before or behind address \
               translation",
        parse: |text| port(text).map(Term::Port),
    },
    Flag {
        name: "protocol",
        short: None,
        value: "NAME",
        help: "Only packets of this protocol inside of all tunnels: tcp, udp, icmp (with ICMPv6), \
               arp, sctp and others, or a number",
        parse: protocol,
    },
    Flag {
        name: "node",
        short: None,
        value: "NODE",
        help: "Only packets that were seen at this node, or come from it or go to it: worker1, \
               'worker*'",
        parse: |text| glob(text, "must be a node, as worker1 or 'worker*'").map(Term::Node),
    },
    Flag {
        name: "outcome",
        short: None,
        value: "OUTCOME",
        help: "Only packets that ended so: delivered, refused (also behind their receiver), \
               not_seen_further and others, as in JSON",
        parse: outcome,
    },
    Flag {
        name: "min-latency",
        short: None,
        value: "TIME",
        help: "Only packets that took at least this long from their first hop to their last, for \
               example 500us, 10ms",
        parse: |text| duration(text).map(|time| Term::MinLatency(nanos(time))),
    },
];

fn name(text: &str) -> Result<FullName, String> {
    let name = text.parse().ok();
    name.ok_or_else(|| "must be a pod, as default/web, web, 'web-*' or 'kube-system/*'".into())
}

fn glob(text: &str, expected: &str) -> Result<Glob, String> {
    let is_name = !text.is_empty() && !text.contains('/');
    is_name
        .then(|| Glob::new(text))
        .ok_or_else(|| expected.into())
}

fn peer(text: &str) -> Result<Peer, String> {
    text.parse().ok().ok_or_else(|| {
        "must be two pods or addresses, as --between default/client 'web-*' or --between \
         default/client 10.244.2.0/24"
            .into()
    })
}

fn protocol(text: &str) -> Result<Term, String> {
    let named = text.parse().ok().map(Term::Protocol);
    named.ok_or_else(|| {
        let names: Vec<_> = protocol::NAMES.iter().map(|(name, _)| *name).collect();
        format!(
            "must be arp, {} or the number of an IP protocol from 0 to 255",
            names.join(", ")
        )
    })
}

fn outcome(text: &str) -> Result<Term, String> {
    let given = text.replace('-', "_");
    let mut names = Outcome::NAMES.into_iter();
    let known = names.find(|name| *name == given).map(Term::Outcome);
    known.ok_or_else(|| format!("must be one of {}", Outcome::NAMES.join(", ")))
}

impl Args for SelectArgs {
    fn augment_args(command: Command) -> Command {
        let flag = |flag: Flag| {
            let arg = Arg::new(flag.name)
                .long(flag.name)
                .value_name(flag.value)
                .help(flag.help)
                .help_heading(HEADING)
                .action(ArgAction::Append)
                .value_parser(flag.parse);
            match flag.short {
                Some(short) => arg.short(short),
                None => arg,
            }
        };
        let between = Arg::new(BETWEEN)
            .long(BETWEEN)
            .value_names(["A", "B"])
            .num_args(2)
            .help(
                "Only packets that one of these sends to the other, in either direction: two \
                 pods, or addresses as 10.244.2.0/24",
            )
            .help_heading(HEADING)
            .action(ArgAction::Append)
            .value_parser(peer);
        // A count would keep only the last one's place on the line.
        let not = Arg::new(NOT)
            .long(NOT)
            .help("Negate the next selector: --not --pod 'kube-system/*'")
            .help_heading(HEADING)
            .num_args(0)
            .default_missing_value("true")
            .action(ArgAction::Append)
            .value_parser(clap::value_parser!(bool));
        let [pod, from, to, rest @ ..] = FLAGS.map(flag);
        command.args([pod, from, to, between]).args(rest).arg(not)
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for SelectArgs {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, Error> {
        let mut terms = Vec::new();
        for flag in FLAGS {
            let values = matches.get_many::<Term>(flag.name).into_iter().flatten();
            let places = matches.indices_of(flag.name).into_iter().flatten();
            terms.extend(places.zip(values.cloned()));
        }
        let peers = matches.get_many(BETWEEN).into_iter().flatten().cloned();
        let places = matches.indices_of(BETWEEN).into_iter().flatten();
        let mut peers = places.zip(peers);
        while let (Some((place, one)), Some((_, other))) = (peers.next(), peers.next()) {
            terms.push((place, Term::Between(one, other)));
        }
        terms.order_by_key(|(place, _)| *place);
        let nots = matches.indices_of(NOT).into_iter().flatten();
        let negated = negated(&terms, nots)?;
        let terms = terms
            .into_iter()
            .map(|(place, term)| (negated.contains(&place), term));
        Ok(Self {
            selector: Selector::new(terms),
        })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

/// The places of the terms that are negated: the next one behind each `--not`.
fn negated(
    terms: &[(usize, Term)],
    nots: impl Iterator<Item = usize>,
) -> Result<Vec<usize>, Error> {
    let mut negated = Vec::new();
    for not in nots {
        let mut places = terms.iter().map(|(place, _)| *place);
        match places.find(|place| *place > not) {
            Some(place) if !negated.contains(&place) => negated.push(place),
            Some(_) => {
                return Err(mistake(
                    "--not stands twice before one selector: leave both out",
                ));
            }
            None => {
                return Err(mistake(
                    "--not negates the selector behind it, and there is none: --not --pod \
                     'kube-system/*'; an expression has a word of its own: not icmp",
                ));
            }
        }
    }
    Ok(negated)
}

fn mistake(words: &str) -> Error {
    Error::raw(ErrorKind::ArgumentConflict, words)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn selector(words: &str) -> Result<Option<Selector>, String> {
        let command = SelectArgs::augment_args(Command::new("podtrace").no_binary_name(true));
        let matches = command.try_get_matches_from(words.split_whitespace());
        let args = matches.and_then(|matches| SelectArgs::from_arg_matches(&matches));
        args.map(|args| args.selector)
            .map_err(|error| error.to_string())
    }

    fn terms(terms: &[(bool, Term)]) -> Option<Selector> {
        Selector::new(terms.iter().cloned())
    }

    #[test]
    fn not_negates_the_next_selector_only() {
        let pod = |text: &str| Term::Pod(text.parse().unwrap());
        let between = |a: &str, b: &str| Term::Between(a.parse().unwrap(), b.parse().unwrap());
        for (words, expected) in [
            ("", vec![]),
            ("--pod a", vec![(false, pod("a"))]),
            ("--not --pod a", vec![(true, pod("a"))]),
            (
                "--not --pod=a --pod b",
                vec![(true, pod("a")), (false, pod("b"))],
            ),
            (
                "--pod a --not --pod b",
                vec![(false, pod("a")), (true, pod("b"))],
            ),
            (
                "--not --port 53 --not --pod b --pod c",
                vec![(true, Term::Port(53)), (true, pod("b")), (false, pod("c"))],
            ),
            (
                "--between a b --not --between c 10.0.0.0/8 --between d e",
                vec![
                    (false, between("a", "b")),
                    (true, between("c", "10.0.0.0/8")),
                    (false, between("d", "e")),
                ],
            ),
            (
                "--not -Ndefault --min-latency 1ms",
                vec![
                    (true, Term::Namespace(Glob::new("default"))),
                    (false, Term::MinLatency(1_000_000)),
                ],
            ),
        ] {
            assert_eq!(selector(words).unwrap(), terms(&expected), "{words}");
        }
    }

    #[test]
    fn mistakes_name_the_option_the_value_and_an_example() {
        for (words, option, value, example) in [
            ("--pod a/b/c", "--pod", "a/b/c", "default/web"),
            ("--pod /web", "--pod", "/web", "default/web"),
            ("--from-pod x/", "--from-pod", "x/", "default/web"),
            ("--to-pod /", "--to-pod", "/", "default/web"),
            (
                "--between a b/c/d",
                "--between",
                "b/c/d",
                "--between default/client",
            ),
            ("-N a/b", "--namespace", "a/b", "kube-*"),
            ("-l app=", "", "", ""),
            ("-l =x", "--selector", "=x", "app=web"),
            ("--container a/b", "--container", "a/b", "nginx"),
            ("--service a/b/c", "--service", "a/b/c", "default/web"),
            ("--ip 10.0.0", "--ip", "10.0.0", "10.244.0.0/16"),
            ("--ip 10.0.0.0/33", "--ip", "10.0.0.0/33", "10.244.0.0/16"),
            ("--ip web", "--ip", "web", "10.244.0.0/16"),
            ("--port 0", "--port", "0", "1 to 65535"),
            ("--port http", "--port", "http", "1 to 65535"),
            ("--protocol tpc", "--protocol", "tpc", "tcp"),
            ("--protocol 256", "--protocol", "256", "0 to 255"),
            ("--node a/b", "--node", "a/b", "worker1"),
            ("--outcome lost", "--outcome", "lost", "not_seen_further"),
            ("--min-latency fast", "--min-latency", "fast", "500ms"),
            ("--pod a --not", "--not", "", "--not --pod"),
            ("--not --not --pod a", "--not", "", "twice"),
        ] {
            match selector(words) {
                Ok(_) => assert!(option.is_empty(), "{words}"),
                Err(error) => {
                    for expected in [option, value, example] {
                        assert!(error.contains(expected), "{words}: {error}");
                    }
                }
            }
        }
    }
}
