//! The parameters that several tools have, or that stand for options of a command.
use super::{Kind, Param};
use crate::path::Outcome;

/// Upper bound of the rows of an answer.
const ROWS_MAX: u64 = 1000;

const PORT: Kind = Kind::Number { min: 1, max: 65535 };

/// How many rows an answer may have.
pub(in crate::command::mcp) const LIMIT: Param = Param::new(
    "limit",
    Kind::Number {
        min: 1,
        max: ROWS_MAX,
    },
    "At most so many rows, 100 by default; what is left out is counted",
);

/// The expression of pcap-filter, which is no option.
pub(super) const EXPRESSION: Param = Param::new(
    "expression",
    Kind::Text,
    "Only packets that match this pcap-filter expression (as tcpdump has it) at one hop at least: \
     'icmp and host 10.244.2.7', 'tcp port 80'. Give addresses, not host names",
);

/// Which packets are asked for: each is the option of `podtrace replay` of the same name.
pub(in crate::command::mcp) const SELECTORS: [Param; 18] = [
    EXPRESSION,
    Param::new(
        "pod",
        Kind::Text,
        "Only packets that this pod sends or receives, or that pass its interfaces: 'default/web', \
         'web', 'web-*', 'kube-system/*'",
    ),
    Param::new("from_pod", Kind::Text, "Only packets that this pod sends"),
    Param::new("to_pod", Kind::Text, "Only packets that this pod receives"),
    Param::new(
        "between",
        Kind::Pair,
        "Only packets that one of these sends to the other, in either direction: two pods, or \
         addresses as '10.244.2.0/24'",
    ),
    Param::new(
        "namespace",
        Kind::Text,
        "Only packets of pods in this Kubernetes namespace",
    ),
    Param::new(
        "selector",
        Kind::Text,
        "Only packets of pods with these labels, as kubectl has them: 'app=web'",
    ),
    Param::new(
        "container",
        Kind::Text,
        "Only packets that a container of this name sends or receives",
    ),
    Param::new(
        "service",
        Kind::Text,
        "Only packets for this Service, or answers from it: 'default/web'",
    ),
    Param::new(
        "ip",
        Kind::Text,
        "Only packets from or to these addresses: '10.244.1.2', '10.244.0.0/16'",
    ),
    Param::new(
        "port",
        PORT,
        "Only packets from or to this port of TCP or UDP",
    ),
    Param::new(
        "protocol",
        Kind::Text,
        "Only packets of this protocol inside of all tunnels: 'tcp', 'udp', 'icmp', 'arp', 'sctp', \
         or a number",
    ),
    Param::new(
        "node",
        Kind::Text,
        "Only packets that were seen at this node, or come from it or go to it: 'worker1', \
         'worker*'",
    ),
    Param::new(
        "interface",
        Kind::Text,
        "Only what interfaces of this name saw: 'cni0', 'veth*', 'default/web/eth0'. Hops \
         elsewhere are left out: outcomes are those of a part",
    ),
    Param::new(
        "outcome",
        Kind::Choice(&Outcome::NAMES),
        "Only packets that ended so; 'dropped', 'not_seen_further', 'no_socket', 'unanswered', \
         'refused' and 'loop' are those that did not arrive",
    ),
    Param::new(
        "min_latency",
        Kind::Text,
        "Only packets that took at least this long from their first hop to their last: '500us', \
         '10ms'",
    ),
    Param::new(
        "since",
        Kind::Text,
        "Begin at this time: '2026-11-24T12:00:00Z', or '+10s' after the beginning",
    ),
    Param::new("until", Kind::Text, "End at this time, in the same forms"),
];

/// The two ends of a diagnosis, and its packets.
pub(in crate::command::mcp) const ENDS: [Param; 4] = [
    Param::new(
        "source",
        Kind::Text,
        "Who asks: a pod ('default/client'), a node or an IP address",
    )
    .required(),
    Param::new(
        "destination",
        Kind::Text,
        "Who answers: a pod or a Service ('default/web'), a node or an IP address",
    )
    .required(),
    Param::new("port", PORT, "Port of the destination"),
    Param::new(
        "protocol",
        Kind::Choice(&["icmp", "tcp", "udp"]),
        "Protocol of the packets: by default icmp, with a port tcp, of a Service what it has ports \
         of",
    ),
];

/// A question in SQL.
pub(in crate::command::mcp) const SQL: Param = Param::new(
    "sql",
    Kind::Text,
    "SELECT, WITH, EXPLAIN, DESCRIBE or SHOW TABLES, as 'SELECT * FROM paths WHERE outcome = \
     ''dropped'' LIMIT 10'. DESCRIBE hops, DESCRIBE paths and DESCRIBE flows tell the columns",
)
.required();

/// How long nodes are recorded for an answer.
pub(in crate::command::mcp) const SECONDS: Param = Param::new(
    "seconds",
    Kind::Number { min: 1, max: 30 },
    "How long the nodes are recorded for this answer; 5 by default. What is asked about has to \
     happen meanwhile",
);

/// Whether packets are sent.
pub(in crate::command::mcp) const PROBE: Param = Param::new(
    "probe",
    Kind::Flag,
    "Whether podtrace sends a few packets from the source to the destination; otherwise it waits \
     for theirs. Ask your user before",
);
