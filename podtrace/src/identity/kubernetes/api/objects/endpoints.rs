//! The parts of an EndpointSlice that are read: the pods behind a Service.
use std::borrow::Cow;

use k8s_openapi::{api::discovery::v1, apimachinery::pkg::apis::meta::v1::ObjectMeta};
use kube::core::{ApiResource, DynamicResourceScope};
use serde::Deserialize;

use super::{
    Followed, distinct, name,
    service::{protocol, valid_port},
    utc_ns,
};
use crate::identity::kubernetes::{ClusterService, ClusterServicePort, ClusterUpdate, Resource};

/// Names the Service that a slice is of.
const SERVICE: &str = "kubernetes.io/service-name";

/// Upper bounds of the addresses and ports of a slice, as the API server has them.
const MAX_ADDRESSES: usize = 1000;
const MAX_PORTS: usize = 100;

/// An EndpointSlice: it has no `spec`.
#[derive(Clone, Debug, Deserialize)]
pub(in super::super) struct SliceObject {
    metadata: ObjectMeta,
    endpoints: Option<Vec<Endpoint>>,
    ports: Option<Vec<Port>>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct Endpoint {
    addresses: Option<Vec<String>>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct Port {
    name: Option<String>,
    protocol: Option<String>,
    port: Option<i32>,
}

impl kube::Resource for SliceObject {
    type DynamicType = ApiResource;
    type Scope = DynamicResourceScope;

    fn kind(resource: &ApiResource) -> Cow<'_, str> {
        resource.kind.as_str().into()
    }

    fn group(resource: &ApiResource) -> Cow<'_, str> {
        resource.group.as_str().into()
    }

    fn version(resource: &ApiResource) -> Cow<'_, str> {
        resource.version.as_str().into()
    }

    fn plural(resource: &ApiResource) -> Cow<'_, str> {
        resource.plural.as_str().into()
    }

    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }
}

impl Followed for SliceObject {
    const RESOURCE: Resource = Resource::EndpointSlices;

    fn api_resource() -> ApiResource {
        ApiResource::erase::<v1::EndpointSlice>(&())
    }

    fn present(self) -> Option<ClusterUpdate> {
        let created = self.metadata.creation_timestamp.as_ref();
        let created_ns = created.and_then(utc_ns).unwrap_or(0);
        let service = self.metadata.labels.and_then(|mut all| all.remove(SERVICE));
        let endpoints = self.endpoints.into_iter().flatten();
        let addresses = endpoints.filter_map(|endpoint| endpoint.addresses);
        let ports = self.ports.into_iter().flatten();
        Some(ClusterUpdate::Endpoints(ClusterService {
            uid: name(self.metadata.uid)?,
            namespace: name(self.metadata.namespace)?,
            name: name(service)?,
            addresses: distinct(addresses.flatten(), MAX_ADDRESSES),
            ports: ports.filter_map(endpoint_port).take(MAX_PORTS).collect(),
            created_ns,
        }))
    }

    fn removal(self) -> Option<ClusterUpdate> {
        let uid = name(self.metadata.uid)?;
        Some(ClusterUpdate::EndpointsDeleted { uid })
    }
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

    fn update(labels: &Value) -> Option<ClusterUpdate> {
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
        serde_json::from_value::<SliceObject>(object)
            .unwrap()
            .present()
    }

    #[test]
    fn a_slice_has_the_addresses_and_ports_of_its_services_pods() {
        let Some(ClusterUpdate::Endpoints(endpoints)) =
            update(&json!({"kubernetes.io/service-name": "web"}))
        else {
            panic!("no endpoints");
        };
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
        assert_eq!(update(&json!({"app": "web"})), None);
        assert_eq!(update(&Value::Null), None);
    }

    #[test]
    fn slices_are_asked_for_by_their_group() {
        let resource = SliceObject::api_resource();
        assert_eq!(resource.api_version, "discovery.k8s.io/v1");
        assert_eq!(resource.plural, "endpointslices");
    }
}
