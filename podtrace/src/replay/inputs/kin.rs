//! Inputs that one kernel made: runs of a recorder one after the other, or exports of parts of
//! one recording. They have the same nodes, one clock and one count of namespaces.
use std::cmp::Reverse;

use super::Input;
use crate::{session::format::SectionInfo, text::names::list};

/// How far two measurements of one clock's zero may be apart, in nanoseconds. Reading both
/// clocks takes less, and a restart of the node moves the zero by as long as the node ran.
const SAME_BOOT_NS: u64 = 1_000_000;

/// What an input has in common with the others.
#[derive(Clone, Debug, Default)]
pub(super) struct Kin {
    /// The first input of the same kernel, if that is another.
    first: Option<usize>,
    /// The inputs of the same kernel that end before this one begins.
    after: Vec<usize>,
    /// The inputs of the same kernel that recorded at the same time, and whose events are taken
    /// where both watched.
    beside: Vec<usize>,
    /// By how much the clock's zero of that first input is later, in nanoseconds.
    shift_ns: i64,
}

impl Input {
    /// Whether none before it is of the same kernel.
    pub(crate) fn is_first(&self) -> bool {
        self.kin.first.is_none()
    }

    /// The first input of its kernel, of which it is number `number`.
    pub(super) fn first(&self, number: usize) -> usize {
        self.kin.first.unwrap_or(number)
    }

    /// The inputs that it continues.
    pub(crate) fn after(&self) -> &[usize] {
        &self.kin.after
    }

    /// The inputs whose events are taken instead of its own where both watched.
    pub(crate) fn beside(&self) -> &[usize] {
        &self.kin.beside
    }

    /// What makes its times those of the first input of its kernel, in nanoseconds.
    pub(crate) fn shift_ns(&self) -> i64 {
        self.kin.shift_ns
    }

    /// UTC nanoseconds at zero of its nodes' clock; none if unknown or if it has several clocks.
    pub(crate) fn boot_ns(&self) -> Option<i64> {
        let info = self.info.as_ref()?;
        // Times of an export are those of the first clock.
        let boot_ns = match &info.made_of[..] {
            [] => info.epoch_ns,
            [first, ..] => first.boot_ns,
        };
        (boot_ns != 0 && self.sessions() == 1).then_some(boot_ns)
    }
}

/// Finds the inputs that are of one kernel, and which continues which. Returns whether there
/// are any, and notices of those that were recorded at the same time.
pub(crate) fn link(inputs: &mut [Input]) -> (bool, Vec<String>) {
    let mut notices = Vec::new();
    for input in inputs.iter_mut() {
        input.kin = Kin::default();
    }
    for number in 1..inputs.len() {
        let (before, rest) = inputs.split_at_mut(number);
        let [input, ..] = rest else { break };
        let of = |first: usize| {
            let members = before.iter().enumerate();
            members.filter(move |(number, member)| member.first(*number) == first)
        };
        for other in before.iter().filter(|other| are_double(other, input)) {
            let what = if can_take_once(other, input) {
                "where both watched an interface, packets are taken of one of them"
            } else {
                "packets that both have count twice"
            };
            notices.push(format!(
                "{} and {} are recordings of {} at the same time: {what}",
                other.name(),
                input.name(),
                list(&input.nodes())
            ));
        }
        let firsts = (0..number).filter(|first| before[*first].is_first());
        let first = firsts
            .into_iter()
            .find(|first| of(*first).all(|(_, other)| are_kin(other, input)));
        if let Some(first) = first {
            let zeros = before[first].boot_ns().zip(input.boot_ns());
            input.kin.first = Some(first);
            input.kin.shift_ns = zeros.map_or(0, |(first, own)| first.saturating_sub(own));
        }
    }
    order(inputs);
    prefer(inputs);
    (inputs.iter().any(|input| !input.is_first()), notices)
}

/// Notes for each input which of the same kernel end before it begins.
fn order(inputs: &mut [Input]) {
    let all: Vec<_> = inputs
        .iter()
        .enumerate()
        .map(|(number, input)| (input.first(number), input.shifted_span()))
        .collect();
    for (number, input) in inputs.iter_mut().enumerate() {
        let (own, Some((begin_ns, _))) = all[number] else {
            continue;
        };
        let ended = |(first, span): &(usize, Option<(u64, u64)>)| {
            *first == own && span.is_some_and(|(_, end_ns)| end_ns < begin_ns)
        };
        let ended = all.iter().enumerate().filter(|(_, other)| ended(other));
        input.kin.after = ended.map(|(other, _)| other).collect();
    }
}

/// Notes for each input those that are taken instead where both watched: of two of one kernel and
/// one time that which has all packets, and began earlier.
fn prefer(inputs: &mut [Input]) {
    let rank = |(number, input): (usize, &Input)| {
        let span = input.shifted_span()?;
        Some((
            input.first(number),
            !input.has_all,
            span.0,
            Reverse(span.1),
            number,
        ))
    };
    let ranks: Vec<_> = inputs.iter().enumerate().map(rank).collect();
    for number in 0..inputs.len() {
        let Some(own) = ranks[number] else { continue };
        let goes_before = |other: &usize| {
            let is_before = ranks[*other].is_some_and(|other| other.0 == own.0 && other < own);
            is_before && inputs[*other].has_all && are_double(&inputs[*other], &inputs[number])
        };
        let beside = (0..inputs.len()).filter(goes_before).collect();
        inputs[number].kin.beside = beside;
    }
}

impl Input {
    fn shifted_span(&self) -> Option<(u64, u64)> {
        let shifted = |ns: u64| ns.saturating_add_signed(self.kin.shift_ns);
        self.span.map(|(begin, end)| (shifted(begin), shifted(end)))
    }
}

fn are_kin(one: &Input, other: &Input) -> bool {
    let (Some(info), Some(other_info)) = (&one.info, &other.info) else {
        return false;
    };
    if info.nodes != other_info.nodes || one.sessions() != other.sessions() {
        return false;
    }
    let is_apart = || !are_double(one, other) || can_take_once(one, other);
    are_parts(info, other_info) || is_same_boot(one, other) && is_apart()
}

/// Whether they are two recordings of the same interfaces at the same time: of one node at
/// least.
fn are_double(one: &Input, other: &Input) -> bool {
    let (Some(info), Some(other_info)) = (&one.info, &other.info) else {
        return false;
    };
    let is_apart = |info: &SectionInfo| {
        let mut names = info.interfaces.iter();
        !info.interfaces.is_empty()
            && !other_info.interfaces.is_empty()
            && names.all(|name| !other_info.interfaces.contains(name))
    };
    let overlap = one.span.zip(other.span).is_some_and(|(one, other)| {
        let (begin, end) = (one.0.max(other.0), one.1.min(other.1));
        begin <= end
    });
    let has_common = info
        .nodes
        .iter()
        .any(|node| other_info.nodes.contains(node));
    has_common
        && is_same_boot(one, other)
        && overlap
        && !is_apart(info)
        && !are_parts(info, other_info)
}

/// Whether one of them has all packets of its interfaces: where both watched, its events are all.
fn can_take_once(one: &Input, other: &Input) -> bool {
    one.info.as_ref().map(|info| &info.nodes) == other.info.as_ref().map(|info| &info.nodes)
        && (one.has_all || other.has_all)
}

/// Whether both were made of the same recordings.
fn are_parts(one: &SectionInfo, other: &SectionInfo) -> bool {
    if one.made_of.is_empty() || other.made_of.is_empty() {
        return false;
    }
    let [mut one, mut other] = [one.live(), other.live()];
    one.sort_unstable();
    other.sort_unstable();
    one == other
}

fn is_same_boot(one: &Input, other: &Input) -> bool {
    let zeros = one.boot_ns().zip(other.boot_ns());
    zeros.is_some_and(|(one, other)| one.abs_diff(other) <= SAME_BOOT_NS)
}
