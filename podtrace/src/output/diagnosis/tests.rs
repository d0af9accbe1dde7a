use super::picture::{PictureOptions, picture};
use crate::{diagnosis::fixture::reports, output::width::Width};

const PLAIN: PictureOptions = PictureOptions {
    color: false,
    ascii: false,
    width: Width::Any,
};

#[test]
fn pictures_show_where_packets_die() {
    for (name, report) in reports() {
        insta::assert_snapshot!(name.replace(' ', "_"), picture(&report, PLAIN));
    }
}

#[test]
fn picture_is_of_ascii_and_narrow_where_that_is_asked_for() {
    let options = PictureOptions {
        ascii: true,
        width: Width::Columns(60),
        ..PLAIN
    };
    for (name, report) in reports() {
        let shown = picture(&report, options);
        assert!(shown.is_ascii(), "{name}: {shown}");
        let colors = PictureOptions {
            color: true,
            ..PLAIN
        };
        let painted = picture(&report, colors);
        assert_eq!(
            crate::output::paint::stripped(&painted),
            picture(&report, PLAIN),
            "{name}"
        );
    }
}

/// The address of a Service that podtrace does not know takes TCP, and no echo request.
#[test]
fn echo_requests_that_nobody_answers_say_nothing_of_lengths() {
    let mut reports = reports().into_iter();
    let (_, mut report) = reports.find(|(name, _)| *name == "ladder").unwrap();
    for rung in &mut report.ladder {
        rung.answered = false;
    }
    for (protocol, words) in [
        (
            "icmp",
            "lengths: 1280, 1420, 1450, 1480, 1500 bytes not answered",
        ),
        (
            "tcp",
            "lengths: not known: no echo request was answered, of 1280, ",
        ),
    ] {
        report.protocol = Some(protocol);
        let shown = picture(&report, PLAIN);
        assert!(shown.contains(words), "{shown}");
    }
}
