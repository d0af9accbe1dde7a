//! Verdicts on packets that a firewall refuses: in its own name, or in that of their receiver.
use std::net::IpAddr;

use super::{
    Verdict,
    question::Question,
    step::{Filtered, Step},
};
use crate::{
    model::{
        drop::KernelDrop,
        ruleset::{Action, Rule},
    },
    path::{ends::refusing_netns, refusal::Refusal},
    rules::{
        Candidate, Cause,
        advice::each_inside,
        firewall::{Found, tell},
    },
};

/// What an answer says of a packet.
pub(super) struct Refused {
    /// Who has answered, in words.
    pub(super) by: String,
    /// What it says.
    pub(super) reason: String,
    /// Whether a kernel says so of its own accord, too, where it has no way.
    pub(super) is_by_kernel: bool,
}

impl Refused {
    /// It as a cause. `rules`: those that could have answered.
    pub(super) fn cause(&self, rules: Vec<Candidate>) -> Cause {
        Cause::Refused {
            by: self.by.clone(),
            reason: self.reason.clone(),
            rules,
        }
    }
}

impl<'a> Question<'a> {
    /// The kernel's record that a firewall has dropped the packet.
    pub(super) fn dropped_by_firewall(&self) -> Option<&'a KernelDrop> {
        self.path.kernel_drop().filter(|drop| drop.is_by_firewall())
    }

    /// Whether who has answered does not have an address, as far as the facts tell.
    pub(super) fn lacks(&self, refusal: &Refusal, address: IpAddr) -> bool {
        let Some((netns, _)) = refusing_netns(refusal, self.world) else {
            return false;
        };
        let here = self.view.within(netns);
        here.is_some_and(|here| !here.is_local(address))
    }

    /// Names the rule that refuses it, or those that could have.
    pub(super) fn rejected(
        &self,
        verdict: &mut Verdict,
        refusal: &Refusal,
        plain: &Refused,
        step: &Step<'a>,
    ) {
        let drop = self.dropped_by_firewall();
        if let Some(drop) = drop.filter(|drop| drop.rule.is_some()) {
            verdict.expected_next = step.next.map(|next| self.tap(&next));
            return self.ruled(verdict, drop, &step.filtered);
        }
        let from = refusing_netns(refusal, self.world).map(|(netns, _)| netns);
        let netns = drop.map(|drop| drop.netns).or(from);
        let found = self.rejecting(netns, drop, &step.filtered);
        // A kernel answers for its own sockets alone.
        let to = self.ends().map(|(_, to)| to);
        let is_anothers = refusal.carried.is_none()
            && !plain.is_by_kernel
            && to.is_some_and(|to| self.lacks(refusal, to));
        let is_firewall = drop.is_some() || is_anothers;
        let is_read = netns.is_some_and(|netns| self.is_read(netns));
        let is_only = found.len() == 1 && is_firewall && is_read;
        let it = found.first().filter(|(_, found)| {
            let rejects = |rule: &Rule| rule.action == Action::Reject;
            found.rule.is_some_and(rejects) && (is_only || found.is_certain)
        });
        if is_firewall || !found.is_empty() {
            verdict.expected_next = step.next.map(|next| self.tap(&next));
        }
        if let Some((_, found)) = it {
            let cause = Cause::FirewallRule {
                owner: self.owner_in(netns.unwrap_or_default()),
                rule: Box::new(found.names()),
                rejects: true,
            };
            // The kernel may refuse what it has translated, too.
            let is_doubtful = drop.is_none() && !found.is_certain;
            return self.conclude(verdict, cause, is_doubtful);
        }
        let mut rules = tell(found);
        let mut hooks = step.filtered.iter();
        let unread = hooks.find(|one| Some(one.netns) == netns);
        let unread = unread.filter(|_| is_firewall && !is_read);
        rules.extend(unread.map(|one| self.unknown_rules(one, drop.and_then(|drop| drop.hook))));
        let look = match (is_firewall, plain.is_by_kernel) {
            (true, _) => Some("nft -a list ruleset"),
            (false, false) => Some("ss -lntu; nft -a list ruleset"),
            (false, true) => (!rules.is_empty()).then_some("nft -a list ruleset"),
        };
        self.conclude(verdict, plain.cause(rules), false);
        let look = netns.zip(look);
        verdict.advice = look.map(|(netns, look)| each_inside(&self.owner_in(netns), look));
    }

    /// The rules that could have refused it in a namespace.
    fn rejecting(
        &self,
        netns: Option<u64>,
        drop: Option<&KernelDrop>,
        steps: &[Filtered<'a>],
    ) -> Vec<(String, Found<'a>)> {
        let mut found = match drop {
            Some(drop) => self.found(steps, drop),
            None => {
                let here = steps.iter().filter(|one| Some(one.netns) == netns);
                here.flat_map(|one| self.found_on(one)).collect()
            }
        };
        // A map may lead to a chain that does.
        let rejects = |found: &Found<'_>| {
            let action = found.rule.map(|rule| &rule.action);
            matches!(action, Some(Action::Reject | Action::Map))
        };
        found.retain(|(_, found)| rejects(found));
        found
    }
}
