//! The picture as a file of its own, with its colours, and the problems below it in words.
use std::fmt::Write as _;

use serde_json::Value;

use super::{
    Picture, Traffic,
    svg::{Drawing, STYLE},
};
use crate::{
    output::topology::recorded::{Problem, problems},
    text::{markup::Escaped, wrap::wrap},
};

/// The colours of [`STYLE`], light and dark: those of the report. They replace their names, because
/// viewers other than browsers know no variables.
pub(crate) const COLORS: [(&str, &str, &str); 11] = [
    ("page", "#ffffff", "#0f1419"),
    ("surface", "#f4f6f8", "#171e25"),
    ("raised", "#ffffff", "#1c242d"),
    ("line", "#d3d9df", "#2f3a45"),
    ("strong", "#7f8a95", "#6d7a87"),
    ("text", "#17202a", "#e4e9ee"),
    ("dim", "#55606b", "#9ba8b4"),
    ("pod", "#0b6a7c", "#63cbdd"),
    ("node", "#2257b3", "#8fb6ff"),
    ("lost", "#b3261e", "#ff938a"),
    ("bad", "#fdecea", "#3a1d1c"),
];
const FONT: &str = "svg { font: 12px system-ui, -apple-system, \"Segoe UI\", Roboto, \"Noto Sans\", sans-serif; }\n";
const PAGE: &str = "svg .page { fill: var(--page); stroke: none; }\n";
/// The room around the drawing.
const MARGIN: i32 = 16;
/// Words below the drawing have at least this width, and lines of this height.
const WORDS: i32 = 640;
const LINE: i32 = 18;
/// Pixels that a column of them takes at most, on average.
const COLUMN: i32 = 7;
/// How many problems are told.
const TOLD_MAX: usize = 20;

/// Draws the nodes of documents. `when`: when they were like that, if not now.
pub(crate) fn write<'a>(
    out: &mut String,
    documents: impl Iterator<Item = &'a Value> + Clone,
    when: Option<&str>,
) {
    let problems = problems(documents.clone());
    let picture = Picture::of(documents, &Traffic::new(), &problems);
    let drawing = Drawing::of(&picture);
    let inner = drawing.width.max(WORDS);
    let lines = lines(
        &problems,
        usize::try_from(inner / COLUMN).unwrap_or_default(),
    );
    let begin = MARGIN + drawing.height + LINE;
    let mut words = String::new();
    for (y, line) in (begin..).step_by(LINE as usize).zip(&lines) {
        let class = if problems.is_empty() { "small" } else { "lost" };
        // Writing to a String cannot fail.
        let _ = writeln!(
            words,
            r#"<text class="{class}" x="{MARGIN}" y="{y}" xml:space="preserve">{}</text>"#,
            Escaped(line)
        );
    }
    let rows = i32::try_from(lines.len()).unwrap_or_default();
    let (width, height) = (inner + 2 * MARGIN, begin + rows * LINE);
    let names: Vec<_> = picture
        .nodes
        .iter()
        .map(|node| node.name.as_str())
        .collect();
    let title = format!("Pod network of {}", names.join(", "));
    let desc = desc(&picture, problems.len(), when);
    let _ = writeln!(
        out,
        r#"<?xml version="1.0" encoding="UTF-8"?>
<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" role="group" aria-labelledby="title" aria-describedby="desc">
<title id="title">{}</title>
<desc id="desc">{}</desc>
<style>
{}</style>
<rect class="page" width="100%" height="100%"/>
<g transform="translate({MARGIN} {MARGIN})">{}</g>
{words}</svg>"#,
        Escaped(&title),
        Escaped(&desc),
        style(),
        drawing.content.replace("><", ">\n<"),
    );
}

/// The style: light, and dark where the viewer asks for it.
fn style() -> String {
    let rules = [FONT, PAGE, STYLE].concat();
    let (mut light, mut dark) = (rules.clone(), rules);
    for (name, in_light, in_dark) in COLORS {
        let name = format!("var(--{name})");
        light = light.replace(&name, in_light);
        dark = dark.replace(&name, in_dark);
    }
    format!("{light}@media screen and (prefers-color-scheme: dark) {{\n{dark}}}\n")
}

/// What those hear who do not see it.
fn desc(picture: &Picture, problems: usize, when: Option<&str>) -> String {
    let mut words = String::new();
    if let Some(when) = when {
        let _ = write!(words, "As of {when}. ");
    }
    for node in &picture.nodes {
        let bridges = node.groups.iter().filter(|group| group.bridge.is_some());
        let pods = node
            .groups
            .iter()
            .map(|group| group.pods.len() + group.more);
        let _ = write!(
            words,
            "Node {}: bridges {}, interfaces of pods {}, tunnels {}, uplinks {}. ",
            node.name,
            bridges.count(),
            pods.sum::<usize>(),
            node.tunnels.len(),
            node.uplinks.len(),
        );
    }
    let _ = write!(words, "Problems: {problems}.");
    words
}

/// The problems in words, the worst first.
fn lines(problems: &[Problem], columns: usize) -> Vec<String> {
    if problems.is_empty() {
        return vec!["no problems found".to_owned()];
    }
    let mut text = String::new();
    for problem in problems.iter().take(TOLD_MAX) {
        let Problem {
            severity,
            node,
            subject,
            problem,
            ..
        } = problem;
        let _ = writeln!(text, "{severity}: {node} {subject}: {problem}");
    }
    if let Some(more @ 1..) = problems.len().checked_sub(TOLD_MAX) {
        let _ = writeln!(text, "and {more} more problems");
    }
    wrap(&mut text, 0, Some(columns), "  ");
    text.lines().map(str::to_owned).collect()
}
