//! All bounds hold for any traffic.
use super::*;
use crate::{packet::Network, path::builder::join::EQUAL_MAX};

/// A flood of equal datagrams whose further hops were lost.
#[test]
fn equal_packets_are_followed_up_to_a_number_at_once() {
    let world = world();
    let packet = packet("10.244.1.3");
    let mut builder = Builder::new(TIMEOUT_NS);
    let hash = builder.hasher.hash_one(packet.key());
    for ts_ns in 1..=5_000 {
        builder.push(&event(ts_ns, POD1, Egress, &packet), &world);
        // Each event searches these, so the bound limits its cost.
        assert!(builder.joins.equal(hash) <= EQUAL_MAX);
    }
    let paths = finished(&mut builder);
    assert_eq!(paths.len(), 5_000 - EQUAL_MAX);
    // They may have continued as an equal packet.
    let is_honest = |path: &Path| {
        (path.outcome, path.ambiguous, path.incomplete) == (Outcome::GivenUp, true, true)
    };
    assert!(paths.iter().all(is_honest));
    builder.finish();
    assert!(finished(&mut builder).iter().all(|path| path.ambiguous));
}

/// A path that is given up while it awaits a socket has not arrived for certain.
#[test]
fn packet_given_up_before_its_socket_took_it_is_not_delivered() {
    let world = world();
    let packet = packet("10.244.1.3");
    let mut builder = Builder::new(TIMEOUT_NS);
    for number in 0..=EQUAL_MAX as u64 {
        for (ts_ns, interface, direction) in &TO_POD2[..4] {
            let event = event(number * 5000 + ts_ns, *interface, *direction, &packet);
            builder.push(&event, &world);
        }
    }
    let paths = finished(&mut builder);
    assert_eq!((paths.len(), paths[0].outcome), (1, Outcome::GivenUp));
}

#[test]
fn fragments_of_one_datagram_are_followed_up_to_a_number_at_once() {
    let world = world();
    let mut builder = Builder::new(TIMEOUT_NS);
    for offset in 0..500 {
        let mut fragment = packet("10.244.1.3");
        if let Network::Ip(ip) = &mut fragment.network {
            ip.fragment = Some(crate::packet::Fragment {
                id: 0,
                offset: offset * 8,
                more: true,
            });
        }
        builder.push(&event(1, POD1, Egress, &fragment), &world);
    }
    assert_eq!(finished(&mut builder).len(), 500 - EQUAL_MAX);
}
