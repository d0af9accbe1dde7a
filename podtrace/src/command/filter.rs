//! The filter that a command line asks for.
use std::sync::Arc;

use anyhow::bail;

use crate::{
    cli::ScopeArgs,
    filter::{Expression, Filter, Scope},
};

/// Compiles the words of an expression; none if there are no words.
pub(super) fn filter(words: &[String], args: ScopeArgs) -> anyhow::Result<Option<Arc<Filter>>> {
    let text = words.join(" ");
    if text.trim().is_empty() {
        let needless = [
            (args.outer, "--outer"),
            (args.inner, "--inner"),
            (args.only_matching, "--only-matching"),
        ];
        if let Some((_, name)) = needless.into_iter().find(|(is_given, _)| *is_given) {
            bail!("{name} says how an expression is applied, and there is none");
        }
        return Ok(None);
    }
    let expression = Expression::compile(&text)?;
    let scope = match (args.outer, args.inner) {
        (true, _) => Scope::Outer,
        (_, true) => Scope::Inner,
        _ => Scope::Both,
    };
    Ok(Some(Arc::new(Filter { expression, scope })))
}

/// Refuses to record only some hops of packets.
pub(super) fn refuse_partial(args: ScopeArgs) -> anyhow::Result<()> {
    if args.only_matching {
        bail!(
            "--only-matching leaves hops out, and a file without them would tell of losses that did \
             not happen\nhint: write all of them, and give --only-matching to podtrace replay"
        );
    }
    Ok(())
}
