//! Processes that podtrace has started: credential plugins, by the client of
//! the Kubernetes API, which does not end them.
use std::fs;

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

/// Ends those that still run. Where the kernel does not list them
/// (`CONFIG_PROC_CHILDREN`) they end by themselves.
pub(crate) fn end_children() {
    let Ok(threads) = fs::read_dir("/proc/self/task") else {
        return;
    };
    for thread in threads.flatten() {
        let children = fs::read_to_string(thread.path().join("children"));
        for pid in children.unwrap_or_default().split_whitespace() {
            if let Ok(pid) = pid.parse() {
                // It may have ended meanwhile.
                let _ = kill(Pid::from_raw(pid), Signal::SIGTERM);
            }
        }
    }
}
