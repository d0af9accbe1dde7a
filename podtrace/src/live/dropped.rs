//! The packets that the kernel drops, in a session.
use std::{collections::BTreeSet, mem};

use super::{
    Tracer,
    firewalls::{Heard, RuleDrop},
};
use crate::{
    model::drop::{DROP_BYTES, DropRule, KernelDrop},
    probe::{ProbeError, drops::Drops},
    text::count::counted,
    update::Update,
};

/// Upper bound of what waits for its other half.
const WAITING_MAX: usize = 4096;

/// Drops of firewalls, and the rules that did it: the kernel tells both apart.
#[derive(Default)]
pub(super) struct Halves {
    drops: Vec<KernelDrop>,
    rules: Vec<RuleDrop>,
    /// Whether traces found no room.
    pub(super) has_lost: bool,
}

impl Halves {
    /// Joins what has come. What has not found its other half by the next call goes without.
    fn join(&mut self, drops: Vec<KernelDrop>, heard: Vec<Heard>) -> Vec<KernelDrop> {
        let (old_drops, old_rules) = (mem::take(&mut self.drops), mem::take(&mut self.rules));
        let mut rules: Vec<_> = old_rules.into_iter().map(|rule| (rule, true)).collect();
        for one in heard {
            match one {
                Heard::Dropped(rule) => rules.push((rule, false)),
                Heard::Lost => self.has_lost = true,
            }
        }
        let mut done = Vec::new();
        let old = old_drops.into_iter().map(|drop| (drop, true));
        for (mut drop, is_old) in old.chain(drops.into_iter().map(|drop| (drop, false))) {
            let found = match drop.is_by_firewall() {
                true => rules.iter().position(|(rule, _)| rule.is_of(&drop)),
                false => None,
            };
            match found {
                Some(at) => {
                    drop.rule = Some(Box::new(rules.remove(at).0.rule()));
                    done.push(drop);
                }
                None if is_old || !drop.is_by_firewall() || self.drops.len() >= WAITING_MAX => {
                    done.push(drop);
                }
                None => self.drops.push(drop),
            }
        }
        for (rule, is_old) in rules {
            match is_old || self.rules.len() >= WAITING_MAX {
                // The kernel tells of no more than some drops of a flood.
                true => done.push(rule.into_drop()),
                false => self.rules.push(rule),
            }
        }
        done
    }
}

impl RuleDrop {
    /// Whether it is about this packet: both have its bytes at that time.
    fn is_of(&self, drop: &KernelDrop) -> bool {
        let headers = &self.by.headers;
        let len = headers.len().min(drop.bytes.len());
        let is_equal = headers.get(..len) == drop.bytes.get(..len);
        self.netns == drop.netns && len > 0 && is_equal
    }

    fn rule(&self) -> DropRule {
        DropRule {
            family: self.by.family,
            table: self.by.table.clone(),
            chain: self.by.chain.clone(),
            handle: self.by.handle,
            number: None,
            text: None,
        }
    }

    fn into_drop(self) -> KernelDrop {
        let rule = self.rule();
        let Self { ts_ns, netns, by } = self;
        let mut bytes = by.headers;
        bytes.truncate(DROP_BYTES);
        KernelDrop {
            ts_ns,
            reason: Some("NETFILTER_DROP".to_owned()),
            netns,
            ifindex: if by.output == 0 { by.input } else { by.output },
            came_by: by.input,
            wire_len: wire_len(&bytes),
            rule: Some(Box::new(rule)),
            bytes,
            ..KernelDrop::default()
        }
    }
}

/// The length of an IP packet, as its header has it.
fn wire_len(header: &[u8]) -> u32 {
    let word = |at: usize| match header.get(at..at + 2) {
        Some(&[high, low]) => u32::from(u16::from_be_bytes([high, low])),
        _ => 0,
    };
    match header.first().map(|first| first >> 4) {
        Some(6) => 40 + word(4),
        _ => word(2),
    }
}

impl Tracer {
    /// Takes over what the kernel has dropped by now: before paths end that it is about.
    pub(super) fn take_drops(&mut self) {
        let mut drops = self.drops.as_mut().map(Drops::take).unwrap_or_default();
        let firewalls = drops.iter().filter(|drop| drop.is_by_firewall());
        let firewalls: BTreeSet<u64> = firewalls.map(|drop| drop.netns).collect();
        for netns in firewalls {
            self.firewalls.has_dropped(netns);
        }
        if self.firewalls.traces() {
            drops = self.halves.join(drops, self.firewalls.take());
            let rulesets = &self.pipeline.world().rulesets;
            for drop in &mut drops {
                if let (Some(rule), Some(ruleset)) = (&mut drop.rule, rulesets.get(&drop.netns)) {
                    rule.look_up(ruleset);
                }
            }
        }
        if !drops.is_empty() {
            self.update(&Update::Drops { drops });
        }
    }

    /// Takes over the last ones, too, whose other half has not come.
    pub(super) fn take_last_drops(&mut self) {
        self.take_drops();
        if self.firewalls.traces() {
            self.take_drops();
        }
        if self.halves.has_lost {
            let text = "--trace-rules: some traces found no room, rules may be missing";
            self.notify(vec![text.to_owned()]);
        }
    }

    /// Reports how many packets the kernel dropped beyond those that it has told of one by one.
    pub(super) fn report_untold(&mut self) -> Result<(), ProbeError> {
        let counts = self.drops.as_ref().map(Drops::counts).transpose()?;
        let all = counts.unwrap_or_default().into_iter();
        let untold = all.filter(|(_, (_, untold))| *untold > 0);
        let lines = untold.map(|(reason, (all, untold))| {
            let packets = counted(all, "packet");
            format!("{reason}: the kernel dropped {packets}, too many to tell of {untold} of them")
        });
        self.notify(lines.collect());
        Ok(())
    }
}
