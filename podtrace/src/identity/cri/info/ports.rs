//! The ports of the node that lead to a pod, in the spelling of each runtime.
use std::net::IpAddr;

use serde_json::Value;

use crate::{
    model::pod::HostPort,
    packet::{IPPROTO_SCTP, IPPROTO_TCP, IPPROTO_UDP},
};

/// CRI-O's annotation for them: JSON text.
const CRIO_PORTS: &str = "io.kubernetes.cri-o.PortMappings";
/// Upper bound of the ports of a pod.
const PORTS_MAX: usize = 1024;

/// What the pod's configuration says (containerd), and what CRI-O notes.
pub(super) fn host_ports(info: &Value) -> Vec<HostPort> {
    let noted = info["runtimeSpec"]["annotations"][CRIO_PORTS].as_str();
    let noted = noted.and_then(|text| serde_json::from_str(text).ok());
    let mappings = [
        info["config"]["port_mappings"].clone(),
        noted.unwrap_or_default(),
    ];
    let mappings = mappings.iter().filter_map(Value::as_array).flatten();
    mappings.filter_map(host_port).take(PORTS_MAX).collect()
}

/// A mapping; none if no port of the node is part of it.
fn host_port(mapping: &Value) -> Option<HostPort> {
    let field = |names: [&str; 2]| {
        names
            .into_iter()
            .map(|name| &mapping[name])
            .find(|it| !it.is_null())
    };
    let port = |names| {
        let number = field(names).and_then(Value::as_u64);
        number
            .and_then(|number| u16::try_from(number).ok())
            .filter(|number| *number > 0)
    };
    let protocol = match field(["protocol", "Protocol"]) {
        // Protocol buffers leave out what is zero.
        None => IPPROTO_TCP,
        Some(Value::Number(number)) => [IPPROTO_TCP, IPPROTO_UDP, IPPROTO_SCTP]
            .get(usize::try_from(number.as_u64()?).ok()?)
            .copied()?,
        Some(name) => match name.as_str()?.to_ascii_lowercase().as_str() {
            "tcp" => IPPROTO_TCP,
            "udp" => IPPROTO_UDP,
            "sctp" => IPPROTO_SCTP,
            _ => return None,
        },
    };
    let address = field(["host_ip", "HostIP"]).and_then(Value::as_str);
    let address: Option<IpAddr> = address.and_then(|text| text.parse().ok());
    Some(HostPort {
        protocol,
        port: port(["host_port", "HostPort"])?,
        address: address.filter(|address| !address.is_unspecified()),
        pod_port: port(["container_port", "ContainerPort"])?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ports(info: &str) -> String {
        let ports = host_ports(&serde_json::from_str(info).unwrap());
        let ports = ports.iter().map(|it| {
            format!(
                "{}/{}{}->{}",
                it.protocol,
                it.address.map_or_else(String::new, |at| format!("{at}:")),
                it.port,
                it.pod_port
            )
        });
        ports.collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn each_runtime_tells_its_ports() {
        let containerd = r#"{"config":{"port_mappings":[
            {"container_port":80,"host_port":8080},
            {"protocol":1,"container_port":53,"host_port":5353,"host_ip":"192.168.0.1"},
            {"protocol":2,"container_port":9,"host_port":9,"host_ip":"0.0.0.0"},
            {"container_port":81}]}}"#;
        assert_eq!(
            ports(containerd),
            "6/8080->80 17/192.168.0.1:5353->53 132/9->9"
        );
        let crio = r#"{"runtimeSpec":{"annotations":{"io.kubernetes.cri-o.PortMappings":
            "[{\"HostPort\":8080,\"ContainerPort\":80,\"Protocol\":\"TCP\",\"HostIP\":\"\"}]"}}}"#;
        assert_eq!(ports(crio), "6/8080->80");
    }

    #[test]
    fn nonsense_is_no_port() {
        for odd in [
            r#"{"config":{"port_mappings":{"host_port":1}}}"#,
            r#"{"config":{"port_mappings":[7,null,"x",[],{}]}}"#,
            r#"{"config":{"port_mappings":[{"host_port":70000,"container_port":1}]}}"#,
            r#"{"config":{"port_mappings":[{"host_port":-1,"container_port":1}]}}"#,
            r#"{"config":{"port_mappings":[{"host_port":1,"container_port":1,"protocol":9}]}}"#,
            r#"{"config":{"port_mappings":[{"host_port":1,"container_port":1,"protocol":-1}]}}"#,
            r#"{"runtimeSpec":{"annotations":{"io.kubernetes.cri-o.PortMappings":"["}}}"#,
        ] {
            assert_eq!(ports(odd), "", "{odd}");
        }
    }
}
