use super::{super::rooms::LINES, *};

/// Lints files, given by name and text, of rooms on three lines.
fn lint(files: &[(&str, &str)]) -> String {
    let root = tempfile::tempdir().unwrap();
    let all = [
        ("lib.rs", "mod high; mod middle; mod beside; mod low;"),
        ("main.rs", ""),
        ("high.rs", ""),
        ("middle.rs", ""),
        ("beside.rs", ""),
        ("low.rs", ""),
    ];
    for (name, text) in all.iter().chain(files) {
        let path = root.path().join("src").join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    let lines: Lines<'_> = &[&["main"], &["high"], &["middle", "beside"], &["low"]];
    let checked = check(root.path(), "src", lines);
    checked.map_or_else(|error| error.to_string(), |()| String::new())
}

#[test]
fn imports_go_down() {
    let high = "use crate::{low::A, middle::{B, C}};";
    assert_eq!(lint(&[("high.rs", high)]), "");
    let up = "//! Head.\n\nuse crate::{\n    beside::D,\n    high::A,\n};";
    let errors = lint(&[("middle/file.rs", up)]);
    let expected = "\
2 imports in the wrong direction, 0 circles
src/middle/file.rs:4: middle must not import beside: both are on one line
src/middle/file.rs:5: middle must not import high: it is on a higher line
";
    assert!(errors.starts_with(expected), "{errors}");
}

#[test]
fn tests_and_paths_in_code_are_no_exception() {
    let low = "fn f() { crate::high::g() }\n#[cfg(test)]\nmod tests {\n    use super::super::middle::A;\n}";
    let errors = lint(&[("low.rs", low)]);
    assert!(errors.contains("src/low.rs:1: low must not import high"));
    assert!(errors.contains("src/low.rs:4: low must not import middle"));
}

#[test]
fn code_that_hides_an_import_is_reported() {
    let errors = lint(&[
        ("lib.rs", "pub use high::A;"),
        ("middle.rs", "use crate::A;"),
        ("low.rs", "use super::*;"),
        ("new.rs", "use crate::high::B;"),
    ]);
    assert!(errors.contains("src/middle.rs:1: middle must not import A: that is no room"));
    assert!(errors.contains("src/low.rs:1: low must not import all rooms at once"));
    assert!(errors.contains("new is on no line of the table"));
}

#[test]
fn aliases_of_the_root_do_not_hide_imports() {
    for low in [
        "use crate as root;\nfn f() { root::high::g() }",
        "use {crate as root};\nuse root::high::A;",
        "use super as root;\nmod tests { use super::root::high::A; }",
        "use super::*;\nfn f(_: high::A) {}",
    ] {
        let errors = lint(&[("low.rs", low)]);
        assert!(
            errors.contains("src/low.rs:1: low must not import all rooms at once"),
            "{errors}"
        );
        assert!(
            errors.contains("src/low.rs:2: low must not import high"),
            "{errors}"
        );
    }
    for low in [
        "extern crate self as me;",
        "include!(\"../other.rs\");",
        "#[path = \"high.rs\"] mod a;",
    ] {
        let errors = lint(&[("low.rs", low)]);
        assert!(errors.contains("src/low.rs:1: `"), "{errors}");
    }
}

#[test]
fn mod_files_are_the_modules_that_they_are() {
    let files = [
        (
            "low/a/mod.rs",
            "use super::super::high::A;\nuse super::b::B;",
        ),
        ("low/b.rs", "use super::a::A;"),
        ("new/mod.rs", ""),
    ];
    let errors = lint(&files);
    assert!(
        errors.contains("src/low/a/mod.rs:1: low must not import high"),
        "{errors}"
    );
    assert!(errors.contains("a circle of 2 files"), "{errors}");
    assert!(
        errors.contains("new is on no line of the table"),
        "{errors}"
    );
}

#[test]
fn the_root_declares_rooms_alone_and_main_is_above_them() {
    let root = "mod high; mod middle; mod beside; mod low;\n";
    for item in [
        "pub fn f() {}",
        "pub use high::A;",
        "macro_rules! up { () => { crate::high::f() } }",
    ] {
        let errors = lint(&[("lib.rs", &format!("{root}{item}"))]);
        assert!(
            errors.contains("src/lib.rs:2: the root declares rooms"),
            "{errors}"
        );
    }
    let main = [(
        "main.rs",
        "fn main() { podtrace::high::f(); podtrace::low::g() }",
    )];
    assert_eq!(lint(&main), "");
    let errors = lint(&[
        ("main.rs", "use podtrace as all;\nuse podtrace::other::A;"),
        ("low.rs", "use crate::main::A;"),
    ]);
    assert!(
        errors.contains("src/main.rs:1: main must not import all rooms at once"),
        "{errors}"
    );
    assert!(
        errors.contains("src/main.rs:2: main must not import other: that is no room"),
        "{errors}"
    );
    assert!(
        errors.contains("src/low.rs:1: low must not import main: it is on a higher line"),
        "{errors}"
    );
}

#[test]
fn indirect_circles_are_reported() {
    let report = |parent: &str, a: &str, b: &str| {
        lint(&[("low.rs", parent), ("low/a.rs", a), ("low/b.rs", b)])
    };
    for (parent, a, b) in [
        (
            "pub use a::A; pub use b::B;",
            "use super::B;",
            "use crate::low::A;",
        ),
        (
            "pub use self::{a::*, b::*};",
            "use super::B;",
            "use super::A;",
        ),
        (
            "use a::A; use b::B as C;",
            "fn f(_: super::C) {}",
            "use super::*; fn f(_: A) {}",
        ),
        (
            "mod a; mod b;",
            "use super::*; fn f() { b::g() }",
            "use super as low; use low::a::A;",
        ),
        (
            "mod a; mod b;",
            "use super::b::B;",
            "#[serde(with = \"super::a\")] struct S;",
        ),
    ] {
        let errors = report(parent, a, b);
        assert!(errors.contains("a circle of 2 files"), "{parent}: {errors}");
    }
    // What the parent defines itself belongs to no child.
    let errors = report(
        "mod a; pub use b::B; pub struct C;",
        "use super::B;",
        "use super::C;",
    );
    assert_eq!(errors, "");
}

#[test]
fn a_module_that_a_macro_names_has_a_parent_more() {
    let low = "macro_rules! of { ($n:ident) => { mod $n { use super::A; } } }";
    assert_eq!(lint(&[("low.rs", low)]), "");
}

#[test]
fn circles_within_a_room_are_reported_except_parent_and_child() {
    let files = [
        ("low.rs", "mod a; mod b;\nuse a::A;\nuse self::b::B;"),
        ("low/a.rs", "use super::{C, b::B};"),
        ("low/b.rs", "\nfn f(a: crate::low::a::A) {}"),
    ];
    let expected = "\
0 imports in the wrong direction, 1 circles
a circle of 2 files:
  src/low/a.rs:1: imports src/low/b.rs
  src/low/b.rs:2: imports src/low/a.rs
";
    let errors = lint(&files);
    assert!(errors.starts_with(expected), "{errors}");
}

#[test]
fn podtrace_imports_downward_only() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    check(root, "podtrace/src", LINES).unwrap();
}
