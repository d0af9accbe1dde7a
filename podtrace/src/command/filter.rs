//! The filter that a command line asks for.
use std::sync::Arc;

use crate::{
    cli::{ChosenArgs, Flow, ScopeArgs},
    filter::{Expression, Filter, Scope},
    pipeline::Asked,
};

/// The packets that a command line asks for. `words`: those of the expression.
pub(super) fn asked(words: &[String], chosen: &ChosenArgs) -> anyhow::Result<Asked> {
    Ok(Asked {
        filter: filter(words, chosen.scope)?,
        only_matching: chosen.scope.only_matching,
        no_control: chosen.control.no_control,
        selector: chosen.select.selector.clone().map(Arc::new),
    })
}

/// Compiles the words of an expression; none if there are no words and no direction.
fn filter(words: &[String], args: ScopeArgs) -> anyhow::Result<Option<Arc<Filter>>> {
    let text = words.join(" ");
    let text = text.trim();
    let text = match (direction(args), text) {
        (None, text) => text.to_owned(),
        (Some(direction), "") => direction.to_owned(),
        (Some(direction), text) => {
            // A mistake is shown in what was given.
            Expression::compile(text)?;
            format!("({text}) and {direction}")
        }
    };
    if text.is_empty() {
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

/// The direction of `--direction` as a term.
fn direction(args: ScopeArgs) -> Option<&'static str> {
    match args.direction? {
        Flow::In => Some("inbound"),
        Flow::Out => Some("outbound"),
        Flow::Inout => None,
    }
}
