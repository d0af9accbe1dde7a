use super::*;

fn shown(name: Name) -> String {
    match name {
        Name::Absolute(path) => format!("crate::{}", path.join("::")),
        Name::Relative(path) => path.join("::"),
    }
}

fn source(text: &str) -> Source {
    read(text, &["room".to_owned(), "file".to_owned()]).unwrap()
}

/// The paths with more than one segment, and those that `use` names.
fn paths(text: &str) -> Vec<(usize, String)> {
    let found = source(text).mentions.into_iter();
    let mut found: Vec<_> = found
        .map(|mention| (mention.line, shown(mention.name)))
        .filter(|(_, name)| name.contains("::"))
        .collect();
    found.sort();
    found
}

fn expected<const N: usize>(paths: [(usize, &str); N]) -> Vec<(usize, String)> {
    paths.map(|(line, path)| (line, path.to_owned())).to_vec()
}

#[test]
fn lists_are_read_with_what_is_before_them() {
    let text =
        "use crate::{\n    a::{self, B},\n    c::{\n        d::E as F,\n        g::*,\n    },\n};";
    let found = [
        (2, "crate::a"),
        (2, "crate::a::B"),
        (4, "crate::c::d::E"),
        (5, "crate::c::g"),
    ];
    assert_eq!(paths(text), expected(found));
    let imports = source(text).imports.into_iter();
    let names: Vec<_> = imports.map(|import| import.alias).collect();
    let names: Vec<_> = names.iter().map(Option::as_deref).collect();
    assert_eq!(names, [Some("a"), Some("B"), Some("F"), None]);
}

#[test]
fn paths_in_code_macros_and_attributes_count_and_words_do_not() {
    let text = r#"
        /// See [`crate::words`].
        pub(in crate::room) fn f(self) -> crate::a::B<crate::c::D> {
            println!("crate::words {}", crate::e::F::g(self));
            // crate::words
            ::h::i(<T as k::L>::m());
        }
        #[serde(with = "crate::n::o")]
        struct P;
    "#;
    let found = [
        (3, "crate::a::B"),
        (3, "crate::c::D"),
        (3, "crate::room"),
        (4, "crate::e::F::g"),
        (6, "k::L"),
        (8, "crate::n::o"),
    ];
    assert_eq!(paths(text), expected(found));
}

#[test]
fn modules_in_a_file_have_a_parent_more() {
    let text = "
        use super::a;
        use super::super::b;
        mod tests {
            use super::c;
            use super::super::super::d;
            use self::e;
        }
        macro_rules! of {
            ($name:ident) => { mod $name { use super::f; } };
        }
    ";
    let found = [
        (2, "crate::room::a"),
        (3, "crate::b"),
        (5, "crate::room::file::c"),
        (6, "crate::d"),
        (7, "crate::room::file::tests::e"),
        (10, "crate::room::file::f"),
    ];
    assert_eq!(paths(text), expected(found));
}

#[test]
fn aliases_of_the_root_resolve_to_it() {
    for text in [
        "use crate as root;",
        "use crate::{self as root};",
        "use {crate as root};",
        "use super::super as root;",
        "pub(crate) use crate::x; use super::super::{self as root};",
    ] {
        let found = source(text).imports.pop().unwrap();
        assert_eq!(found.alias.unwrap(), "root", "{text}");
        assert_eq!(found.name, Name::Absolute(Path::new()), "{text}");
    }
}

#[test]
fn inclusion_of_code_without_a_path_is_forbidden() {
    for (text, word) in [
        ("extern crate self as me;", "extern crate"),
        ("extern crate alloc;", "extern crate"),
        ("fn f() { include!(\"x.rs\"); }", "include!"),
        ("std::include!(\"x.rs\");", "include!"),
        ("#[path = \"x.rs\"]\nmod a;", "#[path]"),
        ("mod a {\n#![path = \"x\"] mod b; }", "#[path]"),
        (
            "#[cfg_attr(test, allow(x), path = \"x.rs\")] mod a;",
            "#[path]",
        ),
        (
            "#[cfg_attr(a, cfg_attr(b, path = \"x.rs\"))] mod a;",
            "#[path]",
        ),
        ("#[macro_use]\nmod a;", "#[macro_use]"),
    ] {
        let found = source(text).forbidden;
        let [(_, why)] = found[..] else {
            panic!("{text}: {found:?}");
        };
        assert!(why.contains(word), "{text}: {why}");
    }
    let text = "#[doc = \"path\"] fn f(path: P) { include_str!(\"x\"); include(path) }";
    assert_eq!(source(text).forbidden, []);
}

#[test]
fn a_root_of_modules_alone_has_no_other_item() {
    let text = "//! Words.\n#![no_std]\n#[cfg(test)]\nmod a;\npub mod b;\npub(crate) mod c;\n";
    assert_eq!(first_item(text).unwrap(), None);
    for item in [
        "use a::A;",
        "mod d {}",
        "macro_rules! d { () => {} }",
        "fn f() {}",
    ] {
        let text = format!("{text}{item}");
        assert_eq!(first_item(&text).unwrap(), Some(7), "{item}");
    }
}
