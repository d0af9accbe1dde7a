//! Connections that are not opened: refused, or not answered at all.
use super::{
    Finding, Kind,
    conversation::Conversation,
    judge::Judge,
    lost::Refused,
    side::{Fate, Of},
};
use crate::{
    model::facts::ListenCounters, packet::IcmpError, path::refusal::Reason, text::count::counted,
    verdict::Confidence,
};

/// How long a client waits for the answer to a SYN before it repeats it (RFC 6298).
const RETRANSMITS_NS: u64 = 1_000_000_000;

impl Judge<'_> {
    /// What the opening of a connection shows.
    pub(super) fn opening(&self, talk: &Conversation) -> Option<Finding> {
        let opening = &talk.opening;
        if opening.is_deaf() {
            return Some(self.deaf(talk));
        }
        if !opening.is_refused_or_unanswered() {
            return None;
        }
        let side = talk.side(Of::Client);
        if let Some(one) = side.refused.as_deref() {
            return refused(talk, one);
        }
        if side.lost.is_some() && side.count(Fate::Lost) > 0 {
            return Some(lost(talk));
        }
        if opening.reached > 0 {
            let at = opening.reached_at.as_deref().unwrap_or("its receiver");
            let seen = format!(
                "{} of {} reached the listening socket in {at}, and no SYN-ACK was sent",
                opening.reached,
                counted(opening.syns, "SYN")
            );
            return Some(self.arrived(talk, seen, false));
        }
        self.gone(talk)
    }

    /// The SYN-ACK is sent again and again, though the client has answered it with data.
    fn deaf(&self, talk: &Conversation) -> Finding {
        let (client, server) = (talk.sender(Of::Client), talk.sender(Of::Server));
        let sentence = format!(
            "accept queue full: {server} does not take up the connection of {client}, which its \
             kernel has answered"
        );
        let full = self.overflows(talk);
        let mut evidence = vec![
            format!("{} sent", counted(talk.opening.syn_acks, "SYN-ACK")),
            format!(
                "{} of data from the client arrived before the last of them",
                counted(talk.opening.data, "segment")
            ),
        ];
        evidence.extend(full.map(|full| risen(full, talk)));
        Finding {
            evidence,
            confidence: match full {
                Some(_) => Confidence::Sure,
                None => Confidence::Likely,
            },
            advice: Some(ACCEPTS.into()),
            packets: talk.opening.syn_acks,
            ..talk.finding(Kind::AcceptQueueFull, Of::Client, sentence)
        }
    }

    /// SYNs arrive, and nothing comes out.
    fn arrived(&self, talk: &Conversation, seen: String, rests_on_absence: bool) -> Finding {
        let (client, server) = (talk.sender(Of::Client), talk.sender(Of::Server));
        let (accepted, full) = (self.accepted(talk), self.overflows(talk));
        let mut evidence = vec![seen];
        if accepted > 0 {
            let others = counted(accepted, "other connection");
            evidence.push(format!("the same socket has answered {others}"));
        }
        evidence.extend(full.map(|full| risen(full, talk)));
        // Each SYN that it had no room for counts, of all sockets of the namespace.
        let is_repeated = talk.opening.syns > 1;
        let is_proven = full.is_some_and(|full| is_repeated && full.overflows >= talk.opening.syns);
        let (kind, sentence) = match (full, accepted) {
            (_, 1..) => (
                Kind::AcceptQueueFull,
                format!("accept queue full: {server} does not answer {client}, and answers others"),
            ),
            (Some(_), 0) => (
                Kind::AcceptQueueFull,
                format!("accept queue full: {server} does not answer {client}"),
            ),
            (None, 0) => {
                let words = "its accept queue is full, or the answer does not leave: no route \
                             back, or a firewall rule of OUTPUT";
                evidence.push(words.to_owned());
                (
                    Kind::SynUnanswered,
                    format!("SYN unanswered: {server} does not answer {client}"),
                )
            }
        };
        Finding {
            evidence,
            confidence: match is_proven {
                true => Confidence::Sure,
                false => Confidence::Likely,
            },
            advice: Some(ACCEPTS.into()),
            packets: talk.opening.syns,
            rests_on_absence,
            ..talk.finding(kind, Of::Client, sentence)
        }
    }

    /// SYNs arrive or leave, and nothing comes back.
    fn gone(&self, talk: &Conversation) -> Option<Finding> {
        let side = talk.side(Of::Client);
        let opening = &talk.opening;
        let has_waited = self.has_waited(opening.last_syn_ns, RETRANSMITS_NS) || opening.syns > 1;
        if side.through() == 0 || !side.is_from_sender || !has_waited {
            return None;
        }
        if self.may_have_missed(side.first_ns) {
            return None;
        }
        let syns = counted(opening.syns, "SYN");
        let Some(exit) = side.exit.as_deref() else {
            let seen = format!("{syns} arrived, and no SYN-ACK was sent");
            return Some(self.arrived(talk, seen, true));
        };
        let (client, server) = (talk.sender(Of::Client), talk.sender(Of::Server));
        let sentence = format!("SYN unanswered: nothing comes back from {server} to {client}");
        Some(Finding {
            evidence: vec![format!("{syns} left by {exit}, and no answer was seen")],
            confidence: Confidence::Likely,
            packets: opening.syns,
            rests_on_absence: true,
            ..talk.finding(Kind::SynUnanswered, Of::Client, sentence)
        })
    }
}

/// `ListenOverflows of default/web has risen by 3, and ListenDrops by 3, while podtrace watched`
fn risen(counters: ListenCounters, talk: &Conversation) -> String {
    let at = talk.opening.reached_at.as_deref();
    format!(
        "ListenOverflows of {} has risen by {}, and ListenDrops by {}, while podtrace watched",
        at.unwrap_or("its receiver"),
        counters.overflows,
        counters.drops
    )
}

const ACCEPTS: &str = "ss -ltn; nstat -az TcpExtListenOverflows TcpExtListenDrops: the server \
                       accepts too slowly, or its backlog is too small";

const LISTENS: &str = "ss -lntu in the receiver's network namespace; nft list ruleset";

/// Whether nobody listens at a port.
fn is_port(error: &IcmpError) -> bool {
    matches!(
        (error.is_v4, error.kind, error.code),
        (true, 3, 3) | (false, 1, 4)
    )
}

/// SYNs die on their way.
fn lost(talk: &Conversation) -> Finding {
    let side = talk.side(Of::Client);
    let (client, server) = (talk.sender(Of::Client), talk.sender(Of::Server));
    let lost = side.lost.as_deref();
    let place = lost.map_or_else(|| "its way".to_owned(), |lost| lost.place());
    let sentence = format!("SYN unanswered: what {client} sends to {server} is lost after {place}");
    let syns = counted(talk.opening.syns, "SYN");
    // What is no SYN may be lost, too.
    let lost_syns = side.count(Fate::Lost).min(talk.opening.syns);
    let mut evidence = vec![format!("{lost_syns} of {syns} lost")];
    evidence.extend(lost.map(|lost| lost.evidence()).unwrap_or_default());
    Finding {
        evidence,
        packets: talk.opening.syns,
        ..talk
            .finding(Kind::SynUnanswered, Of::Client, sentence)
            .because(lost)
    }
}

/// A rule of a firewall, or somebody else on the way, resets a connection that was open.
pub(super) fn aborted(talk: &Conversation) -> Option<Finding> {
    let is_aborted = |of: &Of| {
        let refused = talk.side(*of).refused.as_deref();
        refused.is_some_and(|one| one.reason == Reason::Aborted)
    };
    let of = [Of::Client, Of::Server].into_iter().find(is_aborted)?;
    let side = talk.side(of);
    let one = side.refused.as_deref()?;
    let (from, to, by) = (talk.sender(of), talk.receiver(of), &one.by);
    let sentence = match one.firewall() {
        Some(owner) => format!(
            "connection reset: a firewall rule of {owner} answers what {from} sends to {to} with a \
             reset"
        ),
        None => format!("connection reset: {by} answers what {from} sends to {to} with a reset"),
    };
    let packets = counted(side.packets(), "packet");
    let refused = side.count(Fate::Refused);
    let mut evidence = vec![format!(
        "{refused} of {packets} answered by a reset of {by}, {} arrived or left before",
        side.through()
    )];
    evidence.extend(one.evidence());
    Some(Finding {
        evidence,
        rules: one.rules(),
        advice: one.advice(),
        packets: refused,
        ..talk.finding(Kind::Refused, of, sentence)
    })
}

/// Somebody refuses the connection, or the datagrams.
pub(super) fn refused(talk: &Conversation, one: &Refused) -> Option<Finding> {
    let (by, reason) = (&one.by, one.reason);
    if let Reason::Icmp(error) = reason
        && error.mtu().is_some()
    {
        return None;
    }
    let side = talk.side(Of::Client);
    let (client, server) = (talk.sender(Of::Client), talk.sender(Of::Server));
    let is_host = matches!(reason, Reason::Icmp(error)
        if matches!((error.is_v4, error.kind, error.code), (true, 3, 1 | 7) | (false, 1, 3)));
    let sentence = match (reason, one.firewall()) {
        (Reason::Reset, Some(owner)) => format!(
            "connection refused: a firewall rule of {owner} answers the SYN of {client} to {server} \
             with a reset"
        ),
        (Reason::Reset, None) => format!(
            "connection refused: a reset answers the SYN of {client} to {server}: nobody listens \
             there, or a firewall rejects it"
        ),
        (Reason::Icmp(_) | Reason::Aborted, _) => {
            format!("refused: {by} says to {client} about {server}: {reason}")
        }
    };
    let mut evidence = vec![format!(
        "{} of {} refused by {by}: {reason}",
        side.count(Fate::Refused),
        counted(side.packets(), "packet")
    )];
    evidence.extend(one.evidence());
    let usual = || match reason {
        Reason::Reset | Reason::Aborted => LISTENS.into(),
        Reason::Icmp(error) if is_port(&error) => LISTENS.into(),
        Reason::Icmp(_) if is_host => format!("ip neigh show {}", talk.reached.destination),
        Reason::Icmp(_) => format!("ip route get {}; nft list ruleset", server.address),
    };
    Some(Finding {
        evidence,
        rules: one.rules(),
        advice: Some(one.advice().unwrap_or_else(usual)),
        packets: side.count(Fate::Refused),
        waits_for: is_host.then_some(talk.reached.destination),
        ..talk.finding(Kind::Refused, Of::Client, sentence)
    })
}
