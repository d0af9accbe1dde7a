//! Child processes of podtrace: credential plugins, which the client of the Kubernetes API
//! starts and does not end.
use std::process;

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use crate::node::processes::children;

/// Ends the children that still run. If the kernel does not list them
/// (`CONFIG_PROC_CHILDREN`), they end on their own.
pub(crate) fn end_children() {
    for pid in children(process::id()).unwrap_or_default() {
        if let Ok(pid) = i32::try_from(pid) {
            // It may have ended meanwhile.
            let _ = kill(Pid::from_raw(pid), Signal::SIGTERM);
        }
    }
}
