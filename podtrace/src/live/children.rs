//! Child processes of podtrace: credential plugins, which the client of the Kubernetes API
//! starts and does not end.
use std::fs;

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

/// Ends the children that still run. If the kernel does not list them
/// (`CONFIG_PROC_CHILDREN`), they end on their own.
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
