//! Datagrams that come faster than they are read.
use super::{
    super::*,
    fixture::{kinds, shown, udp},
};
use crate::{path::Outcome, rules::fixture::healthy as facts};

#[test]
fn socket_without_room_is_told_of_one_sender_or_of_many() {
    let dropped = |ms, port| {
        let shot = udp(ms, false, 53).port(port);
        shot.dropped(10, "SOCKET_RCVBUFF", "udp_queue_rcv_one_skb")
    };
    let untold = |ms| {
        let mut path = udp(ms, false, 53).ended(Outcome::Unknown).path();
        path.is_untold = true;
        path
    };
    let arrived = (0..50).map(|ms| udp(ms, false, 53).path());
    let mut one: Vec<_> = arrived.collect();
    one.extend((50..66).map(|ms| dropped(ms, 5000).path()));
    one.extend((66..200).map(untold));
    insta::assert_snapshot!(shown(&one, facts(), 1000));
    let many: Vec<_> = (0..3).map(|n| dropped(n, 5000 + n as u16).path()).collect();
    assert_eq!(kinds(&many, 1000), [Kind::ReceiveBufferFull]);
    assert_eq!(kinds(&one[..52], 1000), []);
    // The copy of a raw socket.
    let copies = one[..50].iter().cloned().map(|mut path| {
        let shot = udp(0, false, 53).dropped(10, "SOCKET_RCVBUFF", "raw_rcv");
        path.dropped = shot.path().dropped;
        path
    });
    assert_eq!(kinds(&copies.collect::<Vec<_>>(), 1000), []);
}
