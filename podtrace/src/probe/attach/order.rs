//! The order of TCX programs at an interface: a program before ours may end the chain.
//!
//! The kernel sends no notification when the order changes. As a rule, a change takes a new
//! program or a new link, and their numbers rise: two system calls detect that.
use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use aya::programs::{ProgramInfo, loaded_programs};

use crate::{
    clock::monotonic_ns,
    probe::{
        feature::is_ours,
        sys::{Numbered, TcxHook, newest, tcx_programs},
    },
    text::sanitize::sanitize,
};

/// How often to ask the kernel for new programs or links.
pub(super) const EVERY: Duration = Duration::from_secs(1);
/// How often to check all interfaces anyway: a program can be attached twice, or detached.
const ALL_EVERY: Duration = Duration::from_secs(30);

/// Detects whether the order may have changed since the last check.
pub(super) struct ChangeDetector {
    /// The newest program and link of the kernel.
    newest: (u32, u32),
    /// When all interfaces were checked.
    all: Instant,
    /// When the kernel was asked, in nanoseconds of CLOCK_MONOTONIC.
    asked_ns: u64,
}

/// The interfaces to check.
#[derive(Clone, Copy, Debug)]
pub(super) struct Due {
    /// All interfaces, or only those where other programs come first.
    pub(super) all: bool,
    /// The change came after this time, in nanoseconds of CLOCK_MONOTONIC.
    pub(super) since_ns: u64,
}

impl ChangeDetector {
    pub(super) fn new() -> Self {
        Self {
            newest: renewed((0, 0)),
            all: Instant::now(),
            asked_ns: monotonic_ns().unwrap_or_default(),
        }
    }

    /// Marks the current programs and links as known.
    pub(super) fn skip(&mut self) {
        self.newest = renewed(self.newest);
    }

    /// Asks the kernel what has to be checked.
    pub(super) fn due(&mut self) -> Due {
        let before = self.newest;
        self.skip();
        let all = self.newest != before || self.all.elapsed() >= ALL_EVERY;
        if all {
            self.all = Instant::now();
        }
        let since_ns = self.asked_ns;
        self.asked_ns = monotonic_ns().unwrap_or(since_ns);
        Due { all, since_ns }
    }
}

/// The newest program and link. What the kernel does not answer stays as known.
fn renewed((program, link): (u32, u32)) -> (u32, u32) {
    let newest = |what, known| newest(what, known).unwrap_or(known);
    (
        newest(Numbered::Programs, program),
        newest(Numbered::Links, link),
    )
}

/// The kernel's programs in words, as far as they were needed: numbers are not reused.
#[derive(Default)]
pub(super) struct Programs {
    /// None for our programs.
    known: HashMap<u32, Option<String>>,
}

impl Programs {
    /// The programs of other tools that run before one, given by number, at an interface of
    /// the calling thread's namespace, in words; all of them if that one is missing.
    pub(super) fn before(&mut self, ifindex: u32, hook: TcxHook, ours: Option<u32>) -> Vec<String> {
        // A removed interface has none.
        let mut programs = tcx_programs(ifindex, hook).unwrap_or_default();
        let position = programs.iter().position(|id| Some(*id) == ours);
        programs.truncate(position.unwrap_or(programs.len()));
        if programs.iter().any(|id| !self.known.contains_key(id)) {
            let loaded = loaded_programs().filter_map(Result::ok);
            let in_words = |info: &ProgramInfo| (!is_ours(info)).then(|| in_words(info));
            self.known = loaded.map(|info| (info.id(), in_words(&info))).collect();
        }
        let others = programs
            .iter()
            .filter_map(|id| self.known.get(id)?.as_ref());
        let direction = match hook {
            TcxHook::Ingress => "ingress",
            TcxHook::Egress => "egress",
        };
        others
            .map(|other| format!("{other}, {direction}"))
            .collect()
    }
}

/// `TCX program 17 (cil_from_container)`
fn in_words(program: &ProgramInfo) -> String {
    let name = String::from_utf8_lossy(program.name());
    let name = match &*name {
        "" => "no name".to_owned(),
        name => sanitize(name),
    };
    format!("TCX program {} ({name})", program.id())
}
