//! The cases, one module for each subject.

mod attach_methods;
mod attaching;
mod browser;
mod churn;
mod clsact;
mod cluster;
mod command;
mod cri_lab;
mod crossings;
mod diagnose;
mod drops;
mod faults;
mod findings;
mod flows;
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
mod packages;
mod pod_start;
mod pods_churn;
mod privileges;
mod program;
mod refused;
mod report;
mod roads;
mod rules;
mod runtime;
mod runtime_outages;
mod scan;
mod scenarios;
mod selectors;
mod senders;
mod services;
mod sessions;
mod topology;
mod tracer;
mod unserved;
mod uplinks;
mod view;
mod wireshark;
mod workload;

use std::process::Command;

use podtrace::lab::{Lab, LabSpec};
use podtrace::netns::NetNs;

/// A node with this many pods, without IPv6.
fn one_node(pods_per_node: usize) -> Lab {
    Lab::new(LabSpec {
        nodes: 1,
        pods_per_node,
        ipv6: false,
    })
    .unwrap()
}

/// Runs commands in a namespace, one a line.
fn on(netns: &NetNs, commands: &str) {
    for command in commands.lines().map(str::trim) {
        let mut words = command.split_whitespace();
        let Some(program) = words.next() else {
            continue;
        };
        let run = || Command::new(program).args(words).output();
        let output = netns.run(run).unwrap().unwrap();
        assert!(output.status.success(), "{command}: {output:?}");
    }
}
