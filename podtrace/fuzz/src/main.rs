//! libFuzzer on the target that `PODTRACE_FUZZ_TARGET` names.
#![no_main]

use std::{env, process, sync::LazyLock};

use libfuzzer_sys::fuzz_target;
use podtrace_fuzz::{TARGETS, Target};

static TARGET: LazyLock<&Target> = LazyLock::new(|| {
    let name = env::var("PODTRACE_FUZZ_TARGET").unwrap_or_default();
    Target::named(&name).unwrap_or_else(|| {
        let names: Vec<_> = TARGETS.iter().map(|target| target.name).collect();
        eprintln!(
            "error: PODTRACE_FUZZ_TARGET is not one of {}",
            names.join(", ")
        );
        process::exit(2)
    })
});

fuzz_target!(|bytes: &[u8]| (TARGET.run)(bytes));
