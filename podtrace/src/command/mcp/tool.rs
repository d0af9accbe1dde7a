//! The tools: what a model is told of them, and what they do.
use std::sync::Arc;

use rmcp::model::{Tool as Description, ToolAnnotations};

use super::{
    diagnose, flows,
    params::{ENDS, Kind, LIMIT, PROBE, Param, SECONDS, SELECTORS, SQL, schema},
    paths,
    play::Request,
    query,
    source::Source,
    summary, topology,
};

/// A tool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tool {
    Summary,
    Diagnose,
    Paths,
    Flows,
    Topology,
    Query,
}

const SORT: Param = Param {
    name: "sort",
    kind: Kind::Choice(&flows::ORDERS),
    about: "What comes first: most packets (by default), bytes, longest median round trip, most \
            packets sent again, most lost, or the newest",
    is_required: false,
};

const PART: Param = Param {
    name: "part",
    kind: Kind::Choice(&topology::PARTS),
    about: "Only the problems, only the pods, or only the nodes' own network; all by default",
    is_required: false,
};

const NODE: Param = Param {
    name: "node",
    kind: Kind::Text,
    about: "Only this node: 'worker1', 'worker*'",
    is_required: false,
};

const POD: Param = Param {
    name: "pod",
    kind: Kind::Text,
    about: "Of the pods only this one: 'default/web', 'web-*'",
    is_required: false,
};

impl Tool {
    /// Those that answer about that.
    pub(super) fn about_source(source: &Source) -> &'static [Self] {
        match source {
            Source::Lake(_) => &[Self::Query],
            Source::Files(_) | Source::Live(_) => &Self::ALL,
        }
    }

    /// All of them, in the order in which a model reads of them.
    const ALL: [Self; 6] = [
        Self::Summary,
        Self::Diagnose,
        Self::Paths,
        Self::Flows,
        Self::Topology,
        Self::Query,
    ];

    /// Its name in the protocol.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Summary => "summary",
            Self::Diagnose => "diagnose",
            Self::Paths => "paths",
            Self::Flows => "flows",
            Self::Topology => "topology",
            Self::Query => "query",
        }
    }

    fn title(self) -> &'static str {
        match self {
            Self::Summary => "What the recordings hold",
            Self::Diagnose => "Whether one end reaches another",
            Self::Paths => "Packets, hop by hop",
            Self::Flows => "Who talks to whom",
            Self::Topology => "The pod network",
            Self::Query => "SQL about packets",
        }
    }

    fn about(self) -> &'static str {
        match self {
            Self::Summary => {
                "Summarises the recordings: how many packets ended how, what is wrong in \
                 conversations (findings, with evidence and advice), why packets did not arrive \
                 (causes), and statistics of pairs, hops and latencies. Begin here when it is not \
                 known yet what is wrong, or who is concerned. Takes the same selectors as paths, \
                 to summarise only one pod, node or time."
            }
            Self::Diagnose => {
                "Tells whether one end (a pod, a node or an IP address) reaches another (also a \
                 Service), by the packets that were recorded: the road there and back with each \
                 hop, where and why packets die, how sure that is, the evidence, and what to do. \
                 Use it for 'A cannot reach B'. Without a port it is about ping (ICMP). The \
                 conclusion is delivered, lost, refused or unknown; unknown means that the \
                 recordings do not decide it."
            }
            Self::Paths => {
                "Lists packets, each with all its hops through pods, interfaces and nodes, how it \
                 ended, and where and why it died. Use it for single packets: examples of a loss, \
                 the order of events, address translation, the latency of each hop. Ask for few: \
                 by outcome, pod, between, expression, min_latency or time, and with a small \
                 limit. The objects are the lines of type path of podtrace replay -o json."
            }
            Self::Flows => {
                "Lists flows: what two sockets say to each other, both directions together, with \
                 packets, bytes, round trips, retransmissions and losses. Use it to find who talks \
                 to whom, the busiest, the slowest (sort rtt) or the lossiest (sort lost)."
            }
            Self::Topology => {
                "Shows the network of the nodes when they were recorded: pods with addresses and \
                 interfaces, bridges, tunnels, routes, and the problems that a check of it finds \
                 without any traffic (missing routes, neighbours or forwarding entries, MTUs that \
                 do not fit, duplicate addresses). Use it to learn names and addresses, or why \
                 nothing can work. part 'problems' is short."
            }
            Self::Query => {
                "Answers a question in SQL, which only reads. The tables are paths (a row for each \
                 packet: how it ended, where, why, its ends, latency), hops (a row for each place \
                 where a packet was seen) and flows. Use it to count, to group and to compare over \
                 time; use the other tools, if there are any, for what they are made for. Begin \
                 with DESCRIBE."
            }
        }
    }

    /// Its parameters.
    pub(super) fn params(self, source: &Source) -> Vec<&'static Param> {
        let mut params: Vec<_> = match self {
            Self::Summary | Self::Paths => SELECTORS.iter().chain([&LIMIT]).collect(),
            Self::Flows => SELECTORS.iter().chain([&SORT, &LIMIT]).collect(),
            Self::Diagnose => ENDS.iter().collect(),
            Self::Topology => vec![&PART, &NODE, &POD, &LIMIT],
            Self::Query => vec![&SQL, &LIMIT],
        };
        if let Source::Live(live) = source {
            params.push(&SECONDS);
            if self == Self::Diagnose && live.allows_probe {
                params.push(&PROBE);
            }
        }
        params
    }

    /// What a model is told of it.
    pub(super) fn description(self, source: &Source) -> Description {
        let params = self.params(source);
        let sends = params.iter().any(|param| param.name == PROBE.name);
        let schema = Arc::new(schema(&params));
        let annotations = ToolAnnotations::from_raw(
            Some(self.title().to_owned()),
            Some(!sends),
            Some(false),
            Some(!sends),
            Some(false),
        );
        Description::new(self.name(), self.about(), schema).with_annotations(annotations)
    }

    /// Answers a call.
    pub(super) fn answer(self, request: &Request) -> anyhow::Result<String> {
        match self {
            Self::Summary => summary::answer(request),
            Self::Diagnose => diagnose::answer(request),
            Self::Paths => paths::answer(request),
            Self::Flows => flows::answer(request),
            Self::Topology => topology::answer(request),
            Self::Query => query::answer(request),
        }
    }
}
