//! `podtrace doctor`: what this node can do, and what is lost without the rest.
mod checks;

use anyhow::Context as _;
use serde::Serialize;

use super::{FINE, PROBLEMS, print_out, use_color};
use crate::{
    cli::{DoctorArgs, DoctorFormat},
    output::doctor::{Finding, State, write},
};

/// The document of `-o json`.
#[derive(Serialize)]
struct Report<'a> {
    /// Whether podtrace can trace here.
    can_trace: bool,
    findings: &'a [Finding],
}

/// Runs the command; returns the exit code.
pub(super) fn run(args: DoctorArgs) -> anyhow::Result<u8> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("failed to start the runtime")?;
    let findings = runtime.block_on(checks::all());
    let can_trace = findings
        .iter()
        .all(|finding| finding.state != State::Missing);
    let mut out = String::new();
    match args.output {
        DoctorFormat::Text => write(&mut out, &findings, use_color(args.color)),
        DoctorFormat::Json => {
            let report = Report {
                can_trace,
                findings: &findings,
            };
            out = serde_json::to_string_pretty(&report)? + "\n";
        }
    }
    print_out(&out)?;
    Ok(if can_trace { FINE } else { PROBLEMS })
}
