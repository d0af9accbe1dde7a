//! The cases, one module for each subject.

mod attaching;
mod churn;
mod clsact;
mod command;
mod cri_lab;
mod foreign;
mod harmless;
mod host_network;
mod identity;
mod killed;
mod lab;
mod limits;
mod load;
mod odd_names;
mod old_kernel;
mod order;
mod pod_start;
mod pods_churn;
mod privileges;
mod program;
mod runtime;
mod runtime_trouble;
mod scan;
mod scenarios;
mod senders;
mod services;
mod sessions;
mod topology;
mod tracer;
mod uplinks;
mod view;
mod ways;

use podtrace::lab::{Lab, LabSpec};

/// A node with so many pods, without IPv6.
fn one_node(pods_per_node: usize) -> Lab {
    Lab::new(LabSpec {
        nodes: 1,
        pods_per_node,
        ipv6: false,
    })
    .unwrap()
}
