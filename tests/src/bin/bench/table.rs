//! The report as a table.
use crate::report::{Facts, Goal, Group, Measured, Report, Stat};

/// Prints every group and, at the end, the goals.
pub(crate) fn print(report: &Report) {
    let Facts {
        version,
        kernel,
        cpus,
        date,
        rounds,
        quick,
    } = &report.facts;
    let haste = if *quick { ", quick" } else { "" };
    println!("{version} · kernel {kernel}, {cpus} CPUs · {date} · {rounds} rounds{haste}");
    for (name, took, part) in &report.parts {
        print_part(name, took.as_secs_f64(), part);
    }
    println!("\ngoals");
    for goal in report.goals() {
        print_goal(goal);
    }
}

fn print_part(name: &str, seconds: f64, part: &Measured) {
    println!("\n{name} ({seconds:.0} s)");
    for group in &part.groups {
        print_group(group);
    }
    for note in &part.notes {
        println!("  note: {note}");
    }
}

fn print_group(group: &Group) {
    let ratio = if group.compares { "ratio" } else { "" };
    println!(
        "  {:<44} {:>9} {:>9} {:>9} {ratio:>6}  {}",
        group.title, "median", "least", "most", group.unit
    );
    for row in &group.rows {
        let beside: Vec<_> = row
            .beside
            .iter()
            .map(|(unit, stat)| format!("{} {unit}", number(stat.median())))
            .collect();
        let ratio = if group.compares {
            format!("{:.2}", group.ratio(row).median())
        } else {
            String::new()
        };
        println!(
            "    {:<42} {:>9} {:>9} {:>9} {ratio:>6}  {}",
            row.name,
            number(row.stat.median()),
            number(row.stat.least()),
            number(row.stat.most()),
            beside.join(", "),
        );
    }
}

fn print_goal(goal: &Goal) {
    let verdict = if goal.is_met() { "met    " } else { "NOT MET" };
    let (word, limit) = goal.bound.in_words();
    let limit = format!("{word} {limit} {}", goal.unit);
    println!(
        "  {verdict}  {:<58} {:>7} {:<4} {:<16} {}",
        goal.what,
        number(goal.stat.median()),
        goal.unit,
        limit.trim_end(),
        spread(&goal.stat),
    );
}

fn spread(stat: &Stat) -> String {
    if stat.0.len() < 2 {
        return String::new();
    }
    format!("({} … {})", number(stat.least()), number(stat.most()))
}

/// Three significant digits, with a letter for thousands and millions.
fn number(value: f64) -> String {
    let (value, letter) = match value.abs() {
        size if size >= 1e7 => (value / 1e6, "M"),
        size if size >= 1e4 => (value / 1e3, "k"),
        _ => (value, ""),
    };
    let digits = match value.abs() {
        0.0 => 0,
        size if size >= 100.0 => 0,
        size if size >= 10.0 => 1,
        size if size >= 1.0 => 2,
        _ => 3,
    };
    format!("{value:.digits$}{letter}")
}
