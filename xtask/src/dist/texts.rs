//! What podtrace says of itself: manual pages and completions.

use std::{
    env::consts::ARCH,
    path::Path,
    process::{Command, Stdio},
};

use anyhow::{Result, ensure};

use super::content::Machine;
use crate::{cmd::output, setup};

/// Where each shell looks for the completions that packages bring.
const COMPLETIONS: [(&str, &str); 3] = [
    ("bash", "usr/share/bash-completion/completions/podtrace"),
    ("zsh", "usr/share/zsh/site-functions/_podtrace"),
    ("fish", "usr/share/fish/vendor_completions.d/podtrace.fish"),
];

/// A podtrace that is packed.
pub(super) struct Program<'a> {
    pub(super) file: &'a Path,
    pub(super) machine: &'a Machine,
}

impl Program<'_> {
    /// Runs it, on another machine than its own by an emulator.
    fn command(&self) -> Command {
        if self.machine.rust == ARCH {
            return Command::new(self.file);
        }
        let mut command = Command::new(setup::ARM64_EMULATOR);
        command.arg(self.file);
        command
    }
}

/// The manual pages by name: podtrace's, and those of its commands.
pub(super) fn manual(program: &Program<'_>) -> Result<Vec<(String, String)>> {
    let first = printed(program, &["man"])?;
    let commands = commands(&first);
    ensure!(!commands.is_empty(), "podtrace's manual names no commands");
    let mut pages = Vec::new();
    for command in commands {
        let page = printed(program, &["man", &command])?;
        pages.push((format!("podtrace-{command}"), page));
    }
    pages.push(("podtrace".to_owned(), first));
    Ok(pages)
}

/// The completions by their paths.
pub(super) fn completions(program: &Program<'_>) -> Result<Vec<(&'static str, String)>> {
    let each = COMPLETIONS.iter();
    each.map(|(shell, path)| Ok((*path, printed(program, &["completions", shell])?)))
        .collect()
}

/// A time as OCI and CycloneDX write it.
pub(super) fn timestamp(seconds: u32) -> Result<String> {
    let mut date = Command::new("date");
    let date = date.args(["--utc", "+%FT%TZ", "--date", &format!("@{seconds}")]);
    Ok(output(date)?.trim().to_owned())
}

fn printed(program: &Program<'_>, args: &[&str]) -> Result<String> {
    let mut command = program.command();
    command.args(args).arg("--no-config");
    output(command.stderr(Stdio::inherit()))
}

/// The commands that a manual page refers to: `podtrace\-trace(1)`.
fn commands(page: &str) -> Vec<String> {
    let names = page
        .lines()
        .filter_map(|line| line.strip_prefix("podtrace\\-")?.strip_suffix("(1)"));
    let names = names.map(|name| name.replace('\\', ""));
    names.filter(|name| name != "help").collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_those_that_the_manual_names() {
        let page =
            ".TP\npodtrace\\-trace(1)\nPrint\n.TP\npodtrace\\-help(1)\npodtrace\\-x\\-y(1)\n";
        assert_eq!(commands(page), ["trace", "x-y"]);
    }
}
