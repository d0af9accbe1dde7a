//! The packets that the kernel drops, in a session.
use std::{collections::BTreeSet, mem};

use super::{
    Tracer,
    firewalls::{Heard, RuleDrop},
};
use crate::{
    model::drop::{DROP_BYTES, DropRule, KernelDrop, tells},
    probe::{ProbeError, drops::Drops},
    ruleset::trace::TracedPacket,
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
        let headers = &self.by.packet.headers;
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
        let TracedPacket {
            headers: mut bytes,
            input,
            output,
        } = by.packet;
        bytes.truncate(DROP_BYTES);
        KernelDrop {
            ts_ns,
            reason: Some("NETFILTER_DROP".to_owned()),
            netns,
            ifindex: if output == 0 { input } else { output },
            came_by: input,
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
        self.flow_states.add_to(&mut drops);
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
        let lines = untold.map(|(reason, (all, untold))| untold_line(&reason, all, untold));
        self.notify(lines.collect());
        Ok(())
    }
}

/// The kernel counts before anybody knows which packets they are.
fn untold_line(reason: &str, all: u64, untold: u64) -> String {
    let packets = counted(all, "packet");
    let dropped = format!(
        "the kernel dropped {packets} in the traced network namespaces, also such as are not traced, \
         too many to tell of {untold} of them"
    );
    match tells(reason) {
        true => format!("{reason}: {dropped}"),
        false => format!(
            "without naming a reason, {dropped}; some may be no loss: it frees fragments so, too, that \
             it has put together"
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{model::ruleset::Family, ruleset::trace::Traced};

    const HEADERS: [u8; 28] = [
        0x45, 0, 0, 84, 0, 7, 0, 0, 63, 1, 0, 0, 10, 244, 1, 2, 10, 244, 2, 2, 8, 0, 0, 0, 0, 1, 0,
        1,
    ];

    fn drop_of(reason: &str, id: u8) -> KernelDrop {
        let mut bytes = [&HEADERS[..], &[0; 56]].concat();
        bytes[5] = id;
        KernelDrop {
            netns: 1,
            reason: Some(reason.to_owned()),
            bytes,
            ..KernelDrop::default()
        }
    }

    fn heard(id: u8) -> Heard {
        let mut headers = HEADERS.to_vec();
        headers[5] = id;
        let packet = TracedPacket {
            headers,
            input: 3,
            output: 4,
        };
        Heard::Dropped(RuleDrop {
            ts_ns: 5,
            netns: 1,
            by: Traced {
                family: Family::Ip,
                table: "filter".to_owned(),
                chain: "FORWARD".to_owned(),
                handle: Some(id.into()),
                packet,
            },
        })
    }

    fn handles(drops: &[KernelDrop]) -> Vec<Option<u64>> {
        let rules = drops.iter().map(|drop| drop.rule.as_ref());
        rules
            .map(|rule| rule.and_then(|rule| rule.handle))
            .collect()
    }

    #[test]
    fn rule_and_drop_of_a_packet_join_whichever_comes_first() {
        let mut halves = Halves::default();
        let netfilter = |id| drop_of("NETFILTER_DROP", id);
        // Other drops do not wait.
        let joined = halves.join(vec![netfilter(1), drop_of("NO_SOCKET", 2)], vec![heard(3)]);
        assert_eq!((joined.len(), handles(&joined)), (1, vec![None]));
        let joined = halves.join(vec![netfilter(3)], vec![heard(1)]);
        assert_eq!(handles(&joined), [Some(1), Some(3)]);
        assert!(halves.join(Vec::new(), Vec::new()).is_empty());
    }

    #[test]
    fn drops_that_are_not_told_are_those_of_all_packets() {
        assert_eq!(
            untold_line("NO_SOCKET", 70, 6),
            "NO_SOCKET: the kernel dropped 70 packets in the traced network namespaces, also such \
             as are not traced, too many to tell of 6 of them"
        );
        assert_eq!(
            untold_line("NOT_SPECIFIED", 70, 6),
            "without naming a reason, the kernel dropped 70 packets in the traced network namespaces, \
             also such as are not traced, too many to tell of 6 of them; some may be no loss: it frees \
             fragments so, too, that it has put together"
        );
    }

    #[test]
    fn what_stays_alone_goes_on_alone() {
        let mut halves = Halves::default();
        assert!(
            halves
                .join(
                    vec![drop_of("NETFILTER_DROP", 1)],
                    vec![heard(2), Heard::Lost]
                )
                .is_empty()
        );
        let alone = halves.join(Vec::new(), Vec::new());
        assert_eq!(handles(&alone), [None, Some(2)]);
        let made = &alone[1];
        assert_eq!((made.wire_len, made.ifindex, made.came_by), (84, 4, 3));
        assert!(halves.has_lost && made.is_by_firewall());
    }
}
