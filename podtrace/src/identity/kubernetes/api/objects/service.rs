//! The parts of a Service that are read.
use super::{ClusterService, ClusterServicePort, Object, Port, created_ns, distinct, name};
use crate::packet::{IPPROTO_SCTP, IPPROTO_TCP, IPPROTO_UDP};

/// Upper bound of the addresses of a Service: it may have one of each node.
const MAX_ADDRESSES: usize = 64;

/// Upper bound of the ports of a Service.
const MAX_PORTS: usize = 256;

/// A headless Service has no addresses: `None` is none.
pub(super) fn cluster_service(object: Object) -> Option<ClusterService> {
    let metadata = object.metadata;
    let balancer = object.status.and_then(|status| status.load_balancer);
    let ingress = balancer.and_then(|balancer| balancer.ingress);
    let ingress = ingress.into_iter().flatten().filter_map(|by| by.ip);
    let spec = object.spec.unwrap_or_default();
    let cluster = spec.cluster_ips.into_iter().flatten();
    let external = spec.external_ips.into_iter().flatten();
    let own = cluster.chain(spec.cluster_ip);
    let ports = spec.ports.into_iter().flatten();
    Some(ClusterService {
        uid: name(metadata.uid)?,
        namespace: name(metadata.namespace)?,
        name: name(metadata.name)?,
        addresses: distinct(own.chain(external).chain(ingress), MAX_ADDRESSES),
        ports: ports.filter_map(service_port).take(MAX_PORTS).collect(),
        created_ns: created_ns(metadata.creation_timestamp),
    })
}

/// None if the protocol is not known or the port is not valid.
fn service_port(port: Port) -> Option<ClusterServicePort> {
    Some(ClusterServicePort {
        name: name(port.name),
        protocol: protocol(port.protocol.as_deref())?,
        port: valid_port(port.port?)?,
        node_port: port.node_port.and_then(valid_port),
    })
}

/// The number of a protocol, if it is known.
pub(super) fn protocol(name: Option<&str>) -> Option<u8> {
    match name {
        None | Some("TCP") => Some(IPPROTO_TCP),
        Some("UDP") => Some(IPPROTO_UDP),
        Some("SCTP") => Some(IPPROTO_SCTP),
        Some(_) => None,
    }
}

pub(super) fn valid_port(port: i32) -> Option<u16> {
    u16::try_from(port).ok().filter(|port| *port > 0)
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use serde_json::json;

    use super::*;

    #[test]
    fn a_service_has_all_its_addresses_and_the_ports_that_are_some() {
        let object = json!({
            "metadata": {"uid": "u1", "namespace": "default", "name": "web",
                "creationTimestamp": "2026-11-24T20:00:00Z"},
            "spec": {
                "type": "LoadBalancer", "selector": {"app": "web"},
                "clusterIP": "10.96.0.10", "clusterIPs": ["10.96.0.10", "fd00:96::10"],
                "externalIPs": ["198.51.100.7"],
                "ports": [
                    {"name": "http", "protocol": "TCP", "port": 80, "targetPort": "web",
                     "nodePort": 30080},
                    {"port": 443},
                    {"protocol": "UDP", "port": 53, "nodePort": 0},
                    {"protocol": "QUIC", "port": 1}, {"port": 0}, {"port": 65536}, {},
                ],
            },
            "status": {"loadBalancer": {"ingress": [
                {"ip": "203.0.113.9"}, {"hostname": "lb.example.com"},
            ]}},
        });
        let object: Object = serde_json::from_value(object).unwrap();
        let service = cluster_service(object).unwrap();
        let addresses = ["10.96.0.10", "fd00:96::10", "198.51.100.7", "203.0.113.9"];
        let addresses = addresses.map(|address| address.parse::<IpAddr>().unwrap());
        assert_eq!(service.addresses, addresses);
        assert_eq!(service.created_ns, 1_795_550_400_000_000_000);
        let port = |name: Option<&str>, protocol, port, node_port| ClusterServicePort {
            name: name.map(Into::into),
            protocol,
            port,
            node_port,
        };
        let ports = [
            port(Some("http"), 6, 80, Some(30080)),
            port(None, 6, 443, None),
            port(None, 17, 53, None),
        ];
        assert_eq!(service.ports, ports);
    }

    #[test]
    fn a_headless_service_and_an_external_name_have_no_address() {
        for spec in [
            json!({"clusterIP": "None", "clusterIPs": ["None"], "ports": [{"port": 80}]}),
            json!({"type": "ExternalName", "externalName": "example.com"}),
        ] {
            let object = json!({
                "metadata": {"uid": "u1", "namespace": "default", "name": "web"}, "spec": spec,
            });
            let object: Object = serde_json::from_value(object).unwrap();
            assert_eq!(
                cluster_service(object).unwrap().addresses,
                [] as [IpAddr; 0]
            );
        }
    }
}
