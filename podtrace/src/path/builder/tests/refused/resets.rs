//! Resets that answer a SYN, or a segment of a connection that is open.
use super::*;

/// A packet that asks for a connection, and the reset that answers it.
fn syn_and_reset(to: &str) -> [Packet; 2] {
    let syn = syn(to);
    let mut reset = to_pod1(with_ends(&syn, syn.ends().unwrap().reversed()));
    reset.transport = tcp((80, 5000), 0, 78, 0x14);
    [syn, reset]
}

#[test]
fn reset_that_answers_a_syn_refuses_it() {
    let [syn, reset] = syn_and_reset("10.244.1.3");
    let paths = answered(&syn, &THROUGH, &reset, &BACK);
    assert_eq!(outcomes(&paths), [Outcome::Refused, Outcome::Delivered]);
    assert_eq!(paths[1].about, Some(1));
    let refusal = paths[0].refusal.as_deref().unwrap();
    assert_eq!((refusal.reason, refusal.packet), (Reason::Reset, 2));
    // In the name of the one it was for.
    let paths = answered(&syn, &TO_CNI0, &reset, &TO_POD1);
    assert_eq!(paths[0].outcome, Outcome::Refused);
    // A connection that existed is reset with a number of its own.
    let mut later = reset.clone();
    if let Transport::Tcp { sequence, .. } = &mut later.transport {
        *sequence = 1;
    }
    let paths = answered(&syn, &THROUGH, &later, &BACK);
    assert_eq!(paths[0].outcome, Outcome::NoSocket);
    // From elsewhere.
    let paths = answered(&syn, &THROUGH, &reset, &TO_POD1);
    assert_eq!(paths[0].outcome, Outcome::NoSocket);
}

/// Where nothing tells which sockets there are, a packet that reaches the node is delivered.
#[test]
fn delivered_stays_delivered() {
    let mut world = world();
    world.watching.clear();
    let [syn, reset] = syn_and_reset("10.244.1.1");
    let mut builder = Builder::new(TIMEOUT_NS);
    push(&mut builder, &world, &syn, 1000, &TO_CNI0);
    push(&mut builder, &world, &reset, 2000, &TO_POD1);
    builder.expire(SECOND);
    let mut paths = finished(&mut builder);
    paths.sort_by_key(|path| path.id);
    assert_eq!(outcomes(&paths), [Outcome::Delivered; 2]);
    assert!(paths[0].refusal.is_some());
}

#[test]
fn segment_on_its_way_is_aborted_where_its_reset_begins() {
    let [syn, mut reset] = syn_and_reset("10.244.1.3");
    let mut segment = syn.clone();
    segment.transport = tcp((5000, 80), 100, 777, 0x18);
    reset.transport = tcp((80, 5000), 777, 0, 0x04);
    let paths = answered(&segment, &TO_CNI0, &reset, &TO_POD1);
    assert_eq!(paths[0].outcome, Outcome::Refused);
    assert_eq!(paths[1].about, Some(1));
    let refusal = paths[0].refusal.as_deref().unwrap();
    assert_eq!(
        (refusal.reason, refusal.hops),
        (Reason::Aborted, TO_CNI0.len())
    );
    // Who has got it may have no connection.
    let paths = answered(&segment, &THROUGH, &reset, &BACK);
    assert_eq!(paths[0].refusal, None);
    // Of another segment.
    reset.transport = tcp((80, 5000), 778, 0, 0x04);
    let paths = answered(&segment, &TO_CNI0, &reset, &TO_POD1);
    assert_ne!(paths[0].outcome, Outcome::Refused);
}
