//! Resolves names to modules, through imports and re-exports.

use std::collections::{BTreeMap, BTreeSet};

use super::paths::{Import, Name, Path};

/// The modules of a crate, and the scope of each.
#[derive(Default)]
pub(super) struct Scopes {
    modules: BTreeSet<Path>,
    /// The imports by module and name in its scope.
    named: BTreeMap<(Path, String), Vec<Name>>,
    /// The imports of everything, by module.
    globs: BTreeMap<Path, Vec<Name>>,
}

impl Scopes {
    /// Adds a module, the modules inside it, and their imports.
    pub(super) fn add(&mut self, module: Path, inner: Vec<Path>, imports: Vec<Import>) {
        self.modules.insert(module);
        self.modules.extend(inner);
        for import in imports {
            self.add_import(import);
        }
    }

    fn add_import(&mut self, import: Import) {
        let Import {
            module,
            alias,
            name,
        } = import;
        match alias {
            Some(alias) => self.named.entry((module, alias)).or_default().push(name),
            None => self.globs.entry(module).or_default().push(name),
        }
    }

    /// The modules that a name in `module` depends on: the one that defines it, and those that
    /// re-export it.
    pub(super) fn resolve(&self, module: &[String], name: &Name) -> BTreeSet<Path> {
        let mut search = Search {
            scopes: self,
            followed: BTreeSet::new(),
            found: BTreeSet::new(),
        };
        search.name(module, name, &[]);
        search.found
    }
}

struct Search<'a> {
    scopes: &'a Scopes,
    /// The imports followed so far, to follow each once: some import each other.
    followed: BTreeSet<(&'a [String], &'a Name)>,
    found: BTreeSet<Path>,
}

impl<'a> Search<'a> {
    /// Follows a name in `module`, and the segments behind it.
    fn name(&mut self, module: &[String], name: &Name, behind: &[String]) {
        match name {
            Name::Absolute(path) => self.path(Path::new(), &[path, behind].concat()),
            Name::Relative(path) => self.path(module.to_vec(), &[path, behind].concat()),
        }
    }

    /// Follows a path from a module on.
    fn path(&mut self, mut module: Path, mut rest: &[String]) {
        while let Some((first, behind)) = rest.split_first() {
            module.push(first.clone());
            if !self.scopes.modules.contains(&module) {
                module.pop();
                break;
            }
            rest = behind;
        }
        self.found.insert(module.clone());
        let Some((first, behind)) = rest.split_first() else {
            return;
        };
        // A module's own name hides what `*` would import.
        let scopes = self.scopes;
        let named = (module.clone(), first.clone());
        if let Some(((at, _), names)) = scopes.named.get_key_value(&named) {
            self.imports(at, names, behind);
        } else if let Some((at, names)) = scopes.globs.get_key_value(&module) {
            self.imports(at, names, rest);
        }
    }

    fn imports(&mut self, module: &'a [String], names: &'a [Name], behind: &[String]) {
        for name in names {
            if self.followed.insert((module, name)) {
                self.name(module, name, behind);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{super::paths, *};

    fn path(text: &str) -> Path {
        let segments = text.split("::").filter(|segment| !segment.is_empty());
        segments.map(ToOwned::to_owned).collect()
    }

    /// The modules that a name in a module resolves to, where `files` are modules and their
    /// texts.
    fn resolved(files: &[(&str, &str)], module: &str, name: &str) -> Vec<String> {
        let mut scopes = Scopes::default();
        for (module, text) in files {
            let source = paths::read(text, &path(module)).unwrap();
            scopes.add(path(module), source.modules, source.imports);
        }
        let found = scopes.resolve(&path(module), &Name::Relative(path(name)));
        found.into_iter().map(|module| module.join("::")).collect()
    }

    #[test]
    fn names_are_followed_to_where_they_are_defined() {
        let files = [
            ("low", "pub use a::A; pub use self::b::*;"),
            ("low::a", "pub struct A;"),
            ("low::b", "pub use super::c::C as D;"),
            ("low::c", "pub struct C;"),
            (
                "high",
                "use crate::low::A; use crate as root; use root::low as l; mod tests { use super::*; }",
            ),
        ];
        let of = |name| resolved(&files, "high", name);
        assert_eq!(of("A"), ["high", "low", "low::a"]);
        assert_eq!(of("l::D"), ["high", "low", "low::b", "low::c"]);
        assert_eq!(of("root::low::c::C::new"), ["high", "low::c"]);
        assert_eq!(of("unknown::A"), ["high"]);
        let of = |name| resolved(&files, "high::tests", name);
        assert_eq!(of("A"), ["high", "high::tests", "low", "low::a"]);
    }

    #[test]
    fn imports_that_lead_nowhere_end() {
        let files = [
            ("a", "use b::*; use super::b::X; use proptest::prelude::*;"),
            ("b", "pub use super::a::*; pub use super::a::X;"),
        ];
        assert_eq!(resolved(&files, "a", "X"), ["a", "b"]);
    }
}
