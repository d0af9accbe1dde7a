//! Black holes of the path MTU (RFC 2923): large packets die, and the sender is not told.
use super::{Finding, Kind, conversation::Conversation, lost::Lost, side::Of};
use crate::{path::refusal::Reason, text::count::counted, verdict::Confidence};

/// The black hole that the packets of one side fall into.
pub(super) fn black_hole(talk: &Conversation, of: Of) -> Option<Finding> {
    let side = talk.side(of);
    let told = &talk.told;
    if told.reached > 0 {
        return None;
    }
    let told_in_vain = told.one.as_deref().filter(|_| told.lost > 0);
    let long = side.long.as_deref().filter(|_| side.long_lost > 0);
    // The router has refused them, and its words were lost.
    let refused = side.refused.as_deref();
    let refused = refused.and_then(|refused| match refused.reason {
        Reason::Icmp(error) => error.mtu().map(|_| &refused.by),
        Reason::Reset | Reason::Aborted => None,
    });
    let is_hole = long.is_some_and(Lost::is_too_long)
        || told_in_vain.is_some() && (refused.is_some() || long.is_some());
    let is_like_one = || {
        let passes_later = long.is_some_and(|long| side.through_ns > long.ts_ns);
        let is_longer = side.shortest_lost > Some(side.longest_through);
        let is_open = long.is_some_and(|long| long.cause().is_none() && long.drop.is_none());
        side.long_lost >= 2 && side.through() >= 2 && passes_later && is_longer && is_open
    };
    if !is_hole && !is_like_one() {
        return None;
    }
    let (from, to) = (talk.sender(of), talk.receiver(of));
    let place = long.map_or_else(String::new, |long| format!(" after {}", long.place()));
    let sentence = format!(
        "path MTU black hole: large packets from {from} to {to} die{place}, small ones pass, and \
         {} is not told",
        from.who()
    );
    let lost = side.long_lost.max(told.lost);
    let mut evidence = vec![match side.shortest_lost {
        Some(shortest) => format!("{} of {shortest} B or more lost", counted(lost, "packet")),
        None => format!("{} refused as too big", counted(lost, "packet")),
    }];
    if side.longest_through > 0 {
        let through = counted(side.through(), "packet");
        let longest = side.longest_through;
        evidence.push(format!("{through} of up to {longest} B passed"));
    }
    if let Some(long) = long {
        evidence.extend(long.evidence());
    }
    evidence.push(match told_in_vain {
        Some(one) => format!(
            "{} says that MTU {} is exceeded, and that message was lost after {}",
            refused.map_or("a router", String::as_str),
            told.mtu.unwrap_or_default(),
            one.place()
        ),
        None => "no message was seen that tells the sender (ICMP fragmentation needed)".into(),
    });
    // Of the message, a firewall's rule is why the sender is not told.
    if let Some(one) = told_in_vain {
        evidence.extend(one.could_be());
    }
    let rules = long.or(told_in_vain).map(|lost| lost.rules());
    let advice = long.and_then(|long| long.advice());
    let advice = advice.or_else(|| told_in_vain.and_then(|one| one.advice()));
    Some(Finding {
        evidence,
        confidence: match is_hole {
            true => Confidence::Sure,
            false => Confidence::Likely,
        },
        rules: rules.unwrap_or_default(),
        advice: advice.or_else(|| Some(format!("tracepath {}", to.address))),
        packets: lost,
        ..talk.finding(Kind::PmtuBlackHole, of, sentence)
    })
}
