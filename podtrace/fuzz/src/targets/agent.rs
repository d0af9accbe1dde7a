//! The protocol of agents: a request that comes to one, and replies that come to a console.
use std::ffi::OsString;

use clap::Parser as _;
use podtrace::{
    agent::{Asked, Taken},
    cli::{Cli, Command},
};

use super::filter::names_nothing;
use crate::input::parts;

/// Upper bound of what a console shows of an agent's words, in bytes.
const WORDS_MAX: usize = 16_000;

/// The first part is a request, the others are replies.
pub(crate) fn run(bytes: &[u8]) {
    let mut parts = parts(bytes);
    if let Some(asked) = parts.next().and_then(Asked::read) {
        request(asked);
    }
    for reply in parts {
        match Taken::read(reply) {
            Some(Taken::Session(bytes)) => assert!(bytes.len() <= reply.len()),
            Some(Taken::End(words)) => is_safe(&words.replace('\n', " ")),
            Some(Taken::Notice(words)) => is_safe(&words),
            Some(Taken::Nothing) | None => {}
        }
    }
}

/// Whatever is asked for, what runs is a recording to standard output.
fn request(asked: Asked) {
    if !names_nothing(asked.expression()) {
        return;
    }
    let arguments = match asked.arguments() {
        Ok(arguments) => arguments,
        Err(words) => return assert!(!words.is_empty()),
    };
    let is_plain = |argument: &OsString| !argument.as_encoded_bytes().contains(&0);
    assert!(arguments.iter().all(is_plain));
    let line = ["podtrace".into()].into_iter().chain(arguments);
    let cli = Cli::try_parse_from(line);
    assert!(cli.as_ref().is_ok_and(records), "{cli:?}");
}

/// Whether it records to standard output, and does nothing else.
fn records(cli: &Cli) -> bool {
    let Command::Record(args) = &cli.command else {
        return false;
    };
    cli.no_config && args.files.is_stdout() && args.filter.expression.len() <= 1
}

fn is_safe(text: &str) {
    assert!(
        text.len() <= WORDS_MAX && !text.contains(char::is_control),
        "{text:?}"
    );
}
