//! The order of TCX programs at an interface: what runs before ours may end the chain.
//!
//! The kernel does not tell when it changes. It takes a new program or a new link, as a
//! rule, and those have numbers that rise: two system calls tell whether to look.
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

/// How often to ask whether the kernel has new programs or links.
pub(super) const EVERY: Duration = Duration::from_secs(1);
/// How often to look even so: a program can be attached twice, or detached.
const ALL_EVERY: Duration = Duration::from_secs(30);

/// Whether the order may have changed since it was looked at.
pub(super) struct News {
    /// The newest program and link of the kernel.
    newest: (u32, u32),
    /// When every interface was looked at.
    all: Instant,
    /// When it was asked, in nanoseconds of CLOCK_MONOTONIC.
    asked_ns: u64,
}

/// What to look at.
#[derive(Clone, Copy, Debug)]
pub(super) struct Due {
    /// Every interface, or only those where others come first.
    pub(super) all: bool,
    /// A change has come since then, in nanoseconds of CLOCK_MONOTONIC.
    pub(super) since_ns: u64,
}

impl News {
    pub(super) fn new() -> Self {
        Self {
            newest: renewed((0, 0)),
            all: Instant::now(),
            asked_ns: monotonic_ns().unwrap_or_default(),
        }
    }

    /// Takes what there is as known.
    pub(super) fn skip(&mut self) {
        self.newest = renewed(self.newest);
    }

    /// Asks.
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

/// The newest program and link by now. If the kernel does not tell, what is known stays.
fn renewed((program, link): (u32, u32)) -> (u32, u32) {
    let newest = |what, known| newest(what, known).unwrap_or(known);
    (
        newest(Numbered::Programs, program),
        newest(Numbered::Links, link),
    )
}

/// The kernel's programs in words, as far as they were asked for: numbers are not reused.
#[derive(Default)]
pub(super) struct Programs {
    /// None for ours.
    known: HashMap<u32, Option<String>>,
}

impl Programs {
    /// The programs of other tools that run before one, by its number, at an interface of
    /// the calling thread's namespace, in words; all of them if it is not there.
    pub(super) fn before(&mut self, ifindex: u32, hook: TcxHook, ours: Option<u32>) -> Vec<String> {
        // An interface that is gone has none.
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
