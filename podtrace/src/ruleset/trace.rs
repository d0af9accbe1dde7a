//! Traces of packets: what makes the kernel trace them, and what it says of those that it drops.
use std::collections::HashMap;

use rtnetlink::packet_core::{NLM_F_ACK, NLM_F_CREATE, NLM_F_EXCL, NLM_F_REQUEST};

use super::{
    expression::{Verdict, decided},
    message::{Kind, batch, family, request},
};
use crate::{
    model::ruleset::{Family, Test},
    nfnetlink::{self, attribute, long_number, put, put_nested, text},
};

/// `NFPROTO_INET`.
const INET: u8 = 1;
/// `NFT_TABLE_F_OWNER`: the table goes with the socket that made it.
const OWNED: u32 = 2;
/// `NF_INET_PRE_ROUTING` and `NF_INET_LOCAL_OUT`, with the names of the chains there.
const HOOKS: [(u32, &str); 2] = [(0, "prerouting"), (3, "output")];
/// Before all that others filter: `raw` has -300.
const PRIORITY: i32 = -500;
/// `NF_ACCEPT`.
const ACCEPT: u32 = 1;
/// `NFT_META_NFPROTO`, `_L4PROTO`, `_NFTRACE`.
const META_NFPROTO: u32 = 15;
const META_L4PROTO: u32 = 16;
const META_NFTRACE: u32 = 12;
/// `NFTA_TRACE_TABLE` and others.
const TABLE: u16 = 1;
const CHAIN: u16 = 2;
const HANDLE: u16 = 3;
const KIND: u16 = 4;
const VERDICT: u16 = 5;
const ID: u16 = 6;
const NETWORK_HEADER: u16 = 8;
const TRANSPORT_HEADER: u16 = 9;
const INPUT: u16 = 10;
const OUTPUT: u16 = 12;
const POLICY_VERDICT: u16 = 16;
/// `NF_DROP`.
const DROP: u32 = 0;
/// `NFT_TRACETYPE_POLICY`, `_RULE`.
const POLICY: u32 = 1;
const RULE: u32 = 3;
/// Register 1 of 16 bytes.
const REGISTER: u32 = 1;

/// Upper bound of the packets on their way through a hook whose headers are known.
const PACKETS_MAX: usize = 1024;

/// What a trace says of a packet that is dropped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Traced {
    pub(crate) family: Family,
    pub(crate) table: String,
    pub(crate) chain: String,
    /// The rule's handle; none if the chain's policy drops it.
    pub(crate) handle: Option<u64>,
    pub(crate) packet: TracedPacket,
}

/// A packet as a trace shows it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct TracedPacket {
    /// Its headers, from that of its network on.
    pub(crate) headers: Vec<u8>,
    /// The indices of the interfaces that it came in by and leaves by; 0 for none.
    pub(crate) input: u32,
    pub(crate) output: u32,
}

/// Reads traces, which show the packet only where its way through a hook begins.
#[derive(Default)]
pub(crate) struct Reader {
    packets: HashMap<u32, TracedPacket>,
}

impl Reader {
    /// What a trace of a table of this family says, if it is about the end of a packet.
    pub(crate) fn take(&mut self, number: u8, trace: &[u8]) -> Option<Traced> {
        let get = |kind| attribute(trace, kind);
        let of = |kind| nfnetlink::number(get(kind)?);
        let id = of(ID)?;
        let headers = [NETWORK_HEADER, TRANSPORT_HEADER].map(|kind| get(kind).unwrap_or_default());
        if !headers[0].is_empty() {
            if self.packets.len() >= PACKETS_MAX {
                self.packets.clear();
            }
            let packet = TracedPacket {
                headers: headers.concat(),
                input: of(INPUT).unwrap_or_default(),
                output: of(OUTPUT).unwrap_or_default(),
            };
            self.packets.insert(id, packet);
        }
        let handle = match of(KIND)? {
            RULE if decided(get(VERDICT)?) == Some(Verdict::Drop) => {
                Some(long_number(get(HANDLE)?)?)
            }
            RULE => return None,
            POLICY if of(POLICY_VERDICT) == Some(DROP) => None,
            _ => {
                self.packets.remove(&id);
                return None;
            }
        };
        Some(Traced {
            family: family(number)?,
            table: text(get(TABLE)?),
            chain: text(get(CHAIN)?),
            handle,
            packet: self.packets.remove(&id)?,
        })
    }
}

/// Makes the kernel trace packets, for as long as the socket lives that sends this: those that
/// all tests of any list hold for, or all of them; `rate` a second at most for each list.
pub(crate) fn begin(table: &str, chosen: &[Vec<Test>], rate: u64) -> Vec<u8> {
    let request = |kind, flags| request(kind, INET, NLM_F_REQUEST | NLM_F_CREATE | flags);
    let owned = request(Kind::NewTable, NLM_F_EXCL | NLM_F_ACK)
        .with_text(1, table)
        .with(2, &OWNED.to_be_bytes());
    let mut requests = vec![owned];
    for (hook, name) in HOOKS {
        let mut place = Vec::new();
        put(&mut place, 1, &hook.to_be_bytes());
        put(&mut place, 2, &PRIORITY.to_be_bytes());
        let chain = request(Kind::NewChain, 0)
            .with_text(1, table)
            .with_text(3, name)
            .with_nested(4, &place)
            .with(5, &ACCEPT.to_be_bytes())
            .with_text(7, "filter");
        requests.push(chain);
        let all = [Vec::new()];
        let chosen = if chosen.is_empty() { &all } else { chosen };
        for tests in chosen {
            // 0x0800: after the rules that are there.
            let rule = request(Kind::NewRule, 0x0800)
                .with_text(1, table)
                .with_text(2, name)
                .with_nested(4, &expressions(tests, rate));
            requests.push(rule);
        }
    }
    batch(requests)
}

fn expressions(tests: &[Test], rate: u64) -> Vec<u8> {
    let mut list = Vec::new();
    for test in tests {
        put_test(&mut list, test);
    }
    let mut limit = Vec::new();
    put(&mut limit, 1, &rate.to_be_bytes());
    put(&mut limit, 2, &1_u64.to_be_bytes());
    let burst = u32::try_from(rate).unwrap_or(u32::MAX);
    put(&mut limit, 3, &burst.to_be_bytes());
    put_expression(&mut list, "limit", &limit);
    let mut value = Vec::new();
    put(&mut value, 1, &[1]);
    let mut immediate = Vec::new();
    put(&mut immediate, 1, &REGISTER.to_be_bytes());
    put_nested(&mut immediate, 2, &value);
    put_expression(&mut list, "immediate", &immediate);
    let mut meta = Vec::new();
    put(&mut meta, 2, &META_NFTRACE.to_be_bytes());
    put(&mut meta, 3, &REGISTER.to_be_bytes());
    put_expression(&mut list, "meta", &meta);
    list
}

fn put_test(list: &mut Vec<u8>, test: &Test) {
    match test {
        Test::Ipv4(is_ipv4) => {
            put_meta(list, META_NFPROTO);
            put_equal(list, &[if *is_ipv4 { 2 } else { 10 }]);
        }
        Test::Protocol(number) => {
            put_meta(list, META_L4PROTO);
            put_equal(list, &[*number]);
        }
        Test::Source(prefix) | Test::Destination(prefix) => {
            let is_source = matches!(test, Test::Source(_));
            let (offset, octets) = match prefix.address {
                std::net::IpAddr::V4(address) => {
                    (if is_source { 12 } else { 16 }, address.octets().to_vec())
                }
                std::net::IpAddr::V6(address) => {
                    (if is_source { 8 } else { 24 }, address.octets().to_vec())
                }
            };
            put_test(list, &Test::Ipv4(prefix.address.is_ipv4()));
            put_payload(list, 1, offset, octets.len());
            put_equal(list, &octets);
        }
        Test::SourcePort(port, _) | Test::DestinationPort(port, _) => {
            let offset = if matches!(test, Test::SourcePort(..)) {
                0
            } else {
                2
            };
            put_payload(list, 2, offset, 2);
            put_equal(list, &port.to_be_bytes());
        }
        // No filter asks for them.
        Test::Ttl(..) | Test::MessageType(..) | Test::Input(_) | Test::Output(_) | Test::Set(_) => {
        }
    }
}

fn put_meta(list: &mut Vec<u8>, key: u32) {
    let mut meta = Vec::new();
    put(&mut meta, 1, &REGISTER.to_be_bytes());
    put(&mut meta, 2, &key.to_be_bytes());
    put_expression(list, "meta", &meta);
}

fn put_payload(list: &mut Vec<u8>, base: u32, offset: u32, len: usize) {
    let len = u32::try_from(len).unwrap_or_default();
    let mut payload = Vec::new();
    for (kind, value) in (1..).zip([REGISTER, base, offset, len]) {
        put(&mut payload, kind, &value.to_be_bytes());
    }
    put_expression(list, "payload", &payload);
}

fn put_equal(list: &mut Vec<u8>, value: &[u8]) {
    let mut data = Vec::new();
    put(&mut data, 1, value);
    let mut cmp = Vec::new();
    put(&mut cmp, 1, &REGISTER.to_be_bytes());
    put(&mut cmp, 2, &0_u32.to_be_bytes());
    put_nested(&mut cmp, 3, &data);
    put_expression(list, "cmp", &cmp);
}

fn put_expression(list: &mut Vec<u8>, name: &str, data: &[u8]) {
    let mut expression = Vec::new();
    put(&mut expression, 1, &[name.as_bytes(), b"\0"].concat());
    put_nested(&mut expression, 2, data);
    put_nested(list, 1, &expression);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ruleset::message::{Message, messages};

    /// The traces of Linux 6.18 of an echo request that the policy of a chain dropped.
    const TRACES: &[u8] = include_bytes!("traces.bin");

    fn traced(bytes: &[u8]) -> Vec<Traced> {
        let mut reader = Reader::default();
        let traces = messages(bytes).filter_map(|message| match message {
            Message::Object(Kind::Trace, family, trace) => reader.take(family, trace),
            _ => None,
        });
        traces.collect()
    }

    #[test]
    fn policy_that_drops_is_told_with_the_packet() {
        let traced = traced(TRACES);
        let [by] = &traced[..] else {
            panic!("{traced:?}");
        };
        assert_eq!((by.family, by.handle), (Family::Ip, None));
        assert_eq!((by.table.as_str(), by.chain.as_str()), ("f", "FORWARD"));
        let TracedPacket {
            headers,
            input,
            output,
        } = &by.packet;
        assert_eq!((*input, *output, headers.len()), (3, 4, 40));
        // From 10.244.1.2, and an echo request.
        assert_eq!((&headers[12..16], headers[20]), (&[10, 244, 1, 2][..], 8));
    }

    #[test]
    fn what_is_cut_tells_nothing() {
        for len in 0..TRACES.len() {
            assert!(traced(&TRACES[..len]).is_empty());
        }
    }
}
