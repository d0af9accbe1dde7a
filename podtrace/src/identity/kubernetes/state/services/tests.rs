use super::{
    super::{
        super::{Cluster, ClusterServicePort, ClusterUpdate, Resource},
        claims::REMEMBER_NS,
    },
    *,
};
use crate::packet::{IPPROTO_TCP as TCP, IPPROTO_UDP as UDP};

const SECOND: u64 = 1_000_000_000;
/// UTC nanoseconds at the monotonic zero.
const EPOCH: i64 = 1_795_550_000_000_000_000;

/// A Service that was made at a monotonic second.
fn service(uid: &str, addresses: &[&str], ports: &[(u8, u16, Option<u16>)]) -> ClusterService {
    ClusterService {
        uid: uid.into(),
        namespace: "default".into(),
        name: format!("web-{uid}"),
        addresses: addresses.iter().map(|text| text.parse().unwrap()).collect(),
        ports: ports
            .iter()
            .map(|(protocol, port, node_port)| ClusterServicePort {
                name: Some(format!("p{port}")),
                protocol: *protocol,
                port: *port,
                node_port: *node_port,
            })
            .collect(),
        created_ns: EPOCH + 100 * 1_000_000_000,
    }
}

/// A cluster that takes updates at whole seconds.
struct Check(Cluster);

impl Check {
    fn new() -> Self {
        Self(Cluster::new(EPOCH.into()))
    }

    fn service(&mut self, service: ClusterService, second: u64) {
        self.apply(ClusterUpdate::Service(service), second);
    }

    fn apply(&mut self, update: ClusterUpdate, second: u64) {
        self.0.apply(update, second * SECOND);
    }

    /// The Service at an address, or at each node, by this port at a second.
    fn at(&self, (protocol, address, port): (u8, &str, u16), second: u64) -> Option<&str> {
        let address = (!address.is_empty()).then(|| address.parse().unwrap());
        let found = self.0.service_at(protocol, address, port, second * SECOND);
        found.map(|port| &*port.name)
    }
}

#[test]
fn a_service_is_found_by_each_address_port_and_node_port() {
    let mut check = Check::new();
    let addresses = ["10.96.0.10", "fd00:96::10", "198.51.100.7"];
    let ports = [(TCP, 80, Some(30080)), (UDP, 53, None)];
    check.service(service("a", &addresses, &ports), 200);
    for address in addresses {
        assert_eq!(check.at((TCP, address, 80), 150), Some("default/web-a:80"));
        assert_eq!(check.at((UDP, address, 53), 150), Some("default/web-a:53"));
        assert_eq!(check.at((UDP, address, 80), 150), None);
        assert_eq!(check.at((TCP, address, 30080), 150), None);
        // Before it was made.
        assert_eq!(check.at((TCP, address, 80), 99), None);
    }
    assert_eq!(check.at((TCP, "", 30080), 150), Some("default/web-a:80"));
    assert_eq!(check.at((UDP, "", 30080), 150), None);
    let port = check.0.service_at(TCP, None, 30080, 150 * SECOND).unwrap();
    assert_eq!(port.port_name.as_deref(), Some("p80"));
}

#[test]
fn names_are_safe_to_print() {
    let mut check = Check::new();
    let mut strange = service("a", &["10.96.0.10"], &[(TCP, 80, None)]);
    strange.name = "a\x1b[31m".into();
    strange.ports[0].name = Some("p\u{202e}".into());
    check.service(strange, 200);
    let address = Some("10.96.0.10".parse().unwrap());
    let port = check.0.service_at(TCP, address, 80, 200 * SECOND).unwrap();
    let shown = format!("{} {}", port.name, port.port_name.as_deref().unwrap());
    assert_eq!(shown, "default/a\u{fffd}[31m:80 p\u{fffd}");
}

#[test]
fn an_address_that_changes_hands_has_the_name_of_its_time() {
    let mut check = Check::new();
    let of = |uid| service(uid, &["10.96.0.10"], &[(TCP, 80, None)]);
    check.service(of("a"), 200);
    let deleted = ClusterUpdate::ServiceDeleted { uid: "a".into() };
    check.apply(deleted, 210);
    let mut next = of("b");
    next.created_ns = EPOCH + 215 * 1_000_000_000;
    check.service(next, 216);
    let at = |check: &Check, second| check.at((TCP, "10.96.0.10", 80), second).map(str::to_owned);
    assert_eq!(at(&check, 209).as_deref(), Some("default/web-a:80"));
    assert_eq!(at(&check, 212), None);
    assert_eq!(at(&check, 216).as_deref(), Some("default/web-b:80"));
    // The first one is forgotten.
    check.service(of("c"), 300);
    assert_eq!(at(&check, 209).as_deref(), Some("default/web-c:80"));
    // Two at once: none of them.
    assert_eq!(at(&check, 301), None);
}

#[test]
fn a_service_that_changes_keeps_what_stays() {
    let mut check = Check::new();
    let ports = [(TCP, 80, Some(30080))];
    check.service(service("a", &["10.96.0.10"], &ports), 200);
    let ports = [(TCP, 80, Some(30090))];
    check.service(service("a", &["10.96.0.10", "198.51.100.7"], &ports), 210);
    for second in [150, 205, 210, 300] {
        let found = check.at((TCP, "10.96.0.10", 80), second);
        assert_eq!(found, Some("default/web-a:80"), "{second} s");
    }
    assert_eq!(check.at((TCP, "198.51.100.7", 80), 205), None);
    assert!(check.at((TCP, "198.51.100.7", 80), 210).is_some());
    assert!(check.at((TCP, "", 30080), 205).is_some());
    assert_eq!(check.at((TCP, "", 30080), 210), None);
}

#[test]
fn what_a_new_list_lacks_was_deleted() {
    let mut check = Check::new();
    check.apply(ClusterUpdate::Restart(Resource::Services), 200);
    let [a, b] = [("a", "10.96.0.10"), ("b", "10.96.0.11")]
        .map(|(uid, address)| service(uid, &[address], &[(TCP, 80, None)]));
    check.service(a, 200);
    check.service(b.clone(), 200);
    check.apply(ClusterUpdate::Synced(Resource::Services), 201);
    check.apply(ClusterUpdate::Restart(Resource::Services), 210);
    check.service(b, 211);
    assert!(check.at((TCP, "10.96.0.10", 80), 211).is_some());
    check.apply(ClusterUpdate::Synced(Resource::Services), 212);
    assert!(check.at((TCP, "10.96.0.10", 80), 209).is_some());
    assert_eq!(check.at((TCP, "10.96.0.10", 80), 210), None);
    assert!(check.at((TCP, "10.96.0.11", 80), 212).is_some());
}

#[test]
fn room_is_bounded_and_what_exceeds_it_is_counted() {
    let mut services = Services::default();
    let ports: Vec<_> = (1..=u16::MAX).map(|port| (TCP, port, None)).collect();
    for number in 0..4 {
        let address = format!("10.96.0.{number}");
        let service = service(&number.to_string(), &[&address], &ports);
        services.insert(service, 0, 0, 1);
    }
    assert_eq!((services.held, services.not_kept()), (MAX_CLAIMS, 1));
    services.remove("0", 1);
    assert_eq!(services.held, MAX_CLAIMS - usize::from(u16::MAX));
    services.forget(1);
    assert_eq!(services.claims.released.len(), usize::from(u16::MAX));
    services.forget(2 * REMEMBER_NS);
    assert_eq!(services.claims.by_key.len(), services.held);
}
