//! What a console asks an agent to trace, and the arguments of the `podtrace record` that does it.
use std::{ffi::OsString, time::Duration};

use podtrace_ebpf::config::{SNAPLEN_MAX, SNAPLEN_MIN};

use super::proto::TraceRequest;
use crate::{filter::Expression, model::tap_name::TapName};

/// How often a session is written: what a console shows is so much older at most.
const FLUSH: &str = "50ms";
/// Upper bounds of what a request may hold: more is a mistake, or an attack.
const WORDS_MAX: usize = 64 << 10;
const INTERFACES_MAX: usize = 256;
/// `podtrace record --vxlan-port` takes as many.
const PORTS_MAX: usize = 4;
/// Options of `podtrace record` take less than that.
const MILLIS_MAX: u64 = 365 * 24 * 60 * 60 * 1000;

/// What a console asks an agent to trace.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Request {
    /// A pcap-filter expression; empty for all packets.
    pub expression: String,
    /// Patterns of interfaces; none for the usual ones.
    pub interfaces: Vec<String>,
    /// At most this many bytes of each packet; none for the agent's default.
    pub snaplen: Option<u32>,
    /// Whether what TCP and UDP carry is captured too.
    pub payload: bool,
    /// Whether the kernel is not asked which packets it drops.
    pub without_drops: bool,
    /// One in so many packets is traced; none for all.
    pub sample: Option<u32>,
    /// Sample as needed to stay below so many events a second.
    pub max_rate: Option<u64>,
    /// UDP ports of VXLAN beside those of the node.
    pub vxlan_ports: Vec<u16>,
    /// How long a packet may stay between two hops; none for the default.
    pub hop_timeout: Option<Duration>,
    /// When the trace ends; none if the console ends it.
    pub duration: Option<Duration>,
}

impl Request {
    /// As a message.
    pub(super) fn to_message(&self) -> TraceRequest {
        let millis = |time: Option<Duration>| {
            let whole = time.map(|time| time.as_nanos().div_ceil(1_000_000).max(1));
            whole.map_or(0, |ms| u64::try_from(ms).unwrap_or(u64::MAX))
        };
        TraceRequest {
            expression: self.expression.clone(),
            interfaces: self.interfaces.clone(),
            snaplen: self.snaplen.unwrap_or_default(),
            payload: self.payload,
            without_drops: self.without_drops,
            sample: self.sample.unwrap_or_default(),
            max_rate: self.max_rate.unwrap_or_default(),
            vxlan_ports: self.vxlan_ports.iter().copied().map(u32::from).collect(),
            hop_timeout_ms: millis(self.hop_timeout),
            duration_ms: millis(self.duration),
        }
    }

    /// Takes a message over, or says what is wrong with it.
    ///
    /// # Errors
    /// In words for the console.
    pub(super) fn of(message: TraceRequest) -> Result<Self, String> {
        let TraceRequest {
            expression,
            interfaces,
            snaplen,
            payload,
            without_drops,
            sample,
            max_rate,
            vxlan_ports,
            hop_timeout_ms,
            duration_ms,
        } = message;
        if expression.len() > WORDS_MAX {
            return Err(format!("an expression of more than {WORDS_MAX} bytes"));
        }
        if !expression.trim().is_empty() {
            Expression::compile(expression.trim()).map_err(|error| error.to_string())?;
        }
        if interfaces.len() > INTERFACES_MAX {
            return Err(format!("more than {INTERFACES_MAX} interfaces"));
        }
        for name in &interfaces {
            let is_name = name.parse::<TapName>().is_ok() && !name.contains(char::is_control);
            if !is_name {
                return Err("an interface that no name can mean".to_owned());
            }
        }
        if snaplen != 0 && !(SNAPLEN_MIN..=SNAPLEN_MAX).contains(&snaplen) {
            return Err(format!(
                "a snapshot length that is not from {SNAPLEN_MIN} to {SNAPLEN_MAX}"
            ));
        }
        let ports = vxlan_ports.into_iter().map(u16::try_from);
        let ports: Result<Vec<_>, _> = ports.collect();
        let vxlan_ports = ports.map_err(|_error| "a port above 65535".to_owned())?;
        if vxlan_ports.len() > PORTS_MAX || vxlan_ports.contains(&0) {
            return Err(format!("VXLAN ports that are not {PORTS_MAX} at most"));
        }
        if hop_timeout_ms >= MILLIS_MAX || duration_ms >= MILLIS_MAX {
            return Err("a time of a year or more".to_owned());
        }
        let some = |ms: u64| (ms > 0).then(|| Duration::from_millis(ms));
        Ok(Self {
            expression: expression.trim().to_owned(),
            interfaces,
            snaplen: (snaplen != 0).then_some(snaplen),
            payload,
            without_drops,
            sample: (sample > 1).then_some(sample),
            max_rate: (max_rate > 0).then_some(max_rate),
            vxlan_ports,
            hop_timeout: some(hop_timeout_ms),
            duration: some(duration_ms),
        })
    }

    /// The arguments of the command that traces it to its standard output. Each value is an
    /// argument of its own, joined to its option, so that none can be taken for another option.
    pub(crate) fn arguments(&self) -> Vec<OsString> {
        let mut all: Vec<String> = ["--no-config", "record", "--write=-", "--zstd"]
            .map(str::to_owned)
            .into();
        all.push(format!("--flush={FLUSH}"));
        // Consoles wait for all nodes to come as far.
        all.push("--ticks-always".to_owned());
        // It says so at its standard error once all interfaces are attached to.
        all.push("--ready-fd=2".to_owned());
        if !self.payload {
            all.push("--headers-only".to_owned());
        }
        if self.without_drops {
            all.push("--no-drops".to_owned());
        }
        let millis = |time: Duration| format!("{}ms", time.as_millis());
        let given = [
            ("snaplen", self.snaplen.map(|bytes| bytes.to_string())),
            ("sample", self.sample.map(|share| format!("1/{share}"))),
            ("max-rate", self.max_rate.map(|rate| rate.to_string())),
            ("hop-timeout", self.hop_timeout.map(millis)),
            ("duration", self.duration.map(millis)),
        ];
        for (name, value) in given {
            all.extend(value.map(|value| format!("--{name}={value}")));
        }
        let ports = self.vxlan_ports.iter();
        all.extend(ports.map(|port| format!("--vxlan-port={port}")));
        let interfaces = self.interfaces.iter();
        all.extend(interfaces.map(|name| format!("--interface={name}")));
        if !self.expression.is_empty() {
            // It begins with a parenthesis, never with a hyphen.
            all.push(format!("({})", self.expression));
        }
        all.into_iter().map(OsString::from).collect()
    }

    /// In words, for a log.
    pub(super) fn in_words(&self) -> String {
        let mut words = match self.expression.as_str() {
            "" => "all packets".to_owned(),
            expression => expression.to_owned(),
        };
        if !self.interfaces.is_empty() {
            words += &format!(" at {}", self.interfaces.join(", "));
        }
        if self.payload {
            words += ", with payload";
        }
        if let Some(duration) = self.duration {
            words += &format!(", for {} s", duration.as_secs_f64());
        }
        words
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn full() -> Request {
        Request {
            expression: "icmp or tcp port 80".to_owned(),
            interfaces: vec!["veth*".to_owned(), "default/web/eth0".to_owned()],
            snaplen: Some(SNAPLEN_MIN),
            payload: true,
            without_drops: true,
            sample: Some(10),
            max_rate: Some(50_000),
            vxlan_ports: vec![4789],
            hop_timeout: Some(Duration::from_millis(1500)),
            duration: Some(Duration::from_secs(10)),
        }
    }

    #[test]
    fn requests_read_as_they_were_sent() {
        for request in [full(), Request::default()] {
            assert_eq!(Request::of(request.to_message()), Ok(request));
        }
    }

    #[test]
    fn nonsense_is_refused() {
        let wrong = |change: fn(&mut TraceRequest)| {
            let mut message = full().to_message();
            change(&mut message);
            Request::of(message).unwrap_err()
        };
        wrong(|message| message.expression = "no such word and".to_owned());
        wrong(|message| message.expression = "x".repeat(WORDS_MAX + 1));
        wrong(|message| message.interfaces = vec!["/".to_owned()]);
        wrong(|message| message.interfaces = vec!["a\0b".to_owned()]);
        wrong(|message| message.interfaces = vec!["a".to_owned(); INTERFACES_MAX + 1]);
        wrong(|message| message.snaplen = 1);
        wrong(|message| message.hop_timeout_ms = u64::MAX);
        wrong(|message| message.duration_ms = MILLIS_MAX);
        wrong(|message| message.vxlan_ports = vec![70_000]);
        wrong(|message| message.vxlan_ports = vec![1; PORTS_MAX + 1]);
    }
}
