//! What the summary counts beside packets that were shown.
use super::*;
use crate::model::left_out::Reason;

#[test]
fn summary_tells_what_was_not_shown() {
    let summary = Summary {
        packets: 5,
        ..Summary::default()
    };
    let not_shown = NotShown {
        packets: 3,
        events: 0,
        notices: 1,
    };
    let mut out = String::new();
    view(false).summary(&mut out, &summary, &not_shown, &world());
    insta::assert_snapshot!(out.trim_start(), @r"
    5 packets · 3 packets not shown · 1 notice not shown
    events: 0 seen = 0 emitted + 0 filtered + 0 lost
    ");
}

#[test]
fn summary_counts_what_was_left_out_of_the_files() {
    let mut summary = Summary::default();
    summary.left_out.add(Reason::LinkType(9), 2);
    summary.left_out.add(Reason::NoTime, 1);
    let mut out = String::new();
    view(false).summary(&mut out, &summary, &NotShown::default(), &world());
    insta::assert_snapshot!(out.trim_start(), @r"
    0 packets · 3 packets of the files left out
    events: 0 seen = 0 emitted + 0 filtered + 0 lost
    ");
}
