//! `podtrace cleanup`: removes what killed podtraces left behind: filters, and the network
//! namespaces of `lab` and `demo`.
use super::{FINE, print_out, setup::check_capabilities};
use crate::{
    lab::{Lab, Swept},
    probe::{clsact::sweep_all, support},
    text::{count::counted, sanitize::sanitize},
};

/// Runs the command; returns the exit code.
pub(super) fn run() -> anyhow::Result<u8> {
    check_capabilities(support::missing_to_clean())?;
    let mut out = String::new();
    let (mut removed, mut alive) = (0, 0);
    for swept in sweep_all() {
        removed += swept.removed;
        alive += swept.alive;
        if swept.removed > 0 {
            out += &format!("{}\n", sanitize(&swept.to_string()));
        }
    }
    if alive > 0 {
        out += &format!("{alive} filters of running podtraces are left alone\n");
    }
    // What cannot be removed is reported there.
    let namespaces = Lab::sweep()?;
    if namespaces.removed > 0 {
        let names = counted(namespaces.removed as u64, "network namespace");
        out += &format!("{names} of an earlier lab or demo removed\n");
    }
    if namespaces.left > 0 {
        let names = counted(namespaces.left as u64, "network namespace");
        out += &format!("{names} of an earlier lab or demo left in /run/netns\n");
    }
    if removed == 0 && namespaces == Swept::default() {
        out += "nothing to clean up\n";
    }
    print_out(&out)?;
    Ok(FINE)
}
