#!/bin/sh
# Cargo runs this in place of rustc for the crates of the workspace
# (RUSTC_WORKSPACE_WRAPPER): podtrace's own get the counters by which libFuzzer sees
# what an input reaches, and the checks of a debug build. All other crates are shared with
# other builds.
case " $* " in
*" --crate-name podtrace "* | *" --crate-name podtrace_ebpf "* | *" --crate-name podtrace_fuzz "*)
    exec "$@" \
        -Cdebug-assertions=on \
        -Coverflow-checks=on \
        -Cpasses=sancov-module \
        -Cllvm-args=-sanitizer-coverage-level=4 \
        -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
        -Cllvm-args=-sanitizer-coverage-pc-table \
        -Cllvm-args=-sanitizer-coverage-trace-compares
    ;;
*)
    exec "$@"
    ;;
esac
