//! Finds files with packets of others: copies that an editor of captures made.
use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet},
    hash::{DefaultHasher, Hash, Hasher as _},
};

use anyhow::bail;

use super::inputs::{Input, size};
use crate::{
    map::Map,
    model::{event::Event, tap_point::TapPoint},
    session::{reader::UNNAMED, recorder::SOCKETS},
};

/// Upper bound of the remembered packets, of 24 bytes each. Beyond it half of them are dropped
/// by hash, which selects the same packets of all files.
const CAPACITY: usize = 1 << 17;

/// The packets of all inputs, by time, place and content.
///
/// A place is an interface by its name. Those of files without names are all alike, so
/// nothing is said about them: the kernel may give a packet the same time at two interfaces.
pub(super) struct Sightings {
    /// What each input may be a copy of: those of a lower rank, and of the same rank those that
    /// are larger, or else before it.
    ranks: Vec<(Rank, Reverse<u64>)>,
    /// Only moments whose hashes end in this many zero bits are kept.
    thinned: u32,
    seen: Vec<Sighting>,
    /// Packets of each input that nothing compares: without a place, or left out.
    besides: Vec<u64>,
    /// The hash of the name of each interface of the input being read.
    places: Map<u32, u64>,
}

/// A packet of an input.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Sighting {
    /// The hash of its time and place.
    moment: u64,
    /// The hash of what no hop changes: of a packet that was cut, another one.
    content: u64,
    input: usize,
}

/// How likely an input is a copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Rank {
    /// A live session of podtrace: never.
    Live,
    /// An export of podtrace.
    Export,
    /// Of another tool, without what podtrace knows of it.
    Foreign,
    /// An export of podtrace that was made of captures of other tools.
    ForeignExport,
}

/// An input whose packets another one has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Copy {
    /// Its number.
    pub(super) number: usize,
    /// The number of the other.
    pub(super) of: usize,
    /// Whether it has no other packets.
    pub(super) is_whole: bool,
}

/// How many packets of an input other inputs have.
#[derive(Clone, Default)]
struct Shared {
    all: u64,
    /// Those that another input has at the same time and place.
    covered: u64,
    /// Of these, by input, those of the same content, and all.
    by_input: Map<usize, (u64, u64)>,
}

impl Sightings {
    pub(super) fn new(inputs: &[Input]) -> Self {
        let rank = |input: &Input| match input.info() {
            None => Rank::Foreign,
            Some(info) if info.made_of.is_empty() => Rank::Live,
            Some(info) if info.holds_captures() => Rank::ForeignExport,
            Some(_) => Rank::Export,
        };
        let ranks = inputs.iter().enumerate().map(|(number, input)| {
            let size = size(&inputs[number..=number], 1);
            (rank(input), Reverse(size.unwrap_or_default()))
        });
        Self::of(ranks.collect())
    }

    fn of(ranks: Vec<(Rank, Reverse<u64>)>) -> Self {
        Self {
            besides: vec![0; ranks.len()],
            ranks,
            thinned: 0,
            seen: Vec::new(),
            places: Map::default(),
        }
    }

    /// Another input begins.
    pub(super) fn begin(&mut self) {
        self.places.clear();
    }

    /// Notes an interface of the input.
    pub(super) fn place(&mut self, number: u32, point: &TapPoint) {
        let name = place_name(&point.name);
        let hash = (!is_made_up(name)).then(|| hash_of(&name));
        match hash {
            Some(hash) => self.places.insert(number, hash),
            None => self.places.remove(&number),
        };
    }

    /// Notes packets of an input that gave no event.
    pub(super) fn leave_out(&mut self, input: usize, packets: u64) {
        self.besides[input] = self.besides[input].saturating_add(packets);
    }

    /// Notes a packet.
    pub(super) fn see(&mut self, input: usize, event: &Event) {
        if self.ranks.iter().all(|(rank, _)| *rank == Rank::Live) {
            return;
        }
        let Some(place) = self.places.get(&event.interface) else {
            self.leave_out(input, 1);
            return;
        };
        let moment = hash_of(&(event.ts_ns, place));
        if moment.trailing_zeros() < self.thinned {
            return;
        }
        let content = hash_of(&event.packet.key());
        self.seen.push(Sighting {
            moment,
            content,
            input,
        });
        if self.seen.len() > CAPACITY {
            self.thinned += 1;
            let thinned = self.thinned;
            self.seen
                .retain(|seen| seen.moment.trailing_zeros() >= thinned);
        }
    }

    /// The inputs whose packets other inputs have.
    pub(super) fn copies(mut self) -> Vec<Copy> {
        self.seen.sort_unstable();
        self.seen.dedup();
        let mut shared = vec![Shared::default(); self.ranks.len()];
        let same = |one: &Sighting, other: &Sighting| one.moment == other.moment;
        for same in self.seen.chunk_by(same) {
            let mut contents = BTreeMap::<usize, BTreeSet<u64>>::new();
            for seen in same {
                contents.entry(seen.input).or_default().insert(seen.content);
            }
            for (input, own) in &contents {
                let before = contents.iter();
                let before = before.filter(|(other, _)| self.goes_before(**other, *input));
                shared[*input].add(own, before);
            }
        }
        let copy = |(number, shared): (usize, &Shared)| {
            let of = shared.most(|other| (self.ranks[other], other))?;
            Some(Copy {
                number,
                of,
                is_whole: shared.covered == shared.all && self.besides[number] <= self.besides[of],
            })
        };
        shared.iter().enumerate().filter_map(copy).collect()
    }

    /// Whether the second input may be a copy of the first.
    fn goes_before(&self, one: usize, other: usize) -> bool {
        let rank = |number: usize| (self.ranks[number], number);
        self.ranks[other].0 > Rank::Live && rank(one) < rank(other)
    }
}

impl Shared {
    /// Adds the contents of one time and place, of which the inputs `before` may have some. Of
    /// a packet that one of them has cut, only time and place are the same.
    fn add<'a>(
        &mut self,
        own: &BTreeSet<u64>,
        before: impl Iterator<Item = (&'a usize, &'a BTreeSet<u64>)>,
    ) {
        let mut most = 0;
        for (input, contents) in before {
            let equal = own.intersection(contents).count() as u64;
            let covered = own.len().min(contents.len()) as u64;
            most = most.max(covered);
            let known = self.by_input.entry(*input).or_default();
            *known = (known.0 + equal, known.1 + covered);
        }
        self.all += own.len() as u64;
        self.covered += most;
    }

    /// The input that has most of the packets. Those of other content alone show a copy only if
    /// there are none besides.
    fn most<R: Ord>(&self, rank: impl Fn(usize) -> R) -> Option<usize> {
        let has_all = |covered: u64| covered == self.all;
        let mut shared = self.by_input.iter().collect::<Vec<_>>();
        shared.retain(|(_, (equal, covered))| *equal > 0 || has_all(*covered));
        let most = shared
            .into_iter()
            .max_by_key(|(number, (equal, covered))| (*covered, *equal, Reverse(rank(**number))));
        most.map(|(number, _)| *number)
    }
}

/// Takes copies out of the inputs; returns notices.
///
/// # Errors
/// When an input has packets of another, and packets that the other has not.
pub(super) fn leave_out(copies: &[Copy], inputs: &mut Vec<Input>) -> anyhow::Result<Vec<String>> {
    let mut notices = Vec::new();
    for copy in copies {
        let (name, of) = (inputs[copy.number].name(), inputs[copy.of].name());
        if !copy.is_whole {
            bail!(
                "{name} and {of} have the same packets at the same times, and {name} has more: they would count twice\nhint: leave one of them out"
            );
        }
        notices.push(format!(
            "{name} left out: {of} has the same packets at the same times"
        ));
    }
    let mut number = 0;
    inputs.retain(|_| {
        number += 1;
        copies.iter().all(|copy| copy.number + 1 != number)
    });
    Ok(notices)
}

/// By a fixed seed, so that a replay says the same each time.
fn hash_of(value: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}

/// `eth0` of `mypod1.default/eth0 (sockets)`, as podtrace's files name it for other tools.
fn place_name(name: &str) -> &str {
    let name = name.strip_suffix(SOCKETS).unwrap_or(name);
    name.rsplit('/').next().unwrap_or(name)
}

/// Whether podtrace made the name up, as the file has none.
fn is_made_up(name: &str) -> bool {
    let number = name.strip_prefix("if");
    name == UNNAMED || number.is_some_and(|number| number.bytes().all(|byte| byte.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ranked(ranks: &[Rank]) -> Vec<(Rank, Reverse<u64>)> {
        ranks.iter().map(|rank| (*rank, Reverse(1))).collect()
    }

    /// Each packet as its moment, content and input.
    fn copies(ranks: &[Rank], seen: &[(u64, u64, usize)]) -> Vec<Copy> {
        let mut sightings = Sightings::of(ranked(ranks));
        let sighting = |&(moment, content, input): &_| Sighting {
            moment,
            content,
            input,
        };
        sightings.seen = seen.iter().map(sighting).collect();
        sightings.copies()
    }

    const fn copy(number: usize, of: usize, is_whole: bool) -> Copy {
        Copy {
            number,
            of,
            is_whole,
        }
    }

    #[test]
    fn copies_are_told_from_parts_and_others() {
        let seen = [
            (1, 0, 0),
            (2, 0, 0),
            (2, 0, 1),
            (3, 0, 1),
            (1, 0, 2),
            (3, 0, 2),
            (9, 0, 3),
            (1, 0, 2),
        ];
        // Two sessions recorded live see the same packet, which is theirs.
        assert_eq!(copies(&[Rank::Live; 4], &seen), []);
        let ranks = [Rank::Live, Rank::Live, Rank::Export, Rank::Foreign];
        assert_eq!(copies(&ranks, &seen), [copy(2, 0, true)]);
        let seen = [(1, 0, 0), (1, 0, 1), (2, 0, 1), (1, 0, 2)];
        let all = copies(&[Rank::Foreign, Rank::Foreign, Rank::Export], &seen);
        assert_eq!(all, [copy(0, 2, true), copy(1, 2, false)]);
        // The original stays.
        let all = copies(&[Rank::ForeignExport, Rank::Foreign], &seen[..2]);
        assert_eq!(all, [copy(0, 1, true)]);
    }

    #[test]
    fn cut_packets_are_no_others() {
        let ranks = [Rank::Live, Rank::Foreign];
        let whole = [(1, 10, 0), (2, 20, 0), (3, 30, 0)];
        let with = |more: &[(u64, u64, usize)]| copies(&ranks, &[&whole, more].concat());
        assert_eq!(with(&[(1, 10, 1), (2, 21, 1)]), [copy(1, 0, true)]);
        assert_eq!(with(&[(1, 11, 1), (2, 21, 1)]), [copy(1, 0, true)]);
        // Others of the same time and place, once with one that is equal.
        assert_eq!(with(&[(1, 11, 1), (9, 0, 1)]), []);
        assert_eq!(with(&[(1, 10, 1), (9, 0, 1)]), [copy(1, 0, false)]);
        assert_eq!(with(&[(1, 10, 1), (1, 11, 1)]), [copy(1, 0, false)]);
    }

    #[test]
    fn packets_that_nothing_compares_are_more() {
        for (besides, is_whole) in [([0, 0], true), ([0, 5], false), ([5, 5], true)] {
            let mut sightings = Sightings::of(ranked(&[Rank::Live, Rank::Foreign]));
            sightings.seen = [0, 1]
                .map(|input| Sighting {
                    moment: 1,
                    content: 1,
                    input,
                })
                .to_vec();
            for (input, packets) in besides.into_iter().enumerate() {
                sightings.leave_out(input, packets);
            }
            assert_eq!(sightings.copies(), [copy(1, 0, is_whole)]);
        }
    }

    #[test]
    fn names_are_those_of_the_interfaces() {
        for (name, place, made_up) in [
            ("mypod1.default/eth0", "eth0", false),
            ("mypod1.default/eth0 (sockets)", "eth0", false),
            ("eth0", "eth0", false),
            ("if7", "if7", true),
            (UNNAMED, UNNAMED, true),
            ("ifb0", "ifb0", false),
        ] {
            assert_eq!((place_name(name), is_made_up(name)), (place, made_up));
        }
    }
}
