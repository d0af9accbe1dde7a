//! Packets at the sockets of a pod, and those that reach none.
use super::*;

#[test]
fn packet_that_no_socket_takes_has_only_reached_the_pod() {
    let mut builder = join_hops("10.244.1.3", &TO_POD2[..4]);
    builder.expire(SETTLE_NS + 3000);
    assert!(finished(&mut builder).is_empty());
    builder.expire(SETTLE_NS + 4001);
    let paths = finished(&mut builder);
    assert_eq!(paths[0].outcome, Outcome::NoSocket);
    assert_eq!(paths[0].sockets().count(), 0);
}

/// The kernel handles packets of closed and of refused connections.
#[test]
fn packet_for_the_kernel_is_delivered_without_a_socket() {
    let world = world();
    for (flags, payload, outcome) in [
        (0x10, 0, Outcome::Delivered),
        (0x11, 0, Outcome::Delivered),
        (0x14, 0, Outcome::Delivered),
        (0x02, 0, Outcome::NoSocket),
        (0x18, 9, Outcome::NoSocket),
    ] {
        let mut builder = Builder::new(TIMEOUT_NS);
        let mut packet = packet("10.244.1.3");
        packet.transport = Transport::Tcp {
            source: 1,
            destination: 2,
            sequence: 3,
            acknowledgment: 4,
            flags,
            payload,
        };
        for (ts_ns, interface, direction) in &TO_POD2[..4] {
            builder.push(&event(*ts_ns, *interface, *direction, &packet), &world);
        }
        builder.expire(SETTLE_NS + 4001);
        assert_eq!(finished(&mut builder)[0].outcome, outcome, "{flags:#x}");
    }
}

#[test]
fn socket_with_the_whole_datagram_ends_its_fragments() {
    let world = world();
    let mut builder = Builder::new(TIMEOUT_NS);
    let whole = packet("10.244.1.3");
    for offset in [0, 8] {
        let mut fragment = whole.clone();
        fragment.length = if offset == 0 { 28 } else { 24 };
        if offset > 0 {
            fragment.transport = Transport::Fragment;
        }
        let Network::Ip(ip) = &mut fragment.network else {
            panic!("an IP packet");
        };
        ip.fragment = Some(crate::packet::Fragment {
            id: 0,
            offset,
            more: offset == 0,
        });
        for (ts_ns, interface, direction) in &TO_POD2[..4] {
            let event = event(
                *ts_ns + u64::from(offset),
                *interface,
                *direction,
                &fragment,
            );
            builder.push(&event, &world);
        }
    }
    builder.push(&event(9000, POD2, Socket, &whole), &world);
    builder.expire(SETTLE_NS + 9001);
    let paths = finished(&mut builder);
    assert_eq!(paths.len(), 2);
    for path in paths {
        assert_eq!(path.hops.len(), 5);
        assert_eq!(path.outcome, Outcome::Delivered);
    }
}

#[test]
fn socket_behind_a_translation_in_the_pod_ends_the_path() {
    let world = world();
    for same_end in [true, false] {
        let mut builder = join_hops("10.244.1.3", &TO_POD2[..4]);
        let mut redirected = packet("127.0.0.6");
        redirected.link = None;
        if let Transport::Udp {
            source,
            destination,
            ..
        } = &mut redirected.transport
        {
            *destination = 15006;
            if !same_end {
                *source += 1;
            }
        }
        builder.push(&event(5000, POD2, Socket, &redirected), &world);
        let paths = finished(&mut builder);
        let hops: Vec<_> = paths.iter().map(|path| path.hops.len()).collect();
        // Otherwise the event is a packet of its own, and the other packet is still waited
        // for.
        assert_eq!(hops, if same_end { [5] } else { [1] });
        assert_eq!(builder.is_waiting(), !same_end);
    }
}

/// Only the kernel answers an echo request; a socket takes the others.
#[test]
fn packet_that_arrived_at_the_end_of_the_trace_may_not_have_reached_its_socket() {
    let world = world();
    let request = Transport::Echo {
        reply: false,
        id: 1,
        sequence: 2,
    };
    for (transport, taps, outcome, incomplete) in [
        (packet("10.244.1.3").transport, 4, Outcome::Unknown, true),
        (SYN_ACK, 4, Outcome::Unknown, true),
        (request, 4, Outcome::Delivered, false),
        (request, 5, Outcome::Delivered, false),
        (SYN_ACK, 3, Outcome::InFlight, true),
    ] {
        let packet = Packet {
            transport,
            ..packet("10.244.1.3")
        };
        let mut builder = Builder::new(TIMEOUT_NS);
        for (ts_ns, interface, direction) in &TO_POD2[..taps] {
            builder.push(&event(*ts_ns, *interface, *direction, &packet), &world);
        }
        builder.finish();
        let path = &finished(&mut builder)[0];
        assert_eq!((path.outcome, path.incomplete), (outcome, incomplete));
    }
}

#[test]
fn copies_for_several_sockets_are_of_one_path() {
    let world = world();
    let mut builder = Builder::new(TIMEOUT_NS);
    let mut reply = packet("10.244.1.3");
    reply.transport = Transport::Echo {
        reply: true,
        id: 1,
        sequence: 2,
    };
    for (ts_ns, interface, direction) in TO_POD2 {
        builder.push(&event(ts_ns, interface, direction, &reply), &world);
    }
    let mut copy = event(5001, POD2, Socket, &reply);
    builder.push(&copy, &world);
    copy.cgroup = CGROUP1;
    builder.push(&copy, &world);
    builder.expire(SETTLE_NS + 5002);
    let paths = finished(&mut builder);
    assert_eq!(paths.len(), 1);
    let owners: Vec<_> = paths[0].sockets().map(|hop| hop.cgroup).collect();
    assert_eq!(owners, [CGROUP2, CGROUP1]);
}

/// A socket sees a SYN before its accept queue is asked for room. The answer comes at once.
#[test]
fn syn_that_its_socket_does_not_answer_says_so() {
    let world = world();
    let tcp = |ports: (u16, u16), sequence, acknowledgment, flags, payload| Transport::Tcp {
        source: ports.0,
        destination: ports.1,
        sequence,
        acknowledgment,
        flags,
        payload,
    };
    let to = |transport| {
        let mut packet = packet("10.244.1.3");
        packet.transport = transport;
        if let Network::Ip(ip) = &mut packet.network {
            ip.protocol = 6;
        }
        packet
    };
    let syn = to(tcp((5000, 80), 77, 0, 0x02, 0));
    let ends = syn.ends().unwrap();
    let mut answer = syn.clone();
    if let Network::Ip(ip) = &mut answer.network {
        (ip.source, ip.destination) = (ends.destination, ends.source);
    }
    let mut answered = |builder: &mut Builder, acknowledgment| {
        answer.transport = tcp((80, 5000), 500, acknowledgment, 0x12, 0);
        builder.push(&event(6000, POD2, Egress, &answer), &world);
    };
    // The number that is acknowledged, if anything is; whether an answer can have been missed.
    for (asked, acknowledgment, is_missed, outcome) in [
        (&syn, Some(78), false, Outcome::Delivered),
        (&syn, Some(79), false, Outcome::Unanswered),
        (&syn, None, false, Outcome::Unanswered),
        (&syn, None, true, Outcome::Delivered),
        // An answer acknowledges the data, too, or not.
        (
            &to(tcp((5000, 80), 77, 0, 0x02, 9)),
            None,
            false,
            Outcome::Delivered,
        ),
    ] {
        let mut builder = Builder::new(TIMEOUT_NS);
        if is_missed {
            builder.set_sampled();
        }
        for (ts_ns, interface, direction) in TO_POD2 {
            builder.push(&event(ts_ns, interface, direction, asked), &world);
        }
        if let Some(acknowledgment) = acknowledgment {
            answered(&mut builder, acknowledgment);
        }
        let is_over = acknowledgment == Some(78) || asked.payload() > 0;
        assert_eq!(builder.has_finished(), is_over);
        builder.expire(SETTLE_NS + 6001);
        let path = finished(&mut builder).remove(0);
        assert_eq!((path.outcome, path.hops.len()), (outcome, 5));
        assert!(!path.incomplete);
    }
}

/// Where a proxy in the pod takes the connection, the SYN has had the ends that the answer has.
#[test]
fn syn_that_is_redirected_in_the_pod_is_answered_by_the_pod() {
    let world = world();
    let mut builder = Builder::new(TIMEOUT_NS);
    let syn = syn("10.244.1.3");
    for (ts_ns, interface, direction) in &TO_POD2[..4] {
        builder.push(&event(*ts_ns, *interface, *direction, &syn), &world);
    }
    let mut redirected = syn.clone();
    redirected.transport = tcp((5000, 15_006), 77, 0, 0x02);
    if let Network::Ip(ip) = &mut redirected.network {
        ip.destination = "127.0.0.6".parse().unwrap();
    }
    builder.push(&event(5000, POD2, Socket, &redirected), &world);
    let mut answer = syn;
    answer.transport = tcp((80, 5000), 500, 78, 0x12);
    if let Network::Ip(ip) = &mut answer.network {
        std::mem::swap(&mut ip.source, &mut ip.destination);
    }
    builder.push(&event(6000, POD2, Egress, &answer), &world);
    let paths = finished(&mut builder);
    assert_eq!((paths.len(), paths[0].outcome), (1, Outcome::Delivered));
    assert_eq!(paths[0].hops.len(), 5);
}
