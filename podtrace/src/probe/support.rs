//! The requirements of podtrace on the process and the kernel, and which of them are missing.
use std::{fs, io};

use aya::{maps::MapType, sys::is_map_supported};
use nix::sys::{
    resource::{RLIM_INFINITY, Resource, getrlimit},
    utsname::uname,
};

use crate::text::escape::shown;

/// Capabilities required for tracing: name, number (linux/capability.h).
const NEEDED: [(&str, u32); 7] = [
    ("CAP_BPF", 39),
    ("CAP_PERFMON", 38),
    ("CAP_NET_ADMIN", 12),
    ("CAP_NET_BROADCAST", 11),
    ("CAP_SYS_ADMIN", 21),
    ("CAP_SYS_PTRACE", 19),
    ("CAP_DAC_READ_SEARCH", 2),
];

/// Required in addition if maps count as locked memory, which only root has enough of.
const NEEDED_TO_LOCK: (&str, u32) = ("CAP_SYS_RESOURCE", 24);
/// The first kernel that does not count maps as locked memory.
const COUNTS_MAPS_APART: (u32, u32) = (5, 11);
/// Capabilities so new (Linux 5.8) that container runtimes may not know them.
const NEW: [&str; 2] = ["CAP_BPF", "CAP_PERFMON"];

/// The required capabilities that this process lacks.
///
/// # Errors
/// When `/proc/self/status` cannot be read, or the kernel does not state its release.
pub fn missing_capabilities() -> io::Result<Vec<&'static str>> {
    let status = fs::read_to_string("/proc/self/status")?;
    let locks = is_before(&release()?, COUNTS_MAPS_APART)
        && getrlimit(Resource::RLIMIT_MEMLOCK)?.0 != RLIM_INFINITY;
    Ok(missing_in(effective(&status).unwrap_or(0), locks))
}

/// The capabilities that this process lacks to inspect the node without tracing it.
///
/// # Errors
/// When `/proc/self/status` cannot be read.
pub fn missing_to_inspect() -> io::Result<Vec<&'static str>> {
    missing_of(&["CAP_SYS_ADMIN", "CAP_SYS_PTRACE"])
}

/// The capabilities that this process lacks to remove leftovers of dead podtraces.
///
/// # Errors
/// When `/proc/self/status` cannot be read.
pub fn missing_to_clean() -> io::Result<Vec<&'static str>> {
    missing_of(&["CAP_NET_ADMIN", "CAP_SYS_ADMIN", "CAP_SYS_PTRACE"])
}

fn missing_of(names: &[&str]) -> io::Result<Vec<&'static str>> {
    let mut missing = missing_capabilities()?;
    missing.retain(|name| names.contains(name));
    Ok(missing)
}

/// Names the missing capabilities in one line, with a remedy; none if none is missing.
#[must_use]
pub fn lack_in_words(missing: &[&str], is_root: bool) -> Option<String> {
    if missing.is_empty() {
        return None;
    }
    let hint = if !is_root {
        "run it with sudo"
    } else if missing.iter().all(|name| NEW.contains(name)) {
        "the container runtime is older than these (Linux 5.8): update it, or run podtrace \
         outside of the container"
    } else {
        "the container takes them from root: run it as a privileged one, or add them \
         (securityContext.capabilities in Kubernetes, --cap-add in Docker)"
    };
    let missing = missing.join(", ");
    Some(format!("missing capabilities: {missing}\nhint: {hint}"))
}

fn effective(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|l| l.strip_prefix("CapEff:"))?;
    u64::from_str_radix(line.trim(), 16).ok()
}

fn missing_in(effective: u64, locks: bool) -> Vec<&'static str> {
    NEEDED
        .iter()
        .chain(locks.then_some(&NEEDED_TO_LOCK))
        .filter(|(_, number)| effective >> number & 1 == 0)
        .map(|(name, _)| *name)
        .collect()
}

/// The oldest kernel that podtrace traces on.
const OLDEST: (u32, u32) = (5, 10);

/// A message if the kernel is too old. From [`OLDEST`] on, features are probed: distributions
/// backport them.
///
/// # Errors
/// When the kernel does not state its release.
pub fn too_old() -> io::Result<Option<String>> {
    Ok(too_old_in(&release()?))
}

fn too_old_in(release: &str) -> Option<String> {
    let (major, minor) = OLDEST;
    is_before(release, OLDEST).then(|| {
        format!(
            "Linux {release} is too old to trace packets on, which takes {major}.{minor} or later; \
             topology, replay, stats and export run on it"
        )
    })
}

fn release() -> io::Result<String> {
    Ok(shown(uname()?.release()))
}

/// Whether a release is older than that version; false for a release of unknown form.
fn is_before(release: &str, version: (u32, u32)) -> bool {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit());
    let mut number = || numbers.next()?.parse::<u32>().ok();
    matches!((number(), number()), (Some(major), Some(minor)) if (major, minor) < version)
}

/// The features that this kernel lacks, in words; empty if podtrace can run.
#[must_use]
pub fn missing_features() -> Vec<String> {
    let ring = is_map_supported(MapType::RingBuf).unwrap_or(false);
    let btf = fs::exists("/sys/kernel/btf/vmlinux").unwrap_or(false);
    features_in(ring, btf)
}

fn features_in(ring: bool, btf: bool) -> Vec<String> {
    [
        (ring, "BPF ring buffer (Linux 5.8 or later)"),
        (btf, "/sys/kernel/btf/vmlinux (CONFIG_DEBUG_INFO_BTF)"),
    ]
    .into_iter()
    .filter(|(present, _)| !present)
    .map(|(_, text)| text.to_owned())
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn capabilities_missing_are_named() {
        assert_eq!(missing_in(u64::MAX, true), Vec::<&str>::new());
        assert_eq!(missing_in(!(1 << 39), true), ["CAP_BPF"]);
        assert_eq!(missing_in(0, false).len(), NEEDED.len());
        assert_eq!(missing_in(0, true).len(), NEEDED.len() + 1);
        assert_eq!(
            effective("Name:\tx\nCapEff:\t000001ffffffffff\n"),
            Some(0x1ff_ffff_ffff)
        );
    }

    #[test]
    fn what_to_do_about_missing_capabilities_depends_on_who_lacks_them() {
        assert_eq!(lack_in_words(&[], false), None);
        let all = missing_in(0, true);
        for (missing, is_root, hint) in [
            (&all[..], false, "sudo"),
            (&all[..], true, "--cap-add"),
            (&["CAP_SYS_PTRACE"], true, "--cap-add"),
            (&NEW[..1], false, "sudo"),
            (&NEW, true, "container runtime is older"),
        ] {
            let words = lack_in_words(missing, is_root).unwrap();
            let [names, what_to_do] = words.lines().collect::<Vec<_>>()[..] else {
                panic!("{words}");
            };
            assert!(missing.iter().all(|name| names.contains(name)), "{words}");
            assert!(what_to_do.contains(hint), "{words}");
        }
    }

    #[test]
    fn old_kernels_are_recognised_by_their_release() {
        let old = too_old_in("4.19.0-27-amd64").unwrap();
        assert!(old.starts_with("Linux 4.19.0-27-amd64 is too old"), "{old}");
        assert!(too_old_in("5.9-rc1").is_some() && too_old_in("3.10.0-1160.el7").is_some());
        for fine in ["5.10.0-46", "5.14.0-70.el9", "6.1", "10.0.1", "strange"] {
            assert_eq!(too_old_in(fine), None, "{fine}");
        }
    }

    #[test]
    fn features_missing_are_named() {
        assert!(features_in(true, true).is_empty());
        let text = features_in(false, true).join(", ");
        assert!(
            text.contains("ring buffer") && text.contains("5.8"),
            "{text}"
        );
    }
}
