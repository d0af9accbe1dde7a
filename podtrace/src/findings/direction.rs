//! Which direction of a conversation died.
use super::{
    Finding, Kind,
    conversation::Conversation,
    handshake::refused,
    judge::Judge,
    side::{Fate, Of, Side},
};
use crate::{
    packet::{IPPROTO_ICMP, IPPROTO_ICMPV6, IPPROTO_TCP, IPPROTO_UDP},
    text::count::counted,
    verdict::Confidence,
};

/// How long the answer to an echo request may take, in nanoseconds, if it comes from a traced
/// node, and if not.
const ECHO_NS: u64 = 1_000_000_000;
const FAR_ECHO_NS: u64 = 3_000_000_000;

/// Whether the packets of a side die.
fn is_dead(side: &Side) -> bool {
    let lost = side.count(Fate::Lost);
    let is_over = match side.through() {
        0 => lost > side.count(Fate::Undecided),
        _ => side.runs.has_died(),
    };
    side.lost.is_some() && lost > 0 && is_over && side.count(Fate::Refused) == 0
}

/// Which direction died.
pub(super) fn dead(talk: &Conversation) -> Option<Finding> {
    let (asked, answered) = (talk.side(Of::Client), talk.side(Of::Server));
    // A client that goes on has got the answer, by a way that podtrace does not see.
    let is_got = talk.opening.is_acknowledged() && answered.through() == 0;
    if is_dead(answered) && asked.packets() > 0 && !is_got {
        return Some(died(talk, Kind::ReplyLost, Of::Server));
    }
    // Where answers come, requests have arrived by another way.
    let has_answers = answered.through() > 0 && answered.last_ns > asked.through_ns;
    let is_for_one = asked.through() > 0 || !has_answers;
    (is_dead(asked) && is_for_one).then(|| died(talk, Kind::RequestLost, Of::Client))
}

fn died(talk: &Conversation, kind: Kind, of: Of) -> Finding {
    let side = talk.side(of);
    let (from, to) = (talk.sender(of), talk.receiver(of));
    let lost = side.lost.as_deref();
    let place = lost.map_or_else(String::new, |lost| format!(" after {}", lost.place()));
    let asked = talk.side(Of::Client);
    let sentence = match (kind, side.through()) {
        (Kind::ReplyLost, 0) if asked.through() > 0 => format!(
            "reply lost: {} of {to} to {from} {}, and the reply is lost{place}",
            counted(asked.through(), "request"),
            match asked.count(Fate::Arrived) {
                0 => "left",
                _ => "arrived",
            }
        ),
        (Kind::ReplyLost, 0) => format!("reply lost: what {from} sends to {to} is lost{place}"),
        (Kind::ReplyLost, _) => {
            format!("reply lost: what {from} sends to {to} is lost by now{place}")
        }
        (_, 0) => {
            format!("request lost: nothing of what {from} sends to {to} arrives, it is lost{place}")
        }
        _ => format!("request lost: what {from} sends to {to} is lost by now{place}"),
    };
    let packets = counted(side.packets(), "packet");
    let mut evidence = vec![match side.through() {
        0 => format!("{} of {packets} lost", side.count(Fate::Lost)),
        through => format!(
            "the last {} of {packets} lost, {through} arrived or left before",
            side.runs.last().min(side.count(Fate::Lost))
        ),
    }];
    evidence.extend(lost.map(|lost| lost.evidence()).unwrap_or_default());
    if side.copies > 0 {
        evidence.push(copies(side));
    }
    Finding {
        evidence,
        packets: side.count(Fate::Lost),
        ..talk.finding(kind, of, sentence).because(lost)
    }
}

/// `5 segments sent again, 3 of them for one that was lost, and got through`
fn copies(side: &Side) -> String {
    let copies = counted(side.copies, "segment");
    let repaired = side.repaired;
    format!("{copies} sent again, {repaired} of them for one that was lost, and got through")
}

/// Datagrams that somebody refuses.
pub(super) fn datagrams_refused(talk: &Conversation) -> Option<Finding> {
    /// Ports of traceroute, which waits for being refused.
    const TRACEROUTE: std::ops::RangeInclusive<u16> = 33_434..=33_689;
    let side = talk.side(Of::Client);
    let is_traceroute = talk
        .client
        .to()
        .1
        .is_some_and(|port| TRACEROUTE.contains(&port));
    let is_asked =
        matches!(talk.protocol, IPPROTO_UDP | IPPROTO_ICMP | IPPROTO_ICMPV6) && !is_traceroute;
    if !is_asked || side.count(Fate::Refused) == 0 || talk.side(Of::Server).through() > 0 {
        return None;
    }
    refused(talk, side.refused.as_deref()?)
}

/// A direction that works, and loses some.
pub(super) fn lossy(talk: &Conversation, of: Of) -> Option<Finding> {
    /// Fewer may be lost in any network.
    const SOME: u64 = 3;
    /// One of so many.
    const SHARE: u64 = 10;
    let side = talk.side(of);
    let lost = side.count(Fate::Lost);
    let one = side.lost.as_deref()?;
    if lost < SOME || lost * SHARE < side.packets() || one.cause().is_none() {
        return None;
    }
    let (from, to) = (talk.sender(of), talk.receiver(of));
    let sentence = format!(
        "some packets from {from} to {to} are lost after {}",
        one.place()
    );
    let mut evidence = vec![format!(
        "{lost} of {} lost",
        counted(side.packets(), "packet")
    )];
    if talk.protocol == IPPROTO_TCP {
        evidence.push(copies(side));
    }
    evidence.extend(one.evidence());
    Some(Finding {
        evidence,
        packets: lost,
        ..talk.finding(Kind::Lossy, of, sentence).because(Some(one))
    })
}

impl Judge<'_> {
    /// Echo requests that arrive or leave, and nothing comes back.
    pub(super) fn one_way(&self, talk: &Conversation) -> Option<Finding> {
        let (asked, answered) = (talk.side(Of::Client), talk.side(Of::Server));
        let is_echo = matches!(talk.protocol, IPPROTO_ICMP | IPPROTO_ICMPV6);
        if !is_echo || asked.through() == 0 || answered.packets() > 0 || !asked.is_from_sender {
            return None;
        }
        let wait_ns = match asked.count(Fate::Left) {
            0 => ECHO_NS,
            _ => FAR_ECHO_NS,
        };
        if !self.has_waited(asked.last_ns, wait_ns) || self.may_have_missed(asked.first_ns) {
            return None;
        }
        let (client, server) = (talk.sender(Of::Client), talk.sender(Of::Server));
        let requests = counted(asked.through(), "request");
        let (sentence, evidence) = match asked.exit.as_deref() {
            Some(exit) => (
                format!("one way: nothing comes back from {server} to {client}"),
                format!("{requests} left by {exit}, and no reply was seen"),
            ),
            None => (
                format!("one way: {server} gets what {client} sends, and does not answer"),
                format!("{requests} arrived, and no reply was sent"),
            ),
        };
        Some(Finding {
            evidence: vec![evidence],
            confidence: Confidence::Likely,
            packets: asked.through(),
            rests_on_absence: true,
            ..talk.finding(Kind::OneWay, Of::Client, sentence)
        })
    }
}
