//! `podtrace mcp`: answers for language models, by the Model Context Protocol: about recordings, lakes and nodes.
#[cfg(any(test, feature = "cluster"))]
#[cfg_attr(not(feature = "cluster"), expect(dead_code, reason = "only tested"))]
mod answer;
#[cfg(any(test, feature = "cluster"))]
#[cfg_attr(not(feature = "cluster"), expect(dead_code, reason = "only tested"))]
mod child;
#[cfg(feature = "cluster")]
mod diagnose;
#[cfg(feature = "cluster")]
mod flows;
#[cfg(any(test, feature = "cluster"))]
#[cfg_attr(not(feature = "cluster"), expect(dead_code, reason = "only tested"))]
mod params;
#[cfg(feature = "cluster")]
mod paths;
#[cfg(feature = "cluster")]
mod play;
#[cfg(feature = "cluster")]
mod query;
#[cfg(feature = "cluster")]
mod run;
#[cfg(feature = "cluster")]
mod server;
#[cfg(feature = "cluster")]
mod source;
#[cfg(feature = "cluster")]
mod summary;
#[cfg(feature = "cluster")]
mod tool;
#[cfg(feature = "cluster")]
mod topology;

#[cfg(feature = "cluster")]
pub(super) use run::run;

/// Says that it is missing.
#[cfg(not(feature = "cluster"))]
pub(super) fn run(_: &crate::cli::McpArgs) -> anyhow::Result<u8> {
    anyhow::bail!(
        "this podtrace is built without mcp\n\
         hint: build it with the feature cluster: cargo build --release --features cluster"
    )
}
