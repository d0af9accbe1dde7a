//! The causes of errors.
use std::{error::Error, io, iter};

/// An error and its causes, the innermost last.
pub(crate) fn causes<'a>(
    error: &'a (dyn Error + 'static),
) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    iter::successors(Some(error), |error| (*error).source())
}

/// An error with its causes, in words.
pub(crate) fn chain(error: &(dyn Error + 'static)) -> String {
    let words: Vec<_> = causes(error).map(ToString::to_string).collect();
    words.join(": ")
}

/// Whether one of the causes is such an answer of the system.
pub(crate) fn has_answer(
    error: &(dyn Error + 'static),
    is_it: impl Fn(&io::Error) -> bool,
) -> bool {
    causes(error)
        .filter_map(|cause| cause.downcast_ref())
        .any(is_it)
}

/// Whether the process, or the machine, has no room for another descriptor.
pub(crate) fn is_out_of_descriptors(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EMFILE | libc::ENFILE))
}
