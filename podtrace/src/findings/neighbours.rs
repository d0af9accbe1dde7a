//! Questions for the addresses of neighbours: those that nobody answers, and those that two
//! answer.
use std::{net::IpAddr, sync::Arc};

use super::{ASKED_MAX, Finding, Kind, Party, collected::Collected, judge::Judge, lost::Lost};
use crate::{
    map::Map,
    order::Order as _,
    packet::{Mac, Network, Transport, is_group_address},
    path::{Outcome, Path, ends::ends},
    rules::Cause,
    text::count::counted,
    verdict::{Confidence, silent_owner, with_view},
    world::World,
};

/// Upper bound of the bytes of one.
#[cfg(test)]
pub(super) const BYTES_MAX: usize =
    size_of::<Asked>() + super::lost::BYTES_MAX + size_of::<Cause>() + 512;
/// How many questions in vain are no chance: Linux asks three times (mcast_solicit).
const ASKED_ENOUGH: u64 = 2;
/// How soon after each other two answer the same question, in nanoseconds.
const SAME_NS: u64 = 1_000_000_000;
/// Upper bound of the answers by turns that are known, and of the times of questions.
const TURNS_MAX: usize = 4;
const QUESTIONS_MAX: usize = 8;

/// The address that is asked for, and who asks: several networks may have the same addresses.
type Key = (IpAddr, IpAddr, Option<Mac>);

/// The questions so far.
#[derive(Default)]
pub(super) struct Neighbours {
    asked: Map<Key, Asked>,
}

/// What became of the questions for an address.
#[derive(Clone, Debug)]
struct Asked {
    by: Party,
    is_arp: bool,
    /// How many questions were lost on their way, or for nobody.
    unanswered: u64,
    /// How many reached the owner of the address.
    reached: u64,
    /// Why that one does not answer, as far as it is known.
    owner: Option<Box<Cause>>,
    answered: u64,
    first_ns: u64,
    last_ns: u64,
    lost: Option<Arc<Lost>>,
    /// Who has answered last, when, and how often.
    answers: [Option<Answer>; 2],
    /// How often the two have answered within a short time.
    disagree: u64,
    /// Who has answered last, and when.
    newest: Option<(Mac, u64)>,
    /// How often the other has answered next, and the times of the newest such answers.
    turns: u64,
    turned_ns: [(u64, u64); TURNS_MAX],
    /// When questions were asked.
    asked_ns: [u64; QUESTIONS_MAX],
}

#[derive(Clone, Copy, Debug)]
struct Answer {
    mac: Mac,
    ts_ns: u64,
    times: u64,
}

impl Neighbours {
    /// Adds a path if it is of a question or an answer; whether it is.
    pub(super) fn add(&mut self, path: &Path, world: &World) -> bool {
        let packet = &path.packet;
        if let Some(question) = packet.question() {
            if !question.is_probe {
                let mac = packet.link.map(|link| link.source);
                let key = (question.about, question.by, mac);
                if let Some(asked) = self.entry(key, path, world) {
                    asked.add(path, world);
                }
            }
            return true;
        }
        let Some((about, to)) = packet.answers() else {
            return false;
        };
        // An announcement is no answer. An answer may end before its question, which is for all.
        if about != to && !is_group_address(to) {
            let key = (about, to, packet.link.map(|link| link.destination));
            let asked = self.entry(key, path, world);
            if let Some((asked, mac)) = asked.zip(sender(path)) {
                asked.answer(mac, path);
            }
        }
        true
    }

    fn entry(&mut self, key: Key, path: &Path, world: &World) -> Option<&mut Asked> {
        if !self.asked.contains_key(&key) && self.asked.len() >= ASKED_MAX {
            let oldest = self.asked.iter().min_by_key(|(_, asked)| asked.last_ns);
            let oldest = oldest.map(|(key, _)| *key)?;
            self.asked.remove(&oldest);
        }
        Some(self.asked.entry(key).or_insert_with(|| {
            let mut by = Party::new((key.1, None));
            let (from, to) = ends(path, world);
            by.name(if from.address == Some(key.1) {
                &from
            } else {
                &to
            });
            Asked {
                by,
                is_arp: matches!(path.packet.network, Network::Arp(_)),
                unanswered: 0,
                reached: 0,
                owner: None,
                answered: 0,
                first_ns: path.first_ns(),
                last_ns: 0,
                lost: None,
                answers: [None; 2],
                disagree: 0,
                newest: None,
                turns: 0,
                turned_ns: [(0, 0); TURNS_MAX],
                asked_ns: [0; QUESTIONS_MAX],
            }
        }))
    }

    /// Adds what they show to the findings.
    pub(super) fn conclude(&self, judge: &Judge<'_>, world: &World, collected: &mut Collected) {
        let mut all: Vec<_> = self.asked.iter().collect();
        all.order_by_key(|(key, _)| **key);
        for ((about, ..), asked) in all {
            if let Some(finding) = asked.duplicate(*about, world) {
                collected.extend([finding]);
            }
            // The answer to a question that arrives is all that shows whether there is one.
            let is_doubtful = asked.reached > 0 && judge.may_have_missed(asked.first_ns);
            if let Some(finding) = asked.in_vain(*about).filter(|_| !is_doubtful) {
                collected.add_neighbour(finding);
            }
        }
    }
}

/// The MAC address that an answer tells.
fn sender(path: &Path) -> Option<Mac> {
    match (&path.packet.network, path.packet.transport) {
        (Network::Arp(arp), _) => Some(arp.sender_mac),
        (_, Transport::Neighbor { mac, .. }) => mac,
        _ => None,
    }
}

/// Whether one network namespace has both addresses: it answers for each of its own by all of its
/// interfaces, unless told otherwise (`arp_ignore`).
fn are_of_one(one: Mac, other: Mac, world: &World) -> bool {
    with_view(world, |view| {
        view.all().any(|at| {
            let mut beside = at.space.devices.iter();
            at.has_mac(one) && beside.any(|device| device.mac == Some(other))
        })
    })
}

impl Asked {
    fn add(&mut self, path: &Path, world: &World) {
        self.last_ns = self.last_ns.max(path.last_ns());
        self.asked_ns.rotate_right(1);
        self.asked_ns[0] = path.first_ns();
        let is_corrected = path.late_of.map(|before| before.outcome);
        if is_corrected == Some(Outcome::Unanswered) {
            self.unanswered = self.unanswered.saturating_sub(1);
        }
        match path.outcome {
            Outcome::Unanswered | Outcome::Dropped if !path.incomplete => {
                self.unanswered += 1;
                self.lost = self.lost.take().or_else(|| Lost::of(path, world));
            }
            // That tells nothing of an answer, which is a packet of its own.
            Outcome::Delivered => {
                self.reached += 1;
                if self.owner.is_none() && self.answered == 0 {
                    self.owner = silent_owner(path, world).map(Box::new);
                }
            }
            _ => {}
        }
    }

    fn answer(&mut self, mac: Mac, path: &Path) {
        let ts_ns = path.first_ns();
        if path.late_of.is_some() {
            return;
        }
        self.answered += 1;
        self.take_turn(mac, ts_ns);
        let answers = &mut self.answers;
        let others = answers.iter().flatten();
        let other = others.filter(|answer| answer.mac != mac);
        let newest = other.map(|answer| answer.ts_ns).max();
        let is_same = newest.is_some_and(|other_ns| ts_ns.abs_diff(other_ns) <= SAME_NS);
        self.disagree += u64::from(is_same);
        let known = answers
            .iter()
            .position(|answer| answer.is_some_and(|answer| answer.mac == mac) || answer.is_none());
        let at = known.unwrap_or_else(|| {
            let ages = answers.map(|answer| answer.map_or(0, |answer| answer.ts_ns));
            usize::from(ages[0] > ages[1])
        });
        let times = match answers[at] {
            Some(known) if known.mac == mac => known.times + 1,
            _ => 1,
        };
        answers[at] = Some(Answer { mac, ts_ns, times });
    }

    /// Notes whether an answer is of another than the one before, soon after it.
    fn take_turn(&mut self, mac: Mac, ts_ns: u64) {
        let before = self.newest.replace((mac, ts_ns));
        let Some((_, before_ns)) = before.filter(|(other, _)| *other != mac) else {
            return;
        };
        if ts_ns.abs_diff(before_ns) <= SAME_NS {
            self.turns += 1;
            self.turned_ns.rotate_right(1);
            self.turned_ns[0] = (before_ns.min(ts_ns), before_ns.max(ts_ns));
        }
    }

    fn finding(&self, kind: Kind, about: IpAddr, sentence: String) -> Finding {
        Finding {
            kind,
            client: self.by.clone(),
            server: Party::new((about, None)),
            protocol: self.protocol().to_owned(),
            sentence,
            evidence: Vec::new(),
            confidence: Confidence::Sure,
            advice: None,
            conversations: 0,
            packets: self.unanswered + self.reached,
            first_ns: self.first_ns,
            last_ns: self.last_ns,
            rules: Vec::new(),
            rests_on_absence: false,
            waits_for: None,
        }
    }

    fn protocol(&self) -> &'static str {
        if self.is_arp { "arp" } else { "icmpv6" }
    }

    fn words(&self) -> &'static str {
        if self.is_arp { "ARP" } else { "ND" }
    }

    /// The finding that nobody answers.
    fn in_vain(&self, about: IpAddr) -> Option<Finding> {
        let asked = self.unanswered + self.reached;
        if self.answered > 0 || asked < ASKED_ENOUGH {
            return None;
        }
        let (words, by) = (self.words(), &self.by);
        let who = match self.reached {
            0 => "nobody answers".to_owned(),
            _ => format!(
                "the question reaches {}, which does not answer",
                self.has(about)
            ),
        };
        let sentence = format!(
            "{words} unanswered: {by} asks for {about}, and {who}: packets for it wait, and are \
             dropped"
        );
        let reached = match self.reached {
            0 => String::new(),
            reached => format!(", reached the owner {}", counted(reached, "time")),
        };
        let mut evidence = vec![format!(
            "asked {}{reached}, not answered once",
            counted(asked, "time")
        )];
        let lost = self.lost.as_deref();
        evidence.extend(lost.map(Lost::evidence).unwrap_or_default());
        let owner = self.owner.as_deref();
        let told = owner.filter(|cause| !matches!(cause, Cause::NeighbourFailed { .. }));
        evidence.extend(told.map(|cause| format!("cause: {cause}")));
        let advice = owner.and_then(Cause::advice);
        Some(Finding {
            evidence,
            confidence: lost.map_or(Confidence::Likely, Lost::confidence),
            rules: lost.map(Lost::rules).unwrap_or_default(),
            advice: advice.or_else(|| lost.and_then(Lost::advice)),
            rests_on_absence: self.reached > 0,
            ..self.finding(Kind::NeighbourUnanswered, about, sentence)
        })
    }

    /// Who has the address that is asked for.
    fn has(&self, about: IpAddr) -> String {
        match self.owner.as_deref() {
            Some(Cause::NeighbourFailed {
                owner: Some(owner), ..
            }) => owner.to_string(),
            _ => format!("who has {about}"),
        }
    }

    /// Whether two have answered one question.
    fn have_answered_one(&self) -> bool {
        // Of the time before, questions are forgotten.
        let known_ns = self.asked_ns.last().copied().unwrap_or_default();
        let mut turns = self
            .turned_ns
            .iter()
            .filter(|(earlier_ns, later_ns)| *later_ns > 0 && *earlier_ns >= known_ns);
        turns.any(|(earlier_ns, later_ns)| {
            let mut asked = self.asked_ns.iter();
            !asked.any(|asked_ns| earlier_ns < asked_ns && asked_ns <= later_ns)
        })
    }

    /// The finding that two answer.
    fn duplicate(&self, about: IpAddr, world: &World) -> Option<Finding> {
        let [Some(one), Some(other)] = self.answers else {
            return None;
        };
        if self.disagree == 0 || are_of_one(one.mac, other.mac, world) {
            return None;
        }
        // An address that moves is answered for by one, and then by the other.
        let by_turns = self.turns > 1 && one.times > 1 && other.times > 1;
        if !by_turns && !self.have_answered_one() {
            return None;
        }
        let (first, second) = (one.mac.min(other.mac), one.mac.max(other.mac));
        let sentence = format!(
            "duplicate address: {first} and {second} both answer {} for {about}",
            self.by
        );
        let times = |mac: Mac| {
            let answer = if one.mac == mac { one } else { other };
            format!("{mac} answered {}", counted(answer.times, "time"))
        };
        Some(Finding {
            evidence: vec![
                times(first),
                times(second),
                format!(
                    "{} within 1 s of the other's",
                    counted(self.disagree, "answer")
                ),
            ],
            confidence: match by_turns {
                true => Confidence::Sure,
                false => Confidence::Likely,
            },
            advice: Some(format!("bridge fdb show; ip neigh show {about}")),
            packets: one.times + other.times,
            conversations: 1,
            ..self.finding(Kind::DuplicateAddress, about, sentence)
        })
    }
}
