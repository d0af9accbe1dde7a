//! The paths to other modules in a source file.

use anyhow::{Context as _, Result};
use proc_macro2::{Delimiter, Ident, TokenStream, TokenTree};

/// A path from the crate's root, without `crate` itself.
pub(super) type Path = Vec<String>;

/// A path that a file names.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Mention {
    /// Where its last segment is.
    pub(super) line: usize,
    pub(super) path: Path,
}

/// Every path in the file that begins with `crate`, `super` or `self`, be it in a `use`
/// or in the code, in macros and in tests. `module`: the file's own path.
pub(super) fn mentions(source: &str, module: &[String]) -> Result<Vec<Mention>> {
    let tokens: TokenStream = source
        .parse()
        .ok()
        .context("is not made of Rust's tokens")?;
    let mut found = Vec::new();
    read(tokens, module, &mut found);
    Ok(found)
}

fn read(tokens: TokenStream, module: &[String], found: &mut Vec<Mention>) {
    let tokens: Vec<_> = tokens.into_iter().collect();
    let mut rest = &tokens[..];
    while let Some((first, after)) = rest.split_first() {
        rest = after;
        match (first, after) {
            (
                TokenTree::Ident(keyword),
                [TokenTree::Ident(name), TokenTree::Group(body), behind @ ..],
            ) if keyword == "mod" && body.delimiter() == Delimiter::Brace => {
                let inner = [module, &[name.to_string()]].concat();
                read(body.stream(), &inner, found);
                rest = behind;
            }
            (TokenTree::Ident(ident), _) if is_root(ident) && after_colons(after).is_some() => {
                let root = if ident == "crate" { &[][..] } else { module };
                tree(&tokens[tokens.len() - after.len() - 1..], root, found);
                // Its segments and a list at its end were read with it.
                while let Some(behind) = after_colons(rest) {
                    rest = match behind {
                        [TokenTree::Ident(_) | TokenTree::Group(_), behind @ ..] => behind,
                        _ => behind,
                    };
                }
            }
            (TokenTree::Group(group), _) => read(group.stream(), module, found),
            _ => {}
        }
    }
}

fn is_root(ident: &Ident) -> bool {
    ident == "crate" || ident == "super" || ident == "self"
}

/// What is behind `::`, if that is next.
fn after_colons(tokens: &[TokenTree]) -> Option<&[TokenTree]> {
    match tokens {
        [
            TokenTree::Punct(first),
            TokenTree::Punct(second),
            behind @ ..,
        ] if first.as_char() == ':' && second.as_char() == ':' => Some(behind),
        _ => None,
    }
}

/// Reads a path, which may end in a list of paths in braces. `prefix`: what is before it.
fn tree(tokens: &[TokenTree], prefix: &[String], found: &mut Vec<Mention>) {
    let mut path = prefix.to_vec();
    let mut rest = tokens;
    let mut line = 0;
    loop {
        match rest {
            [TokenTree::Ident(ident), after @ ..] => {
                line = ident.span().start().line;
                if ident == "super" {
                    path.pop();
                } else if ident != "crate" && ident != "self" {
                    path.push(ident.to_string());
                }
                match after_colons(after) {
                    Some(behind) => rest = behind,
                    None => break,
                }
            }
            [TokenTree::Group(list), ..] if list.delimiter() == Delimiter::Brace => {
                let list: Vec<_> = list.stream().into_iter().collect();
                let is_comma = |token: &TokenTree| matches!(token, TokenTree::Punct(comma) if comma.as_char() == ',');
                for part in list.split(is_comma).filter(|part| !part.is_empty()) {
                    tree(part, &path, found);
                }
                return;
            }
            // `*`, or the arguments of a generic type.
            _ => break,
        }
    }
    found.push(Mention { line, path });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paths(source: &str) -> Vec<(usize, String)> {
        let module = ["room".to_owned(), "file".to_owned()];
        let found = mentions(source, &module).unwrap();
        let shown = |mention: Mention| (mention.line, mention.path.join("::"));
        found.into_iter().map(shown).collect()
    }

    #[test]
    fn lists_are_read_with_what_is_before_them() {
        let source = "use crate::{\n    a::{self, B},\n    c::{\n        d::E as F,\n        g::*,\n    },\n};";
        let expected = [(2, "a"), (2, "a::B"), (4, "c::d::E"), (5, "c::g")];
        assert_eq!(
            paths(source),
            expected.map(|(n, path)| (n, path.to_owned()))
        );
    }

    #[test]
    fn paths_in_code_macros_and_visibilities_count_and_words_do_not() {
        let source = r#"
            /// See [`crate::words`].
            pub(in crate::room) fn f() -> crate::a::B<crate::c::D> {
                println!("crate::words {}", crate::e::F::g());
                // crate::words
            }
        "#;
        let expected = [(3, "room"), (3, "a::B"), (3, "c::D"), (4, "e::F::g")];
        assert_eq!(
            paths(source),
            expected.map(|(n, path)| (n, path.to_owned()))
        );
    }

    #[test]
    fn modules_in_a_file_have_a_parent_more() {
        let source = "
            use super::a;
            use super::super::b;
            mod tests {
                use super::c;
                use super::super::super::d;
                use self::e;
            }
        ";
        let expected = [
            (2, "room::a"),
            (3, "b"),
            (5, "room::file::c"),
            (6, "d"),
            (7, "room::file::tests::e"),
        ];
        assert_eq!(
            paths(source),
            expected.map(|(n, path)| (n, path.to_owned()))
        );
    }
}
