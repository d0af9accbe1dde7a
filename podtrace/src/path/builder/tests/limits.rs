//! All bounds hold, whatever comes.
use super::*;
use crate::{packet::Network, path::builder::join::EQUAL_MAX};

/// A flood of equal datagrams whose further hops were lost.
#[test]
fn equal_packets_are_followed_up_to_a_number_at_once() {
    let world = world();
    let packet = packet("10.244.1.3");
    let mut builder = Builder::new(500_000_000);
    let hash = builder.hasher.hash_one(packet.key());
    for ts_ns in 1..=5_000 {
        builder.push(&event(ts_ns, POD1, Egress, &packet), &world);
        // Each event searches these, so its cost is bounded, however many came.
        assert!(builder.joins.equal(hash) <= EQUAL_MAX);
    }
    let paths = finished(&mut builder);
    assert_eq!(paths.len(), 5_000 - EQUAL_MAX);
    // They may have gone on, as an equal one.
    let is_honest = |path: &Path| {
        (path.outcome, path.ambiguous, path.incomplete) == (Outcome::GivenUp, true, true)
    };
    assert!(paths.iter().all(is_honest));
    builder.finish();
    assert!(finished(&mut builder).iter().all(|path| path.ambiguous));
}

#[test]
fn fragments_of_one_datagram_are_followed_up_to_a_number_at_once() {
    let world = world();
    let mut builder = Builder::new(500_000_000);
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
