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
