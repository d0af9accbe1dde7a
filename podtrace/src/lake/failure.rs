//! What is said of a storage that fails.
use std::error::Error;

use crate::cause::causes;

/// What is behind an error: those before it say the same, with all the settings.
pub(super) fn innermost(error: &(dyn Error + 'static)) -> String {
    causes(error)
        .last()
        .map_or_else(String::new, ToString::to_string)
}
