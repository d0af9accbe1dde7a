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
mod idle;
mod killed;
mod lab;
mod load;
mod look;
mod pod_start;
mod pods_churn;
mod program;
mod roads;
mod runtime;
mod runtime_trouble;
mod sessions;
mod topology;
mod tracer;
mod view;
mod ways;
