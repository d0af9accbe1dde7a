//! The table of kernels in the docs, from the machines' output.

use std::{collections::BTreeMap, fmt::Write as _, fs, path::Path};

use anyhow::{Context as _, Result};

use super::transcript::Outcome;

const BEGIN: &str = "<!-- written by cargo xtask vmtest --write -->\n";
const END: &str = "<!-- end -->\n";

/// Columns of kernels, rows of checks and of features.
#[derive(Default)]
pub(super) struct DocsTable {
    kernels: Vec<String>,
    /// In the order of their first appearance.
    rows: Vec<String>,
    cells: BTreeMap<(String, usize), String>,
}

impl DocsTable {
    /// Begins the column of another kernel.
    pub(super) fn kernel(&mut self, version: &str) {
        self.kernels.push(version.to_owned());
    }

    /// Adds the outcome of a check to the current column.
    pub(super) fn check(&mut self, title: &str, outcome: &Outcome) {
        let cell = match outcome {
            Outcome::Passed => "yes",
            Outcome::Failed(_) => "no",
            Outcome::Skipped(_) => "not tried",
        };
        self.feature(title, cell);
    }

    /// Adds a feature of a kernel to the current column.
    pub(super) fn feature(&mut self, title: &str, value: &str) {
        let column = self.kernels.len().saturating_sub(1);
        if !self.rows.iter().any(|row| row == title) {
            self.rows.push(title.to_owned());
        }
        self.cells.insert((title.to_owned(), column), value.into());
    }

    /// Writes the table to a file, in place of the last one.
    pub(super) fn write(&self, file: &Path) -> Result<()> {
        let text = fs::read_to_string(file)?;
        let text = replaced(&text, &self.table());
        let text = text.with_context(|| format!("no place for it in {}", file.display()))?;
        fs::write(file, text)?;
        Ok(())
    }

    fn table(&self) -> String {
        let mut table = format!("| Linux | {} |\n", self.kernels.join(" | "));
        let _ = writeln!(table, "|---|{}", "---|".repeat(self.kernels.len()));
        for row in &self.rows {
            let cells = (0..self.kernels.len()).map(|column| {
                let cell = self.cells.get(&(row.clone(), column));
                cell.map_or("not tried", String::as_str)
            });
            let cells: Vec<_> = cells.collect();
            let _ = writeln!(table, "| {row} | {} |", cells.join(" | "));
        }
        table
    }
}

fn replaced(text: &str, table: &str) -> Option<String> {
    let (before, rest) = text.split_once(BEGIN)?;
    let (_old, after) = rest.split_once(END)?;
    Some(format!("{before}{BEGIN}{table}{END}{after}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn table_takes_the_place_of_the_last_one() {
        let mut docs = DocsTable::default();
        docs.kernel("5.10.262");
        docs.check("demo", &Outcome::Passed);
        docs.feature("attached by", "clsact");
        docs.kernel("7.3.4");
        docs.check("demo", &Outcome::Failed("exit 1".into()));
        let expected = "\
| Linux | 5.10.262 | 7.3.4 |
|---|---|---|
| demo | yes | no |
| attached by | clsact | not tried |
";
        let text = format!("before\n{BEGIN}old\n{END}after\n");
        let written = format!("before\n{BEGIN}{expected}{END}after\n");
        assert_eq!(replaced(&text, &docs.table()), Some(written));
        assert_eq!(replaced("none", &docs.table()), None);
    }
}
