//! Collects the names in a source file: its paths, its imports, and the modules inside it.

use std::{collections::BTreeMap, mem};

use anyhow::{Context as _, Result};
use proc_macro2::{Delimiter, Group, Ident, Literal, TokenStream, TokenTree};

/// A module's path from the crate's root, without `crate`.
pub(super) type Path = Vec<String>;

/// A path in the code.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Name {
    /// From the crate's root: it begins with `crate`, `super` or `self`.
    Absolute(Path),
    /// From the scope of the module around it.
    Relative(Path),
}

/// A name that a file uses.
#[derive(Debug)]
pub(super) struct Mention {
    /// The first line that has it.
    pub(super) line: usize,
    /// The module around it: the file's own, or one inside the file.
    pub(super) module: Path,
    pub(super) name: Name,
}

/// A name that a `use` brings into scope.
#[derive(Debug)]
pub(super) struct Import {
    /// The module with the `use`.
    pub(super) module: Path,
    /// Its name there; none for `*`.
    pub(super) alias: Option<String>,
    pub(super) name: Name,
}

/// The dependencies of a source file.
#[derive(Debug, Default)]
pub(super) struct Source {
    pub(super) mentions: Vec<Mention>,
    pub(super) imports: Vec<Import>,
    /// The modules that the file holds in braces.
    pub(super) modules: Vec<Path>,
    /// Code that would hide a dependency: its line, and the objection.
    pub(super) forbidden: Vec<(usize, &'static str)>,
}

/// Reads a file, with its macros and its tests. `module`: the file's own path.
pub(super) fn read(source: &str, module: &[String]) -> Result<Source> {
    let tokens = parse(source).context("is not made of Rust's tokens")?;
    let mut reader = Reader::default();
    reader.tokens(&tokens, module);
    let mentions = reader.mentions.into_iter();
    let mentions = mentions.map(|((module, name), line)| Mention { line, module, name });
    Ok(Source {
        mentions: mentions.collect(),
        ..reader.source
    })
}

/// The line of the first item that is not `mod name;`.
pub(super) fn first_item(source: &str) -> Result<Option<usize>> {
    let tokens = parse(source).context("is not made of Rust's tokens")?;
    let mut rest = &tokens[..];
    loop {
        rest = match rest {
            [] => return Ok(None),
            [hash, TokenTree::Group(_), after @ ..] if is_punct(hash, '#') => after,
            [hash, bang, TokenTree::Group(_), after @ ..]
                if is_punct(hash, '#') && is_punct(bang, '!') =>
            {
                after
            }
            [TokenTree::Ident(word), TokenTree::Group(_), after @ ..] if word == "pub" => after,
            [TokenTree::Ident(word), after @ ..] if word == "pub" => after,
            [TokenTree::Ident(word), TokenTree::Ident(_), end, after @ ..]
                if word == "mod" && is_punct(end, ';') =>
            {
                after
            }
            [item, ..] => return Ok(Some(item.span().start().line)),
        };
    }
}

#[derive(Default)]
struct Reader {
    /// Everything except for the mentions.
    source: Source,
    /// The first line of each name in each module.
    mentions: BTreeMap<(Path, Name), usize>,
}

impl Reader {
    fn tokens(&mut self, tokens: &[TokenTree], module: &[String]) {
        let mut rest = tokens;
        // A name after `::` belongs to a type, or to another crate.
        let mut is_behind_colons = false;
        while let Some((first, after)) = rest.split_first() {
            let was_behind_colons = mem::take(&mut is_behind_colons);
            self.refuse(first, after);
            rest = match first {
                TokenTree::Ident(word) if word == "mod" => self.module(after, module),
                TokenTree::Ident(word) if word == "use" => self.path(after, module, true),
                TokenTree::Ident(_) if was_behind_colons => after,
                TokenTree::Ident(_) => self.path(rest, module, false),
                TokenTree::Group(group) => {
                    self.tokens(&list(group), module);
                    after
                }
                TokenTree::Literal(literal) => {
                    self.literal(literal, module);
                    after
                }
                TokenTree::Punct(_) => match after_colons(rest) {
                    Some(behind) => {
                        is_behind_colons = true;
                        behind
                    }
                    None => after,
                },
            };
        }
    }

    /// Records code that includes other code by other means than a path.
    fn refuse(&mut self, first: &TokenTree, after: &[TokenTree]) {
        match (first, after) {
            (TokenTree::Ident(word), [TokenTree::Ident(next), ..])
                if word == "extern" && next == "crate" =>
            {
                self.forbid(word, "`extern crate` gives a crate another name");
            }
            (hash, [TokenTree::Group(group), ..]) if is_punct(hash, '#') => {
                self.refuse_attribute(&list(group));
            }
            (hash, [bang, TokenTree::Group(group), ..])
                if is_punct(hash, '#') && is_punct(bang, '!') =>
            {
                self.refuse_attribute(&list(group));
            }
            _ => {}
        }
    }

    fn refuse_attribute(&mut self, tokens: &[TokenTree]) {
        match tokens {
            [TokenTree::Ident(word), equals, ..] if word == "path" && is_punct(equals, '=') => {
                self.forbid(word, "`#[path]` gives a module the file of another");
            }
            [TokenTree::Ident(word), ..] if word == "macro_use" => {
                self.forbid(word, "`#[macro_use]` lends macros without a path");
            }
            [TokenTree::Ident(word), TokenTree::Group(group)] if word == "cfg_attr" => {
                for part in list(group).split(|token| is_punct(token, ',')) {
                    self.refuse_attribute(part);
                }
            }
            _ => {}
        }
    }

    fn forbid(&mut self, word: &Ident, why: &'static str) {
        let line = word.span().start().line;
        self.source.forbidden.push((line, why));
    }

    /// Reads the tokens after `mod`; returns the rest. In a macro the name may be `$name`.
    fn module<'t>(&mut self, after: &'t [TokenTree], module: &[String]) -> &'t [TokenTree] {
        let named = match after {
            [dollar, named @ ..] if is_punct(dollar, '$') => named,
            named => named,
        };
        let [TokenTree::Ident(name), TokenTree::Group(body), behind @ ..] = named else {
            return after;
        };
        let inner = [module, &[plain(name)]].concat();
        self.tokens(&list(body), &inner);
        self.source.modules.push(inner);
        behind
    }

    /// A literal may contain a path, as in `#[serde(with = "crate::text")]`.
    fn literal(&mut self, literal: &Literal, module: &[String]) {
        let text = literal.to_string();
        let text = text.split('"').nth(1).unwrap_or_default();
        let is_path = ["crate::", "self::", "super::"]
            .iter()
            .any(|root| text.starts_with(root))
            && text
                .chars()
                .all(|c| c.is_alphanumeric() || "_:".contains(c));
        let tokens = is_path.then(|| parse(text)).flatten();
        let mut tokens = tokens.unwrap_or_default();
        for token in &mut tokens {
            token.set_span(literal.span());
        }
        self.path(&tokens, module, false);
    }

    /// Reads a path, which may end in a list of paths; returns the tokens after it.
    fn path<'t>(
        &mut self,
        tokens: &'t [TokenTree],
        module: &[String],
        is_use: bool,
    ) -> &'t [TokenTree] {
        let mut leaves = Vec::new();
        let rest = tree(tokens, &[], &mut leaves);
        let is_macro = rest.first().is_some_and(|next| is_punct(next, '!'));
        for leaf in leaves {
            if is_macro && leaf.segments.last().is_some_and(|last| last == "include") {
                let why = "`include!` hides what the included file imports";
                self.source.forbidden.push((leaf.line, why));
            }
            let Some(name) = Name::of(&leaf.segments, module) else {
                continue;
            };
            // The value `self`, or the `crate` of a visibility.
            let is_root = leaf.segments.len() == 1 && matches!(name, Name::Absolute(_));
            if is_root && !is_use {
                continue;
            }
            if is_use {
                self.source.imports.push(Import {
                    module: module.to_vec(),
                    alias: leaf.alias,
                    name: name.clone(),
                });
            }
            let line = self.mentions.entry((module.to_vec(), name));
            let line = line.or_insert(leaf.line);
            *line = leaf.line.min(*line);
        }
        rest
    }
}

impl Name {
    /// None for no segments.
    fn of(segments: &[String], module: &[String]) -> Option<Self> {
        let (is_absolute, mut path) = match segments.first()?.as_str() {
            "crate" => (true, Path::new()),
            "self" | "super" => (true, module.to_vec()),
            _ => (false, Path::new()),
        };
        for segment in segments {
            match segment.as_str() {
                "crate" | "self" => {}
                "super" => {
                    path.pop();
                }
                _ => path.push(segment.clone()),
            }
        }
        Some(if is_absolute {
            Self::Absolute(path)
        } else {
            Self::Relative(path)
        })
    }
}

/// One path of a tree of paths.
struct Leaf {
    /// The line of its last segment.
    line: usize,
    segments: Vec<String>,
    /// Its name from a `use`; none for `*`.
    alias: Option<String>,
}

/// Reads a tree of paths with `prefix` before them; returns the tokens after it.
fn tree<'t>(tokens: &'t [TokenTree], prefix: &[String], leaves: &mut Vec<Leaf>) -> &'t [TokenTree] {
    let mut segments = prefix.to_vec();
    let mut rest = tokens;
    let mut line = 0;
    let mut is_glob = false;
    while let Some((token, after)) = rest.split_first() {
        match token {
            TokenTree::Ident(ident) => {
                line = ident.span().start().line;
                segments.push(plain(ident));
            }
            TokenTree::Group(group) if group.delimiter() == Delimiter::Brace => {
                let parts = list(group);
                let parts = parts.split(|token| is_punct(token, ','));
                for part in parts.filter(|part| !part.is_empty()) {
                    tree(part, &segments, leaves);
                }
                return after;
            }
            star if is_punct(star, '*') => is_glob = true,
            // The arguments of a generic type, or a path of another crate.
            _ => break,
        }
        rest = after;
        match after_colons(after) {
            Some(behind) => rest = behind,
            None => break,
        }
    }
    let alias = match rest {
        _ if is_glob => None,
        [TokenTree::Ident(word), TokenTree::Ident(alias), ..] if word == "as" => Some(plain(alias)),
        // `a::{self}` is `a`.
        _ => segments.iter().rfind(|segment| *segment != "self").cloned(),
    };
    leaves.push(Leaf {
        line,
        segments,
        alias,
    });
    rest
}

fn parse(source: &str) -> Option<Vec<TokenTree>> {
    let tokens: TokenStream = source.parse().ok()?;
    Some(tokens.into_iter().collect())
}

fn list(group: &Group) -> Vec<TokenTree> {
    group.stream().into_iter().collect()
}

/// An identifier without `r#`.
fn plain(ident: &Ident) -> String {
    let name = ident.to_string();
    name.strip_prefix("r#").unwrap_or(&name).to_owned()
}

fn is_punct(token: &TokenTree, sign: char) -> bool {
    matches!(token, TokenTree::Punct(punct) if punct.as_char() == sign)
}

/// The tokens after `::`, if that comes next.
fn after_colons(tokens: &[TokenTree]) -> Option<&[TokenTree]> {
    match tokens {
        [first, second, behind @ ..] if is_punct(first, ':') && is_punct(second, ':') => {
            Some(behind)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests;
