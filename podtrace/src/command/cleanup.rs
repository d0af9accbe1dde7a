//! `podtrace cleanup`: removes what podtraces that were killed have left.
use super::{FINE, print_out, setup::check_capabilities};
use crate::{
    probe::{clsact::sweep_all, support},
    text::sanitize::sanitize,
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
    if removed == 0 {
        out += "nothing to clean up\n";
    }
    print_out(&out)?;
    Ok(FINE)
}
