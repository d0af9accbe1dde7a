//! `podtrace export --lake`, `podtrace query` and `podtrace lake`.
#[cfg(feature = "cluster")]
mod care;
#[cfg(feature = "cluster")]
mod query;
#[cfg(feature = "cluster")]
mod until_signal;
#[cfg(feature = "cluster")]
mod write;

#[cfg(feature = "cluster")]
pub(super) use {care::run, query::run as query, write::write};

#[cfg(not(feature = "cluster"))]
mod absent {
    use crate::cli::{ExportArgs, LakeArgs, QueryArgs};

    fn refused() -> anyhow::Result<u8> {
        anyhow::bail!(
            "this podtrace is built without lakes and queries\n\
             hint: build it with the feature cluster: cargo build --release --features cluster"
        )
    }

    pub(in crate::command) fn run(_: &LakeArgs) -> anyhow::Result<u8> {
        refused()
    }

    pub(in crate::command) fn query(_: &QueryArgs) -> anyhow::Result<u8> {
        refused()
    }

    pub(in crate::command) fn write(_: &ExportArgs, _: &str) -> anyhow::Result<u8> {
        refused()
    }
}
#[cfg(not(feature = "cluster"))]
pub(super) use absent::{query, run, write};
