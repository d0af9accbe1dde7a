//! What podtrace needs of the process and the kernel, and what of it is missing.
use std::{fs, io};

use aya::{maps::MapType, sys::is_map_supported};

/// Capabilities that tracing needs: name, number (linux/capability.h), what for.
const NEEDED: [(&str, u32, &str); 7] = [
    ("CAP_BPF", 39, "load programs"),
    ("CAP_PERFMON", 38, "read kernel structures"),
    ("CAP_NET_ADMIN", 12, "attach to interfaces"),
    (
        "CAP_NET_BROADCAST",
        11,
        "hear of changes in pods' namespaces",
    ),
    ("CAP_SYS_ADMIN", 21, "enter pods' network namespaces"),
    ("CAP_SYS_PTRACE", 19, "find pods' network namespaces"),
    ("CAP_DAC_READ_SEARCH", 2, "find a socket's cgroup by its id"),
];

/// The needed capabilities that this process lacks, with their purpose.
///
/// # Errors
/// When `/proc/self/status` cannot be read.
pub fn missing_capabilities() -> io::Result<Vec<String>> {
    let status = fs::read_to_string("/proc/self/status")?;
    Ok(missing_in(effective(&status).unwrap_or(0)))
}

/// The capabilities that this process lacks to look at the node without
/// tracing it, with their purpose.
///
/// # Errors
/// When `/proc/self/status` cannot be read.
pub fn missing_to_look() -> io::Result<Vec<String>> {
    missing_of(&["CAP_SYS_ADMIN", "CAP_SYS_PTRACE"])
}

/// The capabilities that this process lacks to remove what dead podtraces have left,
/// with their purpose.
///
/// # Errors
/// When `/proc/self/status` cannot be read.
pub fn missing_to_clean() -> io::Result<Vec<String>> {
    missing_of(&["CAP_NET_ADMIN", "CAP_SYS_ADMIN", "CAP_SYS_PTRACE"])
}

fn missing_of(names: &[&str]) -> io::Result<Vec<String>> {
    let mut missing = missing_capabilities()?;
    missing.retain(|text| names.iter().any(|name| text.starts_with(name)));
    Ok(missing)
}

fn effective(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|l| l.strip_prefix("CapEff:"))?;
    u64::from_str_radix(line.trim(), 16).ok()
}

fn missing_in(effective: u64) -> Vec<String> {
    NEEDED
        .iter()
        .filter(|(_, number, _)| effective >> number & 1 == 0)
        .map(|(name, _, purpose)| format!("{name} ({purpose})"))
        .collect()
}

/// What this kernel lacks, in words; empty when podtrace can run.
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
        assert_eq!(missing_in(u64::MAX), Vec::<String>::new());
        assert_eq!(missing_in(!(1 << 39)), ["CAP_BPF (load programs)"]);
        assert_eq!(missing_in(0).len(), NEEDED.len());
        assert_eq!(
            effective("Name:\tx\nCapEff:\t000001ffffffffff\n"),
            Some(0x1ff_ffff_ffff)
        );
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
