//! podtrace: every packet of a Kubernetes node, hop by hop, named by pod.
pub mod packet;
pub mod node;
pub mod lab;
