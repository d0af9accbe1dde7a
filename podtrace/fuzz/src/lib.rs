//! Fuzz targets: what podtrace reads, it reads without a panic, to an end, and truly.
//!
//! A target takes any bytes. It panics where podtrace does, and where what podtrace makes
//! of the bytes breaks a promise. `tests/corpus.rs` runs the kept inputs; the program in
//! `main.rs` looks for more, by `cargo xtask fuzz`.
mod input;
mod recording;
mod targets;

/// Something that reads bytes.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// The name, which its folder in `corpus/` has too.
    pub name: &'static str,
    /// Reads them.
    pub run: fn(&[u8]),
}

impl Target {
    /// The target of a name.
    #[must_use]
    pub fn named(name: &str) -> Option<&'static Self> {
        TARGETS.iter().find(|target| target.name == name)
    }
}

/// All targets.
pub const TARGETS: &[Target] = &[
    Target {
        name: "agent",
        run: targets::agent::run,
    },
    Target {
        name: "capture",
        run: targets::capture::run,
    },
    Target {
        name: "cri",
        run: targets::cri::run,
    },
    Target {
        name: "filter",
        run: targets::filter::run,
    },
    Target {
        name: "kubernetes",
        run: targets::kubernetes::run,
    },
    Target {
        name: "netlink",
        run: targets::netlink::run,
    },
    Target {
        name: "packet",
        run: targets::packet::run,
    },
    Target {
        name: "session",
        run: targets::session::run,
    },
    Target {
        name: "wire",
        run: targets::wire::run,
    },
    Target {
        name: "zstd",
        run: targets::zstd::run,
    },
];
