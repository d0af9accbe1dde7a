use std::net::TcpListener;

use super::{socket::connects, *};

#[test]
fn connections_are_counted_as_answered_also_when_refused() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let open = listener.local_addr().unwrap();
    let probed = connects(open);
    assert_eq!((probed.answered, probed.error), (3, None));
    drop(listener);
    let probed = connects(open);
    assert_eq!(probed.answered, 3);
    let error = probed.error.unwrap();
    assert_eq!(
        (error.kind, &*error.words),
        (ErrorKind::Refused, "Connection refused")
    );
}

#[test]
fn namespace_that_is_gone_is_said() {
    let prober = Prober::start(Vec::new()).unwrap();
    let probes = Probes {
        netns: u64::MAX,
        to: "127.0.0.1".parse().unwrap(),
        ask: Ask::Echo,
        echo_id: 1,
        ladder: Vec::new(),
        server: None,
    };
    prober.send(probes);
    let result = prober.results.recv().unwrap();
    assert!(matches!(result, Err(ProberError::NotFound)));
}
