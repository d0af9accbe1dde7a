//! `podtrace schema`, `completions` and `man`: what podtrace says of itself.
use anyhow::bail;
use clap::CommandFactory as _;

use super::{FINE, print_out};
use crate::{
    cli::{Cli, SchemaOf},
    schema::{self, document},
    text::{escape::escape, names::listed},
};

/// Prints a JSON Schema; returns the exit code.
pub(super) fn schema(of: SchemaOf) -> anyhow::Result<u8> {
    let kind = match of {
        SchemaOf::Lines => schema::Kind::Lines,
        SchemaOf::Stats => schema::Kind::Statistics,
        SchemaOf::Topology => schema::Kind::Topology,
        SchemaOf::Flows => schema::Kind::Flows,
        SchemaOf::Diagnose => schema::Kind::Diagnosis,
    };
    print_out(&format!("{:#}\n", document(kind)))?;
    Ok(FINE)
}

/// Prints the completions of a shell; returns the exit code.
pub(super) fn completions(shell: clap_complete::Shell) -> anyhow::Result<u8> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "podtrace", &mut script);
    print_out(&String::from_utf8(script)?)?;
    Ok(FINE)
}

/// Prints a manual page in roff, that of a command or of podtrace; returns the exit code.
pub(super) fn man(page: Option<&str>) -> anyhow::Result<u8> {
    print_out(&manual(page)?)?;
    Ok(FINE)
}

fn manual(page: Option<&str>) -> anyhow::Result<String> {
    let mut podtrace = Cli::command();
    // Gives the commands their full names.
    podtrace.build();
    let Some(name) = page else {
        return roff(podtrace);
    };
    let found = podtrace.find_subcommand(name).cloned();
    let Some(command) = found else {
        let known = podtrace.get_subcommands().map(clap::Command::get_name);
        bail!(
            "podtrace has no command {}\nhint: there is {}",
            escape(name),
            listed(known, Some(name))
        );
    };
    roff(command)
}

fn roff(command: clap::Command) -> anyhow::Result<String> {
    let mut page = Vec::new();
    clap_mangen::Man::new(command).render(&mut page)?;
    Ok(String::from_utf8(page)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_command_has_a_page() {
        assert!(manual(None).unwrap().contains("podtrace\\-trace"));
        for command in Cli::command().get_subcommands() {
            let name = command.get_name();
            let page = manual(Some(name)).unwrap();
            assert!(page.contains(&format!("podtrace\\-{name}")), "{page}");
        }
    }

    #[test]
    fn unknown_command_is_told_which_there_are() {
        let error = manual(Some("trac\x1b[31m")).unwrap_err().to_string();
        assert!(
            error.contains("trace") && !error.contains('\x1b'),
            "{error}"
        );
    }
}
