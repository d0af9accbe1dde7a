//! The parts of an EndpointSlice that are read: the pods behind a Service.
use super::{
    ClusterService, ClusterServicePort, Object, Port, created_ns, distinct, name,
    service::{protocol, valid_port},
};

/// Names the Service that a slice is of.
const SERVICE: &str = "kubernetes.io/service-name";

/// Upper bounds of the addresses and ports of a slice, as the API server has them.
const MAX_ADDRESSES: usize = 1000;
const MAX_PORTS: usize = 100;

/// None of no Service.
pub(super) fn endpoints(object: Object) -> Option<ClusterService> {
    let mut metadata = object.metadata;
    let labels = metadata.labels.as_mut();
    let service = labels.and_then(|labels| labels.remove(SERVICE));
    let endpoints = object.endpoints.into_iter().flatten();
    let addresses = endpoints.filter_map(|endpoint| endpoint.addresses);
    let ports = object.ports.into_iter().flatten();
    Some(ClusterService {
        uid: name(metadata.uid)?,
        namespace: name(metadata.namespace)?,
        name: name(service)?,
        addresses: distinct(addresses.flatten(), MAX_ADDRESSES),
        ports: ports.filter_map(endpoint_port).take(MAX_PORTS).collect(),
        created_ns: created_ns(metadata.creation_timestamp),
    })
}

/// None if the protocol is not known, or the port is not valid or not one: a slice without ports
/// stands for all.
fn endpoint_port(port: Port) -> Option<ClusterServicePort> {
    Some(ClusterServicePort {
        name: name(port.name),
        protocol: protocol(port.protocol.as_deref())?,
        port: valid_port(port.port?)?,
        node_port: None,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn slice(labels: &Value) -> Option<ClusterService> {
        let object = json!({
            "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
            "metadata": {"uid": "u1", "namespace": "default", "name": "web-x7k2p",
                "labels": labels, "creationTimestamp": "2026-11-24T20:00:00Z"},
            "addressType": "IPv4",
            "endpoints": [
                {"addresses": ["10.244.1.3"], "conditions": {"ready": true}},
                {"addresses": ["10.244.2.7", "rubbish"]}, {},
            ],
            "ports": [
                {"name": "http", "protocol": "TCP", "port": 8080},
                {"name": "dns", "protocol": "UDP", "port": 53},
                {"name": "all"}, {"port": 65536}, {"protocol": "QUIC", "port": 1},
            ],
        });
        endpoints(serde_json::from_value(object).unwrap())
    }

    #[test]
    fn a_slice_has_the_addresses_and_ports_of_its_services_pods() {
        let endpoints = slice(&json!({"kubernetes.io/service-name": "web"})).unwrap();
        let addresses: Vec<_> = endpoints
            .addresses
            .iter()
            .map(ToString::to_string)
            .collect();
        let ports = endpoints.ports.iter();
        let ports: Vec<_> = ports.map(|port| (port.protocol, port.port)).collect();
        assert_eq!(endpoints.name, "web");
        assert_eq!(addresses, ["10.244.1.3", "10.244.2.7"]);
        assert_eq!(ports, [(6, 8080), (17, 53)]);
    }

    #[test]
    fn a_slice_of_no_service_is_ignored() {
        assert_eq!(slice(&json!({"app": "web"})), None);
        assert_eq!(slice(&Value::Null), None);
    }
}
