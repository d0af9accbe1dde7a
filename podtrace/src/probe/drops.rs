//! The packets that the kernel drops, as its tracepoint `kfree_skb` tells them.
mod symbols;

use std::collections::{BTreeMap, BTreeSet};

use aya::{
    Ebpf,
    maps::{HashMap, MapData, PerCpuArray, RingBuf},
    programs::RawTracePoint,
};
use podtrace_ebpf::{
    config,
    dropped::{DROP_REASONS, DROP_SPACES, Dropped},
};

use super::{
    ProbeError,
    btf::{Btf, BtfError, Enumeration},
    error::not_loaded,
    parts::{program, take},
};
use crate::model::{
    drop::{DROP_BYTES, KernelDrop},
    hook::HookPoint,
};
use symbols::Symbols;

/// The tracepoint, and its type in the kernel's BTF.
const TRACEPOINT: &str = "kfree_skb";
const TRACEPOINT_TYPE: &str = "btf_trace_kfree_skb";
/// Its arguments up to the reason, with the one that the kernel adds: before Linux 5.17 there
/// are the packet and the caller only.
const WITH_REASON: usize = 4;
/// The kernel's list of reasons, and what all their names begin with.
const REASONS: &str = "skb_drop_reason";
const REASON_PREFIX: &str = "SKB_DROP_REASON_";
/// Stands for all namespaces.
const ALL: u64 = 0;
/// The place of the counts of all further reasons.
const LAST: u32 = DROP_REASONS - 1;

/// Where the program finds what it tells of a packet, in the structs of the running kernel.
pub(super) struct Layout {
    globals: [(&'static str, u32); 9],
    reasons: Enumeration,
}

impl Layout {
    pub(super) fn find(btf: &Btf) -> Result<Self, BtfError> {
        let args = btf.arguments_of(TRACEPOINT_TYPE)?;
        let has_reason = args.is_some_and(|args| args >= WITH_REASON);
        let skb = |member| btf.offset_of("sk_buff", member);
        Ok(Self {
            globals: [
                (config::GLOBAL_HAS_REASON, has_reason.into()),
                (config::GLOBAL_SKB_LEN, skb("len")?),
                (config::GLOBAL_SKB_IIF, skb("skb_iif")?),
                (config::GLOBAL_SKB_PROTOCOL, skb("protocol")?),
                (config::GLOBAL_SKB_NETWORK, skb("network_header")?),
                (config::GLOBAL_SKB_TAIL, skb("tail")?),
                (config::GLOBAL_SKB_HEAD, skb("head")?),
                (config::GLOBAL_SKB_DATA, skb("data")?),
                (
                    config::GLOBAL_DEV_IFINDEX,
                    btf.offset_of("net_device", "ifindex")?,
                ),
            ],
            // Kernels before 5.17 have none.
            reasons: btf.enumeration(REASONS).unwrap_or_default(),
        })
    }

    /// The values of the program's globals, by their names.
    pub(super) fn globals(&self) -> &[(&'static str, u32)] {
        &self.globals
    }
}

/// The packets that the kernel drops, while the taps are started.
pub struct Drops {
    ring: RingBuf<MapData>,
    counts: PerCpuArray<MapData, [u64; 3]>,
    spaces: HashMap<MapData, u64, u8>,
    watched: BTreeSet<u64>,
    reasons: Enumeration,
    symbols: Symbols,
    /// Of each reason, whether all that was told of was healthy so far.
    healthy: Healthy,
}

/// The reasons for which the kernel has only freed what did what it was for, as far as it told.
#[derive(Debug, Default)]
struct Healthy(BTreeMap<u32, bool>);

impl Healthy {
    fn note(&mut self, reason: Option<u32>, is_healthy: bool) {
        if let Some(reason) = reason {
            *self.0.entry(reason).or_insert(true) &= is_healthy;
        }
    }

    /// Whether all of a reason was, and some was told of.
    fn is_all(&self, reason: u32) -> bool {
        self.0.get(&reason) == Some(&true)
    }
}

impl Drops {
    /// Loads the program, whose globals `layout` has set, and attaches it, for as long as the
    /// object lives.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub(super) fn attach(ebpf: &mut Ebpf, layout: Layout) -> Result<Self, ProbeError> {
        let program: &mut RawTracePoint = program(ebpf, config::PROGRAM_DROP)?;
        program
            .load()
            .and_then(|()| program.attach(TRACEPOINT).map(drop))
            .map_err(|source| not_loaded(config::PROGRAM_DROP, source))?;
        Ok(Self {
            ring: take(ebpf, config::MAP_DROPS)?,
            counts: take(ebpf, config::MAP_DROP_COUNTS)?,
            spaces: take(ebpf, config::MAP_DROP_SPACES)?,
            watched: BTreeSet::new(),
            reasons: layout.reasons,
            symbols: Symbols::read(),
            healthy: Healthy::default(),
        })
    }

    /// Tells of the packets that are dropped in a namespace, by its id; of all namespaces, if there is
    /// no room for it. `there`: those that are not gone.
    ///
    /// # Errors
    /// When the map cannot be changed.
    pub fn watch(
        &mut self,
        netns: u64,
        there: impl FnOnce() -> BTreeSet<u64>,
    ) -> Result<(), ProbeError> {
        if !self.watched.insert(netns) {
            return Ok(());
        }
        if self.watched.len() >= DROP_SPACES as usize {
            let there = there();
            for gone in self
                .watched
                .extract_if(.., |id| *id != netns && !there.contains(id))
            {
                // It may be missing.
                let _ = self.spaces.remove(&gone);
            }
        }
        let is_full = self.watched.len() >= DROP_SPACES as usize;
        let key = if is_full { ALL } else { netns };
        let added = self.spaces.insert(key, 1, 0);
        added.map_err(|source| ProbeError::Map {
            operation: format!("write map {}", config::MAP_DROP_SPACES),
            source,
        })
    }

    /// Whether the kernel names reasons.
    #[must_use]
    pub fn has_reasons(&self) -> bool {
        self.reasons
            .value("SKB_DROP_REASON_NETFILTER_DROP")
            .is_some()
    }

    /// Whether the kernel's functions can be named.
    #[must_use]
    pub fn has_symbols(&self) -> bool {
        self.symbols.are_known()
    }

    /// Takes all packets that were dropped by now, in about the order of their times.
    pub fn take(&mut self) -> Vec<KernelDrop> {
        std::iter::from_fn(|| self.next()).collect()
    }

    fn next(&mut self) -> Option<KernelDrop> {
        loop {
            let item = self.ring.next()?;
            let Some(dropped) = Dropped::decode(&item) else {
                continue;
            };
            let reason = dropped.reason.map(|number| reason(&self.reasons, number));
            let function = self.symbols.name(dropped.location);
            let is_healthy = is_healthy(reason.as_deref(), function);
            self.healthy.note(dropped.reason, is_healthy);
            if is_healthy {
                continue;
            }
            let bytes = dropped.data;
            let drop = KernelDrop {
                ts_ns: dropped.ts_ns,
                reason,
                function: function.map(str::to_owned),
                hook: None,
                netns: dropped.netns,
                ifindex: dropped.ifindex,
                came_by: dropped.came_by,
                ethertype: dropped.ethertype,
                wire_len: dropped.wire_len,
                rule: None,
                tracked: None,
                bytes: bytes[..bytes.len().min(DROP_BYTES)].to_vec(),
            };
            let hook = match drop.is_by_firewall() {
                true => hook(&self.symbols, &dropped.callers),
                false => None,
            };
            return Some(KernelDrop { hook, ..drop });
        }
    }

    /// How many packets were dropped for each reason, and how many of them are told by no
    /// record. Of reasons for which the kernel has told of healthy ones only, none is missing.
    ///
    /// # Errors
    /// When the map cannot be read.
    pub fn counts(&self) -> Result<BTreeMap<String, (u64, u64)>, ProbeError> {
        let mut all = BTreeMap::new();
        for number in 0..DROP_REASONS {
            let counts = self.counts.get(&number, 0);
            let counts = counts.map_err(|source| ProbeError::Map {
                operation: format!("read map {}", config::MAP_DROP_COUNTS),
                source,
            })?;
            let sum = |at: usize| counts.iter().map(|of_cpu| of_cpu[at]).sum::<u64>();
            if sum(0) > 0 {
                let name = match number {
                    // It counts those without a name, too.
                    LAST => "other reasons".to_owned(),
                    _ => reason(&self.reasons, number),
                };
                let untold = if self.healthy.is_all(number) {
                    0
                } else {
                    sum(1)
                };
                all.insert(name, (sum(0), untold));
            }
        }
        Ok(all)
    }
}

/// The hook at which a firewall was asked, by the calls that led there.
fn hook(symbols: &Symbols, callers: &[u64]) -> Option<HookPoint> {
    let callers = callers.iter().take_while(|caller| **caller != 0);
    // A call may be the last instruction of its function.
    HookPoint::among(callers.filter_map(|caller| symbols.name(caller - 1)))
}

/// The name of a reason, or its number where the kernel's list lacks it: modules have reasons
/// of their own.
fn reason(reasons: &Enumeration, number: u32) -> String {
    match reasons.name(number.into()) {
        Some(name) => name.strip_prefix(REASON_PREFIX).unwrap_or(name).to_owned(),
        None => format!("reason {number:#x}"),
    }
}

/// Whether a packet is dropped so after it did what it was for: the kernel frees an echo reply
/// like this once raw sockets have copies of it, fragments with the packet that they were
/// reassembled to, and the last acknowledgment with the connection that it ends (`TCP_LAST_ACK` in
/// net/ipv4/tcp_input.c).
fn is_healthy(reason: Option<&str>, function: Option<&str>) -> bool {
    let Some(function) = function else {
        return false;
    };
    let is_unnamed = reason.is_none_or(|reason| reason == "NOT_SPECIFIED");
    match function {
        "skb_release_data" => true,
        "tcp_rcv_state_process" => is_unnamed,
        _ => {
            let is_echo = function.starts_with("ping_") || function == "icmp_rcv";
            is_echo && (is_unnamed || reason == Some("NO_SOCKET"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_freed_is_not_reported_as_untold() {
        let mut healthy = Healthy::default();
        healthy.note(Some(2), true);
        healthy.note(None, true);
        assert!(healthy.is_all(2) && !healthy.is_all(3));
        healthy.note(Some(2), false);
        healthy.note(Some(2), true);
        assert!(!healthy.is_all(2));
    }

    #[test]
    fn last_acknowledgment_is_freed_and_not_lost() {
        let function = Some("tcp_rcv_state_process");
        assert!(is_healthy(Some("NOT_SPECIFIED"), function) && is_healthy(None, function));
        assert!(!is_healthy(Some("TCP_RESET"), function));
    }

    #[test]
    fn echo_replies_are_freed_and_not_lost() {
        assert!(is_healthy(Some("NO_SOCKET"), Some("ping_rcv")));
        assert!(is_healthy(Some("NOT_SPECIFIED"), Some("skb_release_data")));
        assert!(!is_healthy(Some("NO_SOCKET"), Some("__udp4_lib_rcv")));
        assert!(!is_healthy(Some("NETFILTER_DROP"), Some("icmp_rcv")));
        assert!(!is_healthy(None, None));
        assert!(!is_healthy(Some("NOT_SPECIFIED"), None));
    }
}
