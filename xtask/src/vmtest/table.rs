//! The results of all kernels, in one table.

use std::{collections::BTreeMap, fmt};

use super::transcript::Outcome;
use crate::report::Count;

/// Rows of checks, columns of kernels.
#[derive(Default)]
pub(super) struct Table {
    kernels: Vec<String>,
    /// In the order of their first appearance.
    rows: Vec<String>,
    cells: BTreeMap<(String, usize), Count>,
    /// The failures: where and how.
    failures: Vec<String>,
}

impl Table {
    /// Begins the column of another kernel.
    pub(super) fn kernel(&mut self, name: &str) {
        self.kernels.push(name.to_owned());
    }

    /// Adds the outcome of a check to a row of the current column.
    pub(super) fn add(&mut self, row: &str, check: &str, outcome: &Outcome) {
        let column = self.kernels.len().saturating_sub(1);
        if let (Outcome::Failed(_), Some(kernel)) = (outcome, self.kernels.last()) {
            self.failures
                .push(format!("{check} on {kernel}: {outcome}"));
        }
        if !self.rows.iter().any(|known| known == row) {
            self.rows.push(row.to_owned());
        }
        let cell = self.cells.entry((row.to_owned(), column)).or_default();
        cell.add(Count::from(outcome));
    }

    fn cell(&self, row: &str, column: usize) -> String {
        match self.cells.get(&(row.to_owned(), column)) {
            Some(count) => cell(*count),
            None => "-".to_owned(),
        }
    }
}

impl From<&Outcome> for Count {
    fn from(outcome: &Outcome) -> Self {
        let mut count = Self::default();
        match outcome {
            Outcome::Passed => count.passed = 1,
            Outcome::Failed(_) => count.failed = 1,
            Outcome::Skipped(_) => count.skipped = 1,
        }
        count
    }
}

/// `3 ok, 1 FAILED`
fn cell(count: Count) -> String {
    let parts = [
        (count.passed, "ok"),
        (count.failed, "FAILED"),
        (count.skipped, "skipped"),
    ];
    let there = parts.iter().filter(|(number, _name)| *number > 0);
    let words = there.map(|(number, name)| format!("{number} {name}"));
    words.collect::<Vec<_>>().join(", ")
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut lines = vec![vec![String::new()]];
        lines[0].extend(self.kernels.iter().cloned());
        for row in &self.rows {
            let mut line = vec![row.clone()];
            line.extend((0..self.kernels.len()).map(|column| self.cell(row, column)));
            lines.push(line);
        }
        let widths: Vec<_> = (0..=self.kernels.len())
            .map(|column| lines.iter().map(|line| line[column].len()).max())
            .map(Option::unwrap_or_default)
            .collect();
        for line in &lines {
            let cells = line.iter().zip(&widths);
            let cells = cells.map(|(cell, width)| format!("{cell:width$}"));
            writeln!(f, "{}", cells.collect::<Vec<_>>().join("  ").trim_end())?;
        }
        for failure in &self.failures {
            writeln!(f, "{failure}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_check_has_a_row_and_every_kernel_a_column() {
        let mut table = Table::default();
        table.kernel("6.1");
        table.add("demo", "demo", &Outcome::Passed);
        table.add("cases::lab", "cases::lab::a", &Outcome::Passed);
        let failed = Outcome::Failed("exit 101".to_owned());
        table.add("cases::lab", "cases::lab::b", &failed);
        table.kernel("newest");
        let skipped = Outcome::Skipped("no veth".to_owned());
        table.add("cases::lab", "cases::lab::a", &skipped);
        let expected = "
            6.1             newest
demo        1 ok            -
cases::lab  1 ok, 1 FAILED  1 skipped
cases::lab::b on 6.1: FAILED: exit 101
";
        assert_eq!(format!("\n{table}"), expected);
    }
}
