//! The results: rows with their spread, in groups, and the goals.
use std::time::Duration;

use anyhow::{Context as _, Result};
use serde::Serialize;
use serde_json::{Value, json};

use crate::{Effort, running, site::Site};

/// The values of one quantity in all turns.
#[derive(Clone, Debug)]
pub(crate) struct Stat(pub(crate) Vec<f64>);

impl Stat {
    pub(crate) fn median(&self) -> f64 {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        sorted.get(sorted.len() / 2).copied().unwrap_or(f64::NAN)
    }

    pub(crate) fn least(&self) -> f64 {
        self.0.iter().copied().fold(f64::INFINITY, f64::min)
    }

    pub(crate) fn most(&self) -> f64 {
        self.0.iter().copied().fold(f64::NEG_INFINITY, f64::max)
    }

    /// The multiple of another quantity, turn by turn: the machine's other load differs
    /// between rounds, and less within one.
    pub(crate) fn over(&self, other: &Self) -> Self {
        let both = self.0.iter().zip(&other.0);
        Self(both.map(|(value, other)| value / other).collect())
    }

    fn json(&self) -> Value {
        json!({ "median": self.median(), "least": self.least(), "most": self.most() })
    }
}

/// One of the compared things.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) name: String,
    /// The compared quantity, in the group's unit.
    pub(crate) stat: Stat,
    /// Additional quantities, by unit.
    pub(crate) beside: Vec<(&'static str, Stat)>,
}

impl Row {
    pub(crate) fn new(name: impl Into<String>, values: impl IntoIterator<Item = f64>) -> Self {
        Self {
            name: name.into(),
            stat: Stat(values.into_iter().collect()),
            beside: Vec::new(),
        }
    }

    /// Adds a quantity of the same turns.
    pub(crate) fn beside(
        mut self,
        unit: &'static str,
        values: impl IntoIterator<Item = f64>,
    ) -> Self {
        self.beside.push((unit, Stat(values.into_iter().collect())));
        self
    }
}

/// Things measured in the same way.
#[derive(Debug)]
pub(crate) struct Group {
    pub(crate) title: String,
    pub(crate) unit: &'static str,
    pub(crate) rows: Vec<Row>,
    /// Whether they do the same work, and are compared with the first one.
    pub(crate) compares: bool,
}

impl Group {
    /// Things compared with the first one.
    pub(crate) fn compared(
        title: impl Into<String>,
        unit: &'static str,
        rows: impl IntoIterator<Item = Row>,
    ) -> Self {
        Self {
            title: title.into(),
            unit,
            rows: rows.into_iter().collect(),
            compares: true,
        }
    }

    /// Things that are not compared.
    pub(crate) fn listed(
        title: impl Into<String>,
        unit: &'static str,
        rows: impl IntoIterator<Item = Row>,
    ) -> Self {
        Self {
            compares: false,
            ..Self::compared(title, unit, rows)
        }
    }

    /// A row as a multiple of the first row.
    pub(crate) fn ratio(&self, row: &Row) -> Stat {
        let first = self.rows.first().unwrap_or(row);
        row.stat.over(&first.stat)
    }

    fn json(&self) -> Value {
        let rows: Vec<_> = self.rows.iter().map(|row| self.row_json(row)).collect();
        json!({ "title": self.title, "unit": self.unit, "rows": rows })
    }

    fn row_json(&self, row: &Row) -> Value {
        let mut value = row.stat.json();
        value["name"] = json!(row.name);
        if self.compares {
            value["ratio"] = self.ratio(row).json();
        }
        for (unit, stat) in &row.beside {
            value["beside"][*unit] = stat.json();
        }
        value
    }
}

/// The condition of a goal.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Bound {
    AtMost(f64),
    AtLeast(f64),
}

impl Bound {
    /// The relation in words, and the limit.
    pub(crate) fn in_words(self) -> (&'static str, f64) {
        match self {
            Self::AtMost(most) => ("at most", most),
            Self::AtLeast(least) => ("at least", least),
        }
    }
}

/// A goal of the design, and the measured number.
#[derive(Debug)]
pub(crate) struct Goal {
    pub(crate) what: String,
    pub(crate) bound: Bound,
    pub(crate) unit: &'static str,
    pub(crate) stat: Stat,
}

impl Goal {
    pub(crate) fn new(
        what: impl Into<String>,
        bound: Bound,
        unit: &'static str,
        stat: Stat,
    ) -> Self {
        Self {
            what: what.into(),
            bound,
            unit,
            stat,
        }
    }

    pub(crate) fn is_met(&self) -> bool {
        match self.bound {
            Bound::AtMost(most) => self.stat.median() <= most,
            Bound::AtLeast(least) => self.stat.median() >= least,
        }
    }

    fn json(&self) -> Value {
        let (bound, limit) = self.bound.in_words();
        json!({
            "what": self.what,
            "bound": bound,
            "limit": limit,
            "unit": self.unit,
            "value": self.stat.json(),
            "met": self.is_met(),
        })
    }
}

/// The results of one part.
#[derive(Debug, Default)]
pub(crate) struct Measured {
    pub(crate) groups: Vec<Group>,
    pub(crate) goals: Vec<Goal>,
    /// Remarks for reading the numbers.
    pub(crate) notes: Vec<String>,
}

/// The circumstances of the measurement.
#[derive(Serialize)]
pub(crate) struct Facts {
    pub(crate) version: String,
    pub(crate) kernel: String,
    pub(crate) cpus: usize,
    pub(crate) date: String,
    pub(crate) rounds: usize,
    pub(crate) quick: bool,
}

impl Facts {
    pub(crate) fn gather(site: &Site, effort: &Effort) -> Result<Self> {
        let output = std::process::Command::new(&site.podtrace)
            .arg("--version")
            .output()
            .with_context(|| format!("cannot run {}", site.podtrace.display()))?;
        let names = nix::sys::utsname::uname()?;
        Ok(Self {
            version: String::from_utf8_lossy(&output.stdout).trim().to_owned(),
            kernel: names.release().to_string_lossy().into_owned(),
            cpus: std::thread::available_parallelism()?.get(),
            date: jiff::Timestamp::now().strftime("%FT%TZ").to_string(),
            rounds: effort.rounds,
            quick: effort.quick,
        })
    }
}

/// The whole report.
pub(crate) struct Report {
    pub(crate) facts: Facts,
    pub(crate) parts: Vec<(String, Duration, Measured)>,
}

impl Report {
    pub(crate) fn new(facts: Facts) -> Self {
        Self {
            facts,
            parts: Vec::new(),
        }
    }

    pub(crate) fn add(&mut self, name: String, took: Duration, measured: Measured) {
        self.parts.push((name, took, measured));
    }

    pub(crate) fn goals(&self) -> impl Iterator<Item = &Goal> {
        self.parts.iter().flat_map(|(_, _, part)| &part.goals)
    }

    pub(crate) fn json(&self) -> Value {
        let mut parts = json!({});
        for (name, took, part) in &self.parts {
            let groups: Vec<_> = part.groups.iter().map(Group::json).collect();
            parts[name] = json!({
                "groups": groups,
                "notes": part.notes,
                "took_s": took.as_secs_f64(),
            });
        }
        let goals: Vec<_> = self.goals().map(Goal::json).collect();
        let mut all = json!(self.facts);
        all["parts"] = parts;
        all["goals"] = json!(goals);
        all
    }
}

/// Measures each variant in every round; returns the results of each.
pub(crate) fn in_turns<V, T>(
    rounds: usize,
    variants: &[V],
    mut measure: impl FnMut(&V) -> Result<T>,
) -> Result<Vec<Vec<T>>> {
    let mut all: Vec<Vec<T>> = variants.iter().map(|_| Vec::new()).collect();
    for round in 1..=rounds {
        eprintln!("   round {round} of {rounds}");
        for (variant, measured) in variants.iter().zip(&mut all) {
            running::check()?;
            measured.push(measure(variant)?);
        }
    }
    Ok(all)
}
