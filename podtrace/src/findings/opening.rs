//! How a TCP connection is opened: answered, refused, or not answered at all.
use super::{
    Finding, Kind,
    conversation::Conversation,
    judge::Judge,
    side::{Fate, Of},
};
use crate::{
    packet::{IcmpError, TCP_ACK, TCP_RST, TCP_SYN, Transport, asks_to_connect},
    path::{Outcome, Path, refusal::Reason},
    text::count::counted,
    verdict::Confidence,
    world::World,
};

/// How long a client waits for the answer to a SYN before it repeats it (RFC 6298).
const RETRANSMITS_NS: u64 = 1_000_000_000;

/// What is seen of the handshake.
#[derive(Clone, Debug, Default)]
pub(super) struct Opening {
    /// The number of the SYN.
    sequence: Option<u32>,
    syns: u64,
    last_syn_ns: u64,
    syn_acks: u64,
    /// How many SYNs have reached a socket that did not answer, and where.
    reached: u64,
    reached_at: Option<Box<str>>,
    /// Segments with data from the client that arrived.
    data: u64,
    /// How many SYN-ACKs were sent after such data.
    repeated: u64,
    /// Whether the client has acknowledged the SYN-ACK.
    is_acknowledged: bool,
    /// Whether the server has sent anything behind its SYN-ACK.
    goes_on: bool,
}

impl Opening {
    /// Whether a path is the SYN of another connection with the same ports.
    pub(super) fn is_other(&self, path: &Path) -> bool {
        match (path.packet.transport, self.sequence) {
            (Transport::Tcp { flags, .. }, None) => {
                asks_to_connect(flags) && (self.syn_acks > 0 || self.goes_on || self.data > 0)
            }
            (
                Transport::Tcp {
                    flags, sequence, ..
                },
                Some(known),
            ) => asks_to_connect(flags) && sequence != known,
            _ => false,
        }
    }

    pub(super) fn add(&mut self, path: &Path, is_answer: bool, fate: Fate, world: &World) {
        let Transport::Tcp {
            flags,
            sequence,
            payload,
            ..
        } = path.packet.transport
        else {
            return;
        };
        let ts_ns = path.hops.first().map_or(0, |hop| hop.ts_ns);
        let is_new = u64::from(path.late_of.is_none());
        match (is_answer, flags & (TCP_SYN | TCP_ACK | TCP_RST)) {
            (false, TCP_SYN) => {
                self.sequence = Some(sequence);
                self.syns += is_new;
                self.last_syn_ns = self.last_syn_ns.max(ts_ns);
                if path.outcome == Outcome::Unanswered {
                    self.reached += 1;
                    self.reached_at = self.reached_at.take().or_else(|| place(path, world));
                }
            }
            (true, flags) if flags & TCP_SYN != 0 => {
                self.syn_acks += is_new;
                self.repeated += u64::from(self.data > 0);
            }
            (true, flags) => self.goes_on |= flags & TCP_RST == 0,
            (false, flags) => {
                self.data += u64::from(payload > 0 && fate == Fate::Arrived);
                self.is_acknowledged |= self.syn_acks > 0 && flags == TCP_ACK;
            }
        }
    }

    /// Whether the server has answered.
    pub(super) fn is_answered(&self) -> bool {
        self.syn_acks > 0 || self.goes_on
    }

    /// Whether the client has acknowledged the answer.
    pub(super) fn is_acknowledged(&self) -> bool {
        self.is_acknowledged
    }

    /// Whether it is all that is seen of the connection.
    pub(super) fn is_refused_or_unanswered(&self) -> bool {
        self.syns > 0 && !self.is_answered()
    }
}

/// Where a path's packet was last.
fn place(path: &Path, world: &World) -> Option<Box<str>> {
    let last = path.hops.last()?;
    let point = world.tap_points.get(last.interface)?;
    Some(world.owner_of(point).as_ref().into())
}

impl Judge<'_> {
    /// What the opening of a connection shows.
    pub(super) fn opening(&self, talk: &Conversation) -> Option<Finding> {
        let opening = &talk.opening;
        if opening.repeated > 0 && opening.syns > 0 && !opening.goes_on {
            return Some(self.deaf(talk));
        }
        if !opening.is_refused_or_unanswered() {
            return None;
        }
        let side = talk.side(Of::Client);
        if let Some(refusal) = side.refusal.as_deref() {
            return refused(talk, refusal);
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
        Finding {
            evidence: vec![
                format!("{} sent", counted(talk.opening.syn_acks, "SYN-ACK")),
                format!(
                    "{} of data from the client arrived before the last of them",
                    counted(talk.opening.data, "segment")
                ),
            ],
            confidence: Confidence::Likely,
            advice: Some(ACCEPTS.into()),
            packets: talk.opening.syn_acks,
            ..talk.finding(Kind::AcceptQueueFull, Of::Client, sentence)
        }
    }

    /// SYNs arrive, and nothing comes out.
    fn arrived(&self, talk: &Conversation, seen: String, rests_on_absence: bool) -> Finding {
        let (client, server) = (talk.sender(Of::Client), talk.sender(Of::Server));
        let accepted = self.accepted(talk);
        let (kind, sentence, more) = match accepted {
            0 => (
                Kind::SynUnanswered,
                format!("SYN unanswered: {server} does not answer {client}"),
                "its accept queue is full, or the answer does not leave: no route back, or a \
                 firewall rule of OUTPUT"
                    .to_owned(),
            ),
            _ => (
                Kind::AcceptQueueFull,
                format!("accept queue full: {server} does not answer {client}, and answers others"),
                format!(
                    "the same socket has answered {}",
                    counted(accepted, "other connection")
                ),
            ),
        };
        Finding {
            evidence: vec![seen, more],
            confidence: Confidence::Likely,
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

const ACCEPTS: &str = "ss -ltn; nstat -az TcpExtListenOverflows TcpExtListenDrops: the server \
                       accepts too slowly, or its backlog is too small";

const LISTENS: &str = "ss -lntu in the receiver's network namespace";

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
    let mut evidence = vec![format!("{} of {syns} lost", side.count(Fate::Lost))];
    evidence.extend(lost.map(|lost| lost.evidence()).unwrap_or_default());
    Finding {
        evidence,
        confidence: lost.map_or(Confidence::Likely, |lost| lost.confidence()),
        advice: lost.and_then(|lost| lost.advice()),
        packets: talk.opening.syns,
        waits_for: lost.and_then(|lost| lost.neighbour()),
        ..talk.finding(Kind::SynUnanswered, Of::Client, sentence)
    }
}

/// Somebody refuses the connection, or the datagrams.
pub(super) fn refused(talk: &Conversation, (by, reason): &(String, Reason)) -> Option<Finding> {
    if let Reason::Icmp(error) = reason
        && error.mtu().is_some()
    {
        return None;
    }
    let side = talk.side(Of::Client);
    let (client, server) = (talk.sender(Of::Client), talk.sender(Of::Server));
    let is_host = matches!(reason, Reason::Icmp(error)
        if matches!((error.is_v4, error.kind, error.code), (true, 3, 1 | 7) | (false, 1, 3)));
    let sentence = match reason {
        Reason::Reset => format!(
            "connection refused: {server} answers the SYN of {client} with a reset, as nobody \
             listens there"
        ),
        Reason::Icmp(_) => format!("refused: {by} says to {client} about {server}: {reason}"),
    };
    Some(Finding {
        evidence: vec![format!(
            "{} of {} refused by {by}: {reason}",
            side.count(Fate::Refused),
            counted(side.packets(), "packet")
        )],
        advice: Some(match reason {
            Reason::Reset => LISTENS.into(),
            Reason::Icmp(error) if is_port(error) => LISTENS.into(),
            Reason::Icmp(_) if is_host => format!("ip neigh show {}", talk.reached.destination),
            Reason::Icmp(_) => format!("ip route get {}; nft list ruleset", server.address),
        }),
        packets: side.count(Fate::Refused),
        waits_for: is_host.then_some(talk.reached.destination),
        ..talk.finding(Kind::Refused, Of::Client, sentence)
    })
}
