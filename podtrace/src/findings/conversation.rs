//! A conversation: the packets of two ends, in both directions, before and after each
//! translation.
use std::net::IpAddr;

use super::{
    Finding, Kind, Party,
    opening::Opening,
    queries::Queries,
    side::{Fate, Of, Side},
    told::Told,
};
#[cfg(test)]
use super::{
    lost::{BYTES_MAX as BYTES_LOST, Refused},
    run::BYTES_MAX as BYTES_RUNS,
};
use crate::{
    packet::{Ends, IPPROTO_TCP, IPPROTO_UDP, is_group_address},
    path::{
        Path,
        ends::ends as named,
        flow::{FlowKey, is_answer, is_from_server, protocol_name, reached},
    },
    text::count::counted,
    verdict::Confidence,
    world::World,
};

/// Upper bound of the bytes of one: with its keys in the table, the names of its queries, and a
/// packet that was lost or refused in each direction.
#[cfg(test)]
pub(super) const BYTES_MAX: usize = size_of::<Conversation>()
    + 4 * size_of::<(FlowKey, u64)>()
    + Queries::BYTES_MAX
    + 2 * (BYTES_LOST + Refused::BYTES_MAX + BYTES_RUNS);
/// The port of DNS.
const DNS: u16 = 53;

/// What is known of a conversation.
#[derive(Clone, Debug)]
pub(super) struct Conversation {
    pub(super) keys: Vec<FlowKey>,
    pub(super) protocol: u8,
    /// The ends of the client's packets as it sends them.
    pub(super) client: Ends,
    /// Their ends where they were seen last.
    pub(super) reached: Ends,
    parties: [Party; 2],
    /// From the client, and to it.
    sides: [Side; 2],
    pub(super) opening: Opening,
    pub(super) queries: Queries,
    pub(super) told: Told,
    /// Replies that came from the address which the server was asked at.
    proper: u64,
    /// Those from the address that it was translated to.
    pub(super) strange: u64,
    pub(super) last_ns: u64,
}

impl Conversation {
    pub(super) fn new(path: &Path, before: Ends) -> Self {
        let client = if is_from_server(&path.packet, before) {
            path.ends().unwrap_or(before).reversed()
        } else {
            before
        };
        Self {
            keys: Vec::new(),
            protocol: path.packet.ip_protocol().unwrap_or_default(),
            client,
            reached: client,
            parties: [client.from(), client.to()].map(Party::new),
            sides: Default::default(),
            opening: Opening::default(),
            queries: Queries::default(),
            told: Told::default(),
            proper: 0,
            strange: 0,
            last_ns: 0,
        }
    }

    /// Adds a path of one of its packets.
    pub(super) fn add(&mut self, path: &Path, before: Ends, world: &World) {
        let is_answer = is_answer(path, before, self.client, self.reached);
        let of = if is_answer { Of::Server } else { Of::Client };
        self.last_ns = self.last_ns.max(path.last_ns());
        self.name(path, is_answer, world);
        let fate = Fate::of(path, of);
        if is_answer {
            self.add_answer(path, fate);
        } else {
            self.reached = reached(path, self.client, self.reached);
        }
        self.side_mut(of).add(path, of, world);
        if self.protocol == IPPROTO_TCP {
            self.opening.add(path, is_answer, fate, world);
        }
        let dns = path.payload.as_deref().and_then(|payload| payload.dns());
        if let Some(dns) = dns.filter(|_| self.is_dns()) {
            self.queries.add(path, dns, fate);
        }
    }

    /// Whether a path begins another connection between the same ends.
    pub(super) fn is_other(&self, path: &Path, before: Ends) -> bool {
        let is_answer = is_answer(path, before, self.client, self.reached);
        self.opening.is_other(path, is_answer)
    }

    fn add_answer(&mut self, path: &Path, fate: Fate) {
        let is_back = matches!(fate, Fate::Arrived | Fate::Refused) && path.late_of.is_none();
        let Some(ends) = path.ends().filter(|_| is_back) else {
            return;
        };
        if ends.to() != self.client.from() {
            return;
        }
        if ends.from() == self.client.to() {
            self.proper += 1;
        } else if ends.from() == self.reached.to() {
            self.strange += 1;
        }
    }

    /// Takes over the names that the first paths show.
    fn name(&mut self, path: &Path, is_answer: bool, world: &World) {
        let of = if is_answer { Of::Server } else { Of::Client };
        let is_named = self.parties.iter().all(|party| party.name.is_some());
        if is_named || self.side(of).packets() > 0 {
            return;
        }
        let (from, to) = named(path, world);
        let ends = if is_answer { [to, from] } else { [from, to] };
        for (party, end) in self.parties.iter_mut().zip(&ends) {
            if party.name.is_none() {
                party.name(end);
            }
        }
    }

    pub(super) fn side(&self, of: Of) -> &Side {
        &self.sides[of as usize]
    }

    fn side_mut(&mut self, of: Of) -> &mut Side {
        &mut self.sides[of as usize]
    }

    /// Who sends on a side.
    pub(super) fn sender(&self, of: Of) -> &Party {
        &self.parties[of as usize]
    }

    /// Who receives on a side.
    pub(super) fn receiver(&self, of: Of) -> &Party {
        &self.parties[1 - of as usize]
    }

    /// The socket that a side is for.
    pub(super) fn socket(&self, of: Of) -> (IpAddr, Option<u16>) {
        match of {
            Of::Client => self.reached.to(),
            Of::Server => self.client.from(),
        }
    }

    /// Whether it is unicast DNS over UDP.
    pub(super) fn is_dns(&self) -> bool {
        let (address, port) = self.client.to();
        self.protocol == IPPROTO_UDP && port == Some(DNS) && !is_group_address(address)
    }

    /// Whether its destination is translated on the way.
    pub(super) fn is_translated(&self) -> bool {
        self.reached.to() != self.client.to()
    }

    /// The finding that replies come from another address than the one that was asked.
    pub(super) fn one_way_nat(&self) -> Option<Finding> {
        if self.strange == 0 || self.proper > 0 || !self.is_translated() {
            return None;
        }
        let show = |(address, port)| Party::new((address, port)).to_string();
        let (asked, reached) = (show(self.client.to()), show(self.reached.to()));
        let client = self.sender(Of::Client);
        let sentence = format!(
            "one-way NAT: {client} asked {asked}, which was translated to {reached}, and the reply \
             came from {reached}: it was not translated back"
        );
        let evidence = vec![
            format!(
                "{} arrived",
                counted(self.side(Of::Client).through(), "translated request")
            ),
            format!(
                "{} arrived untranslated, none translated",
                counted(self.strange, "reply")
            ),
        ];
        Some(Finding {
            evidence,
            packets: self.strange,
            advice: Some(
                "replies have to pass the node that translates: \
                 sysctl net.bridge.bridge-nf-call-iptables (1, where both pods share a bridge)"
                    .into(),
            ),
            ..self.finding(Kind::OneWayNat, Of::Server, sentence)
        })
    }

    /// A finding about one of its sides, without evidence.
    pub(super) fn finding(&self, kind: Kind, of: Of, sentence: String) -> Finding {
        let side = self.side(of);
        Finding {
            kind,
            client: self.sender(Of::Client).clone(),
            server: self.sender(Of::Server).clone(),
            protocol: protocol_name(self.protocol).into_owned(),
            sentence,
            evidence: Vec::new(),
            confidence: Confidence::Sure,
            advice: None,
            conversations: 1,
            packets: side.packets(),
            first_ns: side.first_ns,
            last_ns: side.last_ns,
            rules: Vec::new(),
            rests_on_absence: false,
            waits_for: None,
        }
    }
}
