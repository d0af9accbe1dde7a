//! The stages from record to output, by the suite that measures each alone.
use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
};

use anyhow::{Context as _, Result};
use serde_json::Value;

use crate::{
    Effort,
    report::{Group, Measured, Row},
    running::Running,
    site::Site,
};

/// The traffic of the suite that contains all kinds of packets.
const TRAFFIC: &str = "mixed";
/// The stages in the order of the pipeline, by their names in the suite.
const STAGES: [&str; 8] = [
    "decode",
    "join",
    "identify",
    "text",
    "json",
    "pcapng write",
    "pcapng read",
    "pipeline to text",
];

/// Events that one core processes in each stage.
pub(crate) fn measure(site: &Site, effort: &Effort) -> Result<Measured> {
    let suite = std::env::var_os("STAGES_BIN")
        .context("STAGES_BIN does not name the suite that measures the stages")?;
    let home = site.file("stages");
    let mut command = Command::new(suite);
    command
        .env("CRITERION_HOME", &home)
        .args(["--bench", "--noplot"])
        .args(["--warm-up-time", effort.pick("0.5", "0.1")])
        .args(["--measurement-time", effort.pick("2", "0.5")])
        .arg(format!("^{TRAFFIC}/"))
        .stdout(Stdio::null());
    Running::spawn(&mut command)?.wait()?;
    let mut rows = Vec::new();
    for stage in STAGES {
        let rates = rates(&home.join(TRAFFIC).join(stage))?;
        let ns = rates.iter().map(|rate| 1e9 / rate).collect::<Vec<_>>();
        rows.push(Row::new(stage, rates).beside("ns an event", ns));
    }
    Ok(Measured {
        groups: vec![Group::listed(
            "each stage alone, on one core",
            "events/s",
            rows,
        )],
        ..Measured::default()
    })
}

/// Events per second in each of the suite's samples of a stage.
fn rates(directory: &Path) -> Result<Vec<f64>> {
    let read = |file: &str| -> Result<Value> {
        let path = directory.join("new").join(file);
        let text = fs::read_to_string(&path)
            .with_context(|| format!("the suite did not write {}", path.display()))?;
        Ok(serde_json::from_str(&text)?)
    };
    let benchmark = read("benchmark.json")?;
    let events = benchmark["throughput"]["Elements"].as_f64();
    let events = events.context("the suite does not tell how many events it measures")?;
    let sample = read("sample.json")?;
    let numbers = |key: &str| {
        let list = sample[key].as_array().into_iter().flatten();
        list.filter_map(Value::as_f64).collect::<Vec<_>>()
    };
    let (iterations, times) = (numbers("iters"), numbers("times"));
    let rates = iterations.iter().zip(times);
    Ok(rates.map(|(iters, ns)| events * iters * 1e9 / ns).collect())
}
